/* late_interrupt.c - loaded before the program: a Ctrl-C that comes when the Lua state is gone, in the middle of exit.
 * The program must end of it (status 130), not write into what was the state. */
#include <signal.h>

__attribute__((destructor)) static void interrupt(void) { raise(SIGINT); }
