/* emulator.h - how a test controls the emulated plugin: dlsym(plugin, "emulated_control").
 *
 * With EMULATED_CUDA_LAUNCHES=FILE in the environment the plugin writes, at exit, every place that launched a kernel
 * and how often; with EMULATED_CUDA_COUNTS=FILE the counts below, as lines "name number". */
#ifndef EMULATOR_H
#define EMULATOR_H

#include <stddef.h>
#include <stdint.h>

typedef struct emulator_counts {
  uint64_t launches;        /* kernels and library calls that ran */
  uint64_t allocations;     /* of device and pinned memory, and by libraries, streams, events and graphs */
  uint64_t waits;           /* calls in which the host waited for the device */
  uint64_t uploaded;        /* bytes copied from the host to the device */
  size_t device, host;      /* bytes of device and of pinned memory allocated now */
} emulator_counts;

typedef struct emulator {
  void (*counts)(emulator_counts *counts);
  void (*fail_allocation)(uint64_t n); /* the n-th allocation from now on fails, once; 0: none */
  void (*fail_launch)(uint64_t n);     /* the device fails at the n-th launch from now on; 0: it works (again) */
  const char *(*failed_file)(void);    /* of the launch that failed: "kernels/cuda/pool.cu", "cudnn" or "cublasLt" */
} emulator;

#endif
