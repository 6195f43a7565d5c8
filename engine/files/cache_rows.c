/* cache_rows.c - verifies, writes and reads the rows of a feature cache. cache.c opens and creates the file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "cache_file.h"
#include "engine/tensor/tensor_host.h"

enum { VERIFY_BYTES = 64 << 20 }; /* bytes of the mapping to read before its pages are unloaded */

/* ---- verify ---- */

uint64_t lur_cache_checksum(const lur_cache *cache, int64_t row, int64_t image, const void *bytes) {
  const uint64_t identity[] = {cache->header.key[0], cache->header.key[1], (uint64_t)row,
                               cache->fingerprints[row % cache->header.images], cache->fingerprints[image]};
  return XXH3_64bits_withSeed(bytes, cache->row_bytes, XXH3_64bits(identity, sizeof identity));
}

static const char *row_at(const lur_cache *cache, const char *map, int64_t row) {
  return map + cache->data_at + (size_t)row * cache->row_bytes;
}

static bool is_valid(const lur_cache *cache, const char *map, int64_t row, const lur_cache_entry *entry) {
  if (entry->image < 1 || entry->image > cache->header.images) return false;
  return entry->checksum == lur_cache_checksum(cache, row, entry->image - 1, row_at(cache, map, row));
}

void lur_cache_forget(const lur_cache *cache, const char *map) {
  (void)madvise((void *)(uintptr_t)map, cache->bytes, MADV_DONTNEED);
}

void lur_cache_verify(lur_cache *cache, const char *map) {
  const int64_t block = (int64_t)(VERIFY_BYTES / cache->row_bytes) + 1;
  int64_t missing = 0;
  memcpy(cache->entries, map + LUR_CACHE_PAGE, (size_t)cache->rows * sizeof *cache->entries);
  for (int64_t first = 0; first < cache->rows; first += block) {
    int64_t end = first + block < cache->rows ? first + block : cache->rows;
#pragma omp parallel for reduction(+ : missing)
    for (int64_t row = first; row < end; row++) {
      if (is_valid(cache, map, row, &cache->entries[row])) continue;
      cache->entries[row] = (lur_cache_entry){0};
      missing++;
    }
    lur_cache_forget(cache, map);
  }
  cache->missing = missing;
}

/* ---- write ---- */

static lur_status write_at(const lur_cache *cache, size_t offset, const void *bytes, size_t count) {
  const char *from = bytes;
  while (count > 0) {
    ssize_t done = pwrite(cache->fd, from, count, (off_t)offset);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return lur_fail(LUR_EIO, "cannot write '%s': %s", cache->part, strerror(done == 0 ? ENOSPC : errno));
    from += done;
    offset += (size_t)done;
    count -= (size_t)done;
  }
  return LUR_OK;
}

/* The entry is written last: if the process dies between the two, the row does not verify. */
lur_status lur_cache_write(lur_cache *cache, int64_t row, int64_t image, const void *bytes) {
  lur_cache_entry entry = {.checksum = lur_cache_checksum(cache, row, image, bytes), .image = image + 1};
  LUR_TRY(write_at(cache, cache->data_at + (size_t)row * cache->row_bytes, bytes, cache->row_bytes));
  LUR_TRY(write_at(cache, LUR_CACHE_PAGE + (size_t)row * sizeof entry, &entry, sizeof entry));
  cache->missing -= cache->entries[row].image == 0;
  cache->entries[row] = entry;
  return LUR_OK;
}

/* LUR_EARG unless numbers is an i32 vector of values in 0..limit-1. */
static lur_status check_numbers(const lur_cache *cache, const char *what, const lur_tensor *numbers, int64_t limit) {
  const lur_shape *shape = &numbers->shape;
  char text[LUR_SHAPE_TEXT];
  if (numbers->dtype != LUR_I32 || shape->ndim != 1) {
    return lur_fail(LUR_EARG, "cache '%s': %s: an i32 vector expected, got %s %s", cache->path, what,
                    lur_dtype_name(numbers->dtype), lur_shape_format(shape, text));
  }
  LUR_TRY(lur_tensor_need_host("cache", numbers));
  const int32_t *n = lur_tensor_data(numbers);
  for (int64_t i = 0; i < shape->dim[0]; i++) {
    if (n[i] < 0 || n[i] >= limit) {
      return lur_fail(LUR_EARG, "cache '%s': %s %d (0 to %lld expected)", cache->path, what, n[i],
                      (long long)limit - 1);
    }
  }
  return LUR_OK;
}

static lur_shape batch_shape(const lur_cache *cache, int64_t n) {
  lur_shape shape = {.ndim = cache->row.ndim + 1, .dim = {n}};
  memcpy(shape.dim + 1, cache->row.dim, (size_t)cache->row.ndim * sizeof *shape.dim);
  return shape;
}

static lur_status check_put(const lur_cache *cache, const lur_tensor *rows, const lur_tensor *index,
                            const lur_tensor *features) {
  char want[LUR_SHAPE_TEXT], came[LUR_SHAPE_TEXT];
  if (cache->state != LUR_CACHE_FILLING) return lur_fail(LUR_ESTATE, "cache '%s': it is not being filled", cache->path);
  LUR_TRY(check_numbers(cache, "row", rows, cache->rows));
  LUR_TRY(check_numbers(cache, "image", index, cache->header.images));
  LUR_TRY(lur_tensor_need_host("cache", features));
  lur_shape shape = batch_shape(cache, rows->shape.dim[0]);
  if (features->dtype == LUR_F32 && lur_shape_equal(&features->shape, &shape) && index->shape.dim[0] == shape.dim[0])
    return LUR_OK;
  return lur_fail(LUR_ESHAPE, "cache '%s': %lld images and features of %s %s for %lld rows (f32 %s expected)",
                  cache->path, (long long)index->shape.dim[0], lur_dtype_name(features->dtype),
                  lur_shape_format(&features->shape, came), (long long)shape.dim[0], lur_shape_format(&shape, want));
}

lur_status lur_cache_put(lur_cache *cache, lur_tensor *rows, lur_tensor *index, lur_tensor *features) {
  LUR_TRY(check_put(cache, rows, index, features));
  const int32_t *row = lur_tensor_data(rows), *image = lur_tensor_data(index);
  const float *from = lur_tensor_data(features);
  const int64_t count = lur_shape_count(&cache->row);
  uint16_t *half = NULL;
  if (cache->header.store == LUR_F16) LUR_TRY(lur_alloc_items((size_t)count, sizeof *half, &half));
  lur_status status = LUR_OK;
  for (int64_t i = 0; status == LUR_OK && i < rows->shape.dim[0]; i++, from += count) {
    if (half && !lur_half_narrow(from, half, count)) {
      status =
          lur_fail(LUR_EARG, "cache '%s': row %d has values above 65504, which f16 cannot hold (store f32 instead)",
                   cache->path, row[i]);
    } else {
      status = lur_cache_write(cache, row[i], image[i], half ? (const void *)half : from);
    }
  }
  free(half);
  if (status == LUR_EIO) unlink(cache->part); /* frees the space on a full disk */
  return status;
}

/* ---- read ---- */

/* Also checks the file's size: reading a mapping past the end of a truncated file raises SIGBUS. */
static lur_status check_readable(const lur_cache *cache, const lur_tensor *rows) {
  struct stat info;
  if (!cache->map) return lur_fail(LUR_ESTATE, "cache '%s': it is not open", cache->path);
  LUR_TRY(check_numbers(cache, "row", rows, cache->rows));
  const int32_t *row = lur_tensor_data(rows);
  for (int64_t i = 0; i < rows->shape.dim[0]; i++) {
    if (cache->entries[row[i]].image == 0)
      return lur_fail(LUR_ESTATE, "cache '%s': row %d is missing", cache->path, row[i]);
  }
  if (fstat(cache->fd, &info) == 0 && (size_t)info.st_size >= cache->bytes) return LUR_OK;
  return lur_fail(LUR_EIO, "cache '%s' was truncated while it was in use", cache->path);
}

lur_status lur_cache_select(lur_cache *cache, lur_tensor *rows, lur_tensor **features) {
  LUR_TRY(check_readable(cache, rows));
  lur_shape shape = batch_shape(cache, rows->shape.dim[0]);
  lur_tensor *made = NULL;
  LUR_TRY(lur_tensor_blank(cache->context, LUR_F32, &shape, &made));
  const int32_t *row = lur_tensor_data(rows);
  const int64_t count = lur_shape_count(&cache->row);
  float *to = lur_tensor_data(made);
#pragma omp parallel for
  for (int64_t i = 0; i < shape.dim[0]; i++) {
    const char *from = row_at(cache, cache->map, row[i]);
    if (cache->header.store == LUR_F16) lur_half_widen((const uint16_t *)(const void *)from, to + i * count, count);
    else memcpy(to + i * count, from, cache->row_bytes);
  }
  lur_cache_forget(cache, cache->map);
  *features = made;
  return LUR_OK;
}

lur_status lur_cache_index(lur_cache *cache, lur_tensor **index) {
  lur_shape shape = {1, {cache->rows}};
  lur_tensor *made = NULL;
  LUR_TRY(lur_tensor_blank(cache->context, LUR_I32, &shape, &made));
  int32_t *to = lur_tensor_data(made);
  for (int64_t i = 0; i < cache->rows; i++) to[i] = (int32_t)cache->entries[i].image - 1;
  *index = made;
  return LUR_OK;
}
