/* file.h - files of the operating system: replaced atomically, and read with every short read noticed. */
#ifndef LUR_FILE_H
#define LUR_FILE_H

#include "engine/lurcher.h"

/* The bytes go to ".NAME.lurcher-tmp" beside the target and reach the target's name by rename, whole or not at all.
   The temporary is locked while it is written: one that a killed process left is taken over by the next writer. */
typedef struct lur_writer {
  int fd;          /* -1: closed */
  char *path;      /* the target, symbolic links followed */
  char *temporary;
} lur_writer;

/* LUR_EIO where the folder is missing or not writable, or the target is not a regular file. */
lur_status lur_writer_open(lur_writer *writer, const char *path);
lur_status lur_writer_put(lur_writer *writer, const void *bytes, size_t count);
/* Syncs, renames, syncs the folder, closes. On failure the old file is kept and the temporary removed. */
lur_status lur_writer_commit(lur_writer *writer);
/* Removes the temporary and frees; a no-op after commit or a failed open. */
void lur_writer_release(lur_writer *writer);

/* ---- checked reading ---- */

/* Opens a regular file and gives its size. LUR_EIO names the file and the system's reason. */
lur_status lur_file_open(const char *path, int *fd, uint64_t *size);
/* Reads exactly count bytes at offset; an early end is LUR_EFORMAT. */
lur_status lur_file_read_at(int fd, const char *path, uint64_t offset, void *bytes, size_t count);

#endif
