/* Which of the MMU's hypercalls this thread made last: after -ERESTART the guest makes the same again. */
#pragma once
#include "hypercall/hypercall.h"

static _Thread_local unsigned int fake_calling;
#define hc_mmu_update(...) (fake_calling = __HYPERVISOR_mmu_update, hc_mmu_update(__VA_ARGS__))
#define hc_mmuext_op(...) (fake_calling = __HYPERVISOR_mmuext_op, hc_mmuext_op(__VA_ARGS__))
#define hc_update_va_mapping(...) \
    (fake_calling = __HYPERVISOR_update_va_mapping, hc_update_va_mapping(__VA_ARGS__))
