/* loss_scale.c - the loss scale of f16 (Micikevicius et al., "Mixed precision training", 2018, section 3.2), and the
 * gradient that each loss starts from: its weight times the scale. In other precisions the scale is 1. */
#include "run.h"

enum { PATIENCE = 2000 }; /* steps without an overflow after which the scale is doubled */

lur_status lur_run_set_loss_scale(lur_run *run, double value, int64_t good_steps) {
  lur_loss_scale *scale = &run->loss_scale;
  lur_tensor *host = NULL;
  lur_shape shape = {.ndim = 1, .dim = {LUR_MAX_OUTPUTS}};
  LUR_TRY(lur_tensor_new(run->target.model->context, NULL, LUR_F32, &shape, &host));
  for (int i = 0; i < run->target.nlosses; i++)
    ((float *)lur_tensor_data(host))[i] = (float)(run->target.losses[i].weight * value);
  lur_status status = scale->weights ? lur_tensor_copy(scale->weights, host)
                                     : lur_tensor_to(host, run->target.device, &scale->weights);
  lur_tensor_release(host);
  if (status != LUR_OK) return status;
  scale->value = value;
  scale->good_steps = good_steps;
  return LUR_OK;
}

lur_status lur_run_adapt_loss_scale(lur_run *run, bool overflow) {
  lur_loss_scale *scale = &run->loss_scale;
  if (!overflow && ++scale->good_steps < PATIENCE) return LUR_OK;
  double value = overflow ? scale->value / 2 : scale->value * 2;
  scale->good_steps = 0;
  return value < 1 || value > 16777216 ? LUR_OK : lur_run_set_loss_scale(run, value, 0);
}
