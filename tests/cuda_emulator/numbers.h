/* numbers.h - elements of the three activation types as doubles, for the emulated libraries. type: 0 f32, 1 f16, 2
 * bf16, 3 tf32: an f32 of which tensor cores read only the upper 19 bits. */
#ifndef EMULATED_NUMBERS_H
#define EMULATED_NUMBERS_H

#include <stddef.h>
#include <string.h>

#include "kernels/base.h"

enum { NUMBER_TF32 = 3 };

static inline double number_at(int type, const void *p, int64_t i) {
  if (type == 1) return (double)lur_f16_to_f32(((const uint16_t *)p)[i]);
  if (type == 2) return (double)lur_bf16_to_f32(((const uint16_t *)p)[i]);
  float v = ((const float *)p)[i];
  if (type == NUMBER_TF32) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits &= ~UINT32_C(0x1FFF);
    memcpy(&v, &bits, sizeof v);
  }
  return (double)v;
}

static inline void number_put(int type, void *p, int64_t i, double v) {
  if (type == 1)
    ((uint16_t *)p)[i] = lur_f32_to_f16((float)v);
  else if (type == 2)
    ((uint16_t *)p)[i] = lur_f32_to_bf16((float)v);
  else
    ((float *)p)[i] = (float)v;
}

#endif
