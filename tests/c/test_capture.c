/* test_capture.c - a step that is captured and replayed gives the bits of one that is launched op by op; prefetched
 * batches are those that are computed on; where the device cannot capture, the run gives the reason, and training
 * continues or ends with one message.
 *
 * test_capture [DEVICE [EXPECTED]]: cpu by default, which captures nothing and must agree all the same. EXPECTED: the
 * reason why steps are not captured, or "lost": a device that fails in the middle. */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "engine/tensor/tensor.h"
#include "kernels/backend.h"
#include "kernels/random.h"
#include "small_model.h"

enum { LONG_STEPS = 50, SHORT_STEPS = 12, MOST_WEIGHTS = 4096 };

static const char *tested = "cpu", *expected;

/* One training under test. */
typedef struct training {
  lur_context *context;
  lur_device *device;
  lur_model *model;
  lur_optimizer *optimizer;
  lur_run *run;
  float *images[2]; /* pinned where the device has such memory; step k's in k % 2 */
} training;

/* The results, bit for bit. */
typedef struct outcome {
  int steps, weights;
  int64_t iterations;
  double losses[LONG_STEPS], lr;
  float values[MOST_WEIGHTS];
} outcome;

static bool can_capture(const training *t) { return t->device->backend->capture_begin != NULL; }

static void begin(training *t, const char *optimizer, const lur_setting *settings, int n, double weight,
                  const lur_compile_options *extra) {
  const lur_loss losses[2] = {{"class", "categorical_crossentropy", weight, 0.1, NULL},
                              {"same", "categorical_crossentropy", 0.5, 0, NULL}};
  *t = (training){0};
  CHECK_OK(lur_context_new(7, 1, &t->context)); /* tiny loops */
  CHECK_OK(lur_context_device(t->context, tested, &t->device));
  t->model = make_model(t->context);
  CHECK_OK(lur_optimizer_new(t->context, optimizer, settings, n, &t->optimizer));
  lur_compile_options options = *extra;
  options.device = t->device;
  options.optimizer = t->optimizer;
  options.losses = losses;
  options.nlosses = 2;
  CHECK_OK(lur_model_compile(t->model, &options, &t->run));
  for (int i = 0; i < 2; i++) {
    void *memory = NULL;
    CHECK_OK(lur_device_alloc_host(t->device, ROWS * 9 * 9 * 3 * sizeof(float) + 64, &memory));
    t->images[i] = memory;
  }
}

static void end(training *t) {
  lur_run_release(t->run);
  for (int i = 0; i < 2; i++) lur_device_free_host(t->device, t->images[i]);
  lur_optimizer_release(t->optimizer);
  lur_model_release(t->model);
  lur_context_release(t->context);
}

/* ---- batches ---- */

/* Every seventh batch is short. */
static int64_t rows_of(int step) { return step % 7 == 6 ? ROWS - 2 : ROWS; }

static void fill_images(float *images, int64_t rows, int step) {
  for (int64_t i = 0; i < rows * 9 * 9 * 3; i++)
    images[i] = 2 * lur_random_unit(lur_philox(77, (uint64_t)step, (uint64_t)i).v[0]) - 1;
}

static void batch_of(training *t, int step, fixture *f) {
  int64_t rows = rows_of(step);
  const lur_shape shapes[5] = {{4, {rows, 9, 9, 3}}, {1, {PAIRS}}, {1, {PAIRS}}, {1, {rows}}, {1, {PAIRS}}};
  fill_images(t->images[step % 2], rows, step);
  CHECK_OK(lur_tensor_wrap(t->context, t->images[step % 2], LUR_F32, &shapes[0], NULL, &f->tensors[0]));
  for (int i = 1; i < 5; i++) {
    CHECK_OK(lur_tensor_new(t->context, NULL, LUR_I32, &shapes[i], &f->tensors[i]));
    int64_t limit = i == 3 ? 5 : i == 4 ? 2 : rows;
    for (int64_t k = 0; k < shapes[i].dim[0]; k++)
      CHECK_OK(lur_tensor_set(f->tensors[i], k, (double)((k * 7 + i + step) % limit)));
  }
  f->batch = (lur_batch){5, names, f->tensors};
}

/* ---- training ---- */

/* Steps first to last. ahead: the next batch is prefetched while this one is computed on; its memory is overwritten as
   soon as the step has returned. */
static void train(training *t, int first, int last, bool ahead, outcome *o) {
  fixture now, next = {0};
  batch_of(t, first, &now);
  for (int step = first; step < last; step++) {
    lur_results results = {0};
    if (step + 1 < last) batch_of(t, step + 1, &next);
    if (step + 1 < last && ahead) CHECK_OK(lur_run_prefetch(t->run, &next.batch));
    if (step == 20) lur_run_set_lr(t->run, lur_run_lr(t->run) / 2);
    CHECK_OK(lur_run_train(t->run, &now.batch, &results));
    o->losses[step] = results.values[0];
    drop_batch(&now);
    for (int64_t i = 0; i < rows_of(step) * 9 * 9 * 3; i++) t->images[step % 2][i] = NAN;
    now = next;
    now.batch.tensors = now.tensors; /* its own, not next's */
  }
  o->steps = last;
}

static void read_outcome(training *t, outcome *o) {
  o->iterations = lur_run_iterations(t->run);
  o->lr = lur_run_lr(t->run);
  for (int i = 0; i < lur_model_layer_count(t->model); i++) {
    lur_layer *layer = lur_model_layer(t->model, i);
    for (int k = 0; k < lur_layer_weight_count(layer); k++) {
      lur_tensor *host = NULL;
      lur_device *cpu = NULL;
      CHECK_OK(lur_context_device(t->context, "cpu", &cpu));
      CHECK_OK(lur_tensor_to(lur_layer_weight(layer, k), cpu, &host));
      int64_t count = lur_shape_count(lur_tensor_shape(host));
      if (CHECK(o->weights + count <= MOST_WEIGHTS))
        memcpy(o->values + o->weights, lur_tensor_data(host), (size_t)count * sizeof(float));
      o->weights += (int)count;
      lur_tensor_release(host);
    }
  }
}

static void same_outcome(const outcome *a, const outcome *b, const char *what) {
  bool same = a->steps == b->steps && a->weights == b->weights && a->iterations == b->iterations;
  for (int i = 0; i < a->steps && same; i++) {
    same = memcmp(&a->losses[i], &b->losses[i], sizeof a->losses[i]) == 0;
    if (!same) fprintf(stderr, "%s: step %d: %.9g against %.9g\n", what, i, a->losses[i], b->losses[i]);
  }
  CHECK(same);
  if (!CHECK(memcmp(a->values, b->values, sizeof(float) * (size_t)a->weights) == 0))
    fprintf(stderr, "%s: weights differ\n", what);
}

static void check_captured(const training *t) {
  const char *reason = lur_run_capture_reason(t->run);
  if (!can_capture(t)) CHECK(reason && strcmp(reason, "the device has no graph capture") == 0);
  else if (expected) CHECK(reason && strstr(reason, expected));
  else CHECK(!reason);
}

static lur_setting real(const char *name, double value) {
  return (lur_setting){.name = name, .type = LUR_REAL, .real = value};
}

/* The same training three times: launched, captured, captured with prefetched batches. */
static void compare(const char *optimizer, const lur_setting *settings, int n, double weight, lur_precision precision,
                    int steps) {
  outcome *all = calloc(3, sizeof *all);
  if (!CHECK(all)) return;
  for (int way = 0; way < 3; way++) {
    training t;
    lur_compile_options options = {.no_graph = way == 0, .precision = precision};
    begin(&t, optimizer, settings, n, weight, &options);
    train(&t, 0, steps, way == 2, &all[way]);
    read_outcome(&t, &all[way]);
    if (way > 0) check_captured(&t);
    end(&t);
  }
  CHECK(all[0].losses[0] == all[0].losses[0]);
  same_outcome(&all[0], &all[1], optimizer);
  same_outcome(&all[0], &all[2], "prefetched");
  free(all);
}

static void test_optimizers(void) {
  const lur_setting sgd[] = {
      real("lr", 0.05), real("momentum", 0.9), {.name = "nesterov", .type = LUR_BOOL, .boolean = true}};
  const lur_setting adam[] = {real("lr", 0.01), real("clip_norm", 0.5)};
  const lur_setting adamw[] = {real("lr", 0.01), real("weight_decay", 0.1), real("decay", 0.01)};
  const lur_setting nadam[] = {real("lr", 0.01), real("clip_value", 0.05)};
  compare("sgd", sgd, 3, 1, LUR_PRECISION_F32, LONG_STEPS);
  compare("adam", adam, 2, 1, LUR_PRECISION_F32, SHORT_STEPS);
  compare("adamw", adamw, 3, 1, LUR_PRECISION_F32, SHORT_STEPS);
  compare("nadam", nadam, 2, 1, LUR_PRECISION_F32, LONG_STEPS);
}

/* Heavy losses overflow at first: steps are skipped, in a captured step too. */
static void test_half(void) {
  const lur_setting adam[] = {real("lr", 0.01)};
  if (strncmp(tested, "cuda", 4) != 0) return;
  compare("adam", adam, 1, 1e4, LUR_PRECISION_F16, SHORT_STEPS);
  compare("sgd", adam, 1, 1, LUR_PRECISION_BF16, SHORT_STEPS);
}

/* A checkpoint in the middle, f16's loss scale in it: the second half gives the same bits. */
static void test_resume(void) {
  const lur_setting nadam[] = {real("lr", 0.01)};
  const bool half = strncmp(tested, "cuda", 4) == 0;
  const lur_compile_options options = {.precision = half ? LUR_PRECISION_F16 : LUR_PRECISION_F32};
  const char *path = "test_capture.safetensors";
  outcome *all = calloc(2, sizeof *all);
  if (!CHECK(all)) return;
  for (int way = 0; way < 2; way++) {
    training t;
    char *extra = NULL;
    begin(&t, "nadam", nadam, 1, half ? 1e4 : 1, &options);
    if (way == 0) {
      train(&t, 0, 6, true, &all[0]);
      CHECK_OK(lur_run_save(t.run, path, NULL));
    } else {
      memcpy(all[1].losses, all[0].losses, sizeof all[0].losses);
      CHECK_OK(lur_run_restore(t.run, path, &extra));
      lur_text_free(extra);
    }
    train(&t, 6, SHORT_STEPS, true, &all[way]);
    read_outcome(&t, &all[way]);
    end(&t);
  }
  same_outcome(&all[0], &all[1], "resumed");
  CHECK(half == (all[0].iterations < SHORT_STEPS)); /* some steps overflowed */
  remove(path);
  free(all);
}

/* Gradients of several batches, evaluation and prediction between, profiling on and off again, other scales. */
static void by_hand(bool no_graph, outcome *o) {
  const lur_setting sgd[] = {real("lr", 0.05), real("momentum", 0.9)};
  training t;
  lur_compile_options options = {.no_graph = no_graph};
  begin(&t, "sgd", sgd, 2, 1, &options);
  for (int step = 0; step < SHORT_STEPS; step++) {
    fixture f;
    lur_results results = {0};
    lur_tensor *outputs[2] = {NULL};
    batch_of(&t, step, &f);
    lur_run_set_profile(t.run, step == 7);
    if (step == 9) CHECK_OK(lur_run_scale_layer(t.run, "class_head", 0.5, 1));
    CHECK_OK(lur_run_accumulate(t.run, &f.batch, NULL));
    CHECK_OK(lur_run_accumulate(t.run, &f.batch, &results));
    o->losses[o->steps++] = results.values[0];
    if (step % 2) CHECK_OK(lur_run_step(t.run));
    CHECK_OK(lur_run_evaluate(t.run, &f.batch, &results));
    o->losses[o->steps++] = results.values[0];
    CHECK_OK(lur_run_predict(t.run, &f.batch, outputs));
    double first = 0;
    CHECK_OK(lur_tensor_get(outputs[0], 3, &first));
    o->losses[o->steps++] = first;
    for (int i = 0; i < 2; i++) lur_tensor_release(outputs[i]);
    drop_batch(&f);
  }
  read_outcome(&t, o);
  if (!no_graph) check_captured(&t);
  end(&t);
}

static void test_by_hand(void) {
  outcome *all = calloc(2, sizeof *all);
  if (!CHECK(all)) return;
  by_hand(true, &all[0]);
  by_hand(false, &all[1]);
  same_outcome(&all[0], &all[1], "by hand");
  free(all);
}

/* A prefetched copy is used only for the tensor that it was made from, and only until that is written to. */
static void test_prefetched(void) {
  const lur_setting sgd[] = {real("lr", 0)};
  training t;
  lur_compile_options options = {0};
  fixture a, b;
  lur_results known[2], results = {0};
  begin(&t, "sgd", sgd, 1, 1, &options);
  batch_of(&t, 0, &a);
  batch_of(&t, 1, &b);
  CHECK_OK(lur_run_evaluate(t.run, &a.batch, &known[0]));
  CHECK_OK(lur_run_evaluate(t.run, &b.batch, &known[1]));
  CHECK_OK(lur_run_prefetch(t.run, &a.batch));
  CHECK_OK(lur_run_evaluate(t.run, &b.batch, &results)); /* another one comes first */
  CHECK(results.values[0] == known[1].values[0]);
  CHECK_OK(lur_run_evaluate(t.run, &a.batch, &results));
  CHECK(results.values[0] == known[0].values[0]);
  CHECK_OK(lur_run_prefetch(t.run, &a.batch));
  CHECK_OK(lur_run_prefetch(t.run, &b.batch)); /* a never comes */
  CHECK_OK(lur_run_evaluate(t.run, &b.batch, &results));
  CHECK(results.values[0] == known[1].values[0]);
  CHECK_OK(lur_run_prefetch(t.run, &a.batch));
  CHECK_OK(lur_tensor_copy(a.tensors[0], b.tensors[0]));
  for (int i = 1; i < 5; i++) CHECK_OK(lur_tensor_copy(a.tensors[i], b.tensors[i]));
  CHECK_OK(lur_run_evaluate(t.run, &a.batch, &results));
  CHECK(results.values[0] == known[1].values[0]);
  CHECK_OK(lur_run_prefetch(t.run, &a.batch)); /* and is dropped with the run */
  drop_batch(&a);
  drop_batch(&b);
  end(&t);
}

/* A backward by hand reads the batch of its forward, whatever is prefetched between the two; and a step may be captured
   again, or the run end, while its last replay is still running. */
static void test_by_hand_prefetched(void) {
  const lur_setting sgd[] = {real("lr", 0.1)};
  lur_tensor *gradients[2] = {NULL};
  for (int way = 0; way < 2; way++) {
    training t;
    lur_compile_options options = {0};
    fixture a, b;
    lur_tensor *outputs[2] = {NULL};
    begin(&t, "sgd", sgd, 1, 1, &options);
    batch_of(&t, 0, &a);
    batch_of(&t, 1, &b);
    for (int i = 0; i < 3; i++) {
      lur_tensor_release(gradients[way]);
      gradients[way] = NULL;
      CHECK_OK(lur_run_forward(t.run, &a.batch, true, outputs));
      if (way == 1) CHECK_OK(lur_run_prefetch(t.run, &b.batch));
      if (way == 1) CHECK_OK(lur_run_prefetch(t.run, &a.batch));
      CHECK_OK(lur_run_backward(t.run, outputs));
      CHECK_OK(lur_run_gradient(t.run, "entry", "kernel", &gradients[way]));
      CHECK_OK(lur_run_step(t.run));
      for (int k = 0; k < 2; k++) lur_tensor_release(outputs[k]);
    }
    CHECK_OK(lur_run_scale_layer(t.run, "class_head", 0.5, 1));
    CHECK_OK(lur_run_step(t.run));
    end(&t);
    drop_batch(&a);
    drop_batch(&b);
  }
  const size_t bytes = gradients[0] && gradients[1] ? lur_tensor_bytes(gradients[0]) : 0;
  CHECK(bytes > 0 && memcmp(lur_tensor_data(gradients[0]), lur_tensor_data(gradients[1]), bytes) == 0);
  for (int way = 0; way < 2; way++) lur_tensor_release(gradients[way]);
}

/* The device fails in the middle: one message, and the cpu still works. */
static void test_lost(void) {
  const lur_setting sgd[] = {real("lr", 0.05)};
  training t;
  fixture f;
  lur_results results = {0};
  lur_compile_options options = {0};
  begin(&t, "sgd", sgd, 1, 1, &options);
  batch_of(&t, 0, &f);
  CHECK_FAILS(lur_run_train(t.run, &f.batch, &results), LUR_EDEVICE,
              "the device is lost to this program: start it again");
  printf("%s\n", lur_last_error());
  CHECK_FAILS(lur_run_train(t.run, &f.batch, &results), LUR_EDEVICE, "the device is lost");
  drop_batch(&f);
  end(&t);
  tested = "cpu";
  begin(&t, "sgd", sgd, 1, 1, &options);
  batch_of(&t, 0, &f);
  CHECK_OK(lur_run_train(t.run, &f.batch, &results));
  drop_batch(&f);
  end(&t);
}

int main(int argc, char **argv) {
  if (argc > 1) tested = argv[1];
  if (argc > 2) expected = argv[2];
  if (expected && strcmp(expected, "lost") == 0) {
    test_lost();
    return check_report("test_capture");
  }
  if (!expected) {
    test_optimizers();
    test_half();
    test_resume();
  }
  test_by_hand();
  test_prefetched();
  test_by_hand_prefetched();
  return check_report("test_capture");
}
