/* loader.c - how fast pictures become batches, against libjpeg-turbo's bare decode of the same files. Not a test.
 *
 *   bench_loader FOLDER [seconds]     (a folder of pictures, as data.flat takes it)
 * Every figure is pictures a second. The parts take turns, and the best turn of each counts: other work on the machine
 * slows all of them; the second column is a CPU second's worth, which other work slows less. "full" is decode + rotation, shear, zoom, shift, flip + normalisation to 299x299 f32. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <jpeglib.h>

#include "engine/lurcher.h"

enum { SIDE = 299, BATCH = 16, WARM = 8, TURNS = 7 };

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

typedef struct rate { /* pictures a second, and a CPU second */
  double wall, cpu;
} rate;

static void better(rate *best, rate now) {
  best->wall = fmax(best->wall, now.wall);
  best->cpu = fmax(best->cpu, now.cpu);
}

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
    for (int64_t i = 0; i < lur_dataset_size(set); i++, n++) decode_bare(lur_dataset_path(set, i), &pixels, &room);
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
  for (int64_t batches = 0; batches <= WARM || now() - start < seconds; batches++) { /* the first go into fresh memory */
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
  lur_setting s[] = {{.name = "rotate", .type = LUR_REAL, .real = 45}, {.name = "shear", .type = LUR_REAL, .real = 10},
                     {.name = "zoom", .type = LUR_REAL, .real = 0.2}, {.name = "width_shift", .type = LUR_REAL, .real = 0.1},
                     {.name = "height_shift", .type = LUR_REAL, .real = 0.1}, {.name = "hflip", .type = LUR_BOOL, .boolean = true}};
  lur_augment *augment;
  if (lur_augment_new(s, (int)(sizeof s / sizeof *s), &augment) != LUR_OK) die("augment");
  return augment;
}

int main(int argc, char **argv) {
  lur_context *context;
  lur_dataset *set;
  if (argc < 2) return fprintf(stderr, "usage: bench_loader FOLDER [seconds]\n"), 2;
  static const char *const names[] = {"bare decode, one thread", "full, one worker", "full, two workers", "resize only, one worker"};
  double seconds = argc > 2 ? atof(argv[2]) : 1;
  rate best[4] = {{0, 0}};
  if (lur_context_new(1, 1, &context) != LUR_OK || lur_dataset_flat(argv[1], NULL, NULL, &set) != LUR_OK) die(argv[1]);
  lur_augment *augment = full_augment();
  for (int turn = 0; turn < TURNS; turn++) {
    better(&best[0], bare_rate(set, seconds));
    better(&best[1], loader_rate(context, set, augment, 1, seconds));
    better(&best[2], loader_rate(context, set, augment, 2, seconds));
    better(&best[3], loader_rate(context, set, NULL, 1, seconds));
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf("%s: %lld pictures\n", argv[1], (long long)lur_dataset_size(set));
  for (int i = 0; i < 4; i++)
    printf("%-24s %8.1f a second, %.2f of bare decode; %8.1f a CPU second, %.2f\n", names[i], best[i].wall, best[i].wall / best[0].wall,
           best[i].cpu, best[i].cpu / best[0].cpu);
  printf("peak memory %.0f MB\n", (double)usage.ru_maxrss / 1024);
  lur_augment_release(augment);
  lur_dataset_release(set);
  lur_context_release(context);
  return 0;
}
