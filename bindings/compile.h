/* compile.h - what compile.c gives to models and runs. */
#ifndef LUR_COMPILE_H
#define LUR_COMPILE_H

#include "args.h"

/* model:compile{...} -> run */
int lur_model_compile_method(lua_State *L);
/* run:recompile{...} -> self */
int lur_run_recompile_method(lua_State *L);
/* nn.compile_options() */
int lur_compile_options_list(lua_State *L);

#endif
