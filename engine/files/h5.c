/* h5.c - see h5.h. It knows libhdf5, not Keras: no name of a layer or weight is here. */
#include "h5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ATTRIBUTE_LIMIT = 64512 }; /* Keras 2.1.5's HDF5_OBJECT_HEADER_LIMIT */

/* ---- errors ---- */

static herr_t keep_innermost(unsigned n, const H5E_error2_t *error, void *reason) {
  (void)n;
  if (error->desc != NULL && error->desc[0] != '\0') snprintf(reason, 160, "%s", error->desc);
  return 0;
}

lur_status lur_h5_fail(const lur_h5 *h5, const char *what, const char *name) {
  char reason[160] = "";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_innermost, reason);
  /* Walking downward ends at the innermost entry, the reason of all the others. */
  return lur_fail(LUR_EFORMAT, "'%s': %s '%.120s'%s%.160s", h5->path, what, name, reason[0] != '\0' ? ": " : "",
                  reason);
}

/* ---- open and close ---- */

static void silence(lur_h5 *h5, const char *path) {
  *h5 = (lur_h5){.path = path, .file = H5I_INVALID_HID};
  H5Eget_auto2(H5E_DEFAULT, &h5->printer, &h5->printer_data);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  H5Eclear2(H5E_DEFAULT);
}

lur_status lur_h5_create(const char *path, lur_h5 *h5) {
  silence(h5, path);
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  /* No backing store: bytes reach the disk through our own atomic writer. */
  if (access >= 0 && H5Pset_fapl_core(access, (size_t)1 << 20, false) >= 0)
    h5->file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
  lur_status status = h5->file >= 0 ? LUR_OK : lur_h5_fail(h5, "cannot make", "HDF5 in memory");
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
  if (size < 0) return lur_h5_fail(h5, "cannot take the bytes of", "HDF5 in memory");
  void *image = malloc((size_t)size + 1);
  if (image == NULL) return lur_fail(LUR_ENOMEM, "no memory for the %zd bytes of '%s'", size, h5->path);
  if (H5Fget_file_image(h5->file, image, (size_t)size) != size) {
    free(image);
    return lur_h5_fail(h5, "cannot take the bytes of", "HDF5 in memory");
  }
  *bytes = image;
  *count = (size_t)size;
  return LUR_OK;
}

/* ---- texts ---- */

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
  /* An empty list has no text to take a length from; NumPy, and so Keras, writes it as float64. */
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
