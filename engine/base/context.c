/* context.c - what a set of objects shares: seed, thread count, opened devices, counters of names, the interrupt.
 *
 * There is no global context: every object leads to its own, and two contexts share nothing.
 * To add a setting: a field of lur_context and a pair of functions. */
#include "context.h"

#include <errno.h>
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "kernels/backend.h"
#include "kernels/room.h"

enum { MAX_THREADS = 1024 };

/* LURCHER_THREADS overrides the caller, so that a script can be limited to fewer cores from outside. */
static lur_status threads_wanted(int asked, int *threads) {
  if (asked < 0 || asked > MAX_THREADS) {
    return lur_fail(LUR_EARG, "%d compute threads (0 to %d expected, 0 for one per core)", asked, MAX_THREADS);
  }
  const char *text = getenv("LURCHER_THREADS");
  if (!text || !*text) {
    *threads = asked ? asked : omp_get_num_procs();
    return LUR_OK;
  }
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (errno || *end || value < 1 || value > MAX_THREADS) {
    return lur_fail(LUR_EARG, "LURCHER_THREADS is \"%.40s\" (an integer from 1 to %d expected)", text, MAX_THREADS);
  }
  *threads = (int)value;
  return LUR_OK;
}

/* Under a limit of the address space, starts the compute threads now: libgomp would start them in the first parallel
   loop, and end the process if it could not. */
static lur_status start_threads(int count) {
  if (count < 2 || !lur_room_is_limited()) return LUR_OK;
  pthread_attr_t attributes;
  size_t stack = 8 << 20;
  if (pthread_attr_init(&attributes) == 0) {
    pthread_attr_getstacksize(&attributes, &stack);
    pthread_attr_destroy(&attributes);
  }
  LUR_TRY(lur_room_check((size_t)count * stack, "the stacks of the compute threads (LURCHER_THREADS)"));
  int started = 0;
#pragma omp parallel reduction(+ : started)
  started++;
  return started > 0 ? LUR_OK : lur_fail(LUR_ENOMEM, "no compute thread could be started");
}

lur_status lur_check_environment(void) {
  int threads = 0;
  LUR_TRY(threads_wanted(0, &threads));
  return lur_cpu_check_environment();
}

const char *lur_version(void) { return LURCHER_VERSION; }

static lur_status make(uint64_t seed, int threads, lur_context **context) {
  LUR_TRY(lur_cpu_check_environment());
  lur_context *made;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  atomic_init(&made->refs, 1);
  made->seed = seed;
  made->threads = threads;
  *context = made;
  return LUR_OK;
}

lur_status lur_context_new_serial(uint64_t seed, lur_context **context) { return make(seed, 1, context); }

lur_status lur_context_new(uint64_t seed, int threads, lur_context **context) {
  int count = 0;
  LUR_TRY(threads_wanted(threads, &count));
  lur_context *made;
  LUR_TRY(make(seed, count, &made));
  omp_set_num_threads(count); /* of the calling thread, the one that owns the context */
  lur_status status = start_threads(count);
  if (status != LUR_OK) {
    free(made);
    return status;
  }
  *context = made;
  return LUR_OK;
}

lur_status lur_context_begin_scope(lur_context *context, const char *prefix) {
  if (context->scope[0]) return lur_fail(LUR_ESTATE, "layers are being named '%s...' already", context->scope);
  memcpy(context->outer, context->counters, sizeof context->outer);
  context->nouter = context->ncounters;
  context->ncounters = 0;
  memset(context->counters, 0, sizeof context->counters);
  snprintf(context->scope, sizeof context->scope, "%s", prefix);
  return LUR_OK;
}

void lur_context_end_scope(lur_context *context) {
  if (!context->scope[0]) return;
  memcpy(context->counters, context->outer, sizeof context->counters);
  context->ncounters = context->nouter;
  context->scope[0] = '\0';
}

void lur_context_retain(lur_context *context) { atomic_fetch_add(&context->refs, 1); }

void lur_context_release(lur_context *context) {
  if (!context || atomic_fetch_sub(&context->refs, 1) != 1) return;
  for (int i = 0; i < context->ndevices; i++) lur_device_close(context->devices[i]);
  free(context);
}

void lur_context_seed(lur_context *context, uint64_t seed) {
  context->seed = seed;
  context->draws = 0;
}

uint64_t lur_context_get_seed(const lur_context *context) { return context->seed; }
int lur_context_threads(const lur_context *context) { return context->threads; }

/* ---- devices ---- */

static lur_device *opened(const lur_context *context, const char *name) {
  for (int i = 0; i < context->ndevices; i++) {
    if (strcmp(context->devices[i]->name, name) == 0) return context->devices[i];
  }
  return NULL;
}

lur_status lur_context_device(lur_context *context, const char *name, lur_device **device) {
  bool automatic = strcmp(name, "auto") == 0;
  lur_device *found = opened(context, automatic || strcmp(name, "cuda") == 0 ? "cuda:0" : name);
  if (found) {
    *device = found;
    return LUR_OK;
  }
  lur_device *fresh;
  LUR_TRY(lur_device_open(name, &fresh));
  found = opened(context, fresh->name); /* "auto" may name a device that is open already */
  if (found) {
    lur_device_close(fresh);
    *device = found;
    return LUR_OK;
  }
  if (context->ndevices == LUR_MAX_DEVICES) {
    lur_device_close(fresh);
    return lur_fail(LUR_EARG, "device '%s': a context holds at most %d devices", name, LUR_MAX_DEVICES);
  }
  context->devices[context->ndevices++] = fresh;
  *device = fresh;
  return LUR_OK;
}

const char *lur_device_name(const lur_device *device) { return device->name; }

static void put_name(char names[][32], int capacity, int index, const char *name) {
  if (index < capacity) snprintf(names[index], sizeof names[index], "%s", name);
}

int lur_device_list(char names[][32], int capacity, const char **why) {
  const lur_backend *cuda;
  int present = 0;
  put_name(names, capacity, 0, "ref");
  put_name(names, capacity, 1, "cpu");
  lur_status status = lur_backend_find("cuda", &cuda);
  if (status == LUR_OK) status = cuda->count(&present);
  if (status == LUR_OK && present == 0) status = lur_fail(LUR_EUNSUPPORTED, "no CUDA device: the driver reports none");
  if (why) *why = status == LUR_OK ? NULL : lur_last_error();
  for (int i = 0; i < present; i++) {
    char name[32];
    snprintf(name, sizeof name, "cuda:%d", i);
    put_name(names, capacity, 2 + i, name);
  }
  return 2 + present;
}

/* ---- interrupt ---- */

void lur_context_interrupt(lur_context *context) { context->interrupted = 1; }

bool lur_context_interrupted(const lur_context *context) { return context->interrupted != 0; }

lur_status lur_context_check_interrupt(lur_context *context) {
  if (!context->interrupted) return LUR_OK;
  context->interrupted = 0;
  return lur_fail(LUR_EINTERRUPTED, "interrupted");
}
