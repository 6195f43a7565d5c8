/* images.h - small images for the data tests, computed from a number, and written to the test's folder. */
#ifndef LUR_TEST_IMAGES_H
#define LUR_TEST_IMAGES_H

#include "engine/lurcher.h"
#include "tests/c/folder.h"

/* A smooth image that depends on `number`: u8 height x width x 3; the caller releases it. */
static inline lur_tensor *make_image(lur_context *context, int height, int width, int number) {
  lur_shape shape = {3, {height, width, 3}};
  lur_tensor *t = NULL;
  if (!CHECK_OK(lur_tensor_new(context, NULL, LUR_U8, &shape, &t))) return NULL;
  uint8_t *p = lur_tensor_data(t);
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      for (int c = 0; c < 3; c++) *p++ = (uint8_t)((y * 3 + x * 5 + c * 40 + number * 23 + (x * y) / 16) & 255);
  return t;
}

static inline void save_image(lur_context *context, const char *name, int height, int width, int number) {
  lur_tensor *t = make_image(context, height, width, number);
  CHECK_OK(lur_image_save(in_folder(name), t, 90));
  lur_tensor_release(t);
}

#endif
