/* late_interrupt.c - a library for LD_PRELOAD that raises SIGINT during exit, after the Lua state has been closed. The
 * program must end with status 130 and must not access the closed state. */
#include <signal.h>

__attribute__((destructor)) static void interrupt(void) { raise(SIGINT); }
