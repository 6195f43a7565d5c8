/* zip.c - fuzzes the reader of zip archives.
 * sources: engine
 * libraries: -lz */
#include "engine/files/files.h"
#include "support/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  void *bytes = NULL;
  size_t count = 0;
  if (lur_zip_read(input_file(data, size), "model.weights.h5", &bytes, &count) == LUR_OK) {
    if (count > size) abort();
    free(bytes);
  } else {
    check_message();
  }
  return 0;
}
