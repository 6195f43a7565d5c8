/* state.h - a run's counters and optimizer arrays, as a checkpoint stores them. */
#ifndef LUR_RUN_STATE_H
#define LUR_RUN_STATE_H

#include "engine/base/alloc.h"
#include "engine/lurcher.h"

struct lur_output_loss; /* engine/graph/graph.h */

typedef struct lur_run_state {
  int64_t iterations;   /* optimizer steps */
  uint64_t step;        /* training forwards: dropout's counter */
  uint64_t seed;        /* dropout's key */
  double lr, m_schedule;
  double loss_scale;    /* f16's; 0: the run is not in f16, or the file does not give it */
  int64_t good_steps;   /* since it last changed */
  int n;                /* optimizer arrays, host tensors, owned */
  char (*names)[2 * LUR_NAME + 48]; /* "m/block1_conv1/kernel" */
  lur_tensor **tensors;
} lur_run_state;

/* The layers whose weights a checkpoint has: the model's, then those that only its losses have. */
lur_layer *const *lur_run_layers(const lur_run *run, int *n);
/* The run's losses that are graphs of the caller's own, borrowed; returns their number. */
int lur_run_graphs(const lur_run *run, struct lur_output_loss *losses);
/* Name of the run's optimizer kind, "none" where it has none. */
const char *lur_run_optimizer_kind(const lur_run *run);
/* Copies the state out; free it with lur_run_state_free. */
lur_status lur_run_export(lur_run *run, lur_run_state *state);
/* Checks names and shapes before anything is changed. */
lur_status lur_run_import(lur_run *run, const lur_run_state *state);
void lur_run_state_free(lur_run_state *state);

#endif
