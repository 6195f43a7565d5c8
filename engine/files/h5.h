/* h5.h - the little of HDF5 that weight files need, with every size checked and every failure one line of ours.
 * Included by keras_*.c only. */
#ifndef LUR_H5_H
#define LUR_H5_H

#include <hdf5.h>

#include "files.h"

typedef struct lur_strings { /* zero-initialised */
  int n;
  char **items;
} lur_strings;
void lur_strings_free(lur_strings *strings);

typedef struct lur_h5 { /* an open file; HDF5's own printing of errors is off while it lives */
  const char *path;     /* the caller's */
  hid_t file;
  H5E_auto2_t printer;
  void *printer_data;
} lur_h5;

lur_status lur_h5_open(const char *path, lur_h5 *h5);
/* A file whose bytes are in memory; they are copied. */
lur_status lur_h5_open_image(const char *path, void *bytes, size_t count, lur_h5 *h5);
/* A new file in memory; lur_h5_image gives its bytes. */
lur_status lur_h5_create(const char *path, lur_h5 *h5);
void lur_h5_close(lur_h5 *h5);
/* The bytes of a file made by lur_h5_create; free() them. */
lur_status lur_h5_image(lur_h5 *h5, void **bytes, size_t *count);

/* Fails with "'path': what 'name' ...: HDF5's innermost reason". */
lur_status lur_h5_fail(const lur_h5 *h5, const char *what, const char *name);

bool lur_h5_has_attribute(hid_t object, const char *name);
bool lur_h5_has_link(hid_t group, const char *name);
/* The texts of an attribute: scalar or list, fixed or variable length; where `name` is absent the pieces name0, name1,
   ... that Keras splits long lists into. An empty list of any type is no text. owner: of the attribute, for messages.
 */
lur_status lur_h5_strings(const lur_h5 *h5, hid_t object, const char *owner, const char *name, lur_strings *strings);
/* Opens a dataset of numbers and gives its shape. */
lur_status lur_h5_open_numbers(const lur_h5 *h5, hid_t group, const char *name, hid_t *dataset, lur_shape *shape);
/* Reads count floats of an open dataset of that many numbers. */
lur_status lur_h5_read_numbers(const lur_h5 *h5, hid_t dataset, const char *name, int64_t count, float *values);
/* Fixed-length, null-padded: the only text that every version of h5py gives back as bytes. Scalar for n < 0. Lists
   over Keras's limit of 64512 bytes are split into name0, name1, ... */
lur_status lur_h5_put_strings(const lur_h5 *h5, hid_t object, const char *name, int n, const char *const *texts);

#endif
