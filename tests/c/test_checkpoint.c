/* test_checkpoint.c - checkpoints: training continued after a restore equals uninterrupted training bit for bit; any
 * damage is an error; other models are rejected, with the first difference named; a full disk leaves the old
 * checkpoint. */
#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "engine/files/files.h"
#include "tests/c/folder.h"

/* ---- a disk that fills up: this write replaces that of the C library ---- */

static int writes_left = -1; /* -1: no limit */

ssize_t write(int fd, const void *bytes, size_t count) {
  if (writes_left == 0) {
    errno = ENOSPC;
    return -1;
  }
  if (writes_left > 0) writes_left--;
  return syscall(SYS_write, fd, bytes, count);
}

/* ---- a small network with all state that a run keeps: moving statistics, dropout, optimizer arrays ---- */

typedef struct network {
  lur_context *context;
  lur_model *model;
  lur_run *run;
  lur_tensor *tensors[2];
  lur_batch batch;
} network;

typedef struct variation {
  const char *optimizer, *activation, *head;
  int units;
} variation;

static const variation usual = {"nadam", "softmax", "head", 3};

static lur_node *layer(lur_context *context, lur_node *x, const char *kind, lur_setting *settings, int n) {
  lur_layer *made = NULL;
  lur_node *y = NULL;
  CHECK_OK(lur_layer_new(context, kind, settings, n, &made));
  CHECK_OK(lur_layer_apply(made, 1, &x, &y));
  lur_layer_release(made);
  lur_node_release(x);
  return y;
}

static lur_setting text(const char *name, const char *value) {
  return (lur_setting){.name = name, .type = LUR_STRING, .string = value};
}
static lur_setting whole(const char *name, int value) {
  return (lur_setting){.name = name, .type = LUR_INT, .integer = value, .real = value};
}

static void build(network *to, uint64_t seed, const variation *how) {
  static const char *const names[] = {"x", "out"};
  *to = (network){0};
  lur_node *x = NULL;
  CHECK_OK(lur_context_new(seed, 1, &to->context));
  CHECK_OK(lur_input(to->context, "x", LUR_F32, &(lur_shape){1, {4}}, &x));
  x = layer(to->context, x, "dense", (lur_setting[]){text("name", "hidden"), whole("units", 5)}, 2);
  x = layer(to->context, x, "batchnorm", (lur_setting[]){text("name", "norm")}, 1);
  x = layer(to->context, x, "dropout",
            (lur_setting[]){text("name", "drop"), {.name = "rate", .type = LUR_REAL, .real = 0.3}}, 2);
  x = layer(to->context, x, "dense",
            (lur_setting[]){text("name", how->head), whole("units", how->units), text("activation", how->activation)},
            3);
  CHECK_OK(lur_model_new(to->context, 0, NULL, 1, &names[1], &x, &to->model));
  lur_node_release(x);
  for (int i = 0; i < 2; i++) {
    lur_shape shape = {.ndim = i ? 1 : 2, .dim = {6, 4}};
    CHECK_OK(lur_tensor_new(to->context, NULL, i ? LUR_I32 : LUR_F32, &shape, &to->tensors[i]));
    for (int64_t k = 0; k < lur_shape_count(&shape); k++)
      CHECK_OK(lur_tensor_set(to->tensors[i], k, i ? (double)(k % 3) : (double)(k * 7 % 11) / 10));
  }
  to->batch = (lur_batch){2, names, to->tensors};
  lur_loss loss = {"out", "categorical_crossentropy", 1, 0, NULL};
  lur_optimizer *optimizer = NULL;
  lur_compile_options options = {.nlosses = how->optimizer ? 1 : 0, .losses = &loss};
  CHECK_OK(lur_context_device(to->context, "cpu", &options.device));
  if (how->optimizer) CHECK_OK(lur_optimizer_new(to->context, how->optimizer, NULL, 0, &optimizer));
  options.optimizer = optimizer;
  CHECK_OK(lur_model_compile(to->model, &options, &to->run));
  lur_optimizer_release(optimizer);
}

static void demolish(network *of) {
  lur_tensor_release(of->tensors[0]);
  lur_tensor_release(of->tensors[1]);
  lur_run_release(of->run);
  lur_model_release(of->model);
  lur_context_release(of->context);
}

static void train(network *on, int steps, double *losses) {
  for (int i = 0; i < steps; i++) {
    lur_results results = {0};
    CHECK_OK(lur_run_train(on->run, &on->batch, &results));
    losses[i] = results.values[0];
  }
}

static bool same_weights(const lur_model *a, const lur_model *b) {
  for (int i = 0; i < lur_model_layer_count(a); i++)
    for (int k = 0; k < lur_layer_weight_count(lur_model_layer(a, i)); k++) {
      lur_tensor *x = lur_layer_weight(lur_model_layer(a, i), k), *y = lur_layer_weight(lur_model_layer(b, i), k);
      if (memcmp(lur_tensor_data(x), lur_tensor_data(y), lur_tensor_bytes(x)) != 0) return false;
    }
  return true;
}

/* ---- tests ---- */

static const char *const kinds[] = {"sgd", "adam", "adamw", "nadam"};

static void test_resume(void) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    network first, second;
    double before[4], straight[6], resumed[6];
    char *extra = NULL;
    variation how = usual;
    how.optimizer = kinds[i];
    build(&first, 1, &how);
    build(&second, 99, &how);
    train(&first, 4, before);
    lur_run_set_lr(first.run, 0.0123456789);
    CHECK_OK(lur_run_save(first.run, in_folder("a.safetensors"), "{\"epoch\": 3, \"text\": \"\\u00e9\n\"}"));
    train(&first, 6, straight);
    CHECK_OK(lur_run_restore(second.run, in_folder("a.safetensors"), &extra));
    CHECK(extra != NULL && strcmp(extra, "{\"epoch\": 3, \"text\": \"\\u00e9\n\"}") == 0);
    CHECK(lur_run_lr(second.run) == 0.0123456789 && lur_run_iterations(second.run) == 4);
    train(&second, 6, resumed);
    CHECK(memcmp(straight, resumed, sizeof straight) == 0);
    CHECK(same_weights(first.model, second.model));
    lur_text_free(extra);
    demolish(&first);
    demolish(&second);
  }
  CHECK(files_in_folder() == 1);
}

static void test_model_load(void) {
  network first;
  double losses[3];
  lur_model *model = NULL;
  char *extra = (char *)"untouched";
  build(&first, 1, &usual);
  train(&first, 3, losses);
  CHECK_OK(lur_run_save(first.run, in_folder("a.safetensors"), NULL));
  lur_context *context = NULL;
  CHECK_OK(lur_context_new(5, 1, &context));
  CHECK_OK(lur_model_load(context, in_folder("a.safetensors"), &model, &extra));
  CHECK(extra == NULL && same_weights(first.model, model));
  lur_model_release(model);
  CHECK_OK(lur_model_load(context, in_folder("a.safetensors"), &model, NULL));
  lur_model_release(model);
  CHECK_FAILS(lur_model_load(context, in_folder("absent"), &model, NULL), LUR_EIO, "absent': No such file");
  CHECK_OK(lur_model_save_weights(first.model, in_folder("w.safetensors")));
  CHECK_FAILS(lur_model_load(context, in_folder("w.safetensors"), &model, NULL), LUR_EFORMAT, "it holds weights only");
  CHECK_OK(lur_tensors_save(in_folder("w.safetensors"), 0, NULL, NULL, 0, NULL));
  CHECK_FAILS(lur_run_restore(first.run, in_folder("w.safetensors"), NULL), LUR_EFORMAT, "plain safetensors");
  unlink(in_folder("w.safetensors"));
  lur_context_release(context);
  /* Weights alone from a checkpoint: optimizer arrays are not taken for layers. */
  lur_load_report report = {0};
  network second;
  build(&second, 44, &usual);
  CHECK_OK(lur_model_load_weights(second.model, in_folder("a.safetensors"), LUR_LOAD_AUTO, true, &report));
  CHECK(report.loaded == 3 && report.unused == 0 && same_weights(first.model, second.model));
  lur_load_report_free(&report);
  demolish(&first);
  demolish(&second);
}

/* The file with its first two metadata swapped, as by a program with another order of keys. */
static void save_again(const char *from, const char *to) {
  size_t count;
  unsigned char *bytes = read_file(from, &count);
  char *first = memmem(bytes, count, "\"lurcher.checksum\"", 18), *second = memmem(bytes, count, "\"lurcher.format\"", 16);
  char text[200];
  size_t length = (size_t)(second - first) - 1, next = strlen("\"lurcher.format\":\"1\"");
  if (CHECK(first != NULL && second > first && length < sizeof text)) {
    memcpy(text, first, length);
    memmove(first, second, next);
    first[next] = ',';
    memcpy(first + next + 1, text, length);
    write_file(to, bytes, count);
  }
  free(bytes);
}

static void test_saved_again(void) {
  network first, second;
  double losses[2];
  lur_model *model = NULL;
  lur_load_report report = {0};
  build(&first, 1, &usual);
  build(&second, 44, &usual);
  train(&first, 2, losses);
  CHECK_OK(lur_run_save(first.run, in_folder("s.safetensors"), NULL));
  save_again(in_folder("s.safetensors"), in_folder("s2.safetensors"));
  CHECK_OK(lur_model_load_weights(second.model, in_folder("s2.safetensors"), LUR_LOAD_AUTO, LUR_LOAD_ALL, &report));
  CHECK(same_weights(first.model, second.model) && strstr(report.text, "saved again by another program") != NULL);
  lur_load_report_free(&report);
  if (CHECK_OK(lur_model_load(lur_model_context(first.model), in_folder("s2.safetensors"), &model, NULL)))
    CHECK(same_weights(first.model, model));
  lur_model_release(model);
  unlink(in_folder("s.safetensors"));
  unlink(in_folder("s2.safetensors"));
  demolish(&first);
  demolish(&second);
}

static void test_other_models(void) {
  static const struct {
    variation how;
    lur_status status;
    const char *part;
  } others[] = {{{"nadam", "softmax", "head", 4},
                 LUR_ESHAPE,
                 "another model: weight 'head/kernel' is 5x4 here and 5x3 in the file"},
                {{"nadam", "softmax", "top", 3},
                 LUR_ESHAPE,
                 "another model: weight 'top/kernel' was expected, the file does not have it"},
                {{"nadam", "sigmoid", "head", 3},
                 LUR_ESHAPE,
                 "'head' options activation is \"softmax\" in the file and \"sigmoid\" here"},
                {{"sgd", "softmax", "head", 3}, LUR_ESTATE, "trained with optimizer 'nadam', this run has 'sgd'"}};
  network first;
  double losses[2];
  build(&first, 1, &usual);
  train(&first, 2, losses);
  CHECK_OK(lur_run_save(first.run, in_folder("a.safetensors"), NULL));
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    network second, untouched;
    build(&second, 8, &others[i].how);
    build(&untouched, 8, &others[i].how);
    CHECK_FAILS(lur_run_restore(second.run, in_folder("a.safetensors"), NULL), others[i].status, others[i].part);
    CHECK(same_weights(second.model, untouched.model) && lur_run_iterations(second.run) == 0);
    demolish(&second);
    demolish(&untouched);
  }
  /* Which layers are frozen does not matter, and a run without an optimizer takes the weights. */
  network second;
  build(&second, 8, &(variation){NULL, "softmax", "head", 3});
  lur_layer_set_trainable(lur_model_layer(second.model, 1), false);
  CHECK_OK(lur_run_restore(second.run, in_folder("a.safetensors"), NULL));
  CHECK(same_weights(first.model, second.model));
  demolish(&second);
  demolish(&first);
}

/* Each byte changed, truncated to each length: an error, and the run is unchanged. */
static void test_damage(void) {
  network first, second, untouched;
  double losses[2];
  build(&first, 1, &usual);
  build(&second, 2, &usual);
  build(&untouched, 2, &usual);
  train(&first, 2, losses);
  CHECK_OK(lur_run_save(first.run, in_folder("a.safetensors"), "extra"));
  FILE *file = fopen(in_folder("a.safetensors"), "rb");
  static char bytes[1 << 16];
  size_t count = file == NULL ? 0 : fread(bytes, 1, sizeof bytes, file);
  if (file != NULL) fclose(file);
  CHECK(count > 1000 && count < sizeof bytes);
  const char *path = in_folder("b.safetensors");
  int accepted = 0;
  for (size_t i = 0; i < count; i++) {
    char was = bytes[i];
    bytes[i] = (char)(was ^ (1 << (i % 8)));
    write_file(path, bytes, count);
    accepted += lur_run_restore(second.run, path, NULL) != LUR_EFORMAT;
    bytes[i] = was;
  }
  CHECK(accepted == 0);
  for (size_t length = 0; length < count; length++) {
    write_file(path, bytes, length);
    accepted += lur_run_restore(second.run, path, NULL) != LUR_EFORMAT;
  }
  CHECK(accepted == 0);
  CHECK(same_weights(second.model, untouched.model) && lur_run_iterations(second.run) == 0);
  write_file(path, bytes, count);
  CHECK_OK(lur_run_restore(second.run, path, NULL));
  unlink(path);
  demolish(&first);
  demolish(&second);
  demolish(&untouched);
}

static void test_full_disk(void) {
  network first, second;
  double losses[3];
  build(&first, 1, &usual);
  build(&second, 2, &usual);
  train(&first, 2, losses);
  CHECK_OK(lur_run_save(first.run, in_folder("a.safetensors"), "old"));
  train(&first, 3, losses);
  for (int k = 0; k < 10; k++) {
    char *extra = NULL;
    writes_left = k;
    lur_status status = lur_run_save(first.run, in_folder("a.safetensors"), "new");
    writes_left = -1;
    CHECK(status == LUR_EIO && strstr(lur_last_error(), "No space left on device") != NULL && files_in_folder() == 1);
    CHECK_OK(lur_run_restore(second.run, in_folder("a.safetensors"), &extra));
    CHECK(extra != NULL && strcmp(extra, "old") == 0 && lur_run_iterations(second.run) == 2);
    lur_text_free(extra);
  }
  demolish(&first);
  demolish(&second);
}

/* ---- definitions that ask for more memory than the file vouches for ---- */

static long peak_kb(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

#define DENSE(name, units) \
  "{\"name\":\"" name "\",\"kind\":\"dense\",\"trainable\":true,\"options\":{\"units\":" units "}}"
#define DEFINITION(layers, nodes, last)                                                                            \
  "{\"format\":\"lurcher-model\",\"version\":1,\"layers\":[{\"name\":\"x\",\"kind\":\"input\",\"trainable\":true,"     \
  "\"options\":{\"shape\":[10],\"dtype\":\"f32\"}}," layers "],\"nodes\":[{\"layer\":0,\"inputs\":[]}," nodes "],"      \
  "\"inputs\":[0],\"outputs\":[{\"name\":\"o\",\"node\":" last "}]}"

static lur_status save_definition(const char *definition, int n, const char *const *weight_names, lur_tensor **values) {
  const char *metadata[] = {"lurcher.kind", "checkpoint", "lurcher.model", definition, "lurcher.state",
                            "{\"iterations\":\"0\",\"step\":\"0\",\"seed\":\"0\",\"lr\":\"0\",\"m_schedule\":\"0\","
                            "\"optimizer\":\"none\"}"};
  return lur_safetensors_write(in_folder("bomb.safetensors"), n, weight_names, values, 3, metadata, NULL, NULL);
}

static void test_bomb(void) {
  static const char *const wide = DEFINITION(DENSE("d", "30000") "," DENSE("e", "30000"),
                                             "{\"layer\":1,\"inputs\":[0]},{\"layer\":2,\"inputs\":[1]}", "2");
  static const char *const small = DEFINITION(DENSE("d", "2"), "{\"layer\":1,\"inputs\":[0]}", "1");
  static const char *const names[] = {"d/kernel", "d/bias"};
  lur_context *context = NULL;
  lur_model *model = NULL;
  lur_tensor *values[2] = {NULL};
  CHECK_OK(lur_context_new(1, 1, &context));
  long before = peak_kb();
  CHECK_OK(save_definition(wide, 0, NULL, NULL));
  CHECK_FAILS(lur_model_load(context, in_folder("bomb.safetensors"), &model, NULL), LUR_ESHAPE,
              "weight 'd/kernel' was expected, the file does not have it");
  CHECK_FAILS(lur_model_from_json(context, wide, &model), LUR_EUNSUPPORTED, "up to layer 'e' its weights have");
  CHECK(peak_kb() < before + 200000);
  char *many = malloc(30 * 20002 + 1000), *end = many;
  end += sprintf(many, "{\"format\":\"lurcher-model\",\"version\":1,\"layers\":[],\"nodes\":[");
  for (int i = 0; i <= 20000; i++) end += sprintf(end, "%s{\"layer\":0,\"inputs\":[]}", i ? "," : "");
  sprintf(end, "],\"inputs\":[],\"outputs\":[]}");
  CHECK_FAILS(lur_model_from_json(context, many, &model), LUR_EFORMAT, "20001 nodes");
  free(many);
  CHECK_OK(lur_tensor_new(context, NULL, LUR_F32, &(lur_shape){2, {10, 2}}, &values[0]));
  CHECK_OK(lur_tensor_new(context, NULL, LUR_F32, &(lur_shape){1, {2}}, &values[1]));
  CHECK_OK(lur_tensor_fill(values[0], 3));
  char *text = NULL;
  CHECK_OK(lur_model_from_json(context, small, &model));
  CHECK_OK(lur_model_to_json(model, &text));
  lur_model_release(model);
  CHECK_OK(save_definition(text, 2, names, values));
  lur_text_free(text);
  CHECK_OK(lur_model_load(context, in_folder("bomb.safetensors"), &model, NULL));
  double value = 0;
  if (model) CHECK_OK(lur_tensor_get(lur_layer_weight(lur_model_layer(model, 1), 0), 19, &value));
  CHECK(value == 3);
  lur_model_release(model);
  CHECK_OK(lur_model_from_json(context, small, &model)); /* drawn where no file has them */
  CHECK_OK(lur_tensor_get(lur_layer_weight(lur_model_layer(model, 1), 0), 19, &value));
  CHECK(value != 0 && value != 3);
  lur_model_release(model);
  for (int i = 0; i < 2; i++) lur_tensor_release(values[i]);
  lur_context_release(context);
  unlink(in_folder("bomb.safetensors"));
}

/* Metadata of any bytes come back. */
static void test_latin1(void) {
  network n;
  char *extra = NULL;
  build(&n, 1, &usual);
  CHECK_OK(lur_run_save(n.run, in_folder("a.safetensors"), "{\"classes\":[\"caf\xe9\",\"100 %\"]}"));
  CHECK_OK(lur_run_restore(n.run, in_folder("a.safetensors"), &extra));
  CHECK(extra != NULL && strcmp(extra, "{\"classes\":[\"caf\xe9\",\"100 %\"]}") == 0);
  lur_text_free(extra);
  demolish(&n);
}

int main(void) {
  folder_begin();
  test_resume();
  test_model_load();
  test_saved_again();
  test_other_models();
  test_damage();
  test_full_disk();
  test_bomb();
  test_latin1();
  unlink(in_folder("a.safetensors"));
  CHECK(files_in_folder() == 0);
  folder_end();
  return check_report("checkpoint");
}
