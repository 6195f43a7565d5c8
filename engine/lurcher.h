/* lurcher.h - the public header of liblurcher: everything a C program, and the Lua bindings, can do.
 *
 * Objects are opaque and reference counted: lur_X_new returns one reference, lur_X_retain adds one, lur_X_release drops
 * one (NULL is fine). Objects hold what they need, so the order of release never matters.
 * Functions that can fail return lur_status, take their results last and write no output on failure;
 * lur_last_error() is the calling thread's message. Nothing here prints or exits.
 * A context and its objects may be used by one thread at a time; separate contexts may run in parallel.
 * Names passed in are copied; returned names live as long as the object that they belong to. Indices are 0-based. */
#ifndef LURCHER_H
#define LURCHER_H

#include "kernels/base.h"

LUR_API_BEGIN

#define LURCHER_VERSION "0.1.0" /* of this header; the build takes its version from this line */
/* The version of the library: another than LURCHER_VERSION if a program runs with another library than it was built
   with. */
const char *lur_version(void);

typedef struct lur_context lur_context;
typedef struct lur_device lur_device;
typedef struct lur_tensor lur_tensor;
typedef struct lur_layer lur_layer;
typedef struct lur_node lur_node;
typedef struct lur_model lur_model;
typedef struct lur_optimizer lur_optimizer;
typedef struct lur_run lur_run;

/* ---- settings: named options, checked against a declared table -------------------------------------------- */

typedef enum lur_value_type { LUR_NONE = 0, LUR_BOOL, LUR_INT, LUR_REAL, LUR_STRING, LUR_INTS } lur_value_type;

/* One named option. name NULL: the position-th option of the list part (1-based), as in nn.conv2d{ 64, 3 }. */
typedef struct lur_setting {
  const char *name;
  int position;
  lur_value_type type;
  bool boolean;
  int64_t integer;             /* LUR_INT */
  double real;                 /* LUR_REAL; for LUR_INT the same number */
  const char *string;          /* LUR_STRING */
  int64_t ints[LUR_MAX_DIMS];  /* LUR_INTS: {2, 3} */
  int count;                   /* of ints */
} lur_setting;

/* The candidate nearest to `name` (edit distance at most 2 and under half its length), or NULL: "did you mean". */
const char *lur_nearest(const char *name, const char *const *candidates, int n);

/* ---- context: seed, threads, devices ----------------------------------------------------------------------- */

/* threads: compute threads, 0 for one per core (LURCHER_THREADS in the environment overrides). */
lur_status lur_context_new(uint64_t seed, int threads, lur_context **context);
/* A context for one more thread that computes alone, whatever LURCHER_THREADS says, such as a worker of a loader. */
lur_status lur_context_new_serial(uint64_t seed, lur_context **context);
/* LUR_EARG: LURCHER_THREADS or LURCHER_CPU_ISA in the environment has a value that lur_context_new refuses. */
lur_status lur_check_environment(void);
void lur_context_retain(lur_context *context);
void lur_context_release(lur_context *context);
/* Seeds what is created from now on: weights of layers, dropout of runs, lur_tensor_uniform and _normal. */
void lur_context_seed(lur_context *context, uint64_t seed);
uint64_t lur_context_get_seed(const lur_context *context);
int lur_context_threads(const lur_context *context);
/* Until lur_context_end_scope, automatic names of layers are prefix, kind and number, counted from 1: what is created
   in between has the same names whatever was created before. LUR_ESTATE within another scope. */
lur_status lur_context_begin_scope(lur_context *context, const char *prefix);
void lur_context_end_scope(lur_context *context);
/* Opens "cpu", "ref", "cuda:0", "cuda" or "auto", once per context; the context owns it. */
lur_status lur_context_device(lur_context *context, const char *name, lur_device **device);
const char *lur_device_name(const lur_device *device);
/* The devices that can be opened here: "ref", "cpu", then "cuda:0"... Returns their number; writes at most capacity
 *names. why is the reason where CUDA cannot be used, else NULL. */
int lur_device_list(char names[][32], int capacity, const char **why);

/* What the library was built with and found on this machine, for a report of a fault: lines "name  what", the version
   first. The caller frees the text with lur_text_free. */
lur_status lur_describe_machine(char **text);

/* Makes every run and fit of the context stop between steps with LUR_EINTERRUPTED. Async-signal-safe. */
void lur_context_interrupt(lur_context *context);
/* LUR_EINTERRUPTED once after a request, which it clears; else LUR_OK. */
lur_status lur_context_check_interrupt(lur_context *context);
/* Whether there is a request, which stays. */
bool lur_context_interrupted(const lur_context *context);

/* ---- tensor ------------------------------------------------------------------------------------------------- */

/* Zero-filled, on device (NULL: host memory of "cpu"). Row-major. */
lur_status lur_tensor_new(lur_context *context, lur_device *device, lur_dtype dtype, const lur_shape *shape,
                          lur_tensor **tensor);
void lur_tensor_retain(lur_tensor *tensor);
void lur_tensor_release(lur_tensor *tensor);
lur_context *lur_tensor_context(const lur_tensor *tensor);
lur_device *lur_tensor_device(const lur_tensor *tensor);
lur_dtype lur_tensor_dtype(const lur_tensor *tensor);
const lur_shape *lur_tensor_shape(const lur_tensor *tensor);
size_t lur_tensor_bytes(const lur_tensor *tensor);
/* Host address of the first element; NULL when the tensor is not in host memory. Every view sees writes. */
void *lur_tensor_data(const lur_tensor *tensor);

/* Shares memory: `count` rows of the first dimension from `first`. */
lur_status lur_tensor_view(lur_tensor *tensor, int64_t first, int64_t count, lur_tensor **view);
/* Shares memory under another shape of as many elements; one extent may be -1. */
lur_status lur_tensor_reshape(lur_tensor *tensor, const lur_shape *shape, lur_tensor **view);
lur_status lur_tensor_clone(lur_tensor *tensor, lur_tensor **copy);
lur_status lur_tensor_to(lur_tensor *tensor, lur_device *device, lur_tensor **copy); /* retained if there already */
lur_status lur_tensor_cast(lur_tensor *tensor, lur_dtype dtype, lur_tensor **copy);  /* i32, u8: truncates, saturates */
/* Copies elements between equal shapes and dtypes, any devices. */
lur_status lur_tensor_copy(lur_tensor *dst, lur_tensor *src);
/* dst[i] += share * (src[i] - dst[i]) for all n pairs, in place, in one call; 1 copies. Equal shapes, f32, one device,
   which is not waited for. */
lur_status lur_tensors_lerp(lur_tensor *const *dst, lur_tensor *const *src, int n, double share);
/* One element by flat index, as double, on any device. LUR_EARG out of range. */
lur_status lur_tensor_get(const lur_tensor *tensor, int64_t index, double *value);
lur_status lur_tensor_set(lur_tensor *tensor, int64_t index, double value);
lur_status lur_tensor_fill(lur_tensor *tensor, double value);
/* Draws from the context's stream: uniform in [low, high), normal by Box-Muller. f32 only. */
lur_status lur_tensor_uniform(lur_tensor *tensor, double low, double high);
lur_status lur_tensor_normal(lur_tensor *tensor, double mean, double std);

/* ---- layers ------------------------------------------------------------------------------------------------- */

/* A layer kind's declared options, for help texts and checks. */
typedef struct lur_option_info {
  const char *name, *type, *def, *help; /* def NULL: required */
  const char *const *choices;           /* of type "choice", ends with NULL; else NULL */
} lur_option_info;
int lur_layer_kind_count(void);
const char *lur_layer_kind_name(int index); /* "conv2d" */
const char *lur_layer_kind_help(int index); /* one line */
/* Whether numbers may stand among the inputs of the kind of that name, for constants: add, pow, where. */
bool lur_layer_kind_takes_numbers(const char *kind);
int lur_layer_kind_options(int index, lur_option_info *info, int capacity);

/* Creates a layer. Every kind takes `name` (default: kind_1, kind_2, ... counted in the context) and `trainable`.
   Unknown options and options of a wrong type: LUR_EARG with the nearest known name. Weights are drawn at the first
   application, from (seed, layer name, weight name) alone, in whatever order layers are created. */
lur_status lur_layer_new(lur_context *context, const char *kind, const lur_setting *settings, int n, lur_layer **layer);
void lur_layer_retain(lur_layer *layer);
void lur_layer_release(lur_layer *layer);
const char *lur_layer_name(const lur_layer *layer);
const char *lur_layer_kind(const lur_layer *layer);
bool lur_layer_is_given(const lur_layer *layer); /* its weights are constants, which weights files may lack */
bool lur_layer_trainable(const lur_layer *layer);
void lur_layer_set_trainable(lur_layer *layer, bool trainable);
/* Writes "conv2d{ filters = 32, kernel = {3,3} }" into text (truncated); returns the length needed. */
int lur_layer_format(const lur_layer *layer, char *text, size_t capacity);

/* Weights of a layer, in Keras's order (kernel, bias; gamma, beta, moving_mean, moving_variance; ...). */
int lur_layer_weight_count(const lur_layer *layer);
const char *lur_layer_weight_name(const lur_layer *layer, int index); /* "kernel", "depthwise_kernel" */
bool lur_layer_weight_learned(const lur_layer *layer, int index);     /* false for moving statistics */
lur_tensor *lur_layer_weight(const lur_layer *layer, int index);      /* borrowed; on the device of the last compile */
/* Overwrites a weight; shapes must agree (LUR_ESHAPE names layer, weight and both). */
lur_status lur_layer_set_weight(lur_layer *layer, int index, lur_tensor *value);
/* Draws new weights, as the first application did, from the context's present seed. */
lur_status lur_layer_reset(lur_layer *layer);

/* ---- graph -------------------------------------------------------------------------------------------------- */

/* A named input; shape is one sample's, without the batch: {299, 299, 3}. */
lur_status lur_input(lur_context *context, const char *name, lur_dtype dtype, const lur_shape *sample, lur_node **node);
/* A named i32 vector of row numbers (0-based in C, 1-based in Lua), for gather. Its length is independent of the
   batch size of other inputs. */
lur_status lur_index(lur_context *context, const char *name, lur_node **node);
/* One application: a new node. The first one creates the weights, later ones check x against them. */
lur_status lur_layer_apply(lur_layer *layer, int n, lur_node *const *x, lur_node **y);
void lur_node_retain(lur_node *node);
void lur_node_release(lur_node *node);
lur_layer *lur_node_layer(const lur_node *node);     /* borrowed; inputs have one too, of kind "input" or "index" */
const lur_shape *lur_node_shape(const lur_node *node); /* one sample's */
lur_dtype lur_node_dtype(const lur_node *node);
/* Whether it is a parameter, a constant, or computed from those alone: without a batch dimension, the same for every
   sample. */
bool lur_node_unbatched(const lur_node *node);
lur_context *lur_node_context(const lur_node *node);

/* ---- model -------------------------------------------------------------------------------------------------- */

/* Outputs by name. Inputs: the given nodes in order, or with ninputs 0 every input that the outputs depend on, by name.
   LUR_EARG for two inputs, outputs or layers of one name, or an input that is not an input node. */
lur_status lur_model_new(lur_context *context, int ninputs, lur_node *const *inputs, int noutputs,
                         const char *const *names, lur_node *const *outputs, lur_model **model);
void lur_model_retain(lur_model *model);
void lur_model_release(lur_model *model);
lur_context *lur_model_context(const lur_model *model);
int lur_model_input_count(const lur_model *model);
int lur_model_output_count(const lur_model *model);
const char *lur_model_input_name(const lur_model *model, int index);
const char *lur_model_output_name(const lur_model *model, int index);
lur_node *lur_model_input(const lur_model *model, int index);   /* borrowed */
lur_node *lur_model_output(const lur_model *model, int index);  /* borrowed */
/* Applies the model's layers to other inputs: new nodes, the same weights. y has room for every output. */
lur_status lur_model_apply(lur_model *model, int n, lur_node *const *x, lur_node **y);
/* Layers in Keras's model.layers order: by decreasing distance to the outputs, ties by first visit of a pre-order
   walk from the outputs. A layer that is applied more than once appears once. */
int lur_model_layer_count(const lur_model *model);
lur_layer *lur_model_layer(const lur_model *model, int index); /* borrowed */
/* Position of the layer of that name, or -1. */
int lur_model_find(const lur_model *model, const char *name);
/* Output shape of one sample at the layer's first application in the model. */
const lur_shape *lur_model_layer_shape(const lur_model *model, int index);
/* The node of the layer's first application, for cutting a backbone there. Borrowed. */
lur_node *lur_model_layer_node(const lur_model *model, int index);
/* Names of the layers that feed the layer's first application; returns their number. */
int lur_model_layer_inputs(const lur_model *model, int index, const char **names, int capacity);
int64_t lur_model_parameters(const lur_model *model, bool trainable_only);

/* Finds the frozen backbone of a model: what training does not change, and where to split the model so that this part
   is computed once per image and only the rest is trained.
   A node (one application of a layer) is frozen when it is computed from input `input` alone, and neither its layer nor
   any before it learns (is trainable and has weights) or is random (dropout). Frozen batch norms count as using their
   moving statistics: do not split a model that is compiled with batchnorm_batch.
   frozen: by layer position, whether every application of the layer is frozen; has room for every layer, or is NULL.
   cuts: positions of the layers to split at; has room for every layer. *ncuts: how many there are; 0 where a split
   saves no work of a layer with weights, or leaves nothing that learns. Given the outputs of these layers instead of
   the input, the rest of the model computes the same results. Where that is possible there is one cut: the last frozen
   node that is a bottleneck, which means that later nodes read nothing else of what comes before them. Where several
   backbones apply to the input and meet only behind a layer that learns or is random, there is one cut per backbone, in
   the order in which they read the input. A layer that is cut at is applied once; neither it nor any node before it is
   an output of the model.
   LUR_EARG: the model has no such input. */
lur_status lur_model_frozen(const lur_model *model, const char *input, bool *frozen, int *cuts, int *ncuts);

/* A loss of the caller's own: a graph from two input nodes, which must be named "prediction" and "target", to `loss`,
   an f32 node that depends on the prediction. Its mean over a sample's elements is the sample's loss. The shape and
   dtype of `target` are those that a batch must have. LUR_EARG for a graph that reads anything else. For lur_loss. */
lur_status lur_loss_graph_new(lur_node *prediction, lur_node *target, lur_node *loss, lur_model **graph);
/* The losses that a checkpoint's or definition's model was saved with, by output. */
int lur_model_loss_count(const lur_model *model);
const char *lur_model_loss_output(const lur_model *model, int index);
lur_model *lur_model_loss(const lur_model *model, int index); /* borrowed */

/* The definition as JSON (layers, options, wiring, names), and a model created from one, with newly drawn weights.
   The caller frees the text with lur_text_free. */
lur_status lur_model_to_json(const lur_model *model, char **text);
lur_status lur_model_from_json(lur_context *context, const char *text, lur_model **model);
void lur_text_free(char *text);

/* ---- training and inference --------------------------------------------------------------------------------- */

/* kind: "sgd" (lr 0.01, momentum, nesterov, decay), "adam" (lr 0.001, beta_1, beta_2, epsilon, decay), "adamw"
   (weight_decay 0.01), "nadam" (lr 0.002, schedule_decay); all: weight_decay, clip_norm, clip_value.
   An optimizer is only its options; its state lives in the run. */
lur_status lur_optimizer_new(lur_context *context, const char *kind, const lur_setting *settings, int n,
                             lur_optimizer **optimizer);
void lur_optimizer_retain(lur_optimizer *optimizer);
void lur_optimizer_release(lur_optimizer *optimizer);
const char *lur_optimizer_kind(const lur_optimizer *optimizer);
int lur_optimizer_kind_options(const char *kind, lur_option_info *info, int capacity); /* -1: no such kind */
int lur_optimizer_format(const lur_optimizer *optimizer, char *text, size_t capacity);

typedef struct lur_loss {
  const char *output; /* a model output */
  const char *kind;   /* "categorical_crossentropy", "binary_crossentropy", "mean_squared_error",
                         "mean_absolute_error"; "output": the mean of the output itself, without a target. Also
                         crossentropy, sparse_categorical_crossentropy, bce, mse and mae. NULL where there is a graph */
  double weight;      /* 0: reported, no backward */
  double label_smoothing; /* of cross entropies */
  lur_model *graph;   /* of lur_loss_graph_new; NULL: kind */
} lur_loss;

/* The number format of activations that have a height and a width. Weights, heads and losses are always f32.
   tf32: f32, with the factors of products rounded to 10 bits; f32 where a device has no tf32. bf16, f16: activations
   and their gradients, with sums in f32; LUR_EUNSUPPORTED where a device lacks them. f16 scales the loss, and lowers
   the scale where a gradient overflows: that step is skipped. int8: inference only, after lur_run_calibrate.
   Convolutions multiply 8-bit integers and sum in 32 bits; their inputs are quantized per channel, their weights per
   output. Everything else is f32, outputs of convolutions included, and so is a convolution that reads an input of the
   model. On the CPU and ref; LUR_EUNSUPPORTED elsewhere. */
typedef enum lur_precision {
  LUR_PRECISION_F32 = 0,
  LUR_PRECISION_TF32,
  LUR_PRECISION_BF16,
  LUR_PRECISION_F16,
  LUR_PRECISION_INT8
} lur_precision;

typedef struct lur_compile_options {
  lur_device *device;
  int nlosses;
  const lur_loss *losses;    /* none: inference only */
  lur_optimizer *optimizer;  /* NULL: no lur_run_step */
  bool batchnorm_batch;      /* in training, frozen batch norms use batch statistics and update the moving ones, as in
                                Keras 2.0.6 */
  lur_precision precision;
  bool input_gradients;      /* lur_run_gradient can be asked for inputs too */
  bool check;                /* guard zones around every buffer, outputs filled with NaN first: slow, for tests */
  bool no_graph;             /* steps are launched op by op where the device could capture and replay them; same bits */
  /* Disable single passes, for tests. no_lifetimes: in training, the arena keeps every output until the step ends. */
  bool no_prune, no_fold, no_lifetimes, no_arena;
} lur_compile_options;

/* Checks everything that does not depend on the batch: losses name outputs, every op has a kernel. Plans for
   concrete batch sizes are built at first use and kept. */
lur_status lur_model_compile(lur_model *model, const lur_compile_options *options, lur_run **run);
void lur_run_retain(lur_run *run);
void lur_run_release(lur_run *run);
lur_model *lur_run_model(const lur_run *run);
lur_device *lur_run_device(const lur_run *run);
/* What the target of an output is, by the output's position: whether a batch must have one; whether it may hold class
   ids; and its dtype, if it is one alone (f32 where it may be either). */
bool lur_run_needs_target(const lur_run *run, int output);
bool lur_run_takes_ids(const lur_run *run, int output);
lur_dtype lur_run_target_dtype(const lur_run *run, int output);

/* Named tensors: inputs by input name, targets by output name, optional sample weights as "NAME_weight".
   Names that the model does not know are ignored. Tensors may be in host memory: they are copied to the device.
   LUR_EARG for class ids that are out of range, targets that are not finite or, for a cross entropy, not from 0 to 1,
   and sample weights that are negative or not finite; but targets and weights of more than 1 MiB that are in the memory
   of a device are not checked. */
typedef struct lur_batch {
  int n;
  const char *const *names;
  lur_tensor *const *tensors;
} lur_batch;

enum { LUR_MAX_RESULTS = 64 };
typedef struct lur_results { /* of one batch; Keras's names: loss, NAME_loss, NAME_acc (loss, acc for one output) */
  int n;
  int64_t samples; /* rows of the first target: the weight of this batch in an epoch's means */
  char names[LUR_MAX_RESULTS][64];
  double values[LUR_MAX_RESULTS];
} lur_results;

/* Copies the inputs of a batch to the device while it computes: call it with the next batch's tensors before training
   on the present one, and pass the same tensors to the next call. The copy overlaps when the memory is pinned, as that
   of a loader for the device is. A batch that never comes, or that is written to afterwards, only costs time. */
lur_status lur_run_prefetch(lur_run *run, const lur_batch *batch);
/* NULL: steps are captured as a graph at their second use and replayed from then on. Else the reason why not. */
const char *lur_run_capture_reason(const lur_run *run);
/* Deprecated name of lur_run_capture_reason. */
static inline const char *lur_run_plain_reason(const lur_run *run) { return lur_run_capture_reason(run); }
/* Forward in training form, backward, optimizer step. Like every call that takes a batch, it returns when the device
   has finished. */
lur_status lur_run_train(lur_run *run, const lur_batch *batch, lur_results *results);
/* The same without the step; gradients are added to those already there. */
lur_status lur_run_accumulate(lur_run *run, const lur_batch *batch, lur_results *results);
lur_status lur_run_step(lur_run *run);           /* applies the gradients and zeroes them */
/* The same with all gradients multiplied by scale: 1/4 makes the gradients of four batches their mean. */
lur_status lur_run_step_scaled(lur_run *run, double scale);
void lur_run_zero_gradients(lur_run *run);
/* Forward in inference form with losses. */
lur_status lur_run_evaluate(lur_run *run, const lur_batch *batch, lur_results *results);
/* Forward in inference form; outputs has room for every model output, each a new host tensor. No targets needed. */
lur_status lur_run_predict(lur_run *run, const lur_batch *batch, lur_tensor **outputs);
/* For precision int8: runs the batch in f32 and widens the ranges of the values that its convolutions read. Call it
   with a few dozen samples like those to come, in one call or several; predict and evaluate need it (LUR_ESTATE). */
lur_status lur_run_calibrate(lur_run *run, const lur_batch *batch);
/* The ranges, one per layer: its name and a new host tensor f32 3 x channels: least, greatest, mean. lur_run_set_range
   sets one in a run of the same model and replaces the layer's range; a layer without a range then stays f32. */
int lur_run_range_count(const lur_run *run);
lur_status lur_run_get_range(const lur_run *run, int index, const char **layer, lur_tensor **range);
lur_status lur_run_set_range(lur_run *run, const char *layer, lur_tensor *range);
/* Forward only, in training form or not, then read any output; and backward from given output gradients
   (NULL entries count as zero). For tests, and for losses computed by the caller. */
lur_status lur_run_forward(lur_run *run, const lur_batch *batch, bool training, lur_tensor **outputs);
lur_status lur_run_backward(lur_run *run, lur_tensor *const *output_gradients);
/* Copy of a gradient of the last backward: a weight by layer and weight name, or with weight NULL an input. */
lur_status lur_run_gradient(lur_run *run, const char *layer, const char *weight, lur_tensor **gradient);
/* The square root of the sum of the squared gradients of a layer's weights, or with layer NULL of all. LUR_EARG: the
   run learns nothing of the layer. */
lur_status lur_run_gradient_norm(lur_run *run, const char *layer, double *norm);

typedef struct lur_run_weight { /* a weight of a layer of the model, or of a loss's graph */
  lur_layer *layer; /* borrowed */
  int index;        /* among its weights */
  bool learned;     /* steps change it: its layer was trainable at compile, and it is not a moving statistic */
} lur_run_weight;
/* Every weight that the run computes with, in the order of the model's layers; then those that only losses have. */
int lur_run_weight_count(const lur_run *run);
lur_run_weight lur_run_get_weight(const lur_run *run, int index);

double lur_run_lr(const lur_run *run);
void lur_run_set_lr(lur_run *run, double lr);
int64_t lur_run_iterations(const lur_run *run); /* optimizer steps made */
/* on: every step also checks, without an additional wait, whether all weights that training changes are finite.
   lur_run_finite: the last step's finding, 1 or 0; -1 where no step has checked. */
void lur_run_set_watch(lur_run *run, bool on);
bool lur_run_watches(const lur_run *run);
int lur_run_finite(const lur_run *run);
/* A multiplier of the learning rate and of weight decay for one layer (all its weights). */
lur_status lur_run_scale_layer(lur_run *run, const char *layer, double lr_scale, double decay_scale);
/* Drops plans and optimizer state and compiles again, after freezing or with other options. */
lur_status lur_run_recompile(lur_run *run, const lur_compile_options *options);
/* The plan last used as text: ops, bytes, FLOPs, the ten largest buffers. The caller frees it. */
lur_status lur_run_describe(lur_run *run, char **text);
/* Bytes of the arena of the plan last used, and of weights, gradients and optimizer state. */
size_t lur_run_arena_bytes(const lur_run *run);
size_t lur_run_state_bytes(const lur_run *run);
/* Seconds per op of the plan last used, summed over the calls since profiling was switched on. */
void lur_run_set_profile(lur_run *run, bool on);
typedef struct lur_profile_row {
  const char *layer, *op, *pass; /* "block2_sepconv1", "depthwise_conv2d", "forward" or "backward" */
  const char *type; /* of its input: "f32", "u8" */
  double seconds, flops, bytes;
  int64_t calls;
} lur_profile_row;
int lur_run_profile(const lur_run *run, lur_profile_row *rows, int capacity); /* returns the number there are */

/* ---- files -------------------------------------------------------------------------------------------------- */

/* The outcome of a load. text: lines like "block14_sepconv1: missing in the file". Freed with lur_load_report_free. */
typedef struct lur_load_report {
  int loaded, missing, unused, mismatched; /* layers */
  char *text;
} lur_load_report;
void lur_load_report_free(lur_load_report *report);

typedef enum lur_load_match { LUR_LOAD_AUTO = 0, LUR_LOAD_BY_NAME, LUR_LOAD_BY_ORDER } lur_load_match;
/* What a file of another framework calls a weight: file "conv1.weight", model "block1_conv1/kernel" (LAYER/WEIGHT). */
typedef struct lur_weight_name {
  const char *file, *model;
} lur_weight_name;
/* The names under which lur_model_load_weights finds this model's weights in a PyTorch state dict (.safetensors);
   kernels are transposed. Replaces the names that were set before. LUR_EARG for a name that is not LAYER/WEIGHT. */
lur_status lur_model_set_weight_names(lur_model *model, int n, const lur_weight_name *names);
int lur_model_weight_name_count(const lur_model *model);
lur_weight_name lur_model_weight_name(const lur_model *model, int index);

/* How much of a model a file has to fill. */
typedef enum lur_load_extent {
  LUR_LOAD_MOST = 0, /* at least half of its layers with weights */
  LUR_LOAD_ALL,      /* all of them */
  LUR_LOAD_PARTIAL   /* any one */
} lur_load_extent;
/* Reads weights, whatever the file is called: Keras .h5 (weights or full model, nested models too), .weights.h5 and
   .keras, .safetensors (Lurcher's, a checkpoint's, or PyTorch's where the model has names for it). AUTO: by name, and
   automatic names (conv2d_4) by order within their kind; Keras 3's files without the names of their layers, and those
   with other names where the whole model fits, by the layers' positions; where nothing fits, all by order. Where
   layers fit in several ways they are left out. LUR_ESHAPE or LUR_EFORMAT where fewer layers can be loaded than
   `extent` asks for; no weight is changed then. report may be NULL. */
lur_status lur_model_load_weights(lur_model *model, const char *path, lur_load_match match, lur_load_extent extent,
                                  lur_load_report *report);
/* .h5: Keras layout that Keras loads; .safetensors: weights only. Atomic. */
lur_status lur_model_save_weights(lur_model *model, const char *path);

/* A checkpoint: definition, weights, optimizer state, counters, and a text of the caller's, of any format.
   Written beside the target, synced, renamed: a failure keeps the old file. Checksummed. */
lur_status lur_run_save(lur_run *run, const char *path, const char *extra);
/* The same with n named f32 host tensors of the caller's, such as averaged weights. Restoring skips them:
   lur_archive_* reads them, under "lurcher.extra/NAME". */
lur_status lur_run_save_with(lur_run *run, const char *path, const char *extra, int n, const char *const *names,
                             lur_tensor *const *tensors);
/* Restores weights, optimizer state and counters into a run of an equal model. *extra as saved, freed by the caller. */
lur_status lur_run_restore(lur_run *run, const char *path, char **extra);
/* The model of a checkpoint, with its weights; extra (may be NULL) as saved. */
lur_status lur_model_load(lur_context *context, const char *path, lur_model **model, char **extra);

/* A safetensors file of named tensors, for features and caches. metadata: pairs key, value. */
lur_status lur_tensors_save(const char *path, int n, const char *const *names, lur_tensor *const *tensors, int npairs,
                            const char *const *metadata);
/* Reading one: lur_archive_open checks the structure and, in files that Lurcher wrote, the checksum. */
typedef struct lur_archive lur_archive;
lur_status lur_archive_open(lur_context *context, const char *path, lur_archive **archive);
void lur_archive_close(lur_archive *archive);
int lur_archive_count(const lur_archive *archive);
const char *lur_archive_name(const lur_archive *archive, int index);
lur_status lur_archive_read(lur_archive *archive, int index, lur_tensor **tensor);
const char *lur_archive_metadata(const lur_archive *archive, const char *key); /* NULL when absent */
/* The index-th key, not counting the engine's own ("lurcher."); NULL past the last. */
const char *lur_archive_metadata_key(const lur_archive *archive, int index);

/* Replaces a file by text: temporary file, fsync, rename, folder fsync. */
lur_status lur_file_write(const char *path, const void *bytes, size_t count);
/* How many files are being written so, by any function of this header, checkpoints included. Async-signal-safe. */
int lur_files_in_writing(void);

/* Checks that text begins with one JSON value (RFC 8259): nested at most 100 deep, strings in UTF-8 without NUL and
   without halves of surrogate pairs, no key twice in an object. *end: the offset after the value, and after a failure
   that of the fault. LUR_EFORMAT: the message says what is wrong, not where. LUR_ENOMEM: no memory for the check. */
lur_status lur_json_check(const char *text, size_t length, size_t *end);

/* ---- metrics (host tensors) --------------------------------------------------------------------------------- */

/* Rows of scores n x c against ids i32 n: the share of rows whose id is among the k best (earlier index wins ties). */
lur_status lur_top_k(lur_tensor *scores, lur_tensor *ids, int k, double *share);
/* Mean of -log p[id], p clipped to [1e-15, 1]. */
lur_status lur_log_loss(lur_tensor *probabilities, lur_tensor *ids, double *loss);
/* counts i32 c x c, rows truth, columns prediction, added to. */
lur_status lur_confusion(lur_tensor *scores, lur_tensor *ids, lur_tensor *counts);

#include "tensors.h"
#include "cache.h"
#include "data.h"

LUR_API_END
#endif
