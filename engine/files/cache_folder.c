/* cache_folder.c - feature caches as files in a folder: describes one, finds out whether a process uses it, removes it.
 * It uses the header and the locks of cache.c, and reads no rows. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache_file.h"

static bool is_part(const char *path) {
  static const char end[] = ".part";
  size_t length = strlen(path);
  return length >= sizeof end && strcmp(path + length - (sizeof end - 1), end) == 0;
}

static bool is_header(const lur_cache_header *h) {
  lur_shape all = {.ndim = (int)h->ndim + 1, .dim = {0}};
  if (memcmp(h->magic, lur_cache_magic, sizeof h->magic) != 0 || h->version != LUR_CACHE_VERSION ||
      (h->store != LUR_F32 && h->store != LUR_F16) || h->ndim < 0 || h->ndim >= LUR_MAX_DIMS || h->views < 1 ||
      h->views > INT32_MAX || h->images < 1 || h->images > INT32_MAX / h->views)
    return false;
  all.dim[0] = h->images * h->views;
  memcpy(all.dim + 1, h->dim, (size_t)h->ndim * sizeof *h->dim);
  return lur_shape_check(&all) == LUR_OK;
}

/* LUR_EFORMAT unless it is the header of a cache, or the file is a partial one without a header yet: then *h is zero.
 */
static lur_status read_header(int fd, const char *path, uint64_t size, lur_cache_header *h) {
  static const char none[sizeof h->magic];
  memset(h, 0, sizeof *h);
  if (size >= LUR_CACHE_PAGE) LUR_TRY(lur_file_read_at(fd, path, 0, h, sizeof *h));
  if (is_part(path) && memcmp(h->magic, none, sizeof none) == 0) {
    memset(h, 0, sizeof *h); /* whatever follows the magic is no header */
    return LUR_OK;
  }
  return is_header(h) ? LUR_OK : lur_fail(LUR_EFORMAT, "'%s' is not a feature cache, or of another version", path);
}

/* Takes an exclusive lock; *busy: another process uses the file. LUR_EIO: the file system has no locks. */
static lur_status lock_alone(int fd, const char *path, bool *busy) {
  int failed;
  do failed = flock(fd, LOCK_EX | LOCK_NB);
  while (failed != 0 && errno == EINTR);
  *busy = failed != 0 && errno == EWOULDBLOCK;
  if (failed == 0 || *busy) return LUR_OK;
  return lur_fail(LUR_EIO, "cannot find out whether a process uses '%s': %s", path, strerror(errno));
}

lur_status lur_cache_look(const char *path, lur_cache_info *info) {
  lur_cache_header h;
  struct stat there;
  uint64_t size = 0;
  int fd = -1;
  LUR_TRY(lur_file_open(path, &fd, &size));
  lur_status status = read_header(fd, path, size, &h);
  if (status == LUR_OK && fstat(fd, &there) != 0)
    status = lur_fail(LUR_EIO, "cannot read '%s': %s", path, strerror(errno));
  if (status == LUR_OK) {
    *info = (lur_cache_info){.store = (lur_dtype)h.store,
                             .row = {.ndim = (int)h.ndim, .dim = {0}},
                             .images = h.images,
                             .views = (int)h.views,
                             .bytes = size,
                             .seconds = h.seconds > 0 && h.seconds < 1e9 ? h.seconds : 0,
                             .used = (double)there.st_mtim.tv_sec,
                             .is_part = is_part(path)};
    memcpy(info->row.dim, h.dim, sizeof h.dim);
    snprintf(info->label, sizeof info->label, "%.*s", (int)sizeof h.label, h.label);
    if (lock_alone(fd, path, &info->is_busy) != LUR_OK) info->is_busy = false;
  }
  close(fd); /* releases the lock */
  return status;
}

/* With the lock held: whether path still names this file. Another process may have renamed or replaced it. */
static bool still_there(int fd, const char *path) {
  struct stat mine, there;
  return fstat(fd, &mine) == 0 && lstat(path, &there) == 0 && mine.st_ino == there.st_ino &&
         mine.st_dev == there.st_dev;
}

lur_status lur_cache_remove(const char *path, bool *removed) {
  lur_cache_header h;
  uint64_t size = 0;
  int fd = -1;
  bool busy = false;
  LUR_TRY(lur_file_open(path, &fd, &size));
  lur_status status = read_header(fd, path, size, &h);
  if (status == LUR_OK) status = lock_alone(fd, path, &busy);
  busy = busy || (status == LUR_OK && !still_there(fd, path));
  if (status == LUR_OK && !busy && unlink(path) != 0)
    status = lur_fail(LUR_EIO, "cannot remove '%s': %s", path, strerror(errno));
  close(fd);
  if (status == LUR_OK) *removed = !busy;
  return status;
}
