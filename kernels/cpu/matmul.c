/* matmul.c - matmul on oneDNN's GEMM, by the calls of kernels/matmul.h. Definition: kernels/ref/matmul.c. */
#include "kernels/matmul.h"

#include <stdlib.h>

#include "kernels/cpu/cpu.h"

enum { SET, ADD, FORMS };

typedef struct matmul {
  lur_matmul p;
  lur_matmul_product products[LUR_MATMUL_OPERANDS];
  lur_dnn_call *calls[LUR_MATMUL_OPERANDS][FORMS];
} matmul;

static void release(lur_op *op) {
  matmul *s = op->state;
  if (!s) return;
  for (int o = 0; o < LUR_MATMUL_OPERANDS; o++)
    for (int form = 0; form < FORMS; form++) lur_dnn_release(s->calls[o][form]);
  free(s);
  op->state = NULL;
}

static lur_dnn_order order_of(bool transposed) { return transposed ? LUR_DNN_TRANSPOSED : LUR_DNN_PLAIN; }

static lur_status plan_product(lur_op *op, matmul *s, int result, size_t *scratch) {
  const lur_matmul_product f = s->products[result] = lur_matmul_product_of(&op->desc, &s->p, result);
  for (int form = 0; form < (result == LUR_MATMUL_Y ? 1 : FORMS); form++) {
    lur_dnn_call **call = &s->calls[result][form];
    LUR_TRY(lur_dnn_batched_gemm(cpu_dnn(op), s->p.inner, f.m, f.n, f.k, order_of(f.first_transposed),
                                 order_of(f.second_transposed), form == ADD ? LUR_DNN_ACCUMULATE : 0, call));
    *scratch = cpu_larger(*scratch, lur_dnn_scratch(*call));
  }
  return LUR_OK;
}

static lur_status plan(lur_op *op) {
  if (!lur_cpu_all_f32(op)) return lur_cpu_plan_parent(op);
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
static lur_status multiply(lur_op *op, int result, const float *const *operands, float *to, bool add, void *scratch) {
  const matmul *s = op->state;
  const lur_matmul_product *f = &s->products[result];
  for (int64_t item = 0; item < s->p.items; item++) {
    bool ignored, fresh;
    const lur_dnn_args run = {.src = operands[f->first] + lur_matmul_at(&s->p, f->first, item, &ignored),
                              .weights = operands[f->second] + lur_matmul_at(&s->p, f->second, item, &ignored),
                              .dst = to + lur_matmul_at(&s->p, result, item, &fresh),
                              .scratch = scratch};
    LUR_TRY(lur_dnn_run(s->calls[result][add || !fresh ? ADD : SET], &run));
  }
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const float *operands[] = {args->x[0], args->x[1], NULL};
  return multiply(op, LUR_MATMUL_Y, operands, args->y, false, args->scratch);
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const float *operands[] = {args->x[0], args->x[1], args->dy};
  for (int o = 0; o < 2; o++)
    if (op->desc.want_dx >> o & 1u)
      LUR_TRY(multiply(op, o, operands, args->dx[o], args->dx_add >> o & 1u, args->scratch));
  return LUR_OK;
}

const lur_kernel lur_cpu_matmul = {plan, forward, backward, release};
