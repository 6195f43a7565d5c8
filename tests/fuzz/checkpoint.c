/* checkpoint.c - fuzzes the reader of checkpoints: the input is loaded as a model, and restored into a run, which then
 * makes a step.
 * sources: engine
 * libraries: -lcjson -lxxhash -lhdf5_serial -lz -ljpeg -lpng -ldl */
#include <string.h>

#include "support/input.h"
#include "support/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lur_context *context;
  static lur_model *model;
  static lur_run *run;
  lur_model *loaded = NULL;
  char *extra = NULL;
  if (context == NULL && lur_context_new(1, 1, &context) != LUR_OK) abort();
  if (model == NULL) model = small_model(context);
  if (run == NULL) run = small_run(context, model);
  const char *path = input_file(data, size);
  if (lur_model_load(context, path, &loaded, &extra) == LUR_OK) {
    free(extra);
    lur_model_release(loaded);
  } else {
    check_message();
  }
  extra = NULL;
  if (lur_run_restore(run, path, &extra) != LUR_OK) {
    check_message();
    return 0;
  }
  free(extra);
  if (small_step(context, run) != LUR_OK) check_message(); /* the step may find weights that are not finite */
  return 0;
}
