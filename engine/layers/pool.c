/* pool.c - windows reduced to one value per channel: max_pool, avg_pool and their global forms.
 * Cells outside the image never win a maximum and are not counted in an average. */
#include "layers.h"

typedef struct pool {
  int64_t size[2], stride[2];
  int padding;
} pool;

static const lur_option options[] = {{.name = "size",
                                      .type = LUR_OPT_PAIR,
                                      .offset = offsetof(pool, size),
                                      .def = "2",
                                      .min = 1,
                                      .help = "height and width of the window"},
                                     {.name = "stride",
                                      .type = LUR_OPT_PAIR,
                                      .offset = offsetof(pool, stride),
                                      .def = "0",
                                      .min = 1,
                                      .help = "step of the window; default: its size"},
                                     LUR_ROW_PADDING(pool),
                                     {0}};

static lur_status check(const lur_layer *layer) {
  pool *o = layer->options;
  for (int i = 0; i < 2; i++) {
    if (o->stride[i] == 0) o->stride[i] = o->size[i];
  }
  return LUR_OK;
}

static lur_status emit_mode(const lur_layer *layer, lur_emitter *emitter, lur_pool_mode mode, int x, int *y) {
  const pool *o = layer->options;
  LUR_TRY(lur_layer_need_input(layer, emitter, x, 3, "h w c"));
  const lur_shape in = *lur_emit_shape(emitter, x);
  lur_window_2d w;
  LUR_TRY(lur_layer_window(layer, &in, o->size, o->stride, o->padding, &w));
  lur_op_desc desc = {.kind = LUR_OP_POOL, .y = {LUR_F32, {4, {in.dim[0], w.out_h, w.out_w, in.dim[3]}}}};
  desc.u.pool = (lur_pool_desc){.mode = mode,
                                .kernel_h = (int)o->size[0],
                                .kernel_w = (int)o->size[1],
                                .stride_h = (int)o->stride[0],
                                .stride_w = (int)o->stride[1],
                                .pad_top = w.pad_top,
                                .pad_left = w.pad_left};
  return lur_emit(emitter, layer, &desc, 1, &x, 0, NULL, y);
}

static lur_status emit_max(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  (void)n;
  return emit_mode(layer, emitter, LUR_POOL_MAX, x[0], y);
}

static lur_status emit_avg(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  (void)n;
  return emit_mode(layer, emitter, LUR_POOL_AVG, x[0], y);
}

static lur_status emit_global(const lur_layer *layer, lur_emitter *emitter, lur_op_desc *desc, int x, int *y) {
  LUR_TRY(lur_layer_need_input(layer, emitter, x, 3, "h w c"));
  const lur_shape in = *lur_emit_shape(emitter, x);
  desc->y = (lur_operand){LUR_F32, {2, {in.dim[0], in.dim[3]}}};
  return lur_emit(emitter, layer, desc, 1, &x, 0, NULL, y);
}

static lur_status emit_global_avg(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  (void)n;
  return emit_global(layer, emitter, &(lur_op_desc){.kind = LUR_OP_GLOBAL_POOL}, x[0], y);
}

static lur_status emit_global_max(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  (void)n;
  lur_op_desc desc = {.kind = LUR_OP_REDUCE, .u.reduce = {.function = LUR_MAX, .axes = 1u << 1 | 1u << 2}};
  return emit_global(layer, emitter, &desc, x[0], y);
}

const lur_layer_type lur_layer_max_pool = {.name = "max_pool",
                                           .auto_name = "max_pooling2d",
                                           .help = "the largest value of each window: h w c -> h' w' c",
                                           .options = options,
                                           .options_size = sizeof(pool),
                                           .min_inputs = 1,
                                           .max_inputs = 1,
                                           .check = check,
                                           .emit = emit_max};
const lur_layer_type lur_layer_avg_pool = {.name = "avg_pool",
                                           .auto_name = "average_pooling2d",
                                           .help = "the mean of each window's real cells: h w c -> h' w' c",
                                           .options = options,
                                           .options_size = sizeof(pool),
                                           .min_inputs = 1,
                                           .max_inputs = 1,
                                           .check = check,
                                           .emit = emit_avg};
const lur_layer_type lur_layer_global_avg_pool = {.name = "global_avg_pool",
                                                  .auto_name = "global_average_pooling2d",
                                                  .help = "the mean over height and width: h w c -> c",
                                                  .min_inputs = 1,
                                                  .max_inputs = 1,
                                                  .emit = emit_global_avg};
const lur_layer_type lur_layer_global_max_pool = {.name = "global_max_pool",
                                                  .auto_name = "global_max_pooling2d",
                                                  .help = "the largest value over height and width: h w c -> c",
                                                  .min_inputs = 1,
                                                  .max_inputs = 1,
                                                  .emit = emit_global_max};
