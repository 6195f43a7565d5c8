/* weights_match.c - matches the layers of a file to those of a model. It reads no file and changes no weight.
 *
 * BY_ORDER: the k-th layer with weights of the file to the k-th of the model; their numbers must agree (the default of
 * Keras 2.0.6 load_weights, keras/engine/topology.py). BY_NAME: equal names; the rest is missing or unused (Keras's
 * by_name). AUTO: names that a user chose are matched by name. Automatic names (conv2d_4, batch_normalization_1: a
 * class and a counter, which depends on what else the process had built) are matched separately for each kind of layer,
 * both sides sorted by counter:
 *   - the same number on both sides: first to first, whatever the counters;
 *   - otherwise by equal names, if both lists begin at the same counter and all of the shorter one are in the longer
 *     one and fit;
 *   - otherwise by the shift of one list along the other with which all shapes fit, if there is only one: what fits in
 *     several ways could be another layer's, and is not loaded;
 *   - otherwise by equal names, if both lists begin at the same counter and at least half of them fit; else none.
 * If nothing fits by these rules, and everything fits by order, order is used. Files that state positions
 * (weights_positions.c) are matched by them where they have no names; where names leave layers over, if the positions
 * load every layer and contradict no name.
 *
 * To add automatic names of another framework: a row in `automatic`. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

/* ---- automatic names ---- */

static const struct {
  const char *base, *kind;
} automatic[] = {
    {"conv2d", "conv2d"},
    {"convolution2d", "conv2d"}, /* Keras 1 */
    {"separable_conv2d", "separable_conv2d"},
    {"separableconvolution2d", "separable_conv2d"},
    {"depthwise_conv2d", "depthwise_conv2d"},
    {"dense", "dense"},
    {"batch_normalization", "batchnorm"},
    {"batchnormalization", "batchnorm"},
    {"batchnorm", "batchnorm"}, /* this engine's */
    {"normalization", "normalization"},
    {"layer_normalization", "layernorm"},
    {"group_normalization", "groupnorm"},
};
enum { AUTOMATIC = sizeof automatic / sizeof *automatic };

/* The kind and the counter of an automatic name ("dense" counts as dense_0, as tf.keras begins), or NULL. */
static const char *automatic_kind(const char *name, long *counter) {
  for (int i = 0; i < AUTOMATIC; i++) {
    size_t length = strlen(automatic[i].base);
    if (strncmp(name, automatic[i].base, length) != 0) continue;
    *counter = 0;
    if (name[length] == '\0') return automatic[i].kind;
    if (name[length] != '_' || !isdigit((unsigned char)name[length + 1]) || strlen(name + length + 1) > 9) continue;
    char *end;
    *counter = strtol(name + length + 1, &end, 10);
    if (*end == '\0') return automatic[i].kind;
  }
  return NULL;
}

/* ---- by name, by order ---- */

/* Of the file's layers of that name, or else of that inner name, the one that fits; of none that fits, the first.
   Models used as layers may have layers of one name: where two fit, neither is taken. */
static void assign_named(const lur_weight_file *file, lur_pairing *pairing, lur_lines *notes) {
  const char *name = lur_layer_name(pairing->layer);
  int first = -1, fitting = 0, from = -1;
  for (int inner = 0; inner < 2 && first < 0; inner++)
    for (int i = 0; i < file->nlayers; i++) {
      const char *there = inner ? file->layers[i].inner : file->layers[i].name;
      if (there == NULL || strcmp(there, name) != 0) continue;
      if (first < 0) first = i;
      lur_weights_assign(file, pairing, i);
      if (pairing->fits && fitting++ == 0) from = i;
    }
  lur_weights_assign(file, pairing, fitting == 1 ? from : fitting == 0 ? first : -1);
  if (fitting > 1)
    lur_lines_add(notes, "%s: %d layers of the file have this name and fit: not loaded\n", name, fitting);
}

static lur_status match_by_order(const lur_weight_file *file, lur_pairing *pairings, int n) {
  if (file->unordered)
    return lur_fail(LUR_EUNSUPPORTED, "'%s' does not keep the order of its layers: they can only be matched by name",
                    file->path);
  if (n != file->nlayers)
    return lur_fail(LUR_ESHAPE, "'%s' has %d layers with weights and the model %d: they cannot be matched by order",
                    file->path, file->nlayers, n);
  for (int i = 0; i < n; i++) lur_weights_assign(file, &pairings[i], i);
  return LUR_OK;
}

/* ---- automatic names, by kind of layer ---- */

typedef struct member {
  int index; /* pairing or file layer */
  long counter;
} member;

typedef struct name_list { /* the layers of one kind in the model or the file, sorted by counter */
  int n;
  member *members;
} name_list;

static int by_counter(const void *a, const void *b) {
  const member *x = a, *y = b;
  if (x->counter != y->counter) return x->counter < y->counter ? -1 : 1;
  return x->index - y->index;
}

static void add_member(name_list *group, const char *name, const char *kind, int index) {
  long counter;
  const char *found = automatic_kind(name, &counter);
  if (found != NULL && strcmp(found, kind) == 0) group->members[group->n++] = (member){index, counter};
}

/* The file layer for member k of the model: by a shift, or by equal counters (shift NULL); -1: none. */
static int partner(const name_list *model, const name_list *file, int k, const int *shift) {
  if (shift != NULL) {
    int at = k + *shift;
    return at >= 0 && at < file->n ? file->members[at].index : -1;
  }
  for (int i = 0; i < file->n; i++)
    if (file->members[i].counter == model->members[k].counter) return file->members[i].index;
  return -1;
}

/* The number of pairs by this rule, and of those that fit. */
static int count_pairs(const lur_weight_file *file, lur_pairing *pairings, const name_list *a, const name_list *b,
                       const int *shift, int *fitting) {
  int pairs = 0;
  *fitting = 0;
  for (int k = 0; k < a->n; k++) {
    int from = partner(a, b, k, shift);
    if (from < 0) continue;
    pairs++;
    *fitting += lur_weights_fit(&file->layers[from], &pairings[a->members[k].index], NULL);
  }
  return pairs;
}

/* The shift with which all of the shorter list fit; returns how many there are. */
static int find_shift(const lur_weight_file *file, lur_pairing *pairings, const name_list *a, const name_list *b,
                      int *shift) {
  int fewer = a->n < b->n ? a->n : b->n, ways = 0, fitting;
  for (int at = -a->n; at <= b->n && ways < 2; at++) {
    if (count_pairs(file, pairings, a, b, &at, &fitting) != fewer || fitting != fewer) continue;
    *shift = at;
    ways++;
  }
  return ways;
}

/* Chooses a rule as described at the top of this file: *by_name or *shift. Returns false for none. */
static bool choose_rule(const lur_weight_file *file, lur_pairing *pairings, const name_list *a, const name_list *b,
                        bool *by_name, int *shift, bool *ambiguous) {
  int fewer = a->n < b->n ? a->n : b->n, fitting;
  *by_name = *ambiguous = false;
  *shift = 0;
  if (a->n == b->n) return true;
  int named = count_pairs(file, pairings, a, b, NULL, &fitting);
  bool same_start = a->members[0].counter == b->members[0].counter;
  *by_name = same_start && named == fewer && fitting == named;
  if (*by_name) return true;
  int ways = find_shift(file, pairings, a, b, shift);
  if (ways == 1) return true;
  *ambiguous = ways > 1;
  *by_name = !*ambiguous && same_start && 2 * fitting >= named && fitting > 0;
  return *by_name;
}

static void note_renamed(const lur_weight_file *file, const lur_pairing *pairings, const name_list *a,
                         lur_lines *notes) {
  const lur_pairing *first = NULL, *last = NULL;
  for (int k = 0; k < a->n; k++) {
    const lur_pairing *pairing = &pairings[a->members[k].index];
    if (!pairing->fits) continue;
    if (first == NULL) first = pairing;
    last = pairing;
  }
  if (first == NULL || strcmp(lur_layer_name(first->layer), file->layers[first->from].name) == 0) return;
  lur_lines_add(notes, "%s to %s: from '%s' to '%s' of the file (automatic names, matched in order)\n",
                lur_layer_name(first->layer), lur_layer_name(last->layer), file->layers[first->from].name,
                file->layers[last->from].name);
}

static void match_kind(const lur_weight_file *file, lur_pairing *pairings, int n, const char *kind, name_list *a,
                       name_list *b, lur_lines *notes) {
  a->n = b->n = 0;
  for (int i = 0; i < n; i++) add_member(a, lur_layer_name(pairings[i].layer), kind, i);
  for (int i = 0; i < file->nlayers; i++) add_member(b, file->layers[i].name, kind, i);
  if (a->n == 0 || b->n == 0) return;
  qsort(a->members, (size_t)a->n, sizeof *a->members, by_counter);
  qsort(b->members, (size_t)b->n, sizeof *b->members, by_counter);
  bool by_name, ambiguous;
  int shift;
  bool chosen = choose_rule(file, pairings, a, b, &by_name, &shift, &ambiguous);
  if (ambiguous)
    lur_lines_add(notes,
                  "%s: the file has %d layers with automatic names, which fit the model's %d in several ways: "
                  "not loaded\n",
                  kind, b->n, a->n);
  if (!chosen) return;
  for (int k = 0; k < a->n; k++)
    lur_weights_assign(file, &pairings[a->members[k].index], partner(a, b, k, by_name ? NULL : &shift));
  note_renamed(file, pairings, a, notes);
}

static lur_status match_automatic(const lur_weight_file *file, lur_pairing *pairings, int n, lur_lines *notes) {
  name_list a = {0}, b = {0};
  lur_status status = lur_alloc_items((size_t)n + 1, sizeof *a.members, &a.members);
  if (status == LUR_OK) status = lur_alloc_items((size_t)file->nlayers + 1, sizeof *b.members, &b.members);
  for (int i = 0; status == LUR_OK && i < AUTOMATIC; i++)
    if (i == 0 || strcmp(automatic[i].kind, automatic[i - 1].kind) != 0)
      match_kind(file, pairings, n, automatic[i].kind, &a, &b, notes);
  free(a.members);
  free(b.members);
  return status;
}

/* ---- match ---- */

static int count_fitting(const lur_pairing *pairings, int n) {
  int fitting = 0;
  for (int i = 0; i < n; i++) fitting += pairings[i].fits;
  return fitting;
}

/* Whether the other way loads every layer, and those that fit already from the same places. */
static bool completes(const lur_pairing *pairings, const lur_pairing *other, int n) {
  for (int i = 0; i < n; i++) {
    bool given = lur_layer_is_given(other[i].layer) && other[i].from < 0;
    if (!other[i].fits && !given) return false;
    if (pairings[i].fits && pairings[i].from != other[i].from) return false;
  }
  return true;
}

static bool has_positions(const lur_weight_file *file) {
  for (int i = 0; i < file->nlayers; i++)
    if (file->layers[i].kind != NULL) return true;
  return false;
}

/* Where names leave layers over: by position, as Keras loads its own files, if the whole model fits and no name says
   otherwise; then by order, if no name fits at all. */
static lur_status match_unnamed(const lur_weight_file *file, lur_pairing *pairings, int n, lur_lines *notes) {
  int fitting = count_fitting(pairings, n);
  bool positions = has_positions(file), order = !file->unordered && n == file->nlayers && fitting == 0;
  if (fitting == n || !(positions || order)) return LUR_OK;
  lur_lines unused = {0};
  lur_pairing *other = NULL;
  LUR_TRY(lur_alloc_items((size_t)n + 1, sizeof *other, &other));
  for (int i = 0; i < n; i++) other[i] = (lur_pairing){.layer = pairings[i].layer, .from = -1};
  lur_status status = positions ? lur_weights_match_positions(file, other, n, &unused) : match_by_order(file, other, n);
  if (status == LUR_OK && completes(pairings, other, n)) {
    memcpy(pairings, other, (size_t)n * sizeof *other);
    lur_lines_add(notes,
                  fitting == 0 ? "no layer has its name in the file: matched by %s\n"
                               : "some layers have other names in the file: matched by %s\n",
                  positions ? "position" : "order");
  }
  free(unused.bytes);
  free(other);
  return status;
}

static lur_status match_auto(const lur_weight_file *file, lur_pairing *pairings, int n, lur_lines *notes) {
  long counter;
  if (file->unnamed) return lur_weights_match_positions(file, pairings, n, notes);
  for (int i = 0; i < n; i++)
    if (automatic_kind(lur_layer_name(pairings[i].layer), &counter) == NULL) assign_named(file, &pairings[i], notes);
  LUR_TRY(match_automatic(file, pairings, n, notes));
  return match_unnamed(file, pairings, n, notes);
}

lur_status lur_weights_match(const lur_model *model, const lur_weight_file *file, lur_load_match match,
                             lur_pairing *pairings, int *n, lur_lines *notes) {
  *n = 0;
  for (int i = 0; i < lur_model_layer_count(model); i++) {
    lur_layer *layer = lur_model_layer(model, i);
    if (lur_layer_weight_count(layer) > 0) pairings[(*n)++] = (lur_pairing){.layer = layer, .from = -1};
  }
  if (match == LUR_LOAD_BY_ORDER) return match_by_order(file, pairings, *n);
  if (match == LUR_LOAD_AUTO) return match_auto(file, pairings, *n, notes);
  if (file->unnamed)
    return lur_fail(LUR_EUNSUPPORTED,
                    "'%s' has no names of layers: they can only be matched by position, which is what the automatic "
                    "match does",
                    file->path);
  for (int i = 0; i < *n; i++) assign_named(file, &pairings[i], notes);
  return LUR_OK;
}
