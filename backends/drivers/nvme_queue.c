#include "drivers/nvme_queue.h"

#include <string.h>

#include <platform.h>

enum { PAGE = 4096, LISTS_OF_PAGE = PAGE / NVME_LIST_BYTES };
enum {
    WORDS = 4,
    WORD_ID = 3
}; /* of a completion; in the last one are the number, and above it status and phase */
#define PHASE (1u << 16)

_Static_assert(sizeof(struct nvme_command) == 64 && NVME_QUEUE_SIZE * 64 <= PAGE, "in one piece");

int nvme_queue_init(struct nvme_queue *q, struct pci_device *d, unsigned int size)
{
    q->size = size;
    q->submission = pci_dma_alloc(d, 1);
    q->completion = pci_dma_alloc(d, 1);
    if (q->submission == NULL || q->completion == NULL)
        return -1;
    for (unsigned int i = 0; i < size; i += LISTS_OF_PAGE)
        if ((q->lists[i / LISTS_OF_PAGE] = pci_dma_alloc(d, 1)) == NULL)
            return -1;
    nvme_queue_reset(q);
    return 0;
}

void nvme_queue_reset(struct nvme_queue *q)
{
    q->tail = q->head = 0;
    q->phase = true;
    q->kick = q->broken = false;
    q->free = 0;
    q->nr_free = (uint16_t)(q->size - 1); /* a queue that is full looks empty */
    for (unsigned int i = 0; i < q->size; i++) {
        q->next[i] = (uint16_t)(i + 1);
        q->cookies[i] = NULL;
    }
    memset((void *)q->completion, 0, PAGE);
}

int nvme_queue_next(const struct nvme_queue *q) { return q->nr_free && !q->broken ? q->free : -1; }

void *nvme_queue_list(const struct nvme_queue *q, int id)
{
    return q->lists[id / LISTS_OF_PAGE] + id % LISTS_OF_PAGE * NVME_LIST_BYTES;
}

void nvme_queue_add(struct nvme_queue *q, const struct nvme_command *c, void *cookie)
{
    volatile struct nvme_command *at = &q->submission[q->tail];

    *at = *c;
    at->id = q->free;
    q->cookies[q->free] = cookie;
    q->free = q->next[q->free];
    q->nr_free--;
    q->tail = (q->tail + 1) % q->size;
    q->kick = true;
}

void nvme_queue_kick(struct nvme_queue *q)
{
    if (q->kick)
        pci_out32(&q->doorbells, 0, q->tail);
    q->kick = false;
}

static bool is_new(const struct nvme_queue *q)
{
    uint32_t word = __atomic_load_n(&q->completion[q->head * WORDS + WORD_ID], __ATOMIC_ACQUIRE);

    return !q->broken && ((word & PHASE) != 0) == q->phase;
}

void *nvme_queue_take(struct nvme_queue *q, uint16_t *status, uint32_t *result)
{
    volatile uint32_t *at = &q->completion[q->head * WORDS];
    uint32_t word;
    uint16_t id;
    void *cookie;

    if (!is_new(q))
        return NULL;
    word = at[WORD_ID];
    id = (uint16_t)word;
    if (id >= q->size || q->cookies[id] == NULL) {
        plat_log(PLAT_ERROR, "nvme: the controller has done command %u, which it was not given",
                 id);
        q->broken = true;
        return NULL;
    }
    *status = (uint16_t)(word >> 17);
    *result = at[0];
    q->head = (q->head + 1) % q->size;
    q->phase ^= q->head == 0;
    cookie = q->cookies[id];
    q->cookies[id] = NULL;
    q->next[id] = q->free;
    q->free = id;
    q->nr_free++;
    return cookie;
}

bool nvme_queue_taken(struct nvme_queue *q)
{
    pci_out32(&q->doorbells, q->stride, q->head);
    return is_new(q);
}

void nvme_prp(struct nvme_command *c, const struct piece *pieces, unsigned int nr, uint64_t *list)
{
    c->prp1 = pci_dma_address(pieces[0].data);
    c->prp2 = nr < 2 ? 0 : pci_dma_address(nr == 2 ? pieces[1].data : (void *)list);
    for (unsigned int i = 1; nr > 2 && i < nr; i++)
        list[i - 1] = pci_dma_address(pieces[i].data);
}
