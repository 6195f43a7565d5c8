#!/bin/sh
# coverage.sh - builds with gcov in a folder of its own, runs the tests, prints the share of lines that ran, by folder,
# and the files below a limit. Kernels for processors and GPUs that this machine lacks do not run.
#
#   sh tests/coverage.sh [CTEST-ARGUMENT...]      all tests (about 20 minutes), or those that ctest selects
#   LURCHER_BUILD=DIR   build folder (default: build-coverage)      COVERAGE_LEAST=80   limit for the list of files
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=${LURCHER_BUILD:-$root/build-coverage}
least=${COVERAGE_LEAST:-80}
command -v gcov >/dev/null || { echo "coverage.sh needs gcov, which comes with gcc" >&2; exit 1; }
cmake -S "$root" -B "$build" -GNinja -DCMAKE_BUILD_TYPE=Debug -DLURCHER_CUDA=OFF \
  -DCMAKE_C_FLAGS="--coverage -O1 -fprofile-update=atomic" -DCMAKE_CXX_FLAGS="--coverage -O1" \
  -DCMAKE_EXE_LINKER_FLAGS=--coverage -DCMAKE_SHARED_LINKER_FLAGS=--coverage -DCMAKE_MODULE_LINKER_FLAGS=--coverage >/dev/null
cmake --build "$build"
find "$build" -name '*.gcda' -delete
(cd "$build" && ctest --output-on-failure --timeout 1200 "$@") || echo "some tests failed: coverage follows all the same"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
find "$build" -name '*.gcda' | while read -r file; do gcov -j -t -o "$(dirname "$file")" "$file" 2>/dev/null; done >all.json
"${LURCHER_PROGRAM:-$build/lurcher}" "$root/tests/coverage.lua" "$root" "$least" <all.json
