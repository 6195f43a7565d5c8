/* data.c - the module lurcher.data: a table of what dataset.c, audit.c, augment.c, loader.c, transform.c, cache.c and
 * random.c do. */
#include "data.h"

#include "modules.h"
#include "transform.h"

int lur_open_data(lua_State *L) {
  static const luaL_Reg functions[] = {{"folder", lur_data_folder},
                                       {"flat", lur_data_flat},
                                       {"list", lur_data_list},
                                       {"audit", lur_data_audit},
                                       {"augment", lur_data_augment},
                                       {"augment_options", lur_data_augment_options},
                                       {"loader", lur_data_loader},
                                       {"loader_options", lur_data_loader_options},
                                       {"cache", lur_data_cache},
                                       {"cache_info", lur_data_cache_info},
                                       {"cache_remove", lur_data_cache_remove},
                                       {"random", lur_data_random},
                                       {"transform_hash", lur_data_transform_hash},
                                       {"numpy_random", lur_data_numpy_random},
                                       {NULL, NULL}};
  lur_register_dataset(L);
  lur_register_augment(L);
  lur_register_loader(L);
  lur_register_cache(L);
  lur_register_random(L);
  luaL_newlib(L, functions);
  return 1;
}
