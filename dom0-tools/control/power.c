/* The firmware's tables, as far as they say how the machine is switched off. */
#include "power.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xen/xen.h>
#include <xen/platform.h>
#include <xencall.h>
#include <xenforeignmemory.h>

enum { PAGE = 4096, HEADER = 36, TABLE_MAX = 4 << 20 };
enum { RSDP_BYTES = 36, RSDP_RSDT = 16, RSDP_XSDT = 24, BIOS = 0xe0000, BIOS_END = 0x100000 };
enum { FADT_DSDT = 40, FADT_X_DSDT = 140 };

/* A copy of so many bytes of the machine's memory, to be freed. NULL with errno. */
static uint8_t *copy(uint64_t address, size_t len)
{
    xenforeignmemory_handle *memory = xenforeignmemory_open(NULL, 0);
    size_t skip = address % PAGE, nr = (skip + len + PAGE - 1) / PAGE;
    xen_pfn_t *frames = malloc(nr * sizeof(*frames));
    uint8_t *bytes = malloc(len), *at = NULL;

    for (size_t i = 0; frames && i < nr; i++)
        frames[i] = address / PAGE + i;
    if (memory && frames && bytes)
        at = xenforeignmemory_map(memory, DOMID_IO, PROT_READ, nr, frames, NULL);
    if (at) {
        memcpy(bytes, at + skip, len);
        xenforeignmemory_unmap(memory, at, nr);
    } else {
        free(bytes);
        bytes = NULL;
    }
    free(frames);
    if (memory)
        xenforeignmemory_close(memory);
    return bytes;
}

static uint64_t number(const uint8_t *at, size_t len)
{
    uint64_t value = 0;

    memcpy(&value, at, len);
    return value;
}

/* A table with that signature ("": any), whole. */
static uint8_t *table(uint64_t address, const char *signature, size_t *len)
{
    uint8_t *head = address ? copy(address, HEADER) : NULL;
    bool ok = head && memcmp(head, signature, strlen(signature)) == 0;

    *len = ok ? number(head + 4, 4) : 0;
    free(head);
    return *len >= HEADER && *len <= TABLE_MAX ? copy(address, *len) : NULL;
}

/* ---- where it begins ---- */

static int platform_op(struct xen_platform_op *op)
{
    xencall_handle *hypervisor = xencall_open(NULL, 0);
    void *buffer = hypervisor ? xencall_alloc_buffer(hypervisor, sizeof(*op)) : NULL;
    int rc = -1;

    op->interface_version = XENPF_INTERFACE_VERSION;
    if (buffer) {
        memcpy(buffer, op, sizeof(*op));
        rc = xencall1(hypervisor, __HYPERVISOR_platform_op, (uint64_t)(uintptr_t)buffer);
        memcpy(op, buffer, sizeof(*op));
        xencall_free_buffer(hypervisor, buffer);
    }
    if (hypervisor)
        xencall_close(hypervisor);
    return rc;
}

/* UEFI has a list of tables, each with a GUID and an address. */
static uint8_t *rsdp_of_efi(void)
{
    static const uint8_t acpi2[16] = { 0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4, 0xd3, 0x11,
                                       0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81 };
    struct xen_platform_op op = { .cmd = XENPF_firmware_info };
    uint8_t *list, *rsdp = NULL;
    uint32_t nr;

    op.u.firmware_info.type = XEN_FW_EFI_INFO;
    op.u.firmware_info.index = XEN_FW_EFI_CONFIG_TABLE;
    if (platform_op(&op))
        return NULL;
    nr = op.u.firmware_info.u.efi_info.cfg.nent;
    if (nr == 0 || nr > 1000)
        return NULL;
    list = copy(op.u.firmware_info.u.efi_info.cfg.addr, nr * 24);
    for (uint32_t i = 0; list && rsdp == NULL && i < nr; i++)
        if (memcmp(list + i * 24, acpi2, 16) == 0)
            rsdp = copy(number(list + i * 24 + 16, 8), RSDP_BYTES);
    free(list);
    return rsdp;
}

static uint8_t *rsdp_of_bios(void)
{
    uint8_t *area = copy(BIOS, BIOS_END - BIOS), *rsdp = NULL;

    for (size_t i = 0; area && rsdp == NULL && i + RSDP_BYTES <= BIOS_END - BIOS; i += 16)
        if (memcmp(area + i, "RSD PTR ", 8) == 0 && (rsdp = malloc(RSDP_BYTES)) != NULL)
            memcpy(rsdp, area + i, RSDP_BYTES);
    free(area);
    return rsdp;
}

/* ---- the way to the code ---- */

/* In the XSDT or the older RSDT, which have addresses of eight and of four bytes. */
static uint64_t find_fadt(const uint8_t *rsdp)
{
    bool wide = rsdp[15] >= 2 && number(rsdp + RSDP_XSDT, 8);
    size_t size = wide ? 8 : 4, len;
    uint64_t found = 0;
    uint8_t *list = wide ? table(number(rsdp + RSDP_XSDT, 8), "XSDT", &len)
                         : table(number(rsdp + RSDP_RSDT, 4), "RSDT", &len);

    for (size_t at = HEADER; list && found == 0 && at + size <= len; at += size) {
        uint64_t address = number(list + at, size);
        uint8_t *head = address ? copy(address, HEADER) : NULL;

        if (head && memcmp(head, "FACP", 4) == 0)
            found = address;
        free(head);
    }
    free(list);
    return found;
}

static uint64_t dsdt_of(uint64_t fadt)
{
    size_t len;
    uint8_t *t = table(fadt, "FACP", &len);
    uint64_t address = 0;

    if (t && len >= FADT_X_DSDT + 8)
        address = number(t + FADT_X_DSDT, 8);
    if (t && address == 0 && len >= FADT_DSDT + 4)
        address = number(t + FADT_DSDT, 4);
    free(t);
    return address;
}

void machine_off(const char **what)
{
    struct xen_platform_op op = { .cmd = XENPF_enter_acpi_sleep };
    uint8_t *rsdp = rsdp_of_efi(), *dsdt;
    struct s5 s5;
    size_t len;
    bool found;

    if (rsdp == NULL)
        rsdp = rsdp_of_bios();
    *what = "ACPI's root pointer";
    errno = rsdp ? 0 : ENOENT;
    if (rsdp == NULL)
        return;
    dsdt = table(dsdt_of(find_fadt(rsdp)), "DSDT", &len);
    free(rsdp);
    found = dsdt && s5_find(dsdt, len, &s5);
    free(dsdt);
    *what = "ACPI's package \\_S5";
    errno = ENOENT;
    if (!found)
        return;
    op.u.enter_acpi_sleep.val_a = s5.a;
    op.u.enter_acpi_sleep.val_b = s5.b;
    op.u.enter_acpi_sleep.sleep_state = 5;
    *what = "the hypervisor";
    platform_op(&op);
}
