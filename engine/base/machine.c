/* machine.c - what the library was built with and what it found on this machine, for people. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/lurcher.h"
#include "kernels/backend.h"
#include "text.h"

/* The processor's name in /proc/cpuinfo; false where there is none. */
static bool processor_name(char *name, size_t capacity) {
  char line[256];
  bool found = false;
  FILE *file = fopen("/proc/cpuinfo", "re");
  if (file == NULL) return false;
  while (!found && fgets(line, sizeof line, file) != NULL) {
    const char *colon = strchr(line, ':');
    if (strncmp(line, "model name", strlen("model name")) != 0 || colon == NULL) continue;
    snprintf(name, capacity, "%s", colon + 1 + strspn(colon + 1, " "));
    name[strcspn(name, "\n")] = '\0';
    found = true;
  }
  fclose(file);
  return found;
}

/* "NAME=value" where the environment sets it. */
static void add_variable(lur_lines *text, const char *name) {
  const char *value = getenv(name);
  if (value != NULL) lur_lines_add(text, "%-12s %s=%s\n", "environment", name, value);
}

lur_status lur_describe_machine(char **text) {
  lur_lines lines = {0};
  char what[256];
  lur_lines_add(&lines, "%-12s %s\n", "Lurcher", lur_version());
#if defined(__clang__)
  lur_lines_add(&lines, "%-12s clang %s\n", "compiler", __clang_version__);
#elif defined(__GNUC__)
  lur_lines_add(&lines, "%-12s gcc %s\n", "compiler", __VERSION__);
#endif
  lur_dnn_version(what, sizeof what);
  lur_lines_add(&lines, "%-12s %s\n", "oneDNN", what);
  if (processor_name(what, sizeof what)) lur_lines_add(&lines, "%-12s %s\n", "processor", what);
  lur_cpu_found(what, sizeof what);
  lur_lines_add(&lines, "%-12s %s\n", "found", what);
  lur_cpu_used(what, sizeof what);
  lur_lines_add(&lines, "%-12s %s\n", "used", what);
  lur_lines_add(&lines, "%-12s %d processors for this process\n", "threads", omp_get_num_procs());
  static const char *const variables[] = {"LURCHER_THREADS",    "LURCHER_CPU_ISA", "DNNL_MAX_CPU_ISA",
                                          "ONEDNN_MAX_CPU_ISA", "OMP_NUM_THREADS", "OMP_WAIT_POLICY",
                                          "LURCHER_SYNC"};
  for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) add_variable(&lines, variables[i]);
  return lur_lines_take(&lines, text);
}
