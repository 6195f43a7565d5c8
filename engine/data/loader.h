/* loader.h - the internals of a loader, shared by loader.c (the owner's thread) and loader_work.c (the workers).
 *
 * The queue is a ring of jobs, one per batch. Workers take rows, from the oldest job first; the owner waits until all
 * rows of the oldest job are made. A worker writes its row and the row's damage list. Everything else is used by the
 * owner only, or guarded by one lock, as the comments on the fields state. */
#ifndef LUR_LOADER_H
#define LUR_LOADER_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/base/alloc.h"
#include "engine/tensor/tensor.h"
#include "buffers.h"
#include "dataset.h"
#include "sample.h"

/* The images that could not be read while a row was made, in the order in which they were tried. */
typedef struct lur_row_damage {
  int n;
  int64_t *images; /* owned */
} lur_row_damage;

typedef struct lur_job_field {
  char name[64];
  int64_t n;
  int64_t *requested;     /* indices as pushed; owned */
  int32_t *draw;          /* draw number of each row: see data.h; owned */
  int32_t *actual;        /* index of the image in each row, after replacement; a pool buffer, later a tensor */
  int32_t *classes;       /* likewise */
  float *images;          /* likewise */
  lur_tensor *peeked;     /* the images as a tensor that owns the buffer, once lur_loader_peek was called; or NULL */
  float *targets;         /* likewise; NULL without mixup and cutmix */
  uint8_t *bytes;         /* the images for a transform on the owner's thread, or NULL; a pool buffer */
  int (*sizes)[2];        /* with bytes: height and width of each row's image in its file; owned */
  lur_params *params;     /* drawn by lur_loader_push, from NumPy's stream; NULL: the worker draws. Owned */
  lur_row_damage *damage; /* owned */
} lur_job_field;

typedef struct lur_job {
  int nfields;
  lur_job_field fields[LUR_MAX_LOAD_FIELDS];
  int64_t number;           /* of the batch within its epoch */
  int64_t rows, next, made; /* over all fields: total, next to take, finished. Guarded by the lock */
  bool done;                /* all rows are made and, unless the owner transforms them, mixed; guarded by the lock */
  lur_status status;        /* of the first row, in row order, that failed; guarded by the lock */
  int64_t failed_row;
  char message[512];
} lur_job;

struct lur_loader {
  lur_context *context;
  lur_dataset *dataset;
  lur_sample_settings settings;
  uint64_t seed;
  bool strict;
  int64_t epoch;
  lur_buffer_pool *pool;
  lur_memory_budgets budgets;
  uint32_t *draws;          /* per image: requests in this epoch; the owner's */
  int64_t batches;          /* pushed or skipped in this epoch; the owner's */
  lur_augment *augment;     /* NULL: none */
  lur_numpy_random *random; /* NULL: Philox */
  lur_transform transform;  /* apply NULL: none */
  pthread_t owner;          /* the thread that pops batches */

  pthread_mutex_t lock;
  pthread_cond_t work, done;
  lur_job *ring; /* prefetch slots */
  int prefetch, head, count;
  int busy; /* rows being made */
  int64_t finished; /* rows made in this epoch; guarded by the lock */
  bool closing;
  atomic_bool stop;           /* workers abandon their rows */
  char **damage_text;         /* per image: why it is damaged, or NULL; written once, guarded by the lock */
  int want_workers, nworkers; /* to start; running */
  pthread_t *threads;
  lur_workspace *workspaces; /* one per worker, plus one that lur_loader_pop uses if there are no workers */

  int64_t ndamage, damage_capacity; /* the owner's */
  lur_damage *damage;
};

/* Starts the workers that are not running. */
lur_status lur_loader_start(lur_loader *loader);
/* Empties the queue; returns when no worker uses any job. */
void lur_loader_drain(lur_loader *loader);
/* Waits until the oldest job is done; without workers, makes its rows. The job holds the status. */
lur_job *lur_loader_finish_oldest(lur_loader *loader);
/* Applies a transform on the owner's thread to the rows of a job that is done, and mixes them. */
lur_status lur_loader_transform_job(lur_loader *loader, lur_job *job);
void lur_job_free(lur_job *job);

#endif
