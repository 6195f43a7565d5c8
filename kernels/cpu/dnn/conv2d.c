/* conv2d.c - oneDNN's convolutions: forward, int8, and both gradients. See kernels/cpu/dnn.h. */
#include "call.h"

#include <string.h>

/* The padding behind the image; negative where y has fewer outputs than fit. */
static int64_t pad_after(int64_t in, int64_t out, int kernel, int stride, int before) {
  const int64_t after = (out - 1) * stride + kernel - in - before;
  return after > 0 || after <= -stride ? after : 0;
}

static lur_status layouts_new(const lur_dnn_conv2d *c, bool swapped, bool int8, conv2d_layouts *l) {
  lur_status status = LUR_OK;
  const dnnl_dims_t x = {c->n, c->ci, c->ih, c->iw}, y = {c->n, c->co, c->oh, c->ow};
  const dnnl_dims_t w = {c->co, c->ci, c->kh, c->kw}, b = {c->co};
  memset(l, 0, sizeof *l);
  l->stride[0] = c->sh, l->stride[1] = c->sw;
  l->before[0] = c->pt, l->before[1] = c->pl;
  l->after[0] = pad_after(c->ih, c->oh, c->kh, c->sh, c->pt);
  l->after[1] = pad_after(c->iw, c->ow, c->kw, c->sw, c->pl);
  DNN_TRY(layout_new(&l->x, 4, x, int8 ? dnnl_u8 : dnnl_f32, dnnl_nhwc), "convolution input");
  DNN_TRY(layout_new(&l->y, 4, y, dnnl_f32, dnnl_nhwc), "convolution output");
  DNN_TRY(layout_new(&l->weights, 4, w, int8 ? dnnl_s8 : dnnl_f32, dnnl_format_tag_any), "convolution weights");
  DNN_TRY(layout_new(&l->plain, 4, w, dnnl_f32, swapped ? dnnl_oihw : dnnl_hwio), "convolution weights");
  DNN_TRY(layout_new(&l->bias, 1, b, dnnl_f32, dnnl_a), "convolution bias");
done:
  return status;
}

static void layouts_free(conv2d_layouts *l) {
  layout_free(&l->x);
  layout_free(&l->y);
  layout_free(&l->weights);
  layout_free(&l->plain);
  layout_free(&l->bias);
}

lur_status lur_dnn_conv2d_forward(lur_dnn *dnn, const lur_dnn_conv2d *conv, bool swapped, unsigned post,
                                  lur_dnn_call **out) {
  conv2d_layouts l;
  dnnl_primitive_attr_t attr = NULL;
  lur_dnn_call *call;
  LUR_TRY(dnn_call_new(&call));
  const bool bias = post & LUR_DNN_BIAS;
  lur_status status = layouts_new(conv, swapped, false, &l);
  if (status == LUR_OK) status = dnn_attr_new(post, &l.y, &attr);
  if (status != LUR_OK) goto done;
  DNN_TRY(conv2d_forward_desc(&call->desc, dnn->engine, &l, bias, attr), "convolution");
  status = dnn_call_finish(dnn, call, bias ? &l.bias : NULL);
  if (status == LUR_OK) status = dnn_add_memory(dnn, call, DNN_SRC, LAYOUT_REF(&l.x), DNNL_ARG_SRC);
  if (status == LUR_OK) status = dnn_add_memory(dnn, call, DNN_DST, LAYOUT_REF(&l.y), DNNL_ARG_DST);
  if (status == LUR_OK) status = dnn_add_residual(dnn, call, post, LAYOUT_REF(&l.y));
  if (status == LUR_OK) status = dnn_add_weights(dnn, call, &l.plain);
done:
  if (attr) dnnl_primitive_attr_destroy(attr);
  layouts_free(&l);
  return dnn_call_done(status, call, out);
}

/* Whether the processor multiplies 8-bit integers into 32-bit sums: VNNI, on vectors of either width, or AMX. Older
   processors sum in 16 bits. */
static bool has_int8(void) {
  const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
  const unsigned wide = dnnl_cpu_isa_avx512_core_vnni, narrow = dnnl_cpu_isa_avx2_vnni;
  return (isa & wide) == wide || (isa & narrow) == narrow;
}

/* The scale of the result is a post-op: in 2.x the scales of the attributes must be known when the call is made. */
lur_status lur_dnn_conv2d_int8(lur_dnn *dnn, const lur_dnn_conv2d *conv, unsigned post, lur_dnn_call **out) {
  conv2d_layouts l = {0};
  layout column = {0};
  dnnl_primitive_attr_t attr = NULL;
  lur_dnn_call *call;
  const dnnl_dims_t columns = {1, conv->co, 1, 1};
  if (!has_int8()) return lur_fail(LUR_EUNSUPPORTED, "oneDNN: this processor has no int8 multiplication");
  LUR_TRY(dnn_call_new(&call));
  lur_status status = layouts_new(conv, false, true, &l);
  if (status != LUR_OK) goto done;
  DNN_TRY(layout_new(&column, 4, columns, dnnl_f32, dnnl_nhwc), "convolution scale");
  status = dnn_attr_new(post, &column, &attr);
  if (status != LUR_OK) goto done;
  DNN_TRY(conv2d_forward_desc(&call->desc, dnn->engine, &l, false, attr), "int8 convolution");
  status = dnn_call_finish(dnn, call, NULL);
  const int scale = DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1,
            bias = DNNL_ARG_ATTR_MULTIPLE_POST_OP(1) | DNNL_ARG_SRC_1;
  if (status == LUR_OK) status = dnn_add_memory(dnn, call, DNN_SRC, LAYOUT_REF(&l.x), DNNL_ARG_SRC);
  if (status == LUR_OK) status = dnn_add_memory(dnn, call, DNN_DST, LAYOUT_REF(&l.y), DNNL_ARG_DST);
  if (status == LUR_OK) status = dnn_add_memory(dnn, call, DNN_SCALE, LAYOUT_REF(&column), scale);
  if (status == LUR_OK) status = dnn_add_memory(dnn, call, DNN_BIAS, LAYOUT_REF(&column), bias);
  if (status == LUR_OK) status = dnn_add_weights(dnn, call, &l.plain);
done:
  if (attr) dnnl_primitive_attr_destroy(attr);
  layout_free(&column);
  layouts_free(&l);
  return dnn_call_done(status, call, out);
}

/* Both gradients start from the forward descriptor of the same convolution, which oneDNN wants as a hint. */
static lur_status gradient_begin(lur_dnn *dnn, const lur_dnn_conv2d *conv, conv2d_layouts *l,
                                 dnnl_primitive_attr_t *attr, dnnl_primitive_desc_t *hint) {
  lur_status status = layouts_new(conv, false, false, l);
  if (status == LUR_OK) status = dnn_attr_new(0, NULL, attr);
  if (status != LUR_OK) return status;
  return dnn_check(conv2d_forward_desc(hint, dnn->engine, l, false, *attr), "convolution");
}

static void gradient_end(conv2d_layouts *l, dnnl_primitive_attr_t attr, dnnl_primitive_desc_t hint) {
  if (hint) dnnl_primitive_desc_destroy(hint);
  if (attr) dnnl_primitive_attr_destroy(attr);
  layouts_free(l);
}

lur_status lur_dnn_conv2d_backward_data(lur_dnn *dnn, const lur_dnn_conv2d *conv, lur_dnn_call **out) {
  conv2d_layouts l = {0};
  dnnl_primitive_attr_t attr = NULL;
  dnnl_primitive_desc_t hint = NULL;
  lur_dnn_call *call;
  LUR_TRY(dnn_call_new(&call));
  lur_status status = gradient_begin(dnn, conv, &l, &attr, &hint);
  if (status != LUR_OK) goto done;
  DNN_TRY(conv2d_backward_data_desc(&call->desc, dnn->engine, &l, attr, hint), "convolution, gradient of the input");
  status = dnn_call_finish(dnn, call, NULL);
  if (status == LUR_OK) status = dnn_add_memory(dnn, call, DNN_SRC, LAYOUT_REF(&l.y), DNNL_ARG_DIFF_DST);
  if (status == LUR_OK) status = dnn_add_memory(dnn, call, DNN_DST, LAYOUT_REF(&l.x), DNNL_ARG_DIFF_SRC);
  if (status == LUR_OK) status = dnn_add_weights(dnn, call, &l.plain);
done:
  gradient_end(&l, attr, hint);
  return dnn_call_done(status, call, out);
}

lur_status lur_dnn_conv2d_backward_weights(lur_dnn *dnn, const lur_dnn_conv2d *conv, lur_dnn_call **out) {
  conv2d_layouts l = {0};
  dnnl_primitive_attr_t attr = NULL;
  dnnl_primitive_desc_t hint = NULL;
  lur_dnn_call *call;
  LUR_TRY(dnn_call_new(&call));
  lur_status status = gradient_begin(dnn, conv, &l, &attr, &hint);
  if (status != LUR_OK) goto done;
  DNN_TRY(conv2d_backward_weights_desc(&call->desc, dnn->engine, &l, attr, hint),
          "convolution, gradient of the weights");
  status = dnn_call_finish(dnn, call, NULL);
  if (status == LUR_OK) status = dnn_add_memory(dnn, call, DNN_SRC, LAYOUT_REF(&l.x), DNNL_ARG_SRC);
  if (status == LUR_OK) status = dnn_add_memory(dnn, call, DNN_WEIGHTS, LAYOUT_REF(&l.y), DNNL_ARG_DIFF_DST);
  if (status == LUR_OK) status = dnn_add_weight_gradient(dnn, call, &l.plain);
done:
  gradient_end(&l, attr, hint);
  return dnn_call_done(status, call, out);
}
