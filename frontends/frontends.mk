# The frontends of guests on our runtime, each with what they have in common: kernels with them are rt_blkfront, rt_consfront
# and rt_answers, which answers ping.
FRONTEND := $(RT)/frontends/frontend.o
$(RT)/frontends/%.o: frontends/%.c frontends/frontends.mk xen-like/xen-like.mk $(NEWLIB)/stamp | $(RT_INCLUDES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(RT_CPPFLAGS) $(RT_CFLAGS) -c -o $@ $<
$(RT)/rt_blkfront.o: RT_CPPFLAGS += -Ifrontends/block
$(RT)/rt_consfront.o: RT_CPPFLAGS += -Ifrontends/console
$(RT)/rt_pings.o: RT_CPPFLAGS += -Ifrontends/network
$(RT)/rt_blkfront.pass1 $(RT)/rt_blkfront.elf: $(RT)/frontends/block/blkfront.o $(FRONTEND)
$(RT)/rt_consfront.pass1 $(RT)/rt_consfront.elf: $(RT)/frontends/console/consfront.o $(FRONTEND)
$(RT)/rt_answers.pass1 $(RT)/rt_answers.elf $(RT)/rt_pings.pass1 $(RT)/rt_pings.elf: $(RT)/frontends/network/netfront.o $(FRONTEND)

.PHONY: check-frontend-headers cppcheck-frontends
check-frontend-headers: $(NEWLIB)/stamp | $(RT_INCLUDES)
	@for h in frontends/*.h frontends/*/*.h; do \
	    echo "#include \"$$h\"" | $(CC) $(filter-out -MMD -MP,$(RT_CPPFLAGS)) -I. $(RT_CFLAGS) -x c -fsyntax-only - || exit 1; \
	done
check-headers: check-frontend-headers
cppcheck-frontends: $(BUILD)/include
	cppcheck --quiet --enable=warning,portability --error-exitcode=1 --suppressions-list=tests/cppcheck.txt \
	    -Ixen-like/include -Ixen-like -Ixen-like/lib -I$(BUILD)/include -D__XEN_TOOLS__ -D__x86_64__ -D__GNUC__ --std=c11 frontends
cppcheck: cppcheck-frontends
-include $(wildcard $(RT)/frontends/*.d $(RT)/frontends/*/*.d)
