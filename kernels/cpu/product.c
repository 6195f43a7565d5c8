/* product.c - products over all threads; the arithmetic is in loops/product.h. */
#include "kernels/cpu/product.h"

#include <stdlib.h>

#include "kernels/cpu/cpu.h"

/* Pixels of a gradient at a time: x and dy of so many are packed by all threads together and stay in the caches while
   the tiles of dw pass by. One turn where that is not far more: dw is then read and written but once. */
enum { ONE_TURN = 1024, TURN = 512 };

static size_t aligned_bytes(int64_t floats) { return (sizeof(float) * (size_t)floats + 63) / 64 * 64; }

static int64_t rounded_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

size_t lur_cpu_weights_bytes(const lur_cpu_weights *w) { return aligned_bytes(w->k * rounded_up(w->n, 16)); }

lur_status lur_cpu_weights_keep(lur_cpu_weights *w) {
  const size_t bytes = lur_cpu_weights_bytes(w);
  w->kept = aligned_alloc(64, bytes);
  return w->kept ? LUR_OK : lur_fail(LUR_ENOMEM, "no memory for %zu bytes of packed weights", bytes);
}

void lur_cpu_weights_release(lur_cpu_weights *w) {
  free(w->kept);
  w->kept = NULL;
}

const float *lur_cpu_weights_pack(lur_cpu_weights *w, const lur_loops *loops, const float *values, uint64_t version,
                                  void *scratch) {
  if (w->kept && version && version == w->version) return w->kept;
  float *to = w->kept ? w->kept : scratch;
  const int64_t panels = (w->n + LUR_PANEL - 1) / LUR_PANEL;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < panels; i++)
    (w->across ? loops->product_pack_across : loops->product_pack)(values, w->k, w->n, i * LUR_PANEL,
                                                                   cpu_min(w->n, (i + 1) * LUR_PANEL), to);
  w->version = version;
  return to;
}

void lur_cpu_product(const lur_loops *loops, const lur_product *p, const float *a, int64_t rows, const float *residual,
                     float *y) {
  const int parts = cpu_parts(rows / LUR_TILE_ROWS);
#pragma omp parallel for schedule(static, 1) if (parts > 1)
  for (int i = 0; i < parts; i++) {
    const int64_t begin = cpu_tile_start(rows, parts, i), end = cpu_tile_start(rows, parts, i + 1);
    loops->product(p, a + begin * p->k, end - begin, residual ? residual + begin * p->n : NULL, y + begin * p->n);
  }
}

static int64_t turn_of(int64_t pixels) {
  const int64_t turns = pixels <= ONE_TURN ? 1 : (pixels + TURN - 1) / TURN;
  return (pixels + turns - 1) / turns;
}

static size_t tiles_bytes(int64_t pixels, int64_t ci) {
  return aligned_bytes(turn_of(pixels) * rounded_up(ci, LUR_TILE_ROWS));
}

size_t lur_cpu_gradient_scratch(int64_t pixels, int64_t ci, int64_t co) {
  return tiles_bytes(pixels, ci) + aligned_bytes(turn_of(pixels) * rounded_up(co, 16));
}

void lur_cpu_gradient(const lur_loops *loops, const float *x, const float *dy, int64_t pixels, int64_t ci, int64_t co,
                      void *scratch, float *dw) {
  const int64_t turn = turn_of(pixels), panels = (co + LUR_PANEL - 1) / LUR_PANEL;
  float *tiles = scratch, *packed = (float *)((char *)scratch + tiles_bytes(pixels, ci));
  const int parts = cpu_parts(ci / LUR_TILE_ROWS);
  for (int64_t p = 0; p < pixels; p += turn) {
    const int64_t k = cpu_min(turn, pixels - p);
#pragma omp parallel for schedule(static, 1)
    for (int i = 0; i < parts; i++) {
      const int64_t first = cpu_part_start(panels, parts, i) * LUR_PANEL,
                    last = cpu_min(co, cpu_part_start(panels, parts, i + 1) * LUR_PANEL);
      loops->product_pack_tiles(x + p * ci, k, ci, cpu_tile_start(ci, parts, i), cpu_tile_start(ci, parts, i + 1), tiles);
      loops->product_pack(dy + p * co, k, co, first, last, packed);
    }
#pragma omp parallel for schedule(static, 1)
    for (int i = 0; i < parts; i++) {
      const lur_gradient g = {k, co, cpu_tile_start(ci, parts, i), cpu_tile_start(ci, parts, i + 1), tiles, packed};
      loops->product_gradient(&g, dw);
    }
  }
}
