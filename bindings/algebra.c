/* algebra.c - operators on nodes. They make layers; these kinds alone are named here.
 *
 * With a number, + - * / and unary minus make affine layers, which a plan joins where several follow each other. With
 * two nodes they make merge layers, which broadcast where the shapes differ. */
#include "algebra.h"

#include <string.h>

static lur_node *check_node(lua_State *L, int arg) { return lur_handle_check(L, arg, &lur_node_class); }

static bool number_at(lua_State *L, int index) { return lua_type(L, index) == LUA_TNUMBER; }

static int push_affine(lua_State *L, lur_node *x, double scale, double shift) {
  lur_setting settings[2] = {{.name = "scale", .type = LUR_REAL, .real = scale},
                             {.name = "shift", .type = LUR_REAL, .real = shift}};
  lur_push_applied(L, "affine", settings, 2, 1, &x);
  return 1;
}

static lur_node *operand(lua_State *L, int arg, const char *kind) {
  if (number_at(L, arg)) return lur_push_constant(L, lua_tonumber(L, arg));
  lur_node *node = lur_handle_test(L, arg, &lur_node_class);
  if (node == NULL && lur_handle_is(L, arg, &lur_tensor_class))
    lur_raise(L, "%s of a node and a lurcher.tensor: nn.parameter{ init = tensor, trainable = false } makes it a node",
              kind);
  if (node == NULL)
    lur_raise(L, "%s is applied to nodes and numbers, got %s as input %d", kind, luaL_typename(L, arg), arg);
  return node;
}

/* The kind applied to arguments 1 and 2. merges: it is a merge layer, which broadcasts by option. */
static int push_binary(lua_State *L, const char *kind, bool merges) {
  const lur_setting broadcast[1] = {{.name = "broadcast", .type = LUR_BOOL, .boolean = true}};
  lur_node *x[2] = {operand(L, 1, kind), operand(L, 2, kind)};
  const bool equal = lur_shape_equal(lur_node_shape(x[0]), lur_node_shape(x[1]));
  lur_push_applied(L, kind, broadcast, merges && !equal ? 1 : 0, 2, x);
  return 1;
}

static int node_add(lua_State *L) {
  if (number_at(L, 1)) return push_affine(L, check_node(L, 2), 1, lua_tonumber(L, 1));
  if (number_at(L, 2)) return push_affine(L, check_node(L, 1), 1, lua_tonumber(L, 2));
  return push_binary(L, "add", true);
}

static int node_sub(lua_State *L) {
  if (number_at(L, 1)) return push_affine(L, check_node(L, 2), -1, lua_tonumber(L, 1));
  if (number_at(L, 2)) return push_affine(L, check_node(L, 1), 1, -lua_tonumber(L, 2));
  return push_binary(L, "sub", true);
}

static int node_mul(lua_State *L) {
  if (number_at(L, 1)) return push_affine(L, check_node(L, 2), lua_tonumber(L, 1), 0);
  if (number_at(L, 2)) return push_affine(L, check_node(L, 1), lua_tonumber(L, 2), 0);
  return push_binary(L, "mul", true);
}

static int node_div(lua_State *L) {
  if (!number_at(L, 2)) return push_binary(L, "div", false);
  if (lua_tonumber(L, 2) == 0) return lur_raise(L, "a node is divided by 0");
  return push_affine(L, check_node(L, 1), 1 / lua_tonumber(L, 2), 0);
}

static int node_unm(lua_State *L) { return push_affine(L, check_node(L, 1), -1, 0); }

/* x^2 is a layer of its own kind, as ever; other constant powers are of kind power. */
static int node_pow(lua_State *L) {
  if (!number_at(L, 2)) return push_binary(L, "pow", false);
  lur_node *x = check_node(L, 1);
  const lur_setting exponent[1] = {{.name = "exponent", .type = LUR_REAL, .real = lua_tonumber(L, 2)}};
  if (exponent[0].real == 2) lur_push_applied(L, "square", NULL, 0, 1, &x);
  else lur_push_applied(L, "power", exponent, 1, 1, &x);
  return 1;
}

const luaL_Reg lur_node_operators[] = {{"__add", node_add}, {"__sub", node_sub}, {"__mul", node_mul},
                                       {"__div", node_div}, {"__pow", node_pow}, {"__unm", node_unm},
                                       {NULL, NULL}};

bool lur_push_arithmetic(lua_State *L, const char *kind) {
  static const struct {
    const char *kind;
    lua_CFunction push;
  } operators[] = {{"add", node_add}, {"sub", node_sub}, {"mul", node_mul}, {"div", node_div}, {"pow", node_pow}};
  if (lua_gettop(L) != 2 || number_at(L, 1) == number_at(L, 2)) return false;
  if (!lur_handle_is(L, 1, &lur_node_class) && !lur_handle_is(L, 2, &lur_node_class)) return false;
  for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
    if (strcmp(operators[i].kind, kind) != 0) continue;
    operators[i].push(L);
    return true;
  }
  return false;
}
