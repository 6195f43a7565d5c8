/* hdf5_attribute.c - attributes [IV.A.2.m], whether in a group's header or, where they are many or large, in a fractal
 * heap [IV.A.2.v], and the texts in them. An attribute's type and extent are looked at only when it is read. */
#include "hdf5_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_INDEX = 8, SHARED_PARTS = 3, MAX_STRINGS = 1 << 20, MAX_PIECES = 10000 };

typedef struct parts { /* of an attribute message */
  const unsigned char *name, *type, *space, *data;
  uint64_t name_size, type_size, space_size, data_size;
  bool shared; /* the type or the dataspace are elsewhere */
} parts;

/* Version 1 pads every part to 8 bytes; version 3 has the name's character set. */
static lur_status split_message(const lur_hdf5 *file, const unsigned char *bytes, uint64_t count, parts *found) {
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, bytes, count);
  int version = (int)lur_hdf5_number(&cursor, 1), flags = (int)lur_hdf5_number(&cursor, 1);
  uint64_t pad = version == 1 ? 7 : 0;
  if (version < 1 || version > 3)
    return lur_hdf5_damaged(file, "an attribute has version %d; 1 to 3 were expected", version);
  found->shared = version > 1 && (flags & SHARED_PARTS) != 0;
  found->name_size = lur_hdf5_number(&cursor, 2);
  found->type_size = lur_hdf5_number(&cursor, 2);
  found->space_size = lur_hdf5_number(&cursor, 2);
  if (version == 3) lur_hdf5_skip(&cursor, 1);
  found->name = lur_hdf5_skip(&cursor, (found->name_size + pad) & ~pad);
  found->type = lur_hdf5_skip(&cursor, (found->type_size + pad) & ~pad);
  found->space = lur_hdf5_skip(&cursor, (found->space_size + pad) & ~pad);
  found->data = cursor.at;
  found->data_size = lur_hdf5_left(&cursor);
  if (cursor.ended || found->name_size == 0 || memchr(found->name, '\0', (size_t)found->name_size) == NULL)
    return lur_hdf5_damaged(file, "an attribute is cut short or has no name");
  return LUR_OK;
}

/* ---- the list ---- */

static lur_status add_attribute(lur_hdf5_group *group, const unsigned char *bytes, uint64_t count) {
  parts found = {0};
  LUR_TRY(split_message(group->file, bytes, count, &found));
  LUR_TRY(lur_hdf5_make_room(group->file, &group->attributes, group->nattributes, sizeof *group->attributes));
  group->attributes[group->nattributes++] =
      (lur_hdf5_attribute){.name = (const char *)found.name, .bytes = bytes, .count = count};
  return LUR_OK;
}

static lur_status add_dense(void *state, const unsigned char *record, int size) {
  lur_hdf5_group *group = state;
  const unsigned char *bytes = NULL;
  uint64_t count = 0;
  (void)size;
  if (record[group->heap.id_size] & 2) return lur_hdf5_refuse(group->file, "attributes that objects share");
  LUR_TRY(lur_hdf5_fractal_find(group->file, &group->heap, record, &bytes, &count));
  return add_attribute(group, bytes, count);
}

static lur_status load_dense(lur_hdf5_group *group, const lur_hdf5_message *info) {
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(group->file, info->bytes, info->count);
  int version = (int)lur_hdf5_number(&cursor, 1), flags = (int)lur_hdf5_number(&cursor, 1);
  if (flags & 1) lur_hdf5_skip(&cursor, 2);
  uint64_t heap = lur_hdf5_address(&cursor), names = lur_hdf5_address(&cursor);
  if (version != 0 || cursor.ended)
    return lur_hdf5_damaged(group->file, "its attribute info is cut short or has version %d", version);
  if (heap == LUR_HDF5_NOWHERE) return LUR_OK;
  LUR_TRY(lur_hdf5_fractal_read(group->file, heap, &group->heap));
  return lur_hdf5_btree2_each(group->file, names, NAME_INDEX, group->heap.id_size + 9, add_dense, group);
}

lur_status lur_hdf5_load_attributes(lur_hdf5_group *group) {
  for (int i = 0; i < group->header.nmessages; i++) {
    const lur_hdf5_message *message = &group->header.messages[i];
    if (message->type != LUR_HDF5_ATTRIBUTE) continue;
    if (message->shared) return lur_hdf5_refuse(group->file, "attributes that objects share");
    LUR_TRY(add_attribute(group, message->bytes, message->count));
  }
  const lur_hdf5_message *info = lur_hdf5_find(&group->header, LUR_HDF5_ATTRIBUTE_INFO);
  return info == NULL ? LUR_OK : load_dense(group, info);
}

static const lur_hdf5_attribute *find_attribute(const lur_hdf5_group *group, const char *name) {
  for (int i = 0; i < group->nattributes; i++)
    if (strcmp(group->attributes[i].name, name) == 0) return &group->attributes[i];
  return NULL;
}

bool lur_hdf5_has_attribute(const lur_hdf5_group *group, const char *name) {
  return find_attribute(group, name) != NULL;
}

/* ---- texts ---- */

void lur_strings_free(lur_strings *strings) {
  for (int i = 0; i < strings->n; i++) free(strings->items[i]);
  free(strings->items);
  *strings = (lur_strings){0};
}

/* A text ends at its first NUL, as in libhdf5. */
static lur_status add_text(const lur_hdf5 *file, lur_strings *strings, const unsigned char *text, uint64_t size) {
  size_t length = strnlen((const char *)text, (size_t)size);
  LUR_TRY(lur_hdf5_make_room(file, &strings->items, strings->n, sizeof *strings->items));
  char *copy = malloc(length + 1);
  if (copy == NULL) return lur_fail(LUR_ENOMEM, "no memory for a text of '%s'", file->path);
  memcpy(copy, text, length);
  copy[length] = '\0';
  strings->items[strings->n++] = copy;
  return LUR_OK;
}

static lur_status read_fixed(const lur_hdf5 *file, const lur_hdf5_type *type, uint64_t n, const unsigned char *data,
                             lur_strings *strings) {
  for (uint64_t i = 0; i < n; i++) {
    const unsigned char *text = data + i * type->size;
    uint64_t length = strnlen((const char *)text, type->size);
    while (type->space_padded && length > 0 && text[length - 1] == ' ') length--;
    LUR_TRY(add_text(file, strings, text, length));
  }
  return LUR_OK;
}

/* A text of variable length is its length, and a place in a global heap: collection and index. */
static lur_status read_variable(lur_hdf5 *file, uint64_t n, const unsigned char *data, uint64_t data_size,
                                lur_strings *strings) {
  lur_hdf5_global heap = {0};
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, data, data_size);
  uint64_t total = 0;
  lur_status status = LUR_OK;
  for (uint64_t i = 0; i < n && status == LUR_OK; i++) {
    const unsigned char *text = (const unsigned char *)"";
    uint64_t size = 0, length = lur_hdf5_number(&cursor, 4), address = lur_hdf5_address(&cursor);
    uint32_t index = (uint32_t)lur_hdf5_number(&cursor, 4);
    if (length > 0 && address != 0 && address != LUR_HDF5_NOWHERE)
      status = lur_hdf5_global_find(file, &heap, address, index, &text, &size);
    if (status == LUR_OK && size < length && size > 0)
      status = lur_hdf5_damaged(file, "a text of %" PRIu64 " bytes has only %" PRIu64, length, size);
    if (size > length) size = length;
    total += size;
    if (status == LUR_OK && total > file->size)
      status = lur_hdf5_damaged(file, "its texts have more bytes than the file");
    if (status == LUR_OK) status = add_text(file, strings, text, size);
  }
  lur_hdf5_global_free(&heap);
  return status;
}

static lur_status read_texts(lur_hdf5 *file, const parts *from, const char *name, const char *owner,
                             lur_strings *strings) {
  lur_hdf5_type type;
  lur_hdf5_space space;
  LUR_TRY(lur_hdf5_space_parse(file, from->space, from->space_size, &space));
  LUR_TRY(lur_hdf5_type_parse(file, from->type, from->type_size, &type));
  uint64_t n = lur_hdf5_space_count(&space);
  if (n == 0) return LUR_OK;
  if (type.kind != LUR_HDF5_TEXT && type.kind != LUR_HDF5_VARIABLE_TEXT)
    return lur_hdf5_fail(file, "attribute '%.60s' of '%.120s' has no texts", name, owner);
  if (n > MAX_STRINGS || (uint64_t)strings->n + n > MAX_STRINGS)
    return lur_hdf5_fail(file, "attribute '%.60s' has %" PRIu64 " texts; at most %d were expected", name, n,
                         MAX_STRINGS);
  if (from->data_size < n * type.size)
    return lur_hdf5_damaged(file, "%" PRIu64 " texts of %" PRIu32 " bytes do not fit into %" PRIu64 " bytes", n,
                            type.size, from->data_size);
  return type.kind == LUR_HDF5_TEXT ? read_fixed(file, &type, n, from->data, strings)
                                    : read_variable(file, n, from->data, from->data_size, strings);
}

static lur_status read_attribute(const lur_hdf5_group *group, const char *name, lur_strings *strings) {
  const lur_hdf5_attribute *attribute = find_attribute(group, name);
  char full[LUR_HDF5_PATH];
  parts found = {0};
  lur_hdf5_join(group, name, full);
  lur_hdf5_subject(group->file, "attribute", full);
  LUR_TRY(split_message(group->file, attribute->bytes, attribute->count, &found));
  if (found.shared) return lur_hdf5_refuse(group->file, "a named datatype");
  return read_texts(group->file, &found, name, group->path, strings);
}

lur_status lur_hdf5_strings(const lur_hdf5_group *group, const char *name, lur_strings *strings) {
  lur_strings made = {0};
  lur_status status = LUR_OK;
  char piece[96];
  snprintf(piece, sizeof piece, "%.80s0", name);
  if (lur_hdf5_has_attribute(group, name)) {
    status = read_attribute(group, name, &made);
  } else if (!lur_hdf5_has_attribute(group, piece)) {
    status = lur_hdf5_fail(group->file, "'%.120s' has no attribute '%s'", group->path, name);
  } else {
    for (int i = 0; i < MAX_PIECES && status == LUR_OK && lur_hdf5_has_attribute(group, piece); i++) {
      status = read_attribute(group, piece, &made);
      snprintf(piece, sizeof piece, "%.80s%d", name, i + 1);
    }
  }
  if (status == LUR_OK) *strings = made;
  else lur_strings_free(&made);
  return status;
}
