/* weight.c - the weights of a layer: declaring, setting and moving them. init.c draws their first values. */
#include <stdio.h>
#include <string.h>

#include "engine/tensor/tensor_host.h"
#include "layer.h"

void lur_layer_drop_weights(lur_layer *layer) {
  for (int i = 0; i < layer->nweights; i++) lur_tensor_release(layer->weights[i].value);
  memset(layer->weights, 0, sizeof layer->weights);
  layer->nweights = 0;
}

lur_status lur_layer_add_weight(lur_layer *layer, int index, const char *name, const lur_shape *shape, bool learned,
                                lur_init init, double fan_in, double fan_out) {
  const char *kind = layer->kind->name;
  if (layer->built) {
    const lur_weight *weight = &layer->weights[index];
    if (index < layer->nweights && lur_shape_equal(&weight->shape, shape)) return LUR_OK;
    char have[LUR_SHAPE_TEXT], want[LUR_SHAPE_TEXT];
    return lur_fail(LUR_ESHAPE, "%s '%s': its '%s' is %s, this input needs %s", kind, layer->name, name,
                    lur_shape_format(&weight->shape, have), lur_shape_format(shape, want));
  }
  lur_status status = lur_shape_check(shape);
  if (status != LUR_OK) return lur_blame(status, "%s '%s': weight '%s'", kind, layer->name, name);
  lur_weight *weight = &layer->weights[index];
  *weight = (lur_weight){
      .shape = *shape, .learned = learned, .init = init, .fan_in = fan_in, .fan_out = fan_out, .scale = 0.05};
  snprintf(weight->name, sizeof weight->name, "%s", name);
  weight->decays = strstr(name, "kernel") != NULL;
  if (index >= layer->nweights) layer->nweights = index + 1;
  return LUR_OK;
}

lur_status lur_layer_build(lur_layer *layer, int n, const lur_shape *samples) {
  lur_status status = layer->kind->build ? layer->kind->build(layer, n, samples) : LUR_OK;
  if (layer->built) return status;
  for (int i = 0; i < layer->nweights && status == LUR_OK && !layer->deferred; i++)
    status = lur_weight_draw(layer, &layer->weights[i]);
  if (status != LUR_OK) {
    lur_layer_drop_weights(layer);
    return status;
  }
  layer->built = true;
  return LUR_OK;
}

lur_status lur_layer_make_weights(lur_layer *layer, bool draw) {
  for (int i = 0; i < layer->nweights; i++) {
    lur_weight *weight = &layer->weights[i];
    if (weight->value) continue;
    if (draw) LUR_TRY(lur_weight_draw(layer, weight));
    else LUR_TRY(lur_tensor_blank(layer->context, LUR_F32, &weight->shape, &weight->value));
  }
  layer->deferred = false;
  return LUR_OK;
}

int lur_layer_weight_count(const lur_layer *layer) { return layer->nweights; }
const char *lur_layer_weight_name(const lur_layer *layer, int index) { return layer->weights[index].name; }
bool lur_layer_weight_learned(const lur_layer *layer, int index) { return layer->weights[index].learned; }
lur_tensor *lur_layer_weight(const lur_layer *layer, int index) { return layer->weights[index].value; }

lur_status lur_layer_set_weight(lur_layer *layer, int index, lur_tensor *value) {
  if (index < 0 || index >= layer->nweights) {
    return lur_fail(LUR_EARG, "%s '%s': weight %d of %d%s", layer->kind->name, layer->name, index, layer->nweights,
                    layer->built ? "" : " (its weights are made when it is first applied)");
  }
  lur_weight *weight = &layer->weights[index];
  if (!lur_shape_equal(&value->shape, &weight->shape)) {
    char have[LUR_SHAPE_TEXT], got[LUR_SHAPE_TEXT];
    return lur_fail(LUR_ESHAPE, "%s '%s': weight '%s' is %s, got %s", layer->kind->name, layer->name, weight->name,
                    lur_shape_format(&weight->shape, have), lur_shape_format(&value->shape, got));
  }
  lur_tensor *f32 = value;
  if (value->dtype == LUR_F32) {
    lur_tensor_retain(value);
  } else {
    LUR_TRY(lur_tensor_cast(value, LUR_F32, &f32));
  }
  lur_status status = lur_tensor_copy(weight->value, f32);
  if (status == LUR_OK) weight->version++;
  lur_tensor_release(f32);
  return status;
}

lur_status lur_layer_reset(lur_layer *layer) {
  for (int i = 0; i < layer->nweights; i++) LUR_TRY(lur_weight_draw(layer, &layer->weights[i]));
  return LUR_OK;
}

uint64_t lur_weight_version(const lur_weight *weight) { return weight->version + weight->value->storage->writes; }

lur_status lur_weight_to(lur_weight *weight, lur_device *device) {
  lur_tensor *there;
  LUR_TRY(lur_tensor_to(weight->value, device, &there));
  if (there != weight->value) weight->version += weight->value->storage->writes; /* the new tensor counts from 0 */
  lur_tensor_release(weight->value);
  weight->value = there;
  return LUR_OK;
}
