/* target.c - queries of a plan's target (target.h). */
#include "target.h"

bool lur_loss_needs_target(const lur_target_loss *loss) {
  return loss->form == LUR_LOSS_OP || (loss->form == LUR_LOSS_GRAPH && lur_loss_graph_target(loss->graph));
}

bool lur_target_trains(const lur_plan_target *target, const lur_layer *layer) {
  for (int i = 0; i < target->nlayers; i++) {
    if (target->layers[i] == layer) return target->trains[i];
  }
  return false;
}

int lur_target_learned(const lur_plan_target *target, const lur_layer *layer, int weight) {
  for (int i = 0; i < target->nlearned; i++) {
    if (target->learned[i].layer == layer && target->learned[i].weight == weight) return i;
  }
  return -1;
}
