/* budget.c - see budget.h. */
#include "budget.h"

void lur_budget_init(lur_budget *budget, int64_t limit) {
  pthread_mutex_init(&budget->lock, NULL);
  pthread_cond_init(&budget->freed, NULL);
  budget->limit = limit;
  budget->used = budget->most = 0;
}

void lur_budget_destroy(lur_budget *budget) {
  pthread_cond_destroy(&budget->freed);
  pthread_mutex_destroy(&budget->lock);
}

void lur_budget_take(lur_budget *budget, int64_t amount) {
  pthread_mutex_lock(&budget->lock);
  while (budget->used > 0 && amount > budget->limit - budget->used) pthread_cond_wait(&budget->freed, &budget->lock);
  budget->used += amount;
  if (budget->used > budget->most) budget->most = budget->used;
  pthread_mutex_unlock(&budget->lock);
}

void lur_budget_give(lur_budget *budget, int64_t amount) {
  if (amount == 0) return;
  pthread_mutex_lock(&budget->lock);
  budget->used -= amount;
  pthread_cond_broadcast(&budget->freed);
  pthread_mutex_unlock(&budget->lock);
}

void lur_memory_budgets_init(lur_memory_budgets *budgets, int64_t max_pixels) {
  lur_budget_init(&budgets->files, (int64_t)1 << 30);
  lur_budget_init(&budgets->pixels, 2 * max_pixels);
}

void lur_memory_budgets_destroy(lur_memory_budgets *budgets) {
  lur_budget_destroy(&budgets->files);
  lur_budget_destroy(&budgets->pixels);
}
