/* suite.h - the op suite: cases are data, every device runs them.
 *
 * A case is an op description, how to fill its operands, and tolerances. suite_check runs it on every device: forward
 * and backward against ref, gradients of ref against finite differences, guard zones around every buffer, outputs,
 * scratch and saved filled with NaN, input gradients overwritten and added, in place where the plan allows it, twice
 * for the same bits, and with NaN and infinity in every operand. suite_half runs a description in f16 and bf16. The suite depends on no particular op: each op kind
 * has a file with its cases, its golden values and its invalid descriptions. A new op: a file here with ops_NAME;
 * LUR_OP_KINDS (kernels/op_desc.h) declares, builds and registers it. */
#ifndef SUITE_H
#define SUITE_H

#include <stdio.h>

#include "kernels/backend.h"

typedef enum fill {
  FILL_UNIFORM = 0, /* -1..1 */
  FILL_AWAY,        /* 0.2..1 with either sign: away from a kink at zero */
  FILL_POSITIVE,    /* 0.5..1.5 */
  FILL_WIDE,        /* -4..4: logits */
  FILL_DISTINCT,    /* evenly spaced numbers in random order: no ties, no near ties */
  FILL_TIES,        /* -1, 0 or 1 */
  FILL_UNIT,        /* 0.05..0.95: probabilities */
  FILL_ONE_HOT,     /* rows of the last dimension */
  FILL_ROWS_OF_ONE, /* rows of positive numbers that sum to 1 */
  FILL_BITS,        /* 0 or 1 */
  FILL_SAMPLE,      /* sample weights: 0..2, every fourth 0 */
  FILL_SMALL,       /* 0.01 of FILL_UNIFORM */
  FILL_WHOLE,       /* integers from -127 to 127 */
  FILL_HALVES,      /* multiples of 1/2 from -16 to 48 */
  FILL_ZERO
} fill;

typedef struct op_case {
  char name[96];
  lur_op_desc desc;
  fill x[LUR_MAX_OPERANDS], w[LUR_MAX_WEIGHTS];
  int32_t limit;     /* i32 operands: 0..limit-1 */
  double eps, atol;  /* of devices against ref: eps * (|ref| + rms(ref)) + atol; 0: suite's */
  double step;       /* of finite differences; 0: the suite's */
  double slope_atol; /* of finite differences: added to 1e-3 * (|g| + rms(g)); 0: the suite's */
  bool optional;     /* a device may return LUR_EUNSUPPORTED */
} op_case;

typedef struct suite suite;

/* ---- operands for tables ---- */

#define SHAPE(...) ((lur_shape){(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})
#define F32(...) ((lur_operand){LUR_F32, SHAPE(__VA_ARGS__)})
#define I32(...) ((lur_operand){LUR_I32, SHAPE(__VA_ARGS__)})

/* An empty case; suite_check asks for every gradient that exists. */
op_case suite_case(lur_op_kind kind, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Runs the case on every device. */
void suite_check(suite *s, const op_case *c);

/* Runs a description of an f32 op, with every gradient that exists, in f16 and bf16 (conv2d and dense also in tf32) on
   the devices that support them, and compares with ref in f32. limit: i32 operands are 0..limit-1. */
void suite_half(suite *s, const char *name, lur_op_desc desc, int32_t limit);
#define HALF(s, kind_, name, limit, ...)                                                                               \
  suite_half(s, name, (lur_op_desc){.kind = LUR_OP_##kind_, __VA_ARGS__}, limit)

/* The description must be refused on every device with this status and a message that contains the text. */
void suite_reject(suite *s, const char *name, const lur_op_desc *desc, lur_status status, const char *text);

/* ---- golden values ---- */

typedef struct plain_args { /* host memory */
  const void *x[LUR_MAX_OPERANDS];
  float *w[LUR_MAX_WEIGHTS];
  float *y;
  const float *dy; /* NULL: no backward */
  float *dx[LUR_MAX_OPERANDS], *dw[LUR_MAX_WEIGHTS];
  uint64_t seed, step;
} plain_args;

int suite_devices(const suite *s);
lur_device *suite_device(const suite *s, int index);
/* Runs one op on a device with host arrays; desc->want_dx and want_dw select what is returned in dx and dw (which start
   from zero). Returns false, and counts a failure, if a call fails. */
bool suite_run(suite *s, lur_device *device, const lur_op_desc *desc, const plain_args *args);
/* One check: counted, and printed when it failed. */
bool suite_expect(suite *s, bool ok, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* |got - expected| <= atol + eps * |expected| for all. */
void suite_near(suite *s, const char *what, const lur_device *device, const float *got, const double *expected,
                int64_t count, double atol, double eps);

/* Uniform numbers in [0, 1), a function of (key, index): the same on each run. */
double suite_uniform(uint64_t key, int64_t index);

/* ---- one file per op kind, and those that are not about one op ---- */

#define SUITE_OP(KIND, name) void ops_##name(suite *s);
LUR_OP_KINDS(SUITE_OP)
#undef SUITE_OP
void ops_update(suite *s);
void ops_device(suite *s);
void ops_half(suite *s);
void ops_int8(suite *s);
void ops_nonfinite(suite *s);

#endif
