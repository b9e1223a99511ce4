UNIT_TESTS += map
UNIT_SRCS_map := xenstore/arena.c xenstore/map.c
