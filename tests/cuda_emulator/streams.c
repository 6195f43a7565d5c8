/* streams.c - the emulated streams, events and graphs, and the counts. Work runs as late as on a GPU: when a call waits
 * for it, memory is freed, or a copy to ordinary host memory needs it. So a caller that frees, reuses or reads memory
 * too early gets wrong numbers here, and an error under sanitizers.
 *
 * A stream that captures keeps its work in a graph; launching the graph appends all of it again. */
#include "streams.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda_emulator/emulator.h"

typedef struct work {
  struct work *next;
  emulated_site *site;
  void (*call)(const void *closure);
  size_t bytes;
  char *closure;
} work;

typedef struct list {
  work *first, **end;
} list;

struct CUgraph_st {
  list works;
};
struct CUgraphExec_st {
  list works;
  cudaStream_t stream; /* where it was launched last, and how much work the stream had been given then */
  uint64_t asked;
};
struct CUstream_st {
  cudaStream_t next;
  list works;
  uint64_t asked, done;
  cudaGraph_t capture; /* NULL: not capturing */
  bool spoilt; /* a call was made that cannot be captured */
};
struct CUevent_st {
  cudaStream_t stream; /* NULL: never captured */
  uint64_t asked;
};

static pthread_mutex_t lock;
static pthread_once_t lock_once = PTHREAD_ONCE_INIT;
static cudaStream_t streams;
static cudaStream_t captured; /* by the thread `capturer`; thread-local variables are the kernels' shared memory */
static pthread_t capturer;
static emulated_site *sites;
static emulator_counts counted;
static uint64_t fail_launch, fail_allocation; /* how many until one fails; 0: none fails */
static emulated_site *failed;                 /* the launch that made the device fail */

static void make_lock(void) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&lock, &attributes);
}

void emulated_lock(void) {
  pthread_once(&lock_once, make_lock);
  pthread_mutex_lock(&lock);
}
void emulated_unlock(void) { pthread_mutex_unlock(&lock); }

bool emulated_fault(const char *name) {
  const char *wanted = getenv("EMULATED_CUDA_FAULT");
  return wanted && strcmp(wanted, name) == 0;
}

bool emulated_lost(void) { return failed != NULL; }

bool emulated_forbidden(void) {
  emulated_lock();
  const bool here = captured && pthread_equal(capturer, pthread_self());
  if (here) captured->spoilt = true;
  emulated_unlock();
  return here;
}

/* ---- work ---- */

static void add(list *to, work *w) {
  if (!to->first) to->end = &to->first;
  *to->end = w;
  to->end = &w->next;
}

static work *new_work(emulated_site *site, void (*call)(const void *), const void *closure, size_t bytes,
                      const void *data, size_t data_bytes) {
  work *w = calloc(1, sizeof *w);
  char *copy = aligned_alloc(64, (bytes + data_bytes + 64) & ~(size_t)63);
  if (!w || !copy) abort();
  memcpy(copy, closure, bytes);
  if (data_bytes) memcpy(copy + bytes, data, data_bytes);
  *w = (work){NULL, site, call, bytes + data_bytes, copy};
  return w;
}

static void free_works(list *works) {
  for (work *w = works->first; w;) {
    work *next = w->next;
    free(w->closure);
    free(w);
    w = next;
  }
  works->first = NULL;
}

static void count_launch(emulated_site *site) {
  if (site->count++ == 0) {
    site->next = sites;
    sites = site;
  }
  counted.launches++;
  if ((fail_launch > 0 && --fail_launch == 0) || (counted.launches > 20 && emulated_fault("lost"))) failed = site;
}

/* After the device has failed nothing runs any more. */
static void drain_to(cudaStream_t stream, uint64_t asked) {
  if (stream->done >= asked || !stream->works.first) return;
  emulated_open_memory();
  while (stream->done < asked && stream->works.first) {
    work *w = stream->works.first;
    stream->works.first = w->next;
    if (w->site && !failed) count_launch(w->site);
    if (!failed) w->call(w->closure);
    stream->done++;
    free(w->closure);
    free(w);
  }
  emulated_close_memory();
}

void emulated_drain(cudaStream_t stream) {
  emulated_lock();
  for (cudaStream_t s = streams; s; s = s->next)
    if (!stream || s == stream) drain_to(s, s->asked);
  emulated_unlock();
}

cudaError_t emulated_enqueue_with(cudaStream_t stream, emulated_site *site, void (*call)(const void *),
                                  const void *closure, size_t bytes, const void *data, size_t data_bytes) {
  if (!stream) return cudaErrorInvalidValue;
  emulated_lock();
  if (stream->capture && emulated_fault("capture")) stream->spoilt = true;
  add(stream->capture ? &stream->capture->works : &stream->works,
      new_work(site, call, closure, bytes, data, data_bytes));
  if (!stream->capture) stream->asked++;
  emulated_unlock();
  return emulated_lost() ? cudaErrorIllegalAddress : cudaSuccess;
}

cudaError_t emulated_enqueue(cudaStream_t stream, emulated_site *site, void (*call)(const void *), const void *closure,
                             size_t bytes) {
  return emulated_enqueue_with(stream, site, call, closure, bytes, NULL, 0);
}

/* ---- streams and events ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
  if (emulated_runs_out()) return cudaErrorMemoryAllocation;
  cudaStream_t made = calloc(1, sizeof *made);
  if (!made || flags != cudaStreamNonBlocking) {
    free(made);
    return cudaErrorInvalidValue;
  }
  emulated_lock();
  made->next = streams;
  streams = made;
  emulated_unlock();
  *stream = made;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  emulated_drain(stream);
  emulated_lock();
  for (cudaStream_t *at = &streams; *at; at = &(*at)->next)
    if (*at == stream) {
      *at = stream->next;
      break;
    }
  emulated_unlock();
  free(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (!stream) return cudaErrorInvalidValue;
  if (stream->capture) {
    stream->spoilt = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  emulated_count_wait();
  emulated_drain(stream);
  return emulated_lost() ? cudaErrorIllegalAddress : cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
  if (flags != cudaEventDisableTiming) return cudaErrorInvalidValue;
  if (emulated_runs_out()) return cudaErrorMemoryAllocation;
  *event = calloc(1, sizeof **event);
  return *event ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  free(event);
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (!event || !stream) return cudaErrorInvalidValue;
  if (stream->capture) {
    stream->spoilt = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  *event = (struct CUevent_st){stream, stream->asked};
  return cudaSuccess;
}

static void wait_for(const void *closure) {
  const struct CUevent_st *event = closure;
  drain_to(event->stream, event->asked);
}

/* Waits for what the event records now, even if it is recorded again later. */
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  if (!stream || !event || flags != 0) return cudaErrorInvalidValue;
  return event->stream ? emulated_enqueue(stream, NULL, wait_for, event, sizeof *event) : cudaSuccess;
}

/* ---- graphs ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
  if (!stream || stream->capture || captured || mode != cudaStreamCaptureModeThreadLocal)
    return cudaErrorInvalidValue;
  stream->capture = calloc(1, sizeof *stream->capture);
  if (!stream->capture) return cudaErrorMemoryAllocation;
  stream->spoilt = false;
  emulated_lock();
  capturer = pthread_self();
  captured = stream;
  emulated_unlock();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
  cudaGraph_t made = stream->capture;
  *graph = NULL;
  if (!made || captured != stream || !pthread_equal(capturer, pthread_self())) return cudaErrorInvalidValue;
  stream->capture = NULL;
  emulated_lock();
  captured = NULL;
  emulated_unlock();
  if (stream->spoilt) {
    (void)cudaGraphDestroy(made);
    return cudaErrorStreamCaptureInvalidated;
  }
  *graph = made;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  free_works(&graph->works);
  free(graph);
  return cudaSuccess;
}

static void repeat(const list *works, list *to) {
  for (const work *w = works->first; w; w = w->next) add(to, new_work(w->site, w->call, w->closure, w->bytes, NULL, 0));
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags) {
  if (!graph || flags != 0) return cudaErrorInvalidValue;
  if (emulated_runs_out()) return cudaErrorMemoryAllocation;
  *exec = calloc(1, sizeof **exec);
  if (!*exec) return cudaErrorMemoryAllocation;
  repeat(&graph->works, &(*exec)->works);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (!exec || !stream || stream->capture) return cudaErrorInvalidValue;
  emulated_lock();
  for (const work *w = exec->works.first; w; w = w->next)
    (void)emulated_enqueue(stream, w->site, w->call, w->closure, w->bytes);
  exec->stream = stream;
  exec->asked = stream->asked;
  emulated_unlock();
  return emulated_lost() ? cudaErrorIllegalAddress : cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  if (exec->stream && exec->stream->done < exec->asked && !emulated_lost()) {
    fprintf(stderr, "cuda emulator: a graph is destroyed while it may be running\n");
    abort();
  }
  free_works(&exec->works);
  free(exec);
  return cudaSuccess;
}

/* ---- the interface for tests ---- */

bool emulated_runs_out(void) {
  emulated_lock();
  counted.allocations++;
  bool out = fail_allocation > 0 && --fail_allocation == 0;
  emulated_unlock();
  return out;
}

void emulated_count_wait(void) { counted.waits++; }
void emulated_count_upload(size_t bytes) { counted.uploaded += bytes; }

static void read_counts(emulator_counts *counts) {
  emulated_drain(NULL);
  *counts = counted;
  counts->device = emulated_allocated(true);
  counts->host = emulated_allocated(false);
}

static void set_fail_allocation(uint64_t n) { fail_allocation = n; }

static void set_fail_launch(uint64_t n) {
  fail_launch = n;
  failed = NULL;
  (void)cudaGetLastError();
}

static const char *failed_file(void) { return failed ? failed->file : NULL; }

__attribute__((visibility("default"))) extern const emulator emulated_control;
const emulator emulated_control = {read_counts, set_fail_allocation, set_fail_launch, failed_file};

static FILE *asked_file(const char *variable) {
  const char *path = getenv(variable);
  return path ? fopen(path, "w") : NULL;
}

__attribute__((destructor)) static void write_reports(void) {
  FILE *launches = asked_file("EMULATED_CUDA_LAUNCHES"), *counts = asked_file("EMULATED_CUDA_COUNTS");
  for (const emulated_site *s = sites; s && launches; s = s->next)
    fprintf(launches, "%llu\t%s\t%s\t%s\t%s\n", s->count, s->file, s->kernel, s->where, s->types);
  if (launches) fclose(launches);
  if (!counts) return;
  fprintf(counts, "launches %llu\nallocations %llu\nwaits %llu\nuploaded %llu\n",
          (unsigned long long)counted.launches, (unsigned long long)counted.allocations,
          (unsigned long long)counted.waits, (unsigned long long)counted.uploaded);
  fclose(counts);
}
