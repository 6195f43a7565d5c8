/* run.h - a model compiled for a device: what all its plans share. Each part of lur_run belongs to one file, which
 * alone changes it; run.c, compile.c and describe.c put the parts together. */
#ifndef LUR_RUN_H
#define LUR_RUN_H

#include <stdatomic.h>

#include "engine/plan/plan.h"
#include "state.h"

/* ---- bound inputs: bind.c ---- */

enum { LUR_MAX_BOUND = LUR_MAX_INPUTS + 2 * LUR_MAX_OUTPUTS };

/* A tensor of the next batch, retained; NULL: none. writes: of its storage when the copy began. */
typedef struct lur_prefetched {
  lur_tensor *tensor;
  uint64_t writes;
} lur_prefetched;

/* One tensor of the present batch, as plans read it. */
typedef struct lur_bound_input {
  void *address;      /* NULL: not bound */
  lur_tensor *tensor; /* read in place, retained; NULL: copied into memory */
  void *memory;       /* on the device, large enough for every batch so far: they all have the same address */
  size_t bytes;
  lur_prefetched in_flight; /* being copied to staged while the device computes */
  lur_prefetched arrived;   /* in memory already: the next batch, unless another one is bound first */
  void *staged;
  size_t staged_bytes;
} lur_bound_input;

/* Finds the batch's tensors, checks them, starts copies to the device and writes the key. Wait before the batch goes
   back to its owner, on failure too. */
lur_status lur_run_bind(lur_run *run, const lur_batch *batch, lur_plan_mode mode, lur_plan_key *key);
/* There is a sample weight for each row; row numbers bound to gathers are within what they gather from, and class ids
   bound to one_hot within its classes. */
lur_status lur_run_check_rows(lur_run *run, const lur_plan *plan, const lur_batch *batch);
void lur_run_unbind(lur_run *run);

/* ---- parameters and optimizer state: optimizer.c; run_state.c saves and restores them ---- */

struct lur_optimizer {
  atomic_int refs;
  lur_context *context;
  lur_update_rule rule;
  void *options; /* lur_optimizer_options */
};
double lur_optimizer_lr(const lur_optimizer *optimizer);

typedef struct lur_scales { /* of one learned weight: lur_run_scale_layer */
  float lr, decay;
} lur_scales;

/* A piece of work that the device gets at every step: launched once, captured, then replayed (capture.c). */
typedef struct lur_capture {
  void *graph;  /* the backend's; NULL: not captured */
  uint64_t key; /* of every address and number that the graph contains; 0: not launched yet */
} lur_capture;

typedef struct lur_optimizing {
  lur_optimizer *optimizer; /* retained; NULL: no steps */
  lur_scales *scales;       /* by learned weight */
  lur_parameter *parameters; /* by learned weight: what an update works on; NULL until the first */
  int64_t count;             /* floats in the flat arrays: learned weights, each rounded up to 16 */
  lur_tensor *gradients, *m, *v; /* flat f32; NULL until needed */
  int64_t iterations;
  double lr, m_schedule, m_schedule_before; /* before: the last update, which an overflow takes back */
  lur_capture capture;      /* of the update */
  bool watch;               /* every step finds out whether weights are finite */
  int finite;               /* what the last step found: 1, 0; -1: none has looked */
  int nwatched;
  lur_parameter *watched;   /* the weights that training changes, as g; NULL until a step asks */
} lur_optimizing;

/* Allocates what depends on target->learned; retains the optimizer (NULL: none). */
lur_status lur_run_open_optimizer(lur_run *run, lur_optimizer *optimizer);
void lur_run_close_optimizer(lur_run *run);
lur_status lur_run_need_gradients(lur_run *run);
/* Launches one update of all learned weights from the gradients, multiplied by scale; they are zeroed. After the host
   has waited, lur_run_updated takes note of the outcome: iterations, the loss scale, whether weights are finite. */
lur_status lur_run_update(lur_run *run, double scale);
lur_status lur_run_updated(lur_run *run);

/* ---- losses: losses.c ---- */

/* Fills the target's losses, and the list of all layers. */
lur_status lur_target_take_losses(lur_plan_target *target, int n, const lur_loss *losses);
void lur_target_drop_losses(lur_plan_target *target);
/* The graphs of the caller's own, borrowed; returns their number. */
int lur_target_graphs(const lur_plan_target *target, lur_output_loss *losses);

/* ---- loss scale: loss_scale.c ---- */

typedef struct lur_loss_scale {
  double value;        /* f16: multiplies the gradient of every loss; else 1 */
  int64_t good_steps;  /* since it last changed */
  bool applied;        /* the gradients carry the scale */
  lur_tensor *weights; /* f32, one per loss: the gradient that each loss starts from */
} lur_loss_scale;

/* Sets the scale and the losses' weights that follow from it. A failure changes nothing. */
lur_status lur_run_set_loss_scale(lur_run *run, double value, int64_t good_steps);
/* Halves the scale after an overflow, doubles it after many steps without. */
lur_status lur_run_adapt_loss_scale(lur_run *run, bool overflow);

/* ---- capture and replay of steps: capture.c ---- */

typedef struct lur_capturing {
  bool disabled;    /* compiled with no_graph */
  bool active;      /* what is launched now is being captured */
  char refusal[256]; /* why the device refused a capture; empty: it did not */
} lur_capturing;

/* Does the work of `launch`: calls it the first time, then replays a capture of it while key stays the same. */
lur_status lur_run_captured(lur_run *run, lur_capture *capture, uint64_t key,
                            lur_status (*launch)(lur_run *run, void *context), void *context);
void lur_capture_free(lur_device *device, lur_capture *capture);
/* Adds a value to a key. */
uint64_t lur_key_add(uint64_t key, const void *address);
uint64_t lur_key_add_bytes(uint64_t key, const void *bytes, size_t count);
/* The step parameters in device memory; NULL if the device does not capture. */
const lur_step_parameters *lur_run_step_parameters(const lur_run *run);
/* Writes them: dropout's counters from run, the rest from update (NULL: 0). */
lur_status lur_run_write_step_parameters(lur_run *run, const lur_update *update);

/* ---- results: results.c ---- */

/* What a run keeps in device memory besides tensors. */
typedef struct lur_on_device {
  lur_step_parameters parameters;
  double squares; /* sum over all gradients, of the last step that asked for it */
  double watched; /* the same over all weights that training changes: finite when each of them is */
} lur_on_device;

typedef struct lur_readback {
  lur_on_device *on_device; /* device memory */
  lur_on_device seen;       /* its content when the host last waited for results */
} lur_readback;

lur_status lur_run_open_results(lur_run *run);
void lur_run_close_results(lur_run *run);
/* Waits for the device and fills run->readback.seen. */
lur_status lur_run_read_back(lur_run *run);

/* ---- plans and their arena: plans.c ---- */

/* A plan, with what the run keeps for it. */
typedef struct lur_run_plan {
  lur_plan *plan;
  int64_t used; /* plans.clock at the last use */
  lur_capture capture; /* of forward, and in training of backward after it */
  void *host;          /* where losses, and what accuracies are computed from, are copied to; NULL: read in place */
  size_t host_bytes;
} lur_run_plan;

enum { LUR_MAX_PLANS = 8 };

typedef struct lur_run_plans {
  int n;
  lur_run_plan *plans[LUR_MAX_PLANS];
  lur_run_plan *last; /* the one last used */
  int64_t clock;
  void *arena;        /* shared by all plans */
  size_t arena_bytes;
} lur_run_plans;

/* The plan for key, built where there is none. The arena is large enough for it, and it is run->plans.last. */
lur_status lur_run_find_plan(lur_run *run, const lur_plan_key *key, lur_run_plan **plan);
/* Frees the plans that were built for other ranges than the present ones. */
void lur_run_drop_quantized_plans(lur_run *run);
void lur_run_drop_plans(lur_run *run);
/* results.c: host memory for a new plan's results. */
lur_status lur_run_plan_alloc_host(const lur_run *run, lur_run_plan *plan);

/* ---- the run ---- */

struct lur_run {
  atomic_int refs;
  lur_plan_target target; /* compile.c */
  lur_bound_input bound[LUR_MAX_BOUND]; /* inputs, then target and sample weights of each loss */
  lur_optimizing optimizing;
  lur_loss_scale loss_scale;
  lur_capturing capturing;
  lur_readback readback;
  lur_run_plans plans;
  uint64_t step, seed; /* training forwards so far; with it, the key of dropout's masks */
  bool forward_done;   /* activations of the last plan wait for a backward */
  bool profile;
};

/* execute.c: runs the ops of a plan. Inputs are bound and the arena is allocated. */
/* Forward, and in training with losses backward too; captured where the device can. */
lur_status lur_run_execute(lur_run *run, lur_run_plan *plan);
lur_status lur_run_execute_backward(lur_run *run, lur_plan *plan);
/* Device address of a value; NULL when it has no memory. */
void *lur_run_address(const lur_run *run, const lur_plan *plan, int value);
void *lur_run_gradient_address(const lur_run *run, const lur_plan *plan, int value);
/* A host copy of a value, complete after the next sync. */
lur_status lur_run_read(lur_run *run, const lur_plan *plan, int value, lur_tensor **tensor);

/* results.c: losses and accuracies of the plan just executed, and run->readback.seen. Waits for the device, once. */
lur_status lur_run_results(lur_run *run, lur_run_plan *plan, lur_results *results);
/* run.c: runs a batch in LUR_MODE_CALIBRATE, and waits. */
lur_status lur_run_observe(lur_run *run, const lur_batch *batch);

#endif
