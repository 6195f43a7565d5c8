/* binary.h - bodies of the loops over functions of two and three arrays. Compiled only by loops_*.c, after
 * activation.h. Inputs and outputs may be the same memory: each element is read before it is written. */

/* ---- logarithm and power ---- */

/* a = m * 2^exponent with m from sqrt 1/2 to sqrt 2, for normal a > 0; returns log(m). The polynomial is that of Cephes
   (Moshier, logf.c). */
INLINE vec vlog_parts(vec a, vec *exponent) {
  const ivec e = (ivec)((uvec)a - 0x3f3504f3u) >> 23; /* 0x3f3504f3: sqrt 1/2 */
  const vec z = (vec)((uvec)a - ((uvec)e << 23)) - vset(1.0f);
  *exponent = __builtin_convertvector(e, vec);
  vec p = vset(7.0376836292e-2f);
  p = vfma(p, z, vset(-1.1514610310e-1f));
  p = vfma(p, z, vset(1.1676998740e-1f));
  p = vfma(p, z, vset(-1.2420140846e-1f));
  p = vfma(p, z, vset(1.4249322787e-1f));
  p = vfma(p, z, vset(-1.6668057665e-1f));
  p = vfma(p, z, vset(2.0000714765e-1f));
  p = vfma(p, z, vset(-2.4999993993e-1f));
  p = vfma(p, z, vset(3.3333331174e-1f));
  const vec square = z * z;
  return z + vfma(vset(-0.5f), square, p * square * z);
}

/* Lanes that hold normal, finite numbers above 0. */
INLINE ivec vnormal_positive(vec a) { return (ivec)(a >= vset(1.17549435e-38f)) & (ivec)(a <= vset(3.40282347e38f)); }

/* log(a) of the first n lanes; the others are undefined. */
INLINE vec vlog(vec a, int n) {
  if (vall(vnormal_positive(a), n)) {
    vec e;
    const vec m = vlog_parts(a, &e);
    return vfma(e, vset(0.693359375f), vfma(e, vset(-2.12194440e-4f), m));
  }
  for (int i = 0; i < n; i++) a[i] = logf(a[i]);
  return a;
}

/* a to the power b, of the first n lanes; the others are undefined. 2^(b e) and m^b apart, and b e with what its
   rounding leaves, so that errors do not grow with the result; powf where a is not a positive number, or the result may
   not be a normal one. */
INLINE vec vpow(vec a, vec b, int n) {
  const vec rounding = vset(12582912.0f), ln2 = vset(0.693147180559945f);
  vec e;
  const vec m = vlog_parts(a, &e), bm = b * m, high = (vec)((ivec)b & ~0xfff); /* high * e is exact */
  const vec product = b * e, rest = (high * e - product) + (b - high) * e;
  const vec whole = vfma(bm, vset(1.44269504088896341f), product);
  const ivec fits = (ivec)(whole > vset(-125.0f)) & (ivec)(whole < vset(127.0f));
  if (vall(vnormal_positive(a) & fits, n)) {
    const vec k = (whole + rounding) - rounding, r = vfma((product - k) + rest, ln2, bm);
    const vec p = vset(1.0f) + vexpm1_near(r);
    return p * (vec)(((uvec)__builtin_convertvector(k, ivec) + 127) << 23);
  }
  for (int i = 0; i < n; i++) a[i] = powf(a[i], b[i]);
  return a;
}

/* ---- binary ---- */

/* 1 where the lane of `where` is -1, 0 where it is 0. */
INLINE vec vflag(ivec where) { return (vec)(where & (ivec)vset(1.0f)); }

INLINE vec binary_of(lur_binary function, vec a, vec b, int n) {
  switch (function) {
    case LUR_SUB: return a - b;
    case LUR_MUL: return a * b;
    case LUR_MAXIMUM: return vmax(a, b);
    case LUR_MINIMUM: return -vmax(-a, -b);
    case LUR_DIV: return a / b;
    case LUR_POW: return vpow(a, b, n);
    case LUR_GT: return vflag((ivec)(a > b));
    case LUR_GE: return vflag((ivec)(a >= b));
    case LUR_LT: return vflag((ivec)(a < b));
    case LUR_LE: return vflag((ivec)(a <= b));
    case LUR_EQ: return vflag((ivec)(a == b));
    case LUR_NE: return vflag((ivec)(a != b));
    default: return a + b;
  }
}

#define BINARY_AT(i, n)                                                                                            \
  do {                                                                                                             \
    vec r_ = binary_of(function, numbers & 1u ? one_a : vload(a + i, n), numbers & 2u ? one_b : vload(b + i, n), n); \
    vstore(y + i, relu ? vrelu(r_) : r_, n);                                                                       \
  } while (0)

INLINE void binary_with(lur_binary function, bool relu, unsigned numbers, const float *a, const float *b, float *y,
                        int64_t count) {
  const vec one_a = vset(*a), one_b = vset(*b);
  FOR_LANES(i, count, BINARY_AT);
}

INLINE void binary_as(lur_binary function, bool relu, unsigned numbers, const float *a, const float *b, float *y,
                      int64_t count) {
  if (numbers == 1) binary_with(function, relu, 1, a, b, y, count);
  else if (numbers == 2) binary_with(function, relu, 2, a, b, y, count);
  else binary_with(function, relu, 0, a, b, y, count);
}

#define BINARY(FUNCTION) \
  case FUNCTION: binary_as(FUNCTION, desc->relu, numbers, a, b, y, count); break

static void binary(const lur_binary_desc *desc, unsigned numbers, const float *a, const float *b, float *y,
                   int64_t count) {
  switch (desc->function) {
    BINARY(LUR_ADD);
    BINARY(LUR_SUB);
    BINARY(LUR_MUL);
    BINARY(LUR_MAXIMUM);
    BINARY(LUR_MINIMUM);
    BINARY(LUR_DIV);
    BINARY(LUR_POW);
    BINARY(LUR_GT);
    BINARY(LUR_GE);
    BINARY(LUR_LT);
    BINARY(LUR_LE);
    BINARY(LUR_EQ);
    BINARY(LUR_NE);
    case LUR_BINARY_COUNT: break;
  }
}

INLINE void binary_back_at(lur_binary function, const lur_binary_grads *g, int64_t i, int n) {
  vec dy = vload(g->dy + i, n), da = dy, db = dy;
  if (g->y) da = db = dy = vgate(vload(g->y + i, n), dy);
  if (function == LUR_SUB) db = -dy;
  if (function == LUR_MUL) {
    if (g->b) da = dy * vload(g->b + i, n);
    if (g->a) db = dy * vload(g->a + i, n);
  }
  if (function == LUR_MAXIMUM || function == LUR_MINIMUM) { /* on a tie dy goes to a */
    const vec a = vload(g->a + i, n), b = vload(g->b + i, n);
    const ivec second = function == LUR_MAXIMUM ? vbeats(b, a) : vbeats(-b, -a);
    da = vselect(second, dy, vset(0));
    db = vselect(second, vset(0), dy);
  }
  if (function == LUR_DIV) {
    const vec b = vload(g->b + i, n);
    da = dy / b;
    if (g->a) db = -dy * (vload(g->a + i, n) / b / b);
  }
  if (function == LUR_POW) {
    const vec a = vload(g->a + i, n), b = vload(g->b + i, n);
    if (g->da) da = vselect((ivec)(b == vset(0)), dy * (b * vpow(a, b - vset(1.0f), n)), vset(0));
    if (g->db) {
      const ivec none = (ivec)(a == vset(0)) & (ivec)(b >= vset(0));
      db = vselect(none, dy * (vpow(a, b, n) * vlog(a, n)), vset(0));
    }
  }
  if (g->da) put(g->da + i, da, g->add_a, n);
  if (g->db) put(g->db + i, db, g->add_b, n);
}

INLINE void binary_back_as(lur_binary function, const lur_binary_grads *g, int64_t count) {
#define BINARY_BACK_AT(i, n) binary_back_at(function, g, i, n)
  FOR_LANES(i, count, BINARY_BACK_AT);
#undef BINARY_BACK_AT
}

static void binary_back(const lur_binary_desc *desc, const lur_binary_grads *g, int64_t count) {
  switch (desc->function) {
    case LUR_ADD: binary_back_as(LUR_ADD, g, count); break;
    case LUR_SUB: binary_back_as(LUR_SUB, g, count); break;
    case LUR_MUL: binary_back_as(LUR_MUL, g, count); break;
    case LUR_MAXIMUM: binary_back_as(LUR_MAXIMUM, g, count); break;
    case LUR_MINIMUM: binary_back_as(LUR_MINIMUM, g, count); break;
    case LUR_DIV: binary_back_as(LUR_DIV, g, count); break;
    case LUR_POW: binary_back_as(LUR_POW, g, count); break;
    default: break; /* comparisons have no gradient */
  }
}

/* ---- where ---- */

#define WHERE_AT(i, n)                                                                                      \
  vstore(y + i, vselect((ivec)(vload(condition + i, n) == vset(0)), vload(a + i, n), vload(b + i, n)), n)

static void where(const float *condition, const float *a, const float *b, float *y, int64_t count) {
  FOR_LANES(i, count, WHERE_AT);
}

INLINE void where_back_at(const float *condition, const float *dy, float *da, bool add_a, float *db, bool add_b,
                          int64_t i, int n) {
  const ivec second = (ivec)(vload(condition + i, n) == vset(0));
  const vec g = vload(dy + i, n);
  if (da) put(da + i, vselect(second, g, vset(0)), add_a, n);
  if (db) put(db + i, vselect(second, vset(0), g), add_b, n);
}

static void where_back(const float *condition, const float *dy, float *da, bool add_a, float *db, bool add_b,
                       int64_t count) {
#define WHERE_BACK_AT(i, n) where_back_at(condition, dy, da, add_a, db, add_b, i, n)
  FOR_LANES(i, count, WHERE_BACK_AT);
#undef WHERE_BACK_AT
}
