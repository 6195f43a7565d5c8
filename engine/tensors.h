/* tensors.h - computing with host tensors. It is a part of lurcher.h, which includes it.
 *
 * For scripts and the session, not for models: there are no gradients, and tensors in device memory are refused with
 * LUR_EDEVICE (copy them with lur_tensor_to first). Results are new tensors.
 *
 * Dtypes. Arithmetic of two i32 tensors is i32: it is computed wide, then saturates, and division truncates; every
 * other pair of dtypes is computed in, and gives, f32. Comparisons give masks: i32, 0 or 1; wherever a mask is taken,
 * any element but 0 counts as true (NaN too), of any dtype. What only moves elements keeps the dtype.
 * Shapes broadcast as in NumPy: aligned at the last dimension, extents must be equal or 1.
 * Ids and positions in tensors (select, gather, argmax, sort) are i32 and count from 0. */
#ifndef LURCHER_TENSORS_H
#define LURCHER_TENSORS_H

/* ---- element by element ---- */

/* EQ to XOR give masks; AND, OR and XOR take masks. MOD and FLOORDIV round towards minus infinity, as Lua's % and //;
 * i32 by zero: MOD is 0, FLOORDIV saturates. */
typedef enum lur_tensor_op2 { LUR_T_ADD, LUR_T_SUB, LUR_T_MUL, LUR_T_DIV, LUR_T_POW, LUR_T_MAXIMUM, LUR_T_MINIMUM,
                              LUR_T_EQ, LUR_T_LT, LUR_T_LE, LUR_T_NE, LUR_T_GT, LUR_T_GE, LUR_T_AND, LUR_T_OR,
                              LUR_T_XOR, LUR_T_MOD, LUR_T_FLOORDIV, LUR_T_OP2_COUNT } lur_tensor_op2;
/* Of an i32 tensor, NEG, ABS, SQUARE, RELU and the roundings are i32; ISNAN, ISINF, ISFINITE and NOT are masks; all
   else is f32. ROUND: half to even. NOT: 1 where the element is 0. */
typedef enum lur_tensor_op1 { LUR_T_NEG, LUR_T_ABS, LUR_T_EXP, LUR_T_LOG, LUR_T_SQRT, LUR_T_SQUARE, LUR_T_RELU,
                              LUR_T_SIGMOID, LUR_T_TANH, LUR_T_FLOOR, LUR_T_CEIL, LUR_T_ROUND, LUR_T_TRUNC, LUR_T_SIGN,
                              LUR_T_SIN, LUR_T_COS, LUR_T_LOG1P, LUR_T_EXPM1, LUR_T_ERF, LUR_T_ISNAN, LUR_T_ISINF,
                              LUR_T_ISFINITE, LUR_T_NOT, LUR_T_OP1_COUNT } lur_tensor_op1;
lur_status lur_tensor_binary(lur_tensor_op2 op, lur_tensor *a, lur_tensor *b, lur_tensor **y);
lur_status lur_tensor_unary(lur_tensor_op1 op, lur_tensor *a, lur_tensor **y);
/* min(max(a, low), high), NaN stays; i32 where a is i32 and both bounds are whole or infinite, else f32. LUR_EARG for
   low > high or a NaN. */
lur_status lur_tensor_clamp(lur_tensor *a, double low, double high, lur_tensor **y);
/* Elements of a where mask is true, of b elsewhere; the three broadcast. Dtype: that of a and b where they agree, else
   f32. */
lur_status lur_tensor_where(lur_tensor *mask, lur_tensor *a, lur_tensor *b, lur_tensor **y);
/* Whether all |a - b| <= atol + rtol * |b|, after broadcasting; infinities are close to themselves alone. equal_nan:
   NaN is close to NaN. */
lur_status lur_tensor_allclose(lur_tensor *a, lur_tensor *b, double rtol, double atol, bool equal_nan, bool *close);

/* ---- over dimensions ---- */

/* VAR is the mean squared distance to the mean, with n - ddof in place of n (NaN where that is not positive), STD its
   square root; NORM is (sum of |x|^p)^(1/p). ANY and ALL give masks. */
typedef enum lur_tensor_reduction { LUR_T_SUM, LUR_T_MEAN, LUR_T_MAX, LUR_T_MIN, LUR_T_ARGMAX, LUR_T_ARGMIN, LUR_T_PROD,
                                    LUR_T_VAR, LUR_T_STD, LUR_T_NORM, LUR_T_ANY, LUR_T_ALL,
                                    LUR_T_REDUCTION_COUNT } lur_tensor_reduction;
typedef struct lur_reduce_options {
  unsigned axes; /* bit d: over dimension d; 0: over all */
  bool keep;     /* dimensions that are reduced stay, with extent 1 */
  int ddof;      /* of VAR and STD: 1 as in PyTorch, 0 as in NumPy */
  double p;      /* of NORM: 2 is Euclidean, infinity the largest |x|, 0 the number of elements but 0 */
} lur_reduce_options;
/* Sums accumulate in double. i32: sum, max, min and prod saturate and stay i32. A NaN wins a maximum or minimum, as in
   NumPy. argmax, argmin: i32 positions, the first of equal values, over one dimension or all. LUR_ESHAPE where there is
   nothing to reduce, but for SUM, PROD, NORM, ANY and ALL. */
lur_status lur_tensor_reduce_over(lur_tensor_reduction op, lur_tensor *a, const lur_reduce_options *options,
                                  lur_tensor **y);
/* Over dimension axis (dropped), or over everything when axis is -1 (a scalar); ddof 1, p 2. */
lur_status lur_tensor_reduce(lur_tensor_reduction op, lur_tensor *a, int axis, lur_tensor **y);
lur_status lur_tensor_softmax(lur_tensor *a, lur_tensor **y); /* over the last dimension */
/* Running sums along a dimension: f32, or i32 of i32, saturated. */
lur_status lur_tensor_cumsum(lur_tensor *a, int axis, lur_tensor **y);

/* ---- products ---- */

/* The matrix products over the last two dimensions, m x k times k x n; those before them broadcast. A vector on the
   left is a row, on the right a column, and the result lacks its dimension. */
lur_status lur_tensor_matmul(lur_tensor *a, lur_tensor *b, lur_tensor **y);

/* ---- parts of a tensor, other orders ---- */

/* Along one dimension: count elements from first on, every step-th (1 or more). drop: the dimension, of count 1, is
   left out of the result. */
typedef struct lur_slice {
  int64_t first, count, step;
  bool drop;
} lur_slice;
/* slices: one per dimension. LUR_EARG where one exceeds its dimension. A copy. */
lur_status lur_tensor_slice(lur_tensor *a, const lur_slice *slices, lur_tensor **y);
/* Writes value, broadcast and cast to a's dtype, to that part of a. */
lur_status lur_tensor_assign(lur_tensor *a, const lur_slice *slices, lur_tensor *value);
lur_status lur_tensor_transpose(lur_tensor *a, lur_tensor **y); /* 2-D */
/* Dimension d of the result is dimension order[d] of a. A copy. */
lur_status lur_tensor_permute(lur_tensor *a, const int *order, lur_tensor **y);
lur_status lur_tensor_flip(lur_tensor *a, unsigned axes, lur_tensor **y); /* bit d: dimension d is reversed */
/* Repeats extents of 1, and adds leading dimensions; an extent of -1 stays a's. A copy. */
lur_status lur_tensor_expand(lur_tensor *a, const lur_shape *shape, lur_tensor **y);
/* counts: how often the tensor is repeated along each dimension; more counts than dimensions add leading ones. */
lur_status lur_tensor_tile(lur_tensor *a, int n, const int64_t *counts, lur_tensor **y);
lur_status lur_tensor_concat(int n, lur_tensor *const *x, int axis, lur_tensor **y);

/* ---- by ids and masks ---- */

/* rows: i32, 1-D, from 0; LUR_EARG outside. */
lur_status lur_tensor_select(lur_tensor *a, lur_tensor *rows, lur_tensor **y);
/* The same along any dimension. */
lur_status lur_tensor_select_along(lur_tensor *a, lur_tensor *ids, int axis, lur_tensor **y);
/* y[i][j] = a[ids[i][j]][j] for axis 0: one id per element of y, which has the shape of ids. Other extents of ids are
   at most those of a. */
lur_status lur_tensor_gather(lur_tensor *a, lur_tensor *ids, int axis, lur_tensor **y);
/* The elements where mask, broadcast to a, is true, in order: 1-D. */
lur_status lur_tensor_masked_select(lur_tensor *a, lur_tensor *mask, lur_tensor **y);
/* Positions of the elements that are true: i32, count x ndim, from 0, in order. */
lur_status lur_tensor_nonzero(lur_tensor *mask, lur_tensor **y);
/* f32: the shape of ids and a last dimension of `classes`, 1 at the id and 0 elsewhere. LUR_EARG for ids outside. */
lur_status lur_tensor_one_hot(lur_tensor *ids, int64_t classes, lur_tensor **y);

/* ---- by value ---- */

/* Sorts along a dimension; stable. NaN comes last, whether descending or not. values keeps the dtype; ids: i32
   positions. Each may be NULL. */
lur_status lur_tensor_sort(lur_tensor *a, int axis, bool descending, lur_tensor **values, lur_tensor **ids);
/* The k first of that order: the largest when descending. */
lur_status lur_tensor_topk(lur_tensor *a, int64_t k, int axis, bool descending, lur_tensor **values, lur_tensor **ids);
/* The different values, ascending; all NaN are one. inverse: i32, a's shape, where in values each element is. counts:
   i32, how often each value occurs. inverse and counts may be NULL. */
lur_status lur_tensor_unique(lur_tensor *a, lur_tensor **values, lur_tensor **inverse, lur_tensor **counts);

#endif
