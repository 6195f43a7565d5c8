/* dataset.c - data.folder, data.flat, data.list and the methods of a dataset. Images and classes count from 1 in Lua.
 */
#include "data.h"
#include "modules.h"

#include <string.h>

static lur_dataset *check_set(lua_State *L, int arg) { return lur_handle_check(L, arg, &lur_set_class); }

/* ---- constructors ---- */

/* The strings listed at table[name], in a userdata that stays on the stack; returns their number, 0 when absent. */
static int text_list(lua_State *L, int arg, const char *owner, const char *name, const char *const **texts) {
  int64_t n = lur_args_list(L, arg, owner, name);
  if (n < 0) return 0;
  if (n == 0 || n > 1 << 20) lur_args_bad(L, owner, name, "a list of strings expected, got %I entries", (LUAI_UACINT)n);
  int list = lua_gettop(L);
  const char **at = lua_newuserdatauv(L, (size_t)n * sizeof *at, 0);
  for (int64_t i = 0; i < n; i++) {
    if (lua_rawgeti(L, list, i + 1) != LUA_TSTRING) lur_args_bad(L, owner, name, "a list of strings expected");
    at[i] = lua_tostring(L, -1); /* the list keeps it */
    lua_pop(L, 1);
  }
  *texts = at;
  return (int)n;
}

static void set_options(lua_State *L, int arg, const char *owner, lur_dataset_options *options) {
  *options = (lur_dataset_options){0};
  options->nclasses = text_list(L, arg, owner, "classes", &options->classes);
  options->nextensions = text_list(L, arg, owner, "extensions", &options->extensions);
  options->hidden = lur_args_bool(L, arg, owner, "hidden", false);
}

/* f "path" or f{ "path", ... }: leaves a table at 1 and returns the path, which it keeps. */
static const char *path_argument(lua_State *L, const char *owner, const char *const *known) {
  if (lua_type(L, 1) == LUA_TSTRING) {
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    lua_replace(L, 1);
  }
  lua_settop(L, 1);
  if (!lur_args_options(L, 1, owner, known)) lur_raise(L, "'%s' expects a path, or a table with a path first", owner);
  if (lua_rawgeti(L, 1, 1) != LUA_TSTRING) lur_args_bad(L, owner, "1", "a path expected, got %s", luaL_typename(L, -1));
  const char *path = lua_tostring(L, -1);
  lua_pop(L, 1);
  return path;
}

static int give_set(lua_State *L, lur_handle *h, lur_status status, lur_dataset *set) {
  if (status != LUR_OK) return lur_soft(L, status);
  lur_handle_fill(L, h, set);
  return 1;
}

int lur_data_folder(lua_State *L) {
  static const char *const known[] = {"classes", "extensions", "hidden", NULL};
  const char *path = path_argument(L, "data.folder", known);
  lur_dataset_options options;
  set_options(L, 1, "data.folder", &options);
  lur_handle *h = lur_handle_new(L, &lur_set_class);
  lur_dataset *set = NULL;
  lur_status status;
  LUR_RETRY(L, status, lur_dataset_folder(path, &options, &set));
  return give_set(L, h, status, set);
}

int lur_data_flat(lua_State *L) {
  static const char *const known[] = {"classes", "extensions", "hidden", "rule", NULL};
  const char *path = path_argument(L, "data.flat", known);
  const char *rule = lur_args_text(L, 1, "data.flat", "rule", NULL);
  lur_dataset_options options;
  set_options(L, 1, "data.flat", &options);
  lur_handle *h = lur_handle_new(L, &lur_set_class);
  lur_dataset *set = NULL;
  lur_status status;
  LUR_RETRY(L, status, lur_dataset_flat(path, rule, &options, &set));
  return give_set(L, h, status, set);
}

/* The list part as { path, class } pairs or bare paths. */
static int list_from_table(lua_State *L) {
  int64_t n = (int64_t)lua_rawlen(L, 1);
  const char **paths = lua_newuserdatauv(L, (size_t)n * sizeof *paths, 0),
             **classes = lua_newuserdatauv(L, (size_t)n * sizeof *classes, 0);
  bool labelled = false;
  for (int64_t i = 0; i < n; i++) {
    lua_rawgeti(L, 1, i + 1);
    bool pair = lua_istable(L, -1);
    if (pair) lua_rawgeti(L, -1, 1);
    if (lua_type(L, -1) != LUA_TSTRING)
      lur_raise(L, "'data.list': entry %I: a path or { path, class } expected", (LUAI_UACINT)(i + 1));
    paths[i] = lua_tostring(L, -1); /* the table keeps it */
    classes[i] = NULL;
    if (pair && lua_rawgeti(L, -2, 2) != LUA_TNIL) {
      if (lua_type(L, -1) != LUA_TSTRING)
        lur_raise(L, "'data.list': entry %I: the class must be a string", (LUAI_UACINT)(i + 1));
      classes[i] = lua_tostring(L, -1);
      labelled = true;
    }
    lua_settop(L, 3);
  }
  lur_dataset_options options;
  set_options(L, 1, "data.list", &options);
  lur_handle *h = lur_handle_new(L, &lur_set_class);
  lur_dataset *set = NULL;
  lur_status status;
  LUR_RETRY(L, status, lur_dataset_items(n, paths, NULL, labelled ? classes : NULL, &options, &set));
  return give_set(L, h, status, set);
}

/* A column's name or number as text; the stack keeps it. */
static const char *column_option(lua_State *L, const char *name) {
  int type = lua_getfield(L, 1, name);
  if (type != LUA_TNIL && type != LUA_TSTRING && !lua_isinteger(L, -1))
    lur_args_bad(L, "data.list", name, "a column's name or number expected, got %s", luaL_typename(L, -1));
  return lua_tostring(L, -1); /* converts the number in its stack slot */
}

/* data.list{ "images.csv", ... } or data.list{ { "a.jpg", "pug" }, ... } */
int lur_data_list(lua_State *L) {
  static const char *const known[] = {"classes", "root", "separator", "header", "path_column", "class_column", NULL};
  if (lua_istable(L, 1) && lua_rawgeti(L, 1, 1) == LUA_TTABLE) {
    static const char *const few[] = {"classes", NULL};
    lua_settop(L, 1);
    lur_args_options(L, 1, "data.list", few);
    return list_from_table(L);
  }
  const char *path = path_argument(L, "data.list", known);
  const char *separator = lur_args_text(L, 1, "data.list", "separator", "");
  if (strlen(separator) > 1) lur_args_bad(L, "data.list", "separator", "one character expected, got \"%s\"", separator);
  lur_list_options list = {.root = lur_args_text(L, 1, "data.list", "root", NULL),
                           .separator = separator[0],
                           .header = lur_args_bool(L, 1, "data.list", "header", false)};
  list.path_column = column_option(L, "path_column");
  list.class_column = column_option(L, "class_column");
  lur_dataset_options options;
  set_options(L, 1, "data.list", &options);
  lur_handle *h = lur_handle_new(L, &lur_set_class);
  lur_dataset *set = NULL;
  lur_status status;
  LUR_RETRY(L, status, lur_dataset_list(path, &list, &options, &set));
  return give_set(L, h, status, set);
}

/* ---- parts ---- */

/* The 1-based list at arg as 0-based indices in a userdata left on the stack. */
static int64_t *index_list(lua_State *L, int arg, int64_t extent, int64_t *n) {
  *n = (int64_t)lua_rawlen(L, arg);
  int64_t *indices = lua_newuserdatauv(L, ((size_t)*n + 1) * sizeof *indices, 0);
  for (int64_t i = 0; i < *n; i++) {
    lua_rawgeti(L, arg, i + 1);
    indices[i] = lur_args_index_at(L, -1, extent, "image");
    lua_pop(L, 1);
  }
  return indices;
}

/* Calls the predicate at arg as f(name, class, i) for item i. Returns its result as a truth value. */
static bool call_predicate(lua_State *L, int arg, lur_dataset *set, int64_t i) {
  lua_pushvalue(L, arg);
  lua_pushstring(L, lur_dataset_name(set, i));
  const char *class = lur_dataset_class_name(set, lur_dataset_class(set, i));
  if (class != NULL) lua_pushstring(L, class);
  else lua_pushnil(L);
  lur_push_index(L, i);
  lua_call(L, 3, 1);
  bool yes = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return yes;
}

/* Indices of the items for which the predicate returned `wanted`, in a userdata left on the stack. */
static int64_t *chosen(lua_State *L, const bool *answers, int64_t size, bool wanted, int64_t *n) {
  int64_t *indices = lua_newuserdatauv(L, ((size_t)size + 1) * sizeof *indices, 0);
  *n = 0;
  for (int64_t i = 0; i < size; i++)
    if (answers[i] == wanted) indices[(*n)++] = i;
  return indices;
}

/* The predicate's results for all items, in a userdata left on the stack. */
static bool *call_for_all(lua_State *L, int arg, lur_dataset *set) {
  int64_t size = lur_dataset_size(set);
  bool *answers = lua_newuserdatauv(L, (size_t)size + 1, 0);
  for (int64_t i = 0; i < size; i++) answers[i] = call_predicate(L, arg, set, i);
  return answers;
}

static void push_subset(lua_State *L, lur_dataset *set, int64_t n, const int64_t *indices) {
  lur_handle *h = lur_handle_new(L, &lur_set_class);
  lur_dataset *part;
  LUR_CALL(L, lur_dataset_subset(set, n, indices, &part));
  lur_handle_fill(L, h, part);
}

/* set:subset{3, 1, 2} or set:subset(function(name, class, i) return true end) */
static int set_subset(lua_State *L) {
  lur_dataset *set = check_set(L, 1);
  int64_t n, *indices;
  if (lua_isfunction(L, 2)) {
    bool *answers = call_for_all(L, 2, set);
    indices = chosen(L, answers, lur_dataset_size(set), true, &n);
  } else {
    luaL_checktype(L, 2, LUA_TTABLE);
    indices = index_list(L, 2, lur_dataset_size(set), &n);
  }
  push_subset(L, set, n, indices);
  return 1;
}

/* set:split{ share = 0.1, seed = 0 } or set:split{ rule = function(name, class, i) return true end } -> rest, chosen */
static int set_split(lua_State *L) {
  static const char *const known[] = {"share", "seed", "rule", NULL};
  lur_dataset *set = check_set(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lur_args_options(L, 2, "set:split", known);
  lua_settop(L, 2);
  if (lua_getfield(L, 2, "rule") != LUA_TNIL) {
    luaL_checktype(L, 3, LUA_TFUNCTION);
    bool *answers = call_for_all(L, 3, set);
    int64_t nrest, nchosen, size = lur_dataset_size(set);
    int64_t *rest = chosen(L, answers, size, false, &nrest), *picked = chosen(L, answers, size, true, &nchosen);
    push_subset(L, set, nrest, rest);
    push_subset(L, set, nchosen, picked);
    return 2;
  }
  double share = lur_args_real(L, 2, "set:split", "share", 0.1);
  int64_t seed = lur_args_int(L, 2, "set:split", "seed", 0, INT64_MIN, INT64_MAX);
  lur_handle *a = lur_handle_new(L, &lur_set_class), *b = lur_handle_new(L, &lur_set_class);
  lur_dataset *first, *second;
  LUR_CALL(L, lur_dataset_split(set, share, (uint64_t)seed, &first, &second));
  lur_handle_fill(L, a, first);
  lur_handle_fill(L, b, second);
  return 2;
}

/* ---- queries ---- */

static int64_t check_item(lua_State *L, lur_dataset **set) {
  *set = check_set(L, 1);
  return lur_args_index(L, 2, lur_dataset_size(*set));
}

static int set_path(lua_State *L) {
  lur_dataset *set;
  int64_t i = check_item(L, &set);
  lua_pushstring(L, lur_dataset_path(set, i));
  return 1;
}

static int set_name(lua_State *L) {
  lur_dataset *set;
  int64_t i = check_item(L, &set);
  lua_pushstring(L, lur_dataset_name(set, i));
  return 1;
}

static int set_class(lua_State *L) {
  lur_dataset *set;
  int64_t i = check_item(L, &set);
  int class = lur_dataset_class(set, i);
  if (class < 0) luaL_pushfail(L);
  else lur_push_index(L, class);
  return 1;
}

static int set_column(lua_State *L) {
  lur_dataset *set;
  int64_t i = check_item(L, &set);
  const char *name = luaL_checkstring(L, 3);
  for (int c = 0; c < lur_dataset_column_count(set); c++)
    if (strcmp(lur_dataset_column_name(set, c), name) == 0) {
      lua_pushstring(L, lur_dataset_column(set, c, i));
      return 1;
    }
  return lur_raise(L, "the dataset has no column '%s' (set.columns lists them)", name);
}

/* A list per class: the indices of its images. */
static int set_by_class(lua_State *L) {
  lur_dataset *set = check_set(L, 1);
  int n = lur_dataset_class_count(set);
  lua_createtable(L, n, 0);
  for (int c = 0; c < n; c++) {
    lua_createtable(L, (int)lur_dataset_class_size(set, c), 0);
    lua_rawseti(L, -2, c + 1);
  }
  for (int64_t i = 0; i < lur_dataset_size(set); i++) {
    int c = lur_dataset_class(set, i);
    if (c < 0) continue;
    lua_rawgeti(L, -1, c + 1);
    lur_push_index(L, i);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
  }
  return 1;
}

/* Weights that make every class count alike: size / (classes * class size), 0 for an empty class. */
static int set_class_weights(lua_State *L) {
  lur_dataset *set = check_set(L, 1);
  int n = lur_dataset_class_count(set), filled = 0;
  int64_t total = 0;
  for (int c = 0; c < n; c++) {
    total += lur_dataset_class_size(set, c);
    filled += lur_dataset_class_size(set, c) > 0;
  }
  lua_createtable(L, n, 0);
  for (int c = 0; c < n; c++) {
    int64_t size = lur_dataset_class_size(set, c);
    lua_pushnumber(L, size ? (double)total / ((double)filled * (double)size) : 0.0);
    lua_rawseti(L, -2, c + 1);
  }
  return 1;
}

static int set_get_classes(lua_State *L) {
  lur_dataset *set = check_set(L, 1);
  int n = lur_dataset_class_count(set);
  lua_createtable(L, n, 0);
  for (int c = 0; c < n; c++) {
    lua_pushstring(L, lur_dataset_class_name(set, c));
    lua_rawseti(L, -2, c + 1);
  }
  return 1;
}

static int set_get_counts(lua_State *L) {
  lur_dataset *set = check_set(L, 1);
  int n = lur_dataset_class_count(set);
  lua_createtable(L, n, 0);
  for (int c = 0; c < n; c++) {
    lua_pushinteger(L, lur_dataset_class_size(set, c));
    lua_rawseti(L, -2, c + 1);
  }
  return 1;
}

static int set_get_columns(lua_State *L) {
  lur_dataset *set = check_set(L, 1);
  lua_newtable(L);
  for (int c = 0; c < lur_dataset_column_count(set); c++) {
    lua_pushstring(L, lur_dataset_column_name(set, c));
    lua_rawseti(L, -2, c + 1);
  }
  return 1;
}

static int push_texts(lua_State *L, const char *(*text_at)(const lur_dataset *, int64_t)) {
  lur_dataset *set = check_set(L, 1);
  const char *text;
  lua_newtable(L);
  for (int64_t i = 0; (text = text_at(set, i)) != NULL; i++) {
    lua_pushstring(L, text);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int set_get_ignored(lua_State *L) { return push_texts(L, lur_dataset_ignored); }

static int set_get_loose(lua_State *L) { return push_texts(L, lur_dataset_loose); }

static int set_size(lua_State *L) {
  lua_pushinteger(L, lur_dataset_size(check_set(L, 1)));
  return 1;
}

static int set_tostring(lua_State *L) {
  char text[4096];
  lur_dataset_format(check_set(L, 1), text, sizeof text);
  lua_pushstring(L, text);
  lur_push_visible(L, -1, false); /* one line, whatever the names of its folder and classes */
  return 1;
}

static const luaL_Reg set_methods[] = {
    {"path", set_path},     {"name", set_name},         {"class", set_class},
    {"column", set_column}, {"by_class", set_by_class}, {"class_weights", set_class_weights},
    {"subset", set_subset}, {"split", set_split},       {NULL, NULL}};
static const luaL_Reg set_getters[] = {{"classes", set_get_classes},
                                       {"counts", set_get_counts},
                                       {"columns", set_get_columns},
                                       {"size", set_size},
                                       {"ignored", set_get_ignored},
                                       {"loose", set_get_loose},
                                       {NULL, NULL}};
static const luaL_Reg set_meta[] = {{"__len", set_size}, {NULL, NULL}};

void lur_register_dataset(lua_State *L) {
  lur_class_register(
      L, &lur_set_class,
      &(lur_members){.methods = set_methods, .getters = set_getters, .meta = set_meta, .tostring = set_tostring});
}
