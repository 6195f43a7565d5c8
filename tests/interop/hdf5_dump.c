/* hdf5_dump.c - prints an HDF5 file as the engine reads it, for hdf5.py to compare: one line per group, attribute and
 * array, fields separated by tabs, texts in hexadecimal, values as the bits of floats.
 *   hdf5_dump FILE */
#include "hdf5_walk.h"

static void hex(const void *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) printf("%02x", ((const unsigned char *)bytes)[i]);
}

static void print_group(const char *path) { printf("group\t%s\n", path); }

static void print_texts(const char *path, const char *attribute, const lur_strings *strings) {
  printf("texts\t%s\t%s\t%d", path, attribute, strings->n);
  for (int i = 0; i < strings->n; i++) {
    putchar('\t');
    hex(strings->items[i], strlen(strings->items[i]));
  }
  putchar('\n');
}

static void print_values(const char *path, const lur_shape *shape, const float *values) {
  printf("values\t%s\t", path);
  for (int i = 0; i < shape->ndim; i++) printf("%s%lld", i == 0 ? "" : "x", (long long)shape->dim[i]);
  putchar('\t');
  hex(values, (size_t)lur_shape_count(shape) * sizeof *values);
  putchar('\n');
}

static void print_failure(const char *path, const char *message) { printf("failed\t%s\t%s\n", path, message); }

int main(int argc, char **argv) {
  hdf5_walker walker = {.group = print_group,
                        .texts = print_texts,
                        .values = print_values,
                        .failed = print_failure,
                        .most_values = 1 << 24,
                        .left = 1 << 20};
  lur_hdf5 *file = NULL;
  if (argc != 2) {
    fprintf(stderr, "usage: hdf5_dump FILE\n");
    return 2;
  }
  if (lur_hdf5_open(argv[1], &file) != LUR_OK) {
    print_failure("/", lur_last_error());
    return 1;
  }
  walk_group(&walker, file, "/", 0);
  lur_hdf5_close(file);
  return 0;
}
