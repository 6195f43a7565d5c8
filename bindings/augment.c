/* augment.c - data.augment{...}: declared options, printable; what they do is in engine/data/augment.c. */
#include "data.h"

int lur_data_augment(lua_State *L) {
  lur_setting settings[LUR_MAX_SETTINGS];
  int n = lur_args_settings(L, 1, "augment", settings);
  lur_handle *h = lur_handle_new(L, &lur_augment_class);
  lur_augment *augment;
  LUR_CALL(L, lur_augment_new(settings, n, &augment));
  lur_handle_fill(L, h, augment);
  return 1;
}

/* data.augment_options() -> { { name =, type =, default =, help = }, ... } */
int lur_data_augment_options(lua_State *L) {
  lur_option_info info[64];
  int n = lur_augment_options(info, 64);
  lur_push_option_info(L, info, n < 64 ? n : 64);
  return 1;
}

static int augment_tostring(lua_State *L) {
  lur_handle *h = luaL_checkudata(L, 1, lur_augment_class.name);
  char text[2048] = "lurcher.augment (closed)";
  if (h->object != NULL) lur_augment_format(h->object, text, sizeof text);
  lua_pushstring(L, text);
  return 1;
}

static void release_augment(void *object) { lur_augment_release(object); }

static const luaL_Reg augment_meta[] = {{"__tostring", augment_tostring}, {NULL, NULL}};
const lur_class lur_augment_class = {.name = "lurcher.augment", .release = release_augment, .meta = augment_meta};
