/* backend.c - finds backends, opens devices, and forwards calls to the backend or its nearest parent that implements
 * them.
 *
 * Nothing here depends on an op, and there is no state: the CUDA plugin is looked for at each open, and stays mapped
 * once it has been found. A new backend is a line in lur_backend_find. */
#include "backend.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

/* ---- backends and devices ---- */

/* lurcher_cuda.so is in the folder of the library or program that contains this function (a build), or in lurcher/
   there (an installation). */
static lur_status plugin_path(char *path, size_t capacity) {
  Dl_info info;
  if (!dladdr((const void *)&lur_cpu_backend, &info) || !info.dli_fname)
    return lur_fail(LUR_EUNSUPPORTED, "no CUDA device: the folder of liblurcher cannot be found");
  const char *slash = strrchr(info.dli_fname, '/');
  int folder = slash ? (int)(slash - info.dli_fname + 1) : 0;
  const char *const names[] = {"lurcher/lurcher_cuda.so", "lurcher_cuda.so"};
  for (int i = 0; i < 2; i++) {
    int used = snprintf(path, capacity, "%.*s%s", folder, info.dli_fname, names[i]);
    if (used < 0 || (size_t)used >= capacity)
      return lur_fail(LUR_EUNSUPPORTED, "no CUDA device: the path of liblurcher is too long");
    if (access(path, F_OK) == 0) break;
  }
  return LUR_OK;
}

static lur_status open_plugin(const lur_backend **backend) {
  char path[4096];
  LUR_TRY(plugin_path(path, sizeof path));
  /* RTLD_NODELETE: the CUDA runtime must never be unmapped. So the handle need not be kept. */
  void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!plugin) {
    const char *why = dlerror();
    return lur_fail(LUR_EUNSUPPORTED, "no CUDA device: the plugin cannot be opened (%s)", why ? why : path);
  }
  const lur_backend *found = dlsym(plugin, "lur_cuda_backend");
  const uint64_t *layout = dlsym(plugin, "lur_cuda_layout");
  bool fits = layout && *layout == LUR_BACKEND_LAYOUT;
  dlclose(plugin);
  if (!found) return lur_fail(LUR_EUNSUPPORTED, "no CUDA device: %s has no lur_cuda_backend", path);
  if (!fits)
    return lur_fail(LUR_EUNSUPPORTED, "no CUDA device: %s and liblurcher are of different versions: build both again",
                    path);
  *backend = found;
  return LUR_OK;
}

lur_status lur_backend_find(const char *name, const lur_backend **backend) {
  if (strcmp(name, "cuda") == 0) return open_plugin(backend);
  if (strcmp(name, "ref") == 0) {
    *backend = &lur_ref_backend;
  } else if (strcmp(name, "cpu") == 0) {
    *backend = &lur_cpu_backend;
  } else {
    return lur_fail(LUR_EARG, "unknown backend '%s' (ref, cpu or cuda expected)", name);
  }
  return LUR_OK;
}

static lur_status open_on(const lur_backend *backend, int index, lur_device **device) {
  lur_device *made = calloc(1, sizeof *made);
  if (!made) return lur_fail(LUR_ENOMEM, "no memory for a device");
  made->backend = backend;
  made->index = index;
  if (strcmp(backend->name, "cuda") == 0) snprintf(made->name, sizeof made->name, "cuda:%d", index);
  else snprintf(made->name, sizeof made->name, "%s", backend->name);
  const lur_backend *opener = backend;
  while (opener && !opener->open) opener = opener->parent;
  lur_status status = opener ? opener->open(made) : LUR_OK;
  if (status != LUR_OK) {
    free(made);
    return status;
  }
  *device = made;
  return LUR_OK;
}

static lur_status open_cuda(int index, lur_device **device) {
  const lur_backend *cuda;
  int present = 0;
  LUR_TRY(lur_backend_find("cuda", &cuda));
  LUR_TRY(cuda->count(&present));
  if (index >= present)
    return lur_fail(LUR_EUNSUPPORTED, "no CUDA device: cuda:%d requested, %d present", index, present);
  return open_on(cuda, index, device);
}

/* The number of "cuda" (0) or "cuda:12"; -1 for any other name. */
static int cuda_index(const char *name) {
  if (strncmp(name, "cuda", 4) != 0) return -1;
  if (name[4] == 0) return 0;
  if (name[4] != ':' || name[5] == 0 || strlen(name + 5) > 4) return -1;
  for (const char *p = name + 5; *p; p++)
    if (*p < '0' || *p > '9') return -1;
  return atoi(name + 5);
}

lur_status lur_device_open(const char *name, lur_device **device) {
  if (strcmp(name, "auto") == 0) return open_cuda(0, device) == LUR_OK ? LUR_OK : open_on(&lur_cpu_backend, 0, device);
  int index = cuda_index(name);
  if (index >= 0) return open_cuda(index, device);
  const lur_backend *backend;
  if (strncmp(name, "cuda", 4) == 0 || lur_backend_find(name, &backend) != LUR_OK)
    return lur_fail(LUR_EARG, "unknown device '%s' (auto, cpu, ref, cuda or cuda:N expected)", name);
  return open_on(backend, 0, device);
}

void lur_device_close(lur_device *device) {
  if (!device) return;
  const lur_backend *backend = device->backend;
  while (backend && !backend->close) backend = backend->parent;
  if (backend) backend->close(device);
  free(device);
}

/* ---- ops ---- */

const lur_kernel *lur_device_kernel(const lur_device *device, lur_op_kind kind) {
  if ((unsigned)kind >= LUR_OP_COUNT) return NULL;
  for (const lur_backend *b = device->backend; b; b = b->parent)
    if (b->kernels[kind]) return b->kernels[kind];
  return NULL;
}

static bool uses_affine(const lur_op_desc *desc) {
  if (desc->kind == LUR_OP_BATCHNORM) return desc->u.batchnorm.affine_out;
  if (desc->kind == LUR_OP_DEPTHWISE_CONV2D) return desc->u.conv2d.affine_in;
  return desc->kind == LUR_OP_POOL && desc->u.pool.affine_in;
}

lur_status lur_op_plan(lur_device *device, const lur_op_desc *desc, lur_op *op) {
  memset(op, 0, sizeof *op);
  LUR_TRY(lur_op_check(desc));
  const lur_kernel *kernel = lur_device_kernel(device, desc->kind);
  if (!kernel)
    return lur_fail(LUR_EUNSUPPORTED, "op '%s' has no %s kernel", lur_op_kind_name(desc->kind), device->backend->name);
  if (!kernel->backward && (desc->want_dx || desc->want_dw))
    return lur_fail(LUR_EUNSUPPORTED, "op '%s' has no gradient on %s", lur_op_kind_name(desc->kind),
                    device->backend->name);
  if (uses_affine(desc) && !device->backend->affine)
    return lur_fail(LUR_EUNSUPPORTED, "op '%s' has no affine_in or affine_out on %s", lur_op_kind_name(desc->kind),
                    device->backend->name);
  if (lur_op_is_int8(desc) && !device->backend->int8)
    return lur_fail(LUR_EUNSUPPORTED, "op '%s' has no int8 form on %s", lur_op_kind_name(desc->kind),
                    device->backend->name);
  op->kernel = kernel;
  op->device = device;
  op->desc = *desc;
  lur_status status = kernel->plan(op);
  if (status != LUR_OK) {
    memset(op, 0, sizeof *op);
    return lur_blame(status, "%s '%s'", lur_op_kind_name(desc->kind), desc->name ? desc->name : "");
  }
  return LUR_OK;
}

lur_status lur_fail_int8_nan(void) {
  return lur_fail(LUR_EARG, "the result is NaN, which an 8-bit integer cannot be: check the batch and the weights");
}

void lur_op_release(lur_op *op) {
  if (op->kernel && op->kernel->release) op->kernel->release(op);
  memset(op, 0, sizeof *op);
}

/* ---- memory and updates: the function of the backend or of its nearest parent that has one ---- */

#define NEAREST(device, field)                                                                                         \
  const lur_backend *b = (device)->backend;                                                                            \
  while (b && !b->field) b = b->parent;                                                                                \
  if (!b) return lur_fail(LUR_EUNSUPPORTED, "%s has no " #field, (device)->name)

lur_status lur_device_alloc(lur_device *device, size_t bytes, void **memory) {
  NEAREST(device, alloc);
  return b->alloc(device, bytes, memory);
}

void lur_device_free(lur_device *device, void *memory) {
  const lur_backend *b = device->backend;
  while (b && !b->free) b = b->parent;
  if (b && memory) b->free(device, memory);
}

lur_status lur_device_alloc_host(lur_device *device, size_t bytes, void **memory) {
  if (device->backend->alloc_host) return device->backend->alloc_host(device, bytes, memory);
  *memory = malloc(bytes ? bytes : 1);
  return *memory ? LUR_OK : lur_fail(LUR_ENOMEM, "no memory for %zu bytes on the host", bytes);
}

void lur_device_free_host(lur_device *device, void *memory) {
  if (!memory) return;
  if (device->backend->free_host) device->backend->free_host(device, memory);
  else free(memory);
}

lur_status lur_device_copy(lur_device *device, void *dst, const void *src, size_t bytes, lur_copy_kind kind) {
  NEAREST(device, copy);
  return b->copy(device, dst, src, bytes, kind);
}

lur_status lur_device_fill(lur_device *device, void *memory, int byte, size_t bytes) {
  NEAREST(device, fill);
  return b->fill(device, memory, byte, bytes);
}

lur_status lur_device_sync(lur_device *device) {
  NEAREST(device, sync);
  return b->sync(device);
}

lur_status lur_device_update(lur_device *device, const lur_update *update, const lur_parameter *parameters, int n) {
  NEAREST(device, update);
  if (!update->squares || !device->backend->host_memory) return b->update(device, update, parameters, n);
  if (update->skip_overflow && !isfinite(*update->squares)) return LUR_OK;
  lur_update scaled = *update; /* the sum is in host memory: the scale is computed here, not by the kernel */
  scaled.gradient_scale = lur_update_scale((double)update->gradient_scale, update->clip_norm, *update->squares);
  return b->update(device, &scaled, parameters, n);
}

lur_status lur_device_gradient_norm(lur_device *device, const lur_parameter *parameters, int n, double *sum) {
  NEAREST(device, gradient_norm);
  return b->gradient_norm(device, parameters, n, sum);
}

lur_status lur_device_lerp(lur_device *device, const lur_parameter *parameters, int n, double share) {
  NEAREST(device, lerp);
  return b->lerp(device, parameters, n, share);
}

/* ---- denormals ---- */

static void thread_denormals_off(void) {
#if defined(__SSE__)
  _mm_setcsr(_mm_getcsr() | 0x8040u); /* flush to zero, denormals are zero */
#elif defined(__aarch64__)
  uint64_t control;
  __asm__ volatile("mrs %0, fpcr" : "=r"(control));
  __asm__ volatile("msr fpcr, %0" : : "r"(control | (UINT64_C(1) << 24)));
#endif
}

void lur_denormals_off(void) {
#pragma omp parallel
  thread_denormals_off();
}
