/* random.c - random generators for samplers: Philox by default, NumPy's to repeat a Keras run.
 *
 * math.random is one stream for the whole program; a sampler needs numbers that depend on (seed, epoch) alone, so that
 * an epoch can be repeated. Lists count from 1. */
#include "data.h"

#include <math.h>

static lur_random *check_random(lua_State *L, int arg) { return lur_handle_check(L, arg, &lur_random_class); }

void lur_push_random(lua_State *L, uint64_t seed, uint64_t stream) {
  lur_handle *h = lur_handle_new(L, &lur_random_class);
  lur_random *random;
  LUR_CALL(L, lur_random_new(seed, stream, &random));
  lur_handle_fill(L, h, random);
}

void lur_random_order(lua_State *L, int index, int64_t n, int64_t *order) {
  lur_numpy_random *numpy = lur_handle_test(L, index, &lur_numpy_random_class);
  if (numpy != NULL) lur_numpy_random_permutation(numpy, n, order);
  else lur_random_permutation(check_random(L, index), n, order);
}

int lur_data_random(lua_State *L) {
  uint64_t seed = (uint64_t)luaL_optinteger(L, 1, (lua_Integer)lur_context_get_seed(lur_state_context(L)));
  lur_push_random(L, seed, (uint64_t)luaL_optinteger(L, 2, 0));
  return 1;
}

static int random_unit(lua_State *L) {
  lua_pushnumber(L, lur_random_next(check_random(L, 1)));
  return 1;
}

static int random_uniform(lua_State *L) {
  lur_random *random = check_random(L, 1);
  double low = luaL_optnumber(L, 2, 0), high = luaL_optnumber(L, 3, 1);
  lua_pushnumber(L, low + (high - low) * lur_random_next(random));
  return 1;
}

static int random_int(lua_State *L) {
  lur_random *random = check_random(L, 1);
  lua_Integer n = luaL_checkinteger(L, 2);
  luaL_argcheck(L, n >= 1, 2, "at least 1 expected");
  lur_push_index(L, lur_random_below(random, n));
  return 1;
}

/* random:integer([low,] high), both included */
static int random_integer(lua_State *L) {
  lur_random *random = check_random(L, 1);
  lua_Integer low = lua_isnoneornil(L, 3) ? 1 : luaL_checkinteger(L, 2),
              high = luaL_checkinteger(L, lua_isnoneornil(L, 3) ? 2 : 3);
  uint64_t range = (uint64_t)high - (uint64_t)low;
  if (low > high || range >= INT64_MAX)
    return lur_raise(L, "random:integer: a range that is not empty, of at most 2^63-1 integers, expected");
  lua_pushinteger(L, (lua_Integer)((uint64_t)low + (uint64_t)lur_random_below(random, (int64_t)range + 1)));
  return 1;
}

/* Box and Muller's transform (1958) of two uniform numbers. */
static int random_normal(lua_State *L) {
  lur_random *random = check_random(L, 1);
  double mean = luaL_optnumber(L, 2, 0), std = luaL_optnumber(L, 3, 1), pi = 3.14159265358979323846;
  double radius = sqrt(-2 * log(1 - lur_random_next(random))), angle = 2 * pi * lur_random_next(random);
  lua_pushnumber(L, mean + std * radius * cos(angle));
  return 1;
}

static int random_boolean(lua_State *L) {
  lur_random *random = check_random(L, 1);
  double probability = luaL_optnumber(L, 2, 0.5);
  luaL_argcheck(L, probability >= 0 && probability <= 1, 2, "a probability from 0 to 1 expected");
  lua_pushboolean(L, lur_random_next(random) < probability);
  return 1;
}

static int random_choice(lua_State *L) {
  lur_random *random = check_random(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
  luaL_argcheck(L, n > 0, 2, "a list that is not empty expected");
  lua_rawgeti(L, 2, lur_random_below(random, n) + 1);
  return 1;
}

/* Shared by both generators: a list of 1..n in random order. */
static int random_permutation(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 2);
  luaL_argcheck(L, n >= 0 && n < INT32_MAX, 2, "a count from 0 to 2^31-2 expected");
  int64_t *order = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *order, 0);
  lur_random_order(L, 1, n, order);
  lua_createtable(L, (int)n, 0);
  for (lua_Integer i = 0; i < n; i++) {
    lur_push_index(L, order[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int random_shuffle(lua_State *L) {
  lur_random *random = check_random(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  for (lua_Integer i = (lua_Integer)lua_rawlen(L, 2); i > 1; i--) {
    lua_Integer j = lur_random_below(random, i) + 1;
    lua_rawgeti(L, 2, i);
    lua_rawgeti(L, 2, j);
    lua_rawseti(L, 2, i);
    lua_rawseti(L, 2, j);
  }
  lua_settop(L, 2);
  return 1;
}

static const luaL_Reg random_methods[] = {{"unit", random_unit},       {"uniform", random_uniform},
                                          {"int", random_int},         {"integer", random_integer},
                                          {"normal", random_normal},   {"boolean", random_boolean},
                                          {"choice", random_choice},   {"permutation", random_permutation},
                                          {"shuffle", random_shuffle}, {NULL, NULL}};

/* ---- NumPy ---- */

static uint32_t check_seed(lua_State *L, int arg) {
  lua_Integer seed = luaL_checkinteger(L, arg);
  luaL_argcheck(L, seed >= 0 && seed <= (lua_Integer)UINT32_MAX, arg, "a seed from 0 to 2^32-1 expected, as in NumPy");
  return (uint32_t)seed;
}

int lur_data_numpy_random(lua_State *L) {
  uint32_t seed = check_seed(L, 1);
  lur_handle *h = lur_handle_new(L, &lur_numpy_random_class);
  lur_numpy_random *random;
  LUR_CALL(L, lur_numpy_random_new(seed, &random));
  lur_handle_fill(L, h, random);
  return 1;
}

static int numpy_seed(lua_State *L) {
  lur_numpy_random_seed(lur_handle_check(L, 1, &lur_numpy_random_class), check_seed(L, 2));
  lua_settop(L, 1);
  return 1;
}

static int numpy_uniform(lua_State *L) {
  lur_numpy_random *random = lur_handle_check(L, 1, &lur_numpy_random_class);
  double low = luaL_optnumber(L, 2, 0), high = luaL_optnumber(L, 3, 1);
  lua_pushnumber(L, lur_numpy_random_uniform(random, low, high));
  return 1;
}

static const luaL_Reg numpy_methods[] = {
    {"seed", numpy_seed}, {"uniform", numpy_uniform}, {"permutation", random_permutation}, {NULL, NULL}};

void lur_register_random(lua_State *L) {
  lur_class_register(L, &lur_random_class, &(lur_members){.methods = random_methods});
  lur_class_register(L, &lur_numpy_random_class, &(lur_members){.methods = numpy_methods});
}
