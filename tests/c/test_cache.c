/* test_cache.c - the file of a feature cache: filling, reopening, and verification against damage, truncation, other
 * keys and changed images; full disks, killed and competing processes. */
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/c/images.h"

enum { IMAGES = 5, VIEWS = 2, ROWS = IMAGES * VIEWS, WIDTH = 7, HEAD = 8192 }; /* HEAD: offset of the rows */

static lur_context *context;
static uint64_t prints[IMAGES] = {11, 22, 33, 44, 55};

static lur_cache *make(const char *key, lur_dtype store) {
  lur_cache_options o = {.path = in_folder("features"),
                         .key = key,
                         .store = store,
                         .row = {1, {WIDTH}},
                         .images = IMAGES,
                         .views = VIEWS,
                         .fingerprints = prints,
                         .label = "layer"};
  lur_cache *cache = NULL;
  CHECK_OK(lur_cache_new(context, &o, &cache));
  return cache;
}

static lur_cache_state state_of(lur_cache *cache) {
  lur_cache_state state = LUR_CACHE_CLOSED;
  CHECK_OK(lur_cache_open(cache, 0, &state));
  return state;
}

static float value_at(int64_t row, int64_t column) { return (float)(row * 10 + column) + 0.25f; }

static lur_tensor *numbers(int n, const int32_t *values) {
  lur_tensor *t = NULL;
  CHECK_OK(lur_tensor_new(context, NULL, LUR_I32, &(lur_shape){1, {n}}, &t));
  memcpy(lur_tensor_data(t), values, (size_t)n * sizeof *values);
  return t;
}

static lur_status put(lur_cache *cache, int32_t row, int32_t image) {
  lur_tensor *rows = numbers(1, &row), *index = numbers(1, &image), *features = NULL;
  CHECK_OK(lur_tensor_new(context, NULL, LUR_F32, &(lur_shape){2, {1, WIDTH}}, &features));
  for (int i = 0; i < WIDTH; i++) ((float *)lur_tensor_data(features))[i] = value_at(row, i);
  lur_status status = lur_cache_put(cache, rows, index, features);
  lur_tensor_release(features);
  lur_tensor_release(index);
  lur_tensor_release(rows);
  return status;
}

/* Puts the missing rows; returns their number. */
static int complete(lur_cache *cache) {
  int n = 0;
  for (int32_t row = 0; row < ROWS; row++) {
    if (lur_cache_has(cache, row)) continue;
    CHECK_OK(put(cache, row, row % IMAGES));
    n++;
  }
  CHECK_OK(lur_cache_finish(cache, 2.5));
  return n;
}

static bool reads_right(lur_cache *cache) {
  const int32_t order[] = {9, 0, 3, 3, 7};
  lur_tensor *rows = numbers(5, order), *features = NULL;
  bool right = CHECK_OK(lur_cache_select(cache, rows, &features));
  for (int i = 0; right && i < 5 * WIDTH; i++)
    right = ((float *)lur_tensor_data(features))[i] == value_at(order[i / WIDTH], i % WIDTH);
  lur_tensor_release(features);
  lur_tensor_release(rows);
  return right;
}

/* Makes sure that there is a finished file; returns how many rows had to be put. */
static int finished(const char *key, lur_dtype store) {
  lur_cache *cache = make(key, store);
  int n = state_of(cache) == LUR_CACHE_FILLING ? complete(cache) : 0;
  CHECK(state_of(cache) == LUR_CACHE_READY);
  CHECK(lur_cache_missing(cache) == 0);
  CHECK(reads_right(cache));
  lur_cache_release(cache);
  return n;
}

static void change_byte(long at) {
  FILE *f = fopen(in_folder("features"), "r+b");
  if (!CHECK(f != NULL)) return;
  fseek(f, at, SEEK_SET);
  int byte = fgetc(f);
  fseek(f, at, SEEK_SET);
  fputc(byte ^ 0x10, f);
  fclose(f);
}

static bool is_there(const char *name) { return access(in_folder(name), F_OK) == 0; }

static void test_fill_and_reopen(void) {
  unlink(in_folder("features"));
  lur_cache *cache = make("k", LUR_F32);
  CHECK(state_of(cache) == LUR_CACHE_FILLING && lur_cache_missing(cache) == ROWS && !lur_cache_note(cache)[0]);
  CHECK(lur_cache_bytes(cache) == HEAD + ROWS * WIDTH * sizeof(float));
  CHECK_FAILS(lur_cache_finish(cache, 1), LUR_ESTATE, "10 rows are still missing");
  CHECK_FAILS(put(cache, ROWS, 0), LUR_EARG, "row 10 (0 to 9 expected)");
  CHECK_FAILS(put(cache, 0, IMAGES), LUR_EARG, "image 5 (0 to 4 expected)");
  CHECK_OK(put(cache, 1, 4)); /* of another image, as for a damaged one */
  CHECK(complete(cache) == ROWS - 1 && reads_right(cache) && !is_there("features.part"));
  CHECK_FAILS(put(cache, 0, 0), LUR_ESTATE, "not being filled");
  lur_cache_release(cache);
  cache = make("k", LUR_F32);
  lur_tensor *index = NULL;
  CHECK(state_of(cache) == LUR_CACHE_READY && lur_cache_seconds(cache) == 2.5);
  CHECK_OK(lur_cache_index(cache, &index));
  CHECK(((int32_t *)lur_tensor_data(index))[1] == 4 && ((int32_t *)lur_tensor_data(index))[6] == 1);
  lur_tensor_release(index);
  lur_cache_release(cache);
}

static void test_damage(void) {
  finished("k", LUR_F32);
  for (int row = 0; row < ROWS; row++) { /* one byte of each row, then of its entry */
    change_byte(HEAD + row * (long)(WIDTH * sizeof(float)) + row);
    CHECK(finished("k", LUR_F32) == 1);
    change_byte(4096 + row * 16 + row);
    CHECK(finished("k", LUR_F32) == 1);
  }
  for (long at = 0; at < 112; at += 3) { /* of the header, up to the seconds, which are only information */
    change_byte(at);
    CHECK(finished("k", LUR_F32) == ROWS);
  }
  CHECK(truncate(in_folder("features"), HEAD + 20) == 0 && finished("k", LUR_F32) == ROWS);
  CHECK(truncate(in_folder("features"), 3) == 0 && finished("k", LUR_F32) == ROWS);
  CHECK(finished("k", LUR_F32) == 0);
}

static void test_stale(void) {
  finished("k", LUR_F32);
  CHECK(finished("other", LUR_F32) == ROWS && finished("other", LUR_F16) == ROWS && finished("k", LUR_F32) == ROWS);
  prints[2] = 1; /* makes its rows in both views stale */
  lur_cache *cache = make("k", LUR_F32);
  CHECK(state_of(cache) == LUR_CACHE_FILLING && lur_cache_missing(cache) == VIEWS);
  CHECK(strstr(lur_cache_note(cache), "2 of 10 rows are damaged, or their images have changed") != NULL);
  CHECK(!lur_cache_has(cache, 2) && !lur_cache_has(cache, 7) && complete(cache) == VIEWS && reads_right(cache));
  lur_cache_release(cache);
  prints[2] = 33;
  CHECK(finished("k", LUR_F32) == VIEWS);
}

/* A row is also stale if the image that replaced a damaged one has changed. */
static void test_replaced_image(void) {
  lur_cache *cache = make("replaced", LUR_F32);
  CHECK(state_of(cache) == LUR_CACHE_FILLING);
  CHECK_OK(put(cache, 0, 3));
  complete(cache);
  lur_cache_release(cache);
  prints[3] = 2;
  CHECK(finished("replaced", LUR_F32) == VIEWS + 1);
  prints[3] = 44;
}

static void test_resume(void) {
  lur_cache *cache = make("resumed", LUR_F32);
  CHECK(state_of(cache) == LUR_CACHE_FILLING);
  for (int32_t row = 0; row < 6; row++) CHECK_OK(put(cache, row, row % IMAGES));
  lur_cache_release(cache);
  CHECK(is_there("features.part") && finished("resumed", LUR_F32) == ROWS - 6);
}

static void test_f16(void) {
  unlink(in_folder("features"));
  CHECK(finished("half", LUR_F16) == ROWS); /* its values are exact in f16 */
  lur_cache *cache = make("half2", LUR_F16);
  lur_tensor *rows = numbers(1, (int32_t[]){0}), *features = NULL;
  CHECK(state_of(cache) == LUR_CACHE_FILLING);
  CHECK_OK(lur_tensor_new(context, NULL, LUR_F32, &(lur_shape){2, {1, WIDTH}}, &features));
  for (int at = 0; at < 9; at += 4) { /* in the vector loop and in its remainder */
    if (at >= WIDTH) break;
    CHECK_OK(lur_tensor_set(features, at, 65520));
    CHECK_FAILS(lur_cache_put(cache, rows, rows, features), LUR_EARG, "which f16 cannot hold");
    CHECK_OK(lur_tensor_set(features, at, -INFINITY));
    CHECK_OK(lur_cache_put(cache, rows, rows, features));
    CHECK_OK(lur_tensor_set(features, at, 65519));
    CHECK_OK(lur_cache_put(cache, rows, rows, features));
  }
  lur_tensor_release(features);
  lur_tensor_release(rows);
  lur_cache_release(cache);
}

static void test_busy(void) {
  unlink(in_folder("features"));
  lur_cache *first = make("busy", LUR_F32), *second = make("busy", LUR_F32);
  CHECK(state_of(first) == LUR_CACHE_FILLING && state_of(second) == LUR_CACHE_BUSY);
  CHECK_FAILS(put(second, 0, 0), LUR_ESTATE, "not being filled");
  complete(first);
  CHECK(state_of(second) == LUR_CACHE_READY && reads_right(second) && !is_there("features.part"));
  lur_cache_release(second);
  lur_cache_release(first);
}

/* A process is killed while it fills; then several start to fill at once, and one of them does all the work. */
static void test_processes(void) {
  unlink(in_folder("features"));
  pid_t child = fork();
  if (child == 0) {
    lur_cache *cache = make("processes", LUR_F32);
    if (state_of(cache) == LUR_CACHE_FILLING && put(cache, 3, 3) == LUR_OK) raise(SIGKILL);
    _exit(1);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
  for (int i = 0; i < 4; i++) {
    if (fork() != 0) continue;
    lur_cache *cache = make("processes", LUR_F32);
    lur_cache_state state;
    CHECK_OK(lur_cache_open(cache, 20, &state));
    int put_rows = state == LUR_CACHE_FILLING ? complete(cache) : 0;
    CHECK((put_rows == 0 || put_rows == ROWS - 1) && reads_right(cache));
    lur_cache_release(cache);
    lur_context_release(context);
    _exit(check_failures > 0 ? 100 : put_rows);
  }
  int total = 0;
  while (waitpid(-1, &status, 0) > 0) total += WIFEXITED(status) ? WEXITSTATUS(status) : 100;
  CHECK(total == ROWS - 1 && finished("processes", LUR_F32) == 0);
}

static bool removed(const char *name) {
  bool gone = false;
  CHECK_OK(lur_cache_remove(in_folder(name), &gone));
  return gone;
}

/* Describing and removing the files of a folder; a file in use is not removed. */
static void test_cache_folder(void) {
  unlink(in_folder("features"));
  lur_cache_info info;
  lur_cache *cache = make("folder", LUR_F16), *reader = make("folder", LUR_F16);
  CHECK_FAILS(lur_cache_look(in_folder("features"), &info), LUR_EIO, "cannot read");
  CHECK(state_of(cache) == LUR_CACHE_FILLING);
  CHECK_OK(lur_cache_look(in_folder("features.part"), &info));
  CHECK(info.is_part && info.is_busy && strcmp(info.label, "layer") == 0 && !removed("features.part"));
  complete(cache);
  CHECK_OK(lur_cache_look(in_folder("features"), &info));
  CHECK(!info.is_part && info.is_busy && info.images == IMAGES && info.views == VIEWS && info.store == LUR_F16);
  CHECK(info.row.ndim == 1 && info.row.dim[0] == WIDTH && info.seconds == 2.5 && !removed("features"));
  CHECK(state_of(reader) == LUR_CACHE_READY);
  lur_cache_release(cache);
  CHECK(!removed("features") && reads_right(reader));
  lur_cache_release(reader);
  const struct timespec long_ago[] = {{.tv_sec = 86400}, {.tv_sec = 86400}};
  CHECK(utimensat(AT_FDCWD, in_folder("features"), long_ago, 0) == 0);
  CHECK_OK(lur_cache_look(in_folder("features"), &info));
  CHECK(info.used == 86400 && !info.is_busy && info.bytes == HEAD + ROWS * WIDTH * 2);
  finished("folder", LUR_F16);
  CHECK_OK(lur_cache_look(in_folder("features"), &info));
  CHECK(info.used > 86400 * 365);
  CHECK(removed("features") && !is_there("features"));
}

/* What a killed process left, with and without a header, and files that are not caches. */
static void test_other_files(void) {
  lur_cache_info info;
  bool gone = true;
  lur_cache *cache = make("left", LUR_F32);
  CHECK(state_of(cache) == LUR_CACHE_FILLING);
  lur_cache_release(cache);
  CHECK_OK(lur_cache_look(in_folder("features.part"), &info));
  CHECK(info.is_part && !info.is_busy && info.images == IMAGES && removed("features.part"));
  write_file(in_folder("empty.part"), "", 0);
  CHECK_OK(lur_cache_look(in_folder("empty.part"), &info));
  CHECK(info.is_part && info.images == 0 && removed("empty.part"));
  write_file(in_folder("letter"), "dear reader", 11);
  CHECK_FAILS(lur_cache_look(in_folder("letter"), &info), LUR_EFORMAT, "is not a feature cache");
  CHECK_FAILS(lur_cache_remove(in_folder("letter"), &gone), LUR_EFORMAT, "is not a feature cache");
  CHECK(gone && is_there("letter"));
  finished("k", LUR_F32);
  change_byte(16); /* the version */
  CHECK_FAILS(lur_cache_look(in_folder("features"), &info), LUR_EFORMAT, "another version");
  change_byte(16);
  change_byte(56); /* the number of dimensions */
  CHECK_FAILS(lur_cache_look(in_folder("features"), &info), LUR_EFORMAT, "is not a feature cache");
  change_byte(56);
  CHECK_OK(lur_cache_look(in_folder("features"), &info));
  change_byte(44); /* the number of images: above 2^32 */
  CHECK_FAILS(lur_cache_look(in_folder("features"), &info), LUR_EFORMAT, "is not a feature cache");
  change_byte(44);
  change_byte(71); /* an extent of a row: negative */
  CHECK_FAILS(lur_cache_look(in_folder("features"), &info), LUR_EFORMAT, "is not a feature cache");
  unlink(in_folder("features"));
}

/* An unfinished file whose page has bytes, but not those of a header. */
static void test_part_without_header(void) {
  enum { MAGIC = 16 };
  static unsigned char page[HEAD];
  lur_cache_info info;
  memset(page + MAGIC, 'l', sizeof page - MAGIC);
  write_file(in_folder("garbage.part"), page, sizeof page);
  CHECK_OK(lur_cache_look(in_folder("garbage.part"), &info));
  CHECK(info.is_part && info.images == 0 && info.views == 0 && info.row.ndim == 0 && info.label[0] == '\0');
  CHECK(removed("garbage.part"));
}

static void test_no_room(void) {
  unlink(in_folder("features"));
  struct rlimit before, small = {.rlim_cur = 6000};
  getrlimit(RLIMIT_FSIZE, &before);
  small.rlim_max = before.rlim_max;
  lur_cache *cache = make("no room", LUR_F32);
  lur_cache_state state;
  setrlimit(RLIMIT_FSIZE, &small);
  CHECK_FAILS(lur_cache_open(cache, 0, &state), LUR_EIO, "no room for");
  setrlimit(RLIMIT_FSIZE, &before);
  CHECK(!is_there("features.part") && state_of(cache) == LUR_CACHE_FILLING);
  lur_cache_release(cache);
  lur_cache_options o = {.path = in_folder("no such folder/features"),
                         .key = "",
                         .row = {1, {WIDTH}},
                         .images = IMAGES,
                         .views = 1,
                         .fingerprints = prints};
  CHECK_OK(lur_cache_new(context, &o, &cache));
  CHECK_FAILS(lur_cache_open(cache, 0, &state), LUR_EIO, "No such file");
  lur_cache_release(cache);
}

static void test_truncated_in_use(void) {
  unlink(in_folder("features"));
  finished("k", LUR_F32);
  lur_cache *cache = make("k", LUR_F32);
  lur_tensor *rows = numbers(1, (int32_t[]){0}), *features = NULL;
  CHECK(state_of(cache) == LUR_CACHE_READY && truncate(in_folder("features"), 4096) == 0);
  CHECK_FAILS(lur_cache_select(cache, rows, &features), LUR_EIO, "truncated while it was in use");
  lur_tensor_release(rows);
  lur_cache_release(cache);
}

/* A file that somebody linked to the partial file's name is not written to. */
static void test_linked_part(void) {
  write_file(in_folder("victim"), "precious", 8);
  CHECK(link(in_folder("victim"), in_folder("features.part")) == 0);
  lur_cache *cache = make("key", LUR_F32);
  CHECK(state_of(cache) == LUR_CACHE_FILLING);
  CHECK(complete(cache) == ROWS);
  lur_cache_release(cache);
  size_t count;
  unsigned char *bytes = read_file(in_folder("victim"), &count);
  CHECK(count == 8 && memcmp(bytes, "precious", 8) == 0);
  free(bytes);
  unlink(in_folder("features.part"));
  CHECK(symlink("victim", in_folder("features.part")) == 0);
  lur_cache_state state;
  cache = make("key", LUR_F32);
  unlink(in_folder("features"));
  CHECK_FAILS(lur_cache_open(cache, 0, &state), LUR_EIO, "features.part");
  lur_cache_release(cache);
  unlink(in_folder("features.part"));
  unlink(in_folder("victim"));
}

static void test_options(void) {
  lur_cache *cache = NULL;
  const lur_cache_options good = {.path = in_folder("features"),
                                  .key = "",
                                  .row = {1, {WIDTH}},
                                  .images = IMAGES,
                                  .views = 1,
                                  .fingerprints = prints};
  lur_cache_options o = good;
  o.store = LUR_U8;
  CHECK_FAILS(lur_cache_new(context, &o, &cache), LUR_EARG, "store is u8");
  o = good;
  o.images = INT64_MAX;
  CHECK_FAILS(lur_cache_new(context, &o, &cache), LUR_EARG, "rows expected");
  o = good;
  o.row = (lur_shape){2, {INT64_MAX / 2, 3}};
  CHECK_FAILS(lur_cache_new(context, &o, &cache), LUR_ESHAPE, "2^40");
  o.row = (lur_shape){1, {0}};
  CHECK_FAILS(lur_cache_new(context, &o, &cache), LUR_ESHAPE, "no elements");
  o.row.ndim = LUR_MAX_DIMS;
  CHECK_FAILS(lur_cache_new(context, &o, &cache), LUR_ESHAPE, "dimensions");
}

/* Fingerprints are of contents, not of names or times. */
static void test_fingerprints(void) {
  make_folder("set");
  write_file(in_folder("set/a.jpg"), "one", 3);
  write_file(in_folder("set/b.jpg"), "two", 3);
  write_file(in_folder("set/c.jpg"), "one", 3);
  lur_dataset *set = NULL;
  uint64_t first[3], second[3];
  if (!CHECK_OK(lur_dataset_flat(in_folder("set"), NULL, NULL, &set))) return;
  CHECK_OK(lur_dataset_fingerprints(set, first));
  CHECK(first[0] == first[2] && first[0] != first[1] && first[0] != 0);
  write_file(in_folder("set/b.jpg"), "twO", 3);
  unlink(in_folder("set/c.jpg"));
  CHECK_OK(lur_dataset_fingerprints(set, second));
  CHECK(second[0] == first[0] && second[1] != first[1] && second[2] == 0);
  lur_dataset_release(set);
}

int main(void) {
  folder_begin();
  if (CHECK_OK(lur_context_new(1, 1, &context))) {
    test_processes(); /* first: it forks, which needs a process without threads */
    test_fill_and_reopen();
    test_damage();
    test_stale();
    test_replaced_image();
    test_resume();
    test_f16();
    test_busy();
    test_cache_folder();
    test_other_files();
  test_part_without_header();
    test_no_room();
    test_truncated_in_use();
    test_linked_part();
  test_options();
    test_fingerprints();
    lur_context_release(context);
  }
  folder_end();
  return check_report("test_cache");
}
