/* elementwise.c - times binary, where and activation, with broadcasting, through kernels/backend.h. Not a test.
 *
 *   bench_elementwise              lists the rows: name, kind, function, shapes of the operands, as 8x56x56x256
 *   bench_elementwise ROW [DEVICE] prints the best of several forward and backward times of a row, in milliseconds
 *
 * tests/bench/peers/torch_elementwise.py runs it beside PyTorch. To add a shape, add a line to `rows`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/broadcast.h"
#include "kernels/backend.h"

static const double SECONDS_A_PASS = 0.4;
enum { MIN_REPEATS = 5 };

typedef struct row {
  const char *name;
  lur_op_kind kind;
  int function, nx;
  lur_shape x[3];
} row;

#define SHAPE(...) {(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}}
#define IMAGE SHAPE(8, 56, 56, 256)
#define TWO(name, function, a, b) {name, LUR_OP_BINARY, function, 2, {a, b}}
#define ONE(name, function) {name, LUR_OP_ACTIVATION, function, 1, {IMAGE}}

static const row rows[] = {
    TWO("add, equal", LUR_ADD, IMAGE, IMAGE),
    TWO("add, channels", LUR_ADD, IMAGE, SHAPE(1, 1, 1, 256)),
    TWO("add, position table", LUR_ADD, SHAPE(64, 197, 384), SHAPE(1, 197, 384)),
    TWO("mul, equal", LUR_MUL, IMAGE, IMAGE),
    TWO("mul, channels", LUR_MUL, IMAGE, SHAPE(1, 1, 1, 256)),
    TWO("mul, channels of 12", LUR_MUL, SHAPE(8, 224, 224, 12), SHAPE(1, 1, 1, 12)),
    TWO("mul, squeeze and excite", LUR_MUL, IMAGE, SHAPE(8, 1, 1, 256)),
    TWO("mul, pixels", LUR_MUL, IMAGE, SHAPE(8, 56, 56, 1)),
    TWO("mul, one number", LUR_MUL, IMAGE, SHAPE(1, 1, 1, 1)),
    TWO("mul, outer", LUR_MUL, SHAPE(2048, 1), SHAPE(1, 2048)),
    TWO("div, equal", LUR_DIV, IMAGE, IMAGE),
    TWO("minimum, equal", LUR_MINIMUM, IMAGE, IMAGE),
    TWO("pow, equal", LUR_POW, IMAGE, IMAGE),
    TWO("pow, one number", LUR_POW, IMAGE, SHAPE(1, 1, 1, 1)),
    TWO("gt, equal", LUR_GT, IMAGE, IMAGE),
    {"where, equal", LUR_OP_WHERE, 0, 3, {IMAGE, IMAGE, IMAGE}},
    {"where, channels", LUR_OP_WHERE, 0, 3, {IMAGE, IMAGE, SHAPE(1, 1, 1, 256)}},
    ONE("gelu", LUR_GELU),
    ONE("silu", LUR_SILU),
    ONE("leaky_relu", LUR_LEAKY_RELU),
    ONE("elu", LUR_ELU),
    ONE("relu6", LUR_RELU6),
    ONE("hard_sigmoid", LUR_HARD_SIGMOID),
    ONE("hard_swish", LUR_HARD_SWISH),
    ONE("softplus", LUR_SOFTPLUS),
};
enum { ROWS = sizeof rows / sizeof *rows };

static void stop(const char *what) {
  fprintf(stderr, "bench_elementwise: %s: %s\n", what, lur_last_error());
  exit(1);
}

static const char *function_of(const row *r) {
  if (r->kind == LUR_OP_BINARY) return lur_binary_name((lur_binary)r->function);
  return r->kind == LUR_OP_ACTIVATION ? lur_activation_name((lur_activation)r->function) : "where";
}

static void list(void) {
  for (int i = 0; i < ROWS; i++) {
    char text[LUR_SHAPE_TEXT];
    printf("%s\t%s\t%s", rows[i].name, lur_op_kind_name(rows[i].kind), function_of(&rows[i]));
    for (int k = 0; k < rows[i].nx; k++) printf("\t%s", lur_shape_format(&rows[i].x[k], text));
    printf("\n");
  }
}

static void describe(const row *r, lur_op_desc *d) {
  const lur_shape *shapes[3] = {&r->x[0], &r->x[1], &r->x[2]};
  *d = (lur_op_desc){.kind = r->kind, .name = "bench", .nx = r->nx, .y.dtype = LUR_F32};
  for (int i = 0; i < r->nx; i++) d->x[i] = (lur_operand){LUR_F32, r->x[i]};
  if (lur_broadcast_shape(r->nx, shapes, &d->y.shape) != LUR_OK) stop("shapes");
  if (r->kind == LUR_OP_BINARY) d->u.binary.function = (lur_binary)r->function;
  if (r->kind == LUR_OP_ACTIVATION) d->u.activation = (lur_activation_desc){(lur_activation)r->function, 0.01};
  d->want_dx = lur_op_gradients(d);
}

/* A buffer of evenly distributed values from low to low + 4. */
static void *filled(lur_device *device, size_t bytes, float low) {
  void *memory;
  float *host = malloc(bytes + 64);
  if (!host || lur_device_alloc(device, bytes + 64, &memory) != LUR_OK) stop("memory");
  for (size_t i = 0; i < (bytes + 64) / sizeof *host; i++)
    host[i] = (float)((i * 2654435761u >> 16) % 1000) * 0.004f + low;
  if (lur_device_copy(device, memory, host, bytes, LUR_COPY_TO_DEVICE) != LUR_OK) stop("copy");
  free(host);
  return memory;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef lur_status pass(lur_op *op, const lur_args *args);

static double best_time(lur_device *device, lur_op *op, pass *f, const lur_args *args) {
  double best = 1e9, start = now();
  for (int i = 0; i < MIN_REPEATS || now() - start < SECONDS_A_PASS; i++) {
    double t = now();
    if (f(op, args) != LUR_OK || lur_device_sync(device) != LUR_OK) stop("run");
    t = now() - t;
    if (t < best) best = t;
  }
  return best;
}

static size_t bytes_of(const lur_operand *o) { return sizeof(float) * (size_t)lur_shape_count(&o->shape); }

static void measure(lur_device *device, const row *r) {
  const bool positive = r->kind == LUR_OP_BINARY && (r->function == LUR_POW || r->function == LUR_DIV);
  lur_op_desc d;
  lur_op op;
  lur_args args = {0};
  void *owned[16];
  int n = 0;
  describe(r, &d);
  if (lur_op_plan(device, &d, &op) != LUR_OK) stop("plan");
  for (int i = 0; i < d.nx; i++) {
    args.x[i] = owned[n++] = filled(device, bytes_of(&d.x[i]), positive ? 0.5f : -2);
    if (d.want_dx >> i & 1u) args.dx[i] = owned[n++] = filled(device, bytes_of(&d.x[i]), 0);
  }
  args.y = owned[n++] = filled(device, bytes_of(&d.y), 0);
  args.dy = owned[n++] = filled(device, bytes_of(&d.y), -2);
  if (op.dx_in_place && d.want_dx & 1u) args.dx[0] = owned[n - 1]; /* as in a plan */
  args.scratch = owned[n++] = filled(device, op.backward_scratch, 0);
  const double forward = best_time(device, &op, op.kernel->forward, &args);
  const double backward = d.want_dx ? best_time(device, &op, op.kernel->backward, &args) : 0;
  printf("%.4f %.4f\n", forward * 1e3, backward * 1e3);
  lur_op_release(&op);
  while (n > 0) lur_device_free(device, owned[--n]);
}

int main(int argc, char **argv) {
  lur_device *device;
  if (argc < 2) {
    list();
    return 0;
  }
  if (lur_device_open(argc > 2 ? argv[2] : "cpu", &device) != LUR_OK) stop("open");
  lur_denormals_off();
  for (int i = 0; i < ROWS; i++)
    if (strcmp(rows[i].name, argv[1]) == 0) measure(device, &rows[i]);
  lur_device_close(device);
  return 0;
}
