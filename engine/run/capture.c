/* capture.c - the work that a run gives its device at every step, captured once as a graph and replayed with one call.
 *
 * The first time, the work is launched, because libraries set themselves up at their first call; the second time it is
 * captured; from then on the graph is replayed for as long as every address in it stays the same. Values that change
 * from step to step (lur_step_parameters) are in device memory and are written before the replay. Where a device cannot
 * capture, or single ops are observed (profile, check), steps are launched op by op: the same kernels with the same
 * arguments, so the same bits. */
#include <stdio.h>
#include <string.h>

#include "kernels/random.h"
#include "run.h"

uint64_t lur_key_add(uint64_t key, const void *address) { return lur_random_mix(key ^ (uint64_t)(uintptr_t)address); }

uint64_t lur_key_add_bytes(uint64_t key, const void *bytes, size_t count) {
  for (size_t i = 0; i < count; i += 8) {
    uint64_t word = 0;
    memcpy(&word, (const char *)bytes + i, count - i < 8 ? count - i : 8);
    key = lur_random_mix(key ^ word);
  }
  return key;
}

void lur_capture_free(lur_device *device, lur_capture *capture) {
  if (capture->graph) device->backend->capture_free(device, capture->graph);
  memset(capture, 0, sizeof *capture);
}

const lur_step_parameters *lur_run_step_parameters(const lur_run *run) {
  return run->target.device->backend->capture_begin ? &run->readback.on_device->parameters : NULL;
}

lur_status lur_run_write_step_parameters(lur_run *run, const lur_update *update) {
  if (!lur_run_step_parameters(run)) return LUR_OK;
  lur_step_parameters parameters = {.seed = run->seed, .step = run->step};
  if (update) {
    parameters.lr = update->lr;
    parameters.decay_lr = update->decay_lr;
    parameters.m_scale = update->m_scale;
    parameters.g_scale = update->g_scale;
    parameters.v_scale = update->v_scale;
    parameters.gradient_scale = (double)update->gradient_scale;
  }
  return lur_device_copy(run->target.device, &run->readback.on_device->parameters, &parameters, sizeof parameters,
                         LUR_COPY_TO_DEVICE);
}

const char *lur_run_capture_reason(const lur_run *run) {
  if (!run->target.device->backend->capture_begin) return "the device has no graph capture";
  if (run->capturing.disabled) return "compiled with graph = false";
  if (run->target.check) return "check mode looks at every op";
  if (run->profile) return "profiling times every op";
  return run->capturing.refusal[0] ? run->capturing.refusal : NULL;
}

/* Whether there is a graph now. Where the device refuses, the run keeps the reason and does not try again. */
static bool capture_now(lur_run *run, lur_capture *capture, lur_status (*launch)(lur_run *, void *), void *context) {
  lur_device *device = run->target.device;
  lur_status status = device->backend->capture_begin(device);
  if (status == LUR_OK) {
    run->capturing.active = true;
    status = launch(run, context);
    run->capturing.active = false;
    if (status == LUR_OK) status = device->backend->capture_end(device, true, &capture->graph);
    else (void)device->backend->capture_end(device, false, NULL);
  }
  if (status != LUR_OK)
    snprintf(run->capturing.refusal, sizeof run->capturing.refusal, "refused: %s", lur_last_error());
  return status == LUR_OK;
}

lur_status lur_run_captured(lur_run *run, lur_capture *capture, uint64_t key,
                            lur_status (*launch)(lur_run *run, void *context), void *context) {
  lur_device *device = run->target.device;
  if (lur_run_capture_reason(run)) return launch(run, context);
  if (capture->key != key) {
    bool used = capture->key != 0; /* an address has changed: capture at once, libraries are set up */
    lur_capture_free(device, capture);
    capture->key = key;
    if (!used) return launch(run, context);
  }
  if (!capture->graph && !capture_now(run, capture, launch, context)) return launch(run, context);
  return device->backend->replay(device, capture->graph);
}
