/* fingerprint.c - one number for the contents of each image file of a dataset: XXH3-64 of its bytes.
 *
 * Contents rather than size and modification time: a copy, a checkout or a touch changes the time of an unchanged
 * image, and an image can change and keep both. Reading the files costs far less than running a network on them. */
#include <stdio.h>
#include <xxhash.h>

#include "bytes.h"
#include "dataset.h"

/* A file that is missing, forbidden, empty or no file gets 0, so that it counts as changed once it can be read. Other
   failures are not the image's: they are returned. */
static lur_status fingerprint(const char *path, lur_bytes *bytes, uint64_t *print) {
  bool absent;
  lur_status status = lur_bytes_read(path, bytes, &absent);
  if (status == LUR_ENOMEM || (status == LUR_EIO && !absent)) return lur_blame(status, "%s", path);
  *print = status == LUR_OK ? XXH3_64bits(bytes->data, bytes->count) : 0;
  return LUR_OK;
}

lur_status lur_dataset_fingerprints(const lur_dataset *dataset, uint64_t *prints) {
  atomic_bool failed = false;
  lur_status status = LUR_OK;
  char message[512] = "";
#pragma omp parallel
  {
    lur_bytes bytes = {0};
#pragma omp for schedule(dynamic, 8)
    for (int64_t i = 0; i < dataset->size; i++) {
      if (failed) continue;
      lur_status mine = fingerprint(dataset->items[i].path, &bytes, &prints[i]);
      if (mine == LUR_OK || atomic_exchange(&failed, true)) continue;
      status = mine; /* one thread comes here */
      snprintf(message, sizeof message, "%s", lur_last_error());
    }
    lur_bytes_free(&bytes);
  }
  return failed ? lur_fail(status, "%s", message) : LUR_OK;
}
