/* zip.c - reads one uncompressed member of a zip archive, for Keras's .keras files (Python's zipfile stores members
 * uncompressed). It follows the central directory (PKWARE APPNOTE 6.3, sections 4.3.12 and 4.3.16), checks every offset
 * against the file's size, and the member's CRC-32. Compressed members and archives over 4 GiB are LUR_EUNSUPPORTED. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

enum { END_BYTES = 22, ENTRY_BYTES = 46, LOCAL_BYTES = 30, MAX_COMMENT = 65535 };
#define END_SIGNATURE UINT32_C(0x06054b50)
#define ENTRY_SIGNATURE UINT32_C(0x02014b50)
#define LOCAL_SIGNATURE UINT32_C(0x04034b50)
#define IN_ZIP64 UINT32_C(0xffffffff)

typedef struct archive {
  const char *path;
  int fd;
  uint64_t size;
} archive;

typedef struct member {
  uint32_t method, crc, size, stored_size, local;
} member;

static uint32_t read16(const unsigned char *at) { return (uint32_t)at[0] | (uint32_t)at[1] << 8; }
static uint32_t read32(const unsigned char *at) { return read16(at) | read16(at + 2) << 16; }

static uint32_t crc32_of(const unsigned char *bytes, size_t count) {
  uint32_t table[256], crc = UINT32_C(0xffffffff);
  for (uint32_t i = 0; i < 256; i++) {
    table[i] = i;
    for (int bit = 0; bit < 8; bit++) table[i] = table[i] & 1 ? table[i] >> 1 ^ UINT32_C(0xedb88320) : table[i] >> 1;
  }
  for (size_t i = 0; i < count; i++) crc = table[(crc ^ bytes[i]) & 255] ^ crc >> 8;
  return ~crc;
}

/* Reads bytes at an offset that the archive states, and which may be wrong. */
static lur_status take(const archive *zip, uint64_t offset, uint64_t count, unsigned char **bytes) {
  if (offset > zip->size || count > zip->size - offset)
    return lur_fail(LUR_EFORMAT,
                    "'%s' is damaged or truncated: %" PRIu64 " bytes were expected at byte %" PRIu64
                    ", the file has %" PRIu64,
                    zip->path, count, offset, zip->size);
  unsigned char *made = malloc((size_t)count + 1);
  if (made == NULL) return lur_fail(LUR_ENOMEM, "no memory for %" PRIu64 " bytes of '%s'", count, zip->path);
  made[count] = 0;
  lur_status status = lur_file_read_at(zip->fd, zip->path, offset, made, (size_t)count);
  if (status == LUR_OK) *bytes = made;
  else free(made);
  return status;
}

/* Offset and length of the central directory, from the record at the end of the archive. */
static lur_status find_directory(const archive *zip, uint32_t *offset, uint32_t *count) {
  uint64_t tail = zip->size < END_BYTES + MAX_COMMENT ? zip->size : END_BYTES + MAX_COMMENT;
  unsigned char *bytes = NULL;
  LUR_TRY(take(zip, zip->size - tail, tail, &bytes));
  lur_status status = LUR_EFORMAT;
  for (uint64_t at = tail < END_BYTES ? 0 : tail - END_BYTES + 1; at-- > 0 && status != LUR_OK;) {
    if (read32(bytes + at) != END_SIGNATURE) continue;
    *count = read32(bytes + at + 12);
    *offset = read32(bytes + at + 16);
    status = LUR_OK;
  }
  free(bytes);
  if (status != LUR_OK)
    lur_fail(status, "'%s' is truncated: the directory of a zip archive was expected at its end", zip->path);
  return status;
}

static lur_status find_member(const archive *zip, const char *name, member *found) {
  uint32_t offset = 0, count = 0;
  unsigned char *directory = NULL;
  LUR_TRY(find_directory(zip, &offset, &count));
  LUR_TRY(take(zip, offset, count, &directory));
  lur_status status = LUR_EFORMAT;
  for (uint64_t at = 0; at + ENTRY_BYTES <= count && status != LUR_OK;) {
    const unsigned char *entry = directory + at;
    uint32_t length = read16(entry + 28);
    if (read32(entry) != ENTRY_SIGNATURE || at + ENTRY_BYTES + length > count) break;
    if (length == strlen(name) && memcmp(entry + ENTRY_BYTES, name, length) == 0) {
      *found =
          (member){read16(entry + 10), read32(entry + 16), read32(entry + 24), read32(entry + 20), read32(entry + 42)};
      status = LUR_OK;
    }
    at += ENTRY_BYTES + length + read16(entry + 30) + read16(entry + 32);
  }
  free(directory);
  if (status != LUR_OK)
    lur_fail(status, "'%s' is a zip archive without '%s': a .keras file, HDF5 or safetensors was expected", zip->path,
             name);
  return status;
}

static lur_status read_member(const archive *zip, const char *name, const member *from, unsigned char **bytes) {
  unsigned char *local = NULL;
  if (from->method != 0 || from->size != from->stored_size)
    return lur_fail(LUR_EUNSUPPORTED, "'%s': '%s' is compressed; unzip it first", zip->path, name);
  if (from->size == IN_ZIP64 || from->local == IN_ZIP64)
    return lur_fail(LUR_EUNSUPPORTED, "'%s': archives over 4 GiB are not supported; unzip '%s' first", zip->path, name);
  LUR_TRY(take(zip, from->local, LOCAL_BYTES, &local));
  uint64_t data = (uint64_t)from->local + LOCAL_BYTES + read16(local + 26) + read16(local + 28);
  bool good = read32(local) == LOCAL_SIGNATURE;
  free(local);
  if (!good)
    return lur_fail(LUR_EFORMAT, "'%s' is damaged: '%s' is not at the offset that the directory states", zip->path,
                    name);
  LUR_TRY(take(zip, data, from->size, bytes));
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* a fuzzer cannot guess checksums */
  return LUR_OK;
#endif
  if (crc32_of(*bytes, from->size) == from->crc) return LUR_OK;
  free(*bytes);
  *bytes = NULL;
  return lur_fail(LUR_EFORMAT, "'%s' is damaged: the checksum of '%s' does not match", zip->path, name);
}

lur_status lur_zip_read(const char *path, const char *name, void **bytes, size_t *count) {
  archive zip = {.path = path, .fd = -1};
  member found = {0};
  unsigned char *data = NULL;
  LUR_TRY(lur_file_open(path, &zip.fd, &zip.size));
  lur_status status = find_member(&zip, name, &found);
  if (status == LUR_OK) status = read_member(&zip, name, &found, &data);
  close(zip.fd);
  if (status != LUR_OK) return status;
  *bytes = data;
  *count = found.size;
  return LUR_OK;
}

lur_status lur_zip_has(const char *path, const char *name, bool *has) {
  archive zip = {.path = path, .fd = -1};
  member found;
  LUR_TRY(lur_file_open(path, &zip.fd, &zip.size));
  lur_status status = find_member(&zip, name, &found);
  close(zip.fd);
  *has = status == LUR_OK;
  return status == LUR_EFORMAT ? LUR_OK : status;
}
