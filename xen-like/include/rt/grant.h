/*
 * rt/grant.h: grants, how domains share pages.
 *
 * A domain has a table, shared with the hypervisor, whose entries say: this domain may use that
 * frame of mine. The number of an entry is a reference; it is told to the other domain (over the
 * store, or a ring), which asks the hypervisor to map the frame, or to copy from or to it. The
 * hypervisor notes in the entry that the frame is in use, and as long as it is, the grant cannot be
 * taken back. Frames are not transferred here, and the table is of version 1.
 *
 * The table grows by itself, up to what the hypervisor allows and MAX_GRANT_FRAMES.
 *
 * Errors are Xen's -errno; the hypervisor's grant_status is told as one of these:
 * -1 (EPERM) not allowed, -3 (ESRCH) no such domain, -11 (EAGAIN) try again later, -14 (EFAULT) bad
 * address, -22 (EINVAL) bad reference, handle, frame, or piece of a page, or it is not granted for
 * that; -28 (ENOSPC) no room in a table. A hypervisor without grants: -38 (ENOSYS), everywhere.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/grant_table.h>

enum { MAX_GRANT_FRAMES = 64 }; /* of 512 references each */

/* ---- what this domain grants ---- */

/**
 * Let a domain use a frame of ours.
 * @to         that domain; ourselves is possible
 * @mfn        the frame (virt_to_mfn()); it stays ours, and must stay allocated until grant_end()
 * @read_only  it may not write
 * Returns the reference, 8 or more (those below are the toolstack's), or -12 (ENOMEM), -22 (EINVAL) an
 * mfn that version 1 has no room for, -28 (ENOSPC) the table is full and as large as it may be, or
 * what the hypervisor answers. Threads, all vCPUs.
 */
int grant_access(domid_t to, uint64_t mfn, bool read_only);

/**
 * Take a grant back; its reference is free.
 * Returns 0, -16 (EBUSY) the other domain has it in use: nothing has changed, -22 (EINVAL) not a
 * reference that grant_access() has given. Any context, all vCPUs.
 */
long grant_end(grant_ref_t ref);

/** The other domain has it mapped, or copies. False for what is no grant. Any context, all vCPUs. */
bool grant_in_use(grant_ref_t ref);

/**
 * How large the table is, and may become, in frames, as the hypervisor has it.
 * Returns 0 or -errno. Any context, all vCPUs.
 */
long grant_table_size(uint32_t *nr_frames, uint32_t *max_frames);

/* ---- what others grant ---- */

/**
 * Map frames that a domain grants, side by side, where nothing else is: all of them or none.
 * @dom        who grants; by its number, also if it is ourselves
 * @refs       an array of @nr, 1 or more
 * @read_only  not to be written; to be false, all must be granted for writing
 * @handles    receives @nr numbers for grants_unmap()
 * Returns the address, or NULL with errno set (newlib's: xen_errno() of the above).
 * Threads, all vCPUs.
 */
void *grants_map(domid_t dom, const grant_ref_t *refs, size_t nr, bool read_only,
                 grant_handle_t *handles);

/** The same, of several domains. @doms  who grants each of the @nr */
void *grants_map_each(const domid_t *doms, const grant_ref_t *refs, size_t nr, bool read_only,
                      grant_handle_t *handles);

/**
 * @va @handles @nr  of one grants_map() or grants_map_each(), all of it. No TLB has the frames any more afterwards.
 * Returns 0, or -errno of the first that failed: the addresses are not used again then.
 * Threads, all vCPUs.
 */
long grants_unmap(void *va, const grant_handle_t *handles, size_t nr);

/**
 * Copy pieces of pages; each from or to a grant or a frame of ours (see struct gnttab_copy).
 * @ops  an array of @nr; the status of each is its own (GNTST_okay: done), or as it was if it was not come to
 * Returns 0 if all are done, else -errno of the first that is not; what became of the others is in
 * their status. Any context, all vCPUs.
 */
long grants_copy(struct gnttab_copy *ops, size_t nr);

/**
 * One piece between a grant of another domain and our memory.
 * @mfn     the frame of ours, @offset in it in bytes
 * @len     bytes; both pieces lie within their page
 * Returns 0 or -errno. Any context, all vCPUs.
 */
long grant_copy_from(domid_t dom, grant_ref_t ref, uint16_t ref_offset, uint64_t mfn,
                     uint16_t offset, uint16_t len);
long grant_copy_to(domid_t dom, grant_ref_t ref, uint16_t ref_offset, uint64_t mfn, uint16_t offset,
                   uint16_t len);
