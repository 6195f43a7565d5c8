/* safetensors_read.c - reads .safetensors files, written by this engine or by others. Everything is checked before use:
 * the header length against the file size, unique names, known element types, extents, and data ranges that cover the
 * data without gap, overlap or rest. A file with this engine's checksum is verified whole when it is opened; of any
 * other, the structure only.
 *
 * To add an element type: a row in safetensors_write.c and, if its bytes need conversion, a case in element(). */
#include <endian.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "engine/base/json.h"
#include "files.h"
#include "hash.h"

enum { CHUNK = 1 << 20 };
#define MAX_EXACT 9007199254740992.0 /* 2^53: above it JSON numbers lose digits */

typedef struct entry {
  const char *name; /* in the JSON tree */
  const lur_safetensors_type *type;
  lur_shape shape;
  uint64_t begin, end; /* bytes, from the start of the data */
} entry;

struct lur_archive {
  lur_context *context;
  char *path;
  int fd;
  uint64_t size, data; /* of the file; offset of the data */
  char *head;          /* the header's text, NUL-terminated */
  size_t head_bytes;
  cJSON *json;
  const cJSON *metadata;
  bool checksummed; /* carries lurcher.checksum */
  int n;
  entry *entries;
};

/* ---- the header ---- */

static lur_status read_header(lur_archive *archive) {
  uint64_t little = 0;
  if (archive->size < 8)
    return lur_fail(LUR_EFORMAT, "'%s' is not a safetensors file: at least 8 bytes were expected, it has %" PRIu64,
                    archive->path, archive->size);
  LUR_TRY(lur_file_read_at(archive->fd, archive->path, 0, &little, 8));
  uint64_t length = le64toh(little);
  if (length > archive->size - 8 || length > LUR_SAFETENSORS_MAX_HEADER)
    return lur_fail(LUR_EFORMAT,
                    "'%s' is not a safetensors file, or truncated: its first 8 bytes state a header of %" PRIu64
                    " bytes, %" PRIu64 " follow",
                    archive->path, length, archive->size - 8);
  archive->head = malloc((size_t)length + 1);
  if (archive->head == NULL)
    return lur_fail(LUR_ENOMEM, "no memory for the %" PRIu64 " byte header of '%s'", length, archive->path);
  LUR_TRY(lur_file_read_at(archive->fd, archive->path, 8, archive->head, (size_t)length));
  archive->head[length] = '\0';
  archive->head_bytes = (size_t)length;
  archive->data = 8 + length;
  return LUR_OK;
}

static lur_status parse_header(lur_archive *archive) {
  const char *end = NULL;
  if (archive->head_bytes == 0 || archive->head[0] != '{')
    return lur_fail(LUR_EFORMAT, "'%s' is not a safetensors file: a JSON header was expected at byte 8", archive->path);
  archive->json = lur_json_parse(archive->head, archive->head_bytes, &end);
  if (archive->json == NULL)
    return lur_fail(LUR_EFORMAT, "'%s' is damaged: its header is not valid JSON at byte %zu", archive->path,
                    end == NULL ? (size_t)8 : 8 + (size_t)(end - archive->head));
  for (; end < archive->head + archive->head_bytes; end++)
    if (*end != ' ')
      return lur_fail(LUR_EFORMAT, "'%s' is damaged: spaces were expected after its header's JSON, byte %zu is 0x%02x",
                      archive->path, 8 + (size_t)(end - archive->head), (unsigned)(unsigned char)*end);
  return LUR_OK;
}

/* ---- the checksum ---- */

static lur_status digest_file(const lur_archive *archive, const char *head, XXH3_state_t *state, char *chunk) {
  uint64_t little = htole64(archive->head_bytes);
  XXH3_128bits_reset(state);
  XXH3_128bits_update(state, &little, 8);
  XXH3_128bits_update(state, head, archive->head_bytes);
  for (uint64_t at = archive->data; at < archive->size;) {
    size_t count = archive->size - at < CHUNK ? (size_t)(archive->size - at) : CHUNK;
    LUR_TRY(lur_file_read_at(archive->fd, archive->path, at, chunk, count));
    XXH3_128bits_update(state, chunk, count);
    at += count;
  }
  return LUR_OK;
}

/* Compares the file with the checksum in its header. */
static lur_status check_digest(lur_archive *archive) {
  lur_status status = LUR_ENOMEM;
  size_t place = sizeof LUR_CHECKSUM_HEAD - 1;
  char expected[LUR_CHECKSUM_DIGITS + 1] = {0}, found[LUR_CHECKSUM_DIGITS + 1] = {0};
  XXH3_state_t *state = XXH3_createState();
  char *chunk = malloc(CHUNK), *head = malloc(archive->head_bytes);
  if (state == NULL || chunk == NULL || head == NULL) {
    lur_fail(status, "no memory to check '%s'", archive->path);
    goto fail;
  }
  memcpy(head, archive->head, archive->head_bytes);
  memcpy(expected, head + place, LUR_CHECKSUM_DIGITS);
  memset(head + place, '0', LUR_CHECKSUM_DIGITS);
  if ((status = digest_file(archive, head, state, chunk)) != LUR_OK) goto fail;
  lur_hash_format(XXH3_128bits_digest(state), found);
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* a fuzzer cannot guess checksums */
  memcpy(found, expected, LUR_CHECKSUM_DIGITS);
#endif
  if (memcmp(expected, found, LUR_CHECKSUM_DIGITS) != 0)
    status = lur_fail(LUR_EFORMAT, "'%s' is damaged: checksum %.8s... was expected, its bytes give %.8s...",
                      archive->path, expected, found);
fail:
  XXH3_freeState(state);
  free(chunk);
  free(head);
  return status;
}

/* Verifies the checksum if the file has either mark of this engine: the fixed beginning or the format member. */
static lur_status verify_checksum(lur_archive *archive) {
  bool begins = archive->head_bytes >= sizeof LUR_CHECKSUM_HEAD - 1 + LUR_CHECKSUM_DIGITS &&
                memcmp(archive->head, LUR_CHECKSUM_HEAD, sizeof LUR_CHECKSUM_HEAD - 1) == 0;
  const char *format = lur_archive_metadata(archive, LUR_FORMAT_KEY);
  archive->checksummed = begins || format != NULL || lur_archive_metadata(archive, LUR_CHECKSUM_KEY) != NULL;
  if (!archive->checksummed) return LUR_OK;
  if (!begins || format == NULL)
    return lur_fail(LUR_EFORMAT, "'%s' is damaged: its header lacks the checksum of this engine's files",
                    archive->path);
  LUR_TRY(check_digest(archive));
  if (strcmp(format, "1") != 0)
    return lur_fail(LUR_EUNSUPPORTED, "'%s' has format %s, this version reads format 1", archive->path, format);
  return LUR_OK;
}

/* ---- the tensor table ---- */

/* Reads an integer from 0 to 2^53. */
static bool whole(const cJSON *item, uint64_t *value) {
  if (!cJSON_IsNumber(item)) return false;
  double number = item->valuedouble;
  if (!(number >= 0) || number > MAX_EXACT || floor(number) != number) return false;
  *value = (uint64_t)number;
  return true;
}

static lur_status read_type(const lur_archive *archive, const cJSON *item, entry *to) {
  const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(item, "dtype");
  if (!cJSON_IsString(dtype))
    return lur_fail(LUR_EFORMAT, "'%s': tensor '%.200s' has no dtype", archive->path, to->name);
  for (to->type = lur_safetensors_types; to->type->name != NULL; to->type++)
    if (strcmp(to->type->name, dtype->valuestring) == 0) return LUR_OK;
  return lur_fail(LUR_EFORMAT, "'%s': tensor '%.200s' has an unknown dtype '%.40s'", archive->path, to->name,
                  dtype->valuestring);
}

static lur_status read_shape(const lur_archive *archive, const cJSON *item, entry *to) {
  const cJSON *shape = cJSON_GetObjectItemCaseSensitive(item, "shape"), *extent;
  if (!cJSON_IsArray(shape))
    return lur_fail(LUR_EFORMAT, "'%s': tensor '%.200s' has no shape", archive->path, to->name);
  cJSON_ArrayForEach(extent, shape) {
    uint64_t value;
    if (to->shape.ndim == LUR_MAX_DIMS)
      return lur_fail(LUR_EFORMAT, "'%s': tensor '%.200s' has %d dimensions, at most %d were expected", archive->path,
                      to->name, cJSON_GetArraySize(shape), LUR_MAX_DIMS);
    if (!whole(extent, &value))
      return lur_fail(LUR_EFORMAT, "'%s': extent %d of tensor '%.200s' is not a whole number from 0 to 2^53",
                      archive->path, to->shape.ndim + 1, to->name);
    to->shape.dim[to->shape.ndim++] = (int64_t)value;
  }
  if (lur_shape_check(&to->shape) == LUR_OK) return LUR_OK;
  return lur_blame(LUR_EFORMAT, "'%s': tensor '%.200s'", archive->path, to->name);
}

static lur_status read_range(const lur_archive *archive, const cJSON *item, entry *to) {
  const cJSON *range = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
  if (!cJSON_IsArray(range) || cJSON_GetArraySize(range) != 2 || !whole(cJSON_GetArrayItem(range, 0), &to->begin) ||
      !whole(cJSON_GetArrayItem(range, 1), &to->end))
    return lur_fail(LUR_EFORMAT, "'%s': tensor '%.200s' has no data_offsets of two whole numbers", archive->path,
                    to->name);
  uint64_t data = archive->size - archive->data;
  if (to->begin > to->end || to->end > data)
    return lur_fail(LUR_EFORMAT,
                    "'%s' is damaged or truncated: tensor '%.200s' is at bytes %" PRIu64 " to %" PRIu64
                    " of the data, the file has %" PRIu64,
                    archive->path, to->name, to->begin, to->end, data);
  /* At most 2^40 elements (lur_shape_check) of 8 bytes: no overflow. */
  uint64_t bytes = (uint64_t)lur_shape_count(&to->shape) * to->type->size;
  if (to->end - to->begin != bytes)
    return lur_fail(LUR_EFORMAT,
                    "'%s': tensor '%.200s' needs %" PRIu64 " bytes for its shape, the header states %" PRIu64,
                    archive->path, to->name, bytes, to->end - to->begin);
  return LUR_OK;
}

static lur_status read_metadata(lur_archive *archive, const cJSON *object) {
  const cJSON *item;
  if (!cJSON_IsObject(object) || archive->metadata != NULL)
    return lur_fail(LUR_EFORMAT, "'%s': one object '__metadata__' was expected in the header", archive->path);
  cJSON_ArrayForEach(item, object) {
    if (!cJSON_IsString(item))
      return lur_fail(LUR_EFORMAT, "'%s': metadata '%.200s' is not a string", archive->path, item->string);
  }
  archive->metadata = object;
  return LUR_OK;
}

static lur_status read_entries(lur_archive *archive) {
  LUR_TRY(lur_alloc_items((size_t)cJSON_GetArraySize(archive->json) + 1, sizeof *archive->entries, &archive->entries));
  const cJSON *item;
  cJSON_ArrayForEach(item, archive->json) {
    if (strcmp(item->string, "__metadata__") == 0) {
      LUR_TRY(read_metadata(archive, item));
      continue;
    }
    entry *to = &archive->entries[archive->n];
    to->name = item->string;
    LUR_TRY(read_type(archive, item, to));
    LUR_TRY(read_shape(archive, item, to));
    LUR_TRY(read_range(archive, item, to));
    archive->n++;
  }
  return LUR_OK;
}

static int by_name(const void *a, const void *b) {
  return strcmp((*(const entry *const *)a)->name, (*(const entry *const *)b)->name);
}

static int by_offset(const void *a, const void *b) {
  const entry *x = *(const entry *const *)a, *y = *(const entry *const *)b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->end < y->end ? -1 : x->end > y->end; /* an empty tensor precedes the one at the same offset */
}

/* Checks that names are unique and that the tensors cover the data without gap, overlap or rest. */
static lur_status check_entries(const lur_archive *archive) {
  const entry **sorted = NULL;
  LUR_TRY(lur_alloc_items((size_t)archive->n + 1, sizeof *sorted, &sorted));
  lur_status status = LUR_OK;
  uint64_t next = 0, data = archive->size - archive->data;
  for (int i = 0; i < archive->n; i++) sorted[i] = &archive->entries[i];
  qsort(sorted, (size_t)archive->n, sizeof *sorted, by_name);
  for (int i = 1; i < archive->n && status == LUR_OK; i++)
    if (strcmp(sorted[i]->name, sorted[i - 1]->name) == 0)
      status = lur_fail(LUR_EFORMAT, "'%s': two tensors are named '%.200s'", archive->path, sorted[i]->name);
  qsort(sorted, (size_t)archive->n, sizeof *sorted, by_offset);
  for (int i = 0; i < archive->n && status == LUR_OK; i++) {
    if (sorted[i]->begin != next)
      status = lur_fail(LUR_EFORMAT,
                        "'%s': tensor '%.200s' begins at byte %" PRIu64 " of the data, %" PRIu64 " was expected",
                        archive->path, sorted[i]->name, sorted[i]->begin, next);
    next = sorted[i]->end;
  }
  if (status == LUR_OK && next != data)
    status = lur_fail(LUR_EFORMAT, "'%s': its tensors end at byte %" PRIu64 " of the data, the file has %" PRIu64,
                      archive->path, next, data);
  free(sorted);
  return status;
}

/* ---- open and close ---- */

lur_status lur_archive_open(lur_context *context, const char *path, lur_archive **archive) {
  lur_archive *made = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  made->fd = -1;
  lur_context_retain(context);
  made->context = context;
  lur_status status = lur_text_copy(path == NULL ? "" : path, &made->path);
  if (status == LUR_OK) status = lur_file_open(path, &made->fd, &made->size);
  if (status == LUR_OK) status = read_header(made);
  if (status == LUR_OK) status = parse_header(made);
  if (status == LUR_OK) status = read_entries(made);
  if (status == LUR_OK) status = verify_checksum(made);
  if (status == LUR_OK) status = check_entries(made);
  if (status != LUR_OK) {
    lur_archive_close(made);
    return status;
  }
  *archive = made;
  return LUR_OK;
}

void lur_archive_close(lur_archive *archive) {
  if (archive == NULL) return;
  if (archive->fd >= 0) close(archive->fd);
  cJSON_Delete(archive->json);
  free(archive->head);
  free(archive->entries);
  free(archive->path);
  lur_context_release(archive->context);
  free(archive);
}

/* ---- queries ---- */

int lur_archive_count(const lur_archive *archive) { return archive->n; }

const char *lur_archive_name(const lur_archive *archive, int index) {
  return index >= 0 && index < archive->n ? archive->entries[index].name : NULL;
}

const lur_shape *lur_archive_shape(const lur_archive *archive, int index) { return &archive->entries[index].shape; }

bool lur_archive_is_checksummed(const lur_archive *archive) { return archive->checksummed; }

int lur_archive_find(const lur_archive *archive, const char *name) {
  for (int i = 0; i < archive->n; i++)
    if (strcmp(archive->entries[i].name, name) == 0) return i;
  return -1;
}

const char *lur_archive_metadata(const lur_archive *archive, const char *key) {
  return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(archive->metadata, key));
}

const char *lur_archive_metadata_key(const lur_archive *archive, int index) {
  const cJSON *item;
  cJSON_ArrayForEach(item, archive->metadata) {
    if (strncmp(item->string, "lurcher.", 8) != 0 && index-- == 0) return item->string;
  }
  return NULL;
}

/* ---- data ---- */

/* An element of a type that the engine lacks, as a double: exact, except for 64-bit integers beyond 2^53. */
static double element(const char *name, const unsigned char *from) {
  if (strcmp(name, "F64") == 0) {
    double value;
    memcpy(&value, from, 8);
    return value;
  }
  if (strcmp(name, "I64") == 0) {
    int64_t value;
    memcpy(&value, from, 8);
    return (double)value;
  }
  uint32_t bits = from[0];
  if (strcmp(name, "I8") == 0) return (int8_t)bits;
  bits |= (uint32_t)from[1] << 8;
  if (strcmp(name, "I16") == 0) return (int16_t)bits;
  if (strcmp(name, "U16") == 0) return bits;
  return bits | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24; /* U32 */
}

/* Converts F64 to f32 and integers to i32; LUR_EUNSUPPORTED for an integer that does not fit. */
static lur_status convert(const lur_archive *archive, const entry *from, const unsigned char *bytes, lur_tensor *to) {
  int64_t count = lur_shape_count(&from->shape);
  float *reals = lur_tensor_data(to);
  int32_t *integers = lur_tensor_data(to);
  for (int64_t i = 0; i < count; i++) {
    double value = element(from->type->name, bytes + (size_t)i * from->type->size);
    if (from->type->dtype == LUR_F32) {
      reals[i] = (float)value;
    } else if (value < INT32_MIN || value > INT32_MAX) {
      return lur_fail(LUR_EUNSUPPORTED,
                      "'%s': element %" PRId64 " of tensor '%.200s' is %.17g, which does not fit a 32-bit integer",
                      archive->path, i, from->name, value);
    } else {
      integers[i] = (int32_t)value;
    }
  }
  return LUR_OK;
}

lur_status lur_archive_read(lur_archive *archive, int index, lur_tensor **tensor) {
  if (index < 0 || index >= archive->n)
    return lur_fail(LUR_EARG, "'%s' has no tensor number %d, only %d of them", archive->path, index, archive->n);
  const entry *from = &archive->entries[index];
  if (from->type->dtype < 0)
    return lur_fail(LUR_EUNSUPPORTED, "'%s': tensor '%.200s' has elements of type %s, which is not supported",
                    archive->path, from->name, from->type->name);
  lur_tensor *made = NULL;
  size_t bytes = (size_t)(from->end - from->begin);
  LUR_TRY(lur_tensor_new(archive->context, NULL, (lur_dtype)from->type->dtype, &from->shape, &made));
  unsigned char *raw = from->type->exact ? lur_tensor_data(made) : malloc(bytes + 1);
  lur_status status = LUR_OK;
  if (raw == NULL && bytes > 0)
    status = lur_fail(LUR_ENOMEM, "no memory for the %zu bytes of '%.200s' in '%s'", bytes, from->name, archive->path);
  if (status == LUR_OK) status = lur_file_read_at(archive->fd, archive->path, archive->data + from->begin, raw, bytes);
  if (status == LUR_OK && !from->type->exact) status = convert(archive, from, raw, made);
  if (!from->type->exact) free(raw);
  if (status != LUR_OK) {
    lur_tensor_release(made);
    return status;
  }
  *tensor = made;
  return LUR_OK;
}
