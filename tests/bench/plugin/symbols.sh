#!/bin/bash
# What tests/bench/plugin has to know of a hypervisor of ours.
#   usage: symbols.sh ELF >FILE
# "KIND ADDRESS NAME", by address. Handlers of hypercalls and details tell why the hypervisor was
# entered: the first of them that is reached counts.
set -euo pipefail

nm -n "${1:?usage: symbols.sh ELF}" | awk '
$2 !~ /^[tTwW]$/ || $1 == last || $3 == "entry_start" { next }
{ last = $1; kind = "function" }
$3 == "hc_multicall" { kind = "multicall" }
$3 ~ /^hc_/ && kind == "function" { kind = "handler" }
$3 == "idle_loop" { kind = "idle" }
$3 ~ /^(syscall_from_user|paging_emulated_write|guest_(cpuid|rdmsr|wrmsr)|arch_port_(in|out)|arch_inject_[a-z_]+|iret_fault|irq_interrupt|console_interrupt)$/ { kind = "detail" }
$3 == "entry_stubs" { print "stubs", $1, 16 }
{ print kind, $1, $3 }'
