/* target.c - queries of a plan's target (target.h). */
#include "target.h"

bool lur_target_trains(const lur_plan_target *target, const lur_layer *layer) {
  for (int i = 0; i < target->model->nlayers; i++) {
    if (target->model->layers[i] == layer) return target->trains[i];
  }
  return false;
}

int lur_target_learned(const lur_plan_target *target, const lur_layer *layer, int weight) {
  for (int i = 0; i < target->nlearned; i++) {
    if (target->learned[i].layer == layer && target->learned[i].weight == weight) return i;
  }
  return -1;
}
