/* room.h - whether the address space has room, asked before libraries that end the process where it has none: oneDNN's
 * code generator writes through a null pointer, and libgomp exits when a thread cannot be started. */
#ifndef LUR_ROOM_H
#define LUR_ROOM_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* LUR_ENOMEM, "no room for WHAT in the limited address space": fewer than `bytes` are left under a limit like that of
   `ulimit -v`. Without a limit it costs one comparison. */
lur_status lur_room_check(size_t bytes, const char *what);
/* Whether there is such a limit. */
bool lur_room_is_limited(void);

#ifdef __cplusplus
}
#endif

#endif
