/* augment.c - data.augment{...}: the options of augmentation. engine/data/augment.c declares and applies them. */
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
  char text[2048];
  lur_augment_format(lur_handle_check(L, 1, &lur_augment_class), text, sizeof text);
  lua_pushstring(L, text);
  return 1;
}

void lur_register_augment(lua_State *L) {
  lur_class_register(L, &lur_augment_class, &(lur_members){.tostring = augment_tostring});
}
