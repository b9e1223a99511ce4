# The embedded control domain: build/control.elf, a kernel on the runtime with the store, the console daemon,
# the toolstack and the prompt. A part more is its sources here and its table of commands in prompt.c.
CONTROL := $(BUILD)/control
CONTROL_SRCS := $(XS_CORE) $(addprefix xenstore/,daemon.c rings.c) \
    $(CONSOLED_CORE) dom0-tools/consoled/attach.c dom0-tools/attend/attend.c \
    $(filter backends/%,$(BLKBACK_CORE)) $(NETWORK_CORE) \
    $(addprefix dom0-tools/control/,control.c prompt.c xl_command.c service.c store_commands.c file_commands.c adopt.c power.c s5.c extra.c)
CONTROL_OBJS := $(CONTROL_SRCS:%.c=$(CONTROL)/%.o)
CONTROL_LINKED := $(CONTROL_OBJS) $(sort $(DRIVERS_DISK_OBJS) $(DRIVERS_LINK_OBJS)) $(TOOLS_RT_OBJS) $(CONTROL)/files.o

$(CONTROL)/%.o: %.c dom0-tools/control/control.mk xen-like/xen-like.mk $(NEWLIB)/stamp | $(RT_INCLUDES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(RT_CPPFLAGS) -Ixenstore -D__XEN_TOOLS__ $(RT_CFLAGS) -c -o $@ $<
$(CONTROL)/files.o: xen-like/mkfiles.sh
	@mkdir -p $(@D)
	$(Q)CC=$(CC) xen-like/mkfiles.sh $(CONTROL)/no-files $@
$(CONTROL)/pass1: $(CONTROL_LINKED) $(RT)/symbols_none.o $(RT)/runtime.a $(NEWLIB_LIBS) xen-like/xen-like.lds
	$(Q)$(RT_LINK)
$(CONTROL)/symbols.o: $(CONTROL)/pass1
	$(Q)nm -n $< | $(RT_SYMBOLS)
$(BUILD)/control.elf: $(CONTROL_LINKED) $(CONTROL)/symbols.o $(RT)/runtime.a $(NEWLIB_LIBS) xen-like/xen-like.lds
	@echo "  KERNEL  $@"
	$(Q)$(RT_LINK)
	@[ $$(stat -c %s $@) -lt 8388608 ] || { echo "$@ is larger than 8 MiB"; rm $@; exit 1; }

# rt_store_kill has the store, too.
$(RT)/rt_store_kill.pass1 $(RT)/rt_store_kill.elf: $(filter $(CONTROL)/xenstore/%,$(CONTROL_OBJS))

# Its ramdisk, a cpio archive (newc): what guests are made of, and autostart. Kernels become ELF here, as there is nothing
# that unpacks them there.
CONTROL_FILES ?= dom0-tools/control/ramdisk# a folder that becomes the ramdisk's root, with Debian's kernel and BusyBox
$(CONTROL)/unpack-kernels: $(patsubst %.c,$(TOOLS)/%.o,$(TOOLS_SRCS) dom0-tools/control/unpack_kernels.c) $(XL_OBJS) \
        $(addprefix $(TOOLS)/xen-like/platform/,posix.o handles.o xenstore.o loop.o log.o)
	$(Q)$(CC) -o $@ $^ $(TOOLS_LIBS)
$(CONTROL)/ramdisk.cpio: $(DEBIAN)/vmlinuz $(SYSTEM)/small.gz $(SYSTEM)/guest.gz $(RT)/rt_blkfront.elf $(RT)/rt_answers.elf $(RT)/rt_consfront.elf $(RT)/rt_enemy_front.elf $(RT)/rt_enemy_back.elf $(RT)/rt_victim.elf $(RT)/rt_pings.elf $(shell find $(CONTROL_FILES) -type f) dom0-tools/control/control.mk \
        $(CONTROL)/unpack-kernels
	@mkdir -p $(@D)
	@echo "  CPIO    $@"
	$(Q)rm -rf $@.tree && cp -r $(CONTROL_FILES) $@.tree && cp $(DEBIAN)/vmlinuz $@.tree/vmlinux && cp $(SYSTEM)/small.gz $(SYSTEM)/guest.gz $(RT)/rt_blkfront.elf $(RT)/rt_consfront.elf $(RT)/rt_enemy_front.elf $(RT)/rt_enemy_back.elf $(RT)/rt_victim.elf $(RT)/rt_pings.elf $@.tree && cp $(RT)/rt_answers.elf $@.tree/answers
	$(Q)find $@.tree -type f -exec $(CONTROL)/unpack-kernels {} +
	$(Q)(cd $@.tree && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0) >$@.new
	$(Q)rm -rf $@.tree && mv $@.new $@

# rt_xl_cycles is that domain with another main(); its guest is rt_create's.
$(RT)/rt_xl_cycles.o: RT_CPPFLAGS += -Ixenstore
$(RT)/rt_xl_cycles.pass1 $(RT)/rt_xl_cycles.elf: $(filter-out $(CONTROL)/dom0-tools/control/control.o,$(CONTROL_OBJS)) $(TOOLS_RT_OBJS) $(sort $(DRIVERS_DISK_OBJS) $(DRIVERS_LINK_OBJS))

.PHONY: control control-ramdisk
#: control-ramdisk build build/control/ramdisk.cpio, its ramdisk: CONTROL_FILES=FOLDER (bzImages become ELF), Debian's kernel, a BusyBox ramdisk
control-ramdisk: $(CONTROL)/ramdisk.cpio
#: control        build build/control.elf, the embedded control domain
control: $(BUILD)/control.elf
-include $(shell find $(CONTROL) -name '*.d' 2>/dev/null)
