/* cache_file.h - the inside of a feature cache, and the layout of its file: a header of 4096 bytes, a table of an entry
 * a row, rounded up to 4096 bytes, then the rows back to back. Numbers are the machine's own: a file from a machine of
 * another byte order has no version that fits. */
#ifndef LUR_CACHE_FILE_H
#define LUR_CACHE_FILE_H

#include "files.h"

enum { LUR_CACHE_PAGE = 4096, LUR_CACHE_VERSION = 1 };

typedef struct lur_cache_header { /* no padding: compared byte by byte up to `seconds`; what follows is for people */
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
  int64_t image; /* that really is in the row, from 1; 0: the row is missing */
} lur_cache_entry;

struct lur_cache {
  lur_context *context;
  lur_cache_header header; /* as the file's must be */
  uint64_t *fingerprints;
  char *path, *part;
  lur_shape row;
  int64_t rows, missing;
  size_t row_bytes, data_at, bytes;
  lur_cache_entry *entries; /* of the open file; those that do not verify are zeroed */
  lur_cache_state state;
  int fd;          /* -1: none; while filling the part's, locked */
  const char *map; /* the whole file, read-only */
  char note[256];
};

/* cache_rows.c. The checksum that the row's bytes must have, given which image (from 0) is in it. */
uint64_t lur_cache_checksum(const lur_cache *cache, int64_t row, int64_t image, const void *bytes);
/* Fills cache->entries and ->missing from a mapped file. */
void lur_cache_verify(lur_cache *cache, const char *map);
/* Takes what was read of the mapping out of this process's memory; it stays in the page cache. */
void lur_cache_forget(const lur_cache *cache, const char *map);
/* Writes one row's bytes, as stored, and then its entry. */
lur_status lur_cache_write(lur_cache *cache, int64_t row, int64_t image, const void *bytes);

/* half.c: host arrays, by the processor's own conversion where it has one. */
void lur_half_widen(const uint16_t *x, float *y, int64_t count);
/* Returns false where a finite value became infinite. */
bool lur_half_narrow(const float *x, uint16_t *y, int64_t count);

#endif
