/* dropout.c - dropout, four elements per random number. Definition: kernels/ref/dropout.c and kernels/random.h.
 *
 * One Philox block decides four consecutive elements: it is computed once here, where the definition computes it four
 * times. */
#include "kernels/cpu/cpu.h"

#include "kernels/random.h"

static lur_status plan(lur_op *op) {
  if (!lur_cpu_all_f32(op)) return lur_cpu_plan_parent(op);
  op->in_place = op->dx_in_place = true;
  return LUR_OK;
}

/* to = or += from / (1 - rate) where kept, else 0 (from - from: NaN and infinity become NaN, as in the definition), for
   elements begin..end; begin is a multiple of four. */
static void drop(const lur_dropout_desc *u, const lur_args *args, const float *from, float *to, bool add, int64_t begin,
                 int64_t end) {
  const float scale = (float)(1 / (1 - u->rate)), rate = (float)u->rate;
  const uint64_t key = args->seed ^ ((uint64_t)u->stream << 32);
  for (int64_t i = begin; i < end; i += 4) {
    const lur_random4 r = lur_philox(key, args->step, (uint64_t)i >> 2);
    for (int64_t k = 0; k < 4 && i + k < end; k++) {
      const float value = lur_random_unit(r.v[k]) >= rate ? from[i + k] * scale : from[i + k] - from[i + k];
      to[i + k] = add ? to[i + k] + value : value;
    }
  }
}

static lur_status apply(lur_op *op, const lur_args *args, const float *from, float *to, bool add) {
  const lur_dropout_desc *u = &op->desc.u.dropout;
  const int64_t count = lur_shape_count(&op->desc.y.shape), blocks = cpu_blocks(count);
  if (!u->training || u->rate == 0) {
    lur_cpu_put(cpu_loops(op), to, from, count, add);
    return LUR_OK;
  }
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t b = 0; b < blocks; b++)
    drop(u, args, from, to, add, b * CPU_BLOCK, b * CPU_BLOCK + cpu_block_size(count, b));
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) { return apply(op, args, args->x[0], args->y, false); }

static lur_status backward(lur_op *op, const lur_args *args) {
  return apply(op, args, args->dy, args->dx[0], args->dx_add & 1u);
}

const lur_kernel lur_cpu_dropout = {plan, forward, backward, NULL};
