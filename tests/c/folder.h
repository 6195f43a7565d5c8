/* folder.h - a temporary folder per test program, and whole files in it. */
#ifndef LUR_TEST_FOLDER_H
#define LUR_TEST_FOLDER_H

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/c/check.h"

static char test_folder[256];

/* Makes a new folder under TMPDIR or /tmp. */
static inline void folder_begin(void) {
  const char *tmp = getenv("TMPDIR");
  snprintf(test_folder, sizeof test_folder, "%s/lurcher-test-XXXXXX", tmp ? tmp : "/tmp");
  CHECK(mkdtemp(test_folder) != NULL);
}

/* The path of a name in the folder; valid until 16 more calls. */
static inline const char *in_folder(const char *name) {
  static char paths[16][512];
  static int next;
  char *path = paths[next++ % 16];
  snprintf(path, sizeof paths[0], "%s/%s", test_folder, name);
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

static inline void folder_end(void) { remove_tree(test_folder); }

static inline void make_folder(const char *name) { CHECK(mkdir(in_folder(name), 0777) == 0); }

static inline int files_in_folder(void) {
  int n = -2; /* without . and .. */
  DIR *dir = opendir(test_folder);
  while (dir && readdir(dir) != NULL) n++;
  if (dir) closedir(dir);
  return n;
}

/* Replaces a file. */
static inline void write_file(const char *path, const void *bytes, size_t count) {
  unlink(path); /* truncating an existing file makes some file systems flush it, which is slow */
  FILE *file = fopen(path, "wb");
  if (!CHECK(file != NULL)) return;
  CHECK(fwrite(bytes, 1, count, file) == count);
  fclose(file);
}

/* The whole file, at most 1 MiB, followed by zeros up to that size; the caller frees it. */
static inline unsigned char *read_file(const char *path, size_t *count) {
  FILE *file = fopen(path, "rb");
  unsigned char *bytes = calloc(1, 1 << 20);
  *count = 0;
  if (CHECK(file != NULL && bytes != NULL)) *count = fread(bytes, 1, 1 << 20, file);
  if (file) fclose(file);
  return bytes;
}

#endif
