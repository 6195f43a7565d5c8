/* metrics.c - measures of predictions against truth: functions of the module. */
#include "args.h"
#include "modules.h"

static int top_k(lua_State *L) {
  double share;
  lua_Integer k = luaL_optinteger(L, 3, 1);
  luaL_argcheck(L, k > 0 && k <= INT32_MAX, 3, "1 or more expected");
  LUR_CALL(L, lur_top_k(lur_check_tensor(L, 1), lur_check_tensor(L, 2), (int)k, &share));
  lua_pushnumber(L, share);
  return 1;
}

static int log_loss(lua_State *L) {
  double loss;
  LUR_CALL(L, lur_log_loss(lur_check_tensor(L, 1), lur_check_tensor(L, 2), &loss));
  lua_pushnumber(L, loss);
  return 1;
}

static int confusion(lua_State *L) {
  lur_tensor *scores = lur_check_tensor(L, 1), *ids = lur_check_tensor(L, 2), *counts;
  if (lua_isnoneornil(L, 3)) {
    const lur_shape *shape = lur_tensor_shape(scores);
    int64_t c = shape->ndim == 2 ? shape->dim[1] : 0;
    counts = lur_push_tensor(L, LUR_I32, &(lur_shape){2, {c, c}});
  } else {
    lua_settop(L, 3);
    counts = lur_check_tensor(L, 3);
  }
  LUR_CALL(L, lur_confusion(scores, ids, counts));
  return 1;
}

void lur_add_metrics(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"top_k", top_k}, {"log_loss", log_loss}, {"confusion", confusion}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
