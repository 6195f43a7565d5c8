/* checkpoint.c - saves a run to one safetensors file and restores it: model definition, weights, optimizer arrays,
 * counters and the caller's metadata. run_state.c defines the state of a run (lur_run_export), safetensors_*.c the
 * format. This file defines the names:
 *
 *   LAYER/WEIGHT             weights
 *   optimizer/m/LAYER/WEIGHT the arrays of lur_run_export, after "optimizer/"
 *   lurcher.loss/LAYER/WEIGHT  weights that only a loss of the caller's own has
 *   lurcher.extra/NAME       the caller's tensors; restoring ignores them
 *   lurcher.model            the model definition, by lur_model_write_json, with the losses of the caller's own
 *   lurcher.state            counters, as JSON strings: JSON numbers have 53 bits
 *   lurcher.extra            the caller's metadata, if any
 *
 * To add a counter: a member of lurcher.state, with a default when it is absent, so that older files stay readable. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/json.h"
#include "engine/graph/graph.h"
#include "engine/run/state.h"
#include "files.h"

#define MODEL_KEY "lurcher.model"
#define STATE_KEY "lurcher.state"
#define METADATA_KEY "lurcher.extra"

/* ---- counters, written ---- */

static lur_status state_text(const lur_run *run, const lur_run_state *state, char **text) {
  lur_lines buffer = {0};
  /* Doubles are written as their bits in hexadecimal: exact, and independent of the locale's decimal point. */
  lur_lines_add(&buffer, "{\"iterations\":\"%" PRId64 "\",\"step\":\"%" PRIu64 "\",\"seed\":\"%" PRIu64 "\"",
                state->iterations, state->step, state->seed);
  uint64_t lr, m_schedule, loss_scale;
  memcpy(&lr, &state->lr, 8);
  memcpy(&m_schedule, &state->m_schedule, 8);
  memcpy(&loss_scale, &state->loss_scale, 8);
  if (state->loss_scale > 0)
    lur_lines_add(&buffer, ",\"loss_scale\":\"%016" PRIx64 "\",\"good_steps\":\"%" PRId64 "\"", loss_scale,
                  state->good_steps);
  lur_lines_add(&buffer, ",\"lr\":\"%016" PRIx64 "\",\"m_schedule\":\"%016" PRIx64 "\",\"optimizer\":\"%s\"}", lr,
                m_schedule, lur_run_optimizer_kind(run));
  return lur_lines_take(&buffer, text);
}

/* ---- checks ---- */

/* whole: verifies the checksum too. */
static lur_status open_checkpoint(lur_context *context, const char *path, bool whole, lur_archive **archive) {
  lur_archive *opened = NULL;
  if (whole) LUR_TRY(lur_archive_open(context, path, &opened));
  else LUR_TRY(lur_archive_open_structure(context, path, &opened));
  const char *kind = lur_archive_metadata(opened, LUR_KIND_KEY);
  lur_status status = LUR_OK;
  if (kind == NULL || strcmp(kind, LUR_KIND_CHECKPOINT) != 0)
    status = lur_fail(LUR_EFORMAT, "'%s' is not a checkpoint: %s (use model:load to load weights alone)", path,
                      kind == NULL ? "it is a plain safetensors file" : "it holds weights only");
  else if (lur_archive_metadata(opened, MODEL_KEY) == NULL || lur_archive_metadata(opened, STATE_KEY) == NULL)
    status =
        lur_fail(LUR_EFORMAT,
                 "'%s' is not a checkpoint of this version: its model definition or its counters are missing", path);
  if (status != LUR_OK) {
    lur_archive_close(opened);
    return status;
  }
  *archive = opened;
  return LUR_OK;
}

static bool is_optimizer_array(const char *name) {
  return strncmp(name, LUR_OPTIMIZER_PREFIX, strlen(LUR_OPTIMIZER_PREFIX)) == 0;
}

static bool has_prefix(const char *name, const char *prefix) { return strncmp(name, prefix, strlen(prefix)) == 0; }

bool lur_checkpoint_is_state(const char *name) {
  return is_optimizer_array(name) || has_prefix(name, LUR_EXTRA_PREFIX) || has_prefix(name, LUR_LOSS_PREFIX);
}

/* ---- weights ---- */

/* What a checkpoint has weights of: the layers of a model, then those that only its losses have. */
typedef struct holders {
  int n, nmodel;
  lur_layer *const *layers;
  bool same_losses; /* the file has every weight of the losses, too */
} holders;

static holders of_run(const lur_run *run) {
  holders h = {.nmodel = lur_model_layer_count(lur_run_model(run))};
  h.layers = lur_run_layers(run, &h.n);
  return h;
}

typedef char weight_name[LUR_NAME + 60]; /* "LAYER/WEIGHT", with the prefix of losses */

static const char *name_weight(const holders *h, int i, int k, weight_name name) {
  snprintf(name, sizeof(weight_name), "%s%s/%s", i < h->nmodel ? "" : LUR_LOSS_PREFIX, h->layers[i]->name,
           h->layers[i]->weights[k].name);
  return name;
}

static int count_weights(const holders *h, int nlayers) {
  int n = 0;
  for (int i = 0; i < nlayers; i++) n += h->layers[i]->nweights;
  return n;
}

/* Checks that the file has every weight of the model, with the same shape. The values may not exist yet. */
static lur_status compare_weights(const lur_archive *archive, const char *path, const holders *h) {
  char here[LUR_SHAPE_TEXT], there[LUR_SHAPE_TEXT];
  weight_name name;
  for (int i = 0; i < h->n; i++)
    for (int k = 0; k < h->layers[i]->nweights; k++) {
      int at = lur_archive_find(archive, name_weight(h, i, k, name));
      const lur_shape *shape = &h->layers[i]->weights[k].shape;
      if (at < 0 && i >= h->nmodel && !h->same_losses) continue;
      if (at < 0)
        return lur_fail(LUR_ESHAPE,
                        "'%s' belongs to another model: weight '%s' was expected, the file does not have it", path,
                        name);
      if (!lur_shape_equal(lur_archive_shape(archive, at), shape))
        return lur_fail(LUR_ESHAPE, "'%s' belongs to another model: weight '%s' is %s here and %s in the file", path,
                        name, lur_shape_format(shape, here),
                        lur_shape_format(lur_archive_shape(archive, at), there));
    }
  return LUR_OK;
}

static bool has_weight(const holders *h, const char *wanted) {
  weight_name name;
  for (int i = 0; i < h->nmodel; i++)
    for (int k = 0; k < h->layers[i]->nweights; k++)
      if (strcmp(name_weight(h, i, k, name), wanted) == 0) return true;
  return false;
}

/* Checks that the file has no weight that the model lacks. */
static lur_status compare_count(const lur_archive *archive, const char *path, const holders *h) {
  int weights = 0, expected = count_weights(h, h->nmodel);
  for (int i = 0; i < lur_archive_count(archive); i++)
    weights += !lur_checkpoint_is_state(lur_archive_name(archive, i));
  if (weights == expected) return LUR_OK;
  for (int i = 0; weights > expected && i < lur_archive_count(archive); i++) {
    const char *name = lur_archive_name(archive, i);
    if (!lur_checkpoint_is_state(name) && !has_weight(h, name))
      return lur_fail(LUR_ESHAPE, "'%s' belongs to another model: the file has a weight '%.200s', the model does not",
                      path, name);
  }
  return lur_fail(LUR_ESHAPE, "'%s' belongs to another model: it has %d weights, the model %d", path, weights,
                  expected);
}

/* ---- definitions ---- */

static void name_difference(lur_lines *where, const cJSON *file, const cJSON *model) {
  char *there = file == NULL ? NULL : lur_json_print(file),
       *here = model == NULL ? NULL : lur_json_print(model);
  where->failed = where->failed || (file != NULL && there == NULL) || (model != NULL && here == NULL);
  lur_lines_add(where, " is %.80s in the file and %.80s here", there == NULL ? "absent" : there,
                here == NULL ? "absent" : here);
  cJSON_free(there);
  cJSON_free(here);
}

/* Writes the position and the values of the first difference and returns true. `trainable` may differ: which layers are
   frozen belongs to the training, not to the model. */
static bool differs(const cJSON *file, const cJSON *model, lur_lines *where) {
  if (file == NULL || model == NULL || !cJSON_IsObject(file) != !cJSON_IsObject(model) ||
      !cJSON_IsArray(file) != !cJSON_IsArray(model) ||
      (!cJSON_IsObject(file) && !cJSON_IsArray(file) && !cJSON_Compare(file, model, true))) {
    name_difference(where, file, model);
    return true;
  }
  size_t length = where->length;
  bool is_object = cJSON_IsObject(file);
  const cJSON *a = file->child, *b = model->child;
  for (int i = 0; a != NULL || b != NULL; i++, a = a == NULL ? NULL : a->next, b = b == NULL ? NULL : b->next) {
    const char *key = a != NULL ? a->string : b->string;
    if (is_object && a != NULL && b != NULL && strcmp(a->string, b->string) == 0 && strcmp(key, "trainable") == 0)
      continue;
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(a != NULL ? a : b, "name"));
    if (is_object) lur_lines_add(where, " %.60s", key);
    else if (name != NULL) lur_lines_add(where, " '%.60s'", name);
    else lur_lines_add(where, " %d", i);
    const cJSON *other = is_object && a != NULL && b != NULL && strcmp(a->string, b->string) != 0 ? NULL : b;
    if (differs(a, other, where)) return true;
    where->length = length;
    if (where->bytes != NULL) where->bytes[length] = '\0';
  }
  return false;
}

/* The file's loss of that output, or NULL. */
static const cJSON *find_loss(const cJSON *losses, const char *output) {
  const cJSON *loss = NULL;
  cJSON_ArrayForEach(loss, losses) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(loss, "output"));
    if (name && output && strcmp(name, output) == 0) return loss;
  }
  return NULL;
}

/* Losses of the caller's own, of outputs that have one in the file and here, must be equal. */
static lur_status compare_losses(const char *path, const cJSON *file, const cJSON *here) {
  const cJSON *loss = NULL;
  lur_lines where = {0};
  lur_status status = LUR_OK;
  cJSON_ArrayForEach(loss, here) {
    const char *output = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(loss, "output"));
    const cJSON *other = find_loss(file, output);
    char *place = NULL;
    if (!other || !differs(other, loss, &where)) continue;
    status = lur_lines_take(&where, &place);
    if (status == LUR_OK)
      status = lur_fail(LUR_ESHAPE,
                        "'%s' was trained with another loss of output '%s':%s (load its weights only, or compile with "
                        "the loss that nn.load finds in it)",
                        path, output, place);
    free(place);
    break;
  }
  free(where.bytes);
  return status;
}

static lur_status compare_definitions(const char *path, const char *file_text, const char *model_text) {
  lur_status status = LUR_OK;
  lur_lines where = {0};
  char *place = NULL;
  cJSON *file = NULL, *model = NULL, *file_losses = NULL, *losses = NULL;
  status = lur_json_parse(file_text, &file);
  if (status != LUR_OK) return lur_blame(status, "'%s': its model definition", path);
  status = lur_json_parse(model_text, &model);
  file_losses = cJSON_DetachItemFromObjectCaseSensitive(file, "losses");
  losses = cJSON_DetachItemFromObjectCaseSensitive(model, "losses");
  if (status == LUR_OK && differs(file, model, &where) && (status = lur_lines_take(&where, &place)) == LUR_OK)
    status = lur_fail(LUR_ESHAPE, "'%s' belongs to another model:%s", path, place);
  if (status == LUR_OK) status = compare_losses(path, file_losses, losses);
  free(where.bytes);
  free(place);
  cJSON_Delete(file_losses);
  cJSON_Delete(losses);
  cJSON_Delete(file);
  cJSON_Delete(model);
  return status;
}

static lur_status definition_of(const lur_model *model, const lur_run *run, char **text) {
  lur_output_loss losses[LUR_MAX_OUTPUTS];
  if (!run) return lur_model_to_json(model, text);
  return lur_model_write_json(model, lur_run_graphs(run, losses), losses, text);
}

/* Checks that names, shapes and options are equal; the message names the first difference. run: NULL, or its losses are
   compared too. */
static lur_status compare_models(const lur_archive *archive, const char *path, const lur_model *model,
                                 const lur_run *run, const holders *h) {
  char *text = NULL;
  LUR_TRY(compare_weights(archive, path, h));
  LUR_TRY(compare_count(archive, path, h));
  LUR_TRY(definition_of(model, run, &text));
  lur_status status = compare_definitions(path, lur_archive_metadata(archive, MODEL_KEY), text);
  lur_text_free(text);
  return status;
}

/* ---- counters ---- */

static bool read_number(const cJSON *json, const char *key, int base, uint64_t *value) {
  const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
  char *end = NULL;
  if (text == NULL || text[0] == '\0') return false;
  errno = 0;
  *value = strtoull(text, &end, base);
  return errno == 0 && *end == '\0';
}

/* Absent from files of runs without loss scaling, and from older files. */
static bool read_loss_scale(const cJSON *json, lur_run_state *state) {
  uint64_t scale = 0, steps = 0;
  if (!cJSON_HasObjectItem(json, "loss_scale")) return true;
  if (!read_number(json, "loss_scale", 16, &scale) || !read_number(json, "good_steps", 10, &steps)) return false;
  memcpy(&state->loss_scale, &scale, 8);
  state->good_steps = (int64_t)steps;
  return state->loss_scale >= 1 && state->loss_scale <= 16777216 && steps < 1000000;
}

/* The arrays of one optimizer have no meaning for another. A run without an optimizer takes weights and counters. */
static lur_status check_optimizer(const char *path, const cJSON *json, const lur_run *run) {
  const char *there = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "optimizer")),
             *here = lur_run_optimizer_kind(run);
  if (there == NULL) return lur_fail(LUR_EFORMAT, "'%s': its counters do not name an optimizer", path);
  if (strcmp(here, "none") == 0 || strcmp(there, here) == 0) return LUR_OK;
  return lur_fail(LUR_ESTATE,
                  "'%s' was trained with optimizer '%.40s', this run has '%s': load its weights only, or compile with "
                  "the same optimizer",
                  path, there, here);
}

static lur_status read_counters(const char *path, const char *text, const lur_run *run, lur_run_state *state) {
  cJSON *json = NULL;
  lur_status status = lur_json_parse(text, &json);
  if (status != LUR_OK) return lur_blame(status, "'%s': its counters", path);
  uint64_t iterations = 0, lr = 0, m_schedule = 0;
  bool good = read_number(json, "iterations", 10, &iterations) && read_number(json, "step", 10, &state->step) &&
              read_number(json, "seed", 10, &state->seed) && read_number(json, "lr", 16, &lr) &&
              read_number(json, "m_schedule", 16, &m_schedule) && iterations <= INT64_MAX &&
              read_loss_scale(json, state);
  if (good) status = check_optimizer(path, json, run);
  cJSON_Delete(json);
  if (status != LUR_OK) return status;
  if (!good) return lur_fail(LUR_EFORMAT, "'%s': its counters cannot be read: %.100s", path, text);
  state->iterations = (int64_t)iterations;
  memcpy(&state->lr, &lr, 8);
  memcpy(&state->m_schedule, &m_schedule, 8);
  return LUR_OK;
}

static lur_status read_state(lur_archive *archive, const char *path, const lur_run *run, lur_run_state *state) {
  LUR_TRY(read_counters(path, lur_archive_metadata(archive, STATE_KEY), run, state));
  if (strcmp(lur_run_optimizer_kind(run), "none") == 0) return LUR_OK;
  int n = 0;
  for (int i = 0; i < lur_archive_count(archive); i++) n += is_optimizer_array(lur_archive_name(archive, i));
  LUR_TRY(lur_alloc_items((size_t)n + 1, sizeof *state->names, &state->names));
  LUR_TRY(lur_alloc_items((size_t)n + 1, sizeof *state->tensors, &state->tensors));
  for (int i = 0; i < lur_archive_count(archive); i++) {
    const char *name = lur_archive_name(archive, i);
    if (!is_optimizer_array(name)) continue;
    name += strlen(LUR_OPTIMIZER_PREFIX);
    if (strlen(name) >= sizeof *state->names)
      return lur_fail(LUR_EFORMAT, "'%s': an optimizer array has a name of %zu bytes, at most %zu were expected", path,
                      strlen(name), sizeof *state->names - 1);
    LUR_TRY(lur_archive_read(archive, i, &state->tensors[state->n]));
    memcpy(state->names[state->n++], name, strlen(name) + 1);
  }
  return LUR_OK;
}

/* ---- restore ---- */

/* Reads into new tensors, so that a failure changes nothing. NULL: a loss's weight that the file does not have. */
static lur_status read_weights(lur_archive *archive, const char *path, const holders *h, lur_tensor **values) {
  weight_name name;
  for (int i = 0; i < h->n; i++)
    for (int k = 0; k < h->layers[i]->nweights; k++, values++) {
      int at = lur_archive_find(archive, name_weight(h, i, k, name));
      if (at < 0) continue; /* compare_weights has passed it */
      LUR_TRY(lur_archive_read(archive, at, values));
      if (lur_tensor_dtype(*values) != LUR_F32)
        return lur_fail(LUR_ETYPE, "'%s': weight '%s' is %s, f32 was expected", path, name,
                        lur_dtype_name(lur_tensor_dtype(*values)));
    }
  return LUR_OK;
}

/* values: in the order of read_weights. */
static lur_status set_weights(const holders *h, lur_tensor *const *values) {
  for (int i = 0; i < h->n; i++)
    for (int k = 0; k < h->layers[i]->nweights; k++, values++)
      if (*values) LUR_TRY(lur_layer_set_weight(h->layers[i], k, *values));
  return LUR_OK;
}

static lur_status copy_metadata(const lur_archive *archive, char **metadata) {
  const char *text = lur_archive_metadata(archive, METADATA_KEY);
  *metadata = NULL;
  return text == NULL ? LUR_OK : lur_text_copy(text, metadata);
}

/* run may be NULL: weights only. The weights of the model may have no values yet: they get them when all is checked. */
static lur_status restore(lur_archive *archive, const char *path, lur_model *model, lur_run *run, const holders *h) {
  int n = count_weights(h, h->n);
  lur_run_state state = {0};
  lur_tensor **values = NULL;
  lur_status status = compare_models(archive, path, model, run, h);
  if (status == LUR_OK) status = lur_alloc_items((size_t)n + 1, sizeof *values, &values);
  if (status == LUR_OK) status = read_weights(archive, path, h, values);
  if (status == LUR_OK && run != NULL) status = read_state(archive, path, run, &state);
  if (status == LUR_OK) status = lur_model_make_weights(model, false);
  if (status == LUR_OK && run != NULL && (status = lur_run_import(run, &state)) != LUR_OK)
    lur_blame(status, "'%s'", path);
  if (status == LUR_OK) status = set_weights(h, values);
  for (int i = 0; values != NULL && i < n; i++) lur_tensor_release(values[i]);
  free(values);
  lur_run_state_free(&state);
  return status;
}

lur_status lur_run_restore(lur_run *run, const char *path, char **metadata) {
  lur_archive *archive = NULL;
  char *text = NULL;
  lur_model *model = lur_run_model(run);
  LUR_TRY(open_checkpoint(lur_model_context(model), path, true, &archive));
  lur_status status = copy_metadata(archive, &text);
  const holders all = of_run(run);
  if (status == LUR_OK) status = restore(archive, path, model, run, &all);
  lur_archive_close(archive);
  if (status == LUR_OK && metadata != NULL) *metadata = text;
  else free(text);
  return status;
}

/* Restores the weights of a model that was read from the file, and of its losses; or, without values, checks them. */
static lur_status restore_model(lur_archive *archive, const char *path, lur_model *model, bool values) {
  holders all = {.nmodel = model->nlayers, .same_losses = true};
  lur_layer **layers = NULL;
  LUR_TRY(lur_model_all_layers(model, model->nlosses, model->losses, &layers, &all.n));
  all.layers = layers;
  lur_status status = values ? restore(archive, path, model, NULL, &all) : compare_weights(archive, path, &all);
  free(layers);
  return status;
}

lur_status lur_model_load(lur_context *context, const char *path, lur_model **model, char **metadata) {
  lur_archive *archive = NULL;
  lur_model *made = NULL;
  char *text = NULL;
  LUR_TRY(open_checkpoint(context, path, true, &archive));
  lur_status status = lur_model_read_json(context, lur_archive_metadata(archive, MODEL_KEY), &made);
  if (status != LUR_OK) lur_blame(status, "'%s'", path);
  if (status == LUR_OK) status = copy_metadata(archive, &text);
  if (status == LUR_OK) status = restore_model(archive, path, made, true);
  lur_archive_close(archive);
  if (status != LUR_OK) {
    free(text);
    lur_model_release(made);
    return status;
  }
  *model = made;
  if (metadata != NULL) *metadata = text;
  else free(text);
  return LUR_OK;
}

/* ---- save ---- */

typedef struct written { /* what a file that is read back must hold */
  lur_run *run;
  const char *metadata; /* NULL: none */
} written;

/* Reads the header as a load would do: definition, names and shapes of the weights, counters, metadata. The data were
   written by calls that report their failures. */
static lur_status verify(void *user, const char *temporary) {
  const written *w = user;
  lur_model *model = NULL;
  lur_archive *archive = NULL;
  lur_run_state state = {0};
  lur_context *context = lur_model_context(lur_run_model(w->run));
  LUR_TRY(open_checkpoint(context, temporary, false, &archive));
  lur_status status = lur_model_read_json(context, lur_archive_metadata(archive, MODEL_KEY), &model);
  const holders all = of_run(w->run);
  if (status == LUR_OK) status = restore_model(archive, temporary, model, false);
  if (status == LUR_OK) status = compare_count(archive, temporary, &all);
  if (status == LUR_OK)
    status = read_counters(temporary, lur_archive_metadata(archive, STATE_KEY), w->run, &state);
  const char *metadata = lur_archive_metadata(archive, METADATA_KEY);
  if (status == LUR_OK && (w->metadata == NULL ? metadata != NULL : !metadata || strcmp(metadata, w->metadata) != 0))
    status = lur_fail(LUR_EFORMAT, "'%s': its metadata are not those that were saved", temporary);
  lur_model_release(model);
  lur_archive_close(archive);
  return status;
}

lur_status lur_run_save_with(lur_run *run, const char *path, const char *metadata, int n, const char *const *names,
                             lur_tensor *const *tensors) {
  lur_run_state state = {0};
  lur_named named = {0};
  char *model = NULL, *counters = NULL;
  weight_name name;
  const holders all = of_run(run);
  lur_status status = definition_of(lur_run_model(run), run, &model);
  if (status == LUR_OK) status = lur_run_export(run, &state);
  if (status == LUR_OK) status = state_text(run, &state, &counters);
  for (int i = 0; i < all.n; i++)
    for (int k = 0; status == LUR_OK && k < all.layers[i]->nweights; k++)
      status = lur_named_add(&named, all.layers[i]->weights[k].value, "%s", name_weight(&all, i, k, name));
  for (int i = 0; status == LUR_OK && i < state.n; i++)
    status = lur_named_add(&named, state.tensors[i], LUR_OPTIMIZER_PREFIX "%s", state.names[i]);
  for (int i = 0; status == LUR_OK && i < n; i++)
    status = lur_named_add(&named, tensors[i], LUR_EXTRA_PREFIX "%s", names[i]);
  if (status == LUR_OK) {
    const char *pairs[] = {LUR_KIND_KEY, LUR_KIND_CHECKPOINT, MODEL_KEY, model, STATE_KEY,
                           counters,     METADATA_KEY,        metadata};
    status = lur_safetensors_write(path, named.n, (const char *const *)named.names, named.tensors,
                                   metadata == NULL ? 3 : 4, pairs, verify, &(written){run, metadata});
  }
  lur_named_release(&named);
  lur_run_state_free(&state);
  free(counters);
  lur_text_free(model);
  return status;
}

lur_status lur_run_save(lur_run *run, const char *path, const char *metadata) {
  return lur_run_save_with(run, path, metadata, 0, NULL, NULL);
}
