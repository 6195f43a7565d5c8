/* hdf5_chunk.c - chunked values: every chunk that the index has is read, its filters are undone, and what of it is
 * within the array goes to its place. Indexes: version 1 B-trees [III.A.1], version 2 B-trees, one chunk, and those of
 * hdf5_array.c. */
#include "hdf5_internal.h"

#include <inttypes.h>
#include <stdlib.h>

enum { MAX_TREE_LEVEL = 16, PLAIN_CHUNKS = 10, FILTERED_CHUNKS = 11 };

typedef struct reading {
  lur_hdf5_dataset *dataset;
  float *values;
  uint64_t grid[LUR_HDF5_MAX_DIMS]; /* chunks along each dimension */
  uint64_t left;                    /* chunks that are still expected: an index has each once */
} reading;

/* ---- one chunk ---- */

/* The runs of a chunk along the last dimension that are within the array. at: chunk's first element. */
static void copy_chunk(const lur_hdf5_dataset *from, const unsigned char *bytes, const uint64_t *at, float *values) {
  const lur_hdf5_space *space = &from->space;
  int last = space->ndim - 1;
  uint64_t index[LUR_HDF5_MAX_DIMS] = {0}, extent[LUR_HDF5_MAX_DIMS];
  for (int i = 0; i <= last; i++)
    extent[i] = from->chunk[i] < space->dim[i] - at[i] ? from->chunk[i] : space->dim[i] - at[i];
  for (bool more = true; more;) {
    uint64_t source = 0, target = 0;
    for (int i = 0; i <= last; i++) {
      source = source * from->chunk[i] + index[i];
      target = target * space->dim[i] + at[i] + index[i];
    }
    lur_hdf5_to_float(&from->type, bytes + source * from->type.size, (size_t)extent[last], values + target);
    int i = last - 1;
    while (i >= 0 && ++index[i] == extent[i]) index[i--] = 0;
    more = i >= 0;
  }
}

static lur_status read_chunk(const reading *all, const lur_hdf5_chunk *chunk, const uint64_t *at, bool edge) {
  lur_hdf5_dataset *from = all->dataset;
  unsigned char *bytes = NULL;
  bool plain = from->filters.n == 0 || (edge && from->plain_edges);
  if (plain && chunk->size != from->chunk_bytes)
    return lur_hdf5_damaged(from->file, "a chunk has %" PRIu64 " bytes; %" PRIu64 " were expected", chunk->size,
                            from->chunk_bytes);
  LUR_TRY(lur_hdf5_take(from->file, chunk->address, chunk->size, &bytes));
  lur_status status =
      plain ? LUR_OK
            : lur_hdf5_filters_undo(from->file, &from->filters, chunk->mask, &bytes, chunk->size, from->chunk_bytes);
  if (status == LUR_OK) copy_chunk(from, bytes, at, all->values);
  free(bytes);
  return status;
}

/* Chunks outside the array's present shape are left from a larger one. */
static lur_status give_chunk(void *state, const lur_hdf5_chunk *chunk) {
  reading *all = state;
  const lur_hdf5_dataset *from = all->dataset;
  uint64_t at[LUR_HDF5_MAX_DIMS];
  bool edge = false;
  for (int i = 0; i < from->space.ndim; i++) {
    if (chunk->at[i] >= all->grid[i]) return LUR_OK;
    at[i] = chunk->at[i] * from->chunk[i];
    edge = edge || from->space.dim[i] - at[i] < from->chunk[i];
  }
  if (chunk->address == LUR_HDF5_NOWHERE) return LUR_OK;
  if (all->left == 0) return lur_hdf5_damaged(from->file, "its index has more chunks than its shape");
  all->left--;
  return read_chunk(all, chunk, at, edge);
}

/* ---- version 1 B-trees ---- */

static lur_status walk_tree(reading *all, uint64_t address, int level);

/* A key: stored size, filter mask, and the chunk's first element with one more coordinate, 0, for the element's bytes.
 */
static lur_status walk_entries(reading *all, lur_hdf5_cursor *cursor, uint64_t n, int level) {
  const lur_hdf5_dataset *from = all->dataset;
  for (uint64_t i = 0; i < n; i++) {
    lur_hdf5_chunk chunk = {.size = lur_hdf5_number(cursor, 4), .mask = (uint32_t)lur_hdf5_number(cursor, 4)};
    for (int k = 0; k < from->space.ndim; k++) {
      uint64_t at = lur_hdf5_number(cursor, 8);
      if (level == 0 && at % from->chunk[k] != 0)
        return lur_hdf5_damaged(from->file, "a chunk begins at element %" PRIu64, at);
      chunk.at[k] = at / from->chunk[k];
    }
    lur_hdf5_skip(cursor, 8);
    chunk.address = lur_hdf5_address(cursor);
    LUR_TRY(level == 0 ? give_chunk(all, &chunk) : walk_tree(all, chunk.address, level - 1));
  }
  return LUR_OK;
}

/* level < 0: any level up to MAX_TREE_LEVEL, for the root. */
static lur_status walk_tree(reading *all, uint64_t address, int level) {
  lur_hdf5 *file = all->dataset->file;
  unsigned char head[8], *bytes = NULL;
  LUR_TRY(lur_hdf5_read(file, address, head, sizeof head));
  uint64_t n = (uint64_t)head[6] | (uint64_t)head[7] << 8, pointer = (uint64_t)file->offset_size;
  uint64_t key = 16 + 8 * (uint64_t)all->dataset->space.ndim, size = 8 + 2 * pointer + n * (key + pointer);
  LUR_TRY(lur_hdf5_take_signed(file, address, size, "TREE", false, &bytes));
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, bytes + 8, size - 8);
  lur_hdf5_skip(&cursor, 2 * pointer);
  lur_status status;
  if (head[4] != 1 || head[5] > MAX_TREE_LEVEL || (level >= 0 && head[5] != level))
    status = lur_hdf5_damaged(file, "a node of its B-tree has type %d and level %d", head[4], head[5]);
  else status = walk_entries(all, &cursor, n, head[5]);
  free(bytes);
  return status;
}

/* ---- version 2 B-trees ---- */

static lur_status give_record(void *state, const unsigned char *record, int size) {
  reading *all = state;
  lur_hdf5_chunk chunk = {0};
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(all->dataset->file, record, (uint64_t)size);
  lur_hdf5_chunk_record(all->dataset, &cursor, &chunk);
  for (int i = 0; i < all->dataset->space.ndim; i++) chunk.at[i] = lur_hdf5_number(&cursor, 8);
  return give_chunk(all, &chunk);
}

static lur_status walk_btree2(reading *all) {
  const lur_hdf5_dataset *from = all->dataset;
  bool filtered = from->filters.n > 0;
  int size = from->file->offset_size + (filtered ? from->size_bytes + 4 : 0) + 8 * from->space.ndim;
  return lur_hdf5_btree2_each(from->file, from->address, filtered ? FILTERED_CHUNKS : PLAIN_CHUNKS, size, give_record,
                              all);
}

/* ---- all chunks ---- */

/* Chunks may extend beyond the array; in a sensible file, by less than twice its extent in each dimension. Far larger
   ones could only make the reader waste memory and time. */
static lur_status check_chunks(const lur_hdf5_dataset *from, uint64_t nchunks) {
  const uint64_t always = (uint64_t)64 << 20;
  uint64_t values = lur_hdf5_times(lur_hdf5_space_count(&from->space), from->type.size);
  uint64_t bytes = lur_hdf5_times(nchunks, from->chunk_bytes);
  if (bytes > always && bytes / 32 > values)
    return lur_hdf5_refuse(from->file, "chunks of %" PRIu64 " bytes for %" PRIu64 " bytes of values", bytes, values);
  return LUR_OK;
}

lur_status lur_hdf5_chunks_read(lur_hdf5_dataset *dataset, float *values) {
  reading all = {.dataset = dataset, .values = values, .left = 1};
  if (dataset->space.ndim == 0) return lur_hdf5_damaged(dataset->file, "it is chunked and has no dimensions");
  for (int i = 0; i < dataset->space.ndim; i++) {
    all.grid[i] = (dataset->space.dim[i] - 1) / dataset->chunk[i] + 1;
    all.left = lur_hdf5_times(all.left, all.grid[i]);
  }
  LUR_TRY(check_chunks(dataset, all.left));
  lur_hdf5_chunk single = {.address = dataset->address, .size = dataset->single_size, .mask = dataset->single_mask};
  switch (dataset->index) {
  case LUR_HDF5_BTREE1: return walk_tree(&all, dataset->address, -1);
  case LUR_HDF5_BTREE2: return walk_btree2(&all);
  case LUR_HDF5_SINGLE: return give_chunk(&all, &single);
  default: return lur_hdf5_array_each(dataset, give_chunk, &all);
  }
}
