/* elementwise.h - bodies of the loops over elements and over rows of elements. Compiled only by loops_*.c.
 *
 * Except for sums, inputs and outputs may be the same memory: each element is read before it is written. */
/* ---- gates ---- */

#define MASK_AT(i, n) vstore(out + i, vgate(vload(y + i, n), vload(dy + i, n)), n)

static void mask(const float *y, const float *dy, float *out, int64_t count) { FOR_LANES(i, count, MASK_AT); }

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
