/* losses.h - what losses.c gives to compile.c. */
#ifndef LUR_LOSSES_H
#define LUR_LOSSES_H

#include "args.h"

/* Reads the options loss, weight, label_smoothing and target of the table at index, calls the functions among the
   losses, and replaces them in the table by the graphs that they built. What *o points at is left on the stack. */
void lur_args_losses(lua_State *L, int table, const lur_model *model, lur_compile_options *o);

#endif
