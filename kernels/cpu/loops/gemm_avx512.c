/* gemm_avx512.c - products by multiply-adds of f32: tiles of nine rows by three vectors, which fill the registers.
 *
 * One step of a tile reads nine numbers of a and three vectors of b for 27 multiply-adds. b comes in panels of three
 * vectors, packed so that a tile reads it in order; a is read where it lies, or packed in tiles when it lies across.
 * From the second cache a tile runs at the machine's multiply-add peak, so what is lost is lost in waiting for memory:
 * each tile fetches, a line every few steps, its part of the panel that comes next and of the rows that come next. */
#include "kernels/cpu/loops/gemm.h"
#include "kernels/cpu/loops/vector.h"

enum { PANEL = 48, TILE_ROWS = 9, TILE_VECTORS = PANEL / LANES };
enum { AHEAD = 8, STRIDE = 16 }; /* steps that b is fetched ahead; steps a line of what comes later */

/* Lines that are fetched to the second cache while a tile multiplies. */
typedef struct lines {
  const float *at;
  int64_t count;
} lines;

/* Operands of one tile: a[i * pitch + p * step] and b in one panel, over p < k. y, of rows of n: where the sums go. */
typedef struct operands {
  const float *a, *b, *y;
  int64_t k, n;
  lines panel, next;
} operands;

INLINE void fetch_line(lines *l) {
  if (l->count-- > 0) __builtin_prefetch(l->at, 0, 2);
  l->at += LANES;
}

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

/* The sums of one tile; constant rows, vectors and step give the loop its form. */
INLINE void tile_sums(const operands *t, int64_t pitch, int64_t step, int rows, int vectors,
                      vec sum[TILE_ROWS][TILE_VECTORS]) {
  const float *a = t->a, *b = t->b;
  lines panel = t->panel, next = t->next;
  UNROLL for (int i = 0; i < rows; i++) { UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = vset(0); }
  int64_t p = 0;
  for (int i = 0; p + STRIDE <= t->k; i++) {
    if (i < rows) {
      for (int j = 0; j < vectors; j++) __builtin_prefetch(t->y + i * t->n + j * LANES, 1);
      if (step == 1) __builtin_prefetch(a + (rows + i) * pitch); /* where the next tile begins */
    }
    fetch_line(&panel);
    fetch_line(&next);
    for (const int64_t end = p + STRIDE; p < end; p++, b += vectors * LANES) {
      if (step != 1) __builtin_prefetch(a + p * step + AHEAD * step);
      tile_step(a + p * step, pitch, b, rows, vectors, sum);
    }
  }
  for (; p < t->k; p++, b += vectors * LANES) tile_step(a + p * step, pitch, b, rows, vectors, sum);
}

/* A tile of y = a * b and what follows; the last of its vectors has `last` lanes that count. */
INLINE void product_tile(const lur_product *p, const operands *t, const float *bias, const float *residual, float *y,
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

/* Columns at.. of one panel. */
typedef struct panel {
  int64_t at;
  int vectors, last;
} panel;

INLINE panel panel_at(int64_t n, int64_t at) {
  const int64_t left = n - at < PANEL ? n - at : PANEL, vectors = (left + LANES - 1) / LANES;
  return (panel){at, (int)vectors, (int)(left - (vectors - 1) * LANES)};
}

/* Part `i` of `parts` of `floats` at `at`, in lines. */
INLINE lines part_of(const float *at, int64_t floats, int64_t parts, int64_t i) {
  const int64_t all = floats / LANES, begin = all * i / parts;
  return (lines){at + begin * LANES, all * (i + 1) / parts - begin};
}

/* The panel after this one; after the last the first, which the next rows begin with. */
INLINE lines panel_after(const float *packed, int64_t k, int64_t n, int64_t at) {
  const int64_t next = at + PANEL < n ? at + PANEL : 0;
  return (lines){packed + next * k, k * panel_at(n, next).vectors};
}

/* Rows of a product that stay in the second cache while every panel passes by. */
typedef struct block {
  const float *a, *residual;
  float *y;
  int64_t rows;
  const float *next; /* next_floats that are read after it */
  int64_t next_floats;
} block;

INLINE operands operands_at(const lur_product *p, const block *s, int64_t r, int64_t column) {
  return (operands){.a = s->a + r * p->k,
                    .b = (const float *)p->packed + column * p->k,
                    .y = s->y + r * p->n + column,
                    .k = p->k,
                    .n = p->n};
}

/* One panel of a block: whole tiles, then tiles of three rows and of one. */
INLINE void product_panel(const lur_product *p, const block *s, panel c, int vectors) {
  const int64_t tiles = s->rows / TILE_ROWS, panels = (p->n + PANEL - 1) / PANEL;
  const lines after = panel_after(p->packed, p->k, p->n, c.at);
  const float *bias = p->bias ? p->bias + c.at : NULL;
  int64_t r = 0;
#define TILE(many)                                                                                                     \
  product_tile(p, &t, bias, s->residual ? s->residual + r * p->n + c.at : NULL, s->y + r * p->n + c.at, many, vectors, \
               c.last)
  for (int64_t i = 0; i < tiles; i++, r += TILE_ROWS) {
    operands t = operands_at(p, s, r, c.at);
    t.panel = part_of(after.at, after.count * LANES, tiles, i);
    t.next = part_of(s->next, s->next_floats, tiles * panels, c.at / PANEL * tiles + i);
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

static void product_panel3(const lur_product *p, const block *s, panel c) { product_panel(p, s, c, 3); }
static void product_panel2(const lur_product *p, const block *s, panel c) { product_panel(p, s, c, 2); }
static void product_panel1(const lur_product *p, const block *s, panel c) { product_panel(p, s, c, 1); }

enum { BLOCK_ROWS = 60 * TILE_ROWS };

static void product(const lur_product *p, const float *a, int64_t rows, const float *residual, float *y, void *work) {
  (void)work; /* a is read as it lies */
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
      (c.vectors == 3 ? product_panel3 : c.vectors == 2 ? product_panel2 : product_panel1)(p, &s, c);
    }
  }
}

/* ---- the gradient of the weights: y += x transposed times dy ---- */

/* A tile of y += of a packed in tiles; `rows` and `last` of it count. */
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

INLINE void gradient_panel(const lur_gradient *g, panel c, int vectors, float *y) {
  const int64_t tiles = (g->end - g->begin + TILE_ROWS - 1) / TILE_ROWS;
  const lines after = panel_after(g->packed, g->k, g->n, c.at);
  for (int64_t i = 0; i < tiles; i++) {
    const int64_t r = g->begin + i * TILE_ROWS, left = g->end - r;
    float *to = y + r * g->n + c.at;
    const operands t = {(const float *)g->tiles + r * g->k,
                        (const float *)g->packed + c.at * g->k,
                        to,
                        g->k,
                        g->n,
                        part_of(after.at, after.count * LANES, tiles, i),
                        {NULL, 0}};
    gradient_tile(&t, to, left < TILE_ROWS ? (int)left : TILE_ROWS, vectors, c.last);
  }
}

static void gradient_panel3(const lur_gradient *g, panel c, float *y) { gradient_panel(g, c, 3, y); }
static void gradient_panel2(const lur_gradient *g, panel c, float *y) { gradient_panel(g, c, 2, y); }
static void gradient_panel1(const lur_gradient *g, panel c, float *y) { gradient_panel(g, c, 1, y); }

static void gradient(const lur_gradient *g, float *y) {
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

/* The same of w[n k]. A line of each of a panel's rows at a time. */
static void pack_across(const float *w, int64_t k, int64_t n, int64_t begin, int64_t end, void *packed) {
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

/* Sizes as measured on two cores beside oneDNN 2.6, batch 8: gradients of 728 channels at 19x19 are 7 to 10 % faster,
   of 256 at 74x74 8 % slower; 1536 by 2048 weights are not repaid by 800 pixels, nor faster joined. */
const lur_products lur_products_avx512 = {
    .name = "avx512",
    .tile_rows = TILE_ROWS,
    .panel = PANEL,
    .summed = 128,
    .repaid = 1024,
    .channels = 512,
    .joined = 1 << 20,
    .product = product,
    .gradient = gradient,
    .pack = pack,
    .pack_across = pack_across,
    .pack_tiles = pack_tiles,
    .packed_bytes = packed_bytes,
    .tiles_bytes = tiles_bytes,
    .work_bytes = work_bytes,
};
