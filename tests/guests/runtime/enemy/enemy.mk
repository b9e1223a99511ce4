# The hostile kernels, a frontend and a backend, and that backend's victim: what each is made of, beside its main().
ENEMY_FRONT := $(patsubst %,$(RT)/enemy/%.o,enemy front_block front_network front_console)
ENEMY_BACK := $(patsubst %,$(RT)/enemy/%.o,enemy back_block back_network back_console)
VICTIM := $(patsubst %,$(RT)/enemy/%.o,enemy victim_block victim_network victim_console) \
    $(addprefix $(RT)/frontends/,block/blkfront.o network/netfront.o console/consfront.o)
$(RT)/enemy/%.o: tests/guests/runtime/enemy/%.c tests/guests/runtime/enemy/enemy.mk xen-like/xen-like.mk $(NEWLIB)/stamp | $(RT_INCLUDES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(RT_CPPFLAGS) $(RT_CFLAGS) -DKERNEL_NAME='"rt_enemy"' -c -o $@ $<
$(RT)/rt_enemy_front.pass1 $(RT)/rt_enemy_front.elf: $(ENEMY_FRONT)
$(RT)/rt_enemy_back.pass1 $(RT)/rt_enemy_back.elf: $(ENEMY_BACK)
$(RT)/rt_victim.pass1 $(RT)/rt_victim.elf: $(VICTIM) $(RT)/frontends/frontend.o
$(RT)/rt_victim.o $(VICTIM): RT_CPPFLAGS += $(addprefix -Ifrontends/,block network console)
-include $(wildcard $(RT)/enemy/*.d)
