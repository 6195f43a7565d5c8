/* loops.h - the hand-written inner loops, one table per instruction set. The op files choose ranges and threads; a loop
 * runs on one thread and accesses nothing outside its range.
 *
 * The bodies are in elementwise.h, activation.h, binary.h, batchnorm.h, layernorm.h, move.h, depthwise_conv2d.h, pool.h
 * and update.h, written once with the types of vector.h and compiled by loops_portable.c, loops_avx2.c and
 * loops_avx512.c. A new loop: a field here, a body there, a line in table.h. */
#ifndef LUR_CPU_LOOPS_H
#define LUR_CPU_LOOPS_H

#include "kernels/backend.h"

/* An image ih iw c, the result oh ow, and the window: kernel kh kw, stride sh sw, padding pt pl (top, left). */
typedef struct lur_window_shape {
  int64_t ih, iw, oh, ow, c;
  int kh, kw, sh, sw, pt, pl;
} lur_window_shape;

/* A batch norm, per channel: y = (x - mean) * scale + shift, where scale = gamma / std and shift = beta. */
typedef struct lur_norm {
  const float *mean, *scale, *shift;
} lur_norm;

typedef struct lur_binary_grads {
  const float *a, *b, *y, *dy; /* a, b: NULL if no slope needs them; y: NULL without relu */
  float *da, *db;              /* NULL where not wanted */
  bool add_a, add_b;
} lur_binary_grads;

/* The inputs and outputs of the gradients of a depthwise convolution. */
typedef struct lur_depthwise_conv2d_grads {
  const float *x;      /* NULL if neither sums nor relu_in need it */
  const float *affine; /* scale, then shift; NULL: none */
  const float *w, *dy;
  float *dx; /* = or +=; NULL: not wanted */
  double *sums; /* += dw (kh kw c); with affine two more rows of c: inner dx times x, and inner dx; NULL: not wanted */
  float *work;  /* as many elements as sums */
  bool relu_in, add;
} lur_depthwise_conv2d_grads;

typedef struct lur_pool_grads {
  const float *dy;
  const uint8_t *winner;   /* NULL: an average */
  const float *x, *affine; /* x: NULL without sums. affine: NULL for none */
  float *dx;               /* = or +=; NULL: not wanted */
  double *sums;            /* += two rows of c: inner dx times x, and inner dx; NULL: not wanted, or no affine */
  float *work;             /* as many elements as sums */
  bool add;
} lur_pool_grads;

typedef struct lur_loops {
  const char *name;

  /* ---- element by element over n ---- */
  void (*activate)(const lur_activation_desc *desc, const float *x, float *y, int64_t n);
  /* v: x where lur_activation_reads_x says so, else y. */
  void (*activate_back)(const lur_activation_desc *desc, const float *v, const float *dy, float *dx, bool add,
                        int64_t n);
  /* numbers: bit 0 or 1 set: a or b is one number. */
  void (*binary)(const lur_binary_desc *desc, unsigned numbers, const float *a, const float *b, float *y, int64_t n);
  void (*binary_back)(const lur_binary_desc *desc, const lur_binary_grads *g, int64_t n);
  void (*where)(const float *condition, const float *a, const float *b, float *y, int64_t n);
  /* The gradients of a and b; either may be NULL. */
  void (*where_back)(const float *condition, const float *dy, float *da, bool add_a, float *db, bool add_b, int64_t n);
  void (*affine)(float scale, float shift, const float *x, float *y, bool add, int64_t n); /* y = or += */
  void (*mask)(const float *y, const float *dy, float *out, int64_t n);                    /* 0 where y <= 0, else dy */

  void (*floats)(const uint8_t *x, float *y, int64_t n); /* y = x */

  /* ---- rows x c ---- */
  void (*column_sums)(const float *x, int64_t rows, int64_t c, float *work,
                      double *sums); /* sums[c] +=; work: c floats */
  void (*softmax)(const float *x, float *y, int64_t rows, int64_t c);
  void (*softmax_back)(const float *y, const float *dy, float *dx, bool add, int64_t rows, int64_t c);

  /* sums[c] += sum (x - pivot), sums[c..2c] += sum (x - pivot)^2; work: 2c floats. */
  void (*norm_stats)(const float *x, const float *pivot, int64_t rows, int64_t c, float *work, double *sums);
  void (*norm_forward)(const lur_norm *norm, const float *x, const float *residual, bool relu, float *y, int64_t rows,
                       int64_t c);
  /* g = dy where the gate is open, else 0. The gate is open where y > 0 or NaN (gate_y), else where the norm of x is
     (gate_norm), else everywhere. sums[c] += sum g, sums[c..2c] += sum g * (x - mean), the latter not if x is NULL;
     work: 2c floats. */
  void (*norm_sums)(const lur_norm *norm, const float *x, const float *gate_y, bool gate_norm, const float *dy,
                    int64_t rows, int64_t c, float *work, double *sums);
  /* dx = g * k[0..c] and, with `batch`, + (x - mean) * k[c..2c] + k[2c..3c]. dx1 = g (residual). x: NULL if nothing
     reads it. */
  void (*norm_back)(const lur_norm *norm, const float *k, bool batch, const float *x, const float *gate_y,
                    bool gate_norm, const float *dy, float *dx, bool add, float *dx1, bool add1, int64_t rows,
                    int64_t c);
  /* dx = or += (x - mean) * k[c..2c] + k[2c..3c]: only the part of dx that comes through the statistics. */
  void (*norm_back_statistics)(const float *mean, const float *k, const float *x, float *dx, bool add, int64_t rows,
                               int64_t c);

  /* Layer norm of rows of c. saved: mean and reciprocal standard deviation of each row; NULL: not wanted. gamma, beta:
     NULL for none. */
  void (*layernorm)(const float *x, const float *gamma, const float *beta, double epsilon, float *y, float *saved,
                    int64_t rows, int64_t c);
  void (*layernorm_back)(const float *x, const float *gamma, const float *saved, const float *dy, float *dx, bool add,
                         int64_t rows, int64_t c);
  /* sums[c] += sum dy, sums[c..2c] += sum dy * (x - mean) / std, the latter not if x is NULL; work: 2c floats. */
  void (*layernorm_sums)(const float *x, const float *saved, const float *dy, int64_t rows, int64_t c, float *work,
                         double *sums);
  double (*row_sum)(const float *x, int64_t n);
  /* y = sum over k of weight[k] * p[k], 4 of them */
  void (*blend)(const float *const p[4], const float weight[4], float *y, int64_t n);
  /* to[j * to_stride + i] = or += from[i * from_stride + j], for i < rows and j < columns */
  void (*transpose)(const float *from, int64_t from_stride, float *to, int64_t to_stride, bool add, int64_t rows,
                    int64_t columns);

  /* ---- depthwise convolution of one image; rows y0..y1 of the result ---- */
  void (*depthwise_conv2d)(const lur_window_shape *s, const float *x, const float *affine, bool relu_in, const float *w,
                    const float *bias, bool relu, float *y, int64_t y0, int64_t y1); /* affine, bias: NULL for none */
  /* bias: NULL for none. Returns false if a result was NaN, which is stored as 0. */
  bool (*depthwise_conv2d_int8)(const lur_window_shape *s, const float *x, bool relu_in, const float *w,
                                const float *bias, uint8_t *y, int64_t y0, int64_t y1);
  void (*depthwise_conv2d_back)(const lur_window_shape *s, const lur_depthwise_conv2d_grads *g, int64_t y0,
                         int64_t y1); /* rows of the input */

  /* ---- pooling of one image ---- */
  void (*max_pool)(const lur_window_shape *s, const float *x, const float *affine, float *y, uint8_t *winner,
                   int64_t y0, int64_t y1); /* affine, winner: NULL for none */
  void (*avg_pool)(const lur_window_shape *s, const float *x, const float *affine, float *y, int64_t y0, int64_t y1);
  void (*pool_back)(const lur_window_shape *s, const lur_pool_grads *g, int64_t y0, int64_t y1); /* rows of the input */

  /* ---- optimizers: elements begin..end of a parameter ---- */
  void (*update)(const lur_update *u, const lur_parameter *parameter, int64_t begin, int64_t end);
  double (*squares)(const float *g, int64_t n);
  void (*lerp)(float *p, const float *g, float share, int64_t n); /* p += share * (g - p); 1 copies */
} lur_loops;

extern const lur_loops lur_loops_portable, lur_loops_avx2, lur_loops_avx512;

/* The widest table that this processor can run; LURCHER_CPU_ISA=portable|avx2|avx512 selects a narrower one (tests). */
const lur_loops *lur_loops_pick(void);

#endif
