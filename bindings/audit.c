/* audit.c - data.audit: faults of datasets, as a list of tables. engine/data/audit.c finds them. */
#include <string.h>

#include "data.h"

static const char audit_type[] = "lurcher.audit.memory";

static int audit_gc(lua_State *L) {
  lur_audit_free(luaL_checkudata(L, 1, audit_type));
  return 0;
}

/* Pushes an empty list of findings, which the collector frees. */
static lur_audit *push_audit(lua_State *L) {
  lur_audit *audit = lua_newuserdatauv(L, sizeof *audit, 0);
  *audit = (lur_audit){0};
  if (luaL_newmetatable(L, audit_type)) {
    lua_pushcfunction(L, audit_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return audit;
}

static void set_index(lua_State *L, const char *key, int64_t index) {
  if (index < 0) return;
  lur_push_index(L, index);
  lua_setfield(L, -2, key);
}

static void push_finding(lua_State *L, lur_dataset *const *sets, const lur_finding *f) {
  lua_createtable(L, 0, 8);
  lur_set_text(L, "kind", lur_finding_name(f->kind));
  lur_set_text(L, "text", f->text);
  set_index(L, "set", f->set);
  set_index(L, "index", f->index);
  lur_set_text(L, "path", lur_dataset_path(sets[f->set], f->index));
  lur_set_text(L, "name", lur_dataset_name(sets[f->set], f->index));
  if (f->other_set < 0) return;
  set_index(L, "other_set", f->other_set);
  set_index(L, "other", f->other);
  lur_set_text(L, "other_path", lur_dataset_path(sets[f->other_set], f->other));
}

int lur_data_audit(lua_State *L) {
  static const char *const known[] = {"tiny", "imbalance", "workers", NULL};
  if (lur_handle_is(L, 1, &lur_set_class)) { /* data.audit(set) */
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    lua_replace(L, 1);
  }
  lua_settop(L, 1);
  if (!lur_args_options(L, 1, "data.audit", known) || lua_rawlen(L, 1) == 0)
    lur_raise(L, "'data.audit' expects datasets: data.audit{ train, valid }");
  lur_audit_options options = {.tiny = (int)lur_args_int(L, 1, "data.audit", "tiny", 32, 1, 1 << 20),
                               .imbalance = lur_args_real(L, 1, "data.audit", "imbalance", 10),
                               .workers = (int)lur_args_int(L, 1, "data.audit", "workers", 0, 0, 64)};
  int n = (int)lua_rawlen(L, 1);
  lur_dataset **sets = lua_newuserdatauv(L, (size_t)n * sizeof *sets, 0);
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, 1, i + 1);
    sets[i] = lur_handle_test(L, -1, &lur_set_class);
    if (sets[i] == NULL)
      lur_args_bad(L, "data.audit", lua_pushfstring(L, "%d", i + 1), "a dataset expected, got %s",
                   luaL_typename(L, -2));
    lua_pop(L, 1);
  }
  lur_audit *audit = push_audit(L);
  lur_check(L, lur_dataset_audit(n, sets, &options, audit));
  lua_createtable(L, (int)audit->nfindings, 2);
  lur_set_integer(L, "checked", audit->checked);
  lur_set_integer(L, "turned", audit->turned);
  for (int64_t i = 0; i < audit->nfindings; i++) {
    push_finding(L, sets, &audit->findings[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}
