/* omp.h - what the engine calls of OpenMP, for clang without its library: see one_thread.c. */
#ifndef LUR_FUZZ_OMP_H
#define LUR_FUZZ_OMP_H

int omp_get_num_procs(void);
int omp_get_max_threads(void);
int omp_get_thread_num(void);
int omp_get_num_threads(void);
int omp_in_parallel(void);
void omp_set_num_threads(int count);

#endif
