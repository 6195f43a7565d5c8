#!/bin/sh
# run.sh - everything that can only be checked on a machine with an NVIDIA GPU, in one call. Prints one line per check
# and the measurements of each part; full logs are in the report folder. The exit code is not 0 if any check failed.
#
#   sh tests/cuda/run.sh [PART ...]        default: build ops errors agree bench recipe sanitize
#     build      configures for this machine's GPUs with -DLURCHER_CUDA=ON and builds. Needs the CUDA toolkit and cuDNN:
#                the system's, or the one that came with LURCHER_PYTHON's PyTorch. Installs missing Debian packages
#     ops        the op suite against ref, graph capture and replay, whole networks: tests/c and tests/ops on cuda
#     errors     a device number that does not exist, too little memory: the message, and that the program continues
#     agree      CPU against GPU: logits within 1e-4, 50 training steps
#     sanitize   compute-sanitizer over the op suite: memcheck, racecheck, initcheck (one tool: sanitize=memcheck). What
#                the last two find in kernels of cuDNN and cuBLASLt is logged and does not count as a failure
#     bench      speed beside the PyTorch on this machine: eager and compiled, channels_last, AMP bf16 (three rows:
#                bench=quick)
#     recipe     froze_fine_tune on the images of LURCHER_DATA (a folder with train/ and valid/), from the Xception
#                weights LURCHER_WEIGHTS: its time, and the share of it spent waiting for images
#     pack       not run by default: copies programs and libraries to the folder LURCHER_PACK, for a GPU machine that
#                cannot build
#     pack-data  not run by default: copies the images of LURCHER_DATA that the recipe reads to LURCHER_PACK/data, at
#                most 60 MiB
#
#   LURCHER_SMALL=1  every part at toy size: tests this script, on the emulator too, and measures nothing
#   LURCHER_BUILD    build folder, or a folder made by `pack` (default: build-gpu in the project's folder)
#   LURCHER_REPORT   folder for logs (default: LURCHER_BUILD/report)
#   LURCHER_PYTHON   a python3 with torch (default: the first of python3, python and some usual folders that has it)
#   LURCHER_SHARED   folder of shared data: LURCHER_DATA defaults to data/dogs24 in it, LURCHER_WEIGHTS to
#                    data/weights/xception_imagenet_notop.h5
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${LURCHER_BUILD:-$root/build-gpu}
report=${LURCHER_REPORT:-$build/report}
small=${LURCHER_SMALL:-}
size=299 width=1 batch=64 iterations=20
[ -z "$small" ] || size=71 width=0.03 batch=2 iterations=1
failed=0
export LURCHER_REQUIRE=cuda
PATH=$PATH:/usr/local/cuda/bin:/usr/local/cuda/compute-sanitizer # where toolkits are installed, often outside PATH
if [ -d "$build/lib" ]; then # a folder made by `pack`
  export LD_LIBRARY_PATH="$build:$build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
if [ -n "${LURCHER_SHARED:-}" ]; then
  images=$LURCHER_SHARED/data/dogs24 weights=$LURCHER_SHARED/data/weights/xception_imagenet_notop.h5
  [ -n "${LURCHER_DATA:-}" ] || ! [ -d "$images/train" ] || LURCHER_DATA=$images
  [ -n "${LURCHER_WEIGHTS:-}" ] || [ -n "$small" ] || ! [ -f "$weights" ] || LURCHER_WEIGHTS=$weights
fi
mkdir -p "$report"

# check NAME COMMAND...: runs the command, logs its output, prints whether it passed and how long it took.
check() {
  name=$1
  shift
  began=$(date +%s)
  if "$@" >"$report/$name.log" 2>&1; then word=passed; else word=FAILED failed=1; fi
  printf '%-28s %s, %d s\n' "$name" "$word" "$(($(date +%s) - began))"
  [ "$word" = passed ] || tail -n 15 "$report/$name.log"
}

# Sets $python to one that has PyTorch; if there is none, to python3, and part_bench reports the missing peer.
find_python() {
  for python in ${LURCHER_PYTHON:-python3 python /opt/conda/bin/python /opt/venv/bin/python /usr/bin/python3}; do
    [ -n "${LURCHER_PYTHON:-}" ] && return 0
    "$python" -c 'import torch' 2>/dev/null && return 0
  done
  python=python3
}

# Folders of cuDNN and cuBLASLt in PyTorch's wheels, for a machine that has these libraries nowhere else.
wheel_folders() {
  "$python" -c 'import glob, os, torch
for f in sorted(glob.glob(os.path.join(os.path.dirname(os.path.dirname(torch.__file__)), "nvidia", "*", "'"$1"'"))):
    print(f)' 2>/dev/null
}

find_libraries() {
  LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}" ldd "$build/lurcher_cuda.so" 2>/dev/null | grep -q 'not found' || return 0
  LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$(wheel_folders lib | tr '\n' ':')$build"
  export LD_LIBRARY_PATH
}

# The kinds of ops in the suite.
kinds() { [ -z "$small" ] && all_kinds || echo "gather copy"; }
all_kinds() { tr '\n' ' ' <"$root/CMakeLists.txt" | sed 's/.*set(TEST_OPS \([^)]*\)).*/\1/'; }

part_build() {
  # shellcheck source=tests/packages.sh
  (. "$root/tests/packages.sh" && need_packages) || echo "build: continuing without the missing packages"
  header=
  for own in /usr/include/cudnn.h /usr/include/*/cudnn.h /usr/local/cuda/include/cudnn.h; do
    [ ! -f "$own" ] || break
  done
  [ -f "$own" ] ||
    header=$(wheel_folders include | while read -r folder; do [ ! -f "$folder/cudnn.h" ] || echo "$folder"; done |
      head -n 1)
  check build sh -c "CUDNN_ROOT='${CUDNN_ROOT:-${header%/include}}' cmake -S '$root' -B '$build' -DLURCHER_CUDA=ON &&
    cmake --build '$build' -j '$(nproc)'"
  ls -l "$build/lurcher_cuda.so" 2>/dev/null
  find_libraries
}

part_ops() {
  for kind in $(kinds); do check "ops_$kind" "$build/test_ops" --compare --device cuda "$kind"; done
  check device "$build/test_cuda"
  check model "$build/test_model" cuda
  check capture "$build/test_capture" cuda
  check script "$build/lurcher" "$root/tests/lua/run.lua" gpu
  check capture_sync env LURCHER_SYNC=1 "$build/test_capture" cuda "refused: LURCHER_SYNC=1"
}

part_errors() {
  check devices "$build/lurcher" devices
  check no_such_device "$build/lurcher" -e 'local good, why = pcall(require "lurcher".device, "cuda:99")
    print(why); assert(not good and why:find "no CUDA device: cuda:99 requested", why)
    assert(require "lurcher".tensor{ 1, 2 }:sum() == 3)'
  check out_of_memory "$build/lurcher" -e 'local lurcher = require "lurcher"
    local device, held, host = lurcher.device "cuda", {}, lurcher.zeros(1 << (os.getenv "LURCHER_SMALL" and 20 or 28))
    local good, why = pcall(function() for i = 1, 400 do held[i] = host:to(device) end end)
    print(why); assert(not good and why:find "no memory for", why)
    held = nil; collectgarbage()
    assert(lurcher.ones(4):to(device):to "cpu":sum() == 4)'
}

part_agree() {
  check agree "$build/lurcher" "$root/tests/cuda/agree.lua" cuda "$size" "$width" ${small:+3}
  cat "$report/agree.log"
}

# The names of Lurcher's kernels as a pattern for grep -E.
our_kernels() {
  grep -oh '[a-z_]*_kernel' "$root"/kernels/cuda/*.cu "$root"/kernels/cuda/*.cuh | sort -u | tr '\n' '|' | sed 's/|$//'
}

# sanitized TOOL KIND: without --report-api-errors no, memcheck also reports failed API calls, which the suite causes on
# purpose.
sanitized() {
  case $1 in memcheck) set -- "$@" --report-api-errors no ;; *) set -- "$@" --print-limit 1000 ;; esac
  timeout 580 compute-sanitizer --tool "$1" --error-exitcode 9 "$3" "$4" "$build/test_ops" --compare --device cuda "$2"
  code=$?
  [ "$code" != 124 ] || echo "sanitize: stopped after 580 s"
  return "$code"
}

# A report of racecheck or initcheck that names none of Lurcher's kernels is about a library's and passes.
sanitize() {
  sanitized "$1" "$2" >"$report/$1-$2.out" 2>&1
  code=$?
  cat "$report/$1-$2.out"
  [ "$code" = 9 ] && [ "$1" != memcheck ] || return "$code"
  grep -q '^ok ' "$report/$1-$2.out" || return 1
  ! grep '^=====' "$report/$1-$2.out" | grep -Eqw "$(our_kernels)" || return 1
  echo "sanitize: none of these reports is about a kernel of Lurcher's"
}

part_sanitize() {
  if ! command -v compute-sanitizer >/dev/null 2>&1; then
    echo "sanitize: compute-sanitizer not found (it comes with the CUDA toolkit)"
    failed=1
    return
  fi
  for tool in $1; do
    for kind in $(kinds); do check "$tool-$kind" sanitize "$tool" "$kind"; done
  done
}

# bench ROW...: WORK:BATCH:PRECISION:PEER. Without PyTorch there is no ratio: Lurcher is timed alone, and the part
# fails.
bench() {
  for row in "$@"; do
    IFS=: read -r work rows precision peer <<END
$row
END
    name=bench-$work-$rows-$precision-$peer
    if [ -n "$torch" ]; then
      check "$name" env LURCHER_BENCH_DEVICE=cuda LURCHER_BENCH_PRECISION="$precision" LURCHER_BENCH_PEER="$peer" \
        LURCHER_BENCH_PYTHON="$python" LURCHER_BENCH_ROUNDS=3 LURCHER_BENCH_ITERATIONS=$iterations \
        LURCHER_BENCH_SIZE=$size LURCHER_BENCH_WIDTH=$width \
        "$build/lurcher" "$root/tests/bench/xception.lua" "$work:$rows"
    else
      check "$name" "$build/lurcher" "$root/tests/bench/worker.lua" "$work" "$rows" "$iterations" "$size" cuda \
        "$precision" "$width"
    fi
    tail -n 1 "$report/$name.log"
  done
}

part_bench() {
  torch=$("$python" -c 'import torch; print(torch.__version__)' 2>&1) || torch=
  if [ -n "$torch" ]; then
    echo "peer: PyTorch $torch"
  else
    echo "peer: none, $python has no torch (set LURCHER_PYTHON to a python that has)"
    failed=1
  fi
  bench "train:$batch:bf16:eager" "train:$batch:bf16:compile" inference:1:bf16:eager
  [ "$1" = quick ] && return
  bench "inference:$((2 * batch)):bf16:compile" "train:$batch:f32:eager" "train:$batch:tf32:eager" \
    "train:$batch:f16:eager" inference:1:f32:eager
  for precision in f32 bf16; do
    check "floor-$precision" "$build/lurcher" "$root/tests/cuda/floor.lua" cuda "$batch" "$precision" "$size" "$width"
    cat "$report/floor-$precision.log"
  done
}

part_recipe() {
  if [ -z "${LURCHER_DATA:-}" ]; then
    echo "recipe: no images: set LURCHER_DATA to a folder with train/ and valid/, or LURCHER_SHARED"
    failed=1
    return
  fi
  rm -rf "$report/froze_fine_tune" # of an earlier run: the recipe does not overwrite a run folder
  check recipe "$build/lurcher" froze_fine_tune --data "$LURCHER_DATA" --device cuda --out "$report/froze_fine_tune" \
    --cache none \
    ${LURCHER_WEIGHTS:+--weights "$LURCHER_WEIGHTS" --feature-layer add_12} \
    ${small:+--size 48 --width 0.125 --middle 1 --tune-from 20 --batch 8 --steps 2 --epochs 1 --frozen-epochs 1}
  tail -n 12 "$report/recipe.log"
  find "$report/froze_fine_tune" -name history.csv | while read -r history; do
    awk -F, -v name="${history#"$report/"}" '
      NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
      { all += $at["seconds"]; waited += $at["wait_seconds"]; epochs++ }
      END {
        text = "%s: %d epochs, %.1f s, %.1f %% of them waiting for images\n"
        if (all > 0) printf text, name, epochs, all, 100 * waited / all
      }' "$history"
  done
}

# Copies the programs and all their libraries except libc's and NVIDIA's.
part_pack() {
  to=${LURCHER_PACK:?pack: set it to the folder to copy programs and libraries to}
  mkdir -p "$to/lib"
  cp "$build"/lurcher "$build"/liblurcher.so.[0-9] "$build"/lurcher_cuda.so "$build"/test_ops "$build"/test_cuda \
    "$build"/test_model "$build"/test_capture "$to" || failed=1
  ldd "$to"/* 2>/dev/null | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | sort -u |
    grep -Ev '/(libc|libm|libpthread|libdl|librt|ld-linux[^/]*|libcud[^/]*|libcublas[^/]*|liblurcher)\.so' |
    xargs -r cp -L -t "$to/lib"
  strip "$to"/lib/* "$to"/lurcher "$to"/*.so* "$to"/test_* 2>/dev/null
  du -sh "$to"
}

# Copies train/ and valid/, which is all that the recipe reads.
part_pack_data() {
  to=${LURCHER_PACK:?pack-data: set it to the folder to copy images to}/data
  mkdir -p "$to"
  cp -r "${LURCHER_DATA:?pack-data: set it to a folder with train/ and valid/}/train" "$LURCHER_DATA/valid" "$to" ||
    failed=1
  kilobytes=$(du -sk --apparent-size "$to" | cut -f1)
  echo "$to: $((kilobytes / 1024)) MiB"
  [ "$kilobytes" -lt 61440 ] || { echo "pack-data: more than 60 MiB of images: use fewer classes" && failed=1; }
}

[ $# -gt 0 ] || set -- build ops errors agree bench recipe sanitize
find_python
find_libraries
for part in "$@"; do
  echo "== $part"
  case $part in
    build | ops | errors | agree | recipe | pack) "part_$part" ;;
    pack-data) part_pack_data ;;
    sanitize) part_sanitize "memcheck racecheck initcheck" ;;
    sanitize=*) part_sanitize "${part#sanitize=}" ;;
    bench) part_bench all ;;
    bench=quick) part_bench quick ;;
    *) echo "unknown part '$part': see the comment at the top of tests/cuda/run.sh" && exit 2 ;;
  esac
done
echo "== report in $report"
exit "$failed"
