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
/* Reads a whole file. LUR_EFORMAT: it is empty or larger than 1 GiB. LUR_EIO: it cannot be read. *absent (may be NULL):
   whether that is the file's fault: it is missing, forbidden or no regular file. Otherwise it is the system's: too many
   open files, a failing disk. LUR_ENOMEM: no memory. */
lur_status lur_bytes_read(const char *path, lur_bytes *bytes, bool *absent);
/* The size of a file that lur_bytes_read would read, otherwise 0: what a lur_budget is asked for before. */
int64_t lur_file_size(const char *path);

#endif
