/* check.c - messages of failed CUDA calls (check.h): out of memory, a device that is lost, a library that failed. */
#include <stdio.h>

#include "host.h"
#include "kernels/number.h"

static bool is_sticky(cudaError_t error) {
  return error == cudaErrorIllegalAddress || error == cudaErrorLaunchFailure || error == cudaErrorMisalignedAddress ||
         error == cudaErrorIllegalInstruction || error == cudaErrorHardwareStackError || error == cudaErrorAssert ||
         error == cudaErrorECCUncorrectable || error == cudaErrorInvalidPc || error == cudaErrorInvalidAddressSpace ||
         error == cudaErrorLaunchTimeout || error == cudaErrorNvlinkUncorrectable || error == cudaErrorUnknown;
}

lur_status lur_cuda_out_of_memory(lur_device *device, const char *what, size_t bytes) {
  size_t free_bytes = 0, total = 0;
  char wanted[64];
  const double mib = 1048576;
  if (bytes) lur_format(wanted, sizeof wanted, "%.1f MiB", (double)bytes / mib);
  else snprintf(wanted, sizeof wanted, "%.*s", lur_cuda_name_length(what), what);
  (void)cudaMemGetInfo(&free_bytes, &total);
  double held = (double)lur_cuda_state_of(device)->held / mib,
         others = ((double)total - (double)free_bytes) / mib - held;
  return lur_fail(LUR_ENOMEM,
                  "%s: no memory for %s: %.1f of %.1f MiB are free, this program holds %.1f MiB in tensors and "
                  "activations, libraries and other programs %.1f MiB; lower the batch size or end other programs",
                  device->name, wanted, (double)free_bytes / mib, (double)total / mib, held, others > 0 ? others : 0);
}

lur_status lur_cuda_check(lur_device *device, cudaError_t error, const char *what) {
  if (error == cudaSuccess) return LUR_OK;
  (void)cudaGetLastError(); /* clears the error, so that it does not fail the next call too */
  if (error == cudaErrorMemoryAllocation) return lur_cuda_out_of_memory(device, what, 0);
  const char *hint = "";
  if (is_sticky(error))
    hint = lur_cuda_state_of(device) && lur_cuda_state_of(device)->sync
               ? "; the device is lost to this program: start it again"
               : "; the device is lost to this program: start it again, with LURCHER_SYNC=1 to learn which op it was";
  return lur_fail(LUR_EDEVICE, "%s: %.*s: %s (%s)%s", device->name, lur_cuda_name_length(what), what,
                  cudaGetErrorString(error), cudaGetErrorName(error), hint);
}

/* After a fault, the runtime reports the reason, the libraries only that there was one. Each library has its own copy
   of the runtime, so this one may not have seen the fault yet: any call that needs the device returns it. */
lur_status lur_cuda_refused(lur_device *device, bool memory, bool unsupported, const char *what, const char *words) {
  size_t free_bytes = 0, total = 0;
  cudaError_t before = unsupported ? cudaSuccess : cudaMemGetInfo(&free_bytes, &total);
  (void)cudaGetLastError();
  if (is_sticky(before)) return lur_cuda_check(device, before, what);
  if (memory) return lur_cuda_out_of_memory(device, what, 0);
  return lur_fail(unsupported ? LUR_EUNSUPPORTED : LUR_EDEVICE, "%s: %.*s: %s", device->name,
                  lur_cuda_name_length(what), what, words);
}
