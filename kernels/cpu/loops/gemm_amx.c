/* gemm_amx.c - f32 matrix products on AMX, which multiplies tiles of bfloat16 and sums in f32.
 *
 * A bfloat16 is the upper half of an f32, so three of them hold all 24 bits of an f32: x = x0 + x1 + x2, each the
 * remainder rounded to nearest. Of the nine products of two such sums the six largest are computed, smallest first; the
 * other three are below the last bit of an f32 (Henry, Tang, Heinecke 2019, "Leveraging the bfloat16 artificial
 * intelligence datatype for higher-precision computations", bf16x3). Measured against sums in double, the error is half
 * of that of a chain of f32 multiply-adds, at twice the speed. Differences from f32: parts below 1e-38 count as 0,
 * numbers above 3.39e38 as infinite. Infinity times the parts of a number is NaN, because most numbers have parts that
 * are 0 or of the other sign: a sum that is NaN is therefore computed again by f32 multiply-adds (plain_sums), so that
 * it is NaN or infinite exactly where that of f32 is.
 *
 * A tile is 16 rows of 64 bytes: a is 16 x 32, b is 32 x 16 stored as 16 interleaved pairs of rows, y is 16 x 16 in
 * f32. Packed operands are ordered by 16 rows (or columns), then by 32 of k, then by part. Four tiles of y are summed
 * at a time, from two tiles of a and two of b; meanwhile the next rows of a and the rows of y to be written are
 * prefetched. Prefetching the next columns, which helps AVX-512, costs 10 % here: they are read in order, and fast
 * enough. */
#include "kernels/cpu/loops/gemm.h"

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernels/cpu/loops/prefetch.h"

enum { SIDE = 16, DEPTH = 32, PARTS = 3, TILE = SIDE * DEPTH, BOTH = 2 * SIDE, SUMS = SIDE * SIDE };

/* Rows that are split at a time. Measured: up to 160, as long as they fit into a part of the L2 cache. */
enum { BLOCK_BYTES = 896 << 10, BLOCK_ROWS = 160 };

static int64_t depth_of(int64_t k) { return (k + DEPTH - 1) / DEPTH; } /* tiles along k */

static int64_t strip_of(int64_t k) { return depth_of(k) * PARTS * TILE; } /* elements of all tiles of 16 rows */

static size_t strips_bytes(int64_t k, int64_t width) {
  return sizeof(uint16_t) * (size_t)(strip_of(k) * ((width + SIDE - 1) / SIDE));
}

static int least(int64_t a, int b) { return a < b ? (a > 0 ? (int)a : 0) : b; }

bool lur_amx_permitted(void) {
#if defined(__linux__)
  enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 }; /* asm/prctl.h of Linux 5.16 */
  unsigned a = 7, b = 0, c = 0, d = 0;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  const bool tiles = d >> 24 & 1u, bf16 = d >> 22 & 1u;
  a = 7, c = 1;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  const bool rounds = a >> 5 & 1u; /* AVX512_BF16 */
  return tiles && bf16 && rounds && syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
  return false;
#endif
}

/* All eight tiles 16 rows of 64 bytes. */
static void configure(void) {
  struct {
    uint8_t palette, start_row, zero[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } config = {.palette = 1};
  for (int i = 0; i < 8; i++) {
    config.row_bytes[i] = 2 * DEPTH;
    config.rows[i] = SIDE;
  }
  __asm__ volatile("" ::: "memory"); /* the compiler does not know that the intrinsic reads memory */
  _tile_loadconfig(&config);
}

/* ---- parts ---- */

/* The leading part of v; v becomes the remainder, 0 if the part is infinite, so that the sum stays infinite. */
INLINE __m256i leading(__m512 *v) {
  const __m256i part = (__m256i)_mm512_cvtneps_pbh(*v);
  const __m512 back = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(part), 16));
  const __mmask16 finite = _mm512_cmp_ps_mask(_mm512_abs_ps(back), _mm512_set1_ps(INFINITY), _CMP_LT_OQ);
  *v = _mm512_maskz_sub_ps(finite, *v, back);
  return part;
}

/* One row of a tile of a: 32 of k. */
INLINE void split_row(__m512 low, __m512 high, uint16_t *to) {
  for (int part = 0; part < PARTS; part++, to += TILE) {
    const __m256i l = leading(&low), h = leading(&high);
    _mm512_storeu_si512(to, _mm512_inserti64x4(_mm512_castsi256_si512(l), h, 1));
  }
}

/* One pair of rows of a tile of b: 16 columns each. */
INLINE void split_pair(__m512 even, __m512 odd, uint16_t *to) {
  for (int part = 0; part < PARTS; part++, to += TILE) {
    const __m512i e = _mm512_cvtepu16_epi32(leading(&even)), o = _mm512_cvtepu16_epi32(leading(&odd));
    _mm512_storeu_si512(to, _mm512_or_si512(e, _mm512_slli_epi32(o, 16)));
  }
}

/* to[16][16] = from[rows][columns] transposed, filled up with zeros. */
static void transpose(const float *from, int64_t pitch, int rows, int columns, float *to, int to_pitch) {
  __m512i v[SIDE], w[SIDE];
  const __mmask16 mask = (__mmask16)((1u << columns) - 1);
  for (int i = 0; i < SIDE; i++)
    v[i] = i < rows ? (__m512i)_mm512_maskz_loadu_ps(mask, from + i * pitch) : _mm512_setzero_si512();
  for (int i = 0; i < SIDE; i += 2) {
    w[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    w[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
  for (int i = 0; i < SIDE; i += 4) {
    v[i] = _mm512_unpacklo_epi64(w[i], w[i + 2]);
    v[i + 1] = _mm512_unpackhi_epi64(w[i], w[i + 2]);
    v[i + 2] = _mm512_unpacklo_epi64(w[i + 1], w[i + 3]);
    v[i + 3] = _mm512_unpackhi_epi64(w[i + 1], w[i + 3]);
  }
  /* Quarter q of v[4 g + j]: column 4 q + j of rows 4 g .. 4 g + 3. */
  for (int j = 0; j < 4; j++) {
    const __m512i a = _mm512_shuffle_i32x4(v[j], v[4 + j], 0x88), b = _mm512_shuffle_i32x4(v[j], v[4 + j], 0xdd);
    const __m512i c = _mm512_shuffle_i32x4(v[8 + j], v[12 + j], 0x88),
                  d = _mm512_shuffle_i32x4(v[8 + j], v[12 + j], 0xdd);
    _mm512_storeu_si512(to + j * to_pitch, _mm512_shuffle_i32x4(a, c, 0x88));
    _mm512_storeu_si512(to + (4 + j) * to_pitch, _mm512_shuffle_i32x4(b, d, 0x88));
    _mm512_storeu_si512(to + (8 + j) * to_pitch, _mm512_shuffle_i32x4(a, c, 0xdd));
    _mm512_storeu_si512(to + (12 + j) * to_pitch, _mm512_shuffle_i32x4(b, d, 0xdd));
  }
}

/* ---- packing ---- */

static void pack(const float *w, int64_t k, int64_t n, int64_t begin, int64_t end, void *packed) {
  for (int64_t at = begin; at < end; at += SIDE) {
    uint16_t *to = (uint16_t *)packed + at / SIDE * strip_of(k);
    const int columns = least(n - at, SIDE);
    for (int64_t p = 0; p < k; p += DEPTH, to += PARTS * TILE) {
      for (int i = 0; i < SIDE; i++) {
        const int64_t row = p + 2 * i;
        split_pair((__m512)(row < k ? vload(w + row * n + at, columns) : vset(0)),
                   (__m512)(row + 1 < k ? vload(w + (row + 1) * n + at, columns) : vset(0)), to + i * DEPTH);
      }
    }
  }
}

static void pack_transposed(const float *w, int64_t k, int64_t n, int64_t begin, int64_t end, void *packed) {
  float block[DEPTH][SIDE];
  for (int64_t at = begin; at < end; at += SIDE) {
    uint16_t *to = (uint16_t *)packed + at / SIDE * strip_of(k);
    const int rows = least(n - at, SIDE);
    for (int64_t p = 0; p < k; p += DEPTH, to += PARTS * TILE) {
      transpose(w + at * k + p, k, rows, least(k - p, SIDE), block[0], SIDE);
      transpose(w + at * k + p + SIDE, k, k - p > SIDE ? rows : 0, least(k - p - SIDE, SIDE), block[SIDE], SIDE);
      for (int i = 0; i < SIDE; i++)
        split_pair(_mm512_loadu_ps(block[2 * i]), _mm512_loadu_ps(block[2 * i + 1]), to + i * DEPTH);
    }
  }
}

static void pack_tiles(const float *x, int64_t k, int64_t width, int64_t begin, int64_t end, void *tiles) {
  float block[SIDE][DEPTH];
  for (int64_t p = 0; p < k; p += DEPTH) {
    for (int64_t at = begin; at < end; at += SIDE) {
      uint16_t *to = (uint16_t *)tiles + at / SIDE * strip_of(k) + p * PARTS * SIDE;
      const int columns = least(end - at, SIDE);
      transpose(x + p * width + at, width, least(k - p, SIDE), columns, block[0], DEPTH);
      transpose(x + (p + SIDE) * width + at, width, least(k - p - SIDE, SIDE), columns, block[0] + SIDE, DEPTH);
      for (int i = 0; i < SIDE; i++)
        split_row(_mm512_loadu_ps(block[i]), _mm512_loadu_ps(block[i] + SIDE), to + i * DEPTH);
    }
  }
}

/* Splits rows of a[rows k]. The rows missing from the last 16 are not written: they affect only rows of y that are not
   stored. */
static void split_rows(const float *a, int64_t k, int64_t rows, uint16_t *to) {
  for (int64_t r = 0; r < rows; r++) {
    uint16_t *row = to + r / SIDE * strip_of(k) + r % SIDE * DEPTH;
    for (int64_t p = 0; p < k; p += DEPTH, row += PARTS * TILE)
      split_row((__m512)vload(a + r * k + p, least(k - p, SIDE)),
                (__m512)(k - p > SIDE ? vload(a + r * k + p + SIDE, least(k - p - SIDE, SIDE)) : vset(0)), row);
  }
  __asm__ volatile("" ::: "memory");
}

/* ---- multiplying ---- */

/* What a square prefetches while it multiplies: its share of the data that is read afterwards, next_step lines per
   step, and the rows of y that it writes, `step` of them per step. */
typedef struct ahead {
  lines next;
  int64_t next_step;
  const float *y;
  int64_t pitch, rows, step;
} ahead;

/* Of a square that takes `steps` steps. */
INLINE ahead ahead_of(lines next, const float *y, int64_t pitch, int64_t rows, int64_t steps) {
  return (ahead){next, (next.count + steps - 1) / steps, y, pitch, rows, BOTH / steps + 1};
}

INLINE void prefetch_ahead(ahead *f) {
  for (int64_t i = 0; i < f->next_step && f->next.count > 0; i++) lines_prefetch(&f->next);
  for (int64_t i = 0; i < f->step && f->rows > 0; i++, f->rows--, f->y += f->pitch) {
    _mm_prefetch((const char *)f->y, _MM_HINT_T0);
    _mm_prefetch((const char *)(f->y + SIDE), _MM_HINT_T0);
    _mm_prefetch((const char *)(f->y + BOTH - 1), _MM_HINT_T0);
  }
}

#define LOAD_A(part)                                                                                                   \
  do {                                                                                                                 \
    _tile_loadd(4, a + (part)*TILE, 64);                                                                               \
    if (rows == 2) _tile_loadd(5, a2 + (part)*TILE, 64);                                                               \
  } while (0)
#define LOAD_B(part)                                                                                                   \
  do {                                                                                                                 \
    _tile_loadd(6, b + (part)*TILE, 64);                                                                               \
    if (columns == 2) _tile_loadd(7, b2 + (part)*TILE, 64);                                                            \
  } while (0)
#define MULTIPLY()                                                                                                     \
  do {                                                                                                                 \
    _tile_dpbf16ps(0, 4, 6);                                                                                           \
    if (columns == 2) _tile_dpbf16ps(1, 4, 7);                                                                         \
    if (rows == 2) _tile_dpbf16ps(2, 5, 6);                                                                            \
    if (rows == 2 && columns == 2) _tile_dpbf16ps(3, 5, 7);                                                            \
  } while (0)

/* sums = strips of a times strips of b: rows x columns tiles of 16 x 16, the upper ones first. */
INLINE void multiply(const uint16_t *a, const uint16_t *b, int64_t k, int rows, int columns, ahead f,
                     float sums[4][SUMS]) {
  const uint16_t *a2 = a + strip_of(k), *b2 = b + strip_of(k);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t d = depth_of(k); d > 0; d--) {
    prefetch_ahead(&f);
    LOAD_A(2);
    LOAD_B(0);
    MULTIPLY();
    LOAD_A(1);
    MULTIPLY();
    LOAD_B(1);
    MULTIPLY();
    LOAD_A(0);
    MULTIPLY();
    LOAD_B(2);
    MULTIPLY();
    LOAD_B(0);
    MULTIPLY();
    a += PARTS * TILE, a2 += PARTS * TILE, b += PARTS * TILE, b2 += PARTS * TILE;
  }
  _tile_stored(0, sums[0], 64);
  if (columns == 2) _tile_stored(1, sums[1], 64);
  if (rows == 2) _tile_stored(2, sums[2], 64);
  if (rows == 2 && columns == 2) _tile_stored(3, sums[3], 64);
}

static void multiply22(const uint16_t *a, const uint16_t *b, int64_t k, ahead f, float sums[4][SUMS]) {
  multiply(a, b, k, 2, 2, f, sums);
}

/* At the end of rows, columns or both, where a single strip remains. */
static void multiply_rest(const uint16_t *a, const uint16_t *b, int64_t k, int rows, int columns, ahead f,
                          float sums[4][SUMS]) {
  if (rows == 2) multiply(a, b, k, 2, 1, f, sums);
  else if (columns == 2) multiply(a, b, k, 1, 2, f, sums);
  else multiply(a, b, k, 1, 1, f, sums);
}

/* Up to 32 x 32 of y, at row r and column c of [rows n]. */
typedef struct square {
  int64_t r, c, rows, n;
} square;

/* What a square was multiplied from: its first strips of a and b. */
typedef struct strips {
  const uint16_t *a, *b;
  int64_t k;
} strips;

/* The two numbers of each pair at p, which is the first of their parts: even ones and odd ones. */
INLINE void join_pairs(const uint16_t *p, vec *even, vec *odd) {
  *even = *odd = vset(0);
  for (int part = 0; part < PARTS; part++, p += TILE) {
    const __m512i pairs = _mm512_loadu_si512(p);
    *even += (vec)_mm512_slli_epi32(pairs, 16);
    *odd += (vec)_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000u));
  }
}

/* The number whose first part is at p. */
INLINE float join(const uint16_t *p) {
  float sum = 0;
  for (int part = 0; part < PARTS; part++, p += TILE) {
    const uint32_t bits = (uint32_t)*p << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    sum += value;
  }
  return sum;
}

/* The sums of row i of a square and its columns `half`, in f32. Ends early if all lanes of `wanted` are NaN. */
static __attribute__((noinline)) vec plain_sums(const strips *s, int64_t i, int half, __mmask16 wanted) {
  const uint16_t *a = s->a + i / SIDE * strip_of(s->k) + i % SIDE * DEPTH, *b = s->b + half * strip_of(s->k);
  vec sum = vset(0);
  for (int64_t d = depth_of(s->k); d > 0; d--, a += PARTS * TILE, b += PARTS * TILE) {
    for (int p = 0; p < SIDE; p++) {
      vec even, odd;
      join_pairs(b + p * DEPTH, &even, &odd);
      sum = vfma(vset(join(a + 2 * p)), even, sum);
      sum = vfma(vset(join(a + 2 * p + 1)), odd, sum);
    }
    if ((_mm512_cmp_ps_mask((__m512)sum, (__m512)sum, _CMP_UNORD_Q) & wanted) == wanted) break;
  }
  return sum;
}

/* Stores a square: y = [relu](sums + bias [+ residual]); `add`: y += sums. */
INLINE void put(const square *q, const strips *s, float sums[4][SUMS], bool add, const float *bias,
                const float *residual, bool relu, float *y) {
  for (int half = 0; half < 2; half++) {
    const int64_t column = q->c + half * SIDE;
    const int n = least(q->n - column, SIDE);
    if (n == 0) continue;
    const __mmask16 lanes = (__mmask16)((1u << n) - 1);
    const vec shift = bias ? vload(bias + column, n) : vset(0);
    for (int64_t r = q->r; r < q->r + BOTH && r < q->rows; r++) {
      const int64_t at = r * q->n + column, i = r - q->r;
      vec v = vload(sums[i / SIDE * 2 + half] + i % SIDE * SIDE, LANES);
      const __mmask16 nan = _mm512_mask_cmp_ps_mask(lanes, (__m512)v, (__m512)v, _CMP_UNORD_Q);
      if (nan) v = (vec)_mm512_mask_mov_ps((__m512)v, nan, (__m512)plain_sums(s, i, half, nan));
      v += shift;
      if (residual) v += vload(residual + at, n);
      if (add) v += vload(y + at, n);
      vstore(y + at, relu ? vrelu(v) : v, n);
    }
  }
}

INLINE void sum_square(const square *q, const strips *s, ahead f, float sums[4][SUMS]) {
  const int rows = q->rows - q->r > SIDE ? 2 : 1, columns = q->n - q->c > SIDE ? 2 : 1;
  if (rows == 2 && columns == 2) multiply22(s->a, s->b, s->k, f, sums);
  else multiply_rest(s->a, s->b, s->k, rows, columns, f, sums);
}

static int64_t block_rows(int64_t k) {
  const int64_t rows = BLOCK_BYTES / (strip_of(k) * 2 / SIDE) / BOTH * BOTH;
  return rows < BOTH ? BOTH : rows > BLOCK_ROWS ? BLOCK_ROWS : rows;
}

static void gemm(const lur_gemm *p, const float *a, int64_t rows, const float *residual, float *y, void *work) {
  _Alignas(64) float sums[4][SUMS];
  const int64_t k = p->k, most = block_rows(k);
  configure();
  for (int64_t first = 0; first < rows; first += most) {
    const int64_t here = least(rows - first, (int)most), after = least(rows - first - here, (int)most);
    const float *next = after ? a + (first + here) * k : p->next;
    const int64_t next_bytes = (int64_t)sizeof(float) * (after ? after * k : p->next_floats);
    const int64_t squares = (here + BOTH - 1) / BOTH, panels = (p->n + BOTH - 1) / BOTH;
    split_rows(a + first * k, k, here, work);
    for (int64_t c = 0; c < p->n; c += BOTH) {
      for (int64_t i = 0; i < squares; i++) {
        const square q = {i * BOTH, c, here, p->n};
        const strips s = {(const uint16_t *)work + i * 2 * strip_of(k),
                          (const uint16_t *)p->packed + c / SIDE * strip_of(k), k};
        sum_square(&q, &s,
                   ahead_of(lines_part(next, next_bytes, squares * panels, c / BOTH * squares + i),
                            y + (first + q.r) * p->n + c, p->n, least(here - q.r, BOTH), depth_of(k)),
                   sums);
        put(&q, &s, sums, false, p->bias, residual ? residual + first * p->n : NULL, p->relu, y + first * p->n);
      }
    }
  }
  _tile_release();
}

static void gradient(const lur_gemm_gradient *g, float *dw) {
  _Alignas(64) float sums[4][SUMS];
  const int64_t squares = (g->end - g->begin + BOTH - 1) / BOTH;
  const lines none = {NULL, 0};
  configure();
  for (int64_t c = 0; c < g->n; c += BOTH) {
    for (int64_t i = 0; i < squares; i++) {
      const square q = {g->begin + i * BOTH, c, g->end, g->n};
      const strips s = {(const uint16_t *)g->tiles + q.r / SIDE * strip_of(g->k),
                        (const uint16_t *)g->packed + c / SIDE * strip_of(g->k), g->k};
      sum_square(&q, &s,
                 ahead_of(none, dw + q.r * g->n + c, g->n, least(g->end - q.r, BOTH), depth_of(g->k)), sums);
      put(&q, &s, sums, true, NULL, NULL, false, dw);
    }
  }
  _tile_release();
}

static size_t work_bytes(int64_t k) { return strips_bytes(k, block_rows(k)); }

/* Sizes measured on two cores against oneDNN 2.6, batch 8: gradients of 256 channels at 74x74 are 11 % faster, of 128
   at 147x147 30 % slower; 1x1 convolutions of 728 channels are 3 % slower fused with the depthwise one than after it.
 */
const lur_gemm_loops lur_gemm_loops_amx = {
    .name = "amx",
    .tile_rows = BOTH,
    .panel = BOTH,
    .min_depth = 128,
    .min_pixels = 256,
    .min_channels = 256,
    .max_fused = 1 << 18,
    .gemm = gemm,
    .gradient = gradient,
    .pack = pack,
    .pack_transposed = pack_transposed,
    .pack_tiles = pack_tiles,
    .packed_bytes = strips_bytes,
    .tiles_bytes = strips_bytes,
    .work_bytes = work_bytes,
};
