/* loader.c - the ordered loader: index lists are pushed, batches are popped in the same order, worker threads make
 * them.
 *
 * This file is the owner's side: create and release, push, pop, the list of damaged images. The workers' side is
 * loader_work.c; loader.h describes the queue between them; buffers.c holds batch memory. */
#include "loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "decode_request.h"
#include "transform.h"

enum { DEFAULT_PREFETCH = 4, MAX_PREFETCH = 256, MAX_WORKERS = 256, MAX_SIDE = 16384 };

/* ---- create, release ---- */

static bool mixes(const lur_augment *augment) { return augment && (augment->s.mixup > 0 || augment->s.cutmix > 0); }

static lur_status check_options(const lur_dataset *d, const lur_loader_options *o) {
  if (d->size == 0) return lur_fail(LUR_EARG, "loader: the dataset (%s) is empty", d->source);
  if (o->height < 1 || o->width < 1 || o->height > MAX_SIDE || o->width > MAX_SIDE)
    return lur_fail(LUR_EARG, "loader: size %dx%d; each side must be 1 to %d", o->height, o->width, MAX_SIDE);
  if (o->channels != 0 && o->channels != 1 && o->channels != 3)
    return lur_fail(LUR_EARG, "loader: channels 3 or 1 expected, got %d", o->channels);
  if (o->channels == 1 && (o->preprocess == LUR_PREPROCESS_CAFFE || o->preprocess == LUR_PREPROCESS_TORCH))
    return lur_fail(LUR_EARG, "loader: preprocess '%s' needs 3 channels, got 1",
                    o->preprocess == LUR_PREPROCESS_CAFFE ? "caffe" : "torch");
  if (o->augment && mixes(o->augment) && d->nclasses == 0)
    return lur_fail(LUR_EARG, "loader: mixup and cutmix need classes, and %s has none", d->source);
  if (o->workers > MAX_WORKERS)
    return lur_fail(LUR_EARG, "loader: at most %d workers, got %d", MAX_WORKERS, o->workers);
  if (o->prefetch < 0 || o->prefetch > MAX_PREFETCH)
    return lur_fail(LUR_EARG, "loader: prefetch 1 to %d expected, got %d", MAX_PREFETCH, o->prefetch);
  return LUR_OK;
}

static int worker_count(int requested) {
  if (requested > 0) return requested;
  if (requested < 0) return 0;
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  return cores < 1 ? 1 : cores > 16 ? 16 : (int)cores;
}

static void set_options(lur_loader *l, lur_context *context, lur_dataset *dataset, const lur_loader_options *o) {
  l->context = context;
  l->dataset = dataset;
  lur_context_retain(context);
  lur_dataset_retain(dataset);
  l->settings = (lur_sample_settings){.height = o->height,
                                      .width = o->width,
                                      .channels = o->channels ? o->channels : 3,
                                      .resize = o->resize,
                                      .preprocess = o->preprocess,
                                      .decode = o->decode,
                                      .augment = o->augment,
                                      .budgets = &l->budgets,
                                      .stop = &l->stop};
  lur_decode_request request;
  lur_decode_request_init(&request, &o->decode);
  lur_memory_budgets_init(&l->budgets, request.max_pixels);
  l->augment = o->augment;
  l->random = o->random;
  if (l->augment) lur_augment_retain(l->augment);
  if (l->random) lur_numpy_random_retain(l->random);
  l->seed = o->seed;
  l->strict = o->strict;
  l->owner = pthread_self();
  l->prefetch = o->prefetch ? o->prefetch : DEFAULT_PREFETCH;
  atomic_init(&l->stop, false);
  pthread_mutex_init(&l->lock, NULL);
  pthread_cond_init(&l->work, NULL);
  pthread_cond_init(&l->done, NULL);
}

static lur_status allocate(lur_loader *l, lur_device *device) {
  size_t n = (size_t)l->dataset->size, workers = (size_t)l->want_workers;
  LUR_TRY(lur_alloc_items(n, sizeof *l->draws, &l->draws));
  LUR_TRY(lur_alloc_items(n, sizeof *l->damage_text, &l->damage_text));
  LUR_TRY(lur_alloc_items((size_t)l->prefetch, sizeof *l->ring, &l->ring));
  LUR_TRY(lur_alloc_items(workers + 1, sizeof *l->threads, &l->threads));
  LUR_TRY(lur_alloc_items(workers + 1, sizeof *l->workspaces, &l->workspaces));
  return lur_buffer_pool_new(l->context, device, 3 * (l->prefetch + 2), &l->pool);
}

lur_status lur_loader_new(lur_context *context, lur_dataset *dataset, const lur_loader_options *options,
                          lur_loader **loader) {
  LUR_TRY(check_options(dataset, options));
  lur_loader *l = calloc(1, sizeof *l);
  if (!l) return lur_fail(LUR_ENOMEM, "out of memory for a loader");
  set_options(l, context, dataset, options);
  l->want_workers = worker_count(options->workers);
  lur_status status = allocate(l, options->device);
  if (status != LUR_OK) {
    lur_loader_release(l);
    return status;
  }
  if (options->transform) l->transform = *options->transform; /* from here on it is the loader's */
  *loader = l;
  return LUR_OK;
}

void lur_loader_stop(lur_loader *l) {
  lur_loader_drain(l);
  pthread_mutex_lock(&l->lock);
  l->closing = true;
  pthread_cond_broadcast(&l->work);
  pthread_mutex_unlock(&l->lock);
  for (; l->nworkers > 0; l->nworkers--) pthread_join(l->threads[l->nworkers - 1], NULL);
}

void lur_loader_release(lur_loader *l) {
  if (!l) return;
  if (l->ring) lur_loader_stop(l);
  for (int i = 0; l->workspaces && i <= l->want_workers; i++) {
    lur_transform_close(l, &l->workspaces[i]);
    lur_workspace_free(&l->workspaces[i]);
  }
  if (l->transform.release) l->transform.release(l->transform.user);
  for (int64_t i = 0; l->damage_text && i < l->dataset->size; i++)
    if (l->damage_text[i] != l->dataset->items[i].path) free(l->damage_text[i]);
  lur_buffer_pool_close(l->pool);
  lur_memory_budgets_destroy(&l->budgets);
  pthread_cond_destroy(&l->work);
  pthread_cond_destroy(&l->done);
  pthread_mutex_destroy(&l->lock);
  free(l->threads);
  free(l->workspaces);
  free(l->ring);
  free(l->damage_text);
  free(l->draws);
  free(l->damage);
  lur_augment_release(l->augment);
  lur_numpy_random_release(l->random);
  lur_dataset_release(l->dataset);
  lur_context_release(l->context);
  free(l);
}

lur_status lur_loader_begin(lur_loader *l, int64_t epoch) {
  lur_loader_drain(l);
  l->epoch = epoch;
  l->batches = 0;
  l->finished = 0;
  memset(l->draws, 0, (size_t)l->dataset->size * sizeof *l->draws);
  for (int64_t i = 0; i < l->ndamage; i++) {
    l->damage[i].times = 0;
    l->damage[i].fresh = false;
  }
  return lur_loader_start(l);
}

/* ---- push ---- */

int lur_loader_room(const lur_loader *l) { return l->prefetch - l->count; } /* only the owner changes count */
int lur_loader_waiting(const lur_loader *l) { return l->count; }

static lur_status check_fields(const lur_loader *l, int nfields, const lur_load_field *fields) {
  if (nfields < 1 || nfields > LUR_MAX_LOAD_FIELDS)
    return lur_fail(LUR_EARG, "loader: 1 to %d image fields per batch expected, got %d", LUR_MAX_LOAD_FIELDS, nfields);
  for (int i = 0; i < nfields; i++) {
    if (fields[i].n < 1) return lur_fail(LUR_EARG, "loader: field '%s' has no image index", fields[i].name);
    if (strlen(fields[i].name) >= sizeof((lur_job_field *)0)->name)
      return lur_fail(LUR_EARG, "loader: field name '%s' is too long", fields[i].name);
    for (int64_t r = 0; r < fields[i].n; r++)
      if (fields[i].indices[r] < 0 || fields[i].indices[r] >= l->dataset->size)
        return lur_fail(LUR_EARG, "loader: image index %lld of field '%s' is outside the dataset of %lld",
                        (long long)fields[i].indices[r], fields[i].name, (long long)l->dataset->size);
  }
  return LUR_OK;
}

static lur_status field_fill(lur_loader *l, lur_job_field *f, const lur_load_field *from) {
  size_t n = (size_t)from->n,
         row = (size_t)l->settings.height * (size_t)l->settings.width * (size_t)l->settings.channels;
  snprintf(f->name, sizeof f->name, "%s", from->name);
  f->n = from->n;
  LUR_TRY(lur_alloc_items(n, sizeof *f->requested, &f->requested));
  LUR_TRY(lur_alloc_items(n, sizeof *f->draw, &f->draw));
  LUR_TRY(lur_alloc_items(n, sizeof *f->damage, &f->damage));
  if (n > SIZE_MAX / (row * sizeof(float)))
    return lur_fail(LUR_ENOMEM, "loader: a batch of %zu images does not fit into memory", n);
  LUR_TRY(lur_buffer_pool_take(l->pool, n * row * sizeof(float), (void **)&f->images));
  LUR_TRY(lur_buffer_pool_take(l->pool, n * sizeof *f->actual, (void **)&f->actual));
  LUR_TRY(lur_buffer_pool_take(l->pool, n * sizeof *f->classes, (void **)&f->classes));
  if (l->transform.on_owner) {
    LUR_TRY(lur_buffer_pool_take(l->pool, n * (size_t)l->settings.height * (size_t)l->settings.width * 3,
                                 (void **)&f->bytes));
    LUR_TRY(lur_alloc_items(n, sizeof *f->sizes, &f->sizes));
  }
  if (mixes(l->augment))
    LUR_TRY(lur_buffer_pool_take(l->pool, n * (size_t)l->dataset->nclasses * sizeof(float), (void **)&f->targets));
  if (l->augment && l->random) LUR_TRY(lur_alloc_items(n, sizeof *f->params, &f->params));
  memcpy(f->requested, from->indices, n * sizeof *f->requested);
  return LUR_OK;
}

/* NumPy's stream is a single sequence, so parameters are drawn in the order of pushes. */
static void draw_numpy(lur_loader *l, lur_params *params) {
  lur_source source = {.numpy = l->random};
  lur_augment_draw(l->augment, &source, l->settings.height, l->settings.width, params);
}

lur_status lur_loader_push(lur_loader *l, int nfields, const lur_load_field *fields) {
  LUR_TRY(check_fields(l, nfields, fields));
  if (l->count == l->prefetch)
    return lur_fail(LUR_ESTATE, "loader: the queue holds %d batches (option prefetch) and is full", l->count);
  lur_job j = {.nfields = nfields};
  for (int i = 0; i < nfields; i++) {
    lur_status status = field_fill(l, &j.fields[i], &fields[i]);
    if (status != LUR_OK) {
      lur_job_free(&j);
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

static lur_status count_damage(lur_loader *l, int64_t index) {
  for (int64_t i = 0; i < l->ndamage; i++)
    if (l->damage[i].index == index) {
      l->damage[i].times++;
      return LUR_OK;
    }
  if (l->ndamage == l->damage_capacity) {
    int64_t capacity = l->damage_capacity ? 2 * l->damage_capacity : 16;
    lur_damage *more = realloc(l->damage, (size_t)capacity * sizeof *more);
    if (!more) return lur_fail(LUR_ENOMEM, "out of memory for the list of damaged images");
    l->damage = more;
    l->damage_capacity = capacity;
  }
  pthread_mutex_lock(&l->lock);
  const char *text = l->damage_text[index];
  pthread_mutex_unlock(&l->lock);
  l->damage[l->ndamage++] = (lur_damage){index, 1, true, text};
  return LUR_OK;
}

static lur_status count_job_damage(lur_loader *l, const lur_job *j) {
  for (int i = 0; i < j->nfields; i++)
    for (int64_t r = 0; r < j->fields[i].n; r++)
      for (int k = 0; k < j->fields[i].damage[r].n; k++) LUR_TRY(count_damage(l, j->fields[i].damage[r].images[k]));
  return LUR_OK;
}

/* Moves the pool buffer in *slot to a tensor that owns it. On failure the slot keeps it. */
static lur_status wrap(lur_loader *l, void *slot, lur_dtype dtype, lur_shape shape, lur_tensor **tensor) {
  void *memory;
  memcpy(&memory, slot, sizeof memory);
  LUR_TRY(lur_tensor_wrap(l->context, memory, dtype, &shape, lur_buffer_pool_give, tensor));
  memset(slot, 0, sizeof memory);
  return LUR_OK;
}

static lur_status wrap_images(lur_loader *l, lur_job_field *f) {
  lur_shape shape = {4, {f->n, l->settings.height, l->settings.width, l->settings.channels}};
  return f->peeked ? LUR_OK : wrap(l, &f->images, LUR_F32, shape, &f->peeked);
}

static lur_status field_out(lur_loader *l, lur_job_field *f, lur_loaded_field *out) {
  snprintf(out->name, sizeof out->name, "%s", f->name);
  lur_shape ids = {1, {f->n}};
  LUR_TRY(wrap_images(l, f));
  out->images = f->peeked;
  f->peeked = NULL;
  LUR_TRY(wrap(l, &f->classes, LUR_I32, ids, &out->classes));
  LUR_TRY(wrap(l, &f->actual, LUR_I32, ids, &out->indices));
  if (f->targets) LUR_TRY(wrap(l, &f->targets, LUR_F32, (lur_shape){2, {f->n, l->dataset->nclasses}}, &out->targets));
  return LUR_OK;
}

lur_status lur_loader_pop(lur_loader *l, lur_loaded *batch) {
  if (l->count == 0) return lur_fail(LUR_ESTATE, "loader: no batch was pushed");
  lur_job *oldest = lur_loader_finish_oldest(l);
  pthread_mutex_lock(&l->lock);
  lur_job j = *oldest;
  *oldest = (lur_job){0};
  l->head = (l->head + 1) % l->prefetch;
  l->count--;
  pthread_mutex_unlock(&l->lock);
  lur_status status = count_job_damage(l, &j);
  if (status == LUR_OK && j.status != LUR_OK) status = lur_fail(j.status, "%s", j.message);
  if (status == LUR_OK && l->transform.on_owner) status = lur_loader_transform_job(l, &j);
  lur_loaded out = {.nfields = j.nfields};
  for (int i = 0; status == LUR_OK && i < j.nfields; i++) status = field_out(l, &j.fields[i], &out.fields[i]);
  lur_job_free(&j);
  if (status == LUR_OK) *batch = out;
  else lur_loaded_free(&out);
  return status;
}

lur_status lur_loader_peek(lur_loader *l, lur_loaded *batch) {
  lur_job *oldest = &l->ring[l->head];
  *batch = (lur_loaded){0};
  pthread_mutex_lock(&l->lock);
  bool ready = l->count > 0 && oldest->done && oldest->status == LUR_OK && !l->transform.on_owner;
  pthread_mutex_unlock(&l->lock);
  if (!ready) return LUR_OK;
  for (int i = 0; i < oldest->nfields; i++)
    LUR_TRY(wrap_images(l, &oldest->fields[i])); /* the job is done: no worker uses it */
  batch->nfields = oldest->nfields;
  for (int i = 0; i < oldest->nfields; i++) {
    snprintf(batch->fields[i].name, sizeof batch->fields[i].name, "%s", oldest->fields[i].name);
    lur_tensor_retain(oldest->fields[i].peeked);
    batch->fields[i].images = oldest->fields[i].peeked;
  }
  return LUR_OK;
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
