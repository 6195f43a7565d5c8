/* input.h - a fuzzer's input as a file, for readers that take a path: it is in memory, and one file is used again. */
#ifndef LUR_FUZZ_INPUT_H
#define LUR_FUZZ_INPUT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/base.h"

static inline const char *input_file(const uint8_t *data, size_t size) {
  static char path[32];
  static int fd = -1;
  if (fd < 0) {
    fd = memfd_create("input", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  }
  if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size) abort();
  return path;
}

/* A message is one line that can be printed. */
static inline void check_message(void) {
  const char *message = lur_last_error();
  if (message[0] == '\0') abort();
  for (; *message != '\0'; message++)
    if ((unsigned char)*message < ' ' || *message == 0x7f) abort();
}

#endif
