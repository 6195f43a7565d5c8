/* failing_alloc.c - see failing_alloc.h. */
#include "tests/c/failing_alloc.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *memory);

/* An open-addressing table of Lurcher's blocks. Memory allocated inside libc is not in it; freeing it is ignored. */
enum { SLOTS = 1 << 16 };
static void *const gone = (void *)1;
static void *slots[SLOTS];
static long live, countdown;
static bool persistent, failed, spare;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static size_t place(const void *memory) { return ((uintptr_t)memory >> 4) * 0x9E3779B97F4A7C15u >> 48; }

static void *note(void *memory) {
  if (!memory) return NULL;
  pthread_mutex_lock(&lock);
  size_t i = place(memory) % SLOTS;
  while (slots[i] && slots[i] != gone) i = (i + 1) % SLOTS;
  slots[i] = memory;
  live++;
  pthread_mutex_unlock(&lock);
  return memory;
}

static void forget(const void *memory) {
  pthread_mutex_lock(&lock);
  for (size_t i = place(memory) % SLOTS, n = 0; slots[i] && n < SLOTS; i = (i + 1) % SLOTS, n++) {
    if (slots[i] != memory) continue;
    slots[i] = gone;
    live--;
    break;
  }
  pthread_mutex_unlock(&lock);
}

static bool refuse(void) {
  pthread_mutex_lock(&lock);
  bool now = !spare && countdown > 0 && --countdown == 0;
  if (now) failed = true;
  now = now || (failed && persistent && !spare);
  pthread_mutex_unlock(&lock);
  if (now) errno = ENOMEM;
  return now;
}

void alloc_fail_at(long n, bool from_then_on) {
  pthread_mutex_lock(&lock);
  countdown = n;
  persistent = from_then_on;
  failed = false;
  pthread_mutex_unlock(&lock);
}

bool alloc_spare(bool on) {
  pthread_mutex_lock(&lock);
  bool before = spare;
  spare = on;
  pthread_mutex_unlock(&lock);
  return before;
}

bool alloc_failed(void) { return failed; }
long alloc_live(void) { return live; }

void *__wrap_malloc(size_t size) { return refuse() ? NULL : note(__real_malloc(size)); }
void *__wrap_calloc(size_t n, size_t size) { return refuse() ? NULL : note(__real_calloc(n, size)); }
void *__wrap_aligned_alloc(size_t alignment, size_t size) {
  return refuse() ? NULL : note(__real_aligned_alloc(alignment, size));
}

void *__wrap_realloc(void *memory, size_t size) {
  if (refuse()) return NULL;
  if (memory) forget(memory);
  void *moved = __real_realloc(memory, size);
  note(moved ? moved : memory);
  return moved;
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size) {
  if (refuse()) return ENOMEM;
  int error = __real_posix_memalign(memory, alignment, size);
  if (error == 0) note(*memory);
  return error;
}

void __wrap_free(void *memory) {
  if (memory) forget(memory);
  __real_free(memory);
}

char *__wrap_strdup(const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = __wrap_malloc(size);
  return copy ? memcpy(copy, text, size) : NULL;
}
