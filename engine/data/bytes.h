/* bytes.h - a growing byte buffer: the contents of a file, and reusable scratch memory. */
#ifndef LUR_BYTES_H
#define LUR_BYTES_H

#include "engine/lurcher.h"

typedef struct lur_bytes { /* zero-initialised: empty */
  uint8_t *data;
  size_t count, capacity;
} lur_bytes;

/* Makes room for at least `capacity` bytes; the contents stay. */
lur_status lur_bytes_reserve(lur_bytes *bytes, size_t capacity);
void lur_bytes_free(lur_bytes *bytes);
/* Reads a whole file. LUR_EIO: it cannot be read; LUR_EFORMAT: it is empty or larger than 1 GiB. */
lur_status lur_bytes_read(const char *path, lur_bytes *bytes);

#endif
