/* h5.h - writes HDF5 files through libhdf5: what keras_write.c needs, with one line of text for every failure. Files
 * are read by hdf5.h, without libhdf5. */
#ifndef LUR_H5_H
#define LUR_H5_H

#include <hdf5.h>

#include "files.h"

typedef struct lur_h5 { /* a file in memory; libhdf5's own printing of errors is off while it is open */
  const char *path; /* the caller's */
  hid_t file;
  H5E_auto2_t printer;
  void *printer_data;
} lur_h5;

/* A new file in memory; lur_h5_image gives its bytes. */
lur_status lur_h5_create(const char *path, lur_h5 *h5);
void lur_h5_close(lur_h5 *h5);
/* The bytes of a file made by lur_h5_create; free() them. */
lur_status lur_h5_image(lur_h5 *h5, void **bytes, size_t *count);

/* Fails with "'path': what 'name' ...: HDF5's innermost reason". */
lur_status lur_h5_fail(const lur_h5 *h5, const char *what, const char *name);

/* Writes an attribute of fixed-length, null-padded texts: the only ones that every version of h5py returns as bytes. A
   scalar for n < 0. Lists over Keras's limit of 64512 bytes are split into name0, name1, ... */
lur_status lur_h5_put_strings(const lur_h5 *h5, hid_t object, const char *name, int n, const char *const *texts);

#endif
