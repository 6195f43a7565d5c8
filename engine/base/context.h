/* context.h - the inside of a context: what objects share. Functions are declared in lurcher.h. */
#ifndef LUR_CONTEXT_H
#define LUR_CONTEXT_H

#include <signal.h>
#include <stdatomic.h>

#include "engine/lurcher.h"

enum { LUR_MAX_DEVICES = 16 };

typedef struct lur_counter { /* of automatic layer names */
  char kind[32];
  int count;
} lur_counter;

struct lur_context {
  atomic_int refs;
  uint64_t seed;
  uint64_t draws; /* tensors drawn from the context's stream since it was seeded */
  int threads;
  int ndevices, ncounters;
  lur_device *devices[LUR_MAX_DEVICES];
  lur_counter counters[256];
  volatile sig_atomic_t interrupted;
};

#endif
