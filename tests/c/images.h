/* images.h - small images and folders for the data tests: drawn from numbers, written into a folder of their own. */
#ifndef LUR_TEST_IMAGES_H
#define LUR_TEST_IMAGES_H

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/lurcher.h"
#include "tests/c/check.h"

static char images_root[256];

/* A fresh folder under TMPDIR; every path below is relative to it. */
static inline const char *images_begin(void) {
  const char *tmp = getenv("TMPDIR");
  snprintf(images_root, sizeof images_root, "%s/lurcher-test-XXXXXX", tmp ? tmp : "/tmp");
  CHECK(mkdtemp(images_root) != NULL);
  return images_root;
}

static inline const char *in_root(const char *name) {
  static char paths[8][512];
  static int turn;
  char *path = paths[turn++ % 8];
  snprintf(path, sizeof paths[0], "%s/%s", images_root, name);
  return path;
}

static inline void remove_tree(const char *path) {
  DIR *dir = opendir(path);
  for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    char child[1024];
    struct stat info;
    int length = snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
    if (length < 0 || length >= (int)sizeof child) continue;
    if (lstat(child, &info) == 0 && S_ISDIR(info.st_mode)) remove_tree(child);
    else unlink(child);
  }
  if (dir) closedir(dir);
  rmdir(path);
}

static inline void images_end(void) { remove_tree(images_root); }

static inline void make_folder(const char *name) { CHECK(mkdir(in_root(name), 0777) == 0); }

static inline void write_bytes_to(const char *name, const void *bytes, size_t count) {
  FILE *f = fopen(in_root(name), "wb");
  if (!CHECK(f != NULL)) return;
  CHECK(fwrite(bytes, 1, count, f) == count);
  fclose(f);
}

/* The whole file in malloc's memory. */
static inline unsigned char *read_bytes_of(const char *name, size_t *count) {
  FILE *f = fopen(in_root(name), "rb");
  *count = 0;
  if (!CHECK(f != NULL)) return NULL;
  unsigned char *bytes = malloc(1 << 20);
  *count = fread(bytes, 1, 1 << 20, f);
  fclose(f);
  return bytes;
}

/* A smooth image that differs with `number`: u8 h w 3, caller releases. */
static inline lur_tensor *draw_image(lur_context *context, int height, int width, int number) {
  lur_shape shape = {3, {height, width, 3}};
  lur_tensor *t = NULL;
  if (!CHECK_OK(lur_tensor_new(context, NULL, LUR_U8, &shape, &t))) return NULL;
  uint8_t *p = lur_tensor_data(t);
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      for (int c = 0; c < 3; c++) *p++ = (uint8_t)((y * 3 + x * 5 + c * 40 + number * 23 + (x * y) / 16) & 255);
  return t;
}

static inline void save_image(lur_context *context, const char *name, int height, int width, int number) {
  lur_tensor *t = draw_image(context, height, width, number);
  CHECK_OK(lur_image_save(in_root(name), t, 90));
  lur_tensor_release(t);
}

#endif
