/* structure.c - times the ops that change shapes, and the normalisations, at the shapes of ViT-S/16, ConvNeXt-T and a
 * feature pyramid with a batch of 8. Not a test.
 *
 *   bench_structure [ROW]
 *
 * Prints for each row its name, and the best of several forward and backward times in ms, on the device "cpu" with
 * LURCHER_THREADS or all threads. tests/bench/peers/torch_structure.py runs it in turns with PyTorch. To add a shape,
 * add a case to `describe`, and one to that script. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/backend.h"

static const double SECONDS_A_ROW = 0.4;
enum { MIN_REPEATS = 5, MAX_REPEATS = 400 };

static const char *const names[] = {"matmul_scores", "matmul_mix",      "matmul_parameter", "permute_heads",
                                    "permute_nchw",  "slice_token",     "slice_channels",   "pad_image",
                                    "layernorm_vit", "layernorm_image", "groupnorm_image",  "upsample_nearest",
                                    "upsample_bilinear", "reduce_tokens", "reduce_image",   "concat_token"};
enum { ROWS = sizeof names / sizeof *names };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void stop(const char *what) {
  fprintf(stderr, "bench_structure: %s: %s\n", what, lur_last_error());
  exit(1);
}

#define F32(...)                                                                                                       \
  ((lur_operand){LUR_F32, {(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}}})

static lur_op_desc norm(lur_op_kind kind, lur_operand x, int64_t groups) {
  const int64_t c = x.shape.dim[x.shape.ndim - 1];
  return (lur_op_desc){.kind = kind, .nx = 1, .nw = 2, .x = {x}, .y = x, .w = {F32(c), F32(c)},
                       .u.layernorm = {1e-6, groups, true, true}};
}

static lur_op_desc upsample(lur_upsample_mode mode) {
  return (lur_op_desc){.kind = LUR_OP_UPSAMPLE, .nx = 1, .x = {F32(8, 28, 28, 64)}, .y = F32(8, 56, 56, 64),
                       .u.upsample = {mode}};
}

static lur_op_desc describe(int row) {
  switch (row) {
    case 0:
      return (lur_op_desc){.kind = LUR_OP_MATMUL, .nx = 2, .x = {F32(8, 6, 197, 64), F32(8, 6, 197, 64)},
                           .y = F32(8, 6, 197, 197), .u.matmul = {false, true}};
    case 1:
      return (lur_op_desc){.kind = LUR_OP_MATMUL, .nx = 2, .x = {F32(8, 6, 197, 197), F32(8, 6, 197, 64)},
                           .y = F32(8, 6, 197, 64)};
    case 2:
      return (lur_op_desc){.kind = LUR_OP_MATMUL, .nx = 2, .x = {F32(8, 197, 384), F32(1, 384, 384)},
                           .y = F32(8, 197, 384)};
    case 3:
      return (lur_op_desc){.kind = LUR_OP_PERMUTE, .nx = 1, .x = {F32(8, 197, 6, 64)}, .y = F32(8, 6, 197, 64),
                           .u.permute = {{0, 2, 1, 3}}};
    case 4:
      return (lur_op_desc){.kind = LUR_OP_PERMUTE, .nx = 1, .x = {F32(8, 56, 56, 96)}, .y = F32(8, 96, 56, 56),
                           .u.permute = {{0, 3, 1, 2}}};
    case 5: return (lur_op_desc){.kind = LUR_OP_SLICE, .nx = 1, .x = {F32(8, 197, 384)}, .y = F32(8, 1, 384)};
    case 6:
      return (lur_op_desc){.kind = LUR_OP_SLICE, .nx = 1, .x = {F32(8, 56, 56, 96)}, .y = F32(8, 56, 56, 48),
                           .u.slice = {{0, 0, 0, 48}}};
    case 7:
      return (lur_op_desc){.kind = LUR_OP_PAD, .nx = 1, .x = {F32(8, 56, 56, 96)}, .y = F32(8, 58, 58, 96),
                           .u.pad = {{0, 1, 1, 0}, 0}};
    case 8: return norm(LUR_OP_LAYERNORM, F32(8, 197, 384), 0);
    case 9: return norm(LUR_OP_LAYERNORM, F32(8, 56, 56, 96), 0);
    case 10: return norm(LUR_OP_GROUPNORM, F32(8, 56, 56, 96), 32);
    case 11: return upsample(LUR_UPSAMPLE_NEAREST);
    case 12: return upsample(LUR_UPSAMPLE_BILINEAR);
    case 13:
      return (lur_op_desc){.kind = LUR_OP_REDUCE, .nx = 1, .x = {F32(8, 197, 384)}, .y = F32(8, 384),
                           .u.reduce = {LUR_MEAN, 2}};
    case 14:
      return (lur_op_desc){.kind = LUR_OP_REDUCE, .nx = 1, .x = {F32(8, 56, 56, 96)}, .y = F32(8, 96),
                           .u.reduce = {LUR_MEAN, 6}};
    default:
      return (lur_op_desc){.kind = LUR_OP_CONCAT, .nx = 2, .x = {F32(1, 1, 384), F32(8, 196, 384)},
                           .y = F32(8, 197, 384), .u.concat = {1}};
  }
}

static void *filled(lur_device *device, size_t bytes) {
  void *memory;
  if (lur_device_alloc(device, bytes + 64, &memory) != LUR_OK) stop("alloc");
  for (size_t i = 0; i < (bytes + 64) / sizeof(float); i++)
    ((float *)memory)[i] = (float)((i * 2654435761u >> 16) % 1000) * 0.002f - 0.9f;
  return memory;
}

static size_t bytes_of(const lur_operand *o) { return sizeof(float) * (size_t)lur_shape_count(&o->shape); }

typedef lur_status pass(lur_op *op, const lur_args *args);

static double best_time(lur_op *op, pass *f, const lur_args *args) {
  double best = 1e9, start = now();
  for (int i = 0; i < MIN_REPEATS || (i < MAX_REPEATS && now() - start < SECONDS_A_ROW); i++) {
    double t = now();
    if (f(op, args) != LUR_OK) stop("run");
    t = now() - t;
    if (t < best) best = t;
  }
  return best;
}

static void measure(lur_device *device, int row) {
  lur_op_desc d = describe(row);
  lur_op op;
  lur_args args = {0};
  void *owned[16];
  int n = 0;
  d.want_dx = (1u << d.nx) - 1;
  d.want_dw = (1u << d.nw) - 1;
  if (lur_op_plan(device, &d, &op) != LUR_OK) stop(names[row]);
  for (int i = 0; i < d.nx; i++) {
    args.x[i] = owned[n++] = filled(device, bytes_of(&d.x[i]));
    args.dx[i] = owned[n++] = filled(device, bytes_of(&d.x[i]));
  }
  for (int i = 0; i < d.nw; i++) {
    args.w[i] = owned[n++] = filled(device, bytes_of(&d.w[i]));
    args.dw[i] = owned[n++] = filled(device, bytes_of(&d.w[i]));
  }
  args.y = owned[n++] = filled(device, bytes_of(&d.y));
  args.dy = owned[n++] = filled(device, bytes_of(&d.y));
  args.scratch = owned[n++] =
      filled(device, op.forward_scratch > op.backward_scratch ? op.forward_scratch : op.backward_scratch);
  args.saved = owned[n++] = filled(device, op.saved_bytes);
  const double forward = best_time(&op, op.kernel->forward, &args);
  const double backward = best_time(&op, op.kernel->backward, &args);
  printf("%s %.4f %.4f\n", names[row], forward * 1e3, backward * 1e3);
  fflush(stdout);
  lur_op_release(&op);
  while (n > 0) lur_device_free(device, owned[--n]);
}

int main(int argc, char **argv) {
  const char *threads = getenv("LURCHER_THREADS");
  lur_device *device;
  if (threads && atoi(threads) > 0) omp_set_num_threads(atoi(threads));
  if (lur_device_open("cpu", &device) != LUR_OK) stop("open");
  lur_denormals_off();
  for (int row = 0; row < (int)ROWS; row++)
    if (argc < 2 || strcmp(argv[1], names[row]) == 0) measure(device, row);
  lur_device_close(device);
  return 0;
}
