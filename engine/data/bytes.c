/* bytes.c - see bytes.h. */
#include "bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t max_file = (size_t)1 << 30;

lur_status lur_bytes_reserve(lur_bytes *bytes, size_t capacity) {
  if (capacity <= bytes->capacity) return LUR_OK;
  uint8_t *data = realloc(bytes->data, capacity);
  if (!data) return lur_fail(LUR_ENOMEM, "out of memory for %zu bytes", capacity);
  bytes->data = data;
  bytes->capacity = capacity;
  return LUR_OK;
}

void lur_bytes_free(lur_bytes *bytes) {
  free(bytes->data);
  *bytes = (lur_bytes){0};
}

/* Whether an open that failed like this says something about the file, rather than about the process or the machine. */
static bool is_of_file(int reason) {
  return reason == ENOENT || reason == ENOTDIR || reason == EACCES || reason == EPERM || reason == ELOOP ||
         reason == ENAMETOOLONG || reason == ENXIO || reason == EISDIR;
}

static lur_status failed(const char *what, int reason) {
  return lur_fail(reason == ENOMEM ? LUR_ENOMEM : LUR_EIO, "cannot %s: %s", what, strerror(reason));
}

static lur_status read_open_file(int file, lur_bytes *bytes, bool *absent) {
  struct stat info;
  if (fstat(file, &info) != 0) return failed("read", errno);
  *absent = !S_ISREG(info.st_mode);
  if (S_ISDIR(info.st_mode)) return lur_fail(LUR_EIO, "is a folder, not an image");
  if (!S_ISREG(info.st_mode)) return lur_fail(LUR_EIO, "is not a regular file");
  if (info.st_size == 0) return lur_fail(LUR_EFORMAT, "empty file");
  if ((uint64_t)info.st_size > max_file)
    return lur_fail(LUR_EFORMAT, "file of %lld bytes is too large for an image", (long long)info.st_size);
  size_t size = (size_t)info.st_size;
  LUR_TRY(lur_bytes_reserve(bytes, size));
  bytes->count = 0;
  while (bytes->count < size) {
    ssize_t got = read(file, bytes->data + bytes->count, size - bytes->count);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed("read", errno);
    if (got == 0) break; /* truncated while being read: the decoder reports it */
    bytes->count += (size_t)got;
  }
  return bytes->count ? LUR_OK : lur_fail(LUR_EFORMAT, "empty file");
}

lur_status lur_bytes_read(const char *path, lur_bytes *bytes, bool *absent) {
  bool unused;
  if (!absent) absent = &unused;
  *absent = false;
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a named pipe must not block a worker */
  if (file < 0) {
    *absent = is_of_file(errno);
    return failed("open", errno);
  }
  lur_status status = read_open_file(file, bytes, absent);
  close(file);
  return status;
}

int64_t lur_file_size(const char *path) {
  struct stat info;
  bool read = stat(path, &info) == 0 && S_ISREG(info.st_mode) && (uint64_t)info.st_size <= max_file;
  return read ? (int64_t)info.st_size : 0;
}
