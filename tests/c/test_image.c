/* test_image.c - decoding, writing and resizing images: formats, damage, limits, orientation, equality with Pillow. */
#include <stdio.h>

#include <jpeglib.h>
#include <png.h>

#include "tests/c/images.h"

static lur_context *context;

static lur_tensor *tensor_of(int height, int width, const uint8_t *values) {
  lur_shape shape = {3, {height, width, 3}};
  lur_tensor *t = NULL;
  CHECK_OK(lur_tensor_new(context, NULL, LUR_U8, &shape, &t));
  memcpy(lur_tensor_data(t), values, lur_tensor_bytes(t));
  return t;
}

/* ---- resize ---- */

typedef struct golden { /* Pillow 12.3 (the same from 4.0 on) and 13.0, of the 6 x 5 image of test_resize */
  lur_resize_filter filter;
  int width, height;
  uint8_t values[96];
} golden;

static const golden resized[] = {
    {LUR_RESIZE_BILINEAR, 8, 3, {59,  88,  117, 75,  104, 133, 101, 123, 152, 146, 100, 129, 157, 111, 140,
                                 135, 157, 186, 153, 120, 149, 169, 88,  117, 176, 109, 138, 137, 112, 127,
                                 92,  119, 112, 136, 143, 96,  151, 158, 111, 136, 163, 156, 120, 149, 164,
                                 110, 139, 168, 136, 129, 158, 131, 139, 120, 125, 154, 78,  140, 169, 139,
                                 144, 173, 143, 136, 165, 89,  149, 117, 98,  160, 79,  108}},
    {LUR_RESIZE_NEAREST, 8, 3, {83,  112, 141, 83,  112, 141, 161, 190, 219, 239, 12,  41,  239, 12,  41,
                                61,  90,  119, 139, 168, 197, 139, 168, 197, 249, 22,  51,  249, 22,  51,
                                105, 134, 163, 217, 246, 19,  217, 246, 19,  73,  102, 131, 185, 214, 243,
                                185, 214, 243, 159, 188, 217, 159, 188, 217, 49,  78,  107, 195, 224, 253,
                                195, 224, 253, 85,  114, 143, 231, 4,   33,  231, 4,   33}},
    {LUR_RESIZE_BILINEAR, 3, 9, {26,  55,  84,  122, 151, 180, 218, 101, 130, 71,  100, 129, 152, 110, 139, 162, 118,
                                 147, 113, 142, 171, 168, 79,  108, 105, 134, 163, 100, 129, 158, 114, 119, 148, 104,
                                 133, 162, 142, 98,  127, 130, 159, 117, 120, 149, 178, 178, 85,  96,  156, 185, 77,
                                 136, 165, 176, 140, 145, 83,  139, 168, 78,  135, 164, 102, 122, 151, 125, 137, 166,
                                 138, 151, 107, 82,  112, 141, 170, 138, 167, 196, 168, 51,  80}},
    {LUR_RESIZE_BILINEAR, 2, 2, {115, 112, 133, 141, 128, 150, 135, 143, 114, 140, 149, 120}},
    {LUR_RESIZE_BILINEAR, 4, 2, {101, 106, 135, 125, 113, 129, 146, 134, 150, 140, 121, 150,
                                 143, 124, 129, 128, 157, 104, 143, 172, 118, 139, 120, 125}},
    {LUR_RESIZE_BILINEAR_13, 4, 2, {101, 106, 135, 124, 113, 129, 146, 135, 150, 141, 122, 151,
                                    142, 123, 128, 128, 157, 103, 143, 172, 119, 139, 120, 125}},
    {LUR_RESIZE_BILINEAR_13, 3, 9, {26,  55,  84,  122, 151, 180, 218, 101, 130, 71,  100, 129, 152, 110, 139, 162, 118,
                                    147, 113, 142, 171, 168, 79,  108, 105, 134, 163, 100, 129, 158, 114, 119, 148, 104,
                                    133, 162, 142, 98,  127, 130, 159, 117, 120, 149, 178, 178, 85,  96,  156, 185, 77,
                                    136, 165, 176, 140, 145, 83,  139, 168, 78,  135, 164, 102, 122, 151, 125, 137, 166,
                                    138, 151, 107, 82,  112, 141, 170, 138, 167, 196, 168, 51,  80}},
    {LUR_RESIZE_NEAREST, 2, 2, {161, 190, 219, 61, 90, 119, 205, 234, 7, 207, 236, 9}}};

static void test_resize(void) {
  uint8_t values[90], *p = values;
  for (int y = 0; y < 6; y++)
    for (int x = 0; x < 5; x++)
      for (int c = 0; c < 3; c++) *p++ = (uint8_t)(y * 83 + x * 61 + c * 29 + x * y * 17);
  lur_tensor *t = tensor_of(6, 5, values), *r = NULL;
  for (size_t i = 0; i < sizeof resized / sizeof *resized; i++) {
    const golden *g = &resized[i];
    if (!CHECK_OK(lur_image_resize(t, g->height, g->width, g->filter, &r))) continue;
    CHECK(memcmp(lur_tensor_data(r), g->values, lur_tensor_bytes(r)) == 0);
    lur_tensor_release(r);
  }
  CHECK_FAILS(lur_image_resize(t, 0, 4, LUR_RESIZE_BILINEAR, &r), LUR_EARG, "0x4");
  CHECK_OK(lur_image_crop(t, 1, 2, 3, 2, &r));
  CHECK(memcmp(lur_tensor_data(r), values + 15 + 6, 6) == 0);
  lur_tensor_release(r);
  CHECK_FAILS(lur_image_crop(t, 4, 0, 3, 2, &r), LUR_EARG, "exceeds the image of 6x5");
  lur_tensor_release(t);
}

/* ---- round trips ---- */

static void test_png(void) {
  lur_tensor *t = make_image(context, 17, 23, 5), *back = NULL;
  CHECK_OK(lur_image_save(in_folder("a.png"), t, 0));
  if (CHECK_OK(lur_image_load(context, in_folder("a.png"), NULL, &back))) {
    CHECK(lur_shape_equal(lur_tensor_shape(t), lur_tensor_shape(back)));
    CHECK(memcmp(lur_tensor_data(t), lur_tensor_data(back), lur_tensor_bytes(t)) == 0);
    lur_tensor_release(back);
  }
  CHECK_FAILS(lur_image_save(in_folder("a.bmp"), t, 0), LUR_EARG, ".png, .jpg or .jpeg expected");
  CHECK_FAILS(lur_image_save(in_folder("no/such.png"), t, 0), LUR_EIO, "such.png");
  lur_tensor_release(t);
}

static void test_jpeg(void) {
  lur_tensor *t = make_image(context, 64, 48, 2), *back = NULL;
  CHECK_OK(lur_image_save(in_folder("a.jpg"), t, 98));
  CHECK_OK(lur_image_load(context, in_folder("a.jpg"), NULL, &back));
  const uint8_t *a = lur_tensor_data(t), *b = lur_tensor_data(back);
  double sum = 0;
  for (size_t i = 0; i < lur_tensor_bytes(t); i++) sum += abs(a[i] - b[i]);
  CHECK(sum / (double)lur_tensor_bytes(t) < 16); /* 2x2 chroma subsampling on steep ramps */
  lur_tensor_release(t);
  lur_tensor_release(back);
}

/* ---- written with libjpeg directly: colour spaces, progressive, EXIF ---- */

typedef struct jpeg_file {
  int width, height, components;
  J_COLOR_SPACE space, stored; /* of the pixels; in the file, JCS_UNKNOWN: libjpeg's default */
  bool progressive;
  const uint8_t *exif; /* an APP1 segment, or NULL */
  unsigned exif_count;
} jpeg_file;

static void write_jpeg(const char *name, const jpeg_file *file, const uint8_t *pixels) {
  struct jpeg_compress_struct c;
  struct jpeg_error_mgr e;
  FILE *f = fopen(in_folder(name), "wb");
  c.err = jpeg_std_error(&e);
  jpeg_create_compress(&c);
  jpeg_stdio_dest(&c, f);
  c.image_width = (JDIMENSION)file->width;
  c.image_height = (JDIMENSION)file->height;
  c.input_components = file->components;
  c.in_color_space = file->space;
  jpeg_set_defaults(&c);
  if (file->stored != JCS_UNKNOWN) jpeg_set_colorspace(&c, file->stored);
  jpeg_set_quality(&c, 100, TRUE);
  if (file->progressive) jpeg_simple_progression(&c);
  jpeg_start_compress(&c, TRUE);
  if (file->exif) jpeg_write_marker(&c, JPEG_APP0 + 1, file->exif, file->exif_count);
  size_t stride = (size_t)file->width * (size_t)file->components;
  while (c.next_scanline < c.image_height) {
    JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (size_t)c.next_scanline * stride);
    jpeg_write_scanlines(&c, &row, 1);
  }
  jpeg_finish_compress(&c);
  jpeg_destroy_compress(&c);
  fclose(f);
}

static bool near_pixel(lur_tensor *t, int y, int x, int r, int g, int b) {
  const uint8_t *p = (const uint8_t *)lur_tensor_data(t) + (y * lur_tensor_shape(t)->dim[1] + x) * 3;
  return abs(p[0] - r) <= 4 && abs(p[1] - g) <= 4 && abs(p[2] - b) <= 4;
}

static void test_colour_spaces(void) {
  uint8_t cmyk[16 * 16 * 4], gray[16 * 16];
  for (int i = 0; i < 256; i++) {
    memcpy(cmyk + 4 * i, (uint8_t[]){200, 100, 50, 255}, 4); /* inverted, as Adobe writes: k = 0, so rgb = these */
    gray[i] = 77;
  }
  lur_tensor *t = NULL;
  write_jpeg("cmyk.jpg", &(jpeg_file){.width = 16, .height = 16, .components = 4, .space = JCS_CMYK}, cmyk);
  CHECK_OK(lur_image_load(context, in_folder("cmyk.jpg"), NULL, &t));
  CHECK(near_pixel(t, 3, 3, 200, 100, 50));
  lur_tensor_release(t);
  /* YCCK, as Adobe's programs write it: libjpeg decodes it to inverted CMYK */
  jpeg_file ycck = {.width = 16, .height = 16, .components = 4, .space = JCS_CMYK, .stored = JCS_YCCK};
  write_jpeg("ycck.jpg", &ycck, cmyk);
  CHECK_OK(lur_image_load(context, in_folder("ycck.jpg"), NULL, &t));
  CHECK(near_pixel(t, 9, 1, 200, 100, 50));
  lur_tensor_release(t);
  write_jpeg("gray.jpg", &(jpeg_file){.width = 16, .height = 16, .components = 1, .space = JCS_GRAYSCALE}, gray);
  CHECK_OK(lur_image_load(context, in_folder("gray.jpg"), NULL, &t));
  CHECK(near_pixel(t, 8, 2, 77, 77, 77));
  lur_tensor_release(t);
}

/* A 32 x 16 image, red on the left, blue on the right. */
static void two_halves(uint8_t *rgb) {
  for (int y = 0; y < 16; y++)
    for (int x = 0; x < 32; x++)
      memcpy(rgb + 3 * (y * 32 + x), x < 16 ? (uint8_t[]){255, 0, 0} : (uint8_t[]){0, 0, 255}, 3);
}

static void test_exif(void) {
  uint8_t rgb[32 * 16 * 3];
  two_halves(rgb);
  uint8_t exif[] = {'E',  'x',  'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0,
                    0x12, 0x01, 3,   0,   1, 0, 0,   0,   6,  0, 0, 0, 0, 0, 0, 0};
  lur_tensor *t = NULL;
  jpeg_file file = {.width = 32,
                    .height = 16,
                    .components = 3,
                    .space = JCS_RGB,
                    .progressive = true,
                    .exif = exif,
                    .exif_count = sizeof exif};
  write_jpeg("rotated.jpg", &file, rgb);
  CHECK_OK(lur_image_load(context, in_folder("rotated.jpg"), NULL, &t));
  CHECK(lur_tensor_shape(t)->dim[0] == 16 && near_pixel(t, 8, 2, 255, 0, 0));
  lur_tensor_release(t);
  lur_decode_options options = {.exif = true};
  CHECK_OK(lur_image_load(context, in_folder("rotated.jpg"), &options, &t)); /* 6: rotate clockwise, left becomes top */
  CHECK(lur_tensor_shape(t)->dim[0] == 32 && lur_tensor_shape(t)->dim[1] == 16);
  CHECK(near_pixel(t, 2, 8, 255, 0, 0) && near_pixel(t, 30, 8, 0, 0, 255));
  lur_tensor_release(t);
  exif[10] = 0xF0; /* a directory offset beyond the segment must not be followed */
  exif[11] = 0xFF;
  file.progressive = false;
  write_jpeg("bad_exif.jpg", &file, rgb);
  CHECK_OK(lur_image_load(context, in_folder("bad_exif.jpg"), &options, &t));
  CHECK(lur_tensor_shape(t)->dim[0] == 16);
  lur_tensor_release(t);
}

/* A TIFF structure whose directory has one entry, the orientation, as a number of a type. Returns its length. */
static unsigned orientation_tiff(uint8_t *out, bool little, int type, unsigned count, unsigned value) {
  uint8_t *p = out;
  int width = type == 1 || type == 6 ? 1 : type == 3 || type == 8 ? 2 : 4;
  unsigned numbers[][2] = {{2, 42}, {4, 8}, {2, 1}, {2, 0x0112}, {2, (unsigned)type}, {4, count}, {(unsigned)width, value}};
  memcpy(p, little ? "II" : "MM", 2);
  p += 2;
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    for (unsigned k = 0; k < numbers[i][0]; k++)
      *p++ = (uint8_t)(numbers[i][1] >> 8 * (little ? k : numbers[i][0] - 1 - k));
  memset(p, 0, 8 - (size_t)width);
  return (unsigned)(p + 8 - width - out);
}

/* A PNG of 32 x 16, left half red, with an eXIf chunk before or behind its pixels. */
static void write_exif_png(const char *name, uint8_t *exif, unsigned count, bool behind) {
  uint8_t rgb[32 * 16 * 3];
  two_halves(rgb);
  FILE *out = fopen(in_folder(name), "wb");
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
  png_infop info = png_create_info_struct(png);
  png_init_io(png, out);
  png_set_IHDR(png, info, 32, 16, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  if (!behind) png_write_chunk(png, (png_const_bytep) "eXIf", exif, count);
  for (int y = 0; y < 16; y++) png_write_row(png, rgb + y * 32 * 3);
  if (behind) png_write_chunk(png, (png_const_bytep) "eXIf", exif, count);
  png_write_end(png, NULL);
  png_destroy_write_struct(&png, &info);
  fclose(out);
}

static void expect_rows(const char *name, int64_t rows) {
  lur_tensor *t = NULL;
  lur_decode_options options = {.exif = true};
  if (!CHECK_OK(lur_image_load(context, in_folder(name), &options, &t))) return;
  CHECK(lur_tensor_shape(t)->dim[0] == rows);
  if (rows == 32) CHECK(near_pixel(t, 2, 8, 255, 0, 0) && near_pixel(t, 30, 8, 0, 0, 255));
  lur_tensor_release(t);
  CHECK_OK(lur_image_load(context, in_folder(name), NULL, &t));
  CHECK(lur_tensor_shape(t)->dim[0] == 16);
  lur_tensor_release(t);
}

/* Orientation 6 as a number of every type, in both byte orders, in a JPEG and in a PNG before and behind the pixels. */
static void test_exif_kinds(void) {
  static const struct {
    int type;
    unsigned count, value;
    int64_t rows;
  } cases[] = {{1, 1, 6, 32}, {3, 1, 6, 32}, {4, 1, 6, 32}, {6, 1, 6, 32}, {8, 1, 6, 32}, {9, 1, 6, 32},
               {2, 1, 6, 16}, {5, 1, 6, 16}, {3, 2, 6, 16}, {4, 1, 9, 16}, {4, 1, 0x10006, 16}, {3, 1, 0, 16}};
  uint8_t rgb[32 * 16 * 3];
  two_halves(rgb);
  for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
    uint8_t exif[64] = "Exif\0";
    unsigned n = orientation_tiff(exif + 6, i % 2 == 0, cases[i / 2].type, cases[i / 2].count, cases[i / 2].value);
    jpeg_file file = {.width = 32, .height = 16, .components = 3, .space = JCS_RGB, .exif = exif, .exif_count = n + 6};
    write_jpeg("kind.jpg", &file, rgb);
    expect_rows("kind.jpg", cases[i / 2].rows);
    for (int behind = 0; behind < 2; behind++) {
      write_exif_png("kind.png", exif + 6, n, behind);
      expect_rows("kind.png", cases[i / 2].rows);
    }
  }
  uint8_t cut[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 9, 0, 0x12}; /* a directory that ends within its first entry */
  write_exif_png("cut.png", cut, sizeof cut, false);
  expect_rows("cut.png", 16);
}

/* ---- damage ---- */

static void expect_damage(const char *name, const unsigned char *bytes, size_t count, const char *message) {
  lur_tensor *t = NULL;
  write_file(in_folder(name), bytes, count);
  CHECK_FAILS(lur_image_load(context, in_folder(name), NULL, &t), LUR_EFORMAT, message);
}

static void test_truncation(const char *source, const char *name) {
  size_t count;
  unsigned char *bytes = read_file(in_folder(source), &count);
  for (int percent = 5; percent < 100; percent += 5) expect_damage(name, bytes, count * (size_t)percent / 100, name);
  expect_damage(name, bytes, count - 1, name);
  free(bytes);
}

static void test_damage(void) {
  size_t count;
  lur_tensor *t = NULL;
  save_image(context, "whole.jpg", 60, 80, 1);
  save_image(context, "whole.png", 60, 80, 1);
  test_truncation("whole.jpg", "cut.jpg");
  test_truncation("whole.png", "cut.png");
  expect_damage("empty.jpg", (const unsigned char *)"", 0, "empty file");
  expect_damage("text.jpg", (const unsigned char *)"hello, dogs", 11, "neither JPEG nor PNG");
  CHECK_FAILS(lur_image_load(context, in_folder("absent.jpg"), NULL, &t), LUR_EIO, "cannot open");
  CHECK_FAILS(lur_image_load(context, test_folder, NULL, &t), LUR_EIO, "is a folder");
  unsigned char *bytes = read_file(in_folder("whole.jpg"), &count);
  for (size_t i = 0; i < count; i += 7) { /* success or failure, but no crash */
    bytes[i] ^= 0x5A;
    if (lur_image_decode(context, bytes, count, NULL, &t) == LUR_OK) lur_tensor_release(t);
    bytes[i] ^= 0x5A;
  }
  free(bytes);
  bytes = read_file(in_folder("whole.png"), &count);
  for (size_t i = 0; i < count; i += 7) {
    bytes[i] ^= 0x5A;
    if (lur_image_decode(context, bytes, count, NULL, &t) == LUR_OK) lur_tensor_release(t);
    bytes[i] ^= 0x5A;
  }
  free(bytes);
}

/* A JPEG header of 65500 x 65500 pixels is rejected before memory is allocated. */
static void test_too_large(void) {
  size_t count, i = 0;
  lur_tensor *t = NULL;
  unsigned char *bytes = read_file(in_folder("whole.jpg"), &count);
  while (i + 9 < count && !(bytes[i] == 0xFF && bytes[i + 1] == 0xC0)) i++;
  memcpy(bytes + i + 5, "\xFF\xDC\xFF\xDC", 4);
  expect_damage("too_large.jpg", bytes, count, "is more than the 100000000 pixels allowed");
  free(bytes);
  lur_decode_options options = {.max_pixels = 4799};
  CHECK_FAILS(lur_image_load(context, in_folder("whole.png"), &options, &t), LUR_EFORMAT,
              "80x60 is more than the 4799 pixels allowed");
}

int main(void) {
  CHECK_OK(lur_context_new(1, 1, &context));
  folder_begin();
  test_resize();
  test_png();
  test_jpeg();
  test_colour_spaces();
  test_exif();
  test_exif_kinds();
  test_damage();
  test_too_large();
  folder_end();
  lur_context_release(context);
  return check_report("image");
}
