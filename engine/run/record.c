/* record.c - what a run asks of its device at every step, recorded once and replayed with one call.
 *
 * The first use launches, because libraries set themselves up at their first call; the second records; later ones replay
 * the record as long as every address in it still holds. What moves from step to step (lur_step_parameters) lies in device
 * memory, written before the replay. Where a device refuses, or somebody wants to look at single ops (profile, check),
 * steps are launched as ever: the same kernels with the same arguments, so the same bits. */
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

void lur_recording_free(lur_device *device, lur_recording *recording) {
  if (recording->record) device->backend->capture_free(device, recording->record);
  memset(recording, 0, sizeof *recording);
}

const lur_step_parameters *lur_run_moving(const lur_run *run) {
  return run->options.device->backend->capture_begin ? &run->on_device->moving : NULL;
}

lur_status lur_run_move(lur_run *run, const lur_update *update) {
  if (!lur_run_moving(run)) return LUR_OK;
  lur_step_parameters moving = {.seed = run->seed, .step = run->step};
  if (update) {
    moving.lr = update->lr;
    moving.decay_lr = update->decay_lr;
    moving.m_scale = update->m_scale;
    moving.g_scale = update->g_scale;
    moving.v_scale = update->v_scale;
    moving.gradient_scale = (double)update->gradient_scale;
  }
  return lur_device_copy(run->options.device, &run->on_device->moving, &moving, sizeof moving, LUR_COPY_TO_DEVICE);
}

const char *lur_run_plain_reason(const lur_run *run) {
  if (!run->options.device->backend->capture_begin) return "the device does not record";
  if (run->options.no_graph) return "compiled with graph = false";
  if (run->options.check) return "check mode looks at every op";
  if (run->profile) return "profiling times every op";
  return run->plain_reason[0] ? run->plain_reason : NULL;
}

/* Whether there is a record now; where the device refuses, the run remembers why and tries no more. */
static bool record(lur_run *run, lur_recording *recording, lur_status (*launch)(lur_run *, void *), void *context) {
  lur_device *device = run->options.device;
  lur_status status = device->backend->capture_begin(device);
  if (status == LUR_OK) {
    run->recording = true;
    status = launch(run, context);
    run->recording = false;
    if (status == LUR_OK) status = device->backend->capture_end(device, true, &recording->record);
    else (void)device->backend->capture_end(device, false, NULL);
  }
  if (status != LUR_OK) snprintf(run->plain_reason, sizeof run->plain_reason, "refused: %s", lur_last_error());
  return status == LUR_OK;
}

lur_status lur_run_recorded(lur_run *run, lur_recording *recording, uint64_t key, lur_status (*launch)(lur_run *run, void *context),
                            void *context) {
  lur_device *device = run->options.device;
  if (lur_run_plain_reason(run)) return launch(run, context);
  if (recording->key != key) {
    bool used = recording->key != 0; /* something has moved: record again, libraries are set up */
    lur_recording_free(device, recording);
    recording->key = key;
    if (!used) return launch(run, context);
  }
  if (!recording->record && !record(run, recording, launch, context)) return launch(run, context);
  return device->backend->replay(device, recording->record);
}
