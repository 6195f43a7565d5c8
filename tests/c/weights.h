/* weights.h - what the tests of weights files share: models that are a chain of layers, and arrays and lists of names
 * written with libhdf5. */
#ifndef LUR_TEST_WEIGHTS_H
#define LUR_TEST_WEIGHTS_H

#include <hdf5.h>

#include "engine/files/files.h"
#include "tests/c/folder.h"

static lur_context *context;

/* ---- models: a chain of layers ---- */

typedef struct link {
  const char *kind, *name;
  int filters;
} link_;

static inline lur_node *add_link(lur_node *x, const link_ *link) {
  lur_setting settings[4] = {{.name = "name", .type = LUR_STRING, .string = link->name}};
  int n = 1;
  bool dense = strcmp(link->kind, "dense") == 0;
  if (link->filters > 0)
    settings[n++] = (lur_setting){
        .name = dense ? "units" : "filters", .type = LUR_INT, .integer = link->filters, .real = link->filters};
  if (link->filters > 0 && !dense) {
    settings[n++] = (lur_setting){.name = "kernel", .type = LUR_INT, .integer = 3, .real = 3};
    settings[n++] = (lur_setting){.name = "use_bias", .type = LUR_BOOL, .boolean = false};
  }
  lur_layer *layer = NULL;
  lur_node *y = NULL;
  CHECK_OK(lur_layer_new(context, link->kind, settings, n, &layer));
  CHECK_OK(lur_layer_apply(layer, 1, &x, &y));
  lur_layer_release(layer);
  lur_node_release(x);
  return y;
}

static inline lur_model *make_chain(const link_ *links) {
  lur_node *x = NULL;
  lur_model *model = NULL;
  CHECK_OK(lur_input(context, "image", LUR_F32, &(lur_shape){3, {16, 16, 3}}, &x));
  for (; links->kind != NULL; links++) x = add_link(x, links);
  CHECK_OK(lur_model_new(context, 0, NULL, 1, (const char *[]){"out"}, &x, &model));
  lur_node_release(x);
  return model;
}

static const link_ plain[] = {{"conv2d", "conv2d_1", 4},
                              {"batchnorm", "batch_normalization_1", 0},
                              {"separable_conv2d", "sep", 6},
                              {"batchnorm", "sep_bn", 0},
                              {"conv2d", "conv2d_2", 5},
                              {"batchnorm", "batch_normalization_2", 0},
                              {"global_avg_pool", "avg_pool", 0},
                              {"dense", "predictions", 7},
                              {NULL, NULL, 0}};

static inline double weight_at(const lur_model *model, const char *layer, int weight, int64_t index) {
  double value = -1e30;
  int at = lur_model_find(model, layer);
  if (CHECK(at >= 0)) CHECK_OK(lur_tensor_get(lur_layer_weight(lur_model_layer(model, at), weight), index, &value));
  return value;
}

static inline void fill_model(lur_model *model, double value) {
  for (int i = 0; i < lur_model_layer_count(model); i++)
    for (int k = 0; k < lur_layer_weight_count(lur_model_layer(model, i)); k++)
      CHECK_OK(lur_tensor_fill(lur_layer_weight(lur_model_layer(model, i), k), value));
}

static inline bool all_are(lur_model *model, double value) {
  double found;
  for (int i = 0; i < lur_model_layer_count(model); i++)
    for (int k = 0; k < lur_layer_weight_count(lur_model_layer(model, i)); k++) {
      lur_tensor *weight = lur_layer_weight(lur_model_layer(model, i), k);
      for (int64_t e = 0; e < lur_shape_count(lur_tensor_shape(weight)); e++)
        if (lur_tensor_get(weight, e, &found) != LUR_OK || found != value) return false;
    }
  return true;
}

/* ---- files: Keras's layout, made with libhdf5 ---- */

typedef struct array {
  const char *name; /* relative to its group; NULL ends a layer */
  int ndim;
  hsize_t dims[4];
} array;

typedef struct group {
  const char *name;
  array arrays[8];
} group;

typedef enum style { FIXED = 0, VARIABLE = 1, SPLIT = 2, WHOLE = 4 } style;

static inline void put_list(hid_t object, const char *name, int n, const char *const *texts, style how) {
  if ((how & SPLIT) && n > 1) {
    char piece[64];
    snprintf(piece, sizeof piece, "%s0", name);
    put_list(object, piece, n / 2, texts, how & VARIABLE);
    snprintf(piece, sizeof piece, "%s1", name);
    put_list(object, piece, n - n / 2, texts + n / 2, how & VARIABLE);
    return;
  }
  enum { SIZE = 64 };
  char *fixed = calloc((size_t)n + 1, SIZE);
  for (int i = 0; i < n; i++) snprintf(fixed + i * SIZE, SIZE, "%s", texts[i]);
  hid_t space = H5Screate_simple(1, &(hsize_t){(hsize_t)n}, NULL), type = H5Tcopy(n == 0 ? H5T_IEEE_F64LE : H5T_C_S1);
  if (n > 0) H5Tset_size(type, how & VARIABLE ? H5T_VARIABLE : SIZE);
  if (n > 0 && (how & VARIABLE)) H5Tset_cset(type, H5T_CSET_UTF8);
  hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  CHECK(attribute >= 0);
  if (n > 0) CHECK(H5Awrite(attribute, type, how & VARIABLE ? (const void *)texts : (const void *)fixed) >= 0);
  H5Aclose(attribute);
  H5Sclose(space);
  H5Tclose(type);
  free(fixed);
}

/* Element e of the k-th array of the file is k + e / 1024. */
static inline void put_values(hid_t to, const array *what, int k) {
  hid_t links = H5Pcreate(H5P_LINK_CREATE), space = H5Screate_simple(what->ndim, what->dims, NULL);
  H5Pset_create_intermediate_group(links, 1);
  hssize_t count = H5Sget_simple_extent_npoints(space);
  float *values = malloc((size_t)count * sizeof *values + 1);
  for (hssize_t e = 0; e < count; e++) values[e] = (float)k + (float)e / 1024;
  hid_t dataset = H5Dcreate2(to, what->name, H5T_IEEE_F32LE, space, links, H5P_DEFAULT, H5P_DEFAULT);
  CHECK(dataset >= 0 && H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
  H5Dclose(dataset);
  H5Sclose(space);
  H5Pclose(links);
  free(values);
}

#endif
