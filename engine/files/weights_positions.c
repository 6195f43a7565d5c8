/* weights_positions.c - pairs layers by the positions that a file states in place of names (or beside them): each is
 * the k-th of its class, in the order of model.layers, in the file's own model or in one that is used as a layer of it.
 * The models here have no models inside, but their layers' order is Keras's, and a model used as a layer takes
 * consecutive places in it. For each kind of layer:
 *   - one model in the file has all layers of the kind, as many as here: first to first;
 *   - as many as here, from several models: in the one order in which all shapes fit, if there is only one; each model
 *     that is a layer stays in one piece, and those of one class keep their order (functional, functional_1);
 *   - more or fewer (a network that was cut, or given a head): the layers of each model where they fit, or where the
 *     layers here fit in them, if that is at one place only.
 * What fits in several ways is not loaded: it could be another layer's. */
#include <stdlib.h>
#include <string.h>

#include "files.h"

enum { MAX_STEPS = 20000 }; /* of the search for an order: one that needs more is none */

typedef struct sequence { /* the layers of one kind in one model of the file */
  int n, used, *items;    /* file layers by place; items point into search.all */
  int nest, series;
} sequence;

typedef struct ranked { /* a layer of the file */
  int nest, item;
  long place;
} ranked;

typedef struct search {
  const lur_weight_file *file;
  lur_pairing *pairings;
  int n, *here; /* model layers of the kind, as numbers of pairings */
  int total, *all;
  ranked *ranked;
  int nsequences;
  sequence *sequences;
  int *chosen, *found; /* the file layer for each of `here`: now, and in the first solution */
  int solutions, steps;
} search;

static bool fits(const search *s, int k, int from) {
  return lur_weights_fit(&s->file->layers[from], &s->pairings[s->here[k]], NULL);
}

/* ---- the lists ---- */

static int by_place(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  if (x->nest != y->nest) return x->nest < y->nest ? -1 : 1;
  if (x->place != y->place) return x->place < y->place ? -1 : 1;
  return x->item - y->item;
}

static void list_layers(search *s, const char *kind, int n, const bool *used) {
  s->n = s->total = s->nsequences = 0;
  for (int i = 0; i < n; i++)
    if (s->pairings[i].from < 0 && strcmp(lur_layer_kind(s->pairings[i].layer), kind) == 0) s->here[s->n++] = i;
  for (int i = 0; i < s->file->nlayers; i++)
    if (!used[i] && s->file->layers[i].kind != NULL && strcmp(s->file->layers[i].kind, kind) == 0)
      s->ranked[s->total++] = (ranked){s->file->layers[i].nest, i, s->file->layers[i].place};
  qsort(s->ranked, (size_t)s->total, sizeof *s->ranked, by_place);
  for (int i = 0; i < s->total; i++) {
    const lur_file_layer *layer = &s->file->layers[s->all[i] = s->ranked[i].item];
    if (i == 0 || layer->nest != s->sequences[s->nsequences - 1].nest)
      s->sequences[s->nsequences++] = (sequence){.items = &s->all[i], .nest = layer->nest, .series = layer->series};
    s->sequences[s->nsequences - 1].n++;
  }
}

/* ---- one order of several models' layers ---- */

/* Whether a model that is a layer may begin now: those before it in its series have ended. */
static bool may_begin(const search *s, const sequence *which) {
  for (int i = 0; i < s->nsequences; i++) {
    const sequence *other = &s->sequences[i];
    if (other->nest != 0 && other->series == which->series && other->nest < which->nest && other->used < other->n)
      return false;
  }
  return true;
}

/* inside: the model that has begun and not ended, or NULL. Stops at the second solution. */
static void try_orders(search *s, int k, const sequence *inside) {
  if (k == s->n) {
    if (s->solutions++ == 0) memcpy(s->found, s->chosen, (size_t)s->n * sizeof *s->found);
    return;
  }
  for (int i = 0; i < s->nsequences && s->solutions < 2 && s->steps < MAX_STEPS; i++) {
    sequence *q = &s->sequences[i];
    if (q->used == q->n || (inside != NULL && inside != q)) continue;
    if (q->nest != 0 && q->used == 0 && !may_begin(s, q)) continue;
    s->steps++;
    if (!fits(s, k, q->items[q->used])) continue;
    s->chosen[k] = q->items[q->used++];
    try_orders(s, k + 1, q->nest != 0 && q->used < q->n ? q : NULL);
    q->used--;
  }
}

/* ---- layers of a network that was cut or lengthened ---- */

/* The only offset at which the shorter list fits the longer one; *n: how often it fits. */
static int only_place(search *s, const sequence *q, int *n) {
  int longer = q->n > s->n ? q->n : s->n, shorter = q->n > s->n ? s->n : q->n, place = 0;
  *n = 0;
  for (int at = 0; at + shorter <= longer && s->steps < MAX_STEPS; at++) {
    int k = 0;
    for (; k < shorter; k++, s->steps++)
      if (!fits(s, q->n > s->n ? k : at + k, q->items[q->n > s->n ? at + k : k])) break;
    if (k < shorter) continue;
    (*n)++;
    place = at;
  }
  return place;
}

static void take_place(search *s, const sequence *q, int at) {
  for (int k = 0; k < s->n && k < q->n; k++) {
    int here = q->n > s->n ? k : at + k;
    if (s->found[here] >= 0) s->solutions = 2; /* two models of the file for the same layer */
    s->found[here] = q->items[q->n > s->n ? at + k : k];
  }
}

static void try_places(search *s) {
  for (int k = 0; k < s->n; k++) s->found[k] = -1;
  for (int i = 0; i < s->nsequences; i++) {
    int n, at = only_place(s, &s->sequences[i], &n);
    if (n > 1) s->solutions = 2;
    else if (n == 1 && s->solutions < 2) {
      s->solutions = 1;
      take_place(s, &s->sequences[i], at);
    }
  }
}

/* ---- match ---- */

static void match_kind(search *s, const char *kind, lur_lines *notes) {
  s->solutions = s->steps = 0;
  if (s->n == s->total && s->nsequences == 1) {
    memcpy(s->found, s->sequences[0].items, (size_t)s->n * sizeof *s->found);
    s->solutions = 1;
  } else if (s->n == s->total) {
    try_orders(s, 0, NULL);
  } else {
    try_places(s);
  }
  if (s->solutions == 1 && s->steps < MAX_STEPS)
    for (int k = 0; k < s->n; k++) lur_weights_assign(s->file, &s->pairings[s->here[k]], s->found[k]);
  else if (s->solutions > 1)
    lur_lines_add(notes,
                  "%s: the file has no names, and its %d layers fit the model's %d in several ways: not loaded\n", kind,
                  s->total, s->n);
}

static bool is_first_of_kind(const lur_pairing *pairings, int i) {
  for (int k = 0; k < i; k++)
    if (strcmp(lur_layer_kind(pairings[k].layer), lur_layer_kind(pairings[i].layer)) == 0) return false;
  return true;
}

static lur_status make_search(search *s, int n) {
  size_t here = (size_t)n + 1, there = (size_t)s->file->nlayers + 1;
  LUR_TRY(lur_alloc_items(here, sizeof *s->here, &s->here));
  LUR_TRY(lur_alloc_items(here, sizeof *s->chosen, &s->chosen));
  LUR_TRY(lur_alloc_items(here, sizeof *s->found, &s->found));
  LUR_TRY(lur_alloc_items(there, sizeof *s->all, &s->all));
  LUR_TRY(lur_alloc_items(there, sizeof *s->ranked, &s->ranked));
  return lur_alloc_items(there, sizeof *s->sequences, &s->sequences);
}

lur_status lur_weights_match_positions(const lur_weight_file *file, lur_pairing *pairings, int n, lur_lines *notes) {
  search s = {.file = file, .pairings = pairings};
  bool *used = NULL;
  lur_status status = make_search(&s, n);
  if (status == LUR_OK) status = lur_alloc_items((size_t)file->nlayers + 1, sizeof *used, &used);
  for (int i = 0; i < n && status == LUR_OK; i++)
    if (pairings[i].from >= 0) used[pairings[i].from] = true;
  for (int i = 0; i < n && status == LUR_OK; i++) {
    if (!is_first_of_kind(pairings, i)) continue;
    const char *kind = lur_layer_kind(pairings[i].layer);
    list_layers(&s, kind, n, used);
    if (s.n > 0 && s.total > 0) match_kind(&s, kind, notes);
  }
  free(used);
  free(s.here);
  free(s.chosen);
  free(s.found);
  free(s.all);
  free(s.ranked);
  free(s.sequences);
  return status;
}
