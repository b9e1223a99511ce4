# The hostile kernels, a frontend and a backend: what each is made of, beside its main().
ENEMY_FRONT := $(patsubst %,$(RT)/enemy/%.o,enemy front_block front_network)
$(RT)/enemy/%.o: tests/guests/runtime/enemy/%.c tests/guests/runtime/enemy/enemy.mk xen-like/xen-like.mk $(NEWLIB)/stamp | $(RT_INCLUDES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(RT_CPPFLAGS) $(RT_CFLAGS) -DKERNEL_NAME='"rt_enemy"' -c -o $@ $<
$(RT)/rt_enemy_front.pass1 $(RT)/rt_enemy_front.elf: $(ENEMY_FRONT)
-include $(wildcard $(RT)/enemy/*.d)
