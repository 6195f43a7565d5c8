/* room.c - see room.h. */
#include "room.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

static bool limited;

static void read_limit(void) {
  struct rlimit limit;
  limited = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

bool lur_room_is_limited(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, read_limit);
  return limited;
}

lur_status lur_room_check(size_t bytes, const char *what) {
  if (!lur_room_is_limited()) return LUR_OK;
  void *room = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED)
    return lur_fail(LUR_ENOMEM, "no room for %s in the limited address space (ulimit -v): raise the limit", what);
  munmap(room, bytes);
  return LUR_OK;
}
