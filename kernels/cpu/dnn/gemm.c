/* gemm.c - oneDNN's matrix products: the matmul primitive, and sgemm. See kernels/cpu/dnn.h. */
#include "call.h"

static dnnl_status_t matrices(layout *l, int64_t batch, int64_t rows, int64_t columns, lur_dnn_order order) {
  const bool swapped = order == LUR_DNN_TRANSPOSED;
  if (batch <= 1) return layout_new(l, 2, (dnnl_dims_t){rows, columns}, dnnl_f32, swapped ? dnnl_ba : dnnl_ab);
  return layout_new(l, 3, (dnnl_dims_t){batch, rows, columns}, dnnl_f32, swapped ? dnnl_acb : dnnl_abc);
}

lur_status lur_dnn_gemm(lur_dnn *dnn, int64_t m, int64_t n, int64_t k, lur_dnn_order src, lur_dnn_order weights,
                        unsigned post, lur_dnn_call **out) {
  return lur_dnn_batched_gemm(dnn, 1, m, n, k, src, weights, post, out);
}

lur_status lur_dnn_batched_gemm(lur_dnn *dnn, int64_t batch, int64_t m, int64_t n, int64_t k, lur_dnn_order src,
                                lur_dnn_order weights, unsigned post, lur_dnn_call **out) {
  layout a = {0}, b = {0}, c = {0}, bias = {0};
  dnnl_primitive_attr_t attr = NULL;
  lur_dnn_call *call;
  lur_status status;
  LUR_TRY(dnn_call_new(&call));
  DNN_TRY(matrices(&a, batch, m, k, src), "gemm");
  DNN_TRY(matrices(&b, batch, k, n, weights), "gemm");
  DNN_TRY(matrices(&c, batch, m, n, LUR_DNN_PLAIN), "gemm");
  DNN_TRY(matrices(&bias, 1, 1, n, LUR_DNN_PLAIN), "gemm");
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
