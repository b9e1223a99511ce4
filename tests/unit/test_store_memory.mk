UNIT_TESTS += store_memory
UNIT_SRCS_store_memory := $(UNIT_SRCS_store)
