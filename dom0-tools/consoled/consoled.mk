# The console daemon as a program for Linux; its core is in the control domain's image and in tests, too (CONSOLED_CORE).
CONSOLED_BUILD := $(BUILD)/consoled
CONSOLED_CORE := $(addprefix dom0-tools/consoled/,consoled.c domains.c console.c channels.c clients.c ring.c history.c log.c)
XENBUS_SRCS := $(addprefix xen-like/lib/,xenbus.c xenbus_class.c xenbus_nodes.c)
CONSOLED_SRCS := $(CONSOLED_CORE) $(XENBUS_SRCS) $(addprefix dom0-tools/consoled/,main.c consoled_pty.c) \
    $(addprefix xen-like/platform/,posix.c handles.c background.c serve.c evtchn.c xenstore.c loop.c log.c)
CONSOLED_LIBS := -lxenstore -lxenevtchn -lxengnttab -lxenforeignmemory -lxencall -lutil -lpthread

$(CONSOLED_BUILD)/xen-like-consoled: $(CONSOLED_SRCS:%.c=$(XS)/%.o)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) -o $@ $^ $(CONSOLED_LIBS)

.PHONY: consoled
#: consoled       build build/consoled/xen-like-consoled, the console daemon as a Linux program
consoled: $(CONSOLED_BUILD)/xen-like-consoled
