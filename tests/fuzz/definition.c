/* definition.c - fuzzes the reader of model definitions: one that is read is written, and read again.
 * sources: engine
 * libraries: -lcjson -lxxhash -lhdf5_serial -lz -ljpeg -lpng -ldl */
#include <string.h>

#include "engine/lurcher.h"
#include "support/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lur_context *context;
  lur_model *model = NULL, *again = NULL;
  char *text = malloc(size + 1), *written = NULL;
  if (text == NULL) return 0;
  memcpy(text, data, size);
  text[size] = '\0';
  if (context == NULL && lur_context_new(1, 1, &context) != LUR_OK) abort();
  if (lur_model_from_json(context, text, &model) == LUR_OK) {
    if (lur_model_to_json(model, &written) != LUR_OK) abort();
    if (lur_model_from_json(context, written, &again) != LUR_OK) abort();
  }
  lur_text_free(written);
  free(text);
  lur_model_release(again);
  lur_model_release(model);
  return 0;
}
