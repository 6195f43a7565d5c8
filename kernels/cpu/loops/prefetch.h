/* prefetch.h - cache lines that a matrix product prefetches to the L2 cache while it multiplies. */
#ifndef LUR_CPU_PREFETCH_H
#define LUR_CPU_PREFETCH_H

#include "kernels/cpu/loops/vector.h"

enum { LINE = 64 }; /* bytes */

typedef struct lines {
  const char *at;
  int64_t count;
} lines;

/* Part `i` of `parts` of `bytes` at `at`. */
INLINE lines lines_part(const void *at, int64_t bytes, int64_t parts, int64_t i) {
  const int64_t all = bytes / LINE, begin = all * i / parts;
  return (lines){(const char *)at + begin * LINE, all * (i + 1) / parts - begin};
}

/* Prefetches the next line, if there is one. */
INLINE void lines_prefetch(lines *l) {
  if (l->count-- > 0) __builtin_prefetch(l->at, 0, 2);
  l->at += LINE;
}

#endif
