/* fingerprint.c - one number for the contents of each image file of a dataset: XXH3-64 of its bytes.
 *
 * Contents rather than size and modification time: a copy, a checkout or a touch changes the time of an unchanged
 * image, and an image can change and keep both. Reading the files costs far less than running a network on them. */
#include <xxhash.h>

#include "bytes.h"
#include "dataset.h"

/* A file that cannot be read gets 0, so that it counts as changed once it can be read. */
static lur_status fingerprint(const char *path, lur_bytes *bytes, uint64_t *print) {
  lur_status status = lur_bytes_read(path, bytes);
  if (status == LUR_ENOMEM) return status;
  *print = status == LUR_OK ? XXH3_64bits(bytes->data, bytes->count) : 0;
  return LUR_OK;
}

lur_status lur_dataset_fingerprints(const lur_dataset *dataset, uint64_t *prints) {
  atomic_bool failed = false;
#pragma omp parallel
  {
    lur_bytes bytes = {0};
#pragma omp for schedule(dynamic, 8)
    for (int64_t i = 0; i < dataset->size; i++) {
      if (!failed && fingerprint(dataset->items[i].path, &bytes, &prints[i]) != LUR_OK) failed = true;
    }
    lur_bytes_free(&bytes);
  }
  return failed ? lur_fail(LUR_ENOMEM, "no memory to read the images of a dataset of %lld", (long long)dataset->size)
                : LUR_OK;
}
