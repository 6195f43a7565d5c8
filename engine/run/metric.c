/* metric.c - metrics of predictions in host memory: top-k accuracy, log-loss, confusion counts.
 * For whole test sets; results.c computes what a run reports per batch. */
#include <math.h>

#include "engine/tensor/tensor_host.h"

/* Scores n x c and ids n, checked. */
typedef struct table {
  lur_tensor *scores; /* f32, owned */
  const float *score;
  const int32_t *id;
  int64_t n, c;
} table;

static lur_status check_ids(const char *what, const table *t) {
  for (int64_t i = 0; i < t->n; i++) {
    if (t->id[i] < 0 || t->id[i] >= t->c) {
      return lur_fail(LUR_EARG, "%s: id %d in row %lld (0 to %lld expected)", what, t->id[i], (long long)i,
                      (long long)t->c - 1);
    }
  }
  return LUR_OK;
}

static lur_status open_table(const char *what, lur_tensor *scores, lur_tensor *ids, table *t) {
  char a[LUR_SHAPE_TEXT], b[LUR_SHAPE_TEXT];
  if (scores->shape.ndim != 2 || ids->shape.ndim != 1 || scores->shape.dim[0] != ids->shape.dim[0]) {
    return lur_fail(LUR_ESHAPE, "%s: scores n x c and ids n expected, got %s and %s", what,
                    lur_shape_format(&scores->shape, a), lur_shape_format(&ids->shape, b));
  }
  if (lur_shape_count(&scores->shape) == 0)
    return lur_fail(LUR_ESHAPE, "%s: no rows to count (scores %s)", what, lur_shape_format(&scores->shape, a));
  if (ids->dtype != LUR_I32)
    return lur_fail(LUR_ETYPE, "%s: i32 ids expected, got %s", what, lur_dtype_name(ids->dtype));
  LUR_TRY(lur_tensor_need_host(what, ids));
  LUR_TRY(lur_tensor_as(what, scores, LUR_F32, &t->scores));
  t->score = lur_tensor_data(t->scores);
  t->id = lur_tensor_data(ids);
  t->n = scores->shape.dim[0];
  t->c = scores->shape.dim[1];
  lur_status status = check_ids(what, t);
  if (status != LUR_OK) lur_tensor_release(t->scores);
  return status;
}

/* The number of classes that precede class `id`. A score that is NaN is never a hit, however many classes there are. */
static int64_t rank_of(const float *row, int64_t c, int64_t id) {
  int64_t rank = 0;
  if (isnan(row[id])) return INT64_MAX;
  for (int64_t j = 0; j < c; j++) rank += row[j] > row[id] || (row[j] == row[id] && j < id);
  return rank;
}

lur_status lur_top_k(lur_tensor *scores, lur_tensor *ids, int k, double *share) {
  table t;
  if (k < 1) return lur_fail(LUR_EARG, "top_k: k is %d (positive integer expected)", k);
  LUR_TRY(open_table("top_k", scores, ids, &t));
  int64_t hits = 0;
  for (int64_t i = 0; i < t.n; i++) hits += rank_of(t.score + i * t.c, t.c, t.id[i]) < k;
  *share = (double)hits / (double)t.n;
  lur_tensor_release(t.scores);
  return LUR_OK;
}

lur_status lur_log_loss(lur_tensor *probabilities, lur_tensor *ids, double *loss) {
  table t;
  LUR_TRY(open_table("log_loss", probabilities, ids, &t));
  double sum = 0;
  for (int64_t i = 0; i < t.n; i++) {
    double p = (double)t.score[i * t.c + t.id[i]];
    sum -= log(isnan(p) ? p : fmin(1, fmax(1e-15, p))); /* fmin and fmax would hide a NaN */
  }
  *loss = sum / (double)t.n;
  lur_tensor_release(t.scores);
  return LUR_OK;
}

/* The first class with the highest score; that of a NaN only if all scores are. */
static int64_t best_of(const float *row, int64_t c) {
  int64_t best = 0;
  for (int64_t j = 1; j < c; j++) {
    if (row[j] > row[best] || (isnan(row[best]) && !isnan(row[j]))) best = j;
  }
  return best;
}

lur_status lur_confusion(lur_tensor *scores, lur_tensor *ids, lur_tensor *counts) {
  table t;
  char text[LUR_SHAPE_TEXT];
  LUR_TRY(lur_tensor_need_host("confusion", counts));
  if (counts->dtype != LUR_I32 || counts->shape.ndim != 2 || scores->shape.ndim != 2 ||
      counts->shape.dim[0] != counts->shape.dim[1] || counts->shape.dim[0] != scores->shape.dim[1]) {
    return lur_fail(LUR_ESHAPE, "confusion: i32 counts, classes x classes, expected; got %s %s",
                    lur_dtype_name(counts->dtype), lur_shape_format(&counts->shape, text));
  }
  LUR_TRY(open_table("confusion", scores, ids, &t));
  int32_t *count = lur_tensor_data(counts);
  for (int64_t i = 0; i < t.n; i++) {
    const float *row = t.score + i * t.c;
    int64_t best = best_of(row, t.c);
    int32_t *cell = &count[t.id[i] * t.c + best];
    *cell += *cell < INT32_MAX && !isnan(row[best]); /* a row of NaN predicts no class */
  }
  lur_tensor_release(t.scores);
  return LUR_OK;
}
