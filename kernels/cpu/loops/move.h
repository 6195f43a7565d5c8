/* move.h - bodies of loops that move elements: transposed blocks, and sums of four rows. Compiled only by loops_*.c. */
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#define BLEND_AT(i, n)                                                                                  \
  vstore(y + i,                                                                                         \
         vfma(vload(p[3] + i, n), vset(weight[3]),                                                      \
              vfma(vload(p[2] + i, n), vset(weight[2]),                                                 \
                   vfma(vload(p[1] + i, n), vset(weight[1]), vload(p[0] + i, n) * vset(weight[0])))),   \
         n)

static void blend(const float *const p[4], const float weight[4], float *y, int64_t count) {
  FOR_LANES(i, count, BLEND_AT);
}

INLINE void transpose_plain(const float *from, int64_t from_stride, float *to, int64_t to_stride, bool add,
                            int64_t rows, int64_t columns) {
  for (int64_t j = 0; j < columns; j++)
    for (int64_t i = 0; i < rows; i++) {
      float *at = to + j * to_stride + i;
      *at = add ? *at + from[i * from_stride + j] : from[i * from_stride + j];
    }
}

#if defined(__SSE__)
INLINE void store_four(float *to, __m128 v, bool add) { _mm_storeu_ps(to, add ? _mm_add_ps(_mm_loadu_ps(to), v) : v); }

INLINE void transpose_four(const float *from, int64_t from_stride, float *to, int64_t to_stride, bool add) {
  __m128 a = _mm_loadu_ps(from), b = _mm_loadu_ps(from + from_stride), c = _mm_loadu_ps(from + 2 * from_stride),
         d = _mm_loadu_ps(from + 3 * from_stride);
  _MM_TRANSPOSE4_PS(a, b, c, d);
  store_four(to, a, add);
  store_four(to + to_stride, b, add);
  store_four(to + 2 * to_stride, c, add);
  store_four(to + 3 * to_stride, d, add);
}
#else
INLINE void transpose_four(const float *from, int64_t from_stride, float *to, int64_t to_stride, bool add) {
  transpose_plain(from, from_stride, to, to_stride, add, 4, 4);
}
#endif

/* Blocks of BLOCK_SIDE squared: what is read and written with a stride stays in the L1 cache until its lines are used
   up. Inside, 4 by 4 in registers. */
enum { BLOCK_SIDE = 16 };

INLINE void transpose_block(const float *from, int64_t from_stride, float *to, int64_t to_stride, bool add,
                            int64_t rows, int64_t columns) {
  const int64_t i4 = rows / 4 * 4, j4 = columns / 4 * 4;
  for (int64_t j = 0; j < j4; j += 4)
    for (int64_t i = 0; i < i4; i += 4)
      transpose_four(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride, add);
  transpose_plain(from + j4, from_stride, to + j4 * to_stride, to_stride, add, rows, columns - j4);
  transpose_plain(from + i4 * from_stride, from_stride, to + i4, to_stride, add, rows - i4, j4);
}

static void transpose(const float *from, int64_t from_stride, float *to, int64_t to_stride, bool add, int64_t rows,
                      int64_t columns) {
  for (int64_t i = 0; i < rows; i += BLOCK_SIDE) {
    const int64_t tall = BLOCK_SIDE < rows - i ? BLOCK_SIDE : rows - i;
    for (int64_t j = 0; j < columns; j += BLOCK_SIDE) {
      const int64_t wide = BLOCK_SIDE < columns - j ? BLOCK_SIDE : columns - j;
      transpose_block(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride, add, tall, wide);
    }
  }
}
