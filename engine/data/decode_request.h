/* decode_request.h - the request to a codec, and the checks that every codec makes. */
#ifndef LUR_DECODE_REQUEST_H
#define LUR_DECODE_REQUEST_H

#include <stdatomic.h>

#include "budget.h"
#include "engine/lurcher.h"

typedef struct lur_decode_request {
  bool exif;          /* apply the EXIF orientation */
  int *orientation;   /* where the orientation that was applied is written to, 1 for none. NULL: nowhere */
  int64_t max_pixels; /* of the whole image, before scaling */
  /* Gets the size of the image in its final orientation; returns the divisor to decode at: 1, 2 or 4. NULL: 1. */
  int (*choose_scale)(int width, int height, void *user);
  void *user;
  lur_budget *budget;    /* lur_decode_check_size takes the pixels of the image from it. NULL: unlimited */
  int64_t extra_width;   /* so many more columns are taken, for the first pass of a resize */
  int64_t *taken;        /* with a budget: what was taken, for the caller to give back */
  const atomic_bool *stop; /* set by another thread: decoding ends with LUR_EINTERRUPTED. NULL: never */
} lur_decode_request;

/* options may be NULL: the defaults. */
void lur_decode_request_init(lur_decode_request *request, const lur_decode_options *options);
/* LUR_EFORMAT: the size is empty, over 2^20 on a side, or over request->max_pixels. Waits for the request's budget.
   Called once for an image, before memory is allocated for it. */
lur_status lur_decode_check_size(const lur_decode_request *request, int64_t width, int64_t height);
/* LUR_EINTERRUPTED once request->stop is set. Called between rows. */
lur_status lur_decode_check_stop(const lur_decode_request *request);

#endif
