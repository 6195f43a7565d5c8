#!/bin/sh
# install.sh - installs into a new folder and uses what is there as a stranger would: the program, the Lua module from a
# stock lua5.4, and examples/embed.c in C and in C++, found by pkg-config and by CMake.
#   sh tests/install.sh BUILD      BUILD: build folder
#   LURCHER_PREFIX=DIR             folder to install to, kept afterwards (default: a temporary one)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${1:?install.sh: name the build folder}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=${LURCHER_PREFIX:-$work/prefix}
preload=${LURCHER_TEST_PRELOAD:-} # under AddressSanitizer, its library for programs that are not built with it
flags=
[ -z "$preload" ] || flags=-fsanitize=address,undefined

cmake --install "$build" --prefix "$prefix" >"$work/log" || { cat "$work/log"; exit 1; }
cd "$prefix"
find . -type f -o -type l | sort
libdir=$(dirname "$(find "$prefix" -name liblurcher.so)")
[ "$(readelf -d "$libdir/liblurcher.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')" = liblurcher.so.0 ]
mv "$prefix" "$prefix.moved" # programs must not depend on where they were installed
mkdir "$work/empty"
cd "$work/empty"
version=$("$prefix.moved"/bin/lurcher -e 'print(lurcher.version)')
"$prefix.moved"/bin/lurcher recipes | grep -q single_model
mv "$prefix.moved" "$prefix"

module=$(dirname "$(find "$prefix" -path '*/lua/5.4/lurcher.so')")
said=$(LD_PRELOAD=$preload ASAN_OPTIONS=detect_leaks=0 LUA_CPATH="$module/?.so;;" lua5.4 -e \
  'local lurcher = require "lurcher" print(lurcher.version, (lurcher.ones{ 2, 3 }:sum()))')
[ "$said" = "$version	6.0" ] || { echo "stock lua5.4 said: $said"; exit 1; }

# embed.c with nothing but the installed headers and library
export PKG_CONFIG_PATH="$libdir/pkgconfig" LD_LIBRARY_PATH="$libdir"
[ "$(pkg-config --modversion lurcher)" = "$version" ]
strict="-Wall -Wextra -Wpedantic -Werror"
# shellcheck disable=SC2046,SC2086 # flags are split on purpose
{
  cc -std=c11 $strict $flags "$root/examples/embed.c" -o embed_c $(pkg-config --cflags --libs lurcher)
  c++ -x c++ -std=c++17 $strict -Wno-missing-field-initializers $flags "$root/examples/embed.c" -o embed_cpp $(pkg-config --cflags --libs lurcher)
}
for header in lurcher base; do # each includes what it needs
  echo "#include <lurcher/$header.h>" >one.c
  # shellcheck disable=SC2046,SC2086
  cc -std=c11 $strict -c one.c $(pkg-config --cflags lurcher) -o one.o
  # shellcheck disable=SC2046,SC2086
  c++ -x c++ -std=c++11 $strict -c one.c $(pkg-config --cflags lurcher) -o one.o
done
mkdir cmake && cd cmake
cat >CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.18)
project(embed LANGUAGES C CXX)
find_package(lurcher $version REQUIRED)
add_executable(embed_cmake $root/examples/embed.c)
target_link_libraries(embed_cmake PRIVATE lurcher::lurcher)
END
cmake -S . -B build -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_FLAGS="$flags" >"$work/log" && cmake --build build >>"$work/log" ||
  { cat "$work/log"; exit 1; }
cd ..

# a model of this library, classified by each program
"$prefix"/bin/lurcher -e 'local nn = lurcher.nn
  lurcher.seed(1)
  local x = nn.input("image", 8, 8, 3)
  local run = nn.model{ breed = nn.dense{ 3, activation = "softmax" }(nn.global_avg_pool(x)) }:compile{ device = "cpu" }
  assert(run:save("model.safetensors", "classes: a b c"))
  assert(lurcher.image.save("image.png", lurcher.zeros({ 8, 8, 3 }, "u8")))'
for program in ./embed_c ./embed_cpp cmake/build/embed_cmake; do
  "$program" model.safetensors image.png >said
  grep -q 'class' said || { cat said; exit 1; }
  cmp -s said first 2>/dev/null || [ ! -f first ] || { echo "$program answers otherwise"; exit 1; }
  cp said first
done
cat first
if command -v man >/dev/null; then
  for page in "$prefix"/share/man/man1/*.1; do
    warnings=$(man --warnings -l -Tutf8 "$page" 2>&1 >/dev/null) && [ -z "$warnings" ] || { echo "$page: $warnings"; exit 1; }
  done
fi
for shell in bash zsh; do # syntax only
  case $shell in bash) file=bash-completion/completions/lurcher ;; *) file=zsh/site-functions/_lurcher ;; esac
  ! command -v $shell >/dev/null || $shell -n "$prefix/share/$file"
done
echo "installed, moved, embedded: version $version"
