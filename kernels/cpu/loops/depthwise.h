/* depthwise.h - bodies of the depthwise convolution: 3x3 at stride 1 by sliding windows in registers, the rest by a
 * plain walk over taps. Compiled by loops_*.c only.
 *
 * A row outside the picture is read from `zeros` with step 0, so that no loop asks where it is. */

static const float zeros[LANES];

typedef struct row {
  const float *p; /* column 0 */
  int64_t step;   /* floats from a column to the next */
} row;

INLINE row row_at(const float *picture, int64_t y, int64_t h, int64_t w, int64_t c, int64_t at) {
  return y >= 0 && y < h ? (row){picture + y * w * c + at, c} : (row){zeros, 0};
}

INLINE bool is_sliding(const lur_window_shape *s) {
  return s->kh == 3 && s->kw == 3 && s->sh == 1 && s->sw == 1 && s->pl >= 0 && s->pl <= 2;
}

/* ---- forward ---- */

/* `many` rows of y from oy, channels at..at+n. Each input column is loaded once a row and given to the three output
   columns it reaches: sum[0] is of the newest. */
INLINE void slide(const lur_window_shape *s, const float *x, bool relu_in, const float *w, const float *bias, bool relu, float *y,
                  int64_t oy, int many, int64_t at, int n) {
  vec k[9], sum[3][2], b = bias ? vload(bias + at, n) : vset(0);
  row in[4];
  for (int t = 0; t < 9; t++) k[t] = vload(w + t * s->c + at, n);
  for (int r = 0; r < many + 2; r++) in[r] = row_at(x, oy - s->pt + r, s->ih, s->iw, s->c, at);
  for (int q = 0; q < many; q++) sum[1][q] = sum[2][q] = b;
  float *out = y + oy * s->ow * s->c + at;
  for (int64_t i = 0; i < s->iw || i + s->pl - 2 < s->ow; i++) {
    for (int q = 0; q < many; q++) sum[0][q] = b;
    if (i < s->iw)
      for (int r = 0; r < many + 2; r++) {
        vec v = vload(in[r].p, n);
        in[r].p += in[r].step;
        if (relu_in) v = vrelu(v);
        for (int q = 0; q < many; q++) {
          if (r < q || r > q + 2) continue;
          for (int kx = 0; kx < 3; kx++) sum[kx][q] = vfma(v, k[(r - q) * 3 + kx], sum[kx][q]);
        }
      }
    int64_t j = i + s->pl - 2;
    if (j >= 0 && j < s->ow)
      for (int q = 0; q < many; q++) vstore(out + (q * s->ow + j) * s->c, relu ? vrelu(sum[2][q]) : sum[2][q], n);
    for (int q = 0; q < many; q++) {
      sum[2][q] = sum[1][q];
      sum[1][q] = sum[0][q];
    }
  }
}

INLINE void slide_rows(const lur_window_shape *s, const float *x, bool relu_in, const float *w, const float *bias, bool relu,
                       float *y, int64_t y0, int64_t y1) {
  int64_t oy = y0;
#define TWO_AT(at, n) slide(s, x, relu_in, w, bias, relu, y, oy, 2, at, n)
#define ONE_AT(at, n) slide(s, x, relu_in, w, bias, relu, y, oy, 1, at, n)
  if (LANES == 16)
    for (; oy + 2 <= y1; oy += 2) FOR_LANES(at, s->c, TWO_AT);
  for (; oy < y1; oy++) FOR_LANES(at, s->c, ONE_AT);
#undef TWO_AT
#undef ONE_AT
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
  if (is_sliding(s)) {
    if (relu_in)
      slide_rows(s, x, true, w, bias, relu, y, y0, y1);
    else
      slide_rows(s, x, false, w, bias, relu, y, y0, y1);
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
  double *sums;
  bool relu_in, add;
} depthwise_grads;

/* Rows y0..y1 of the input, channels at..at+n: one walk gives both gradients from the same 3x3 window of dy, which
   slides in registers; d[ky][kx] is the cell of dy that x meets at tap (ky, kx). */
INLINE void slide_back(const lur_window_shape *s, const depthwise_grads *g, bool want_dx, bool want_dw, int64_t y0, int64_t y1,
                       int64_t at, int n) {
  vec k[9], dw[9];
  for (int t = 0; t < 9; t++) {
    k[t] = vload(g->w + t * s->c + at, n);
    dw[t] = vset(0);
  }
  for (int64_t y = y0; y < y1; y++) {
    vec d[3][3];
    row in[3];
    for (int ky = 0; ky < 3; ky++) {
      in[ky] = row_at(g->dy, y + s->pt - ky, s->oh, s->ow, s->c, at);
      for (int kx = 0; kx < 2; kx++) {
        int64_t column = s->pl - 1 - kx;
        d[ky][kx] = column >= 0 && column < s->ow ? vload(in[ky].p + column * in[ky].step, n) : vset(0);
      }
      in[ky].p += s->pl * in[ky].step;
    }
    const int64_t from = y * s->iw * s->c + at;
    for (int64_t i = 0; i < s->iw; i++) {
      const bool inside = i + s->pl < s->ow;
      for (int ky = 0; ky < 3; ky++) {
        d[ky][2] = d[ky][1];
        d[ky][1] = d[ky][0];
        d[ky][0] = inside ? vload(in[ky].p, n) : vset(0);
        in[ky].p += in[ky].step;
      }
      const int64_t here = from + i * s->c;
      vec x = g->x ? vload(g->x + here, n) : vset(0);
      if (want_dw) {
        vec v = g->relu_in ? vrelu(x) : x;
        for (int t = 0; t < 9; t++) dw[t] = vfma(v, d[t / 3][t % 3], dw[t]);
      }
      if (want_dx) {
        vec part[3];
        for (int ky = 0; ky < 3; ky++)
          part[ky] = vfma(k[ky * 3], d[ky][0], vfma(k[ky * 3 + 1], d[ky][1], k[ky * 3 + 2] * d[ky][2]));
        vec sum = part[0] + part[1] + part[2];
        if (g->relu_in) sum = vgate(x, sum);
        vstore(g->dx + here, g->add ? sum + vload(g->dx + here, n) : sum, n);
      }
    }
  }
  if (want_dw)
    for (int t = 0; t < 9; t++) vflush(g->sums + t * s->c + at, dw[t], n);
}

enum { STRIP_COLUMNS = 128 }; /* about as many columns are summed in float before the sums move to double */

INLINE void slide_back_rows(const lur_window_shape *s, const depthwise_grads *g, bool want_dx, bool want_dw, int64_t y0,
                            int64_t y1) {
  int64_t strip = STRIP_COLUMNS / s->iw > 1 ? STRIP_COLUMNS / s->iw : 1;
  for (int64_t y = y0; y < y1; y += strip) {
    int64_t end = y + strip < y1 ? y + strip : y1;
#define BACK_STRIP_AT(at, n) slide_back(s, g, want_dx, want_dw, y, end, at, n)
    FOR_LANES(at, s->c, BACK_STRIP_AT);
#undef BACK_STRIP_AT
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
                           bool add, double *sums, int64_t y0, int64_t y1) {
  const depthwise_grads g = {x, w, dy, dx, sums, relu_in, add};
  if (!is_sliding(s)) {
    for (int64_t iy = y0; iy < y1; iy++) plain_back_row(s, &g, iy);
  } else if (dx && sums) {
    slide_back_rows(s, &g, true, true, y0, y1);
  } else if (dx) {
    slide_back_rows(s, &g, true, false, y0, y1);
  } else {
    slide_back_rows(s, &g, false, true, y0, y1);
  }
}
