/* image_change.c - the functions of lurcher.image that change an image: short transforms for loaders are made of them.
 * Each takes a u8 tensor, h x w x 3, and returns a new one. */
#include <string.h>

#include "image.h"

typedef struct change { /* a result on its way: the handle is on the stack, and is filled by `done` */
  lur_tensor *image, *result;
  lur_handle *handle;
} change;

static change begin(lua_State *L) {
  change c = {.image = lur_check_tensor(L, 1)};
  c.handle = lur_handle_new(L, &lur_tensor_class);
  return c;
}

static int done(lua_State *L, const change *c) {
  lur_fill_tensor(L, c->handle, c->result, true);
  return 1;
}

static uint8_t check_level(lua_State *L, int index, const char *owner, const char *name) {
  double value = lua_tonumber(L, index);
  if (!lua_isnumber(L, index) || !(value >= 0 && value <= 255))
    lur_args_bad(L, owner, name, "a pixel value from 0 to 255 expected, or { red, green, blue }");
  return (uint8_t)(value + 0.5);
}

/* A gray value or { red, green, blue } at index. */
static void read_colour(lua_State *L, int index, const char *owner, const char *name, uint8_t rgb[3]) {
  if (!lua_istable(L, index)) {
    rgb[0] = rgb[1] = rgb[2] = check_level(L, index, owner, name);
    return;
  }
  for (int c = 0; c < 3; c++) {
    lua_rawgeti(L, index, c + 1);
    rgb[c] = check_level(L, -1, owner, name);
    lua_pop(L, 1);
  }
}

/* The option `fill` of the table at arg: a colour, "nearest" or "reflect"; without it, black. */
static lur_image_fill read_fill(lua_State *L, int arg, const char *owner) {
  lur_image_fill fill = {0};
  if (lua_isnoneornil(L, arg)) return fill;
  int type = lua_getfield(L, arg, "fill");
  const char *name = type == LUA_TSTRING ? lua_tostring(L, -1) : "";
  if (strcmp(name, "nearest") == 0) fill.mode = LUR_IMAGE_FILL_NEAREST;
  else if (strcmp(name, "reflect") == 0) fill.mode = LUR_IMAGE_FILL_REFLECT;
  else if (type == LUA_TSTRING)
    lur_args_bad(L, owner, "fill", "a pixel value, { red, green, blue }, nearest or reflect expected, got \"%s\"",
                 name);
  else if (type != LUA_TNIL) read_colour(L, lua_gettop(L), owner, "fill", fill.rgb);
  lua_pop(L, 1);
  return fill;
}

/* ---- geometry ---- */

/* image.flip(t [, "horizontal" | "vertical"]) */
static int image_flip(lua_State *L) {
  static const char *const axes[] = {"horizontal", "vertical", NULL};
  bool vertical = luaL_checkoption(L, 2, "horizontal", axes) == 1;
  change c = begin(L);
  LUR_CALL(L, lur_image_flip(c.image, vertical, &c.result));
  return done(L, &c);
}

/* image.pad(t, { top =, left =, bottom =, right =, all =, fill = }) */
static int image_pad(lua_State *L) {
  static const char owner[] = "image.pad", *const known[] = {"top", "left", "bottom", "right", "all", "fill", NULL};
  static const char *const names[] = {"top", "left", "bottom", "right"};
  int64_t sides[4];
  lua_settop(L, 2);
  lur_args_options(L, 2, owner, known);
  int64_t all = lur_args_int(L, 2, owner, "all", 0, 0, 1 << 16);
  for (int i = 0; i < 4; i++) sides[i] = lur_args_int(L, 2, owner, names[i], all, 0, 1 << 16);
  lur_image_fill fill = read_fill(L, 2, owner);
  change c = begin(L);
  LUR_CALL(L, lur_image_pad(c.image, sides[0], sides[1], sides[2], sides[3], &fill, &c.result));
  return done(L, &c);
}

static int warp(lua_State *L, const lur_image_affine *affine) {
  change c = begin(L);
  LUR_CALL(L, lur_image_warp(c.image, affine, &c.result));
  return done(L, &c);
}

static bool read_nearest(lua_State *L, int arg, const char *owner) {
  static const char *const filters[] = {"bilinear", "nearest", NULL};
  return lur_args_choice(L, arg, owner, "filter", filters, 0) == 1;
}

/* image.rotate(t, degrees [, { filter =, fill = }]) */
static int image_rotate(lua_State *L) {
  static const char owner[] = "image.rotate", *const known[] = {"filter", "fill", NULL};
  lur_image_affine affine = {.rotate = luaL_checknumber(L, 2), .scale = 1};
  lua_settop(L, 3);
  lur_args_options(L, 3, owner, known);
  affine.nearest = read_nearest(L, 3, owner);
  affine.fill = read_fill(L, 3, owner);
  return warp(L, &affine);
}

/* The pair { first, second } of numbers at table[name]; zeros without it. */
static void read_pair(lua_State *L, const char *owner, const char *name, double *first, double *second) {
  double *const values[] = {first, second};
  int64_t n = lur_args_list(L, 2, owner, name);
  if (n < 0) return;
  if (n != 2) lur_args_bad(L, owner, name, "a pair { down, right } expected");
  for (int i = 0; i < 2; i++) {
    if (lua_rawgeti(L, -1, i + 1) != LUA_TNUMBER) lur_args_bad(L, owner, name, "a pair of numbers expected");
    *values[i] = lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/* image.affine(t, { rotate =, shift = { down, right }, scale =, shear = { down, right }, filter =, fill = }) */
static int image_affine(lua_State *L) {
  static const char owner[] = "image.affine",
                    *const known[] = {"rotate", "shift", "scale", "shear", "filter", "fill", NULL};
  lua_settop(L, 2);
  if (!lur_args_options(L, 2, owner, known)) luaL_argerror(L, 2, "a table of options expected");
  lur_image_affine affine = {.rotate = lur_args_real(L, 2, owner, "rotate", 0),
                             .scale = lur_args_real(L, 2, owner, "scale", 1)};
  read_pair(L, owner, "shift", &affine.shift_y, &affine.shift_x);
  read_pair(L, owner, "shear", &affine.shear_y, &affine.shear_x);
  affine.nearest = read_nearest(L, 2, owner);
  affine.fill = read_fill(L, 2, owner);
  return warp(L, &affine);
}

/* ---- colour ---- */

static int recolour(lua_State *L, lur_image_change which, double amount) {
  change c = begin(L);
  LUR_CALL(L, lur_image_recolour(c.image, which, amount, &c.result));
  return done(L, &c);
}

static int image_brightness(lua_State *L) { return recolour(L, LUR_IMAGE_BRIGHTNESS, luaL_checknumber(L, 2)); }
static int image_contrast(lua_State *L) { return recolour(L, LUR_IMAGE_CONTRAST, luaL_checknumber(L, 2)); }
static int image_saturation(lua_State *L) { return recolour(L, LUR_IMAGE_SATURATION, luaL_checknumber(L, 2)); }
static int image_hue(lua_State *L) { return recolour(L, LUR_IMAGE_HUE, luaL_checknumber(L, 2)); }
static int image_sharpness(lua_State *L) { return recolour(L, LUR_IMAGE_SHARPNESS, luaL_checknumber(L, 2)); }
static int image_posterize(lua_State *L) {
  return recolour(L, LUR_IMAGE_POSTERIZE, (double)luaL_checkinteger(L, 2));
}
static int image_solarize(lua_State *L) { return recolour(L, LUR_IMAGE_SOLARIZE, luaL_checknumber(L, 2)); }
static int image_autocontrast(lua_State *L) { return recolour(L, LUR_IMAGE_AUTOCONTRAST, 0); }
static int image_equalize(lua_State *L) { return recolour(L, LUR_IMAGE_EQUALIZE, 0); }
static int image_grayscale(lua_State *L) { return recolour(L, LUR_IMAGE_GRAYSCALE, 0); }

/* image.blur(t, sigma [, kernel]) */
static int image_blur(lua_State *L) {
  double sigma = luaL_checknumber(L, 2);
  lua_Integer kernel = luaL_optinteger(L, 3, 0);
  luaL_argcheck(L, lua_isnoneornil(L, 3) || kernel > 0, 3, "an odd size expected");
  change c = begin(L);
  LUR_CALL(L, lur_image_blur(c.image, sigma, kernel, &c.result));
  return done(L, &c);
}

/* ---- boxes ---- */

/* image.random_box(random, height, width [, { min =, max =, ratio = }]) -> top, left, height, width */
static int image_random_box(lua_State *L) {
  static const char owner[] = "image.random_box", *const known[] = {"min", "max", "ratio", NULL};
  lur_random *random = lur_handle_check(L, 1, &lur_random_class);
  lua_Integer height = luaL_checkinteger(L, 2), width = luaL_checkinteger(L, 3);
  lua_settop(L, 4);
  lur_args_options(L, 4, owner, known);
  double least = lur_args_real(L, 4, owner, "min", 0.02), most = lur_args_real(L, 4, owner, "max", 1.0 / 3),
         ratio = lur_args_real(L, 4, owner, "ratio", 3.3);
  lur_image_box box;
  lur_check(L, lur_image_random_box(random, height, width, least, most, ratio, &box));
  lur_push_index(L, box.top);
  lur_push_index(L, box.left);
  lua_pushinteger(L, box.height);
  lua_pushinteger(L, box.width);
  return 4;
}

/* image.erase(t, top, left, height, width [, colour or random]) */
static int image_erase(lua_State *L) {
  uint8_t rgb[3] = {0, 0, 0};
  lua_settop(L, 6);
  lur_image_box box = {lur_args_index(L, 2, INT32_MAX), lur_args_index(L, 3, INT32_MAX), luaL_checkinteger(L, 4),
                       luaL_checkinteger(L, 5)};
  lur_random *noise = lur_handle_test(L, 6, &lur_random_class);
  if (noise == NULL && !lua_isnil(L, 6)) read_colour(L, 6, "image.erase", "colour", rgb);
  change c = begin(L);
  lur_check(L, lur_image_erase(c.image, &box, rgb, noise, &c.result)); /* not tried again: the noise goes on */
  return done(L, &c);
}

/* image.paste(t, over, top, left [, opacity]) */
static int image_paste(lua_State *L) {
  lur_tensor *over = lur_check_tensor(L, 2);
  lua_Integer top = luaL_checkinteger(L, 3), left = luaL_checkinteger(L, 4);
  double opacity = luaL_optnumber(L, 5, 1);
  luaL_argcheck(L, top > -INT32_MAX && top < INT32_MAX, 3, "a row expected");
  luaL_argcheck(L, left > -INT32_MAX && left < INT32_MAX, 4, "a column expected");
  change c = begin(L);
  LUR_CALL(L, lur_image_paste(c.image, over, top - 1, left - 1, opacity, &c.result));
  return done(L, &c);
}

/* image.mix(t, other, share) */
static int image_mix(lua_State *L) {
  lur_tensor *image = lur_check_tensor(L, 1), *other = lur_check_tensor(L, 2);
  double share = luaL_checknumber(L, 3);
  if (!lur_shape_equal(lur_tensor_shape(image), lur_tensor_shape(other)))
    return lur_raise(L, "image.mix: two images of the same size expected");
  luaL_argcheck(L, share >= 0 && share <= 1, 3, "a share of the second image from 0 to 1 expected");
  change c = begin(L);
  LUR_CALL(L, lur_image_paste(image, other, 0, 0, share, &c.result));
  return done(L, &c);
}

void lur_add_image_changes(lua_State *L) {
  static const luaL_Reg functions[] = {{"flip", image_flip},
                                       {"pad", image_pad},
                                       {"rotate", image_rotate},
                                       {"affine", image_affine},
                                       {"brightness", image_brightness},
                                       {"contrast", image_contrast},
                                       {"saturation", image_saturation},
                                       {"hue", image_hue},
                                       {"sharpness", image_sharpness},
                                       {"posterize", image_posterize},
                                       {"solarize", image_solarize},
                                       {"autocontrast", image_autocontrast},
                                       {"equalize", image_equalize},
                                       {"grayscale", image_grayscale},
                                       {"blur", image_blur},
                                       {"random_box", image_random_box},
                                       {"erase", image_erase},
                                       {"paste", image_paste},
                                       {"mix", image_mix},
                                       {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
