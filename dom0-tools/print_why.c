/* xl why. See print.h. First the reasons, as far as they can be told; then what they were told from. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <xen/event_channel.h>
#include <xen/io/xenbus.h>
#include <xen/sched.h>

#include "lib/why.h"
#include "print.h"

/* ---- names ---- */

static bool is(const struct why *w, uint32_t flag) { return (w->info.flags & flag) != 0; }

static unsigned int shutdown_code(const struct why *w)
{
    return w->info.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
}

static const char *reason_name(unsigned int code)
{
    static const char *const names[] = {
        [SHUTDOWN_poweroff] = "poweroff", [SHUTDOWN_reboot] = "reboot",
        [SHUTDOWN_suspend] = "suspend",   [SHUTDOWN_crash] = "crash",
        [SHUTDOWN_watchdog] = "watchdog", [SHUTDOWN_soft_reset] = "soft_reset",
    };

    return code < sizeof(names) / sizeof(names[0]) ? names[code] : "unknown";
}

static const char *state_name(const struct why *w)
{
    return is(w, XEN_DOMINF_dying)      ? "dying"
           : is(w, XEN_DOMINF_shutdown) ? "shutdown"
           : is(w, XEN_DOMINF_paused)   ? "paused"
           : is(w, XEN_DOMINF_running)  ? "running"
           : is(w, XEN_DOMINF_blocked)  ? "blocked"
                                        : "runnable";
}

static const char *vcpu_state(const struct why_vcpu *v)
{
    return !v->online ? "offline" : v->running ? "running" : v->blocked ? "blocked" : "runnable";
}

static const char *bus_state(int state)
{
    static const char *const names[] = {
        [XenbusStateUnknown] = "Unknown",
        [XenbusStateInitialising] = "Initialising",
        [XenbusStateInitWait] = "InitWait",
        [XenbusStateInitialised] = "Initialised",
        [XenbusStateConnected] = "Connected",
        [XenbusStateClosing] = "Closing",
        [XenbusStateClosed] = "Closed",
        [XenbusStateReconfiguring] = "Reconfiguring",
        [XenbusStateReconfigured] = "Reconfigured",
    };

    return state >= 0 && state < (int)(sizeof(names) / sizeof(names[0])) ? names[state]
                                                                         : "not known";
}

static const char *kind_name(uint32_t status)
{
    static const char *const names[] = {
        [EVTCHNSTAT_unbound] = "unbound", [EVTCHNSTAT_interdomain] = "interdomain",
        [EVTCHNSTAT_pirq] = "pirq",       [EVTCHNSTAT_virq] = "virq",
        [EVTCHNSTAT_ipi] = "ipi",
    };

    return status < sizeof(names) / sizeof(names[0]) && names[status] ? names[status] : "unknown";
}

/* What is known of a VIRQ's or a port's use; "": nothing. */
static const char *use_name(const struct why *w, const struct why_port *p)
{
    static const char *const virqs[] = {
        [VIRQ_TIMER] = "timer",
        [VIRQ_DEBUG] = "debug",
        [VIRQ_CONSOLE] = "console",
        [VIRQ_DOM_EXC] = "dom_exc",
        [VIRQ_TBUF] = "tbuf",
        [VIRQ_DEBUGGER] = "debugger",
        [VIRQ_XENOPROF] = "xenoprof",
        [VIRQ_CON_RING] = "con_ring",
        [VIRQ_PCPU_STATE] = "pcpu_state",
        [VIRQ_MEM_EVENT] = "mem_event",
        [VIRQ_ARGO] = "argo",
        [VIRQ_ENOMEM] = "enomem",
        [VIRQ_XENPMU] = "xenpmu",
    };

    if (p->status == EVTCHNSTAT_virq)
        return p->number < sizeof(virqs) / sizeof(virqs[0]) && virqs[p->number] ? virqs[p->number]
                                                                                : "";
    return p->port == w->store_port ? "store" : p->port == w->console_port ? "console" : "";
}

/* ---- reasons ---- */

/* Where they go to: one of the two. */
struct sink {
    struct text *text;
    struct json *json;
};

static void __attribute__((format(printf, 3, 4)))
reason(const struct sink *s, const char *code, const char *format, ...)
{
    char line[400];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (s->text) {
        text_printf(s->text, "  %s\n", line);
        return;
    }
    json_object(s->json, NULL);
    json_string(s->json, "code", code);
    json_string(s->json, "text", line);
    json_end(s->json);
}

static void tell_end(const struct sink *s, const struct why *w)
{
    if (is(w, XEN_DOMINF_dying) && w->held_known)
        reason(s, "held",
               "It is destroyed, but held: %lu frames, %lu ports, %lu references are left%s%s.",
               w->held_frames, w->held_ports, w->held_references,
               w->mapped_by[0] ? "; its memory is mapped by " : "", w->mapped_by);
    else if (is(w, XEN_DOMINF_dying))
        reason(
            s, "held",
            "It is destroyed, but held: %llu frames are left. By whom the hypervisor does not say.",
            (unsigned long long)w->info.tot_pages);
    else if (is(w, XEN_DOMINF_shutdown))
        reason(s, "shutdown", "It has ended by %s (%u), and nobody has destroyed it.",
               reason_name(shutdown_code(w)), shutdown_code(w));
    if (is(w, XEN_DOMINF_paused) && !is(w, XEN_DOMINF_dying | XEN_DOMINF_shutdown))
        reason(s, "paused", "It is paused: xl unpause lets it run.");
    if (w->request[0] && !is(w, XEN_DOMINF_dying | XEN_DOMINF_shutdown))
        reason(s, "asked", "It was asked for %s, and has not taken that up.", w->request);
}

static void tell_vcpus(const struct sink *s, const struct why *w)
{
    unsigned int online = 0, blocked = 0, waiting = 0;

    for (uint32_t i = 0; i < w->nr_vcpus; i++) {
        online += w->vcpus[i].online;
        blocked += w->vcpus[i].online && w->vcpus[i].blocked;
        waiting += w->vcpus[i].online && !w->vcpus[i].blocked && !w->vcpus[i].running;
    }
    if (is(w, XEN_DOMINF_dying | XEN_DOMINF_shutdown | XEN_DOMINF_paused))
        return;
    if (online == 0)
        reason(s, "offline", "None of its vCPUs is online.");
    else if (blocked == online)
        reason(s, "blocked", "All its vCPUs wait for events.");
    if (waiting)
        reason(s, "cpu", "%u of its %u vCPUs could run, but have no CPU at present.", waiting,
               online);
}

static void tell_memory(const struct sink *s, const struct why *w)
{
    unsigned long long kib = w->info.tot_pages * 4;

    if (is(w, XEN_DOMINF_dying) || w->target_kib == 0)
        return;
    if (w->target_kib / 1024 != kib / 1024)
        reason(s, "balloon", "It has %llu MiB, and is to have %llu MiB.", kib >> 10,
               (unsigned long long)w->target_kib >> 10);
}

static void tell_ring(const struct sink *s, const char *what, const struct why_ring *r)
{
    if (r->known && r->broken)
        reason(s, what, "Its ring of the %s has impossible indices: it is not served.", what);
    else if (r->known && r->from_domain)
        reason(s, what, "The %s has not taken %u bytes of it.", what, r->from_domain);
    if (r->known && !r->broken && r->to_domain)
        reason(s, what, "It has not taken %u bytes of the %s.", r->to_domain, what);
}

static void tell_store(const struct sink *s, const struct why *w)
{
    if (!w->introduced && w->store_port && !is(w, XEN_DOMINF_dying))
        reason(s, "store", "The store does not serve it.");
    for (uint32_t i = 0; i < w->nr_quotas; i++)
        if (w->quotas[i].hits)
            reason(s, "quota", "The store has refused it something %llu times: %s, %llu of %llu.",
                   w->quotas[i].hits, w->quotas[i].name, w->quotas[i].used, w->quotas[i].limit);
    for (uint32_t i = 0; i < w->nr_devices; i++) {
        const struct why_device *d = &w->devices[i];

        if (d->backend_state == XenbusStateClosing)
            reason(s, "device",
                   "Device %s is to be detached, and the domain does not let it go: it is %s.",
                   d->name, bus_state(d->state));
        else if (d->state != XenbusStateConnected || d->backend_state != XenbusStateConnected)
            reason(s, "device", "Device %s is not connected: it is %s, its backend %s.", d->name,
                   bus_state(d->state), bus_state(d->backend_state));
    }
}

static void tell_all(const struct sink *s, const struct why *w)
{
    tell_end(s, w);
    tell_vcpus(s, w);
    tell_memory(s, w);
    tell_store(s, w);
    if (!is(w, XEN_DOMINF_dying)) {
        tell_ring(s, "store", &w->store);
        tell_ring(s, "console", &w->console);
    }
}

/* ---- as text ---- */

static void print_vcpus(struct text *t, const struct why *w)
{
    for (uint32_t i = 0; i < w->nr_vcpus; i++) {
        const struct why_vcpu *v = &w->vcpus[i];
        const char *before = "; ports ";

        text_printf(t, "vCPU %u: %s", i, vcpu_state(v));
        if (v->online)
            text_printf(t, ", CPU %u", v->cpu);
        for (uint32_t k = 0; v->online && k < w->nr_ports; k++) {
            if (w->ports[k].vcpu != i || w->ports[k].status == EVTCHNSTAT_unbound)
                continue;
            text_printf(t, "%s%u", before, w->ports[k].port);
            before = " ";
        }
        text_puts(t, "\n");
    }
}

static void print_ports(struct text *t, const struct why *w)
{
    for (uint32_t i = 0; i < w->nr_ports; i++) {
        const struct why_port *p = &w->ports[i];
        const char *use = use_name(w, p);

        text_printf(t, "port %u: %s", p->port, kind_name(p->status));
        if (p->status == EVTCHNSTAT_interdomain)
            text_printf(t, ", domain %u port %u", p->domain, p->number);
        else if (p->status == EVTCHNSTAT_unbound)
            text_printf(t, ", for domain %u", p->domain);
        else if (p->status != EVTCHNSTAT_ipi)
            text_printf(t, " %u", p->number);
        text_printf(t, "%s%s\n", *use ? ": " : "", use);
    }
}

static void print_ring(struct text *t, const char *what, const struct why_ring *r)
{
    if (r->known)
        text_printf(t, "%s: %u bytes from the domain, %u to it wait in the ring\n", what,
                    r->from_domain, r->to_domain);
}

static void print_store(struct text *t, const struct why *w)
{
    text_printf(t, "store: %s\n", w->introduced ? "serves it" : "does not serve it");
    print_ring(t, "store", &w->store);
    for (uint32_t i = 0; i < w->nr_quotas; i++)
        text_printf(t, "store: %s %llu of %llu\n", w->quotas[i].name, w->quotas[i].used,
                    w->quotas[i].limit);
    if (w->tty[0])
        text_printf(t, "console: %s\n", w->tty);
    print_ring(t, "console", &w->console);
    for (uint32_t i = 0; i < w->nr_devices; i++) {
        const struct why_device *d = &w->devices[i];

        text_printf(t, "device %s: %s, backend %s", d->name, bus_state(d->state),
                    bus_state(d->backend_state));
        if (d->backend_domain >= 0)
            text_printf(t, " in domain %d", d->backend_domain);
        text_puts(t, "\n");
    }
}

void print_why(struct text *t, const struct why *w)
{
    struct sink s = { .text = t };

    text_printf(t, "%s (%u): %s\n", w->name[0] ? w->name : "(null)", w->info.domain, state_name(w));
    tell_all(&s, w);
    print_vcpus(t, w);
    print_ports(t, w);
    text_printf(t, "memory: %llu KiB of at most %llu, %llu more are claimed\n",
                (unsigned long long)w->info.tot_pages * 4,
                (unsigned long long)w->info.max_pages * 4,
                (unsigned long long)w->info.outstanding_pages * 4);
    if (w->grants_known)
        text_printf(t, "grants: a table of %u frames, of at most %u\n", w->grant_frames,
                    w->max_grant_frames);
    for (uint32_t i = 0; i < w->nr_peers; i++)
        text_printf(t, "grants: domain %u uses %u\n", w->peers[i].domain, w->peers[i].nr_grants);
    print_store(t, w);
}

/* ---- as JSON ---- */

static void json_vcpus(struct json *j, const struct why *w)
{
    json_array(j, "vcpus");
    for (uint32_t i = 0; i < w->nr_vcpus; i++) {
        const struct why_vcpu *v = &w->vcpus[i];

        json_object(j, NULL);
        json_uint(j, "vcpu", i);
        json_string(j, "state", vcpu_state(v));
        if (v->online)
            json_uint(j, "cpu", v->cpu);
        else
            json_null(j, "cpu");
        json_decimal(j, "cpu_seconds", v->cpu_time_ns / 1000000);
        json_end(j);
    }
    json_end(j);
}

static void json_ports(struct json *j, const struct why *w)
{
    json_array(j, "ports");
    for (uint32_t i = 0; i < w->nr_ports; i++) {
        const struct why_port *p = &w->ports[i];

        json_object(j, NULL);
        json_uint(j, "port", p->port);
        json_string(j, "kind", kind_name(p->status));
        json_uint(j, "vcpu", p->vcpu);
        if (p->status == EVTCHNSTAT_interdomain || p->status == EVTCHNSTAT_unbound)
            json_uint(j, "domain", p->domain);
        if (p->status == EVTCHNSTAT_interdomain)
            json_uint(j, "remote_port", p->number);
        if (p->status == EVTCHNSTAT_pirq || p->status == EVTCHNSTAT_virq)
            json_uint(j, kind_name(p->status), p->number);
        if (*use_name(w, p))
            json_string(j, "use", use_name(w, p));
        json_end(j);
    }
    json_end(j);
}

static void json_grants(struct json *j, const struct why *w)
{
    if (!w->grants_known) {
        json_null(j, "grants");
        return;
    }
    json_object(j, "grants");
    json_uint(j, "frames", w->grant_frames);
    json_uint(j, "max_frames", w->max_grant_frames);
    json_array(j, "used_by");
    for (uint32_t i = 0; i < w->nr_peers; i++) {
        json_object(j, NULL);
        json_uint(j, "domain", w->peers[i].domain);
        json_uint(j, "grants", w->peers[i].nr_grants);
        json_end(j);
    }
    json_end(j);
    json_end(j);
}

static void json_held(struct json *j, const struct why *w)
{
    if (!w->held_known) {
        json_null(j, "held");
        return;
    }
    json_object(j, "held");
    json_uint(j, "frames", w->held_frames);
    json_uint(j, "ports", w->held_ports);
    json_uint(j, "references", w->held_references);
    json_string(j, "mapped_by", w->mapped_by);
    json_end(j);
}

static void json_ring(struct json *j, const struct why_ring *r)
{
    if (!r->known) {
        json_null(j, "ring");
        return;
    }
    json_object(j, "ring");
    json_uint(j, "bytes_from_domain", r->from_domain);
    json_uint(j, "bytes_to_domain", r->to_domain);
    json_bool(j, "broken", r->broken);
    json_end(j);
}

static void json_store(struct json *j, const struct why *w)
{
    json_object(j, "store");
    json_bool(j, "serves_it", w->introduced);
    json_ring(j, &w->store);
    json_array(j, "quotas");
    for (uint32_t i = 0; i < w->nr_quotas; i++) {
        json_object(j, NULL);
        json_string(j, "name", w->quotas[i].name);
        json_uint(j, "used", w->quotas[i].used);
        json_uint(j, "limit", w->quotas[i].limit);
        json_uint(j, "refused", w->quotas[i].hits);
        json_end(j);
    }
    json_end(j);
    json_end(j);
    json_object(j, "console");
    json_string(j, "tty", w->tty);
    json_ring(j, &w->console);
    json_end(j);
}

static void json_state(struct json *j, const char *key, int state)
{
    if (state < 0)
        json_null(j, key);
    else
        json_string(j, key, bus_state(state));
}

static void json_devices(struct json *j, const struct why *w)
{
    json_array(j, "devices");
    for (uint32_t i = 0; i < w->nr_devices; i++) {
        const struct why_device *d = &w->devices[i];

        json_object(j, NULL);
        json_string(j, "device", d->name);
        json_state(j, "state", d->state);
        json_state(j, "backend_state", d->backend_state);
        if (d->backend_domain < 0)
            json_null(j, "backend_domain");
        else
            json_uint(j, "backend_domain", (unsigned int)d->backend_domain);
        json_end(j);
    }
    json_end(j);
}

void json_why(struct json *j, const struct why *w)
{
    struct sink s = { .json = j };

    json_object(j, NULL);
    json_string(j, "name", w->name);
    json_uint(j, "id", w->info.domain);
    json_string(j, "state", state_name(w));
    json_array(j, "reasons");
    tell_all(&s, w);
    json_end(j);
    json_vcpus(j, w);
    json_ports(j, w);
    json_object(j, "memory");
    json_uint(j, "kib", (uint64_t)w->info.tot_pages * 4);
    json_uint(j, "max_kib", (uint64_t)w->info.max_pages * 4);
    json_uint(j, "claimed_kib", (uint64_t)w->info.outstanding_pages * 4);
    json_uint(j, "target_kib", w->target_kib);
    json_end(j);
    json_grants(j, w);
    json_held(j, w);
    json_store(j, w);
    json_devices(j, w);
    json_end(j);
}
