UNIT_TESTS += store_memory
UNIT_SRCS_store_memory := $(UNIT_SRCS_store)
UNIT_TESTS += store_share
UNIT_SRCS_store_share := $(UNIT_SRCS_store)
