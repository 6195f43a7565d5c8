/* gemm.c - oneDNN's matrix products: the matmul primitive, and sgemm. See kernels/cpu/dnn.h. */
#include "call.h"

static dnnl_format_tag_t format_of(lur_dnn_order order) { return order == LUR_DNN_TRANSPOSED ? dnnl_ba : dnnl_ab; }

lur_status lur_dnn_gemm(lur_dnn *dnn, int64_t m, int64_t n, int64_t k, lur_dnn_order src, lur_dnn_order weights,
                        unsigned post, lur_dnn_call **out) {
  const dnnl_dims_t da = {m, k}, db = {k, n}, dc = {m, n}, dbias = {1, n};
  layout a = {0}, b = {0}, c = {0}, bias = {0};
  dnnl_primitive_attr_t attr = NULL;
  lur_dnn_call *call;
  lur_status status;
  LUR_TRY(dnn_call_new(&call));
  DNN_TRY(layout_new(&a, 2, da, dnnl_f32, format_of(src)), "gemm");
  DNN_TRY(layout_new(&b, 2, db, dnnl_f32, format_of(weights)), "gemm");
  DNN_TRY(layout_new(&c, 2, dc, dnnl_f32, dnnl_ab), "gemm");
  DNN_TRY(layout_new(&bias, 2, dbias, dnnl_f32, dnnl_ab), "gemm");
  status = dnn_attr_new(post, &c, &attr);
  if (status != LUR_OK) goto done;
  const layout *with_bias = post & LUR_DNN_BIAS ? &bias : NULL;
  DNN_TRY(gemm_desc(&call->desc, dnn->engine, &a, &b, with_bias, &c, attr), "gemm");
  status = dnn_call_finish(dnn, call, with_bias);
  if (status == LUR_OK) status = dnn_add_memory(dnn, call, DNN_SRC, LAYOUT_REF(&a), DNNL_ARG_SRC);
  if (status == LUR_OK) status = dnn_add_memory(dnn, call, DNN_DST, LAYOUT_REF(&c), DNNL_ARG_DST);
  if (status == LUR_OK) status = dnn_add_residual(dnn, call, post, LAYOUT_REF(&c));
  if (status == LUR_OK) status = dnn_add_memory(dnn, call, DNN_WEIGHTS, LAYOUT_REF(&b), DNNL_ARG_WEIGHTS);
done:
  if (attr) dnnl_primitive_attr_destroy(attr);
  layout_free(&a);
  layout_free(&b);
  layout_free(&c);
  layout_free(&bias);
  return dnn_call_done(status, call, out);
}

lur_status lur_dnn_sgemm(int64_t m, int64_t n, int64_t k, lur_dnn_order src, lur_dnn_order weights, bool add,
                         lur_dnn_call **out) {
  lur_dnn_call *call;
  LUR_TRY(dnn_call_new(&call));
  call->sgemm = (dnn_sgemm){true, src == LUR_DNN_TRANSPOSED, weights == LUR_DNN_TRANSPOSED, add, m, n, k};
  *out = call;
  return LUR_OK;
}
