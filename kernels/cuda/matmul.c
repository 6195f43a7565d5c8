/* matmul.c - matmul on cuBLASLt, by the calls of kernels/matmul.h.
 *
 * Where several calls add to one gradient and it is half, they add in f32 in scratch, and the sum is rounded once. */
#include <stdlib.h>

#include "host.h"
#include "kernels/matmul.h"

typedef struct matmul {
  lur_matmul p;
  lur_matmul_product products[LUR_MATMUL_OPERANDS];
  lur_cuda_gemm *gemms[LUR_MATMUL_OPERANDS];
  size_t sum_bytes[LUR_MATMUL_OPERANDS]; /* of the f32 sum of a half gradient */
} matmul;

static void release(lur_op *op) {
  matmul *s = op->state;
  if (!s) return;
  for (int o = 0; o < LUR_MATMUL_OPERANDS; o++) lur_cuda_gemm_release(s->gemms[o]);
  free(s);
  op->state = NULL;
}

/* The largest power of two, at most 16, that divides the distances in bytes between the matrices of any operand. */
static unsigned alignment(const lur_matmul *p, size_t bytes) {
  size_t all = 16;
  for (int o = 0; o < LUR_MATMUL_OPERANDS; o++) {
    if (p->inner > 1) all |= bytes * (size_t)p->size[o];
    for (int i = 0; i < p->nouter; i++) all |= bytes * (size_t)p->stride[o][i];
  }
  return (unsigned)(all & (~all + 1));
}

static lur_status plan_product(lur_op *op, matmul *s, int result, size_t *scratch) {
  const lur_dtype type = op->desc.y.dtype;
  const lur_matmul *p = &s->p;
  const lur_matmul_product f = s->products[result] = lur_matmul_product_of(&op->desc, p, result);
  if (type != LUR_F32 && lur_matmul_sums(p, result))
    s->sum_bytes[result] = lur_cuda_round(sizeof(float) * (size_t)lur_shape_count(&op->desc.x[result].shape));
  const lur_cuda_gemm_desc desc = {.m = f.m, .n = f.n, .k = f.k, .ab = type,
                                   .d = s->sum_bytes[result] ? LUR_F32 : type,
                                   .a_transposed = f.first_transposed, .b_transposed = f.second_transposed,
                                   .tf32 = op->desc.tf32, .batch = p->inner,
                                   .alignment = alignment(p, lur_dtype_size(type))};
  LUR_TRY(lur_cuda_gemm_plan(op->device, &desc, &s->gemms[result]));
  const size_t bytes = s->sum_bytes[result] + lur_cuda_gemm_workspace(s->gemms[result]);
  if (bytes > *scratch) *scratch = bytes;
  return LUR_OK;
}

static lur_status plan(lur_op *op) {
  LUR_TRY(lur_cuda_want_gemm(op));
  matmul *s = calloc(1, sizeof *s);
  if (!s) return lur_fail(LUR_ENOMEM, "no memory for a plan");
  op->state = s;
  s->p = lur_matmul_of(&op->desc);
  op->backward_x = (op->desc.want_dx & 1u ? 2u : 0) | (op->desc.want_dx & 2u ? 1u : 0);
  lur_status status = plan_product(op, s, LUR_MATMUL_Y, &op->forward_scratch);
  for (int o = 0; o < 2; o++)
    if (status == LUR_OK && op->desc.want_dx >> o & 1u) status = plan_product(op, s, o, &op->backward_scratch);
  if (status != LUR_OK) release(op);
  return status;
}

/* All calls of one product. add: to what `to` holds. */
static lur_status multiply(lur_op *op, int result, const void *const *operands, void *to, bool add, void *scratch) {
  const matmul *s = op->state;
  const lur_matmul_product *f = &s->products[result];
  const size_t each = lur_dtype_size(op->desc.y.dtype), sum = s->sum_bytes[result];
  char *target = sum ? scratch : to;
  for (int64_t item = 0; item < s->p.items; item++) {
    bool ignored, fresh;
    const char *a = (const char *)operands[f->first] + each * (size_t)lur_matmul_at(&s->p, f->first, item, &ignored);
    const char *b = (const char *)operands[f->second] + each * (size_t)lur_matmul_at(&s->p, f->second, item, &ignored);
    char *d = target + (sum ? sizeof(float) : each) * (size_t)lur_matmul_at(&s->p, result, item, &fresh);
    const bool more = !fresh || (add && !sum);
    LUR_TRY(lur_cuda_gemm_run(op->device, s->gemms[result], a, b, more ? d : NULL, NULL, d, (char *)scratch + sum));
  }
  if (!sum) return LUR_OK;
  return lur_cuda_round_sum(op->device, op->desc.y.dtype, scratch, to, lur_shape_count(&op->desc.x[result].shape),
                            add);
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const void *operands[] = {args->x[0], args->x[1], NULL};
  return multiply(op, LUR_MATMUL_Y, operands, args->y, false, args->scratch);
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const void *operands[] = {args->x[0], args->x[1], args->dy};
  for (int o = 0; o < 2; o++)
    if (op->desc.want_dx >> o & 1u)
      LUR_TRY(multiply(op, o, operands, args->dx[o], args->dx_add >> o & 1u, args->scratch));
  return LUR_OK;
}

const lur_kernel lur_cuda_matmul = {plan, forward, backward, release};
