/* audit.c - finds problems in datasets before training: damaged files, wrong extensions, duplicates, imbalance.
 *
 * Threads read, hash and decode the images, each into its own record. The findings are then derived from the records by
 * one thread, in order, so that they do not depend on timing.
 * To add a kind of finding: its value in data.h, its name below, and a function like find_imbalance. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "bytes.h"
#include "dataset.h"
#include "decode.h"

enum { DEFAULT_TINY = 32, MAX_WORKERS = 64, MOST_KEPT = 128 << 20 }; /* MOST_KEPT: memory between two images */

typedef struct record { /* of one image */
  int set;
  int64_t index;
  lur_image_format format; /* by content */
  XXH128_hash_t hash;
  bool read;         /* the file could be read */
  int width, height; /* 0: not decoded */
  int orientation;   /* EXIF's; 1: as it is stored */
  char *problem;     /* why it cannot be decoded; owned; NULL: it can */
} record;

typedef struct inspection { /* shared by the threads */
  lur_dataset *const *sets;
  record *records;
  int64_t n;
  _Atomic int64_t next;
  lur_memory_budgets budgets;
  atomic_bool failed; /* by an error that is not a finding: one thread sets status and message */
  lur_status status;
  char message[512];
} inspection;

const char *lur_finding_name(lur_finding_kind kind) {
  static const char *const names[] = {"corrupt",         "extension", "duplicate", "class-duplicate",
                                      "split-duplicate", "tiny",      "imbalance"};
  return kind >= 0 && kind < LUR_FINDING_KINDS ? names[kind] : "?";
}

/* ---- inspecting images ---- */

/* Keeps the first failure that says nothing about an image: out of memory, too many open files, a failing disk. */
static void give_up(inspection *h, lur_status status, const char *path) {
  if (atomic_exchange(&h->failed, true)) return;
  h->status = status;
  snprintf(h->message, sizeof h->message, "%s: %s", path, lur_last_error());
}

static void inspect(inspection *h, record *r, lur_bytes *bytes, lur_rgbx *image) {
  lur_decode_request request;
  const char *path = lur_dataset_path(h->sets[r->set], r->index);
  int64_t size = lur_file_size(path), pixels = 0;
  bool absent;
  lur_decode_request_init(&request, &(lur_decode_options){.exif = true});
  request.orientation = &r->orientation;
  request.budget = &h->budgets.pixels;
  request.taken = &pixels;
  lur_budget_take(&h->budgets.files, size);
  lur_status status = lur_bytes_read(path, bytes, &absent);
  r->read = status == LUR_OK;
  if (r->read) {
    r->hash = XXH3_128bits(bytes->data, bytes->count);
    r->format = lur_image_sniff(bytes->data, bytes->count);
    status = lur_rgbx_decode(bytes->data, bytes->count, &request, image, &r->width, &r->height);
  }
  if (image->capacity > MOST_KEPT) lur_rgbx_free(image);
  if (bytes->capacity > MOST_KEPT) lur_bytes_free(bytes);
  lur_budget_give(&h->budgets.pixels, pixels);
  lur_budget_give(&h->budgets.files, size);
  if (status == LUR_OK) return;
  r->width = r->height = 0;
  if (status == LUR_EFORMAT || (status == LUR_EIO && absent)) r->problem = strdup(lur_last_error());
  else give_up(h, status, path);
  if (!r->problem && !atomic_load(&h->failed)) give_up(h, lur_fail(LUR_ENOMEM, "out of memory for an audit"), path);
}

static void *work(void *argument) {
  inspection *h = argument;
  lur_bytes bytes = {0};
  lur_rgbx image = {0};
  for (int64_t i; (i = atomic_fetch_add(&h->next, 1)) < h->n && !atomic_load(&h->failed);)
    inspect(h, &h->records[i], &bytes, &image);
  lur_bytes_free(&bytes);
  lur_rgbx_free(&image);
  return NULL;
}

static void inspect_all(inspection *h, int workers) {
  pthread_t threads[MAX_WORKERS];
  int started = 0;
  if (workers < 1) workers = (int)sysconf(_SC_NPROCESSORS_ONLN);
  while (started < workers - 1 && started < MAX_WORKERS && pthread_create(&threads[started], NULL, work, h) == 0)
    started++;
  work(h); /* this thread works too, so that the audit completes even if no thread could be started */
  for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
}

/* ---- findings ---- */

typedef struct finding_list {
  lur_audit *audit;
  int64_t capacity;
} finding_list;

static lur_status add(finding_list *l, lur_finding finding) {
  lur_audit *a = l->audit;
  if (finding.text && a->nfindings == l->capacity) {
    int64_t capacity = l->capacity ? 2 * l->capacity : 64;
    lur_finding *more = realloc(a->findings, (size_t)capacity * sizeof *more);
    if (more) a->findings = more, l->capacity = capacity;
  }
  if (!finding.text || a->nfindings == l->capacity) {
    free(finding.text);
    return lur_fail(LUR_ENOMEM, "out of memory for an audit");
  }
  a->findings[a->nfindings++] = finding;
  return LUR_OK;
}

static const char *format_name(lur_image_format format) {
  return format == LUR_IMAGE_JPEG ? "JPEG" : format == LUR_IMAGE_PNG ? "PNG" : "no image";
}

static lur_status find_in_item(finding_list *l, const inspection *h, const record *r, int tiny) {
  const char *path = lur_dataset_path(h->sets[r->set], r->index);
  lur_finding f = {.set = r->set, .index = r->index, .other_set = -1, .other = -1};
  char text[600];
  if (r->problem) {
    f.kind = LUR_FINDING_CORRUPT;
    f.text = strdup(r->problem);
    LUR_TRY(add(l, f));
  }
  if (r->format != LUR_IMAGE_UNKNOWN && r->format != lur_image_format_of_name(path)) {
    snprintf(text, sizeof text, "its contents are %s", format_name(r->format));
    f.kind = LUR_FINDING_EXTENSION;
    f.text = strdup(text);
    LUR_TRY(add(l, f));
  }
  if (r->width > 0 && (r->width < tiny || r->height < tiny)) {
    snprintf(text, sizeof text, "only %dx%d pixels", r->width, r->height);
    f.kind = LUR_FINDING_TINY;
    f.text = strdup(text);
    LUR_TRY(add(l, f));
  }
  return LUR_OK;
}

/* The first bytes of a file; none of one that is missing, forbidden or no regular file. */
static lur_status read_head(const char *path, uint8_t *head, size_t room, size_t *got) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat info;
  *got = 0;
  if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EIO))
    return lur_fail(errno == ENOMEM ? LUR_ENOMEM : LUR_EIO, "%s: cannot open: %s", path, strerror(errno));
  if (fd < 0) return LUR_OK;
  ssize_t count = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? read(fd, head, room) : 0;
  int reason = errno;
  close(fd);
  if (count < 0) return lur_fail(LUR_EIO, "%s: cannot read: %s", path, strerror(reason));
  *got = (size_t)count;
  return LUR_OK;
}

/* Image files that the dataset ignores because of their extension. */
static lur_status find_in_ignored(finding_list *l, const inspection *h, int set) {
  const lur_dataset *d = h->sets[set];
  for (int64_t i = 0; i < d->ignored.n; i++) {
    uint8_t head[8];
    size_t got = 0;
    LUR_TRY(read_head(d->ignored.at[i], head, sizeof head, &got));
    lur_image_format format = lur_image_sniff(head, got);
    if (format == LUR_IMAGE_UNKNOWN) continue;
    char text[4300];
    snprintf(text, sizeof text, "%s: ignored because of its extension, but its contents are %s", d->ignored.at[i],
             format_name(format));
    LUR_TRY(add(l, (lur_finding){LUR_FINDING_EXTENSION, set, -1, -1, -1, strdup(text)}));
  }
  return LUR_OK;
}

static lur_status find_imbalance(finding_list *l, const inspection *h, int set, double factor) {
  const lur_dataset *d = h->sets[set];
  int64_t most = 0;
  for (int c = 0; c < d->nclasses; c++)
    if (lur_dataset_class_size(d, c) > most) most = lur_dataset_class_size(d, c);
  for (int c = 0; c < d->nclasses; c++) {
    int64_t n = lur_dataset_class_size(d, c);
    if ((double)n * factor >= (double)most) continue;
    char text[600];
    snprintf(text, sizeof text, "class '%.300s' has %lld image%s, the largest class %lld", d->classes[c], (long long)n,
             n == 1 ? "" : "s", (long long)most);
    LUR_TRY(add(l, (lur_finding){LUR_FINDING_IMBALANCE, set, -1, -1, -1, strdup(text)}));
  }
  return LUR_OK;
}

/* ---- duplicates ---- */

static int compare_hashes(const void *a, const void *b) {
  const record *x = *(const record *const *)a, *y = *(const record *const *)b;
  int order = XXH128_cmp(&x->hash, &y->hash);
  if (order) return order;
  if (x->set != y->set) return x->set < y->set ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}

static lur_status add_duplicate(finding_list *l, const inspection *h, const record *first, const record *again) {
  const lur_dataset *a = h->sets[first->set], *b = h->sets[again->set];
  const char *was = lur_dataset_class_name(a, lur_dataset_class(a, first->index)),
             *is = lur_dataset_class_name(b, lur_dataset_class(b, again->index));
  bool classes = was && is && strcmp(was, is) != 0;
  lur_finding f = {.set = again->set, .index = again->index, .other_set = first->set, .other = first->index};
  f.kind = first->set != again->set ? LUR_FINDING_SPLIT_DUPLICATE
           : classes                ? LUR_FINDING_CLASS_DUPLICATE
                                    : LUR_FINDING_DUPLICATE;
  char text[4300];
  snprintf(text, sizeof text, "the same bytes as %s%s", lur_dataset_path(a, first->index),
           classes ? ", which has another class" : "");
  f.text = strdup(text);
  return add(l, f);
}

static lur_status find_duplicates(finding_list *l, const inspection *h) {
  const record **order = malloc(((size_t)h->n + 1) * sizeof *order);
  if (!order) return lur_fail(LUR_ENOMEM, "out of memory for an audit");
  int64_t n = 0;
  for (int64_t i = 0; i < h->n; i++)
    if (h->records[i].read) order[n++] = &h->records[i];
  qsort(order, (size_t)n, sizeof *order, compare_hashes);
  lur_status status = LUR_OK;
  for (int64_t i = 1, first = 0; status == LUR_OK && i < n; i++) {
    if (XXH128_isEqual(order[i]->hash, order[first]->hash)) status = add_duplicate(l, h, order[first], order[i]);
    else first = i;
  }
  free(order);
  return status;
}

/* ---- the audit ---- */

static int compare_findings(const void *a, const void *b) {
  const lur_finding *x = a, *y = b;
  if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
  if (x->set != y->set) return x->set < y->set ? -1 : 1;
  if (x->index != y->index) return x->index < y->index ? -1 : 1;
  return strcmp(x->text, y->text);
}

static lur_status find_all(const inspection *h, int nsets, const lur_audit_options *o, lur_audit *audit) {
  finding_list l = {.audit = audit};
  int tiny = o && o->tiny > 0 ? o->tiny : DEFAULT_TINY;
  double imbalance = o && o->imbalance > 0 ? o->imbalance : 10;
  for (int64_t i = 0; i < h->n; i++) LUR_TRY(find_in_item(&l, h, &h->records[i], tiny));
  for (int s = 0; s < nsets; s++) {
    LUR_TRY(find_in_ignored(&l, h, s));
    LUR_TRY(find_imbalance(&l, h, s, imbalance));
  }
  LUR_TRY(find_duplicates(&l, h));
  if (audit->nfindings) qsort(audit->findings, (size_t)audit->nfindings, sizeof *audit->findings, compare_findings);
  return LUR_OK;
}

lur_status lur_dataset_audit(int nsets, lur_dataset *const *sets, const lur_audit_options *options, lur_audit *audit) {
  inspection h = {.sets = sets};
  for (int s = 0; s < nsets; s++) h.n += sets[s]->size;
  h.records = calloc((size_t)h.n + 1, sizeof *h.records);
  if (!h.records) return lur_fail(LUR_ENOMEM, "out of memory for an audit");
  for (int64_t s = 0, at = 0; s < nsets; s++)
    for (int64_t i = 0; i < sets[s]->size; i++) h.records[at++] = (record){.set = (int)s, .index = i};
  atomic_init(&h.next, 0);
  atomic_init(&h.failed, false);
  lur_decode_request usual;
  lur_decode_request_init(&usual, NULL);
  lur_memory_budgets_init(&h.budgets, usual.max_pixels);
  inspect_all(&h, options ? options->workers : 0);
  lur_memory_budgets_destroy(&h.budgets);
  lur_audit found = {.checked = h.n};
  for (int64_t i = 0; i < h.n; i++) found.turned += h.records[i].orientation > 1;
  lur_status status = h.failed ? lur_fail(h.status, "%s", h.message) : find_all(&h, nsets, options, &found);
  for (int64_t i = 0; i < h.n; i++) free(h.records[i].problem);
  free(h.records);
  if (status == LUR_OK) *audit = found;
  else lur_audit_free(&found);
  return status;
}

void lur_audit_free(lur_audit *audit) {
  for (int64_t i = 0; i < audit->nfindings; i++) free(audit->findings[i].text);
  free(audit->findings);
  *audit = (lur_audit){0};
}
