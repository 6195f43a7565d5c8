-- For LuaRocks, from the project's folder: luarocks make bindings/install/lurcher-scm-1.rockspec
-- The packages that tests/packages.sh lists must be installed; the rock holds the module, the program and liblurcher.
rockspec_format = "3.0"
package = "lurcher"
version = "scm-1"
source = { url = "git+file://." }
description = {
  summary = "A scriptable deep-learning engine: a C core with Lua 5.4",
  license = "MIT",
}
dependencies = { "lua ~> 5.4", "luafilesystem" }
build = {
  type = "cmake",
  variables = {
    CMAKE_BUILD_TYPE = "Release",
    CMAKE_INSTALL_PREFIX = "$(PREFIX)",
    CMAKE_INSTALL_LIBDIR = "libexec", -- stays in the rock; the module is moved
    LURCHER_LUA_DIR = "$(LIBDIR)",
    LURCHER_CUDA = "OFF",
    LURCHER_TESTS = "OFF",
  },
}
