/* image.c - the module lurcher.image: images as u8 tensors of h x w x 3. image_change.c has the functions that change
 * them. */
#include "image.h"
#include "modules.h"

static const char *const filters[] = {"bilinear", "nearest", "bilinear-13", NULL};

/* Fills the handle on top of the stack; or pushes nil, message, code. */
static int image_result(lua_State *L, lur_handle *h, lur_status status, lur_tensor *image) {
  if (status != LUR_OK) return lur_soft(L, status);
  lur_fill_tensor(L, h, image, true);
  return 1;
}

static void decode_options(lua_State *L, int arg, const char *owner, lur_decode_options *options) {
  static const char *const known[] = {"exif", "max_pixels", NULL};
  lur_args_options(L, arg, owner, known);
  options->exif = lur_args_bool(L, arg, owner, "exif", false);
  options->max_pixels = lur_args_int(L, arg, owner, "max_pixels", 0, 1, INT64_MAX);
}

static int image_load(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lur_decode_options options = {0};
  decode_options(L, 2, "image.load", &options);
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  lur_tensor *image = NULL;
  lur_status status;
  LUR_RETRY(L, status, lur_image_load(context, path, &options, &image));
  return image_result(L, h, status, image);
}

static int image_decode(lua_State *L) {
  size_t count;
  const char *bytes = luaL_checklstring(L, 1, &count);
  lur_decode_options options = {0};
  decode_options(L, 2, "image.decode", &options);
  lur_context *context = lur_state_context(L);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  lur_tensor *image = NULL;
  lur_status status;
  LUR_RETRY(L, status, lur_image_decode(context, bytes, count, &options, &image));
  return image_result(L, h, status, image);
}

static int image_save(lua_State *L) {
  static const char *const known[] = {"quality", NULL};
  const char *path = luaL_checkstring(L, 1);
  lur_tensor *image = lur_check_tensor(L, 2);
  lur_args_options(L, 3, "image.save", known);
  int quality = (int)lur_args_int(L, 3, "image.save", "quality", 90, 1, 100);
  lur_status status;
  LUR_RETRY(L, status, lur_image_save(path, image, quality));
  if (status == LUR_ESHAPE || status == LUR_ETYPE) lur_check(L, status); /* the caller's fault, not the file's */
  if (status != LUR_OK) return lur_soft(L, status);
  lua_pushboolean(L, true);
  return 1;
}

static int image_encode(lua_State *L) {
  static const char *const known[] = {"format", "quality", NULL}, *const formats[] = {"jpeg", "png", NULL};
  lur_tensor *image = lur_check_tensor(L, 1);
  lua_settop(L, 2);
  lur_args_options(L, 2, "image.encode", known);
  int quality = (int)lur_args_int(L, 2, "image.encode", "quality", 90, 1, 100);
  lur_image_format format = (lur_image_format)lur_args_choice(L, 2, "image.encode", "format", formats, LUR_IMAGE_JPEG);
  lur_guard *guard = lur_guard_new_text(L);
  void *bytes;
  size_t count;
  LUR_CALL(L, lur_image_encode(image, format, quality, &bytes, &count));
  guard->pointer = bytes;
  lua_pushlstring(L, bytes, count);
  lur_guard_clear(guard);
  return 1;
}

static int image_resize(lua_State *L) {
  lur_tensor *image = lur_check_tensor(L, 1), *resized = NULL;
  lua_Integer height = luaL_checkinteger(L, 2), width = luaL_checkinteger(L, 3);
  int filter = luaL_checkoption(L, 4, "bilinear", filters);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_image_resize(image, height, width, (lur_resize_filter)filter, &resized));
  return image_result(L, h, LUR_OK, resized);
}

/* image.crop(t, top, left, height, width): the first row and column are 1. */
static int image_crop(lua_State *L) {
  lur_tensor *image = lur_check_tensor(L, 1), *crop = NULL;
  int64_t top = lur_args_index(L, 2, INT32_MAX), left = lur_args_index(L, 3, INT32_MAX);
  lua_Integer height = luaL_checkinteger(L, 4), width = luaL_checkinteger(L, 5);
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_image_crop(image, top, left, height, width, &crop));
  return image_result(L, h, LUR_OK, crop);
}

/* image.montage(batch, { low =, high =, columns =, labels = }): low and high are shown black and white. */
static int image_montage(lua_State *L) {
  static const char *const known[] = {"low", "high", "columns", "labels", NULL};
  lur_tensor *batch = lur_check_tensor(L, 1), *image = NULL;
  lua_settop(L, 2);
  lur_args_options(L, 2, "image.montage", known);
  double low = lur_args_real(L, 2, "image.montage", "low", -1), high = lur_args_real(L, 2, "image.montage", "high", 1);
  int columns = (int)lur_args_int(L, 2, "image.montage", "columns", 0, 0, 1000);
  const char **labels = NULL;
  int64_t n = lur_args_list(L, 2, "image.montage", "labels"), count = lur_tensor_shape(batch)->dim[0];
  if (n >= 0) {
    labels = lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *labels, 0);
    for (int64_t i = 0; i < count; i++) {
      labels[i] = lua_rawgeti(L, 3, i + 1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL; /* the list keeps it */
      lua_pop(L, 1);
    }
  }
  lur_handle *h = lur_handle_new(L, &lur_tensor_class);
  LUR_CALL(L, lur_image_montage(batch, low, high, columns, labels, &image));
  return image_result(L, h, LUR_OK, image);
}

int lur_open_image(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"load", image_load},     {"decode", image_decode}, {"save", image_save},       {"encode", image_encode},
      {"resize", image_resize}, {"crop", image_crop},     {"montage", image_montage}, {NULL, NULL}};
  luaL_newlib(L, functions);
  lur_add_image_changes(L);
  return 1;
}
