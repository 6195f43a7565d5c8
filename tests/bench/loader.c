/* loader.c - the rate at which the loader makes batches, beside libjpeg-turbo's bare decode of the same files. Not a
 * test; tests/bench/loader.lua runs it, and measures more.
 *
 *   bench_loader FOLDER [SECONDS]     (FOLDER: class folders, or a folder of images)
 *
 * The parts take turns; a ratio is taken within a turn, and its median and spread over the turns are printed, because
 * the machine may have other load. For the same reason each rate is printed by the clock and by processor time, which
 * other load disturbs less. "full" is decode, rotation, shear, zoom, shifts, flip and normalisation to 299x299 f32. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jpeglib.h>

#include "engine/lurcher.h"

enum { SIDE = 299, BATCH = 16, WARM = 8, TURNS = 9, PARTS = 4 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Processor time of all threads so far. */
static double cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct rate { /* images per second, and per CPU second */
  double wall, cpu;
} rate;

static void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, lur_last_error());
  exit(1);
}

/* ---- bare decode: file to RGB, nothing else ---- */

static void decode_bare(const char *path, unsigned char **pixels, size_t *room) {
  struct jpeg_decompress_struct info;
  struct jpeg_error_mgr errors;
  FILE *f = fopen(path, "rb");
  if (!f) die(path);
  info.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&info);
  jpeg_stdio_src(&info, f);
  jpeg_read_header(&info, TRUE);
  info.out_color_space = JCS_RGB;
  jpeg_start_decompress(&info);
  size_t stride = 3 * (size_t)info.output_width;
  if (stride * info.output_height > *room) *pixels = realloc(*pixels, *room = stride * info.output_height);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = *pixels + stride * info.output_scanline;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  jpeg_destroy_decompress(&info);
  fclose(f);
}

static rate bare_rate(lur_dataset *set, double seconds) {
  unsigned char *pixels = NULL;
  size_t room = 0;
  int64_t n = 0;
  double start = now(), used = cpu();
  while (now() - start < seconds)
    for (int i = 0; i < BATCH; i++, n++) decode_bare(lur_dataset_path(set, n % lur_dataset_size(set)), &pixels, &room);
  rate r = {(double)n / (now() - start), (double)n / (cpu() - used)};
  free(pixels);
  return r;
}

/* ---- the loader ---- */

static rate loader_rate(lur_context *context, lur_dataset *set, lur_augment *augment, int workers, double seconds) {
  lur_loader_options o = {.height = SIDE, .width = SIDE, .augment = augment, .workers = workers, .seed = 1};
  lur_loader *l;
  if (lur_loader_new(context, set, &o, &l) != LUR_OK || lur_loader_begin(l, 0) != LUR_OK) die("loader");
  int64_t at = 0, n = 0;
  double start = 0, used = 0;
  for (int64_t batches = 0; batches <= WARM || now() - start < seconds;
       batches++) { /* the first WARM touch fresh memory */
    while (lur_loader_room(l)) {
      int64_t indices[BATCH];
      for (int i = 0; i < BATCH; i++) indices[i] = at++ % lur_dataset_size(set);
      lur_load_field field = {"image", BATCH, indices};
      if (lur_loader_push(l, 1, &field) != LUR_OK) die("push");
    }
    lur_loaded b;
    if (lur_loader_pop(l, &b) != LUR_OK) die("pop");
    lur_loaded_free(&b);
    if (batches == WARM) start = now(), used = cpu();
    if (batches > WARM) n += BATCH;
  }
  rate r = {(double)n / (now() - start), (double)n / (cpu() - used)};
  lur_loader_release(l);
  return r;
}

static lur_augment *full_augment(void) {
  lur_setting s[] = {
      {.name = "rotate", .type = LUR_REAL, .real = 45},        {.name = "shear", .type = LUR_REAL, .real = 10},
      {.name = "zoom", .type = LUR_REAL, .real = 0.2},         {.name = "width_shift", .type = LUR_REAL, .real = 0.1},
      {.name = "height_shift", .type = LUR_REAL, .real = 0.1}, {.name = "hflip", .type = LUR_BOOL, .boolean = true}};
  lur_augment *augment;
  if (lur_augment_new(s, (int)(sizeof s / sizeof *s), &augment) != LUR_OK) die("augment");
  return augment;
}

/* ---- medians ---- */

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *v) {
  qsort(v, TURNS, sizeof *v, ascending);
  return v[TURNS / 2];
}

/* Median and spread of part's rate over base's, turn by turn. */
static void print_ratio(const rate r[TURNS][PARTS], int part, int base, bool by_cpu) {
  double v[TURNS];
  for (int t = 0; t < TURNS; t++) v[t] = by_cpu ? r[t][part].cpu / r[t][base].cpu : r[t][part].wall / r[t][base].wall;
  double middle = median(v);
  printf("   %5.2f (%.2f to %.2f)", middle, v[0], v[TURNS - 1]);
}

static void print_part(const rate r[TURNS][PARTS], int part, const char *name, int base) {
  double wall[TURNS], used[TURNS];
  for (int t = 0; t < TURNS; t++) wall[t] = r[t][part].wall, used[t] = r[t][part].cpu;
  printf("%-38s %8.1f %8.1f", name, median(wall), median(used));
  if (base >= 0) {
    print_ratio(r, part, base, false);
    print_ratio(r, part, base, true);
  }
  printf("\n");
}

static lur_dataset *open_set(const char *folder) {
  lur_dataset *set;
  if (lur_dataset_folder(folder, NULL, &set) != LUR_OK && lur_dataset_flat(folder, NULL, NULL, &set) != LUR_OK)
    die(folder);
  return set;
}

int main(int argc, char **argv) {
  lur_context *context;
  if (argc < 2) return fprintf(stderr, "usage: bench_loader FOLDER [SECONDS]\n"), 2;
  double seconds = argc > 2 ? atof(argv[2]) : 0.5;
  static rate r[TURNS][PARTS];
  if (lur_context_new(1, 1, &context) != LUR_OK) die("context");
  lur_dataset *set = open_set(argv[1]);
  lur_augment *augment = full_augment();
  bare_rate(set, seconds); /* warms the page cache and the processor's clock */
  for (int turn = 0; turn < TURNS; turn++) {
    r[turn][0] = bare_rate(set, seconds);
    r[turn][1] = loader_rate(context, set, augment, 1, seconds);
    r[turn][2] = loader_rate(context, set, augment, 2, seconds);
    r[turn][3] = loader_rate(context, set, NULL, 1, seconds);
  }
  printf("%lld images, %d turns of %g s             images/s: clock  CPU s   ratio by clock        by CPU time\n",
         (long long)lur_dataset_size(set), TURNS, seconds);
  print_part(r, 0, "bare decode, one thread", -1);
  print_part(r, 1, "full, one worker / bare decode", 0);
  print_part(r, 2, "full, two workers / one worker", 1);
  print_part(r, 3, "resize only, one worker / bare decode", 0);
  lur_augment_release(augment);
  lur_dataset_release(set);
  lur_context_release(context);
  return 0;
}
