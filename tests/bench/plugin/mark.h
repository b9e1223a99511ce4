/*
 * What a program executes to tell tests/bench/plugin that window n begins (0: nothing is measured).
 * It is one instruction that does nothing, on every x86-64 CPU, with and without a hypervisor.
 */
#pragma once

#define MARK 0x584d0000u
#define MARK_NEXT 0xffffu /* for n: the number after the last one so made, 1 at first */
#define mark_window(n) __asm__ volatile("nopl %c0(%%rax)" : : "i"((int)(MARK + (n))) : "memory")
