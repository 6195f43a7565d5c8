/* hdf5_filter.c - the filters of chunks [IV.A.2.l] that h5py has without plugins: deflate, shuffle and fletcher32. What
 * deflate gives is bounded by the chunk's size. To add a filter: its number, a case in undo_one, and its name's removal
 * from refuse_filter. */
#include "hdf5_internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { DEFLATE = 1, SHUFFLE = 2, FLETCHER32 = 3, SZIP = 4, NBIT = 5, SCALE_OFFSET = 6, LZF = 32000, NAMED = 256 };
enum { FLETCHER_BYTES = 4, DEFLATE_RATIO = 1040 };

static lur_status refuse_filter(const lur_hdf5 *file, int id) {
  const char *name = id == SZIP           ? "szip"
                     : id == NBIT         ? "nbit"
                     : id == SCALE_OFFSET ? "scaleoffset"
                     : id == LZF          ? "lzf"
                                          : NULL;
  if (name != NULL) return lur_hdf5_refuse(file, "the filter %s", name);
  return lur_hdf5_refuse(file, "filter %d", id);
}

lur_status lur_hdf5_filters_parse(const lur_hdf5 *file, const unsigned char *bytes, uint64_t count,
                                  lur_hdf5_filters *filters) {
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, bytes, count);
  int version = (int)lur_hdf5_number(&cursor, 1), n = (int)lur_hdf5_number(&cursor, 1);
  if (version != 1 && version != 2)
    return lur_hdf5_damaged(file, "its filters have version %d; 1 or 2 was expected", version);
  if (n > LUR_HDF5_MAX_FILTERS) return lur_hdf5_refuse(file, "%d filters", n);
  if (version == 1) lur_hdf5_skip(&cursor, 6);
  for (int i = 0; i < n; i++) {
    int id = (int)lur_hdf5_number(&cursor, 2);
    uint64_t name = version == 1 || id >= NAMED ? lur_hdf5_number(&cursor, 2) : 0;
    lur_hdf5_skip(&cursor, 2);
    uint64_t nvalues = lur_hdf5_number(&cursor, 2);
    lur_hdf5_skip(&cursor, version == 1 ? (name + 7) / 8 * 8 : name);
    filters->item[i].id = id;
    filters->item[i].value = nvalues > 0 ? lur_hdf5_number(&cursor, 4) : 0;
    lur_hdf5_skip(&cursor, nvalues > 0 ? 4 * (nvalues - 1) : 0);
    if (version == 1 && nvalues % 2 != 0) lur_hdf5_skip(&cursor, 4);
    if (!cursor.ended && id != DEFLATE && id != SHUFFLE && id != FLETCHER32) return refuse_filter(file, id);
  }
  if (cursor.ended) return lur_hdf5_damaged(file, "its filters are cut short");
  filters->n = n;
  return LUR_OK;
}

/* ---- the filters undone: each replaces *bytes and *count ---- */

static lur_status inflate_bytes(const lur_hdf5 *file, unsigned char **bytes, uint64_t *count, uint64_t most) {
  if (most / DEFLATE_RATIO > *count) /* before memory is asked for: deflate cannot give that much */
    return lur_hdf5_damaged(file, "%" PRIu64 " compressed bytes cannot be a chunk of %" PRIu64, *count, most);
  uLongf size = (uLongf)most;
  unsigned char *made = malloc((size_t)most + 1);
  if (made == NULL) return lur_fail(LUR_ENOMEM, "no memory for a chunk of %" PRIu64 " bytes of '%s'", most, file->path);
  int result = uncompress(made, &size, *bytes, (uLong)*count);
  if (result != Z_OK) {
    free(made);
    if (result == Z_MEM_ERROR) return lur_fail(LUR_ENOMEM, "no memory to inflate a chunk of '%s'", file->path);
    return lur_hdf5_damaged(file,
                            result == Z_BUF_ERROR ? "a compressed chunk is cut short or gives more than %" PRIu64
                                                    " bytes"
                                                  : "a chunk of %" PRIu64 " bytes cannot be inflated",
                            most);
  }
  free(*bytes);
  *bytes = made;
  *count = size;
  return LUR_OK;
}

/* All first bytes of the elements, then all second ones, ...; bytes that are no whole element are at the end. */
static lur_status unshuffle(const lur_hdf5 *file, unsigned char **bytes, uint64_t count, uint64_t size) {
  uint64_t n = size > 1 ? count / size : 0;
  if (n <= 1) return LUR_OK;
  unsigned char *made = malloc((size_t)count);
  if (made == NULL)
    return lur_fail(LUR_ENOMEM, "no memory for a chunk of %" PRIu64 " bytes of '%s'", count, file->path);
  const unsigned char *from = *bytes;
  for (uint64_t k = 0; k < size; k++, from += n)
    for (uint64_t i = 0; i < n; i++) made[i * size + k] = from[i];
  memcpy(made + n * size, from, (size_t)(count - n * size));
  free(*bytes);
  *bytes = made;
  return LUR_OK;
}

/* Fletcher's sums over words of 16 bits, the first byte high; an odd last byte is a high one. */
static uint32_t fletcher32(const unsigned char *bytes, uint64_t count) {
  uint64_t a = 0, b = 0;
  for (uint64_t i = 0; i < count; i += 2) {
    a = (a + ((uint32_t)bytes[i] << 8 | (i + 1 < count ? bytes[i + 1] : 0u))) % 65535;
    b = (b + a) % 65535;
  }
  return (uint32_t)(b << 16 | a);
}

/* A sum of 0 and one of 65535 are the same. */
static bool sums_agree(uint32_t a, uint32_t b) {
  return (a & 0xffff) % 65535 == (b & 0xffff) % 65535 && (a >> 16) % 65535 == (b >> 16) % 65535;
}

static lur_status check_fletcher(const lur_hdf5 *file, const unsigned char *bytes, uint64_t *count) {
  if (*count < FLETCHER_BYTES)
    return lur_hdf5_damaged(file, "a chunk of %" PRIu64 " bytes has no room for its checksum", *count);
  *count -= FLETCHER_BYTES;
  const unsigned char *at = bytes + *count;
  uint32_t stored = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
  if (!sums_agree(stored, fletcher32(bytes, *count)))
    return lur_hdf5_damaged(file, "the checksum of a chunk does not agree");
#else
  (void)sums_agree(stored, fletcher32(bytes, *count));
#endif
  return LUR_OK;
}

lur_status lur_hdf5_filters_undo(const lur_hdf5 *file, const lur_hdf5_filters *filters, uint32_t mask,
                                 unsigned char **bytes, uint64_t count, uint64_t expected) {
  for (int i = filters->n - 1; i >= 0; i--) {
    if (mask >> i & 1) continue;
    switch (filters->item[i].id) {
    case DEFLATE: LUR_TRY(inflate_bytes(file, bytes, &count, expected + FLETCHER_BYTES * LUR_HDF5_MAX_FILTERS)); break;
    case SHUFFLE: LUR_TRY(unshuffle(file, bytes, count, filters->item[i].value)); break;
    default: LUR_TRY(check_fletcher(file, *bytes, &count)); break;
    }
  }
  if (count != expected)
    return lur_hdf5_damaged(file, "a chunk has %" PRIu64 " bytes; %" PRIu64 " were expected", count, expected);
  return LUR_OK;
}
