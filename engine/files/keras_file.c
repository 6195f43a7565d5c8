/* keras_file.c - see keras_file.h. It knows datasets and no layout. Values are read only when they are asked for. */
#include "keras_file.h"

#include <stdlib.h>

/* ---- arrays ---- */

static lur_status add_dataset(lur_keras_file *keras, const char *layer, const char *weight, int *source) {
  if (keras->n == keras->capacity) {
    int capacity = keras->capacity * 2 + 64;
    char **datasets = realloc(keras->datasets, (size_t)capacity * sizeof *datasets);
    if (datasets == NULL) return lur_fail(LUR_ENOMEM, "no memory for %d arrays of '%s'", capacity, keras->h5.path);
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
  lur_keras_file *keras = file->self;
  hid_t dataset = H5I_INVALID_HID;
  lur_shape shape;
  int source = 0;
  LUR_TRY(add_dataset(keras, group, name, &source));
  LUR_TRY(lur_h5_open_numbers(&keras->h5, keras->group, keras->datasets[source], &dataset, &shape));
  H5Dclose(dataset);
  return lur_weight_file_add(file, from, layer, array, &shape, source);
}

static lur_status read_array(lur_weight_file *file, const lur_file_array *array, float *values) {
  lur_keras_file *keras = file->self;
  const char *name = keras->datasets[array->source];
  hid_t dataset = H5I_INVALID_HID;
  lur_shape shape;
  LUR_TRY(lur_h5_open_numbers(&keras->h5, keras->group, name, &dataset, &shape));
  lur_status status = lur_h5_read_numbers(&keras->h5, dataset, name, lur_shape_count(&array->shape), values);
  H5Dclose(dataset);
  return status;
}

static void close_file(lur_weight_file *file) {
  lur_keras_file *keras = file->self;
  for (int i = 0; i < keras->n; i++) free(keras->datasets[i]);
  free(keras->datasets);
  if (keras->group >= 0) H5Gclose(keras->group);
  lur_h5_close(&keras->h5);
  free(keras);
}

/* ---- open ---- */

/* The .weights.h5 inside a .keras archive. */
static lur_status open_zipped(const char *path, lur_h5 *h5) {
  void *bytes = NULL;
  size_t count = 0;
  LUR_TRY(lur_zip_read(path, "model.weights.h5", &bytes, &count));
  lur_status status = lur_h5_open_image(path, bytes, count, h5);
  free(bytes);
  return status;
}

static lur_status open_root(const char *path, bool zipped, lur_keras_file *keras) {
  LUR_TRY(zipped ? open_zipped(path, &keras->h5) : lur_h5_open(path, &keras->h5));
  keras->group = H5Gopen2(keras->h5.file, "/", H5P_DEFAULT);
  if (keras->group >= 0) return LUR_OK;
  lur_status status = lur_h5_fail(&keras->h5, "cannot open", "/");
  lur_h5_close(&keras->h5);
  return status;
}

lur_status lur_keras_file_open(lur_weight_file *file, bool zipped) {
  lur_keras_file *keras = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *keras, &keras));
  lur_status status = open_root(file->path, zipped, keras);
  if (status != LUR_OK) {
    free(keras);
    return status;
  }
  file->self = keras;
  file->read = read_array;
  file->close = close_file;
  return LUR_OK;
}
