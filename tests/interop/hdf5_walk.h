/* hdf5_walk.h - visits everything in an HDF5 file with the engine's reader: links, texts of attributes, values of
 * arrays. tests/interop/hdf5_dump.c prints what it finds, tests/fuzz/hdf5.c only needs it visited. A failure ends a
 * branch, not the walk; `failed` gets its message. */
#ifndef LUR_HDF5_WALK_H
#define LUR_HDF5_WALK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/files/hdf5_internal.h"

typedef struct hdf5_walker {
  void (*group)(const char *path);
  void (*texts)(const char *path, const char *attribute, const lur_strings *strings);
  void (*values)(const char *path, const lur_shape *shape, const float *values);
  void (*failed)(const char *path, const char *message);
  int64_t most_values; /* larger arrays are passed over */
  int left;            /* objects that may still be visited: hard links can form circles */
} hdf5_walker;

static inline void walk_array(hdf5_walker *walker, lur_hdf5 *file, const char *path) {
  lur_shape shape;
  if (lur_hdf5_shape(file, NULL, path, &shape) != LUR_OK) {
    walker->failed(path, lur_last_error());
    return;
  }
  int64_t count = lur_shape_count(&shape);
  if (count > walker->most_values) return;
  float *values = calloc((size_t)count + 1, sizeof *values);
  if (lur_hdf5_values(file, NULL, path, count, values) == LUR_OK) walker->values(path, &shape, values);
  else walker->failed(path, lur_last_error());
  free(values);
}

static inline void walk_texts(hdf5_walker *walker, const lur_hdf5_group *group, const char *path) {
  for (int i = 0; i < group->nattributes; i++) {
    const char *name = group->attributes[i].name;
    lur_strings strings = {0};
    if (lur_hdf5_strings(group, name, &strings) == LUR_OK) walker->texts(path, name, &strings);
    else walker->failed(path, lur_last_error());
    lur_strings_free(&strings);
  }
}

static inline void walk_group(hdf5_walker *walker, lur_hdf5 *file, const char *path, int depth) {
  lur_hdf5_group *group = NULL;
  if (lur_hdf5_group_open(file, NULL, path, &group) != LUR_OK) {
    walker->failed(path, lur_last_error());
    return;
  }
  walker->group(path);
  walk_texts(walker, group, path);
  for (int i = 0; i < lur_hdf5_link_count(group) && walker->left > 0; i++) {
    char below[4096];
    bool is_group = false;
    walker->left--;
    const char *name = lur_hdf5_link_name(group, i);
    if (strlen(path) + strlen(name) + 2 > sizeof below) continue;
    strcpy(below, path[1] == '\0' ? "" : path);
    strcat(strcat(below, "/"), name);
    if (lur_hdf5_is_group(group, name, &is_group) != LUR_OK) walker->failed(below, lur_last_error());
    else if (is_group && depth < 16) walk_group(walker, file, below, depth + 1);
    else if (!is_group) walk_array(walker, file, below);
  }
  lur_hdf5_group_close(group);
}

#endif
