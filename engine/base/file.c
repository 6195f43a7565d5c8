/* file.c - writes files atomically, so that a reader sees the old bytes or the new ones and never a mixture; reads
 * files and detects short reads. It knows no format.
 *
 * An atomic write is: write a temporary file, fsync it, rename it, fsync the folder. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

enum { MAX_TEMPORARIES = 64, MAX_STEM = 200, WRITE_CHUNK = 1 << 30 };

/* Writers that are open. Of the process, because a signal handler asks; lock-free on every platform of ours. */
static atomic_int in_writing;

int lur_files_in_writing(void) { return atomic_load(&in_writing); }

/* ---- names ---- */

/* The target with symbolic links resolved, so that a link stays a link. A target that does not exist stays as it is. */
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

/* Length of the folder in path, with its slash; 0: the current folder. */
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

/* ---- the temporary file ---- */

bool lur_file_is_named(int fd, const char *name) {
  struct stat mine, there;
  return fstat(fd, &mine) == 0 && lstat(name, &there) == 0 && mine.st_ino == there.st_ino &&
         mine.st_dev == there.st_dev && S_ISREG(mine.st_mode);
}

/* Removes a temporary file that a killed process left: a regular file of this user's, without other names, that nobody
   has locked. Everything else stays: another writer's file, a symbolic link, a name of some other file, a pipe. */
static bool remove_leftover(const char *name) {
  struct stat info;
  int file = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) return false;
  /* File systems without locks cannot tell a leftover from a file in use: there it stays. */
  bool removed = flock(file, LOCK_EX | LOCK_NB) == 0 && fstat(file, &info) == 0 && info.st_uid == geteuid() &&
                 info.st_nlink == 1 && lur_file_is_named(file, name) && unlink(name) == 0;
  close(file);
  return removed;
}

/* Creates the temporary file of that name. *fd stays -1 if the name is taken. The file is always a new one (O_EXCL), so
   that nothing which somebody put under that name is ever written to. */
static lur_status claim(const char *path, const char *name, int *fd) {
  int file;
  for (int attempt = 0;; attempt++) {
    do file = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    while (file < 0 && errno == EINTR);
    if (file >= 0) break;
    if (errno != EEXIST)
      return lur_fail(errno == ENOMEM ? LUR_ENOMEM : LUR_EIO, "cannot write '%s': %s", path, strerror(errno));
    if (attempt > 0 || !remove_leftover(name)) return LUR_OK;
  }
  /* Before it was locked, another writer may have taken it for a leftover and removed it. File systems without locks
     fail with another error than EWOULDBLOCK; they are used without locking. */
  bool lost = (flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) || !lur_file_is_named(file, name);
  if (lost) close(file);
  else *fd = file;
  return LUR_OK;
}

/* An existing target keeps its permissions. */
static void keep_mode(const lur_writer *writer) {
  struct stat info;
  if (stat(writer->path, &info) == 0) (void)!fchmod(writer->fd, info.st_mode & 07777);
}

lur_status lur_writer_open(lur_writer *writer, const char *path) {
  *writer = (lur_writer){.fd = -1, .counted = true};
  atomic_fetch_add(&in_writing, 1);
  lur_status status = resolve(path, &writer->path);
  for (int i = 0; status == LUR_OK && writer->fd < 0 && i < MAX_TEMPORARIES; i++) {
    free(writer->temporary);
    writer->temporary = NULL;
    status = temporary_name(writer->path, i, &writer->temporary);
    if (status == LUR_OK) status = claim(path, writer->temporary, &writer->fd);
  }
  if (status == LUR_OK && writer->fd < 0)
    status = lur_fail(LUR_EIO, "cannot write '%s': all %d names for a temporary file ('%s') are taken", path,
                      MAX_TEMPORARIES, writer->temporary);
  if (status == LUR_OK) keep_mode(writer);
  else lur_writer_release(writer);
  return status;
}

lur_status lur_writer_put(lur_writer *writer, const void *bytes, size_t count) {
  const char *from = bytes;
  while (count > 0) {
    ssize_t done = write(writer->fd, from, count < WRITE_CHUNK ? count : WRITE_CHUNK);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0)
      return lur_fail(LUR_EIO, "cannot write '%s': %s (the existing file is unchanged)", writer->path,
                      strerror(done == 0 ? ENOSPC : errno));
    from += done;
    count -= (size_t)done;
  }
  return LUR_OK;
}

/* Some file systems cannot sync a folder (EINVAL). The rename is done by then, so that only I/O errors matter. */
static lur_status sync_folder(const char *path) {
  size_t length = folder_length(path);
  char *folder = length == 0 ? strdup(".") : strndup(path, length);
  if (folder == NULL) return lur_fail(LUR_ENOMEM, "no memory to sync the folder of '%s'", path);
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  free(folder);
  if (fd < 0) return LUR_OK; /* a folder that may be written but not read */
  int failed = 0;
  while ((failed = fsync(fd)) != 0 && errno == EINTR) {
  }
  int reason = errno;
  close(fd);
  if (failed != 0 && reason == EIO)
    return lur_fail(LUR_EIO, "cannot sync the folder of '%s': %s", path, strerror(reason));
  return LUR_OK;
}

lur_status lur_writer_commit(lur_writer *writer) {
  lur_status status = LUR_OK;
  int failed = 0;
  while ((failed = fsync(writer->fd)) != 0 && errno == EINTR) {
  }
  /* Renames while the lock is held; closing the file releases it. */
  if (failed != 0 && errno != EINVAL && errno != ENOTSUP)
    status = lur_fail(LUR_EIO, "cannot write '%s': %s (the existing file is unchanged)", writer->path, strerror(errno));
  else if (!lur_file_is_named(writer->fd, writer->temporary))
    status = lur_fail(LUR_EIO, "cannot write '%s': its temporary file was removed or replaced (the existing file is "
                      "unchanged)", writer->path);
  else if (rename(writer->temporary, writer->path) != 0)
    status = lur_fail(LUR_EIO, "cannot write '%s': %s (the existing file is unchanged)", writer->path, strerror(errno));
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
    if (lur_file_is_named(writer->fd, writer->temporary)) unlink(writer->temporary);
    close(writer->fd);
  }
  free(writer->temporary);
  free(writer->path);
  if (writer->counted) atomic_fetch_sub(&in_writing, 1);
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
  /* O_NONBLOCK: a pipe without a writer must not block here; it is rejected below. */
  do file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  while (file < 0 && errno == EINTR);
  if (file < 0) return lur_fail(errno == ENOMEM ? LUR_ENOMEM : LUR_EIO, "cannot read '%s': %s", path, strerror(errno));
  struct stat info;
  lur_status status = LUR_OK;
  if (fstat(file, &info) != 0) status = lur_fail(LUR_EIO, "cannot read '%s': %s", path, strerror(errno));
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
      return lur_fail(LUR_EFORMAT, "'%s' is truncated: %zu more bytes were expected at byte %llu, where the file ends",
                      path, count, (unsigned long long)offset);
    to += done;
    offset += (uint64_t)done;
    count -= (size_t)done;
  }
  return LUR_OK;
}
