# The embedded control domain: build/control.elf, a kernel on the runtime with the store, the console daemon and the
# prompt. A part more is its sources here and its table of commands in control.c.
CONTROL := $(BUILD)/control
CONTROL_SRCS := $(XS_CORE) $(addprefix xenstore/,daemon.c rings.c) \
    $(CONSOLED_CORE) dom0-tools/consoled/attach.c \
    $(addprefix dom0-tools/control/,control.c store_commands.c adopt.c power.c s5.c)
CONTROL_OBJS := $(CONTROL_SRCS:%.c=$(CONTROL)/%.o)
CONTROL_LINKED := $(CONTROL_OBJS) $(CONTROL)/files.o

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

.PHONY: control
#: control        build build/control.elf, the embedded control domain
control: $(BUILD)/control.elf
-include $(shell find $(CONTROL) -name '*.d' 2>/dev/null)
