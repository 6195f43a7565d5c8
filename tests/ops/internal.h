/* internal.h - what the suite's own files share: guarded buffers, filled operands, the run of one variant. */
#ifndef SUITE_INTERNAL_H
#define SUITE_INTERNAL_H

#include "suite.h"

enum { MAX_DEVICES = 4 };

struct suite {
  int ndevices;
  lur_device *devices[MAX_DEVICES];   /* devices[0] is ref */
  bool compare_only;                  /* no finite differences */
  int cases, checks, failed, skipped; /* of the current kind */
};

/* ---- guarded device buffers (buffer.c) ---- */

typedef struct buffer {
  lur_device *device;
  char *base; /* device memory: guard, payload, guard */
  size_t bytes;
} buffer;

/* Filled with NaN when data is NULL. */
lur_status buffer_new(lur_device *device, size_t bytes, const void *data, buffer *b);
void *buffer_data(const buffer *b); /* NULL for a buffer of no bytes */
lur_status buffer_poison(const buffer *b);
/* Copies the payload to host (may be NULL); *intact: whether both guards are unchanged. */
lur_status buffer_read(const buffer *b, void *host, bool *intact);
void buffer_free(buffer *b);

/* ---- host operands (data.c) ---- */

/* What goes into a case, made once: x, w, dy, and what dx and dw hold before. */
typedef struct inputs {
  void *x[LUR_MAX_OPERANDS];
  float *w[LUR_MAX_WEIGHTS], *dy, *dx0[LUR_MAX_OPERANDS], *dw0[LUR_MAX_WEIGHTS];
} inputs;

/* The results; NULL if not wanted. w: the moving statistics of batch norm. */
typedef struct outputs {
  float *y, *w[LUR_MAX_WEIGHTS], *dx[LUR_MAX_OPERANDS], *dw[LUR_MAX_WEIGHTS];
} outputs;

size_t operand_bytes(const lur_operand *operand);
int64_t operand_count(const lur_operand *operand);
bool weight_present(const lur_op_desc *desc, int index);
void *check_alloc(size_t bytes);
void inputs_new(const op_case *c, inputs *in);
void inputs_free(inputs *in);
void outputs_free(outputs *out);

/* ---- one run (variant.c) ---- */

typedef struct variant {
  const char *name;
  unsigned want_dx, want_dw, dx_add;
  bool in_place, dx_in_place;
} variant;

/* Plans, runs forward and, if gradients are wanted, backward, with guards around and NaN in all memory. Returns false
   if the suite has counted a failure. */
bool variant_run(suite *s, lur_device *device, const op_case *c, const inputs *in, const variant *v, outputs *out);

/* ---- finite differences (difference.c) ---- */

/* Compares the gradients of `out` (from ref) with finite differences of sum(y * dy). */
void difference_check(suite *s, const op_case *c, const inputs *in, const outputs *out);

double rms(const float *v, int64_t count);

/* ---- NaN and infinity (nonfinite.c) ---- */

/* NaN where `want` is NaN, the same infinity where it is infinite, else within the tolerance. */
bool nonfinite_agree(double got, double want, double tolerance);
/* As rms, of the finite elements only. */
double nonfinite_rms(const float *v, int64_t count);
/* Writes `special` to some elements of v, which the key decides. */
void nonfinite_put(float *v, int64_t count, float special, uint64_t key);
/* Whether windows of a conv2d read pixels outside the image, which libraries may multiply as 0. */
bool nonfinite_padded(const lur_op_desc *desc);
/* Runs the case on every device with NaN and infinity in each operand. all: the variant with every gradient. */
void nonfinite_check(suite *s, const op_case *c, const inputs *in, const variant *all, double eps, double atol);

#endif
