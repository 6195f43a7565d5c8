/* cublaslt.c - the emulated cuBLASLt: column-major products in double, rounded once, with the epilogues of gemm.c.
 *
 * It needs a workspace and overwrites it, and refuses pointers that are not aligned as promised. To choose an algorithm
 * with a bias it must see the bias, and the run's bias must not be aligned worse. It has no epilogue if the first
 * extent is 7, so that callers run their alternative. The first algorithm of its answer does not work, as its state
 * says. It offers no algorithm if a half result could be rounded more than once, which the real library would do
 * silently. */
#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>

#include "numbers.h"
#include "streams.h"

enum { WORKSPACE = 1000, TAKEN = 77 };

struct cublasLtMatmulDescOpaque_t {
  cublasOperation_t a, b;
  cublasLtEpilogue_t epilogue;
  const void *bias;
  bool tf32;
};
struct cublasLtMatrixLayoutOpaque_t {
  int type;
  int64_t rows, columns, ld, stride;
  int32_t batch;
};
struct cublasLtMatmulPreferenceOpaque_t {
  uint64_t workspace;
  uint32_t reductions, alignment;
};

const char *cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS         ? "success"
         : status == CUBLAS_STATUS_NOT_SUPPORTED ? "not supported"
                                                 : "invalid value";
}

static void *zeroed(size_t bytes) { return calloc(1, bytes); }
#define CREATE(at) ((*(at) = zeroed(sizeof **(at))) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED)

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
  *handle = emulated_runs_out() ? NULL : malloc(1);
  return *handle ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  free(handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute, cudaDataType_t scale) {
  if ((compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32) || scale != CUDA_R_32F)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (CREATE(desc) != CUBLAS_STATUS_SUCCESS) return CUBLAS_STATUS_ALLOC_FAILED;
  (*desc)->tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  free(desc);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes) {
  void *to = attribute == CUBLASLT_MATMUL_DESC_TRANSA     ? (void *)&desc->a
             : attribute == CUBLASLT_MATMUL_DESC_TRANSB   ? (void *)&desc->b
             : attribute == CUBLASLT_MATMUL_DESC_EPILOGUE ? (void *)&desc->epilogue
                                                          : (void *)&desc->bias;
  if (bytes != (attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER ? sizeof(void *) : 4))
    return CUBLAS_STATUS_INVALID_VALUE;
  memcpy(to, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType_t type, uint64_t rows,
                                          uint64_t columns, int64_t ld) {
  if (ld < (int64_t)rows) return CUBLAS_STATUS_INVALID_VALUE;
  if (CREATE(layout) != CUBLAS_STATUS_SUCCESS) return CUBLAS_STATUS_ALLOC_FAILED;
  (*layout)->type = type == CUDA_R_16F ? 1 : type == CUDA_R_16BF ? 2 : 0;
  (*layout)->rows = (int64_t)rows;
  (*layout)->columns = (int64_t)columns;
  (*layout)->ld = ld;
  (*layout)->batch = 1;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void *value,
                                                size_t bytes) {
  if (bytes != (attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT ? 4 : 8)) return CUBLAS_STATUS_INVALID_VALUE;
  memcpy(bytes == 4 ? (void *)&layout->batch : (void *)&layout->stride, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  free(layout);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
  if (CREATE(preference) != CUBLAS_STATUS_SUCCESS) return CUBLAS_STATUS_ALLOC_FAILED;
  (*preference)->reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
  (*preference)->alignment = 256;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  free(preference);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                                    size_t bytes) {
  if (bytes != (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES ? 8 : 4)) return CUBLAS_STATUS_INVALID_VALUE;
  if (bytes == 8) memcpy(&preference->workspace, value, bytes);
  else if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) memcpy(&preference->reductions, value, bytes);
  else if (*(const uint32_t *)value < preference->alignment) preference->alignment = *(const uint32_t *)value;
  return CUBLAS_STATUS_SUCCESS;
}

static int fits(cublasLtMatmulDesc_t p, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t d) {
  int64_t m = p->a ? a->columns : a->rows, k = p->a ? a->rows : a->columns, k2 = p->b ? b->columns : b->rows,
          n = p->b ? b->rows : b->columns;
  return a->batch == d->batch && b->batch == d->batch && m == d->rows && n == d->columns && k == k2 && a->type == b->type && (d->type == a->type || d->type == 0);
}

/* The largest power of two, up to 256, that divides the address. */
static uintptr_t alignment_of(const void *p) {
  uintptr_t a = (uintptr_t)p;
  return a % 256 ? a & (~a + 1) : 256;
}

/* Whether every matrix of a batch is aligned as the first one may be. */
static int batch_aligned(cublasLtMatrixLayout_t layout, uint32_t alignment) {
  return layout->batch < 2 || layout->stride * (layout->type ? 2 : 4) % alignment == 0;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int *found) {
  *found = 0;
  if (!handle || wanted < 1 || c != d || !fits(desc, a, b, d)) return CUBLAS_STATUS_INVALID_VALUE;
  if (!batch_aligned(a, preference->alignment) || !batch_aligned(b, preference->alignment) ||
      !batch_aligned(d, preference->alignment))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if ((desc->epilogue & CUBLASLT_EPILOGUE_BIAS) && (!desc->bias || (uintptr_t)desc->bias % 16))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (preference->workspace < WORKSPACE || (desc->epilogue != CUBLASLT_EPILOGUE_DEFAULT && d->rows == 7))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (a->type == 2 && emulated_fault("turing")) return CUBLAS_STATUS_NOT_SUPPORTED; /* bf16 */
  if (d->type != 0 && preference->reductions != CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  *found = wanted < 2 ? wanted : 2;
  for (int i = 0; i < *found; i++) {
    memset(&results[i], 0, sizeof results[i]);
    results[i].state = i == 0 ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
    results[i].algo.data[0] = i == 0 ? 0 : TAKEN;
    results[i].algo.data[1] = desc->bias ? alignment_of(desc->bias) : 1;
    results[i].algo.data[2] = preference->alignment;
    results[i].workspaceSize = WORKSPACE;
  }
  return CUBLAS_STATUS_SUCCESS;
}

/* sums[i] = column j of op(A) op(B). */
static void gemm_column(cublasLtMatmulDesc_t p, const void *A, cublasLtMatrixLayout_t a, const void *B,
                        cublasLtMatrixLayout_t b, int64_t m, int64_t k, int64_t item, int64_t j, double *sums) {
  const int64_t in_a = item * a->stride, in_b = item * b->stride;
  const int type = a->type == 0 && p->tf32 ? NUMBER_TF32 : a->type;
  memset(sums, 0, sizeof *sums * (size_t)m);
  for (int64_t l = 0; l < k; l++) {
    double v = number_at(type, B, in_b + (p->b ? l * b->ld + j : j * b->ld + l));
    for (int64_t i = 0; i < m; i++) sums[i] += v * number_at(type, A, in_a + (p->a ? i * a->ld + l : l * a->ld + i));
  }
}

/* A product that runs later, with copies of the descriptors, which the caller may change. */
typedef struct matmul {
  struct cublasLtMatmulDescOpaque_t p;
  struct cublasLtMatrixLayoutOpaque_t a, b, c, d;
  const void *A, *B, *C;
  void *D, *workspace;
  double scale, keep;
} matmul;

static void multiply(const void *closure) {
  matmul w = *(const matmul *)closure;
  int64_t m = w.d.rows, n = w.d.columns, k = w.p.a ? w.a.rows : w.a.columns;
  bool bias = w.p.epilogue & CUBLASLT_EPILOGUE_BIAS, relu = w.p.epilogue & CUBLASLT_EPILOGUE_RELU;
  double *sums = malloc(sizeof *sums * (size_t)m);
  if (!sums) abort();
  memset(w.workspace, 0xFF, WORKSPACE);
  for (int64_t column = 0; column < w.d.batch * n; column++) {
    const int64_t item = column / n, j = column % n;
    gemm_column(&w.p, w.A, &w.a, w.B, &w.b, m, k, item, j, sums);
    for (int64_t i = 0; i < m; i++) {
      double v = w.scale * sums[i];
      if (w.keep != 0) v += w.keep * number_at(w.c.type, w.C, item * w.c.stride + j * w.c.ld + i);
      if (bias) v += number_at(w.d.type, w.p.bias, i);
      number_put(w.d.type, w.D, item * w.d.stride + j * w.d.ld + i, relu && !(v > 0) ? 0 : v); /* as fmax: NaN becomes 0 */
    }
  }
  free(sums);
}

static emulated_site *site_of(cublasLtMatmulDesc_t p, cublasLtMatrixLayout_t a) {
  static emulated_site sites[] = {{"cublasLt", "matmul", "", "f32", 0, NULL},
                                  {"cublasLt", "matmul", "", "f16", 0, NULL},
                                  {"cublasLt", "matmul", "", "bf16", 0, NULL},
                                  {"cublasLt", "matmul", "", "tf32", 0, NULL}};
  return &sites[a->type == 0 && p->tf32 ? 3 : a->type];
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t p, const void *alpha, const void *A,
                              cublasLtMatrixLayout_t a, const void *B, cublasLtMatrixLayout_t b, const void *beta,
                              const void *C, cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t bytes,
                              cudaStream_t stream) {
  bool bias = p->epilogue & CUBLASLT_EPILOGUE_BIAS;
  if (!handle || !stream || !algorithm || bytes < WORKSPACE || !fits(p, a, b, d) || (bias && !p->bias))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (((uintptr_t)A | (uintptr_t)B | (uintptr_t)C | (uintptr_t)D) % algorithm->data[2] ||
      (uintptr_t)(bias ? p->bias : NULL) % 16)
    return CUBLAS_STATUS_INVALID_VALUE;
  if ((uintptr_t)workspace % 256 || algorithm->data[0] != TAKEN) return CUBLAS_STATUS_INVALID_VALUE;
  if (bias && (uintptr_t)p->bias % algorithm->data[1]) return CUBLAS_STATUS_INVALID_VALUE;
  matmul w = {*p, *a, *b, *c, *d, A, B, C, D, workspace, (double)*(const float *)alpha, (double)*(const float *)beta};
  return emulated_enqueue(stream, site_of(p, a), multiply, &w, sizeof w) == cudaSuccess
             ? CUBLAS_STATUS_SUCCESS
             : CUBLAS_STATUS_EXECUTION_FAILED;
}
