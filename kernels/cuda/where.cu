/* where.cu - y = a where the condition is not 0, else b. Definition: kernels/ref/where.c. */
#include "broadcast.cuh"

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  lur_broadcast b;
  lur_broadcast_plan(d, &b);
  LUR_TRY(check_broadcast(op));
  op->in_place = b.full[0];
  if (!lur_cuda_wants(op)) return LUR_OK;
  op->backward_x = 1u;
  for (int k = 1; k < 3; k++) {
    if (b.full[k] || !(d->want_dx >> k & 1u)) continue;
    const size_t bytes = broadcast_sum_scratch(op->device, &b, k);
    if (bytes > op->backward_scratch) op->backward_scratch = bytes;
  }
  return LUR_OK;
}

struct where_value {
  __device__ float operator()(const float (&v)[3]) const { return v[0] != 0 ? v[1] : v[2]; }
};

/* in: dy, the condition. */
struct where_slope {
  bool first;
  __device__ float operator()(const float (&in)[2]) const { return (in[1] != 0) == first ? in[0] : 0; }
};

static lur_status forward(lur_op *op, const lur_args *args) {
  const int slots[3] = {0, 1, 2};
  lur_broadcast b;
  lur_broadcast_plan(&op->desc, &b);
  return broadcast_map<3>(op->device, op->desc.y.dtype, &b, slots, {{args->x[0], args->x[1], args->x[2]}}, args->y,
                          false, where_value{});
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const lur_op_desc *d = &op->desc;
  const lur_arrays<2> in = {{args->dy, args->x[0]}};
  const int slots[2] = {-1, 0};
  lur_broadcast b;
  lur_broadcast_plan(d, &b);
  for (int k = 1; k < 3; k++) {
    const where_slope f = {k == 1};
    const bool add = (args->dx_add >> k & 1u) != 0;
    if (!(d->want_dx >> k & 1u)) continue;
    if (b.full[k]) LUR_TRY(broadcast_map(op->device, d->y.dtype, &b, slots, in, args->dx[k], add, f));
    else LUR_TRY(broadcast_sum(op->device, d->y.dtype, &b, k, slots, in, args->dx[k], add, args->scratch, f));
  }
  return LUR_OK;
}

const lur_kernel lur_cuda_where = {plan, forward, backward, NULL};
