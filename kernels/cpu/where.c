/* where.c - y = a where the condition is not 0, else b, in tiles (tiles.h). Definition: kernels/ref/where.c. */
#include "kernels/cpu/tiles.h"

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  const lur_tiles *t;
  if (!lur_cpu_all_f32(op)) return lur_cpu_plan_parent(op);
  LUR_TRY(lur_tiles_plan(op, &t));
  op->in_place = t->loop.full[0];
  if (!cpu_wants(op)) return LUR_OK;
  op->backward_x = 1u;
  op->backward_scratch = lur_tiles_scratch(d, t, d->want_dx);
  return LUR_OK;
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const lur_loops *loops = cpu_loops(op);
  const lur_tiles *t = op->state;
  const int parts = lur_shape_count(&op->desc.y.shape) > CPU_BLOCK ? cpu_parts(t->count) : 1;
#pragma omp parallel for schedule(static, 1) if (parts > 1)
  for (int p = 0; p < parts; p++) {
    lur_expanded e[3];
    for (int k = 0; k < 3; k++) e[k].at = -1;
    for (int64_t i = cpu_part_start(t->count, parts, p); i < cpu_part_start(t->count, parts, p + 1); i++) {
      const lur_tile tile = lur_tile_at(t, i);
      loops->where(lur_tile_read(t, &tile, 0, args->x[0], &e[0]), lur_tile_read(t, &tile, 1, args->x[1], &e[1]),
                   lur_tile_read(t, &tile, 2, args->x[2], &e[2]), (float *)args->y + tile.at, tile.rows * tile.cols);
    }
  }
  return LUR_OK;
}

/* Arrays of one thread. */
typedef struct workspace {
  lur_expanded condition;
  float g[3][CPU_TILE] __attribute__((aligned(64)));
} workspace;

static void backward_tile(lur_op *op, const lur_args *args, const lur_tiles *t, const lur_tile_sums *sums, int part,
                          int64_t number, workspace *w) {
  const lur_loops *loops = cpu_loops(op);
  const lur_tile tile = lur_tile_at(t, number);
  float *to[3] = {NULL};
  bool add[3] = {false};
  for (int k = 1; k < 3; k++) {
    if (!(op->desc.want_dx >> k & 1u)) continue;
    to[k] = sums[k].sums ? w->g[k] : (float *)args->dx[k] + tile.at;
    add[k] = !sums[k].sums && args->dx_add >> k & 1u;
  }
  loops->where_back(lur_tile_read(t, &tile, 0, args->x[0], &w->condition), (const float *)args->dy + tile.at, to[1],
                    add[1], to[2], add[2], tile.rows * tile.cols);
  for (int k = 1; k < 3; k++)
    if (sums[k].sums) lur_tile_sums_add(loops, t, &tile, k, part, &sums[k], w->g[k]);
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const lur_tiles *t = op->state;
  lur_tile_sums sums[LUR_BROADCAST_MOST];
  lur_tile_sums_begin(&op->desc, t, op->desc.want_dx, args->scratch, sums);
#pragma omp parallel for schedule(static, 1) if (t->parts > 1)
  for (int p = 0; p < t->parts; p++) {
    workspace w;
    w.condition.at = -1;
    for (int64_t i = lur_tiles_start(t, p); i < lur_tiles_start(t, p + 1); i++)
      backward_tile(op, args, t, sums, p, i, &w);
  }
  lur_tile_sums_end(args, sums);
  return LUR_OK;
}

const lur_kernel lur_cpu_where = {plan, forward, backward, lur_tiles_release};
