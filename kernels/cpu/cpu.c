/* cpu.c - the table of the cpu backend: ref with rows replaced by oneDNN and by our own vectorised loops.
 *
 * Memory, devices and every row that is not named here are ref's (kernels/backend.c asks the parent). A row lives
 * in the file of its op; to add one, write kernels/cpu/OP.c, declare its kernel in cpu.h and name it below. */
#include "kernels/backend.h"

const lur_backend lur_cpu_backend = {
    .name = "cpu",
    .parent = &lur_ref_backend,
    .host_memory = true,
};
