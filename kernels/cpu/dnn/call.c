/* call.c - building and running planned oneDNN primitives. See kernels/cpu/dnn.h.
 *
 * oneDNN chooses the layout of weights. Where it is not the plain one, a reorder precedes the primitive (or, for dw,
 * follows it): into scratch, or into memory of the call for weights that seldom change. A reorder costs 5 % of a
 * 19x19x728 convolution of eight images, mostly because its data is not in the caches. */
#include "call.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/room.h"

enum { SCRATCH_ALIGN = 64 };

/* Room for the code that oneDNN generates while it makes a primitive and, for gradients of weights, when it first runs
   it, and for what its threads allocate then; the first sgemm generates all of its kernels. Where there is none, oneDNN
   ends the process. The sizes were found by running networks under rising limits. */
enum { PRIMITIVE_ROOM = 24 << 20, SGEMM_ROOM = 64 << 20, THREAD_ROOM = 4 << 20 };
static lur_status check_room(size_t bytes) {
  return lur_room_check(bytes + (size_t)omp_get_max_threads() * THREAD_ROOM, "generated code");
}

lur_status dnn_check(dnnl_status_t status, const char *what) {
  if (status == dnnl_success) return LUR_OK;
  if (status == dnnl_out_of_memory) return lur_fail(LUR_ENOMEM, "oneDNN: %s: out of memory", what);
  if (status == dnnl_unimplemented)
    return lur_fail(LUR_EUNSUPPORTED, "oneDNN: %s: no implementation for these shapes", what);
  if (status == dnnl_invalid_arguments) return lur_fail(LUR_EUNSUPPORTED, "oneDNN: %s: arguments rejected", what);
  return lur_fail(LUR_EDEVICE, "oneDNN: %s: status %d", what, (int)status);
}

/* ---- the engine ---- */

void lur_dnn_version(char *text, size_t capacity) {
  const dnnl_version_t *v = dnnl_version();
  snprintf(text, capacity, "%d.%d.%d", v->major, v->minor, v->patch);
}

lur_status lur_dnn_open(lur_dnn **dnn) {
  lur_dnn *d = calloc(1, sizeof *d);
  if (!d) return lur_fail(LUR_ENOMEM, "oneDNN: out of memory");
  lur_status status = check_room(PRIMITIVE_ROOM);
  if (status == LUR_OK) status = dnn_check(dnnl_engine_create(&d->engine, dnnl_cpu, 0), "engine");
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

lur_status dnn_call_new(lur_dnn_call **call) {
  *call = calloc(1, sizeof **call);
  return *call ? LUR_OK : lur_fail(LUR_ENOMEM, "oneDNN: out of memory");
}

lur_status dnn_call_done(lur_status status, lur_dnn_call *call, lur_dnn_call **out) {
  if (status == LUR_OK) *out = call;
  else lur_dnn_release(call);
  return status;
}

lur_status dnn_attr_new(unsigned post, const layout *operand, dnnl_primitive_attr_t *attr) {
  dnnl_post_ops_t ops = NULL;
  lur_status status = LUR_OK;
  *attr = NULL;
  DNN_TRY(dnnl_primitive_attr_create(attr), "attributes");
  DNN_TRY(dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user), "scratchpad mode");
  DNN_TRY(dnnl_post_ops_create(&ops), "post-ops");
  if (post & LUR_DNN_SCALE) { /* then the bias is a post-op too */
    DNN_TRY(dnnl_post_ops_append_binary(ops, dnnl_binary_mul, LAYOUT_REF(operand)), "post-ops");
    DNN_TRY(dnnl_post_ops_append_binary(ops, dnnl_binary_add, LAYOUT_REF(operand)), "post-ops");
  }
  if (post & LUR_DNN_ACCUMULATE) DNN_TRY(append_sum(ops), "post-ops");
  if (post & LUR_DNN_RESIDUAL)
    DNN_TRY(dnnl_post_ops_append_binary(ops, dnnl_binary_add, LAYOUT_REF(operand)), "post-ops");
  if (post & LUR_DNN_RELU) DNN_TRY(append_relu(ops), "post-ops");
  DNN_TRY(dnnl_primitive_attr_set_post_ops(*attr, ops), "post-ops");
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

lur_status dnn_add_memory(lur_dnn *dnn, lur_dnn_call *call, int memory, layout_ref shape, int arg) {
  lur_status status = LUR_OK;
  DNN_TRY(dnnl_memory_create(&call->memory[memory], shape, dnn->engine, DNNL_MEMORY_NONE), "memory");
  if (arg >= 0) call->args[call->nargs++] = (dnnl_exec_arg_t){arg, call->memory[memory]};
done:
  return status;
}

/* The reorder between the caller's plain layout and the one the primitive chose. add: dst += instead of dst =. */
static lur_status add_reorder(lur_dnn *dnn, lur_dnn_call *call, layout_ref from, layout_ref to, bool add) {
  dnnl_primitive_desc_t desc = NULL;
  dnnl_primitive_attr_t attr = NULL;
  lur_status status = LUR_OK;
  LUR_TRY(dnn_attr_new(add ? LUR_DNN_ACCUMULATE : 0, NULL, &attr));
  DNN_TRY(dnnl_reorder_primitive_desc_create(&desc, from, dnn->engine, to, dnn->engine, attr), "reorder");
  size_t scratchpad = dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0));
  if (scratchpad)
    status = lur_fail(LUR_EUNSUPPORTED, "oneDNN: the reorder of weights needs %zu bytes of scratch", scratchpad);
  if (status == LUR_OK) status = check_room(PRIMITIVE_ROOM);
  if (status != LUR_OK) goto done;
  DNN_TRY(dnnl_primitive_create(&call->reorder, desc), "reorder");
done:
  if (desc) dnnl_primitive_desc_destroy(desc);
  dnnl_primitive_attr_destroy(attr);
  return status;
}

static size_t round_up(size_t bytes) { return (bytes + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN; }

lur_status dnn_call_finish(lur_dnn *dnn, lur_dnn_call *call, const layout *bias) {
  lur_status status = check_room(PRIMITIVE_ROOM);
  if (status != LUR_OK) return status;
  DNN_TRY(dnnl_primitive_create(&call->primitive, call->desc), "primitive");
  DNN_TRY(dnnl_stream_create(&call->stream, dnn->engine, dnnl_stream_default_flags), "stream");
  if (bias) LUR_TRY(dnn_add_memory(dnn, call, DNN_BIAS, LAYOUT_REF(bias), DNNL_ARG_BIAS));
  layout_ref scratchpad = query(call, dnnl_query_scratchpad_md);
  call->scratchpad_bytes = dnnl_memory_desc_get_size(scratchpad);
  return dnn_add_memory(dnn, call, DNN_SCRATCH, scratchpad, DNNL_ARG_SCRATCHPAD);
done:
  return status;
}

lur_status dnn_add_weights(lur_dnn *dnn, lur_dnn_call *call, const layout *plain) {
  layout_ref chosen = query(call, dnnl_query_weights_md);
  LUR_TRY(dnn_add_memory(dnn, call, DNN_WEIGHTS, chosen, DNNL_ARG_WEIGHTS));
  if (dnnl_memory_desc_equal(chosen, LAYOUT_REF(plain))) return LUR_OK;
  call->packed_bytes = round_up(dnnl_memory_desc_get_size(chosen));
  LUR_TRY(dnn_add_memory(dnn, call, DNN_PLAIN, LAYOUT_REF(plain), -1));
  return add_reorder(dnn, call, LAYOUT_REF(plain), chosen, false);
}

/* The number of the residual's argument is the number of post-ops before it. */
lur_status dnn_add_residual(lur_dnn *dnn, lur_dnn_call *call, unsigned post, layout_ref dst) {
  if (!(post & LUR_DNN_RESIDUAL)) return LUR_OK;
  int position = post & LUR_DNN_ACCUMULATE ? 1 : 0;
  return dnn_add_memory(dnn, call, DNN_RESIDUAL, dst, DNNL_ARG_ATTR_MULTIPLE_POST_OP(position) | DNNL_ARG_SRC_1);
}

lur_status dnn_add_weight_gradient(lur_dnn *dnn, lur_dnn_call *call, const layout *plain) {
  layout_ref chosen = query(call, dnnl_query_diff_weights_md);
  LUR_TRY(dnn_add_memory(dnn, call, DNN_DST, chosen, DNNL_ARG_DIFF_WEIGHTS));
  LUR_TRY(dnn_add_memory(dnn, call, DNN_PLAIN, LAYOUT_REF(plain), -1));
  call->packed_bytes = round_up(dnnl_memory_desc_get_size(chosen));
  call->reorder_after = true;
  return add_reorder(dnn, call, chosen, LAYOUT_REF(plain), true);
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
  if (!call->sgemm.is) dnnl_primitive_desc_query(call->desc, dnnl_query_impl_info_str, 0, &name);
  return name;
}

static dnnl_status_t point(lur_dnn_call *call, int memory, const void *address) {
  /* oneDNN's handles are not const; it only reads the inputs. */
  return call->memory[memory] ? dnnl_memory_set_data_handle(call->memory[memory], (void *)(uintptr_t)address)
                              : dnnl_success;
}

static lur_status run_reorder(lur_dnn_call *call, int from, int to) {
  const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, call->memory[from]}, {DNNL_ARG_TO, call->memory[to]}};
  return dnn_check(dnnl_primitive_execute(call->reorder, call->stream, 2, args), "reorder");
}

static lur_status run_sgemm(const dnn_sgemm *p, const lur_dnn_args *args) {
  return dnn_check(dnnl_sgemm(p->transpose_src ? 'T' : 'N', p->transpose_weights ? 'T' : 'N', p->m, p->n, p->k, 1.0f,
                              args->src, p->transpose_src ? p->m : p->k, args->weights,
                              p->transpose_weights ? p->k : p->n, p->add ? 1.0f : 0.0f, args->dst, p->n),
                   "sgemm");
}

lur_status lur_dnn_run(lur_dnn_call *call, const lur_dnn_args *args) {
  if (!call->ran) LUR_TRY(check_room(call->sgemm.is ? SGEMM_ROOM : PRIMITIVE_ROOM));
  call->ran = true;
  lur_status status = LUR_OK;
  if (call->sgemm.is) return run_sgemm(&call->sgemm, args);
  const bool before = call->reorder && !call->reorder_after, after = call->reorder_after;
  DNN_TRY(point(call, DNN_SRC, args->src), "operand");
  DNN_TRY(point(call, DNN_WEIGHTS, !before ? args->weights : call->kept ? call->kept : args->scratch), "operand");
  DNN_TRY(point(call, DNN_BIAS, args->bias), "operand");
  DNN_TRY(point(call, DNN_RESIDUAL, args->residual), "operand");
  DNN_TRY(point(call, DNN_SCALE, args->scale), "operand");
  DNN_TRY(point(call, DNN_DST, after ? args->scratch : args->dst), "operand");
  DNN_TRY(point(call, DNN_PLAIN, after ? args->dst : args->weights), "operand");
  if (call->scratchpad_bytes)
    DNN_TRY(point(call, DNN_SCRATCH, (char *)args->scratch + call->packed_bytes), "scratch");
  if (before && !(call->kept && args->version && args->version == call->kept_version)) {
    LUR_TRY(run_reorder(call, DNN_PLAIN, DNN_WEIGHTS));
    call->kept_version = args->version;
  }
  DNN_TRY(dnnl_primitive_execute(call->primitive, call->stream, call->nargs, call->args), "execution");
  if (after) LUR_TRY(run_reorder(call, DNN_DST, DNN_PLAIN));
  DNN_TRY(dnnl_stream_wait(call->stream), "execution");
done:
  return status;
}

void lur_dnn_release(lur_dnn_call *call) {
  if (!call) return;
  for (int i = 0; i < DNN_MEMORIES; i++)
    if (call->memory[i]) dnnl_memory_destroy(call->memory[i]);
  if (call->primitive) dnnl_primitive_destroy(call->primitive);
  if (call->reorder) dnnl_primitive_destroy(call->reorder);
  if (call->desc) dnnl_primitive_desc_destroy(call->desc);
  if (call->stream) dnnl_stream_destroy(call->stream);
  free(call->kept);
  free(call);
}
