/* tensor_random.c - tensors drawn from the context's stream.
 *
 * Draw number d after seeding is a pure function of (seed, d, element): it does not depend on threads or on the
 * size of earlier draws. Initial weights do not come from here: init.c draws them by name. */
#include <math.h>

#include "engine/base/context.h"
#include "kernels/random.h"
#include "tensor_host.h"

static const uint64_t stream_tag = 0x74656e736f727321u; /* makes the stream differ from those of weights and dropout */

void lur_random_normal4(uint64_t key, uint64_t high, uint64_t low, double normal[4]) {
  const double two_pi = 6.283185307179586477;
  lur_random4 r = lur_philox(key, high, low);
  for (int i = 0; i < 4; i += 2) {
    double radius = sqrt(-2 * log(1 - (double)lur_random_unit(r.v[i]))); /* 1 - u is in (0, 1] */
    double angle = two_pi * (double)lur_random_unit(r.v[i + 1]);
    normal[i] = radius * cos(angle);
    normal[i + 1] = radius * sin(angle);
  }
}

static void draw_uniform(uint64_t key, uint64_t high, float *y, int64_t count, double from, double to) {
  for (int64_t i = 0; i < count; i += 4) {
    lur_random4 r = lur_philox(key, high, (uint64_t)i >> 2);
    for (int64_t j = i; j < count && j < i + 4; j++) {
      float value = (float)(from + (to - from) * (double)lur_random_unit(r.v[j - i]));
      y[j] = (double)value < to || from >= to ? value
                                              : nextafterf(value, (float)from); /* rounding may reach the open end */
    }
  }
}

static void draw_normal(uint64_t key, uint64_t high, float *y, int64_t count, double mean, double std) {
  for (int64_t i = 0; i < count; i += 4) {
    double normal[4];
    lur_random_normal4(key, high, (uint64_t)i >> 2, normal);
    for (int64_t j = i; j < count && j < i + 4; j++) y[j] = (float)(mean + std * normal[j - i]);
  }
}

typedef void draw_fn(uint64_t key, uint64_t high, float *y, int64_t count, double a, double b);

static lur_status draw(const char *what, draw_fn *fn, lur_tensor *tensor, double a, double b) {
  if (tensor->dtype != LUR_F32)
    return lur_fail(LUR_ETYPE, "%s: an f32 tensor expected, got %s", what, lur_dtype_name(tensor->dtype));
  lur_context *context = tensor->storage->context;
  uint64_t key = lur_random_mix(context->seed ^ stream_tag);
  lur_tensor *host = tensor;
  if (!lur_tensor_data(tensor)) LUR_TRY(lur_tensor_blank(context, LUR_F32, &tensor->shape, &host));
  fn(key, context->draws, lur_tensor_data(host), lur_shape_count(&tensor->shape), a, b);
  lur_status status = host == tensor ? LUR_OK : lur_tensor_copy(tensor, host);
  if (host != tensor) lur_tensor_release(host);
  if (status == LUR_OK) context->draws++;
  tensor->storage->writes++;
  return status;
}

lur_status lur_tensor_uniform(lur_tensor *tensor, double low, double high) {
  if (!(low <= high) || !isfinite(low) || !isfinite(high)) {
    return lur_fail(LUR_EARG, "uniform: from %g to %g (finite bounds in order expected)", low, high);
  }
  return draw("uniform", draw_uniform, tensor, low, high);
}

lur_status lur_tensor_normal(lur_tensor *tensor, double mean, double std) {
  if (!isfinite(mean) || !isfinite(std) || std < 0) {
    return lur_fail(LUR_EARG, "normal: mean %g, std %g (finite numbers expected, std not negative)", mean,
                    std);
  }
  return draw("normal", draw_normal, tensor, mean, std);
}
