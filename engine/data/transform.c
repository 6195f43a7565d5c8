/* transform.c - applies a loader's transform to rows; see lur_transform in data.h. The bytes that it gets come from
 * sample.c, and what it returns goes there to be normalised. */
#include "transform.h"

#include <omp.h>

#include "kernels/random.h"

/* The loader's owner also reads the request itself: without workers, nobody else would. */
bool lur_transform_stopped(const lur_transform_call *call) {
  const lur_loader *l = call->loader;
  if (atomic_load_explicit(&l->stop, memory_order_relaxed)) return true;
  return pthread_equal(pthread_self(), l->owner) && lur_context_interrupted(l->context);
}

void lur_transform_close(lur_loader *l, lur_workspace *w) {
  if (w->transform) l->transform.close(w->transform);
  w->transform = NULL;
}

/* A key of its own for every row, apart from the counters that augmentation draws with (source_at in loader_work.c). */
static uint64_t key_of(const lur_loader *l, const lur_row_transform *row) {
  uint64_t key = lur_random_mix(lur_random_mix(l->seed) ^ (uint64_t)l->epoch);
  key = lur_random_mix(key ^ 0x7472616E73666F72u ^ ((uint64_t)row->requested << 1));
  return lur_random_mix(key + (uint64_t)row->draw);
}

static lur_status apply(lur_loader *l, lur_workspace *w, const lur_row_transform *row, float *out) {
  lur_transform_call call = {.pixels = row->pixels,
                             .height = l->settings.height,
                             .width = l->settings.width,
                             .index = row->index,
                             .epoch = l->epoch,
                             .draw = row->draw,
                             .key = key_of(l, row),
                             .file_height = row->size[0],
                             .file_width = row->size[1],
                             .loader = l};
  if (!w->transform) LUR_TRY(l->transform.open(l->transform.user, &call, &w->transform));
  return l->transform.apply(w->transform, &call, out);
}

lur_status lur_transform_row(lur_loader *l, lur_workspace *w, const lur_row_transform *row, float *out) {
  size_t n = (size_t)l->settings.height * (size_t)l->settings.width;
  float *rgb = out;
  if (l->settings.channels != 3) {
    LUR_TRY(lur_bytes_reserve(&w->floats, 3 * n * sizeof(float)));
    rgb = (float *)(void *)w->floats.data;
  }
  int threads = omp_get_max_threads(); /* workers are as many as there should be threads; sums depend on their number */
  omp_set_num_threads(1);
  lur_status status = apply(l, w, row, rgb);
  omp_set_num_threads(threads);
  if (status == LUR_OK) lur_sample_normalise(&l->settings, rgb, out);
  else lur_transform_close(l, w);
  return status;
}
