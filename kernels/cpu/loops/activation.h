/* activation.h - bodies of the loops of the activations, and the vector functions that they are made of. Compiled only
 * by loops_*.c. Input and output may be the same memory. A new activation: a case in activate and in activate_back, or
 * in value_of and gradient_of. */
#include <math.h>

/* *p = v, or += v, for the first n lanes. */
INLINE void put(float *p, vec v, bool add, int n) { vstore(p, add ? v + vload(p, n) : v, n); }

/* (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2. */
INLINE vec vexp_rest(vec r) {
  vec p = vset(1.9875691500e-4f);
  p = vfma(p, r, vset(1.3981999507e-3f));
  p = vfma(p, r, vset(8.3334519073e-3f));
  p = vfma(p, r, vset(4.1665795894e-2f));
  p = vfma(p, r, vset(1.6666665459e-1f));
  return vfma(p, r, vset(5.0000001201e-1f));
}

/* exp(r) - 1 for |r| <= ln 2 / 2. */
INLINE vec vexpm1_near(vec r) { return vfma(vexp_rest(r), r * r, r); }

/* exp(v) for v <= 0; 0 below -87, and NaN for NaN. n = round(v / ln 2) and r = v - n ln 2 give 2^n exp(r); the
   polynomial of exp(r) and the two parts of ln 2 are those of Cephes (Moshier, expf.c): relative error below 2e-7. */
INLINE vec vexp_negative(vec v) {
  const vec low = vmax_number(v, vset(-87.0f)), rounding = vset(12582912.0f); /* 1.5 * 2^23: adding it rounds */
  const vec n = vfma(low, vset(1.44269504088896341f), rounding) - rounding;
  const vec r = vfma(n, vset(2.12194440e-4f), vfma(n, vset(-0.693359375f), low));
  const vec p = vfma(vexp_rest(r), r * r, r + vset(1.0f));
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

/* 1 / (1 + exp(-x)), from exp(-|x|). */
INLINE vec vsigmoid(vec x) {
  const vec e = vexp_negative(vnegabs(x)), r = vset(1.0f) / (vset(1.0f) + e);
  return vselect((ivec)(x >= vset(0)), e * r, r);
}

/* exp(v) - 1 for v <= 0, to a few units in the last place also near 0: as vexp_negative, where exp(r) - 1 is kept
   apart from 1. */
INLINE vec vexpm1_negative(vec v) {
  const vec low = vmax_number(v, vset(-87.0f)), rounding = vset(12582912.0f);
  const vec n = vfma(low, vset(1.44269504088896341f), rounding) - rounding;
  const vec r = vfma(n, vset(2.12194440e-4f), vfma(n, vset(-0.693359375f), low));
  const vec scale = (vec)((__builtin_convertvector(n, ivec) + 127) << 23);
  return vfma(vexpm1_near(r), scale, scale - vset(1.0f));
}

/* log(1 + e) for 0 <= e <= 1: 2 artanh(z), z = e / (2 + e), by its series; z^2 <= 1/9. */
INLINE vec vlog1p_unit(vec e) {
  const vec z = e / (vset(2.0f) + e), s = z * z;
  vec p = vset(1.0f / 15);
  p = vfma(p, s, vset(1.0f / 13));
  p = vfma(p, s, vset(1.0f / 11));
  p = vfma(p, s, vset(1.0f / 9));
  p = vfma(p, s, vset(1.0f / 7));
  p = vfma(p, s, vset(1.0f / 5));
  p = vfma(p, s, vset(1.0f / 3));
  return vset(2.0f) * vfma(p * s, z, z);
}

/* min(max(x, 0), 6); NaN stays NaN. */
INLINE vec vclamp6(vec x) { return -vmax_number(-vrelu(x), vset(-6.0f)); }

#define RELU_AT(i, n) vstore(y + i, vrelu(vload(x + i, n)), n)
#define GELU_AT(i, n)                                \
  do {                                               \
    vec x_ = vload(x + i, n), e_;                    \
    vstore(y + i, x_ * vnormal(x_, &e_), n);         \
  } while (0)

INLINE vec value_of(lur_activation function, float slope, vec x) {
  switch (function) {
    case LUR_SILU: return x * vsigmoid(x);
    case LUR_LEAKY_RELU: return vselect((ivec)(x > vset(0)), x * vset(slope), x);
    case LUR_ELU: return vselect((ivec)(x > vset(0)), vexpm1_negative(x), x);
    case LUR_RELU6: return vclamp6(x);
    case LUR_HARD_SIGMOID: return vclamp6(x + vset(3.0f)) * vset(1.0f / 6);
    case LUR_HARD_SWISH: return x * vclamp6(x + vset(3.0f)) * vset(1.0f / 6);
    case LUR_SOFTPLUS: return vrelu(x) + vlog1p_unit(vexp_negative(vnegabs(x)));
    default: return x;
  }
}

INLINE void values(lur_activation function, float slope, const float *x, float *y, int64_t count) {
#define VALUE_AT(i, n) vstore(y + i, value_of(function, slope, vload(x + i, n)), n)
  FOR_LANES(i, count, VALUE_AT);
#undef VALUE_AT
}

#define VALUES(FUNCTION) \
  case FUNCTION: values(FUNCTION, (float)desc->slope, x, y, count); break

static void activate(const lur_activation_desc *desc, const float *x, float *y, int64_t count) {
  switch (desc->function) {
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
    VALUES(LUR_SILU);
    VALUES(LUR_LEAKY_RELU);
    VALUES(LUR_ELU);
    VALUES(LUR_RELU6);
    VALUES(LUR_HARD_SIGMOID);
    VALUES(LUR_HARD_SWISH);
    VALUES(LUR_SOFTPLUS);
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

/* The gradient from dy and v, which is x or y. */
INLINE vec gradient_of(lur_activation function, float slope, vec v, vec dy) {
  const vec zero = vset(0), one = vset(1.0f);
  switch (function) {
    case LUR_SILU: {
      const vec s = vsigmoid(v);
      return dy * (s * vfma(v, one - s, one));
    }
    case LUR_LEAKY_RELU: return vselect((ivec)(v > zero), dy * vset(slope), dy);
    case LUR_ELU: return vselect((ivec)(v > zero), dy * (v + one), dy);
    case LUR_RELU6: return vselect((ivec)(v <= zero) | (ivec)(v >= vset(6.0f)), dy, zero);
    case LUR_HARD_SIGMOID:
      return vselect((ivec)(v > vset(-3.0f)) & (ivec)(v < vset(3.0f)), zero, dy * vset(1.0f / 6));
    case LUR_HARD_SWISH: {
      const vec inside = dy * vfma(v, vset(1.0f / 3), vset(0.5f));
      return vselect((ivec)(v <= vset(-3.0f)), vselect((ivec)(v >= vset(3.0f)), inside, dy), zero);
    }
    case LUR_SOFTPLUS: return dy * vsigmoid(v);
    default: return dy;
  }
}

INLINE void gradients(lur_activation function, float slope, const float *v, const float *dy, float *dx, bool add,
                      int64_t count) {
#define GRADIENT_AT(i, n) put(dx + i, gradient_of(function, slope, vload(v + i, n), vload(dy + i, n)), add, n)
  FOR_LANES(i, count, GRADIENT_AT);
#undef GRADIENT_AT
}

#define GRADIENTS(FUNCTION) \
  case FUNCTION: gradients(FUNCTION, (float)desc->slope, v, dy, dx, add, count); break

static void activate_back(const lur_activation_desc *desc, const float *v, const float *dy, float *dx, bool add,
                          int64_t count) {
#define SLOPE(expression)                                                                   \
  for (int64_t i = 0; i < count; i++) dx[i] = (add ? dx[i] : 0.0f) + dy[i] * (expression);  \
  break
  switch (desc->function) {
    case LUR_RELU: FOR_LANES(i, count, GATE_AT); break;
    case LUR_SIGMOID: SLOPE(v[i] * (1 - v[i]));
    case LUR_TANH: SLOPE(1 - v[i] * v[i]);
    case LUR_SQUARE: SLOPE(2 * v[i]);
    case LUR_ABS: SLOPE(v[i] > 0 ? 1.0f : v[i] < 0 ? -1.0f : v[i] == 0 ? 0.0f : v[i]);
    case LUR_EXP: SLOPE(v[i]);
    case LUR_LOG: SLOPE(1 / v[i]);
    case LUR_SQRT: SLOPE(0.5f / v[i]);
    case LUR_GELU: FOR_LANES(i, count, GELU_BACK_AT); break;
    GRADIENTS(LUR_SILU);
    GRADIENTS(LUR_LEAKY_RELU);
    GRADIENTS(LUR_ELU);
    GRADIENTS(LUR_RELU6);
    GRADIENTS(LUR_HARD_SIGMOID);
    GRADIENTS(LUR_HARD_SWISH);
    GRADIENTS(LUR_SOFTPLUS);
  }
#undef SLOPE
}
