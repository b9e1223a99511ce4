/* What of domctl other operations need. */
#pragma once
#include "memory/objects.h"

#include <xen/domctl.h>

/** All that XEN_DOMCTL_getdomaininfo tells of d, which is referenced. Takes L_SCHED. */
void domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info);
