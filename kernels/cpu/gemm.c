/* gemm.c - divides a GEMM among threads; the arithmetic is in loops/gemm_*.c. */
#include "kernels/cpu/gemm.h"

#include <stdlib.h>

#include "kernels/cpu/cpu.h"

/* A gradient is computed from blocks of pixels: all threads together pack x and dy of one block, which then stay in the
   caches while the tiles of dw are computed. Few pixels are one block: dw is then read and written only once. */
enum { ONE_BLOCK = 1024, BLOCK = 512 };

size_t lur_cpu_weights_bytes(const lur_gemm_loops *gemm, const lur_cpu_weights *w) {
  return cpu_round(gemm->packed_bytes(w->k, w->n));
}

lur_status lur_cpu_weights_keep(const lur_gemm_loops *gemm, lur_cpu_weights *w) {
  const size_t bytes = lur_cpu_weights_bytes(gemm, w);
  w->kept = aligned_alloc(64, bytes);
  return w->kept ? LUR_OK : lur_fail(LUR_ENOMEM, "no memory for %zu bytes of packed weights", bytes);
}

void lur_cpu_weights_release(lur_cpu_weights *w) {
  free(w->kept);
  w->kept = NULL;
}

const void *lur_cpu_weights_pack(const lur_gemm_loops *gemm, lur_cpu_weights *w, const float *values,
                                 uint64_t version, void *scratch) {
  if (w->kept && version && version == w->version) return w->kept;
  void *to = w->kept ? w->kept : scratch;
  const int64_t width = gemm->panel, panels = (w->n + width - 1) / width;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < panels; i++)
    (w->transposed ? gemm->pack_transposed : gemm->pack)(values, w->k, w->n, i * width,
                                                         cpu_min(w->n, (i + 1) * width), to);
  w->version = version;
  return to;
}

static size_t part_bytes(const lur_gemm_loops *gemm, int64_t k) { return cpu_round(gemm->work_bytes(k)); }

size_t lur_cpu_gemm_scratch(const lur_gemm_loops *gemm, int64_t k, int parts) {
  return part_bytes(gemm, k) * (size_t)parts;
}

void lur_cpu_gemm(const lur_gemm_loops *gemm, const lur_gemm *p, const float *a, int64_t rows,
                     const float *residual, float *y, int parts, void *scratch) {
  const int64_t tiles = (rows + gemm->tile_rows - 1) / gemm->tile_rows;
  if (parts > tiles) parts = tiles > 0 ? (int)tiles : 1;
#pragma omp parallel for schedule(static, 1) if (parts > 1)
  for (int i = 0; i < parts; i++) {
    const int64_t begin = cpu_step_start(rows, gemm->tile_rows, parts, i),
                  end = cpu_step_start(rows, gemm->tile_rows, parts, i + 1);
    gemm->gemm(p, a + begin * p->k, end - begin, residual ? residual + begin * p->n : NULL, y + begin * p->n,
                      (char *)scratch + (size_t)i * part_bytes(gemm, p->k));
  }
}

static int64_t block_of(int64_t pixels) {
  const int64_t blocks = pixels <= ONE_BLOCK ? 1 : (pixels + BLOCK - 1) / BLOCK;
  return (pixels + blocks - 1) / blocks;
}

size_t lur_cpu_gemm_gradient_scratch(const lur_gemm_loops *gemm, int64_t pixels, int64_t ci, int64_t co) {
  const int64_t block = block_of(pixels);
  return cpu_round(gemm->tiles_bytes(block, ci)) + cpu_round(gemm->packed_bytes(block, co));
}

void lur_cpu_gemm_gradient(const lur_gemm_loops *gemm, const float *x, const float *dy, int64_t pixels, int64_t ci,
                      int64_t co, void *scratch, float *dw) {
  const int64_t block = block_of(pixels), rows = gemm->tile_rows;
  void *tiles = scratch, *packed = (char *)scratch + cpu_round(gemm->tiles_bytes(block, ci));
  const int parts = cpu_parts((ci + rows - 1) / rows);
  for (int64_t p = 0; p < pixels; p += block) {
    const int64_t k = cpu_min(block, pixels - p);
#pragma omp parallel for schedule(static, 1)
    for (int i = 0; i < parts; i++) {
      gemm->pack_tiles(x + p * ci, k, ci, cpu_step_start(ci, rows, parts, i),
                           cpu_step_start(ci, rows, parts, i + 1), tiles);
      gemm->pack(dy + p * co, k, co, cpu_step_start(co, gemm->panel, parts, i),
                     cpu_step_start(co, gemm->panel, parts, i + 1), packed);
    }
#pragma omp parallel for schedule(static, 1)
    for (int i = 0; i < parts; i++) {
      const lur_gemm_gradient g = {
          k, co, cpu_step_start(ci, rows, parts, i), cpu_step_start(ci, rows, parts, i + 1), tiles, packed};
      gemm->gradient(&g, dw);
    }
  }
}
