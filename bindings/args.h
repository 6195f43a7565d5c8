/* args.h - Lua values into engine values: options, shapes, indices, devices, tensors.
 *
 * The one place where Lua's indices (from 1) become the engine's (from 0) and back. The rule: tables count from 1,
 * tensors hold ids from 0. Nothing here knows what an option means. */
#ifndef LUR_ARGS_H
#define LUR_ARGS_H

#include <stdint.h>

#include "classes.h"
#include "handle.h"

/* ---- options in a table: f{ 64, stride = 2 } ----
   Errors read "bad option 'stride' to 'conv2d' (number expected, got string)". */

enum { LUR_MAX_SETTINGS = 40 };
/* Options for the engine to check: the table at arg; or one number, string or boolean, which stands for the first
   option; or nothing. Strings belong to the table. Returns their number. */
int lur_args_settings(lua_State *L, int arg, const char *owner, lur_setting settings[LUR_MAX_SETTINGS]);

/* Options that the bindings themselves read, declared as the engine declares its own: one row drives reading, range
   check, "did you mean" and the description that Lua sees. Rows end with one without a name. */
typedef struct lur_arg_option {
  lur_option_info info;
  size_t offset;    /* of the field: bool, int64_t, or int (position in info.choices) */
  int64_t min, max; /* of an integer */
} lur_arg_option;
/* Rows. fields: the struct that is filled; field: the option's name, too. An option that LUR_ARG declares is of a type
   of its own, and its owner reads it. */
#define LUR_ARG_BY_OWNER SIZE_MAX
#define LUR_ARG(name, type, def, help)                                                                                 \
  { .info = {name, type, def, help, NULL}, .offset = LUR_ARG_BY_OWNER }
#define LUR_ARG_BOOLEAN(fields, field, def, help)                                                                      \
  { .info = {#field, "boolean", def, help, NULL}, .offset = offsetof(fields, field) }
#define LUR_ARG_INTEGER(fields, field, def, least, most, help)                                                         \
  { .info = {#field, "integer", def, help, NULL}, .offset = offsetof(fields, field), .min = least, .max = most }
#define LUR_ARG_CHOICE(fields, field, choices, def, help)                                                              \
  { .info = {#field, "choice", def, help, choices}, .offset = offsetof(fields, field) }
/* Reads the table at arg into a struct of the owner's: defaults where it or an option is absent. Returns whether there
   is a table; raises for another value and for an unknown key. */
bool lur_args_declared(lua_State *L, int arg, const char *owner, const lur_arg_option *rows, void *options);
/* Pushes the rows as lur_push_option_info does. */
void lur_push_declared(lua_State *L, const lur_arg_option *rows);

/* The same by hand, for functions of one to three options. arg must be a table, or absent (then false is returned and
   every reader below returns its default). known: NULL-terminated; any other string key raises, with the nearest. */
bool lur_args_options(lua_State *L, int arg, const char *owner, const char *const *known);
/* Raises "bad option 'name' to 'owner' (why)". */
int lur_args_bad(lua_State *L, const char *owner, const char *name, const char *format, ...);
/* Each leaves the stack as it was. arg is absolute; a missing option returns def. */
bool lur_args_bool(lua_State *L, int arg, const char *owner, const char *name, bool def);
int64_t lur_args_int(lua_State *L, int arg, const char *owner, const char *name, int64_t def, int64_t min, int64_t max);
double lur_args_real(lua_State *L, int arg, const char *owner, const char *name, double def);
/* The string belongs to the table. */
const char *lur_args_text(lua_State *L, int arg, const char *owner, const char *name, const char *def);
/* Position in choices (NULL-terminated). */
int lur_args_choice(lua_State *L, int arg, const char *owner, const char *name, const char *const *choices, int def);
/* The list at table[name]: pushes it and returns its length; -1 and nothing pushed when absent. */
int64_t lur_args_list(lua_State *L, int arg, const char *owner, const char *name);

/* ---- plain arguments ---- */

/* Extents from the arguments first..top, or from one table there. Negative extents raise unless free_extent (-1). */
void lur_args_shape(lua_State *L, int first, bool free_extent, lur_shape *shape);
/* Extents from the list part of the table at index. */
void lur_args_table_shape(lua_State *L, int index, bool free_extent, lur_shape *shape);
void lur_push_shape(lua_State *L, const lur_shape *shape);

/* 1-based index argument into 0..extent-1; raises outside. */
int64_t lur_args_index(lua_State *L, int arg, int64_t extent);
/* The same for a value anywhere on the stack; what: "row", for the message. */
int64_t lur_args_index_at(lua_State *L, int index, int64_t extent, const char *what);
void lur_push_index(lua_State *L, int64_t index); /* index + 1 */
/* 1-based axis, or from -1 backwards, into 0..ndim-1. */
int lur_args_axis(lua_State *L, int arg, int ndim);

lur_dtype lur_args_dtype(lua_State *L, int index); /* a name */
/* A device handle or a name; nil and none: NULL. */
lur_device *lur_args_device(lua_State *L, int index);

lur_tensor *lur_check_tensor(lua_State *L, int arg);
/* Fills a new handle on top of the stack, and reports the tensor's bytes to the collector when it owns them. */
void lur_fill_tensor(lua_State *L, lur_handle *handle, lur_tensor *tensor, bool owns);
/* Pushes a new zero-filled host tensor. */
lur_tensor *lur_push_tensor(lua_State *L, lur_dtype dtype, const lur_shape *shape);
/* Pushes the list at index as a tensor of one dimension: i32 when all numbers are whole, else f32. lower: whole
   numbers count from 1 and are lowered by one (ids); below 1 raises. */
lur_tensor *lur_push_list(lua_State *L, int index, const char *what, bool lower);
/* Pushes a tensor from nested tables of equal lengths, numbers as they are. */
lur_tensor *lur_push_nested(lua_State *L, int index, lur_dtype dtype);

/* ---- results ---- */

/* Set a field of the table on top of the stack. A NULL text sets nothing. */
void lur_set_text(lua_State *L, const char *name, const char *text);
void lur_set_number(lua_State *L, const char *name, double value);
void lur_set_integer(lua_State *L, const char *name, int64_t value);
void lur_set_boolean(lua_State *L, const char *name, bool value);

/* Pushes a list of option descriptions: { name =, type =, default =, help =, choices = }. */
void lur_push_option_info(lua_State *L, const lur_option_info *info, int n);

#endif
