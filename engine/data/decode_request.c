/* decode_request.c - see decode_request.h. */
#include "decode_request.h"

enum { DEFAULT_MAX_PIXELS = 100000000, MAX_SIDE = 1 << 20 };

void lur_decode_request_init(lur_decode_request *request, const lur_decode_options *options) {
  *request = (lur_decode_request){.max_pixels = DEFAULT_MAX_PIXELS};
  if (!options) return;
  request->exif = options->exif;
  if (options->max_pixels > 0) request->max_pixels = options->max_pixels;
}

lur_status lur_decode_check_size(const lur_decode_request *request, int64_t width, int64_t height) {
  if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE)
    return lur_fail(LUR_EFORMAT, "impossible size %lldx%lld", (long long)width, (long long)height);
  if (width * height > request->max_pixels)
    return lur_fail(LUR_EFORMAT, "%lldx%lld is more than the %lld pixels allowed (max_pixels)", (long long)width,
                    (long long)height, (long long)request->max_pixels);
  if (request->budget) {
    *request->taken = (width + request->extra_width) * height;
    lur_budget_take(request->budget, *request->taken);
  }
  return LUR_OK;
}

lur_status lur_decode_check_stop(const lur_decode_request *request) {
  bool stop = request->stop && atomic_load_explicit(request->stop, memory_order_relaxed);
  return stop ? lur_fail(LUR_EINTERRUPTED, "stopped") : LUR_OK;
}
