UNIT_TESTS += pace
UNIT_SRCS_pace := backends/block/pace.c
UNIT_CFLAGS_test_pace := -Ibackends/block
