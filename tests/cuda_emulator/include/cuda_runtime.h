/* cuda_runtime.h of the emulator: what a .cu file needs to compile as C++. A launch runs its blocks one after another
 * and the threads of a block as coroutines (threads.cpp), so that barriers and shuffles work as on a GPU. */
#ifndef EMULATED_CUDA_RUNTIME_H
#define EMULATED_CUDA_RUNTIME_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <type_traits>

#include "cuda_runtime_api.h"
#include "tests/cuda_emulator/streams.h"

#define LUR_CUDA_EMULATED 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static thread_local /* one block runs at a time; threads.cpp overwrites what blocks left in it */

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

/* ---- threads.cpp ---- */

void __syncthreads();
/* Waits for all lanes of the warp; *result = the value of lane `source`. bytes <= 16. */
void emulated_exchange(unsigned mask, const void *value, size_t bytes, int source, void *result);
/* Calls thread(closure) for every thread when the stream reaches the launch; closure has `bytes` bytes. */
void emulated_launch(emulated_site *site, dim3 grid, dim3 block, cudaStream_t stream, void (*thread)(const void *),
                     const void *closure, size_t bytes);
void emulated_misaligned(const void *pointer, size_t bytes);

static inline int emulated_lane() {
  return (int)((threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x) % 32;
}

template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  T result;
  emulated_exchange(mask, &value, sizeof value, emulated_lane() ^ lanes, &result);
  return result;
}

template <class T>
static inline T __shfl_sync(unsigned mask, T value, int lane) {
  T result;
  emulated_exchange(mask, &value, sizeof value, lane, &result);
  return result;
}

static inline float __uint_as_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

template <class F>
static inline void emulated_call(const void *closure) {
  (*static_cast<const F *>(closure))();
}

/* Arguments are evaluated now; the kernel runs when the stream reaches it. */
template <class G, class... A>
static inline void emulated_run(const char *file, const char *kernel, const char *where, dim3 grid, dim3 block,
                                cudaStream_t stream, G g, A... arguments) {
  static emulated_site site = {file, kernel, where, __PRETTY_FUNCTION__, 0, NULL};
  auto f = [=] { g(arguments...); };
  static_assert(std::is_trivially_copyable<decltype(f)>::value, "a kernel's arguments are copied byte by byte");
  emulated_launch(&site, grid, block, stream, emulated_call<decltype(f)>, &f, sizeof f);
}

#define LUR_LAUNCH(kernel, grid, block, stream, ...)                                                                   \
  emulated_run(                                                                                                        \
      __FILE__, #kernel, __PRETTY_FUNCTION__, grid, block, stream, [](const auto &...a) { kernel(a...); },             \
      __VA_ARGS__)

#define LUR_CHECK_ALIGNED(pointer, bytes)                                        \
  do {                                                                           \
    if ((uintptr_t)(pointer) % (bytes)) emulated_misaligned((pointer), (bytes)); \
  } while (0)

#endif
