/* test_dataset.c - class folders, flat folders with a naming rule, subsets and splits: order, classes, messages. */
#include "tests/c/images.h"

static void touch(const char *name) { write_file(in_folder(name), "x", 1); } /* scanning does not open images */

static void make_tree(void) {
  make_folder("set");
  make_folder("set/b");
  make_folder("set/10");
  make_folder("set/2");
  make_folder("set/empty");
  make_folder("set/b/sub");
  make_folder("set/b/a.jpg"); /* a folder with the name of an image */
  touch("set/b/z.jpg");
  touch("set/b/B.JPG");
  touch("set/b/sub/a.jpeg");
  touch("set/b/notes.txt");
  touch("set/10/x.png");
  touch("set/10/y.jpg");
  touch("set/2/x.jpg");
  touch("set/stray.jpg");
}

static bool is(const char *a, const char *b) { return a && strcmp(a, b) == 0; }

static void test_class_folders(void) {
  lur_dataset *d = NULL;
  if (!CHECK_OK(lur_dataset_folder(in_folder("set"), NULL, &d))) return;
  static const char *const names[] = {"10/x.png", "10/y.jpg", "2/x.jpg", "b/B.JPG", "b/z.jpg", "b/sub/a.jpeg"};
  static const char *const classes[] = {"10", "2", "b", "empty"};
  static const int ids[] = {0, 0, 1, 2, 2, 2};
  CHECK(lur_dataset_size(d) == 6 && lur_dataset_class_count(d) == 4);
  for (int i = 0; i < 6; i++) CHECK(is(lur_dataset_name(d, i), names[i]) && lur_dataset_class(d, i) == ids[i]);
  for (int i = 0; i < 4; i++) CHECK(is(lur_dataset_class_name(d, i), classes[i]));
  CHECK(is(lur_dataset_path(d, 5), in_folder("set/b/sub/a.jpeg")));
  CHECK(lur_dataset_class_size(d, 2) == 3 && lur_dataset_class_size(d, 3) == 0 && lur_dataset_name(d, 6) == NULL);
  char text[512];
  lur_dataset_format(d, text, sizeof text);
  CHECK(strstr(text, "6 images, 4 classes of 0 (empty) to 3 (b)") && strstr(text, "1 other file ignored"));
  CHECK(lur_dataset_format(d, text, 10) > 40 && strlen(text) == 9);
  lur_dataset_release(d);
}

static void test_given_classes(void) {
  lur_dataset *d = NULL;
  static const char *const classes[] = {"z", "empty", "b", "2", "10"};
  lur_dataset_options options = {.nclasses = 5, .classes = classes};
  if (CHECK_OK(lur_dataset_folder(in_folder("set"), &options, &d))) {
    CHECK(lur_dataset_class_count(d) == 5 && lur_dataset_class(d, 0) == 4);
    lur_dataset_release(d);
  }
  options.nclasses = 3;
  CHECK_FAILS(lur_dataset_folder(in_folder("set"), &options, &d), LUR_EFORMAT,
              "class '10' is not one of the 3 given classes");
  static const char *const png[] = {"png"};
  options = (lur_dataset_options){.nextensions = 1, .extensions = png};
  if (CHECK_OK(lur_dataset_folder(in_folder("set"), &options, &d))) {
    CHECK(lur_dataset_size(d) == 1);
    lur_dataset_release(d);
  }
}

static void test_folder_errors(void) {
  lur_dataset *d = NULL;
  make_folder("bare");
  CHECK_FAILS(lur_dataset_folder(in_folder("nowhere"), NULL, &d), LUR_EIO, "nowhere");
  CHECK_FAILS(lur_dataset_folder(in_folder("set/stray.jpg"), NULL, &d), LUR_EIO, "is a file");
  CHECK_FAILS(lur_dataset_folder(in_folder("bare"), NULL, &d), LUR_EFORMAT, "has no class folders");
  make_folder("bare/a");
  CHECK_FAILS(lur_dataset_folder(in_folder("bare"), NULL, &d), LUR_EFORMAT, "no image in its 1 class folders");
}

static void test_flat(void) {
  lur_dataset *d = NULL;
  make_folder("flat");
  touch("flat/0002_c1s1_000451_03.jpg");
  touch("flat/-1_c6s3_000001_00.jpg");
  touch("flat/0002_c3s2_000001_01.jpg");
  if (CHECK_OK(lur_dataset_flat(in_folder("flat"), "{class}_c{camera}s{sequence}_{}", NULL, &d))) {
    CHECK(lur_dataset_size(d) == 3 && lur_dataset_class_count(d) == 2 && is(lur_dataset_class_name(d, 0), "-1"));
    CHECK(lur_dataset_class(d, 0) == 0 && lur_dataset_class(d, 1) == 1);
    CHECK(lur_dataset_column_count(d) == 2 && is(lur_dataset_column_name(d, 0), "camera"));
    CHECK(is(lur_dataset_column(d, 0, 1), "1") && is(lur_dataset_column(d, 0, 2), "3") &&
          is(lur_dataset_column(d, 1, 0), "3"));
    lur_dataset_release(d);
  }
  if (CHECK_OK(lur_dataset_flat(in_folder("flat"), NULL, NULL, &d))) {
    CHECK(lur_dataset_class(d, 0) == -1 && lur_dataset_class_count(d) == 0);
    lur_dataset_release(d);
  }
  CHECK_FAILS(lur_dataset_flat(in_folder("flat"), "{class}-{}", NULL, &d), LUR_EFORMAT,
              "does not fit the rule '{class}-{}'");
  CHECK_FAILS(lur_dataset_flat(in_folder("flat"), "{class", NULL, &d), LUR_EARG, "a { has no }");
  CHECK_FAILS(lur_dataset_flat(in_folder("flat"), "{a}{b}", NULL, &d), LUR_EARG, "need a character between");
}

static void test_parts(void) {
  enum { N = 40 };
  char paths[N][16];
  const char *path[N], *class[N];
  for (int i = 0; i < N; i++) {
    snprintf(paths[i], sizeof paths[i], "p%02d.jpg", i);
    path[i] = paths[i];
    class[i] = i < 30 ? "many" : "few";
  }
  lur_dataset *d = NULL, *a = NULL, *b = NULL, *c = NULL;
  CHECK_OK(lur_dataset_items(N, path, NULL, class, NULL, &d));
  CHECK(lur_dataset_class(d, 0) == 1 && is(lur_dataset_class_name(d, 0), "few"));
  CHECK_OK(lur_dataset_split(d, 0.2, 7, &a, &b));
  CHECK(lur_dataset_class_size(b, 1) == 6 && lur_dataset_class_size(b, 0) == 2 && lur_dataset_size(a) == 32);
  for (int64_t i = 0; i < 8; i++)
    for (int64_t k = 0; k < 32; k++) CHECK(!is(lur_dataset_name(b, i), lur_dataset_name(a, k)));
  char first[16];
  snprintf(first, sizeof first, "%s", lur_dataset_name(b, 0));
  lur_dataset_release(a);
  lur_dataset_release(b);
  CHECK_OK(lur_dataset_split(d, 0.2, 7, &a, &b));
  CHECK(is(lur_dataset_name(b, 0), first)); /* the same seed, the same parts */
  CHECK_OK(lur_dataset_subset(d, 3, (int64_t[]){5, 35, 5}, &c));
  CHECK(lur_dataset_size(c) == 3 && lur_dataset_class(c, 1) == 0 && is(lur_dataset_name(c, 2), "p05.jpg"));
  lur_dataset_release(c);
  CHECK_FAILS(lur_dataset_subset(d, 1, (int64_t[]){40}, &c), LUR_EARG, "index 40 is outside the dataset of 40");
  CHECK_FAILS(lur_dataset_split(d, 1.5, 0, &a, &b), LUR_EARG, "between 0 and 1");
  lur_dataset_release(a);
  lur_dataset_release(b);
  lur_dataset_release(d);
}

int main(void) {
  folder_begin();
  make_tree();
  test_class_folders();
  test_given_classes();
  test_folder_errors();
  test_flat();
  test_parts();
  folder_end();
  return check_report("dataset");
}
