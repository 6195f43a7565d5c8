/* test_emulated.c - tests that need an emulator, because it counts and injects failures (emulator.h): a training step
 * allocates nothing and waits once; if any allocation fails there is one message, no leak, and the run continues with a
 * smaller batch; the message about a failed kernel names its op.
 *
 * test_emulated steps | ahead | memory | blame | table | limits | turing */
#include <dlfcn.h>
#include <stdlib.h>

#include "kernels/backend.h"
#include "tests/c/check.h"
#include "tests/c/small_model.h"
#include "tests/cuda_emulator/emulator.h"

static const emulator *control;

/* ---- a training ---- */

typedef struct training {
  lur_context *context;
  lur_device *device;
  lur_model *model;
  lur_optimizer *optimizer;
  lur_run *run;
} training;

static void end(training *t) {
  lur_run_release(t->run);
  lur_optimizer_release(t->optimizer);
  lur_model_release(t->model);
  lur_context_release(t->context);
  *t = (training){0};
}

/* Everything but the run: no device memory beyond that of the device itself. */
static lur_status begin(training *t) {
  const lur_setting nadam[] = {{.name = "lr", .type = LUR_REAL, .real = 0.01},
                               {.name = "clip_norm", .type = LUR_REAL, .real = 0.5}};
  *t = (training){0};
  CHECK_OK(lur_context_new(7, 1, &t->context));
  t->model = make_model(t->context);
  CHECK_OK(lur_optimizer_new(t->context, "nadam", nadam, 2, &t->optimizer));
  return lur_context_device(t->context, "cuda", &t->device);
}

static lur_status compile(training *t, lur_precision precision) {
  const lur_loss losses[2] = {{"class", "categorical_crossentropy", 1, 0.1, NULL},
                              {"same", "categorical_crossentropy", 0.5, 0, NULL}};
  const lur_compile_options options = {
      .device = t->device, .optimizer = t->optimizer, .losses = losses, .nlosses = 2, .precision = precision};
  return lur_model_compile(t->model, &options, &t->run);
}

static void batch_of(training *t, int64_t rows, int step, fixture *f) {
  const lur_shape shapes[5] = {{4, {rows, 9, 9, 3}}, {1, {PAIRS}}, {1, {PAIRS}}, {1, {rows}}, {1, {PAIRS}}};
  for (int i = 0; i < 5; i++) {
    CHECK_OK(lur_tensor_new(t->context, NULL, i ? LUR_I32 : LUR_F32, &shapes[i], &f->tensors[i]));
    int64_t count = lur_shape_count(&shapes[i]), limit = i == 3 ? 5 : i == 4 ? 2 : rows;
    for (int64_t k = 0; k < count; k++)
      CHECK_OK(lur_tensor_set(f->tensors[i], k, i ? (double)((k + i + step) % limit) : (double)(k % 19) / 19));
  }
  f->batch = (lur_batch){5, names, f->tensors};
}

static lur_status step(training *t, int64_t rows, int number) {
  fixture f;
  lur_results results;
  batch_of(t, rows, number, &f);
  lur_status status = lur_run_prefetch(t->run, &f.batch);
  if (status == LUR_OK) status = lur_run_train(t->run, &f.batch, &results);
  drop_batch(&f);
  return status;
}

static emulator_counts counts(void) {
  emulator_counts c;
  control->counts(&c);
  return c;
}

/* ---- steps: no allocation, one wait ---- */

/* As in a recipe: metrics, clipping by the norm, a check for non-finite weights, and a moving average of the weights on
   the device. */
static void test_steps(lur_precision precision, const char *name) {
  enum { WARM = 3, STEPS = 50, MOST = 128 };
  training t;
  lur_tensor *values[MOST], *averages[MOST];
  int n = 0;
  CHECK_OK(begin(&t));
  if (!CHECK_OK(compile(&t, precision))) return end(&t);
  lur_run_set_watch(t.run, true);
  for (int i = 0; i < lur_model_layer_count(t.model); i++)
    for (int k = 0; k < lur_layer_weight_count(lur_model_layer(t.model, i)) && n < MOST; k++, n++) {
      values[n] = lur_layer_weight(lur_model_layer(t.model, i), k);
      CHECK_OK(lur_tensor_clone(values[n], &averages[n]));
    }
  emulator_counts before = {0};
  for (int i = 0; i < WARM + STEPS; i++) {
    if (i == WARM) before = counts();
    CHECK_OK(step(&t, ROWS, i));
    CHECK_OK(lur_tensors_lerp(averages, values, n, 0.1));
    CHECK(lur_run_finite(t.run) == 1);
  }
  emulator_counts after = counts();
  unsigned long long allocations = after.allocations - before.allocations, waits = after.waits - before.waits;
  printf("%s: %d steps: %llu kernels, %llu allocations, %llu waits (for the copies and for the results)\n", name,
         STEPS, (unsigned long long)(after.launches - before.launches), allocations, waits);
  CHECK(allocations == 0);
  CHECK(waits == 2 * STEPS || (precision == LUR_PRECISION_F16 && waits == 2 * STEPS + 1)); /* f16: a change of scale */
  CHECK(!lur_run_capture_reason(t.run));
  for (int i = 0; i < n; i++) lur_tensor_release(averages[i]);
  end(&t);
}

/* ---- ahead: a batch that is prefetched before the previous step is copied to the device once ---- */

static void test_ahead(void) {
  enum { WARM = 3, STEPS = 10 };
  training t;
  fixture now, next;
  lur_results results;
  CHECK_OK(begin(&t));
  if (!CHECK_OK(compile(&t, LUR_PRECISION_F32))) return end(&t);
  emulator_counts before = {0};
  size_t fed = 0;
  batch_of(&t, ROWS, 0, &now);
  for (int i = 0; i < 5; i++) fed += lur_tensor_bytes(now.tensors[i]);
  for (int i = 0; i < WARM + STEPS; i++) {
    if (i == WARM) before = counts();
    batch_of(&t, ROWS, i + 1, &next);
    CHECK_OK(lur_run_prefetch(t.run, &next.batch));
    CHECK_OK(lur_run_train(t.run, &now.batch, &results));
    drop_batch(&now);
    now = next;
    now.batch.tensors = now.tensors; /* its own, not next's */
  }
  const emulator_counts after = counts();
  const uint64_t sent = after.uploaded - before.uploaded, numbers = 2 * sizeof(lur_step_parameters);
  printf("%d steps sent %llu bytes, a batch has %zu\n", STEPS, (unsigned long long)sent, fed);
  CHECK(sent == STEPS * (fed + numbers));
  CHECK(after.waits - before.waits == 2 * STEPS); /* for the copies and for the results */
  drop_batch(&now);
  end(&t);
}

/* ---- limits: what a device or a library does not support is refused when it is planned ---- */

static void refused(lur_device *device, const lur_op_desc *desc, lur_status expected, const char *text) {
  lur_op op = {0};
  lur_status status = lur_op_plan(device, desc, &op);
  if (!CHECK(status == expected && strstr(lur_last_error(), text)))
    fprintf(stderr, "%s: %s '%s', expected %s with '%s'\n", lur_op_kind_name(desc->kind), lur_status_name(status),
            lur_last_error(), lur_status_name(expected), text);
  if (status == LUR_OK) lur_op_release(&op);
}

/* An op with n images h w c and a window of k x k, stride 1, no padding. */
static lur_op_desc window_op(lur_op_kind kind, int64_t n, int64_t h, int64_t w, int64_t c, int k) {
  lur_op_desc d = {.kind = kind, .name = "large", .nx = 1, .x = {{LUR_F32, {4, {n, h, w, c}}}},
                   .y = {LUR_F32, {4, {n, h - k + 1, w - k + 1, c}}}};
  if (kind == LUR_OP_POOL) {
    d.u.pool = (lur_pool_desc){.kernel_h = k, .kernel_w = k, .stride_h = 1, .stride_w = 1};
    return d;
  }
  d.nw = 1;
  d.w[0] = (lur_operand){LUR_F32, {4, {k, k, c, kind == LUR_OP_CONV2D ? c : 1}}};
  d.u.conv2d = (lur_conv2d_desc){.kernel_h = k, .kernel_w = k, .stride_h = 1, .stride_w = 1};
  return d;
}

static void test_limits(void) {
  training t;
  CHECK_OK(begin(&t));
  const lur_op_desc pool = window_op(LUR_OP_POOL, 1 << 19, 64, 65, 1, 2);
  const lur_op_desc depthwise = window_op(LUR_OP_DEPTHWISE_CONV2D, 1 << 19, 64, 65, 1, 3);
  const lur_op_desc conv = window_op(LUR_OP_CONV2D, 1 << 10, 256, 256, 64, 3);
  const lur_op_desc wide = window_op(LUR_OP_CONV2D, 1, 32, 32, 1, 21);
  lur_op_desc taps = window_op(LUR_OP_DEPTHWISE_CONV2D, 1, 300, 300, 1, 257);
  taps.want_dw = 1;
  refused(t.device, &pool, LUR_EUNSUPPORTED, "pixels in a batch are too many (2^31 at most): lower the batch size");
  refused(t.device, &depthwise, LUR_EUNSUPPORTED, "pixels in a batch are too many");
  refused(t.device, &conv, LUR_EUNSUPPORTED, "too many for cuDNN: lower the batch size");
  refused(t.device, &wide, LUR_EUNSUPPORTED, "CUDNN_STATUS_NOT_SUPPORTED_SHAPE");
  refused(t.device, &taps, LUR_EUNSUPPORTED, "at most 65535 taps have a gradient");
  end(&t);
}

/* ---- turing: bf16 is refused, f16 and tf32 are not ---- */

static void test_turing(void) {
  training t;
  CHECK_OK(begin(&t));
  lur_op_desc conv = window_op(LUR_OP_CONV2D, 2, 8, 8, 4, 3), one = window_op(LUR_OP_CONV2D, 2, 8, 8, 4, 1);
  for (int i = 0; i < 2; i++) {
    lur_op_desc *d = i ? &one : &conv;
    lur_op op = {0};
    d->tf32 = true;
    CHECK_OK(lur_op_plan(t.device, d, &op));
    lur_op_release(&op);
    d->tf32 = false;
    d->x[0].dtype = d->y.dtype = LUR_F16;
    CHECK_OK(lur_op_plan(t.device, d, &op));
    lur_op_release(&op);
    d->x[0].dtype = d->y.dtype = LUR_BF16;
    refused(t.device, d, LUR_ETYPE,
            "cuda:0 has compute capability 7.5, bf16 needs 8.0 or newer: use f16 or f32");
  }
  end(&t);
}

/* ---- memory: the n-th allocation fails, for every n ---- */

static void check_message(int n) {
  const char *why = lur_last_error();
  bool clear = strstr(why, "no memory for") && (strstr(why, "lower the batch size") || strstr(why, "on the host"));
  if (!CHECK(clear)) fprintf(stderr, "allocation %d: %s\n", n, why);
}

/* Whether a training has an n-th allocation, which fails. Afterwards the run must continue with fewer rows. */
static bool one_failure(int n, int *failures) {
  const emulator_counts before = counts();
  training t;
  control->fail_allocation((uint64_t)n);
  lur_status status = begin(&t);
  if (status == LUR_OK) status = compile(&t, LUR_PRECISION_F32);
  for (int i = 0; i < 3 && status == LUR_OK; i++) status = step(&t, i == 2 ? ROWS + 2 : ROWS, i);
  bool reached = counts().allocations - before.allocations >= (uint64_t)n;
  control->fail_allocation(0);
  if (status != LUR_OK) {
    CHECK(status == LUR_ENOMEM);
    check_message(n);
    ++*failures;
    if (!t.device) CHECK_OK(lur_context_device(t.context, "cuda", &t.device));
    if (!t.run) CHECK_OK(compile(&t, LUR_PRECISION_F32));
    for (int i = 0; i < 3 && t.run; i++) CHECK_OK(step(&t, ROWS - 2, i));
  }
  end(&t);
  const emulator_counts after = counts();
  if (!CHECK(after.device == before.device && after.host == before.host))
    fprintf(stderr, "allocation %d: memory is leaked\n", n);
  return reached;
}

static void test_memory(void) {
  int n = 1, failures = 0;
  while (n < 2000 && one_failure(n, &failures)) n++;
  printf("%d allocations; %d of them end a step or compile when they fail, the others are optional\n%s\n", n - 1,
         failures, lur_last_error());
  CHECK(n > 50 && n < 2000 && failures > 50);
}

/* ---- blame: the n-th kernel fails ---- */

/* The op kinds, as in messages, that launch the kernels of a file ("de": dense and depthwise). */
static const char *const owners[][4] = {{"depthwise_conv2d.cu", "depthwise_conv2d"},
                                        {"batchnorm.cu", "batchnorm"},
                                        {"activation.cu", "activation", "softmax"},
                                        {"pool.cu", "pool"},
                                        {"merge.cu", "binary", "copy"},
                                        {"gather.cu", "gather"},
                                        {"dropout.cu", "dropout"},
                                        {"loss.cu", "loss"},
                                        {"update.cu", "update of the weights"},
                                        {"cudnn", "conv2d"},
                                        {"cublasLt", "conv2d", "dense"},
                                        {"common.cu", "conv2d", "de", "pool"},
                                        {"kernel.cuh", "", "", ""}};

static bool blamed(const char *file, const char *why) {
  const char *name = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
  for (size_t i = 0; i < sizeof owners / sizeof *owners; i++)
    for (int k = 1; k < 4 && strcmp(owners[i][0], name) == 0; k++)
      if (owners[i][k] && strstr(why, owners[i][k]))
        return strcmp(name, "update.cu") == 0 || (strstr(why, "ward, ") && strstr(why, " f32 to "));
  return false;
}

/* sync: with LURCHER_SYNC=1 the message names the op; without it, it describes how to find the op. */
static void test_blame(bool sync) {
  setenv("LURCHER_SYNC", sync ? "1" : "0", 1);
  int lost = 0;
  for (int n = 1; n < 1000; n++) {
    training t;
    CHECK_OK(begin(&t));
    CHECK_OK(compile(&t, LUR_PRECISION_F32));
    CHECK_OK(step(&t, ROWS, 0));
    control->fail_launch((uint64_t)n);
    lur_status status = step(&t, ROWS, 1);
    const char *file = control->failed_file(), *why = lur_last_error();
    if (status != LUR_OK) {
      lost++;
      bool good = status == LUR_EDEVICE && file && strstr(why, "illegal memory access") &&
                  strstr(why, "the device is lost to this program");
      good = good && (sync ? blamed(file, why) : strstr(why, "LURCHER_SYNC=1 to learn which op it was") != NULL);
      if (!CHECK(good)) fprintf(stderr, "kernel %d, of %s: %s\n", n, file ? file : "?", why);
      if (n == 1 || n == 30) printf("%s\n", why);
      CHECK(step(&t, ROWS, 2) == LUR_EDEVICE);
    }
    end(&t);
    control->fail_launch(0);
    if (status == LUR_OK) break;
  }
  printf("%d kernels of a step, each made to fail%s\n", lost, sync ? " under LURCHER_SYNC=1" : "");
  CHECK(lost > 60);
  training t; /* afterwards the cpu still works */
  CHECK_OK(begin(&t));
  CHECK_OK(lur_context_device(t.context, "cpu", &t.device));
  CHECK_OK(compile(&t, LUR_PRECISION_F32));
  CHECK_OK(step(&t, ROWS, 0));
  end(&t);
}

/* ---- table: the kernels of ref ---- */

static void test_table(const lur_backend *cuda) {
  for (int kind = 0; kind < LUR_OP_COUNT; kind++) {
    if (kind == LUR_OP_SEPARABLE_CONV2D && !cuda->separable) continue; /* the engine does not fuse it there */
    const lur_kernel *ref = lur_ref_backend.kernels[kind], *row = cuda->kernels[kind];
    bool same = ref && row && (ref->forward != NULL) == (row->forward != NULL) &&
                (ref->backward != NULL) == (row->backward != NULL);
    if (!CHECK(same)) fprintf(stderr, "op '%s' on cuda\n", lur_op_kind_name((lur_op_kind)kind));
  }
  CHECK(cuda->affine == lur_ref_backend.affine && cuda->half);
  CHECK(cuda->update && cuda->gradient_norm && cuda->lerp && cuda->alloc && cuda->copy && cuda->fill && cuda->sync);
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  const lur_backend *cuda = NULL;
  if (!CHECK_OK(lur_backend_find("cuda", &cuda))) return check_report("test_emulated");
  Dl_info plugin;
  void *handle = dladdr((const void *)cuda, &plugin) ? dlopen(plugin.dli_fname, RTLD_NOW | RTLD_NOLOAD) : NULL;
  control = handle ? dlsym(handle, "emulated_control") : NULL;
  if (!CHECK(control)) return check_report("test_emulated");
  if (strcmp(what, "steps") == 0) {
    test_steps(LUR_PRECISION_F32, "f32");
    test_steps(LUR_PRECISION_BF16, "bf16");
    test_steps(LUR_PRECISION_F16, "f16");
  } else if (strcmp(what, "ahead") == 0) {
    test_ahead();
  } else if (strcmp(what, "limits") == 0) {
    test_limits();
  } else if (strcmp(what, "turing") == 0) {
    test_turing();
  } else if (strcmp(what, "memory") == 0) {
    test_memory();
  } else if (strcmp(what, "blame") == 0) {
    test_blame(true);
    test_blame(false);
  } else if (CHECK(strcmp(what, "table") == 0)) {
    test_table(cuda);
  }
  dlclose(handle);
  return check_report("test_emulated");
}
