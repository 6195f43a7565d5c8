/* plan.h - a model compiled for concrete batch sizes: values, ops, and an offset in the arena for every buffer.
 *
 * build.c builds a plan: emit.c appends the model's values and ops, the passes (pass_*.c) rewrite that list, and
 * arena.c gives every buffer an offset. The run floor executes it. A plan owns its planned ops and the weights derived
 * for them (folded.c, quantized.c); weights, gradients and the arena's memory belong to the run, for all its plans. */
#ifndef LUR_PLAN_H
#define LUR_PLAN_H

#include "folded.h"
#include "kernels/backend.h"
#include "quantized.h"
#include "target.h"

/* One tensor of the plan. Shapes carry the batch as dimension 0. */
typedef struct lur_value {
  lur_operand operand;
  int producer;    /* position in ops, or -1: bound from outside */
  bool wanted;     /* read by the caller after forward */
  bool needs_grad; /* computed from something trainable, or from an input whose gradient is asked for */
  bool reached;    /* a gradient arrives from a loss or from the caller */
  bool unbatched;  /* computed from no input: dimension 0 is 1, whatever the batch */
  bool frozen;     /* of the frozen backbone: training leaves it as it is; for describe.c */
  int buffer;      /* in buffers; -1: bound from outside */
  int grad_buffer; /* -1: none */
} lur_value;

typedef struct lur_plan_op {
  lur_op_desc desc;
  lur_layer *layer; /* borrowed: the model's; NULL for losses */
  int x[LUR_MAX_OPERANDS], y;
  int weights[LUR_MAX_WEIGHTS]; /* positions in layer->weights, -1 absent */
  lur_folded *folded;           /* NULL: weights as they are */
  lur_quantized *quantized;     /* NULL: not int8 */
  lur_range *observes;          /* calibration: the range that x[0] widens; borrowed */
  bool backward;
  unsigned dx_add; /* bit i: a later op has written the gradient of x[i] already */
  int saved;       /* buffer, -1 none */
  lur_op op;       /* planned; zero before */
  double seconds[2]; /* profile: of forward and backward */
  int64_t calls[2];
} lur_plan_op;

/* A stretch of the arena with a lifetime: from step `first` to step `last` of the timeline
   (forward of op i is step i, its backward is step 2 * nops - 1 - i). */
typedef struct lur_buffer {
  size_t bytes, offset;
  int first, last;
  int alias;        /* shares the memory of that buffer (in-place); -1: has its own */
  const char *what; /* "output", "gradient", "saved" */
  int op;           /* the first op that writes it, for describe */
} lur_buffer;

typedef enum lur_plan_mode {
  LUR_MODE_PREDICT,  /* inference form, outputs wanted */
  LUR_MODE_EVALUATE, /* inference form, losses wanted */
  LUR_MODE_TRAIN,    /* training form, losses, backward */
  LUR_MODE_FREE,     /* training form, outputs wanted, backward from the caller's gradients */
  LUR_MODE_CALIBRATE /* as predict, in f32, and observes the ranges of what int8 will quantize */
} lur_plan_mode;

/* What distinguishes the plans of one target: equal keys mean the same plan. Compared byte by byte. */
typedef struct lur_plan_key {
  lur_plan_mode mode;
  int64_t rows[LUR_MAX_INPUTS];             /* of each model input */
  lur_operand target[LUR_MAX_OUTPUTS];      /* of each loss */
  bool sample_weight[LUR_MAX_OUTPUTS];
} lur_plan_key;

typedef struct lur_plan_loss { /* values of one loss, -1 where absent */
  int predictions; /* what accuracy is computed from: logits or probabilities */
  int target, sample_weight, y;
  int64_t rows; /* samples */
} lur_plan_loss;

typedef struct lur_plan {
  lur_plan_key key;
  int nvalues, values_room, nops, ops_room, nbuffers, buffers_room;
  lur_value *values;
  lur_plan_op *ops;
  lur_buffer *buffers;
  int inputs[LUR_MAX_INPUTS], outputs[LUR_MAX_OUTPUTS]; /* values */
  int nlosses;
  lur_plan_loss losses[LUR_MAX_OUTPUTS];
  int loss_ops;  /* position of the first op of a loss */
  int ndropouts; /* emitted so far */
  size_t arena_bytes, scratch_bytes, scratch_offset; /* scratch is the arena's end; arena_bytes counts it */
} lur_plan;

enum { LUR_GUARD = 64 }; /* bytes of guard zone in check mode */

/* ---- build.c ---- */

/* LUR_EUNSUPPORTED names the first op of the model that has no kernel on the target's device. */
lur_status lur_plan_check_kernels(lur_plan_target *target);
lur_status lur_plan_build(lur_plan_target *target, const lur_plan_key *key, lur_plan **plan);

/* ---- ops.c: the lists of a plan ---- */

lur_status lur_plan_add_value(lur_plan *plan, const lur_operand *operand, int *value);
/* Appends desc with its operands; *y is a new value of desc's y operand. weights may be NULL with nw 0. */
lur_status lur_plan_add_op(lur_plan *plan, lur_layer *layer, const lur_op_desc *desc, int nx, const int *x, int nw,
                           const int *weights, int *y);
lur_status lur_plan_add_buffer(lur_plan *plan, const lur_buffer *buffer, int *index);
void lur_plan_free(lur_plan *plan); /* NULL is fine */
/* Number of reads of value by ops, in forward. */
int lur_plan_uses(const lur_plan *plan, int value);
/* The op that produces value where one op alone reads value, once, and the caller does not; else NULL. */
lur_plan_op *lur_plan_sole_producer(lur_plan *plan, int value);
/* Removes op from the list; values and other ops keep their meaning. */
void lur_plan_remove_op(lur_plan *plan, int op);
/* Moves op right after position `after` (op < after); what is between moves up. */
void lur_plan_move_op(lur_plan *plan, int op, int after);
/* Moves the last op to position `at`; what is there and after it moves down. */
void lur_plan_raise_last(lur_plan *plan, int at);
/* op takes over the output of the op at `gone`, which is removed. */
void lur_plan_take_output(lur_plan *plan, lur_plan_op *op, int gone);
/* Whether op has a weight that the target learns. */
bool lur_plan_op_learns(const lur_plan_target *target, const lur_plan_op *op);

/* The timeline's step of op's backward; the step of its forward is op itself. */
static inline int lur_backward_step(const lur_plan *plan, int op) { return 2 * plan->nops - 1 - op; }

/* ---- emit.c ---- */

/* Appends the values and ops of the target's model, for the rows of plan->key. training: in training form. */
lur_status lur_plan_emit_model(const lur_plan_target *target, lur_plan *plan, bool training);
/* Appends the ops of the model's nodes, given the values of its inputs: value_of has room for every node. */
lur_status lur_plan_emit_nodes(const lur_plan_target *target, lur_plan *plan, const lur_model *model, bool training,
                               int *value_of);

/* ---- emit_loss.c ---- */

/* Appends loss i, after checking the target of the plan's key. */
lur_status lur_plan_emit_loss(const lur_plan_target *target, lur_plan *plan, int i);
/* The same for a loss that is a graph, of any target that it may have. */
lur_status lur_plan_emit_loss_graph(const lur_plan_target *target, lur_plan *plan, int i);

/* ---- passes, in the order in which build.c applies them ---- */

/* Mandatory. Gives values and ops the types that the target's precision asks for. */
lur_status lur_pass_precision(const lur_plan_target *target, lur_plan *plan);
/* Mandatory in training. Marks the values whose gradient is needed and the ops that go backward. */
void lur_pass_gradients(const lur_plan_target *target, lur_plan *plan);
/* Optional, as are all but the last: without them results are the same within rounding. */
void lur_pass_prune(lur_plan *plan);
void lur_pass_pad(lur_plan *plan);
lur_status lur_pass_fold(const lur_plan_target *target, lur_plan *plan);
void lur_pass_fuse(const lur_plan_target *target, lur_plan *plan);
void lur_pass_separable(const lur_plan_target *target, lur_plan *plan); /* after lur_pass_fuse */
/* Mandatory. With precision int8, convolutions and what feeds them become int8; LUR_ESTATE before calibration. */
lur_status lur_pass_quantize(lur_plan_target *target, lur_plan *plan);

/* arena.c: offsets for all buffers. share false: every buffer has its own place. lifetimes false: in training, every
   output is kept to the end of the step. guard: bytes kept free around each. */
lur_status lur_plan_arena(lur_plan *plan, bool share, bool lifetimes, size_t guard);

#endif
