/* optimizer.h - what optimizer.c gives to compile.c. */
#ifndef LUR_BINDINGS_OPTIMIZER_H
#define LUR_BINDINGS_OPTIMIZER_H

#include "args.h"

/* Pushes a new optimizer. arg: stack index of its options; 0: the defaults. */
lur_optimizer *lur_push_optimizer(lua_State *L, const char *kind, int arg);

#endif
