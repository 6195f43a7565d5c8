/* dnn.c - oneDNN's descriptors and primitives, for 2.x and 3.x. See dnn.h; nothing else includes oneDNN's headers.
 *
 * The two APIs differ in how memory and operation descriptors are made; the section "two APIs" hides it, and the rest
 * reads the same for both. Weights are given to oneDNN in the format it asks for: where that is not the plain one a
 * reorder precedes (or, for dw, follows) the primitive: into scratch, or into memory of the call for weights that
 * seldom change. A reorder costs 5 % of a 19x19x728 convolution of eight images, mostly in cold caches. */
#include "kernels/cpu/dnn.h"

#include <stdlib.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>

enum { SCRATCH_ALIGN = 64, MAX_ARGS = 8 };

struct lur_dnn {
  dnnl_engine_t engine;
};

/* Slots of a call's memories. */
enum { SRC, WEIGHTS, BIAS, RESIDUAL, SCALE, DST, SCRATCH, PLAIN, SLOTS };

typedef struct product { /* sgemm: the call uses nothing else */
  bool is, transpose_src, transpose_weights, add;
  int64_t m, n, k;
} product;

struct lur_dnn_call {
  dnnl_stream_t stream;
  dnnl_primitive_desc_t desc;
  dnnl_primitive_t primitive, reorder;
  dnnl_memory_t memory[SLOTS]; /* PLAIN: the caller's side of the reorder */
  dnnl_exec_arg_t args[MAX_ARGS];
  int nargs;
  bool reorder_after; /* the reorder adds the result to dst, instead of preparing the weights */
  size_t packed_bytes, scratchpad_bytes; /* packed_bytes: of scratch; 0 where `kept` serves */
  void *kept;                            /* packed weights from run to run, of kept_version */
  uint64_t kept_version;
  product product;
};

static lur_status check(dnnl_status_t status, const char *what) {
  if (status == dnnl_success) return LUR_OK;
  if (status == dnnl_out_of_memory) return lur_fail(LUR_ENOMEM, "oneDNN: %s: out of memory", what);
  if (status == dnnl_unimplemented)
    return lur_fail(LUR_EUNSUPPORTED, "oneDNN: %s: no implementation for these shapes", what);
  if (status == dnnl_invalid_arguments) return lur_fail(LUR_EUNSUPPORTED, "oneDNN: %s: arguments refused", what);
  return lur_fail(LUR_EDEVICE, "oneDNN: %s: status %d", what, (int)status);
}

#define TRY(expression, what)                            \
  do {                                                   \
    status = check((expression), (what));                \
    if (status != LUR_OK) goto done;                     \
  } while (0)

/* ---- two APIs ---- */

#if DNNL_VERSION_MAJOR >= 3

typedef dnnl_memory_desc_t layout;
typedef const_dnnl_memory_desc_t layout_ref;

static layout_ref ref_of(const layout *l) { return *l; }

static dnnl_status_t layout_of(layout *l, int ndims, const dnnl_dims_t dims, dnnl_data_type_t type,
                               dnnl_format_tag_t tag) {
  return dnnl_memory_desc_create_with_tag(l, ndims, dims, type, tag);
}

static void layout_free(layout *l) {
  if (*l) dnnl_memory_desc_destroy(*l);
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops) {
  return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
}

static dnnl_status_t append_relu(dnnl_post_ops_t ops) {
  return dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0.0f, 0.0f);
}

static dnnl_status_t conv_forward_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const layout *x, const layout *w,
                                       const layout *b, const layout *y, const dnnl_dims_t stride,
                                       const dnnl_dims_t before, const dnnl_dims_t after, dnnl_primitive_attr_t attr) {
  const dnnl_dims_t dilation = {0, 0};
  return dnnl_convolution_forward_primitive_desc_create(pd, e, dnnl_forward_training, dnnl_convolution_direct, *x, *w,
                                                        b ? *b : NULL, *y, stride, dilation, before, after, attr);
}

static dnnl_status_t conv_data_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const layout *x, const layout *w,
                                    const layout *y, const dnnl_dims_t stride, const dnnl_dims_t before,
                                    const dnnl_dims_t after, dnnl_primitive_attr_t attr, dnnl_primitive_desc_t hint) {
  const dnnl_dims_t dilation = {0, 0};
  return dnnl_convolution_backward_data_primitive_desc_create(pd, e, dnnl_convolution_direct, *x, *w, *y, stride,
                                                              dilation, before, after, hint, attr);
}

static dnnl_status_t conv_weights_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const layout *x, const layout *w,
                                       const layout *y, const dnnl_dims_t stride, const dnnl_dims_t before,
                                       const dnnl_dims_t after, dnnl_primitive_attr_t attr,
                                       dnnl_primitive_desc_t hint) {
  const dnnl_dims_t dilation = {0, 0};
  return dnnl_convolution_backward_weights_primitive_desc_create(pd, e, dnnl_convolution_direct, *x, *w, NULL, *y,
                                                                 stride, dilation, before, after, hint, attr);
}

static dnnl_status_t matmul_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const layout *a, const layout *b,
                                 const layout *bias, const layout *c, dnnl_primitive_attr_t attr) {
  return dnnl_matmul_primitive_desc_create(pd, e, *a, *b, bias ? *bias : NULL, *c, attr);
}

#else

typedef dnnl_memory_desc_t layout;
typedef const dnnl_memory_desc_t *layout_ref;

static layout_ref ref_of(const layout *l) { return l; }

static dnnl_status_t layout_of(layout *l, int ndims, const dnnl_dims_t dims, dnnl_data_type_t type,
                               dnnl_format_tag_t tag) {
  return dnnl_memory_desc_init_by_tag(l, ndims, dims, type, tag);
}

static void layout_free(layout *l) { (void)l; }

static dnnl_status_t append_sum(dnnl_post_ops_t ops) { return dnnl_post_ops_append_sum(ops, 1.0f); }

static dnnl_status_t append_relu(dnnl_post_ops_t ops) {
  return dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
}

static dnnl_status_t conv_forward_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const layout *x, const layout *w,
                                       const layout *b, const layout *y, const dnnl_dims_t stride,
                                       const dnnl_dims_t before, const dnnl_dims_t after, dnnl_primitive_attr_t attr) {
  dnnl_convolution_desc_t d;
  dnnl_status_t s = dnnl_convolution_forward_desc_init(&d, dnnl_forward_training, dnnl_convolution_direct, x, w, b, y,
                                                       stride, before, after);
  return s == dnnl_success ? dnnl_primitive_desc_create(pd, &d, attr, e, NULL) : s;
}

static dnnl_status_t conv_data_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const layout *x, const layout *w,
                                    const layout *y, const dnnl_dims_t stride, const dnnl_dims_t before,
                                    const dnnl_dims_t after, dnnl_primitive_attr_t attr, dnnl_primitive_desc_t hint) {
  dnnl_convolution_desc_t d;
  dnnl_status_t s =
      dnnl_convolution_backward_data_desc_init(&d, dnnl_convolution_direct, x, w, y, stride, before, after);
  return s == dnnl_success ? dnnl_primitive_desc_create(pd, &d, attr, e, hint) : s;
}

static dnnl_status_t conv_weights_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const layout *x, const layout *w,
                                       const layout *y, const dnnl_dims_t stride, const dnnl_dims_t before,
                                       const dnnl_dims_t after, dnnl_primitive_attr_t attr,
                                       dnnl_primitive_desc_t hint) {
  dnnl_convolution_desc_t d;
  dnnl_status_t s =
      dnnl_convolution_backward_weights_desc_init(&d, dnnl_convolution_direct, x, w, NULL, y, stride, before, after);
  return s == dnnl_success ? dnnl_primitive_desc_create(pd, &d, attr, e, hint) : s;
}

static dnnl_status_t matmul_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const layout *a, const layout *b,
                                 const layout *bias, const layout *c, dnnl_primitive_attr_t attr) {
  dnnl_matmul_desc_t d;
  dnnl_status_t s = dnnl_matmul_desc_init(&d, a, b, bias, c);
  return s == dnnl_success ? dnnl_primitive_desc_create(pd, &d, attr, e, NULL) : s;
}

#endif

static dnnl_status_t layout_new(layout *l, int ndims, const dnnl_dims_t dims, dnnl_format_tag_t tag) {
  return layout_of(l, ndims, dims, dnnl_f32, tag);
}

/* ---- the engine ---- */

lur_status lur_dnn_open(lur_dnn **dnn) {
  lur_dnn *d = calloc(1, sizeof *d);
  if (!d) return lur_fail(LUR_ENOMEM, "oneDNN: out of memory");
  lur_status status = check(dnnl_engine_create(&d->engine, dnnl_cpu, 0), "engine");
  if (status != LUR_OK) {
    free(d);
    return status;
  }
  *dnn = d;
  return LUR_OK;
}

void lur_dnn_close(lur_dnn *dnn) {
  if (!dnn) return;
  dnnl_engine_destroy(dnn->engine);
  free(dnn);
}

/* ---- building a call ---- */

static lur_status attr_new(unsigned post, const layout *dst, dnnl_primitive_attr_t *attr) {
  dnnl_post_ops_t ops = NULL;
  lur_status status = LUR_OK;
  *attr = NULL;
  TRY(dnnl_primitive_attr_create(attr), "attributes");
  TRY(dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user), "scratchpad mode");
  TRY(dnnl_post_ops_create(&ops), "post-ops");
  if (post & LUR_DNN_SCALE) { /* dst: of one column's scale and bias here */
    TRY(dnnl_post_ops_append_binary(ops, dnnl_binary_mul, ref_of(dst)), "post-ops");
    TRY(dnnl_post_ops_append_binary(ops, dnnl_binary_add, ref_of(dst)), "post-ops");
  }
  if (post & LUR_DNN_ACCUMULATE) TRY(append_sum(ops), "post-ops");
  if (post & LUR_DNN_RESIDUAL) TRY(dnnl_post_ops_append_binary(ops, dnnl_binary_add, ref_of(dst)), "post-ops");
  if (post & LUR_DNN_RELU) TRY(append_relu(ops), "post-ops");
  TRY(dnnl_primitive_attr_set_post_ops(*attr, ops), "post-ops");
done:
  if (ops) dnnl_post_ops_destroy(ops);
  if (status != LUR_OK && *attr) {
    dnnl_primitive_attr_destroy(*attr);
    *attr = NULL;
  }
  return status;
}

static layout_ref query(const lur_dnn_call *call, dnnl_query_t what) {
  return dnnl_primitive_desc_query_md(call->desc, what, 0);
}

static lur_status add_memory(lur_dnn *dnn, lur_dnn_call *call, int slot, layout_ref shape, int arg) {
  lur_status status = LUR_OK;
  TRY(dnnl_memory_create(&call->memory[slot], shape, dnn->engine, DNNL_MEMORY_NONE), "memory");
  if (arg >= 0) call->args[call->nargs++] = (dnnl_exec_arg_t){arg, call->memory[slot]};
done:
  return status;
}

/* The reorder between the caller's plain layout and the one the primitive chose. add: dst += instead of dst =. */
static lur_status add_reorder(lur_dnn *dnn, lur_dnn_call *call, layout_ref from, layout_ref to, bool add) {
  dnnl_primitive_desc_t desc = NULL;
  dnnl_primitive_attr_t attr = NULL;
  lur_status status = LUR_OK;
  LUR_TRY(attr_new(add ? LUR_DNN_ACCUMULATE : 0, NULL, &attr));
  TRY(dnnl_reorder_primitive_desc_create(&desc, from, dnn->engine, to, dnn->engine, attr), "reorder");
  size_t scratchpad = dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0));
  if (scratchpad)
    status = lur_fail(LUR_EUNSUPPORTED, "oneDNN: reorder of weights needs %zu bytes of scratch", scratchpad);
  if (status != LUR_OK) goto done;
  TRY(dnnl_primitive_create(&call->reorder, desc), "reorder");
done:
  if (desc) dnnl_primitive_desc_destroy(desc);
  dnnl_primitive_attr_destroy(attr);
  return status;
}

static size_t round_up(size_t bytes) { return (bytes + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN; }

/* With call->desc made: primitive, stream, source, bias and scratchpad, which every kind of call has. */
static lur_status finish(lur_dnn *dnn, lur_dnn_call *call, const layout *bias) {
  lur_status status = LUR_OK;
  TRY(dnnl_primitive_create(&call->primitive, call->desc), "primitive");
  TRY(dnnl_stream_create(&call->stream, dnn->engine, dnnl_stream_default_flags), "stream");
  if (bias) LUR_TRY(add_memory(dnn, call, BIAS, ref_of(bias), DNNL_ARG_BIAS));
  layout_ref scratchpad = query(call, dnnl_query_scratchpad_md);
  call->scratchpad_bytes = dnnl_memory_desc_get_size(scratchpad);
  return add_memory(dnn, call, SCRATCH, scratchpad, DNNL_ARG_SCRATCHPAD);
done:
  return status;
}

/* Weights that are read: packed into scratch when the primitive wants another layout than the caller's. */
static lur_status add_weights(lur_dnn *dnn, lur_dnn_call *call, const layout *plain) {
  layout_ref chosen = query(call, dnnl_query_weights_md);
  LUR_TRY(add_memory(dnn, call, WEIGHTS, chosen, DNNL_ARG_WEIGHTS));
  if (dnnl_memory_desc_equal(chosen, ref_of(plain))) return LUR_OK;
  call->packed_bytes = round_up(dnnl_memory_desc_get_size(chosen));
  LUR_TRY(add_memory(dnn, call, PLAIN, ref_of(plain), -1));
  return add_reorder(dnn, call, ref_of(plain), chosen, false);
}

/* The residual's argument number counts the post-ops before it. */
static lur_status add_residual(lur_dnn *dnn, lur_dnn_call *call, unsigned post, layout_ref dst) {
  if (!(post & LUR_DNN_RESIDUAL)) return LUR_OK;
  int position = post & LUR_DNN_ACCUMULATE ? 1 : 0;
  return add_memory(dnn, call, RESIDUAL, dst, DNNL_ARG_ATTR_MULTIPLE_POST_OP(position) | DNNL_ARG_SRC_1);
}

/* ---- convolutions ---- */

typedef struct conv_layouts {
  layout x, y, any, plain, bias; /* any: weights as oneDNN likes them; plain: as they lie in memory */
  dnnl_dims_t stride, before, after;
} conv_layouts;

/* Padding at the far side; negative where the description asks for fewer outputs than would fit. */
static int64_t pad_after(int64_t in, int64_t out, int kernel, int stride, int before) {
  const int64_t after = (out - 1) * stride + kernel - in - before;
  return after > 0 || after <= -stride ? after : 0;
}

static lur_status conv_layouts_new(const lur_dnn_conv *c, bool swapped, bool bytes, conv_layouts *l) {
  lur_status status = LUR_OK;
  const dnnl_dims_t x = {c->n, c->ci, c->ih, c->iw}, y = {c->n, c->co, c->oh, c->ow};
  const dnnl_dims_t w = {c->co, c->ci, c->kh, c->kw}, b = {c->co};
  memset(l, 0, sizeof *l);
  l->stride[0] = c->sh, l->stride[1] = c->sw;
  l->before[0] = c->pt, l->before[1] = c->pl;
  l->after[0] = pad_after(c->ih, c->oh, c->kh, c->sh, c->pt);
  l->after[1] = pad_after(c->iw, c->ow, c->kw, c->sw, c->pl);
  TRY(layout_of(&l->x, 4, x, bytes ? dnnl_u8 : dnnl_f32, dnnl_nhwc), "convolution input");
  TRY(layout_new(&l->y, 4, y, dnnl_nhwc), "convolution output");
  TRY(layout_of(&l->any, 4, w, bytes ? dnnl_s8 : dnnl_f32, dnnl_format_tag_any), "convolution weights");
  TRY(layout_new(&l->plain, 4, w, swapped ? dnnl_oihw : dnnl_hwio), "convolution weights");
  TRY(layout_new(&l->bias, 1, b, dnnl_a), "convolution bias");
done:
  return status;
}

static void conv_layouts_free(conv_layouts *l) {
  layout_free(&l->x);
  layout_free(&l->y);
  layout_free(&l->any);
  layout_free(&l->plain);
  layout_free(&l->bias);
}

static lur_status call_new(lur_dnn_call **call) {
  *call = calloc(1, sizeof **call);
  return *call ? LUR_OK : lur_fail(LUR_ENOMEM, "oneDNN: out of memory");
}

lur_status lur_dnn_conv_forward(lur_dnn *dnn, const lur_dnn_conv *conv, bool swapped, unsigned post,
                                lur_dnn_call **out) {
  conv_layouts l;
  dnnl_primitive_attr_t attr = NULL;
  lur_dnn_call *call;
  LUR_TRY(call_new(&call));
  const layout *bias = post & LUR_DNN_BIAS ? &l.bias : NULL;
  lur_status status = conv_layouts_new(conv, swapped, false, &l);
  if (status == LUR_OK) status = attr_new(post, &l.y, &attr);
  if (status != LUR_OK) goto done;
  TRY(conv_forward_desc(&call->desc, dnn->engine, &l.x, &l.any, bias, &l.y, l.stride, l.before, l.after, attr),
      "convolution");
  status = finish(dnn, call, bias);
  if (status == LUR_OK) status = add_memory(dnn, call, SRC, ref_of(&l.x), DNNL_ARG_SRC);
  if (status == LUR_OK) status = add_memory(dnn, call, DST, ref_of(&l.y), DNNL_ARG_DST);
  if (status == LUR_OK) status = add_residual(dnn, call, post, ref_of(&l.y));
  if (status == LUR_OK) status = add_weights(dnn, call, &l.plain);
done:
  if (attr) dnnl_primitive_attr_destroy(attr);
  conv_layouts_free(&l);
  if (status == LUR_OK) *out = call;
  else lur_dnn_release(call);
  return status;
}

/* Bytes times bytes into 32 bits in one step: VNNI, on vectors of either width, or AMX. Older processors go by 16 bits. */
static bool multiplies_bytes(void) {
  const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
  const unsigned wide = dnnl_cpu_isa_avx512_core_vnni, narrow = dnnl_cpu_isa_avx2_vnni;
  return (isa & wide) == wide || (isa & narrow) == narrow;
}

/* Scales of the result are post-ops: those of oneDNN's attributes must be known when the call is made (2.x). */
lur_status lur_dnn_conv_bytes(lur_dnn *dnn, const lur_dnn_conv *conv, unsigned post, lur_dnn_call **out) {
  conv_layouts l = {0};
  layout column = {0};
  dnnl_primitive_attr_t attr = NULL;
  lur_dnn_call *call;
  const dnnl_dims_t columns = {1, conv->co, 1, 1};
  if (!multiplies_bytes()) return lur_fail(LUR_EUNSUPPORTED, "oneDNN: this processor has no products of bytes");
  LUR_TRY(call_new(&call));
  lur_status status = conv_layouts_new(conv, false, true, &l);
  if (status != LUR_OK) goto done;
  TRY(layout_new(&column, 4, columns, dnnl_nhwc), "convolution scale");
  status = attr_new(post, &column, &attr);
  if (status != LUR_OK) goto done;
  TRY(conv_forward_desc(&call->desc, dnn->engine, &l.x, &l.any, NULL, &l.y, l.stride, l.before, l.after, attr),
      "convolution of bytes");
  status = finish(dnn, call, NULL);
  const int scale = DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, bias = DNNL_ARG_ATTR_MULTIPLE_POST_OP(1) | DNNL_ARG_SRC_1;
  if (status == LUR_OK) status = add_memory(dnn, call, SRC, ref_of(&l.x), DNNL_ARG_SRC);
  if (status == LUR_OK) status = add_memory(dnn, call, DST, ref_of(&l.y), DNNL_ARG_DST);
  if (status == LUR_OK) status = add_memory(dnn, call, SCALE, ref_of(&column), scale);
  if (status == LUR_OK) status = add_memory(dnn, call, BIAS, ref_of(&column), bias);
  if (status == LUR_OK) status = add_weights(dnn, call, &l.plain);
done:
  if (attr) dnnl_primitive_attr_destroy(attr);
  layout_free(&column);
  conv_layouts_free(&l);
  if (status == LUR_OK) *out = call;
  else lur_dnn_release(call);
  return status;
}

/* Both gradients start from the forward description of the same convolution, which oneDNN wants as a hint. */
static lur_status conv_gradient(lur_dnn *dnn, const lur_dnn_conv *conv, conv_layouts *l, dnnl_primitive_attr_t *attr,
                                dnnl_primitive_desc_t *hint) {
  lur_status status = conv_layouts_new(conv, false, false, l);
  if (status == LUR_OK) status = attr_new(0, NULL, attr);
  if (status != LUR_OK) return status;
  return check(conv_forward_desc(hint, dnn->engine, &l->x, &l->any, NULL, &l->y, l->stride, l->before, l->after, *attr),
               "convolution");
}

lur_status lur_dnn_conv_backward_data(lur_dnn *dnn, const lur_dnn_conv *conv, lur_dnn_call **out) {
  conv_layouts l = {0};
  dnnl_primitive_attr_t attr = NULL;
  dnnl_primitive_desc_t hint = NULL;
  lur_dnn_call *call;
  LUR_TRY(call_new(&call));
  lur_status status = conv_gradient(dnn, conv, &l, &attr, &hint);
  if (status != LUR_OK) goto done;
  TRY(conv_data_desc(&call->desc, dnn->engine, &l.x, &l.any, &l.y, l.stride, l.before, l.after, attr, hint),
      "convolution, gradient of the input");
  status = finish(dnn, call, NULL);
  if (status == LUR_OK) status = add_memory(dnn, call, SRC, ref_of(&l.y), DNNL_ARG_DIFF_DST);
  if (status == LUR_OK) status = add_memory(dnn, call, DST, ref_of(&l.x), DNNL_ARG_DIFF_SRC);
  if (status == LUR_OK) status = add_weights(dnn, call, &l.plain);
done:
  if (hint) dnnl_primitive_desc_destroy(hint);
  if (attr) dnnl_primitive_attr_destroy(attr);
  conv_layouts_free(&l);
  if (status == LUR_OK) *out = call;
  else lur_dnn_release(call);
  return status;
}

/* dw is made in scratch in oneDNN's layout; the reorder then adds it to the caller's. */
static lur_status add_gradient(lur_dnn *dnn, lur_dnn_call *call, const layout *plain) {
  layout_ref chosen = query(call, dnnl_query_diff_weights_md);
  LUR_TRY(add_memory(dnn, call, DST, chosen, DNNL_ARG_DIFF_WEIGHTS));
  LUR_TRY(add_memory(dnn, call, PLAIN, ref_of(plain), -1));
  call->packed_bytes = round_up(dnnl_memory_desc_get_size(chosen));
  call->reorder_after = true;
  return add_reorder(dnn, call, chosen, ref_of(plain), true);
}

lur_status lur_dnn_conv_backward_weights(lur_dnn *dnn, const lur_dnn_conv *conv, lur_dnn_call **out) {
  conv_layouts l = {0};
  dnnl_primitive_attr_t attr = NULL;
  dnnl_primitive_desc_t hint = NULL;
  lur_dnn_call *call;
  LUR_TRY(call_new(&call));
  lur_status status = conv_gradient(dnn, conv, &l, &attr, &hint);
  if (status != LUR_OK) goto done;
  TRY(conv_weights_desc(&call->desc, dnn->engine, &l.x, &l.any, &l.y, l.stride, l.before, l.after, attr, hint),
      "convolution, gradient of the weights");
  status = finish(dnn, call, NULL);
  if (status == LUR_OK) status = add_memory(dnn, call, SRC, ref_of(&l.x), DNNL_ARG_SRC);
  if (status == LUR_OK) status = add_memory(dnn, call, WEIGHTS, ref_of(&l.y), DNNL_ARG_DIFF_DST);
  if (status == LUR_OK) status = add_gradient(dnn, call, &l.plain);
done:
  if (hint) dnnl_primitive_desc_destroy(hint);
  if (attr) dnnl_primitive_attr_destroy(attr);
  conv_layouts_free(&l);
  if (status == LUR_OK) *out = call;
  else lur_dnn_release(call);
  return status;
}

/* ---- matrix product ---- */

lur_status lur_dnn_matmul(lur_dnn *dnn, int64_t m, int64_t n, int64_t k, lur_dnn_order src, lur_dnn_order weights,
                          unsigned post, lur_dnn_call **out) {
  const dnnl_dims_t da = {m, k}, db = {k, n}, dc = {m, n}, dbias = {1, n};
  layout a = {0}, b = {0}, c = {0}, bias = {0};
  dnnl_primitive_attr_t attr = NULL;
  lur_dnn_call *call;
  lur_status status;
  LUR_TRY(call_new(&call));
  TRY(layout_new(&a, 2, da, src == LUR_DNN_TRANSPOSED ? dnnl_ba : dnnl_ab), "matrix product");
  TRY(layout_new(&b, 2, db, weights == LUR_DNN_TRANSPOSED ? dnnl_ba : dnnl_ab), "matrix product");
  TRY(layout_new(&c, 2, dc, dnnl_ab), "matrix product");
  TRY(layout_new(&bias, 2, dbias, dnnl_ab), "matrix product");
  status = attr_new(post, &c, &attr);
  if (status != LUR_OK) goto done;
  bool has_bias = post & LUR_DNN_BIAS;
  TRY(matmul_desc(&call->desc, dnn->engine, &a, &b, has_bias ? &bias : NULL, &c, attr), "matrix product");
  status = finish(dnn, call, has_bias ? &bias : NULL);
  if (status == LUR_OK) status = add_memory(dnn, call, SRC, ref_of(&a), DNNL_ARG_SRC);
  if (status == LUR_OK) status = add_memory(dnn, call, DST, ref_of(&c), DNNL_ARG_DST);
  if (status == LUR_OK) status = add_residual(dnn, call, post, ref_of(&c));
  if (status == LUR_OK) status = add_memory(dnn, call, WEIGHTS, ref_of(&b), DNNL_ARG_WEIGHTS);
done:
  if (attr) dnnl_primitive_attr_destroy(attr);
  layout_free(&a);
  layout_free(&b);
  layout_free(&c);
  layout_free(&bias);
  if (status == LUR_OK) *out = call;
  else lur_dnn_release(call);
  return status;
}

lur_status lur_dnn_product(int64_t m, int64_t n, int64_t k, lur_dnn_order src, lur_dnn_order weights, bool add,
                           lur_dnn_call **out) {
  lur_dnn_call *call;
  LUR_TRY(call_new(&call));
  call->product = (product){true, src == LUR_DNN_TRANSPOSED, weights == LUR_DNN_TRANSPOSED, add, m, n, k};
  *out = call;
  return LUR_OK;
}

/* ---- running ---- */

lur_status lur_dnn_keep_weights(lur_dnn_call *call) {
  if (!call->reorder || call->reorder_after) return LUR_OK;
  call->kept = aligned_alloc(SCRATCH_ALIGN, call->packed_bytes);
  if (!call->kept) return lur_fail(LUR_ENOMEM, "oneDNN: no memory for %zu bytes of packed weights", call->packed_bytes);
  call->packed_bytes = 0;
  return LUR_OK;
}

size_t lur_dnn_scratch(const lur_dnn_call *call) {
  return call ? call->packed_bytes + round_up(call->scratchpad_bytes) : 0;
}

const char *lur_dnn_implementation(const lur_dnn_call *call) {
  const char *name = "sgemm";
  if (!call->product.is) dnnl_primitive_desc_query(call->desc, dnnl_query_impl_info_str, 0, &name);
  return name;
}

static dnnl_status_t point(lur_dnn_call *call, int slot, const void *address) {
  /* oneDNN's handles are not const; it only reads the inputs. */
  return call->memory[slot] ? dnnl_memory_set_data_handle(call->memory[slot], (void *)(uintptr_t)address)
                            : dnnl_success;
}

static lur_status run_reorder(lur_dnn_call *call, int from, int to) {
  const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, call->memory[from]}, {DNNL_ARG_TO, call->memory[to]}};
  return check(dnnl_primitive_execute(call->reorder, call->stream, 2, args), "reorder");
}

static lur_status run_product(const product *p, const lur_dnn_args *args) {
  return check(dnnl_sgemm(p->transpose_src ? 'T' : 'N', p->transpose_weights ? 'T' : 'N', p->m, p->n, p->k, 1.0f,
                          args->src, p->transpose_src ? p->m : p->k, args->weights, p->transpose_weights ? p->k : p->n,
                          p->add ? 1.0f : 0.0f, args->dst, p->n),
               "product");
}

lur_status lur_dnn_run(lur_dnn_call *call, const lur_dnn_args *args) {
  if (call->product.is) return run_product(&call->product, args);
  lur_status status = LUR_OK;
  const bool before = call->reorder && !call->reorder_after, after = call->reorder_after;
  TRY(point(call, SRC, args->src), "operand");
  TRY(point(call, WEIGHTS, !before ? args->weights : call->kept ? call->kept : args->scratch), "operand");
  TRY(point(call, BIAS, args->bias), "operand");
  TRY(point(call, RESIDUAL, args->residual), "operand");
  TRY(point(call, SCALE, args->scale), "operand");
  TRY(point(call, DST, after ? args->scratch : args->dst), "operand");
  TRY(point(call, PLAIN, after ? args->dst : args->weights), "operand");
  if (call->scratchpad_bytes) TRY(point(call, SCRATCH, (char *)args->scratch + call->packed_bytes), "scratch");
  if (before && !(call->kept && args->version && args->version == call->kept_version)) {
    LUR_TRY(run_reorder(call, PLAIN, WEIGHTS));
    call->kept_version = args->version;
  }
  TRY(dnnl_primitive_execute(call->primitive, call->stream, call->nargs, call->args), "execution");
  if (after) LUR_TRY(run_reorder(call, DST, PLAIN));
  TRY(dnnl_stream_wait(call->stream), "execution");
done:
  return status;
}

void lur_dnn_release(lur_dnn_call *call) {
  if (!call) return;
  for (int i = 0; i < SLOTS; i++)
    if (call->memory[i]) dnnl_memory_destroy(call->memory[i]);
  if (call->primitive) dnnl_primitive_destroy(call->primitive);
  if (call->reorder) dnnl_primitive_destroy(call->reorder);
  if (call->desc) dnnl_primitive_desc_destroy(call->desc);
  if (call->stream) dnnl_stream_destroy(call->stream);
  free(call->kept);
  free(call);
}
