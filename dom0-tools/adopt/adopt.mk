# For Debian's control domain: domains that were started at boot become known to its tools.
ADOPT := $(TOOLS)/xen-like-adopt
ADOPT_SRCS := $(TOOLS_LIB) $(TOOLS_LINUX) $(TOOLS_HV) dom0-tools/adopt/xen-like-adopt.c \
    $(addprefix xen-like/platform/,posix.c loop.c log.c)

$(ADOPT): $(ADOPT_SRCS:%.c=$(TOOLS)/%.o) $(XL_OBJS)
	@echo "  CC      $@"
	$(Q)$(CC) -o $@ $(filter %.o,$^) $(TOOLS_LIBS)
