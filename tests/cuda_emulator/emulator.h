/* emulator.h - what a test asks of the emulated plugin and tells it: dlsym(plugin, "emulated_control").
 *
 * EMULATED_CUDA_LAUNCHES=FILE in the environment writes, at exit, every place that launched a kernel and how often; and
 * EMULATED_CUDA_COUNTS=FILE the counts below, as "name number" lines. */
#ifndef EMULATOR_H
#define EMULATOR_H

#include <stddef.h>
#include <stdint.h>

typedef struct emulator_counts {
  uint64_t launches;        /* kernels and library calls that ran */
  uint64_t allocations;     /* of device and pinned memory, and of what libraries, streams, events and graphs take */
  uint64_t waits;           /* calls in which the host waited for the device */
  uint64_t uploaded;        /* bytes asked for from the host to the device */
  size_t device, host;      /* bytes of device and of pinned memory lent now */
} emulator_counts;

typedef struct emulator {
  void (*counts)(emulator_counts *counts);
  void (*fail_allocation)(uint64_t n); /* the n-th from now on fails, once; 0: none does */
  void (*fail_launch)(uint64_t n);     /* the n-th to run from now on loses the device; 0: none does, and it is back */
  const char *(*failed_file)(void);    /* of the kernel that lost it: "kernels/cuda/pool.cu", "cudnn" or "cublasLt" */
} emulator;

#endif
