/* buffers.c - see buffers.h. Each buffer has a header in the 64 bytes before the address that its user gets. */
#include "buffers.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "kernels/backend.h"

enum { HEADER = 64, MAX_KEEP = 32, HUGE_PAGE = 2 << 20 };

typedef struct header {
  lur_buffer_pool *pool;
  size_t bytes;
} header;

struct lur_buffer_pool {
  pthread_mutex_t lock;
  int refs; /* one for the owner, one for each buffer in use */
  bool closed;
  lur_context *context; /* keeps the device open */
  lur_device *device;   /* NULL: ordinary memory */
  int keep, nidle;
  header *idle[MAX_KEEP];
};

static bool pinned(const lur_buffer_pool *pool) {
  return pool->device && pool->device->backend->alloc_host && pool->device->backend->free_host;
}

static void free_buffer(const lur_buffer_pool *pool, header *h) {
  if (pinned(pool)) pool->device->backend->free_host(pool->device, h);
  else free(h);
}

lur_status lur_buffer_pool_new(lur_context *context, lur_device *device, int keep, lur_buffer_pool **pool) {
  lur_buffer_pool *p = calloc(1, sizeof *p);
  if (!p) return lur_fail(LUR_ENOMEM, "out of memory for a loader");
  pthread_mutex_init(&p->lock, NULL);
  p->refs = 1;
  p->context = context;
  p->device = device;
  p->keep = keep < MAX_KEEP ? keep : MAX_KEEP;
  lur_context_retain(context);
  *pool = p;
  return LUR_OK;
}

/* Called with the lock held; unlocks, and frees the pool with its last reference. */
static void drop_reference(lur_buffer_pool *pool) {
  bool last = --pool->refs == 0;
  pthread_mutex_unlock(&pool->lock);
  if (!last) return;
  pthread_mutex_destroy(&pool->lock);
  lur_context_release(pool->context);
  free(pool);
}

void lur_buffer_pool_close(lur_buffer_pool *pool) {
  if (!pool) return;
  pthread_mutex_lock(&pool->lock);
  pool->closed = true;
  while (pool->nidle) free_buffer(pool, pool->idle[--pool->nidle]);
  drop_reference(pool);
}

/* Takes an idle buffer of exactly this size off the list, or returns NULL. Batches rarely differ in size. */
static header *find_idle(lur_buffer_pool *pool, size_t bytes) {
  for (int i = pool->nidle; i-- > 0;) {
    header *h = pool->idle[i];
    if (h->bytes != bytes) continue;
    pool->idle[i] = pool->idle[--pool->nidle];
    return h;
  }
  return NULL;
}

static lur_status new_buffer(lur_buffer_pool *pool, size_t bytes, header **h) {
  void *memory = NULL;
  if (pinned(pool)) LUR_TRY(pool->device->backend->alloc_host(pool->device, bytes + HEADER, &memory));
  else if (posix_memalign(&memory, bytes < 2 * HUGE_PAGE ? HEADER : HUGE_PAGE, bytes + HEADER) != 0)
    return lur_fail(LUR_ENOMEM, "out of memory for a batch of %zu bytes", bytes);
  else if (bytes >= 2 * HUGE_PAGE)
    madvise(memory, bytes + HEADER, MADV_HUGEPAGE); /* a hint: with small pages, writing a row takes an eighth longer */
  *h = memory;
  (*h)->pool = pool;
  (*h)->bytes = bytes;
  return LUR_OK;
}

lur_status lur_buffer_pool_take(lur_buffer_pool *pool, size_t bytes, void **memory) {
  pthread_mutex_lock(&pool->lock);
  header *h = find_idle(pool, bytes);
  if (h) pool->refs++;
  pthread_mutex_unlock(&pool->lock);
  if (!h) {
    LUR_TRY(new_buffer(pool, bytes, &h));
    pthread_mutex_lock(&pool->lock);
    pool->refs++;
    pthread_mutex_unlock(&pool->lock);
  }
  *memory = (char *)h + HEADER;
  return LUR_OK;
}

void lur_buffer_pool_give(void *memory, size_t bytes) {
  (void)bytes;
  if (!memory) return;
  header *h = (header *)(void *)((char *)memory - HEADER);
  lur_buffer_pool *pool = h->pool;
  pthread_mutex_lock(&pool->lock);
  if (!pool->closed && pool->nidle == pool->keep && pool->nidle > 0)
    free_buffer(pool, pool->idle[--pool->nidle]); /* makes room for the newest size */
  if (!pool->closed && pool->nidle < pool->keep) pool->idle[pool->nidle++] = h;
  else free_buffer(pool, h);
  drop_reference(pool);
}
