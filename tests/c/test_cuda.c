/* test_cuda.c - test_cuda [MESSAGE]: opens cuda:0 through the plugin beside liblurcher.
 *
 * Without MESSAGE a device must open, allocate and free memory, and close, or be absent with the message for that
 * (LURCHER_REQUIRE=cuda: must open). With MESSAGE, opening or allocating 64 MiB must fail with a message that contains
 * it, and the program must still be able to open cpu. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "engine/lurcher.h"
#include "kernels/backend.h"

static void works(lur_device *device) {
  char out[64] = {0}, in[64] = "there and back";
  void *memory = NULL;
  CHECK(lur_device_alloc(device, sizeof in, &memory) == LUR_OK);
  CHECK(lur_device_copy(device, memory, in, sizeof in, LUR_COPY_TO_DEVICE) == LUR_OK);
  CHECK(lur_device_copy(device, out, memory, sizeof in, LUR_COPY_TO_HOST) == LUR_OK);
  CHECK(lur_device_sync(device) == LUR_OK && strcmp(in, out) == 0);
  lur_device_free(device, memory);
  const lur_backend *backend = device->backend;
  CHECK(backend->alloc_host(device, sizeof in, &memory) == LUR_OK); /* pinned memory is allocated by other calls */
  void *there = NULL;
  CHECK(lur_device_alloc(device, sizeof in, &there) == LUR_OK);
  memset(memory, 'x', sizeof in);
  CHECK(lur_device_copy(device, there, memory, sizeof in, LUR_COPY_TO_DEVICE) == LUR_OK);
  CHECK(lur_device_copy(device, out, there, sizeof in, LUR_COPY_TO_HOST) == LUR_OK);
  CHECK(lur_device_sync(device) == LUR_OK && out[63] == 'x');
  backend->free_host(device, memory);
  lur_device_free(device, there);
}

int main(int argc, char **argv) {
  const char *expected = argc > 1 ? argv[1] : NULL, *required = getenv("LURCHER_REQUIRE");
  lur_device *device = NULL, *cpu = NULL;
  void *memory = NULL;
  lur_status status = lur_device_open("cuda", &device);
  if (status == LUR_OK && !expected) works(device);
  if (status == LUR_OK && expected) status = lur_device_alloc(device, (size_t)64 << 20, &memory);
  if (status != LUR_OK) printf("%s: %s\n", lur_status_name(status), lur_last_error());
  if (expected) {
    CHECK(status != LUR_OK && strstr(lur_last_error(), expected));
  } else if (status != LUR_OK) {
    CHECK(status == LUR_EUNSUPPORTED && strncmp(lur_last_error(), "no CUDA device: ", 16) == 0);
    CHECK(!required || !strstr(required, "cuda"));
  }
  lur_device_close(device);
  CHECK(lur_device_open("cpu", &cpu) == LUR_OK);
  lur_device_close(cpu);
  char names[4][32];
  const char *why = NULL;
  int devices = lur_device_list(names, 4, &why);
  CHECK(devices >= 2 && (devices > 2) == (why == NULL));
  return check_report("test_cuda");
}
