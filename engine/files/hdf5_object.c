/* hdf5_object.c - object headers of versions 1 and 2 [IV.A.1]: an object's messages, gathered from the header and from
 * the blocks that continue it. What a message means is for its reader. */
#include "hdf5_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SHARED = 2, CREATION_ORDER = 4, CHANGE_VALUES = 16, TIMES = 32 };

typedef struct block {
  uint64_t address, count;
} block;

typedef struct gathering {
  lur_hdf5 *file;
  lur_hdf5_header *header;
  int version, message_head; /* bytes before a message */
  int npending, next;        /* blocks found, and read */
  block *pending;
  uint64_t total; /* bytes of all blocks: no more than the file has, so that blocks in a circle end */
} gathering;

void lur_hdf5_header_free(lur_hdf5_header *header) {
  for (int i = 0; i < header->nblocks; i++) free(header->blocks[i]);
  free(header->blocks);
  free(header->messages);
  *header = (lur_hdf5_header){0};
}

const lur_hdf5_message *lur_hdf5_find(const lur_hdf5_header *header, int type) {
  for (int i = 0; i < header->nmessages; i++)
    if (header->messages[i].type == type) return &header->messages[i];
  return NULL;
}

bool lur_hdf5_header_is_group(const lur_hdf5_header *header) {
  return lur_hdf5_find(header, LUR_HDF5_SYMBOL_TABLE) != NULL || lur_hdf5_find(header, LUR_HDF5_LINK_INFO) != NULL;
}

/* Owns the bytes from here on, also when it fails. */
static lur_status keep_block(gathering *all, unsigned char *bytes) {
  lur_status status =
      lur_hdf5_make_room(all->file, &all->header->blocks, all->header->nblocks, sizeof *all->header->blocks);
  if (status == LUR_OK) all->header->blocks[all->header->nblocks++] = bytes;
  else free(bytes);
  return status;
}

static lur_status add_continuation(gathering *all, const lur_hdf5_message *message) {
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(all->file, message->bytes, message->count);
  block found = {.address = lur_hdf5_address(&cursor), .count = lur_hdf5_length(&cursor)};
  if (cursor.ended) return lur_hdf5_damaged(all->file, "a continuation of its header is cut short");
  if (found.count > all->file->size - all->total)
    return lur_hdf5_damaged(all->file,
                            "the continuations of its header have more bytes than the file, or form a circle");
  all->total += found.count;
  LUR_TRY(lur_hdf5_make_room(all->file, &all->pending, all->npending, sizeof *all->pending));
  all->pending[all->npending++] = found;
  return LUR_OK;
}

static lur_status add_message(gathering *all, int type, unsigned flags, const unsigned char *bytes, uint64_t count) {
  lur_hdf5_message message = {.type = type, .shared = (flags & SHARED) != 0, .bytes = bytes, .count = count};
  if (type == 0) return LUR_OK; /* free space */
  if (type == LUR_HDF5_CONTINUATION) return add_continuation(all, &message);
  LUR_TRY(lur_hdf5_make_room(all->file, &all->header->messages, all->header->nmessages, sizeof message));
  all->header->messages[all->header->nmessages++] = message;
  return LUR_OK;
}

/* The messages of one block; fewer bytes than a message's head at the end are a gap. */
static lur_status add_messages(gathering *all, const unsigned char *bytes, uint64_t count) {
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(all->file, bytes, count);
  while (lur_hdf5_left(&cursor) >= (uint64_t)all->message_head) {
    int type = (int)lur_hdf5_number(&cursor, all->version == 1 ? 2 : 1);
    uint64_t size = lur_hdf5_number(&cursor, 2);
    unsigned flags = (unsigned)lur_hdf5_number(&cursor, 1);
    lur_hdf5_skip(&cursor, (uint64_t)all->message_head - (all->version == 1 ? 5 : 4));
    const unsigned char *at = lur_hdf5_skip(&cursor, size);
    if (at == NULL)
      return lur_hdf5_damaged(all->file, "a message of %" PRIu64 " bytes does not fit into its header", size);
    LUR_TRY(add_message(all, type, flags, at, size));
  }
  return LUR_OK;
}

/* Version 1: a prefix of 16 bytes, messages aligned to 8 bytes. */
static lur_status read_version1(gathering *all, uint64_t address, const unsigned char *prefix) {
  unsigned char *bytes = NULL;
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(all->file, prefix + 8, 4);
  uint64_t count = lur_hdf5_number(&cursor, 4);
  all->version = 1;
  all->message_head = 8;
  LUR_TRY(lur_hdf5_take(all->file, address + 16, count, &bytes));
  LUR_TRY(keep_block(all, bytes));
  return add_messages(all, bytes, count);
}

static lur_status read_version2(gathering *all, uint64_t address, const unsigned char *prefix) {
  unsigned char *bytes = NULL;
  unsigned flags = prefix[5];
  uint64_t head = 6 + (flags & TIMES ? 16u : 0u) + (flags & CHANGE_VALUES ? 4u : 0u);
  int size_bytes = 1 << (flags & 3);
  unsigned char size[8];
  all->version = 2;
  all->message_head = flags & CREATION_ORDER ? 6 : 4;
  LUR_TRY(lur_hdf5_read(all->file, address + head, size, (uint64_t)size_bytes));
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(all->file, size, (uint64_t)size_bytes);
  uint64_t count = lur_hdf5_number(&cursor, size_bytes);
  head += (uint64_t)size_bytes;
  if (count > all->file->size) return lur_hdf5_damaged(all->file, "a header of %" PRIu64 " bytes", count);
  LUR_TRY(lur_hdf5_take_signed(all->file, address, head + count + 4, "OHDR", true, &bytes));
  LUR_TRY(keep_block(all, bytes));
  return add_messages(all, bytes + head, count);
}

static lur_status read_continuation(gathering *all, block from) {
  unsigned char *bytes = NULL;
  if (all->version == 1) LUR_TRY(lur_hdf5_take(all->file, from.address, from.count, &bytes));
  else LUR_TRY(lur_hdf5_take_signed(all->file, from.address, from.count, "OCHK", true, &bytes));
  LUR_TRY(keep_block(all, bytes));
  return all->version == 1 ? add_messages(all, bytes, from.count) : add_messages(all, bytes + 4, from.count - 8);
}

lur_status lur_hdf5_header_read(lur_hdf5 *file, uint64_t address, lur_hdf5_header *header) {
  unsigned char prefix[12];
  gathering all = {.file = file, .header = header};
  LUR_TRY(lur_hdf5_read(file, address, prefix, sizeof prefix));
  lur_status status;
  if (memcmp(prefix, "OHDR\2", 5) == 0) status = read_version2(&all, address, prefix);
  else if (prefix[0] == 1) status = read_version1(&all, address, prefix);
  else status = lur_hdf5_damaged(file, "an object header was expected at address %" PRIu64, address);
  while (status == LUR_OK && all.next < all.npending) status = read_continuation(&all, all.pending[all.next++]);
  free(all.pending);
  if (status != LUR_OK) lur_hdf5_header_free(header);
  return status;
}
