/* hdf5.c - fuzzes the reader of HDF5 files: everything in the input is visited.
 * sources: engine
 * libraries: -lz */
#include "tests/interop/hdf5_walk.h"

static void see_group(const char *path) { (void)path; }

static void see_texts(const char *path, const char *attribute, const lur_strings *strings) {
  (void)path;
  (void)attribute;
  for (int i = 0; i < strings->n; i++)
    if (strings->items[i] == NULL) abort();
}

static void see_values(const char *path, const lur_shape *shape, const float *values) {
  (void)path;
  (void)shape;
  (void)values;
}

/* A message is one line that can be printed. */
static void see_failure(const char *path, const char *message) {
  (void)path;
  if (message[0] == '\0') abort();
  for (; *message != '\0'; message++)
    if ((unsigned char)*message < ' ' || *message == 0x7f) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  hdf5_walker walker = {.group = see_group,
                        .texts = see_texts,
                        .values = see_values,
                        .failed = see_failure,
                        .most_values = 1 << 20,
                        .left = 100};
  lur_hdf5 *file = NULL;
  void *bytes = malloc(size + 1);
  if (bytes == NULL) return 0;
  memcpy(bytes, data, size);
  if (lur_hdf5_open_bytes("input", bytes, size, &file) != LUR_OK) {
    see_failure("", lur_last_error());
    return 0;
  }
  walk_group(&walker, file, "/", 0);
  lur_hdf5_close(file);
  return 0;
}
