/* tensor.h - what the files that bind tensors share. The class is in tensor.c, its methods also in tensor_parts.c and
 * tensor_reduce.c. */
#ifndef LUR_BINDINGS_TENSOR_H
#define LUR_BINDINGS_TENSOR_H

#include <lauxlib.h>

#include "args.h"

/* Methods of the class, beside those in tensor.c. */
extern const luaL_Reg lur_tensor_part_methods[];   /* tensor_parts.c */
extern const luaL_Reg lur_tensor_reduce_methods[]; /* tensor_reduce.c */

/* ---- tensor_values.c ---- */

/* Fill a handle on top of the stack with the tensor, whose reference it takes; a view's memory is not reported to the
   collector. Return 1. */
int lur_push_result(lua_State *L, lur_handle *handle, lur_tensor *tensor);
int lur_push_view(lua_State *L, lur_handle *handle, lur_tensor *view);
/* Pushes a value as a Lua number: an integer for integer dtypes. Returns 1. */
int lur_push_value(lua_State *L, lur_dtype dtype, double value);
/* Pushes the element at a flat index. Returns 1. */
int lur_push_element(lua_State *L, lur_tensor *tensor, int64_t index);
/* The tensor at index; a number becomes a scalar tensor, which is pushed: of dtype i32 where it is whole and peer is
   i32, else f32. peer may be NULL. */
lur_tensor *lur_tensor_operand(lua_State *L, int index, const lur_tensor *peer);
/* The value at index, a number, nested tables or a tensor, as a tensor of dtype, or its own; pushed. what: for the
   message. */
lur_tensor *lur_push_source(lua_State *L, int index, lur_dtype dtype, const char *what);
/* Pushes the list at index, ids from 1 to extent, as an i32 tensor of ids from 0. Checked here, so that messages count
   from 1. */
lur_tensor *lur_push_ids(lua_State *L, int index, const char *what, int64_t extent);
/* Raises where there are more than `most` arguments, self included; example: how options are given. */
void lur_args_most(lua_State *L, int most, const char *name, const char *example);
/* Index, from 1 or from -1 backwards, into 0..extent-1; raises outside. */
int64_t lur_args_place(lua_State *L, int index, int64_t extent, const char *what);

/* ---- tensor_parts.c ---- */

/* The table at index as slices of the tensor, one per dimension, for t[{...}]. Returns the number of dimensions that
   stay. */
int lur_args_slices(lua_State *L, int index, const lur_tensor *tensor, const char *owner, lur_slice *slices);
/* Pushes that part: a copy, or a number where no dimension stays. Returns 1. */
int lur_push_part(lua_State *L, lur_tensor *tensor, int index, const char *owner);

#endif
