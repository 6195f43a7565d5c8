/* tensor_rows.c - transpose, select and concat of host tensors, which keep the dtype, and the matrix product, which is
 * the dense op of the cpu backend. */
#include <string.h>

#include "kernels/backend.h"
#include "tensor_host.h"

static lur_status need_matrix(const char *what, const lur_tensor *a) {
  if (a->shape.ndim == 2) return LUR_OK;
  char text[LUR_SHAPE_TEXT];
  return lur_fail(LUR_ESHAPE, "%s: a tensor of 2 dimensions expected, got %s", what, lur_shape_format(&a->shape, text));
}

/* ---- transpose ---- */

#define TRANSPOSE(type)                                                                                                \
  for (int64_t i0 = 0; i0 < m; i0 += TILE) {                                                                           \
    for (int64_t j0 = 0; j0 < n; j0 += TILE) {                                                                         \
      for (int64_t i = i0; i < m && i < i0 + TILE; i++) {                                                              \
        for (int64_t j = j0; j < n && j < j0 + TILE; j++) ((type *)y)[j * m + i] = ((const type *)x)[i * n + j];       \
      }                                                                                                                \
    }                                                                                                                  \
  }                                                                                                                    \
  break

static void transpose(const void *x, void *y, int64_t m, int64_t n, size_t size) {
  enum { TILE = 32 };
  switch (size) {
  case 4: TRANSPOSE(uint32_t);
  case 2: TRANSPOSE(uint16_t);
  default: TRANSPOSE(uint8_t);
  }
}

lur_status lur_tensor_transpose(lur_tensor *a, lur_tensor **y) {
  LUR_TRY(need_matrix("transpose", a));
  LUR_TRY(lur_tensor_need_host("transpose", a));
  lur_shape shape = {2, {a->shape.dim[1], a->shape.dim[0]}};
  lur_tensor *made;
  LUR_TRY(lur_tensor_blank(a->storage->context, a->dtype, &shape, &made));
  transpose(lur_tensor_data(a), lur_tensor_data(made), a->shape.dim[0], a->shape.dim[1], lur_dtype_size(a->dtype));
  *y = made;
  return LUR_OK;
}

/* ---- select ---- */

static lur_status check_rows(const lur_tensor *rows, int64_t limit) {
  const int32_t *row = lur_tensor_data(rows);
  for (int64_t i = 0; i < rows->shape.dim[0]; i++) {
    if (row[i] < 0 || row[i] >= limit) {
      return lur_fail(LUR_EARG, "select: row %d at position %lld (0 to %lld expected)", row[i], (long long)i,
                      (long long)limit - 1);
    }
  }
  return LUR_OK;
}

lur_status lur_tensor_select(lur_tensor *a, lur_tensor *rows, lur_tensor **y) {
  if (a->shape.ndim == 0)
    return lur_fail(LUR_ESHAPE, "select: a tensor of at least one dimension expected, got a scalar");
  if (rows->dtype != LUR_I32)
    return lur_fail(LUR_ETYPE, "select: i32 rows expected, got %s", lur_dtype_name(rows->dtype));
  if (rows->shape.ndim != 1)
    return lur_fail(LUR_ESHAPE, "select: rows of 1 dimension expected, got %d", rows->shape.ndim);
  LUR_TRY(lur_tensor_need_host("select", a));
  LUR_TRY(lur_tensor_need_host("select", rows));
  LUR_TRY(check_rows(rows, a->shape.dim[0]));
  lur_shape shape = a->shape;
  shape.dim[0] = rows->shape.dim[0];
  lur_tensor *made;
  LUR_TRY(lur_tensor_blank(a->storage->context, a->dtype, &shape, &made));
  if (shape.dim[0] > 0) {
    size_t bytes = lur_tensor_bytes(made) / (size_t)shape.dim[0];
    const int32_t *row = lur_tensor_data(rows);
    const char *from = lur_tensor_data(a);
    char *to = lur_tensor_data(made);
    for (int64_t i = 0; i < shape.dim[0]; i++) memcpy(to + (size_t)i * bytes, from + (size_t)row[i] * bytes, bytes);
  }
  *y = made;
  return LUR_OK;
}

/* ---- concat ---- */

static lur_status check_piece(const lur_tensor *first, const lur_tensor *x, int position, int axis) {
  bool fits = x->shape.ndim == first->shape.ndim;
  for (int d = 0; fits && d < first->shape.ndim; d++) fits = d == axis || x->shape.dim[d] == first->shape.dim[d];
  if (!fits) {
    char a[LUR_SHAPE_TEXT], b[LUR_SHAPE_TEXT];
    return lur_fail(LUR_ESHAPE, "concat: tensor %d is %s, tensor 1 is %s (equal but for dimension %d expected)",
                    position + 1, lur_shape_format(&x->shape, a), lur_shape_format(&first->shape, b), axis + 1);
  }
  if (x->dtype != first->dtype) {
    return lur_fail(LUR_ETYPE, "concat: tensor %d is %s, tensor 1 is %s", position + 1, lur_dtype_name(x->dtype),
                    lur_dtype_name(first->dtype));
  }
  return lur_tensor_need_host("concat", x);
}

lur_status lur_tensor_concat(int n, lur_tensor *const *x, int axis, lur_tensor **y) {
  if (n < 1) return lur_fail(LUR_EARG, "concat: at least one tensor expected, got %d", n);
  if (axis < 0 || axis >= x[0]->shape.ndim) {
    return lur_fail(LUR_EARG, "concat: dimension %d of a tensor of %d dimensions", axis + 1, x[0]->shape.ndim);
  }
  lur_shape shape = x[0]->shape;
  shape.dim[axis] = 0;
  for (int i = 0; i < n; i++) {
    LUR_TRY(check_piece(x[0], x[i], i, axis));
    shape.dim[axis] += x[i]->shape.dim[axis];
    LUR_TRY(lur_shape_check(&shape));
  }
  lur_tensor *made;
  LUR_TRY(lur_tensor_blank(x[0]->storage->context, x[0]->dtype, &shape, &made));
  if (lur_shape_count(&shape) > 0) {
    int64_t outer = 1;
    for (int d = 0; d < axis; d++) outer *= shape.dim[d];
    char *to = lur_tensor_data(made);
    for (int64_t o = 0; o < outer; o++) {
      for (int i = 0; i < n; i++) {
        size_t bytes = lur_tensor_bytes(x[i]) / (size_t)outer;
        memcpy(to, (const char *)lur_tensor_data(x[i]) + (size_t)o * bytes, bytes);
        to += bytes;
      }
    }
  }
  *y = made;
  return LUR_OK;
}

/* ---- matrix product ---- */

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

/* Kernels need operands on 64-byte boundaries; views may start anywhere. */
static lur_status aligned(lur_tensor *x, lur_tensor **y) {
  lur_tensor *f32;
  LUR_TRY(lur_tensor_as("matmul", x, LUR_F32, &f32));
  lur_status status = LUR_OK;
  if ((uintptr_t)lur_tensor_data(f32) % 64 == 0) {
    *y = f32;
  } else {
    status = lur_tensor_clone(f32, y);
    lur_tensor_release(f32);
  }
  return status;
}

static lur_status product_f32(lur_tensor *a, lur_tensor *b, lur_tensor *y) {
  lur_device *device;
  LUR_TRY(lur_context_device(a->storage->context, "cpu", &device));
  lur_op_desc desc = {.kind = LUR_OP_DENSE, .name = "matmul", .nx = 1, .nw = 1, .y = {LUR_F32, y->shape}};
  desc.x[0] = (lur_operand){LUR_F32, a->shape};
  desc.w[0] = (lur_operand){LUR_F32, b->shape};
  lur_op op = {0};
  lur_tensor *x = NULL, *w = NULL;
  void *scratch = NULL;
  lur_status status = aligned(a, &x);
  if (status == LUR_OK) status = aligned(b, &w);
  if (status == LUR_OK) status = lur_op_plan(device, &desc, &op);
  if (status == LUR_OK && op.forward_scratch) status = lur_device_alloc(device, op.forward_scratch, &scratch);
  if (status == LUR_OK) {
    lur_args args = {.x = {lur_tensor_data(x)}, .w = {lur_tensor_data(w)}, .y = lur_tensor_data(y), .scratch = scratch};
    status = op.kernel->forward(&op, &args);
  }
  if (status == LUR_OK) status = lur_device_sync(device);
  if (scratch) lur_device_free(device, scratch);
  lur_op_release(&op);
  lur_tensor_release(w);
  lur_tensor_release(x);
  return status;
}

lur_status lur_tensor_matmul(lur_tensor *a, lur_tensor *b, lur_tensor **y) {
  LUR_TRY(need_matrix("matmul", a));
  LUR_TRY(need_matrix("matmul", b));
  LUR_TRY(lur_tensor_need_host("matmul", a));
  LUR_TRY(lur_tensor_need_host("matmul", b));
  int64_t m = a->shape.dim[0], k = a->shape.dim[1], n = b->shape.dim[1];
  if (b->shape.dim[0] != k) {
    char ta[LUR_SHAPE_TEXT], tb[LUR_SHAPE_TEXT];
    return lur_fail(LUR_ESHAPE, "matmul: %s times %s (the inner extents must be equal)",
                    lur_shape_format(&a->shape, ta), lur_shape_format(&b->shape, tb));
  }
  bool integers = a->dtype == LUR_I32 && b->dtype == LUR_I32;
  lur_shape shape = {2, {m, n}};
  lur_tensor *made;
  LUR_TRY(lur_tensor_new(a->storage->context, NULL, integers ? LUR_I32 : LUR_F32, &shape, &made));
  lur_status status = LUR_OK;
  if (integers) {
    product_i32(lur_tensor_data(a), lur_tensor_data(b), lur_tensor_data(made), m, k, n);
  } else if (m > 0 && k > 0 && n > 0) { /* else the product is zeros, as allocated */
    status = product_f32(a, b, made);
  }
  if (status != LUR_OK) {
    lur_tensor_release(made);
    return status;
  }
  *y = made;
  return LUR_OK;
}
