/* tensor_host.h - elements in host memory, for the engine's files that compute on host tensors. */
#ifndef LUR_TENSOR_HOST_H
#define LUR_TENSOR_HOST_H

#include "tensor.h"

/* Truncates and saturates; NaN is 0. */
int32_t lur_saturate_i32(double value);
/* Converts count elements between any two dtypes, host memory. i32 and u8 truncate and saturate. */
void lur_elements_convert(void *dst, lur_dtype to, const void *src, lur_dtype from, int64_t count);

/* LUR_EDEVICE, naming what, for a tensor that is not in host memory. */
lur_status lur_tensor_need_host(const char *what, const lur_tensor *tensor);
/* *y: the host tensor as f32 (or i32), retained where it is that already, else cast. */
lur_status lur_tensor_as(const char *what, lur_tensor *tensor, lur_dtype dtype, lur_tensor **y);
/* A new host tensor whose elements are not set. */
lur_status lur_tensor_blank(lur_context *context, lur_dtype dtype, const lur_shape *shape, lur_tensor **tensor);
/* Copies bytes between two devices' memories; done when it returns. */
lur_status lur_memory_copy(lur_device *dst_device, void *dst, lur_device *src_device, const void *src, size_t bytes);

/* Four draws from N(0, 1), and from [0, 1), of counter (high, low): Box and Muller, Ann. Math. Stat. 29 (1958). */
void lur_random_normal4(uint64_t key, uint64_t high, uint64_t low, double normal[4]);

#endif
