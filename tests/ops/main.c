/* main.c - test_ops [--compare] [--device NAME]... [KIND]...: runs the op suite, by default all kinds on all devices.
 *
 * --compare leaves out the finite differences of ref, which depend neither on the device nor on its threads.
 *
 * Devices: ref, cpu, and cuda:0 if one is present. With LURCHER_REQUIRE=cuda in the environment a missing GPU is a
 * failure, so that a test on a GPU machine cannot pass by skipping. Exit code: 0 if nothing failed, 1 if something did,
 * 2 for wrong arguments. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"

typedef struct kind {
  const char *name;
  void (*run)(suite *s);
} kind;

#define ROW(KIND, name) {#name, ops_##name},
static const kind kinds[] = {
    {"device", ops_device}, LUR_OP_KINDS(ROW) {"update", ops_update}, {"half", ops_half}, {"int8", ops_int8},
    {"nonfinite", ops_nonfinite}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static bool cuda_required(void) {
  const char *required = getenv("LURCHER_REQUIRE");
  return required && strstr(required, "cuda");
}

/* ref is always opened: the others are compared with it. */
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
  if (s->skipped) printf(", %d not supported", s->skipped);
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
      if (++i == argc || n == MAX_DEVICES - 1)
        return usage("--device needs a name, and may be given at most three times");
      names[n++] = argv[i];
      continue;
    }
    const kind *k = find(argv[i]);
    if (!k || nkinds == KINDS) return usage("unknown kind");
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
