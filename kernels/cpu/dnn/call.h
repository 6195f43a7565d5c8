/* call.h - a planned oneDNN primitive, and the steps by which conv2d.c and gemm.c build one. Only kernels/cpu/dnn/
 * includes it; everything else uses kernels/cpu/dnn.h. */
#ifndef LUR_CPU_DNN_CALL_H
#define LUR_CPU_DNN_CALL_H

#include "api.h"
#include "kernels/cpu/dnn.h"

enum { DNN_MAX_ARGS = 8 };

struct lur_dnn {
  dnnl_engine_t engine;
};

/* The memories of a call. */
enum { DNN_SRC, DNN_WEIGHTS, DNN_BIAS, DNN_RESIDUAL, DNN_SCALE, DNN_DST, DNN_SCRATCH, DNN_PLAIN, DNN_MEMORIES };

typedef struct dnn_sgemm { /* a call of dnnl_sgemm uses nothing else of lur_dnn_call */
  bool is, transpose_src, transpose_weights, add;
  int64_t m, n, k;
} dnn_sgemm;

struct lur_dnn_call {
  dnnl_stream_t stream;
  dnnl_primitive_desc_t desc;
  dnnl_primitive_t primitive, reorder;
  dnnl_memory_t memory[DNN_MEMORIES]; /* DNN_PLAIN: the caller's side of the reorder */
  dnnl_exec_arg_t args[DNN_MAX_ARGS];
  int nargs;
  bool ran; /* at least once */
  bool reorder_after; /* the reorder adds the result to dst; otherwise it packs the weights before the primitive */
  size_t packed_bytes, scratchpad_bytes; /* packed_bytes: at the front of scratch; 0 with `kept` */
  void *kept;                            /* packed weights that are kept between runs, of version kept_version */
  uint64_t kept_version;
  dnn_sgemm sgemm;
};

lur_status dnn_check(dnnl_status_t status, const char *what);

/* Needs a variable `status` and a label `done`. */
#define DNN_TRY(expression, what)                        \
  do {                                                   \
    status = dnn_check((expression), (what));            \
    if (status != LUR_OK) goto done;                     \
  } while (0)

lur_status dnn_call_new(lur_dnn_call **call);
/* *out = call if status is LUR_OK; otherwise releases the call. Returns status. */
lur_status dnn_call_done(lur_status status, lur_dnn_call *call, lur_dnn_call **out);

/* Attributes with the post-ops `post` (LUR_DNN_...); operand: the layout of the residual, or of scale and bias. */
lur_status dnn_attr_new(unsigned post, const layout *operand, dnnl_primitive_attr_t *attr);

/* With call->desc made: primitive, stream, bias (NULL: none) and scratchpad, which every call has. */
lur_status dnn_call_finish(lur_dnn *dnn, lur_dnn_call *call, const layout *bias);
/* arg: oneDNN's number of the argument; -1: an operand of the reorder only. */
lur_status dnn_add_memory(lur_dnn *dnn, lur_dnn_call *call, int memory, layout_ref shape, int arg);
/* The residual, if `post` has one. */
lur_status dnn_add_residual(lur_dnn *dnn, lur_dnn_call *call, unsigned post, layout_ref dst);
/* Weights that the primitive reads, in the layout `plain`: packed first if it wants another layout. */
lur_status dnn_add_weights(lur_dnn *dnn, lur_dnn_call *call, const layout *plain);
/* The gradient of the weights: computed in scratch in oneDNN's layout, then added to dst, whose layout is `plain`. */
lur_status dnn_add_weight_gradient(lur_dnn *dnn, lur_dnn_call *call, const layout *plain);

#endif
