/* move.h - bodies of loops that move elements: transposed blocks, and sums of four rows. Compiled only by loops_*.c. */

#define BLEND_AT(i, n)                                                                                  \
  vstore(y + i,                                                                                         \
         vfma(vload(p[3] + i, n), vset(weight[3]),                                                      \
              vfma(vload(p[2] + i, n), vset(weight[2]),                                                 \
                   vfma(vload(p[1] + i, n), vset(weight[1]), vload(p[0] + i, n) * vset(weight[0])))),   \
         n)

static void blend(const float *const p[4], const float weight[4], float *y, int64_t count) {
  FOR_LANES(i, count, BLEND_AT);
}

/* Blocks of BLOCK_SIDE squared: what is read with a stride stays in the L1 cache until its lines are used up. */
enum { BLOCK_SIDE = 16 };

static void transpose(const float *from, int64_t from_stride, float *to, int64_t to_stride, bool add, int64_t rows,
                      int64_t columns) {
  for (int64_t i0 = 0; i0 < rows; i0 += BLOCK_SIDE) {
    const int64_t i1 = i0 + BLOCK_SIDE < rows ? i0 + BLOCK_SIDE : rows;
    for (int64_t j0 = 0; j0 < columns; j0 += BLOCK_SIDE) {
      const int64_t j1 = j0 + BLOCK_SIDE < columns ? j0 + BLOCK_SIDE : columns;
      for (int64_t j = j0; j < j1; j++) {
        float *row = to + j * to_stride;
        const float *column = from + j;
        if (add)
          for (int64_t i = i0; i < i1; i++) row[i] += column[i * from_stride];
        else
          for (int64_t i = i0; i < i1; i++) row[i] = column[i * from_stride];
      }
    }
  }
}
