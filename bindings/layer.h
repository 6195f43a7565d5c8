/* layer.h - what layer.c gives to the rest of nn: layers and nodes as arguments and results. */
#ifndef LUR_BINDINGS_LAYER_H
#define LUR_BINDINGS_LAYER_H

#include "args.h"

enum { LUR_MOST_NODES = 64 }; /* inputs or outputs of one call */

/* Whether the argument is a node, or a table that begins with one. */
bool lur_args_are_nodes(lua_State *L, int index);
/* Nodes from the arguments first..top, or from the one table there; returns their number. who: "dense 'fc'". */
int lur_args_nodes(lua_State *L, int first, const char *who, lur_node **nodes, int capacity);

/* The same for the operands of a layer of that kind, where numbers may stand for constants if the kind takes them.
   These nodes are pushed: they live as long as they are on the stack. */
int lur_args_operands(lua_State *L, int first, const char *kind, lur_node **nodes, int capacity);

/* Push handles with a reference of their own. */
void lur_push_layer(lua_State *L, lur_layer *layer);
void lur_push_node(lua_State *L, lur_node *node);
/* Pushes a new layer. */
lur_layer *lur_push_new_layer(lua_State *L, const char *kind, const lur_setting *settings, int n);
/* Pushes the node of a new layer of that kind, applied to n nodes. */
void lur_push_applied(lua_State *L, const char *kind, const lur_setting *settings, int nsettings, int n,
                      lur_node *const *x);

/* Pushes a constant. */
lur_node *lur_push_constant(lua_State *L, double value);

/* Registers the classes of layers and nodes. node_meta: the operators of nodes. */
void lur_register_layer(lua_State *L, const luaL_Reg *node_meta);

#endif
