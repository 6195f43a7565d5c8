/* weights_apply.c - loads a file's layers into a model: the list that readers of formats fill, the match by
 * weights_match.c, the report, and the values, all of which are read before the first weight changes. It knows no
 * format. */
#include <stdlib.h>
#include <string.h>

#include "files.h"

/* ---- the list ---- */

static lur_status add_layer(lur_weight_file *file, const char *name) {
  if ((file->nlayers & (file->nlayers + 1)) == 0 || file->layers == NULL) { /* capacity grows at 0, 1, 3, 7, ... */
    lur_file_layer *layers = realloc(file->layers, (size_t)(2 * file->nlayers + 1) * sizeof *layers);
    if (layers == NULL) return lur_fail(LUR_ENOMEM, "no memory for the layers of '%s'", file->path);
    file->layers = layers;
  }
  file->layers[file->nlayers] = (lur_file_layer){0};
  LUR_TRY(lur_text_copy(name, &file->layers[file->nlayers].name));
  file->nlayers++;
  return LUR_OK;
}

lur_status lur_weight_file_add(lur_weight_file *file, int from, const char *layer, const char *array,
                               const lur_shape *shape, int source) {
  int at = from;
  while (at < file->nlayers && strcmp(file->layers[at].name, layer) != 0) at++;
  if (at == file->nlayers) LUR_TRY(add_layer(file, layer));
  lur_file_layer *to = &file->layers[at];
  lur_file_array *arrays = realloc(to->arrays, (size_t)(to->narrays + 1) * sizeof *arrays);
  if (arrays == NULL) return lur_fail(LUR_ENOMEM, "no memory for the arrays of '%s'", file->path);
  to->arrays = arrays;
  arrays[to->narrays] = (lur_file_array){.shape = *shape, .source = source};
  LUR_TRY(lur_text_copy(array, &arrays[to->narrays].name));
  to->narrays++;
  return LUR_OK;
}

void lur_weight_file_release(lur_weight_file *file) {
  if (file->close != NULL) file->close(file);
  for (int i = 0; i < file->nlayers; i++) {
    for (int k = 0; k < file->layers[i].narrays; k++) free(file->layers[i].arrays[k].name);
    free(file->layers[i].arrays);
    free(file->layers[i].name);
    free(file->layers[i].inner);
  }
  free(file->layers);
  free(file->path);
  *file = (lur_weight_file){0};
}

/* ---- the report ---- */

void lur_load_report_free(lur_load_report *report) {
  if (report == NULL) return;
  free(report->text);
  *report = (lur_load_report){0};
}

static bool is_used(const lur_pairing *pairings, int n, int from) {
  for (int i = 0; i < n; i++)
    if (pairings[i].from == from) return true;
  return false;
}

/* Counts layers, and writes a line for each that is missing, unused or does not fit. */
static void make_report(const lur_weight_file *file, lur_pairing *pairings, int n, lur_load_report *report,
                        lur_lines *lines) {
  for (int i = 0; i < n; i++) {
    const char *name = lur_layer_name(pairings[i].layer);
    int from = pairings[i].from;
    if (pairings[i].fits) {
      report->loaded++;
    } else if (from < 0) {
      if (lur_layer_is_given(pairings[i].layer)) continue;
      report->missing++;
      lur_lines_add(lines, "%s: missing in the file\n", name);
    } else {
      report->mismatched++;
      lur_lines_add(lines, "%s: ", name);
      (void)lur_weights_fit(&file->layers[from], &pairings[i], lines);
      lur_lines_add(lines, strcmp(file->layers[from].name, name) == 0 ? "\n" : " (as '%s')\n", file->layers[from].name);
    }
  }
  for (int i = 0; i < file->nlayers; i++)
    if (!is_used(pairings, n, i)) {
      report->unused++;
      lur_lines_add(lines, "%s: in the file, not in the model\n", file->layers[i].name);
    }
}

/* Length of the first line of the report. */
static int first_line(const lur_load_report *report) { return (int)strcspn(report->text, "\n"); }

static lur_status check_report(const lur_weight_file *file, int n, lur_load_extent extent,
                               const lur_load_report *report) {
  int wanted = report->loaded + report->missing + report->mismatched;
  lur_status wrong = report->mismatched > 0 ? LUR_ESHAPE : LUR_EFORMAT;
  if (n == 0) return lur_fail(LUR_ESTATE, "'%s': the model has no layer with weights", file->path);
  if (file->nlayers == 0) return lur_fail(LUR_EFORMAT, "'%s' holds no layer with weights", file->path);
  if (report->loaded == 0)
    return lur_fail(LUR_ESHAPE, "'%s' does not fit: none of the model's %d layers with weights can be loaded (%.*s)",
                    file->path, n, first_line(report), report->text);
  if (extent == LUR_LOAD_ALL && report->missing + report->mismatched > 0)
    return lur_fail(wrong, "'%s' does not fit: %d layers are missing, %d have other shapes; the first: %.*s",
                    file->path, report->missing, report->mismatched, first_line(report), report->text);
  if (extent == LUR_LOAD_MOST && 2 * report->loaded < wanted)
    return lur_fail(wrong,
                    "'%s' does not fit: only %d of the model's %d layers with weights can be loaded, %d are missing, "
                    "%d have other shapes; the first: %.*s; load it with partial = true to keep the other layers",
                    file->path, report->loaded, wanted, report->missing, report->mismatched, first_line(report),
                    report->text);
  return LUR_OK;
}

/* ---- values ---- */

static lur_status read_layer(lur_weight_file *file, const lur_pairing *pairing, lur_context *context,
                             lur_tensor **values) {
  for (int k = 0; k < lur_layer_weight_count(pairing->layer); k++) {
    const lur_file_array *array = &file->layers[pairing->from].arrays[pairing->arrays[k]];
    const lur_shape *shape = lur_tensor_shape(lur_layer_weight(pairing->layer, k)); /* the file's may differ in form */
    LUR_TRY(lur_tensor_new(context, NULL, LUR_F32, shape, &values[k]));
    LUR_TRY(file->read(file, array, lur_tensor_data(values[k])));
  }
  return LUR_OK;
}

/* Reads everything before it sets anything, so that a truncated file changes nothing. */
static lur_status load_values(lur_model *model, lur_weight_file *file, const lur_pairing *pairings, int n) {
  lur_tensor *(*values)[LUR_MAX_WEIGHTS] = NULL;
  LUR_TRY(lur_alloc_items((size_t)n + 1, sizeof *values, &values));
  lur_status status = LUR_OK;
  for (int i = 0; i < n && status == LUR_OK; i++)
    if (pairings[i].fits) status = read_layer(file, &pairings[i], lur_model_context(model), values[i]);
  for (int i = 0; i < n && status == LUR_OK; i++)
    for (int k = 0; pairings[i].fits && k < lur_layer_weight_count(pairings[i].layer) && status == LUR_OK; k++)
      status = lur_layer_set_weight(pairings[i].layer, k, values[i][k]);
  for (int i = 0; i < n; i++)
    for (int k = 0; k < LUR_MAX_WEIGHTS; k++) lur_tensor_release(values[i][k]);
  free(values);
  return status;
}

lur_status lur_weights_apply(lur_model *model, lur_weight_file *file, lur_load_match match, lur_load_extent extent,
                             lur_load_report *report) {
  lur_pairing *pairings = NULL;
  lur_load_report made = {0};
  lur_lines lines = {0}, notes = {0};
  int n = 0;
  lur_status status = lur_alloc_items((size_t)lur_model_layer_count(model) + 1, sizeof *pairings, &pairings);
  if (status == LUR_OK) status = lur_weights_match(model, file, match, pairings, &n, &notes);
  if (status == LUR_OK) {
    make_report(file, pairings, n, &made, &lines);
    lur_lines_add(&lines, "%s", notes.bytes == NULL ? "" : notes.bytes);
    if (file->note != NULL) lur_lines_add(&lines, "%s\n", file->note);
    status = lur_lines_take(&lines, &made.text);
  }
  if (status == LUR_OK) status = check_report(file, n, extent, &made);
  if (status == LUR_OK) status = load_values(model, file, pairings, n);
  if (status == LUR_OK && report != NULL) *report = made;
  else lur_load_report_free(&made);
  free(lines.bytes);
  free(notes.bytes);
  free(pairings);
  return status;
}
