/* algebra.h - arithmetic with nodes and numbers. */
#ifndef LUR_BINDINGS_ALGEBRA_H
#define LUR_BINDINGS_ALGEBRA_H

#include "layer.h"

/* The operators of nodes, as metamethods; NULL-terminated. */
extern const luaL_Reg lur_node_operators[];

/* If the arguments are two, a node and a number, and the kind is add, sub, mul, div or pow: pushes what the operator
   gives, and returns true. */
bool lur_push_arithmetic(lua_State *L, const char *kind);

#endif
