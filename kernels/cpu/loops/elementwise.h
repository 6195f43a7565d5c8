/* elementwise.h - bodies of the loops over elements and over rows of elements. Compiled only by loops_*.c.
 *
 * Except for sums, inputs and outputs may be the same memory: each element is read before it is written. */
#include <math.h>

/* ---- activations ---- */

/* exp(v) for v <= 0; 0 below -87, and NaN for NaN. n = round(v / ln 2) and r = v - n ln 2 give 2^n exp(r); the polynomial of
   exp(r) and the two parts of ln 2 are those of Cephes (Moshier, expf.c): relative error below 2e-7. */
INLINE vec vexp_negative(vec v) {
  const vec low = vmax_number(v, vset(-87.0f)), rounding = vset(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
  const vec n = vfma(low, vset(1.44269504088896341f), rounding) - rounding;
  const vec r = vfma(n, vset(2.12194440e-4f), vfma(n, vset(-0.693359375f), low));
  vec p = vset(1.9875691500e-4f);
  p = vfma(p, r, vset(1.3981999507e-3f));
  p = vfma(p, r, vset(8.3334519073e-3f));
  p = vfma(p, r, vset(4.1665795894e-2f));
  p = vfma(p, r, vset(1.6666665459e-1f));
  p = vfma(p, r, vset(5.0000001201e-1f));
  p = vfma(p, r * r, r + vset(1.0f));
  return vgate(v + vset(87.0f), p * (vec)((__builtin_convertvector(n, ivec) + 127) << 23));
}

/* Phi(x), the cumulative distribution of the standard normal distribution, and *e = exp(-x^2 / 2). With z = |x| / sqrt
   2, erfc(z) = t (a1 + t (a2 + t (a3 + t (a4 + t a5)))) exp(-z^2), t = 1 / (1 + 0.3275911 z): Abramowitz and Stegun,
   "Handbook of mathematical functions" (1964), 7.1.26; absolute error below 1.5e-7. */
INLINE vec vnormal(vec x, vec *e) {
  const vec z = vmax_number(x, -x) * vset(0.70710678118654752f), t = vset(1.0f) / vfma(z, vset(0.3275911f), vset(1.0f));
  vec p = vset(1.061405429f);
  p = vfma(p, t, vset(-1.453152027f));
  p = vfma(p, t, vset(1.421413741f));
  p = vfma(p, t, vset(-0.284496736f));
  p = vfma(p, t, vset(0.254829592f));
  *e = vexp_negative(-z * z);
  const vec tail = p * t * *e * vset(0.5f); /* Phi(-|x|) */
  return vgate(x, vset(1.0f) - tail - tail) + tail;
}

#define RELU_AT(i, n) vstore(y + i, vrelu(vload(x + i, n)), n)
#define GELU_AT(i, n)                                \
  do {                                               \
    vec x_ = vload(x + i, n), e_;                    \
    vstore(y + i, x_ * vnormal(x_, &e_), n);         \
  } while (0)

static void activate(lur_activation function, const float *x, float *y, int64_t count) {
  switch (function) {
    case LUR_RELU: FOR_LANES(i, count, RELU_AT); break;
    case LUR_SIGMOID:
      for (int64_t i = 0; i < count; i++) y[i] = 1 / (1 + expf(-x[i]));
      break;
    case LUR_TANH:
      for (int64_t i = 0; i < count; i++) y[i] = tanhf(x[i]);
      break;
    case LUR_SQUARE:
      for (int64_t i = 0; i < count; i++) y[i] = x[i] * x[i];
      break;
    case LUR_ABS:
      for (int64_t i = 0; i < count; i++) y[i] = fabsf(x[i]);
      break;
    case LUR_EXP:
      for (int64_t i = 0; i < count; i++) y[i] = expf(x[i]);
      break;
    case LUR_LOG:
      for (int64_t i = 0; i < count; i++) y[i] = logf(x[i]);
      break;
    case LUR_SQRT:
      for (int64_t i = 0; i < count; i++) y[i] = sqrtf(x[i]);
      break;
    case LUR_GELU: FOR_LANES(i, count, GELU_AT); break;
  }
}

#define GATE_AT(i, n)                                     \
  do {                                                    \
    vec g_ = vgate(vload(v + i, n), vload(dy + i, n));    \
    vstore(dx + i, add ? g_ + vload(dx + i, n) : g_, n);  \
  } while (0)

/* dy * (Phi(v) + v exp(-v^2 / 2) / sqrt(2 pi)) */
#define GELU_BACK_AT(i, n)                                                    \
  do {                                                                        \
    vec v_ = vload(v + i, n), e_, phi_ = vnormal(v_, &e_);                    \
    vec g_ = vload(dy + i, n) * vfma(v_ * e_, vset(0.39894228f), phi_);       \
    vstore(dx + i, add ? g_ + vload(dx + i, n) : g_, n);                      \
  } while (0)

static void activate_back(lur_activation function, const float *v, const float *dy, float *dx, bool add,
                          int64_t count) {
#define SLOPE(expression)                                                                   \
  for (int64_t i = 0; i < count; i++) dx[i] = (add ? dx[i] : 0.0f) + dy[i] * (expression);  \
  break
  switch (function) {
    case LUR_RELU: FOR_LANES(i, count, GATE_AT); break;
    case LUR_SIGMOID: SLOPE(v[i] * (1 - v[i]));
    case LUR_TANH: SLOPE(1 - v[i] * v[i]);
    case LUR_SQUARE: SLOPE(2 * v[i]);
    case LUR_ABS: SLOPE(v[i] > 0 ? 1.0f : v[i] < 0 ? -1.0f : v[i] == 0 ? 0.0f : v[i]);
    case LUR_EXP: SLOPE(v[i]);
    case LUR_LOG: SLOPE(1 / v[i]);
    case LUR_SQRT: SLOPE(0.5f / v[i]);
    case LUR_GELU: FOR_LANES(i, count, GELU_BACK_AT); break;
  }
#undef SLOPE
}

#define MASK_AT(i, n) vstore(out + i, vgate(vload(y + i, n), vload(dy + i, n)), n)

static void mask(const float *y, const float *dy, float *out, int64_t count) { FOR_LANES(i, count, MASK_AT); }

/* ---- binary ---- */

#define BINARY_AT(i, n)                                               \
  do {                                                                \
    vec a_ = vload(a + i, n), b_ = vload(b + i, n), r_;               \
    switch (function) {                                               \
      case LUR_SUB: r_ = a_ - b_; break;                              \
      case LUR_MUL: r_ = a_ * b_; break;                              \
      case LUR_MAXIMUM: r_ = vmax(a_, b_); break;                     \
      default: r_ = a_ + b_;                                          \
    }                                                                 \
    vstore(y + i, relu ? vrelu(r_) : r_, n);                          \
  } while (0)

INLINE void binary_as(lur_binary function, bool relu, const float *a, const float *b, float *y, int64_t count) {
  FOR_LANES(i, count, BINARY_AT);
}

static void binary(const lur_binary_desc *desc, const float *a, const float *b, float *y, int64_t count) {
  switch (desc->function) {
    case LUR_ADD: binary_as(LUR_ADD, desc->relu, a, b, y, count); break;
    case LUR_SUB: binary_as(LUR_SUB, desc->relu, a, b, y, count); break;
    case LUR_MUL: binary_as(LUR_MUL, desc->relu, a, b, y, count); break;
    case LUR_MAXIMUM: binary_as(LUR_MAXIMUM, desc->relu, a, b, y, count); break;
  }
}

INLINE void put(float *dx, vec value, bool add, int n) { vstore(dx, add ? value + vload(dx, n) : value, n); }

INLINE void binary_back_at(lur_binary function, const lur_binary_grads *g, int64_t i, int n) {
  vec dy = vload(g->dy + i, n), da = dy, db = dy;
  if (g->y) da = db = dy = vgate(vload(g->y + i, n), dy);
  if (function == LUR_SUB) db = -dy;
  if (function == LUR_MUL) {
    if (g->b) da = dy * vload(g->b + i, n);
    if (g->a) db = dy * vload(g->a + i, n);
  }
  if (function == LUR_MAXIMUM) {
    const ivec second = vbeats(vload(g->b + i, n), vload(g->a + i, n)); /* on a tie dy goes to a */
    da = vselect(second, dy, vset(0));
    db = vselect(second, vset(0), dy);
  }
  if (g->da) put(g->da + i, da, g->add_a, n);
  if (g->db) put(g->db + i, db, g->add_b, n);
}

static void binary_back(const lur_binary_desc *desc, const lur_binary_grads *g, int64_t count) {
#define BINARY_BACK_AT(i, n) binary_back_at(desc->function, g, i, n)
  FOR_LANES(i, count, BINARY_BACK_AT);
#undef BINARY_BACK_AT
}

/* ---- affine ---- */

#define AFFINE_AT(i, n) vstore(y + i, vfma(vload(x + i, n), a, b), n)
#define AFFINE_ADD_AT(i, n) vstore(y + i, vfma(vload(x + i, n), a, b) + vload(y + i, n), n)

static void affine(float scale, float shift, const float *x, float *y, bool add, int64_t count) {
  vec a = vset(scale), b = vset(shift);
  if (add)
    FOR_LANES(i, count, AFFINE_ADD_AT);
  else
    FOR_LANES(i, count, AFFINE_AT);
}

/* ---- rows x c ---- */

enum { FLUSH_ROWS = 64 }; /* rows summed in float before the sums are added to those in double */

static void flush_work(float *work, int64_t c, double *sums) {
#define FLUSH_AT(i, n) (vflush(sums + i, vload(work + i, n), n), vstore(work + i, vset(0), n))
  FOR_LANES(i, c, FLUSH_AT);
#undef FLUSH_AT
}

INLINE void add_rows(const float *x, int64_t c, int rows, float *work, int64_t i, int n) {
  vec sum = vload(work + i, n);
  for (int r = 0; r < rows; r++) sum += vload(x + r * c + i, n);
  vstore(work + i, sum, n);
}

static void column_sums(const float *x, int64_t rows, int64_t c, float *work, double *sums) {
  for (int64_t i = 0; i < c; i++) work[i] = 0;
  for (int64_t r = 0, waiting = 0; r < rows;) {
    int many = rows - r >= 4 ? 4 : 1;
#define ADD_FOUR_AT(i, n) add_rows(x + r * c, c, 4, work, i, n)
#define ADD_ONE_AT(i, n) add_rows(x + r * c, c, 1, work, i, n)
    if (many == 4)
      FOR_LANES(i, c, ADD_FOUR_AT);
    else
      FOR_LANES(i, c, ADD_ONE_AT);
    r += many;
    waiting += many;
    if (waiting >= FLUSH_ROWS || r >= rows) {
      flush_work(work, c, sums);
      waiting = 0;
    }
  }
}

static void softmax(const float *x, float *y, int64_t rows, int64_t c) {
  for (int64_t r = 0; r < rows; r++, x += c, y += c) {
    float top = x[0];
    double sum = 0;
    for (int64_t i = 1; i < c; i++) top = x[i] > top ? x[i] : top;
    for (int64_t i = 0; i < c; i++) {
      y[i] = expf(x[i] - top);
      sum += (double)y[i];
    }
    float scale = (float)(1 / sum);
    for (int64_t i = 0; i < c; i++) y[i] *= scale;
  }
}

static void softmax_back(const float *y, const float *dy, float *dx, bool add, int64_t rows, int64_t c) {
  for (int64_t r = 0; r < rows; r++, y += c, dy += c, dx += c) {
    double sum = 0;
    for (int64_t i = 0; i < c; i++) sum += (double)dy[i] * (double)y[i];
    float mean = (float)sum;
    for (int64_t i = 0; i < c; i++) dx[i] = (add ? dx[i] : 0.0f) + y[i] * (dy[i] - mean);
  }
}

static void floats(const uint8_t *x, float *y, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] = (float)x[i];
}
