/*
 * xengnttab.h, xenevtchn.h and evtchn_loop.h in memory: what a domain grants to a backend under test, and its event
 * channels, for tests on platform.h's home in memory.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { GRANTS = 4096 };

/** Nothing is granted, no port is there. All handles are closed. */
void grants_reset(void);

/** Domain @domain grants a page: the reference, from 8 on. It may be revoked with end(), even if it is mapped. */
uint32_t grant_page(unsigned int domain, void *page, bool writable);
void grant_revoke(uint32_t ref);
void grants_revoke_all(unsigned int domain);

/** What a grant of ours (xengntshr_share_pages()) is of; NULL: none. Whether the other end has all of them mapped. */
uint8_t *grant_at(uint32_t ref);
extern bool grants_busy;
unsigned int grants_shared(void);

/** How many pages are mapped, and ports bound. */
unsigned int grants_mapped(void);
unsigned int ports_bound(void);
/** How many hypercalls copies have been. */
extern unsigned int grant_copies;

/** A domain offers a port: its number there. */
uint32_t peer_port(unsigned int domain);
/** It sends an event through it. */
void peer_notify(uint32_t port);
/** How many events it has had since this was called last. */
unsigned int peer_events(uint32_t port);
