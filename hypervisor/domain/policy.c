/*
 * Who may do what to whom: all of it. A right that is not in the table is nobody's.
 *
 * The initial domain has all roles. Whoever it gives the control role to has that over guests, and over
 * domains in no role but its own: what was given to a second one is a part of the first one's power, and
 * cannot be made into more, since a domain is only created in roles that the creator has.
 */
#include "domain/domain.h"

#define SELF (ROLES_ALL + 1) /* any domain, over itself */

static const uint8_t allowed[NR_RIGHTS] = {
    [RIGHT_INFO] = SELF | ROLE_CONTROL | ROLE_STORE,
    [RIGHT_CONTROL] = ROLE_CONTROL,
    [RIGHT_MEMORY] = SELF | ROLE_CONTROL,
    [RIGHT_EVENTS] = SELF | ROLE_CONTROL,
    [RIGHT_GRANTS] = SELF | ROLE_CONTROL,
    [RIGHT_ASSIGN] = ROLE_CONTROL,
    [RIGHT_DEVICES] = ROLE_HARDWARE,
    [RIGHT_MACHINE] = ROLE_CONTROL,
    [RIGHT_CONSOLE] = ROLE_CONTROL,
};

int policy_check(const struct domain *caller, const struct domain *target, enum right what)
{
    uint32_t who = allowed[what];

    if (caller == target && (who & SELF))
        return 0;
    if (!(caller->roles & who))
        return -EPERM;
    return target && what != RIGHT_INFO && (target->roles & ~caller->roles) ? -EPERM : 0;
}

int domain_get_for(struct domain *caller, domid_t id, enum right what, struct domain **out)
{
    struct domain *d = *out = domain_get_by_id(caller, id);
    int rc = d ? policy_check(caller, d, what) : -ESRCH;

    if (d && rc) {
        domain_put(d);
        *out = NULL;
    }
    return rc;
}
