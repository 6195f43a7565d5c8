/* image.c - fuzzes the decoders of images.
 * sources: engine
 * libraries: -lcjson -lxxhash -lhdf5_serial -lz -ljpeg -lpng -ldl */
#include "engine/lurcher.h"
#include "support/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lur_context *context;
  lur_decode_options options = {.exif = true, .max_pixels = 1 << 20};
  lur_tensor *image = NULL;
  if (context == NULL && lur_context_new(1, 1, &context) != LUR_OK) abort();
  if (lur_image_decode(context, data, size, &options, &image) != LUR_OK) {
    check_message();
    return 0;
  }
  int64_t count = lur_shape_count(lur_tensor_shape(image));
  if (count < 3 || count > 3 * options.max_pixels) abort();
  lur_tensor_release(image);
  return 0;
}
