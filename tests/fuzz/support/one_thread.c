/* one_thread.c - what the engine needs of OpenMP and of the cpu backend where it is fuzzed: one thread, and the
 * reference kernels under the name of cpu. */
#include <omp.h>

#include "kernels/backend.h"

int omp_get_num_procs(void) { return 1; }
int omp_get_max_threads(void) { return 1; }
int omp_get_thread_num(void) { return 0; }
int omp_get_num_threads(void) { return 1; }
int omp_in_parallel(void) { return 0; }
void omp_set_num_threads(int count) { (void)count; }

const lur_backend lur_cpu_backend = {.name = "cpu", .parent = &lur_ref_backend, .host_memory = true};
lur_status lur_cpu_check_environment(void) { return LUR_OK; }
