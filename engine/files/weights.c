/* weights.c - lur_model_load_weights and lur_model_save_weights: choose the format: when loading, by the file's first
 * bytes, whatever its name; when saving, by the extension. Each format has its own file. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "files.h"

/* ---- load ---- */

typedef enum format { FORMAT_UNKNOWN, FORMAT_EMPTY, FORMAT_HDF5, FORMAT_SAFETENSORS, FORMAT_ZIP } format;

/* HDF5's signature is at 0, or after a user block of 512, 1024, 2048, ... bytes. */
static bool is_hdf5(int fd, const char *path, uint64_t size) {
  static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
  unsigned char bytes[8];
  for (uint64_t at = 0; at < size && size - at >= 8; at = at == 0 ? 512 : 2 * at)
    if (lur_file_read_at(fd, path, at, bytes, 8) == LUR_OK && memcmp(bytes, signature, 8) == 0) return true;
  return false;
}

static lur_status recognise(const char *path, format *found, unsigned char head[16]) {
  int fd = -1;
  uint64_t size = 0;
  memset(head, 0, 16);
  LUR_TRY(lur_file_open(path, &fd, &size));
  lur_status status = lur_file_read_at(fd, path, 0, head, size < 16 ? (size_t)size : 16);
  if (status == LUR_OK) {
    *found = size == 0                                              ? FORMAT_EMPTY
             : memcmp(head, "PK\3\4", 4) == 0                       ? FORMAT_ZIP
             : is_hdf5(fd, path, size)                              ? FORMAT_HDF5
             : size > 8 && head[8] == '{' && head[6] + head[7] == 0 ? FORMAT_SAFETENSORS
                                                                    : FORMAT_UNKNOWN;
  }
  close(fd);
  return status;
}

/* Reports the first bytes, unprintable ones as dots. */
static lur_status reject(const char *path, const unsigned char head[16]) {
  char text[17] = {0};
  for (int i = 0; i < 16; i++) text[i] = head[i] >= ' ' && head[i] < 127 ? (char)head[i] : '.';
  return lur_fail(LUR_EFORMAT, "'%s' is not a weights file: HDF5 or safetensors was expected, it begins with \"%s\"",
                  path, text);
}

static lur_status open_weights(lur_model *model, const char *path, lur_weight_file *file) {
  format found = FORMAT_UNKNOWN;
  unsigned char head[16];
  LUR_TRY(recognise(path, &found, head));
  LUR_TRY(lur_text_copy(path, &file->path));
  switch (found) {
  case FORMAT_HDF5: return lur_keras_open(file, false);
  case FORMAT_SAFETENSORS: return lur_safetensors_open_weights(file, model);
  case FORMAT_EMPTY: return lur_fail(LUR_EFORMAT, "'%s' is not a weights file: it is empty", path);
  case FORMAT_ZIP: return lur_keras_open(file, true);
  case FORMAT_UNKNOWN: break;
  }
  return reject(path, head);
}

lur_status lur_model_load_weights(lur_model *model, const char *path, lur_load_match match, lur_load_extent extent,
                                  lur_load_report *report) {
  lur_weight_file file = {0};
  lur_status status = open_weights(model, path, &file);
  if (status == LUR_OK) status = lur_weights_apply(model, &file, match, extent, report);
  lur_weight_file_release(&file);
  return status;
}

/* ---- save ---- */

static bool ends_with(const char *text, const char *end) {
  size_t n = strlen(text), m = strlen(end);
  return n >= m && strcasecmp(text + n - m, end) == 0;
}

static lur_status save_safetensors(const lur_model *model, const char *path) {
  static const char *const metadata[] = {LUR_KIND_KEY, LUR_KIND_WEIGHTS};
  lur_named named = {0};
  lur_status status = lur_named_add_weights(&named, model);
  if (status == LUR_OK)
    status = lur_safetensors_write(path, named.n, (const char *const *)named.names, named.tensors, 1, metadata,
                                   NULL, NULL);
  lur_named_release(&named);
  return status;
}

lur_status lur_model_save_weights(lur_model *model, const char *path) {
  if (path == NULL) return lur_fail(LUR_EARG, "cannot write a file without a name");
  if (ends_with(path, ".safetensors")) return save_safetensors(model, path);
  if (ends_with(path, ".weights.h5"))
    return lur_fail(
        LUR_EARG, "cannot write '%s': Keras 3's .weights.h5 layout can be read but not written; use the extension .h5",
        path);
  if (ends_with(path, ".h5") || ends_with(path, ".hdf5")) return lur_keras_save(model, path);
  return lur_fail(LUR_EARG, "cannot write '%s': a name ending in .h5 or .safetensors was expected", path);
}
