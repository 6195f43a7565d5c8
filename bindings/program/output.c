/* output.c - standard output at the end of the program: what was printed must have arrived.
 *
 * Lua's print does not look at the result of a write, and its buffer is written after the last line of a script. A full
 * disk or a closed pipe would pass unnoticed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"

/* Runs at every exit, that of os.exit included. Another exit status cannot be set here but by _exit, so that the other
   streams are flushed first. */
static void check_output(void) {
  bool failed = ferror(stdout) != 0; /* a write before, whose errno is gone */
  errno = 0;
  int reason = fflush(stdout) != 0 ? errno : 0;
  if (!failed && reason == 0) return;
  fprintf(stderr, "lurcher: cannot write to standard output%s%s\n", reason != 0 ? ": " : "",
          reason != 0 ? strerror(reason) : "");
  fflush(NULL);
  _exit(EXIT_FAILURE);
}

/* A file that is opened while descriptor 0, 1 or 2 is closed would take its place, and get what is printed. Reading
   from or writing to the substitute fails, as it would have. */
static void fill_descriptors(void) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
      _exit(EXIT_FAILURE);
}

void lur_program_watch_output(void) {
  fill_descriptors();
  atexit(check_output);
}
