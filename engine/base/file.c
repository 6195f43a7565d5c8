/* file.c - whole files: written so that a reader sees the old bytes or the new ones and never a mixture, and read with
 * every short read noticed. No file format is known here.
 *
 * The order of an atomic write is POSIX's: write, fsync the file, rename, fsync the folder. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

enum { MAX_TEMPORARIES = 64, MAX_STEM = 200, WRITE_CHUNK = 1 << 30 };

/* ---- names ---- */

/* The target with symbolic links followed, so that a link stays a link. A missing target is unchanged. */
static lur_status resolve(const char *path, char **resolved) {
  if (path == NULL || path[0] == '\0') return lur_fail(LUR_EARG, "cannot write a file without a name");
  char *real = realpath(path, NULL);
  if (real == NULL && errno == ENOMEM) return lur_fail(LUR_ENOMEM, "no memory to write '%s'", path);
  if (real == NULL) return lur_text_copy(path, resolved);
  struct stat info;
  if (stat(real, &info) == 0 && !S_ISREG(info.st_mode)) {
    free(real);
    return lur_fail(LUR_EIO, "cannot write '%s': a regular file was expected, it is %s", path,
                    S_ISDIR(info.st_mode) ? "a folder" : "a device or pipe");
  }
  *resolved = real;
  return LUR_OK;
}

/* Bytes of the folder part, with its slash; 0: the current folder. */
static size_t folder_length(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? 0 : (size_t)(slash - path) + 1;
}

static lur_status temporary_name(const char *path, int attempt, char **name) {
  size_t folder = folder_length(path);
  lur_lines text = {0};
  lur_lines_add(&text, "%.*s.%.*s", (int)folder, path, MAX_STEM, path + folder);
  if (attempt > 0) lur_lines_add(&text, ".%d", attempt);
  lur_lines_add(&text, ".lurcher-tmp");
  return lur_lines_take(&text, name);
}

/* ---- the temporary ---- */

/* Claims the temporary of that name unless a process is writing it: then *fd stays -1. */
static lur_status claim(const char *path, const char *name, int *fd) {
  int file;
  do file = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  while (file < 0 && errno == EINTR);
  if (file < 0 && errno == ELOOP) return LUR_OK; /* a link that somebody put there: leave it alone */
  if (file < 0) return lur_fail(LUR_EIO, "cannot write '%s': %s", path, strerror(errno));
  /* File systems without locks fail with another error than EWOULDBLOCK; they are used unlocked. */
  bool busy = flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  struct stat mine, there;
  /* Its writer may have renamed it between the open and the lock: then it is the target, not a temporary. */
  busy = busy || fstat(file, &mine) != 0 || lstat(name, &there) != 0 || mine.st_ino != there.st_ino ||
         mine.st_dev != there.st_dev || !S_ISREG(mine.st_mode);
  if (busy) {
    close(file);
    return LUR_OK;
  }
  if (ftruncate(file, 0) != 0) {
    lur_status status = lur_fail(LUR_EIO, "cannot write '%s': %s", path, strerror(errno));
    close(file);
    return status;
  }
  *fd = file;
  return LUR_OK;
}

/* An existing target keeps its permissions. */
static void keep_mode(const lur_writer *writer) {
  struct stat info;
  if (stat(writer->path, &info) == 0) (void)!fchmod(writer->fd, info.st_mode & 07777);
}

lur_status lur_writer_open(lur_writer *writer, const char *path) {
  *writer = (lur_writer){.fd = -1};
  lur_status status = resolve(path, &writer->path);
  for (int i = 0; status == LUR_OK && writer->fd < 0 && i < MAX_TEMPORARIES; i++) {
    free(writer->temporary);
    writer->temporary = NULL;
    status = temporary_name(writer->path, i, &writer->temporary);
    if (status == LUR_OK) status = claim(path, writer->temporary, &writer->fd);
  }
  if (status == LUR_OK && writer->fd < 0)
    status = lur_fail(LUR_EIO, "cannot write '%s': %d others are writing it", path, MAX_TEMPORARIES);
  if (status == LUR_OK)
    keep_mode(writer);
  else
    lur_writer_release(writer);
  return status;
}

lur_status lur_writer_put(lur_writer *writer, const void *bytes, size_t count) {
  const char *from = bytes;
  while (count > 0) {
    ssize_t done = write(writer->fd, from, count < WRITE_CHUNK ? count : WRITE_CHUNK);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0)
      return lur_fail(LUR_EIO, "cannot write '%s': %s (what stood there is untouched)", writer->path,
                      strerror(done == 0 ? ENOSPC : errno));
    from += done;
    count -= (size_t)done;
  }
  return LUR_OK;
}

/* Some file systems cannot sync a folder (EINVAL); the rename is done by then, so only real I/O errors count. */
static lur_status sync_folder(const char *path) {
  size_t length = folder_length(path);
  char *folder = length == 0 ? strdup(".") : strndup(path, length);
  if (folder == NULL) return lur_fail(LUR_ENOMEM, "no memory to sync the folder of '%s'", path);
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  free(folder);
  if (fd < 0) return LUR_OK; /* a folder that may be written but not read */
  int failed = 0;
  while ((failed = fsync(fd)) != 0 && errno == EINTR) {}
  int reason = errno;
  close(fd);
  if (failed != 0 && reason == EIO)
    return lur_fail(LUR_EIO, "cannot sync the folder of '%s': %s", path, strerror(reason));
  return LUR_OK;
}

lur_status lur_writer_commit(lur_writer *writer) {
  lur_status status = LUR_OK;
  int failed = 0;
  while ((failed = fsync(writer->fd)) != 0 && errno == EINTR) {}
  /* The rename happens under the lock, which goes with the descriptor. */
  if (failed != 0 && errno != EINVAL && errno != ENOTSUP)
    status = lur_fail(LUR_EIO, "cannot write '%s': %s (what stood there is untouched)", writer->path, strerror(errno));
  else if (rename(writer->temporary, writer->path) != 0)
    status = lur_fail(LUR_EIO, "cannot write '%s': %s (what stood there is untouched)", writer->path, strerror(errno));
  else {
    close(writer->fd);
    writer->fd = -1;
    status = sync_folder(writer->path);
  }
  lur_writer_release(writer);
  return status;
}

void lur_writer_release(lur_writer *writer) {
  if (writer->fd >= 0) {
    unlink(writer->temporary);
    close(writer->fd);
  }
  free(writer->temporary);
  free(writer->path);
  *writer = (lur_writer){.fd = -1};
}

lur_status lur_file_write(const char *path, const void *bytes, size_t count) {
  lur_writer writer;
  LUR_TRY(lur_writer_open(&writer, path));
  lur_status status = lur_writer_put(&writer, bytes, count);
  if (status == LUR_OK) return lur_writer_commit(&writer);
  lur_writer_release(&writer);
  return status;
}

/* ---- reading ---- */

lur_status lur_file_open(const char *path, int *fd, uint64_t *size) {
  if (path == NULL || path[0] == '\0') return lur_fail(LUR_EARG, "cannot read a file without a name");
  int file;
  /* O_NONBLOCK: opening a pipe without a writer must not block; it is refused below. */
  do file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  while (file < 0 && errno == EINTR);
  if (file < 0) return lur_fail(LUR_EIO, "cannot read '%s': %s", path, strerror(errno));
  struct stat info;
  lur_status status = LUR_OK;
  if (fstat(file, &info) != 0)
    status = lur_fail(LUR_EIO, "cannot read '%s': %s", path, strerror(errno));
  else if (!S_ISREG(info.st_mode))
    status = lur_fail(LUR_EIO, "cannot read '%s': a regular file was expected, it is %s", path,
                      S_ISDIR(info.st_mode) ? "a folder" : "a device or pipe");
  if (status != LUR_OK) {
    close(file);
    return status;
  }
  *fd = file;
  *size = (uint64_t)info.st_size;
  return LUR_OK;
}

lur_status lur_file_read_at(int fd, const char *path, uint64_t offset, void *bytes, size_t count) {
  char *to = bytes;
  while (count > 0) {
    ssize_t done = pread(fd, to, count < WRITE_CHUNK ? count : WRITE_CHUNK, (off_t)offset);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return lur_fail(LUR_EIO, "cannot read '%s': %s", path, strerror(errno));
    if (done == 0)
      return lur_fail(LUR_EFORMAT, "'%s' is cut short: %zu bytes were expected at byte %llu, the file ends there", path,
                      count, (unsigned long long)offset);
    to += done;
    offset += (uint64_t)done;
    count -= (size_t)done;
  }
  return LUR_OK;
}
