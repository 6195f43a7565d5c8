/* run.h - a model compiled for a device: what all its plans share. For the engine's files that make runs,
 * plan, execute and describe. */
#ifndef LUR_RUN_H
#define LUR_RUN_H

#include "engine/plan/plan.h"

/* One learned weight of a layer that trains: its place in the flat gradient and optimizer arrays. */
typedef struct lur_learned {
  lur_layer *layer;
  int weight;
  int64_t offset, count;
  float lr_scale, decay_scale;
} lur_learned;

enum { LUR_MAX_PLANS = 8, LUR_MAX_FED = LUR_MAX_INPUTS + 2 * LUR_MAX_OUTPUTS };

/* A tensor of a batch that is to come, retained; NULL: none. writes: of its storage when it set out. */
typedef struct lur_announced {
  lur_tensor *tensor;
  uint64_t writes;
} lur_announced;

/* One tensor of the present batch, as plans read it. */
typedef struct lur_fed {
  void *address;      /* NULL: not fed */
  lur_tensor *tensor; /* read in place, retained; NULL: copied into memory */
  void *memory;       /* ours on the device, large enough for every batch so far: all lie at the same address */
  size_t bytes;
  lur_announced coming;  /* on its way to staged beside the computing */
  lur_announced arrived; /* in memory already: the next batch, as long as no other one is fed */
  void *staged;
  size_t staged_bytes;
} lur_fed;

/* What a run keeps in device memory beside tensors. */
typedef struct lur_on_device {
  lur_step_parameters moving;
  double squares; /* of all gradients, of the last step that asked */
  double watched; /* of all weights that training moves, after the last step that asked: finite when each of them is */
} lur_on_device;

struct lur_run {
  atomic_int refs;
  lur_model *model;
  lur_compile_options options; /* losses and optimizer are ours: copied, retained */
  lur_loss losses[LUR_MAX_OUTPUTS];
  char loss_texts[LUR_MAX_OUTPUTS][2][LUR_NAME]; /* output, kind */
  lur_loss_kind loss_kinds[LUR_MAX_OUTPUTS];
  int loss_outputs[LUR_MAX_OUTPUTS]; /* position among the model's outputs */
  bool *trains;                      /* by model layer: trainable when this was compiled */
  bool *frozen;                      /* by model node: of the frozen backbone when this was compiled */

  int nlearned;
  lur_learned *learned;
  int64_t gradient_count; /* floats in the flat arrays: weights, each rounded up to 16 */
  lur_parameter *slots;               /* nlearned; what an update works on */
  lur_tensor *gradients, *m, *v; /* flat f32; NULL until needed */
  lur_tensor *loss_weights;      /* f32, one a loss: the gradient each loss starts from */

  void *arena;
  size_t arena_bytes;
  int nplans;
  lur_plan *plans[LUR_MAX_PLANS];
  lur_plan *last;   /* the plan last run */
  bool forward_done; /* activations of `last` wait for a backward */
  int64_t clock;

  lur_fed fed[LUR_MAX_FED];     /* the present batch: inputs, targets, sample weights */
  lur_on_device *on_device;     /* device memory */
  lur_on_device seen;           /* what it held when the host last waited for results */
  lur_parameter *watched;            /* the weights that training moves, as g; NULL until a step asks */
  int nwatched;
  bool watch;                   /* every step finds out whether they are finite */
  int finite;                   /* what the last step found: 1, 0; -1: none has looked */
  lur_recording step_recording; /* of the optimizer's part of a step */
  bool recording;               /* what is launched now is recorded */
  char plain_reason[256];       /* why steps are not recorded any more; empty: they are */
  int nranges, ranges_room;
  lur_range **ranges;           /* of int8: what calibration saw; plans point at them */
  int64_t calibrated;           /* samples of all calibrations; ranges that were given are not counted */
  int64_t iterations;
  uint64_t step, seed;
  double lr, m_schedule, m_schedule_before; /* before: the last update, which an overflow takes back */
  double loss_scale; /* f16: multiplies every loss's gradient, 1 otherwise */
  int good_steps;    /* since the scale last changed */
  bool scaled;       /* gradients carry the scale */
  bool profile;
};

/* Whether layer was trainable when run was compiled. */
bool lur_run_trains(const lur_run *run, const lur_layer *layer);
/* Whether op has a weight that this run learns. */
bool lur_run_trains_op(const lur_run *run, const lur_plan_op *op);
/* Position in run->learned, or -1. */
int lur_run_learned(const lur_run *run, const lur_layer *layer, int weight);

/* plan.c: makes the plan for key. */
/* Every op of the model has a kernel on the run's device: LUR_EUNSUPPORTED names the one that has not. */
lur_status lur_plan_check_kernels(lur_run *run);
lur_status lur_plan_build(lur_run *run, const lur_plan_key *key, lur_plan **plan);

/* feed.c: finds the batch's tensors, checks them, asks for copies on the device (run->fed), writes the key. Wait before
   the batch is given back, on failure too. */
lur_status lur_run_feed(lur_run *run, const lur_batch *batch, lur_plan_mode mode, lur_plan_key *key);
void lur_run_drop_fed(lur_run *run);
/* Row numbers fed to gathers lie inside what they gather from. */
lur_status lur_run_check_rows(lur_run *run, const lur_plan *plan, const lur_batch *batch);

/* ranges.c: what int8 knows of the numbers that its convolutions read. */
/* The range of layer, which reads that many channels; made where there is none. */
lur_status lur_run_range_of(lur_run *run, lur_layer *layer, int64_t channels, lur_range **range);
/* The range of layer when something has been seen or given, else NULL. */
const lur_range *lur_run_known_range(const lur_run *run, const lur_layer *layer);
/* Widens range to count numbers, channels innermost. LUR_ESTATE where one is not finite. */
lur_status lur_range_observe(lur_range *range, const float *x, int64_t count);
void lur_run_drop_ranges(lur_run *run);

/* execute.c: runs ops of the plan. fed tensors and the arena are in place. */
/* Forward, and with losses in training backward too: recorded where the device can. */
lur_status lur_plan_run(lur_run *run, lur_plan *plan);
lur_status lur_plan_backward(lur_run *run, lur_plan *plan);
/* Device address of a value; NULL when it has no memory. */
void *lur_plan_address(const lur_run *run, const lur_plan *plan, int value);
void *lur_plan_gradient_address(const lur_run *run, const lur_plan *plan, int value);
/* A host copy of a value; there after the next sync. */
lur_status lur_plan_read(lur_run *run, const lur_plan *plan, int value, lur_tensor **tensor);

/* record.c: work that is asked at every step, recorded and replayed. */
/* Does what launch asks: by launching, at its first use; then by a recording, as long as key stays the same. */
lur_status lur_run_recorded(lur_run *run, lur_recording *recording, uint64_t key,
                            lur_status (*launch)(lur_run *run, void *context), void *context);
void lur_recording_free(lur_device *device, lur_recording *recording);
/* Takes value into a key. */
uint64_t lur_key_add(uint64_t key, const void *address);
uint64_t lur_key_add_bytes(uint64_t key, const void *bytes, size_t count);
/* Device memory that holds what moves from step to step; NULL where the device does not record. */
const lur_step_parameters *lur_run_moving(const lur_run *run);
/* Writes it: dropout's counters from run, the rest from update (NULL: left at 0). */
lur_status lur_run_move(lur_run *run, const lur_update *update);

/* compile.c: loss_weights from the losses' weights and loss_scale. */
lur_status lur_run_set_loss_weights(lur_run *run);

/* run.c: forgets plans made for other ranges than the present ones. */
void lur_run_drop_quantized_plans(lur_run *run);
/* Runs a batch in LUR_MODE_CALIBRATE, and waits. */
lur_status lur_run_observe(lur_run *run, const lur_batch *batch);

/* optimizer.c */
struct lur_optimizer {
  atomic_int refs;
  lur_context *context;
  lur_update_rule rule;
  void *options; /* lur_optimizer_options */
};
/* Asks for one update of all learned weights from run->gradients, which are zeroed. Once the host has waited and
   run->seen is there, lur_run_updated notes what came of it: iterations, the loss scale, whether weights are finite. */
lur_status lur_run_update(lur_run *run);
lur_status lur_run_updated(lur_run *run);
double lur_optimizer_lr(const lur_optimizer *optimizer);

/* results.c: losses and accuracies of the plan just run, and run->seen. Waits for the device, once. */
lur_status lur_plan_alloc_host(lur_run *run, lur_plan *plan); /* once, before the plan runs */
lur_status lur_run_results(lur_run *run, lur_plan *plan, lur_results *results);

enum { LUR_GUARD = 64 }; /* bytes of guard zone in check mode */

#endif
