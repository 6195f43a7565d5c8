/* hdf5_array.c - the chunk indexes that number the chunks: implicit, fixed array [VII.D] and extensible array [VII.E]
 * ("Appendix C" of the specification). Chunks are numbered row by row over the array's largest possible shape, with
 * the dimension that has no limit first; they are visited in the order of their numbers. */
#include "hdf5_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = 6, CHECKSUM = 4 }; /* signature, version, client; at the end */

typedef struct elements { /* the records that were read last */
  uint64_t address;
  unsigned char *bytes;
} elements;

typedef struct array {
  lur_hdf5_dataset *dataset;
  lur_hdf5 *file;
  uint64_t record; /* bytes of a chunk's record */
  uint64_t n;      /* chunks that the index may have */
  uint64_t page;   /* records in a page */
  elements cached;
  /* fixed array */
  uint64_t data;
  unsigned char *head; /* the data block's head, with its bitmap of pages; the extensible array's index block */
  uint64_t head_size;
  /* extensible array */
  int max_bits, offset_bytes;
  uint64_t in_index, min_block, min_pointers, nblocks, nsuper;
} array;

/* n records with a checksum behind them. skip: bytes before them that the checksum covers too. */
static lur_status load_records(array *in, uint64_t address, uint64_t skip, uint64_t n) {
  unsigned char *bytes = NULL;
  if (in->cached.bytes != NULL && in->cached.address == address + skip) return LUR_OK;
  uint64_t size = lur_hdf5_times(n, in->record);
  if (size > in->file->size) return lur_hdf5_damaged(in->file, "its index of chunks has more bytes than the file");
  LUR_TRY(lur_hdf5_take(in->file, address, skip + size + CHECKSUM, &bytes));
  lur_status status = lur_hdf5_check_sum(in->file, bytes, skip + size + CHECKSUM);
  if (status != LUR_OK) {
    free(bytes);
    return status;
  }
  memmove(bytes, bytes + skip, (size_t)size);
  free(in->cached.bytes);
  in->cached = (elements){.address = address + skip, .bytes = bytes};
  return LUR_OK;
}

void lur_hdf5_chunk_record(const lur_hdf5_dataset *dataset, lur_hdf5_cursor *cursor, lur_hdf5_chunk *chunk) {
  bool filtered = dataset->filters.n > 0;
  chunk->address = lur_hdf5_address(cursor);
  chunk->size = filtered ? lur_hdf5_number(cursor, dataset->size_bytes) : dataset->chunk_bytes;
  chunk->mask = filtered ? (uint32_t)lur_hdf5_number(cursor, 4) : 0;
}

static void parse_record(const array *in, const unsigned char *at, lur_hdf5_chunk *chunk) {
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(in->file, at, in->record);
  lur_hdf5_chunk_record(in->dataset, &cursor, chunk);
}

/* ---- implicit: chunks behind each other ---- */

static lur_status find_implicit(array *in, uint64_t index, lur_hdf5_chunk *chunk) {
  const lur_hdf5_dataset *from = in->dataset;
  uint64_t offset = lur_hdf5_times(index, from->chunk_bytes);
  if (from->filters.n > 0) return lur_hdf5_damaged(in->file, "chunks without an index cannot be filtered");
  if (offset > in->file->size) return lur_hdf5_damaged(in->file, "chunk %" PRIu64 " is not in the file", index);
  *chunk = (lur_hdf5_chunk){.address = from->address + offset, .size = from->chunk_bytes};
  return LUR_OK;
}

/* ---- fixed arrays ---- */

static uint64_t page_count(const array *in) { return in->n > in->page ? (in->n - 1) / in->page + 1 : 0; }

static lur_status open_fixed(array *in) {
  unsigned char *bytes = NULL;
  lur_hdf5 *file = in->file;
  uint64_t size = HEAD + 2 + (uint64_t)file->length_size + (uint64_t)file->offset_size + CHECKSUM;
  LUR_TRY(lur_hdf5_take_signed(file, in->dataset->address, size, "FAHD", true, &bytes));
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, bytes, size);
  lur_hdf5_skip(&cursor, HEAD);
  uint64_t record = lur_hdf5_number(&cursor, 1);
  int page_bits = (int)lur_hdf5_number(&cursor, 1);
  in->n = lur_hdf5_length(&cursor);
  in->data = lur_hdf5_address(&cursor);
  free(bytes);
  if (record != in->record || page_bits > 32)
    return lur_hdf5_damaged(file, "its index has records of %" PRIu64 " bytes", record);
  in->page = UINT64_C(1) << page_bits;
  if (in->data == LUR_HDF5_NOWHERE) return LUR_OK;
  if (in->n > file->size) return lur_hdf5_damaged(file, "its index has %" PRIu64 " chunks", in->n);
  in->head_size = HEAD + (uint64_t)file->offset_size + (page_count(in) + 7) / 8;
  uint64_t checked = page_count(in) > 0 ? in->head_size + CHECKSUM : in->head_size;
  LUR_TRY(lur_hdf5_take_signed(file, in->data, checked, "FADB", page_count(in) > 0, &in->head));
  return LUR_OK;
}

static lur_status find_fixed(array *in, uint64_t index, lur_hdf5_chunk *chunk) {
  uint64_t page = index / in->page, pages = page_count(in), at = in->data, skip = in->head_size, n = in->n;
  if (in->data == LUR_HDF5_NOWHERE) return LUR_OK;
  if (index >= in->n) return lur_hdf5_damaged(in->file, "its index has no chunk %" PRIu64, index);
  if (pages > 0) { /* bit 7 of the bitmap's first byte is the first page's */
    unsigned bits = in->head[HEAD + (uint64_t)in->file->offset_size + page / 8];
    if ((bits >> (7 - page % 8) & 1) == 0) return LUR_OK;
    at += skip + CHECKSUM + page * (in->page * in->record + CHECKSUM);
    n = page == pages - 1 ? in->n - page * in->page : in->page;
    index -= page * in->page;
    skip = 0;
  }
  LUR_TRY(load_records(in, at, skip, n));
  parse_record(in, in->cached.bytes + index * in->record, chunk);
  return LUR_OK;
}

/* ---- extensible arrays ---- */

/* Super block s has 2^(s/2) data blocks, each of 2^((s+1)/2) times the smallest one's records. */
static uint64_t blocks_of(int s) { return UINT64_C(1) << s / 2; }
static uint64_t records_of(const array *in, int s) { return (UINT64_C(1) << (s + 1) / 2) * in->min_block; }

static bool is_power(uint64_t x) { return x != 0 && (x & (x - 1)) == 0; }

static lur_status open_index_block(array *in, uint64_t address) {
  int super = 2 * lur_hdf5_log2(in->min_pointers), all = 1 + in->max_bits - lur_hdf5_log2(in->min_block);
  if (all < super || all > 64) return lur_hdf5_damaged(in->file, "its index has impossible sizes");
  in->nblocks = 2 * (in->min_pointers - 1);
  in->nsuper = (uint64_t)(all - super);
  in->head_size = HEAD + (uint64_t)in->file->offset_size;
  uint64_t size = in->head_size + in->in_index * in->record +
                  (in->nblocks + in->nsuper) * (uint64_t)in->file->offset_size + CHECKSUM;
  return lur_hdf5_take_signed(in->file, address, size, "EAIB", true, &in->head);
}

static lur_status open_extensible(array *in) {
  unsigned char *bytes = NULL;
  lur_hdf5 *file = in->file;
  uint64_t size = HEAD + 6 + 6 * (uint64_t)file->length_size + (uint64_t)file->offset_size + CHECKSUM;
  LUR_TRY(lur_hdf5_take_signed(file, in->dataset->address, size, "EAHD", true, &bytes));
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, bytes, size);
  lur_hdf5_skip(&cursor, HEAD);
  uint64_t record = lur_hdf5_number(&cursor, 1);
  in->max_bits = (int)lur_hdf5_number(&cursor, 1);
  in->in_index = lur_hdf5_number(&cursor, 1);
  in->min_block = lur_hdf5_number(&cursor, 1);
  in->min_pointers = lur_hdf5_number(&cursor, 1);
  int page_bits = (int)lur_hdf5_number(&cursor, 1);
  lur_hdf5_skip(&cursor, 6 * (uint64_t)file->length_size);
  in->data = lur_hdf5_address(&cursor);
  free(bytes);
  bool good = record == in->record && in->max_bits <= 64 && page_bits <= 32 && is_power(in->min_block) &&
              is_power(in->min_pointers);
  if (!good) return lur_hdf5_damaged(file, "its index has impossible sizes");
  in->page = UINT64_C(1) << page_bits;
  in->offset_bytes = (in->max_bits + 7) / 8;
  return in->data == LUR_HDF5_NOWHERE ? LUR_OK : open_index_block(in, in->data);
}

static uint64_t address_at(const array *in, const unsigned char *at) {
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(in->file, at, (uint64_t)in->file->offset_size);
  return lur_hdf5_address(&cursor);
}

/* Record `index` of a data block of n: it has them itself, or in the pages behind it. */
static lur_status find_in_block(array *in, uint64_t address, uint64_t n, uint64_t index, lur_hdf5_chunk *chunk) {
  uint64_t head = HEAD + (uint64_t)in->file->offset_size + (uint64_t)in->offset_bytes;
  if (address == LUR_HDF5_NOWHERE) return LUR_OK;
  if (n > in->page) {
    uint64_t page = index / in->page;
    LUR_TRY(load_records(in, address + head + CHECKSUM + page * (in->page * in->record + CHECKSUM), 0, in->page));
    index -= page * in->page;
  } else {
    LUR_TRY(load_records(in, address, head, n));
  }
  parse_record(in, in->cached.bytes + index * in->record, chunk);
  return LUR_OK;
}

/* A data block of super block s that the index block does not know itself. */
static lur_status find_in_super(array *in, uint64_t address, int s, uint64_t index, lur_hdf5_chunk *chunk) {
  unsigned char *bytes = NULL;
  uint64_t n = records_of(in, s), block = index / n, pages = n > in->page ? n / in->page : 0, bitmap = (pages + 7) / 8;
  uint64_t head = HEAD + (uint64_t)in->file->offset_size + (uint64_t)in->offset_bytes,
           pointer = (uint64_t)in->file->offset_size;
  if (address == LUR_HDF5_NOWHERE) return LUR_OK;
  uint64_t maps = lur_hdf5_times(blocks_of(s), bitmap);
  if (maps > in->file->size || blocks_of(s) > in->file->size)
    return lur_hdf5_damaged(in->file, "its index has more bytes than the file");
  LUR_TRY(
      lur_hdf5_take_signed(in->file, address, head + maps + blocks_of(s) * pointer + CHECKSUM, "EASB", true, &bytes));
  uint64_t bit = block * pages + index % n / in->page; /* of the pages of all blocks, one after another */
  bool there = pages == 0 || (bytes[head + bit / 8] >> (7 - bit % 8) & 1) != 0;
  uint64_t data = address_at(in, bytes + head + maps + block * pointer);
  free(bytes);
  return there ? find_in_block(in, data, n, index % n, chunk) : LUR_OK;
}

static lur_status find_extensible(array *in, uint64_t index, lur_hdf5_chunk *chunk) {
  if (in->data == LUR_HDF5_NOWHERE) return LUR_OK;
  const unsigned char *blocks = in->head + in->head_size + in->in_index * in->record;
  if (index < in->in_index) {
    parse_record(in, in->head + in->head_size + index * in->record, chunk);
    return LUR_OK;
  }
  index -= in->in_index;
  int s = lur_hdf5_log2(index / in->min_block + 1), direct = 2 * lur_hdf5_log2(in->min_pointers);
  index -= ((UINT64_C(1) << s) - 1) * in->min_block; /* records in the super blocks before s */
  uint64_t block = index / records_of(in, s);
  for (int i = 0; i < s && s < direct; i++) block += blocks_of(i);
  if (s < direct)
    return find_in_block(in, address_at(in, blocks + block * (uint64_t)in->file->offset_size), records_of(in, s),
                         index % records_of(in, s), chunk);
  uint64_t super = (uint64_t)(s - direct);
  if (super >= in->nsuper) return lur_hdf5_damaged(in->file, "its index has no chunk %" PRIu64, index);
  return find_in_super(in, address_at(in, blocks + (in->nblocks + super) * (uint64_t)in->file->offset_size), s, index,
                       chunk);
}

/* ---- all chunks in the order of their numbers ---- */

typedef lur_status (*finder)(array *in, uint64_t index, lur_hdf5_chunk *chunk);

/* Dimensions, slowest first: the one without a limit, where the index is an extensible array, then the others. */
static void order_dimensions(const lur_hdf5_dataset *from, int *order) {
  int first = 0, n = 0;
  if (from->index == LUR_HDF5_EXTENSIBLE_ARRAY)
    while (first < from->space.ndim - 1 && from->space.max[first] != UINT64_MAX) first++;
  order[n++] = first;
  for (int i = 0; i < from->space.ndim; i++)
    if (i != first) order[n++] = i;
}

/* Chunks along a dimension as the numbers count them: of the largest shape. */
static uint64_t largest(const lur_hdf5_dataset *from, int i) {
  uint64_t extent = from->space.max[i] == UINT64_MAX ? from->space.dim[i] : from->space.max[i];
  return (extent - 1) / from->chunk[i] + 1;
}

static lur_status visit_all(array *in, finder find, lur_hdf5_give give, void *state) {
  const lur_hdf5_dataset *from = in->dataset;
  int ndim = from->space.ndim, order[LUR_HDF5_MAX_DIMS];
  uint64_t at[LUR_HDF5_MAX_DIMS] = {0};
  order_dimensions(from, order);
  for (bool more = true; more;) {
    lur_hdf5_chunk chunk = {.address = LUR_HDF5_NOWHERE};
    uint64_t index = 0;
    for (int i = 0; i < ndim; i++) {
      uint64_t extent = largest(from, order[i]), before = lur_hdf5_times(index, extent);
      if (before > UINT64_MAX - at[order[i]])
        return lur_hdf5_damaged(in->file, "its largest shape has too many chunks");
      index = before + at[order[i]];
    }
    LUR_TRY(find(in, index, &chunk));
    for (int i = 0; i < ndim; i++) chunk.at[i] = at[i];
    LUR_TRY(give(state, &chunk));
    int i = ndim - 1;
    while (i >= 0 && ++at[order[i]] > (from->space.dim[order[i]] - 1) / from->chunk[order[i]]) at[order[i--]] = 0;
    more = i >= 0;
  }
  return LUR_OK;
}

lur_status lur_hdf5_array_each(lur_hdf5_dataset *dataset, lur_hdf5_give give, void *state) {
  uint64_t extra = dataset->filters.n > 0 ? (uint64_t)dataset->size_bytes + 4 : 0;
  array in = {.dataset = dataset, .file = dataset->file, .record = (uint64_t)dataset->file->offset_size + extra};
  lur_status status = LUR_OK;
  finder find = dataset->index == LUR_HDF5_FIXED_ARRAY        ? find_fixed
                : dataset->index == LUR_HDF5_EXTENSIBLE_ARRAY ? find_extensible
                                                              : find_implicit;
  if (find == find_fixed) status = open_fixed(&in);
  if (find == find_extensible) status = open_extensible(&in);
  if (status == LUR_OK) status = visit_all(&in, find, give, state);
  free(in.head);
  free(in.cached.bytes);
  return status;
}
