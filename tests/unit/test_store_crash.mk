UNIT_TESTS += store_crash
UNIT_SRCS_store_crash := $(UNIT_SRCS_store)
