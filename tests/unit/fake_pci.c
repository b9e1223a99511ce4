#include "fake_pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>

enum { MAX_PAGES = 4096, CAPABILITIES = 0x34, HAS_CAPABILITIES = 1 << 4 };

struct pci_device {
    struct fake_pci *p;
    struct plat_wake *wakes[PCI_MAX_MESSAGES];
    void *memory[MAX_PAGES];
    unsigned int nr_memory;
    struct pci_window stop;
    uint64_t stop_offset;
    uint32_t stop_value;
    unsigned int stop_bytes;
};

static struct fake_pci *there;
static unsigned int fail_at;
static bool has_failed;

/* Windows are told by addresses that are no memory: the BAR's number, and where in it. */
#define WINDOW_BASE 0x100000000000UL
#define BAR_SHIFT 36

static int failed(int error)
{
    errno = error;
    return -1;
}

static bool fails(void)
{
    bool now = fail_at && --fail_at == 0;

    has_failed |= now;
    if (now)
        errno = ENOMEM;
    return now;
}

bool fake_pci_fail_at(unsigned int n)
{
    bool had = has_failed;

    fail_at = n;
    has_failed = false;
    return had;
}

/* ---- the test's side ---- */

void fake_pci_insert(struct fake_pci *p) { there = p; }

void fake_pci_capability(struct fake_pci *p, const uint8_t *bytes, unsigned int nr)
{
    uint8_t *link = &p->config[CAPABILITIES];
    uint8_t at = 0x40;

    while (*link) {
        at = (uint8_t)(*link + 0x18); /* as large as any of them */
        link = &p->config[*link + 1];
    }
    if (at + nr > sizeof(p->config))
        abort();
    *link = at;
    memcpy(&p->config[at], bytes, nr);
    p->config[at + 1] = 0;
    p->config[PCI_STATUS] |= HAS_CAPABILITIES;
}

void fake_pci_message(struct fake_pci *p, unsigned int nr)
{
    if (p->open && p->open->wakes[nr] && p->master)
        plat_wake(p->open->wakes[nr]);
}

void *fake_pci_memory(struct fake_pci *p, uint64_t address, uint32_t bytes)
{
    if (!p->master || bytes == 0 || address % FAKE_PAGE + bytes > FAKE_PAGE)
        return NULL;
    return (void *)(address ^ FAKE_PAGE);
}

/* ---- rt/pci.h ---- */

unsigned int pci_scan(struct pci_function *found, unsigned int max)
{
    if (there == NULL)
        return 0;
    if (max)
        found[0] =
            (struct pci_function){ .bdf = there->bdf,
                                   .vendor = (uint16_t)(there->config[0] | there->config[1] << 8),
                                   .device = (uint16_t)(there->config[2] | there->config[3] << 8) };
    return 1;
}

struct pci_device *pci_open(uint16_t bdf)
{
    struct pci_device *d;

    if (there == NULL || there->bdf != bdf || there->open) {
        errno = there && there->open ? EBUSY : ENODEV;
        return NULL;
    }
    d = calloc(1, sizeof(*d));
    if (d == NULL)
        abort();
    d->p = there;
    there->open = d;
    there->master = false;
    there->nr_opened++;
    return d;
}

void pci_close(struct pci_device *d)
{
    d->p->master = false;
    switch (d->stop_bytes) {
    case 1: pci_out8(&d->stop, d->stop_offset, (uint8_t)d->stop_value); break;
    case 2: pci_out16(&d->stop, d->stop_offset, (uint16_t)d->stop_value); break;
    case 4: pci_out32(&d->stop, d->stop_offset, d->stop_value); break;
    }
    d->p->open = NULL;
    d->p->nr_closed++;
    for (unsigned int i = 0; i < d->nr_memory; i++)
        free(d->memory[i]);
    free(d);
}

uint32_t pci_read(const struct pci_device *d, unsigned int reg, unsigned int bytes)
{
    uint32_t value = 0;

    if (reg % bytes || reg + bytes > sizeof(d->p->config))
        abort();
    memcpy(&value, &d->p->config[reg], bytes);
    return value;
}

void pci_write(const struct pci_device *d, unsigned int reg, unsigned int bytes, uint32_t value)
{
    if (reg % bytes || reg + bytes > sizeof(d->p->config))
        abort();
    memcpy(&d->p->config[reg], &value, bytes);
}

uint8_t pci_capability(const struct pci_device *d, uint8_t id, uint8_t after)
{
    uint8_t at = d->p->config[after ? after + 1 : CAPABILITIES];

    for (unsigned int n = 0; n < 48 && at; n++, at = d->p->config[at + 1])
        if (d->p->config[at] == id)
            return at;
    return 0;
}

void pci_master(struct pci_device *d, bool on) { d->p->master = on; }

int pci_map(struct pci_device *d, unsigned int bar, uint64_t offset, uint64_t bytes,
            struct pci_window *w)
{
    if (fails())
        return -1;
    if (bar >= 6)
        return failed(EINVAL);
    if (d->p->bar_bytes[bar] == 0)
        return failed(ENOTSUP);
    if (bytes == 0 || bytes > d->p->bar_bytes[bar] || offset > d->p->bar_bytes[bar] - bytes)
        return failed(EINVAL);
    *w = (struct pci_window){
        (volatile uint8_t *)(WINDOW_BASE + ((uint64_t)bar << BAR_SHIFT) + offset), bytes
    };
    return 0;
}

/* A register that is not in its window, or not aligned, is the driver's error. */
static uint64_t place(const struct pci_window *w, uint64_t offset, unsigned int bytes,
                      unsigned int *bar)
{
    uint64_t at = (uint64_t)w->at - WINDOW_BASE;

    if (there == NULL || w->bytes < bytes || offset > w->bytes - bytes || offset % bytes)
        abort();
    *bar = (unsigned int)(at >> BAR_SHIFT);
    return at % (1UL << BAR_SHIFT) + offset;
}

static uint32_t in(const struct pci_window *w, uint64_t offset, unsigned int bytes)
{
    unsigned int bar;
    uint64_t at = place(w, offset, bytes, &bar);

    return there->read(there, bar, at, bytes);
}

static void out(const struct pci_window *w, uint64_t offset, unsigned int bytes, uint32_t value)
{
    unsigned int bar;
    uint64_t at = place(w, offset, bytes, &bar);

    there->write(there, bar, at, bytes, value);
}

uint8_t pci_in8(const struct pci_window *w, uint64_t offset) { return (uint8_t)in(w, offset, 1); }
uint16_t pci_in16(const struct pci_window *w, uint64_t offset)
{
    return (uint16_t)in(w, offset, 2);
}
uint32_t pci_in32(const struct pci_window *w, uint64_t offset) { return in(w, offset, 4); }
void pci_out8(const struct pci_window *w, uint64_t offset, uint8_t value)
{
    out(w, offset, 1, value);
}
void pci_out16(const struct pci_window *w, uint64_t offset, uint16_t value)
{
    out(w, offset, 2, value);
}
void pci_out32(const struct pci_window *w, uint64_t offset, uint32_t value)
{
    out(w, offset, 4, value);
}

void pci_stop_by(struct pci_device *d, const struct pci_window *w, uint64_t offset,
                 unsigned int bytes, uint32_t value)
{
    d->stop = *w;
    d->stop_offset = offset;
    d->stop_bytes = bytes;
    d->stop_value = value;
}

void pci_sleep_us(uint32_t us)
{
    if (there)
        there->slept_us += us;
}

unsigned int pci_nr_messages(const struct pci_device *d) { return d->p->nr_messages; }
bool pci_has_msix(const struct pci_device *d) { return d->p->has_msix; }

int pci_bind(struct pci_device *d, unsigned int nr, struct plat_wake *w)
{
    if (fails())
        return -1;
    if (nr >= d->p->nr_messages)
        return failed(EINVAL);
    if (d->wakes[nr])
        return failed(EEXIST);
    d->wakes[nr] = w;
    return 0;
}

void *pci_dma_alloc(struct pci_device *d, size_t nr)
{
    void *va;

    if (fails())
        return NULL;
    if (d->nr_memory == MAX_PAGES || posix_memalign(&va, FAKE_PAGE, nr * FAKE_PAGE))
        abort();
    memset(va, 0, nr * FAKE_PAGE);
    d->memory[d->nr_memory++] = va;
    return va;
}

uint64_t pci_dma_address(const void *va) { return (uint64_t)va ^ FAKE_PAGE; }
