/* file.h - the atomic writer, and reading that detects every short read. */
#ifndef LUR_FILE_H
#define LUR_FILE_H

#include "engine/lurcher.h"

/* Writes to ".NAME.lurcher-tmp" in the target's folder, which is renamed to the target when it is complete. The
   temporary file is new and locked while it is written. One that a killed process left is removed by the next writer;
   anything else under that name (a link, another writer's file) is left alone and ".NAME.1.lurcher-tmp" used. */
typedef struct lur_writer {
  int fd;          /* -1: closed */
  char *path;      /* the target, with symbolic links resolved */
  char *temporary;
  bool counted; /* among lur_files_in_writing */
} lur_writer;

/* LUR_EIO: the folder is missing or not writable, or the target is not a regular file. */
lur_status lur_writer_open(lur_writer *writer, const char *path);
lur_status lur_writer_put(lur_writer *writer, const void *bytes, size_t count);
/* Syncs, renames, syncs the folder, closes. On failure the old file is unchanged and the temporary one removed. */
lur_status lur_writer_commit(lur_writer *writer);
/* Removes the temporary file and frees memory; a no-op after commit or a failed open. */
void lur_writer_release(lur_writer *writer);

/* Whether fd is the regular file at that name now; a symbolic link at the name is not followed. */
bool lur_file_is_named(int fd, const char *name);

/* ---- checked reading ---- */

/* Opens a regular file and returns its size. LUR_EIO: it cannot be read, or is not a regular file. */
lur_status lur_file_open(const char *path, int *fd, uint64_t *size);
/* Reads exactly count bytes at offset. LUR_EFORMAT: the file ends before. */
lur_status lur_file_read_at(int fd, const char *path, uint64_t offset, void *bytes, size_t count);

#endif
