UNIT_TESTS += store store_transactions store_costs
UNIT_SRCS_store := $(addprefix xenstore/,arena.c map.c step.c tree.c watch.c domain.c control.c request.c ring.c memory.c)
UNIT_SRCS_store_transactions := $(UNIT_SRCS_store)
UNIT_SRCS_store_costs := $(UNIT_SRCS_store)
