/* small_model.h - a small Xception with pairs and two heads, and batches for it, for tests that train whole runs. */
#ifndef TEST_SMALL_MODEL_H
#define TEST_SMALL_MODEL_H

#include "check.h"
#include "engine/lurcher.h"

static lur_setting text(const char *name, const char *value) {
  return (lur_setting){.name = name, .type = LUR_STRING, .string = value};
}
static lur_setting number(const char *name, int64_t value) {
  return (lur_setting){.name = name, .type = LUR_INT, .integer = value, .real = (double)value};
}

/* Applies a new layer; releases the inputs. */
static lur_node *apply(lur_context *context, const char *kind, const lur_setting *settings, int n, int nx, lur_node **x) {
  lur_layer *layer = NULL;
  lur_node *y = NULL;
  CHECK_OK(lur_layer_new(context, kind, settings, n, &layer));
  CHECK_OK(lur_layer_apply(layer, nx, x, &y));
  lur_layer_release(layer);
  for (int i = 0; i < nx; i++) lur_node_release(x[i]);
  return y;
}

static lur_node *apply1(lur_context *context, const char *kind, const char *name, const char *option, int64_t value, lur_node *x) {
  lur_setting settings[2] = {text("name", name), number(option ? option : "", value)};
  return apply(context, kind, settings, option ? 2 : 1, 1, &x);
}

static lur_node *separable(lur_context *context, const char *name, int64_t filters, lur_node *x) {
  lur_setting settings[] = {text("name", name), number("filters", filters), number("kernel", 3), text("padding", "same"),
                            {.name = "use_bias", .type = LUR_BOOL, .boolean = false}};
  return apply(context, "separable_conv2d", settings, 5, 1, &x);
}

static lur_node *pointwise(lur_context *context, const char *name, int64_t filters, int64_t stride, lur_node *x) {
  lur_setting settings[] = {text("name", name), number("filters", filters), number("kernel", 1), number("stride", stride),
                            text("padding", "same"), {.name = "use_bias", .type = LUR_BOOL, .boolean = false}};
  return apply(context, "conv2d", settings, 6, 1, &x);
}

/* A small Xception: entry, one strided residual block, one middle block, gather of pairs, two heads. */
static lur_model *make_model(lur_context *context) {
  lur_node *image, *left, *right, *x, *residual, *pair[2], *outputs[2];
  lur_shape sample = {3, {9, 9, 3}};
  CHECK_OK(lur_input(context, "image", LUR_F32, &sample, &image));
  CHECK_OK(lur_index(context, "left", &left));
  CHECK_OK(lur_index(context, "right", &right));
  x = pointwise(context, "entry", 8, 1, image);
  x = apply1(context, "relu", "entry_act", NULL, 0, apply1(context, "batchnorm", "entry_bn", NULL, 0, x));
  lur_node_retain(x);
  residual = apply1(context, "batchnorm", "residual_bn", NULL, 0, pointwise(context, "residual", 16, 2, x));
  x = apply1(context, "batchnorm", "sep1_bn", NULL, 0, separable(context, "sep1", 16, x));
  x = apply1(context, "relu", "sep2_act", NULL, 0, x);
  x = apply1(context, "batchnorm", "sep2_bn", NULL, 0, separable(context, "sep2", 16, x));
  lur_setting pool[] = {text("name", "pool"), number("size", 3), number("stride", 2), text("padding", "same")};
  x = apply(context, "max_pool", pool, 4, 1, &x);
  lur_setting add1[] = {text("name", "add_1")}, add2[] = {text("name", "add_2")};
  x = apply(context, "add", add1, 1, 2, (lur_node *[]){x, residual});
  lur_node_retain(residual = x);
  x = apply1(context, "relu", "sep3_act", NULL, 0, x);
  x = apply1(context, "batchnorm", "sep3_bn", NULL, 0, separable(context, "sep3", 16, x));
  x = apply(context, "add", add2, 1, 2, (lur_node *[]){x, residual});
  x = apply1(context, "global_avg_pool", "avg_pool", NULL, 0, x);
  lur_node_retain(x);
  lur_node_retain(x);
  lur_setting none[1] = {text("name", "fl")}, none2[1] = {text("name", "fr")}, sub[1] = {text("name", "difference")};
  pair[0] = apply(context, "gather", none, 1, 2, (lur_node *[]){x, left});
  pair[1] = apply(context, "gather", none2, 1, 2, (lur_node *[]){x, right});
  pair[0] = apply(context, "sub", sub, 1, 2, pair);
  lur_setting binary[] = {text("name", "same_head"), number("units", 2), text("activation", "softmax")};
  lur_setting category[] = {text("name", "class_head"), number("units", 5), text("activation", "softmax")};
  lur_setting dropout[] = {text("name", "drop"), {.name = "rate", .type = LUR_REAL, .real = 0.25}};
  x = apply(context, "dropout", dropout, 2, 1, &x);
  outputs[0] = apply(context, "dense", category, 3, 1, &x);
  x = apply1(context, "square", "square", NULL, 0, pair[0]);
  outputs[1] = apply(context, "dense", binary, 3, 1, &x);
  lur_model *model = NULL;
  CHECK_OK(lur_model_new(context, 0, NULL, 2, (const char *[]){"class", "same"}, outputs, &model));
  lur_node_release(outputs[0]);
  lur_node_release(outputs[1]);
  return model;
}

enum { ROWS = 6, PAIRS = 4 };

typedef struct fixture {
  lur_tensor *tensors[5];
  lur_batch batch;
} fixture;

static const char *const names[5] = {"image", "left", "right", "class", "same"};

static void drop_batch(fixture *f) {
  for (int i = 0; i < 5; i++) lur_tensor_release(f->tensors[i]);
}

#endif
