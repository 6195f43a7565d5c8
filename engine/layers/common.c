/* common.c - input checks, windows and the `activation` option, for the layer kinds. See layers.h. */
#include "layers.h"

const char *const lur_padding_names[] = {"valid", "same", NULL};
#define NAME(KIND, name, reads) #name,
const char *const lur_activation_names[] = {"linear", LUR_ACTIVATIONS(NAME) "softmax", NULL};
#undef NAME

lur_shape lur_emit_sample(const lur_emitter *emitter, int x) {
  const lur_shape *shape = lur_emit_shape(emitter, x);
  lur_shape sample = {.ndim = shape->ndim > 0 ? shape->ndim - 1 : 0};
  for (int i = 0; i < sample.ndim; i++) sample.dim[i] = shape->dim[i + 1];
  return sample;
}

lur_status lur_layer_need_dims(const lur_layer *layer, const lur_shape *sample, int ndim, const char *form) {
  if (sample->ndim == ndim) return LUR_OK;
  char text[LUR_SHAPE_TEXT];
  return lur_fail(LUR_ESHAPE, "%s '%s': input is %s per sample, %d dimension%s (%s) expected", layer->kind->name,
                  layer->name, lur_shape_format(sample, text), ndim, ndim == 1 ? "" : "s", form);
}

lur_status lur_layer_need_input(const lur_layer *layer, const lur_emitter *emitter, int x, int ndim, const char *form) {
  if (lur_emit_dtype(emitter, x) != LUR_F32) {
    return lur_fail(LUR_ETYPE, "%s '%s': input is %s, f32 expected", layer->kind->name, layer->name,
                    lur_dtype_name(lur_emit_dtype(emitter, x)));
  }
  lur_shape sample = lur_emit_sample(emitter, x);
  return ndim < 0 ? LUR_OK : lur_layer_need_dims(layer, &sample, ndim, form);
}

lur_status lur_layer_need_channels(const lur_layer *layer, int index, int dim, int64_t channels) {
  if (!layer->built || layer->weights[index].shape.dim[dim] == channels) return LUR_OK;
  return lur_fail(LUR_ESHAPE, "%s '%s': input has %lld channels, weights expect %lld", layer->kind->name, layer->name,
                  (long long)channels, (long long)layer->weights[index].shape.dim[dim]);
}

lur_status lur_layer_axis(const lur_layer *layer, const lur_shape *value, int64_t axis, int *dim) {
  const int64_t d = axis < 0 ? axis + value->ndim : axis;
  if (axis == 0 || d < 1 || d >= value->ndim)
    return lur_fail(LUR_ESHAPE, "%s '%s': axis %lld of samples of %d dimensions", layer->kind->name, layer->name,
                    (long long)axis, value->ndim - 1);
  *dim = (int)d;
  return LUR_OK;
}

lur_status lur_window(int64_t in, int64_t kernel, int64_t stride, lur_padding padding, int64_t *out, int *before) {
  if (padding == LUR_PADDING_SAME) {
    int64_t extent = in / stride + (in % stride != 0);
    int64_t total = (extent - 1) * stride + kernel - in;
    *before = total > 0 ? (int)(total / 2) : 0;
    *out = extent;
    return LUR_OK;
  }
  if (in < kernel) {
    return lur_fail(LUR_ESHAPE, "a window of %lld does not fit into %lld (smaller kernel, or padding = \"same\")",
                    (long long)kernel, (long long)in);
  }
  *out = (in - kernel) / stride + 1;
  *before = 0;
  return LUR_OK;
}

lur_status lur_layer_window(const lur_layer *layer, const lur_shape *x, const int64_t kernel[2],
                            const int64_t stride[2], int padding, lur_window_2d *window) {
  lur_window_2d w;
  lur_status status = lur_window(x->dim[1], kernel[0], stride[0], (lur_padding)padding, &w.out_h, &w.pad_top);
  if (status == LUR_OK)
    status = lur_window(x->dim[2], kernel[1], stride[1], (lur_padding)padding, &w.out_w, &w.pad_left);
  if (status != LUR_OK) return lur_blame(status, "%s '%s'", layer->kind->name, layer->name);
  *window = w;
  return LUR_OK;
}

lur_conv2d_desc lur_layer_conv(const int64_t kernel[2], const int64_t stride[2], const lur_window_2d *window) {
  return (lur_conv2d_desc){.kernel_h = (int)kernel[0],
                         .kernel_w = (int)kernel[1],
                         .stride_h = (int)stride[0],
                         .stride_w = (int)stride[1],
                         .pad_top = window->pad_top,
                         .pad_left = window->pad_left};
}
