/* cache.c - opening, filling and finishing the file of a feature cache. cache_rows.c reads and writes its rows;
 * cache_file.h describes its layout.
 *
 * Concurrent processes: PATH.part, the partial file, is filled under flock, which the system releases when its holder
 * ends. A finished file is never written again: to repair one, a new partial file starts with its valid rows. Readers
 * of a finished file hold a shared lock, by which cache_folder.c sees that it is in use. On file systems without locks
 * two processes may fill the same partial file; the checksums of the rows still detect any mixture. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>

#include "cache_file.h"

const char lur_cache_magic[16] = "lurcher cache\n";

_Static_assert(sizeof(lur_cache_header) <= LUR_CACHE_PAGE, "the header fits into its page");

/* ---- create, release ---- */

static lur_status check_options(const lur_cache_options *o) {
  lur_shape all = {.ndim = o->row.ndim + 1, .dim = {0}};
  if (!o->path || !o->path[0] || !o->key) return lur_fail(LUR_EARG, "cache: a path and a key expected");
  if (o->store != LUR_F32 && o->store != LUR_F16)
    return lur_fail(LUR_EARG, "cache '%s': store is %s (f32 or f16 expected)", o->path, lur_dtype_name(o->store));
  if (o->images < 1 || o->views < 1 || o->images > INT32_MAX / o->views) {
    return lur_fail(LUR_EARG, "cache '%s': %lld images in %d views (1 to 2^31 rows expected)", o->path,
                    (long long)o->images, o->views);
  }
  all.dim[0] = o->images * o->views;
  for (int i = 0; i < o->row.ndim && i + 1 < LUR_MAX_DIMS; i++) all.dim[i + 1] = o->row.dim[i];
  if (lur_shape_check(&all) != LUR_OK) return lur_blame(LUR_ESHAPE, "cache '%s'", o->path);
  if (lur_shape_count(&o->row) < 1) return lur_fail(LUR_ESHAPE, "cache '%s': rows have no elements", o->path);
  return LUR_OK;
}

/* Fills the header and computes offsets; check_options bounds all of them by 2^43. */
static void lay_out(lur_cache *cache, const lur_cache_options *o) {
  lur_cache_header *h = &cache->header;
  XXH128_hash_t key = XXH3_128bits(o->key, strlen(o->key));
  memcpy(h->magic, lur_cache_magic, sizeof lur_cache_magic);
  h->version = LUR_CACHE_VERSION;
  h->store = (uint32_t)o->store;
  h->key[0] = key.low64;
  h->key[1] = key.high64;
  h->images = o->images;
  h->views = o->views;
  h->ndim = o->row.ndim;
  snprintf(h->label, sizeof h->label, "%s", o->label ? o->label : "");
  for (int i = 0; i < o->row.ndim; i++) h->dim[i] = o->row.dim[i];
  cache->row = o->row;
  cache->rows = cache->missing = o->images * o->views;
  cache->row_bytes = (size_t)lur_shape_count(&o->row) * lur_dtype_size(o->store);
  size_t table = (size_t)cache->rows * sizeof(lur_cache_entry), page = LUR_CACHE_PAGE;
  cache->data_at = page + (table + page - 1) / page * page;
  cache->bytes = cache->data_at + (size_t)cache->rows * cache->row_bytes;
}

static lur_status take_options(lur_cache *cache, const lur_cache_options *o) {
  LUR_TRY(check_options(o));
  lay_out(cache, o);
  LUR_TRY(lur_text_copy(o->path, &cache->path));
  lur_lines part = {0};
  lur_lines_add(&part, "%s.part", o->path);
  LUR_TRY(lur_lines_take(&part, &cache->part));
  LUR_TRY(lur_alloc_items((size_t)o->images, sizeof *cache->fingerprints, &cache->fingerprints));
  memcpy(cache->fingerprints, o->fingerprints, (size_t)o->images * sizeof *cache->fingerprints);
  return lur_alloc_items((size_t)cache->rows, sizeof *cache->entries, &cache->entries);
}

lur_status lur_cache_new(lur_context *context, const lur_cache_options *options, lur_cache **cache) {
  lur_cache *made = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  made->context = context;
  made->fd = -1;
  lur_context_retain(context);
  lur_status status = take_options(made, options);
  if (status == LUR_OK) *cache = made;
  else lur_cache_release(made);
  return status;
}

/* Closes the file, which releases its lock. */
static void close_file(lur_cache *cache) {
  if (cache->map) munmap((void *)(uintptr_t)cache->map, cache->bytes);
  if (cache->fd >= 0) close(cache->fd);
  cache->map = NULL;
  cache->fd = -1;
  cache->state = LUR_CACHE_CLOSED;
  cache->missing = cache->rows;
  memset(cache->entries, 0, (size_t)cache->rows * sizeof *cache->entries);
}

void lur_cache_release(lur_cache *cache) {
  if (!cache) return;
  if (cache->entries) close_file(cache);
  free(cache->entries);
  free(cache->fingerprints);
  free(cache->part);
  free(cache->path);
  lur_context_release(cache->context);
  free(cache);
}

/* ---- the finished file ---- */

static lur_status map_file(const lur_cache *cache, int fd, const char *path, const char **map) {
  void *at = mmap(NULL, cache->bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED)
    return lur_fail(LUR_EIO, "cannot map '%s' (%.1f MB): %s", path, (double)cache->bytes / 1e6, strerror(errno));
  *map = at;
  return LUR_OK;
}

/* Whether the file is complete and belongs to this cache; if so, takes its seconds. Otherwise note gives the reason. */
static bool matches(lur_cache *cache, int fd, const char *path, uint64_t size) {
  lur_cache_header there;
  const size_t same = offsetof(lur_cache_header, seconds);
  if (size < LUR_CACHE_PAGE || lur_file_read_at(fd, path, 0, &there, sizeof there) != LUR_OK ||
      memcmp(there.magic, lur_cache_magic, sizeof lur_cache_magic) != 0) {
    snprintf(cache->note, sizeof cache->note, "it is not a feature cache");
  } else if (memcmp(&there, &cache->header, same) != 0) {
    snprintf(cache->note, sizeof cache->note, "it was made for another key or by another version");
  } else if (size != cache->bytes) {
    snprintf(cache->note, sizeof cache->note, "it has %llu bytes, %zu expected", (unsigned long long)size,
             cache->bytes);
  } else {
    if (there.seconds > 0 && there.seconds < 1e9) cache->header.seconds = there.seconds;
    return true;
  }
  return false;
}

/* Marks the finished file as used now, for the command that cleans a cache folder. Failures do not matter: the file
   system may have no locks, the file may belong to another user. */
static void mark_used(int fd) {
  (void)flock(fd, LOCK_SH | LOCK_NB);
  (void)futimens(fd, NULL);
}

/* Maps and verifies the finished file, if there is one that matches; the state becomes ready if no row is missing. */
static lur_status open_finished(lur_cache *cache) {
  uint64_t size = 0;
  close_file(cache);
  if (access(cache->path, F_OK) != 0) return LUR_OK;
  lur_status status = lur_file_open(cache->path, &cache->fd, &size);
  if (status != LUR_OK) return access(cache->path, F_OK) == 0 ? status : LUR_OK; /* it was removed meanwhile */
  if (!matches(cache, cache->fd, cache->path, size)) {
    close_file(cache);
    return LUR_OK;
  }
  mark_used(cache->fd);
  LUR_TRY(map_file(cache, cache->fd, cache->path, &cache->map));
  lur_cache_verify(cache, cache->map);
  if (cache->missing == 0) {
    cache->state = LUR_CACHE_READY;
  } else {
    snprintf(cache->note, sizeof cache->note, "%lld of %lld rows are damaged, or their images have changed",
             (long long)cache->missing, (long long)cache->rows);
  }
  return LUR_OK;
}

/* ---- the partial file ---- */

/* Opens the partial file, or creates it. One that has a second name (a hard link: a backup, or a trap) is not written
   to: this name of it is removed, and a new file made. */
static lur_status open_part(const char *part, int *fd) {
  struct stat info;
  for (int attempt = 0; attempt < 8; attempt++) {
    int file = open(part, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0 && errno == ENOENT) file = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (file < 0 && (errno == EINTR || errno == EEXIST)) continue;
    if (file < 0)
      return lur_fail(errno == ENOMEM ? LUR_ENOMEM : LUR_EIO, "cannot write '%s': %s", part, strerror(errno));
    bool linked = fstat(file, &info) != 0 || !S_ISREG(info.st_mode) || info.st_nlink > 1;
    if (!linked) {
      *fd = file;
      return LUR_OK;
    }
    close(file);
    if (!S_ISREG(info.st_mode)) break;
    if (unlink(part) != 0 && errno != ENOENT) break;
  }
  return lur_fail(LUR_EIO, "cannot write '%s': a regular file with one name was expected; remove it", part);
}

/* Opens and locks the partial file; *fd stays -1 while another process holds it. */
static lur_status claim_part(const lur_cache *cache, int *fd) {
  int file = -1;
  LUR_TRY(open_part(cache->part, &file));
  bool busy = flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  /* Between open and flock its holder may have renamed or removed it: then it is no longer the partial file. */
  if (busy || !lur_file_is_named(file, cache->part)) close(file);
  else *fd = file;
  return LUR_OK;
}

/* Allocates the whole partial file at once, so that a full disk is noticed before hours of work. */
static lur_status reserve(const lur_cache *cache, int fd) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < cache->bytes) {
    return lur_fail(LUR_EIO, "no room for '%s': it needs %.1f MB, the limit on file sizes is %.1f MB", cache->part,
                    (double)cache->bytes / 1e6, (double)limit.rlim_cur / 1e6);
  }
  int failed;
  do failed = fallocate(fd, 0, 0, (off_t)cache->bytes);
  while (failed != 0 && errno == EINTR);
  if (failed != 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) failed = ftruncate(fd, (off_t)cache->bytes);
  if (failed == 0) return LUR_OK;
  int reason = errno;
  struct statvfs disk;
  double room = fstatvfs(fd, &disk) == 0 ? (double)disk.f_bavail * (double)disk.f_frsize : 0;
  return lur_fail(LUR_EIO, "no room for '%s': it needs %.1f MB, %.1f MB are free (%s)", cache->part,
                  (double)cache->bytes / 1e6, room / 1e6, strerror(reason));
}

static lur_status write_header(const lur_cache *cache, int fd) {
  ssize_t done;
  do done = pwrite(fd, &cache->header, sizeof cache->header, 0);
  while (done < 0 && errno == EINTR);
  if (done == (ssize_t)sizeof cache->header) return LUR_OK;
  return lur_fail(LUR_EIO, "cannot write '%s': %s", cache->part, strerror(done < 0 ? errno : ENOSPC));
}

/* Makes the locked partial file the open one, keeping the valid rows that an interrupted process left. */
static lur_status begin_part(lur_cache *cache, int fd) {
  char note[sizeof cache->note];
  struct stat info;
  memcpy(note, cache->note, sizeof note); /* keeps the note on the finished file; the partial one's does not matter */
  bool resumed = fstat(fd, &info) == 0 && matches(cache, fd, cache->part, (uint64_t)info.st_size);
  memcpy(cache->note, note, sizeof note);
  close_file(cache);
  cache->fd = fd;
  if (!resumed) {
    if (ftruncate(fd, 0) != 0) return lur_fail(LUR_EIO, "cannot write '%s': %s", cache->part, strerror(errno));
    LUR_TRY(reserve(cache, fd));
    LUR_TRY(write_header(cache, fd));
  }
  LUR_TRY(map_file(cache, fd, cache->part, &cache->map));
  if (resumed) lur_cache_verify(cache, cache->map);
  cache->state = LUR_CACHE_FILLING;
  return LUR_OK;
}

/* Copies valid rows of the finished file that the partial file lacks. */
static lur_status copy_rows(lur_cache *cache, const lur_cache_entry *entries, const char *map) {
  for (int64_t row = 0; row < cache->rows; row++) {
    if (entries[row].image == 0 || cache->entries[row].image != 0) continue;
    LUR_TRY(lur_cache_write(cache, row, entries[row].image - 1, map + cache->data_at + (size_t)row * cache->row_bytes));
  }
  lur_cache_forget(cache, map);
  return LUR_OK;
}

/* Starts the partial file locked by fd, with the valid rows of the finished file, if that is open in cache. */
static lur_status fill_part(lur_cache *cache, int fd) {
  lur_cache_entry *entries = NULL;
  const char *map = cache->map;
  lur_status status = lur_alloc_items((size_t)cache->rows, sizeof *entries, &entries);
  if (status != LUR_OK) {
    close(fd);
    return status;
  }
  memcpy(entries, cache->entries, (size_t)cache->rows * sizeof *entries);
  cache->map = NULL; /* so that begin_part, which closes the finished file, keeps it mapped */
  status = begin_part(cache, fd);
  if (status == LUR_OK && map) status = copy_rows(cache, entries, map);
  if (map) munmap((void *)(uintptr_t)map, cache->bytes);
  free(entries);
  if (status != LUR_OK) {
    if (status == LUR_EIO) unlink(cache->part); /* frees the space on a full disk */
    close_file(cache);
  }
  return status;
}

/* ---- opening ---- */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* With the partial file locked: opens the finished file if another process has completed it meanwhile, otherwise the
   partial one. */
static lur_status take_part(lur_cache *cache, int fd) {
  lur_status status = open_finished(cache);
  if (status == LUR_OK && cache->state != LUR_CACHE_READY) return fill_part(cache, fd);
  unlink(cache->part);
  close(fd);
  return status;
}

/* Opens the finished file or the partial one. The state is busy if another process holds that until time `until`. */
static lur_status open_any(lur_cache *cache, double until) {
  const struct timespec pause = {.tv_nsec = 50000000};
  LUR_TRY(open_finished(cache));
  if (cache->state == LUR_CACHE_READY) return LUR_OK;
  for (;;) {
    int fd = -1;
    LUR_TRY(claim_part(cache, &fd));
    if (fd >= 0) return take_part(cache, fd);
    LUR_TRY(lur_context_check_interrupt(cache->context));
    if (now() >= until) break;
    nanosleep(&pause, NULL);
  }
  close_file(cache);
  cache->state = LUR_CACHE_BUSY;
  return LUR_OK;
}

lur_status lur_cache_open(lur_cache *cache, double wait, lur_cache_state *state) {
  cache->note[0] = '\0';
  lur_status status = open_any(cache, now() + wait);
  if (status == LUR_OK) *state = cache->state;
  else close_file(cache);
  return status;
}

lur_status lur_cache_finish(lur_cache *cache, double seconds) {
  if (cache->state != LUR_CACHE_FILLING) return lur_fail(LUR_ESTATE, "cache '%s': it is not being filled", cache->path);
  if (cache->missing > 0) {
    return lur_fail(LUR_ESTATE, "cache '%s': %lld rows are still missing", cache->path, (long long)cache->missing);
  }
  if (seconds > 0) cache->header.seconds = seconds;
  LUR_TRY(write_header(cache, cache->fd));
  int failed;
  while ((failed = fdatasync(cache->fd)) != 0 && errno == EINTR) {
  }
  if ((failed != 0 && errno != EINVAL) || rename(cache->part, cache->path) != 0)
    return lur_fail(LUR_EIO, "cannot write '%s': %s", cache->path, strerror(errno));
  mark_used(cache->fd);
  cache->state = LUR_CACHE_READY;
  return LUR_OK;
}

/* ---- queries ---- */

const char *lur_cache_note(const lur_cache *cache) { return cache->note; }
const char *lur_cache_path(const lur_cache *cache) { return cache->path; }
int64_t lur_cache_rows(const lur_cache *cache) { return cache->rows; }
int64_t lur_cache_missing(const lur_cache *cache) { return cache->missing; }
bool lur_cache_has(const lur_cache *cache, int64_t row) {
  return row >= 0 && row < cache->rows && cache->entries[row].image != 0;
}
size_t lur_cache_bytes(const lur_cache *cache) { return cache->bytes; }
double lur_cache_seconds(const lur_cache *cache) { return cache->header.seconds; }
