/* keras_config.c - see keras_config.h. The text of a model as Keras 3 and tf_keras write it:
 *
 *   {"class_name": "Functional", "config": {"name": "...", "layers": [
 *     {"module": "keras.layers", "class_name": "Conv2D", "config": {"name": "stem", ...}, ...},
 *     {"class_name": "Functional", "config": {"name": "...", "layers": [...]}}, ...]}}
 *
 * A group of weights is named after its layer's class in snake case, with a counter over the layers of that name in
 * model.layers: conv2d, conv2d_1, ... (Keras 3.15 keras/src/saving/saving_lib.py, _save_container_state, and
 * keras/src/utils/naming.py, to_snake_case). Operations, which are in the list but are no layers, do not count. */
#include "keras_config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/json.h"
#include "files.h"

enum { MAX_LEVELS = 8, MAX_CLASS = 128 };

typedef struct entry {
  char group[2 * MAX_CLASS]; /* without the counter */
  int index;
  const char *name;
  lur_keras_level *below;
} entry;

struct lur_keras_level {
  int n;
  entry *entries; /* sorted by group, then by index */
};

struct lur_keras_config {
  cJSON *tree;
  lur_keras_level *top;
};

/* ---- classes to groups ---- */

/* An underscore goes before a capital that follows a small letter, and before one that begins a word. */
static void to_snake_case(const char *class, char *to) {
  size_t length = strlen(class), at = 0;
  for (size_t i = 0; i < length && i < MAX_CLASS - 1; i++) {
    unsigned char c = (unsigned char)class[i];
    bool capital = isupper(c), word = capital && islower((unsigned char)class[i + 1]);
    if (i > 0 && capital && (word || islower((unsigned char)class[i - 1]))) to[at++] = '_';
    to[at++] = (char)tolower(c);
  }
  to[at] = '\0';
}

static const char *text_of(const cJSON *object, const char *key) {
  return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static bool is_layer(const cJSON *item) { /* rather than an operation */
  const char *module = text_of(item, "module");
  if (module != NULL && (strncmp(module, "keras.src.ops", 13) == 0 || strncmp(module, "keras.ops", 9) == 0))
    return false;
  return text_of(item, "class_name") != NULL;
}

/* ---- levels ---- */

static int by_group(const void *a, const void *b) {
  const entry *x = a, *y = b;
  int order = strcmp(x->group, y->group);
  return order != 0 ? order : x->index - y->index;
}

static void free_level(lur_keras_level *level) {
  if (level == NULL) return;
  for (int i = 0; i < level->n; i++) free_level(level->entries[i].below);
  free(level->entries);
  free(level);
}

static lur_status make_level(const cJSON *model, int depth, lur_keras_level **level);

static lur_status add_entry(lur_keras_level *level, const cJSON *layer, int index, int depth) {
  const cJSON *config = cJSON_GetObjectItemCaseSensitive(layer, "config");
  const char *class = text_of(layer, "class_name"), *name = text_of(config, "name");
  if (!is_layer(layer)) return LUR_OK;
  entry *to = &level->entries[level->n++];
  *to = (entry){.index = index, .name = name != NULL ? name : text_of(layer, "name")};
  to_snake_case(class, to->group);
  return make_level(config, depth + 1, &to->below);
}

/* model: its config. *level stays NULL where that has no list of layers. */
static lur_status make_level(const cJSON *model, int depth, lur_keras_level **level) {
  const cJSON *layers = cJSON_GetObjectItemCaseSensitive(model, "layers"), *layer = NULL;
  if (!cJSON_IsArray(layers) || depth > MAX_LEVELS) return LUR_OK;
  lur_keras_level *made = NULL;
  LUR_TRY(lur_alloc_items(1, sizeof *made, &made));
  *level = made; /* from here on freed with what holds it */
  size_t n = 0;
  int index = 0;
  cJSON_ArrayForEach(layer, layers) n += is_layer(layer);
  LUR_TRY(lur_alloc_items(n + 1, sizeof *made->entries, &made->entries));
  cJSON_ArrayForEach(layer, layers) LUR_TRY(add_entry(made, layer, index++, depth));
  qsort(made->entries, (size_t)made->n, sizeof *made->entries, by_group);
  return LUR_OK;
}

static const entry *first_of(const lur_keras_level *level, const char *group, size_t length) {
  int low = 0, high = level->n;
  while (low < high) {
    int middle = low + (high - low) / 2;
    const char *here = level->entries[middle].group;
    int order = strncmp(here, group, length);
    if (order < 0) low = middle + 1; /* longer ones that begin alike come after it */
    else high = middle;
  }
  bool same = low < level->n && strncmp(level->entries[low].group, group, length) == 0 &&
              level->entries[low].group[length] == '\0';
  return same ? &level->entries[low] : NULL;
}

/* The entry of "conv2d_3": the fourth of the group conv2d; or the only one of a class whose name ends in _3. */
static const entry *find(const lur_keras_level *level, const char *group) {
  if (level == NULL) return NULL;
  const char *line = strrchr(group, '_');
  long k = 0;
  const entry *first = NULL;
  if (line != NULL && isdigit((unsigned char)line[1]) && strlen(line + 1) < 9) {
    char *end;
    k = strtol(line + 1, &end, 10);
    if (*end == '\0') first = first_of(level, group, (size_t)(line - group));
  }
  if (first == NULL) return first_of(level, group, strlen(group));
  bool there = k < level->n - (first - level->entries) && strcmp(first[k].group, first->group) == 0;
  return there ? first + k : NULL;
}

const char *lur_keras_level_name(const lur_keras_level *level, const char *group) {
  const entry *found = find(level, group);
  return found == NULL ? NULL : found->name;
}

const lur_keras_level *lur_keras_level_below(const lur_keras_level *level, const char *group) {
  const entry *found = find(level, group);
  return found == NULL ? NULL : found->below;
}

/* ---- the text ---- */

lur_status lur_keras_config_open(const char *path, lur_keras_config **config) {
  static const char *const member = "config.json";
  void *bytes = NULL;
  size_t count = 0;
  lur_keras_config *made = NULL;
  bool has = false;
  LUR_TRY(lur_zip_has(path, member, &has));
  if (!has) return LUR_OK;
  LUR_TRY(lur_zip_read(path, member, &bytes, &count));
  lur_status status = lur_alloc_items(1, sizeof *made, &made);
  if (status == LUR_OK && (status = lur_json_parse(bytes, &made->tree)) == LUR_EFORMAT)
    status = lur_blame(status, "'%s' is damaged: '%s'", path, member);
  free(bytes);
  if (status == LUR_OK) status = make_level(cJSON_GetObjectItemCaseSensitive(made->tree, "config"), 0, &made->top);
  if (status == LUR_OK && made->top != NULL) {
    *config = made;
    return LUR_OK;
  }
  lur_keras_config_close(made);
  return status;
}

void lur_keras_config_close(lur_keras_config *config) {
  if (config == NULL) return;
  free_level(config->top);
  cJSON_Delete(config->tree);
  free(config);
}

const lur_keras_level *lur_keras_config_top(const lur_keras_config *config) {
  return config == NULL ? NULL : config->top;
}
