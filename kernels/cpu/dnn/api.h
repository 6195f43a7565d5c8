/* api.h - the two C APIs of oneDNN, 2.x and 3.x, behind one set of functions: memory layouts, post-ops, and the
 * descriptors of primitives. Only this file distinguishes them; only kernels/cpu/dnn/ includes it.
 *
 * In 2.x a layout (dnnl_memory_desc_t) is a struct that is passed by pointer, and an operation descriptor is filled
 * first, from which the primitive descriptor is made. In 3.x a layout is a handle that must be destroyed, and the
 * primitive descriptor is made directly. A new primitive: one function here with both forms. */
#ifndef LUR_CPU_DNN_API_H
#define LUR_CPU_DNN_API_H

#include <oneapi/dnnl/dnnl.h>

#include <stdbool.h>
#include <stddef.h>

typedef dnnl_memory_desc_t layout;

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t layout_ref;
#define LAYOUT_REF(l) (*(l))
#else
typedef const dnnl_memory_desc_t *layout_ref;
#define LAYOUT_REF(l) (l)
#endif

/* NULL stays NULL. */
static inline layout_ref layout_ref_of(const layout *l) { return l ? LAYOUT_REF(l) : NULL; }

static inline dnnl_status_t layout_new(layout *l, int ndims, const dnnl_dims_t dims, dnnl_data_type_t type,
                                       dnnl_format_tag_t tag) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_memory_desc_create_with_tag(l, ndims, dims, type, tag);
#else
  return dnnl_memory_desc_init_by_tag(l, ndims, dims, type, tag);
#endif
}

static inline void layout_free(layout *l) {
#if DNNL_VERSION_MAJOR >= 3
  if (*l) dnnl_memory_desc_destroy(*l);
#else
  (void)l;
#endif
}

static inline dnnl_status_t append_sum(dnnl_post_ops_t ops) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
#else
  return dnnl_post_ops_append_sum(ops, 1.0f);
#endif
}

static inline dnnl_status_t append_relu(dnnl_post_ops_t ops) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0.0f, 0.0f);
#else
  return dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
#endif
}

/* ---- descriptors of primitives ---- */

typedef struct conv2d_layouts {
  layout x, y, weights, plain, bias; /* weights: the format is oneDNN's choice; plain: the format in memory */
  dnnl_dims_t stride, before, after; /* before, after: padding */
} conv2d_layouts;

#if DNNL_VERSION_MAJOR < 3
/* The primitive descriptor of an operation descriptor that was filled with this status. */
static inline dnnl_status_t desc_of(dnnl_primitive_desc_t *pd, const void *operation, dnnl_status_t filled,
                                    dnnl_engine_t engine, dnnl_primitive_attr_t attr, dnnl_primitive_desc_t hint) {
  return filled == dnnl_success ? dnnl_primitive_desc_create(pd, operation, attr, engine, hint) : filled;
}
#endif

static inline dnnl_status_t conv2d_forward_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                                const conv2d_layouts *l, bool bias, dnnl_primitive_attr_t attr) {
  const layout_ref x = LAYOUT_REF(&l->x), w = LAYOUT_REF(&l->weights), y = LAYOUT_REF(&l->y),
                   b = layout_ref_of(bias ? &l->bias : NULL);
#if DNNL_VERSION_MAJOR >= 3
  const dnnl_dims_t dilation = {0, 0};
  return dnnl_convolution_forward_primitive_desc_create(pd, engine, dnnl_forward_training, dnnl_convolution_direct, x,
                                                        w, b, y, l->stride, dilation, l->before, l->after, attr);
#else
  dnnl_convolution_desc_t d;
  return desc_of(pd, &d,
                 dnnl_convolution_forward_desc_init(&d, dnnl_forward_training, dnnl_convolution_direct, x, w, b, y,
                                                    l->stride, l->before, l->after),
                 engine, attr, NULL);
#endif
}

/* hint: the forward descriptor of the same convolution. */
static inline dnnl_status_t conv2d_backward_data_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                                      const conv2d_layouts *l, dnnl_primitive_attr_t attr,
                                                      dnnl_primitive_desc_t hint) {
  const layout_ref x = LAYOUT_REF(&l->x), w = LAYOUT_REF(&l->weights), y = LAYOUT_REF(&l->y);
#if DNNL_VERSION_MAJOR >= 3
  const dnnl_dims_t dilation = {0, 0};
  return dnnl_convolution_backward_data_primitive_desc_create(pd, engine, dnnl_convolution_direct, x, w, y, l->stride,
                                                              dilation, l->before, l->after, hint, attr);
#else
  dnnl_convolution_desc_t d;
  return desc_of(pd, &d,
                 dnnl_convolution_backward_data_desc_init(&d, dnnl_convolution_direct, x, w, y, l->stride, l->before,
                                                          l->after),
                 engine, attr, hint);
#endif
}

static inline dnnl_status_t conv2d_backward_weights_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                                         const conv2d_layouts *l, dnnl_primitive_attr_t attr,
                                                         dnnl_primitive_desc_t hint) {
  const layout_ref x = LAYOUT_REF(&l->x), w = LAYOUT_REF(&l->weights), y = LAYOUT_REF(&l->y);
#if DNNL_VERSION_MAJOR >= 3
  const dnnl_dims_t dilation = {0, 0};
  return dnnl_convolution_backward_weights_primitive_desc_create(pd, engine, dnnl_convolution_direct, x, w, NULL, y,
                                                                 l->stride, dilation, l->before, l->after, hint, attr);
#else
  dnnl_convolution_desc_t d;
  return desc_of(pd, &d,
                 dnnl_convolution_backward_weights_desc_init(&d, dnnl_convolution_direct, x, w, NULL, y, l->stride,
                                                             l->before, l->after),
                 engine, attr, hint);
#endif
}

/* bias: NULL for none. */
static inline dnnl_status_t gemm_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const layout *a, const layout *b,
                                      const layout *bias, const layout *c, dnnl_primitive_attr_t attr) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_matmul_primitive_desc_create(pd, engine, LAYOUT_REF(a), LAYOUT_REF(b), layout_ref_of(bias),
                                           LAYOUT_REF(c), attr);
#else
  dnnl_matmul_desc_t d;
  return desc_of(pd, &d, dnnl_matmul_desc_init(&d, a, b, bias, c), engine, attr, NULL);
#endif
}

#endif
