/* loader_work.c - the workers' side of a loader: makes rows, replaces damaged images, finishes jobs.
 *
 * A row depends only on (seed, epoch, index, draw number), so any worker may make it: nothing in this file may depend
 * on the timing of workers. sample.c makes the pixels. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/random.h"
#include "transform.h"

/* ---- one row ---- */

static bool is_known_damaged(lur_loader *l, int64_t index, char *message, size_t room) {
  pthread_mutex_lock(&l->lock);
  bool bad = l->damage_text[index] != NULL;
  if (bad) snprintf(message, room, "%s", l->damage_text[index]);
  pthread_mutex_unlock(&l->lock);
  return bad;
}

static void record_damage(lur_loader *l, int64_t index, const char *why) {
  char text[1024];
  snprintf(text, sizeof text, "%s: %s", l->dataset->items[index].path, why);
  pthread_mutex_lock(&l->lock);
  if (!l->damage_text[index]) l->damage_text[index] = strdup(text);
  if (!l->damage_text[index]) l->damage_text[index] = l->dataset->items[index].path; /* out of memory: the path alone */
  pthread_mutex_unlock(&l->lock);
}

static void add_damage(lur_row_damage *damage, int64_t index) {
  int64_t *more = realloc(damage->images, ((size_t)damage->n + 1) * sizeof *more);
  if (!more) return; /* out of memory: only the damage list loses an entry */
  damage->images = more;
  damage->images[damage->n++] = index;
}

typedef struct row_task { /* a row to make */
  lur_loader *loader;
  lur_workspace *workspace;
  int64_t requested;        /* index of the image */
  const lur_params *params; /* NULL: no augmentation */
  lur_row_damage *damage;
  float *out;
  int32_t draw;
  uint8_t *bytes; /* with a transform on the owner's thread: where the image goes instead, and its size in the file */
  int *size;
} row_task;

/* A damaged image is replaced, and one that is missing or forbidden. Any other failure fails the batch: out of memory,
   stopped, too many open files, a failing disk. Images that such a failure strikes are good, and training on others in
   their place would go unnoticed. */
static bool is_damage(const row_task *t, lur_status status) {
  return status == LUR_EFORMAT || (status == LUR_EIO && t->workspace->absent);
}

/* The pixels of the row: normalised, or as bytes for a transform. */
static lur_status make_pixels(const row_task *t, const char *path, int size[2]) {
  lur_loader *l = t->loader;
  lur_workspace *w = t->workspace;
  if (!l->transform.apply) return lur_sample_make(w, &l->settings, path, t->params, t->out);
  if (t->bytes) return lur_sample_bytes(w, &l->settings, path, t->params, t->bytes, t->size);
  LUR_TRY(lur_bytes_reserve(&w->rgb, (size_t)l->settings.height * (size_t)l->settings.width * 3));
  return lur_sample_bytes(w, &l->settings, path, t->params, w->rgb.data, size);
}

/* Makes the row from the image `index`. A file that is known to be damaged is not opened again. */
static lur_status try_image(const row_task *t, int64_t index) {
  lur_loader *l = t->loader;
  char message[512] = "";
  if (is_known_damaged(l, index, message, sizeof message)) {
    add_damage(t->damage, index);
    return lur_fail(LUR_EFORMAT, "%s", message);
  }
  const char *path = l->dataset->items[index].path;
  int size[2];
  lur_status status = make_pixels(t, path, size);
  if (status == LUR_OK && l->transform.apply && !t->bytes)
    return lur_transform_row(l, t->workspace, &(lur_row_transform){index, t->requested, t->draw, t->workspace->rgb.data,
                                                                   size}, t->out);
  if (is_damage(t, status)) {
    record_damage(l, index, lur_last_error());
    add_damage(t->damage, index);
  }
  return status == LUR_OK || status == LUR_EINTERRUPTED ? status : lur_blame(status, "%s", path);
}

/* Tries the n candidates (list, or all images where it is NULL) from number key % n on. *found: the first that can be
   read. */
static lur_status try_candidates(const row_task *t, const int64_t *list, int64_t n, uint64_t key, int64_t *found) {
  lur_status status = LUR_EFORMAT;
  for (int64_t k = 0; k < n; k++) {
    int64_t at = (int64_t)((key + (uint64_t)k) % (uint64_t)n), index = list ? list[at] : at;
    if (index == t->requested) continue;
    status = try_image(t, index);
    if (!is_damage(t, status)) {
      *found = index;
      return status;
    }
  }
  return status;
}

/* Makes the row from another image of the same class, or if none can be read, of the whole dataset. The choice depends
   only on the row. */
static lur_status replace(const row_task *t, int64_t *found) {
  const lur_loader *l = t->loader;
  const lur_dataset *d = l->dataset;
  int c = d->items[t->requested].class_id;
  uint64_t key = lur_random_mix(l->seed ^ (uint64_t)t->requested);
  key = lur_random_mix(key + (uint64_t)l->epoch * 0x10001u + (uint64_t)t->draw) >> 1;
  lur_status status = LUR_EFORMAT;
  if (c >= 0) status = try_candidates(t, d->class_items + d->class_start[c], lur_dataset_class_size(d, c), key, found);
  if (is_damage(t, status)) status = try_candidates(t, NULL, d->size, key, found);
  if (is_damage(t, status))
    return lur_fail(LUR_EFORMAT, "%s: none of the %lld images can be read; the last error: %s", d->source,
                    (long long)d->size, lur_last_error());
  return status;
}

/* The random source of a row in this epoch (high: its image's index), or of a batch's field (high: counted down from
   the largest number, so that it equals no index). */
static lur_source source_at(const lur_loader *l, uint64_t high, uint64_t low) {
  return (lur_source){
      .key = lur_random_mix(lur_random_mix(l->seed) ^ (uint64_t)l->epoch), .high = high, .low = low << 32};
}

/* The augmentation parameters of a row, or NULL without augmentation. *drawn holds those that are drawn here. */
static const lur_params *row_params(const lur_loader *l, const lur_job_field *f, int64_t row, lur_params *drawn) {
  if (!l->augment) return NULL;
  if (f->params) return &f->params[row];
  lur_source source = source_at(l, (uint64_t)f->requested[row], (uint64_t)f->draw[row]);
  lur_augment_draw(l->augment, &source, l->settings.height, l->settings.width, drawn);
  return drawn;
}

static lur_status make_row(lur_loader *l, lur_workspace *w, lur_job_field *f, int64_t row) {
  size_t pixels = (size_t)l->settings.height * (size_t)l->settings.width, bytes = 3 * pixels,
         size = pixels * (size_t)l->settings.channels;
  lur_params drawn;
  row_task t = {.loader = l,
                .workspace = w,
                .requested = f->requested[row],
                .params = row_params(l, f, row, &drawn),
                .damage = &f->damage[row],
                .draw = f->draw[row],
                .bytes = f->bytes ? f->bytes + (size_t)row * bytes : NULL,
                .size = f->bytes ? f->sizes[row] : NULL,
                .out = f->images + (size_t)row * size};
  int64_t index = t.requested;
  lur_status status = try_image(&t, index);
  if (is_damage(&t, status) && !l->strict) status = replace(&t, &index);
  f->actual[row] = (int32_t)index;
  f->classes[row] = (int32_t)l->dataset->items[index].class_id;
  return status;
}

/* ---- the queue ---- */

/* Takes the next row to make: its job, or NULL if there is none. Called with the lock held. */
static lur_job *next_row(lur_loader *l, int64_t *row) {
  for (int i = 0; i < l->count; i++) {
    lur_job *j = &l->ring[(l->head + i) % l->prefetch];
    if (j->next >= j->rows) continue;
    *row = j->next++;
    return j;
  }
  return NULL;
}

static lur_job_field *locate(lur_job *j, int64_t *row) {
  lur_job_field *f = j->fields;
  while (*row >= f->n) *row -= (f++)->n;
  return f;
}

/* Mixup and cutmix, which need the whole batch. Called by the worker that finishes the last row. */
static void mix_job(lur_loader *l, lur_job *j) {
  for (int i = 0; i < j->nfields; i++) {
    lur_job_field *f = &j->fields[i];
    if (!f->targets) continue;
    lur_source source = source_at(l, UINT64_MAX - (uint64_t)i, (uint64_t)j->number);
    lur_mix_batch(l->augment, &source, f->n, l->settings.height, l->settings.width, l->settings.channels, f->images,
                  f->classes, l->dataset->nclasses, f->targets);
  }
}

/* Makes row `row` of j. Called with the lock held; releases it while working. */
static void process_row(lur_loader *l, lur_workspace *w, lur_job *j, int64_t row) {
  bool dropped = atomic_load(&l->stop);
  l->busy++;
  pthread_mutex_unlock(&l->lock);
  int64_t at = row;
  lur_job_field *f = locate(j, &at);
  lur_status status = dropped ? LUR_EINTERRUPTED : make_row(l, w, f, at);
  pthread_mutex_lock(&l->lock);
  l->busy--;
  if (status != LUR_OK &&
      (j->status == LUR_OK || row < j->failed_row)) { /* the first in row order, whatever the timing */
    j->status = status;
    j->failed_row = row;
    snprintf(j->message, sizeof j->message, "%s", dropped ? "interrupted" : lur_last_error());
  }
  l->finished++;
  if (++j->made == j->rows) {
    if (j->status == LUR_OK && j->fields[0].targets && !l->transform.on_owner) {
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

typedef struct start { /* argument of a new thread */
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
    lur_job *j = next_row(l, &row);
    if (j) process_row(l, s.workspace, j, row);
    else pthread_cond_wait(&l->work, &l->lock);
  }
  pthread_mutex_unlock(&l->lock);
  return NULL;
}

lur_status lur_loader_start(lur_loader *l) {
  sigset_t all, old; /* signals such as SIGINT go to the main thread */
  pthread_mutex_lock(&l->lock);
  l->closing = false;
  pthread_mutex_unlock(&l->lock);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  lur_status status = LUR_OK;
  for (; l->nworkers < l->want_workers; l->nworkers++) {
    start *s = malloc(sizeof *s);
    int reason = s ? 0 : ENOMEM;
    if (s) *s = (start){l, &l->workspaces[l->nworkers]};
    if (s) reason = pthread_create(&l->threads[l->nworkers], NULL, work, s);
    if (reason == 0) continue;
    free(s);
    status = lur_fail(LUR_ENOMEM, "loader: cannot start worker thread %d of %d: %s", l->nworkers + 1, l->want_workers,
                      strerror(reason));
    break;
  }
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return status;
}

/* ---- called by the owner ---- */

void lur_job_free(lur_job *j) {
  for (int i = 0; i < j->nfields; i++) {
    lur_job_field *f = &j->fields[i];
    for (int64_t r = 0; f->damage && r < f->n; r++) free(f->damage[r].images);
    free(f->requested);
    free(f->draw);
    free(f->damage);
    free(f->params);
    free(f->sizes);
    lur_buffer_pool_give(f->targets, 0);
    lur_buffer_pool_give(f->bytes, 0);
    lur_buffer_pool_give(f->actual, 0);
    lur_buffer_pool_give(f->classes, 0);
    lur_buffer_pool_give(f->images, 0);
    lur_tensor_release(f->peeked);
  }
  *j = (lur_job){0};
}

void lur_loader_drain(lur_loader *l) {
  pthread_mutex_lock(&l->lock);
  atomic_store(&l->stop, true);
  for (int i = 0; i < l->count; i++) {
    lur_job *j = &l->ring[(l->head + i) % l->prefetch];
    j->next = j->rows;
  }
  while (l->busy) pthread_cond_wait(&l->done, &l->lock);
  for (int i = 0; i < l->count; i++) lur_job_free(&l->ring[(l->head + i) % l->prefetch]);
  l->count = 0;
  atomic_store(&l->stop, false);
  pthread_mutex_unlock(&l->lock);
}

lur_status lur_loader_transform_job(lur_loader *l, lur_job *j) {
  size_t pixels = (size_t)l->settings.height * (size_t)l->settings.width;
  for (int i = 0; i < j->nfields; i++) {
    lur_job_field *f = &j->fields[i];
    for (int64_t r = 0; r < f->n; r++) {
      lur_row_transform row = {f->actual[r], f->requested[r], f->draw[r], f->bytes + (size_t)r * 3 * pixels,
                               f->sizes[r]};
      LUR_TRY(lur_transform_row(l, &l->workspaces[l->want_workers], &row,
                                f->images + (size_t)r * pixels * (size_t)l->settings.channels));
    }
  }
  mix_job(l, j);
  return LUR_OK;
}

/* Waits for a worker to finish something. A transform may never end: after a request to interrupt the context, workers
   that finish no row for GRACE_MS are stopped, and the request is granted. Called with the lock held. */
static void wait_for_rows(lur_loader *l, int64_t *seen, int *waited_ms) {
  enum { TICK_MS = 50, GRACE_MS = 1000 };
  if (!l->transform.apply || l->transform.on_owner) {
    pthread_cond_wait(&l->done, &l->lock);
    return;
  }
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += TICK_MS * 1000000;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  pthread_cond_timedwait(&l->done, &l->lock, &until);
  if (!lur_context_interrupted(l->context) || *seen != l->finished) *waited_ms = 0;
  else if ((*waited_ms += TICK_MS) >= GRACE_MS) atomic_store(&l->stop, true);
  *seen = l->finished;
}

lur_job *lur_loader_finish_oldest(lur_loader *l) {
  lur_job *j = &l->ring[l->head];
  int64_t seen = -1;
  int waited_ms = 0;
  pthread_mutex_lock(&l->lock);
  while (!j->done) {
    int64_t row;
    lur_job *mine = l->nworkers == 0 ? next_row(l, &row) : NULL;
    if (mine) process_row(l, &l->workspaces[0], mine, row);
    else wait_for_rows(l, &seen, &waited_ms);
  }
  if (j->status == LUR_EINTERRUPTED) lur_context_check_interrupt(l->context); /* granted: the message is the job's */
  pthread_mutex_unlock(&l->lock);
  return j;
}
