/* loader.c - the ordered loader: index lists go in, batches come out in the same order, made by worker threads.
 *
 * The queue is a ring of jobs. Workers take rows, oldest job first; lur_loader_pop waits for the oldest job's last row.
 * A worker writes its row and its own notes on damage; everything else is the owner's, or stands behind one lock.
 * What a row looks like depends on (seed, epoch, index, draw number), so it does not matter who makes it: this file
 * must never let a worker's timing choose anything. Pixels are sample.c's, batch memory is buffers.c's. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../internal.h"
#include "buffers.h"
#include "dataset.h"
#include "kernels/random.h"
#include "sample.h"

enum { DEFAULT_PREFETCH = 4, MAX_PREFETCH = 256, MAX_WORKERS = 256, MAX_SIDE = 16384 };

/* What happened to a row on its way: pictures that could not be read, in the order they were tried. */
typedef struct row_notes {
  int n;
  int64_t *damaged; /* owned */
} row_notes;

typedef struct field {
  char name[64];
  int64_t n;
  int64_t *asked;   /* indices as pushed; owned */
  int32_t *draw;    /* draw number of each row; owned */
  int32_t *actual;  /* the picture that is really there; a pool buffer, becomes the batch's indices */
  int32_t *classes; /* likewise */
  float *images;    /* likewise */
  float *targets;   /* likewise; NULL without mixing */
  lur_params *params; /* drawn when pushed, from NumPy's stream; NULL: the worker draws. Owned */
  row_notes *notes; /* owned */
} field;

typedef struct job {
  int nfields;
  field fields[LUR_MAX_LOAD_FIELDS];
  int64_t number;           /* of the batch in its epoch */
  int64_t rows, next, made; /* over all fields; behind the lock */
  bool done;                /* mixed too; behind the lock */
  lur_status status;        /* of the first row, in row order, that failed; behind the lock */
  int64_t failed_row;
  char message[512];
} job;

struct lur_loader {
  lur_context *context;
  lur_dataset *dataset;
  lur_sampler_settings settings;
  uint64_t seed;
  bool strict;
  int64_t epoch;
  lur_pool *pool;
  uint32_t *draws; /* of each picture in this epoch; the owner's */
  int64_t batches; /* pushed or skipped in this epoch; the owner's */
  lur_augment *augment;     /* NULL: none */
  lur_numpy_random *random; /* NULL: Philox */

  pthread_mutex_t lock;
  pthread_cond_t work, done;
  job *ring; /* prefetch slots */
  int prefetch, head, count;
  int busy; /* rows being made */
  bool closing;
  atomic_bool stop;  /* workers drop what they do */
  char **bad;        /* per picture: why it is damaged, or NULL; behind the lock, written once */
  int want_workers, nworkers; /* asked for; running */
  pthread_t *threads;
  lur_workspace *workspaces; /* one a worker, and the last for rows made in lur_loader_pop */

  int64_t ndamage, damage_capacity; /* the owner's */
  lur_damage *damage;
};

/* ---- one row ---- */

static bool known_bad(lur_loader *l, int64_t index, char *message, size_t room) {
  pthread_mutex_lock(&l->lock);
  bool bad = l->bad[index] != NULL;
  if (bad) snprintf(message, room, "%s", l->bad[index]);
  pthread_mutex_unlock(&l->lock);
  return bad;
}

static void remember_bad(lur_loader *l, int64_t index, const char *why) {
  char text[1024];
  snprintf(text, sizeof text, "%s: %s", l->dataset->items[index].path, why);
  pthread_mutex_lock(&l->lock);
  if (!l->bad[index]) l->bad[index] = strdup(text);
  if (!l->bad[index]) l->bad[index] = l->dataset->items[index].path; /* no memory for more than the name */
  pthread_mutex_unlock(&l->lock);
}

static void note(row_notes *notes, int64_t index) {
  int64_t *more = realloc(notes->damaged, ((size_t)notes->n + 1) * sizeof *more);
  if (!more) return; /* the summary loses a line; the row is right */
  notes->damaged = more;
  notes->damaged[notes->n++] = index;
}

/* Damage is the picture's fault; anything else (no memory, stopped) is ours and ends the batch. */
static bool is_damage(lur_status status) { return status == LUR_EIO || status == LUR_EFORMAT; }

/* One attempt; known damage is not read again, so that each file is opened once. */
static lur_status try_picture(lur_loader *l, lur_workspace *w, int64_t index, const lur_params *params, row_notes *notes, float *out) {
  char message[512] = "";
  if (known_bad(l, index, message, sizeof message)) {
    note(notes, index);
    return lur_fail(LUR_EFORMAT, "%s", message);
  }
  lur_status status = lur_sample_make(w, &l->settings, l->dataset->items[index].path, params, out);
  if (!is_damage(status)) return status;
  remember_bad(l, index, lur_last_error());
  note(notes, index);
  return lur_blame(status, "%s", l->dataset->items[index].path);
}

/* Tries the n candidates from a place that depends on the row alone. *found: the one that served. */
static lur_status try_candidates(lur_loader *l, lur_workspace *w, const int64_t *list, int64_t n, uint64_t key, int64_t asked,
                                 const lur_params *params, row_notes *notes, float *out, int64_t *found) {
  lur_status status = LUR_EFORMAT;
  for (int64_t k = 0; k < n; k++) {
    int64_t at = (int64_t)((key + (uint64_t)k) % (uint64_t)n), index = list ? list[at] : at;
    if (index == asked) continue;
    status = try_picture(l, w, index, params, notes, out);
    if (!is_damage(status)) {
      *found = index;
      return status;
    }
  }
  return status;
}

/* Another picture of the class, or where that has none left, of the whole set. */
static lur_status replace(lur_loader *l, lur_workspace *w, int64_t asked, int32_t draw, const lur_params *params, row_notes *notes, float *out,
                          int64_t *found) {
  const lur_dataset *d = l->dataset;
  int c = d->items[asked].class_id;
  uint64_t key = lur_random_mix(lur_random_mix(l->seed ^ (uint64_t)asked) + (uint64_t)l->epoch * 0x10001u + (uint64_t)draw) >> 1;
  lur_status status = LUR_EFORMAT;
  if (c >= 0)
    status = try_candidates(l, w, d->class_items + d->class_start[c], lur_dataset_class_size(d, c), key, asked, params, notes, out, found);
  if (is_damage(status)) status = try_candidates(l, w, NULL, d->size, key, asked, params, notes, out, found);
  if (is_damage(status)) return lur_fail(LUR_EFORMAT, "%s: none of the %lld pictures can be read; the last: %s", d->source, (long long)d->size, lur_last_error());
  return status;
}

/* Numbers for this epoch: `high` is a picture's index, or a batch's field counted down from the top. */
static lur_source source_at(const lur_loader *l, uint64_t high, uint64_t low) {
  return (lur_source){.key = lur_random_mix(lur_random_mix(l->seed) ^ (uint64_t)l->epoch), .high = high, .low = low << 32};
}

/* What augmentation does to this row; NULL without one. own holds what is drawn here. */
static const lur_params *row_params(const lur_loader *l, const field *f, int64_t row, lur_params *own) {
  if (!l->augment) return NULL;
  if (f->params) return &f->params[row];
  lur_source source = source_at(l, (uint64_t)f->asked[row], (uint64_t)f->draw[row]);
  lur_augment_draw(l->augment, &source, l->settings.height, l->settings.width, own);
  return own;
}

static lur_status make_row(lur_loader *l, lur_workspace *w, field *f, int64_t row) {
  size_t size = (size_t)l->settings.height * (size_t)l->settings.width * (size_t)l->settings.channels;
  float *out = f->images + (size_t)row * size;
  int64_t index = f->asked[row];
  lur_params own;
  const lur_params *params = row_params(l, f, row, &own);
  lur_status status = try_picture(l, w, index, params, &f->notes[row], out);
  if (is_damage(status) && !l->strict) status = replace(l, w, index, f->draw[row], params, &f->notes[row], out, &index);
  f->actual[row] = (int32_t)index;
  f->classes[row] = (int32_t)l->dataset->items[index].class_id;
  return status;
}

/* ---- the queue ---- */

/* The next row to make, or NULL. Behind the lock. */
static job *next_row(lur_loader *l, int64_t *row) {
  for (int i = 0; i < l->count; i++) {
    job *j = &l->ring[(l->head + i) % l->prefetch];
    if (j->next >= j->rows) continue;
    *row = j->next++;
    return j;
  }
  return NULL;
}

static field *locate(job *j, int64_t *row) {
  field *f = j->fields;
  while (*row >= f->n) *row -= (f++)->n;
  return f;
}

/* What needs the whole batch: mixup, cutmix. Only the worker that made the last row calls it. */
static void mix_job(lur_loader *l, job *j) {
  for (int i = 0; i < j->nfields; i++) {
    field *f = &j->fields[i];
    if (!f->targets) continue;
    lur_source source = source_at(l, UINT64_MAX - (uint64_t)i, (uint64_t)j->number);
    lur_mix_batch(l->augment, &source, f->n, l->settings.height, l->settings.width, l->settings.channels, f->images, f->classes,
                  l->dataset->nclasses, f->targets);
  }
}

/* Makes row `row` of j. The lock is held on entry and on return, not in between. */
static void serve(lur_loader *l, lur_workspace *w, job *j, int64_t row) {
  bool dropped = atomic_load(&l->stop);
  l->busy++;
  pthread_mutex_unlock(&l->lock);
  int64_t at = row;
  field *f = locate(j, &at);
  lur_status status = dropped ? LUR_EINTERRUPTED : make_row(l, w, f, at);
  pthread_mutex_lock(&l->lock);
  l->busy--;
  if (status != LUR_OK && (j->status == LUR_OK || row < j->failed_row)) { /* the first in row order, whoever was faster */
    j->status = status;
    j->failed_row = row;
    snprintf(j->message, sizeof j->message, "%s", dropped ? "stopped" : lur_last_error());
  }
  if (++j->made == j->rows) {
    if (j->status == LUR_OK && j->fields[0].targets) {
      l->busy++;
      pthread_mutex_unlock(&l->lock);
      mix_job(l, j);
      pthread_mutex_lock(&l->lock);
      l->busy--;
    }
    j->done = true;
  }
  if (j->done || l->busy == 0) pthread_cond_broadcast(&l->done);
}

typedef struct start { /* what a new thread is told */
  lur_loader *loader;
  lur_workspace *workspace;
} start;

static void *work(void *argument) {
  start s = *(start *)argument;
  free(argument);
  lur_loader *l = s.loader;
  pthread_mutex_lock(&l->lock);
  while (!l->closing) {
    int64_t row;
    job *j = next_row(l, &row);
    if (j) serve(l, s.workspace, j, row);
    else pthread_cond_wait(&l->work, &l->lock);
  }
  pthread_mutex_unlock(&l->lock);
  return NULL;
}

static void job_free(job *j) {
  for (int i = 0; i < j->nfields; i++) {
    field *f = &j->fields[i];
    for (int64_t r = 0; f->notes && r < f->n; r++) free(f->notes[r].damaged);
    free(f->asked);
    free(f->draw);
    free(f->notes);
    free(f->params);
    lur_pool_give(f->targets, 0);
    lur_pool_give(f->actual, 0);
    lur_pool_give(f->classes, 0);
    lur_pool_give(f->images, 0);
  }
  *j = (job){0};
}

/* Takes everything out of the queue; returns when no worker holds any of it. */
static void drain(lur_loader *l) {
  pthread_mutex_lock(&l->lock);
  atomic_store(&l->stop, true);
  for (int i = 0; i < l->count; i++) {
    job *j = &l->ring[(l->head + i) % l->prefetch];
    j->next = j->rows;
  }
  while (l->busy) pthread_cond_wait(&l->done, &l->lock);
  for (int i = 0; i < l->count; i++) job_free(&l->ring[(l->head + i) % l->prefetch]);
  l->count = 0;
  atomic_store(&l->stop, false);
  pthread_mutex_unlock(&l->lock);
}

/* ---- life ---- */

static lur_status start_threads(lur_loader *l) {
  sigset_t all, old; /* Ctrl-C is the main thread's */
  pthread_mutex_lock(&l->lock);
  l->closing = false;
  pthread_mutex_unlock(&l->lock);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  lur_status status = LUR_OK;
  for (; l->nworkers < l->want_workers; l->nworkers++) {
    start *s = malloc(sizeof *s);
    if (s) *s = (start){l, &l->workspaces[l->nworkers]};
    if (s && pthread_create(&l->threads[l->nworkers], NULL, work, s) == 0) continue;
    free(s);
    status = lur_fail(LUR_ENOMEM, "loader: cannot start worker thread %d of %d", l->nworkers + 1, l->want_workers);
    break;
  }
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return status;
}

static bool mixes(const lur_augment *augment) { return augment && (augment->s.mixup > 0 || augment->s.cutmix > 0); }

static lur_status check_options(const lur_dataset *d, const lur_loader_options *o) {
  if (d->size == 0) return lur_fail(LUR_EARG, "loader: the dataset (%s) is empty", d->source);
  if (o->height < 1 || o->width < 1 || o->height > MAX_SIDE || o->width > MAX_SIDE)
    return lur_fail(LUR_EARG, "loader: size %dx%d; each side must be 1 to %d", o->height, o->width, MAX_SIDE);
  if (o->channels != 0 && o->channels != 1 && o->channels != 3)
    return lur_fail(LUR_EARG, "loader: channels 3 or 1 expected, got %d", o->channels);
  if (o->channels == 1 && o->preprocess == LUR_PREPROCESS_CAFFE)
    return lur_fail(LUR_EARG, "loader: preprocess 'caffe' needs 3 channels, got 1");
  if (o->augment && mixes(o->augment) && d->nclasses == 0)
    return lur_fail(LUR_EARG, "loader: mixup and cutmix need classes, and %s has none", d->source);
  if (o->workers > MAX_WORKERS) return lur_fail(LUR_EARG, "loader: at most %d workers, got %d", MAX_WORKERS, o->workers);
  if (o->prefetch < 0 || o->prefetch > MAX_PREFETCH) return lur_fail(LUR_EARG, "loader: prefetch 1 to %d expected, got %d", MAX_PREFETCH, o->prefetch);
  return LUR_OK;
}

static int worker_count(int asked) {
  if (asked > 0) return asked;
  if (asked < 0) return 0;
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  return cores < 1 ? 1 : cores > 16 ? 16 : (int)cores;
}

static void adopt(lur_loader *l, lur_context *context, lur_dataset *dataset, const lur_loader_options *o) {
  l->context = context;
  l->dataset = dataset;
  lur_context_retain(context);
  lur_dataset_retain(dataset);
  l->settings = (lur_sampler_settings){.height = o->height, .width = o->width, .channels = o->channels ? o->channels : 3,
      .resize = o->resize, .preprocess = o->preprocess, .decode = o->decode, .augment = o->augment, .stop = &l->stop};
  l->augment = o->augment;
  l->random = o->random;
  if (l->augment) lur_augment_retain(l->augment);
  if (l->random) lur_numpy_random_retain(l->random);
  l->seed = o->seed;
  l->strict = o->strict;
  l->prefetch = o->prefetch ? o->prefetch : DEFAULT_PREFETCH;
  atomic_init(&l->stop, false);
  pthread_mutex_init(&l->lock, NULL);
  pthread_cond_init(&l->work, NULL);
  pthread_cond_init(&l->done, NULL);
}

static lur_status allocate(lur_loader *l, lur_device *device) {
  size_t n = (size_t)l->dataset->size, workers = (size_t)l->want_workers;
  LUR_TRY(lur_alloc_items(n, sizeof *l->draws, &l->draws));
  LUR_TRY(lur_alloc_items(n, sizeof *l->bad, &l->bad));
  LUR_TRY(lur_alloc_items((size_t)l->prefetch, sizeof *l->ring, &l->ring));
  LUR_TRY(lur_alloc_items(workers + 1, sizeof *l->threads, &l->threads));
  LUR_TRY(lur_alloc_items(workers + 1, sizeof *l->workspaces, &l->workspaces));
  return lur_pool_new(l->context, device, 3 * (l->prefetch + 2), &l->pool);
}

lur_status lur_loader_new(lur_context *context, lur_dataset *dataset, const lur_loader_options *options, lur_loader **loader) {
  LUR_TRY(check_options(dataset, options));
  lur_loader *l = calloc(1, sizeof *l);
  if (!l) return lur_fail(LUR_ENOMEM, "out of memory for a loader");
  adopt(l, context, dataset, options);
  l->want_workers = worker_count(options->workers);
  lur_status status = allocate(l, options->device);
  if (status == LUR_OK) *loader = l;
  else lur_loader_release(l);
  return status;
}

void lur_loader_rest(lur_loader *l) {
  drain(l);
  pthread_mutex_lock(&l->lock);
  l->closing = true;
  pthread_cond_broadcast(&l->work);
  pthread_mutex_unlock(&l->lock);
  for (; l->nworkers > 0; l->nworkers--) pthread_join(l->threads[l->nworkers - 1], NULL);
}

void lur_loader_release(lur_loader *l) {
  if (!l) return;
  if (l->ring) lur_loader_rest(l);
  for (int i = 0; l->workspaces && i <= l->want_workers; i++) lur_workspace_free(&l->workspaces[i]);
  for (int64_t i = 0; l->bad && i < l->dataset->size; i++)
    if (l->bad[i] != l->dataset->items[i].path) free(l->bad[i]);
  lur_pool_close(l->pool);
  pthread_cond_destroy(&l->work);
  pthread_cond_destroy(&l->done);
  pthread_mutex_destroy(&l->lock);
  free(l->threads);
  free(l->workspaces);
  free(l->ring);
  free(l->bad);
  free(l->draws);
  free(l->damage);
  lur_augment_release(l->augment);
  lur_numpy_random_release(l->random);
  lur_dataset_release(l->dataset);
  lur_context_release(l->context);
  free(l);
}

lur_status lur_loader_begin(lur_loader *l, int64_t epoch) {
  drain(l);
  l->epoch = epoch;
  l->batches = 0;
  memset(l->draws, 0, (size_t)l->dataset->size * sizeof *l->draws);
  for (int64_t i = 0; i < l->ndamage; i++) {
    l->damage[i].times = 0;
    l->damage[i].fresh = false;
  }
  return start_threads(l);
}

/* ---- push ---- */

int lur_loader_room(const lur_loader *l) { return l->prefetch - l->count; } /* count is the owner's to change */
int lur_loader_waiting(const lur_loader *l) { return l->count; }

static lur_status check_fields(const lur_loader *l, int nfields, const lur_load_field *fields) {
  if (nfields < 1 || nfields > LUR_MAX_LOAD_FIELDS)
    return lur_fail(LUR_EARG, "loader: 1 to %d picture fields a batch, got %d", LUR_MAX_LOAD_FIELDS, nfields);
  for (int i = 0; i < nfields; i++) {
    if (fields[i].n < 1) return lur_fail(LUR_EARG, "loader: field '%s' has no picture index", fields[i].name);
    if (strlen(fields[i].name) >= sizeof((field *)0)->name) return lur_fail(LUR_EARG, "loader: field name '%s' is too long", fields[i].name);
    for (int64_t r = 0; r < fields[i].n; r++)
      if (fields[i].indices[r] < 0 || fields[i].indices[r] >= l->dataset->size)
        return lur_fail(LUR_EARG, "loader: picture index %lld of field '%s' is outside the set of %lld", (long long)fields[i].indices[r],
                        fields[i].name, (long long)l->dataset->size);
  }
  return LUR_OK;
}

static lur_status field_fill(lur_loader *l, field *f, const lur_load_field *from) {
  size_t n = (size_t)from->n, row = (size_t)l->settings.height * (size_t)l->settings.width * (size_t)l->settings.channels;
  snprintf(f->name, sizeof f->name, "%s", from->name);
  f->n = from->n;
  LUR_TRY(lur_alloc_items(n, sizeof *f->asked, &f->asked));
  LUR_TRY(lur_alloc_items(n, sizeof *f->draw, &f->draw));
  LUR_TRY(lur_alloc_items(n, sizeof *f->notes, &f->notes));
  if (n > SIZE_MAX / (row * sizeof(float))) return lur_fail(LUR_ENOMEM, "loader: a batch of %zu pictures does not fit into memory", n);
  LUR_TRY(lur_pool_take(l->pool, n * row * sizeof(float), (void **)&f->images));
  LUR_TRY(lur_pool_take(l->pool, n * sizeof *f->actual, (void **)&f->actual));
  LUR_TRY(lur_pool_take(l->pool, n * sizeof *f->classes, (void **)&f->classes));
  if (mixes(l->augment)) LUR_TRY(lur_pool_take(l->pool, n * (size_t)l->dataset->nclasses * sizeof(float), (void **)&f->targets));
  if (l->augment && l->random) LUR_TRY(lur_alloc_items(n, sizeof *f->params, &f->params));
  memcpy(f->asked, from->indices, n * sizeof *f->asked);
  return LUR_OK;
}

/* NumPy's stream is one sequence: it is drawn in push order. */
static void draw_numpy(lur_loader *l, lur_params *params) {
  lur_source source = {.numpy = l->random};
  lur_augment_draw(l->augment, &source, l->settings.height, l->settings.width, params);
}

lur_status lur_loader_push(lur_loader *l, int nfields, const lur_load_field *fields) {
  LUR_TRY(check_fields(l, nfields, fields));
  if (l->count == l->prefetch) return lur_fail(LUR_ESTATE, "loader: %d batches are in work already (prefetch)", l->count);
  job j = {.nfields = nfields};
  for (int i = 0; i < nfields; i++) {
    lur_status status = field_fill(l, &j.fields[i], &fields[i]);
    if (status != LUR_OK) {
      job_free(&j);
      return status;
    }
    j.rows += fields[i].n;
  }
  j.number = l->batches++;
  for (int i = 0; i < nfields; i++)
    for (int64_t r = 0; r < fields[i].n; r++) {
      j.fields[i].draw[r] = (int32_t)l->draws[fields[i].indices[r]]++;
      if (j.fields[i].params) draw_numpy(l, &j.fields[i].params[r]);
    }
  pthread_mutex_lock(&l->lock);
  l->ring[(l->head + l->count) % l->prefetch] = j;
  l->count++;
  pthread_cond_broadcast(&l->work);
  pthread_mutex_unlock(&l->lock);
  return LUR_OK;
}

lur_status lur_loader_skip(lur_loader *l, int nfields, const lur_load_field *fields) {
  LUR_TRY(check_fields(l, nfields, fields));
  lur_params unused;
  l->batches++;
  for (int i = 0; i < nfields; i++)
    for (int64_t r = 0; r < fields[i].n; r++) {
      l->draws[fields[i].indices[r]]++;
      if (l->augment && l->random) draw_numpy(l, &unused);
    }
  return LUR_OK;
}

/* ---- pop ---- */

/* Waits; without workers makes the rows here. */
static job *finish_oldest(lur_loader *l) {
  job *j = &l->ring[l->head];
  pthread_mutex_lock(&l->lock);
  while (!j->done) {
    int64_t row;
    job *mine = l->nworkers == 0 ? next_row(l, &row) : NULL;
    if (mine) serve(l, &l->workspaces[0], mine, row);
    else pthread_cond_wait(&l->done, &l->lock);
  }
  pthread_mutex_unlock(&l->lock);
  return j;
}

static lur_status count_damage(lur_loader *l, int64_t index) {
  for (int64_t i = 0; i < l->ndamage; i++)
    if (l->damage[i].index == index) {
      l->damage[i].times++;
      return LUR_OK;
    }
  if (l->ndamage == l->damage_capacity) {
    int64_t capacity = l->damage_capacity ? 2 * l->damage_capacity : 16;
    lur_damage *more = realloc(l->damage, (size_t)capacity * sizeof *more);
    if (!more) return lur_fail(LUR_ENOMEM, "out of memory for the list of damaged pictures");
    l->damage = more;
    l->damage_capacity = capacity;
  }
  pthread_mutex_lock(&l->lock);
  const char *text = l->bad[index];
  pthread_mutex_unlock(&l->lock);
  l->damage[l->ndamage++] = (lur_damage){index, 1, true, text};
  return LUR_OK;
}

static lur_status count_job_damage(lur_loader *l, const job *j) {
  for (int i = 0; i < j->nfields; i++)
    for (int64_t r = 0; r < j->fields[i].n; r++)
      for (int k = 0; k < j->fields[i].notes[r].n; k++) LUR_TRY(count_damage(l, j->fields[i].notes[r].damaged[k]));
  return LUR_OK;
}

/* Hands pool memory to a tensor; the job forgets it only when that worked. */
static lur_status wrap(lur_loader *l, void *slot, lur_dtype dtype, lur_shape shape, lur_tensor **tensor) {
  void *memory;
  memcpy(&memory, slot, sizeof memory);
  LUR_TRY(lur_tensor_wrap(l->context, memory, dtype, &shape, lur_pool_give, tensor));
  memset(slot, 0, sizeof memory);
  return LUR_OK;
}

static lur_status field_out(lur_loader *l, field *f, lur_loaded_field *out) {
  snprintf(out->name, sizeof out->name, "%s", f->name);
  lur_shape images = {4, {f->n, l->settings.height, l->settings.width, l->settings.channels}}, ids = {1, {f->n}};
  LUR_TRY(wrap(l, &f->images, LUR_F32, images, &out->images));
  LUR_TRY(wrap(l, &f->classes, LUR_I32, ids, &out->classes));
  LUR_TRY(wrap(l, &f->actual, LUR_I32, ids, &out->indices));
  if (f->targets) LUR_TRY(wrap(l, &f->targets, LUR_F32, (lur_shape){2, {f->n, l->dataset->nclasses}}, &out->targets));
  return LUR_OK;
}

lur_status lur_loader_pop(lur_loader *l, lur_loaded *batch) {
  if (l->count == 0) return lur_fail(LUR_ESTATE, "loader: no batch was pushed");
  job *oldest = finish_oldest(l);
  pthread_mutex_lock(&l->lock);
  job j = *oldest;
  *oldest = (job){0};
  l->head = (l->head + 1) % l->prefetch;
  l->count--;
  pthread_mutex_unlock(&l->lock);
  lur_status status = count_job_damage(l, &j);
  if (status == LUR_OK && j.status != LUR_OK) status = lur_fail(j.status, "%s", j.message);
  lur_loaded out = {.nfields = j.nfields};
  for (int i = 0; status == LUR_OK && i < j.nfields; i++) status = field_out(l, &j.fields[i], &out.fields[i]);
  job_free(&j);
  if (status == LUR_OK) *batch = out;
  else lur_loaded_free(&out);
  return status;
}

void lur_loaded_free(lur_loaded *batch) {
  for (int i = 0; i < batch->nfields; i++) {
    lur_tensor_release(batch->fields[i].images);
    lur_tensor_release(batch->fields[i].classes);
    lur_tensor_release(batch->fields[i].indices);
    lur_tensor_release(batch->fields[i].targets);
  }
  *batch = (lur_loaded){0};
}

int64_t lur_loader_damage_count(const lur_loader *l) { return l->ndamage; }
lur_damage lur_loader_damage(const lur_loader *l, int64_t position) {
  return position >= 0 && position < l->ndamage ? l->damage[position] : (lur_damage){.index = -1};
}
