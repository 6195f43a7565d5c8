/* safetensors_read.c - reads .safetensors files, written by this engine or by others. Everything is checked before use:
 * the header length against the file size, the header's JSON (engine/base/json.h: strict, no key twice, UTF-8 without
 * NUL), known element types, extents, and data ranges that cover the data without gap, overlap or rest. A file with
 * this engine's checksum is verified whole when it is opened; of any other, the structure only.
 *
 * Memory and time grow with the size of the header alone: strings are decoded into one block, tables are sorted.
 *
 * To add an element type: a row in safetensors_write.c and, if its bytes need conversion, a case in element(). */
#include <endian.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "engine/base/json.h"
#include "files.h"
#include "hash.h"

enum { CHUNK = 1 << 20 };
#define MAX_WHOLE ((uint64_t)1 << 53) /* of extents and offsets */

typedef struct entry {
  const char *name; /* in archive->text */
  const lur_safetensors_type *type;
  lur_shape shape;
  uint64_t begin, end; /* bytes, from the start of the data */
} entry;

typedef struct pair { /* of metadata; both in archive->text */
  const char *key, *value;
} pair;

struct lur_archive {
  lur_context *context;
  char *path;
  int fd;
  uint64_t size, data; /* of the file; offset of the data */
  char *head;          /* the header's text, NUL-terminated */
  size_t head_bytes;
  char *text, *free; /* the decoded strings of the header; where the next one goes */
  bool checksummed;  /* carries lurcher.checksum, of its bytes */
  bool resaved;      /* carries it, but another program has written the file */
  lur_order order;   /* of the header's keys */
  int n, npairs, nforeign;
  entry *entries;
  const entry **by_name; /* sorted */
  pair *pairs;           /* sorted by key after the header is read */
  const char **foreign;  /* keys that are not the engine's, in the file's order */
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

/* Checks the header's JSON, and counts what it has room for: each string takes at least two quotes. */
static lur_status parse_header(lur_archive *archive) {
  size_t end = 0;
  if (archive->head_bytes == 0 || archive->head[0] != '{')
    return lur_fail(LUR_EFORMAT, "'%s' is not a safetensors file: a JSON header was expected at byte 8", archive->path);
  lur_status status = lur_json_check(archive->head, archive->head_bytes, &end);
  if (status == LUR_EFORMAT)
    return lur_blame(status, "'%s' is damaged: its header is not valid JSON at byte %zu", archive->path, 8 + end);
  LUR_TRY(status);
  for (; end < archive->head_bytes; end++)
    if (archive->head[end] != ' ')
      return lur_fail(LUR_EFORMAT, "'%s' is damaged: spaces were expected after its header's JSON, byte %zu is 0x%02x",
                      archive->path, 8 + end, (unsigned)(unsigned char)archive->head[end]);
  archive->text = archive->free = malloc(archive->head_bytes + 1);
  if (archive->text == NULL)
    return lur_fail(LUR_ENOMEM, "no memory for the %zu byte header of '%s'", archive->head_bytes, archive->path);
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

static bool is_digits(const char *text, int n) {
  for (int i = 0; i < n; i++)
    if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'f')) return false;
  return text[n] == '\0';
}

/* Whether the header has both marks, whole, but not where this engine writes them. */
static bool marks_are_moved(const lur_archive *archive, bool begins) {
  static const char kind[] = "xxh3-128:", next[] = "\",\"" LUR_FORMAT_KEY "\":";
  const char *sum = lur_archive_metadata(archive, LUR_CHECKSUM_KEY);
  if (sum == NULL || strncmp(sum, kind, sizeof kind - 1) != 0 || !is_digits(sum + sizeof kind - 1, LUR_CHECKSUM_DIGITS))
    return false;
  const char *second = archive->head + sizeof LUR_CHECKSUM_HEAD - 1 + LUR_CHECKSUM_DIGITS;
  return !begins || strncmp(second, next, sizeof next - 1) != 0;
}

/* Verifies the checksum if the file has either mark of this engine: the fixed beginning or the format member. Where
   another program has put the keys into another order, there is nothing to verify. */
static lur_status verify_checksum(lur_archive *archive) {
  bool begins = archive->head_bytes >= sizeof LUR_CHECKSUM_HEAD - 1 + LUR_CHECKSUM_DIGITS &&
                memcmp(archive->head, LUR_CHECKSUM_HEAD, sizeof LUR_CHECKSUM_HEAD - 1) == 0;
  const char *format = lur_archive_metadata(archive, LUR_FORMAT_KEY);
  archive->checksummed = begins || format != NULL || lur_archive_metadata(archive, LUR_CHECKSUM_KEY) != NULL;
  if (!archive->checksummed) return LUR_OK;
  archive->resaved = format != NULL && (marks_are_moved(archive, begins) ||
                                        lur_order_is_moved(lur_archive_metadata(archive, LUR_ORDER_KEY),
                                                           &archive->order));
  archive->checksummed = !archive->resaved;
  if (archive->checksummed && (!begins || format == NULL))
    return lur_fail(LUR_EFORMAT, "'%s' is damaged: its header lacks the checksum of this engine's files",
                    archive->path);
  if (archive->checksummed) LUR_TRY(check_digest(archive));
  if (strcmp(format, "1") != 0)
    return lur_fail(LUR_EUNSUPPORTED, "'%s' has format %s, this version reads format 1", archive->path, format);
  return LUR_OK;
}

/* ---- the tensor table ---- */

/* The members of the object at the cursor: their number. */
static int count_members(const char *at) {
  int n = 0;
  if (lur_json_kind(&at) != '{') return 0;
  for (lur_json_enter(&at); lur_json_more(&at); n++) {
    lur_json_skip(&at); /* the key */
    while (*at != ':') at++;
    at++;
    lur_json_skip(&at);
  }
  return n;
}

static lur_status read_type(lur_archive *archive, const char **at, entry *to) {
  if (lur_json_kind(at) != '"')
    return lur_fail(LUR_EFORMAT, "'%s': the dtype of tensor '%.200s' is not a string", archive->path, to->name);
  const char *name = lur_json_string(at, &archive->free);
  for (to->type = lur_safetensors_types; to->type->name != NULL; to->type++)
    if (strcmp(to->type->name, name) == 0) return LUR_OK;
  return lur_fail(LUR_EFORMAT, "'%s': tensor '%.200s' has an unknown dtype '%.40s'", archive->path, to->name, name);
}

static lur_status read_shape(const lur_archive *archive, const char **at, entry *to) {
  if (lur_json_kind(at) != '[')
    return lur_fail(LUR_EFORMAT, "'%s': the shape of tensor '%.200s' is not an array", archive->path, to->name);
  int n = 0;
  for (lur_json_enter(at); lur_json_more(at); n++) {
    uint64_t value;
    if (!lur_json_whole(at, MAX_WHOLE, &value))
      return lur_fail(LUR_EFORMAT, "'%s': extent %d of tensor '%.200s' is not a whole number from 0 to 2^53",
                      archive->path, n + 1, to->name);
    if (n < LUR_MAX_DIMS) to->shape.dim[n] = (int64_t)value;
  }
  if (n > LUR_MAX_DIMS)
    return lur_fail(LUR_EFORMAT, "'%s': tensor '%.200s' has %d dimensions, at most %d were expected", archive->path,
                    to->name, n, LUR_MAX_DIMS);
  to->shape.ndim = n;
  if (lur_shape_check(&to->shape) == LUR_OK) return LUR_OK;
  return lur_blame(LUR_EFORMAT, "'%s': tensor '%.200s'", archive->path, to->name);
}

static lur_status read_range(const lur_archive *archive, const char **at, entry *to) {
  uint64_t range[2];
  int n = 0;
  bool good = lur_json_kind(at) == '[';
  if (good)
    for (lur_json_enter(at); good && lur_json_more(at); n++)
      good = n < 2 && lur_json_whole(at, MAX_WHOLE, &range[n]);
  if (!good || n != 2)
    return lur_fail(LUR_EFORMAT, "'%s': tensor '%.200s' has no data_offsets of two whole numbers", archive->path,
                    to->name);
  to->begin = range[0];
  to->end = range[1];
  return LUR_OK;
}

static lur_status check_range(const lur_archive *archive, const entry *to) {
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

/* Members that the format does not name are skipped, as the reference implementation does. */
static lur_status read_entry(lur_archive *archive, const char **at, entry *to) {
  bool shape = false, range = false;
  if (lur_json_kind(at) != '{')
    return lur_fail(LUR_EFORMAT, "'%s': tensor '%.200s' has no dtype: an object was expected", archive->path, to->name);
  for (lur_json_enter(at); lur_json_more(at);) {
    const char *key = lur_json_string(at, &archive->free);
    if (strcmp(key, "dtype") == 0) LUR_TRY(read_type(archive, at, to));
    else if (strcmp(key, "shape") == 0) LUR_TRY((shape = true, read_shape(archive, at, to)));
    else if (strcmp(key, "data_offsets") == 0) LUR_TRY((range = true, read_range(archive, at, to)));
    else lur_json_skip(at);
  }
  const char *missing = !to->type ? "dtype" : !shape ? "shape" : !range ? "data_offsets" : NULL;
  if (missing) return lur_fail(LUR_EFORMAT, "'%s': tensor '%.200s' has no %s", archive->path, to->name, missing);
  return check_range(archive, to);
}

static int by_key(const void *a, const void *b) { return strcmp(((const pair *)a)->key, ((const pair *)b)->key); }

static lur_status read_metadata(lur_archive *archive, const char **at) {
  if (lur_json_kind(at) != '{')
    return lur_fail(LUR_EFORMAT, "'%s': one object '__metadata__' was expected in the header", archive->path);
  int n = count_members(*at);
  LUR_TRY(lur_alloc_items((size_t)n + 1, sizeof *archive->pairs, &archive->pairs));
  LUR_TRY(lur_alloc_items((size_t)n + 1, sizeof *archive->foreign, &archive->foreign));
  for (lur_json_enter(at); lur_json_more(at);) {
    pair *to = &archive->pairs[archive->npairs];
    to->key = lur_json_string(at, &archive->free);
    lur_order_add(&archive->order, to->key);
    if (lur_json_kind(at) != '"')
      return lur_fail(LUR_EFORMAT, "'%s': metadata '%.200s' is not a string", archive->path, to->key);
    to->value = lur_json_string(at, &archive->free);
    if (strncmp(to->key, "lurcher.", 8) != 0) archive->foreign[archive->nforeign++] = to->key;
    archive->npairs++;
  }
  qsort(archive->pairs, (size_t)archive->npairs, sizeof *archive->pairs, by_key);
  return LUR_OK;
}

static lur_status read_entries(lur_archive *archive) {
  const char *at = archive->head;
  int n = count_members(at);
  LUR_TRY(lur_alloc_items((size_t)n + 1, sizeof *archive->entries, &archive->entries));
  LUR_TRY(lur_alloc_items((size_t)n + 1, sizeof *archive->by_name, &archive->by_name));
  for (lur_json_enter(&at); lur_json_more(&at);) {
    const char *name = lur_json_string(&at, &archive->free);
    if (strcmp(name, "__metadata__") == 0) {
      LUR_TRY(read_metadata(archive, &at));
      continue;
    }
    entry *to = &archive->entries[archive->n];
    to->name = name;
    lur_order_add(&archive->order, name);
    LUR_TRY(read_entry(archive, &at, to));
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

/* Checks that the tensors cover the data without gap, overlap or rest. Sorts the table of names. */
static lur_status check_entries(lur_archive *archive) {
  const entry **sorted = archive->by_name;
  lur_status status = LUR_OK;
  uint64_t next = 0, data = archive->size - archive->data;
  for (int i = 0; i < archive->n; i++) sorted[i] = &archive->entries[i];
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
  qsort(sorted, (size_t)archive->n, sizeof *sorted, by_name);
  return status;
}

/* Metadata that is not UTF-8 (class folders may have any names) is written with %XX, and its keys are the lines of
   LUR_PERCENT_KEY. Decodes them in place; the list is cut into its lines. */
static lur_status decode_percent(lur_archive *archive) {
  const char *list = lur_archive_metadata(archive, LUR_PERCENT_KEY);
  for (char *key = list == NULL ? NULL : archive->text + (list - archive->text), *next; key != NULL; key = next) {
    next = strchr(key, '\n');
    if (next != NULL) *next++ = '\0';
    const char *value = lur_archive_metadata(archive, key);
    if (value == NULL || value == list || !lur_percent_decode(archive->text + (value - archive->text)))
      return lur_fail(LUR_EFORMAT, "'%s': metadata '%.200s' is not percent-encoded as its header states", archive->path,
                      key);
  }
  return LUR_OK;
}

/* ---- open and close ---- */

static lur_status open_archive(lur_context *context, const char *path, bool verify, lur_archive **archive) {
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
  if (status == LUR_OK && verify) status = verify_checksum(made);
  if (status == LUR_OK) status = check_entries(made);
  if (status == LUR_OK) status = decode_percent(made);
  if (status != LUR_OK) {
    lur_archive_close(made);
    return status;
  }
  free(made->head); /* everything is in made->text now */
  made->head = NULL;
  *archive = made;
  return LUR_OK;
}

lur_status lur_archive_open(lur_context *context, const char *path, lur_archive **archive) {
  return open_archive(context, path, true, archive);
}

lur_status lur_archive_open_structure(lur_context *context, const char *path, lur_archive **archive) {
  return open_archive(context, path, false, archive);
}

void lur_archive_close(lur_archive *archive) {
  if (archive == NULL) return;
  if (archive->fd >= 0) close(archive->fd);
  free(archive->head);
  free(archive->text);
  free(archive->entries);
  free(archive->by_name);
  free(archive->pairs);
  free(archive->foreign);
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

bool lur_archive_is_resaved(const lur_archive *archive) { return archive->resaved; }

int lur_archive_find(const lur_archive *archive, const char *name) {
  const entry wanted = {.name = name}, *key = &wanted;
  const entry **found = bsearch(&key, archive->by_name, (size_t)archive->n, sizeof *archive->by_name, by_name);
  return found == NULL ? -1 : (int)(*found - archive->entries);
}

const char *lur_archive_metadata(const lur_archive *archive, const char *key) {
  const pair wanted = {.key = key};
  if (archive->npairs == 0) return NULL;
  const pair *found = bsearch(&wanted, archive->pairs, (size_t)archive->npairs, sizeof *archive->pairs, by_key);
  return found == NULL ? NULL : found->value;
}

const char *lur_archive_metadata_key(const lur_archive *archive, int index) {
  return index >= 0 && index < archive->nforeign ? archive->foreign[index] : NULL;
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
