/* model_print.c - print(model): one line per layer, with its Keras index, and the totals. */
#include <stdio.h>
#include <string.h>

#include "nn.h"

static int64_t layer_parameters(const lur_layer *layer) {
  int64_t n = 0;
  for (int i = 0; i < lur_layer_weight_count(layer); i++)
    n += lur_shape_count(lur_tensor_shape(lur_layer_weight(layer, i)));
  return n;
}

/* The names of the inputs of layer i, separated by commas. */
static void join_inputs(const lur_model *model, int i, char *text, size_t capacity) {
  const char *names[8];
  int n = lur_model_layer_inputs(model, i, names, 8);
  size_t used = 0;
  text[0] = '\0';
  for (int k = 0; k < n && used < capacity; k++) {
    int more = k == 8 ? snprintf(text + used, capacity - used, ", ...")
                      : snprintf(text + used, capacity - used, k > 0 ? ", %s" : "%s", names[k]);
    used += more > 0 ? (size_t)more : 0;
    if (k == 8) break;
  }
}

/* "22,910,480" */
static const char *with_commas(int64_t value, char text[32]) {
  char digits[24];
  int n = snprintf(digits, sizeof digits, "%lld", (long long)value), used = 0;
  for (int i = 0; i < n; i++) {
    if (i > 0 && (n - i) % 3 == 0) text[used++] = ',';
    text[used++] = digits[i];
  }
  text[used] = '\0';
  return text;
}

static void add_row(luaL_Buffer *out, const lur_model *model, int i, int width, int kinds) {
  enum { INPUTS = 160, LINE = 512 };
  lur_layer *layer = lur_model_layer(model, i);
  char shape[LUR_SHAPE_TEXT], inputs[INPUTS], count[32], line[LINE];
  join_inputs(model, i, inputs, sizeof inputs);
  int64_t parameters = layer_parameters(layer);
  int n = snprintf(line, sizeof line, "\n%5d  %-*s  %-*s  %-16s %12s  %-9s  %s", i, width, lur_layer_name(layer), kinds,
                   lur_layer_kind(layer), lur_shape_format(lur_model_layer_shape(model, i), shape),
                   with_commas(parameters, count),
                   parameters == 0              ? ""
                   : lur_layer_trainable(layer) ? "yes"
                                                : "frozen",
                   inputs);
  while (n > 0 && n < LINE && line[n - 1] == ' ') n--;
  luaL_addlstring(out, line, n < LINE ? (size_t)n : LINE - 1);
}

int lur_model_tostring(lua_State *L) {
  const lur_model *model = lur_handle_check(L, 1, &lur_model_class);
  int n = lur_model_layer_count(model), width = 5, kinds = 4;
  for (int i = 0; i < n; i++) {
    int length = (int)strlen(lur_layer_name(lur_model_layer(model, i))),
        kind = (int)strlen(lur_layer_kind(lur_model_layer(model, i)));
    if (length > width) width = length < 96 ? length : 96;
    if (kind > kinds) kinds = kind;
  }
  char line[512], total[32], trainable[32];
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  snprintf(line, sizeof line, "%5s  %-*s  %-*s  %-16s %12s  %-9s  %s", "index", width, "layer", kinds, "kind", "output",
           "parameters", "trainable", "inputs");
  luaL_addstring(&out, line);
  for (int i = 0; i < n; i++) add_row(&out, model, i, width, kinds);
  snprintf(line, sizeof line, "\n%d layers, %s parameters, %s trainable", n,
           with_commas(lur_model_parameters(model, false), total),
           with_commas(lur_model_parameters(model, true), trainable));
  luaL_addstring(&out, line);
  for (int i = 0; i < lur_model_output_count(model); i++) {
    luaL_addstring(&out, i == 0 ? "; outputs: " : ", ");
    luaL_addstring(&out, lur_model_output_name(model, i));
  }
  luaL_pushresult(&out);
  return 1;
}
