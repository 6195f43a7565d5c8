/* modules.h - the functions that open the parts of the module `lurcher`, and what several parts share. Every lur_open_X
 * registers its classes and pushes its table. */
#ifndef LUR_MODULES_H
#define LUR_MODULES_H

#include "args.h"
#include "handle.h"

LUR_EXPORT_BEGIN
int luaopen_lurcher(lua_State *L);
LUR_EXPORT_END

int lur_open_nn(lua_State *L);    /* nn.c */
int lur_open_optim(lua_State *L); /* optimizer.c */
int lur_open_json(lua_State *L);  /* json.c */
int lur_open_data(lua_State *L);  /* data.c */
int lur_open_image(lua_State *L); /* image.c */

/* Add their functions to the lurcher table on top of the stack, and register their classes. */
void lur_add_tensor(lua_State *L);  /* tensor_new.c */
void lur_add_metrics(lua_State *L); /* metrics.c */
void lur_add_files(lua_State *L);   /* files.c */

void lur_add_help(lua_State *L);     /* help.c */
void lur_add_terminal(lua_State *L); /* terminal.c */
void lur_add_text(lua_State *L);     /* text.c */

/* text.c. Pushes the value at index as text: luaL_tolstring, but a number has a decimal point whatever the locale. */
const char *lur_push_text(lua_State *L, int index);
/* Pushes the string at index without what a terminal would obey: lur_visible. */
const char *lur_push_visible(lua_State *L, int index, bool lines);
/* A print for recipes: their lines hold names of files and classes, which must not reach a terminal as they are. */
int lur_print_visible(lua_State *L);

/* terminal.c. The width of the terminal on a file descriptor; where there is none, or it does not know, that of the
   environment variable COLUMNS, or 0. *terminal: whether the descriptor is a terminal. */
int lur_terminal_columns(int fd, bool *terminal);
/* From now on, what runs was typed at the prompt, or was not: lurcher.at_prompt(). */
void lur_set_prompt(lua_State *L, bool there);

/* tensor.c: registers the class. */
void lur_register_tensor(lua_State *L);

/* files.c: the tensors of the table at index, sorted by name; they stay the table's. Pushes the two arrays, returns
   their length. */
int lur_push_tensors(lua_State *L, int index, const char *owner, const char ***names, lur_tensor ***tensors);
/* tensor_print.c: pushes the text of a host or device tensor. */
void lur_push_tensor_text(lua_State *L, lur_tensor *tensor);

#endif
