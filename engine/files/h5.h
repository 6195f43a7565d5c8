/* h5.h - the part of HDF5 that weights files need: every size is checked, every failure becomes a one-line message.
 * Used by keras_*.c only. */
#ifndef LUR_H5_H
#define LUR_H5_H

#include <hdf5.h>

#include "files.h"

typedef struct lur_strings { /* zero-initialised */
  int n;
  char **items;
} lur_strings;
void lur_strings_free(lur_strings *strings);

typedef struct lur_h5 { /* an open file; while it is open, HDF5 does not print errors */
  const char *path;     /* belongs to the caller */
  hid_t file;
  H5E_auto2_t printer;
  void *printer_data;
} lur_h5;

lur_status lur_h5_open(const char *path, lur_h5 *h5);
/* Opens a file whose bytes are in memory; they are copied. */
lur_status lur_h5_open_image(const char *path, void *bytes, size_t count, lur_h5 *h5);
/* Creates a file in memory; lur_h5_image returns its bytes. */
lur_status lur_h5_create(const char *path, lur_h5 *h5);
void lur_h5_close(lur_h5 *h5);
/* The bytes of a file from lur_h5_create; the caller frees them. */
lur_status lur_h5_image(lur_h5 *h5, void **bytes, size_t *count);

/* Fails with "'path': what 'name' ...: HDF5's innermost reason". */
lur_status lur_h5_fail(const lur_h5 *h5, const char *what, const char *name);

bool lur_h5_has_attribute(hid_t object, const char *name);
bool lur_h5_has_link(hid_t group, const char *name);
/* Reads an attribute of strings: scalar or list, of fixed or variable length. If `name` is absent, joins name0, name1,
   ..., into which Keras splits long lists. An empty list may have any type. owner: of the attribute, for messages. */
lur_status lur_h5_strings(const lur_h5 *h5, hid_t object, const char *owner, const char *name, lur_strings *strings);
/* Opens a dataset of numbers and returns its shape. */
lur_status lur_h5_open_numbers(const lur_h5 *h5, hid_t group, const char *name, hid_t *dataset, lur_shape *shape);
/* Reads all numbers of an open dataset, which must be count, as floats. */
lur_status lur_h5_read_numbers(const lur_h5 *h5, hid_t dataset, const char *name, int64_t count, float *values);
/* Writes an attribute of n strings, or for n < 0 a scalar one. They are null-padded, of fixed length: the only strings
   that every version of h5py returns as bytes. Lists over Keras's limit of 64512 bytes are split into name0, name1, ...
 */
lur_status lur_h5_put_strings(const lur_h5 *h5, hid_t object, const char *name, int n, const char *const *texts);

#endif
