UNIT_TESTS += store
UNIT_SRCS_store := $(addprefix xenstore/,arena.c map.c step.c tree.c watch.c domain.c control.c request.c ring.c memory.c)
