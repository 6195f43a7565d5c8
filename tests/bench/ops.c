/* ops.c - times every op of Xception at its real shapes, through kernels/backend.h. Not a test.
 *
 *   bench_ops [BATCH] [DEVICE] [KIND]
 *
 * Prints for each row: its count in the network, the best of several forward and backward times, GFLOP/s of the forward
 * pass (a backward pass does twice the work) and GB/s counting each operand once. The sums at the end are the times of
 * an inference pass (batch norm folded; ReLU and residual add fused into the convolution) and of a training step if
 * nothing but the ops cost time. Other load disturbs the times: compare only ratios within one run. To add a shape, add
 * a line to `rows`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/backend.h"

enum { MIN_REPEATS = 5, MAX_REPEATS = 60, INFERENCE = 1, TRAINING = 2, BOTH = 3 };
enum { NONE = 0, RELU = 1, RESIDUAL = 2, DX_ADD = 4, NO_DX = 8 };
static const double SECONDS_A_ROW = 0.3;

typedef struct row {
  lur_op_kind kind;
  int count, modes;
  int extent, ci, co, kernel, stride;
  unsigned flags;
} row;

static const row rows[] = {
    {LUR_OP_CONV2D, 1, BOTH, 299, 3, 32, 3, 2, NO_DX},
    {LUR_OP_CONV2D, 1, BOTH, 149, 32, 64, 3, 1, NONE},
    {LUR_OP_CONV2D, 1, BOTH, 147, 64, 128, 1, 1, NONE},
    {LUR_OP_CONV2D, 1, BOTH, 147, 128, 128, 1, 1, NONE},
    {LUR_OP_CONV2D, 1, BOTH, 147, 64, 128, 1, 2, DX_ADD},
    {LUR_OP_CONV2D, 1, BOTH, 74, 128, 256, 1, 1, NONE},
    {LUR_OP_CONV2D, 1, BOTH, 74, 256, 256, 1, 1, NONE},
    {LUR_OP_CONV2D, 1, BOTH, 74, 128, 256, 1, 2, DX_ADD},
    {LUR_OP_CONV2D, 1, BOTH, 37, 256, 728, 1, 1, NONE},
    {LUR_OP_CONV2D, 1, BOTH, 37, 728, 728, 1, 1, NONE},
    {LUR_OP_CONV2D, 1, BOTH, 37, 256, 728, 1, 2, DX_ADD},
    {LUR_OP_CONV2D, 25, TRAINING, 19, 728, 728, 1, 1, NONE},
    {LUR_OP_CONV2D, 17, INFERENCE, 19, 728, 728, 1, 1, NONE},
    {LUR_OP_CONV2D, 8, INFERENCE, 19, 728, 728, 1, 1, RESIDUAL},
    {LUR_OP_CONV2D, 1, BOTH, 19, 728, 1024, 1, 1, NONE},
    {LUR_OP_CONV2D, 1, BOTH, 19, 728, 1024, 1, 2, DX_ADD},
    {LUR_OP_CONV2D, 1, BOTH, 10, 1024, 1536, 1, 1, NONE},
    {LUR_OP_CONV2D, 1, BOTH, 10, 1536, 2048, 1, 1, NONE},
    {LUR_OP_DEPTHWISE_CONV2D, 1, BOTH, 147, 64, 64, 3, 1, NONE},
    {LUR_OP_DEPTHWISE_CONV2D, 1, BOTH, 147, 128, 128, 3, 1, RELU},
    {LUR_OP_DEPTHWISE_CONV2D, 1, BOTH, 74, 128, 128, 3, 1, RELU},
    {LUR_OP_DEPTHWISE_CONV2D, 1, BOTH, 74, 256, 256, 3, 1, RELU},
    {LUR_OP_DEPTHWISE_CONV2D, 1, BOTH, 37, 256, 256, 3, 1, RELU},
    {LUR_OP_DEPTHWISE_CONV2D, 1, BOTH, 37, 728, 728, 3, 1, RELU},
    {LUR_OP_DEPTHWISE_CONV2D, 26, BOTH, 19, 728, 728, 3, 1, RELU},
    {LUR_OP_DEPTHWISE_CONV2D, 1, BOTH, 10, 1024, 1024, 3, 1, NONE},
    {LUR_OP_DEPTHWISE_CONV2D, 1, BOTH, 10, 1536, 1536, 3, 1, NONE},
    {LUR_OP_BATCHNORM, 1, TRAINING, 149, 32, 32, 1, 1, RELU},
    {LUR_OP_BATCHNORM, 1, TRAINING, 147, 64, 64, 1, 1, RELU},
    {LUR_OP_BATCHNORM, 2, TRAINING, 147, 128, 128, 1, 1, NONE},
    {LUR_OP_BATCHNORM, 1, TRAINING, 74, 128, 128, 1, 1, NONE},
    {LUR_OP_BATCHNORM, 2, TRAINING, 74, 256, 256, 1, 1, NONE},
    {LUR_OP_BATCHNORM, 1, TRAINING, 37, 256, 256, 1, 1, NONE},
    {LUR_OP_BATCHNORM, 2, TRAINING, 37, 728, 728, 1, 1, NONE},
    {LUR_OP_BATCHNORM, 26, TRAINING, 19, 728, 728, 1, 1, NONE},
    {LUR_OP_BATCHNORM, 1, TRAINING, 19, 1024, 1024, 1, 1, NONE},
    {LUR_OP_BATCHNORM, 1, TRAINING, 10, 1024, 1024, 1, 1, NONE},
    {LUR_OP_BATCHNORM, 1, TRAINING, 10, 1536, 1536, 1, 1, RELU},
    {LUR_OP_BATCHNORM, 1, TRAINING, 10, 2048, 2048, 1, 1, RELU},
    {LUR_OP_POOL, 1, BOTH, 147, 128, 128, 3, 2, NONE},
    {LUR_OP_POOL, 1, BOTH, 74, 256, 256, 3, 2, NONE},
    {LUR_OP_POOL, 1, BOTH, 37, 728, 728, 3, 2, NONE},
    {LUR_OP_POOL, 1, BOTH, 19, 1024, 1024, 3, 2, NONE},
    {LUR_OP_BINARY, 1, BOTH, 74, 128, 128, 1, 1, NONE},
    {LUR_OP_BINARY, 1, BOTH, 37, 256, 256, 1, 1, NONE},
    {LUR_OP_BINARY, 1, INFERENCE, 19, 728, 728, 1, 1, NONE},
    {LUR_OP_BINARY, 9, TRAINING, 19, 728, 728, 1, 1, NONE},
    {LUR_OP_BINARY, 1, BOTH, 10, 1024, 1024, 1, 1, NONE},
    {LUR_OP_GLOBAL_POOL, 1, BOTH, 10, 2048, 2048, 1, 1, NONE},
    {LUR_OP_DENSE, 1, BOTH, 1, 2048, 1000, 1, 1, NONE},
};

/* Processor time if OMP_NUM_THREADS is 1, because other load disturbs it little; otherwise the clock. */
static double now(void) {
  const char *threads = getenv("OMP_NUM_THREADS");
  struct timespec t;
  clock_gettime(threads && strcmp(threads, "1") == 0 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void stop(const char *what) {
  fprintf(stderr, "bench_ops: %s: %s\n", what, lur_last_error());
  exit(1);
}

static lur_operand image(int n, int extent, int c) { return (lur_operand){LUR_F32, {4, {n, extent, extent, c}}}; }

static lur_operand vector(int c) { return (lur_operand){LUR_F32, {1, {c}}}; }

static void describe_window(const row *r, int batch, lur_op_desc *d) {
  bool same = r->kind != LUR_OP_CONV2D || r->kernel == 1;
  int out = same ? (r->extent + r->stride - 1) / r->stride : (r->extent - r->kernel) / r->stride + 1;
  int total = (out - 1) * r->stride + r->kernel - r->extent, pad = same && total > 0 ? total / 2 : 0;
  d->x[0] = image(batch, r->extent, r->ci);
  d->y = image(batch, out, r->co);
  if (r->kind == LUR_OP_POOL)
    d->u.pool = (lur_pool_desc){.mode = LUR_POOL_MAX,
                                .kernel_h = r->kernel,
                                .kernel_w = r->kernel,
                                .stride_h = r->stride,
                                .stride_w = r->stride,
                                .pad_top = pad,
                                .pad_left = pad};
  else
    d->u.conv2d = (lur_conv2d_desc){.kernel_h = r->kernel,
                                .kernel_w = r->kernel,
                                .stride_h = r->stride,
                                .stride_w = r->stride,
                                .pad_top = pad,
                                .pad_left = pad};
}

static void describe(const row *r, int batch, bool training, lur_op_desc *d) {
  memset(d, 0, sizeof *d);
  d->kind = r->kind;
  d->name = "bench";
  d->nx = 1;
  d->x[0] = d->y = image(batch, r->extent, r->ci);
  switch (r->kind) {
    case LUR_OP_CONV2D:
      describe_window(r, batch, d);
      d->w[0] = (lur_operand){LUR_F32, {4, {r->kernel, r->kernel, r->ci, r->co}}};
      d->nw = training ? 1 : 2;
      if (!training) d->w[1] = vector(r->co);
      if (r->flags & RESIDUAL) d->x[d->nx++] = d->y;
      break;
    case LUR_OP_DEPTHWISE_CONV2D:
      describe_window(r, batch, d);
      d->u.conv2d.relu_in = (r->flags & RELU) != 0;
      d->w[d->nw++] = (lur_operand){LUR_F32, {4, {r->kernel, r->kernel, r->ci, 1}}};
      break;
    case LUR_OP_BATCHNORM:
      d->u.batchnorm = (lur_batchnorm_desc){.epsilon = 1e-3, .momentum = 0.99, .batch = true, .has_gamma = true,
                                            .has_beta = true, .relu = (r->flags & RELU) != 0};
      for (d->nw = 0; d->nw < 4; d->nw++) d->w[d->nw] = vector(r->ci);
      break;
    case LUR_OP_POOL: describe_window(r, batch, d); break;
    case LUR_OP_GLOBAL_POOL: d->y = (lur_operand){LUR_F32, {2, {batch, r->ci}}}; break;
    case LUR_OP_BINARY: d->x[d->nx++] = d->x[0]; break;
    case LUR_OP_DENSE:
      d->x[0] = (lur_operand){LUR_F32, {2, {batch, r->ci}}};
      d->y = (lur_operand){LUR_F32, {2, {batch, r->co}}};
      d->w[d->nw++] = (lur_operand){LUR_F32, {2, {r->ci, r->co}}};
      d->w[d->nw++] = vector(r->co);
      break;
    default: break;
  }
  if (!training) return;
  d->want_dx = r->flags & NO_DX ? 0 : (1u << d->nx) - 1;
  d->want_dw = (1u << d->nw) - 1;
  if (r->kind == LUR_OP_BATCHNORM) d->want_dw = 3;
}

/* A buffer of `bytes`, filled with values around zero. */
static float *filled(lur_device *device, size_t bytes) {
  void *memory;
  if (lur_device_alloc(device, bytes + 64, &memory) != LUR_OK) stop("alloc");
  float *host = malloc(bytes + 64);
  if (!host) stop("malloc");
  for (size_t i = 0; i < (bytes + 64) / sizeof *host; i++)
    host[i] = (float)((i * 2654435761u >> 16) % 1000) * 0.002f - 0.9f;
  if (lur_device_copy(device, memory, host, bytes + 64, LUR_COPY_TO_DEVICE) != LUR_OK) stop("copy");
  free(host);
  return memory;
}

static size_t bytes_of(const lur_operand *o) { return sizeof(float) * (size_t)lur_shape_count(&o->shape); }

typedef lur_status pass(lur_op *op, const lur_args *args);

static double best_time(lur_device *device, lur_op *op, pass *f, const lur_args *args) {
  double best = 1e9, start = now();
  for (int i = 0; i < MIN_REPEATS || (i < MAX_REPEATS && now() - start < SECONDS_A_ROW); i++) {
    double t = now();
    if (f(op, args) != LUR_OK || lur_device_sync(device) != LUR_OK) stop("run");
    t = now() - t;
    if (t < best) best = t;
  }
  return best;
}

typedef struct result {
  double forward, backward, flops, bytes;
} result;

static result measure(lur_device *device, const row *r, int batch, bool training) {
  lur_op_desc d;
  lur_op op;
  lur_args args = {0};
  void *owned[16];
  int n = 0;
  result out = {0};
  describe(r, batch, training, &d);
  if (lur_op_plan(device, &d, &op) != LUR_OK) stop("plan");
  for (int i = 0; i < d.nx; i++) {
    args.x[i] = owned[n++] = filled(device, bytes_of(&d.x[i]));
    out.bytes += (double)bytes_of(&d.x[i]);
    if (d.want_dx >> i & 1u) args.dx[i] = owned[n++] = filled(device, bytes_of(&d.x[i]));
  }
  for (int i = 0; i < d.nw; i++) {
    args.w[i] = owned[n++] = filled(device, bytes_of(&d.w[i]));
    if (d.want_dw >> i & 1u) args.dw[i] = owned[n++] = filled(device, bytes_of(&d.w[i]));
  }
  args.y = owned[n++] = filled(device, bytes_of(&d.y));
  out.bytes += (double)bytes_of(&d.y);
  args.scratch = owned[n++] =
      filled(device, op.forward_scratch > op.backward_scratch ? op.forward_scratch : op.backward_scratch);
  args.saved = owned[n++] = filled(device, op.saved_bytes);
  args.version = training ? 0 : 1; /* weights are constant during inference only */
  out.flops = lur_op_flops(&d);
  out.forward = best_time(device, &op, op.kernel->forward, &args);
  if (training) {
    args.dy = owned[n++] = filled(device, bytes_of(&d.y));
    args.dx_add = r->flags & DX_ADD ? 1u : 0;
    out.backward = best_time(device, &op, op.kernel->backward, &args);
  }
  lur_op_release(&op);
  while (n > 0) lur_device_free(device, owned[--n]);
  return out;
}

static void print_row(const row *r, const result *m, bool training) {
  printf("%-17s %4d %4d>%-4d k%d s%d%s%s x%-2d %-9s %8.3f", lur_op_kind_name(r->kind), r->extent, r->ci, r->co,
         r->kernel, r->stride, r->flags & RELU ? " relu" : "     ", r->flags & RESIDUAL ? " res" : "    ", r->count,
         training ? "training" : "inference", m->forward * 1e3);
  if (training) printf(" %8.3f", m->backward * 1e3);
  else printf("         ");
  if (m->flops > 0) printf("  %6.1f GFLOP/s", m->flops / m->forward * 1e-9);
  else printf("                ");
  printf(" %6.1f GB/s\n", m->bytes / m->forward * 1e-9);
}

int main(int argc, char **argv) {
  int batch = argc > 1 ? atoi(argv[1]) : 8;
  const char *name = argc > 2 ? argv[2] : "cpu", *only = argc > 3 ? argv[3] : NULL;
  lur_device *device;
  double inference = 0, forward = 0, backward = 0, by_kind[LUR_OP_COUNT][3] = {{0}};
  if (batch < 1 || lur_device_open(name, &device) != LUR_OK) stop("open");
  lur_denormals_off();
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const row *r = &rows[i];
    if (only && strcmp(only, lur_op_kind_name(r->kind)) != 0) continue;
    if (r->modes & INFERENCE) {
      result m = measure(device, r, batch, false);
      if (!(r->modes & TRAINING)) print_row(r, &m, false);
      inference += m.forward * r->count;
      by_kind[r->kind][0] += m.forward * r->count;
    }
    if (r->modes & TRAINING) {
      result m = measure(device, r, batch, true);
      print_row(r, &m, true);
      forward += m.forward * r->count;
      backward += m.backward * r->count;
      by_kind[r->kind][1] += m.forward * r->count;
      by_kind[r->kind][2] += m.backward * r->count;
    }
    fflush(stdout);
  }
  printf("\n%-17s %10s %10s %10s   ms per batch of %d\n", "", "inference", "forward", "backward", batch);
  for (int k = 0; k < LUR_OP_COUNT; k++)
    if (by_kind[k][1] > 0)
      printf("%-17s %10.1f %10.1f %10.1f\n", lur_op_kind_name((lur_op_kind)k), by_kind[k][0] * 1e3, by_kind[k][1] * 1e3,
             by_kind[k][2] * 1e3);
  printf("%-17s %10.1f %10.1f %10.1f\n", "all", inference * 1e3, forward * 1e3, backward * 1e3);
  printf("inference %.2f images/s, training %.2f images/s\n", batch / inference, batch / (forward + backward));
  lur_device_close(device);
  return 0;
}
