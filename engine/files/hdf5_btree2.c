/* hdf5_btree2.c - the records of a version 2 B-tree [III.A.2], in order. Which bytes a record has is for the visitor.
 */
#include "hdf5_internal.h"

#include <inttypes.h>
#include <stdlib.h>

enum { PREFIX = 6, CHECKSUM = 4, MAX_DEPTH = 16 };

typedef struct tree {
  lur_hdf5 *file;
  int type, record_size;
  uint64_t node_size;
  int count_bytes;                /* of the number of records in a node */
  int total_bytes[MAX_DEPTH + 1]; /* of the number of records below a node, by level */
  uint64_t max_records[MAX_DEPTH + 1];
  uint64_t left; /* records that are still expected: bounds a tree in circles */
  lur_hdf5_visit visit;
  void *state;
} tree;

static lur_status walk_node(tree *in, uint64_t address, uint64_t nrecords, int depth);

/* Sizes of the fields that depend on how many records a node can have. */
static lur_status plan_levels(tree *in, int depth) {
  uint64_t below = 0;
  for (int level = 0; level <= depth; level++) {
    uint64_t pointer =
        level == 0 ? 0 : (uint64_t)(in->file->offset_size + in->count_bytes + in->total_bytes[level - 1]);
    uint64_t fixed = PREFIX + CHECKSUM + pointer;
    if (in->node_size < fixed + (uint64_t)in->record_size + pointer)
      return lur_hdf5_damaged(in->file, "the nodes of a B-tree have no room for records");
    uint64_t records = (in->node_size - fixed) / ((uint64_t)in->record_size + pointer);
    below = level == 0 ? records : lur_hdf5_times(records + 1, below);
    below = below > UINT64_MAX - records ? UINT64_MAX : below + (level == 0 ? 0 : records);
    in->max_records[level] = records;
    in->total_bytes[level] = level == 0 ? 0 : lur_hdf5_bytes_for(below);
    if (level == 0) in->count_bytes = lur_hdf5_bytes_for(records);
  }
  return LUR_OK;
}

static lur_status give_record(tree *in, const unsigned char *record) {
  if (in->left == 0) return lur_hdf5_damaged(in->file, "a B-tree has more records than it states");
  in->left--;
  return in->visit(in->state, record, in->record_size);
}

static lur_status walk_records(tree *in, const unsigned char *bytes, uint64_t nrecords, int depth) {
  const unsigned char *records = bytes + PREFIX;
  uint64_t size = (uint64_t)in->record_size;
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(in->file, bytes, in->node_size);
  lur_hdf5_skip(&cursor, PREFIX + nrecords * size);
  for (uint64_t i = 0; i <= nrecords; i++) {
    if (depth > 0) {
      uint64_t child = lur_hdf5_address(&cursor), below = lur_hdf5_number(&cursor, in->count_bytes);
      lur_hdf5_number(&cursor, in->total_bytes[depth - 1]);
      if (cursor.ended) return lur_hdf5_damaged(in->file, "a node of a B-tree is cut short");
      LUR_TRY(walk_node(in, child, below, depth - 1));
    }
    if (i < nrecords) LUR_TRY(give_record(in, records + i * size));
  }
  return LUR_OK;
}

/* The checksum follows the used part of the node, not its end. */
static lur_status walk_node(tree *in, uint64_t address, uint64_t nrecords, int depth) {
  unsigned char *bytes = NULL;
  if (nrecords > in->max_records[depth])
    return lur_hdf5_damaged(in->file, "a node of a B-tree has %" PRIu64 " records", nrecords);
  uint64_t pointer = depth == 0 ? 0 : (uint64_t)(in->file->offset_size + in->count_bytes + in->total_bytes[depth - 1]);
  uint64_t used = PREFIX + nrecords * (uint64_t)in->record_size + (nrecords + 1) * pointer + CHECKSUM;
  LUR_TRY(lur_hdf5_take_signed(in->file, address, in->node_size, depth == 0 ? "BTLF" : "BTIN", false, &bytes));
  lur_status status = lur_hdf5_check_sum(in->file, bytes, used);
  if (status == LUR_OK && (bytes[4] != 0 || bytes[5] != in->type))
    status = lur_hdf5_damaged(in->file, "a node belongs to another B-tree");
  if (status == LUR_OK) status = walk_records(in, bytes, nrecords, depth);
  free(bytes);
  return status;
}

lur_status lur_hdf5_btree2_each(lur_hdf5 *file, uint64_t address, int type, int record_size, lur_hdf5_visit visit,
                                void *state) {
  unsigned char *bytes = NULL;
  uint64_t size = 16 + (uint64_t)file->offset_size + 2 + (uint64_t)file->length_size + CHECKSUM;
  LUR_TRY(lur_hdf5_take_signed(file, address, size, "BTHD", true, &bytes));
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, bytes, size);
  lur_hdf5_skip(&cursor, 4);
  int version = (int)lur_hdf5_number(&cursor, 1), found = (int)lur_hdf5_number(&cursor, 1);
  tree in = {.file = file, .type = type, .visit = visit, .state = state, .node_size = lur_hdf5_number(&cursor, 4)};
  in.record_size = (int)lur_hdf5_number(&cursor, 2);
  int depth = (int)lur_hdf5_number(&cursor, 2);
  lur_hdf5_skip(&cursor, 2);
  uint64_t root = lur_hdf5_address(&cursor), nrecords = lur_hdf5_number(&cursor, 2);
  in.left = lur_hdf5_length(&cursor);
  free(bytes);
  if (version != 0 || found != type || in.record_size < record_size)
    return lur_hdf5_damaged(
        file, "a B-tree has version %d, type %d and records of %d bytes; 0, %d and at least %d were expected", version,
        found, in.record_size, type, record_size);
  if (depth > MAX_DEPTH || in.node_size > file->size)
    return lur_hdf5_damaged(file, "a B-tree is %d levels deep", depth);
  if (root == LUR_HDF5_NOWHERE) return LUR_OK; /* empty */
  LUR_TRY(plan_levels(&in, depth));
  return walk_node(&in, root, nrecords, depth);
}
