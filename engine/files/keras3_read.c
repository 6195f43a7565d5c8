/* keras3_read.c - reads Keras 3's and tf_keras's .weights.h5 (Keras 3.10 keras/src/saving/saving_lib.py), which has no
 * list of layers, but paths of class names and counters that are independent of the layers' names.
 *
 *   layers/conv2d_1/vars/0            the second Conv2D of model.layers; arrays in order of creation
 *   layers/functional/layers/...      a model used as a layer, whose counters begin again
 *
 * A layer's name is, from Keras 3.10 on, the attribute `name` of vars; otherwise what the archive's config.json states
 * (keras_config.c). A bare file of earlier versions has no names: its layers are matched by their positions alone
 * (weights_positions.c). The paths do not tell the order between classes. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keras3_read.h"
#include "keras_config.h"

enum { MAX_DEPTH = 8, MAX_NAME = 256, MAX_PATH = 4 * MAX_NAME };

static const struct {
  const char *group, *kind;
} classes[] = {{"conv2d", "conv2d"},
               {"separable_conv2d", "separable_conv2d"},
               {"depthwise_conv2d", "depthwise_conv2d"},
               {"batch_normalization", "batchnorm"},
               {"layer_normalization", "layernorm"},
               {"group_normalization", "groupnorm"},
               {"normalization", "normalization"},
               {"layer_normalization", "layernorm"},
               {"group_normalization", "groupnorm"},
               {"layer_scale", "layer_scale"},
               {"dense", "dense"}};

/* "conv2d_3" to the length of "conv2d" and 3; a name without a counter is number 0 of its class. */
static size_t split_group(const char *group, long *counter) {
  const char *line = strrchr(group, '_');
  *counter = 0;
  if (line == NULL || line[1] == '\0' || strlen(line + 1) > 9) return strlen(group);
  for (const char *at = line + 1; *at != '\0'; at++)
    if (!isdigit((unsigned char)*at)) return strlen(group);
  *counter = strtol(line + 1, NULL, 10);
  return (size_t)(line - group);
}

static const char *kind_of_group(const char *group, long *counter) {
  size_t length = split_group(group, counter);
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
    if (strlen(classes[i].group) == length && strncmp(classes[i].group, group, length) == 0) return classes[i].kind;
  return NULL;
}

/* By class, then by counter: conv2d_2 before conv2d_10. */
static int by_position(const void *a, const void *b) {
  const char *x = *(const char *const *)a, *y = *(const char *const *)b;
  long i, k;
  size_t m = split_group(x, &i), n = split_group(y, &k);
  int order = strncmp(x, y, m < n ? m : n);
  if (order != 0) return order;
  if (m != n) return m < n ? -1 : 1;
  return i != k ? (i < k ? -1 : 1) : strcmp(x, y);
}

typedef struct walk {
  lur_weight_file *file;
  lur_hdf5 *hdf5;
  int nests, series; /* given so far */
} walk;

typedef struct place { /* a level of the file: the layers of one model */
  const char *path;
  const lur_keras_level *level; /* in config.json, or NULL */
  int depth, nest, series;
} place;

/* The name in the file or in config.json; an empty text for none. */
static lur_status name_of_layer(const lur_hdf5_group *vars, const place *at, const char *group, char **name) {
  lur_strings names = {0};
  if (lur_hdf5_has_attribute(vars, "name")) LUR_TRY(lur_hdf5_strings(vars, "name", &names));
  const char *found = names.n == 1 ? names.items[0] : lur_keras_level_name(at->level, group);
  lur_status status = lur_text_copy(found == NULL ? "" : found, name);
  lur_strings_free(&names);
  return status;
}

static lur_status add_arrays(const walk *in, const lur_hdf5_group *vars, const char *path, const char *layer) {
  char array[16];
  int from = in->file->nlayers;
  for (int i = 0; i <= LUR_MAX_WEIGHTS; i++) {
    snprintf(array, sizeof array, "%d", i);
    if (!lur_hdf5_has_link(vars, array)) break;
    LUR_TRY(lur_keras_file_add(in->file, from, layer, array, path, array));
  }
  return LUR_OK;
}

/* path: of vars. */
static lur_status add_vars(const walk *in, const lur_hdf5_group *vars, const char *path, const place *at,
                           const char *group) {
  char *name = NULL, whole[MAX_PATH];
  lur_weight_file *file = in->file;
  int before = file->nlayers;
  LUR_TRY(name_of_layer(vars, at, group, &name));
  bool named = name[0] != '\0';
  snprintf(whole, sizeof whole, "%s", path);
  whole[strlen(whole) - strlen("/vars")] = '\0';
  lur_status status = add_arrays(in, vars, path, named ? name : whole);
  free(name);
  if (status != LUR_OK || file->nlayers == before) return status;
  lur_file_layer *layer = &file->layers[before];
  layer->kind = kind_of_group(group, &layer->place);
  layer->nest = at->nest;
  layer->series = at->series;
  file->unnamed = file->unnamed || !named;
  return LUR_OK;
}

static lur_status add_level(walk *in, const lur_hdf5_group *level, const place *at);

/* What is in one layer's group: its own arrays, or another model's layers. */
static lur_status add_inside(walk *in, const lur_hdf5_group *group, const place *at, const char *name, int series) {
  char path[MAX_PATH];
  lur_hdf5_group *next = NULL;
  const char *inside = lur_hdf5_has_link(group, "layers") ? "layers" : lur_hdf5_has_link(group, "vars") ? "vars" : NULL;
  if (inside == NULL) return LUR_OK;
  if (snprintf(path, sizeof path, "%s/%s/%s", at->path, name, inside) >= (int)sizeof path)
    return lur_fail(LUR_EFORMAT, "'%s': the path '%.100s' has more than %d bytes", in->file->path, at->path, MAX_PATH);
  LUR_TRY(lur_hdf5_group_open(in->hdf5, group, inside, &next));
  lur_status status;
  if (strcmp(inside, "vars") == 0) {
    status = add_vars(in, next, path, at, name);
  } else {
    const place below = {path, lur_keras_level_below(at->level, name), at->depth + 1, ++in->nests, series};
    status = add_level(in, next, &below);
  }
  lur_hdf5_group_close(next);
  return status;
}

static lur_status add_layer(walk *in, const lur_hdf5_group *level, const place *at, const char *name, int series) {
  bool is_group = false;
  lur_hdf5_group *group = NULL;
  LUR_TRY(lur_hdf5_is_group(level, name, &is_group));
  if (!is_group) return LUR_OK; /* a dataset: not a layer */
  LUR_TRY(lur_hdf5_group_open(in->hdf5, level, name, &group));
  lur_status status = add_inside(in, group, at, name, series);
  lur_hdf5_group_close(group);
  return status;
}

static lur_status add_level(walk *in, const lur_hdf5_group *level, const place *at) {
  int n = lur_hdf5_link_count(level);
  const char **names = NULL;
  if (at->depth > MAX_DEPTH)
    return lur_fail(LUR_EFORMAT, "'%s': '%.100s' is nested more than %d models deep", in->file->path, at->path,
                    MAX_DEPTH);
  LUR_TRY(lur_alloc_items((size_t)n + 1, sizeof *names, &names));
  for (int i = 0; i < n; i++) names[i] = lur_hdf5_link_name(level, i);
  qsort(names, (size_t)n, sizeof *names, by_position);
  lur_status status = LUR_OK;
  int series = 0;
  for (int i = 0; i < n && status == LUR_OK; i++) {
    long counter;
    size_t length = split_group(names[i], &counter), last = i > 0 ? split_group(names[i - 1], &counter) : 0;
    if (i == 0 || length != last || strncmp(names[i], names[i - 1], length) != 0) series = ++in->series;
    if (strlen(names[i]) >= MAX_NAME)
      status =
          lur_fail(LUR_EFORMAT, "'%s': a name in '%.100s' has %zu bytes", in->file->path, at->path, strlen(names[i]));
    else status = add_layer(in, level, at, names[i], series);
  }
  free(names);
  return status;
}

lur_status lur_keras3_add_layers(lur_weight_file *file, bool zipped) {
  const lur_keras_file *keras = file->self;
  walk in = {.file = file, .hdf5 = keras->hdf5};
  lur_keras_config *config = NULL;
  lur_hdf5_group *level = NULL;
  const char *path = lur_hdf5_has_link(keras->group, "layers") ? "layers" : "_layer_checkpoint_dependencies";
  LUR_TRY(lur_hdf5_group_open(keras->hdf5, keras->group, path, &level));
  lur_status status = zipped ? lur_keras_config_open(file->path, &config) : LUR_OK;
  file->unordered = true;
  const place top = {.path = path, .level = lur_keras_config_top(config)};
  if (status == LUR_OK) status = add_level(&in, level, &top);
  lur_keras_config_close(config);
  lur_hdf5_group_close(level);
  return status;
}
