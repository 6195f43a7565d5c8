/* base.c - see base.h. */
#include "base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "number.h"
#include "visible.h"

enum { MESSAGE_BYTES = 512 };
static _Thread_local char message[MESSAGE_BYTES];

const char *lur_status_name(lur_status status) {
  static const char *const names[LUR_STATUS_COUNT] = {
      "OK", "ENOMEM", "EARG", "ESHAPE", "ETYPE", "ESTATE", "EIO", "EFORMAT", "EUNSUPPORTED", "EDEVICE", "EINTERRUPTED"};
  return (unsigned)status < LUR_STATUS_COUNT ? names[status] : "unknown status";
}

/* Sets the message. It may hold names from files: it becomes one line that a terminal can show. */
static void set_message(const char *text) {
  size_t length = strlen(text);
  if (length == MESSAGE_BYTES - 1) { /* cut off, perhaps within a character */
    while (length > MESSAGE_BYTES - 4 && ((unsigned char)text[length - 1] & 0xC0) == 0x80) length--;
    if ((unsigned char)text[length - 1] >= 0xC0) length--;
  }
  lur_visible(text, length, false, message, MESSAGE_BYTES);
}

lur_status lur_fail(lur_status status, const char *format, ...) {
  /* Formatted into another buffer first: an argument may be the old message itself. */
  char text[MESSAGE_BYTES];
  va_list args;
  va_start(args, format);
  lur_vformat(text, sizeof text, format, args);
  va_end(args);
  set_message(text);
  return status;
}

lur_status lur_blame(lur_status status, const char *format, ...) {
  char text[MESSAGE_BYTES];
  va_list args;
  va_start(args, format);
  int used = lur_vformat(text, sizeof text, format, args);
  va_end(args);
  if (used >= 0 && (size_t)used < sizeof text) {
    size_t room = sizeof text - (size_t)used;
    snprintf(text + used, room, ": %.*s", (int)room, message);
  }
  set_message(text);
  return status;
}

const char *lur_last_error(void) { return message; }

static const struct {
  const char *name;
  size_t size;
} dtypes[LUR_DTYPE_COUNT] = {{"f32", 4}, {"f16", 2}, {"bf16", 2}, {"i32", 4}, {"u8", 1}};

size_t lur_dtype_size(lur_dtype dtype) { return dtypes[dtype].size; }
const char *lur_dtype_name(lur_dtype dtype) {
  return (unsigned)dtype < LUR_DTYPE_COUNT ? dtypes[dtype].name : "unknown dtype";
}

lur_status lur_dtype_from_name(const char *name, lur_dtype *dtype) {
  for (int i = 0; i < LUR_DTYPE_COUNT; i++) {
    if (strcmp(name, dtypes[i].name) == 0) {
      *dtype = (lur_dtype)i;
      return LUR_OK;
    }
  }
  return lur_fail(LUR_EARG, "unknown dtype '%s' (f32, f16, bf16, i32 or u8 expected)", name);
}

static uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

float lur_bf16_to_f32(uint16_t brain) { return float_of((uint32_t)brain << 16); }

uint16_t lur_f32_to_bf16(float value) {
  uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((bits >> 16) | 0x40u); /* a NaN stays a NaN */
  return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float lur_f16_to_f32(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
  uint32_t exponent = (half >> 10) & 0x1fu, mantissa = half & 0x3ffu;
  if (exponent == 0x1fu) return float_of(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) { /* zero or subnormal: value = mantissa * 2^-24 */
    float value = (float)mantissa * 0x1p-24f;
    return sign ? -value : value;
  }
  return float_of(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

uint16_t lur_f32_to_f16(float value) {
  uint32_t bits = bits_of(value), sign = (bits >> 16) & 0x8000u;
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
  if (bits >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and up round to infinity */
  if (bits < 0x38800000u) {                                   /* below 2^-14: subnormal, one rounding by the FPU */
    float shifted = float_of(bits) + 0x1p-1f;                 /* ulp of [0.5, 1) is 2^-24 */
    return (uint16_t)(sign | (bits_of(shifted) - bits_of(0x1p-1f)));
  }
  uint32_t rounded = bits - 0x38000000u + 0xfffu + ((bits >> 13) & 1u);
  return (uint16_t)(sign | (rounded >> 13));
}

int64_t lur_shape_count(const lur_shape *shape) {
  int64_t count = 1;
  for (int i = 0; i < shape->ndim; i++) count *= shape->dim[i];
  return count;
}

bool lur_shape_equal(const lur_shape *a, const lur_shape *b) {
  if (a->ndim != b->ndim) return false;
  for (int i = 0; i < a->ndim; i++) {
    if (a->dim[i] != b->dim[i]) return false;
  }
  return true;
}

lur_status lur_shape_check(const lur_shape *shape) {
  const int64_t limit = (int64_t)1 << 40, empty_limit = (int64_t)1 << 31;
  if (shape->ndim < 0 || shape->ndim > LUR_MAX_DIMS) {
    return lur_fail(LUR_ESHAPE, "a shape has %d dimensions (0 to %d expected)", shape->ndim, LUR_MAX_DIMS);
  }
  int64_t count = 1; /* without the extents that are 0: loops go over them even where there is nothing inside */
  bool empty = false;
  for (int i = 0; i < shape->ndim; i++) {
    int64_t extent = shape->dim[i];
    if (extent < 0) return lur_fail(LUR_ESHAPE, "extent %d of a shape is negative (%lld)", i + 1, (long long)extent);
    if (extent == 0) empty = true;
    else if (count > limit / extent) return lur_fail(LUR_ESHAPE, "a shape has more than 2^40 elements");
    else count *= extent;
  }
  if (empty && count > empty_limit)
    return lur_fail(LUR_ESHAPE, "a shape is empty, and has extents whose product is more than 2^31");
  return LUR_OK;
}

char *lur_shape_format(const lur_shape *shape, char text[LUR_SHAPE_TEXT]) {
  if (shape->ndim == 0) {
    snprintf(text, LUR_SHAPE_TEXT, "scalar");
    return text;
  }
  int used = 0;
  text[0] = '\0';
  for (int i = 0; i < shape->ndim && used < LUR_SHAPE_TEXT - 1; i++) {
    used += snprintf(text + used, (size_t)(LUR_SHAPE_TEXT - used), i ? "x%lld" : "%lld", (long long)shape->dim[i]);
  }
  return text;
}
