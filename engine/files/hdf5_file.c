/* hdf5_file.c - the bytes of an HDF5 file: every read checked against the file's size and against the work that a file
 * may cause, cursors over structures, and the checksum. See hdf5_internal.h for the other parts.
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

enum { WORK_READ = 64 }; /* each read counts for so many bytes more than it takes */

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
  WITH_ARGUMENTS(fail(LUR_EUNSUPPORTED, file, " uses ", format, arguments, ", which is not supported"));
}

void lur_hdf5_join(const lur_hdf5_group *from, const char *path, char full[LUR_HDF5_PATH]) {
  bool rooted = from == NULL || path[0] == '/' || strcmp(from->path, "/") == 0;
  snprintf(full, LUR_HDF5_PATH, "%s%s%s", rooted ? "" : from->path, rooted ? "" : "/", path);
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
