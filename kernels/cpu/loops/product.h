/* product.h - bodies of the matrix product: tiles of nine rows by three vectors, which fill the registers of AVX-512.
 * Compiled by loops_*.c only; narrower sets leave products to oneDNN, whose generated code has their registers full.
 *
 * One step of a tile reads nine numbers of a and three vectors of b for 27 multiply-adds. b comes in panels of three
 * vectors, packed so that a tile reads it in order; a is read where it lies, and should lie in the second cache: from
 * there 0.86 to 0.90 of the machine's multiply-add peak on one core (128 to 728 channels), where oneDNN 2.6 makes 0.76
 * to 0.90 of it; from memory no more than oneDNN. */
#if LANES_ == 16

enum { TILE_VECTORS = LUR_PANEL / LANES, AHEAD = 8 }; /* steps that b is fetched ahead */

/* Sums of one tile, rows of a k apart; constant rows and vectors give the loop its form. */
INLINE void tile_sums(const float *a, const float *b, int64_t k, int rows, int vectors,
                      vec sum[LUR_TILE_ROWS][TILE_VECTORS]) {
  UNROLL for (int i = 0; i < rows; i++) {
    UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = vset(0);
  }
  for (int64_t p = 0; p < k; p++, b += vectors * LANES) {
    vec w[TILE_VECTORS];
    UNROLL for (int j = 0; j < vectors; j++) {
      w[j] = vload(b + j * LANES, LANES);
      __builtin_prefetch(b + (AHEAD * vectors + j) * LANES);
    }
    UNROLL for (int i = 0; i < rows; i++) {
      const vec v = vset(a[i * k + p]);
      UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = vfma(v, w[j], sum[i][j]);
    }
  }
}

/* A tile of y = a * b and what follows; the last of its vectors has `last` lanes that count. */
INLINE void product_tile(const lur_product *p, const float *a, const float *b, const float *bias, const float *residual,
                         float *y, int rows, int vectors, int last) {
  vec sum[LUR_TILE_ROWS][TILE_VECTORS];
  tile_sums(a, b, p->k, rows, vectors, sum);
  UNROLL for (int i = 0; i < rows; i++) {
    UNROLL for (int j = 0; j < vectors; j++) {
      const int n = j + 1 < vectors ? LANES : last;
      const int64_t at = i * p->n + j * LANES;
      vec v = sum[i][j] + vload(bias + j * LANES, n);
      if (residual) v += vload(residual + at, n);
      vstore(y + at, p->relu ? vrelu(v) : v, n);
    }
  }
}

/* One panel of `rows` rows: whole tiles, then tiles of three rows and of one. */
INLINE void product_panel(const lur_product *p, const float *a, int64_t rows, const float *b, const float *bias,
                          const float *residual, float *y, int vectors, int last) {
  int64_t r = 0;
#define TILE_OF(many)                                                                                                 \
  for (; r + (many) <= rows; r += (many))                                                                             \
  product_tile(p, a + r * p->k, b, bias, residual ? residual + r * p->n : NULL, y + r * p->n, many, vectors, last)
  TILE_OF(LUR_TILE_ROWS);
  TILE_OF(3);
  TILE_OF(1);
#undef TILE_OF
}

static void product_panel3(const lur_product *p, const float *a, int64_t rows, const float *b, const float *bias,
                           const float *residual, float *y, int last) {
  product_panel(p, a, rows, b, bias, residual, y, 3, last);
}

static void product_panel2(const lur_product *p, const float *a, int64_t rows, const float *b, const float *bias,
                           const float *residual, float *y, int last) {
  product_panel(p, a, rows, b, bias, residual, y, 2, last);
}

static void product_panel1(const lur_product *p, const float *a, int64_t rows, const float *b, const float *bias,
                           const float *residual, float *y, int last) {
  product_panel(p, a, rows, b, bias, residual, y, 1, last);
}

static void product(const lur_product *p, const float *a, int64_t rows, const float *residual, float *y) {
  for (int64_t at = 0; at < p->n; at += LUR_PANEL) {
    const int64_t left = p->n - at;
    const int vectors = left >= LUR_PANEL ? TILE_VECTORS : (int)((left + LANES - 1) / LANES);
    const int last = left >= LUR_PANEL ? LANES : (int)(left - (vectors - 1) * LANES);
    (vectors == 3 ? product_panel3 : vectors == 2 ? product_panel2 : product_panel1)(
        p, a, rows, p->packed + at * p->k, p->bias + at, residual ? residual + at : NULL, y + at, last);
  }
}

/* Columns past n are zero. */
static void product_pack(const float *w, int64_t k, int64_t n, int64_t begin, int64_t end, float *packed) {
  for (int64_t at = begin; at < end; at += LUR_PANEL) {
    const int64_t left = n - at < LUR_PANEL ? n - at : LUR_PANEL, width = (left + LANES - 1) / LANES * LANES;
    float *to = packed + at * k;
    for (int64_t p = 0; p < k; p++) {
      memcpy(to + p * width, w + p * n + at, sizeof *to * (size_t)left);
      for (int64_t j = left; j < width; j++) to[p * width + j] = 0;
    }
  }
}

#endif
