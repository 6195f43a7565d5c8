/* binary.c - functions of two tensors. Definition: kernels/ref/binary.c. Equal shapes run in blocks that fit into the
 * L1 cache, others in tiles (tiles.h). All of them are bound by memory, but for pow. */
#include "kernels/cpu/tiles.h"

static lur_status plan(lur_op *op) {
  const lur_op_desc *d = &op->desc;
  const lur_tiles *t;
  if (!lur_cpu_all_f32(op)) return lur_cpu_plan_parent(op);
  LUR_TRY(lur_tiles_plan(op, &t));
  op->in_place = t->loop.full[0];
  if (!cpu_wants(op)) return LUR_OK;
  op->dx_in_place = t->loop.full[0];
  op->backward_y = d->u.binary.relu;
  op->backward_x = lur_binary_reads(d);
  op->backward_scratch = lur_tiles_scratch(d, t, d->want_dx);
  return LUR_OK;
}

/* ---- equal shapes ---- */

static void forward_equal(lur_op *op, const lur_args *args) {
  const lur_loops *loops = cpu_loops(op);
  const int64_t count = lur_shape_count(&op->desc.y.shape), blocks = cpu_blocks(count);
  const float *a = args->x[0], *b = args->x[1];
  float *y = args->y;
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t k = 0; k < blocks; k++)
    loops->binary(&op->desc.u.binary, 0, a + k * CPU_BLOCK, b + k * CPU_BLOCK, y + k * CPU_BLOCK,
                  cpu_block_size(count, k));
}

/* The gradient of a in y = a + b or a - b is dy; where it takes over dy's memory, nothing is to be done. */
static bool is_done(const lur_op *op, const lur_args *args) {
  const lur_binary_desc *u = &op->desc.u.binary;
  return (u->function == LUR_ADD || u->function == LUR_SUB) && !u->relu && args->dx[0] == args->dy;
}

static void backward_equal(lur_op *op, const lur_args *args) {
  const lur_loops *loops = cpu_loops(op);
  const int64_t count = lur_shape_count(&op->desc.y.shape), blocks = cpu_blocks(count);
  const unsigned want = op->desc.want_dx & ~(is_done(op, args) ? 1u : 0);
  const float *a = op->backward_x & 1u ? args->x[0] : NULL, *b = op->backward_x & 2u ? args->x[1] : NULL;
  const float *y = op->backward_y ? args->y : NULL, *dy = args->dy;
  float *da = want & 1u ? args->dx[0] : NULL, *db = want & 2u ? args->dx[1] : NULL;
  if (!want) return;
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t k = 0; k < blocks; k++) {
    const int64_t at = k * CPU_BLOCK;
    const lur_binary_grads g = {.a = a ? a + at : NULL,
                                .b = b ? b + at : NULL,
                                .y = y ? y + at : NULL,
                                .dy = dy + at,
                                .da = da ? da + at : NULL,
                                .db = db ? db + at : NULL,
                                .add_a = args->dx_add & 1u,
                                .add_b = args->dx_add & 2u};
    loops->binary_back(&op->desc.u.binary, &g, cpu_block_size(count, k));
  }
}

/* ---- broadcasting ---- */

/* A tile in which operand k is one number along each row. */
static void forward_rows(lur_op *op, const lur_args *args, const lur_tiles *t, const lur_tile *tile, int k,
                         lur_expanded *other) {
  const lur_loops *loops = cpu_loops(op);
  const float *x = lur_tile_read(t, tile, 1 - k, args->x[1 - k], other), *number = args->x[k];
  float *y = (float *)args->y + tile->at;
  const int64_t step = lur_tiles_row_step(t, k), rows = step ? tile->rows : 1, cols = tile->rows * tile->cols / rows;
  number += tile->x[k];
  for (int64_t r = 0; r < rows; r++, x += cols, y += cols, number += step)
    loops->binary(&op->desc.u.binary, 1u << k, k ? x : number, k ? number : x, y, cols);
}

static void forward_tiles(lur_op *op, const lur_args *args, const lur_tiles *t) {
  const lur_loops *loops = cpu_loops(op);
  const unsigned numbers = lur_tiles_numbers(t) & 3u;
  const bool large = lur_shape_count(&op->desc.y.shape) > CPU_BLOCK;
  const int parts = large ? cpu_parts(t->count) : 1;
#pragma omp parallel for schedule(static, 1) if (parts > 1)
  for (int p = 0; p < parts; p++) {
    lur_expanded a, b;
    a.at = b.at = -1;
    for (int64_t i = cpu_part_start(t->count, parts, p); i < cpu_part_start(t->count, parts, p + 1); i++) {
      const lur_tile tile = lur_tile_at(t, i);
      if (numbers) forward_rows(op, args, t, &tile, numbers == 1 ? 0 : 1, &a);
      else
        loops->binary(&op->desc.u.binary, 0, lur_tile_read(t, &tile, 0, args->x[0], &a),
                      lur_tile_read(t, &tile, 1, args->x[1], &b), (float *)args->y + tile.at, tile.rows * tile.cols);
    }
  }
}

/* Arrays of one thread: the operands and the gradients of a tile, as far as they are repeated. */
typedef struct workspace {
  lur_expanded a, b;
  float da[CPU_TILE] __attribute__((aligned(64))), db[CPU_TILE] __attribute__((aligned(64)));
} workspace;

static void backward_tile(lur_op *op, const lur_args *args, const lur_tiles *t, const lur_tile_sums *sums, int part,
                          int64_t number, workspace *w) {
  const lur_loops *loops = cpu_loops(op);
  const lur_tile tile = lur_tile_at(t, number);
  const unsigned want = op->desc.want_dx & ~(is_done(op, args) ? 1u : 0);
  const lur_binary_grads g = {
      .a = lur_tile_read(t, &tile, 0, op->backward_x & 1u ? args->x[0] : NULL, &w->a),
      .b = lur_tile_read(t, &tile, 1, op->backward_x & 2u ? args->x[1] : NULL, &w->b),
      .y = op->backward_y ? (const float *)args->y + tile.at : NULL,
      .dy = (const float *)args->dy + tile.at,
      .da = !(want & 1u) ? NULL : sums[0].sums ? w->da : (float *)args->dx[0] + tile.at,
      .db = !(want & 2u) ? NULL : sums[1].sums ? w->db : (float *)args->dx[1] + tile.at,
      .add_a = !sums[0].sums && args->dx_add & 1u,
      .add_b = !sums[1].sums && args->dx_add & 2u};
  loops->binary_back(&op->desc.u.binary, &g, tile.rows * tile.cols);
  if (sums[0].sums) lur_tile_sums_add(loops, t, &tile, 0, part, &sums[0], w->da);
  if (sums[1].sums) lur_tile_sums_add(loops, t, &tile, 1, part, &sums[1], w->db);
}

static void backward_tiles(lur_op *op, const lur_args *args, const lur_tiles *t) {
  lur_tile_sums sums[LUR_BROADCAST_MOST];
  lur_tile_sums_begin(&op->desc, t, op->desc.want_dx, args->scratch, sums);
#pragma omp parallel for schedule(static, 1) if (t->parts > 1)
  for (int p = 0; p < t->parts; p++) {
    workspace w;
    w.a.at = w.b.at = -1;
    for (int64_t i = lur_tiles_start(t, p); i < lur_tiles_start(t, p + 1); i++)
      backward_tile(op, args, t, sums, p, i, &w);
  }
  lur_tile_sums_end(args, sums);
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const lur_tiles *t = op->state;
  if (t->loop.all_full) forward_equal(op, args);
  else forward_tiles(op, args, t);
  return LUR_OK;
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const lur_tiles *t = op->state;
  if (t->loop.all_full) backward_equal(op, args);
  else backward_tiles(op, args, t);
  return LUR_OK;
}

const lur_kernel lur_cpu_binary = {plan, forward, backward, lur_tiles_release};
