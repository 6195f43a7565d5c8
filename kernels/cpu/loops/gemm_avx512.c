/* gemm_avx512.c - matrix products by f32 multiply-adds: tiles of nine rows by three vectors, which fill the registers.
 *
 * One step of a tile loads nine numbers of a and three vectors of b for 27 multiply-adds. b is packed in panels of
 * three vectors, which a tile reads in order; a is read in place, or packed in tiles where it is transposed. With its
 * operands in the L2 cache a tile runs at the processor's peak, so the only loss is waiting for memory: each tile
 * prefetches, a line every few steps, its part of the next panel and of the next rows. */
#include "kernels/cpu/loops/gemm.h"
#include "kernels/cpu/loops/prefetch.h"

enum { PANEL = 48, TILE_ROWS = 9, TILE_VECTORS = PANEL / LANES };
enum { AHEAD = 8, STRIDE = 16 }; /* steps by which b is prefetched; steps per line of the next panel and rows */

/* The operands of one tile: a[i * pitch + p * step] and one panel of b, for p < k; y has rows of n. */
typedef struct operands {
  const float *a, *b, *y;
  int64_t k, n;
  lines panel, next;
} operands;

INLINE void tile_step(const float *a, int64_t pitch, const float *b, int rows, int vectors,
                      vec sum[TILE_ROWS][TILE_VECTORS]) {
  vec w[TILE_VECTORS];
  UNROLL for (int j = 0; j < vectors; j++) {
    w[j] = vload(b + j * LANES, LANES);
    __builtin_prefetch(b + (AHEAD * vectors + j) * LANES);
  }
  UNROLL for (int i = 0; i < rows; i++) {
    const vec v = vset(a[i * pitch]);
    UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = vfma(v, w[j], sum[i][j]);
  }
}

/* The sums of one tile. rows, vectors and step are constants, for which the loop is unrolled. */
INLINE void tile_sums(const operands *t, int64_t pitch, int64_t step, int rows, int vectors,
                      vec sum[TILE_ROWS][TILE_VECTORS]) {
  const float *a = t->a, *b = t->b;
  lines panel = t->panel, next = t->next;
  UNROLL for (int i = 0; i < rows; i++) { UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = vset(0); }
  int64_t p = 0;
  for (int i = 0; p + STRIDE <= t->k; i++) {
    if (i < rows) {
      for (int j = 0; j < vectors; j++) __builtin_prefetch(t->y + i * t->n + j * LANES, 1);
      if (step == 1) __builtin_prefetch(a + (rows + i) * pitch); /* the rows of the next tile */
    }
    lines_prefetch(&panel);
    lines_prefetch(&next);
    for (const int64_t end = p + STRIDE; p < end; p++, b += vectors * LANES) {
      if (step != 1) __builtin_prefetch(a + p * step + AHEAD * step);
      tile_step(a + p * step, pitch, b, rows, vectors, sum);
    }
  }
  for (; p < t->k; p++, b += vectors * LANES) tile_step(a + p * step, pitch, b, rows, vectors, sum);
}

/* One tile of y = a * b + bias and so on; the last of its vectors has `last` lanes. */
INLINE void gemm_tile(const lur_gemm *p, const operands *t, const float *bias, const float *residual, float *y,
                         int rows, int vectors, int last) {
  vec sum[TILE_ROWS][TILE_VECTORS];
  tile_sums(t, t->k, 1, rows, vectors, sum);
  UNROLL for (int i = 0; i < rows; i++) {
    UNROLL for (int j = 0; j < vectors; j++) {
      const int n = j + 1 < vectors ? LANES : last;
      const int64_t at = i * p->n + j * LANES;
      vec v = sum[i][j];
      if (bias) v += vload(bias + j * LANES, n);
      if (residual) v += vload(residual + at, n);
      vstore(y + at, p->relu ? vrelu(v) : v, n);
    }
  }
}

/* A panel: columns from `at`, in vectors of which the last has `last` lanes. */
typedef struct panel {
  int64_t at;
  int vectors, last;
} panel;

INLINE panel panel_at(int64_t n, int64_t at) {
  const int64_t left = n - at < PANEL ? n - at : PANEL, vectors = (left + LANES - 1) / LANES;
  return (panel){at, (int)vectors, (int)(left - (vectors - 1) * LANES)};
}

/* Part `i` of `parts` of the panel after this one; after the last panel comes the first one again. */
INLINE lines next_panel(const float *packed, int64_t k, int64_t n, int64_t at, int64_t parts, int64_t i) {
  const int64_t next = at + PANEL < n ? at + PANEL : 0;
  return lines_part(packed + next * k, k * panel_at(n, next).vectors * LINE, parts, i);
}

/* Rows that stay in the L2 cache while they are multiplied with every panel. */
typedef struct block {
  const float *a, *residual;
  float *y;
  int64_t rows;
  const float *next; /* next_floats that are read afterwards */
  int64_t next_floats;
} block;

INLINE operands operands_at(const lur_gemm *p, const block *s, int64_t r, int64_t column) {
  return (operands){.a = s->a + r * p->k,
                    .b = (const float *)p->packed + column * p->k,
                    .y = s->y + r * p->n + column,
                    .k = p->k,
                    .n = p->n};
}

/* One panel of a block: whole tiles, then tiles of three rows and of one. */
INLINE void gemm_panel(const lur_gemm *p, const block *s, panel c, int vectors) {
  const int64_t tiles = s->rows / TILE_ROWS, panels = (p->n + PANEL - 1) / PANEL;
  const float *bias = p->bias ? p->bias + c.at : NULL;
  int64_t r = 0;
#define TILE(many)                                                                                                     \
  gemm_tile(p, &t, bias, s->residual ? s->residual + r * p->n + c.at : NULL, s->y + r * p->n + c.at, many, vectors, \
               c.last)
  for (int64_t i = 0; i < tiles; i++, r += TILE_ROWS) {
    operands t = operands_at(p, s, r, c.at);
    t.panel = next_panel(p->packed, p->k, p->n, c.at, tiles, i);
    t.next = lines_part(s->next, (int64_t)sizeof(float) * s->next_floats, tiles * panels, c.at / PANEL * tiles + i);
    TILE(TILE_ROWS);
  }
  for (; r + 3 <= s->rows; r += 3) {
    const operands t = operands_at(p, s, r, c.at);
    TILE(3);
  }
  for (; r < s->rows; r++) {
    const operands t = operands_at(p, s, r, c.at);
    TILE(1);
  }
#undef TILE
}

static void gemm_panel3(const lur_gemm *p, const block *s, panel c) { gemm_panel(p, s, c, 3); }
static void gemm_panel2(const lur_gemm *p, const block *s, panel c) { gemm_panel(p, s, c, 2); }
static void gemm_panel1(const lur_gemm *p, const block *s, panel c) { gemm_panel(p, s, c, 1); }

enum { BLOCK_ROWS = 60 * TILE_ROWS };

static void gemm(const lur_gemm *p, const float *a, int64_t rows, const float *residual, float *y, void *work) {
  (void)work; /* a is read in place */
  for (int64_t r = 0; r < rows; r += BLOCK_ROWS) {
    const int64_t left = rows - r;
    block s = {a + r * p->k, residual ? residual + r * p->n : NULL, y + r * p->n, left, p->next, p->next_floats};
    if (left > BLOCK_ROWS) {
      s.rows = BLOCK_ROWS;
      s.next = s.a + BLOCK_ROWS * p->k;
      s.next_floats = (left < 2 * BLOCK_ROWS ? left - BLOCK_ROWS : BLOCK_ROWS) * p->k;
    }
    for (int64_t at = 0; at < p->n; at += PANEL) {
      const panel c = panel_at(p->n, at);
      (c.vectors == 3 ? gemm_panel3 : c.vectors == 2 ? gemm_panel2 : gemm_panel1)(p, &s, c);
    }
  }
}

/* ---- the gradient of the weights: y += x transposed times dy ---- */

/* One tile of y +=, with a packed in tiles; only the first `rows` rows are stored. */
INLINE void gradient_tile(const operands *t, float *y, int rows, int vectors, int last) {
  vec sum[TILE_ROWS][TILE_VECTORS];
  tile_sums(t, 1, TILE_ROWS, TILE_ROWS, vectors, sum);
  UNROLL for (int i = 0; i < TILE_ROWS; i++) {
    if (i == rows) break;
    UNROLL for (int j = 0; j < vectors; j++) {
      const int n = j + 1 < vectors ? LANES : last;
      float *to = y + i * t->n + j * LANES;
      vstore(to, sum[i][j] + vload(to, n), n);
    }
  }
}

INLINE void gradient_panel(const lur_gemm_gradient *g, panel c, int vectors, float *y) {
  const int64_t tiles = (g->end - g->begin + TILE_ROWS - 1) / TILE_ROWS;
  for (int64_t i = 0; i < tiles; i++) {
    const int64_t r = g->begin + i * TILE_ROWS, left = g->end - r;
    float *to = y + r * g->n + c.at;
    const operands t = {(const float *)g->tiles + r * g->k,
                        (const float *)g->packed + c.at * g->k,
                        to,
                        g->k,
                        g->n,
                        next_panel(g->packed, g->k, g->n, c.at, tiles, i),
                        {NULL, 0}};
    gradient_tile(&t, to, left < TILE_ROWS ? (int)left : TILE_ROWS, vectors, c.last);
  }
}

static void gradient_panel3(const lur_gemm_gradient *g, panel c, float *y) { gradient_panel(g, c, 3, y); }
static void gradient_panel2(const lur_gemm_gradient *g, panel c, float *y) { gradient_panel(g, c, 2, y); }
static void gradient_panel1(const lur_gemm_gradient *g, panel c, float *y) { gradient_panel(g, c, 1, y); }

static void gradient(const lur_gemm_gradient *g, float *y) {
  for (int64_t at = 0; at < g->n; at += PANEL) {
    const panel c = panel_at(g->n, at);
    (c.vectors == 3 ? gradient_panel3 : c.vectors == 2 ? gradient_panel2 : gradient_panel1)(g, c, y);
  }
}

/* ---- packing ---- */

/* Columns past n are zero. */
static void pack(const float *w, int64_t k, int64_t n, int64_t begin, int64_t end, void *packed) {
  for (int64_t at = begin; at < end; at += PANEL) {
    const panel c = panel_at(n, at);
    float *to = (float *)packed + at * k;
    for (int64_t p = 0; p < k; p++) {
      for (int j = 0; j < c.vectors; j++, to += LANES)
        vstore(to, vload(w + p * n + at + j * LANES, j + 1 < c.vectors ? LANES : c.last), LANES);
    }
  }
}

/* The same of w[n k], one cache line of each row of the panel at a time. */
static void pack_transposed(const float *w, int64_t k, int64_t n, int64_t begin, int64_t end, void *packed) {
  for (int64_t at = begin; at < end; at += PANEL) {
    const panel c = panel_at(n, at);
    const int64_t columns = (c.vectors - 1) * LANES + c.last, width = c.vectors * LANES;
    float *to = (float *)packed + at * k;
    for (int64_t p0 = 0; p0 < k; p0 += LANES) {
      const int64_t p1 = p0 + LANES < k ? p0 + LANES : k;
      for (int64_t j = 0; j < width; j++) {
        for (int64_t p = p0; p < p1; p++) to[p * width + j] = j < columns ? w[(at + j) * k + p] : 0;
      }
    }
  }
}

static void pack_tiles(const float *x, int64_t k, int64_t width, int64_t begin, int64_t end, void *tiles) {
  for (int64_t p = 0; p < k; p++) {
    for (int64_t r = begin; r < end; r += TILE_ROWS) {
      float *to = (float *)tiles + r * k + p * TILE_ROWS;
      vstore(to, vload(x + p * width + r, end - r < TILE_ROWS ? (int)(end - r) : TILE_ROWS), TILE_ROWS);
    }
  }
}

static size_t packed_bytes(int64_t k, int64_t n) {
  return sizeof(float) * (size_t)(k * ((n + LANES - 1) / LANES * LANES));
}

static size_t tiles_bytes(int64_t k, int64_t width) {
  return sizeof(float) * (size_t)(k * ((width + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS));
}

static size_t work_bytes(int64_t k) { return (void)k, 0; }

/* Sizes measured on two cores against oneDNN 2.6, batch 8: gradients of 728 channels at 19x19 are 7 to 10 % faster, of
   256 channels at 74x74 8 % slower; packing 1536 by 2048 weights does not pay for 800 pixels, nor does fusing them. */
const lur_gemm_loops lur_gemm_loops_avx512 = {
    .name = "avx512",
    .tile_rows = TILE_ROWS,
    .panel = PANEL,
    .min_depth = 128,
    .min_pixels = 1024,
    .min_channels = 512,
    .max_fused = 1 << 20,
    .gemm = gemm,
    .gradient = gradient,
    .pack = pack,
    .pack_transposed = pack_transposed,
    .pack_tiles = pack_tiles,
    .packed_bytes = packed_bytes,
    .tiles_bytes = tiles_bytes,
    .work_bytes = work_bytes,
};
