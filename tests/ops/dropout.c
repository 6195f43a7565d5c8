/* dropout.c - cases of dropout, and the generator behind it. */
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/random.h"

static void check(suite *s, double rate, bool training, lur_operand x) {
  char text[LUR_SHAPE_TEXT];
  op_case c = suite_case(LUR_OP_DROPOUT, "rate %g%s, %s", rate, training ? "" : " outside training",
                         lur_shape_format(&x.shape, text));
  c.desc.nx = 1;
  c.desc.x[0] = c.desc.y = x;
  c.desc.u.dropout = (lur_dropout_desc){rate, 3, training};
  suite_check(s, &c);
}

/* Known answers of Random123's kat_vectors, philox4x32-10. */
static void philox(suite *s) {
  static const struct {
    uint64_t key, high, low;
    uint32_t v[4];
  } known[] = {{0, 0, 0, {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}},
               {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}},
               {0x299f31d0a4093822u,
                0x0370734413198a2eu,
                0x85a308d3243f6a88u,
                {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    lur_random4 r = lur_philox(known[i].key, known[i].high, known[i].low);
    suite_expect(s, memcmp(r.v, known[i].v, sizeof r.v) == 0, "philox4x32-10: known answer %zu differs", i);
  }
}

/* The mask is that of lur_random_keep, differs with step, stream and seed, and keeps the right share. */
static void mask(suite *s) {
  enum { N = 4096 };
  static float x[N], y[N];
  for (int i = 0; i < N; i++) x[i] = 1;
  lur_op_desc d = {.kind = LUR_OP_DROPOUT, .nx = 1, .x = {F32(N)}, .y = F32(N), .u.dropout = {0.25, 5, true}};
  for (int k = 0; k < suite_devices(s); k++)
    for (int variant = 0; variant < 4; variant++) {
      plain_args args = {.x = {x}, .y = y, .seed = variant == 1 ? 12 : 11, .step = variant == 2 ? 10 : 9};
      d.u.dropout.stream = variant == 3 ? 6 : 5;
      if (!suite_run(s, suite_device(s, k), &d, &args)) return;
      int wrong = 0, kept = 0, like_first = 0;
      for (int i = 0; i < N; i++) {
        bool keep = lur_random_keep(args.seed, d.u.dropout.stream, args.step, (uint64_t)i, 0.25);
        wrong += fabs((double)y[i] - (keep ? 4.0 / 3 : 0)) > 1e-6;
        kept += keep;
        like_first += keep == (bool)lur_random_keep(11, 5, 9, (uint64_t)i, 0.25);
      }
      suite_expect(s, wrong == 0, "dropout's mask on %s: %d of %d differ", suite_device(s, k)->name, wrong, N);
      suite_expect(s, abs(kept - 3 * N / 4) < 140, "dropout at rate 0.25 keeps %d of %d", kept, N); /* 5 std */
      suite_expect(s, variant == 0 || abs(like_first - N * 5 / 8) < 155, "masks %d and 0 agree in %d of %d", variant,
                   like_first, N);
    }
}

void ops_dropout(suite *s) {
  check(s, 0.5, true, F32(1));
  check(s, 0.5, true, F32(3, 7));
  check(s, 0.9, true, F32(2, 5, 3, 33));
  check(s, 0, true, F32(9));
  check(s, 0.3, true, F32(24581)); /* a little more than three blocks of the cpu's loops */
  check(s, 0.5, false, F32(3, 7));
  philox(s);
  mask(s);
  lur_op_desc d = {.kind = LUR_OP_DROPOUT, .nx = 1, .x = {F32(3)}, .y = F32(3), .u.dropout = {1, 0, true}};
  suite_reject(s, "rate 1", &d, LUR_EARG, "rate 1");
  d.u.dropout.rate = NAN;
  suite_reject(s, "rate NaN", &d, LUR_EARG, "rate");
  d.u.dropout.rate = -0.1;
  suite_reject(s, "negative rate", &d, LUR_EARG, "rate -0.1");
}
