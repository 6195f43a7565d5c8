/* device.c - opening devices, their memory, and op descriptions in general. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static void refused(suite *s, const char *name, lur_status expected, const char *text) {
  lur_device *device = NULL;
  lur_status status = lur_device_open(name, &device);
  suite_expect(s, status == expected && strstr(lur_last_error(), text), "device '%s': %s '%s', expected %s with '%s'",
               name, lur_status_name(status), lur_last_error(), lur_status_name(expected), text);
  lur_device_close(device);
}

static void opening(suite *s) {
  static const char *const wrong[] = {"gpu", "", "cuda:", "cuda:x", "cuda:-1", "cuda:12345", "cudax", "CPU"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) refused(s, wrong[i], LUR_EARG, "unknown device");
  refused(s, "cuda:9999", LUR_EUNSUPPORTED, "no CUDA device:");
  lur_device *device = NULL, *cuda = NULL;
  const char *expected = lur_device_open("cuda", &cuda) == LUR_OK ? "cuda:0" : "cpu";
  lur_device_close(cuda);
  suite_expect(s, lur_device_open("auto", &device) == LUR_OK, "auto: %s", lur_last_error());
  if (device) suite_expect(s, strcmp(device->name, expected) == 0, "auto gave %s, expected %s", device->name, expected);
  lur_device_close(device);
  lur_device_close(NULL);
}

static void memory(suite *s, lur_device *device) {
  static const size_t sizes[] = {0, 1, 63, 64, 65, 4099};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    size_t bytes = sizes[i];
    void *a = NULL, *b = NULL;
    unsigned char *out = check_alloc(bytes), *in = check_alloc(bytes);
    for (size_t k = 0; k < bytes; k++) in[k] = (unsigned char)(k * 7 + 1);
    bool ok = lur_device_alloc(device, bytes, &a) == LUR_OK && lur_device_alloc(device, bytes, &b) == LUR_OK;
    suite_expect(s, ok && (uintptr_t)a % 64 == 0 && (uintptr_t)b % 64 == 0, "%s: %zu bytes are not aligned",
                 device->name, bytes);
    ok = ok && lur_device_copy(device, a, in, bytes, LUR_COPY_TO_DEVICE) == LUR_OK &&
         lur_device_fill(device, b, 0x5A, bytes) == LUR_OK &&
         lur_device_copy(device, b, a, bytes / 2, LUR_COPY_WITHIN) == LUR_OK &&
         lur_device_copy(device, out, b, bytes, LUR_COPY_TO_HOST) == LUR_OK && lur_device_sync(device) == LUR_OK;
    bool same = true;
    for (size_t k = 0; ok && k < bytes; k++) same = same && out[k] == (k < bytes / 2 ? in[k] : 0x5A);
    suite_expect(s, ok && same, "%s: copies of %zu bytes: %s", device->name, bytes, lur_last_error());
    lur_device_free(device, a);
    lur_device_free(device, b);
    free(in), free(out);
  }
  void *huge = NULL;
  lur_status status = lur_device_alloc(device, SIZE_MAX - 70, &huge);
  suite_expect(s, status == LUR_ENOMEM && !huge, "%s: all memory there is: %s", device->name, lur_status_name(status));
  lur_device_free(device, NULL);
}

static void descriptions(suite *s) {
  static const double expected[] = {2.0 * 2 * 4 * 5 * 8 * 9 * 3, 2.0 * 2 * 4 * 5 * 3 * 9, 2.0 * 6 * 7 * 11, 0};
  const lur_op_desc ops[] = {
      {.kind = LUR_OP_CONV2D,
       .nx = 1,
       .nw = 1,
       .x = {F32(2, 8, 10, 3)},
       .w = {F32(3, 3, 3, 8)},
       .y = F32(2, 4, 5, 8),
       .u.conv2d = {3, 3, 2, 2, 0, 0, false, false, false}},
      {.kind = LUR_OP_DEPTHWISE_CONV2D,
       .nx = 1,
       .nw = 1,
       .x = {F32(2, 8, 10, 3)},
       .w = {F32(3, 3, 3, 1)},
       .y = F32(2, 4, 5, 3),
       .u.conv2d = {3, 3, 2, 2, 0, 0, false, false, false}},
      {.kind = LUR_OP_DENSE, .nx = 1, .nw = 1, .x = {F32(6, 7)}, .w = {F32(7, 11)}, .y = F32(6, 11)},
      {.kind = LUR_OP_SOFTMAX, .nx = 1, .x = {F32(6, 7)}, .y = F32(6, 7)}};
  for (int i = 0; i < 4; i++) {
    suite_expect(s, lur_op_check(&ops[i]) == LUR_OK, "%s", lur_last_error());
    suite_expect(s, lur_op_flops(&ops[i]) == expected[i], "%s: %.0f FLOPs, expected %.0f",
                 lur_op_kind_name(ops[i].kind), lur_op_flops(&ops[i]), expected[i]);
  }
  lur_op_desc d = {.kind = (lur_op_kind)99, .nx = 1, .x = {F32(1)}, .y = F32(1)};
  suite_expect(s, lur_op_check(&d) == LUR_EARG && strcmp(lur_op_kind_name(d.kind), "unknown op") == 0, "op 99 passes");
  d = ops[3], d.x[0].shape.ndim = 7;
  suite_reject(s, "seven dimensions", &d, LUR_ESHAPE, "softmax");
  d = ops[3], d.x[0].shape.dim[0] = d.y.shape.dim[0] = INT64_C(1) << 41;
  suite_reject(s, "too many elements", &d, LUR_ESHAPE, "softmax");
  d = ops[3], d.x[0].dtype = (lur_dtype)77;
  suite_reject(s, "unknown type", &d, LUR_ETYPE, "77");
  for (int i = 0; i < LUR_OP_COUNT; i++) /* an empty description is refused, by name; of a parameter it is a constant */
    if (i != LUR_OP_PARAMETER)
      suite_reject(s, "an empty description", &(lur_op_desc){.kind = (lur_op_kind)i}, LUR_EARG, "0 inputs");
}

static void every_row(suite *s) {
  for (int k = 0; k < s->ndevices; k++)
    for (int i = 0; i < LUR_OP_COUNT; i++) {
      if (i == LUR_OP_SEPARABLE_CONV2D && !s->devices[k]->backend->separable)
        continue; /* the engine does not fuse it there */
      suite_expect(s, lur_device_kernel(s->devices[k], (lur_op_kind)i), "op '%s' has no %s kernel",
                   lur_op_kind_name((lur_op_kind)i), s->devices[k]->name);
    }
}

void ops_device(suite *s) {
  opening(s);
  for (int k = 0; k < s->ndevices; k++) memory(s, s->devices[k]);
  descriptions(s);
  every_row(s);
}
