/* depthwise_conv2d.h - bodies of the depthwise convolution: 3x3 with stride 1 in tiles, other sizes tap by tap.
 * Compiled only by loops_*.c.
 *
 * A tile is a few columns of one or two rows; the loop over channels is the innermost, so that memory is accessed in
 * order and the processor prefetches it. Pixels outside the image are left out of the sums instead of being read as 0:
 * 0 times an infinite weight would be NaN. Only tiles at the sides test for columns outside.
 *
 * In the int8 form the result is rounded when it is stored: scale and zero point are already in weights and bias.
 *
 * An affine (a batch norm that is computed here) changes only pixels inside the image: those outside stay 0. */

/* Row y of an image: its column 0, channel 0. NULL: the row is outside the image. */
INLINE const float *row_at(const float *image, int64_t y, int64_t h, int64_t w, int64_t c) {
  return y >= 0 && y < h ? image + y * w * c : NULL;
}

INLINE bool is_tiled(const lur_window_shape *s) {
  return s->kh == 3 && s->kw == 3 && s->sh == 1 && s->sw == 1 && s->pl >= 0 && s->pl <= 2;
}

/* ---- forward ---- */

/* Stores a result in y, f32 if nan is NULL, else u8, which has no NaN: *nan becomes -1 in lanes where there was one. */
INLINE void give(void *y, ivec *nan, bool relu, int64_t at, vec v, int n) {
  if (nan) {
    vstore_u8((uint8_t *)y + at, v, n);
    *nan |= (ivec)(v != v);
    return;
  }
  vstore((float *)y + at, relu ? vrelu(v) : v, n);
}

enum { TILE = 5, TILE_ROWS = LANES == 16 ? 2 : 1 }; /* as many sums as fit into the registers beside nine taps */

/* `many` rows of y from row oy, columns ox..ox+TILE, channels at..at+n. in: the many + 2 rows of x that are read. */
INLINE void tile(const lur_window_shape *s, const float *const *in, const float *affine, bool relu_in, const float *w,
                 const float *bias, bool relu, void *y, ivec *nan, int64_t oy, int64_t ox, int many, bool side,
                 int64_t at, int n) {
  vec k[9], sum[2][TILE], b = bias ? vload(bias + at, n) : vset(0), scale = affine ? vload(affine + at, n) : vset(1);
  const vec shift = affine ? vload(affine + s->c + at, n) : vset(0);
  UNROLL for (int t = 0; t < 9; t++) k[t] = vload(w + t * s->c + at, n);
  UNROLL for (int q = 0; q < many; q++) {
    UNROLL for (int i = 0; i < TILE; i++) sum[q][i] = b;
  }
  UNROLL for (int r = 0; r < many + 2; r++) {
    if (!in[r]) continue;
    UNROLL for (int j = 0; j < TILE + 2; j++) {
      const int64_t column = ox - s->pl + j;
      if (side && (column < 0 || column >= s->iw)) continue;
      vec v = vload(in[r] + column * s->c + at, n);
      if (affine) v = vfma(v, scale, shift);
      if (relu_in) v = vrelu(v);
      UNROLL for (int q = 0; q < many; q++) {
        UNROLL for (int kx = 0; kx < 3; kx++) {
          const int i = j - kx;
          if (r >= q && r <= q + 2 && i >= 0 && i < TILE) sum[q][i] = vfma(v, k[(r - q) * 3 + kx], sum[q][i]);
        }
      }
    }
  }
  UNROLL for (int q = 0; q < many; q++) {
    UNROLL for (int i = 0; i < TILE; i++) {
      if (side && ox + i >= s->ow) continue;
      give(y, nan, relu, ((oy + q) * s->ow + ox + i) * s->c + at, sum[q][i], n);
    }
  }
}

INLINE void tile_rows(const lur_window_shape *s, const float *x, const float *affine, bool relu_in, const float *w,
                      const float *bias, bool relu, void *y, ivec *nan, int64_t oy, int many) {
  const float *in[4];
  for (int r = 0; r < many + 2; r++) in[r] = row_at(x, oy - s->pt + r, s->ih, s->iw, s->c);
  for (int64_t ox = 0; ox < s->ow; ox += TILE) {
    const bool side = ox < s->pl || ox - s->pl + TILE + 2 > s->iw || ox + TILE > s->ow;
#define SIDE_AT(at, n) tile(s, in, affine, relu_in, w, bias, relu, y, nan, oy, ox, many, true, at, n)
#define TILE_AT(at, n) tile(s, in, affine, relu_in, w, bias, relu, y, nan, oy, ox, many, false, at, n)
    if (side) FOR_LANES(at, s->c, SIDE_AT);
    else FOR_LANES(at, s->c, TILE_AT);
#undef SIDE_AT
#undef TILE_AT
  }
}

INLINE void tiled(const lur_window_shape *s, const float *x, const float *affine, bool relu_in, const float *w,
                  const float *bias, bool relu, void *y, ivec *nan, int64_t y0, int64_t y1) {
  int64_t oy = y0;
  if (TILE_ROWS == 2)
    for (; oy + 2 <= y1; oy += 2) tile_rows(s, x, affine, relu_in, w, bias, relu, y, nan, oy, 2);
  for (; oy < y1; oy++) tile_rows(s, x, affine, relu_in, w, bias, relu, y, nan, oy, 1);
}

/* Channels at..at+n of one pixel, after the affine and relu_in. */
INLINE vec seen(const float *x, const float *affine, bool relu_in, int64_t c, int64_t at, int n) {
  vec v = vload(x + at, n);
  if (affine) v = vfma(v, vload(affine + at, n), vload(affine + c + at, n));
  return relu_in ? vrelu(v) : v;
}

INLINE void one_pixel(const lur_window_shape *s, const float *x, const float *affine, bool relu_in, const float *w,
                 const float *bias, bool relu, void *y, ivec *nan, int64_t oy, int64_t ox, int64_t at, int n) {
  vec sum = bias ? vload(bias + at, n) : vset(0);
  for (int ky = 0; ky < s->kh; ky++) {
    int64_t iy = oy * s->sh - s->pt + ky;
    if (iy < 0 || iy >= s->ih) continue;
    for (int kx = 0; kx < s->kw; kx++) {
      int64_t ix = ox * s->sw - s->pl + kx;
      if (ix < 0 || ix >= s->iw) continue;
      vec v = seen(x + (iy * s->iw + ix) * s->c, affine, relu_in, s->c, at, n);
      sum = vfma(v, vload(w + (ky * s->kw + kx) * s->c + at, n), sum);
    }
  }
  give(y, nan, relu, (oy * s->ow + ox) * s->c + at, sum, n);
}

static void depthwise_conv2d(const lur_window_shape *s, const float *x, const float *affine, bool relu_in,
                             const float *w, const float *bias, bool relu, float *y, int64_t y0, int64_t y1) {
  if (is_tiled(s)) {
    if (affine && relu_in) tiled(s, x, affine, true, w, bias, relu, y, NULL, y0, y1);
    else if (affine) tiled(s, x, affine, false, w, bias, relu, y, NULL, y0, y1);
    else if (relu_in) tiled(s, x, NULL, true, w, bias, relu, y, NULL, y0, y1);
    else tiled(s, x, NULL, false, w, bias, relu, y, NULL, y0, y1);
    return;
  }
  for (int64_t oy = y0; oy < y1; oy++)
    for (int64_t ox = 0; ox < s->ow; ox++) {
#define CELL_AT(at, n) one_pixel(s, x, affine, relu_in, w, bias, relu, y, NULL, oy, ox, at, n)
      FOR_LANES(at, s->c, CELL_AT);
#undef CELL_AT
    }
}

static bool depthwise_conv2d_int8(const lur_window_shape *s, const float *x, bool relu_in, const float *w,
                                  const float *bias, uint8_t *y, int64_t y0, int64_t y1) {
  ivec nan = {0};
  if (is_tiled(s)) {
    if (relu_in) tiled(s, x, NULL, true, w, bias, false, y, &nan, y0, y1);
    else tiled(s, x, NULL, false, w, bias, false, y, &nan, y0, y1);
  } else {
    for (int64_t oy = y0; oy < y1; oy++)
      for (int64_t ox = 0; ox < s->ow; ox++) {
#define CELL_AT(at, n) one_pixel(s, x, NULL, relu_in, w, bias, false, y, &nan, oy, ox, at, n)
        FOR_LANES(at, s->c, CELL_AT);
#undef CELL_AT
      }
  }
  const ivec none = {0};
  return memcmp(&nan, &none, sizeof nan) == 0;
}

/* ---- backward ----
 * inner: the gradient of the affine's result. Without an affine it is dx. */

enum { FLUSH_COLUMNS = 256 }; /* about as many columns are summed in float before they are added to sums in double */

/* The number of elements of work and sums. */
INLINE int64_t sums_width(const lur_window_shape *s, const lur_depthwise_conv2d_grads *g) {
  return ((int64_t)s->kh * s->kw + (g->affine ? 2 : 0)) * s->c;
}

/* dx from inner and, for the affine, the sums of inner times x and of inner, in the two rows of c at `work` (NULL: not
   wanted). */
INLINE void give_inner(const lur_depthwise_conv2d_grads *g, bool affine, float *work, int64_t c, int64_t here,
                       vec inner, int64_t at, int n) {
  if (affine && work) {
    vstore(work + at, vfma(inner, vload(g->x + here, n), vload(work + at, n)), n);
    vstore(work + c + at, inner + vload(work + c + at, n), n);
  }
  if (g->dx) put(g->dx + here, affine ? inner * vload(g->affine + at, n) : inner, g->add, n);
}

/* Columns ix..ix+TILE of input row y, channels at..at+n: one pass over the three rows in[ky] of dy computes all
   gradients. g->work gets the sums: dw, [tap][c], then those of the affine. */
INLINE void tile_back(const lur_window_shape *s, const lur_depthwise_conv2d_grads *g, const float *const *in,
                      bool affine, bool want_dx, bool want_sums, bool side, int64_t here, int64_t ix, int64_t at,
                      int n) {
  vec x[TILE], inner[TILE];
  const vec scale = affine ? vload(g->affine + at, n) : vset(1),
            shift = affine ? vload(g->affine + s->c + at, n) : vset(0);
  UNROLL for (int i = 0; i < TILE; i++) {
    const bool beyond = side && ix + i >= s->iw;
    vec v = g->x && !beyond ? vload(g->x + here + i * s->c + at, n) : vset(0);
    if (affine && !beyond) v = vfma(v, scale, shift);
    x[i] = g->relu_in ? vrelu(v) : v;
    inner[i] = vset(0);
  }
  UNROLL for (int ky = 0; ky < 3; ky++) {
    if (!in[ky]) continue;
    vec k[3], dw[3];
    UNROLL for (int kx = 0; kx < 3; kx++) {
      const int64_t tap = (ky * 3 + kx) * s->c + at;
      k[kx] = vload(g->w + tap, n);
      dw[kx] = want_sums ? vload(g->work + tap, n) : vset(0);
    }
    /* x[i] contributes to column j of the window by tap kx = i + 2 - j. */
    UNROLL for (int j = 0; j < TILE + 2; j++) {
      const int64_t column = ix + s->pl - 2 + j;
      if (side && (column < 0 || column >= s->ow)) continue;
      const vec v = vload(in[ky] + column * s->c + at, n);
      UNROLL for (int kx = 0; kx < 3; kx++) {
        const int i = j + kx - 2;
        if (i < 0 || i >= TILE || (side && ix + i >= s->iw)) continue;
        if (want_dx) inner[i] = vfma(v, k[kx], inner[i]);
        if (want_sums) dw[kx] = vfma(v, x[i], dw[kx]);
      }
    }
    if (want_sums) UNROLL for (int kx = 0; kx < 3; kx++) vstore(g->work + (ky * 3 + kx) * s->c + at, dw[kx], n);
  }
  if (!want_dx) return;
  UNROLL for (int i = 0; i < TILE; i++) {
    if (side && ix + i >= s->iw) continue;
    give_inner(g, affine, want_sums ? g->work + 9 * s->c : NULL, s->c, here + i * s->c + at,
               g->relu_in ? vgate(x[i], inner[i]) : inner[i], at, n);
  }
}

INLINE void tiled_back(const lur_window_shape *s, const lur_depthwise_conv2d_grads *g, bool affine, bool want_dx,
                       bool want_sums, int64_t y0, int64_t y1) {
  int64_t waiting = 0;
  for (int64_t y = y0; y < y1; y++) {
    const float *in[3];
    for (int ky = 0; ky < 3; ky++) in[ky] = row_at(g->dy, y + s->pt - ky, s->oh, s->ow, s->c);
    for (int64_t ix = 0; ix < s->iw; ix += TILE) {
      const int64_t here = (y * s->iw + ix) * s->c;
      const bool side = ix + s->pl < 2 || ix + s->pl + TILE > s->ow || ix + TILE > s->iw;
#define SIDE_AT(at, n) tile_back(s, g, in, affine, want_dx, want_sums, true, here, ix, at, n)
#define TILE_AT(at, n) tile_back(s, g, in, affine, want_dx, want_sums, false, here, ix, at, n)
      if (side) FOR_LANES(at, s->c, SIDE_AT);
      else FOR_LANES(at, s->c, TILE_AT);
#undef SIDE_AT
#undef TILE_AT
    }
    waiting += s->iw;
    if (want_sums && (waiting >= FLUSH_COLUMNS || y + 1 == y1)) {
      flush_work(g->work, sums_width(s, g), g->sums);
      waiting = 0;
    }
  }
}

/* The gradient of x[iy, ix, at..at+n], from every window that covers it. */
INLINE void pixel_back(const lur_window_shape *s, const lur_depthwise_conv2d_grads *g, int64_t iy, int64_t ix,
                       int64_t at, int n) {
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
  const int64_t here = (iy * s->iw + ix) * s->c;
  if (g->relu_in) sum = vgate(seen(g->x + here, g->affine, false, s->c, at, n), sum);
  give_inner(g, g->affine, g->sums ? g->work + s->kh * s->kw * s->c : NULL, s->c, here + at, sum, at, n);
}

/* The share of input row iy in dw of one tap: work[at..] += the sum over columns of x * dy. */
INLINE void tap_back(const lur_window_shape *s, const lur_depthwise_conv2d_grads *g, int64_t iy, int64_t oy, int kx,
                     float *work, int64_t at, int n) {
  vec sum = vload(work + at, n);
  for (int64_t ox = 0; ox < s->ow; ox++) {
    int64_t ix = ox * s->sw - s->pl + kx;
    if (ix < 0 || ix >= s->iw) continue;
    vec v = seen(g->x + (iy * s->iw + ix) * s->c, g->affine, g->relu_in, s->c, at, n);
    sum = vfma(v, vload(g->dy + (oy * s->ow + ox) * s->c + at, n), sum);
  }
  vstore(work + at, sum, n);
}

static void plain_back_row(const lur_window_shape *s, const lur_depthwise_conv2d_grads *g, int64_t iy) {
#define CELL_BACK_AT(at, n) pixel_back(s, g, iy, ix, at, n)
  if (g->dx || (g->affine && g->sums))
    for (int64_t ix = 0; ix < s->iw; ix++) FOR_LANES(at, s->c, CELL_BACK_AT);
#undef CELL_BACK_AT
  if (!g->sums) return;
  for (int ky = 0; ky < s->kh; ky++) {
    int64_t ty = iy + s->pt - ky, oy = ty / s->sh;
    if (ty < 0 || ty % s->sh || oy >= s->oh) continue;
    for (int kx = 0; kx < s->kw; kx++) {
      float *work = g->work + (ky * s->kw + kx) * s->c;
#define TAP_BACK_AT(at, n) tap_back(s, g, iy, oy, kx, work, at, n)
      FOR_LANES(at, s->c, TAP_BACK_AT);
#undef TAP_BACK_AT
    }
  }
  flush_work(g->work, sums_width(s, g), g->sums);
}

static void depthwise_conv2d_back(const lur_window_shape *s, const lur_depthwise_conv2d_grads *g, int64_t y0,
                                  int64_t y1) {
  if (g->sums) memset(g->work, 0, sizeof *g->work * (size_t)sums_width(s, g));
  if (!is_tiled(s)) {
    for (int64_t iy = y0; iy < y1; iy++) plain_back_row(s, g, iy);
    return;
  }
  if (g->affine && g->sums) tiled_back(s, g, true, true, true, y0, y1);
  else if (g->affine) tiled_back(s, g, true, true, false, y0, y1);
  else if (g->dx && g->sums) tiled_back(s, g, false, true, true, y0, y1);
  else if (g->dx) tiled_back(s, g, false, true, false, y0, y1);
  else tiled_back(s, g, false, false, true, y0, y1);
}
