/* loader.h - the inside of a loader: shared by its two sides, loader.c (the owner's) and loader_work.c (the workers').
 *
 * The queue is a ring of jobs. Workers take rows, oldest job first; the owner waits for the oldest job's last row.
 * A worker writes its row and its own notes on damage; everything else is the owner's, or stands behind one lock. */
#ifndef LUR_LOADER_H
#define LUR_LOADER_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/internal.h"
#include "buffers.h"
#include "dataset.h"
#include "sample.h"

/* What happened to a row on its way: images that could not be read, in the order they were tried. */
typedef struct lur_row_damage {
  int n;
  int64_t *images; /* owned */
} lur_row_damage;

typedef struct lur_job_field {
  char name[64];
  int64_t n;
  int64_t *requested;     /* indices as pushed; owned */
  int32_t *draw;          /* draw number of each row; owned */
  int32_t *actual;        /* the image that is really there; a pool buffer, becomes the batch's indices */
  int32_t *classes;       /* likewise */
  float *images;          /* likewise */
  lur_tensor *peeked;     /* the images as lur_loader_peek showed them, which own the buffer then; NULL: not yet */
  float *targets;         /* likewise; NULL without mixing */
  lur_params *params;     /* drawn when pushed, from NumPy's stream; NULL: the worker draws. Owned */
  lur_row_damage *damage; /* owned */
} lur_job_field;

typedef struct lur_job {
  int nfields;
  lur_job_field fields[LUR_MAX_LOAD_FIELDS];
  int64_t number;           /* of the batch in its epoch */
  int64_t rows, next, made; /* over all fields; behind the lock */
  bool done;                /* mixed too; behind the lock */
  lur_status status;        /* of the first row, in row order, that failed; behind the lock */
  int64_t failed_row;
  char message[512];
} lur_job;

struct lur_loader {
  lur_context *context;
  lur_dataset *dataset;
  lur_sampler_settings settings;
  uint64_t seed;
  bool strict;
  int64_t epoch;
  lur_buffer_pool *pool;
  uint32_t *draws;          /* of each image in this epoch; the owner's */
  int64_t batches;          /* pushed or skipped in this epoch; the owner's */
  lur_augment *augment;     /* NULL: none */
  lur_numpy_random *random; /* NULL: Philox */

  pthread_mutex_t lock;
  pthread_cond_t work, done;
  lur_job *ring; /* prefetch slots */
  int prefetch, head, count;
  int busy; /* rows being made */
  bool closing;
  atomic_bool stop;           /* workers drop what they do */
  char **damage_text;         /* per image: why it is damaged, or NULL; behind the lock, written once */
  int want_workers, nworkers; /* asked for; running */
  pthread_t *threads;
  lur_workspace *workspaces; /* one a worker, and the last for rows made in lur_loader_pop */

  int64_t ndamage, damage_capacity; /* the owner's */
  lur_damage *damage;
};

/* Starts the workers that are not running yet. */
lur_status lur_loader_start(lur_loader *loader);
/* Takes everything out of the queue; returns when no worker holds any of it. */
void lur_loader_drain(lur_loader *loader);
/* Waits for the oldest job; without workers makes its rows here. Success or not is in the job. */
lur_job *lur_loader_finish_oldest(lur_loader *loader);
void lur_job_free(lur_job *job);

#endif
