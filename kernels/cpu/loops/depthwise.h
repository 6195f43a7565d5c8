/* depthwise.h - bodies of the depthwise convolution: 3x3 at stride 1 in tiles, the rest by a plain walk over taps.
 * Compiled by loops_*.c only.
 *
 * Tiles are a few columns of one or two rows; the walk over channels is innermost, so that memory is read and written
 * in order and the processor's prefetching keeps up. A row outside the picture is read from `zeros` with step 0, so that
 * no loop asks where it is; only tiles at the sides ask for columns. */

static const float zeros[LANES];

typedef struct row {
  const float *p; /* column 0, channel 0 */
  int64_t step;   /* floats from a column to the next; 0: all cells are zero */
} row;

INLINE row row_at(const float *picture, int64_t y, int64_t h, int64_t w, int64_t c) {
  return y >= 0 && y < h ? (row){picture + y * w * c, c} : (row){zeros, 0};
}

/* Channels at..at+n of a column. */
INLINE vec row_load(const row *r, int64_t column, int64_t at, int n) {
  return vload(r->p + column * r->step + (r->step ? at : 0), n);
}

INLINE bool is_tiled(const lur_window_shape *s) {
  return s->kh == 3 && s->kw == 3 && s->sh == 1 && s->sw == 1 && s->pl >= 0 && s->pl <= 2;
}

/* ---- forward ---- */

enum { TILE = 5, TILE_ROWS = LANES == 16 ? 2 : 1 }; /* so many sums and nine taps fit the registers */

/* `many` rows of y from out, columns ox..ox+TILE, channels at..at+n; in: the many + 2 rows of x they read. */
INLINE void tile(const lur_window_shape *s, const row *in, bool relu_in, const float *w, const float *bias, bool relu, float *out,
                 int64_t ox, int many, bool side, int64_t at, int n) {
  vec k[9], sum[2][TILE], b = bias ? vload(bias + at, n) : vset(0);
  UNROLL for (int t = 0; t < 9; t++) k[t] = vload(w + t * s->c + at, n);
  UNROLL for (int q = 0; q < many; q++)
    UNROLL for (int i = 0; i < TILE; i++) sum[q][i] = b;
  UNROLL for (int r = 0; r < many + 2; r++)
    UNROLL for (int j = 0; j < TILE + 2; j++) {
      const int64_t column = ox - s->pl + j;
      vec v = side && (column < 0 || column >= s->iw) ? vset(0) : row_load(&in[r], column, at, n);
      if (relu_in) v = vrelu(v);
      UNROLL for (int q = 0; q < many; q++)
        UNROLL for (int kx = 0; kx < 3; kx++)
          if (r >= q && r <= q + 2 && j >= kx && j - kx < TILE) sum[q][j - kx] = vfma(v, k[(r - q) * 3 + kx], sum[q][j - kx]);
    }
  UNROLL for (int q = 0; q < many; q++)
    UNROLL for (int i = 0; i < TILE; i++)
      if (!side || ox + i < s->ow) vstore(out + (q * s->ow + ox + i) * s->c + at, relu ? vrelu(sum[q][i]) : sum[q][i], n);
}

INLINE void tile_rows(const lur_window_shape *s, const float *x, bool relu_in, const float *w, const float *bias, bool relu,
                      float *y, int64_t oy, int many) {
  row in[4];
  float *out = y + oy * s->ow * s->c;
  for (int r = 0; r < many + 2; r++) in[r] = row_at(x, oy - s->pt + r, s->ih, s->iw, s->c);
  for (int64_t ox = 0; ox < s->ow; ox += TILE) {
    const bool side = ox < s->pl || ox - s->pl + TILE + 2 > s->iw || ox + TILE > s->ow;
#define SIDE_AT(at, n) tile(s, in, relu_in, w, bias, relu, out, ox, many, true, at, n)
#define TILE_AT(at, n) tile(s, in, relu_in, w, bias, relu, out, ox, many, false, at, n)
    if (side)
      FOR_LANES(at, s->c, SIDE_AT);
    else
      FOR_LANES(at, s->c, TILE_AT);
#undef SIDE_AT
#undef TILE_AT
  }
}

INLINE void tiled(const lur_window_shape *s, const float *x, bool relu_in, const float *w, const float *bias, bool relu, float *y,
                  int64_t y0, int64_t y1) {
  int64_t oy = y0;
  if (TILE_ROWS == 2)
    for (; oy + 2 <= y1; oy += 2) tile_rows(s, x, relu_in, w, bias, relu, y, oy, 2);
  for (; oy < y1; oy++) tile_rows(s, x, relu_in, w, bias, relu, y, oy, 1);
}

INLINE void cell(const lur_window_shape *s, const float *x, bool relu_in, const float *w, const float *bias, bool relu, float *y,
                 int64_t oy, int64_t ox, int64_t at, int n) {
  vec sum = bias ? vload(bias + at, n) : vset(0);
  for (int ky = 0; ky < s->kh; ky++) {
    int64_t iy = oy * s->sh - s->pt + ky;
    if (iy < 0 || iy >= s->ih) continue;
    for (int kx = 0; kx < s->kw; kx++) {
      int64_t ix = ox * s->sw - s->pl + kx;
      if (ix < 0 || ix >= s->iw) continue;
      vec v = vload(x + (iy * s->iw + ix) * s->c + at, n);
      sum = vfma(relu_in ? vrelu(v) : v, vload(w + (ky * s->kw + kx) * s->c + at, n), sum);
    }
  }
  vstore(y + (oy * s->ow + ox) * s->c + at, relu ? vrelu(sum) : sum, n);
}

static void depthwise(const lur_window_shape *s, const float *x, bool relu_in, const float *w, const float *bias, bool relu,
                      float *y, int64_t y0, int64_t y1) {
  if (is_tiled(s)) {
    if (relu_in)
      tiled(s, x, true, w, bias, relu, y, y0, y1);
    else
      tiled(s, x, false, w, bias, relu, y, y0, y1);
    return;
  }
  for (int64_t oy = y0; oy < y1; oy++)
    for (int64_t ox = 0; ox < s->ow; ox++) {
#define CELL_AT(at, n) cell(s, x, relu_in, w, bias, relu, y, oy, ox, at, n)
      FOR_LANES(at, s->c, CELL_AT);
#undef CELL_AT
    }
}

/* ---- backward ---- */

typedef struct depthwise_grads {
  const float *x, *w, *dy;
  float *dx;
  float *work; /* as long as sums: float sums of the last columns */
  double *sums;
  bool relu_in, add;
} depthwise_grads;

enum { FLUSH_COLUMNS = 256 }; /* about as many columns are summed in float before the sums move to double */

/* Columns ix..ix+TILE of input row y, channels at..at+n: one walk over dy's three rows in[ky] gives both gradients.
   Sums of dw go to g->work, [tap][c]. */
INLINE void tile_back(const lur_window_shape *s, const depthwise_grads *g, const row *in, bool want_dx, bool want_dw, bool side,
                      int64_t here, int64_t ix, int64_t at, int n) {
  vec x[TILE], gate[TILE], dx[TILE];
  UNROLL for (int i = 0; i < TILE; i++) {
    const bool beyond = side && ix + i >= s->iw;
    gate[i] = g->x && !beyond ? vload(g->x + here + i * s->c + at, n) : vset(0);
    x[i] = g->relu_in ? vrelu(gate[i]) : gate[i];
    dx[i] = vset(0);
  }
  UNROLL for (int ky = 0; ky < 3; ky++) {
    vec k[3], dw[3];
    UNROLL for (int kx = 0; kx < 3; kx++) {
      const int64_t tap = (ky * 3 + kx) * s->c + at;
      k[kx] = vload(g->w + tap, n);
      dw[kx] = want_dw ? vload(g->work + tap, n) : vset(0);
    }
    /* Column j of the window is met by x[i] at tap kx = i + 2 - j. */
    UNROLL for (int j = 0; j < TILE + 2; j++) {
      const int64_t column = ix + s->pl - 2 + j;
      vec v = side && (column < 0 || column >= s->ow) ? vset(0) : row_load(&in[ky], column, at, n);
      UNROLL for (int kx = 0; kx < 3; kx++) {
        const int i = j + kx - 2;
        if (i < 0 || i >= TILE) continue;
        if (want_dx) dx[i] = vfma(v, k[kx], dx[i]);
        if (want_dw) dw[kx] = vfma(v, x[i], dw[kx]);
      }
    }
    if (want_dw)
      UNROLL for (int kx = 0; kx < 3; kx++) vstore(g->work + (ky * 3 + kx) * s->c + at, dw[kx], n);
  }
  if (!want_dx) return;
  UNROLL for (int i = 0; i < TILE; i++) {
    if (side && ix + i >= s->iw) continue;
    float *to = g->dx + here + i * s->c + at;
    vec sum = g->relu_in ? vgate(gate[i], dx[i]) : dx[i];
    vstore(to, g->add ? sum + vload(to, n) : sum, n);
  }
}

INLINE void tiled_back(const lur_window_shape *s, const depthwise_grads *g, bool want_dx, bool want_dw, int64_t y0, int64_t y1) {
  int64_t waiting = 0;
  for (int64_t y = y0; y < y1; y++) {
    row in[3];
    for (int ky = 0; ky < 3; ky++) in[ky] = row_at(g->dy, y + s->pt - ky, s->oh, s->ow, s->c);
    for (int64_t ix = 0; ix < s->iw; ix += TILE) {
      const int64_t here = (y * s->iw + ix) * s->c;
      const bool side = ix + s->pl < 2 || ix + s->pl + TILE > s->ow || ix + TILE > s->iw;
#define SIDE_AT(at, n) tile_back(s, g, in, want_dx, want_dw, true, here, ix, at, n)
#define TILE_AT(at, n) tile_back(s, g, in, want_dx, want_dw, false, here, ix, at, n)
      if (side)
        FOR_LANES(at, s->c, SIDE_AT);
      else
        FOR_LANES(at, s->c, TILE_AT);
#undef SIDE_AT
#undef TILE_AT
    }
    waiting += s->iw;
    if (want_dw && (waiting >= FLUSH_COLUMNS || y + 1 == y1)) {
      flush_work(g->work, 9 * s->c, g->sums);
      waiting = 0;
    }
  }
}

/* The gradient of x[iy, ix, at..at+n] from every window that covers it. */
INLINE void cell_back(const lur_window_shape *s, const depthwise_grads *g, int64_t iy, int64_t ix, int64_t at, int n) {
  vec sum = vset(0);
  for (int ky = 0; ky < s->kh; ky++) {
    int64_t ty = iy + s->pt - ky, oy = ty / s->sh;
    if (ty < 0 || ty % s->sh || oy >= s->oh) continue;
    for (int kx = 0; kx < s->kw; kx++) {
      int64_t tx = ix + s->pl - kx, ox = tx / s->sw;
      if (tx < 0 || tx % s->sw || ox >= s->ow) continue;
      sum = vfma(vload(g->dy + (oy * s->ow + ox) * s->c + at, n), vload(g->w + (ky * s->kw + kx) * s->c + at, n), sum);
    }
  }
  const int64_t here = (iy * s->iw + ix) * s->c + at;
  if (g->relu_in) sum = vgate(vload(g->x + here, n), sum);
  vstore(g->dx + here, g->add ? sum + vload(g->dx + here, n) : sum, n);
}

/* One tap's share of input row iy in dw: sums[at..] += sum over columns of x * dy. */
INLINE void tap_back(const lur_window_shape *s, const depthwise_grads *g, int64_t iy, int64_t oy, int kx, double *sums, int64_t at,
                     int n) {
  vec sum = vset(0);
  for (int64_t ox = 0; ox < s->ow; ox++) {
    int64_t ix = ox * s->sw - s->pl + kx;
    if (ix < 0 || ix >= s->iw) continue;
    vec v = vload(g->x + (iy * s->iw + ix) * s->c + at, n);
    sum = vfma(g->relu_in ? vrelu(v) : v, vload(g->dy + (oy * s->ow + ox) * s->c + at, n), sum);
  }
  vflush(sums + at, sum, n);
}

static void plain_back_row(const lur_window_shape *s, const depthwise_grads *g, int64_t iy) {
#define CELL_BACK_AT(at, n) cell_back(s, g, iy, ix, at, n)
  if (g->dx)
    for (int64_t ix = 0; ix < s->iw; ix++) FOR_LANES(at, s->c, CELL_BACK_AT);
#undef CELL_BACK_AT
  if (!g->sums) return;
  for (int ky = 0; ky < s->kh; ky++) {
    int64_t ty = iy + s->pt - ky, oy = ty / s->sh;
    if (ty < 0 || ty % s->sh || oy >= s->oh) continue;
    for (int kx = 0; kx < s->kw; kx++) {
      double *sums = g->sums + (ky * s->kw + kx) * s->c;
#define TAP_BACK_AT(at, n) tap_back(s, g, iy, oy, kx, sums, at, n)
      FOR_LANES(at, s->c, TAP_BACK_AT);
#undef TAP_BACK_AT
    }
  }
}

static void depthwise_back(const lur_window_shape *s, const float *x, bool relu_in, const float *w, const float *dy, float *dx,
                           bool add, float *work, double *sums, int64_t y0, int64_t y1) {
  const depthwise_grads g = {x, w, dy, dx, work, sums, relu_in, add};
  if (!is_tiled(s)) {
    for (int64_t iy = y0; iy < y1; iy++) plain_back_row(s, &g, iy);
    return;
  }
  if (sums)
    for (int64_t i = 0; i < 9 * s->c; i++) work[i] = 0;
  if (dx && sums)
    tiled_back(s, &g, true, true, y0, y1);
  else if (dx)
    tiled_back(s, &g, true, false, y0, y1);
  else
    tiled_back(s, &g, false, true, y0, y1);
}
