#!/bin/sh
# run.sh - builds Lurcher and runs every test; CI runs it too. Installs missing Debian packages. Works from any
# directory; its arguments are passed on to ctest (sh tests/run.sh -R xception). See tests/README.md.
#   LURCHER_SHARED=DIR     folder of shared data; tests that need it are skipped without it
#   LURCHER_SANITIZE=1     build with AddressSanitizer and UndefinedBehaviorSanitizer, in build-sanitize/
#   LURCHER_CUDA_ALL=1     build the CUDA plugin for every compute capability instead of a few (takes minutes)
#   LURCHER_REQUIRE=nvcc   a missing CUDA toolkit is an error; by default the plugin is then left out, with a message
#   LURCHER_REQUIRE=cuda   the same, and a missing GPU is an error too
#   LURCHER_BUILD=DIR      build folder (default: build, or build-sanitize)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tests/packages.sh"

flags=-DCMAKE_BUILD_TYPE=Release
build=${LURCHER_BUILD:-$root/build}
[ "${LURCHER_CUDA_ALL:-0}" = 0 ] || flags="$flags -DLURCHER_CUDA_ALL=ON"
case ${LURCHER_REQUIRE:-} in *nvcc* | *cuda*) flags="$flags -DLURCHER_CUDA=ON" ;; esac
if [ "${LURCHER_SANITIZE:-0}" = 1 ]; then
  # The CUDA kernels are sanitized on the emulator; nvcc cannot build them with a sanitizer.
  flags="-DLURCHER_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLURCHER_CUDA=OFF"
  build=${LURCHER_BUILD:-$root/build-sanitize}
fi

LURCHER_PACKAGES="$LURCHER_PACKAGES locales" # lua_locale makes locales with localedef
need_packages
generator=
[ -f "$build/CMakeCache.txt" ] || generator=-GNinja
# shellcheck disable=SC2086 # flags are split on purpose
cmake -S "$root" -B "$build" $generator $flags
cmake --build "$build"
cd "$build"
# Threads that spin while they wait make a busy machine several times slower; results do not depend on it.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
exec ctest --output-on-failure "$@"
