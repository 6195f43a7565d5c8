/* test_loader.c - the loader: order, the same bits with any number of workers, damaged images, stopping, lifetimes. */
#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "engine/data/loader.h"
#include "tests/c/images.h"

static lur_context *context;
static lur_dataset *set;

enum { CLASSES = 3, EACH = 10, N = CLASSES * EACH, SIDE = 24 };

static void make_set(void) {
  char name[64];
  make_folder("set");
  for (int c = 0; c < CLASSES; c++) {
    snprintf(name, sizeof name, "set/%c", 'a' + c);
    make_folder(name);
    for (int i = 0; i < EACH; i++) {
      snprintf(name, sizeof name, "set/%c/%d.%s", 'a' + c, i, i % 3 ? "jpg" : "png");
      save_image(context, name, 20 + i, 30 - c, c * EACH + i);
    }
  }
  CHECK_OK(lur_dataset_folder(in_folder("set"), NULL, &set));
}

static lur_loader *new_loader(int workers, bool strict) {
  lur_loader_options o = {
      .height = SIDE, .width = SIDE, .workers = workers, .prefetch = 3, .seed = 9, .strict = strict};
  lur_loader *l = NULL;
  CHECK_OK(lur_loader_new(context, set, &o, &l));
  return l;
}

static uint64_t hash_bytes(uint64_t h, const void *bytes, size_t count) { /* FNV-1a */
  const uint8_t *p = bytes;
  for (size_t i = 0; i < count; i++) h = (h ^ p[i]) * 0x100000001B3u;
  return h;
}

static lur_status push_range(lur_loader *l, int64_t first, int64_t n) {
  int64_t indices[N];
  for (int64_t i = 0; i < n; i++) indices[i] = (first + i) % N;
  lur_load_field fields[2] = {{"image", n, indices}, {"other", 2, (int64_t[]){3, 3}}};
  return lur_loader_push(l, 2, fields);
}

/* An epoch in batches of 7; returns a hash of all results. */
static uint64_t run_epoch(lur_loader *l, int64_t epoch) {
  uint64_t h = 0xCBF29CE484222325u;
  CHECK_OK(lur_loader_begin(l, epoch));
  int64_t at = 0;
  while (at < N || lur_loader_waiting(l)) {
    for (; at < N && lur_loader_room(l); at += 7) CHECK_OK(push_range(l, at, N - at < 7 ? N - at : 7));
    lur_loaded b;
    if (!CHECK_OK(lur_loader_pop(l, &b))) break;
    for (int i = 0; i < b.nfields; i++) {
      h = hash_bytes(h, lur_tensor_data(b.fields[i].images), lur_tensor_bytes(b.fields[i].images));
      h = hash_bytes(h, lur_tensor_data(b.fields[i].classes), lur_tensor_bytes(b.fields[i].classes));
      h = hash_bytes(h, lur_tensor_data(b.fields[i].indices), lur_tensor_bytes(b.fields[i].indices));
    }
    lur_loaded_free(&b);
  }
  return h;
}

static void test_same_bits(void) {
  static const int workers[] = {-1, 1, 2, 8};
  uint64_t first = 0;
  for (int i = 0; i < 4; i++) {
    lur_loader *l = new_loader(workers[i], false);
    uint64_t h = run_epoch(l, 0);
    if (i == 0) first = h;
    CHECK(h == first);
    CHECK(lur_loader_damage_count(l) == 0);
    lur_loader_release(l);
  }
}

static void test_values(void) {
  lur_loader *l = new_loader(1, false);
  lur_tensor *image = NULL, *resized = NULL;
  lur_loaded b;
  CHECK_OK(lur_loader_begin(l, 0));
  CHECK_OK(push_range(l, 11, 2));
  CHECK_OK(lur_loader_pop(l, &b));
  CHECK(b.nfields == 2 && strcmp(b.fields[1].name, "other") == 0);
  const lur_shape *s = lur_tensor_shape(b.fields[0].images);
  CHECK(s->ndim == 4 && s->dim[0] == 2 && s->dim[1] == SIDE && s->dim[2] == SIDE && s->dim[3] == 3);
  CHECK_OK(lur_image_load(context, lur_dataset_path(set, 11), NULL, &image));
  CHECK_OK(lur_image_resize(image, SIDE, SIDE, LUR_RESIZE_BILINEAR, &resized));
  const uint8_t *u = lur_tensor_data(resized);
  const float *f = lur_tensor_data(b.fields[0].images);
  int wrong = 0;
  for (int i = 0; i < SIDE * SIDE * 3; i++) wrong += f[i] != (float)u[i] / 127.5f - 1.0f;
  CHECK(wrong == 0);
  const int32_t *classes = lur_tensor_data(b.fields[0].classes);
  CHECK(classes[0] == 1 && ((const int32_t *)lur_tensor_data(b.fields[0].indices))[1] == 12);
  lur_loaded_free(&b);
  lur_tensor_release(image);
  lur_tensor_release(resized);
  lur_loader_release(l);
}

static void test_misuse(void) {
  lur_loader *l = new_loader(2, false);
  lur_loaded b;
  CHECK_OK(lur_loader_begin(l, 0));
  CHECK_FAILS(lur_loader_pop(l, &b), LUR_ESTATE, "no batch was pushed");
  lur_load_field bad = {"image", 1, (int64_t[]){N}};
  CHECK_FAILS(lur_loader_push(l, 1, &bad), LUR_EARG, "image index 30 of field 'image' is outside the dataset of 30");
  for (int i = 0; i < 3; i++) CHECK_OK(push_range(l, 0, 5));
  CHECK_FAILS(push_range(l, 0, 5), LUR_ESTATE, "the queue holds 3 batches");
  CHECK_OK(lur_loader_begin(l, 1)); /* discards them */
  CHECK(lur_loader_waiting(l) == 0 && lur_loader_room(l) == 3);
  for (int i = 0; i < 3; i++) CHECK_OK(push_range(l, 0, 20));
  lur_loader_stop(l);
  CHECK(lur_loader_waiting(l) == 0);
  lur_loader_release(l); /* stopped; now again with rows being made: */
  l = new_loader(2, false);
  CHECK_OK(lur_loader_begin(l, 0));
  for (int i = 0; i < 3; i++) CHECK_OK(push_range(l, 0, 20));
  lur_loader_release(l);
}

/* Tensors may outlive their loader. */
static void test_lifetime(void) {
  lur_loader *l = new_loader(2, false);
  lur_loaded b[3];
  CHECK_OK(lur_loader_begin(l, 0));
  for (int i = 0; i < 3; i++) CHECK_OK(push_range(l, i, 4));
  for (int i = 0; i < 3; i++) CHECK_OK(lur_loader_pop(l, &b[i]));
  lur_loaded_free(&b[1]);
  lur_loader_release(l);
  for (int i = 0; i < 3; i += 2) {
    CHECK(((const int32_t *)lur_tensor_data(b[i].fields[0].indices))[3] == i + 3);
    lur_loaded_free(&b[i]);
  }
}

/* ---- damaged images ---- */

static void damage_set(void) {
  size_t count;
  unsigned char *bytes = read_file(in_folder("set/b/4.jpg"), &count);
  write_file(in_folder("set/b/4.jpg"), bytes, count / 2);
  write_file(in_folder("set/a/1.jpg"), "", 0);
  write_file(in_folder("set/a/2.jpg"), "no image", 8);
  unlink(in_folder("set/c/7.jpg"));
  free(bytes);
}

static void test_damage(void) {
  uint64_t first = 0;
  static const int workers[] = {-1, 1, 2, 8};
  for (int i = 0; i < 4; i++) {
    lur_loader *l = new_loader(workers[i], false);
    uint64_t h = run_epoch(l, 0) ^ run_epoch(l, 1);
    if (i == 0) first = h;
    CHECK(h == first);
    CHECK(lur_loader_damage_count(l) == 4);
    static const char *const names[] = {"a/1.jpg: empty file", "a/2.jpg: neither JPEG nor PNG", "b/4.jpg: damaged JPEG",
                                        "c/7.jpg: cannot open"};
    for (int k = 0; k < 4; k++) {
      lur_damage d = lur_loader_damage(l, k);
      CHECK(d.times >= 1 && !d.fresh && strstr(d.text, names[k]) != NULL);
    }
    lur_loader_release(l);
  }
}

/* A file without read permission. Root can read any file, so root becomes another user for this test. */
static void test_permission(void) {
  bool root = geteuid() == 0;
  CHECK(chmod(in_folder("set/c/2.jpg"), 0) == 0 && chmod(test_folder, 0755) == 0);
  if (root) CHECK(seteuid(65534) == 0);
  if (access(in_folder("set"), X_OK) == 0) {
    lur_loader *l = new_loader(2, false);
    run_epoch(l, 0);
    CHECK(lur_loader_damage_count(l) == 1);
    CHECK(strstr(lur_loader_damage(l, 0).text, "c/2.jpg: cannot open: Permission denied") != NULL);
    lur_loader_release(l);
  }
  if (root) CHECK(seteuid(0) == 0);
  CHECK(chmod(in_folder("set/c/2.jpg"), 0644) == 0);
}

static void test_replacement(void) {
  lur_loader *l = new_loader(2, false);
  lur_loaded b;
  CHECK_OK(lur_loader_begin(l, 0));
  lur_load_field f = {"image", 4, (int64_t[]){1, 2, 14, 27}};
  CHECK_OK(lur_loader_push(l, 1, &f));
  CHECK_OK(lur_loader_pop(l, &b));
  const int32_t *classes = lur_tensor_data(b.fields[0].classes), *indices = lur_tensor_data(b.fields[0].indices);
  CHECK(classes[0] == 0 && classes[1] == 0 && classes[2] == 1 && classes[3] == 2);
  for (int i = 0; i < 4; i++) CHECK(indices[i] != f.indices[i] && lur_dataset_class(set, indices[i]) == classes[i]);
  CHECK(lur_loader_damage(l, 0).fresh);
  lur_loaded_free(&b);
  lur_loader_release(l);
}

static void test_strict(void) {
  lur_loader *l = new_loader(2, true);
  lur_loaded b;
  CHECK_OK(lur_loader_begin(l, 0));
  CHECK_OK(push_range(l, 0, 10));
  CHECK_FAILS(lur_loader_pop(l, &b), LUR_EFORMAT, "a/1.jpg: empty file"); /* the first in row order */
  CHECK_OK(push_range(l, 20, 4));
  CHECK_OK(lur_loader_pop(l, &b));
  lur_loaded_free(&b);
  lur_loader_release(l);
}

/* ---- failures that are not the image's ---- */

static struct { /* of read(2), which this program replaces */
  int countdown, error; /* calls until the one that fails; 0: none fails */
} disk;

ssize_t read(int fd, void *bytes, size_t count) {
  if (disk.countdown > 0 && --disk.countdown == 0) {
    errno = disk.error;
    return -1;
  }
  return syscall(SYS_read, fd, bytes, count);
}

/* No image is called damaged, and none replaced, for a failure of the system. */
static void expect_failure(lur_loader *l, lur_status expected, const char *part) {
  lur_loaded b;
  CHECK_OK(lur_loader_begin(l, 0));
  CHECK_OK(push_range(l, 4, 4));
  CHECK_FAILS(lur_loader_pop(l, &b), expected, part);
  CHECK(lur_loader_damage_count(l) == 0);
}

static void test_system_failures(void) {
  static const struct {
    int error;
    lur_status status;
    const char *part;
  } cases[] = {{EIO, LUR_EIO, "Input/output error"}, {ENOMEM, LUR_ENOMEM, "Cannot allocate memory"},
               {ESTALE, LUR_EIO, "Stale file handle"}};
  lur_loader *l = new_loader(-1, false);
  lur_loaded b;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    disk.countdown = 2;
    disk.error = cases[i].error;
    expect_failure(l, cases[i].status, cases[i].part);
    disk.countdown = 0;
  }
  struct rlimit before, few;
  CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
  few = before;
  few.rlim_cur = 3;
  CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
  expect_failure(l, LUR_EIO, "Too many open files");
  lur_audit audit;
  CHECK_FAILS(lur_dataset_audit(1, &set, NULL, &audit), LUR_EIO, "Too many open files");
  uint64_t *prints = calloc((size_t)lur_dataset_size(set), sizeof *prints);
  CHECK_FAILS(lur_dataset_fingerprints(set, prints), LUR_EIO, "Too many open files");
  CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
  disk.countdown = 2;
  disk.error = EIO;
  CHECK_FAILS(lur_dataset_audit(1, &set, &(lur_audit_options){.workers = 1}, &audit), LUR_EIO, "Input/output error");
  disk.countdown = 2;
  CHECK_FAILS(lur_dataset_fingerprints(set, prints), LUR_EIO, "Input/output error");
  disk.countdown = 0;
  CHECK_OK(lur_dataset_fingerprints(set, prints));
  free(prints);
  CHECK_OK(lur_loader_begin(l, 0)); /* the next epoch is whole */
  CHECK_OK(push_range(l, 4, 4));
  CHECK_OK(lur_loader_pop(l, &b));
  CHECK(((const int32_t *)lur_tensor_data(b.fields[0].indices))[0] == 4);
  lur_loaded_free(&b);
  lur_loader_release(l);
}

/* Workers share a limit on the pixels that they hold: twice max_pixels, which one image may have. */
static void test_pixels_in_flight(void) {
  enum { BIG = 200, IMAGES = 12 };
  const char *paths[IMAGES];
  int64_t rows[IMAGES];
  lur_dataset *d = NULL;
  lur_loader *l = NULL;
  lur_loaded b;
  lur_loader_options o = {.height = 8, .width = 8, .workers = 8, .decode = {.max_pixels = BIG * BIG}};
  save_image(context, "big.png", BIG, BIG, 1);
  for (int i = 0; i < IMAGES; i++) paths[i] = in_folder("big.png"), rows[i] = i;
  CHECK_OK(lur_dataset_items(IMAGES, paths, NULL, NULL, NULL, &d));
  CHECK_OK(lur_loader_new(context, d, &o, &l));
  CHECK_OK(lur_loader_begin(l, 0));
  lur_load_field f = {"image", IMAGES, rows};
  for (int i = 0; i < 4; i++) CHECK_OK(lur_loader_push(l, 1, &f));
  for (int i = 0; i < 4; i++) {
    CHECK_OK(lur_loader_pop(l, &b));
    lur_loaded_free(&b);
  }
  CHECK(lur_loader_damage_count(l) == 0 && l->budgets.pixels.used == 0 && l->budgets.files.used == 0);
  CHECK(l->budgets.pixels.most >= BIG * BIG && l->budgets.pixels.most <= 2 * BIG * BIG);
  for (int i = 0; i < 9; i++) CHECK(l->workspaces[i].decoded.capacity < (128 << 20));
  lur_loader_release(l);
  lur_dataset_release(d);
  unlink(in_folder("big.png"));
}

/* An amount above the limit is granted to one thread alone, and waits for the others. */
static void *take_all(void *budget) {
  lur_budget_take(budget, 1000);
  lur_budget_give(budget, 1000);
  return NULL;
}

static void test_budget(void) {
  lur_budget budget;
  pthread_t threads[4];
  lur_budget_init(&budget, 10);
  lur_budget_take(&budget, 4);
  lur_budget_take(&budget, 6);
  for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, take_all, &budget) == 0);
  lur_budget_give(&budget, 6);
  lur_budget_give(&budget, 4);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  CHECK(budget.used == 0 && budget.most == 1000);
  lur_budget_destroy(&budget);
}

static void test_no_readable_image(void) {
  static const char *const paths[] = {"/nowhere/a.jpg", "/nowhere/b.jpg"};
  lur_dataset *d = NULL;
  lur_loader *l = NULL;
  lur_loaded b;
  lur_loader_options o = {.height = 8, .width = 8, .workers = 2};
  CHECK_OK(lur_dataset_items(2, paths, NULL, NULL, NULL, &d));
  CHECK_OK(lur_loader_new(context, d, &o, &l));
  CHECK_OK(lur_loader_begin(l, 0));
  lur_load_field f = {"image", 2, (int64_t[]){0, 1}};
  CHECK_OK(lur_loader_push(l, 1, &f));
  CHECK_FAILS(lur_loader_pop(l, &b), LUR_EFORMAT, "none of the 2 images can be read");
  lur_loader_release(l);
  lur_dataset_release(d);
}

/* ---- transforms ---- */

typedef struct hook { /* user of the transforms below */
  atomic_int opened, closed, released;
  int64_t fails; /* index of the image that apply fails for; -1: none */
  bool endless;  /* apply does not return before the loader is stopped */
} hook;

static lur_status hook_open(void *user, const lur_transform_call *first, void **state) {
  if (!first->loader) return lur_fail(LUR_ESTATE, "no call");
  atomic_fetch_add(&((hook *)user)->opened, 1);
  *state = user;
  return LUR_OK;
}

static void hook_close(void *state) { atomic_fetch_add(&((hook *)state)->closed, 1); }
static void hook_release(void *user) { atomic_fetch_add(&((hook *)user)->released, 1); }

/* Inverts the image, and marks its first pixels with what the call says. */
static lur_status hook_apply(void *state, const lur_transform_call *call, float *out) {
  const hook *h = state;
  while (h->endless && !lur_transform_stopped(call)) usleep(1000);
  if (h->endless) return lur_fail(LUR_EINTERRUPTED, "interrupted");
  if (call->index == h->fails) return lur_fail(LUR_EARG, "no image %lld", (long long)call->index);
  if (call->height != SIDE || call->width != SIDE || call->file_height != 20 + (int)call->index % EACH ||
      call->file_width != 30 - (int)call->index / EACH)
    return lur_fail(LUR_ESHAPE, "an image of another size");
  for (int i = 0; i < 3 * SIDE * SIDE; i++) out[i] = 255.0f - call->pixels[i];
  out[0] = (float)(call->key >> 56);
  out[1] = (float)call->draw;
  return LUR_OK;
}

static lur_loader *new_transforming(hook *h, int workers, bool on_owner) {
  lur_transform transform = {.user = h,
                             .open = hook_open,
                             .apply = hook_apply,
                             .close = hook_close,
                             .release = hook_release,
                             .on_owner = on_owner};
  lur_loader_options o = {
      .height = SIDE, .width = SIDE, .workers = workers, .prefetch = 3, .seed = 9, .transform = &transform};
  lur_loader *l = NULL;
  CHECK_OK(lur_loader_new(context, set, &o, &l));
  return l;
}

static void test_transform(void) {
  static const int workers[] = {-1, 1, 2, 8, 2};
  uint64_t first = 0;
  for (int i = 0; i < 5; i++) {
    hook h = {.fails = -1};
    lur_loader *l = new_transforming(&h, workers[i], i == 4);
    uint64_t bits = run_epoch(l, 0);
    if (i == 0) first = bits;
    CHECK(bits == first);
    CHECK(run_epoch(l, 1) != first); /* other keys */
    CHECK(h.opened <= (workers[i] < 1 || i == 4 ? 1 : workers[i]) && h.closed == 0 && h.released == 0);
    lur_loader_release(l);
    CHECK(h.closed == h.opened && h.released == 1);
  }
}

static void test_failing_transform(void) {
  for (int workers = -1; workers < 3; workers += 2) {
    hook h = {.fails = 4};
    lur_loader *l = new_transforming(&h, workers, false);
    lur_loaded b;
    CHECK_OK(lur_loader_begin(l, 0));
    CHECK_OK(push_range(l, 0, 7));
    CHECK_FAILS(lur_loader_pop(l, &b), LUR_EARG, "no image 4");
    CHECK(lur_loader_damage_count(l) == 0); /* the image is not to blame */
    h.fails = -1;
    CHECK_OK(lur_loader_begin(l, 0));
    CHECK_OK(push_range(l, 0, 7));
    if (CHECK_OK(lur_loader_pop(l, &b))) lur_loaded_free(&b);
    CHECK(h.opened > h.closed && h.closed > 0);
    lur_loader_release(l);
    CHECK(h.opened == h.closed && h.released == 1);
  }
}

static void test_endless_transform(void) {
  for (int workers = -1; workers < 3; workers += 2) {
    hook h = {.fails = -1, .endless = true};
    lur_loader *l = new_transforming(&h, workers, false);
    lur_loaded b;
    CHECK_OK(lur_loader_begin(l, 0));
    CHECK_OK(push_range(l, 0, 7));
    lur_context_interrupt(context);
    CHECK_FAILS(lur_loader_pop(l, &b), LUR_EINTERRUPTED, "interrupted");
    CHECK(!lur_context_interrupted(context)); /* the request is granted */
    CHECK_OK(lur_loader_begin(l, 1));
    CHECK_OK(push_range(l, 0, 7));
    lur_loader_release(l); /* does not wait for it */
  }
}

int main(void) {
  CHECK_OK(lur_context_new(1, 1, &context));
  folder_begin();
  make_set();
  test_same_bits();
  test_values();
  test_misuse();
  test_lifetime();
  test_permission();
  test_system_failures();
  test_pixels_in_flight();
  test_budget();
  test_transform();
  test_failing_transform();
  test_endless_transform();
  damage_set();
  test_damage();
  test_replacement();
  test_strict();
  test_no_readable_image();
  lur_dataset_release(set);
  folder_end();
  lur_context_release(context);
  return check_report("loader");
}
