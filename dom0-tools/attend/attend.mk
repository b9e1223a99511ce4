# Who attends to guests on Linux, beside xl. In the control domain's image attend.c is a thread.
ATTEND_SRCS := $(TOOLS_LIB) $(TOOLS_LINUX) $(TOOLS_HV) $(addprefix dom0-tools/attend/,attend.c lock.c main.c) \
    $(addprefix xen-like/platform/,posix.c handles.c background.c xenstore.c loop.c log.c)
ATTEND := $(TOOLS)/xen-like-attend

$(ATTEND): $(ATTEND_SRCS:%.c=$(TOOLS)/%.o) $(XL_OBJS)
	@echo "  CC      $@"
	$(Q)$(CC) -o $@ $(filter %.o,$^) $(TOOLS_LIBS)
xl: $(ATTEND)
