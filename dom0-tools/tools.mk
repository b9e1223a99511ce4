# The toolstack's library (dom0-tools/lib/toolstack.h), for both homes: objects of the runtime in
# $(TOOLS_RT_OBJS), an archive for Linux. The ELF parser, and what formats its messages, are the hypervisor's.
TOOLS_LIB := $(addprefix dom0-tools/lib/,guest.c guest_config.c adopt.c attend.c build.c channels.c device_change.c device_end.c device_store.c devices.c dump.c hyp.c hyp_info.c hyp_state.c image.c layout.c names.c nodes.c \
    p2m.c restarts.c restore.c restore_finish.c save.c shell.c shell_build.c shell_make.c stream.c suspend.c transaction.c vdev.c why.c)
# What is another file in each home.
TOOLS_LINUX := $(addprefix dom0-tools/lib/,unpack_linux.c image_cache.c device_host_linux.c)
TOOLS_NONE := $(addprefix dom0-tools/lib/,unpack_none.c device_host_none.c)
TOOLS_HV := hypervisor/domain/elf.c hypervisor/lib/format.c
TOOLS_CPPFLAGS := -D__XEN_TOOLS__ -Idom0-tools -Ihypervisor
# The compiler's own headers first: newlib's stdatomic.h is not C11's.
TOOLS_RT_CPPFLAGS = -isystem $(shell $(CC) -print-file-name=include) $(RT_CPPFLAGS) $(TOOLS_CPPFLAGS)

# xl's commands, executed; with the pure parts of xl.mk.
TOOLS_XL := $(addprefix dom0-tools/,print_why.c xl.c xl_channel.c xl_create.c xl_device.c xl_info.c xl_list.c xl_save.c xl_shells.c xl_top.c xl_vcpu.c xl_why.c)

TOOLS_RT_OBJS = $(patsubst %.c,$(RT)/%.o,$(TOOLS_LIB) $(TOOLS_XL) $(TOOLS_NONE) $(TOOLS_HV)) $(RT_XL_OBJS)
$(RT)/dom0-tools/%.o: dom0-tools/%.c dom0-tools/tools.mk xen-like/xen-like.mk $(NEWLIB)/stamp | $(RT_INCLUDES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(TOOLS_RT_CPPFLAGS) $(RT_CFLAGS) -c -o $@ $<
$(RT)/hypervisor/%.o: hypervisor/%.c dom0-tools/tools.mk xen-like/xen-like.mk $(NEWLIB)/stamp | $(RT_INCLUDES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(TOOLS_RT_CPPFLAGS) $(RT_CFLAGS) -c -o $@ $<

# rt_create builds domains from a ramdisk.
$(RT)/rt_create.pass1 $(RT)/rt_create.elf: $(TOOLS_RT_OBJS)
GUEST_RAMDISKS += $(RT)/create.cpio
$(RT)/create.cpio: $(RT)/rt_hello.elf dom0-tools/tools.mk
	$(Q)rm -rf $@.tree && mkdir -p $@.tree && cp $< $@.tree/kernel
	$(Q)(cd $@.tree && find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc) >$@

TOOLS := $(BUILD)/dom0-tools
TOOLS_LIBS := -lxencall -lxenforeignmemory -lxenstore -lz -llzma -lzstd -lpthread
TOOLS_SRCS := $(TOOLS_LIB) $(TOOLS_XL) $(TOOLS_LINUX) $(TOOLS_HV)
$(TOOLS)/%.o: %.c dom0-tools/tools.mk xenstore/xenstore.mk | $(BUILD)/include
	@mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -Ixenstore,$(XS_CFLAGS)) $(TOOLS_CPPFLAGS) -c -o $@ $<
$(TOOLS)/xen-like-xl: $(patsubst %.c,$(TOOLS)/%.o,$(TOOLS_SRCS) $(addprefix dom0-tools/,xl_main.c xl_terminal.c consoled/attach.c)) $(XL_OBJS) \
        $(addprefix $(TOOLS)/xen-like/platform/,posix.o handles.o xenstore.o loop.o log.o)
	@echo "  CC      $@"
	$(Q)$(CC) -o $@ $^ $(TOOLS_LIBS)

.PHONY: xl check-tools-headers
#: xl             build build/dom0-tools/xen-like-xl, our xl as a Linux program, and xen-like-attend
xl: $(TOOLS)/xen-like-xl
check-tools-headers:
	@for h in dom0-tools/xl.h dom0-tools/xl_terminal.h $(wildcard dom0-tools/lib/*.h dom0-tools/attend/*.h); do \
	    echo "#include \"$${h#dom0-tools/}\"" | $(CC) $(filter-out -MMD -MP,$(XS_CFLAGS)) $(TOOLS_CPPFLAGS) -x c -fsyntax-only - || exit 1; \
	done
check-headers: check-tools-headers
-include $(shell find $(TOOLS) $(RT)/dom0-tools $(RT)/hypervisor -name '*.d' 2>/dev/null)
