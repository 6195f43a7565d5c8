/* product.c - products over all threads; the arithmetic is in loops/products_*.c. */
#include "kernels/cpu/gemm.h"

#include <stdlib.h>

#include "kernels/cpu/cpu.h"

/* Pixels of a gradient at a time: x and dy of so many are packed by all threads together and stay in the caches while
   the tiles of dw pass by. One turn where that is not far more: dw is then read and written but once. */
enum { ONE_TURN = 1024, TURN = 512 };

static size_t whole_lines(size_t bytes) { return (bytes + 63) / 64 * 64; }

size_t lur_cpu_weights_bytes(const lur_products *products, const lur_cpu_weights *w) {
  return whole_lines(products->packed_bytes(w->k, w->n));
}

lur_status lur_cpu_weights_keep(const lur_products *products, lur_cpu_weights *w) {
  const size_t bytes = lur_cpu_weights_bytes(products, w);
  w->kept = aligned_alloc(64, bytes);
  return w->kept ? LUR_OK : lur_fail(LUR_ENOMEM, "no memory for %zu bytes of packed weights", bytes);
}

void lur_cpu_weights_release(lur_cpu_weights *w) {
  free(w->kept);
  w->kept = NULL;
}

const void *lur_cpu_weights_pack(const lur_products *products, lur_cpu_weights *w, const float *values,
                                 uint64_t version, void *scratch) {
  if (w->kept && version && version == w->version) return w->kept;
  void *to = w->kept ? w->kept : scratch;
  const int64_t width = products->panel, panels = (w->n + width - 1) / width;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < panels; i++)
    (w->across ? products->pack_across : products->pack)(values, w->k, w->n, i * width, cpu_min(w->n, (i + 1) * width),
                                                         to);
  w->version = version;
  return to;
}

static size_t part_bytes(const lur_products *products, int64_t k) { return whole_lines(products->work_bytes(k)); }

size_t lur_cpu_product_scratch(const lur_products *products, int64_t k, int parts) {
  return part_bytes(products, k) * (size_t)parts;
}

void lur_cpu_product(const lur_products *products, const lur_product *p, const float *a, int64_t rows,
                     const float *residual, float *y, int parts, void *scratch) {
  const int64_t tiles = (rows + products->tile_rows - 1) / products->tile_rows;
  if (parts > tiles) parts = tiles > 0 ? (int)tiles : 1;
#pragma omp parallel for schedule(static, 1) if (parts > 1)
  for (int i = 0; i < parts; i++) {
    const int64_t begin = cpu_step_start(rows, products->tile_rows, parts, i),
                  end = cpu_step_start(rows, products->tile_rows, parts, i + 1);
    products->product(p, a + begin * p->k, end - begin, residual ? residual + begin * p->n : NULL, y + begin * p->n,
                      (char *)scratch + (size_t)i * part_bytes(products, p->k));
  }
}

static int64_t turn_of(int64_t pixels) {
  const int64_t turns = pixels <= ONE_TURN ? 1 : (pixels + TURN - 1) / TURN;
  return (pixels + turns - 1) / turns;
}

size_t lur_cpu_gradient_scratch(const lur_products *products, int64_t pixels, int64_t ci, int64_t co) {
  const int64_t turn = turn_of(pixels);
  return whole_lines(products->tiles_bytes(turn, ci)) + whole_lines(products->packed_bytes(turn, co));
}

void lur_cpu_gradient(const lur_products *products, const float *x, const float *dy, int64_t pixels, int64_t ci,
                      int64_t co, void *scratch, float *dw) {
  const int64_t turn = turn_of(pixels), rows = products->tile_rows;
  void *tiles = scratch, *packed = (char *)scratch + whole_lines(products->tiles_bytes(turn, ci));
  const int parts = cpu_parts((ci + rows - 1) / rows);
  for (int64_t p = 0; p < pixels; p += turn) {
    const int64_t k = cpu_min(turn, pixels - p);
#pragma omp parallel for schedule(static, 1)
    for (int i = 0; i < parts; i++) {
      products->pack_tiles(x + p * ci, k, ci, cpu_step_start(ci, rows, parts, i),
                           cpu_step_start(ci, rows, parts, i + 1), tiles);
      products->pack(dy + p * co, k, co, cpu_step_start(co, products->panel, parts, i),
                     cpu_step_start(co, products->panel, parts, i + 1), packed);
    }
#pragma omp parallel for schedule(static, 1)
    for (int i = 0; i < parts; i++) {
      const lur_gradient g = {k,     co,    cpu_step_start(ci, rows, parts, i), cpu_step_start(ci, rows, parts, i + 1),
                              tiles, packed};
      products->gradient(&g, dw);
    }
  }
}
