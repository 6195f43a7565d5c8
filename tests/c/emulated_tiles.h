/* emulated_tiles.h - the AMX instructions of kernels/cpu/loops/gemm_amx.c in plain C, so that the file is tested on
 * processors without AMX: test_gemm compiles it a second time with this header before it, under other names. Rows of a
 * tile are 16 times 64 bytes, which is how the file configures them. The processor needs AVX512_BF16. */
#ifndef EMULATED_TILES_H
#define EMULATED_TILES_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define lur_gemm_loops_amx lur_gemm_loops_amx_emulated
#define lur_amx_permitted lur_amx_permitted_emulated

static __thread unsigned char emulated_tile[8][16][64];

static void emulated_move(int tile, void *memory, int64_t stride, int load) {
  for (int row = 0; row < 16; row++) {
    unsigned char *at = (unsigned char *)memory + row * stride;
    if (load) memcpy(emulated_tile[tile][row], at, 64);
    else memcpy(at, emulated_tile[tile][row], 64);
  }
}

static float emulated_float(const unsigned char *bf16) {
  uint32_t bits = (uint32_t)(bf16[0] | bf16[1] << 8) << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* y += a times b, where row p of b holds rows 2p and 2p + 1 of the matrix, interleaved. */
static void emulated_multiply(int y, int a, int b) {
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 16; j++) {
      float sum;
      memcpy(&sum, emulated_tile[y][i] + 4 * j, sizeof sum);
      for (int p = 0; p < 32; p++) {
        const unsigned char *from = emulated_tile[b][p / 2] + 4 * j + p % 2 * 2;
        sum += emulated_float(emulated_tile[a][i] + 2 * p) * emulated_float(from);
      }
      memcpy(emulated_tile[y][i] + 4 * j, &sum, sizeof sum);
    }
}

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#define _tile_loadconfig(config) ((void)(config))
#define _tile_release() ((void)0)
#define _tile_loadd(tile, memory, stride) emulated_move(tile, (void *)(uintptr_t)(memory), stride, 1)
#define _tile_stored(tile, memory, stride) emulated_move(tile, memory, stride, 0)
#define _tile_zero(tile) ((void)memset(emulated_tile[tile], 0, sizeof emulated_tile[tile]))
#define _tile_dpbf16ps(y, a, b) emulated_multiply(y, a, b)

#endif
