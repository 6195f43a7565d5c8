/* hash.c - XXH3-128 as text, of bytes and of tensors: keys of caches, checksums of files. */
#include "hash.h"

#include <stdio.h>
#include <string.h>

#include "engine/tensor/tensor_host.h"

void lur_hash_format(XXH128_hash_t hash, char text[LUR_HASH_TEXT]) {
  snprintf(text, LUR_HASH_TEXT, "%016llx%016llx", (unsigned long long)hash.high64, (unsigned long long)hash.low64);
}

void lur_bytes_hash(const void *bytes, size_t count, char text[LUR_HASH_TEXT]) {
  lur_hash_format(XXH3_128bits(bytes, count), text);
}

lur_status lur_tensor_hash(lur_tensor *tensor, char text[LUR_HASH_TEXT]) {
  lur_device *host = NULL;
  lur_tensor *copy = NULL;
  int64_t form[LUR_MAX_DIMS + 2] = {tensor->dtype, tensor->shape.ndim};
  memcpy(form + 2, tensor->shape.dim, (size_t)tensor->shape.ndim * sizeof *form);
  LUR_TRY(lur_context_device(lur_tensor_context(tensor), "cpu", &host));
  LUR_TRY(lur_tensor_to(tensor, host, &copy));
  lur_hash_format(XXH3_128bits_withSeed(lur_tensor_data(copy), lur_tensor_bytes(copy), XXH3_64bits(form, sizeof form)),
                  text);
  lur_tensor_release(copy);
  return LUR_OK;
}
