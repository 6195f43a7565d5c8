/* hdf5_file.c - the bytes of an HDF5 file: every read checked against the file's size and against the work that a file
 * may cause, cursors over structures, the checksum, and the superblock [II.A]. See hdf5_internal.h for the other parts.
 *
 * The file is read with pread rather than mapped: a file that another process cuts short then gives an error, not a
 * signal, and values go straight to their destination. */
#include "hdf5_internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file may be read 64 times over, and 256 MiB more; each read counts for 64 bytes more than it takes. Loading reads
   every byte about twice. */
enum { WORK_TIMES = 64, WORK_READ = 64 };
#define WORK_BYTES ((uint64_t)256 << 20)
#define MAX_FILE ((uint64_t)1 << 50)

/* ---- messages ---- */

/* Names in a file are anything: what is not printable does not reach a terminal. */
static void clean(char *text) {
  for (; *text != '\0'; text++)
    if ((unsigned char)*text < ' ' || *text == 0x7f) *text = '?';
}

void lur_hdf5_subject(lur_hdf5 *file, const char *kind, const char *name) {
  snprintf(file->subject, sizeof file->subject, "%s '%.100s'", kind, name);
  clean(file->subject);
}

/* A message of three parts: who, what, and how it ends. */
static lur_status fail(lur_status status, const lur_hdf5 *file, const char *before, const char *format,
                       va_list arguments, const char *after) {
  char text[256];
  vsnprintf(text, sizeof text, format, arguments);
  clean(text);
  return lur_fail(status, "'%s': %s%s%s%s", file->path, before[0] == '\0' ? "" : file->subject, before, text, after);
}

#define WITH_ARGUMENTS(call)                                                                                           \
  va_list arguments;                                                                                                   \
  va_start(arguments, format);                                                                                         \
  lur_status status = call;                                                                                            \
  va_end(arguments);                                                                                                   \
  return status

lur_status lur_hdf5_fail(const lur_hdf5 *file, const char *format, ...) {
  WITH_ARGUMENTS(fail(LUR_EFORMAT, file, "", format, arguments, ""));
}

lur_status lur_hdf5_damaged(const lur_hdf5 *file, const char *format, ...) {
  WITH_ARGUMENTS(fail(LUR_EFORMAT, file, " is damaged: ", format, arguments, ""));
}

lur_status lur_hdf5_refuse(const lur_hdf5 *file, const char *format, ...) {
  WITH_ARGUMENTS(fail(LUR_EUNSUPPORTED, file, " uses ", format, arguments, ", which is not read"));
}

/* ---- numbers ---- */

int lur_hdf5_log2(uint64_t x) {
  int log = 0;
  while (x >>= 1) log++;
  return log;
}

int lur_hdf5_bytes_for(uint64_t limit) { return lur_hdf5_log2(limit) / 8 + 1; }

uint64_t lur_hdf5_times(uint64_t a, uint64_t b) { return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b; }

/* ---- bytes ---- */

lur_status lur_hdf5_make_room(const lur_hdf5 *file, void *items, int n, size_t size) {
  void *at = NULL;
  memcpy(&at, items, sizeof at);
  if ((n & (n + 1)) != 0) return LUR_OK;
  if (n >= INT_MAX / 2) return lur_hdf5_damaged(file, "it has too many parts");
  at = realloc(at, (2 * (size_t)n + 1) * size);
  if (at == NULL) return lur_fail(LUR_ENOMEM, "no memory for an object of '%s'", file->path);
  memcpy(items, &at, sizeof at);
  return LUR_OK;
}

lur_status lur_hdf5_read(lur_hdf5 *file, uint64_t address, void *to, uint64_t count) {
  if (address == LUR_HDF5_NOWHERE) return lur_hdf5_damaged(file, "the address of a structure is missing");
  if (address > file->size || count > file->size - address)
    return lur_hdf5_damaged(file, "%" PRIu64 " bytes were expected at address %" PRIu64 ", the file has %" PRIu64,
                            count, address, file->size);
  if (count > file->work || file->work - count < WORK_READ)
    return lur_hdf5_damaged(file, "the structures of the file refer to each other too often");
  file->work -= count + WORK_READ;
  if (file->fd >= 0) return lur_file_read_at(file->fd, file->path, file->base + address, to, (size_t)count);
  memcpy(to, file->bytes + file->base + address, (size_t)count);
  return LUR_OK;
}

lur_status lur_hdf5_take(lur_hdf5 *file, uint64_t address, uint64_t count, unsigned char **bytes) {
  if (count > file->size) /* before memory is asked for */
    return lur_hdf5_damaged(file, "%" PRIu64 " bytes were expected at address %" PRIu64 ", the file has %" PRIu64,
                            count, address, file->size);
  unsigned char *made = malloc((size_t)count + 1);
  if (made == NULL) return lur_fail(LUR_ENOMEM, "no memory for %" PRIu64 " bytes of '%s'", count, file->path);
  lur_status status = lur_hdf5_read(file, address, made, count);
  if (status == LUR_OK) *bytes = made;
  else free(made);
  return status;
}

lur_status lur_hdf5_take_signed(lur_hdf5 *file, uint64_t address, uint64_t count, const char *signature, bool checked,
                                unsigned char **bytes) {
  unsigned char *made = NULL;
  lur_status status = LUR_OK;
  if (count < 2 * LUR_HDF5_SIGNATURE)
    return lur_hdf5_damaged(file, "a structure '%s' of %" PRIu64 " bytes", signature, count);
  LUR_TRY(lur_hdf5_take(file, address, count, &made));
  if (memcmp(made, signature, LUR_HDF5_SIGNATURE) != 0)
    status = lur_hdf5_damaged(file, "'%s' was expected at address %" PRIu64, signature, address);
  else if (checked) status = lur_hdf5_check_sum(file, made, count);
  if (status == LUR_OK) *bytes = made;
  else free(made);
  return status;
}

/* ---- the checksum: Bob Jenkins's lookup3, hashlittle with an initial value of 0 ---- */

static uint32_t rotate(uint32_t x, int by) { return x << by | x >> (32 - by); }

typedef struct lookup {
  uint32_t a, b, c;
} lookup;

static void mix(lookup *x) {
  x->a -= x->c, x->a ^= rotate(x->c, 4), x->c += x->b;
  x->b -= x->a, x->b ^= rotate(x->a, 6), x->a += x->c;
  x->c -= x->b, x->c ^= rotate(x->b, 8), x->b += x->a;
  x->a -= x->c, x->a ^= rotate(x->c, 16), x->c += x->b;
  x->b -= x->a, x->b ^= rotate(x->a, 19), x->a += x->c;
  x->c -= x->b, x->c ^= rotate(x->b, 4), x->b += x->a;
}

static uint32_t finish(lookup *x) {
  x->c ^= x->b, x->c -= rotate(x->b, 14);
  x->a ^= x->c, x->a -= rotate(x->c, 11);
  x->b ^= x->a, x->b -= rotate(x->a, 25);
  x->c ^= x->b, x->c -= rotate(x->b, 16);
  x->a ^= x->c, x->a -= rotate(x->c, 4);
  x->b ^= x->a, x->b -= rotate(x->a, 14);
  x->c ^= x->b, x->c -= rotate(x->b, 24);
  return x->c;
}

static uint32_t word(const unsigned char *at, uint64_t count) {
  uint32_t value = 0;
  for (uint64_t i = 0; i < 4 && i < count; i++) value |= (uint32_t)at[i] << 8 * i;
  return value;
}

static void add_words(lookup *x, const unsigned char *at, uint64_t count) {
  x->a += word(at, count);
  if (count > 4) x->b += word(at + 4, count - 4);
  if (count > 8) x->c += word(at + 8, count - 8);
}

static uint32_t lookup3(const unsigned char *bytes, uint64_t count) {
  uint32_t start = UINT32_C(0xdeadbeef) + (uint32_t)count;
  lookup x = {start, start, start};
  if (count == 0) return x.c;
  for (; count > 12; bytes += 12, count -= 12) {
    add_words(&x, bytes, 12);
    mix(&x);
  }
  add_words(&x, bytes, count);
  return finish(&x);
}

lur_status lur_hdf5_check_sum(const lur_hdf5 *file, const unsigned char *bytes, uint64_t count) {
  if (count < 4) return lur_hdf5_damaged(file, "a structure of %" PRIu64 " bytes has no room for its checksum", count);
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* a fuzzer cannot guess checksums */
  if (lookup3(bytes, count - 4) != word(bytes + count - 4, 4))
    return lur_hdf5_damaged(file, "a checksum does not agree");
#else
  (void)lookup3;
#endif
  return LUR_OK;
}

/* ---- cursors ---- */

lur_hdf5_cursor lur_hdf5_cursor_over(const lur_hdf5 *file, const unsigned char *bytes, uint64_t count) {
  return (lur_hdf5_cursor){.file = file, .at = bytes, .end = bytes + count};
}

uint64_t lur_hdf5_left(const lur_hdf5_cursor *cursor) { return (uint64_t)(cursor->end - cursor->at); }

const unsigned char *lur_hdf5_skip(lur_hdf5_cursor *cursor, uint64_t count) {
  const unsigned char *here = cursor->at;
  if (count > lur_hdf5_left(cursor)) {
    cursor->at = cursor->end;
    cursor->ended = true;
    return NULL;
  }
  cursor->at += count;
  return here;
}

uint64_t lur_hdf5_number(lur_hdf5_cursor *cursor, int size) {
  uint64_t value = 0;
  const unsigned char *at = lur_hdf5_skip(cursor, (uint64_t)size);
  for (int i = 0; at != NULL && i < size; i++) value |= (uint64_t)at[i] << 8 * i;
  return value;
}

uint64_t lur_hdf5_address(lur_hdf5_cursor *cursor) {
  int size = cursor->file->offset_size;
  uint64_t value = lur_hdf5_number(cursor, size), undefined = size == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * size) - 1;
  return value == undefined ? LUR_HDF5_NOWHERE : value;
}

uint64_t lur_hdf5_length(lur_hdf5_cursor *cursor) { return lur_hdf5_number(cursor, cursor->file->length_size); }

/* ---- the superblock ---- */

enum { FAMILY = 64, SUPERBLOCK = 128 };

/* The signature is at 0, 512, 1024, 2048, ...: what is before it is the user's. */
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
