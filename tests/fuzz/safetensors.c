/* safetensors.c - fuzzes the reader of safetensors files: every tensor and metadata key is read.
 * sources: engine
 * libraries: -lcjson -lxxhash -lhdf5_serial -lz -ljpeg -lpng -ldl */
#include "engine/lurcher.h"
#include "support/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lur_context *context;
  lur_archive *archive = NULL;
  if (context == NULL && lur_context_new(1, 1, &context) != LUR_OK) abort();
  if (lur_archive_open(context, input_file(data, size), &archive) != LUR_OK) return 0;
  for (int i = 0; i < lur_archive_count(archive); i++) {
    lur_tensor *tensor = NULL;
    if (lur_archive_name(archive, i) == NULL) abort();
    if (lur_archive_read(archive, i, &tensor) == LUR_OK) lur_tensor_release(tensor);
  }
  for (int i = 0; lur_archive_metadata_key(archive, i) != NULL && i < 1000; i++) {
    const char *key = lur_archive_metadata_key(archive, i);
    if (lur_archive_metadata(archive, key) == NULL) abort();
  }
  lur_archive_close(archive);
  return 0;
}
