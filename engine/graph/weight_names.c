/* weight_names.c - what files of other frameworks call a model's weights. The names are data of the model: the engine
 * knows no network. */
#include <stdlib.h>
#include <string.h>

#include "graph.h"

void lur_model_drop_weight_names(lur_model *model) {
  for (int i = 0; i < model->nweight_names; i++) {
    free((char *)(uintptr_t)model->weight_names[i].file);
    free((char *)(uintptr_t)model->weight_names[i].model);
  }
  free(model->weight_names);
  model->weight_names = NULL;
  model->nweight_names = 0;
}

static lur_status check_name(const lur_weight_name *name) {
  const char *slash = strrchr(name->model, '/');
  if (slash && slash > name->model && slash - name->model < LUR_NAME && slash[1] &&
      strlen(slash + 1) < sizeof((lur_weight *)0)->name)
    return LUR_OK;
  return lur_fail(LUR_EARG, "weight names: '%.80s' is called '%.120s' in the model (LAYER/WEIGHT expected)", name->file,
                  name->model);
}

lur_status lur_model_set_weight_names(lur_model *model, int n, const lur_weight_name *names) {
  lur_model made = {0};
  for (int i = 0; i < n; i++) LUR_TRY(check_name(&names[i]));
  LUR_TRY(lur_alloc_items((size_t)n, sizeof *made.weight_names, &made.weight_names));
  for (int i = 0; i < n; i++) {
    lur_weight_name copy = {strdup(names[i].file), strdup(names[i].model)};
    made.weight_names[made.nweight_names++] = copy;
    if (copy.file && copy.model) continue;
    lur_model_drop_weight_names(&made);
    return lur_fail(LUR_ENOMEM, "no memory for %d weight names", n);
  }
  lur_model_drop_weight_names(model);
  model->weight_names = made.weight_names;
  model->nweight_names = made.nweight_names;
  return LUR_OK;
}

int lur_model_weight_name_count(const lur_model *model) { return model->nweight_names; }
lur_weight_name lur_model_weight_name(const lur_model *model, int index) { return model->weight_names[index]; }
