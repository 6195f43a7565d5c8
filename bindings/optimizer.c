/* optimizer.c - lurcher.optim: an optimizer is its options; the state that it updates belongs to the run. */
#include "optimizer.h"

#include "modules.h"

static const char *const kinds[] = {"sgd", "adam", "adamw", "nadam", NULL};

lur_optimizer *lur_push_optimizer(lua_State *L, const char *kind, int arg) {
  lur_setting settings[LUR_MAX_SETTINGS];
  int n = arg == 0 ? 0 : lur_args_settings(L, arg, kind, settings);
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_optimizer_class);
  lur_optimizer *optimizer;
  LUR_CALL(L, lur_optimizer_new(context, kind, settings, n, &optimizer));
  lur_handle_fill(L, h, optimizer);
  return optimizer;
}

/* Upvalue: the kind. */
static int construct(lua_State *L) {
  lur_push_optimizer(L, lua_tostring(L, lua_upvalueindex(1)), 1);
  return 1;
}

static int optimizer_kind(lua_State *L) {
  lua_pushstring(L, lur_optimizer_kind(lur_handle_check(L, 1, &lur_optimizer_class)));
  return 1;
}

static int optimizer_tostring(lua_State *L) {
  char text[512];
  lur_optimizer_format(lur_handle_check(L, 1, &lur_optimizer_class), text, sizeof text);
  lua_pushfstring(L, "optim.%s", text);
  return 1;
}

int lur_open_optim(lua_State *L) {
  static const luaL_Reg getters[] = {{"kind", optimizer_kind}, {NULL, NULL}};
  lur_class_register(L, &lur_optimizer_class, &(lur_members){.getters = getters, .tostring = optimizer_tostring});
  lua_newtable(L);
  for (int i = 0; kinds[i] != NULL; i++) {
    lua_pushstring(L, kinds[i]);
    lua_pushcclosure(L, construct, 1);
    lua_setfield(L, -2, kinds[i]);
  }
  return 1;
}
