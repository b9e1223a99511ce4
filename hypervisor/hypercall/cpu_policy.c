/* CPU policies as the toolstack reads them. */
#include "hypercall/hypercall.h"

long sysctl_get_cpu_policy(struct xen_sysctl *op) { return -EOPNOTSUPP; }
long sysctl_get_cpu_featureset(struct xen_sysctl *op) { return -EOPNOTSUPP; }
