/* hdf5_open.c - opens and closes an HDF5 file: finds and checks its superblock [II.A]. */
#include "hdf5_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file may be read 64 times over, and 256 MiB more. Loading reads every byte about twice. */
enum { WORK_TIMES = 64 };
#define WORK_BYTES ((uint64_t)256 << 20)
#define MAX_FILE ((uint64_t)1 << 50)

/* ---- the superblock ---- */

enum { FAMILY = 64, SUPERBLOCK = 128 };

/* The signature is at 0, 512, 1024, 2048, ...: the bytes before it are a user block. */
static lur_status find_signature(lur_hdf5 *file) {
  static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
  unsigned char bytes[8];
  for (uint64_t at = 0; at < file->size && file->size - at >= 8; at = at == 0 ? 512 : 2 * at) {
    LUR_TRY(lur_hdf5_read(file, at, bytes, 8));
    if (memcmp(bytes, signature, 8) != 0) continue;
    file->base = at;
    file->size -= at;
    return LUR_OK;
  }
  return lur_fail(LUR_EFORMAT, "'%s' is not an HDF5 file: it has no HDF5 signature", file->path);
}

static lur_status set_sizes(lur_hdf5 *file, uint64_t offset_size, uint64_t length_size) {
  if ((offset_size != 2 && offset_size != 4 && offset_size != 8) ||
      (length_size != 2 && length_size != 4 && length_size != 8))
    return lur_hdf5_damaged(file, "its addresses have %d bytes and its lengths %d; 2, 4 or 8 were expected",
                            (int)offset_size, (int)length_size);
  file->offset_size = (int)offset_size;
  file->length_size = (int)length_size;
  return LUR_OK;
}

/* Versions 0 and 1. */
static lur_status old_superblock(lur_hdf5 *file, lur_hdf5_cursor *cursor, int version, uint64_t *base, uint64_t *end) {
  lur_hdf5_skip(cursor, 4);
  uint64_t offset_size = lur_hdf5_number(cursor, 1), length_size = lur_hdf5_number(cursor, 1);
  LUR_TRY(set_sizes(file, offset_size, length_size));
  lur_hdf5_skip(cursor, 1 + 2 + 2 + 4 + (version == 1 ? 4 : 0));
  *base = lur_hdf5_address(cursor);
  lur_hdf5_address(cursor);
  *end = lur_hdf5_address(cursor);
  uint64_t driver = lur_hdf5_address(cursor);
  lur_hdf5_address(cursor); /* the root's name */
  file->root = lur_hdf5_address(cursor);
  return driver == LUR_HDF5_NOWHERE ? LUR_OK : lur_hdf5_refuse(file, "a driver that spreads it over files");
}

/* Versions 2 and 3. */
static lur_status new_superblock(lur_hdf5 *file, lur_hdf5_cursor *cursor, int version, uint64_t *base, uint64_t *end) {
  const unsigned char *start = cursor->at - 9;
  uint64_t offset_size = lur_hdf5_number(cursor, 1), length_size = lur_hdf5_number(cursor, 1),
           flags = lur_hdf5_number(cursor, 1);
  LUR_TRY(set_sizes(file, offset_size, length_size));
  *base = lur_hdf5_address(cursor);
  lur_hdf5_address(cursor); /* the superblock extension: nothing that reading needs */
  *end = lur_hdf5_address(cursor);
  file->root = lur_hdf5_address(cursor);
  lur_hdf5_skip(cursor, 4);
  if (cursor->ended) return LUR_OK; /* the caller sees it */
  LUR_TRY(lur_hdf5_check_sum(file, start, (uint64_t)(cursor->at - start)));
  if (version == 3 && (flags & 5) != 0)
    return lur_fail(LUR_EFORMAT, "'%s' was not closed by the program that writes it, or is still being written",
                    file->path);
  return LUR_OK;
}

static lur_status check_end(const lur_hdf5 *file, uint64_t base, uint64_t end) {
  if (base == LUR_HDF5_NOWHERE || end == LUR_HDF5_NOWHERE || end < base || end > MAX_FILE)
    return lur_hdf5_damaged(file, "it has no valid end");
  if (end - base > file->size) /* a user block may have been added or removed since */
    return lur_fail(LUR_EFORMAT, "'%s' is cut short: it should have %" PRIu64 " bytes, it has %" PRIu64, file->path,
                    file->base + (end - base), file->base + file->size);
  return LUR_OK;
}

static lur_status read_superblock(lur_hdf5 *file) {
  unsigned char bytes[SUPERBLOCK];
  uint64_t base = 0, end = 0;
  LUR_TRY(find_signature(file));
  uint64_t count = file->size < SUPERBLOCK ? file->size : SUPERBLOCK;
  LUR_TRY(lur_hdf5_read(file, 0, bytes, count));
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, bytes, count);
  lur_hdf5_skip(&cursor, 8);
  int version = (int)lur_hdf5_number(&cursor, 1);
  if (!cursor.ended && version > 3)
    return lur_fail(LUR_EFORMAT, "'%s': its HDF5 superblock has version %d; versions 0 to 3 are read", file->path,
                    version);
  lur_status status =
      cursor.ended ? LUR_OK : (version < 2 ? old_superblock : new_superblock)(file, &cursor, version, &base, &end);
  if (cursor.ended) return lur_fail(LUR_EFORMAT, "'%s' is cut short: it ends within its HDF5 superblock", file->path);
  LUR_TRY(status);
  return check_end(file, base, end);
}

/* ---- open and close ---- */

static lur_status open_with(lur_hdf5 *made, lur_hdf5 **file) {
  lur_hdf5_subject(made, "the HDF5", "superblock");
  made->work = WORK_BYTES + WORK_TIMES * made->size;
  lur_status status =
      made->size > MAX_FILE ? lur_hdf5_damaged(made, "it has %" PRIu64 " bytes", made->size) : read_superblock(made);
  if (status == LUR_OK) *file = made;
  else lur_hdf5_close(made);
  return status;
}

lur_status lur_hdf5_open(const char *path, lur_hdf5 **file) {
  lur_hdf5 *made = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  made->path = path;
  lur_status status = lur_file_open(path, &made->fd, &made->size);
  if (status == LUR_OK) return open_with(made, file);
  free(made);
  return status;
}

lur_status lur_hdf5_open_bytes(const char *path, void *bytes, size_t count, lur_hdf5 **file) {
  lur_hdf5 *made = NULL;
  lur_status status = lur_alloc_items(1, sizeof *made, &made);
  if (status != LUR_OK) {
    free(bytes);
    return status;
  }
  *made = (lur_hdf5){.path = path, .fd = -1, .bytes = bytes, .size = count};
  return open_with(made, file);
}

void lur_hdf5_close(lur_hdf5 *file) {
  if (file == NULL) return;
  for (int i = 0; i < LUR_HDF5_RECENT; i++) lur_hdf5_group_close(file->recent[i]);
  if (file->fd >= 0) close(file->fd);
  free(file->bytes);
  free(file);
}

const char *lur_hdf5_path(const lur_hdf5 *file) { return file->path; }
