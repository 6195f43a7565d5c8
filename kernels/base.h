/* base.h - what every floor uses: status, data type, shape.
 *
 * Nothing here allocates memory or depends on a device. Every other header includes this one; it includes no other
 * header of Lurcher. Functions that can fail return lur_status, return results through their last arguments and write
 * no output when they fail; the function that detects the failure writes the message with lur_fail. */
#ifndef LUR_BASE_H
#define LUR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Around what a header declares: C linkage, and the library exports the functions. All others are hidden. */
#if defined(__GNUC__)
#define LUR_EXPORT_BEGIN _Pragma("GCC visibility push(default)")
#define LUR_EXPORT_END _Pragma("GCC visibility pop")
#else
#define LUR_EXPORT_BEGIN
#define LUR_EXPORT_END
#endif
#ifdef __cplusplus
#define LUR_API_BEGIN extern "C" { LUR_EXPORT_BEGIN
#define LUR_API_END LUR_EXPORT_END }
#else
#define LUR_API_BEGIN LUR_EXPORT_BEGIN
#define LUR_API_END LUR_EXPORT_END
#endif

LUR_API_BEGIN

typedef enum lur_status {
  LUR_OK = 0,
  LUR_ENOMEM,       /* out of memory, on the host or on a device */
  LUR_EARG,         /* a wrong argument or option: the programmer's mistake */
  LUR_ESHAPE,       /* shapes that do not fit together */
  LUR_ETYPE,        /* data types that do not fit together */
  LUR_ESTATE,       /* a call at the wrong time: closed, not compiled, no optimizer */
  LUR_EIO,          /* the operating system refused: missing file, permission, full disk */
  LUR_EFORMAT,      /* a file that is damaged or not in the format it should be in */
  LUR_EUNSUPPORTED, /* a valid request that this backend or build does not support */
  LUR_EDEVICE,      /* the device or its driver failed */
  LUR_EINTERRUPTED, /* stopped by request */
  LUR_STATUS_COUNT
} lur_status;

/* The short name of a status, "ENOMEM" for LUR_ENOMEM. Never NULL. */
const char *lur_status_name(lur_status status);

/* Writes the calling thread's message (at most 511 bytes) and returns status, for use as
   return lur_fail(LUR_ESHAPE, "conv2d '%s': input has %d channels, weights expect %d", ...). */
lur_status lur_fail(lur_status status, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* Puts "prefix: " before the calling thread's message and returns status: which object failed, before the reason. */
lur_status lur_blame(lur_status status, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* The calling thread's last message; "" if nothing has failed yet. Valid until the thread's next failure. */
const char *lur_last_error(void);

#define LUR_TRY(call)                            \
  do {                                           \
    lur_status lur_try_status_ = (call);         \
    if (lur_try_status_ != LUR_OK) return lur_try_status_; \
  } while (0)

/* ---- data types ---- */

typedef enum lur_dtype { LUR_F32 = 0, LUR_F16, LUR_BF16, LUR_I32, LUR_U8, LUR_DTYPE_COUNT } lur_dtype;

size_t lur_dtype_size(lur_dtype dtype);      /* bytes per element */
const char *lur_dtype_name(lur_dtype dtype); /* "f32" */
/* LUR_EARG for any other name than f32, f16, bf16, i32, u8. */
lur_status lur_dtype_from_name(const char *name, lur_dtype *dtype);

float lur_f16_to_f32(uint16_t half);
uint16_t lur_f32_to_f16(float value); /* round to nearest even, overflow to infinity */
float lur_bf16_to_f32(uint16_t brain);
uint16_t lur_f32_to_bf16(float value); /* round to nearest even */

/* ---- shapes ---- */

enum { LUR_MAX_DIMS = 6 };

/* Extents, the first dimension outermost; images are N H W C. ndim 0 is a scalar: one element. */
typedef struct lur_shape {
  int ndim;
  int64_t dim[LUR_MAX_DIMS];
} lur_shape;

int64_t lur_shape_count(const lur_shape *shape); /* number of elements; lur_shape_check must have passed */
bool lur_shape_equal(const lur_shape *a, const lur_shape *b);
/* LUR_ESHAPE for a negative extent, more than LUR_MAX_DIMS dimensions, more than 2^40 elements, or an empty shape whose
   other extents give more than 2^31. */
lur_status lur_shape_check(const lur_shape *shape);
enum { LUR_SHAPE_TEXT = 96 };
/* Writes "64x299x299x3" ("scalar" for ndim 0) and returns text. */
char *lur_shape_format(const lur_shape *shape, char text[LUR_SHAPE_TEXT]);

LUR_API_END
#endif
