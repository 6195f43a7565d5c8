/* safetensors_write.c - writes named tensors as one .safetensors file (format: huggingface/safetensors README: u64
 * little-endian header length, JSON header, data without gaps), atomically and with a checksum. It knows no models.
 *
 * The checksum is XXH3-128 of the whole file, header included, with the checksum's own digits taken as '0'. It is the
 * first member of the header, so that its position is fixed. A second member, "lurcher.format", also marks a file that
 * must have a checksum, so that damage to the name of the first cannot disable the check. A third, "lurcher.order",
 * tells a file that another program has written again (safetensors_order.c). */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "engine/base/json.h"
#include "files.h"
#include "hash.h"

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "tensor data is written in the byte order of memory");

const lur_safetensors_type lur_safetensors_types[] = {
    {"F32", 4, LUR_F32, true},  {"F16", 2, LUR_F16, true}, {"BF16", 2, LUR_BF16, true}, {"I32", 4, LUR_I32, true},
    {"U8", 1, LUR_U8, true},    {"BOOL", 1, LUR_U8, true}, {"F64", 8, LUR_F32, false},  {"I64", 8, LUR_I32, false},
    {"I16", 2, LUR_I32, false}, {"I8", 1, LUR_I32, false}, {"U16", 2, LUR_I32, false},  {"U32", 4, LUR_I32, false},
    {"U64", 8, -1, false},      {"F8_E4M3", 1, -1, false}, {"F8_E5M2", 1, -1, false},   {"F8_E8M0", 1, -1, false},
    {"F8_E4M3FNUZ", 1, -1, false}, {"F8_E5M2FNUZ", 1, -1, false}, {"C64", 8, -1, false}, {NULL, 0, -1, false}};

static const char zeros[] = "00000000000000000000000000000000";

/* ---- the header ---- */

/* The keys as they are written. */
static void format_order(int n, const char *const *names, int npairs, const char *const *metadata,
                         char text[LUR_ORDER_TEXT]) {
  static const char *const own[] = {LUR_CHECKSUM_KEY, LUR_FORMAT_KEY, LUR_ORDER_KEY};
  lur_order order = {0};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) lur_order_add(&order, own[i]);
  for (int i = 0; i < npairs; i++) lur_order_add(&order, metadata[2 * i]);
  for (int i = 0; i < n; i++) lur_order_add(&order, names[i]);
  lur_order_format(&order, text);
}

static bool add_metadata(cJSON *header, const char *order, int npairs, const char *const *metadata) {
  cJSON *object = cJSON_AddObjectToObject(header, "__metadata__");
  char digits[64];
  snprintf(digits, sizeof digits, "xxh3-128:%s", zeros);
  bool good = cJSON_AddStringToObject(object, LUR_CHECKSUM_KEY, digits) != NULL &&
              cJSON_AddStringToObject(object, LUR_FORMAT_KEY, "1") != NULL &&
              cJSON_AddStringToObject(object, LUR_ORDER_KEY, order) != NULL;
  for (int i = 0; good && i < npairs; i++)
    good = cJSON_AddStringToObject(object, metadata[2 * i], metadata[2 * i + 1]) != NULL;
  return good;
}

static bool add_tensor(cJSON *header, const char *name, const lur_tensor *tensor, uint64_t offset) {
  const lur_shape *shape = lur_tensor_shape(tensor);
  cJSON *entry = cJSON_AddObjectToObject(header, name);
  bool good = entry != NULL &&
              cJSON_AddStringToObject(entry, "dtype", lur_safetensors_types[lur_tensor_dtype(tensor)].name) != NULL;
  cJSON *dims = good ? cJSON_AddArrayToObject(entry, "shape") : NULL;
  good = good && dims != NULL;
  for (int i = 0; good && i < shape->ndim; i++)
    good = cJSON_AddItemToArray(dims, cJSON_CreateNumber((double)shape->dim[i]));
  cJSON *range = good ? cJSON_AddArrayToObject(entry, "data_offsets") : NULL;
  return good && range != NULL && cJSON_AddItemToArray(range, cJSON_CreateNumber((double)offset)) &&
         cJSON_AddItemToArray(range, cJSON_CreateNumber((double)(offset + lur_tensor_bytes(tensor))));
}

/* The offset of each tensor's data: wide elements first, so that every tensor is aligned to its elements. */
static void lay_out(int n, lur_tensor *const *tensors, uint64_t *offsets) {
  uint64_t next = 0;
  for (size_t size = 4; size > 0; size /= 2)
    for (int i = 0; i < n; i++)
      if (lur_dtype_size(lur_tensor_dtype(tensors[i])) == size) {
        offsets[i] = next;
        next += lur_tensor_bytes(tensors[i]);
      }
}

/* The header's length and JSON, padded with spaces so that the data begins at a multiple of 8. */
static lur_status make_header(int n, const char *const *names, lur_tensor *const *tensors, const uint64_t *offsets,
                              int npairs, const char *const *metadata, char **bytes, size_t *count) {
  lur_status status = LUR_ENOMEM;
  char *text = NULL, *head = NULL;
  char order[LUR_ORDER_TEXT];
  format_order(n, names, npairs, metadata, order);
  cJSON *header = cJSON_CreateObject();
  bool good = header != NULL && add_metadata(header, order, npairs, metadata);
  for (int i = 0; good && i < n; i++) good = add_tensor(header, names[i], tensors[i], offsets[i]);
  if (good) text = lur_json_print(header);
  if (text == NULL) goto fail;
  size_t length = strlen(text), padded = (length + 7) / 8 * 8;
  status = LUR_EARG;
  if (padded > LUR_SAFETENSORS_MAX_HEADER) {
    lur_fail(status, "%d tensors and their metadata need a header of %zu bytes, the format allows 100000000", n,
             padded);
    goto fail;
  }
  status = LUR_ENOMEM;
  head = malloc(8 + padded);
  if (head == NULL) goto fail;
  uint64_t little = htole64(padded);
  memcpy(head, &little, 8);
  memcpy(head + 8, text, length);
  memset(head + 8 + length, ' ', padded - length);
  *bytes = head;
  *count = 8 + padded;
  status = LUR_OK;
fail:
  if (status == LUR_ENOMEM) lur_fail(status, "no memory for the header of %d tensors", n);
  cJSON_free(text);
  cJSON_Delete(header);
  return status;
}

/* ---- the data ---- */

typedef lur_status (*consumer)(void *state, const void *bytes, size_t count);

static lur_status hash(void *state, const void *bytes, size_t count) {
  XXH3_128bits_update(state, bytes, count);
  return LUR_OK;
}

static lur_status put(void *state, const void *bytes, size_t count) { return lur_writer_put(state, bytes, count); }

/* Passes the bytes of every tensor to a consumer, in the order of their offsets. */
static lur_status each_data(int n, lur_tensor *const *tensors, consumer consume, void *state) {
  for (size_t size = 4; size > 0; size /= 2)
    for (int i = 0; i < n; i++)
      if (lur_dtype_size(lur_tensor_dtype(tensors[i])) == size && lur_tensor_bytes(tensors[i]) > 0)
        LUR_TRY(consume(state, lur_tensor_data(tensors[i]), lur_tensor_bytes(tensors[i])));
  return LUR_OK;
}

/* Writes the checksum's digits into the header. */
static lur_status put_checksum(char *head, size_t head_bytes, int n, lur_tensor *const *tensors) {
  XXH3_state_t *state = XXH3_createState();
  if (state == NULL) return lur_fail(LUR_ENOMEM, "no memory for a checksum");
  XXH3_128bits_reset(state);
  XXH3_128bits_update(state, head, head_bytes);
  (void)each_data(n, tensors, hash, state);
  char digits[LUR_HASH_TEXT];
  lur_hash_format(XXH3_128bits_digest(state), digits);
  XXH3_freeState(state);
  memcpy(head + 8 + sizeof LUR_CHECKSUM_HEAD - 1, digits, LUR_CHECKSUM_DIGITS);
  return LUR_OK;
}

/* ---- the whole file ---- */

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Checks that names (each `step`-th of the list) are unique, are UTF-8, and none is `reserved`. */
static lur_status check_names(const char *path, const char *what, int n, int step, const char *const *names,
                              const char *reserved) {
  const char **sorted = NULL;
  LUR_TRY(lur_alloc_items((size_t)n + 1, sizeof *sorted, &sorted));
  lur_status status = LUR_OK;
  for (int i = 0; i < n; i++) sorted[i] = names[(size_t)i * (size_t)step];
  qsort(sorted, (size_t)n, sizeof *sorted, by_text);
  for (int i = 0; i < n && status == LUR_OK; i++) {
    if (i > 0 && strcmp(sorted[i], sorted[i - 1]) == 0)
      status = lur_fail(LUR_EARG, "cannot write '%s': two %s are named '%s'", path, what, sorted[i]);
    else if (reserved != NULL && strcmp(sorted[i], reserved) == 0)
      status = lur_fail(LUR_EARG, "cannot write '%s': the name '%s' is reserved by the format", path, reserved);
    else if (!lur_text_is_utf8(sorted[i], strlen(sorted[i])))
      status = lur_fail(LUR_EARG, "cannot write '%s': a name among the %s is not UTF-8, as the format requires: '%s'",
                        path, what, sorted[i]);
  }
  free(sorted);
  return status;
}

/* Metadata with the values that are not UTF-8 percent-encoded, and the list of their keys. */
typedef struct encoded {
  int npairs;
  const char **pairs; /* one pair more than given */
  char **values;      /* those that were encoded; owned */
  char *list;
} encoded;

static void encoded_free(encoded *e, int given) {
  for (int i = 0; e->values != NULL && i < given; i++) free(e->values[i]);
  free(e->values);
  free(e->list);
  free(e->pairs);
}

static lur_status encode_metadata(const char *path, int npairs, const char *const *metadata, encoded *e) {
  lur_lines list = {0};
  lur_status status = lur_alloc_items((size_t)npairs + 1, sizeof *e->values, &e->values);
  if (status == LUR_OK) status = lur_alloc_items(2 * ((size_t)npairs + 1), sizeof *e->pairs, &e->pairs);
  for (int i = 0; i < npairs && status == LUR_OK; i++) {
    const char *key = metadata[2 * i], *value = metadata[2 * i + 1];
    e->pairs[2 * i] = key;
    e->pairs[2 * i + 1] = value;
    if (lur_text_is_utf8(value, strlen(value))) continue;
    if (strchr(key, '\n') != NULL)
      status = lur_fail(LUR_EARG, "cannot write '%s': metadata '%s' is not UTF-8, and its key has several lines", path,
                        key);
    else status = lur_percent_encode(value, &e->values[i]);
    e->pairs[2 * i + 1] = e->values[i];
    lur_lines_add(&list, "%s%s", list.length > 0 ? "\n" : "", key);
  }
  e->npairs = npairs;
  bool any = list.bytes != NULL || list.failed;
  if (status == LUR_OK && any) status = lur_lines_take(&list, &e->list);
  if (status == LUR_OK && any) {
    e->pairs[2 * npairs] = LUR_PERCENT_KEY;
    e->pairs[2 * npairs + 1] = e->list;
    e->npairs++;
  }
  free(list.bytes);
  return status;
}

/* Copies tensors in device memory to the host; retains those already in host memory. */
static lur_status to_host(int n, lur_tensor *const *tensors, lur_tensor **host) {
  for (int i = 0; i < n; i++) {
    if (lur_tensor_data(tensors[i]) != NULL || lur_tensor_bytes(tensors[i]) == 0) {
      lur_tensor_retain(tensors[i]);
      host[i] = tensors[i];
      continue;
    }
    lur_device *cpu = NULL;
    LUR_TRY(lur_context_device(lur_tensor_context(tensors[i]), "cpu", &cpu));
    LUR_TRY(lur_tensor_to(tensors[i], cpu, &host[i]));
  }
  return LUR_OK;
}

typedef struct output { /* what is written, and who reads it back */
  const char *head;
  size_t head_bytes;
  int n;
  lur_tensor **host;
  lur_safetensors_verify verify; /* NULL: nobody */
  void *user;
} output;

static lur_status write_all(const char *path, const output *o) {
  lur_writer writer;
  LUR_TRY(lur_writer_open(&writer, path));
  lur_status status = lur_writer_put(&writer, o->head, o->head_bytes);
  if (status == LUR_OK) status = each_data(o->n, o->host, put, &writer);
  if (status == LUR_OK && o->verify != NULL && (status = o->verify(o->user, writer.temporary)) != LUR_OK)
    lur_blame(status, "cannot write '%s': reading it back failed (the existing file is unchanged)", path);
  if (status == LUR_OK) return lur_writer_commit(&writer);
  lur_writer_release(&writer);
  return status;
}

lur_status lur_safetensors_write(const char *path, int n, const char *const *names, lur_tensor *const *tensors,
                                 int npairs, const char *const *metadata, lur_safetensors_verify verify, void *user) {
  lur_status status;
  uint64_t *offsets = NULL;
  char *head = NULL;
  output o = {.n = n, .verify = verify, .user = user};
  encoded e = {0};
  LUR_TRY(check_names(path, "tensors", n, 1, names, "__metadata__"));
  LUR_TRY(check_names(path, "keys", npairs, 2, metadata, LUR_PERCENT_KEY));
  if ((status = lur_alloc_items((size_t)n + 1, sizeof *o.host, &o.host)) != LUR_OK) goto fail;
  if ((status = lur_alloc_items((size_t)n + 1, sizeof *offsets, &offsets)) != LUR_OK) goto fail;
  if ((status = to_host(n, tensors, o.host)) != LUR_OK) goto fail;
  if ((status = encode_metadata(path, npairs, metadata, &e)) != LUR_OK) goto fail;
  lay_out(n, o.host, offsets);
  if ((status = make_header(n, names, o.host, offsets, e.npairs, e.pairs, &head, &o.head_bytes)) != LUR_OK) goto fail;
  if ((status = put_checksum(head, o.head_bytes, n, o.host)) != LUR_OK) goto fail;
  o.head = head;
  status = write_all(path, &o);
fail:
  for (int i = 0; o.host != NULL && i < n; i++) lur_tensor_release(o.host[i]);
  free(o.host);
  free(offsets);
  free(head);
  encoded_free(&e, npairs);
  return status;
}

lur_status lur_tensors_save(const char *path, int n, const char *const *names, lur_tensor *const *tensors, int npairs,
                            const char *const *metadata) {
  for (int i = 0; i < npairs; i++)
    if (strncmp(metadata[2 * i], "lurcher.", 8) == 0)
      return lur_fail(
          LUR_EARG, "cannot write '%s': metadata keys that begin with 'lurcher.' are reserved for the engine, got '%s'",
          path, metadata[2 * i]);
  return lur_safetensors_write(path, n, names, tensors, npairs, metadata, NULL, NULL);
}
