/* layernorm.h - bodies of layer norm over rows of c. Compiled only by loops_*.c.
 *
 * Sums are in float over at most RUN vectors and then added to sums in double. The variance is that of x - mean, in a
 * second pass over a row that is then in the L1 cache. */

enum { RUN = 64 };

INLINE double across(vec v) {
  float lane[LANES];
  double sum = 0;
  memcpy(lane, &v, sizeof lane);
  for (int i = 0; i < LANES; i++) sum += (double)lane[i];
  return sum;
}

/* The sums of term(i, lanes) over a row; `term` gives a vector that is 0 in the lanes beyond. */
#define ROW_TOTAL(total, c, term)                                         \
  do {                                                                    \
    int64_t i_ = 0;                                                       \
    while (i_ + LANES <= (c)) {                                           \
      vec s_ = vset(0), t_ = vset(0);                                     \
      int k_ = 0;                                                         \
      for (; k_ < RUN && i_ + 2 * LANES <= (c); k_++, i_ += 2 * LANES) {  \
        s_ += term(i_, LANES);                                            \
        t_ += term(i_ + LANES, LANES);                                    \
      }                                                                   \
      if (k_ < RUN && i_ + LANES <= (c)) {                                \
        s_ += term(i_, LANES);                                            \
        i_ += LANES;                                                      \
      }                                                                   \
      (total) += across(s_ + t_);                                         \
    }                                                                     \
    if (i_ < (c)) (total) += across(term(i_, (int)((c) - i_)));           \
  } while (0)

/* The first n lanes of v, 0 in the others. */
INLINE vec vfirst(vec v, int n) {
  if (n == LANES) return v;
  float lane[LANES];
  memcpy(lane, &v, sizeof lane);
  for (int i = n; i < LANES; i++) lane[i] = 0;
  memcpy(&v, lane, sizeof lane);
  return v;
}

static double row_sum(const float *x, int64_t n) {
  double total = 0;
#define PLAIN_TERM(i, lanes) vload(x + (i), lanes)
  ROW_TOTAL(total, n, PLAIN_TERM);
#undef PLAIN_TERM
  return total;
}

INLINE vec squared(const float *x, vec mean, int64_t i, int n) {
  const vec d = vfirst(vload(x + i, n) - mean, n);
  return d * d;
}

static void layernorm(const float *x, const float *gamma, const float *beta, double epsilon, float *y, float *saved,
                      int64_t rows, int64_t c) {
  for (int64_t r = 0; r < rows; r++, x += c, y += c) {
    double squares = 0;
    const float mean = (float)(row_sum(x, c) / (double)c);
    const vec m = vset(mean);
#define SQUARE_TERM(i, lanes) squared(x, m, i, lanes)
    ROW_TOTAL(squares, c, SQUARE_TERM);
#undef SQUARE_TERM
    const float reciprocal = (float)(1 / sqrt(squares / (double)c + epsilon));
    const vec s = vset(reciprocal);
    if (saved) saved[2 * r] = mean, saved[2 * r + 1] = reciprocal;
#define LAYERNORM_AT(i, n)                                                        \
  do {                                                                            \
    vec v_ = (vload(x + i, n) - m) * s;                                           \
    if (gamma) v_ *= vload(gamma + i, n);                                         \
    if (beta) v_ += vload(beta + i, n);                                           \
    vstore(y + i, v_, n);                                                         \
  } while (0)
    FOR_LANES(i, c, LAYERNORM_AT);
#undef LAYERNORM_AT
  }
}

INLINE vec scaled_dy(const float *dy, const float *gamma, int64_t i, int n) {
  return gamma ? vload(dy + i, n) * vload(gamma + i, n) : vload(dy + i, n);
}

/* dx = r (g - mean(g) - h mean(g h)), where h = (x - mean) r and g = dy * gamma. */
static void layernorm_back(const float *x, const float *gamma, const float *saved, const float *dy, float *dx, bool add,
                           int64_t rows, int64_t c) {
  for (int64_t r = 0; r < rows; r++, x += c, dy += c, dx += c) {
    const vec m = vset(saved[2 * r]), s = vset(saved[2 * r + 1]);
    double plain = 0, product = 0;
#define G_TERM(i, lanes) scaled_dy(dy, gamma, i, lanes)
#define GH_TERM(i, lanes) vfirst(scaled_dy(dy, gamma, i, lanes) * ((vload(x + (i), lanes) - m) * s), lanes)
    ROW_TOTAL(plain, c, G_TERM);
    ROW_TOTAL(product, c, GH_TERM);
#undef G_TERM
#undef GH_TERM
    const vec p = vset((float)(plain / (double)c)), q = vset((float)(product / (double)c));
#define LAYERNORM_BACK_AT(i, n)                                                          \
  put(dx + i, s * (scaled_dy(dy, gamma, i, n) - p - (vload(x + i, n) - m) * s * q), add, n)
    FOR_LANES(i, c, LAYERNORM_BACK_AT);
#undef LAYERNORM_BACK_AT
  }
}

INLINE void layernorm_sums_rows(const float *x, const float *saved, const float *dy, int64_t c, int rows, float *work,
                                int64_t i, int n) {
  vec plain = vload(work + i, n), product = x ? vload(work + c + i, n) : vset(0);
  for (int r = 0; r < rows; r++) {
    const vec g = vload(dy + r * c + i, n);
    plain += g;
    if (x) product = vfma(g, (vload(x + r * c + i, n) - vset(saved[2 * r])) * vset(saved[2 * r + 1]), product);
  }
  vstore(work + i, plain, n);
  if (x) vstore(work + c + i, product, n);
}

static void layernorm_sums(const float *x, const float *saved, const float *dy, int64_t rows, int64_t c, float *work,
                           double *sums) {
  for (int64_t i = 0; i < 2 * c; i++) work[i] = 0;
  for (int64_t r = 0, waiting = 0; r < rows;) {
    const int many = rows - r >= 4 ? 4 : 1;
    const float *from = x ? x + r * c : NULL, *statistics = x ? saved + 2 * r : NULL;
#define LN_FOUR_AT(i, n) layernorm_sums_rows(from, statistics, dy + r * c, c, 4, work, i, n)
#define LN_ONE_AT(i, n) layernorm_sums_rows(from, statistics, dy + r * c, c, 1, work, i, n)
    if (many == 4) FOR_LANES(i, c, LN_FOUR_AT);
    else FOR_LANES(i, c, LN_ONE_AT);
#undef LN_FOUR_AT
#undef LN_ONE_AT
    r += many;
    waiting += many;
    if (waiting >= FLUSH_ROWS || r >= rows) {
      flush_work(work, 2 * c, sums);
      waiting = 0;
    }
  }
}
