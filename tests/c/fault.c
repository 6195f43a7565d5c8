/* fault.c - an LD_PRELOAD library that makes the k-th call of a kind fail: memory, files or threads. tests/faults.sh
 * runs tests/faults.lua under it.
 *
 * The script says where to begin and end by os.remove of names below "/fault/", which allocates nothing:
 *
 *   /fault/begin   forks for k = 1, 1 + step, 1 + 2 step, ...: in the child, the k-th call from now fails (of
 *                  allocations, as many as `burst` in a row). The parent waits for each, and exits after the last, with
 *                  status 1 if any child failed, crashed, or hung for a minute.
 *   /fault/end     calls no longer fail; what follows in the child checks what is left, and that the next try works
 *   /fault/done    ends the child: all is well
 *
 * A child that exits in any other way has failed. Children that made fewer than k calls are the last ones.
 *
 *   FAULT_KIND=alloc|open|read|write|sync|rename|map|thread   FAULT_STEP=j   FAULT_BURST=n   FAULT_SECONDS=s (at most)
 *
 * Only calls made from Lurcher's own code and from the libraries named in `ours` count: what oneDNN or HDF5 does when its
 * memory fails is not tested here. To add a kind: a row in `kinds`, and a function that asks fails_now. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *const ours[] = {"liblurcher", "lurcher.so", "liblua", "libcjson", "libpng", "libjpeg", NULL};

typedef enum kind { ALLOC, OPEN, READ, WRITE, SYNC, RENAME, MAP, THREAD, KINDS } kind;
static const struct {
  const char *name;
  int error;
} kinds[KINDS] = {{"alloc", ENOMEM}, {"open", EMFILE},  {"read", EIO},   {"write", ENOSPC},
                  {"sync", EIO},     {"rename", EACCES}, {"map", ENOMEM}, {"thread", EAGAIN}};

static struct {
  uintptr_t begin, end;
} ranges[16]; /* of machine code whose calls count */
static int nranges;
static kind chosen = KINDS;
static long target, burst = 1;
static atomic_long calls;
static atomic_bool armed;

/* ---- whose calls count ---- */

static int add_module(struct dl_phdr_info *info, size_t size, void *unused) {
  (void)size, (void)unused;
  bool counts = info->dlpi_name[0] == '\0';
  for (int i = 0; ours[i]; i++) counts = counts || strstr(info->dlpi_name, ours[i]) != NULL;
  for (int i = 0; counts && i < info->dlpi_phnum && nranges < 16; i++) {
    if (info->dlpi_phdr[i].p_type != PT_LOAD || !(info->dlpi_phdr[i].p_flags & PF_X)) continue;
    ranges[nranges].begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    ranges[nranges].end = ranges[nranges].begin + info->dlpi_phdr[i].p_memsz;
    nranges++;
  }
  return 0;
}

static bool fails_now(kind of, const void *caller) {
  if (!atomic_load_explicit(&armed, memory_order_relaxed) || of != chosen) return false;
  bool counts = false;
  for (int i = 0; i < nranges && !counts; i++)
    counts = (uintptr_t)caller >= ranges[i].begin && (uintptr_t)caller < ranges[i].end;
  if (!counts) return false;
  long now = atomic_fetch_add(&calls, 1) + 1;
  if (now < target || now >= target + burst) return false;
  errno = kinds[of].error;
  return true;
}

/* ---- one child for each k ---- */

enum { DONE = 77, PAST = 78, MOST_FAILURES = 20 }; /* exit statuses: the k-th call failed, all is well; there were fewer calls */

static void say(long k, int status) {
  char text[200];
  int length = WIFSIGNALED(status)
                   ? snprintf(text, sizeof text, "fault: %s %ld: killed by signal %d\n", kinds[chosen].name, k, WTERMSIG(status))
                   : snprintf(text, sizeof text, "fault: %s %ld: failed\n", kinds[chosen].name, k);
  (void)!syscall(SYS_write, 2, text, length);
}

static void begin(void) {
  long step = getenv("FAULT_STEP") ? atol(getenv("FAULT_STEP")) : 1, tried = 0, failed = 0;
  long seconds = getenv("FAULT_SECONDS") ? atol(getenv("FAULT_SECONDS")) : 1000000, last = 0;
  time_t start = time(NULL);
  for (target = 1; time(NULL) - start < seconds && failed < MOST_FAILURES; target += step) {
    pid_t child = fork();
    if (child == 0) {
      alarm(60);
      atomic_store(&calls, 0);
      atomic_store(&armed, true);
      return;
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == PAST) {
      last = target;
      break;
    }
    tried++;
    if (WIFEXITED(status) && WEXITSTATUS(status) == DONE) continue;
    failed++;
    say(target, status);
  }
  char text[200];
  int length = snprintf(text, sizeof text, "%-7s %5ld tried, %ld failed%s\n", kinds[chosen].name, tried, failed,
                        last ? "" : " (stopped before the last)");
  (void)!syscall(SYS_write, 2, text, length);
  _exit(failed > 0);
}

static void command(const char *word) {
  if (strcmp(word, "begin") == 0 && chosen != KINDS) begin();
  else if (strcmp(word, "end") == 0) atomic_store(&armed, false);
  else if (strcmp(word, "done") == 0 && chosen != KINDS) _exit(atomic_load(&calls) < target ? PAST : DONE);
}

__attribute__((constructor)) static void init(void) {
  const char *wanted = getenv("FAULT_KIND"), *n = getenv("FAULT_BURST");
  for (int i = 0; wanted && i < KINDS; i++)
    if (strcmp(kinds[i].name, wanted) == 0) chosen = (kind)i;
  if (n) burst = atol(n);
  dl_iterate_phdr(add_module, NULL);
}

/* ---- the calls ---- */

#define FAILS(kind) fails_now(kind, __builtin_return_address(0))

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) { return FAILS(ALLOC) ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return FAILS(ALLOC) ? NULL : __libc_calloc(n, size); }
void *realloc(void *memory, size_t size) { return size && FAILS(ALLOC) ? NULL : __libc_realloc(memory, size); }
void *aligned_alloc(size_t alignment, size_t size) { return FAILS(ALLOC) ? NULL : __libc_memalign(alignment, size); }
int posix_memalign(void **memory, size_t alignment, size_t size) {
  void *made = FAILS(ALLOC) ? NULL : __libc_memalign(alignment, size);
  if (!made) return ENOMEM;
  *memory = made;
  return 0;
}
char *strndup(const char *text, size_t most) {
  size_t count = strnlen(text, most);
  char *copy = FAILS(ALLOC) ? NULL : __libc_malloc(count + 1);
  if (!copy) return NULL;
  copy[count] = '\0';
  return memcpy(copy, text, count);
}
char *strdup(const char *text) {
  size_t count = strlen(text);
  char *copy = FAILS(ALLOC) ? NULL : __libc_malloc(count + 1);
  return copy ? memcpy(copy, text, count + 1) : NULL;
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0;
  va_end(rest);
  return FAILS(OPEN) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

FILE *fopen(const char *path, const char *mode) {
  static FILE *(*real)(const char *, const char *);
  if (FAILS(OPEN)) return NULL;
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fopen");
  return real(path, mode);
}

FILE *fopen64(const char *path, const char *mode) {
  static FILE *(*real)(const char *, const char *);
  if (FAILS(OPEN)) return NULL;
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fopen64");
  return real(path, mode);
}

DIR *opendir(const char *path) {
  static DIR *(*real)(const char *);
  if (FAILS(OPEN)) return NULL;
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "opendir");
  return real(path);
}

ssize_t read(int fd, void *bytes, size_t count) { return FAILS(READ) ? -1 : syscall(SYS_read, fd, bytes, count); }
ssize_t pread(int fd, void *bytes, size_t count, off_t at) {
  return FAILS(READ) ? -1 : syscall(SYS_pread64, fd, bytes, count, at);
}
ssize_t write(int fd, const void *bytes, size_t count) {
  return FAILS(WRITE) ? -1 : syscall(SYS_write, fd, bytes, count);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
  return FAILS(WRITE) ? -1 : syscall(SYS_pwrite64, fd, bytes, count, at);
}
size_t fwrite(const void *bytes, size_t size, size_t n, FILE *file) {
  static size_t (*real)(const void *, size_t, size_t, FILE *);
  if (FAILS(WRITE)) return 0;
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fwrite");
  return real(bytes, size, n, file);
}
int fallocate(int fd, int mode, off_t at, off_t count) {
  return FAILS(WRITE) ? -1 : (int)syscall(SYS_fallocate, fd, mode, at, count);
}
int ftruncate(int fd, off_t count) { return FAILS(WRITE) ? -1 : (int)syscall(SYS_ftruncate, fd, count); }
int fsync(int fd) { return FAILS(SYNC) ? -1 : (int)(fd < 0); } /* thousands of files are written: not to the disk */
int fdatasync(int fd) { return FAILS(SYNC) ? -1 : (int)(fd < 0); }
int rename(const char *from, const char *to) { return FAILS(RENAME) ? -1 : (int)syscall(SYS_rename, from, to); }

int remove(const char *path) {
  if (strncmp(path, "/fault/", 7) == 0) {
    command(path + 7);
    errno = ENOENT;
    return -1;
  }
  int failed = unlink(path);
  return failed == 0 || errno != EISDIR ? failed : rmdir(path);
}

void *mmap(void *at, size_t count, int protection, int flags, int fd, off_t offset) {
  return FAILS(MAP) ? MAP_FAILED : (void *)syscall(SYS_mmap, at, count, protection, flags, fd, offset);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
  static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (FAILS(THREAD)) return EAGAIN;
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
  return real(thread, attributes, run, argument);
}
