/* update.c - optimizer updates against the same formulas in double, the gradients' norm, and moving averages. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum { PARAMETERS = 3, STEPS = 4 };

static const int64_t counts[PARAMETERS] = {1, 37, 70003};

/* A case: an update, and the settings of the parameters: lr_scale and weight_decay are multiplied by i + 1 for
   parameter i. */
typedef struct row {
  const char *name;
  lur_update u;
  float lr_scale, weight_decay;
} row;

static const row rows[] = {
    {"sgd", {.rule = LUR_SGD, .lr = 0.01, .gradient_scale = 1}, 1, 0},
    {"sgd decay", {.rule = LUR_SGD, .lr = 0.01, .gradient_scale = 1}, 1, 0.01f},
    {"sgd momentum", {.rule = LUR_SGD, .lr = 0.01, .momentum = 0.9, .gradient_scale = 1}, 1, 0},
    {"sgd nesterov", {.rule = LUR_SGD, .lr = 0.01, .momentum = 0.9, .nesterov = true, .gradient_scale = 1}, 1, 0},
    {"sgd everything",
     {.rule = LUR_SGD, .lr = 0.01, .momentum = 0.9, .nesterov = true, .gradient_scale = 0.5f, .clip_value = 0.3f},
     0.25f,
     0.02f},
    {"adam", {.rule = LUR_ADAM, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .gradient_scale = 1}, 1, 0},
    {"adam everything",
     {.rule = LUR_ADAM,
      .lr = 1e-3,
      .beta1 = 0.9,
      .beta2 = 0.999,
      .epsilon = 1e-8,
      .gradient_scale = 3,
      .clip_value = 0.5f},
     0.5f,
     0.01f},
    {"adamw",
     {.rule = LUR_ADAMW,
      .lr = 1e-3,
      .decay_lr = 1e-3,
      .beta1 = 0.9,
      .beta2 = 0.999,
      .epsilon = 1e-8,
      .gradient_scale = 1},
     1,
     0.01f},
    {"adamw everything",
     {.rule = LUR_ADAMW,
      .lr = 1e-3,
      .decay_lr = 3e-3,
      .beta1 = 0.8,
      .beta2 = 0.99,
      .epsilon = 1e-6,
      .gradient_scale = 0.1f,
      .clip_value = 0.05f},
     2,
     0.1f},
    {"nadam",
     {.rule = LUR_NADAM,
      .lr = 2e-3,
      .beta1 = 0.9,
      .beta2 = 0.999,
      .epsilon = 1e-8,
      .m_scale = 1.7,
      .g_scale = 0.6,
      .v_scale = 500,
      .gradient_scale = 1},
     1,
     0},
    {"nadam everything",
     {.rule = LUR_NADAM,
      .lr = 2e-3,
      .beta1 = 0.9,
      .beta2 = 0.999,
      .epsilon = 1e-8,
      .m_scale = 1.7,
      .g_scale = 0.6,
      .v_scale = 500,
      .gradient_scale = 2,
      .clip_value = 0.7f},
     0.5f,
     0.03f},
};

/* One element in double: the expected values. */
typedef struct element {
  double p, m, v;
} element;

/* decay: for adamw already multiplied with the learning rate. */
static void step_element(const lur_update *u, double lr, double decay, bool momentum, double g, element *e) {
  g *= (double)u->gradient_scale;
  if (u->clip_value > 0) g = fmin(fmax(g, -(double)u->clip_value), (double)u->clip_value);
  if (u->rule != LUR_ADAMW) g += decay * e->p;
  if (u->rule == LUR_SGD) {
    double velocity = (momentum ? u->momentum * e->m : 0) - lr * g;
    e->p += momentum && u->nesterov ? u->momentum * velocity - lr * g : velocity;
    e->m = velocity;
    return;
  }
  e->m = u->beta1 * e->m + (1 - u->beta1) * g;
  e->v = u->beta2 * e->v + (1 - u->beta2) * g * g;
  if (u->rule == LUR_ADAMW) e->p *= 1 - decay;
  if (u->rule == LUR_NADAM) e->p -= lr * (u->g_scale * g + u->m_scale * e->m) / (sqrt(u->v_scale * e->v) + u->epsilon);
  else e->p -= lr * e->m / (sqrt(e->v) + u->epsilon);
}

/* The device's side of one parameter. */
typedef struct arrays {
  buffer p, g, m, v;
  float *host;
} arrays;

static float start_value(int parameter, int64_t i) {
  return (float)(2 * suite_uniform((uint64_t)(10 + parameter), i) - 1);
}
static float gradient_value(int parameter, int64_t i) {
  return (float)(2 * suite_uniform((uint64_t)(20 + parameter), i) - 1);
}

static lur_status arrays_new(lur_device *device, int parameter, arrays *a) {
  int64_t n = counts[parameter];
  size_t bytes = sizeof(float) * (size_t)n;
  a->host = check_alloc(bytes);
  for (int64_t i = 0; i < n; i++) a->host[i] = gradient_value(parameter, i);
  LUR_TRY(buffer_new(device, bytes, a->host, &a->g));
  for (int64_t i = 0; i < n; i++) a->host[i] = start_value(parameter, i);
  LUR_TRY(buffer_new(device, bytes, a->host, &a->p));
  memset(a->host, 0, bytes);
  LUR_TRY(buffer_new(device, bytes, a->host, &a->m));
  return buffer_new(device, bytes, a->host, &a->v);
}

static void arrays_free(arrays *a) {
  buffer_free(&a->p), buffer_free(&a->g), buffer_free(&a->m), buffer_free(&a->v);
  free(a->host);
}

static void compare(suite *s, lur_device *device, const char *name, const char *role, const buffer *b, arrays *a,
                    int parameter, const double *expected) {
  char what[96];
  bool intact = false;
  snprintf(what, sizeof what, "%s, parameter %d: %s", name, parameter, role);
  lur_status status = buffer_read(b, a->host, &intact);
  if (suite_expect(s, status == LUR_OK && intact, "%s on %s: wrote outside", what, device->name))
    suite_near(s, what, device, a->host, expected, counts[parameter], 1e-6, 3e-6);
}

/* Steps parameter `parameter` of row r in double and compares p, m, v. */
static void check_parameter(suite *s, lur_device *device, const row *r, int parameter, arrays *a) {
  size_t n = (size_t)counts[parameter];
  bool momentum = r->u.rule == LUR_SGD && r->u.momentum != 0, adaptive = r->u.rule != LUR_SGD;
  double *p = check_alloc(n * sizeof(double)), *m = check_alloc(n * sizeof(double)),
         *v = check_alloc(n * sizeof(double));
  double lr_scale = (double)r->lr_scale * (parameter + 1), lr = r->u.lr * lr_scale,
         decay = (double)r->weight_decay * (parameter + 1);
  if (r->u.rule == LUR_ADAMW) decay *= r->u.decay_lr * lr_scale;
  for (size_t i = 0; i < n; i++) {
    element e = {(double)start_value(parameter, (int64_t)i), 0, 0};
    for (int t = 0; t < STEPS; t++)
      step_element(&r->u, lr, decay, momentum, (double)gradient_value(parameter, (int64_t)i), &e);
    p[i] = e.p, m[i] = e.m, v[i] = e.v;
  }
  compare(s, device, r->name, "p", &a->p, a, parameter, p);
  if (momentum || adaptive) compare(s, device, r->name, "m", &a->m, a, parameter, m);
  if (adaptive) compare(s, device, r->name, "v", &a->v, a, parameter, v);
  for (size_t i = 0; i < n; i++) p[i] = (double)gradient_value(parameter, (int64_t)i);
  compare(s, device, r->name, "g, which it may only read", &a->g, a, parameter, p);
  free(p), free(m), free(v);
}

static void check_row(suite *s, lur_device *device, const row *r) {
  arrays a[PARAMETERS];
  lur_parameter parameters[PARAMETERS];
  lur_status status = LUR_OK;
  memset(a, 0, sizeof a);
  for (int k = 0; k < PARAMETERS && status == LUR_OK; k++) {
    status = arrays_new(device, k, &a[k]);
    bool momentum = r->u.rule != LUR_SGD || r->u.momentum != 0;
    parameters[k] = (lur_parameter){buffer_data(&a[k].p),
                          buffer_data(&a[k].g),
                          momentum ? buffer_data(&a[k].m) : NULL,
                          r->u.rule != LUR_SGD ? buffer_data(&a[k].v) : NULL,
                          counts[k],
                          r->lr_scale * (float)(k + 1),
                          r->weight_decay * (float)(k + 1)};
  }
  for (int t = 0; t < STEPS && status == LUR_OK; t++) status = lur_device_update(device, &r->u, parameters, PARAMETERS);
  if (status == LUR_OK) status = lur_device_sync(device);
  if (suite_expect(s, status == LUR_OK, "%s on %s: %s", r->name, device->name, lur_last_error()))
    for (int k = 0; k < PARAMETERS; k++) check_parameter(s, device, r, k, &a[k]);
  for (int k = 0; k < PARAMETERS; k++) arrays_free(&a[k]);
}

/* Nadam of Keras 2.0.6 (optimizers.py) with its momentum schedule, p = 1 and constant g = 0.1, computed in double. */
static void nadam_golden(suite *s, lur_device *device) {
  static const double expected[] = {0.9978870966545795, 0.996319728097734, 0.9948552939811123};
  const float zero = 0, one = 1, g = 0.1f;
  buffer p, gradient, m, v;
  double schedule = 1;
  bool ok = buffer_new(device, 4, &one, &p) == LUR_OK && buffer_new(device, 4, &g, &gradient) == LUR_OK &&
            buffer_new(device, 4, &zero, &m) == LUR_OK && buffer_new(device, 4, &zero, &v) == LUR_OK;
  if (!suite_expect(s, ok, "nadam on %s: %s", device->name, lur_last_error())) return;
  lur_parameter parameter = {buffer_data(&p), buffer_data(&gradient), buffer_data(&m), buffer_data(&v), 1, 1, 0};
  for (int t = 1; t <= 3; t++) {
    double now = 0.9 * (1 - 0.5 * pow(0.96, 0.004 * t)), next = 0.9 * (1 - 0.5 * pow(0.96, 0.004 * (t + 1)));
    schedule *= now;
    lur_update u = {.rule = LUR_NADAM,
                    .lr = 0.002,
                    .beta1 = 0.9,
                    .beta2 = 0.999,
                    .epsilon = 1e-8,
                    .m_scale = next / (1 - schedule * next),
                    .g_scale = (1 - now) / (1 - schedule),
                    .v_scale = 1 / (1 - pow(0.999, t)),
                    .gradient_scale = 1};
    float got = 0;
    bool intact = false;
    ok = lur_device_update(device, &u, &parameter, 1) == LUR_OK && buffer_read(&p, &got, &intact) == LUR_OK && intact;
    if (suite_expect(s, ok, "nadam on %s: %s", device->name, lur_last_error()))
      suite_near(s, "nadam of Keras 2.0.6", device, &got, &expected[t - 1], 1, 3e-7, 0);
  }
  buffer_free(&p), buffer_free(&gradient), buffer_free(&m), buffer_free(&v);
}

/* An update with values in device memory (`found`, and the sum of squares) must give the same bits as the update
   `expected`, whose values are in the struct. */
static void check_in_device_memory(suite *s, lur_device *device, const char *what, const lur_update *found,
                                   double squares, const lur_update *expected) {
  const lur_step_parameters moving = {.lr = found->lr,
                                      .decay_lr = found->decay_lr,
                                      .m_scale = found->m_scale,
                                      .g_scale = found->g_scale,
                                      .v_scale = found->v_scale,
                                      .gradient_scale = (double)found->gradient_scale};
  enum { WHICH = 1, BOTH = 2 };
  const int64_t n = counts[WHICH];
  float got[BOTH][37];
  buffer there, sum;
  bool ok = buffer_new(device, sizeof moving, &moving, &there) == LUR_OK &&
            buffer_new(device, sizeof squares, &squares, &sum) == LUR_OK;
  for (int k = 0; k < BOTH && ok; k++) {
    arrays a = {0};
    lur_update u = k ? *expected : *found;
    ok = arrays_new(device, WHICH, &a) == LUR_OK;
    lur_parameter parameter = {buffer_data(&a.p), buffer_data(&a.g), buffer_data(&a.m), buffer_data(&a.v), n, 1, 0.01f};
    if (!k) u.squares = buffer_data(&sum);
    if (!k && !device->backend->host_memory) {
      u.step_parameters = buffer_data(&there);
      u.lr = u.decay_lr = u.m_scale = u.g_scale = u.v_scale = NAN;
      u.gradient_scale = NAN;
    }
    bool intact = false;
    ok = ok && lur_device_update(device, &u, &parameter, 1) == LUR_OK && buffer_read(&a.p, got[k], &intact) == LUR_OK &&
         intact;
    arrays_free(&a);
  }
  suite_expect(s, ok && memcmp(got[0], got[1], sizeof(float) * (size_t)n) == 0,
               "%s on %s: different bits than with the values in the struct", what, device->name);
  buffer_free(&there), buffer_free(&sum);
}

static void check_step_parameters(suite *s, lur_device *device) {
  const lur_update nadam = {.rule = LUR_NADAM,
                            .lr = 2e-3,
                            .beta1 = 0.9,
                            .beta2 = 0.999,
                            .epsilon = 1e-8,
                            .m_scale = 1.7,
                            .g_scale = 0.6,
                            .v_scale = 500,
                            .gradient_scale = 0.125f};
  lur_update adamw = nadam, clipped = nadam, expected = nadam, still = nadam;
  adamw.rule = LUR_ADAMW, adamw.decay_lr = 3e-3;
  check_in_device_memory(s, device, "nadam's step parameters", &nadam, 1, &nadam);
  check_in_device_memory(s, device, "adamw's step parameters", &adamw, 1, &adamw);
  clipped.clip_norm = 0.25;
  check_in_device_memory(s, device, "a norm below the clip", &clipped, 1, &nadam); /* 1 * 0.125 */
  expected.gradient_scale = 0.03125f;
  check_in_device_memory(s, device, "a norm above the clip", &clipped, 64, &expected); /* 8 * 0.125 = 4 * 0.25 */
  clipped.skip_overflow = true;
  still.rule = LUR_SGD, still.lr = 0;
  check_in_device_memory(s, device, "an overflow", &clipped, HUGE_VAL, &still);
  check_in_device_memory(s, device, "an overflow", &clipped, NAN, &still);
}

/* The sum is in device memory. */
static lur_status norm_of(lur_device *device, const lur_parameter *parameters, int n, double *sum) {
  buffer there;
  bool intact = false;
  const double before = -1;
  LUR_TRY(buffer_new(device, sizeof *sum, &before, &there));
  lur_status status = lur_device_gradient_norm(device, parameters, n, buffer_data(&there));
  if (status == LUR_OK) status = buffer_read(&there, sum, &intact);
  buffer_free(&there);
  return status == LUR_OK && !intact ? LUR_ESTATE : status;
}

static void check_norm(suite *s, lur_device *device) {
  arrays a[PARAMETERS];
  lur_parameter parameters[PARAMETERS] = {{0}};
  double expected = 0, sum = -1, again = -2;
  lur_status status = LUR_OK;
  memset(a, 0, sizeof a);
  for (int k = 0; k < PARAMETERS && status == LUR_OK; k++) {
    status = arrays_new(device, k, &a[k]);
    parameters[k].g = buffer_data(&a[k].g);
    parameters[k].count = counts[k];
    for (int64_t i = 0; i < counts[k]; i++) expected += (double)gradient_value(k, i) * (double)gradient_value(k, i);
  }
  if (status == LUR_OK) status = norm_of(device, parameters, PARAMETERS, &sum);
  if (status == LUR_OK) status = norm_of(device, parameters, PARAMETERS, &again);
  suite_expect(s, status == LUR_OK && fabs(sum - expected) <= 1e-6 * expected,
               "gradient_norm on %s: %.12g, expected %.12g", device->name, sum, expected);
  suite_expect(s, sum == again || !device->backend->host_memory, "gradient_norm on %s: different bits the second time",
               device->name);
  if (status == LUR_OK) status = norm_of(device, parameters, 0, &sum);
  suite_expect(s, status == LUR_OK && sum == 0, "gradient_norm on %s: %g for no parameters", device->name, sum);
  for (int k = 0; k < PARAMETERS; k++) arrays_free(&a[k]);
}

/* Moving averages of several tensors at once, with several shares; 1 copies the bits. */
static void check_lerp(suite *s, lur_device *device) {
  static const double shares[] = {0, 0.001, 0.5, 1};
  for (size_t r = 0; r < sizeof shares / sizeof *shares; r++) {
    arrays a[PARAMETERS];
    lur_parameter parameters[PARAMETERS] = {{0}};
    lur_status status = LUR_OK;
    memset(a, 0, sizeof a);
    for (int k = 0; k < PARAMETERS && status == LUR_OK; k++) {
      status = arrays_new(device, k, &a[k]);
      parameters[k] = (lur_parameter){.p = buffer_data(&a[k].p), .g = buffer_data(&a[k].g), .count = counts[k]};
    }
    if (status == LUR_OK) status = lur_device_lerp(device, parameters, PARAMETERS, shares[r]);
    if (status == LUR_OK) status = lur_device_lerp(device, parameters, 0, shares[r]);
    if (!suite_expect(s, status == LUR_OK, "lerp on %s: %s", device->name, lur_last_error())) continue;
    for (int k = 0; k < PARAMETERS; k++) {
      double *expected = check_alloc((size_t)counts[k] * sizeof(double));
      for (int64_t i = 0; i < counts[k]; i++) {
        double p = (double)start_value(k, i), g = (double)gradient_value(k, i);
        expected[i] = p + shares[r] * (g - p);
      }
      compare(s, device, "lerp", "p", &a[k].p, &a[k], k, expected);
      bool same = true, kept = shares[r] == 0 || shares[r] == 1;
      for (int64_t i = 0; i < counts[k] && kept; i++)
        same = same && a[k].host[i] == (shares[r] == 1 ? gradient_value(k, i) : start_value(k, i));
      suite_expect(s, same, "lerp on %s: the bits are not those that were to be copied or kept", device->name);
      free(expected);
    }
    for (int k = 0; k < PARAMETERS; k++) arrays_free(&a[k]);
  }
}

void ops_update(suite *s) {
  for (int k = 0; k < s->ndevices; k++) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) check_row(s, s->devices[k], &rows[i]);
    nadam_golden(s, s->devices[k]);
    check_norm(s, s->devices[k]);
    check_lerp(s, s->devices[k]);
    check_step_parameters(s, s->devices[k]);
    lur_update wrong = {.rule = (lur_update_rule)9, .gradient_scale = 1};
    lur_status status = lur_device_update(s->devices[k], &wrong, NULL, 0);
    suite_expect(s, status == LUR_EARG, "an unknown rule on %s: %s", s->devices[k]->name, lur_status_name(status));
  }
  s->cases = (int)(sizeof rows / sizeof *rows);
}
