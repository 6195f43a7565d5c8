/* hdf5.h - reads HDF5 files: the groups, attributes and arrays of numbers that Keras and h5py write. It is independent
 * of libhdf5, which is used for writing only (h5.h), and it takes no locks.
 *
 * The format is the HDF Group's "HDF5 File Format Specification Version 3.0". Supported are superblocks 0 to 3, both
 * versions of object headers and of groups, attributes in headers and in fractal heaps, compact, contiguous and chunked
 * values (every kind of chunk index) behind the filters deflate, shuffle and fletcher32, integers and floats of up to
 * 64 bits in both byte orders, opaque elements of two bytes (h5py's bfloat16), texts of fixed and variable length, hard
 * links, and soft links within the file. External links, virtual datasets, values in other files, named types and
 * everything else are errors that name the feature.
 *
 * A file is not trusted: every address, size and count is checked against the file before it is used; the work that a
 * file may cause and the memory that it may take are bounded by its size; checksums are compared where there are any.
 *
 * The reader knows no name of a layer or weight: keras_*.c do. */
#ifndef LUR_HDF5_H
#define LUR_HDF5_H

#include "files.h"

typedef struct lur_hdf5 lur_hdf5;             /* an open file */
typedef struct lur_hdf5_group lur_hdf5_group; /* an open group: its links and attributes are in memory */

/* path is kept, not copied. LUR_EIO when the system refuses, LUR_EFORMAT when the bytes are damaged, LUR_EUNSUPPORTED
   for what is not supported; so do all functions below. */
lur_status lur_hdf5_open(const char *path, lur_hdf5 **file);
/* A file whose bytes are in memory; they are freed by lur_hdf5_close, or here on failure. path is for messages. */
lur_status lur_hdf5_open_bytes(const char *path, void *bytes, size_t count, lur_hdf5 **file);
void lur_hdf5_close(lur_hdf5 *file); /* NULL is accepted; groups are closed before */
const char *lur_hdf5_path(const lur_hdf5 *file);

/* Paths are relative to group `from` ("a/b/c"), or to the root where they begin with a slash or `from` is NULL. */
lur_status lur_hdf5_group_open(lur_hdf5 *file, const lur_hdf5_group *from, const char *path, lur_hdf5_group **group);
void lur_hdf5_group_close(lur_hdf5_group *group); /* NULL is accepted */

int lur_hdf5_link_count(const lur_hdf5_group *group);
/* Names in the order of strcmp. Valid until the group is closed. */
const char *lur_hdf5_link_name(const lur_hdf5_group *group, int index);
bool lur_hdf5_has_link(const lur_hdf5_group *group, const char *name);
/* Whether a path leads to a group; false where it leads nowhere. */
lur_status lur_hdf5_is_group(const lur_hdf5_group *from, const char *path, bool *is_group);

typedef struct lur_strings { /* zero-initialised */
  int n;
  char **items;
} lur_strings;
void lur_strings_free(lur_strings *strings);

bool lur_hdf5_has_attribute(const lur_hdf5_group *group, const char *name);
/* The texts of an attribute: a scalar or a list, of fixed or variable length. Where `name` is absent, the texts of the
   pieces name0, name1, ... that Keras splits long lists into. An empty list of any type has no texts. */
lur_status lur_hdf5_strings(const lur_hdf5_group *group, const char *name, lur_strings *strings);

/* The shape of an array of numbers. */
lur_status lur_hdf5_shape(lur_hdf5 *file, const lur_hdf5_group *from, const char *path, lur_shape *shape);
/* The values of an array of `count` numbers as float. */
lur_status lur_hdf5_values(lur_hdf5 *file, const lur_hdf5_group *from, const char *path, int64_t count, float *values);

#endif
