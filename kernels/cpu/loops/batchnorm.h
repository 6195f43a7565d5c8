/* batchnorm.h - bodies of batch norm's passes over rows x c. Compiled only by loops_*.c.
 *
 * Sums are in float over at most FLUSH_ROWS rows and then added to sums in double. The statistics are those of
 * (x - pivot), where pivot is a row of x, so that a large mean does not cancel the digits of the variance. Four rows
 * are taken at a time: the running sums are loaded and stored once for four loads of data. */

INLINE void stats_rows(const float *x, const float *pivot, int64_t c, int rows, float *work, int64_t i, int n) {
  vec p = vload(pivot + i, n), sum = vload(work + i, n), squares = vload(work + c + i, n);
  for (int r = 0; r < rows; r++) {
    vec d = vload(x + r * c + i, n) - p;
    sum += d;
    squares = vfma(d, d, squares);
  }
  vstore(work + i, sum, n);
  vstore(work + c + i, squares, n);
}

static void norm_stats(const float *x, const float *pivot, int64_t rows, int64_t c, float *work, double *sums) {
  for (int64_t i = 0; i < 2 * c; i++) work[i] = 0;
  for (int64_t r = 0, waiting = 0; r < rows;) {
    int many = rows - r >= 4 ? 4 : 1;
#define STATS_FOUR_AT(i, n) stats_rows(x + r * c, pivot, c, 4, work, i, n)
#define STATS_ONE_AT(i, n) stats_rows(x + r * c, pivot, c, 1, work, i, n)
    if (many == 4) FOR_LANES(i, c, STATS_FOUR_AT);
    else FOR_LANES(i, c, STATS_ONE_AT);
    r += many;
    waiting += many;
    if (waiting >= FLUSH_ROWS || r >= rows) {
      flush_work(work, 2 * c, sums);
      waiting = 0;
    }
  }
}

INLINE vec norm_value(const lur_norm *norm, vec x, int64_t i, int n) {
  return vfma(x - vload(norm->mean + i, n), vload(norm->scale + i, n), vload(norm->shift + i, n));
}

INLINE void norm_row(const lur_norm *norm, const float *x, const float *residual, bool relu, float *y, int64_t c) {
#define NORM_AT(i, n)                                                                                                  \
  do {                                                                                                                 \
    vec v_ = norm_value(norm, vload(x + i, n), i, n);                                                                  \
    if (residual) v_ += vload(residual + i, n);                                                                        \
    vstore(y + i, relu ? vrelu(v_) : v_, n);                                                                           \
  } while (0)
  FOR_LANES(i, c, NORM_AT);
#undef NORM_AT
}

static void norm_forward(const lur_norm *norm, const float *x, const float *residual, bool relu, float *y, int64_t rows,
                         int64_t c) {
  for (int64_t r = 0; r < rows; r++) {
    const int64_t at = r * c;
    if (residual) norm_row(norm, x + at, residual + at, relu, y + at, c);
    else if (relu) norm_row(norm, x + at, NULL, true, y + at, c);
    else norm_row(norm, x + at, NULL, false, y + at, c);
  }
}

/* dy masked by the ReLU. x: the loaded input, if the norm itself is the gate. */
INLINE vec norm_gate(const lur_norm *norm, vec x, const float *gate_y, bool gate_norm, vec dy, int64_t at, int64_t i,
                     int n) {
  if (gate_y) return vgate(vload(gate_y + at, n), dy);
  return gate_norm ? vgate(norm_value(norm, x, i, n), dy) : dy;
}

INLINE void sums_rows(const lur_norm *norm, const float *x, const float *gate_y, bool gate_norm, const float *dy,
                      int64_t at, int64_t c, int rows, float *work, int64_t i, int n) {
  vec sum = vload(work + i, n), scaled = x ? vload(work + c + i, n) : vset(0), mean = vload(norm->mean + i, n);
  for (int r = 0; r < rows; r++) {
    int64_t k = at + r * c + i;
    vec value = x ? vload(x + k, n) : vset(0);
    vec g = norm_gate(norm, value, gate_y, gate_norm, vload(dy + k, n), k, i, n);
    sum += g;
    if (x) scaled = vfma(g, value - mean, scaled);
  }
  vstore(work + i, sum, n);
  if (x) vstore(work + c + i, scaled, n);
}

INLINE void sums_as(const lur_norm *norm, const float *x, const float *gate_y, bool gate_norm, const float *dy,
                    int64_t at, int64_t c, int rows, float *work) {
#define SUMS_AT(i, n) sums_rows(norm, x, gate_y, gate_norm, dy, at, c, rows, work, i, n)
  FOR_LANES(i, c, SUMS_AT);
#undef SUMS_AT
}

static void norm_sums(const lur_norm *norm, const float *x, const float *gate_y, bool gate_norm, const float *dy,
                      int64_t rows, int64_t c, float *work, double *sums) {
  int64_t width = x ? 2 * c : c;
  for (int64_t i = 0; i < width; i++) work[i] = 0;
  for (int64_t r = 0, waiting = 0; r < rows;) {
    int many = rows - r >= 4 ? 4 : 1;
    if (many == 4 && x && gate_norm) sums_as(norm, x, NULL, true, dy, r * c, c, 4, work);
    else if (many == 4 && x && !gate_y) sums_as(norm, x, NULL, false, dy, r * c, c, 4, work);
    else sums_as(norm, x, gate_y, gate_norm, dy, r * c, c, many, work);
    r += many;
    waiting += many;
    if (waiting >= FLUSH_ROWS || r >= rows) {
      flush_work(work, width, sums);
      waiting = 0;
    }
  }
}

INLINE void back_row(const lur_norm *norm, const float *k, bool batch, const float *x, const float *gate_y,
                     bool gate_norm, const float *dy, float *dx, bool add, float *dx1, bool add1, int64_t at,
                     int64_t c) {
#define BACK_AT(i, n)                                                                                                  \
  do {                                                                                                                 \
    vec x_ = x ? vload(x + at + i, n) : vset(0);                                                                       \
    vec g_ = norm_gate(norm, x_, gate_y, gate_norm, vload(dy + at + i, n), at + i, i, n);                              \
    if (dx1) put(dx1 + at + i, g_, add1, n);                                                                           \
    if (dx) {                                                                                                          \
      vec r_ = g_ * vload(k + i, n);                                                                                   \
      if (batch) r_ += vfma(x_ - vload(norm->mean + i, n), vload(k + c + i, n), vload(k + 2 * c + i, n));              \
      put(dx + at + i, r_, add, n);                                                                                    \
    }                                                                                                                  \
  } while (0)
  FOR_LANES(i, c, BACK_AT);
#undef BACK_AT
}

static void norm_back(const lur_norm *norm, const float *k, bool batch, const float *x, const float *gate_y,
                      bool gate_norm, const float *dy, float *dx, bool add, float *dx1, bool add1, int64_t rows,
                      int64_t c) {
  const bool usual = x && dx && !add && !dx1 && !gate_y;
  for (int64_t r = 0; r < rows; r++) {
    if (usual && batch && gate_norm) back_row(norm, k, true, x, NULL, true, dy, dx, false, NULL, false, r * c, c);
    else if (usual && batch) back_row(norm, k, true, x, NULL, false, dy, dx, false, NULL, false, r * c, c);
    else if (usual && gate_norm) back_row(norm, k, false, x, NULL, true, dy, dx, false, NULL, false, r * c, c);
    else back_row(norm, k, batch, x, gate_y, gate_norm, dy, dx, add, dx1, add1, r * c, c);
  }
}

static void norm_back_statistics(const float *mean, const float *k, const float *x, float *dx, bool add, int64_t rows,
                                 int64_t c) {
#define STATISTICS_AT(i, n)                                                                                            \
  put(dx + r * c + i,                                                                                                  \
      vfma(vload(x + r * c + i, n) - vload(mean + i, n), vload(k + c + i, n), vload(k + 2 * c + i, n)), add, n)
  for (int64_t r = 0; r < rows; r++) FOR_LANES(i, c, STATISTICS_AT);
#undef STATISTICS_AT
}
