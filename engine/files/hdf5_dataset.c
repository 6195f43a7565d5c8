/* hdf5_dataset.c - datasets: the header messages of one [IV.A.2.h], and its values where they are in the header or in
 * one piece. Chunks are read by hdf5_chunk.c. */
#include "hdf5_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SLAB = 1 << 16, PLAIN_EDGES = 1, FILTERED_SINGLE = 2 };
#define MAX_CHUNK (UINT64_C(1) << 32)

/* ---- layout ---- */

/* Chunk extents of `bytes` bytes each; the last is the element's size. */
static lur_status parse_chunk(lur_hdf5_dataset *to, lur_hdf5_cursor *cursor, int ndim, int bytes) {
  const lur_hdf5 *file = to->file;
  if (ndim - 1 != to->space.ndim || bytes < 1 || bytes > 8)
    return lur_hdf5_damaged(file, "its chunks have %d dimensions, the array has %d", ndim - 1, to->space.ndim);
  to->chunk_bytes = to->type.size;
  for (int i = 0; i < ndim - 1; i++) {
    to->chunk[i] = lur_hdf5_number(cursor, bytes);
    to->chunk_bytes = lur_hdf5_times(to->chunk_bytes, to->chunk[i]);
  }
  uint64_t element = lur_hdf5_number(cursor, bytes);
  if (cursor->ended || element != to->type.size || to->chunk_bytes == 0 || to->chunk_bytes >= MAX_CHUNK)
    return lur_hdf5_damaged(file, "its chunks have impossible extents");
  return LUR_OK;
}

/* Versions 1 and 2: all kinds have a dimensionality, and extents of 32 bits. */
static lur_status parse_layout1(lur_hdf5_dataset *to, lur_hdf5_cursor *cursor) {
  int ndim = (int)lur_hdf5_number(cursor, 1);
  to->layout = (lur_hdf5_layout)lur_hdf5_number(cursor, 1);
  lur_hdf5_skip(cursor, 5);
  if (to->layout != LUR_HDF5_COMPACT) to->address = lur_hdf5_address(cursor);
  to->size = UINT64_MAX;
  if (to->layout == LUR_HDF5_CHUNKED) return parse_chunk(to, cursor, ndim, 4);
  lur_hdf5_skip(cursor, 4 * (uint64_t)ndim);
  if (to->layout != LUR_HDF5_COMPACT) return LUR_OK;
  to->size = lur_hdf5_number(cursor, 4);
  to->compact = lur_hdf5_skip(cursor, to->size);
  return LUR_OK;
}

static int chunk_size_bytes(const lur_hdf5_dataset *dataset, int version) {
  int bytes = 1 + (lur_hdf5_log2(dataset->chunk_bytes) + 8) / 8;
  return version > 4 ? dataset->file->length_size : bytes > 8 ? 8 : bytes;
}

/* The chunks of version 4 and up: flags, extents, and what each kind of index needs before its address. */
static lur_status parse_chunks4(lur_hdf5_dataset *to, lur_hdf5_cursor *cursor, int version) {
  int flags = (int)lur_hdf5_number(cursor, 1), ndim = (int)lur_hdf5_number(cursor, 1),
      bytes = (int)lur_hdf5_number(cursor, 1);
  LUR_TRY(parse_chunk(to, cursor, ndim, bytes));
  to->plain_edges = flags & PLAIN_EDGES;
  to->index = (lur_hdf5_index)lur_hdf5_number(cursor, 1);
  to->size_bytes = chunk_size_bytes(to, version);
  to->single_size = to->chunk_bytes;
  switch ((int)to->index) {
  case LUR_HDF5_SINGLE:
    if (flags & FILTERED_SINGLE) to->single_size = lur_hdf5_length(cursor);
    if (flags & FILTERED_SINGLE) to->single_mask = (uint32_t)lur_hdf5_number(cursor, 4);
    break;
  case LUR_HDF5_IMPLICIT: break;
  case LUR_HDF5_FIXED_ARRAY: lur_hdf5_skip(cursor, 1); break;
  case LUR_HDF5_EXTENSIBLE_ARRAY: lur_hdf5_skip(cursor, 5); break;
  case LUR_HDF5_BTREE2: lur_hdf5_skip(cursor, 6); break;
  default:
    return lur_hdf5_damaged(to->file, "its chunks have an index of kind %d; 1 to 5 were expected", (int)to->index);
  }
  to->address = lur_hdf5_address(cursor);
  return LUR_OK;
}

/* Versions 3 to 5. */
static lur_status parse_layout3(lur_hdf5_dataset *to, lur_hdf5_cursor *cursor, int version) {
  to->layout = (lur_hdf5_layout)lur_hdf5_number(cursor, 1);
  if (to->layout == LUR_HDF5_COMPACT) {
    to->size = lur_hdf5_number(cursor, 2);
    to->compact = lur_hdf5_skip(cursor, to->size);
  } else if (to->layout == LUR_HDF5_CONTIGUOUS) {
    to->address = lur_hdf5_address(cursor);
    to->size = lur_hdf5_length(cursor);
  } else if (to->layout == LUR_HDF5_CHUNKED && version > 3) {
    return parse_chunks4(to, cursor, version);
  } else if (to->layout == LUR_HDF5_CHUNKED) {
    int ndim = (int)lur_hdf5_number(cursor, 1);
    to->address = lur_hdf5_address(cursor);
    return parse_chunk(to, cursor, ndim, 4);
  }
  return LUR_OK;
}

static lur_status parse_layout(lur_hdf5_dataset *to, const lur_hdf5_message *message) {
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(to->file, message->bytes, message->count);
  int version = (int)lur_hdf5_number(&cursor, 1);
  if (version < 1 || version > 5) return lur_hdf5_refuse(to->file, "a layout of version %d", version);
  LUR_TRY(version < 3 ? parse_layout1(to, &cursor) : parse_layout3(to, &cursor, version));
  if (to->layout == LUR_HDF5_VIRTUAL)
    return lur_hdf5_refuse(to->file, "a virtual layout: its values are in other datasets");
  if ((int)to->layout > LUR_HDF5_VIRTUAL) return lur_hdf5_damaged(to->file, "its layout has kind %d", (int)to->layout);
  return cursor.ended ? lur_hdf5_damaged(to->file, "its layout is cut short") : LUR_OK;
}

/* ---- open ---- */

static lur_status parse_messages(lur_hdf5_dataset *to) {
  const lur_hdf5_header *header = &to->header;
  const lur_hdf5_message *space = lur_hdf5_find(header, LUR_HDF5_SPACE), *type = lur_hdf5_find(header, LUR_HDF5_TYPE);
  const lur_hdf5_message *layout = lur_hdf5_find(header, LUR_HDF5_LAYOUT),
                         *filters = lur_hdf5_find(header, LUR_HDF5_FILTERS);
  if (space == NULL || type == NULL || layout == NULL)
    return lur_hdf5_fail(to->file, "%s is not an array", to->file->subject);
  if (type->shared) return lur_hdf5_refuse(to->file, "a named datatype");
  if (space->shared || layout->shared || (filters != NULL && filters->shared))
    return lur_hdf5_refuse(to->file, "shared messages");
  LUR_TRY(lur_hdf5_type_parse(to->file, type->bytes, type->count, &to->type));
  if (!lur_hdf5_is_number(&to->type))
    return lur_hdf5_fail(to->file, "%s has no numbers of up to 64 bits", to->file->subject);
  if (lur_hdf5_find(header, LUR_HDF5_EXTERNAL) != NULL)
    return lur_hdf5_fail(to->file, "%s has its values in another file", to->file->subject);
  LUR_TRY(lur_hdf5_space_parse(to->file, space->bytes, space->count, &to->space));
  LUR_TRY(parse_layout(to, layout));
  return filters == NULL ? LUR_OK : lur_hdf5_filters_parse(to->file, filters->bytes, filters->count, &to->filters);
}

static lur_status open_dataset(lur_hdf5 *file, const lur_hdf5_group *from, const char *path,
                               lur_hdf5_dataset *dataset) {
  char full[LUR_HDF5_PATH];
  uint64_t address = 0;
  *dataset = (lur_hdf5_dataset){.file = file};
  LUR_TRY(lur_hdf5_resolve(file, from, path, &address));
  lur_hdf5_join(from, path, full);
  lur_hdf5_subject(file, "array", full);
  if (address == LUR_HDF5_NOWHERE) return lur_hdf5_fail(file, "%s is missing", file->subject);
  LUR_TRY(lur_hdf5_header_read(file, address, &dataset->header));
  lur_status status = parse_messages(dataset);
  if (status != LUR_OK) lur_hdf5_header_free(&dataset->header);
  return status;
}

static lur_status shape_of(const lur_hdf5_dataset *dataset, lur_shape *shape) {
  const lur_hdf5_space *space = &dataset->space;
  const lur_hdf5 *file = dataset->file;
  if (space->empty) return lur_hdf5_fail(file, "%s has no shape and no values", file->subject);
  if (space->ndim > LUR_MAX_DIMS)
    return lur_hdf5_fail(file, "%s has %d dimensions, at most %d were expected", file->subject, space->ndim,
                         LUR_MAX_DIMS);
  lur_shape made = {.ndim = space->ndim};
  for (int i = 0; i < space->ndim; i++) {
    if (space->dim[i] > UINT64_C(1) << 40)
      return lur_hdf5_fail(file, "%s has an extent of %" PRIu64, file->subject, space->dim[i]);
    made.dim[i] = (int64_t)space->dim[i];
  }
  if (lur_shape_check(&made) != LUR_OK) return lur_blame(LUR_EFORMAT, "'%s': %s", file->path, file->subject);
  *shape = made;
  return LUR_OK;
}

lur_status lur_hdf5_shape(lur_hdf5 *file, const lur_hdf5_group *from, const char *path, lur_shape *shape) {
  lur_hdf5_dataset dataset;
  LUR_TRY(open_dataset(file, from, path, &dataset));
  lur_status status = shape_of(&dataset, shape);
  lur_hdf5_header_free(&dataset.header);
  return status;
}

/* ---- values ---- */

static bool is_plain(const lur_hdf5_type *type) {
  const uint16_t one = 1;
  return type->kind == LUR_HDF5_FLOAT && type->size == 4 && !type->big_endian && *(const unsigned char *)&one == 1;
}

/* Floats of this machine go straight to where they are wanted; others are converted in slabs. */
static lur_status read_contiguous(const lur_hdf5_dataset *dataset, uint64_t count, float *values) {
  unsigned char slab[SLAB];
  uint64_t at = dataset->address, per_slab = SLAB / dataset->type.size;
  if (is_plain(&dataset->type)) return lur_hdf5_read(dataset->file, at, values, count * sizeof *values);
  while (count > 0) {
    uint64_t n = count < per_slab ? count : per_slab;
    LUR_TRY(lur_hdf5_read(dataset->file, at, slab, n * dataset->type.size));
    lur_hdf5_to_float(&dataset->type, slab, (size_t)n, values);
    at += n * dataset->type.size;
    values += n;
    count -= n;
  }
  return LUR_OK;
}

/* What chunks that were never written hold: the fill value, 0 without one. */
static lur_status fill_value(const lur_hdf5_dataset *dataset, float *value) {
  const lur_hdf5_message *fill = lur_hdf5_find(&dataset->header, LUR_HDF5_FILL),
                         *old = lur_hdf5_find(&dataset->header, LUR_HDF5_OLD_FILL);
  const lur_hdf5_message *message = fill != NULL ? fill : old;
  *value = 0;
  if (message == NULL || message->shared) return LUR_OK;
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(dataset->file, message->bytes, message->count);
  bool defined = true;
  if (message == fill) {
    int version = (int)lur_hdf5_number(&cursor, 1), flags = (int)lur_hdf5_number(&cursor, 1);
    if (version < 3) lur_hdf5_skip(&cursor, 1);
    defined = version < 3 ? lur_hdf5_number(&cursor, 1) != 0 : (flags & 32) != 0;
  }
  uint64_t size = defined ? lur_hdf5_number(&cursor, 4) : 0;
  const unsigned char *bytes = lur_hdf5_skip(&cursor, size);
  if (cursor.ended || (size != 0 && size != dataset->type.size))
    return lur_hdf5_damaged(dataset->file, "its fill value has %" PRIu64 " bytes", size);
  if (size != 0) lur_hdf5_to_float(&dataset->type, bytes, 1, value);
  return LUR_OK;
}

static lur_status read_chunked(lur_hdf5_dataset *dataset, uint64_t count, float *values) {
  float fill = 0;
  LUR_TRY(fill_value(dataset, &fill));
  for (uint64_t i = 0; i < count; i++) values[i] = fill;
  return lur_hdf5_chunks_read(dataset, values);
}

static lur_status read_values(lur_hdf5_dataset *dataset, int64_t count, float *values) {
  lur_hdf5 *file = dataset->file;
  lur_shape shape;
  LUR_TRY(shape_of(dataset, &shape));
  if (lur_shape_count(&shape) != count)
    return lur_hdf5_fail(file, "%s has %" PRId64 " values, %" PRId64 " were expected", file->subject,
                         lur_shape_count(&shape), count);
  if (count == 0) return LUR_OK;
  if (dataset->layout != LUR_HDF5_COMPACT && dataset->address == LUR_HDF5_NOWHERE)
    return lur_hdf5_fail(file, "the values of %s were never written", file->subject);
  if (dataset->layout == LUR_HDF5_CHUNKED) return read_chunked(dataset, (uint64_t)count, values);
  uint64_t bytes = (uint64_t)count * dataset->type.size; /* at most 2^40 elements of 8 bytes */
  if (dataset->size < bytes)
    return lur_hdf5_damaged(file, "its %" PRIu64 " bytes are too few for its shape", dataset->size);
  if (dataset->layout == LUR_HDF5_CONTIGUOUS) return read_contiguous(dataset, (uint64_t)count, values);
  lur_hdf5_to_float(&dataset->type, dataset->compact, (size_t)count, values);
  return LUR_OK;
}

lur_status lur_hdf5_values(lur_hdf5 *file, const lur_hdf5_group *from, const char *path, int64_t count, float *values) {
  lur_hdf5_dataset dataset;
  LUR_TRY(open_dataset(file, from, path, &dataset));
  lur_status status = read_values(&dataset, count, values);
  lur_hdf5_header_free(&dataset.header);
  return status;
}
