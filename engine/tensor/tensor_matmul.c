/* tensor_matmul.c - matrix products of host tensors: the dense op of the cpu backend, once per matrix. Where the right
 * operand is one matrix, all rows of the left one are a single product. */
#include <string.h>

#include "kernels/backend.h"
#include "tensor_host.h"

/* y[b] = a[b] b[b] for all products: m x k times k x n. Offsets of a's and b's matrices are counted in matrices. */
typedef struct products {
  int64_t count, m, k, n;
  lur_shape batch;                                        /* of the result */
  int64_t stride_a[LUR_MAX_DIMS], stride_b[LUR_MAX_DIMS]; /* of its dimensions, in matrices; 0 repeats */
} products;

/* Matrices of the operands for product `index`. */
static void locate(const products *p, int64_t index, int64_t *a, int64_t *b) {
  *a = *b = 0;
  for (int d = p->batch.ndim - 1; d >= 0; d--) {
    int64_t at = index % p->batch.dim[d];
    index /= p->batch.dim[d];
    *a += at * p->stride_a[d];
    *b += at * p->stride_b[d];
  }
}

/* ---- i32 ---- */

static void product_i32(const int32_t *a, const int32_t *b, int32_t *y, int64_t m, int64_t k, int64_t n) {
#pragma omp parallel for if (m * n > 4096)
  for (int64_t i = 0; i < m; i++) {
    for (int64_t j = 0; j < n; j++) {
      double sum = 0; /* saturates like every i32 result */
      for (int64_t l = 0; l < k; l++) sum += (double)a[i * k + l] * (double)b[l * n + j];
      y[i * n + j] = lur_saturate_i32(sum);
    }
  }
}

static void products_i32(const products *p, const int32_t *a, const int32_t *b, int32_t *y) {
  for (int64_t i = 0; i < p->count; i++) {
    int64_t ia, ib;
    locate(p, i, &ia, &ib);
    product_i32(a + ia * p->m * p->k, b + ib * p->k * p->n, y + i * p->m * p->n, p->m, p->k, p->n);
  }
}

/* ---- f32 ---- */

enum { ALIGNMENT = 64 }; /* what kernels need of operands */

/* Memory for matrices that are not aligned: views may start anywhere, and so do the matrices of a batch. */
typedef struct stage {
  void *memory;
  char *x, *w, *y;
} stage;

static size_t rounded(int64_t elements) {
  return ((size_t)elements * sizeof(float) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static lur_status stage_new(lur_device *device, const products *p, stage *s) {
  size_t x = rounded(p->m * p->k), w = rounded(p->k * p->n), y = rounded(p->m * p->n);
  LUR_TRY(lur_device_alloc(device, x + w + y, &s->memory));
  s->x = s->memory;
  s->w = s->x + x;
  s->y = s->w + w;
  return LUR_OK;
}

static bool is_aligned(const void *address) { return (uintptr_t)address % ALIGNMENT == 0; }

static bool all_aligned(const products *p, const float *a, const float *b, const float *y) {
  if (!is_aligned(a) || !is_aligned(b) || !is_aligned(y)) return false;
  return p->count == 1 || (rounded(p->m * p->k) == (size_t)(p->m * p->k) * sizeof(float) &&
                           rounded(p->k * p->n) == (size_t)(p->k * p->n) * sizeof(float) &&
                           rounded(p->m * p->n) == (size_t)(p->m * p->n) * sizeof(float));
}

static const void *staged(const float *from, char *room, int64_t elements) {
  if (is_aligned(from)) return from;
  return memcpy(room, from, (size_t)elements * sizeof(float));
}

static lur_status run_products(const products *p, lur_op *op, const stage *s, void *scratch, const float *a,
                               const float *b, float *y) {
  for (int64_t i = 0; i < p->count; i++) {
    int64_t ia, ib;
    locate(p, i, &ia, &ib);
    float *to = y + i * p->m * p->n;
    lur_args args = {.x = {(void *)(uintptr_t)staged(a + ia * p->m * p->k, s->x, p->m * p->k)},
                     .w = {(void *)(uintptr_t)staged(b + ib * p->k * p->n, s->w, p->k * p->n)},
                     .y = is_aligned(to) ? (void *)to : s->y,
                     .scratch = scratch};
    LUR_TRY(op->kernel->forward(op, &args));
    if (!is_aligned(to)) memcpy(to, s->y, (size_t)(p->m * p->n) * sizeof(float));
  }
  return LUR_OK;
}

static lur_status products_f32(lur_device *device, const products *p, const float *a, const float *b, float *y) {
  lur_op_desc desc = {.kind = LUR_OP_DENSE, .name = "matmul", .nx = 1, .nw = 1};
  desc.y = (lur_operand){LUR_F32, {2, {p->m, p->n}}};
  desc.x[0] = (lur_operand){LUR_F32, {2, {p->m, p->k}}};
  desc.w[0] = (lur_operand){LUR_F32, {2, {p->k, p->n}}};
  lur_op op = {0};
  stage s = {0};
  void *scratch = NULL;
  lur_status status = lur_op_plan(device, &desc, &op);
  if (status == LUR_OK && op.forward_scratch) status = lur_device_alloc(device, op.forward_scratch, &scratch);
  if (status == LUR_OK && !all_aligned(p, a, b, y)) status = stage_new(device, p, &s);
  if (status == LUR_OK) status = run_products(p, &op, &s, scratch, a, b, y);
  if (status == LUR_OK) status = lur_device_sync(device);
  if (s.memory) lur_device_free(device, s.memory);
  if (scratch) lur_device_free(device, scratch);
  lur_op_release(&op);
  return status;
}

/* ---- shapes ---- */

static lur_status misfit(const lur_tensor *a, const lur_tensor *b, const char *why) {
  char ta[LUR_SHAPE_TEXT], tb[LUR_SHAPE_TEXT];
  return lur_fail(LUR_ESHAPE, "matmul: %s times %s (%s)", lur_shape_format(&a->shape, ta),
                  lur_shape_format(&b->shape, tb), why);
}

/* The dimensions before the matrices of the two operands, aligned at the last. */
static lur_status pair_batches(const lur_tensor *a, const lur_tensor *b, products *p) {
  int na = a->shape.ndim > 2 ? a->shape.ndim - 2 : 0, nb = b->shape.ndim > 2 ? b->shape.ndim - 2 : 0;
  int64_t step_a = 1, step_b = 1;
  p->batch.ndim = na > nb ? na : nb;
  for (int i = p->batch.ndim - 1; i >= 0; i--) {
    int ia = i - (p->batch.ndim - na), ib = i - (p->batch.ndim - nb);
    int64_t ea = ia >= 0 ? a->shape.dim[ia] : 1, eb = ib >= 0 ? b->shape.dim[ib] : 1;
    if (ea != eb && ea != 1 && eb != 1) return misfit(a, b, "the extents before the last two must be equal or 1");
    p->batch.dim[i] = ea == 1 ? eb : ea;
    p->stride_a[i] = ea == 1 ? 0 : step_a;
    p->stride_b[i] = eb == 1 ? 0 : step_b;
    step_a *= ea;
    step_b *= eb;
  }
  return LUR_OK;
}

/* The products, and the result's shape. */
static lur_status plan_products(const lur_tensor *a, const lur_tensor *b, products *p, lur_shape *y) {
  int na = a->shape.ndim, nb = b->shape.ndim;
  if (na == 0 || nb == 0) return misfit(a, b, "at least 1 dimension each expected; a scalar multiplies with *");
  *p = (products){.m = 1, .k = a->shape.dim[na - 1], .n = 1};
  if (na > 1) p->m = a->shape.dim[na - 2];
  if (nb > 1) p->n = b->shape.dim[nb - 1];
  if (b->shape.dim[nb > 1 ? nb - 2 : 0] != p->k) return misfit(a, b, "the inner extents must be equal");
  LUR_TRY(pair_batches(a, b, p));
  *y = p->batch;
  if (na > 1) y->dim[y->ndim++] = p->m;
  if (nb > 1) y->dim[y->ndim++] = p->n;
  lur_status status = lur_shape_check(y);
  if (status != LUR_OK) return lur_blame(status, "matmul");
  p->count = lur_shape_count(&p->batch);
  if (nb <= 2 && na > 2) { /* one matrix on the right: the rows of all matrices on the left are one */
    p->m *= p->count;
    p->count = 1;
    p->batch.ndim = 0;
  }
  return LUR_OK;
}

lur_status lur_tensor_matmul(lur_tensor *a, lur_tensor *b, lur_tensor **y) {
  products p;
  lur_shape shape;
  LUR_TRY(plan_products(a, b, &p, &shape));
  bool integers = a->dtype == LUR_I32 && b->dtype == LUR_I32;
  lur_dtype dtype = integers ? LUR_I32 : LUR_F32;
  lur_tensor *fa = NULL, *fb = NULL, *made = NULL;
  lur_device *device = NULL;
  lur_status status = lur_tensor_as("matmul", a, dtype, &fa);
  if (status == LUR_OK) status = lur_tensor_as("matmul", b, dtype, &fb);
  if (status == LUR_OK) status = lur_tensor_new(a->storage->context, NULL, dtype, &shape, &made);
  if (status == LUR_OK) status = lur_context_device(a->storage->context, "cpu", &device);
  if (status == LUR_OK && p.k > 0 && lur_shape_count(&shape) > 0) { /* else the product is zeros, as allocated */
    if (integers) products_i32(&p, lur_tensor_data(fa), lur_tensor_data(fb), lur_tensor_data(made));
    else status = products_f32(device, &p, lur_tensor_data(fa), lur_tensor_data(fb), lur_tensor_data(made));
  }
  lur_tensor_release(fa);
  lur_tensor_release(fb);
  if (status != LUR_OK) {
    lur_tensor_release(made);
    return status;
  }
  *y = made;
  return LUR_OK;
}
