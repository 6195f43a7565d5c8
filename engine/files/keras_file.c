/* keras_file.c - see keras_file.h. It knows datasets and no layout. Values are read only when they are asked for. */
#include "keras_file.h"

#include <stdlib.h>

/* ---- arrays ---- */

static lur_status add_dataset(lur_weight_file *file, const char *layer, const char *weight, int *source) {
  lur_keras_file *keras = file->self;
  if (keras->n == keras->capacity) {
    int capacity = keras->capacity * 2 + 64;
    char **datasets = realloc(keras->datasets, (size_t)capacity * sizeof *datasets);
    if (datasets == NULL) return lur_fail(LUR_ENOMEM, "no memory for %d arrays of '%s'", capacity, file->path);
    keras->datasets = datasets;
    keras->capacity = capacity;
  }
  lur_lines path = {0};
  lur_lines_add(&path, "%s/%s", layer, weight);
  LUR_TRY(lur_lines_take(&path, &keras->datasets[keras->n]));
  *source = keras->n++;
  return LUR_OK;
}

lur_status lur_keras_file_add(lur_weight_file *file, int from, const char *layer, const char *array, const char *group,
                              const char *name) {
  const lur_keras_file *keras = file->self;
  lur_shape shape;
  int source = 0;
  LUR_TRY(add_dataset(file, group, name, &source));
  LUR_TRY(lur_hdf5_shape(keras->hdf5, keras->group, keras->datasets[source], &shape));
  return lur_weight_file_add(file, from, layer, array, &shape, source);
}

static lur_status read_array(lur_weight_file *file, const lur_file_array *array, float *values) {
  const lur_keras_file *keras = file->self;
  const char *path = keras->datasets[array->source];
  return lur_hdf5_values(keras->hdf5, keras->group, path, lur_shape_count(&array->shape), values);
}

static void close_file(lur_weight_file *file) {
  lur_keras_file *keras = file->self;
  for (int i = 0; i < keras->n; i++) free(keras->datasets[i]);
  free(keras->datasets);
  lur_hdf5_group_close(keras->group);
  lur_hdf5_close(keras->hdf5);
  free(keras);
}

/* ---- open ---- */

/* The .weights.h5 inside a .keras archive. */
static lur_status open_zipped(const char *path, lur_hdf5 **hdf5) {
  void *bytes = NULL;
  size_t count = 0;
  LUR_TRY(lur_zip_read(path, "model.weights.h5", &bytes, &count));
  return lur_hdf5_open_bytes(path, bytes, count, hdf5);
}

lur_status lur_keras_file_open(lur_weight_file *file, bool zipped) {
  lur_keras_file *keras = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *keras, &keras));
  lur_status status = zipped ? open_zipped(file->path, &keras->hdf5) : lur_hdf5_open(file->path, &keras->hdf5);
  if (status != LUR_OK) {
    free(keras);
    return status;
  }
  file->self = keras;
  file->read = read_array;
  file->close = close_file;
  return lur_hdf5_group_open(keras->hdf5, NULL, "/", &keras->group);
}
