/* hdf5_type.c - datatypes [IV.A.2.d] and dataspaces [IV.A.2.b]: which elements there are and how many; numbers of every
 * type that is read, to float. */
#include "hdf5_internal.h"

#include <inttypes.h>
#include <string.h>

enum { CLASS_INTEGER = 0, CLASS_FLOAT = 1, CLASS_TEXT = 3, CLASS_OPAQUE = 5, CLASS_VARIABLE = 9 };

/* ---- datatypes ---- */

static void parse_integer(lur_hdf5_cursor *cursor, uint64_t bits, lur_hdf5_type *type) {
  uint64_t offset = lur_hdf5_number(cursor, 2), precision = lur_hdf5_number(cursor, 2);
  bool whole = type->size == 1 || type->size == 2 || type->size == 4 || type->size == 8;
  type->big_endian = bits & 1;
  type->is_signed = bits & 8;
  if (whole && offset == 0 && precision == 8 * (uint64_t)type->size) type->kind = LUR_HDF5_INTEGER;
}

/* IEEE 754's formats of 16, 32 and 64 bits, and bfloat16. */
static void parse_float(lur_hdf5_cursor *cursor, uint64_t bits, lur_hdf5_type *type) {
  static const struct {
    lur_hdf5_kind kind;
    uint32_t size;
    uint64_t exponent_at, exponent, mantissa, bias;
  } formats[] = {{LUR_HDF5_FLOAT, 2, 10, 5, 10, 15},
                 {LUR_HDF5_BFLOAT, 2, 7, 8, 7, 127},
                 {LUR_HDF5_FLOAT, 4, 23, 8, 23, 127},
                 {LUR_HDF5_FLOAT, 8, 52, 11, 52, 1023}};
  uint64_t offset = lur_hdf5_number(cursor, 2), precision = lur_hdf5_number(cursor, 2);
  uint64_t exponent_at = lur_hdf5_number(cursor, 1), exponent = lur_hdf5_number(cursor, 1);
  uint64_t mantissa_at = lur_hdf5_number(cursor, 1), mantissa = lur_hdf5_number(cursor, 1),
           bias = lur_hdf5_number(cursor, 4);
  type->big_endian = bits & 1;
  uint64_t width = 8 * (uint64_t)type->size; /* the sign is the highest bit, the mantissa has a hidden one */
  if ((bits & 0x40) != 0 || (bits >> 4 & 3) != 2 || (bits >> 8 & 255) != width - 1) return;
  if (offset != 0 || precision != width || mantissa_at != 0) return;
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
    if (formats[i].size == type->size && formats[i].exponent_at == exponent_at && formats[i].exponent == exponent &&
        formats[i].mantissa == mantissa && formats[i].bias == bias)
      type->kind = formats[i].kind;
}

lur_status lur_hdf5_type_parse(const lur_hdf5 *file, const unsigned char *bytes, uint64_t count, lur_hdf5_type *type) {
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, bytes, count);
  uint64_t class = lur_hdf5_number(&cursor, 1) & 15, bits = lur_hdf5_number(&cursor, 3);
  lur_hdf5_type found = {.kind = LUR_HDF5_OTHER, .size = (uint32_t)lur_hdf5_number(&cursor, 4)};
  if (class == CLASS_INTEGER) {
    parse_integer(&cursor, bits, &found);
  } else if (class == CLASS_FLOAT) {
    parse_float(&cursor, bits, &found);
  } else if (class == CLASS_OPAQUE && found.size == 2) {
    /* NumPy has no bfloat16. h5py stores ml_dtypes', which is the only one of two bytes there, as they are in memory;
       Keras (3.15 keras/src/saving/saving_lib.py, H5Entry) adds an attribute dtype in .weights.h5, none in .h5. */
    found.kind = LUR_HDF5_BFLOAT;
  } else if (class == CLASS_TEXT) {
    found.kind = LUR_HDF5_TEXT;
    found.space_padded = (bits & 15) == 2;
  } else if (class == CLASS_VARIABLE && (bits & 15) == 1) { /* a length, an address and an index */
    found.kind = found.size == (uint32_t)file->offset_size + 8 ? LUR_HDF5_VARIABLE_TEXT : LUR_HDF5_OTHER;
  }
  if (cursor.ended || found.size == 0) return lur_hdf5_damaged(file, "its datatype is cut short or has no size");
  *type = found;
  return LUR_OK;
}

bool lur_hdf5_is_number(const lur_hdf5_type *type) { return type->kind <= LUR_HDF5_BFLOAT; }

/* ---- dataspaces ---- */

lur_status lur_hdf5_space_parse(const lur_hdf5 *file, const unsigned char *bytes, uint64_t count,
                                lur_hdf5_space *space) {
  lur_hdf5_cursor cursor = lur_hdf5_cursor_over(file, bytes, count);
  int version = (int)lur_hdf5_number(&cursor, 1), ndim = (int)lur_hdf5_number(&cursor, 1),
      flags = (int)lur_hdf5_number(&cursor, 1);
  int kind = version == 1 ? 1 : (int)lur_hdf5_number(&cursor, 1);
  lur_hdf5_space found = {.ndim = ndim, .empty = version == 2 && kind == 2};
  if (version != 1 && version != 2)
    return lur_hdf5_damaged(file, "its dataspace has version %d; 1 or 2 was expected", version);
  if (ndim > LUR_HDF5_MAX_DIMS)
    return lur_hdf5_damaged(file, "it has %d dimensions; at most %d were expected", ndim, LUR_HDF5_MAX_DIMS);
  if (version == 1) lur_hdf5_skip(&cursor, 5);
  for (int i = 0; i < ndim; i++) found.dim[i] = found.max[i] = lur_hdf5_length(&cursor);
  for (int i = 0; i < ndim && (flags & 1); i++) {
    found.max[i] = lur_hdf5_length(&cursor);
    if (file->length_size < 8 && found.max[i] == (UINT64_C(1) << 8 * file->length_size) - 1) found.max[i] = UINT64_MAX;
    if (found.max[i] < found.dim[i]) return lur_hdf5_damaged(file, "dimension %d is larger than its maximum", i);
  }
  if (cursor.ended) return lur_hdf5_damaged(file, "its dataspace is cut short");
  *space = found;
  return LUR_OK;
}

uint64_t lur_hdf5_space_count(const lur_hdf5_space *space) {
  uint64_t count = space->empty ? 0 : 1;
  for (int i = 0; i < space->ndim; i++)
    if (space->dim[i] == 0) return 0;
  for (int i = 0; i < space->ndim; i++) count = lur_hdf5_times(count, space->dim[i]);
  return count;
}

/* ---- numbers ---- */

static uint64_t bits_of(const lur_hdf5_type *type, const unsigned char *at) {
  uint64_t bits = 0;
  for (uint32_t i = 0; i < type->size; i++) bits |= (uint64_t)at[type->big_endian ? type->size - 1 - i : i] << 8 * i;
  return bits;
}

static float float_of(uint64_t bits, uint32_t size) {
  float narrow;
  double wide;
  uint32_t half = (uint32_t)bits;
  if (size == 2) return lur_f16_to_f32((uint16_t)bits);
  memcpy(&narrow, &half, sizeof narrow);
  memcpy(&wide, &bits, sizeof wide);
  return size == 4 ? narrow : (float)wide;
}

static float integer_of(uint64_t bits, const lur_hdf5_type *type) {
  if (!type->is_signed) return (float)bits;
  int unused = 64 - 8 * (int)type->size;
  return (float)((int64_t)(bits << unused) >> unused); /* the sign extended */
}

static bool is_little_endian(void) {
  const uint16_t one = 1;
  unsigned char first;
  memcpy(&first, &one, 1);
  return first == 1;
}

void lur_hdf5_to_float(const lur_hdf5_type *type, const unsigned char *from, size_t n, float *to) {
  if (type->kind == LUR_HDF5_FLOAT && type->size == 4 && !type->big_endian && is_little_endian()) {
    memcpy(to, from, n * sizeof *to);
    return;
  }
  for (size_t i = 0; i < n; i++, from += type->size) {
    uint64_t bits = bits_of(type, from);
    to[i] = type->kind == LUR_HDF5_INTEGER  ? integer_of(bits, type)
            : type->kind == LUR_HDF5_BFLOAT ? lur_bf16_to_f32((uint16_t)bits)
                                            : float_of(bits, type->size);
  }
}
