/* binary.cu - functions of two tensors. Definition: kernels/ref/binary.c. */
#include "broadcast.cuh"

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  lur_broadcast b;
  lur_broadcast_plan(d, &b);
  if (!b.all_full) LUR_TRY(check_broadcast(op));
  op->in_place = b.full[0];
  if (!lur_cuda_wants(op)) return LUR_OK;
  op->dx_in_place = b.full[0];
  op->backward_y = d->u.binary.relu;
  op->backward_x = lur_binary_reads(d);
  for (int k = 0; k < 2; k++) {
    if (b.full[k] || !(d->want_dx >> k & 1u)) continue;
    const size_t bytes = broadcast_sum_scratch(op->device, &b, k);
    if (bytes > op->backward_scratch) op->backward_scratch = bytes;
  }
  return LUR_OK;
}

struct binary_value {
  lur_binary_desc u;
  __device__ float operator()(const float (&v)[2]) const {
    float a = v[0], b = v[1], y = a;
    switch (u.function) {
      case LUR_ADD: y = a + b; break;
      case LUR_SUB: y = a - b; break;
      case LUR_MUL: y = a * b; break;
      case LUR_MAXIMUM: y = beats(b, a) ? b : a; break;
      case LUR_MINIMUM: y = beats(-b, -a) ? b : a; break;
      case LUR_DIV: y = a / b; break;
      case LUR_POW: y = powf(a, b); break;
      case LUR_GT: y = a > b; break;
      case LUR_GE: y = a >= b; break;
      case LUR_LT: y = a < b; break;
      case LUR_LE: y = a <= b; break;
      case LUR_EQ: y = a == b; break;
      case LUR_NE: y = a != b; break;
      case LUR_BINARY_COUNT: break;
    }
    return u.relu ? relu_of(y) : y;
  }
};

/* in: dy, y, a, b. second: the gradient of b instead of a. On a tie the gradient of a maximum goes to a. */
struct binary_slope {
  lur_binary_desc u;
  bool second;
  __device__ float operator()(const float (&in)[4]) const {
    float g = u.relu ? relu_dy_of(in[1], in[0]) : in[0], a = in[2], b = in[3];
    switch (u.function) {
      case LUR_SUB: return second ? -g : g;
      case LUR_MUL: return second ? g * a : g * b;
      case LUR_MAXIMUM: return beats(b, a) == second ? g : 0;
      case LUR_MINIMUM: return beats(-b, -a) == second ? g : 0;
      case LUR_DIV: return second ? -g * (a / b / b) : g / b;
      case LUR_POW:
        if (second) return a == 0 && b >= 0 ? 0 : g * (powf(a, b) * logf(a));
        return b == 0 ? 0 : g * (b * powf(a, b - 1));
      default: return g;
    }
  }
};

static lur_status forward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const binary_value f = {d->u.binary};
  const lur_arrays<2> in = {{args->x[0], args->x[1]}};
  const int slots[2] = {0, 1};
  lur_broadcast b;
  lur_broadcast_plan(d, &b);
  if (b.all_full) return map<2>(op->device, d->y.dtype, lur_shape_count(&d->y.shape), in, args->y, false, f);
  return broadcast_map(op->device, d->y.dtype, &b, slots, in, args->y, false, f);
}

static lur_status put_gradient(lur_op *op, const lur_args *args, const lur_broadcast *b, int k) {
  const lur_op_desc *d = &op->desc;
  const lur_arrays<4> in = {{args->dy, op->backward_y ? args->y : NULL, op->backward_x & 1u ? args->x[0] : NULL,
                             op->backward_x & 2u ? args->x[1] : NULL}};
  const binary_slope f = {d->u.binary, k == 1};
  const bool add = (args->dx_add >> k & 1u) != 0;
  const int slots[4] = {-1, -1, 0, 1};
  if (b->all_full) return map<4>(op->device, d->y.dtype, lur_shape_count(&d->y.shape), in, args->dx[k], add, f);
  if (b->full[k]) return broadcast_map(op->device, d->y.dtype, b, slots, in, args->dx[k], add, f);
  return broadcast_sum(op->device, d->y.dtype, b, k, slots, in, args->dx[k], add, args->scratch, f);
}

/* dx[1] comes first because dx[0] may be the same memory as dy. */
static lur_status backward(lur_op *op, const lur_args *args) {
  lur_broadcast b;
  lur_broadcast_plan(&op->desc, &b);
  for (int k = 1; k >= 0; k--)
    if (op->desc.want_dx >> k & 1u) LUR_TRY(put_gradient(op, args, &b, k));
  return LUR_OK;
}

const lur_kernel lur_cuda_binary = {plan, forward, backward, NULL};
