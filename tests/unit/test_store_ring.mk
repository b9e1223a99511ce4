UNIT_TESTS += store_ring
UNIT_SRCS_store_ring := $(UNIT_SRCS_store)
