/* arena.c - memory planning: the lifetimes of outputs, gradients and saved values become offsets in one block.
 *
 * The timeline is all forward ops, then their backwards in reverse order (plan.h). Buffers whose lifetimes do not
 * overlap share memory: largest first, each at the lowest offset that is free for its whole lifetime. An op that can
 * work in place overwrites an input that is not read any more. The end of the block is scratch for all ops. */
#include <stdlib.h>

#include "plan.h"

enum { ALIGN = 64 };

static size_t round_up(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

static size_t operand_bytes(const lur_operand *operand) {
  return (size_t)lur_shape_count(&operand->shape) * lur_dtype_size(operand->dtype);
}

static int later(int a, int b) { return a > b ? a : b; }

/* ---- lifetimes ---- */

/* Last step that reads value's forward content. */
static int last_read(const lur_plan *plan, int value, bool lifetimes) {
  const lur_value *v = &plan->values[value];
  const int end = 2 * plan->nops;
  if (v->wanted) return end;
  const lur_plan_op *producer = &plan->ops[v->producer];
  if (!lifetimes && plan->key.mode == LUR_MODE_TRAIN) return end;
  int last = v->producer;
  if (producer->backward && producer->op.backward_y) last = lur_backward_step(plan, v->producer);
  for (int i = 0; i < plan->nops; i++) {
    const lur_plan_op *op = &plan->ops[i];
    for (int k = 0; k < op->desc.nx; k++) {
      if (op->x[k] != value) continue;
      bool again = op->backward && (op->op.backward_x >> k & 1u);
      last = later(last, again ? lur_backward_step(plan, i) : i);
    }
  }
  return last;
}

static lur_status add_outputs(lur_plan *plan, bool lifetimes) {
  for (int v = 0; v < plan->nvalues; v++) {
    lur_value *value = &plan->values[v];
    value->buffer = -1;
    if (value->producer < 0) continue;
    lur_buffer buffer = {.bytes = operand_bytes(&value->operand),
                         .first = value->producer,
                         .last = last_read(plan, v, lifetimes),
                         .alias = -1,
                         .what = "output",
                         .op = value->producer};
    LUR_TRY(lur_plan_add_buffer(plan, &buffer, &value->buffer));
  }
  return LUR_OK;
}

static lur_status add_saved(lur_plan *plan) {
  for (int i = 0; i < plan->nops; i++) {
    lur_plan_op *op = &plan->ops[i];
    op->saved = -1;
    if (op->op.saved_bytes == 0) continue;
    lur_buffer buffer = {.bytes = op->op.saved_bytes,
                         .first = i,
                         .last = op->backward ? lur_backward_step(plan, i) : i,
                         .alias = -1,
                         .what = "saved",
                         .op = i};
    LUR_TRY(lur_plan_add_buffer(plan, &buffer, &op->saved));
  }
  return LUR_OK;
}

/* A gradient is live from its first writer (the last reader of the value, or the caller) to its producer's backward. */
static lur_status add_gradients(lur_plan *plan, int noutputs) {
  const int end = 2 * plan->nops;
  int *first = NULL;
  LUR_TRY(lur_alloc_items((size_t)plan->nvalues + 1, sizeof *first, &first));
  for (int v = 0; v < plan->nvalues; v++) first[v] = -1;
  for (int i = 0; i < noutputs && plan->key.mode == LUR_MODE_FREE; i++) first[plan->outputs[i]] = plan->nops;
  for (int i = plan->nops - 1; i >= 0; i--) {
    const lur_plan_op *op = &plan->ops[i];
    for (int k = 0; k < op->desc.nx && op->backward; k++) {
      if ((op->desc.want_dx >> k & 1u) && first[op->x[k]] < 0) first[op->x[k]] = lur_backward_step(plan, i);
    }
  }
  lur_status status = LUR_OK;
  for (int v = 0; v < plan->nvalues && status == LUR_OK; v++) {
    lur_value *value = &plan->values[v];
    value->grad_buffer = -1;
    if (first[v] < 0) continue;
    lur_buffer buffer = {.bytes = operand_bytes(&value->operand),
                         .first = first[v],
                         .alias = -1,
                         .what = "gradient",
                         .op = value->producer < 0 ? 0 : value->producer,
                         .last = value->producer < 0 ? end : lur_backward_step(plan, value->producer)};
    status = lur_plan_add_buffer(plan, &buffer, &value->grad_buffer);
  }
  free(first);
  return status;
}

/* ---- in place ---- */

static int root(const lur_plan *plan, int buffer) {
  while (plan->buffers[buffer].alias >= 0) buffer = plan->buffers[buffer].alias;
  return buffer;
}

/* `next` takes over `old`'s memory when the step that writes next is the last one that reads old. */
static void try_alias(lur_plan *plan, int old, int next, int step) {
  if (old < 0 || next < 0) return;
  int place = root(plan, old);
  lur_buffer *o = &plan->buffers[place], *n = &plan->buffers[next];
  if (place == next || n->alias >= 0 || o->bytes != n->bytes || o->last != step || n->first != step) return;
  n->alias = place;
  o->last = later(o->last, n->last);
}

static void work_in_place(lur_plan *plan) {
  for (int i = 0; i < plan->nops; i++) {
    const lur_plan_op *op = &plan->ops[i];
    if (op->op.in_place) try_alias(plan, plan->values[op->x[0]].buffer, plan->values[op->y].buffer, i);
  }
  for (int i = plan->nops - 1; i >= 0; i--) {
    const lur_plan_op *op = &plan->ops[i];
    if (!op->backward || !op->op.dx_in_place || !(op->desc.want_dx & 1u) || (op->dx_add & 1u)) continue;
    try_alias(plan, plan->values[op->y].grad_buffer, plan->values[op->x[0]].grad_buffer, lur_backward_step(plan, i));
  }
}

/* ---- placement ---- */

static int by_size(const void *a, const void *b, void *plan) {
  const lur_buffer *buffers = ((const lur_plan *)plan)->buffers;
  const lur_buffer *p = &buffers[*(const int *)a], *q = &buffers[*(const int *)b];
  if (p->bytes != q->bytes) return p->bytes > q->bytes ? -1 : 1;
  return *(const int *)a - *(const int *)b;
}

static bool lifetimes_overlap(const lur_buffer *a, const lur_buffer *b) {
  return a->first <= b->last && b->first <= a->last;
}

/* Placed buffers, sorted by offset, are in `placed`; the lowest gap that fits wins. */
static size_t find_offset(const lur_plan *plan, const int *placed, int n, const lur_buffer *buffer, size_t bytes,
                          size_t guard) {
  size_t offset = 0;
  for (int i = 0; i < n; i++) {
    const lur_buffer *other = &plan->buffers[placed[i]];
    if (!lifetimes_overlap(buffer, other)) continue;
    if (offset + bytes <= other->offset - guard) break;
    size_t end = other->offset + round_up(other->bytes) + guard;
    if (end > offset) offset = end;
  }
  return offset;
}

static void insert_sorted(const lur_plan *plan, int *placed, int *n, int buffer) {
  int at = *n;
  while (at > 0 && plan->buffers[placed[at - 1]].offset > plan->buffers[buffer].offset) {
    placed[at] = placed[at - 1];
    at--;
  }
  placed[at] = buffer;
  (*n)++;
}

static lur_status place(lur_plan *plan, bool share, size_t guard) {
  size_t count = (size_t)plan->nbuffers;
  int *order = NULL, *placed = NULL, nplaced = 0, nroots = 0;
  lur_status status = lur_alloc_items(count, sizeof *order, &order);
  if (status == LUR_OK) status = lur_alloc_items(count, sizeof *placed, &placed);
  if (status != LUR_OK) goto done;
  for (int i = 0; i < plan->nbuffers; i++) {
    if (plan->buffers[i].alias < 0) order[nroots++] = i;
  }
  qsort_r(order, (size_t)nroots, sizeof *order, by_size, plan);
  size_t top = 0;
  for (int i = 0; i < nroots; i++) {
    lur_buffer *buffer = &plan->buffers[order[i]];
    size_t bytes = round_up(buffer->bytes) + 2 * guard;
    size_t offset = share ? find_offset(plan, placed, nplaced, buffer, bytes, guard) : top;
    buffer->offset = offset + guard;
    insert_sorted(plan, placed, &nplaced, order[i]);
    if (offset + bytes > top) top = offset + bytes;
  }
  for (int i = 0; i < plan->nbuffers; i++) {
    if (plan->buffers[i].alias >= 0) plan->buffers[i].offset = plan->buffers[root(plan, i)].offset;
  }
  plan->arena_bytes = top;
done:
  free(order);
  free(placed);
  return status;
}

lur_status lur_plan_arena(lur_plan *plan, bool share, bool lifetimes, size_t guard) {
  int noutputs = 0;
  while (noutputs < LUR_MAX_OUTPUTS && plan->outputs[noutputs] >= 0) noutputs++;
  plan->nbuffers = 0;
  LUR_TRY(add_outputs(plan, lifetimes));
  LUR_TRY(add_saved(plan));
  LUR_TRY(add_gradients(plan, noutputs));
  if (share) work_in_place(plan);
  LUR_TRY(place(plan, share, guard));
  plan->scratch_bytes = 0;
  for (int i = 0; i < plan->nops; i++) {
    const lur_op *op = &plan->ops[i].op;
    if (op->forward_scratch > plan->scratch_bytes) plan->scratch_bytes = op->forward_scratch;
    if (plan->ops[i].backward && op->backward_scratch > plan->scratch_bytes) plan->scratch_bytes = op->backward_scratch;
  }
  plan->scratch_offset = plan->arena_bytes + guard;
  plan->arena_bytes += round_up(plan->scratch_bytes) + 2 * guard;
  return LUR_OK;
}
