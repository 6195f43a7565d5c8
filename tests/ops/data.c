/* data.c - fills operands with numbers that are the same in each run. A new fill: a case in `number`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "kernels/random.h"

void *check_alloc(size_t bytes) {
  void *memory = malloc(bytes ? bytes : 1);
  if (!memory) {
    fprintf(stderr, "test_ops: no memory for %zu bytes\n", bytes);
    exit(3);
  }
  return memory;
}

int64_t operand_count(const lur_operand *operand) { return lur_shape_count(&operand->shape); }
size_t operand_bytes(const lur_operand *operand) {
  return lur_dtype_size(operand->dtype) * (size_t)operand_count(operand);
}

bool weight_present(const lur_op_desc *desc, int index) {
  if (desc->kind == LUR_OP_LAYERNORM || desc->kind == LUR_OP_GROUPNORM)
    return index == 0 ? desc->u.layernorm.has_gamma : desc->u.layernorm.has_beta;
  if (desc->kind != LUR_OP_BATCHNORM) return true;
  return index == 0 ? desc->u.batchnorm.has_gamma : index == 1 ? desc->u.batchnorm.has_beta : true;
}

double suite_uniform(uint64_t key, int64_t index) {
  return (double)lur_random_unit(lur_philox(lur_random_mix(key), 7, (uint64_t)index).v[0]);
}

static double number(fill f, uint64_t key, int64_t i) {
  double u = suite_uniform(key, i);
  switch (f) {
  case FILL_UNIFORM: return 2 * u - 1;
  case FILL_AWAY: return u < 0.5 ? -0.2 - 1.6 * u : 0.2 + 1.6 * (u - 0.5);
  case FILL_POSITIVE: return 0.5 + u;
  case FILL_WIDE: return 8 * u - 4;
  case FILL_TIES: return floor(3 * u) - 1;
  case FILL_UNIT: return 0.05 + 0.9 * u;
  case FILL_ROWS_OF_ONE: return 0.1 + u;
  case FILL_BITS: return u < 0.5 ? 0 : 1;
  case FILL_SAMPLE: return i % 4 == 3 ? 0 : 2 * u;
  case FILL_SMALL: return 0.02 * u - 0.01;
  case FILL_WHOLE: return floor(255 * u) - 127;
  case FILL_HALVES: return floor(128 * u) / 2 - 16;
  case FILL_DISTINCT:
  case FILL_ONE_HOT:
  case FILL_ZERO: break;
  }
  return 0;
}

static void shuffle_spaced(float *v, int64_t count, uint64_t key) {
  for (int64_t i = 0; i < count; i++) v[i] = 0.03125f * ((float)i - 0.5f * (float)count + 0.25f);
  for (int64_t i = count - 1; i > 0; i--) {
    int64_t j = (int64_t)(suite_uniform(key, i) * (double)(i + 1));
    float t = v[i];
    v[i] = v[j];
    v[j] = t;
  }
}

static void rows(float *v, int64_t count, int64_t c, fill f, uint64_t key) {
  for (int64_t r = 0; r < count / c; r++) {
    double sum = 0;
    for (int64_t i = 0; i < c; i++) sum += (double)v[r * c + i];
    int64_t hot = (int64_t)(suite_uniform(key, r) * (double)c);
    for (int64_t i = 0; i < c; i++) v[r * c + i] = f == FILL_ONE_HOT ? (i == hot) : (float)((double)v[r * c + i] / sum);
  }
}

static void *filled(const lur_operand *operand, fill f, int32_t limit, uint64_t key) {
  int64_t count = operand_count(operand);
  void *data = check_alloc(operand_bytes(operand));
  if (operand->dtype == LUR_I32) {
    for (int64_t i = 0; i < count; i++) ((int32_t *)data)[i] = (int32_t)(suite_uniform(key, i) * (double)limit);
    return data;
  }
  if (operand->dtype != LUR_F32) { /* arbitrary bytes, for ops that only copy them */
    for (size_t i = 0; i < operand_bytes(operand); i++)
      ((unsigned char *)data)[i] = (unsigned char)(256 * suite_uniform(key, (int64_t)i));
    return data;
  }
  float *v = data;
  for (int64_t i = 0; i < count; i++) v[i] = (float)number(f, key, i);
  if (f == FILL_DISTINCT) shuffle_spaced(v, count, key);
  if (f == FILL_ONE_HOT || f == FILL_ROWS_OF_ONE) rows(v, count, operand->shape.dim[operand->shape.ndim - 1], f, key);
  return data;
}

void inputs_new(const op_case *c, inputs *in) {
  const lur_op_desc *d = &c->desc;
  *in = (inputs){0};
  for (int i = 0; i < d->nx; i++) {
    in->x[i] = filled(&d->x[i], c->x[i], c->limit, 100 + (uint64_t)i);
    in->dx0[i] = filled(&d->x[i], FILL_UNIFORM, c->limit, 200 + (uint64_t)i);
  }
  for (int i = 0; i < d->nw; i++) {
    if (!weight_present(d, i)) continue;
    in->w[i] = filled(&d->w[i], c->w[i], 0, 300 + (uint64_t)i);
    in->dw0[i] = filled(&d->w[i], FILL_UNIFORM, 0, 400 + (uint64_t)i);
  }
  in->dy = filled(&d->y, FILL_UNIFORM, 1, 500);
}

void inputs_free(inputs *in) {
  for (int i = 0; i < LUR_MAX_OPERANDS; i++) free(in->x[i]), free(in->dx0[i]);
  for (int i = 0; i < LUR_MAX_WEIGHTS; i++) free(in->w[i]), free(in->dw0[i]);
  free(in->dy);
}

void outputs_free(outputs *out) {
  free(out->y);
  for (int i = 0; i < LUR_MAX_OPERANDS; i++) free(out->dx[i]);
  for (int i = 0; i < LUR_MAX_WEIGHTS; i++) free(out->dw[i]), free(out->w[i]);
  *out = (outputs){0};
}

double rms(const float *v, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += (double)v[i] * (double)v[i];
  return count ? sqrt(sum / (double)count) : 0;
}
