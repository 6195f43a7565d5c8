/* budget.h - a limit on what the threads of a loader or an audit hold at the same time: a few bytes of an image file
 * can ask for hundreds of megabytes, and each of sixteen workers may meet such a file.
 *
 * A budget never refuses: who asks for too much waits until the others have given theirs back. An amount above the
 * whole limit is granted to one thread alone. To hold two budgets, take them in one order. */
#ifndef LUR_BUDGET_H
#define LUR_BUDGET_H

#include <pthread.h>
#include <stdint.h>

typedef struct lur_budget {
  pthread_mutex_t lock;
  pthread_cond_t freed;
  int64_t limit, used;
  int64_t most; /* the largest sum that was in use */
} lur_budget;

void lur_budget_init(lur_budget *budget, int64_t limit);
void lur_budget_destroy(lur_budget *budget);
void lur_budget_take(lur_budget *budget, int64_t amount);
void lur_budget_give(lur_budget *budget, int64_t amount);

typedef struct lur_memory_budgets { /* taken in this order */
  lur_budget files;  /* bytes of image files */
  lur_budget pixels; /* of whole decoded images, and of what a resize makes on its way */
} lur_memory_budgets;

/* max_pixels: what one image may have (lur_decode_request). */
void lur_memory_budgets_init(lur_memory_budgets *budgets, int64_t max_pixels);
void lur_memory_budgets_destroy(lur_memory_budgets *budgets);

#endif
