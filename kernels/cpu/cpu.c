/* cpu.c - the cpu backend's table, device and memory. Its kernels call oneDNN or vectorized loops (loops/); ops without
 * a row in LUR_CPU_KERNELS (cpu.h) run on ref. */
#include "kernels/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

enum { CACHE_LINE = 64, HUGE_PAGE = 2 << 20 };

/* Large blocks use huge pages: rows of a wide image are a page or more apart, and with pages of 4 KB each column of a
   depthwise window misses the TLB. */
static lur_status cpu_alloc(lur_device *device, size_t bytes, void **memory) {
  const size_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : CACHE_LINE;
  const size_t rounded = bytes ? (bytes + align - 1) / align * align : align;
  void *made = rounded >= bytes ? aligned_alloc(align, rounded) : NULL;
  if (!made) return lur_fail(LUR_ENOMEM, "%s: no memory for %zu bytes", device->name, bytes);
#if defined(MADV_HUGEPAGE)
  if (align == HUGE_PAGE) (void)madvise(made, rounded, MADV_HUGEPAGE); /* may fail: only speed depends on it */
#endif
  *memory = made;
  return LUR_OK;
}

static lur_status cpu_open(lur_device *device) {
  LUR_TRY(lur_cpu_check_environment());
  lur_cpu *cpu = calloc(1, sizeof *cpu);
  if (!cpu) return lur_fail(LUR_ENOMEM, "%s: no memory for the device", device->name);
  cpu->loops = lur_loops_pick();
  cpu->gemm = lur_gemm_loops_pick();
  lur_status status = lur_dnn_open(&cpu->dnn);
  if (status != LUR_OK) {
    free(cpu);
    return lur_blame(status, "%s", device->name);
  }
  device->state = cpu;
  return LUR_OK;
}

static void cpu_close(lur_device *device) {
  lur_cpu *cpu = device->state;
  if (!cpu) return;
  lur_dnn_close(cpu->dnn);
  free(cpu);
  device->state = NULL;
}

/* Instruction sets, the oldest first; LURCHER_CPU_ISA names the newest that may be used. */
enum { ISA_PORTABLE, ISA_AVX2, ISA_AVX512, ISA_ANY };
static const char *const isa_names[ISA_ANY] = {"portable", "avx2", "avx512"};

/* -1: an unknown name. */
static int isa_limit(void) {
  const char *asked = getenv("LURCHER_CPU_ISA");
  if (asked == NULL || *asked == '\0') return ISA_ANY;
  for (int i = 0; i < ISA_ANY; i++)
    if (strcmp(asked, isa_names[i]) == 0) return i;
  return -1;
}

lur_status lur_cpu_check_environment(void) {
  if (isa_limit() >= 0) return LUR_OK;
  return lur_fail(LUR_EARG, "LURCHER_CPU_ISA is \"%.40s\" (portable, avx2 or avx512 expected)",
                  getenv("LURCHER_CPU_ISA"));
}

const lur_loops *lur_loops_pick(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512 && isa_limit() >= ISA_AVX512) return &lur_loops_avx512;
  if (avx2 && isa_limit() >= ISA_AVX2) return &lur_loops_avx2;
#endif
  return &lur_loops_portable;
}

const lur_gemm_loops *lur_gemm_loops_pick(void) {
#if defined(__x86_64__)
  if (lur_loops_pick() != &lur_loops_avx512) return NULL;
  if (isa_limit() == ISA_ANY && lur_amx_permitted()) return &lur_gemm_loops_amx;
  return &lur_gemm_loops_avx512;
#else
  return NULL;
#endif
}

/* Whether a depthwise_conv2d and this 1x1 conv2d after it run faster as one separable_conv2d (lur_backend). */
static bool fuses_separable(const lur_device *device, const lur_op_desc *pointwise) {
  const lur_gemm_loops *gemm = ((const lur_cpu *)device->state)->gemm;
  return gemm && lur_shape_count(&pointwise->w[0].shape) <= gemm->max_fused;
}

lur_status lur_cpu_plan_parent(lur_op *op) {
  op->kernel = lur_ref_backend.kernels[op->desc.kind];
  return op->kernel->plan(op);
}

bool lur_cpu_all_f32(const lur_op *op) {
  const lur_op_desc *d = &op->desc;
  bool all = d->y.dtype == LUR_F32;
  for (int i = 0; i < d->nx; i++) all = all && d->x[i].dtype == LUR_F32;
  for (int i = 0; i < d->nw; i++) all = all && (d->w[i].shape.ndim == 0 || d->w[i].dtype == LUR_F32);
  return all;
}

void lur_cpu_put(const lur_loops *loops, float *dst, const float *src, int64_t count, bool add) {
  if (dst == src && !add) return;
  const int64_t blocks = cpu_blocks(count);
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t b = 0; b < blocks; b++) {
    const int64_t at = b * CPU_BLOCK, n = cpu_block_size(count, b);
    if (add) loops->affine(1, 0, src + at, dst + at, true, n);
    else memcpy(dst + at, src + at, sizeof(float) * (size_t)n);
  }
}

void lur_cpu_relu(const lur_loops *loops, float *y, int64_t count) {
  static const lur_activation_desc relu = {.function = LUR_RELU};
  const int64_t blocks = cpu_blocks(count);
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t b = 0; b < blocks; b++)
    loops->activate(&relu, y + b * CPU_BLOCK, y + b * CPU_BLOCK, cpu_block_size(count, b));
}

void lur_cpu_mask(const lur_loops *loops, const float *y, const float *dy, float *out, int64_t count) {
  const int64_t blocks = cpu_blocks(count);
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t b = 0; b < blocks; b++)
    loops->mask(y + b * CPU_BLOCK, dy + b * CPU_BLOCK, out + b * CPU_BLOCK, cpu_block_size(count, b));
}

void lur_cpu_add_residual(const lur_loops *loops, const float *residual, bool relu, float *y, int64_t count) {
  const lur_binary_desc add = {LUR_ADD, relu};
  const int64_t blocks = cpu_blocks(count);
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t b = 0; b < blocks; b++) {
    const int64_t at = b * CPU_BLOCK;
    loops->binary(&add, 0, y + at, residual + at, y + at, cpu_block_size(count, b));
  }
}

void lur_cpu_put_sums(const double *sums, int parts, int64_t width, float *to, int64_t count, bool add) {
  for (int64_t i = 0; i < count; i++) {
    double sum = 0;
    for (int part = 0; part < parts; part++) sum += sums[part * width + i];
    to[i] = (float)(add ? (double)to[i] + sum : sum);
  }
}

size_t lur_cpu_columns_scratch(int parts, int64_t c) {
  return (size_t)parts * (size_t)c * (sizeof(double) + sizeof(float));
}

/* scratch: parts x c sums, then parts x c floats of work. */
void lur_cpu_columns(const lur_loops *loops, int parts, const float *dy, int64_t rows, int64_t c, void *scratch,
                     float *db) {
  double *sums = scratch;
  float *work = (float *)(sums + parts * c);
#pragma omp parallel for schedule(static, 1) if (parts > 1)
  for (int p = 0; p < parts; p++) {
    const int64_t begin = cpu_part_start(rows, parts, p), end = cpu_part_start(rows, parts, p + 1);
    memset(sums + p * c, 0, sizeof *sums * (size_t)c);
    loops->column_sums(dy + begin * c, end - begin, c, work + p * c, sums + p * c);
  }
  lur_cpu_put_sums(sums, parts, c, db, c, true);
}

#define ROW(KIND, name) [LUR_OP_##KIND] = &lur_cpu_##name,
const lur_backend lur_cpu_backend = {
    .name = "cpu",
    .parent = &lur_ref_backend,
    .host_memory = true,
    .affine = true,
    .int8 = true,
    .separable = fuses_separable,
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc, /* freed by ref's free */
    .update = lur_cpu_update,
    .gradient_norm = lur_cpu_gradient_norm,
    .lerp = lur_cpu_lerp,
    .kernels = {LUR_CPU_KERNELS(ROW)},
};
