/* gradients.h - methods of a run (gradients.c), for run.c, which registers them. */
#ifndef LUR_GRADIENTS_H
#define LUR_GRADIENTS_H

#include "args.h"

int lur_run_backward_method(lua_State *L);
int lur_run_step_method(lua_State *L);
int lur_run_zero_gradients_method(lua_State *L);
int lur_run_weights_method(lua_State *L);
int lur_run_gradient_method(lua_State *L);
int lur_run_gradients_method(lua_State *L);
int lur_run_gradient_norms_method(lua_State *L);
int lur_run_scale_method(lua_State *L);

#endif
