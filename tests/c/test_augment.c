/* test_augment.c - augmentation: Keras's matrices and draws, SciPy's sampling in every fill mode, colour, mixing, and
 * rows of a loader. Golden values are of Keras 2.0.6 keras/preprocessing/image.py (transform_matrix_offset_center,
 * random_transform), computed with NumPy, and of scipy.ndimage.affine_transform (SciPy 1.17) for sampling. */
#include <math.h>

#include "engine/data/augment.h"
#include "tests/c/images.h"

static lur_context *context;

static bool near(double a, double b, double within) { return fabs(a - b) <= within; }

static lur_augment *make(int n, const lur_setting *settings) {
  lur_augment *a = NULL;
  CHECK_OK(lur_augment_new(settings, n, &a));
  return a;
}

static lur_setting real(const char *name, double value) {
  return (lur_setting){.name = name, .type = LUR_REAL, .real = value};
}
static lur_setting yes(const char *name) { return (lur_setting){.name = name, .type = LUR_BOOL, .boolean = true}; }
static lur_setting text(const char *name, const char *value) {
  return (lur_setting){.name = name, .type = LUR_STRING, .string = value};
}

/* ---- geometry ---- */

/* rotation 30 degrees, tx 1, ty -0.5, shear 0.2 rad, zoom 0.8 and 1.2, centre + 0.5, on 5 x 5 */
static lur_affine golden_map(void) {
  lur_augment *a = make(1, (lur_setting[]){text("era", "2017")});
  lur_params p = {.theta = 30 * 3.14159265358979323846 / 180, .tx = 1, .ty = -0.5, .shear = 0.2, .zx = 0.8, .zy = 1.2};
  lur_affine m;
  lur_augment_map(a, &p, 5, 5, &m);
  lur_augment_release(a);
  return m;
}

static void test_matrix(void) {
  lur_affine m = golden_map();
  CHECK(near(m.a[0][0], 0.69282032, 5e-9) && near(m.a[0][1], -0.79450317, 5e-9) && near(m.b[0], 4.42107395, 5e-9));
  CHECK(near(m.a[1][0], 0.4, 5e-9) && near(m.a[1][1], 0.89931347, 5e-9) && near(m.b[1], -0.8309531, 5e-8));
}

static const float sampled[4][2][25] =
    {/* SciPy's results by fill mode and order; the constant is 9 */
     {{20, 20, 16, 12, 8, 20, 20, 21, 17, 13, 20, 21, 22, 18, 19, 20, 21, 22, 23, 19, 21, 22, 23, 23, 24},
      {20,       18.2012f, 15.128f,  12.0548f, 8.98161f, 20,       20.4684f, 18.9921f, 15.9189f,
       12.8457f, 20,       20.8684f, 21.7677f, 19.783f,  16.7098f, 20.369f,  21.2684f, 22.1677f,
       23.067f,  20.5739f, 20.769f,  21.6684f, 22.5677f, 23.467f,  24}},
     {{9, 20, 16, 12, 8, 9, 9, 21, 17, 13, 9, 9, 9, 18, 19, 9, 9, 9, 9, 19, 9, 9, 9, 9, 9},
      {9,       18.2012f, 15.128f, 12.0548f, 8.98161f, 9, 9,        18.9921f, 15.9189f, 12.8457f, 9, 9, 9,
       19.783f, 16.7098f, 9,       9,        9,        9, 20.5739f, 9,        9,        9,        9, 9}},
     {{20, 20, 16, 12, 8, 20, 20, 21, 17, 13, 15, 21, 22, 18, 19, 15, 16, 22, 23, 19, 11, 17, 18, 23, 24},
      {20,       18.2012f, 15.128f,  12.0548f, 8.98161f, 19.4305f, 20.4684f, 18.9921f, 15.9189f,
       12.8457f, 15.9664f, 20.8073f, 21.7677f, 19.783f,  16.7098f, 12.8714f, 17.7432f, 22.1677f,
       23.067f,  20.5739f, 9.80727f, 14.6791f, 19.5509f, 23.467f,  24}},
     {{3, 20, 16, 12, 8, 9, 0, 21, 17, 13, 14, 6, 2, 18, 19, 10, 11, 7, 3, 19, 16, 12, 13, 8, 0},
      {5.27442f, 18.2012f, 15.128f,  12.0548f, 8.98161f, 9.13852f, 2.06532f, 18.9921f, 15.9189f,
       12.8457f, 13.0026f, 5.92942f, 2.85622f, 19.783f,  16.7098f, 12.8667f, 9.79352f, 6.72032f,
       3.64711f, 20.5739f, 16.7308f, 13.6576f, 10.5844f, 7.51122f, 0.438014f}}};

static lur_rgbx number_image(int height, int width) {
  lur_rgbx p = {0};
  CHECK_OK(lur_rgbx_resize_buffer(&p, width, height));
  for (int i = 0; i < width * height; i++)
    memcpy(p.pixels + 4 * i, (uint8_t[]){(uint8_t)i, (uint8_t)(2 * i), (uint8_t)(255 - i), 99}, 4);
  return p;
}

static void test_sampling(void) {
  lur_rgbx p = number_image(5, 5);
  lur_bytes scratch = {0};
  float out[75];
  for (int fill = 0; fill < 4; fill++)
    for (int order = 0; order < 2; order++) {
      lur_warp w = {.map = golden_map(),
                    .nearest = order == 0,
                    .fill = (lur_fill)fill,
                    .fill_value = 9,
                    .grid_height = 5,
                    .grid_width = 5,
                    .height = 5,
                    .width = 5,
                    .scale = {1, 2, 1},
                    .shift = {0, 1, 0},
                    .channel = {0, 0, 1}};
      CHECK_OK(lur_warp_rgbx(&w, &p, &scratch, out));
      int wrong = 0;
      for (int i = 0; i < 25; i++) {
        wrong += !near(out[3 * i], sampled[fill][order][i], 6e-5);
        wrong += !near(out[3 * i + 1], 2 * out[3 * i] + 1, 1e-5); /* scale, then shift */
      }
      CHECK(wrong == 0);
    }
  lur_bytes_free(&scratch);
  lur_rgbx_free(&p);
}

/* Rows of at least 16 columns use the AVX-512 loop, of at least 8 the AVX2 loop, others the plain one; all must give
   the same bits. The map's coefficients are dyadic, so that shifting its start by columns is exact. */
static void test_loops_agree(lur_fill fill) {
  enum { W = 83, H = 40 };
  lur_rgbx p = number_image(61, 57);
  lur_bytes scratch = {0};
  static float wide[3 * W * H], narrow[3 * W * H];
  lur_warp w = {.map = {{{0.8125, 0.40625}, {-0.375, 0.65625}}, {-3.1875, 9.71875}},
                .fill = fill,
                .fill_value = 7,
                .height = H,
                .width = W,
                .scale = {0.01f, 0.02f, 0.03f},
                .shift = {1, 2, 3},
                .channel = {2, 1, 0}};
  CHECK_OK(lur_warp_rgbx(&w, &p, &scratch, wide));
  static const int widths[] = {1, 9, 16, 31};
  for (int i = 0; i < 4; i++) {
    int wrong = 0, first = 70 - 20 * i;
    lur_warp part = w;
    part.width = first + widths[i] <= W ? widths[i] : W - first;
    for (int k = 0; k < 2; k++) part.map.b[k] = w.map.b[k] + first * w.map.a[k][1];
    CHECK_OK(lur_warp_rgbx(&part, &p, &scratch, narrow));
    for (int r = 0; r < H; r++)
      wrong +=
          memcmp(wide + 3 * (r * W + first), narrow + 3 * r * part.width, 3 * sizeof(float) * (size_t)part.width) != 0;
    CHECK(wrong == 0);
  }
  lur_bytes_free(&scratch);
  lur_rgbx_free(&p);
}

/* Images one pixel wide, high, or both, which have no neighbour to the right or below. */
static void test_thin_images(void) {
  static const int sizes[3][2] = {{1, 1}, {1, 6}, {6, 1}};
  static float out[3 * 20 * 20];
  lur_bytes scratch = {0};
  for (int i = 0; i < 3; i++) {
    lur_rgbx p = number_image(sizes[i][0], sizes[i][1]);
    lur_warp w = {
        .map = {{{0.25, 0}, {0, 0.25}}, {0, 0}}, .height = 20, .width = 20, .scale = {1, 1, 1}, .channel = {0, 1, 2}};
    CHECK_OK(lur_warp_rgbx(&w, &p, &scratch, out));
    int wrong = 0;
    for (int y = 0; y < 20; y++)
      for (int x = 0; x < 20; x++) {
        double along = i == 0 ? 0 : i == 1 ? x / 4.0 : y / 4.0;
        wrong += out[3 * (20 * y + x)] != fmin(along, 5);
      }
    CHECK(wrong == 0);
    lur_rgbx_free(&p);
  }
  lur_bytes_free(&scratch);
}

/* ---- draws ---- */

static void test_numpy(void) {
  static const int64_t expected[8] = {2, 5, 0, 6, 3, 1, 4, 7};
  int64_t order[8];
  lur_numpy_random *r = NULL;
  CHECK_OK(lur_numpy_random_new(7, &r));
  lur_numpy_random_permutation(r, 8, order);
  CHECK(memcmp(order, expected, sizeof order) == 0);
  lur_numpy_random_seed(r, 7);
  lur_augment *a = make(
      5, (lur_setting[]){text("era", "2017"), real("rotate", 45), real("shear", 0.2), real("zoom", 0.2), yes("hflip")});
  lur_source source = {.numpy = r};
  lur_params p;
  lur_augment_draw(a, &source, 299, 299, &p);
  CHECK(near(p.theta, -38.13225395634385 * 3.14159265358979323846 / 180, 1e-15) &&
        near(p.shear, 0.11196751689604584, 1e-16));
  CHECK(near(p.zx, 0.97536369, 5e-9) && near(p.zy, 1.08938607, 5e-9));
  lur_augment_release(a);
  lur_numpy_random_release(r);
}

/* Era "current" always draws both flips, right after the zoom; era "2017" draws the enabled ones, last. */
static void test_draw_order(void) {
  lur_numpy_random *r = NULL;
  CHECK_OK(lur_numpy_random_new(3, &r));
  lur_source source = {.numpy = r};
  lur_params p;
  lur_augment *now = make(2, (lur_setting[]){real("zoom", 0.1), real("channel_shift", 10)});
  lur_augment_draw(now, &source, 9, 9, &p);
  lur_numpy_random_seed(r, 3);
  for (int i = 0; i < 4; i++) lur_numpy_random_uniform(r, 0, 1);
  CHECK(p.channel_shift[0] == lur_numpy_random_uniform(r, -10, 10) && p.channel_shift[1] == p.channel_shift[0] &&
        !p.hflip && !p.vflip);
  lur_numpy_random_seed(r, 3);
  lur_augment *then =
      make(4, (lur_setting[]){text("era", "2017"), real("zoom", 0.1), real("channel_shift", 10), yes("vflip")});
  lur_augment_draw(then, &source, 9, 9, &p);
  lur_numpy_random_seed(r, 3);
  for (int i = 0; i < 2; i++) lur_numpy_random_uniform(r, 0, 1);
  CHECK(p.channel_shift[0] == lur_numpy_random_uniform(r, -10, 10) &&
        p.channel_shift[1] == lur_numpy_random_uniform(r, -10, 10));
  lur_numpy_random_uniform(r, 0, 1);
  CHECK(p.vflip == (lur_numpy_random_uniform(r, 0, 1) < 0.5));
  lur_augment_release(now);
  lur_augment_release(then);
  lur_numpy_random_release(r);
}

static void test_options(void) {
  lur_augment *a = make(3, (lur_setting[]){real("rotate", 45), yes("hflip"), text("fill", "reflect")});
  char line[256];
  lur_augment_format(a, line, sizeof line);
  CHECK(strcmp(line, "augment{ rotate = 45, hflip = true, fill = \"reflect\" }") == 0);
  CHECK(lur_augment_options(NULL, 0) > 25);
  lur_augment_release(a);
  CHECK_FAILS(lur_augment_new((lur_setting[]){real("rotat", 1)}, 1, &a), LUR_EARG, "did you mean 'rotate'?");
  CHECK_FAILS(lur_augment_new((lur_setting[]){real("zoom", 1)}, 1, &a), LUR_EARG, "zoom must be below 1");
  CHECK_FAILS(lur_augment_new((lur_setting[]){text("era", "2018")}, 1, &a), LUR_EARG, "era");
  CHECK_FAILS(lur_augment_new((lur_setting[]){real("zoom_min", 0.5)}, 1, &a), LUR_EARG, "must be given together");
}

/* ---- colour ---- */

static void recolour(const lur_augment *a, lur_params p, float *rgb) {
  p.zx = p.zy = 1;
  if (p.brightness == 0) p.brightness = 1;
  if (p.contrast == 0) p.contrast = 1;
  if (p.saturation == 0) p.saturation = 1;
  CHECK(lur_params_recolour(&p));
  CHECK_OK(lur_colour_apply(a, &p, 2, 2, rgb));
}

static bool rgb_is(const float *p, double r, double g, double b) {
  return near(p[0], r, 0.01) && near(p[1], g, 0.01) && near(p[2], b, 0.01);
}

static void test_colour(void) {
  lur_augment *a = make(1, (lur_setting[]){real("erase", 0.5)});
  const float base[12] = {200, 100, 50, 0, 0, 0, 255, 255, 255, 10, 20, 30};
  float v[12];
#define FROM_BASE(...) (memcpy(v, base, sizeof v), recolour(a, (lur_params){__VA_ARGS__}, v))
  FROM_BASE(.brightness = 1.5);
  CHECK(rgb_is(v, 255, 150, 75) && rgb_is(v + 9, 15, 30, 45));
  FROM_BASE(.saturation = 0.5); /* gray of the first: 124.18 */
  CHECK(rgb_is(v, 162.09, 112.09, 87.09) && rgb_is(v + 6, 254.99, 254.99, 254.99));
  FROM_BASE(.hue = 1.0 / 3); /* red turns green */
  CHECK(rgb_is(v, 50, 200, 100) && rgb_is(v + 6, 255, 255, 255));
  FROM_BASE(.channel_shift = {100, -100, 5}); /* within 0..255, the image's own range */
  CHECK(rgb_is(v, 255, 0, 55) && rgb_is(v + 6, 255, 155, 255));
  FROM_BASE(.trivial = LUR_TRIVIAL_POSTERIZE, .magnitude = 2);
  CHECK(rgb_is(v, 192, 64, 0));
  FROM_BASE(.trivial = LUR_TRIVIAL_SOLARIZE, .magnitude = 100);
  CHECK(rgb_is(v, 55, 155, 50));
  FROM_BASE(.erases = true, .erase_area = 1);
  CHECK(rgb_is(v, 127.5, 127.5, 127.5) && rgb_is(v + 9, 127.5, 127.5, 127.5));
  lur_augment_release(a);
}

/* ---- mixing ---- */

static void test_mix(const char *kind) {
  enum { N = 7, CLASSES = 3, SIDE = 16, SIZE = SIDE * SIDE };
  static float images[N * SIZE];
  float targets[N * CLASSES];
  const int32_t ids[N] = {0, 1, 2, 0, 1, 2, 0};
  lur_augment *a = make(1, (lur_setting[]){real(kind, 0.4)});
  int mixed = 0;
  for (uint64_t trial = 0; trial < 20; trial++) {
    for (int i = 0; i < N * SIZE; i++) images[i] = (float)ids[i / SIZE];
    lur_source source = {.key = 5 + trial};
    lur_mix_batch(a, &source, N, SIDE, SIDE, 1, images, ids, CLASSES, targets);
    /* The mean of an image is its class id, so the mean of a mixed image must equal the mean class of its target. */
    for (int i = 0; i < N; i++) {
      double mean = 0, sum = 0, expected = 0;
      for (int k = 0; k < SIZE; k++) mean += images[i * SIZE + k] / SIZE;
      for (int c = 0; c < CLASSES; c++)
        sum += targets[i * CLASSES + c], expected += (double)c * targets[i * CLASSES + c];
      CHECK(near(sum, 1, 1e-5) && near(mean, expected, 1e-4));
      mixed += targets[i * CLASSES + ids[i]] < 0.999f;
    }
  }
  CHECK(mixed > 20);
  lur_augment_release(a);
}

/* ---- rows of a loader ---- */

static lur_dataset *set;

static lur_status load(lur_augment *augment, int workers, int skipped, lur_loaded *b, lur_preprocess preprocess,
                       int channels) {
  lur_loader_options o = {.height = 33,
                          .width = 47,
                          .workers = workers,
                          .seed = 4,
                          .augment = augment,
                          .preprocess = preprocess,
                          .channels = channels};
  lur_loader *l = NULL;
  LUR_TRY(lur_loader_new(context, set, &o, &l));
  CHECK_OK(lur_loader_begin(l, 2));
  int64_t indices[8] = {0, 1, 2, 3, 0, 1, 5, 4};
  lur_load_field f = {"image", 8, indices};
  for (int i = 0; i < skipped; i++) CHECK_OK(lur_loader_skip(l, 1, &f));
  for (int i = skipped; i < 3; i++) CHECK_OK(lur_loader_push(l, 1, &f));
  for (int i = skipped; i < 2; i++) {
    CHECK_OK(lur_loader_pop(l, b));
    lur_loaded_free(b);
  }
  lur_status status = lur_loader_pop(l, b); /* the third batch */
  lur_loader_release(l);
  return status;
}

static bool same(lur_tensor *a, lur_tensor *b) {
  return memcmp(lur_tensor_data(a), lur_tensor_data(b), lur_tensor_bytes(a)) == 0;
}

static void test_rows(int n, const lur_setting *settings, lur_preprocess preprocess, int channels) {
  static const int workers[] = {-1, 1, 2, 8};
  lur_augment *a = make(n, settings);
  lur_loaded first, b;
  if (!CHECK_OK(load(a, -1, 0, &first, preprocess, channels))) return;
  const float *v = lur_tensor_data(first.fields[0].images);
  size_t row = 33 * 47 * (size_t)(channels ? channels : 3);
  CHECK(memcmp(v, v + 4 * row, row * sizeof *v) != 0); /* the same image drawn twice is augmented twice */
  int wild = 0;
  for (size_t i = 0; i < 8 * row; i++) wild += !(v[i] >= -130 && v[i] <= 256);
  CHECK(wild == 0);
  for (int i = 0; i < 4; i++)
    for (int skipped = 0; skipped < 3; skipped++) {
      CHECK_OK(load(a, workers[i], skipped, &b, preprocess, channels));
      CHECK(same(first.fields[0].images, b.fields[0].images));
      CHECK(!b.fields[0].targets == !first.fields[0].targets &&
            (!b.fields[0].targets || same(b.fields[0].targets, first.fields[0].targets)));
      lur_loaded_free(&b);
    }
  lur_loaded_free(&first);
  lur_augment_release(a);
}

/* With flips only, a row is exactly the resized image, or its mirror image. */
static void test_flip_only(void) {
  lur_augment *a = make(1, (lur_setting[]){yes("hflip")});
  lur_loaded plain, flipped;
  CHECK_OK(load(NULL, 1, 0, &plain, LUR_PREPROCESS_TF, 3));
  CHECK_OK(load(a, 1, 0, &flipped, LUR_PREPROCESS_TF, 3));
  const float *p = lur_tensor_data(plain.fields[0].images), *f = lur_tensor_data(flipped.fields[0].images);
  int mirrored = 0, equal = 0;
  for (int i = 0; i < 8; i++, p += 33 * 47 * 3, f += 33 * 47 * 3) {
    int m = 0, e = 0;
    for (int y = 0; y < 33; y++)
      for (int x = 0; x < 47; x++) {
        m += memcmp(p + 3 * (y * 47 + x), f + 3 * (y * 47 + 46 - x), 12) == 0;
        e += memcmp(p + 3 * (y * 47 + x), f + 3 * (y * 47 + x), 12) == 0;
      }
    mirrored += m == 33 * 47;
    equal += e == 33 * 47;
  }
  CHECK(mirrored + equal == 8 && mirrored > 0 && equal > 0);
  lur_loaded_free(&flipped);
  lur_augment_release(a);

  a = make(1, (lur_setting[]){yes("mirror")}); /* all of them */
  CHECK_OK(load(a, 1, 0, &flipped, LUR_PREPROCESS_TF, 3));
  p = lur_tensor_data(plain.fields[0].images), f = lur_tensor_data(flipped.fields[0].images);
  int differ = 0;
  for (int i = 0; i < 8 * 33; i++)
    for (int x = 0; x < 47; x++) differ += memcmp(p + 3 * (i * 47 + x), f + 3 * (i * 47 + 46 - x), 12) != 0;
  CHECK(differ == 0);
  lur_loaded_free(&plain);
  lur_loaded_free(&flipped);
  lur_augment_release(a);
}

static void test_loader_rows(void) {
  char name[64];
  make_folder("set");
  for (int i = 0; i < 6; i++) {
    snprintf(name, sizeof name, "set/%c", 'a' + i);
    make_folder(name);
    snprintf(name, sizeof name, "set/%c/%d.%s", 'a' + i, i, i % 2 ? "jpg" : "png");
    save_image(context, name, i == 5 ? 1 : 40 + 60 * i, i == 4 ? 400 : 50 + 10 * i, i);
  }
  CHECK_OK(lur_dataset_folder(in_folder("set"), NULL, &set));
  lur_setting all[] = {real("rotate", 40),       real("shear", 10), real("zoom", 0.3),
                       real("width_shift", 0.2), yes("hflip"),      yes("vflip")};
  test_rows(6, all, LUR_PREPROCESS_TF, 3);
  test_rows(6, all, LUR_PREPROCESS_CAFFE, 3);
  test_rows(6, all, LUR_PREPROCESS_TORCH, 3);
  test_rows(6, all, LUR_PREPROCESS_RESCALE, 1);
  test_rows(2, (lur_setting[]){real("rotate", 20), text("era", "2017")}, LUR_PREPROCESS_TF, 3);
  test_rows(3, (lur_setting[]){real("rotate", 20), text("fill", "wrap"), real("channel_shift", 30)},
            LUR_PREPROCESS_NONE, 3);
  test_rows(5,
            (lur_setting[]){real("crop", 0.1), real("brightness", 0.4), real("contrast", 0.4), real("saturation", 0.4),
                            real("hue", 0.1)},
            LUR_PREPROCESS_NONE, 3);
  test_rows(3, (lur_setting[]){real("erase", 0.9), yes("erase_noise"), yes("trivial")}, LUR_PREPROCESS_TF, 3);
  test_rows(3, (lur_setting[]){real("zoom", 0.1), real("mixup", 0.4), real("cutmix", 1)}, LUR_PREPROCESS_TF, 3);
  test_flip_only();
  lur_dataset_release(set);
}

/* A loader with NumPy's stream: skipping a batch draws the same numbers as loading it. */
static void test_numpy_loader(void) {
  lur_augment *a = make(2, (lur_setting[]){real("rotate", 30), real("zoom", 0.2)});
  lur_tensor *kept[2] = {NULL, NULL};
  CHECK_OK(lur_dataset_folder(in_folder("set"), NULL, &set));
  for (int skip = 0; skip < 2; skip++) {
    lur_numpy_random *r = NULL;
    lur_loader *l = NULL;
    lur_loaded b;
    CHECK_OK(lur_numpy_random_new(11, &r));
    lur_loader_options o = {.height = 20, .width = 20, .workers = 2, .augment = a, .random = r};
    CHECK_OK(lur_loader_new(context, set, &o, &l));
    CHECK_OK(lur_loader_begin(l, 0));
    lur_load_field f = {"image", 3, (int64_t[]){0, 2, 2}};
    if (skip) CHECK_OK(lur_loader_skip(l, 1, &f));
    else CHECK_OK(lur_loader_push(l, 1, &f));
    CHECK_OK(lur_loader_push(l, 1, &f));
    for (int i = skip; i < 2; i++) {
      CHECK_OK(lur_loader_pop(l, &b));
      if (i == 1) {
        kept[skip] = b.fields[0].images;
        lur_tensor_retain(kept[skip]);
      }
      lur_loaded_free(&b);
    }
    lur_loader_release(l);
    lur_numpy_random_release(r);
  }
  CHECK(same(kept[0], kept[1]));
  lur_tensor_release(kept[0]);
  lur_tensor_release(kept[1]);
  lur_augment_release(a);
  lur_dataset_release(set);
}

int main(void) {
  CHECK_OK(lur_context_new(1, 1, &context));
  folder_begin();
  test_matrix();
  test_sampling();
  test_loops_agree(LUR_FILL_NEAREST);
  test_loops_agree(LUR_FILL_CONSTANT);
  test_loops_agree(LUR_FILL_REFLECT);
  test_thin_images();
  test_numpy();
  test_draw_order();
  test_options();
  test_colour();
  test_mix("mixup");
  test_mix("cutmix");
  test_loader_rows();
  test_numpy_loader();
  folder_end();
  lur_context_release(context);
  return check_report("augment");
}
