/* args.h - Lua values into engine values: options, shapes, indices, devices, tensors.
 *
 * The one place where Lua's indices (from 1) become the engine's (from 0) and back. The rule: tables count from 1,
 * tensors hold ids from 0. Nothing here knows what an option means. */
#ifndef LUR_ARGS_H
#define LUR_ARGS_H

#include "handle.h"

/* ---- options in a table: f{ 64, stride = 2 } ----
   Errors read "bad option 'stride' to 'conv2d' (number expected, got string)". */

enum { LUR_MAX_SETTINGS = 40 };
/* Options for the engine to check: the table at arg, or a bare number, string or boolean as the first one, or nothing.
   Strings belong to the table. Returns their number. */
int lur_args_settings(lua_State *L, int arg, const char *owner, lur_setting settings[LUR_MAX_SETTINGS]);

/* Options that the bindings themselves read. arg must be a table, or absent (then false is returned and every reader
   below gives its default). known: NULL-terminated; any other string key raises, with the nearest. */
bool lur_args_options(lua_State *L, int arg, const char *owner, const char *const *known);
/* Raises "bad option 'name' to 'owner' (why)". */
int lur_args_bad(lua_State *L, const char *owner, const char *name, const char *format, ...);
/* Each leaves the stack as it was. arg is absolute; a missing option gives def. */
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
/* 1-based axis (-1: the last) into 0..ndim-1. */
int lur_args_axis(lua_State *L, int arg, int ndim);

lur_dtype lur_args_dtype(lua_State *L, int index); /* a name */
/* A device handle or a name; nil and none: NULL. */
lur_device *lur_args_device(lua_State *L, int index);

extern const lur_class lur_tensor_class, lur_device_class;
lur_tensor *lur_check_tensor(lua_State *L, int arg);
/* Fills a new handle on top of the stack, and charges the collector with the tensor's bytes when it owns them. */
void lur_fill_tensor(lua_State *L, lur_handle *handle, lur_tensor *tensor, bool owns);
/* Pushes a new zero-filled host tensor. */
lur_tensor *lur_push_tensor(lua_State *L, lur_dtype dtype, const lur_shape *shape);
/* Pushes one row of numbers from the list at index: i32 when all are whole, else f32. lower: whole numbers count from
   1 and are lowered by one (ids); below 1 raises. */
lur_tensor *lur_push_list(lua_State *L, int index, const char *what, bool lower);
/* Pushes an f32 (or the given dtype) tensor from nested tables of equal lengths, numbers as they are. */
lur_tensor *lur_push_nested(lua_State *L, int index, lur_dtype dtype);

/* Pushes an options description, { name=, type=, default=, help= } a row. */
void lur_push_option_info(lua_State *L, const lur_option_info *info, int n);

#endif
