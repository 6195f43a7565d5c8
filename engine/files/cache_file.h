/* cache_file.h - the internals of a feature cache, and the layout of its file: a header of 4096 bytes; a table with one
 * entry per row, padded to a multiple of 4096 bytes; then the rows without gaps. Numbers have the machine's byte order:
 * a file written with the other order has an unknown version. */
#ifndef LUR_CACHE_FILE_H
#define LUR_CACHE_FILE_H

#include "files.h"

enum { LUR_CACHE_PAGE = 4096, LUR_CACHE_VERSION = 1 };

/* Without padding: compared byte by byte up to `seconds`; the rest is information for users. */
typedef struct lur_cache_header {
  char magic[16];
  uint32_t version, store;
  uint64_t key[2];
  int64_t images, views;
  int64_t ndim, dim[LUR_MAX_DIMS];
  double seconds;
  char label[LUR_CACHE_LABEL];
} lur_cache_header;

extern const char lur_cache_magic[16];

typedef struct lur_cache_entry {
  uint64_t checksum;
  int64_t image; /* whose features the row holds, from 1; 0: the row is missing */
} lur_cache_entry;

struct lur_cache {
  lur_context *context;
  lur_cache_header header; /* that the file must have */
  uint64_t *fingerprints;
  char *path, *part;
  lur_shape row;
  int64_t rows, missing;
  size_t row_bytes, data_at, bytes;
  lur_cache_entry *entries; /* of the open file; zeroed where the row is damaged or stale */
  lur_cache_state state;
  int fd;          /* -1: none; while filling: of the partial file, locked */
  const char *map; /* the whole file, read-only */
  char note[256];
};

/* cache_rows.c: the checksum that a row must have if it holds the features of this image (from 0). */
uint64_t lur_cache_checksum(const lur_cache *cache, int64_t row, int64_t image, const void *bytes);
/* Reads cache->entries from a mapped file, verifies every row, counts cache->missing. */
void lur_cache_verify(lur_cache *cache, const char *map);
/* Unloads the mapping's pages from this process; they stay in the page cache. */
void lur_cache_forget(const lur_cache *cache, const char *map);
/* Writes a row, in the stored type, then its entry. */
lur_status lur_cache_write(lur_cache *cache, int64_t row, int64_t image, const void *bytes);

/* half.c: converts arrays in host memory, with the processor's instructions where it has them. */
void lur_half_widen(const uint16_t *x, float *y, int64_t count);
/* Returns false if a finite value became infinite. */
bool lur_half_narrow(const float *x, uint16_t *y, int64_t count);

#endif
