UNIT_TESTS += netback netback_hostile netback_killed
UNIT_SRCS_netback = $(NETWORK_CORE) $(addprefix xen-like/lib/,ring.c ports.c xenbus.c xenbus_class.c xenbus_nodes.c) \
    tests/unit/fake_store.c tests/unit/fake_grants.c tests/unit/platform_fake.c $(addprefix xen-like/platform/,log.c loop.c memory.c)
UNIT_SRCS_netback_hostile = $(UNIT_SRCS_netback)
UNIT_SRCS_netback_killed = $(UNIT_SRCS_netback)
UNIT_CFLAGS_fake_grants := -Ixen-like/lib
$(foreach f,test_netback test_netback_hostile test_netback_killed netback netback_vif netback_tx netback_rx ports ring xenbus xenbus_class xenbus_nodes,$(eval UNIT_CFLAGS_$(f) := -Ixen-like/lib))
