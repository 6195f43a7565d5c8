/* input.c - the two kinds that begin a graph: input (images, features) and index (row numbers).
 * They have no op: a run binds tensors of the batch to them. */
#include "engine/graph/graph.h"
#include "layers.h"

static const char *const dtypes[] = {"f32", "f16", "bf16", "i32", "u8", NULL}; /* in the order of lur_dtype */

static const lur_option options[] = {{.name = "shape",
                                      .type = LUR_OPT_SHAPE,
                                      .offset = offsetof(lur_input_options, shape),
                                      .min = 1,
                                      .help = "extents of one sample, without the batch"},
                                     {.name = "dtype",
                                      .type = LUR_OPT_CHOICE,
                                      .offset = offsetof(lur_input_options, dtype),
                                      .def = "f32",
                                      .choices = dtypes,
                                      .help = "data type"},
                                     {0}};

static lur_status check_input(const lur_layer *layer) {
  const lur_shape *shape = &((const lur_input_options *)layer->options)->shape;
  if (shape->ndim >= LUR_MAX_DIMS) {
    return lur_fail(LUR_EARG, "bad option 'shape' to 'input' (at most %d extents expected, got %d)", LUR_MAX_DIMS - 1,
                    shape->ndim);
  }
  lur_status status = lur_shape_check(shape);
  return status == LUR_OK ? LUR_OK : lur_blame(status, "input '%s'", layer->name);
}

/* A row number is a scalar, whose shape is the empty one that zeroed options hold. */
static lur_status check_index(const lur_layer *layer) {
  ((lur_input_options *)layer->options)->dtype = LUR_I32;
  return LUR_OK;
}

const lur_layer_type lur_layer_input = {.name = "input",
                                        .help = "a named input of samples of one shape",
                                        .options = options,
                                        .options_size = sizeof(lur_input_options),
                                        .check = check_input};
const lur_layer_type lur_layer_index = {.name = "index",
                                        .help = "a named input of row numbers, for gather",
                                        .options_size = sizeof(lur_input_options),
                                        .check = check_index};
