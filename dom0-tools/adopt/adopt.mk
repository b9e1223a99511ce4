# For Debian's control domain: domains that were started at boot become known to its tools.
ADOPT := $(BUILD)/dom0-tools/xen-like-adopt
$(ADOPT): dom0-tools/adopt/xen-like-adopt.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(SYSTEM_CFLAGS) -D_GNU_SOURCE -MF $@.d -o $@ $< \
	    -lxenguest -lxenctrl -lxenforeignmemory -lxenhypfs -lxenstore
-include $(ADOPT).d
