/* pool.h - bodies of the pooling loops. Compiled only by loops_*.c.
 *
 * A maximum stores the number of its pixel in the window (the tap, ky * kw + kx), one byte per output. In backward each
 * input pixel collects its gradient from the windows that cover it, so that rows are independent of each other. */

INLINE void vstore_taps(uint8_t *p, ivec v, int n) {
#if LANES_ == 16
  _mm512_mask_cvtepi32_storeu_epi8(p, (__mmask16)((1u << n) - 1), (__m512i)v);
#else
  for (int i = 0; i < n; i++) p[i] = (uint8_t)v[i];
#endif
}

/* dy where the winner is `tap`, else 0. */
INLINE vec vwon(const uint8_t *winner, int tap, vec dy, int n) {
#if LANES_ == 16
  __m128i bytes = _mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), winner);
  return (vec)_mm512_maskz_mov_ps(_mm_cmpeq_epi8_mask(bytes, _mm_set1_epi8((char)tap)), (__m512)dy);
#else
  ivec who = {0};
  for (int i = 0; i < n; i++) who[i] = winner[i];
  return (vec)((who == tap) & (ivec)dy);
#endif
}

INLINE void vbest(vec *best, ivec *who, vec v, int tap) {
#if LANES_ == 16
  const __mmask16 number = _mm512_cmp_ps_mask((__m512)*best, (__m512)*best, _CMP_ORD_Q);
  const __mmask16 beats = _mm512_mask_cmp_ps_mask(number, (__m512)v, (__m512)*best, _CMP_NLE_UQ);
  *best = (vec)_mm512_mask_mov_ps((__m512)*best, beats, (__m512)v);
  *who = (ivec)_mm512_mask_mov_epi32((__m512i)*who, beats, _mm512_set1_epi32(tap));
#else
  const ivec beats = vbeats(v, *best);
  *best = vselect(beats, *best, v);
  *who = (beats & tap) | (~beats & *who);
#endif
}

/* The taps of a window that are inside the image: ky0..ky1, kx0..kx1. */
typedef struct taps {
  int ky0, ky1, kx0, kx1;
} taps;

INLINE int tap_first(int64_t origin) { return origin < 0 ? (int)-origin : 0; }
INLINE int tap_end(int64_t origin, int kernel, int64_t extent) {
  return origin + kernel > extent ? (int)(extent - origin) : kernel;
}

INLINE taps taps_of(const lur_window_shape *s, int64_t oy, int64_t ox) {
  int64_t y = oy * s->sh - s->pt, x = ox * s->sw - s->pl;
  return (taps){tap_first(y), tap_end(y, s->kh, s->ih), tap_first(x), tap_end(x, s->kw, s->iw)};
}

/* The affine of one vector of channels: pixels are read as x * scale + shift, or unchanged. */
typedef struct read_affine {
  bool affine;
  vec scale, shift;
} read_affine;

INLINE read_affine read_affine_of(const float *affine, int64_t c, int64_t at, int n) {
  return affine ? (read_affine){true, vload(affine + at, n), vload(affine + c + at, n)}
                : (read_affine){false, vset(1), vset(0)};
}

INLINE vec apply_affine(read_affine l, vec v) { return l.affine ? vfma(v, l.scale, l.shift) : v; }

/* The maximum is taken after the affine: with a negative scale it is the least pixel. */
INLINE void max_pixel(const lur_window_shape *s, const float *x, const float *affine, taps k, float *y, uint8_t *winner,
                     int64_t at, int n) {
  const read_affine l = read_affine_of(affine, s->c, at, n);
  const int first = k.ky0 * s->kw + k.kx0;
  vec best = apply_affine(l, vload(x + (k.ky0 * s->iw + k.kx0) * s->c + at, n));
  ivec who = (ivec){0} + first;
  for (int ky = k.ky0; ky < k.ky1; ky++)
    for (int kx = k.kx0; kx < k.kx1; kx++) {
      vec v = apply_affine(l, vload(x + (ky * s->iw + kx) * s->c + at, n));
      if (winner) vbest(&best, &who, v, ky * s->kw + kx);
      else best = vmax(best, v);
    }
  vstore(y + at, best, n);
  if (winner) vstore_taps(winner + at, who, n);
}

INLINE void max_pixel_all(const lur_window_shape *s, const float *x, const float *affine, taps k, float *y,
                         uint8_t *winner) {
#define MAX_AT(at, n) max_pixel(s, x, affine, k, y, winner, at, n)
  FOR_LANES(at, s->c, MAX_AT);
#undef MAX_AT
}

/* The offset of a window's first pixel, which may be outside the image. */
INLINE int64_t window_origin(const lur_window_shape *s, int64_t oy, int64_t ox) {
  return ((oy * s->sh - s->pt) * s->iw + ox * s->sw - s->pl) * s->c;
}

INLINE void max_rows(const lur_window_shape *s, const float *x, const float *affine, float *y, uint8_t *winner,
                     int64_t y0, int64_t y1) {
  for (int64_t oy = y0; oy < y1; oy++)
    for (int64_t ox = 0; ox < s->ow; ox++) {
      const taps k = taps_of(s, oy, ox);
      const int64_t origin = window_origin(s, oy, ox), to = (oy * s->ow + ox) * s->c;
      const lur_window_shape three = {s->ih, s->iw, s->oh, s->ow, s->c, 3, 3, s->sh, s->sw, s->pt, s->pl};
      const bool whole = s->kh == 3 && s->kw == 3 && k.ky0 == 0 && k.kx0 == 0 && k.ky1 == 3 && k.kx1 == 3;
      const float *from = (const float *)((uintptr_t)x + (uintptr_t)(origin * 4));
      if (whole && winner) max_pixel_all(&three, from, affine, (taps){0, 3, 0, 3}, y + to, winner + to);
      else if (whole) max_pixel_all(&three, from, affine, (taps){0, 3, 0, 3}, y + to, NULL);
      else max_pixel_all(s, from, affine, k, y + to, winner ? winner + to : NULL);
    }
}

static void max_pool(const lur_window_shape *s, const float *x, const float *affine, float *y, uint8_t *winner,
                     int64_t y0, int64_t y1) {
  if (affine) max_rows(s, x, affine, y, winner, y0, y1);
  else max_rows(s, x, NULL, y, winner, y0, y1);
}

enum { MOST_WINDOWS = 256 }; /* as many as taps, which kernels/cpu/pool.c limits */

/* The windows that cover one input pixel: the offsets of their results, the tap by which each reads the pixel, and the
   pixel's share in an average. */
typedef struct cover {
  int count, tap[MOST_WINDOWS];
  int64_t at[MOST_WINDOWS];
  float share[MOST_WINDOWS];
} cover;

static void cover_of(const lur_window_shape *s, int64_t iy, int64_t ix, cover *k) {
  const int64_t y = iy + s->pt, x = ix + s->pl;
  k->count = 0;
  for (int ky = (int)(y % s->sh); ky < s->kh && ky <= y; ky += s->sh) {
    const int64_t oy = (y - ky) / s->sh;
    if (oy >= s->oh) continue;
    for (int kx = (int)(x % s->sw); kx < s->kw && kx <= x; kx += s->sw) {
      const int64_t ox = (x - kx) / s->sw;
      if (ox >= s->ow) continue;
      const taps t = taps_of(s, oy, ox);
      k->share[k->count] = 1.0f / (float)((t.ky1 - t.ky0) * (t.kx1 - t.kx0));
      k->tap[k->count] = ky * s->kw + kx;
      k->at[k->count++] = (oy * s->ow + ox) * s->c;
    }
  }
}

/* The gradient of channels at..at+n of one input pixel, whose x and dx are at `here`. winner and affine are constants
   in the common cases. */
INLINE void gather_pixel(const cover *k, const lur_pool_grads *g, const uint8_t *winner, bool affine, int64_t c,
                        int64_t here, int64_t at, int n) {
  vec inner = vset(0);
  for (int i = 0; i < k->count; i++) {
    vec dy = vload(g->dy + k->at[i] + at, n);
    inner += winner ? vwon(winner + k->at[i] + at, k->tap[i], dy, n) : dy * vset(k->share[i]);
  }
  if (affine && g->sums) {
    vstore(g->work + at, vfma(inner, vload(g->x + here + at, n), vload(g->work + at, n)), n);
    vstore(g->work + c + at, inner + vload(g->work + c + at, n), n);
  }
  if (g->dx) put(g->dx + here + at, affine ? inner * vload(g->affine + at, n) : inner, g->add, n);
}

INLINE void gather_rows(const lur_window_shape *s, const lur_pool_grads *g, const uint8_t *winner, bool affine,
                        int64_t y0, int64_t y1) {
  cover k;
  for (int64_t iy = y0; iy < y1; iy++) {
    for (int64_t ix = 0; ix < s->iw; ix++) {
      const int64_t here = (iy * s->iw + ix) * s->c;
      cover_of(s, iy, ix, &k);
#define GATHER_AT(at, n) gather_pixel(&k, g, winner, affine, s->c, here, at, n)
      FOR_LANES(at, s->c, GATHER_AT);
#undef GATHER_AT
    }
    if (affine && g->sums) flush_work(g->work, 2 * s->c, g->sums);
  }
}

static void pool_back(const lur_window_shape *s, const lur_pool_grads *g, int64_t y0, int64_t y1) {
  if (g->sums) memset(g->work, 0, sizeof *g->work * 2 * (size_t)s->c);
  if (g->winner && g->affine) gather_rows(s, g, g->winner, true, y0, y1);
  else if (g->winner) gather_rows(s, g, g->winner, false, y0, y1);
  else gather_rows(s, g, NULL, g->affine, y0, y1);
}

/* The affine of a mean is the mean of the affine, unless it has an infinite scale: then each pixel is scaled. */
INLINE void avg_pixel(const lur_window_shape *s, const float *x, const float *affine, bool finite, taps k, float *y,
                      int64_t at, int n) {
  const read_affine l = read_affine_of(affine, s->c, at, n);
  vec sum = vset(0);
  for (int ky = k.ky0; ky < k.ky1; ky++)
    for (int kx = k.kx0; kx < k.kx1; kx++) {
      const vec v = vload(x + (ky * s->iw + kx) * s->c + at, n);
      sum += finite ? v : apply_affine(l, v);
    }
  sum *= vset(1.0f / (float)((k.ky1 - k.ky0) * (k.kx1 - k.kx0)));
  vstore(y + at, finite ? apply_affine(l, sum) : sum, n);
}

static void avg_pool(const lur_window_shape *s, const float *x, const float *affine, float *y, int64_t y0, int64_t y1) {
  bool finite = true;
  for (int64_t i = 0; affine && i < s->c; i++) finite &= fabsf(affine[i]) < INFINITY;
  for (int64_t oy = y0; oy < y1; oy++)
    for (int64_t ox = 0; ox < s->ow; ox++) {
      const taps k = taps_of(s, oy, ox);
      const float *from = (const float *)((uintptr_t)x + (uintptr_t)(window_origin(s, oy, ox) * 4));
      float *to = y + (oy * s->ow + ox) * s->c;
#define AVG_AT(at, n) avg_pixel(s, from, affine, finite, k, to, at, n)
      FOR_LANES(at, s->c, AVG_AT);
#undef AVG_AT
    }
}
