/* weights.c - fuzzes the readers of weights files with a model to load them into: Keras 2 (.h5), Keras 3 (.weights.h5,
 * .keras), safetensors with the engine's names and with PyTorch's.
 * sources: engine
 * libraries: -lcjson -lxxhash -lhdf5_serial -lz -ljpeg -lpng -ldl */
#include <string.h>

#include "support/input.h"
#include "support/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const lur_load_match matches[] = {LUR_LOAD_AUTO, LUR_LOAD_BY_NAME, LUR_LOAD_BY_ORDER};
  static lur_context *context;
  static lur_model *model;
  if (context == NULL && lur_context_new(1, 1, &context) != LUR_OK) abort();
  if (model == NULL) model = small_model(context);
  const char *path = input_file(data, size);
  for (int i = 0; i < 9; i++) { /* each match with each extent */
    lur_load_report report = {0};
    lur_status status = lur_model_load_weights(model, path, matches[i % 3], (lur_load_extent)(i / 3), &report);
    if (status != LUR_OK) check_message();
    if (status == LUR_OK && i / 3 == LUR_LOAD_ALL && (report.missing > 0 || report.mismatched > 0)) abort();
    if (report.loaded < 0 || report.loaded > lur_model_layer_count(model)) abort();
    lur_load_report_free(&report);
  }
  return 0;
}
