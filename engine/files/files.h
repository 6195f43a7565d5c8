/* files.h - what the files of engine/files/ share: the atomic writer, checked reading, growing text, and the list of
 * named arrays that every weight format is turned into before it is matched to a model.
 *
 * Included by engine/files/ only (and by its tests). To add a weight format: fill a lur_weight_file (layers, arrays,
 * shapes, a read function) and give it to lur_weights_apply; recognise its first bytes in weights.c. */
#ifndef LUR_FILES_H
#define LUR_FILES_H

#include <sys/types.h>

#include "engine/internal.h"

/* ---- atomic writer: file.c ---- */

/* The bytes go to ".NAME.tmp" beside the target and reach the target's name by rename, whole or not at all.
   The temporary is locked while it is written: one left by a killed process is taken over by the next writer. */
typedef struct lur_writer {
  int fd;          /* -1: closed */
  char *path;      /* the target, symbolic links followed */
  char *temporary;
} lur_writer;

/* LUR_EIO where the folder is missing or not writable, or the target is no regular file. */
lur_status lur_writer_open(lur_writer *writer, const char *path);
lur_status lur_writer_put(lur_writer *writer, const void *bytes, size_t count);
/* Syncs, renames, syncs the folder, closes. On failure the old file stands and the temporary is gone. */
lur_status lur_writer_commit(lur_writer *writer);
/* Removes the temporary and frees; a no-op after commit or a failed open. */
void lur_writer_release(lur_writer *writer);

/* ---- checked reading: file.c ---- */

/* Opens a regular file and gives its size. LUR_EIO names the file and the system's reason. */
lur_status lur_file_open(const char *path, int *fd, uint64_t *size);
/* Reads exactly count bytes at offset; an early end is LUR_EFORMAT. */
lur_status lur_file_read_at(int fd, const char *path, uint64_t offset, void *bytes, size_t count);

/* ---- growing text: text.c ---- */

typedef struct lur_buffer { /* zero-initialised; bytes is NUL-terminated once something was added */
  char *bytes;
  size_t length, capacity;
  bool failed; /* memory ran out; later additions are dropped */
} lur_buffer;
void lur_buffer_add(lur_buffer *buffer, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
/* Hands the text over ("" when nothing was added) and empties the buffer; LUR_ENOMEM when it failed. */
lur_status lur_buffer_take(lur_buffer *buffer, char **text);
/* strdup with a message. */
lur_status lur_text_copy(const char *text, char **copy);

/* ---- safetensors ---- */

/* lur_tensors_save without the reserve on metadata keys that begin with "lurcher.". */
lur_status lur_safetensors_write(const char *path, int n, const char *const *names, lur_tensor *const *tensors, int npairs,
                                 const char *const *metadata);

typedef struct lur_safetensors_type { /* an element type of the format */
  const char *name;
  size_t size;
  int dtype;  /* the lur_dtype it is read as, or -1: recognised, not readable */
  bool exact; /* same bytes; else converted element by element */
} lur_safetensors_type;
extern const lur_safetensors_type lur_safetensors_types[]; /* name NULL at the end */

/* The first member of the header of files written here: the checksum's digits follow it at a fixed place. */
#define LUR_CHECKSUM_KEY "lurcher.checksum"
#define LUR_CHECKSUM_HEAD "{\"__metadata__\":{\"" LUR_CHECKSUM_KEY "\":\"xxh3-128:"
#define LUR_FORMAT_KEY "lurcher.format"
enum { LUR_CHECKSUM_DIGITS = 32 };
#define LUR_SAFETENSORS_MAX_HEADER ((uint64_t)100000000) /* as in the reference implementation */

/* Position of a tensor by name, or -1. */
int lur_archive_find(const lur_archive *archive, const char *name);
const lur_shape *lur_archive_shape(const lur_archive *archive, int index);
/* True when the file carries our checksum (and it agreed). */
bool lur_archive_is_ours(const lur_archive *archive);

#endif
