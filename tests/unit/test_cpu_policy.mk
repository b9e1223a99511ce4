UNIT_TESTS += cpu_policy
UNIT_SRCS_cpu_policy := hypervisor/hypercall/cpu_policy.c hypervisor/emulate/policy.c
# Debian's, beside libxen-dev
UNIT_LIBS_cpu_policy := -lxenguest -lxenctrl
