/* update.h - bodies of the optimizer updates; formulas: kernels/ref/update.c. Compiled only by loops_*.c.
 *
 * Plain loops that the compiler vectorizes: they are bound by memory. */

INLINE float clipped(const lur_update *u, float p, float g, float decay) {
  g *= u->gradient_scale;
  if (u->clip_value > 0) {
    g = g > u->clip_value ? u->clip_value : g;
    g = g < -u->clip_value ? -u->clip_value : g;
  }
  return g + decay * p;
}

static void update_sgd(const lur_update *u, const lur_parameter *s, int64_t begin, int64_t end) {
  const float a = (float)(u->lr * (double)s->lr_scale), momentum = (float)u->momentum, decay = s->weight_decay;
  const float *restrict g = s->g;
  float *restrict p = s->p, *restrict m = s->m;
  if (!m) {
    for (int64_t i = begin; i < end; i++) p[i] -= a * clipped(u, p[i], g[i], decay);
    return;
  }
  for (int64_t i = begin; i < end; i++) {
    float step = a * clipped(u, p[i], g[i], decay), v = momentum * m[i] - step;
    m[i] = v;
    p[i] += u->nesterov ? momentum * v - step : v;
  }
}

/* adam, adamw and nadam: p -= a * (from_g * g + from_m * m) / (sqrt(v * v_scale) + epsilon). */
static void update_adam(const lur_update *u, const lur_parameter *s, int64_t begin, int64_t end) {
  const bool nadam = u->rule == LUR_NADAM, apart = u->rule == LUR_ADAMW;
  const float a = (float)(u->lr * (double)s->lr_scale), epsilon = (float)u->epsilon;
  const float b1 = (float)u->beta1, c1 = (float)(1 - u->beta1), b2 = (float)u->beta2, c2 = (float)(1 - u->beta2);
  const float from_g = nadam ? (float)u->g_scale : 0.0f, from_m = nadam ? (float)u->m_scale : 1.0f;
  const float v_scale = nadam ? (float)u->v_scale : 1.0f, decay = apart ? 0.0f : s->weight_decay;
  const float shrink = apart ? (float)(u->decay_lr * (double)s->lr_scale * (double)s->weight_decay) : 0.0f;
  const float *restrict grads = s->g;
  float *restrict p = s->p, *restrict m = s->m, *restrict v = s->v;
  for (int64_t i = begin; i < end; i++) {
    float g = clipped(u, p[i], grads[i], decay);
    float mean = b1 * m[i] + c1 * g, square = b2 * v[i] + c2 * g * g;
    m[i] = mean;
    v[i] = square;
    float step = a * (from_g * g + from_m * mean) / (sqrtf(square * v_scale) + epsilon);
    p[i] = p[i] - shrink * p[i] - step;
  }
}

static void update(const lur_update *u, const lur_parameter *s, int64_t begin, int64_t end) {
  if (u->rule == LUR_SGD)
    update_sgd(u, s, begin, end);
  else
    update_adam(u, s, begin, end);
}

static double squares(const float *g, int64_t count) {
  double sums[8] = {0}, sum = 0;
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (int k = 0; k < 8; k++) sums[k] += (double)g[i + k] * (double)g[i + k];
  for (; i < count; i++) sum += (double)g[i] * (double)g[i];
  for (int k = 0; k < 8; k++) sum += sums[k];
  return sum;
}

static void lerp(float *p, const float *g, float share, int64_t count) {
  if (share == 1)
    for (int64_t i = 0; i < count; i++) p[i] = g[i];
  else
    for (int64_t i = 0; i < count; i++) p[i] += share * (g[i] - p[i]);
}
