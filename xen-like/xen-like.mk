# The runtime: PV kernels on newlib (xen-like/include/rt/*.h says what it offers).
# A new kernel is one C file and one line here: its path, added to RUNTIME_KERNELS. It becomes
# build/xen-like/rt_NAME.elf; as a test it wants a line in tests/guests/guests.tsv, too. Files of
# its own lie in the folder NAME.files next to it.
RUNTIME_KERNELS :=
RUNTIME_KERNELS += xen-like/examples/hello.c
RUNTIME_KERNELS += tests/bench/bench.c
RUNTIME_KERNELS += tests/bench/growth.c
RUNTIME_KERNELS += tests/guests/runtime/smp.c
RUNTIME_KERNELS += tests/guests/runtime/group.c
RUNTIME_KERNELS += tests/guests/runtime/memory.c
RUNTIME_KERNELS += tests/guests/runtime/traps.c
RUNTIME_KERNELS += tests/guests/runtime/crash.c
RUNTIME_KERNELS += tests/guests/runtime/grants.c
RUNTIME_KERNELS += tests/guests/runtime/balloon.c
RUNTIME_KERNELS += tests/guests/runtime/platform.c
RUNTIME_KERNELS += tests/guests/runtime/ramdisk.c
RUNTIME_KERNELS += tests/guests/runtime/console.c
RUNTIME_KERNELS += tests/guests/runtime/libs.c
RUNTIME_KERNELS += tests/guests/runtime/cycles.c
RUNTIME_KERNELS += tests/guests/runtime/store_client.c
RUNTIME_KERNELS += tests/guests/runtime/create.c
RUNTIME_KERNELS += tests/guests/runtime/xl_cycles.c
RUNTIME_KERNELS += tests/guests/runtime/store_kill.c
RUNTIME_KERNELS += tests/guests/runtime/blkfront.c
RUNTIME_KERNELS += tests/guests/runtime/consfront.c
RUNTIME_KERNELS += tests/guests/runtime/enemy_front.c
RUNTIME_KERNELS += tests/guests/runtime/enemy_back.c
RUNTIME_KERNELS += tests/guests/runtime/victim.c
RUNTIME_KERNELS += tests/guests/runtime/pings.c
RUNTIME_KERNELS += frontends/network/answers.c
RUNTIME_KERNELS += tests/guests/runtime/disks.c
RUNTIME_KERNELS += tests/guests/runtime/links.c

RT := $(BUILD)/xen-like
RT_NAMES := $(notdir $(RUNTIME_KERNELS:.c=))
RUNTIME_ELFS := $(RT_NAMES:%=$(RT)/rt_%.elf)
# Those that are no test by themselves: guests with frontends, and drivers; other machines run them.
RUNTIME_ELSEWHERE := blkfront answers consfront disks links enemy_front enemy_back victim pings
GUEST_ELFS += $(filter-out $(RUNTIME_ELSEWHERE:%=$(RT)/rt_%.elf),$(RUNTIME_ELFS))# so the others are on the image of test-guests

# ---- newlib: Debian's package newlib-source, built once, whatever BUILD and CC are ----
NEWLIB := build/newlib
NEWLIB_LIBS := $(NEWLIB)/lib/libc.a $(NEWLIB)/lib/libm.a
NEWLIB_TAR := $(firstword $(wildcard /usr/src/newlib/newlib-*.tar.xz) /usr/src/newlib/newlib-3.3.0.tar.xz)
# -mno-red-zone: events arrive on the current stack. -mcmodel=kernel: linked at the top of the
# address space. Frame pointers: for backtraces. __DYNAMIC_REENT__: errno and the like are a thread's.
# And no header says that this is Linux.
RT_TARGET := -mno-red-zone -mcmodel=kernel -fno-pic -fno-pie -ffreestanding -fno-stack-protector \
    -fno-strict-aliasing -fcf-protection=none -fno-omit-frame-pointer -fno-asynchronous-unwind-tables \
    -D__DYNAMIC_REENT__ -U__linux__ -U__gnu_linux__ -U__unix__ -Ulinux -Uunix
NEWLIB_CONFIGURE := --host=x86_64-elf --disable-multilib --disable-newlib-supplied-syscalls \
    --enable-newlib-retargetable-locking --enable-newlib-global-stdio-streams --enable-newlib-global-atexit \
    --enable-newlib-io-long-long --enable-newlib-io-c99-formats --disable-newlib-wide-orient --disable-nls

# Built anew if how it is built changes, and at no other time: not when Git touches the script.
NEWLIB_HOW = { echo '$(NEWLIB_TAR) $(RT_TARGET) $(NEWLIB_CONFIGURE)'; cat xen-like/newlib.sh; }
$(NEWLIB).settings: FORCE
	@mkdir -p $(@D)
	@$(NEWLIB_HOW) | cmp -s - $@ || $(NEWLIB_HOW) >$@
$(NEWLIB)/stamp: $(NEWLIB).settings
	@echo "  NEWLIB  $(NEWLIB)"
	$(Q)bash xen-like/newlib.sh $(NEWLIB_TAR) $(NEWLIB) '-O2 $(RT_TARGET)' '$(NEWLIB_CONFIGURE)'
	@touch $@
$(NEWLIB_LIBS): $(NEWLIB)/stamp ;

# ---- the library and the kernels ----
RT_SRCS := $(wildcard xen-like/kernel/*.c xen-like/libc/*.c xen-like/lib/*.c) \
    $(addprefix xen-like/platform/,rt.c memory.c loop.c log.c)
RT_OBJS := $(RT_SRCS:xen-like/%.c=$(RT)/%.o) $(RT)/kernel/entry.o
RT_CPPFLAGS = -nostdinc -isystem $(NEWLIB)/include -isystem $(shell $(CC) -print-file-name=include) \
    -isystem $(BUILD)/include -isystem $(RT)/include -Ixen-like/include -Ixen-like/libc/include \
    -Ixen-like/lib -D__XEN_INTERFACE_VERSION__=0x00040e00 \
    -D_GNU_SOURCE -D_POSIX_TIMERS=1 -D_POSIX_MONOTONIC_CLOCK=200112L -MMD -MP
RT_CFLAGS := -std=gnu11 -O2 -g $(RT_TARGET) -fbuiltin -fno-common -Wall -Wextra -Werror -Wshadow \
    -Wmissing-prototypes -Wstrict-prototypes -Wvla

# Of libxen-dev's libraries the headers, and nothing else that lies beside them.
RT_LIB_HEADERS := xencall.h xenevtchn.h xengnttab.h xenforeignmemory.h xenstore.h xenstore_lib.h
$(RT)/include/stamp: xen-like/xen-like.mk
	@mkdir -p $(@D)
	$(Q)ln -sfn $(addprefix /usr/include/,$(RT_LIB_HEADERS)) $(@D)/ && touch $@
RT_INCLUDES := $(BUILD)/include $(RT)/include/stamp

$(RT)/%.o: xen-like/%.c xen-like/xen-like.mk $(NEWLIB)/stamp | $(RT_INCLUDES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(RT_CPPFLAGS) $(RT_CFLAGS) -c -o $@ $<
$(RT)/%.o: xen-like/%.S xen-like/xen-like.mk | $(RT_INCLUDES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(RT_CPPFLAGS) -D__ASSEMBLY__ -c -o $@ $<
$(RT)/runtime.a: $(RT_OBJS)
	$(Q)rm -f $@ && ar rcs $@ $^

RT_LDFLAGS := -static -nostdlib -z noexecstack --no-warn-rwx-segments -z max-page-size=4096 --build-id=none \
    -T xen-like/xen-like.lds $(patsubst %,--wrap=_%_r,malloc free calloc realloc memalign)
RT_LINK = ld $(RT_LDFLAGS) -o $@ $(filter %.o,$^) --start-group $(RT)/runtime.a $(NEWLIB_LIBS) --end-group

# Code symbols for backtraces: a table of the first link goes into the second, behind all code.
RT_SYMBOLS = sh hypervisor/symbols.sh | sed 's/\.rodata\.symbols/.symbols/' | $(CC) -x assembler -c -o $@ -
$(RT)/symbols_none.o: hypervisor/symbols.sh
	@mkdir -p $(@D)
	$(Q): | $(RT_SYMBOLS)

define runtime_kernel
$(RT)/rt_$(2).o: $(1) xen-like/xen-like.mk $(NEWLIB)/stamp | $(RT_INCLUDES)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(RT_CPPFLAGS) $$(RT_CFLAGS) -DKERNEL_NAME='"rt_$(2)"' -c -o $$@ $$<
$(RT)/rt_$(2).files.o: xen-like/mkfiles.sh $(shell find $(1:.c=.files) -type f 2>/dev/null)
	@mkdir -p $$(@D)
	$$(Q)CC=$$(CC) xen-like/mkfiles.sh $(1:.c=.files) $$@
$(RT)/rt_$(2).pass1: $(RT)/rt_$(2).o $(RT)/rt_$(2).files.o $(RT)/symbols_none.o $(RT)/runtime.a \
        $(NEWLIB_LIBS) xen-like/xen-like.lds
	$$(Q)$$(RT_LINK)
$(RT)/rt_$(2).symbols.o: $(RT)/rt_$(2).pass1
	$$(Q)nm -n $$< | $$(RT_SYMBOLS)
$(RT)/rt_$(2).elf: $(RT)/rt_$(2).o $(RT)/rt_$(2).files.o $(RT)/rt_$(2).symbols.o $(RT)/runtime.a \
        $(NEWLIB_LIBS) xen-like/xen-like.lds
	@echo "  KERNEL  $$@"
	$$(Q)$$(RT_LINK)
endef
$(foreach k,$(RUNTIME_KERNELS),$(eval $(call runtime_kernel,$(k),$(notdir $(k:.c=)))))

# The module of rt_ramdisk: a cpio archive with a file of more than a megabyte.
GUEST_RAMDISKS := $(RT)/ramdisk.cpio
$(RT)/ramdisk.cpio: xen-like/xen-like.mk $(shell find tests/guests/runtime/ramdisk.module -type f)
	@mkdir -p $(@D)
	$(Q)rm -rf $@.tree && cp -r tests/guests/runtime/ramdisk.module $@.tree && seq 200000 >$@.tree/numbers
	$(Q)(cd $@.tree && find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc) >$@

.PHONY: runtime check-runtime-headers
#: runtime        build build/xen-like/rt_*.elf, PV kernels on our runtime and newlib
runtime: $(RUNTIME_ELFS)
guests: runtime
check-runtime-headers: $(NEWLIB)/stamp $(RT_INCLUDES)
	@for h in $(patsubst xen-like/include/%,%,$(wildcard xen-like/include/*.h xen-like/include/rt/*.h)) \
	        $(notdir $(wildcard xen-like/lib/*.h)) sys/mman.h; do \
	    echo "#include <$$h>" | $(CC) $(filter-out -MMD -MP,$(RT_CPPFLAGS)) $(RT_CFLAGS) -x c -fsyntax-only - || exit 1; \
	done
check-headers: check-runtime-headers
RT_DEPS := $(wildcard $(RT)/*.d $(RT)/*/*.d)
$(RT_DEPS): ;
-include $(RT_DEPS)

include tests/platform/platform.mk
include tests/guests/runtime/enemy/enemy.mk
