# A guest on our runtime with our frontend of consoles: rt_consfront.
$(RT)/rt_consfront.o: RT_CPPFLAGS += -Ifrontends/console
$(RT)/rt_consfront.pass1 $(RT)/rt_consfront.elf: $(RT)/frontends/console/consfront.o

.PHONY: cppcheck-consfront
cppcheck-consfront: $(BUILD)/include
	cppcheck --quiet --enable=warning,portability --error-exitcode=1 --suppressions-list=tests/cppcheck.txt \
	    -Ixen-like/include -Ixen-like -Ixen-like/lib -I$(BUILD)/include -D__XEN_TOOLS__ -D__x86_64__ -D__GNUC__ --std=c11 frontends/console
cppcheck: cppcheck-consfront
