/* plan.h - a model worked out for concrete batch sizes: values, ops, and where everything lies.
 *
 * emit.c appends values and ops; the passes (pass_*.c) rewrite that list; arena.c gives every buffer an offset;
 * execute.c runs it. A plan owns its planned ops and folded weights; weights, gradients and the arena's memory are
 * the run's, shared by all its plans. */
#ifndef LUR_PLAN_H
#define LUR_PLAN_H

#include "engine/internal.h"

/* Work of a device's recorded once, to be replayed (record.c). */
typedef struct lur_recording {
  void *record; /* the backend's; NULL: none yet */
  uint64_t key; /* of every address and number that the record has in it; 0: not run yet */
} lur_recording;

/* One tensor of the plan. Shapes carry the batch as dimension 0. */
typedef struct lur_value {
  lur_operand operand;
  int producer;    /* position in ops, or -1: fed from outside */
  bool wanted;     /* read by the caller after forward */
  bool needs_grad; /* something trainable, or an input whose gradient is asked, lies behind it */
  bool reached;    /* a gradient arrives from a loss or from the caller */
  bool frozen;     /* of the frozen backbone (lur_frozen_nodes): training leaves it as it is; for describe */
  int buffer;      /* in buffers; -1: fed from outside */
  int grad_buffer; /* -1: none */
} lur_value;

/* Weights with batch norm multiplied in; made anew when a source weight's version moved. */
typedef struct lur_folded {
  lur_layer *conv, *norm;
  double epsilon;
  int kernel_weight, bias; /* positions in the convolution's weights; bias -1: none */
  uint64_t versions;      /* sum of the sources' versions at the last folding; 0: never */
  lur_tensor *kernel, *shift; /* on the run's device */
} lur_folded;

/* What a convolution reads, as calibration saw it: least, greatest and mean of each channel. The run's. */
typedef struct lur_range {
  lur_layer *layer; /* borrowed: the model's */
  int64_t channels;
  float *low, *high, *mean; /* one block; low > high: nothing seen yet */
  double *sum;
  int64_t seen; /* numbers of each channel that sum has in it; 0 with ranges that were given */
} lur_range;

/* Weights of an op that writes or reads bytes; made anew when a source weight's version moved. */
typedef struct lur_quantized {
  const lur_range *range;
  bool writes;       /* the op writes bytes; else it reads them */
  bool plain_zero;   /* byte 0 is the number 0; else it is the channel's least */
  uint64_t versions; /* of the sources at the last quantising; 0: never */
  float widest;      /* the widest channel's greatest less its least */
  lur_tensor *kernel, *shift, *scale; /* on the run's device; scale: of one that reads */
} lur_quantized;

enum { LUR_FOLDED_WEIGHTS = 2 }; /* kernel and shift: an op's first weights; those after them are its layer's own */

typedef struct lur_plan_op {
  lur_op_desc desc;
  lur_layer *layer; /* borrowed: the model's; NULL for losses */
  int x[LUR_MAX_OPERANDS], y;
  int weights[LUR_MAX_WEIGHTS]; /* positions in layer->weights, -1 absent */
  lur_folded *folded;           /* NULL: weights as they are */
  lur_quantized *quantized;     /* NULL: no bytes */
  lur_range *observes;          /* calibration: takes in what x[0] holds; borrowed */
  bool backward;
  unsigned dx_add; /* bit i: the gradient of x[i] has been written by a later op already */
  int saved;       /* buffer, -1 none */
  lur_op op;       /* planned; zero before */
  double seconds[2];
  int64_t calls[2];
} lur_plan_op;

/* A stretch of the arena with a life: from step `first` to step `last` of the timeline
   (forward of op i is step i, its backward is step 2 * nops - 1 - i). */
typedef struct lur_buffer {
  size_t bytes, offset;
  int first, last;
  int alias;        /* lies in that buffer's memory (in-place); -1: its own */
  const char *what; /* "output", "gradient", "saved" */
  int op;           /* who writes it first, for describe */
} lur_buffer;

typedef enum lur_plan_mode {
  LUR_MODE_PREDICT,  /* inference form, outputs wanted */
  LUR_MODE_EVALUATE, /* inference form, losses wanted */
  LUR_MODE_TRAIN,    /* training form, losses, backward */
  LUR_MODE_FREE,     /* training form, outputs wanted, backward from the caller's gradients */
  LUR_MODE_CALIBRATE /* as predict, in f32, and ranges of what int8 will quantise are taken */
} lur_plan_mode;

enum { LUR_MAX_INPUTS = 16, LUR_MAX_OUTPUTS = 16 };

/* What a plan is made for; equal keys mean the same plan. */
typedef struct lur_plan_key {
  lur_plan_mode mode;
  int64_t rows[LUR_MAX_INPUTS];             /* of each model input */
  lur_operand target[LUR_MAX_OUTPUTS];      /* of each loss */
  bool sample_weight[LUR_MAX_OUTPUTS];
} lur_plan_key;

typedef struct lur_plan_loss { /* values of one loss, -1 where absent */
  int predictions; /* what accuracy is counted on: logits or probabilities */
  int target, sample_weight, y;
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
  int ndropouts; /* emitted so far */
  size_t arena_bytes, scratch_bytes, scratch_offset; /* scratch lies at the arena's end; arena_bytes counts it */
  int64_t used; /* run's clock at the last use */
  lur_device *device;      /* of the next three; NULL until there are any */
  lur_recording recording; /* of forward, and in training of backward after it */
  void *host;              /* where losses, and what accuracies are counted on, come to (results.c); NULL: read in place */
  size_t host_bytes;
} lur_plan;

/* The plan under construction, as the layers' emit functions see it. */
struct lur_emitter {
  lur_plan *plan;
  bool training;
  const struct lur_run *run; /* NULL while graph.c learns a shape */
};

lur_status lur_plan_add_value(lur_plan *plan, const lur_operand *operand, int *value);
/* Appends desc with its operands; *y is a new value of desc's y operand. weights may be NULL with nw 0. */
lur_status lur_plan_add_op(lur_plan *plan, lur_layer *layer, const lur_op_desc *desc, int nx, const int *x, int nw,
                           const int *weights, int *y);
lur_status lur_plan_add_buffer(lur_plan *plan, const lur_buffer *buffer, int *index);
void lur_plan_free(lur_plan *plan); /* NULL is fine */
/* Number of ops that read value (in forward). */
int lur_plan_uses(const lur_plan *plan, int value);
/* Takes op out of the list; values and other ops keep their meaning. */
void lur_plan_remove_op(lur_plan *plan, int op);
/* Moves op to stand right after position `after` (op < after); what lies between moves up. */
void lur_plan_move_op(lur_plan *plan, int op, int after);
/* Moves the last op to stand at position `at`; what stood there and after it moves down. */
void lur_plan_raise_last(lur_plan *plan, int at);

/* ---- passes: each may be left out and results stay the same within rounding ---- */
/* not optional: gives values and ops the types that options.precision asks for */
lur_status lur_pass_precision(const struct lur_run *run, lur_plan *plan);
void lur_pass_gradients(const struct lur_run *run, lur_plan *plan); /* not optional: who needs what */
void lur_pass_prune(lur_plan *plan);
lur_status lur_pass_fold(const struct lur_run *run, lur_plan *plan);
void lur_pass_fuse(const struct lur_run *run, lur_plan *plan);
void lur_pass_separable(const struct lur_run *run, lur_plan *plan); /* after lur_pass_fuse */
/* not optional: with precision int8, convolutions and what feeds them change to bytes; LUR_ESTATE before calibration */
lur_status lur_pass_quantize(struct lur_run *run, lur_plan *plan);
/* Offsets for all buffers. share false: every buffer its own place. lifetimes false: in training, every output is kept
   to the end of the step. guard: bytes kept free round each. */
lur_status lur_plan_arena(lur_plan *plan, bool share, bool lifetimes, size_t guard);

/* pass_fold.c: brings a folded op's weights up to date. */
lur_status lur_folded_refresh(lur_folded *folded, lur_device *device);
void lur_folded_free(lur_folded *folded);

/* pass_quantize.c: brings the weights of an op with bytes up to date; its folded ones are. */
lur_status lur_quantized_refresh(const lur_plan_op *op);
void lur_quantized_free(lur_quantized *quantized);

/* The timeline's step of op's backward; that of its forward is op itself. */
static inline int lur_backward_step(const lur_plan *plan, int op) { return 2 * plan->nops - 1 - op; }

#endif
