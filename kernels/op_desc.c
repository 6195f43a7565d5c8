/* op_desc.c - names, checks and FLOPs of op descriptions.
 *
 * The checks are the same for every backend and are made only here: a kernel's plan may trust the shapes and refuses
 * only what the kernel cannot do. Nothing here depends on a device. A new op: a function here and a case in
 * check_kind. */
#include "op_desc.h"

#include "broadcast.h"

const char *lur_op_kind_name(lur_op_kind kind) {
  static const char *const names[LUR_OP_COUNT] = {
#define NAME(KIND, name) #name,
      LUR_OP_KINDS(NAME)
#undef NAME
  };
  return (unsigned)kind < LUR_OP_COUNT ? names[kind] : "unknown op";
}

enum { READS_y, READS_x };
static const struct {
  const char *name;
  bool reads_x;
} activations[LUR_ACTIVATION_COUNT] = {
#define ACTIVATION(KIND, name, reads) {#name, READS_##reads == READS_x},
    LUR_ACTIVATIONS(ACTIVATION)
#undef ACTIVATION
};

const char *lur_activation_name(lur_activation function) {
  return (unsigned)function < LUR_ACTIVATION_COUNT ? activations[function].name : "unknown activation";
}

bool lur_activation_reads_x(lur_activation function) { return activations[function].reads_x; }

const char *lur_binary_name(lur_binary function) {
  static const char *const names[LUR_BINARY_COUNT] = {"add", "sub", "mul", "maximum", "minimum", "div", "pow",
                                                      "gt",  "ge",  "lt",  "le",      "eq",      "ne"};
  return (unsigned)function < LUR_BINARY_COUNT ? names[function] : "unknown function";
}

unsigned lur_binary_reads(const lur_op_desc *d) {
  const bool a = d->want_dx & 1u, b = d->want_dx & 2u;
  switch (d->u.binary.function) {
  case LUR_MUL: return (a ? 2u : 0) | (b ? 1u : 0);
  case LUR_DIV: return (a || b ? 2u : 0) | (b ? 1u : 0);
  case LUR_MAXIMUM:
  case LUR_MINIMUM:
  case LUR_POW: return 3u;
  default: return 0;
  }
}

unsigned lur_op_gradients(const lur_op_desc *d) {
  switch (d->kind) {
  case LUR_OP_BINARY: return d->u.binary.function >= LUR_GT ? 0 : 3u;
  case LUR_OP_WHERE: return 6u;
  case LUR_OP_GATHER:
  case LUR_OP_LOSS: return 1u;
  default: return (1u << d->nx) - 1;
  }
}

bool lur_op_is_int8(const lur_op_desc *d) {
  if (d->kind != LUR_OP_CONV2D && d->kind != LUR_OP_DEPTHWISE_CONV2D) return false;
  return d->x[0].dtype == LUR_U8 || d->y.dtype == LUR_U8;
}

static int64_t last(const lur_shape *s) { return s->ndim > 0 ? s->dim[s->ndim - 1] : 1; }

static bool floating(lur_dtype dtype) { return dtype == LUR_F32 || dtype == LUR_F16 || dtype == LUR_BF16; }

/* Only a normalization without gamma or beta leaves out weights that nw counts. */
static bool weight_absent(const lur_op_desc *d, int i) {
  if (d->kind == LUR_OP_LAYERNORM || d->kind == LUR_OP_GROUPNORM)
    return (i == 0 && !d->u.layernorm.has_gamma) || (i == 1 && !d->u.layernorm.has_beta);
  if (d->kind != LUR_OP_BATCHNORM) return false;
  return (i == 0 && !d->u.batchnorm.has_gamma) || (i == 1 && !d->u.batchnorm.has_beta);
}

static lur_status extents(const char *role, int index, const lur_operand *operand) {
  char text[LUR_SHAPE_TEXT];
  if ((unsigned)operand->dtype >= LUR_DTYPE_COUNT)
    return lur_fail(LUR_ETYPE, "%s[%d] has an unknown data type (%d)", role, index, (int)operand->dtype);
  LUR_TRY(lur_shape_check(&operand->shape));
  for (int i = 0; i < operand->shape.ndim; i++)
    if (operand->shape.dim[i] < 1)
      return lur_fail(LUR_ESHAPE, "%s[%d] is %s: every extent must be at least 1", role, index,
                      lur_shape_format(&operand->shape, text));
  return LUR_OK;
}

static lur_status counts(const lur_op_desc *d, int min_x, int max_x, int min_w, int max_w) {
  if (d->nx < min_x || d->nx > max_x)
    return lur_fail(LUR_EARG, "%d to %d inputs expected, got %d", min_x, max_x, d->nx);
  if (d->nw < min_w || d->nw > max_w)
    return lur_fail(LUR_EARG, "%d to %d weights expected, got %d", min_w, max_w, d->nw);
  return LUR_OK;
}

static lur_status ndim(const char *role, const lur_shape *s, int expected) {
  char text[LUR_SHAPE_TEXT];
  if (s->ndim == expected) return LUR_OK;
  return lur_fail(LUR_ESHAPE, "%s has %d dimensions (%s), %d expected", role, s->ndim, lur_shape_format(s, text),
                  expected);
}

static lur_status equal(const char *role, const lur_shape *s, const char *model, const lur_shape *expected) {
  char a[LUR_SHAPE_TEXT], b[LUR_SHAPE_TEXT];
  if (lur_shape_equal(s, expected)) return LUR_OK;
  return lur_fail(LUR_ESHAPE, "%s is %s, expected %s like %s", role, lur_shape_format(s, a),
                  lur_shape_format(expected, b), model);
}

static lur_status vector(const char *role, const lur_shape *s, int64_t expected) {
  char text[LUR_SHAPE_TEXT];
  if (s->ndim == 1 && s->dim[0] == expected) return LUR_OK;
  return lur_fail(LUR_ESHAPE, "%s is %s, expected %lld", role, lur_shape_format(s, text), (long long)expected);
}

/* The inputs (but for those in skip_x) have one floating-point type, and the weights hold floating-point numbers. */
static lur_status floats(const lur_op_desc *d, unsigned skip_x) {
  for (int i = 0; i < d->nx; i++) {
    if (skip_x >> i & 1u) continue;
    if (!floating(d->x[i].dtype) || d->x[i].dtype != d->x[0].dtype)
      return lur_fail(LUR_ETYPE, "x[%d] is %s, x[0] is %s: one floating-point type expected", i,
                      lur_dtype_name(d->x[i].dtype), lur_dtype_name(d->x[0].dtype));
  }
  for (int i = 0; i < d->nw; i++)
    if (!weight_absent(d, i) && !floating(d->w[i].dtype))
      return lur_fail(LUR_ETYPE, "w[%d] is %s, a floating-point type expected", i, lur_dtype_name(d->w[i].dtype));
  return LUR_OK;
}

static lur_status same_type(const lur_op_desc *d) {
  if (d->y.dtype == d->x[0].dtype) return LUR_OK;
  return lur_fail(LUR_ETYPE, "y is %s, x[0] is %s", lur_dtype_name(d->y.dtype), lur_dtype_name(d->x[0].dtype));
}

static lur_status elementwise(const lur_op_desc *d, int nx) {
  LUR_TRY(counts(d, nx, nx, 0, 0));
  LUR_TRY(floats(d, 0));
  LUR_TRY(same_type(d));
  return equal("y", &d->y.shape, "x[0]", &d->x[0].shape);
}

/* Inputs that broadcast to y. */
static lur_status broadcasting(const lur_op_desc *d, int nx) {
  const lur_shape *shapes[LUR_BROADCAST_MOST];
  lur_shape expected;
  LUR_TRY(counts(d, nx, nx, 0, 0));
  LUR_TRY(floats(d, 0));
  LUR_TRY(same_type(d));
  for (int i = 0; i < nx; i++) shapes[i] = &d->x[i].shape;
  LUR_TRY(lur_broadcast_shape(nx, shapes, &expected));
  return equal("y", &d->y.shape, "the broadcast inputs", &expected);
}

static lur_status check_binary(const lur_op_desc *d) {
  const lur_binary f = d->u.binary.function;
  if ((unsigned)f >= LUR_BINARY_COUNT) return lur_fail(LUR_EARG, "unknown binary function %d", (int)f);
  if (d->u.binary.relu && f > LUR_MAXIMUM)
    return lur_fail(LUR_EARG, "relu is for add, sub, mul and maximum, not for %s", lur_binary_name(f));
  return broadcasting(d, 2);
}

static lur_status check_parameter(const lur_op_desc *d) {
  LUR_TRY(counts(d, 0, 0, 0, 1));
  if (d->y.dtype != LUR_F32 || (d->nw == 1 && d->w[0].dtype != LUR_F32))
    return lur_fail(LUR_ETYPE, "y is %s, f32 expected", lur_dtype_name(d->y.dtype));
  char a[LUR_SHAPE_TEXT], b[LUR_SHAPE_TEXT];
  if (d->nw == 0 || lur_shape_count(&d->w[0].shape) == lur_shape_count(&d->y.shape)) return LUR_OK;
  return lur_fail(LUR_ESHAPE, "y is %s, w[0] is %s: the same number of elements expected",
                  lur_shape_format(&d->y.shape, a), lur_shape_format(&d->w[0].shape, b));
}

/* A window along one dimension: the last one must begin inside the image, or before it by less than the kernel. */
static lur_status window(const char *dimension, int64_t in, int64_t out, int kernel, int stride, int pad) {
  if (kernel < 1 || stride < 1)
    return lur_fail(LUR_EARG, "%s: kernel %d and stride %d must be positive", dimension, kernel, stride);
  if (pad < 0 || pad >= kernel)
    return lur_fail(LUR_EARG, "%s: padding %d must be in 0..%d", dimension, pad, kernel - 1);
  if (out - 1 > (in + pad - 1) / stride)
    return lur_fail(LUR_ESHAPE, "%s: %lld outputs of kernel %d, stride %d, padding %d do not fit into %lld pixels",
                    dimension, (long long)out, kernel, stride, pad, (long long)in);
  return LUR_OK;
}

static lur_status image(const lur_op_desc *d, int kernel_h, int kernel_w, int stride_h, int stride_w, int top,
                          int left) {
  const lur_shape *x = &d->x[0].shape, *y = &d->y.shape;
  LUR_TRY(ndim("x[0]", x, 4));
  LUR_TRY(ndim("y", y, 4));
  if (x->dim[0] != y->dim[0])
    return lur_fail(LUR_ESHAPE, "y has %lld rows, x[0] has %lld", (long long)y->dim[0], (long long)x->dim[0]);
  LUR_TRY(window("height", x->dim[1], y->dim[1], kernel_h, stride_h, top));
  return window("width", x->dim[2], y->dim[2], kernel_w, stride_w, left);
}

/* The int8 forms of conv2d and depthwise_conv2d: see lur_conv2d_desc. */
static lur_status check_int8(const lur_op_desc *d, bool depthwise) {
  const lur_conv2d_desc *u = &d->u.conv2d;
  const lur_dtype x = d->x[0].dtype, y = d->y.dtype;
  if (x != (depthwise ? LUR_F32 : LUR_U8) || y != (depthwise ? LUR_U8 : LUR_F32))
    return lur_fail(LUR_ETYPE, "x[0] is %s and y is %s: %s expected", lur_dtype_name(x), lur_dtype_name(y),
                    depthwise ? "f32 to u8" : "u8 to f32");
  if (d->nx == 2 && !u->affine_in && d->x[1].dtype != LUR_F32)
    return lur_fail(LUR_ETYPE, "residual is %s, f32 expected", lur_dtype_name(d->x[1].dtype));
  for (int i = 0; i < d->nw; i++)
    if (d->w[i].dtype != LUR_F32)
      return lur_fail(LUR_ETYPE, "w[%d] is %s, f32 expected", i, lur_dtype_name(d->w[i].dtype));
  if (depthwise && (u->relu || u->affine_in))
    return lur_fail(LUR_EARG, "relu and affine_in need an f32 result");
  if (!depthwise) LUR_TRY(counts(d, 1, 2, 3, 3));
  if (d->want_dx || d->want_dw) return lur_fail(LUR_EUNSUPPORTED, "the int8 form has no gradient");
  return LUR_OK;
}

/* With affine_in x[1] is f32 2 c; without it there is no x[1]. */
static lur_status check_affine_in(const lur_op_desc *d, bool affine_in) {
  LUR_TRY(counts(d, affine_in ? 2 : 1, affine_in ? 2 : 1, d->nw, d->nw));
  if (!affine_in) return LUR_OK;
  const lur_shape expected = {2, {2, last(&d->x[0].shape)}};
  if (d->x[1].dtype != LUR_F32) return lur_fail(LUR_ETYPE, "affine is %s, f32 expected", lur_dtype_name(d->x[1].dtype));
  return equal("affine", &d->x[1].shape, "2 x channels", &expected);
}

static lur_status check_conv2d(const lur_op_desc *d) {
  const lur_conv2d_desc *u = &d->u.conv2d;
  const lur_shape *x = &d->x[0].shape, *w = &d->w[0].shape, *y = &d->y.shape;
  bool depthwise = d->kind == LUR_OP_DEPTHWISE_CONV2D;
  const bool int8 = lur_op_is_int8(d);
  LUR_TRY(counts(d, 1, 2, 1, int8 && !depthwise ? 3 : 2));
  if (int8) {
    LUR_TRY(check_int8(d, depthwise));
  } else {
    LUR_TRY(floats(d, u->affine_in ? 2u : 0));
    LUR_TRY(same_type(d));
  }
  if (u->affine_in && !depthwise) return lur_fail(LUR_EARG, "affine_in is for depthwise_conv2d only");
  if (depthwise) LUR_TRY(check_affine_in(d, u->affine_in));
  if (u->relu_in && !depthwise) return lur_fail(LUR_EARG, "relu_in is for depthwise_conv2d only");
  LUR_TRY(image(d, u->kernel_h, u->kernel_w, u->stride_h, u->stride_w, u->pad_top, u->pad_left));
  LUR_TRY(ndim("w[0]", w, 4));
  if (w->dim[0] != u->kernel_h || w->dim[1] != u->kernel_w)
    return lur_fail(LUR_ESHAPE, "weights are %lldx%lld, the kernel is %dx%d", (long long)w->dim[0],
                    (long long)w->dim[1], u->kernel_h, u->kernel_w);
  if (w->dim[2] != x->dim[3])
    return lur_fail(LUR_ESHAPE, "input has %lld channels, weights expect %lld", (long long)x->dim[3],
                    (long long)w->dim[2]);
  if (depthwise && w->dim[3] != 1)
    return lur_fail(LUR_ESHAPE, "weights have multiplier %lld, only 1 is supported", (long long)w->dim[3]);
  int64_t co = depthwise ? w->dim[2] : w->dim[3];
  if (y->dim[3] != co)
    return lur_fail(LUR_ESHAPE, "y has %lld channels, weights give %lld", (long long)y->dim[3], (long long)co);
  if (d->nw >= 2) LUR_TRY(vector("bias", &d->w[1].shape, co));
  if (d->nw == 3) LUR_TRY(vector("scale", &d->w[2].shape, co));
  return d->nx == 2 && !depthwise ? equal("residual", &d->x[1].shape, "y", y) : LUR_OK;
}

static lur_status check_separable_conv2d(const lur_op_desc *d) {
  const lur_conv2d_desc *u = &d->u.conv2d;
  const lur_shape *x = &d->x[0].shape, *y = &d->y.shape;
  LUR_TRY(counts(d, 1, 2, 3, 3));
  LUR_TRY(floats(d, 0));
  LUR_TRY(same_type(d));
  if (u->affine_in) return lur_fail(LUR_EARG, "affine_in is for depthwise_conv2d only");
  LUR_TRY(image(d, u->kernel_h, u->kernel_w, u->stride_h, u->stride_w, u->pad_top, u->pad_left));
  const lur_shape pointwise = {4, {1, 1, x->dim[3], y->dim[3]}};
  const lur_shape depthwise = {4, {u->kernel_h, u->kernel_w, x->dim[3], 1}};
  LUR_TRY(equal("w[0]", &d->w[0].shape, "channels in and out", &pointwise));
  LUR_TRY(vector("bias", &d->w[1].shape, y->dim[3]));
  LUR_TRY(equal("w[2]", &d->w[2].shape, "kernel and channels", &depthwise));
  return d->nx == 2 ? equal("residual", &d->x[1].shape, "y", y) : LUR_OK;
}

static lur_status check_dense(const lur_op_desc *d) {
  const lur_shape *x = &d->x[0].shape, *w = &d->w[0].shape, *y = &d->y.shape;
  LUR_TRY(counts(d, 1, 2, 1, 2));
  LUR_TRY(floats(d, 0));
  LUR_TRY(same_type(d));
  LUR_TRY(ndim("w[0]", w, 2));
  if (x->ndim < 1 || last(x) != w->dim[0])
    return lur_fail(LUR_ESHAPE, "input has %lld features, weights expect %lld", (long long)last(x),
                    (long long)w->dim[0]);
  lur_shape expected = *x;
  expected.dim[x->ndim - 1] = w->dim[1];
  LUR_TRY(equal("y", y, "input and weights", &expected));
  if (d->nw == 2) LUR_TRY(vector("bias", &d->w[1].shape, w->dim[1]));
  return d->nx == 2 ? equal("residual", &d->x[1].shape, "y", y) : LUR_OK;
}

static lur_status check_batchnorm(const lur_op_desc *d) {
  static const char *const names[] = {"gamma", "beta", "mean", "variance"};
  LUR_TRY(counts(d, 1, 2, 4, 4));
  LUR_TRY(floats(d, 0));
  if (d->x[0].shape.ndim < 1) return lur_fail(LUR_ESHAPE, "x[0] is a scalar, a channel dimension is expected");
  if (d->u.batchnorm.affine_out) {
    const lur_shape expected = {2, {2, last(&d->x[0].shape)}};
    if (d->nx != 1 || d->u.batchnorm.relu) return lur_fail(LUR_EARG, "affine_out allows neither residual nor relu");
    if (d->y.dtype != LUR_F32) return lur_fail(LUR_ETYPE, "y is %s, f32 expected", lur_dtype_name(d->y.dtype));
    LUR_TRY(equal("y", &d->y.shape, "2 x channels", &expected));
  } else {
    LUR_TRY(same_type(d));
    LUR_TRY(equal("y", &d->y.shape, "x[0]", &d->x[0].shape));
  }
  if (d->nx == 2) LUR_TRY(equal("residual", &d->x[1].shape, "y", &d->y.shape));
  for (int i = 0; i < 4; i++)
    if (!weight_absent(d, i)) LUR_TRY(vector(names[i], &d->w[i].shape, last(&d->x[0].shape)));
  if (d->want_dw & 0xCu) return lur_fail(LUR_EARG, "mean and variance have no gradient");
  if ((d->want_dw & 1u && !d->u.batchnorm.has_gamma) || (d->want_dw & 2u && !d->u.batchnorm.has_beta))
    return lur_fail(LUR_EARG, "the gradient of gamma or beta is wanted, which is not there");
  if (!(d->u.batchnorm.epsilon > 0)) return lur_fail(LUR_EARG, "epsilon %g must be positive", d->u.batchnorm.epsilon);
  return LUR_OK;
}

static lur_status check_pool(const lur_op_desc *d) {
  const lur_pool_desc *u = &d->u.pool;
  LUR_TRY(counts(d, 1, 2, 0, 0));
  LUR_TRY(check_affine_in(d, u->affine_in));
  LUR_TRY(floats(d, u->affine_in ? 2u : 0));
  LUR_TRY(same_type(d));
  if ((unsigned)u->mode > LUR_POOL_AVG) return lur_fail(LUR_EARG, "unknown pool mode %d", (int)u->mode);
  LUR_TRY(image(d, u->kernel_h, u->kernel_w, u->stride_h, u->stride_w, u->pad_top, u->pad_left));
  if (d->x[0].shape.dim[3] == d->y.shape.dim[3]) return LUR_OK;
  return lur_fail(LUR_ESHAPE, "y has %lld channels, x[0] has %lld", (long long)d->y.shape.dim[3],
                  (long long)d->x[0].shape.dim[3]);
}

static lur_status check_global_pool(const lur_op_desc *d) {
  LUR_TRY(counts(d, 1, 1, 0, 0));
  LUR_TRY(floats(d, 0));
  LUR_TRY(same_type(d));
  LUR_TRY(ndim("x[0]", &d->x[0].shape, 4));
  lur_shape expected = {2, {d->x[0].shape.dim[0], d->x[0].shape.dim[3]}};
  return equal("y", &d->y.shape, "rows and channels of x[0]", &expected);
}

static lur_status check_concat(const lur_op_desc *d) {
  int axis = d->u.concat.axis;
  LUR_TRY(counts(d, 1, LUR_MAX_OPERANDS, 0, 0));
  LUR_TRY(floats(d, 0));
  LUR_TRY(same_type(d));
  lur_shape joined = d->x[0].shape;
  if (axis < 0 || axis >= joined.ndim) return lur_fail(LUR_EARG, "axis %d must be in 0..%d", axis, joined.ndim - 1);
  int64_t extent = 0;
  for (int i = 0; i < d->nx && axis > 0; i++)
    if (joined.dim[0] == 1 && d->x[i].shape.ndim == joined.ndim) joined.dim[0] = d->x[i].shape.dim[0];
  for (int i = 0; i < d->nx; i++) {
    char a[LUR_SHAPE_TEXT], b[LUR_SHAPE_TEXT];
    lur_shape s = d->x[i].shape;
    if (s.ndim == joined.ndim) {
      extent += s.dim[axis];
      s.dim[axis] = joined.dim[axis];
      if (axis > 0 && s.dim[0] == 1) s.dim[0] = joined.dim[0];
    }
    if (!lur_shape_equal(&s, &joined))
      return lur_fail(LUR_ESHAPE, "x[%d] is %s, x[0] is %s: they may differ along dimension %d only", i,
                      lur_shape_format(&d->x[i].shape, a), lur_shape_format(&d->x[0].shape, b), axis);
  }
  joined.dim[axis] = extent;
  return equal("y", &d->y.shape, "the joined inputs", &joined);
}

static lur_status check_gather(const lur_op_desc *d) {
  LUR_TRY(counts(d, 2, 2, 0, 0));
  if (d->x[1].dtype != LUR_I32) return lur_fail(LUR_ETYPE, "rows are %s, i32 expected", lur_dtype_name(d->x[1].dtype));
  if (d->want_dx && !floating(d->x[0].dtype))
    return lur_fail(LUR_ETYPE, "%s has no gradient", lur_dtype_name(d->x[0].dtype));
  LUR_TRY(same_type(d));
  LUR_TRY(ndim("rows", &d->x[1].shape, 1));
  if (d->x[0].shape.ndim < 1) return lur_fail(LUR_ESHAPE, "x[0] is a scalar: it has no rows");
  if (d->x[0].shape.dim[0] > INT32_MAX) return lur_fail(LUR_ESHAPE, "x[0] has more rows than an i32 can count");
  if (d->want_dx & 2u) return lur_fail(LUR_EARG, "row numbers have no gradient");
  lur_shape expected = d->x[0].shape;
  expected.dim[0] = d->x[1].shape.dim[0];
  return equal("y", &d->y.shape, "the gathered rows", &expected);
}

static lur_status check_copy(const lur_op_desc *d) {
  char a[LUR_SHAPE_TEXT], b[LUR_SHAPE_TEXT];
  LUR_TRY(counts(d, 1, 1, 0, 0));
  if (!floating(d->x[0].dtype) || !floating(d->y.dtype)) LUR_TRY(same_type(d));
  if (d->want_dx && !floating(d->x[0].dtype))
    return lur_fail(LUR_ETYPE, "%s has no gradient", lur_dtype_name(d->x[0].dtype));
  if (lur_shape_count(&d->x[0].shape) == lur_shape_count(&d->y.shape)) return LUR_OK;
  return lur_fail(LUR_ESHAPE, "y is %s, x[0] is %s: the same number of elements expected",
                  lur_shape_format(&d->y.shape, a), lur_shape_format(&d->x[0].shape, b));
}

/* y must be x[0] with the reduced dimensions dropped or of extent 1: its extents other than 1 are those of the other
   dimensions, in order. */
static bool reduces_to(const lur_shape *x, unsigned axes, const lur_shape *y) {
  int j = 0;
  for (int i = 0; i < x->ndim; i++) {
    if (axes >> i & 1u || x->dim[i] == 1) continue;
    while (j < y->ndim && y->dim[j] == 1) j++;
    if (j == y->ndim || y->dim[j++] != x->dim[i]) return false;
  }
  while (j < y->ndim && y->dim[j] == 1) j++;
  return j == y->ndim;
}

static lur_status check_reduce(const lur_op_desc *d) {
  const lur_reduce_desc *u = &d->u.reduce;
  char a[LUR_SHAPE_TEXT], b[LUR_SHAPE_TEXT];
  LUR_TRY(counts(d, 1, 1, 0, 0));
  LUR_TRY(floats(d, 0));
  LUR_TRY(same_type(d));
  if ((unsigned)u->function > LUR_MIN) return lur_fail(LUR_EARG, "unknown reduction %d", (int)u->function);
  if (u->axes >> d->x[0].shape.ndim)
    return lur_fail(LUR_EARG, "axes 0x%x name dimensions that %s does not have", u->axes,
                    lur_shape_format(&d->x[0].shape, a));
  if (reduces_to(&d->x[0].shape, u->axes, &d->y.shape)) return LUR_OK;
  return lur_fail(LUR_ESHAPE, "y is %s, not %s reduced over axes 0x%x", lur_shape_format(&d->y.shape, a),
                  lur_shape_format(&d->x[0].shape, b), u->axes);
}

static lur_status check_one_hot(const lur_op_desc *d) {
  LUR_TRY(counts(d, 1, 1, 0, 0));
  if (d->x[0].dtype != LUR_I32) return lur_fail(LUR_ETYPE, "ids are %s, i32 expected", lur_dtype_name(d->x[0].dtype));
  if (d->y.dtype != LUR_F32) return lur_fail(LUR_ETYPE, "y is %s, f32 expected", lur_dtype_name(d->y.dtype));
  if (d->want_dx) return lur_fail(LUR_EARG, "class ids have no gradient");
  if (d->x[0].shape.ndim == LUR_MAX_DIMS) return lur_fail(LUR_ESHAPE, "x[0] has no room for a dimension of classes");
  lur_shape expected = d->x[0].shape;
  expected.dim[expected.ndim++] = last(&d->y.shape);
  return equal("y", &d->y.shape, "x[0] and classes", &expected);
}

static lur_status check_matmul(const lur_op_desc *d) {
  const lur_matmul_desc *u = &d->u.matmul;
  const lur_shape *a = &d->x[0].shape, *b = &d->x[1].shape;
  char ta[LUR_SHAPE_TEXT], tb[LUR_SHAPE_TEXT];
  LUR_TRY(counts(d, 2, 2, 0, 0));
  LUR_TRY(floats(d, 0));
  LUR_TRY(same_type(d));
  const int n = a->ndim;
  if (n < 2 || b->ndim != n)
    return lur_fail(LUR_ESHAPE, "x[0] is %s, x[1] is %s: as many dimensions, at least 2, expected",
                    lur_shape_format(a, ta), lur_shape_format(b, tb));
  if (a->dim[u->transpose_a ? n - 2 : n - 1] != b->dim[u->transpose_b ? n - 1 : n - 2])
    return lur_fail(LUR_ESHAPE, "x[0] is %s%s, x[1] is %s%s: the inner extents differ", lur_shape_format(a, ta),
                    u->transpose_a ? " transposed" : "", lur_shape_format(b, tb), u->transpose_b ? " transposed" : "");
  lur_shape expected = *a;
  for (int i = 0; i < n - 2; i++) {
    if (a->dim[i] != b->dim[i] && a->dim[i] != 1 && b->dim[i] != 1)
      return lur_fail(LUR_ESHAPE, "x[0] is %s, x[1] is %s: dimension %d differs and neither is 1",
                      lur_shape_format(a, ta), lur_shape_format(b, tb), i);
    expected.dim[i] = a->dim[i] == 1 ? b->dim[i] : a->dim[i];
  }
  expected.dim[n - 2] = a->dim[u->transpose_a ? n - 1 : n - 2];
  expected.dim[n - 1] = b->dim[u->transpose_b ? n - 2 : n - 1];
  return equal("y", &d->y.shape, "the product", &expected);
}

static lur_status check_permute(const lur_op_desc *d) {
  const lur_shape *x = &d->x[0].shape;
  LUR_TRY(counts(d, 1, 1, 0, 0));
  LUR_TRY(floats(d, 0));
  LUR_TRY(same_type(d));
  lur_shape expected = {.ndim = x->ndim};
  unsigned seen = 0;
  for (int i = 0; i < x->ndim; i++) {
    const int from = d->u.permute.order[i];
    if (from < 0 || from >= x->ndim || seen >> from & 1u)
      return lur_fail(LUR_EARG, "order[%d] is %d: each of 0..%d once expected", i, from, x->ndim - 1);
    seen |= 1u << from;
    expected.dim[i] = x->dim[from];
  }
  return equal("y", &d->y.shape, "the permuted x[0]", &expected);
}

/* A block of `inner` at `begin` inside `outer`. */
static lur_status block(const char *inner_role, const lur_shape *inner, const int64_t *begin, const char *outer_role,
                        const lur_shape *outer) {
  char a[LUR_SHAPE_TEXT], b[LUR_SHAPE_TEXT];
  bool inside = inner->ndim == outer->ndim;
  for (int i = 0; inside && i < inner->ndim; i++)
    inside = begin[i] >= 0 && begin[i] <= outer->dim[i] - inner->dim[i];
  if (inside) return LUR_OK;
  return lur_fail(LUR_ESHAPE, "%s is %s, which does not lie inside %s, %s, where it should begin", inner_role,
                  lur_shape_format(inner, a), outer_role, lur_shape_format(outer, b));
}

static lur_status check_block(const lur_op_desc *d) {
  const bool slice = d->kind == LUR_OP_SLICE;
  LUR_TRY(counts(d, 1, 1, 0, 0));
  LUR_TRY(floats(d, 0));
  LUR_TRY(same_type(d));
  return slice ? block("y", &d->y.shape, d->u.slice.begin, "x[0]", &d->x[0].shape)
               : block("x[0]", &d->x[0].shape, d->u.pad.before, "y", &d->y.shape);
}

static lur_status check_layernorm(const lur_op_desc *d) {
  static const char *const names[] = {"gamma", "beta"};
  const lur_layernorm_desc *u = &d->u.layernorm;
  const lur_shape *x = &d->x[0].shape;
  const int least = d->kind == LUR_OP_GROUPNORM ? 2 : 1;
  LUR_TRY(counts(d, 1, 1, 2, 2));
  LUR_TRY(floats(d, 0));
  LUR_TRY(same_type(d));
  LUR_TRY(equal("y", &d->y.shape, "x[0]", x));
  if (x->ndim < least) return lur_fail(LUR_ESHAPE, "x[0] has %d dimensions, at least %d expected", x->ndim, least);
  for (int i = 0; i < 2; i++)
    if (!weight_absent(d, i)) LUR_TRY(vector(names[i], &d->w[i].shape, last(x)));
  if ((d->want_dw & 1u && !u->has_gamma) || (d->want_dw & 2u && !u->has_beta))
    return lur_fail(LUR_EARG, "the gradient of gamma or beta is wanted, which is not there");
  if (!(u->epsilon > 0)) return lur_fail(LUR_EARG, "epsilon %g must be positive", u->epsilon);
  if (d->kind == LUR_OP_GROUPNORM && (u->groups < 1 || last(x) % u->groups))
    return lur_fail(LUR_ESHAPE, "%lld channels cannot be divided into %lld groups", (long long)last(x),
                    (long long)u->groups);
  return LUR_OK;
}

static lur_status check_upsample(const lur_op_desc *d) {
  const lur_shape *x = &d->x[0].shape, *y = &d->y.shape;
  char a[LUR_SHAPE_TEXT], b[LUR_SHAPE_TEXT];
  LUR_TRY(counts(d, 1, 1, 0, 0));
  LUR_TRY(floats(d, 0));
  LUR_TRY(same_type(d));
  LUR_TRY(ndim("x[0]", x, 4));
  LUR_TRY(ndim("y", y, 4));
  if ((unsigned)d->u.upsample.mode > LUR_UPSAMPLE_BILINEAR)
    return lur_fail(LUR_EARG, "unknown upsample mode %d", (int)d->u.upsample.mode);
  for (int i = 1; i < 3; i++)
    if (x->dim[i] > INT32_MAX / 4 || y->dim[i] > INT32_MAX / 4)
      return lur_fail(LUR_ESHAPE, "height and width must be below 2^29");
  if (x->dim[0] == y->dim[0] && x->dim[3] == y->dim[3]) return LUR_OK;
  return lur_fail(LUR_ESHAPE, "y is %s, x[0] is %s: they may differ in height and width only", lur_shape_format(y, a),
                  lur_shape_format(x, b));
}

static lur_status check_target(const lur_op_desc *d, int64_t rows, int64_t c) {
  const lur_operand *t = &d->x[1];
  char a[LUR_SHAPE_TEXT], b[LUR_SHAPE_TEXT];
  lur_loss_kind kind = d->u.loss.kind;
  if (t->dtype == LUR_F32) return equal("target", &t->shape, "predictions", &d->x[0].shape);
  bool ids = kind == LUR_CATEGORICAL_CROSSENTROPY || (kind == LUR_BINARY_CROSSENTROPY && c == 1);
  if (t->dtype != LUR_I32 || !ids)
    return lur_fail(LUR_ETYPE, "target is %s, expected f32%s", lur_dtype_name(t->dtype), ids ? " or i32" : "");
  if (lur_shape_count(&t->shape) == rows) return LUR_OK;
  return lur_fail(LUR_ESHAPE, "target is %s, expected one id for each row of %s", lur_shape_format(&t->shape, a),
                  lur_shape_format(&d->x[0].shape, b));
}

static lur_status check_loss(const lur_op_desc *d) {
  const lur_loss_desc *u = &d->u.loss;
  char text[LUR_SHAPE_TEXT];
  LUR_TRY(counts(d, 2, 3, 0, 0));
  LUR_TRY(floats(d, 6));
  if ((unsigned)u->kind > LUR_MEAN_SQUARED_ERROR) return lur_fail(LUR_EARG, "unknown loss %d", (int)u->kind);
  if (d->x[0].shape.ndim < 1) return lur_fail(LUR_ESHAPE, "predictions are a scalar, rows are expected");
  int64_t c = last(&d->x[0].shape), rows = lur_shape_count(&d->x[0].shape) / c;
  LUR_TRY(check_target(d, rows, c));
  if (d->nx == 3 && (d->x[2].dtype != LUR_F32 || lur_shape_count(&d->x[2].shape) != rows))
    return lur_fail(LUR_ESHAPE, "sample weights are %s %s, expected %lld f32", lur_shape_format(&d->x[2].shape, text),
                    lur_dtype_name(d->x[2].dtype), (long long)rows);
  if (d->y.dtype != LUR_F32 || lur_shape_count(&d->y.shape) != 1)
    return lur_fail(LUR_ESHAPE, "y is %s %s, expected one f32", lur_shape_format(&d->y.shape, text),
                    lur_dtype_name(d->y.dtype));
  if (d->want_dx & ~1u) return lur_fail(LUR_EARG, "only predictions have a gradient");
  if (!(u->label_smoothing >= 0 && u->label_smoothing <= 1))
    return lur_fail(LUR_EARG, "label smoothing %g must be in 0..1", u->label_smoothing);
  if (u->kind == LUR_MEAN_SQUARED_ERROR && (u->label_smoothing != 0 || u->from_logits))
    return lur_fail(LUR_EARG, "mean_squared_error takes neither label smoothing nor logits");
  return LUR_OK;
}

static lur_status check_kind(const lur_op_desc *d) {
  switch (d->kind) {
  case LUR_OP_CONV2D:
  case LUR_OP_DEPTHWISE_CONV2D: return check_conv2d(d);
  case LUR_OP_SEPARABLE_CONV2D: return check_separable_conv2d(d);
  case LUR_OP_DENSE: return check_dense(d);
  case LUR_OP_BATCHNORM: return check_batchnorm(d);
  case LUR_OP_ACTIVATION:
    if ((unsigned)d->u.activation.function >= LUR_ACTIVATION_COUNT)
      return lur_fail(LUR_EARG, "unknown activation %d", (int)d->u.activation.function);
    if (!(d->u.activation.slope >= 0))
      return lur_fail(LUR_EARG, "slope %g must be at least 0", d->u.activation.slope);
    return elementwise(d, 1);
  case LUR_OP_SOFTMAX:
  case LUR_OP_NORMALIZE:
    if (d->nx > 0 && d->x[0].shape.ndim < 1) return lur_fail(LUR_ESHAPE, "x[0] is a scalar, a vector is expected");
    if (d->kind == LUR_OP_NORMALIZE && !(d->u.normalize.epsilon > 0))
      return lur_fail(LUR_EARG, "epsilon %g must be positive", d->u.normalize.epsilon);
    return elementwise(d, 1);
  case LUR_OP_POOL: return check_pool(d);
  case LUR_OP_GLOBAL_POOL: return check_global_pool(d);
  case LUR_OP_BINARY: return check_binary(d);
  case LUR_OP_WHERE: return broadcasting(d, 3);
  case LUR_OP_PARAMETER: return check_parameter(d);
  case LUR_OP_AFFINE: return elementwise(d, 1);
  case LUR_OP_CONCAT: return check_concat(d);
  case LUR_OP_GATHER: return check_gather(d);
  case LUR_OP_DROPOUT:
    if (!(d->u.dropout.rate >= 0 && d->u.dropout.rate < 1))
      return lur_fail(LUR_EARG, "rate %g must be at least 0 and below 1", d->u.dropout.rate);
    return elementwise(d, 1);
  case LUR_OP_COPY: return check_copy(d);
  case LUR_OP_REDUCE: return check_reduce(d);
  case LUR_OP_ONE_HOT: return check_one_hot(d);
  case LUR_OP_MATMUL: return check_matmul(d);
  case LUR_OP_PERMUTE: return check_permute(d);
  case LUR_OP_SLICE:
  case LUR_OP_PAD: return check_block(d);
  case LUR_OP_LAYERNORM:
  case LUR_OP_GROUPNORM: return check_layernorm(d);
  case LUR_OP_UPSAMPLE: return check_upsample(d);
  case LUR_OP_LOSS: return check_loss(d);
  case LUR_OP_COUNT: break;
  }
  return lur_fail(LUR_EARG, "no such op");
}

static lur_status check(const lur_op_desc *d) {
  const int least = d->kind == LUR_OP_PARAMETER ? 0 : 1;
  if (d->nx < least || d->nx > LUR_MAX_OPERANDS || d->nw < 0 || d->nw > LUR_MAX_WEIGHTS)
    return lur_fail(LUR_EARG, "%d inputs and %d weights: %d..%d and 0..%d expected", d->nx, d->nw, least,
                    LUR_MAX_OPERANDS, LUR_MAX_WEIGHTS);
  for (int i = 0; i < d->nx; i++) LUR_TRY(extents("x", i, &d->x[i]));
  for (int i = 0; i < d->nw; i++)
    if (!weight_absent(d, i)) LUR_TRY(extents("w", i, &d->w[i]));
  LUR_TRY(extents("y", 0, &d->y));
  if (d->want_dx >> d->nx || d->want_dw >> d->nw)
    return lur_fail(LUR_EARG, "gradients 0x%x of inputs and 0x%x of weights are wanted, there are %d and %d",
                    d->want_dx, d->want_dw, d->nx, d->nw);
  LUR_TRY(check_kind(d));
  if (d->want_dx & ~lur_op_gradients(d)) return lur_fail(LUR_EARG, "a gradient is wanted that does not exist");
  return LUR_OK;
}

lur_status lur_op_check(const lur_op_desc *desc) {
  lur_status status = check(desc);
  if (status == LUR_OK) return LUR_OK;
  return lur_blame(status, "%s '%s'", lur_op_kind_name(desc->kind), desc->name ? desc->name : "");
}

double lur_op_flops(const lur_op_desc *d) {
  double y = (double)lur_shape_count(&d->y.shape);
  switch (d->kind) {
  case LUR_OP_CONV2D:
    return 2.0 * y * (double)d->u.conv2d.kernel_h * (double)d->u.conv2d.kernel_w * (double)last(&d->x[0].shape);
  case LUR_OP_DEPTHWISE_CONV2D: return 2.0 * y * (double)d->u.conv2d.kernel_h * (double)d->u.conv2d.kernel_w;
  case LUR_OP_SEPARABLE_CONV2D: {
    const double ci = (double)last(&d->x[0].shape), taps = (double)d->u.conv2d.kernel_h * (double)d->u.conv2d.kernel_w;
    return 2.0 * y * ci + 2.0 * y / (double)last(&d->y.shape) * ci * taps;
  }
  case LUR_OP_DENSE: return 2.0 * y * (double)last(&d->x[0].shape);
  case LUR_OP_MATMUL: {
    const lur_shape *a = &d->x[0].shape;
    return 2.0 * y * (double)a->dim[a->ndim - (d->u.matmul.transpose_a ? 2 : 1)];
  }
  default: return 0;
  }
}
