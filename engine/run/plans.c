/* plans.c - the plans of a run, one per key, and the arena that they share. The plan that was not used for longest
 * makes room for a new one. */
#include <stdlib.h>
#include <string.h>

#include "run.h"

/* ---- the arena ---- */

/* Puts what needed the memory before the message: "2.0 MiB of activations on cuda:0 (...)". */
static lur_status blame_arena(lur_status status, const lur_run *run, const lur_plan *plan) {
  const lur_buffer *largest = NULL;
  for (int i = 0; i < plan->nbuffers; i++) {
    const lur_buffer *b = &plan->buffers[i];
    if (b->alias < 0 && (!largest || b->bytes > largest->bytes)) largest = b;
  }
  const double mib = 1048576;
  return lur_blame(status,
                   "%.1f MiB of activations on %s (the largest: %.1f MiB, %s of '%s'), in addition to %.1f MiB of "
                   "weights, gradients "
                   "and optimizer state (use a smaller batch or freeze more layers)",
                   (double)plan->arena_bytes / mib, lur_device_name(run->target.device),
                   largest ? (double)largest->bytes / mib : 0, largest ? largest->what : "output",
                   largest && largest->op >= 0 ? plan->ops[largest->op].desc.name : "",
                   (double)lur_run_state_bytes(run) / mib);
}

static lur_status grow_arena(lur_run *run, const lur_plan *plan) {
  lur_run_plans *plans = &run->plans;
  size_t bytes = plan->arena_bytes;
  if (bytes <= plans->arena_bytes) return LUR_OK;
  lur_device *device = run->target.device;
  lur_device_free(device, plans->arena);
  plans->arena = NULL;
  plans->arena_bytes = 0;
  lur_status status = lur_device_alloc(device, bytes, &plans->arena);
  if (status != LUR_OK) return blame_arena(status, run, plan);
  plans->arena_bytes = bytes;
  return LUR_OK;
}

/* ---- plans ---- */

static void free_entry(lur_device *device, lur_run_plan *entry) {
  lur_capture_free(device, &entry->capture);
  lur_device_free_host(device, entry->host);
  lur_plan_free(entry->plan);
  free(entry);
}

static lur_status new_entry(lur_run *run, const lur_plan_key *key, lur_run_plan **entry) {
  lur_run_plan *made = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  lur_status status = lur_plan_build(&run->target, key, &made->plan);
  if (status == LUR_OK) status = lur_run_plan_alloc_host(run, made);
  if (status == LUR_OK) *entry = made;
  else free_entry(run->target.device, made);
  return status;
}

static void drop(lur_run *run, int at) {
  lur_run_plans *plans = &run->plans;
  if (plans->last == plans->plans[at]) plans->last = NULL;
  free_entry(run->target.device, plans->plans[at]);
  plans->plans[at] = plans->plans[--plans->n];
}

static void drop_oldest(lur_run *run) {
  int oldest = 0;
  for (int i = 1; i < run->plans.n; i++) {
    if (run->plans.plans[i]->used < run->plans.plans[oldest]->used) oldest = i;
  }
  drop(run, oldest);
}

void lur_run_drop_quantized_plans(lur_run *run) {
  for (int i = 0; i < run->plans.n;) {
    if (run->plans.plans[i]->plan->key.mode == LUR_MODE_CALIBRATE) i++;
    else drop(run, i);
  }
}

void lur_run_drop_plans(lur_run *run) {
  lur_run_plans *plans = &run->plans;
  for (int i = 0; i < plans->n; i++) free_entry(run->target.device, plans->plans[i]);
  lur_device_free(run->target.device, plans->arena);
  *plans = (lur_run_plans){0};
}

lur_status lur_run_find_plan(lur_run *run, const lur_plan_key *key, lur_run_plan **plan) {
  lur_run_plans *plans = &run->plans;
  lur_run_plan *found = NULL;
  for (int i = 0; i < plans->n && !found; i++) {
    if (memcmp(&plans->plans[i]->plan->key, key, sizeof *key) == 0) found = plans->plans[i];
  }
  if (!found) {
    LUR_TRY(new_entry(run, key, &found));
    if (plans->n == LUR_MAX_PLANS) drop_oldest(run);
    plans->plans[plans->n++] = found;
  }
  LUR_TRY(grow_arena(run, found->plan));
  found->used = ++plans->clock;
  plans->last = found;
  *plan = found;
  return LUR_OK;
}

size_t lur_run_arena_bytes(const lur_run *run) { return run->plans.last ? run->plans.last->plan->arena_bytes : 0; }

void lur_run_set_profile(lur_run *run, bool on) {
  run->profile = on;
  for (int i = 0; i < run->plans.n && on; i++) {
    lur_plan *plan = run->plans.plans[i]->plan;
    for (int k = 0; k < plan->nops; k++) {
      lur_plan_op *op = &plan->ops[k];
      op->seconds[0] = op->seconds[1] = 0;
      op->calls[0] = op->calls[1] = 0;
    }
  }
}
