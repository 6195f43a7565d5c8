/* main.c - test_ops [--compare] [--device NAME]... [KIND]...: runs the op suite, all kinds and devices by default.
 *
 * --compare leaves out the finite differences of ref, which do not change with the device or its threads.
 *
 * Devices: ref and cpu, and cuda:0 where one is present. LURCHER_REQUIRE=cuda in the environment makes a missing one a
 * failure, so that a GPU run cannot pass empty. Exit code 0 when nothing failed, 1 when something did, 2 for a wrong
 * call. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"

typedef struct kind {
  const char *name;
  void (*run)(suite *s);
} kind;

static const kind kinds[] = {
    {"device", ops_device},       {"conv2d", ops_conv2d},       {"depthwise_conv2d", ops_depthwise_conv2d},
    {"separable_conv2d", ops_separable_conv2d},
    {"dense", ops_dense},         {"batchnorm", ops_batchnorm}, {"activation", ops_activation},
    {"softmax", ops_softmax},     {"pool", ops_pool},           {"global_pool", ops_global_pool},
    {"binary", ops_binary},       {"affine", ops_affine},       {"concat", ops_concat},
    {"gather", ops_gather},       {"dropout", ops_dropout},     {"copy", ops_copy},
    {"normalize", ops_normalize}, {"reduce", ops_reduce},       {"loss", ops_loss},
    {"update", ops_update},     {"half", ops_half},
    {"int8", ops_int8}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static bool cuda_required(void) {
  const char *required = getenv("LURCHER_REQUIRE");
  return required && strstr(required, "cuda");
}

/* ref always: it is what the others are held against. */
static bool open_devices(suite *s, int n, const char *const *names) {
  static const char *const usual[] = {"cpu", "cuda"};
  if (lur_device_open("ref", &s->devices[s->ndevices++]) != LUR_OK) return false;
  for (int i = 0; i < (n ? n : 2); i++) {
    const char *name = n ? names[i] : usual[i];
    if (strcmp(name, "ref") == 0) continue;
    if (lur_device_open(name, &s->devices[s->ndevices]) == LUR_OK) {
      s->ndevices++;
    } else if (n || strcmp(name, "cuda") != 0 || cuda_required()) {
      fprintf(stderr, "test_ops: cannot open '%s': %s\n", name, lur_last_error());
      return false;
    } else {
      printf("skip cuda: %s\n", lur_last_error());
    }
  }
  return true;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool run_kind(suite *s, const kind *k) {
  double start = now();
  s->cases = s->checks = s->failed = s->skipped = 0;
  k->run(s);
  printf("%s %s: %d cases on", s->failed ? "FAIL" : "ok  ", k->name, s->cases);
  for (int i = 0; i < s->ndevices; i++) printf(" %s", s->devices[i]->name);
  printf(", %d checks, %d failed", s->checks, s->failed);
  if (s->skipped) printf(", %d not served", s->skipped);
  printf(" (%.2f s)\n", now() - start);
  fflush(stdout);
  return s->failed == 0;
}

static const kind *find(const char *name) {
  for (int i = 0; i < KINDS; i++)
    if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
  return NULL;
}

static int usage(const char *what) {
  fprintf(stderr, "test_ops: %s\nusage: test_ops [--compare] [--device NAME]... [KIND]...\nkinds:", what);
  for (int i = 0; i < KINDS; i++) fprintf(stderr, " %s", kinds[i].name);
  fprintf(stderr, "\n");
  return 2;
}

int main(int argc, char **argv) {
  suite s = {0};
  const char *names[MAX_DEVICES - 1];
  const kind *chosen[KINDS];
  int n = 0, nkinds = 0;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--compare") == 0) {
      s.compare_only = true;
      continue;
    }
    if (strcmp(argv[i], "--device") == 0) {
      if (++i == argc || n == MAX_DEVICES - 1) return usage("--device wants a name, three times at most");
      names[n++] = argv[i];
      continue;
    }
    const kind *k = find(argv[i]);
    if (!k || nkinds == KINDS) return usage("no such kind");
    chosen[nkinds++] = k;
  }
  bool opened = open_devices(&s, n, names), ok = opened;
  lur_denormals_off();
  if (nkinds == 0)
    while (nkinds < KINDS) chosen[nkinds] = &kinds[nkinds], nkinds++;
  for (int i = 0; opened && i < nkinds; i++) ok = run_kind(&s, chosen[i]) && ok;
  for (int i = 0; i < s.ndevices; i++) lur_device_close(s.devices[i]);
  return ok ? 0 : 1;
}
