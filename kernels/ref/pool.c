/* pool.c - pool (maximum, average) and global_pool (mean over height and width).
 *
 * Pixels outside the image never are the maximum and do not count in an average. A NaN in the window is the maximum.
 * The gradient of a maximum goes to the first pixel that has it, in row-major order: forward writes that pixel's number
 * in the image to saved.
 * affine_in: pixels are read as x * scale[c] + shift[c], which x[1] holds. */
#include "ref.h"

typedef struct sizes {
  int64_t n, h, w, c, oh, ow, kh, kw, sh, sw, top, left;
  const float *affine; /* scale, then shift; NULL: x as it is */
} sizes;

static sizes sizes_of(const lur_op_desc *d, const lur_args *args) {
  const lur_pool_desc *u = &d->u.pool;
  const ref_sizes r = REF_SIZES(d, u);
  return (sizes){r.n,  r.h,  r.w,  r.ci,  r.oh,   r.ow,
                 r.kh, r.kw, r.sh, r.sw,  r.top,  r.left,
                 u->affine_in ? args->x[1] : NULL};
}

/* The pixels of a window that are inside the image: rows y0..y1, columns x0..x1. */
typedef struct covered {
  int64_t y0, y1, x0, x1;
} covered;

static covered covered_by(const sizes *s, int64_t oy, int64_t ox) {
  int64_t y = oy * s->sh - s->top, x = ox * s->sw - s->left;
  return (covered){y < 0 ? 0 : y, ref_min(y + s->kh, s->h), x < 0 ? 0 : x, ref_min(x + s->kw, s->w)};
}

static lur_status plan(lur_op *op) {
  LUR_TRY(lur_ref_want_f32(op, 0));
  if (op->desc.u.pool.mode == LUR_POOL_MAX && ref_wants(op))
    op->saved_bytes = sizeof(int64_t) * (size_t)lur_shape_count(&op->desc.y.shape);
  if (op->desc.u.pool.affine_in) op->backward_x = (op->desc.want_dx & 2u ? 1u : 0) | (op->desc.want_dx & 1u ? 2u : 0);
  return LUR_OK;
}

static double read(const sizes *s, const float *x, int64_t pixel, int64_t c) {
  double v = (double)x[pixel * s->c + c];
  return s->affine ? v * (double)s->affine[c] + (double)s->affine[s->c + c] : v;
}

static float maximum(const sizes *s, const float *x, covered k, int64_t c, int64_t *winner) {
  int64_t best = k.y0 * s->w + k.x0;
  for (int64_t iy = k.y0; iy < k.y1; iy++)
    for (int64_t ix = k.x0; ix < k.x1; ix++)
      if (ref_beats(read(s, x, iy * s->w + ix, c), read(s, x, best, c))) best = iy * s->w + ix;
  *winner = best;
  return (float)read(s, x, best, c);
}

static float average(const sizes *s, const float *x, covered k, int64_t c) {
  double sum = 0;
  for (int64_t iy = k.y0; iy < k.y1; iy++)
    for (int64_t ix = k.x0; ix < k.x1; ix++) sum += read(s, x, iy * s->w + ix, c);
  return (float)(sum / (double)((k.y1 - k.y0) * (k.x1 - k.x0)));
}

static lur_status forward(lur_op *op, const lur_args *args) {
  const sizes s = sizes_of(&op->desc, args);
  bool max = op->desc.u.pool.mode == LUR_POOL_MAX;
  const float *x = args->x[0];
  float *y = args->y;
  int64_t *saved = op->saved_bytes ? args->saved : NULL;
#pragma omp parallel for
  for (int64_t row = 0; row < s.n * s.oh; row++)
    for (int64_t ox = 0; ox < s.ow; ox++) {
      const float *image = x + row / s.oh * s.h * s.w * s.c;
      covered k = covered_by(&s, row % s.oh, ox);
      for (int64_t c = 0; c < s.c; c++) {
        int64_t at = (row * s.ow + ox) * s.c + c, winner = 0;
        y[at] = max ? maximum(&s, image, k, c, &winner) : average(&s, image, k, c);
        if (saved) saved[at] = winner;
      }
    }
  return LUR_OK;
}

/* The gradient of one input element: its share of every window that covers it. dy, winners: of this image. */
static double input_element(const sizes *s, const float *dy, const int64_t *winners, int64_t iy, int64_t ix,
                            int64_t c) {
  double sum = 0;
  for (int64_t ky = 0; ky < s->kh; ky++) {
    int64_t ty = iy + s->top - ky, oy = ty / s->sh;
    if (ty < 0 || ty % s->sh || oy >= s->oh) continue;
    for (int64_t kx = 0; kx < s->kw; kx++) {
      int64_t tx = ix + s->left - kx, ox = tx / s->sw;
      if (tx < 0 || tx % s->sw || ox >= s->ow) continue;
      int64_t at = (oy * s->ow + ox) * s->c + c;
      covered k = covered_by(s, oy, ox);
      if (!winners) sum += (double)dy[at] / (double)((k.y1 - k.y0) * (k.x1 - k.x0));
      else if (winners[at] == iy * s->w + ix) sum += (double)dy[at];
    }
  }
  return sum;
}

/* The gradient of the result of the affine, of pixel ix in row `row` (counted over all images). */
static double inner_element(const sizes *s, const float *dy, const int64_t *winners, int64_t row, int64_t ix,
                            int64_t c) {
  int64_t image = row / s->h * s->oh * s->ow * s->c;
  return input_element(s, dy + image, winners ? winners + image : NULL, row % s->h, ix, c);
}

static void backward_input(const sizes *s, const float *dy, const int64_t *winners, float *dx, bool add) {
#pragma omp parallel for
  for (int64_t row = 0; row < s->n * s->h; row++)
    for (int64_t ix = 0; ix < s->w; ix++)
      for (int64_t c = 0; c < s->c; c++) {
        double scale = s->affine ? (double)s->affine[c] : 1;
        ref_put(dx, (row * s->w + ix) * s->c + c, scale * inner_element(s, dy, winners, row, ix, c), add);
      }
}

/* dscale = the sum of the inner gradient times x, dshift = the sum of the inner gradient. */
static void backward_affine(const sizes *s, const float *x, const float *dy, const int64_t *winners, float *dx,
                            bool add) {
#pragma omp parallel for
  for (int64_t c = 0; c < s->c; c++) {
    double scaled = 0, plain = 0;
    for (int64_t row = 0; row < s->n * s->h; row++)
      for (int64_t ix = 0; ix < s->w; ix++) {
        double g = inner_element(s, dy, winners, row, ix, c);
        scaled += g * (double)x[(row * s->w + ix) * s->c + c];
        plain += g;
      }
    ref_put(dx, c, scaled, add);
    ref_put(dx, s->c + c, plain, add);
  }
}

static lur_status backward(lur_op *op, const lur_args *args) {
  const sizes s = sizes_of(&op->desc, args);
  const int64_t *winners = op->saved_bytes ? args->saved : NULL;
  if (op->desc.want_dx & 1u) backward_input(&s, args->dy, winners, args->dx[0], args->dx_add & 1u);
  if (op->desc.want_dx & 2u) backward_affine(&s, args->x[0], args->dy, winners, args->dx[1], args->dx_add & 2u);
  return LUR_OK;
}

const lur_kernel lur_ref_pool = {plan, forward, backward, NULL};

/* ---- global_pool ---- */

static lur_status global_plan(lur_op *op) { return lur_ref_want_f32(op, 0); }

static lur_status global_forward(lur_op *op, const lur_args *args) {
  const int64_t *d = op->desc.x[0].shape.dim, area = d[1] * d[2], c = d[3];
  const float *x = args->x[0];
  float *y = args->y;
#pragma omp parallel for
  for (int64_t at = 0; at < d[0] * c; at++) {
    double sum = 0;
    for (int64_t k = 0; k < area; k++) sum += (double)x[(at / c * area + k) * c + at % c];
    y[at] = (float)(sum / (double)area);
  }
  return LUR_OK;
}

static lur_status global_backward(lur_op *op, const lur_args *args) {
  const int64_t *d = op->desc.x[0].shape.dim, area = d[1] * d[2], c = d[3];
  const float *dy = args->dy;
#pragma omp parallel for
  for (int64_t at = 0; at < d[0] * area * c; at++)
    ref_put(args->dx[0], at, (double)dy[at / (area * c) * c + at % c] / (double)area, args->dx_add & 1u);
  return LUR_OK;
}

const lur_kernel lur_ref_global_pool = {global_plan, global_forward, global_backward, NULL};
