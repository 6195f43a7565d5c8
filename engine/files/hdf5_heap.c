/* hdf5_heap.c - global heaps [III.E], which hold texts of variable length, and fractal heaps [III.G], which hold the
 * links and attributes of objects with many or large ones. A fractal heap's direct blocks are all read when it is
 * opened. */
#include "hdf5_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- global heaps ---- */

enum { GLOBAL_INDEXES = 1 << 16, MAX_INDIRECT_DEPTH = 16 };

void lur_hdf5_global_free(lur_hdf5_global *heap) {
  free(heap->bytes);
  free(heap->offsets);
  *heap = (lur_hdf5_global){0};
}

/* Places of the objects by index; index 0 is the free space at the end. */
static lur_status index_collection(lur_hdf5 *file, lur_hdf5_global *heap) {
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, heap->bytes, heap->size);
  lur_hdf5_skip(&cursor, 8 + (uint64_t)file->length_size);
  LUR_TRY(lur_alloc_items(GLOBAL_INDEXES, sizeof *heap->offsets, &heap->offsets));
  while (lur_hdf5_left(&cursor) >= 8 + (uint64_t)file->length_size) {
    uint64_t offset = (uint64_t)(cursor.at - heap->bytes);
    uint64_t index = lur_hdf5_number(&cursor, 2);
    lur_hdf5_skip(&cursor, 6);
    uint64_t size = lur_hdf5_length(&cursor);
    if (index == 0) break;
    uint64_t padded = size > heap->size ? heap->size + 1 : (size + 7) / 8 * 8;
    if (lur_hdf5_skip(&cursor, padded) == NULL)
      return lur_hdf5_damaged(file, "an object of %" PRIu64 " bytes does not fit into its heap", size);
    heap->offsets[index] = offset;
  }
  return LUR_OK;
}

static lur_status load_collection(lur_hdf5 *file, lur_hdf5_global *heap, uint64_t address) {
  unsigned char *head = NULL;
  uint64_t head_size = 8 + (uint64_t)file->length_size;
  lur_hdf5_global_free(heap);
  if (file->work < GLOBAL_INDEXES) return lur_hdf5_damaged(file, "its texts are in too many heaps");
  file->work -= GLOBAL_INDEXES; /* an index is work too, however small the heap */
  LUR_TRY(lur_hdf5_take_signed(file, address, head_size, "GCOL", false, &head));
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, head, head_size);
  lur_hdf5_skip(&cursor, 8);
  heap->size = lur_hdf5_length(&cursor);
  free(head);
  if (heap->size < head_size) return lur_hdf5_damaged(file, "a global heap of %" PRIu64 " bytes", heap->size);
  LUR_TRY(lur_hdf5_take(file, address, heap->size, &heap->bytes));
  LUR_TRY(index_collection(file, heap));
  heap->address = address;
  return LUR_OK;
}

lur_status lur_hdf5_global_find(lur_hdf5 *file, lur_hdf5_global *heap, uint64_t address, uint32_t index,
                                const unsigned char **bytes, uint64_t *count) {
  if (heap->bytes == NULL || heap->address != address) {
    lur_status status = load_collection(file, heap, address);
    if (status != LUR_OK) {
      lur_hdf5_global_free(heap);
      return status;
    }
  }
  if (index == 0 || index >= GLOBAL_INDEXES || heap->offsets[index] == 0)
    return lur_hdf5_damaged(file, "its global heap has no object %" PRIu32, index);
  uint64_t at = heap->offsets[index];
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, heap->bytes + at, heap->size - at);
  lur_hdf5_skip(&cursor, 8);
  *count = lur_hdf5_length(&cursor);
  *bytes = cursor.at;
  return LUR_OK;
}

/* ---- fractal heaps: blocks ---- */

void lur_hdf5_fractal_free(lur_hdf5_fractal *heap) {
  for (int i = 0; i < heap->nblocks; i++) free(heap->blocks[i].bytes);
  for (int i = 0; i < heap->ntaken; i++) free(heap->taken[i]);
  free(heap->blocks);
  free(heap->taken);
  *heap = (lur_hdf5_fractal){0};
}

/* Bytes before a direct block's or indirect block's own contents. */
static uint64_t block_head(const lur_hdf5 *file, const lur_hdf5_fractal *heap) {
  return 5 + (uint64_t)file->offset_size + (uint64_t)heap->offset_size;
}

/* Size of the blocks in a row of the doubling table: the first two rows have the smallest. */
static uint64_t row_size(const lur_hdf5_fractal *heap, int row) {
  return row == 0 ? heap->start : heap->start << (row - 1);
}

/* A direct block's checksum is computed with its own field as zeros. */
static lur_status check_direct(lur_hdf5 *file, const lur_hdf5_fractal *heap, unsigned char *bytes, uint64_t size) {
  uint64_t head = block_head(file, heap);
  if (!heap->checked) return LUR_OK;
  if (size < head + 4) return lur_hdf5_damaged(file, "a block of a fractal heap has %" PRIu64 " bytes", size);
  unsigned char *copy = malloc((size_t)size + 4);
  if (copy == NULL) return lur_fail(LUR_ENOMEM, "no memory to check a heap of '%s'", file->path);
  memcpy(copy, bytes, (size_t)size);
  memcpy(copy + size, bytes + head, 4);
  memset(copy + head, 0, 4);
  lur_status status = lur_hdf5_check_sum(file, copy, size + 4);
  free(copy);
  return status;
}

static lur_status read_direct(lur_hdf5 *file, lur_hdf5_fractal *heap, uint64_t address, uint64_t offset,
                              uint64_t size) {
  unsigned char *bytes = NULL;
  if (size > file->size || size > file->size - heap->total)
    return lur_hdf5_damaged(file, "a fractal heap has more bytes than the file");
  heap->total += size;
  LUR_TRY(lur_hdf5_make_room(file, &heap->blocks, heap->nblocks, sizeof *heap->blocks));
  LUR_TRY(lur_hdf5_take_signed(file, address, size, "FHDB", false, &bytes));
  heap->blocks[heap->nblocks++] = (lur_hdf5_fractal_block){.offset = offset, .size = size, .bytes = bytes};
  return check_direct(file, heap, bytes, size);
}

static lur_status read_indirect(lur_hdf5 *file, lur_hdf5_fractal *heap, uint64_t address, uint64_t offset, int rows,
                                int depth);

/* The children of an indirect block: direct blocks in the rows of small blocks, then indirect ones. */
static lur_status read_children(lur_hdf5 *file, lur_hdf5_fractal *heap, lur_hdf5_cursor *cursor, uint64_t offset,
                                int rows, int depth) {
  int direct_rows = lur_hdf5_log2(heap->max_direct) - lur_hdf5_log2(heap->start) + 2;
  int row_bits = lur_hdf5_log2(heap->start) + lur_hdf5_log2(heap->width);
  for (int row = 0; row < rows; row++) {
    uint64_t size = row_size(heap, row);
    for (uint64_t i = 0; i < heap->width; i++, offset += size) {
      uint64_t child = lur_hdf5_address(cursor);
      if (cursor->ended) return lur_hdf5_damaged(file, "a block of a fractal heap is cut short");
      if (child == LUR_HDF5_NOWHERE) continue;
      if (row < direct_rows) LUR_TRY(read_direct(file, heap, child, offset, size));
      else LUR_TRY(read_indirect(file, heap, child, offset, lur_hdf5_log2(size) - row_bits + 1, depth + 1));
    }
  }
  return LUR_OK;
}

static lur_status read_indirect(lur_hdf5 *file, lur_hdf5_fractal *heap, uint64_t address, uint64_t offset, int rows,
                                int depth) {
  unsigned char *bytes = NULL;
  int most = heap->max_bits - lur_hdf5_log2(heap->start) - lur_hdf5_log2(heap->width) + 1;
  if (depth > MAX_INDIRECT_DEPTH || rows < 1 || rows > most)
    return lur_hdf5_damaged(file, "a fractal heap has %d rows", rows);
  uint64_t head = block_head(file, heap), size = head + (uint64_t)rows * heap->width * (uint64_t)file->offset_size + 4;
  LUR_TRY(lur_hdf5_take_signed(file, address, size, "FHIB", true, &bytes));
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, bytes, size);
  lur_hdf5_skip(&cursor, head);
  lur_status status = read_children(file, heap, &cursor, offset, rows, depth);
  free(bytes);
  return status;
}

/* ---- fractal heaps: the header ---- */

static bool is_power(uint64_t x) { return x != 0 && (x & (x - 1)) == 0; }

static lur_status check_heap(lur_hdf5 *file, const lur_hdf5_fractal *heap) {
  bool good = is_power(heap->width) && is_power(heap->start) && is_power(heap->max_direct) &&
              heap->start <= heap->max_direct && heap->max_bits >= 1 && heap->max_bits <= 64 &&
              heap->max_direct <= UINT32_MAX &&
              lur_hdf5_log2(heap->start) + lur_hdf5_log2(heap->width) <= heap->max_bits && heap->length_size > 0 &&
              heap->id_size >= 1 + heap->offset_size + heap->length_size && heap->id_size <= 64;
  return good ? LUR_OK : lur_hdf5_damaged(file, "a fractal heap has impossible sizes");
}

static lur_status parse_heap(lur_hdf5 *file, const unsigned char *bytes, uint64_t size, lur_hdf5_fractal *heap,
                             uint64_t *root) {
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, bytes, size);
  uint64_t length = (uint64_t)file->length_size, offset = (uint64_t)file->offset_size;
  lur_hdf5_skip(&cursor, 5);
  heap->id_size = (int)lur_hdf5_number(&cursor, 2);
  bool filtered = lur_hdf5_number(&cursor, 2) != 0;
  heap->checked = (lur_hdf5_number(&cursor, 1) & 2) != 0;
  uint64_t max_object = lur_hdf5_number(&cursor, 4);
  lur_hdf5_skip(&cursor, length);
  heap->huge_tree = lur_hdf5_address(&cursor);
  lur_hdf5_skip(&cursor, length + offset + 8 * length);
  heap->width = lur_hdf5_number(&cursor, 2);
  heap->start = lur_hdf5_length(&cursor);
  heap->max_direct = lur_hdf5_length(&cursor);
  heap->max_bits = (int)lur_hdf5_number(&cursor, 2);
  lur_hdf5_skip(&cursor, 2);
  *root = lur_hdf5_address(&cursor);
  heap->rows = (int)lur_hdf5_number(&cursor, 2);
  heap->offset_size = (heap->max_bits + 7) / 8;
  int direct_bytes = (lur_hdf5_log2(heap->max_direct) + 7) / 8, object_bytes = lur_hdf5_bytes_for(max_object);
  heap->length_size = direct_bytes < object_bytes ? direct_bytes : object_bytes;
  if (filtered) return lur_hdf5_refuse(file, "a filtered fractal heap");
  return check_heap(file, heap);
}

lur_status lur_hdf5_fractal_read(lur_hdf5 *file, uint64_t address, lur_hdf5_fractal *heap) {
  unsigned char *bytes = NULL;
  uint64_t root = LUR_HDF5_NOWHERE, size = 26 + 12 * (uint64_t)file->length_size + 3 * (uint64_t)file->offset_size;
  LUR_TRY(lur_hdf5_take_signed(file, address, size, "FRHP", false, &bytes));
  heap->address = address;
  lur_status status = parse_heap(file, bytes, size, heap, &root);
  if (status == LUR_OK) status = lur_hdf5_check_sum(file, bytes, size);
  free(bytes);
  if (status == LUR_OK && root != LUR_HDF5_NOWHERE)
    status = heap->rows == 0 ? read_direct(file, heap, root, 0, heap->start)
                             : read_indirect(file, heap, root, 0, heap->rows, 0);
  if (status != LUR_OK) lur_hdf5_fractal_free(heap);
  return status;
}

/* ---- fractal heaps: objects ---- */

/* The last block that begins at or before the object. */
static lur_status find_managed(lur_hdf5 *file, const lur_hdf5_fractal *heap, uint64_t offset, uint64_t length,
                               const unsigned char **bytes) {
  int low = 0, high = heap->nblocks;
  while (high - low > 1) {
    int middle = low + (high - low) / 2;
    if (heap->blocks[middle].offset <= offset) low = middle;
    else high = middle;
  }
  const lur_hdf5_fractal_block *block = low < heap->nblocks ? &heap->blocks[low] : NULL;
  if (block == NULL || offset < block->offset || offset - block->offset > block->size ||
      length > block->size - (offset - block->offset))
    return lur_hdf5_damaged(file, "its fractal heap has no %" PRIu64 " bytes at %" PRIu64, length, offset);
  *bytes = block->bytes + (offset - block->offset);
  return LUR_OK;
}

typedef struct huge_search {
  lur_hdf5 *file;
  uint64_t wanted, address, length;
} huge_search;

static lur_status compare_huge(void *state, const unsigned char *record, int size) {
  huge_search *search = state;
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(search->file, record, (uint64_t)size);
  uint64_t address = lur_hdf5_address(&cursor), length = lur_hdf5_length(&cursor);
  if (lur_hdf5_length(&cursor) != search->wanted) return LUR_OK;
  search->address = address;
  search->length = length;
  return LUR_OK;
}

/* An object too large for the blocks: its ID is its address and length where that fits, else a key of a B-tree. */
static lur_status find_huge(lur_hdf5 *file, lur_hdf5_fractal *heap, lur_hdf5_cursor *id, const unsigned char **bytes,
                            uint64_t *count) {
  huge_search search = {.file = file, .address = LUR_HDF5_NOWHERE};
  bool direct = heap->id_size > file->offset_size + file->length_size;
  int key_size = heap->id_size - 1 < file->length_size ? heap->id_size - 1 : file->length_size;
  if (direct) {
    search.address = lur_hdf5_address(id);
    search.length = lur_hdf5_length(id);
  } else {
    search.wanted = lur_hdf5_number(id, key_size);
    LUR_TRY(lur_hdf5_btree2_each(file, heap->huge_tree, 1, file->offset_size + 2 * file->length_size, compare_huge,
                                 &search));
  }
  if (search.address == LUR_HDF5_NOWHERE)
    return lur_hdf5_damaged(file, "its fractal heap has no large object %" PRIu64, search.wanted);
  if (search.length > file->size || search.length > file->size - heap->total)
    return lur_hdf5_damaged(file, "a fractal heap has more bytes than the file");
  heap->total += search.length;
  LUR_TRY(lur_hdf5_make_room(file, &heap->taken, heap->ntaken, sizeof *heap->taken));
  LUR_TRY(lur_hdf5_take(file, search.address, search.length, &heap->taken[heap->ntaken]));
  *bytes = heap->taken[heap->ntaken++];
  *count = search.length;
  return LUR_OK;
}

/* The first byte of an ID: version 0 in the highest 2 bits, then the kind of object. */
lur_status lur_hdf5_fractal_find(lur_hdf5 *file, lur_hdf5_fractal *heap, const unsigned char *id,
                                 const unsigned char **bytes, uint64_t *count) {
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, id, (uint64_t)heap->id_size);
  int kind = (int)lur_hdf5_number(&cursor, 1) >> 4;
  if (kind == 1) return find_huge(file, heap, &cursor, bytes, count);
  if (kind != 0) return lur_hdf5_refuse(file, "a heap object of kind %d", kind);
  uint64_t offset = lur_hdf5_number(&cursor, heap->offset_size);
  *count = lur_hdf5_number(&cursor, heap->length_size);
  return find_managed(file, heap, offset, *count, bytes);
}
