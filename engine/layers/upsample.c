/* upsample.c - images of another size: a whole factor (UpSampling2D of Keras), or any size. The formulas and their
 * sources are in kernels/op_desc.h. */
#include "layers.h"

typedef struct upsample {
  int64_t factor[2], size[2];
  int mode;
} upsample;

static const char *const modes[] = {"nearest", "bilinear", NULL}; /* in the order of lur_upsample_mode */

static const char *const other_names[] = {"interpolation", "mode", NULL}; /* Keras's name */

static const lur_option options[] = {{.name = "factor",
                                      .type = LUR_OPT_PAIR,
                                      .offset = offsetof(upsample, factor),
                                      .def = "2",
                                      .min = 1,
                                      .help = "factors of height and width"},
                                     {.name = "mode",
                                      .type = LUR_OPT_CHOICE,
                                      .offset = offsetof(upsample, mode),
                                      .def = "nearest",
                                      .choices = modes,
                                      .help = "nearest or bilinear, corners not aligned"},
                                     {.name = "size",
                                      .type = LUR_OPT_PAIR,
                                      .offset = offsetof(upsample, size),
                                      .def = "0",
                                      .min = 0,
                                      .max = 1e8,
                                      .help = "height and width of the result; 0: by the factors"},
                                     {.choices = other_names}};

static lur_status emit(const lur_layer *layer, lur_emitter *emitter, int n, const int *x, int *y) {
  const upsample *o = layer->options;
  (void)n;
  LUR_TRY(lur_layer_need_input(layer, emitter, x[0], 3, "h w c"));
  lur_op_desc desc = {.kind = LUR_OP_UPSAMPLE, .u.upsample = {(lur_upsample_mode)o->mode}};
  lur_emit_like(emitter, x[0], &desc);
  for (int i = 0; i < 2; i++)
    desc.y.shape.dim[1 + i] = o->size[i] > 0 ? o->size[i] : desc.y.shape.dim[1 + i] * o->factor[i];
  return lur_emit(emitter, layer, &desc, 1, x, 0, NULL, y);
}

const lur_layer_type lur_layer_upsample = {.name = "upsample",
                                           .auto_name = "up_sampling2d",
                                           .help = "images of another size: h w c -> h' w' c",
                                           .options = options,
                                           .options_size = sizeof(upsample),
                                           .min_inputs = 1,
                                           .max_inputs = 1,
                                           .emit = emit};
