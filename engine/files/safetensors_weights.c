/* safetensors_weights.c - a safetensors file as a list of layers: Lurcher's own names LAYER/WEIGHT, of weights files
 * and of checkpoints (whose other arrays are skipped), or PyTorch's names where the model knows them. */
#include <stdlib.h>
#include <string.h>

#include "files.h"

/* source: the archive's index, and the order of the array in it. */
static int pack(int index, lur_torch_order order) { return index * 4 + (int)order; }

static lur_status read_array(lur_weight_file *file, const lur_file_array *array, float *values) {
  lur_archive *archive = file->self;
  lur_tensor *raw = NULL, *real = NULL;
  LUR_TRY(lur_archive_read(archive, array->source / 4, &raw));
  lur_status status = lur_tensor_cast(raw, LUR_F32, &real);
  if (status == LUR_OK)
    lur_torch_transpose((lur_torch_order)(array->source % 4), lur_tensor_shape(real), lur_tensor_data(real), values);
  lur_tensor_release(real);
  lur_tensor_release(raw);
  return status;
}

static void close_archive(lur_weight_file *file) { lur_archive_close(file->self); }

/* ---- Lurcher's names ---- */

static lur_status add_ours(lur_weight_file *file, const lur_archive *archive) {
  const char *kind = lur_archive_metadata(archive, LUR_KIND_KEY);
  bool checkpoint = kind != NULL && strcmp(kind, LUR_KIND_CHECKPOINT) == 0;
  for (int i = 0; i < lur_archive_count(archive); i++) {
    const char *name = lur_archive_name(archive, i), *slash = strrchr(name, '/');
    if (slash == NULL || (checkpoint && lur_checkpoint_is_state(name))) continue;
    char *layer = strndup(name, (size_t)(slash - name));
    if (layer == NULL) return lur_fail(LUR_ENOMEM, "no memory for the name '%.100s'", name);
    lur_status status =
        lur_weight_file_add(file, 0, layer, slash + 1, lur_archive_shape(archive, i), pack(i, LUR_TORCH_SAME));
    free(layer);
    LUR_TRY(status);
  }
  return LUR_OK;
}

/* ---- PyTorch's names ---- */

static lur_status add_torch(lur_weight_file *file, const lur_model *model, const lur_archive *archive) {
  for (int i = 0; i < lur_archive_count(archive); i++) {
    const char *name = lur_archive_name(archive, i);
    const lur_shape *from = lur_archive_shape(archive, i);
    lur_torch_name to;
    lur_shape shape;
    if (lur_torch_ignores(name)) continue;
    if (!lur_torch_translate(model, name, from->ndim, &to) || !lur_torch_shape(to.order, from, &shape)) {
      /* Named in the report as unused. */
      LUR_TRY(lur_weight_file_add(file, 0, name, "weight", from, pack(i, LUR_TORCH_SAME)));
      continue;
    }
    LUR_TRY(lur_weight_file_add(file, 0, to.layer, to.weight, &shape, pack(i, to.order)));
  }
  return LUR_OK;
}

/* ---- which of the two ---- */

static void count_names(const lur_archive *archive, const lur_model *model, int *ours, int *torch) {
  *ours = *torch = 0;
  for (int i = 0; i < lur_archive_count(archive); i++) {
    lur_torch_name to;
    const char *name = lur_archive_name(archive, i);
    *ours += strchr(name, '/') != NULL;
    *torch += lur_torch_translate(model, name, lur_archive_shape(archive, i)->ndim, &to);
  }
}

lur_status lur_safetensors_open_weights(lur_weight_file *file, const lur_model *model) {
  lur_archive *archive = NULL;
  int ours, torch;
  LUR_TRY(lur_archive_open(lur_model_context(model), file->path, &archive));
  file->self = archive;
  file->read = read_array;
  file->close = close_archive;
  if (lur_archive_is_resaved(archive))
    file->note = "the file was saved again by another program, and its checksum no longer applies: not verified";
  count_names(archive, model, &ours, &torch);
  if (ours > 0 && ours >= torch) return add_ours(file, archive);
  if (torch > 0) {
    file->unordered = true; /* state dicts are often sorted by name */
    return add_torch(file, model, archive);
  }
  return lur_fail(
      LUR_EFORMAT,
      "'%s' holds no weights of this model: names like 'LAYER/kernel', or names given with weight_names, were "
      "expected, got '%.100s'",
      file->path, lur_archive_count(archive) > 0 ? lur_archive_name(archive, 0) : "no tensor");
}
