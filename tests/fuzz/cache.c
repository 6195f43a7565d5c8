/* cache.c - fuzzes the reader of feature caches: the input is opened as a finished file, and as an unfinished one that
 * is then completed. Valid rows of both are read.
 * sources: engine
 * libraries: -lcjson -lxxhash -lhdf5_serial -lz -ljpeg -lpng -ldl */
#include <string.h>

#include "support/input.h"
#include "support/model.h"

static lur_context *context;
static char path[300], part[310];

static void put_file(const char *name, const uint8_t *data, size_t size) {
  FILE *file = fopen(name, "wb");
  if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0) abort();
}

static void leave(void) {
  unlink(path);
  unlink(part);
  *strrchr(path, '/') = '\0';
  rmdir(path);
}

static void begin(void) {
  const char *folder = getenv("TMPDIR");
  char name[200];
  if (lur_context_new(1, 1, &context) != LUR_OK) abort();
  if (folder == NULL) folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; /* memory: caches are synced */
  snprintf(name, sizeof name, "%s/lurcher-fuzz-XXXXXX", folder);
  if (mkdtemp(name) == NULL) abort();
  snprintf(path, sizeof path, "%s/cache", name);
  snprintf(part, sizeof part, "%s.part", path);
  atexit(leave);
}

/* Reads every row that is there. */
static void read_rows(lur_cache *cache) {
  for (int row = 0; row < SMALL_ROWS; row++) {
    lur_tensor *one = small_numbers(context, 1, 1), *features = NULL;
    if (lur_tensor_set(one, 0, row) != LUR_OK) abort();
    if ((lur_cache_select(cache, one, &features) == LUR_OK) != lur_cache_has(cache, row)) abort();
    lur_tensor_release(features);
    lur_tensor_release(one);
  }
}

/* Writes all rows and finishes the file. */
static void complete(lur_cache *cache) {
  lur_tensor *rows = small_numbers(context, SMALL_ROWS, SMALL_ROWS), *features = NULL;
  lur_tensor *images = small_numbers(context, SMALL_ROWS, SMALL_IMAGES);
  if (lur_tensor_new(context, NULL, LUR_F32, &(lur_shape){2, {SMALL_ROWS, SMALL_ROW}}, &features) != LUR_OK) abort();
  if (lur_cache_put(cache, rows, images, features) != LUR_OK || lur_cache_finish(cache, 1) != LUR_OK) abort();
  lur_tensor_release(rows);
  lur_tensor_release(images);
  lur_tensor_release(features);
}

static void look(const char *name) {
  lur_cache_info info;
  if (lur_cache_look(name, &info) != LUR_OK) {
    check_message();
    return;
  }
  if (memchr(info.label, 0, sizeof info.label) == NULL || info.images < 0 || info.row.ndim < 0 ||
      info.row.ndim > LUR_MAX_DIMS)
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const bool half = size > 20 && data[20] == LUR_F16; /* lur_cache_header.store */
  if (context == NULL) begin();
  for (int unfinished = 0; unfinished < 2; unfinished++) {
    lur_cache_state state;
    bool removed = false;
    lur_cache *cache = small_cache(context, path, half ? LUR_F16 : LUR_F32);
    put_file(unfinished ? part : path, data, size);
    look(unfinished ? part : path);
    if (lur_cache_open(cache, 0, &state) != LUR_OK) abort();
    if (state != LUR_CACHE_READY && state != LUR_CACHE_FILLING) abort();
    if ((state == LUR_CACHE_READY) != (lur_cache_missing(cache) == 0 && !unfinished)) abort();
    read_rows(cache);
    if (state == LUR_CACHE_FILLING) complete(cache);
    lur_cache_release(cache);
    if (lur_cache_remove(path, &removed) != LUR_OK || !removed) abort();
    unlink(part);
  }
  return 0;
}
