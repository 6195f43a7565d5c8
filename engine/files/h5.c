/* h5.c - see h5.h. It knows HDF5 and nothing of Keras. Sizes stated in a file are bounded before memory is allocated;
 * libhdf5 checks the structures behind them. */
#include "h5.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STRINGS = 1 << 20, MAX_TEXT_BYTES = 1 << 26, MAX_PIECES = 10000 };
enum { ATTRIBUTE_LIMIT = 64512 }; /* HDF5_OBJECT_HEADER_LIMIT of Keras 2.1.5, keras/engine/topology.py */

/* ---- errors ---- */

static herr_t keep_innermost(unsigned n, const H5E_error2_t *error, void *reason) {
  (void)n;
  if (error->desc != NULL && error->desc[0] != '\0') snprintf(reason, 160, "%s", error->desc);
  return 0;
}

lur_status lur_h5_fail(const lur_h5 *h5, const char *what, const char *name) {
  char reason[160] = "";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_innermost, reason);
  /* Walking downward ends at the innermost entry, which is the cause of the others. */
  return lur_fail(LUR_EFORMAT, "'%s': %s '%.120s'%s%.160s", h5->path, what, name, reason[0] != '\0' ? ": " : "",
                  reason);
}

/* ---- open and close ---- */

static void mute_errors(lur_h5 *h5, const char *path) {
  *h5 = (lur_h5){.path = path, .file = H5I_INVALID_HID};
  H5Eget_auto2(H5E_DEFAULT, &h5->printer, &h5->printer_data);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  H5Eclear2(H5E_DEFAULT);
}

lur_status lur_h5_open(const char *path, lur_h5 *h5) {
  mute_errors(h5, path);
  h5->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
  if (h5->file >= 0) return LUR_OK;
  lur_status status = lur_h5_fail(h5, "cannot open as", "HDF5");
  lur_h5_close(h5);
  return status;
}

lur_status lur_h5_open_image(const char *path, void *bytes, size_t count, lur_h5 *h5) {
  char name[80]; /* a name of its own: libhdf5 rejects names of existing files and of files that are open */
  snprintf(name, sizeof name, "(HDF5 in memory, %p)", bytes);
  mute_errors(h5, path);
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  if (access >= 0 && H5Pset_fapl_core(access, (size_t)1 << 16, false) >= 0 &&
      H5Pset_file_image(access, bytes, count) >= 0)
    h5->file = H5Fopen(name, H5F_ACC_RDONLY, access);
  lur_status status = h5->file >= 0 ? LUR_OK : lur_h5_fail(h5, "cannot open as", "HDF5");
  if (access >= 0) H5Pclose(access); /* after the message: each call of HDF5 clears the last error */
  if (status != LUR_OK) lur_h5_close(h5);
  return status;
}

lur_status lur_h5_create(const char *path, lur_h5 *h5) {
  mute_errors(h5, path);
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  /* Without a backing store: lur_file_write writes the bytes to disk. */
  if (access >= 0 && H5Pset_fapl_core(access, (size_t)1 << 20, false) >= 0)
    h5->file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
  lur_status status = h5->file >= 0 ? LUR_OK : lur_h5_fail(h5, "cannot create", "HDF5 in memory");
  if (access >= 0) H5Pclose(access);
  if (status != LUR_OK) lur_h5_close(h5);
  return status;
}

void lur_h5_close(lur_h5 *h5) {
  if (h5->file >= 0) H5Fclose(h5->file);
  h5->file = H5I_INVALID_HID;
  H5Eclear2(H5E_DEFAULT);
  H5Eset_auto2(H5E_DEFAULT, h5->printer, h5->printer_data);
}

lur_status lur_h5_image(lur_h5 *h5, void **bytes, size_t *count) {
  ssize_t size = H5Fflush(h5->file, H5F_SCOPE_GLOBAL) < 0 ? -1 : H5Fget_file_image(h5->file, NULL, 0);
  if (size < 0) return lur_h5_fail(h5, "cannot copy the bytes of", "HDF5 in memory");
  void *image = malloc((size_t)size + 1);
  if (image == NULL) return lur_fail(LUR_ENOMEM, "no memory for the %zd bytes of '%s'", size, h5->path);
  if (H5Fget_file_image(h5->file, image, (size_t)size) != size) {
    free(image);
    return lur_h5_fail(h5, "cannot copy the bytes of", "HDF5 in memory");
  }
  *bytes = image;
  *count = (size_t)size;
  return LUR_OK;
}

/* ---- reading strings ---- */

void lur_strings_free(lur_strings *strings) {
  for (int i = 0; i < strings->n; i++) free(strings->items[i]);
  free(strings->items);
  *strings = (lur_strings){0};
}

bool lur_h5_has_attribute(hid_t object, const char *name) { return H5Aexists(object, name) > 0; }

bool lur_h5_has_link(hid_t group, const char *name) { return H5Lexists(group, name, H5P_DEFAULT) > 0; }

static lur_status make_room(const lur_h5 *h5, lur_strings *strings, size_t more) {
  if (more > MAX_STRINGS || (size_t)strings->n + more > MAX_STRINGS)
    return lur_fail(LUR_EFORMAT, "'%s': a list of %zu strings, at most %d were expected", h5->path, more, MAX_STRINGS);
  char **items = realloc(strings->items, ((size_t)strings->n + more + 1) * sizeof *items);
  if (items == NULL) return lur_fail(LUR_ENOMEM, "no memory for %zu strings of '%s'", more, h5->path);
  strings->items = items;
  return LUR_OK;
}

static lur_status add_text(const lur_h5 *h5, lur_strings *strings, const char *text, size_t length) {
  char *copy = strndup(text, length);
  if (copy == NULL) return lur_fail(LUR_ENOMEM, "no memory for a string of '%s'", h5->path);
  strings->items[strings->n++] = copy;
  return LUR_OK;
}

/* Length without padding: NULs, and spaces if the type is space-padded. */
static size_t text_length(const char *text, size_t size, H5T_str_t padding) {
  size_t length = strnlen(text, size);
  while (padding == H5T_STR_SPACEPAD && length > 0 && text[length - 1] == ' ') length--;
  return length;
}

static lur_status read_fixed(const lur_h5 *h5, hid_t attribute, hid_t type, const char *name, size_t n,
                             lur_strings *strings) {
  size_t size = H5Tget_size(type);
  if (size == 0 || size > MAX_TEXT_BYTES || n > MAX_TEXT_BYTES / size)
    return lur_fail(LUR_EFORMAT, "'%s': attribute '%s' claims %zu strings of %zu bytes", h5->path, name, n, size);
  char *bytes = malloc(n * size + 1);
  if (bytes == NULL) return lur_fail(LUR_ENOMEM, "no memory for attribute '%s' of '%s'", name, h5->path);
  lur_status status = LUR_OK;
  if (H5Aread(attribute, type, bytes) < 0) status = lur_h5_fail(h5, "cannot read attribute", name);
  H5T_str_t padding = H5Tget_strpad(type);
  for (size_t i = 0; i < n && status == LUR_OK; i++)
    status = add_text(h5, strings, bytes + i * size, text_length(bytes + i * size, size, padding));
  free(bytes);
  return status;
}

static lur_status read_variable(const lur_h5 *h5, hid_t attribute, hid_t type, hid_t space, const char *name, size_t n,
                                lur_strings *strings) {
  char **texts = NULL;
  LUR_TRY(lur_alloc_items(n + 1, sizeof *texts, &texts));
  lur_status status = LUR_OK;
  if (H5Aread(attribute, type, texts) < 0) status = lur_h5_fail(h5, "cannot read attribute", name);
  for (size_t i = 0; i < n && status == LUR_OK; i++)
    status = add_text(h5, strings, texts[i] == NULL ? "" : texts[i], texts[i] == NULL ? 0 : strlen(texts[i]));
  H5Dvlen_reclaim(type, space, H5P_DEFAULT, texts);
  free(texts);
  return status;
}

static lur_status read_attribute(const lur_h5 *h5, hid_t object, const char *owner, const char *name,
                                 lur_strings *strings) {
  lur_status status = LUR_EFORMAT;
  hid_t type = H5I_INVALID_HID, space = H5I_INVALID_HID;
  hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  if (attribute >= 0) type = H5Aget_type(attribute);
  if (attribute >= 0) space = H5Aget_space(attribute);
  hssize_t n = space >= 0 ? H5Sget_simple_extent_npoints(space) : -1;
  if (type < 0 || n < 0) status = lur_h5_fail(h5, "cannot read attribute", name);
  else if (n == 0) status = LUR_OK;
  else if (H5Tget_class(type) != H5T_STRING)
    status = lur_fail(LUR_EFORMAT, "'%s': attribute '%s' of '%.120s' does not hold strings", h5->path, name, owner);
  else if ((status = make_room(h5, strings, (size_t)n)) == LUR_OK)
    status = H5Tis_variable_str(type) > 0 ? read_variable(h5, attribute, type, space, name, (size_t)n, strings)
                                          : read_fixed(h5, attribute, type, name, (size_t)n, strings);
  if (space >= 0) H5Sclose(space);
  if (type >= 0) H5Tclose(type);
  if (attribute >= 0) H5Aclose(attribute);
  return status;
}

lur_status lur_h5_strings(const lur_h5 *h5, hid_t object, const char *owner, const char *name, lur_strings *strings) {
  lur_strings made = {0};
  lur_status status = LUR_OK;
  char piece[96];
  snprintf(piece, sizeof piece, "%.80s0", name);
  if (lur_h5_has_attribute(object, name)) {
    status = read_attribute(h5, object, owner, name, &made);
  } else if (!lur_h5_has_attribute(object, piece)) {
    status = lur_fail(LUR_EFORMAT, "'%s': '%.120s' has no attribute '%s'", h5->path, owner, name);
  } else {
    for (int i = 0; i < MAX_PIECES && status == LUR_OK && lur_h5_has_attribute(object, piece); i++) {
      status = read_attribute(h5, object, owner, piece, &made);
      snprintf(piece, sizeof piece, "%.80s%d", name, i + 1);
    }
  }
  if (status == LUR_OK) *strings = made;
  else lur_strings_free(&made);
  return status;
}

/* ---- reading numbers ---- */

static lur_status dataset_shape(const lur_h5 *h5, hid_t dataset, const char *name, lur_shape *shape) {
  hsize_t extents[H5S_MAX_RANK];
  hid_t space = H5Dget_space(dataset);
  int ndim = space >= 0 ? H5Sget_simple_extent_dims(space, extents, NULL) : -1;
  if (space >= 0) H5Sclose(space);
  if (ndim < 0) return lur_h5_fail(h5, "cannot read the shape of", name);
  if (ndim > LUR_MAX_DIMS)
    return lur_fail(LUR_EFORMAT, "'%s': '%.120s' has %d dimensions, at most %d were expected", h5->path, name, ndim,
                    LUR_MAX_DIMS);
  lur_shape made = {.ndim = ndim};
  for (int i = 0; i < ndim; i++) {
    if (extents[i] > (hsize_t)1 << 40)
      return lur_fail(LUR_EFORMAT, "'%s': '%.120s' has an extent of %" PRIu64, h5->path, name, (uint64_t)extents[i]);
    made.dim[i] = (int64_t)extents[i];
  }
  if (lur_shape_check(&made) != LUR_OK) return lur_blame(LUR_EFORMAT, "'%s': '%.120s'", h5->path, name);
  *shape = made;
  return LUR_OK;
}

/* Checks that the dataset holds numbers, and in this file. */
static lur_status check_numbers(const lur_h5 *h5, hid_t dataset, const char *name) {
  hid_t type = H5Dget_type(dataset), plist = H5Dget_create_plist(dataset);
  H5T_class_t kind = type >= 0 ? H5Tget_class(type) : H5T_NO_CLASS;
  int external = plist >= 0 ? H5Pget_external_count(plist) : -1;
  if (type >= 0) H5Tclose(type);
  if (plist >= 0) H5Pclose(plist);
  if (kind != H5T_FLOAT && kind != H5T_INTEGER)
    return lur_fail(LUR_EFORMAT, "'%s': '%.120s' does not hold numbers", h5->path, name);
  if (external != 0) return lur_fail(LUR_EFORMAT, "'%s': '%.120s' keeps its values in another file", h5->path, name);
  return LUR_OK;
}

lur_status lur_h5_open_numbers(const lur_h5 *h5, hid_t group, const char *name, hid_t *dataset, lur_shape *shape) {
  hid_t opened = H5Dopen2(group, name, H5P_DEFAULT);
  if (opened < 0) return lur_h5_fail(h5, "cannot open the array", name);
  lur_status status = check_numbers(h5, opened, name);
  if (status == LUR_OK) status = dataset_shape(h5, opened, name, shape);
  if (status == LUR_OK) *dataset = opened;
  else H5Dclose(opened);
  return status;
}

lur_status lur_h5_read_numbers(const lur_h5 *h5, hid_t dataset, const char *name, int64_t count, float *values) {
  lur_shape shape;
  H5D_space_status_t allocated;
  LUR_TRY(dataset_shape(h5, dataset, name, &shape));
  if (lur_shape_count(&shape) != count)
    return lur_fail(LUR_EFORMAT, "'%s': '%.120s' has %" PRId64 " values, %" PRId64 " were expected", h5->path, name,
                    lur_shape_count(&shape), count);
  if (count == 0) return LUR_OK;
  if (H5Dget_space_status(dataset, &allocated) < 0 || allocated == H5D_SPACE_STATUS_NOT_ALLOCATED)
    return lur_fail(LUR_EFORMAT, "'%s': the values of '%.120s' were never written", h5->path, name);
  if (H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
    return lur_h5_fail(h5, "cannot read the array", name);
  return LUR_OK;
}

/* ---- writing strings ---- */

static size_t longest(int n, const char *const *texts) {
  size_t length = 1;
  for (int i = 0; i < n; i++)
    if (strlen(texts[i]) > length) length = strlen(texts[i]);
  return length;
}

/* One attribute; n < 0: a scalar. */
static lur_status put_attribute(const lur_h5 *h5, hid_t object, const char *name, int n, const char *const *texts) {
  int count = n < 0 ? 1 : n;
  size_t size = longest(count, texts);
  char *bytes = NULL;
  LUR_TRY(lur_alloc_items((size_t)count + 1, size, &bytes));
  for (int i = 0; i < count; i++) memcpy(bytes + (size_t)i * size, texts[i], strlen(texts[i]));
  /* An empty list has no string length; NumPy, and so Keras, writes it as float64. */
  hid_t type = H5Tcopy(n == 0 ? H5T_IEEE_F64LE : H5T_C_S1),
        space = n < 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &(hsize_t){(hsize_t)n}, NULL);
  hid_t attribute = H5I_INVALID_HID;
  bool good = type >= 0 && space >= 0;
  if (n != 0) good = good && H5Tset_size(type, size) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0;
  if (good) attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  good = attribute >= 0 && H5Awrite(attribute, type, bytes) >= 0;
  lur_status status = good ? LUR_OK : lur_h5_fail(h5, "cannot write attribute", name);
  if (attribute >= 0) H5Aclose(attribute);
  if (space >= 0) H5Sclose(space);
  if (type >= 0) H5Tclose(type);
  free(bytes);
  return status;
}

lur_status lur_h5_put_strings(const lur_h5 *h5, hid_t object, const char *name, int n, const char *const *texts) {
  if (n < 0 || (size_t)n * longest(n, texts) <= ATTRIBUTE_LIMIT) return put_attribute(h5, object, name, n, texts);
  int per_piece = (int)(ATTRIBUTE_LIMIT / longest(n, texts));
  if (per_piece == 0)
    return lur_fail(LUR_EARG, "'%s': a name in '%s' is longer than %d bytes", h5->path, name, ATTRIBUTE_LIMIT);
  for (int i = 0, piece = 0; i < n; i += per_piece, piece++) {
    char piece_name[96];
    snprintf(piece_name, sizeof piece_name, "%.80s%d", name, piece);
    LUR_TRY(put_attribute(h5, object, piece_name, n - i < per_piece ? n - i : per_piece, texts + i));
  }
  return LUR_OK;
}
