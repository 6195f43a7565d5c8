/* hdf5_group.c - groups: the links of both kinds, read into a sorted list when a group is opened, and the paths that
 * lead through them. Old groups keep links in a version 1 B-tree of symbol tables with names in a local heap [III.A.1,
 * III.B, III.D]; new ones in messages of their header or, where there are many, of a fractal heap [IV.A.2.c, IV.A.2.g].
 */
#include "hdf5_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TREE_LEVEL = 16, MAX_SOFT_LINKS = 8, NAME_INDEX = 5 };

/* ---- the list ---- */

static char *copy_text(const unsigned char *bytes, uint64_t count) {
  char *copy = malloc((size_t)count + 1);
  if (copy == NULL) return NULL;
  memcpy(copy, bytes, (size_t)count);
  copy[count] = '\0';
  return copy;
}

/* A name is text without NUL and slash; all names of a group are different, so they cannot outgrow the file. */
static lur_status add_link(lur_hdf5_group *group, const unsigned char *name, uint64_t length,
                           const lur_hdf5_link *link) {
  lur_hdf5 *file = group->file;
  if (length == 0 || memchr(name, '\0', (size_t)length) != NULL || memchr(name, '/', (size_t)length) != NULL)
    return lur_hdf5_damaged(file, "a link has no valid name");
  if (length + 1 > file->size - group->name_bytes)
    return lur_hdf5_damaged(file, "its links have more bytes than the file");
  group->name_bytes += length + 1;
  LUR_TRY(lur_hdf5_make_room(file, &group->links, group->nlinks, sizeof *group->links));
  char *copy = copy_text(name, length);
  if (copy == NULL) return lur_fail(LUR_ENOMEM, "no memory for the links of '%s'", file->path);
  lur_hdf5_link *to = &group->links[group->nlinks++];
  *to = *link;
  to->name = copy;
  return LUR_OK;
}

/* A soft link to the path in `target`. */
static lur_status add_soft(lur_hdf5_group *group, const unsigned char *name, uint64_t length,
                           const unsigned char *target, uint64_t count) {
  LUR_TRY(add_link(group, name, length, &(lur_hdf5_link){.kind = LUR_HDF5_SOFT}));
  if (count > group->file->size - group->name_bytes)
    return lur_hdf5_damaged(group->file, "its links have more bytes than the file");
  group->name_bytes += count;
  char *copy = copy_text(target, count);
  group->links[group->nlinks - 1].target = copy;
  return copy != NULL ? LUR_OK : lur_fail(LUR_ENOMEM, "no memory for the links of '%s'", group->file->path);
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const lur_hdf5_link *)a)->name, ((const lur_hdf5_link *)b)->name);
}

static lur_status sort_links(lur_hdf5_group *group) {
  if (group->nlinks > 1) qsort(group->links, (size_t)group->nlinks, sizeof *group->links, by_name);
  for (int i = 1; i < group->nlinks; i++)
    if (strcmp(group->links[i - 1].name, group->links[i].name) == 0)
      return lur_hdf5_damaged(group->file, "two of its links are named '%.60s'", group->links[i].name);
  return LUR_OK;
}

static const lur_hdf5_link *find_link(const lur_hdf5_group *group, const char *name) {
  lur_hdf5_link key = {.name = (char *)(uintptr_t)name};
  return group->nlinks == 0 ? NULL : bsearch(&key, group->links, (size_t)group->nlinks, sizeof key, by_name);
}

/* ---- old groups ---- */

typedef struct old_group {
  lur_hdf5_group *group;
  unsigned char *names; /* the local heap's data */
  uint64_t size;
} old_group;

/* Text of the local heap, up to its NUL. */
static lur_status heap_text(const old_group *old, uint64_t offset, const unsigned char **text, uint64_t *length) {
  const unsigned char *end =
      offset < old->size ? memchr(old->names + offset, '\0', (size_t)(old->size - offset)) : NULL;
  if (end == NULL)
    return lur_hdf5_damaged(old->group->file, "a name was expected at %" PRIu64 " of its local heap", offset);
  *text = old->names + offset;
  *length = (uint64_t)(end - *text);
  return LUR_OK;
}

static lur_status add_symbol(const old_group *old, lur_hdf5_cursor *cursor) {
  const unsigned char *name = NULL, *target = NULL;
  uint64_t length = 0, count = 0;
  lur_hdf5_link link = {.kind = LUR_HDF5_HARD};
  uint64_t name_at = lur_hdf5_number(cursor, cursor->file->offset_size);
  link.address = lur_hdf5_address(cursor);
  uint64_t cached = lur_hdf5_number(cursor, 4);
  lur_hdf5_skip(cursor, 4);
  uint64_t target_at = lur_hdf5_number(cursor, 4);
  lur_hdf5_skip(cursor, 12);
  if (cursor->ended) return lur_hdf5_damaged(old->group->file, "a symbol table is cut short");
  LUR_TRY(heap_text(old, name_at, &name, &length));
  if (cached != 2) return add_link(old->group, name, length, &link);
  LUR_TRY(heap_text(old, target_at, &target, &count));
  return add_soft(old->group, name, length, target, count);
}

static lur_status add_symbols(const old_group *old, uint64_t address) {
  lur_hdf5 *file = old->group->file;
  unsigned char head[8], *bytes = NULL;
  LUR_TRY(lur_hdf5_read(file, address, head, sizeof head));
  uint64_t n = (uint64_t)head[6] | (uint64_t)head[7] << 8, size = 8 + n * (2 * (uint64_t)file->offset_size + 24);
  LUR_TRY(lur_hdf5_take_signed(file, address, size, "SNOD", false, &bytes));
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, bytes + 8, size - 8);
  lur_status status = LUR_OK;
  for (uint64_t i = 0; i < n && status == LUR_OK; i++) status = add_symbol(old, &cursor);
  free(bytes);
  return status;
}

/* level < 0: any level up to MAX_TREE_LEVEL, for the root. */
static lur_status walk_tree(const old_group *old, uint64_t address, int level) {
  lur_hdf5 *file = old->group->file;
  unsigned char head[8], *bytes = NULL;
  LUR_TRY(lur_hdf5_read(file, address, head, sizeof head));
  uint64_t n = (uint64_t)head[6] | (uint64_t)head[7] << 8, key = (uint64_t)file->length_size,
           pointer = (uint64_t)file->offset_size;
  uint64_t size = 8 + 2 * pointer + n * (key + pointer) + key;
  LUR_TRY(lur_hdf5_take_signed(file, address, size, "TREE", false, &bytes));
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, bytes + 8, size - 8);
  lur_hdf5_skip(&cursor, 2 * pointer);
  lur_status status = LUR_OK;
  if (head[4] != 0 || head[5] > MAX_TREE_LEVEL || (level >= 0 && head[5] != level))
    status = lur_hdf5_damaged(file, "a node of its B-tree has type %d and level %d", head[4], head[5]);
  for (uint64_t i = 0; i < n && status == LUR_OK; i++) {
    lur_hdf5_skip(&cursor, key);
    uint64_t child = lur_hdf5_address(&cursor);
    status = head[5] == 0 ? add_symbols(old, child) : walk_tree(old, child, head[5] - 1);
  }
  free(bytes);
  return status;
}

static lur_status read_local_heap(lur_hdf5 *file, uint64_t address, old_group *old) {
  unsigned char *head = NULL;
  uint64_t size = 8 + 2 * (uint64_t)file->length_size + (uint64_t)file->offset_size;
  LUR_TRY(lur_hdf5_take_signed(file, address, size, "HEAP", false, &head));
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, head, size);
  lur_hdf5_skip(&cursor, 8);
  old->size = lur_hdf5_length(&cursor);
  lur_hdf5_length(&cursor); /* the free list */
  uint64_t data = lur_hdf5_address(&cursor);
  free(head);
  return lur_hdf5_take(file, data, old->size, &old->names);
}

static lur_status load_old(lur_hdf5_group *group, const lur_hdf5_message *table) {
  old_group old = {.group = group};
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(group->file, table->bytes, table->count);
  uint64_t tree = lur_hdf5_address(&cursor), heap = lur_hdf5_address(&cursor);
  if (cursor.ended) return lur_hdf5_damaged(group->file, "its symbol table message is cut short");
  LUR_TRY(read_local_heap(group->file, heap, &old));
  lur_status status = walk_tree(&old, tree, -1);
  free(old.names);
  return status;
}

/* ---- new groups ---- */

static lur_status add_target(lur_hdf5_group *group, lur_hdf5_cursor *cursor, int kind, const unsigned char *name,
                             uint64_t length) {
  lur_hdf5_link link = {.kind = kind == 0 ? LUR_HDF5_HARD : kind == 64 ? LUR_HDF5_EXTERNAL_LINK : LUR_HDF5_USER_LINK};
  if (kind == 0) link.address = lur_hdf5_address(cursor);
  uint64_t count = kind == 0 ? 0 : lur_hdf5_number(cursor, 2);
  const unsigned char *target = lur_hdf5_skip(cursor, count);
  if (cursor->ended) return lur_hdf5_damaged(group->file, "a link is cut short");
  return kind == 1 ? add_soft(group, name, length, target, count) : add_link(group, name, length, &link);
}

/* A link message: flags say which fields there are and how long the name's length is. */
static lur_status add_link_message(lur_hdf5_group *group, const unsigned char *bytes, uint64_t count) {
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(group->file, bytes, count);
  int version = (int)lur_hdf5_number(&cursor, 1), flags = (int)lur_hdf5_number(&cursor, 1);
  int kind = flags & 8 ? (int)lur_hdf5_number(&cursor, 1) : 0;
  lur_hdf5_skip(&cursor, (flags & 4 ? 8u : 0u) + (flags & 16 ? 1u : 0u));
  uint64_t length = lur_hdf5_number(&cursor, 1 << (flags & 3));
  const unsigned char *name = lur_hdf5_skip(&cursor, length);
  if (version != 1 || cursor.ended)
    return lur_hdf5_damaged(group->file, "a link is cut short or has version %d", version);
  return add_target(group, &cursor, kind, name, length);
}

typedef struct dense_links {
  lur_hdf5_group *group;
  lur_hdf5_fractal *heap;
} dense_links;

static lur_status add_dense_link(void *state, const unsigned char *record, int size) {
  const dense_links *dense = state;
  const unsigned char *bytes = NULL;
  uint64_t count = 0;
  (void)size;
  LUR_TRY(
      lur_hdf5_fractal_find(dense->group->file, dense->heap, record + 4, &bytes, &count)); /* behind the name's hash */
  return add_link_message(dense->group, bytes, count);
}

static lur_status load_dense(lur_hdf5_group *group, uint64_t heap_at, uint64_t names_at) {
  lur_hdf5_fractal heap = {0};
  LUR_TRY(lur_hdf5_fractal_read(group->file, heap_at, &heap));
  dense_links dense = {.group = group, .heap = &heap};
  lur_status status = lur_hdf5_btree2_each(group->file, names_at, NAME_INDEX, 4 + heap.id_size, add_dense_link, &dense);
  lur_hdf5_fractal_free(&heap);
  return status;
}

static lur_status load_new(lur_hdf5_group *group, const lur_hdf5_message *info) {
  for (int i = 0; i < group->header.nmessages; i++) {
    const lur_hdf5_message *message = &group->header.messages[i];
    if (message->type == LUR_HDF5_LINK) LUR_TRY(add_link_message(group, message->bytes, message->count));
  }
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(group->file, info->bytes, info->count);
  int version = (int)lur_hdf5_number(&cursor, 1), flags = (int)lur_hdf5_number(&cursor, 1);
  if (flags & 1) lur_hdf5_skip(&cursor, 8);
  uint64_t heap = lur_hdf5_address(&cursor), names = lur_hdf5_address(&cursor);
  if (version != 0 || cursor.ended)
    return lur_hdf5_damaged(group->file, "its link info is cut short or has version %d", version);
  return heap == LUR_HDF5_NOWHERE ? LUR_OK : load_dense(group, heap, names);
}

/* ---- open and close ---- */

void lur_hdf5_group_close(lur_hdf5_group *group) {
  if (group == NULL || --group->refs > 0) return;
  for (int i = 0; i < group->nlinks; i++) {
    free(group->links[i].name);
    free(group->links[i].target);
  }
  free(group->links);
  free(group->attributes);
  free(group->path);
  lur_hdf5_fractal_free(&group->heap);
  lur_hdf5_header_free(&group->header);
  free(group);
}

static lur_status load_group(lur_hdf5_group *group, uint64_t address) {
  LUR_TRY(lur_hdf5_header_read(group->file, address, &group->header));
  const lur_hdf5_message *table = lur_hdf5_find(&group->header, LUR_HDF5_SYMBOL_TABLE);
  const lur_hdf5_message *info = lur_hdf5_find(&group->header, LUR_HDF5_LINK_INFO);
  if (table == NULL && info == NULL) return lur_hdf5_fail(group->file, "'%.100s' is not a group", group->path);
  LUR_TRY(info != NULL ? load_new(group, info) : load_old(group, table));
  LUR_TRY(sort_links(group));
  return lur_hdf5_load_attributes(group);
}

/* Puts a group before the others, where the file holds a reference to it. */
static void keep_recent(lur_hdf5 *file, lur_hdf5_group *group) {
  lur_hdf5_group *carried = group;
  group->refs++;
  for (int i = 0; i < LUR_HDF5_RECENT; i++) {
    lur_hdf5_group *here = file->recent[i];
    file->recent[i] = carried;
    carried = here;
    if (here == group || here == NULL) break;
  }
  lur_hdf5_group_close(carried);
}

static lur_hdf5_group *find_recent(lur_hdf5 *file, uint64_t address) {
  for (int i = 0; i < LUR_HDF5_RECENT && file->recent[i] != NULL; i++)
    if (file->recent[i]->address == address) return file->recent[i];
  return NULL;
}

/* The group of an object header, opened or open already; one reference for the caller. */
static lur_status open_at(lur_hdf5 *file, uint64_t address, const char *path, lur_hdf5_group **group) {
  lur_hdf5_group *made = find_recent(file, address);
  lur_hdf5_subject(file, "group", path);
  if (made != NULL) {
    made->refs++;
    keep_recent(file, made);
    *group = made;
    return LUR_OK;
  }
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  made->refs = 1;
  made->file = file;
  made->address = address;
  lur_status status = lur_text_copy(path, &made->path);
  if (status == LUR_OK) status = load_group(made, address);
  if (status != LUR_OK) {
    lur_hdf5_group_close(made);
    return status;
  }
  keep_recent(file, made);
  *group = made;
  return LUR_OK;
}

lur_status lur_hdf5_group_open(lur_hdf5 *file, const lur_hdf5_group *from, const char *path, lur_hdf5_group **group) {
  char full[LUR_HDF5_PATH];
  uint64_t address = 0;
  LUR_TRY(lur_hdf5_resolve(file, from, path, &address));
  lur_hdf5_join(from, path, full);
  if (address == LUR_HDF5_NOWHERE) return lur_hdf5_fail(file, "group '%.100s' is missing", full);
  return open_at(file, address, full, group);
}

/* ---- paths ---- */

static lur_status resolve(lur_hdf5 *file, const lur_hdf5_group *from, const char *path, int soft, uint64_t *address);

static lur_status follow(lur_hdf5 *file, const lur_hdf5_group *group, const char *name, int soft, uint64_t *address) {
  const lur_hdf5_link *link = find_link(group, name);
  *address = LUR_HDF5_NOWHERE;
  if (link == NULL) return LUR_OK;
  lur_hdf5_subject(file, "link", name);
  switch (link->kind) {
  case LUR_HDF5_HARD:
    *address = link->address;
    return *address != LUR_HDF5_NOWHERE ? LUR_OK : lur_hdf5_damaged(file, "it has no address");
  case LUR_HDF5_SOFT:
    if (soft >= MAX_SOFT_LINKS)
      return lur_hdf5_damaged(file, "it leads through more than %d soft links", MAX_SOFT_LINKS);
    return resolve(file, group, link->target, soft + 1, address);
  case LUR_HDF5_EXTERNAL_LINK: return lur_hdf5_refuse(file, "an object of another file");
  case LUR_HDF5_USER_LINK: break;
  }
  return lur_hdf5_refuse(file, "a user-defined kind of link");
}

/* Goes along the parts of a path, which it writes to. Every group on the way is opened, but not the last object. */
static lur_status walk_path(lur_hdf5 *file, const lur_hdf5_group *from, char *path, int soft, uint64_t *address) {
  const lur_hdf5_group *group = from;
  lur_hdf5_group *opened = NULL;
  char *rest = NULL, name[LUR_HDF5_PATH] = "/";
  uint64_t at = from == NULL ? file->root : from->address;
  lur_status status = LUR_OK;
  for (char *part = strtok_r(path, "/", &rest); part != NULL && status == LUR_OK && at != LUR_HDF5_NOWHERE;
       part = strtok_r(NULL, "/", &rest)) {
    if (strcmp(part, ".") == 0) continue;
    if (group == NULL) {
      lur_hdf5_group_close(opened);
      opened = NULL;
      status = open_at(file, at, name, &opened);
      group = opened;
    }
    if (status != LUR_OK) break;
    lur_hdf5_join(group, part, name);
    status = follow(file, group, part, soft, &at);
    group = NULL;
  }
  lur_hdf5_group_close(opened);
  if (status == LUR_OK) *address = at;
  return status;
}

static lur_status resolve(lur_hdf5 *file, const lur_hdf5_group *from, const char *path, int soft, uint64_t *address) {
  char *copy = NULL;
  LUR_TRY(lur_text_copy(path, &copy));
  lur_status status = walk_path(file, path[0] == '/' ? NULL : from, copy, soft, address);
  free(copy);
  return status;
}

lur_status lur_hdf5_resolve(lur_hdf5 *file, const lur_hdf5_group *from, const char *path, uint64_t *address) {
  return resolve(file, from, path, 0, address);
}

/* ---- queries ---- */

int lur_hdf5_link_count(const lur_hdf5_group *group) { return group->nlinks; }

const char *lur_hdf5_link_name(const lur_hdf5_group *group, int index) { return group->links[index].name; }

bool lur_hdf5_has_link(const lur_hdf5_group *group, const char *name) { return find_link(group, name) != NULL; }

lur_status lur_hdf5_is_group(const lur_hdf5_group *from, const char *path, bool *is_group) {
  uint64_t address = LUR_HDF5_NOWHERE;
  lur_hdf5_header header = {0};
  LUR_TRY(lur_hdf5_resolve(from->file, from, path, &address));
  lur_hdf5_subject(from->file, "object", path);
  if (address != LUR_HDF5_NOWHERE) LUR_TRY(lur_hdf5_header_read(from->file, address, &header));
  *is_group = address != LUR_HDF5_NOWHERE && lur_hdf5_header_is_group(&header);
  lur_hdf5_header_free(&header);
  return LUR_OK;
}
