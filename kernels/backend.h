/* backend.h - THE contract between the engine and a backend: devices, ops, optimizer updates.
 *
 * A backend is a folder and a table. `ref` is plain C and the definition; `cpu` is ref with rows replaced;
 * `cuda` is a plugin that exports lur_cuda_backend. A row that is missing here and in the parent is an error when a
 * model is compiled, never a silent copy to the host. A new op is a row; see op_desc.h. */
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
  void *state; /* the backend's: streams, handles */
  int index;
  char name[32]; /* "cpu", "ref", "cuda:0" */
};

/* What moves from step to step. A backend that records (below) is given it in device memory and reads it there, so that
   one recorded step serves them all; the engine writes it before each. */
typedef struct lur_step_parameters {
  uint64_t seed, step;                                          /* dropout's counters */
  double lr, decay_lr, m_scale, g_scale, v_scale, gradient_scale; /* of lur_update */
} lur_step_parameters;

/* What one call works on. Pointers are device memory, at least 64-byte aligned.
   Outputs are overwritten; weight gradients are added; input gradients are overwritten, or added where dx_add says. */
typedef struct lur_args {
  const void *x[LUR_MAX_OPERANDS];
  void *w[LUR_MAX_WEIGHTS]; /* batchnorm's forward moves w[2] and w[3]; all else only reads */
  void *y;                  /* forward: out. backward: what forward wrote, if op->backward_y; else NULL */
  const void *dy;
  void *dx[LUR_MAX_OPERANDS]; /* NULL where want_dx has no bit */
  unsigned dx_add;            /* bit i set: add to dx[i] */
  void *dw[LUR_MAX_WEIGHTS];  /* NULL where want_dw has no bit */
  void *saved;                /* op->saved_bytes, written by forward, kept until backward is done */
  void *scratch;              /* op->forward_scratch or backward_scratch bytes; dead after the call */
  uint64_t seed, step;        /* dropout's counters */
  const lur_step_parameters *moving;   /* device memory that holds them too; NULL where the backend does not record */
  uint64_t version;           /* grows when the values in w[] change; a kernel may keep what it made of them. 0: not known */
} lur_args;

/* A planned op. plan fills everything below `desc`; forward and backward never allocate. */
struct lur_op {
  const struct lur_kernel *kernel;
  lur_device *device;
  lur_op_desc desc;
  void *state; /* the kernel's own, made by plan and freed by release: primitives, descriptors */
  size_t saved_bytes, forward_scratch, backward_scratch;
  unsigned backward_x; /* bit i set: backward reads x[i] */
  bool backward_y;     /* backward reads y */
  bool in_place;       /* forward may be given y == x[0] */
  bool dx_in_place;    /* backward may be given dx[0] == dy when dx_add has no bit 0 */
};

typedef struct lur_kernel {
  /* op->device, op->desc and op->kernel are set and everything else is zero. On failure nothing is left behind. */
  lur_status (*plan)(lur_op *op);
  lur_status (*forward)(lur_op *op, const lur_args *args);
  lur_status (*backward)(lur_op *op, const lur_args *args); /* NULL: the op has no gradient */
  void (*release)(lur_op *op);                              /* NULL: nothing to free */
} lur_kernel;

/* Optimizer updates: all parameters in one call. Formulas: Keras 2.0.6 optimizers.py unless said (see update.c). */
typedef enum lur_update_rule { LUR_SGD = 0, LUR_ADAM, LUR_ADAMW, LUR_NADAM, LUR_UPDATE_RULE_COUNT } lur_update_rule;

typedef struct lur_parameter { /* one parameter: count elements each */
  float *p;
  const float *g;
  float *m, *v;        /* sgd: m is the velocity (NULL at momentum 0), v unused */
  int64_t count;
  float lr_scale;      /* multiplies lr */
  float weight_decay;  /* sgd, adam, nadam: added to g as weight_decay * p; adamw: p -= decay_lr * weight_decay * p */
} lur_parameter;

typedef struct lur_update {
  lur_update_rule rule;
  double lr;               /* of this step, after decay; adam, adamw: with the bias correction */
  double decay_lr;         /* adamw: lr without the correction, which weight decay is multiplied with */
  double momentum;         /* sgd */
  bool nesterov;           /* sgd */
  double beta1, beta2, epsilon;
  double m_scale, g_scale; /* nadam: step = g_scale * g + m_scale * m; the caller owns the schedule */
  double v_scale;          /* nadam: 1 / (1 - beta2^t), applied to v under the root. adam, adamw: lr holds all correction */
  float gradient_scale;    /* multiplies g first: takes the loss scale out */
  float clip_value;        /* > 0: then clips each g to [-clip_value, clip_value] */
  const double *squares;   /* device memory: what gradient_norm found; NULL: neither of the next two */
  double clip_norm;        /* > 0: gradient_scale is lowered so that the norm of all g stays below */
  bool skip_overflow;      /* nothing is updated where the sum is no finite number */
  const lur_step_parameters *moving; /* device memory that holds what moves; NULL: the numbers above */
} lur_update;

/* What each g is multiplied with, given the sum of squares. */
LUR_DEVICE_FN float lur_update_scale(double gradient_scale, double clip_norm, double squares) {
  double norm = sqrt(squares) * gradient_scale;
  return (float)(clip_norm > 0 && norm > clip_norm ? gradient_scale * clip_norm / norm : gradient_scale);
}

typedef enum lur_copy_kind { LUR_COPY_TO_DEVICE, LUR_COPY_TO_HOST, LUR_COPY_WITHIN } lur_copy_kind;

struct lur_backend {
  const char *name;
  const lur_backend *parent; /* asked for rows and functions this one lacks; NULL: nobody */
  bool host_memory;          /* device pointers are ordinary host pointers */
  bool affine;               /* rows take affine_out and affine_in (op_desc.h); false: such ops are LUR_EUNSUPPORTED */
  bool int8;                /* convolutions from and to u8 (op_desc.h); false: LUR_EUNSUPPORTED */
  /* Whether a depthwise convolution and the 1x1 convolution after it become one separable_conv2d where nothing goes
     backward. NULL: never. */
  bool (*separable)(const lur_device *device, const lur_op_desc *pointwise);
  bool half;                 /* rows take f16 and bf16 activations with f32 weights; false: LUR_ETYPE */
  lur_status (*count)(int *devices); /* LUR_OK and 0 when there is none; never prints */
  lur_status (*open)(lur_device *device);
  void (*close)(lur_device *device);
  lur_status (*alloc)(lur_device *device, size_t bytes, void **memory); /* 64-byte aligned; LUR_ENOMEM */
  void (*free)(lur_device *device, void *memory);
  /* Host memory from which copies to the device overlap compute. NULL: ordinary memory does. */
  lur_status (*alloc_host)(lur_device *device, size_t bytes, void **memory);
  void (*free_host)(lur_device *device, void *memory);
  lur_status (*copy)(lur_device *device, void *dst, const void *src, size_t bytes, lur_copy_kind kind);
  lur_status (*fill)(lur_device *device, void *memory, int byte, size_t bytes);
  lur_status (*sync)(lur_device *device); /* waits; reports faults of earlier work */
  lur_status (*update)(lur_device *device, const lur_update *update, const lur_parameter *slots, int n);
  /* *sum, in device memory, = sum of squares over all slots' g, in double; for clipping by global norm. */
  lur_status (*gradient_norm)(lur_device *device, const lur_parameter *slots, int n, double *sum);
  /* p += share * (g - p) over all slots' p and g, which may be any memory of the device; share 1 gives g's bits. */
  lur_status (*lerp)(lur_device *device, const lur_parameter *slots, int n, double share);

  /* Recording: what is asked between begin and end (kernels, update, gradient_norm, fill) is not done but recorded, and
     done by each replay, on what the memory it names holds by then. begin or end fails where this cannot be, with the
     reason; nothing is left behind then. All four NULL: the backend does not record. */
  lur_status (*capture_begin)(lur_device *device);
  lur_status (*capture_end)(lur_device *device, bool keep, void **record); /* keep false: throws it away, always LUR_OK */
  lur_status (*replay)(lur_device *device, void *record);
  void (*capture_free)(lur_device *device, void *record);

  /* Copies beside the computing: upload fills `staged` from memory of alloc_host, which stays as it is until land or
     sync; land, in the order of everything else, takes it to dst. Both NULL: the backend has no such way. */
  lur_status (*upload)(lur_device *device, void *staged, const void *src, size_t bytes);
  lur_status (*land)(lur_device *device, void *dst, const void *staged, size_t bytes);
  const lur_kernel *kernels[LUR_OP_COUNT];
};

extern const lur_backend lur_ref_backend, lur_cpu_backend;

/* The backend of that name: "ref", "cpu" or "cuda" (which opens the plugin). LUR_EUNSUPPORTED says why there is none,
   LUR_EARG that there is no such name. */
lur_status lur_backend_find(const char *name, const lur_backend **backend);

/* Opens "ref", "cpu", "cuda", "cuda:1", or "auto" (cuda where a device is present, else cpu).
   Close with lur_device_close; every op planned on it must be released first. */
lur_status lur_device_open(const char *name, lur_device **device);
void lur_device_close(lur_device *device); /* NULL is fine */

/* The row for kind in device's backend or its ancestors; NULL when there is none. */
const lur_kernel *lur_device_kernel(const lur_device *device, lur_op_kind kind);

/* Plans one op: looks the row up, sets device, kernel and desc, calls plan. LUR_EUNSUPPORTED names op and backend. */
lur_status lur_op_plan(lur_device *device, const lur_op_desc *desc, lur_op *op);
void lur_op_release(lur_op *op); /* zeroed ops are fine */

/* The backend's own function or the nearest ancestor's. */
lur_status lur_device_alloc(lur_device *device, size_t bytes, void **memory);
void lur_device_free(lur_device *device, void *memory);
/* Host memory: of alloc_host where the backend has it, else ordinary. */
lur_status lur_device_alloc_host(lur_device *device, size_t bytes, void **memory);
void lur_device_free_host(lur_device *device, void *memory);
lur_status lur_device_copy(lur_device *device, void *dst, const void *src, size_t bytes, lur_copy_kind kind);
lur_status lur_device_fill(lur_device *device, void *memory, int byte, size_t bytes);
lur_status lur_device_sync(lur_device *device);
lur_status lur_device_update(lur_device *device, const lur_update *update, const lur_parameter *slots, int n);
lur_status lur_device_gradient_norm(lur_device *device, const lur_parameter *slots, int n, double *sum);
lur_status lur_device_lerp(lur_device *device, const lur_parameter *slots, int n, double share);

/* Tells a plugin that was built from another version of this file: the engine compares its own with lur_cuda_layout. */
#define LUR_BACKEND_LAYOUT \
  ((((uint64_t)sizeof(lur_backend) * 4099 + sizeof(lur_args)) * 4099 + sizeof(lur_op_desc)) * 4099 + LUR_OP_COUNT)

/* Denormals count as zero in the calling thread and in every thread of its OpenMP team: they cost 200 times
   a normal number. Called at the top of every run; cheap. */
void lur_denormals_off(void);

#ifdef __cplusplus
}
#endif
#endif
