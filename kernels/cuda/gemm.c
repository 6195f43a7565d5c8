/* gemm.c - products of row-major matrices on cuBLASLt, planned once and run without allocating.
 *
 * cuBLASLt is column-major: the transpose of d is the transpose of b times the transpose of a, so b comes first and no
 * data is moved. f32 is strict unless tf32 is set. Half types are multiplied directly and summed in f32. */
#include <stdlib.h>
#include <string.h>

#include "host.h"

/* The alignment of pointers that is promised (the contract gives 64); the number of algorithms considered. */
enum { ALIGNMENT = 16, ANSWERS = 8 };
static const size_t MOST_WORKSPACE = (size_t)32 << 20;

struct lur_cuda_gemm {
  cublasLtMatmulDesc_t desc;
  cublasLtMatrixLayout_t a, b, d;
  cublasLtMatmulAlgo_t algorithm;
  size_t workspace;
};

static cudaDataType_t type_of(lur_dtype dtype) {
  return dtype == LUR_F16 ? CUDA_R_16F : dtype == LUR_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

#define SET(attribute, value) \
  CUBLAS_TRY(device, cublasLtMatmulDescSetAttribute(g->desc, attribute, &(value), sizeof(value)))

static lur_status batch(lur_device *device, cublasLtMatrixLayout_t layout, int64_t count, int64_t stride) {
  const int32_t matrices = (int32_t)count;
  CUBLAS_TRY(device, cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &matrices,
                                                      sizeof matrices));
  CUBLAS_TRY(device, cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride,
                                                      sizeof stride));
  return LUR_OK;
}

static lur_status describe(lur_device *device, const lur_cuda_gemm_desc *d, lur_cuda_gemm *g) {
  bool tf32 = d->tf32 && lur_cuda_state_of(device)->major >= 8; /* older devices multiply in f32 */
  cublasComputeType_t compute = tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  CUBLAS_TRY(device, cublasLtMatmulDescCreate(&g->desc, compute, CUDA_R_32F));
  cublasOperation_t first = d->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                    second = d->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  SET(CUBLASLT_MATMUL_DESC_TRANSA, first);
  SET(CUBLASLT_MATMUL_DESC_TRANSB, second);
  /* Not its ReLU: max(x, 0), of which NVIDIA does not say that NaN stays NaN. */
  cublasLtEpilogue_t epilogue = d->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  SET(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
  if (d->bias) { /* the choice of an algorithm depends on its alignment, which must not exceed that of the run */
    const void *placeholder = (const char *)lur_cuda_partials(device) + ALIGNMENT;
    SET(CUBLASLT_MATMUL_DESC_BIAS_POINTER, placeholder);
  }
  cudaDataType_t ab = type_of(d->ab), out = type_of(d->d);
  uint64_t m = (uint64_t)d->m, n = (uint64_t)d->n, k = (uint64_t)d->k;
  CUBLAS_TRY(device, cublasLtMatrixLayoutCreate(&g->b, ab, d->b_transposed ? k : n, d->b_transposed ? n : k,
                                                d->b_transposed ? d->k : d->n));
  CUBLAS_TRY(device, cublasLtMatrixLayoutCreate(&g->a, ab, d->a_transposed ? m : k, d->a_transposed ? k : m,
                                                d->a_transposed ? d->m : d->k));
  CUBLAS_TRY(device, cublasLtMatrixLayoutCreate(&g->d, out, n, m, d->n));
  if (d->batch <= 1) return LUR_OK;
  LUR_TRY(batch(device, g->a, d->batch, d->m * d->k));
  LUR_TRY(batch(device, g->b, d->batch, d->k * d->n));
  return batch(device, g->d, d->batch, d->m * d->n);
}

static lur_status prefer(lur_device *device, bool half, uint32_t alignment,
                         cublasLtMatmulPreference_t preference) {
  static const cublasLtMatmulPreferenceAttributes_t sides[] = {
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
  const uint64_t workspace = MOST_WORKSPACE;
  /* A long sum may be split. With a half d its parts must be added in f32: otherwise each would be rounded. */
  const uint32_t reductions = half ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE : CUBLASLT_REDUCTION_SCHEME_MASK;
  CUBLAS_TRY(device, cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                          &workspace, sizeof workspace));
  CUBLAS_TRY(device, cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                          &reductions, sizeof reductions));
  for (int i = 0; i < 4; i++)
    CUBLAS_TRY(device, cublasLtMatmulPreferenceSetAttribute(preference, sides[i], &alignment, sizeof alignment));
  return LUR_OK;
}

static lur_status choose(lur_device *device, const lur_cuda_gemm_desc *d, cublasLtMatmulPreference_t preference,
                         lur_cuda_gemm *g) {
  cublasLtMatmulHeuristicResult_t found[ANSWERS];
  int n = 0, best = 0;
  LUR_TRY(prefer(device, d->d != LUR_F32, d->alignment ? d->alignment : ALIGNMENT, preference));
  cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(lur_cuda_state_of(device)->blas, g->desc, g->b, g->a, g->d,
                                                         g->d, preference, ANSWERS, found, &n);
  if (status != CUBLAS_STATUS_NOT_SUPPORTED)
    LUR_TRY(lur_cublas_check(device, status, "cublasLtMatmulAlgoGetHeuristic"));
  while (best < n && found[best].state != CUBLAS_STATUS_SUCCESS)
    best++; /* otherwise nothing else of the answer is valid */
  if (best >= n)
    return lur_fail(LUR_EUNSUPPORTED, "%s: cuBLASLt has no algorithm for this matrix product", device->name);
  g->algorithm = found[best].algo;
  g->workspace = found[best].workspaceSize;
  return LUR_OK;
}

lur_status lur_cuda_gemm_plan(lur_device *device, const lur_cuda_gemm_desc *desc, lur_cuda_gemm **gemm) {
  cublasLtMatmulPreference_t preference = NULL;
  if (desc->batch > INT32_MAX) return lur_fail(LUR_EUNSUPPORTED, "%lld matrices are too many", (long long)desc->batch);
  lur_cuda_gemm *g = calloc(1, sizeof *g);
  if (!g) return lur_fail(LUR_ENOMEM, "no memory for a plan");
  lur_status status = describe(device, desc, g);
  if (status == LUR_OK)
    status = lur_cublas_check(device, cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
  if (status == LUR_OK) status = choose(device, desc, preference, g);
  if (preference) cublasLtMatmulPreferenceDestroy(preference);
  if (status == LUR_OK)
    *gemm = g;
  else
    lur_cuda_gemm_release(g);
  return status;
}

size_t lur_cuda_gemm_workspace(const lur_cuda_gemm *gemm) { return lur_cuda_workspace_room(gemm->workspace); }

lur_status lur_cuda_gemm_run(lur_device *device, const lur_cuda_gemm *g, const void *a, const void *b, const void *c,
                        const void *bias, void *d, void *workspace) {
  cudaStream_t stream = lur_cuda_enter(device);
  const float alpha = 1, beta = c ? 1 : 0;
  if (bias) SET(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  CUBLAS_TRY(device,
             cublasLtMatmul(lur_cuda_state_of(device)->blas, g->desc, &alpha, b, g->b, a, g->a, &beta, c ? c : d,
                            g->d, d, g->d, &g->algorithm, lur_cuda_workspace(workspace), g->workspace, stream));
  return lur_cuda_launched(device);
}

void lur_cuda_gemm_release(lur_cuda_gemm *gemm) {
  if (!gemm) return;
  if (gemm->desc) cublasLtMatmulDescDestroy(gemm->desc);
  if (gemm->a) cublasLtMatrixLayoutDestroy(gemm->a);
  if (gemm->b) cublasLtMatrixLayoutDestroy(gemm->b);
  if (gemm->d) cublasLtMatrixLayoutDestroy(gemm->d);
  free(gemm);
}
