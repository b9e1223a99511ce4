UNIT_TESTS += domctl_threads
UNIT_SRCS_domctl_threads := $(UNIT_SRCS_domctl)
