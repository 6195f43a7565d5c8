/* backend.h - the contract between the engine and a backend: devices, ops, optimizer updates.
 *
 * A backend is a folder and a table. `ref` is plain C and defines what every op means; `cpu` is ref with faster kernels
 * for most ops; `cuda` is a plugin that exports lur_cuda_backend. An op that neither the backend nor its parents have a
 * kernel for is an error when a model is compiled, never a silent copy to the host. A new op is a row in the table:
 * kernels/README.md. */
#ifndef LUR_BACKEND_H
#define LUR_BACKEND_H

#include <math.h>

#include "op_desc.h"

#ifdef __CUDACC__
#define LUR_DEVICE_FN static __host__ __device__ inline
#else
#define LUR_DEVICE_FN static inline
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lur_backend lur_backend;
typedef struct lur_device lur_device;
typedef struct lur_op lur_op;

struct lur_device {
  const lur_backend *backend;
  void *state; /* of the backend: streams, handles */
  int index;
  char name[32]; /* "cpu", "ref", "cuda:0" */
};

/* The values that change from step to step. A backend that captures steps (below) gets them in device memory and reads
   them there, so that one captured step can be replayed for all; the engine writes them before each step. */
typedef struct lur_step_parameters {
  uint64_t seed, step;                                            /* of dropout */
  double lr, decay_lr, m_scale, g_scale, v_scale, gradient_scale; /* of lur_update */
} lur_step_parameters;

/* The arguments of one call. Pointers are device memory, aligned to at least 64 bytes.
   Outputs are overwritten; weight gradients are added to dw; input gradients are overwritten, or added where dx_add has
   their bit. */
typedef struct lur_args {
  const void *x[LUR_MAX_OPERANDS];
  void *w[LUR_MAX_WEIGHTS]; /* only batchnorm's forward writes to them: the moving statistics w[2] and w[3] */
  void *y;                  /* forward: the result. backward: what forward wrote, if op->backward_y; else NULL */
  const void *dy;
  void *dx[LUR_MAX_OPERANDS]; /* NULL where want_dx has no bit */
  unsigned dx_add;            /* bit i set: add to dx[i] */
  void *dw[LUR_MAX_WEIGHTS];  /* NULL where want_dw has no bit */
  void *saved;                /* op->saved_bytes, written by forward, kept until backward is done */
  void *scratch;              /* op->forward_scratch or backward_scratch bytes, which nothing reads after the call */
  uint64_t seed, step;        /* of dropout */
  const lur_step_parameters *step_parameters; /* the same in device memory; NULL where the backend does not capture */
  uint64_t version; /* of the values in w[], changes with them: a kernel may keep what it derived. 0: unknown */
} lur_args;

/* A planned op. The kernel's plan fills everything below `desc`; forward and backward never allocate. */
struct lur_op {
  const struct lur_kernel *kernel;
  lur_device *device;
  lur_op_desc desc;
  void *state; /* of the kernel, made by plan and freed by release: primitives, descriptors */
  size_t saved_bytes, forward_scratch, backward_scratch;
  unsigned backward_x; /* bit i set: backward reads x[i] */
  bool backward_y;     /* backward reads y */
  bool in_place;       /* forward allows y == x[0] */
  bool dx_in_place;    /* backward allows dx[0] == dy if dx_add has no bit 0 */
};

typedef struct lur_kernel {
  /* Called with op->device, op->desc and op->kernel set and everything else zero. On failure nothing is left behind. */
  lur_status (*plan)(lur_op *op);
  lur_status (*forward)(lur_op *op, const lur_args *args);
  lur_status (*backward)(lur_op *op, const lur_args *args); /* NULL: the op has no gradient */
  void (*release)(lur_op *op);                              /* NULL: nothing to free */
} lur_kernel;

/* Optimizer updates, of all parameters in one call. Formulas and their sources: kernels/ref/update.c. */
typedef enum lur_update_rule { LUR_SGD = 0, LUR_ADAM, LUR_ADAMW, LUR_NADAM, LUR_UPDATE_RULE_COUNT } lur_update_rule;

typedef struct lur_parameter { /* arrays of count elements each */
  float *p;
  const float *g;
  float *m, *v;        /* sgd: m is the velocity (NULL at momentum 0), v unused */
  int64_t count;
  float lr_scale;      /* multiplies lr */
  float weight_decay;  /* sgd, adam, nadam: added to g as weight_decay * p; adamw: p -= decay_lr * weight_decay * p */
} lur_parameter;

typedef struct lur_update {
  lur_update_rule rule;
  double lr;               /* of this step, after decay; adam, adamw: including the bias correction */
  double decay_lr;         /* adamw: lr without the bias correction, the factor of weight decay */
  double momentum;         /* sgd */
  bool nesterov;           /* sgd */
  double beta1, beta2, epsilon;
  double m_scale, g_scale; /* nadam: step = g_scale * g + m_scale * m; the caller computes the schedule */
  double v_scale;          /* nadam: 1 / (1 - beta2^t), applied to v under the root */
  float gradient_scale;    /* applied to g first: removes the loss scale */
  float clip_value;        /* > 0: each g is then clipped to [-clip_value, clip_value] */
  const double *squares;   /* the sum of squares from gradient_norm, in device memory; NULL: the next two do nothing */
  double clip_norm;        /* > 0: gradient_scale is lowered so that the norm of all g does not exceed it */
  bool skip_overflow;      /* nothing is updated if the sum of squares is not finite */
  const lur_step_parameters *step_parameters; /* in device memory, instead of the values above; NULL: those are used */
} lur_update;

/* The factor of each g, given the sum of squares. */
LUR_DEVICE_FN float lur_update_scale(double gradient_scale, double clip_norm, double squares) {
  double norm = sqrt(squares) * gradient_scale;
  return (float)(clip_norm > 0 && norm > clip_norm ? gradient_scale * clip_norm / norm : gradient_scale);
}

typedef enum lur_copy_kind { LUR_COPY_TO_DEVICE, LUR_COPY_TO_HOST, LUR_COPY_WITHIN } lur_copy_kind;

struct lur_backend {
  const char *name;
  const lur_backend *parent; /* provides the kernels and functions that this backend lacks; NULL: none */
  bool host_memory;          /* device pointers are ordinary host pointers */
  bool affine;               /* kernels take affine_out and affine_in (op_desc.h); false: LUR_EUNSUPPORTED */
  bool int8;                 /* convolutions from and to u8 (op_desc.h); false: LUR_EUNSUPPORTED */
  /* Whether a depthwise_conv2d and the 1x1 conv2d after it run faster as one separable_conv2d, which has no gradients.
     NULL: never. */
  bool (*separable)(const lur_device *device, const lur_op_desc *pointwise);
  bool half;                 /* kernels take f16 and bf16 activations with f32 weights; false: LUR_ETYPE */
  lur_status (*count)(int *devices); /* LUR_OK and 0 if there is none; never prints */
  lur_status (*open)(lur_device *device);
  void (*close)(lur_device *device);
  lur_status (*alloc)(lur_device *device, size_t bytes, void **memory); /* 64-byte aligned; LUR_ENOMEM */
  void (*free)(lur_device *device, void *memory);
  /* Host memory from which copies to the device overlap computation. NULL: ordinary memory does that too. */
  lur_status (*alloc_host)(lur_device *device, size_t bytes, void **memory);
  void (*free_host)(lur_device *device, void *memory);
  lur_status (*copy)(lur_device *device, void *dst, const void *src, size_t bytes, lur_copy_kind kind);
  lur_status (*fill)(lur_device *device, void *memory, int byte, size_t bytes);
  lur_status (*sync)(lur_device *device); /* waits for all work; reports faults of earlier calls */
  lur_status (*update)(lur_device *device, const lur_update *update, const lur_parameter *parameters, int n);
  /* *sum, in device memory, = the sum of squares of all parameters' g, in double: for clipping by the global norm. */
  lur_status (*gradient_norm)(lur_device *device, const lur_parameter *parameters, int n, double *sum);
  /* p += share * (g - p) for all parameters' p and g, which may be any device memory; share 1 copies the bits of g. */
  lur_status (*lerp)(lur_device *device, const lur_parameter *parameters, int n, double share);

  /* Graph capture: calls between capture_begin and capture_end (kernels, update, gradient_norm, fill) are not executed
     but captured; each replay executes them on the memory they name. If a step cannot be captured, begin or end fails
     with the reason, and nothing is left behind. All four NULL: the backend does not capture. */
  lur_status (*capture_begin)(lur_device *device);
  lur_status (*capture_end)(lur_device *device, bool keep, void **captured); /* keep false: discards it, LUR_OK */
  lur_status (*replay)(lur_device *device, void *captured);
  void (*capture_free)(lur_device *device, void *captured);

  /* Copies to the device that overlap computation, in two halves. prefetch_begin starts to fill `staged`, in device
     memory, from memory of alloc_host, which must not change before prefetch_finish or sync. prefetch_finish copies
     `staged` to dst after all work before it and before all work after it. Both NULL: the backend cannot prefetch. */
  lur_status (*prefetch_begin)(lur_device *device, void *staged, const void *src, size_t bytes);
  lur_status (*prefetch_finish)(lur_device *device, void *dst, const void *staged, size_t bytes);
  const lur_kernel *kernels[LUR_OP_COUNT];
};

extern const lur_backend lur_ref_backend, lur_cpu_backend;

/* LUR_EARG: LURCHER_CPU_ISA is not the name of an instruction set. */
lur_status lur_cpu_check_environment(void); /* cpu/cpu.c */
/* For people: the instruction sets that kernels are written for and this processor has; those that the cpu backend
   uses; oneDNN's version. Cut off at capacity. */
void lur_cpu_found(char *text, size_t capacity); /* cpu/describe.c */
void lur_cpu_used(char *text, size_t capacity);
void lur_dnn_version(char *text, size_t capacity); /* cpu/dnn/call.c */

/* The backend of that name: "ref", "cpu" or "cuda" (which opens the plugin). LUR_EUNSUPPORTED: there is none on this
   machine, the message says why. LUR_EARG: an unknown name. */
lur_status lur_backend_find(const char *name, const lur_backend **backend);

/* Opens "ref", "cpu", "cuda", "cuda:1", or "auto" (cuda if a device is present, else cpu).
   Close it with lur_device_close, after every op planned on it has been released. */
lur_status lur_device_open(const char *name, lur_device **device);
void lur_device_close(lur_device *device); /* NULL is fine */

/* The kernel of that kind in the device's backend or its parents; NULL if there is none. */
const lur_kernel *lur_device_kernel(const lur_device *device, lur_op_kind kind);

/* Plans one op: finds the kernel, sets device, kernel and desc, and calls its plan. LUR_EUNSUPPORTED: the backend has
   no kernel; the message names both. */
lur_status lur_op_plan(lur_device *device, const lur_op_desc *desc, lur_op *op);
void lur_op_release(lur_op *op); /* zeroed ops are fine */
/* LUR_EARG, for the forward of an op whose u8 result would be NaN. */
lur_status lur_fail_int8_nan(void);

/* The function of the backend, or of its nearest parent that has one. */
lur_status lur_device_alloc(lur_device *device, size_t bytes, void **memory);
void lur_device_free(lur_device *device, void *memory);
/* Host memory: from the backend's alloc_host, or ordinary memory if it has none. */
lur_status lur_device_alloc_host(lur_device *device, size_t bytes, void **memory);
void lur_device_free_host(lur_device *device, void *memory);
lur_status lur_device_copy(lur_device *device, void *dst, const void *src, size_t bytes, lur_copy_kind kind);
lur_status lur_device_fill(lur_device *device, void *memory, int byte, size_t bytes);
lur_status lur_device_sync(lur_device *device);
lur_status lur_device_update(lur_device *device, const lur_update *update, const lur_parameter *parameters, int n);
lur_status lur_device_gradient_norm(lur_device *device, const lur_parameter *parameters, int n, double *sum);
lur_status lur_device_lerp(lur_device *device, const lur_parameter *parameters, int n, double share);

/* Detects a plugin that was built from another version of this file: the engine compares lur_cuda_layout with it. */
#define LUR_BACKEND_LAYOUT                                                                                    \
  ((((uint64_t)sizeof(lur_backend) * 4099 + sizeof(lur_args)) * 4099 + sizeof(lur_op_desc)) * 4099 +          \
   LUR_OP_COUNT * 64 + LUR_ACTIVATION_COUNT)

/* Makes denormals count as zero in the calling thread and in every thread of its OpenMP team: arithmetic on them takes
   200 times as long. Called at the start of every run; cheap. */
void lur_denormals_off(void);

#ifdef __cplusplus
}
#endif
#endif
