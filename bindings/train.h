/* train.h - what compile.c and train.c share. */
#ifndef LUR_TRAIN_H
#define LUR_TRAIN_H

#include "args.h"

/* Whether the compile options at index give this output a categorical loss: its targets may be ids. */
bool lur_compiled_categorical(lua_State *L, int options, const lur_model *model, const char *output);
/* run:recompile */
int lur_run_recompile_method(lua_State *L);

#endif
