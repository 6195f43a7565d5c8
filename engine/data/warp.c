/* warp.c - resamples by an affine map, from 8-bit RGBX directly to the normalised NHWC row of a batch.
 *
 * Semantics are those of scipy.ndimage.affine_transform of orders 0 and 1 (SciPy 1.17). Each output row takes two
 * steps: positions, then pixels. With fill "nearest", the usual one, coordinates are clamped and computed in fixed
 * point; the other fills fold them in double precision, as SciPy does. Vector loops are in warp_avx.c: every loop does
 * the same operations in the same order, with the same fused multiply-adds, so that all give the same bits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "warp.h"

/* ---- positions ---- */

typedef struct axis_line { /* of an output row: coordinate of column c = base + c * step */
  double base_y, step_y, base_x, step_x;
} axis_line;

static axis_line line_of(const lur_affine *m, int row) {
  return (axis_line){m->b[0] + row * m->a[0][0], m->a[0][1], m->b[1] + row * m->a[1][0], m->a[1][1]};
}

/* Maps a coordinate into 0..n-1 by the fill mode; constant: -1 outside. SciPy, ni_interpolation.c, map_coordinate. */
static double fold(double v, int n, lur_fill fill) {
  double last = n - 1, period;
  switch (fill) {
  case LUR_FILL_CONSTANT: return v < 0 || v > last ? -1 : v;
  case LUR_FILL_REFLECT: /* d c b a | a b c d | d c b a */
    period = 2.0 * n;
    v = v + 0.5 - period * floor((v + 0.5) / period);
    if (v > n) v = period - v;
    v -= 0.5;
    break;
  case LUR_FILL_WRAP: /* period n - 1, as SciPy's mode "wrap" */
    if (n == 1) return 0;
    if (v < 0) v += last * (floor(-v / last) + 1);
    else if (v > last) v -= last * floor(v / last);
    break;
  default: break;
  }
  return v < 0 ? 0 : v > last ? last : v;
}

static void fold_line(const lur_warp *warp, const axis_line *a, int h, int w, lur_warp_line out) {
  for (int c = 0; c < warp->width; c++) {
    double y = fold(a->base_y + c * a->step_y, h, warp->fill), x = fold(a->base_x + c * a->step_x, w, warp->fill);
    bool outside = warp->fill == LUR_FILL_CONSTANT && (y < 0 || x < 0);
    int iy = outside ? 0 : (int)y, ix = outside ? 0 : (int)x;
    out.at[c] = iy * w + ix;
    out.fy[c] = outside ? -1 : (float)(y - iy);
    out.fx[c] = outside ? 0 : (float)(x - ix);
  }
}

/* Converts the map to fixed point; false if coordinates may exceed 2^30 pixels. */
static bool fix_map(const lur_warp *warp, const lur_rgbx *image, lur_warp_fixed *f) {
  const lur_affine *m = &warp->map;
  for (int i = 0; i < 2; i++) {
    double reach = fabs(m->b[i]) + warp->height * fabs(m->a[i][0]) + warp->width * fabs(m->a[i][1]);
    if (!(reach < 1 << 30)) return false;
    f->start[i] = llrint(m->b[i] * 0x1p32);
    f->down[i] = llrint(m->a[i][0] * 0x1p32);
    f->right[i] = llrint(m->a[i][1] * 0x1p32);
    f->last[i] = (int64_t)((i == 0 ? image->height : image->width) - 1) << 32;
  }
  return true;
}

LUR_SIMD_BODY int64_t clamp_fixed(int64_t v, int64_t last) { return v < 0 ? 0 : v > last ? last : v; }

/* The upper 24 bits of the fraction, which a float holds exactly. */
LUR_SIMD_BODY float fraction(int64_t v) { return (float)(int32_t)((uint32_t)v >> 8) * 0x1p-24f; }

LUR_SIMD_BODY void clamp_body(const lur_warp_fixed *f, int row, int width, int w, lur_warp_line out) {
  int64_t base_y = f->start[0] + row * f->down[0], base_x = f->start[1] + row * f->down[1];
  for (int c = 0; c < width; c++) {
    int64_t y = clamp_fixed(base_y + c * f->right[0], f->last[0]),
            x = clamp_fixed(base_x + c * f->right[1], f->last[1]);
    out.at[c] = (int32_t)(y >> 32) * w + (int32_t)(x >> 32);
    out.fy[c] = fraction(y);
    out.fx[c] = fraction(x);
  }
}
LUR_SIMD_VARIANTS(clamp_line, (const lur_warp_fixed *f, int row, int width, int w, lur_warp_line out),
                  clamp_body(f, row, width, w, out))

/* Nearest: the index floor(coordinate + 0.5) in the resized image, then the source's through the tables. */
static void nearest_line(const lur_warp *warp, const axis_line *a, int w, int32_t *at) {
  int gh = warp->grid_height, gw = warp->grid_width;
  for (int c = 0; c < warp->width; c++) {
    double y = fold(a->base_y + c * a->step_y, gh, warp->fill), x = fold(a->base_x + c * a->step_x, gw, warp->fill);
    if (warp->fill == LUR_FILL_CONSTANT && (y < 0 || x < 0)) {
      at[c] = -1;
      continue;
    }
    int iy = (int)(y + 0.5), ix = (int)(x + 0.5);
    if (iy > gh - 1) iy = gh - 1;
    if (ix > gw - 1) ix = gw - 1;
    if (warp->row_table) iy = warp->row_table[iy], ix = warp->column_table[ix];
    at[c] = iy * w + ix;
  }
}

/* ---- pixels ---- */

static void sample_plain(const lur_warp *warp, const uint8_t *pixels, int w, lur_warp_line in, float *out) {
  for (int c = 0; c < warp->width; c++) {
    float fx = in.fx[c], fy = in.fy[c], s = fx * fy, r = fy - s, q = fx - s, p = (1 - fx) - r;
    const uint8_t *above = pixels + 4 * (size_t)in.at[c], *below = above + 4 * (size_t)w;
    for (int k = 0; k < 3; k++) {
      int i = warp->channel[k];
      float v = fmaf(s, below[i + 4], fmaf(r, below[i], fmaf(q, above[i + 4], p * above[i])));
      out[3 * c + k] = fmaf(fy < 0 ? (float)warp->fill_value : v, warp->scale[k], warp->shift[k]);
    }
  }
}

static void sample_line(const lur_warp *warp, const uint8_t *pixels, int w, lur_warp_line in, float *out) {
#ifdef LUR_SIMD_X86
  lur_simd level = lur_simd_level();
  if (level == LUR_SIMD_AVX512 && warp->width >= 16) lur_warp_sample_512(warp, pixels, w, in, out);
  else if (level >= LUR_SIMD_AVX2 && warp->width >= 8) lur_warp_sample_256(warp, pixels, w, in, out);
  else
#endif
    sample_plain(warp, pixels, w, in, out);
}

static void pick_line(const lur_warp *warp, const uint8_t *pixels, const int32_t *at, float *out) {
  for (int c = 0; c < warp->width; c++)
    for (int k = 0; k < 3; k++) {
      float v = at[c] < 0 ? (float)warp->fill_value : (float)pixels[4 * (size_t)at[c] + (size_t)warp->channel[k]];
      out[3 * c + k] = v * warp->scale[k] + warp->shift[k];
    }
}

/* ---- whole images ---- */

static float *row_of(const lur_warp *warp, float *out, int r) { return out + 3 * (size_t)warp->width * (size_t)r; }

/* Bilinear with clamped coordinates: the usual case in training. */
static void warp_clamped(const lur_warp *warp, const lur_rgbx *image, const lur_warp_fixed *f, lur_warp_line positions,
                         float *out) {
  int w = image->width;
#ifdef LUR_SIMD_X86
  if (lur_simd_level() == LUR_SIMD_AVX512 && warp->width >= 16) {
    lur_warp_clamped_512(warp, image->pixels, w, f, out);
    return;
  }
#endif
  for (int r = 0; r < warp->height; r++) {
    LUR_SIMD_CALL(clamp_line, (f, r, warp->width, w, positions));
    sample_line(warp, image->pixels, w, positions, row_of(warp, out, r));
  }
}

static void warp_folded(const lur_warp *warp, const lur_rgbx *image, lur_warp_line positions, float *out) {
  int h = image->height, w = image->width;
  for (int r = 0; r < warp->height; r++) {
    axis_line a = line_of(&warp->map, r);
    fold_line(warp, &a, h, w, positions);
    sample_line(warp, image->pixels, w, positions, row_of(warp, out, r));
  }
}

static void warp_nearest(const lur_warp *warp, const lur_rgbx *image, lur_warp_line positions, float *out) {
  for (int r = 0; r < warp->height; r++) {
    axis_line a = line_of(&warp->map, r);
    nearest_line(warp, &a, image->width, positions.at);
    pick_line(warp, image->pixels, positions.at, row_of(warp, out, r));
  }
}

lur_status lur_warp_rgbx(const lur_warp *warp, const lur_rgbx *image, lur_bytes *scratch, float *out) {
  size_t n = ((size_t)warp->width + 15) / 16 * 16;
  LUR_TRY(lur_bytes_reserve(scratch, 3 * n * sizeof(float) + 64));
  lur_warp_line positions;
  positions.at = (int32_t *)(void *)(scratch->data + (64 - (uintptr_t)scratch->data % 64) % 64);
  positions.fy = (float *)(void *)(positions.at + n);
  positions.fx = positions.fy + n;
  lur_warp_fixed fixed;
  if (warp->nearest) warp_nearest(warp, image, positions, out);
  else if (warp->fill == LUR_FILL_NEAREST && fix_map(warp, image, &fixed))
    warp_clamped(warp, image, &fixed, positions, out);
  else warp_folded(warp, image, positions, out);
  return LUR_OK;
}
