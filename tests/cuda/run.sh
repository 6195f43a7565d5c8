#!/bin/sh
# run.sh - everything that can only be checked on a machine with an NVIDIA GPU, in one call. Prints a line a part and
# the figures last; logs and figures lie in the report folder. It ends with an error when any part failed.
#
#   sh tests/cuda/run.sh [PART ...]        default: build ops errors agree bench recipe sanitize
#     build      configures for this machine's GPUs with -DLURCHER_CUDA=ON and builds (needs the CUDA toolkit and cuDNN,
#                its own or the one of LURCHER_PYTHON's PyTorch; Debian's packages are installed where they are missing)
#     ops        the op suite against ref, recorded steps, whole networks: tests/c and tests/ops on cuda
#     errors     a wrong device number, memory that does not suffice: the message, and the program alive
#     agree      CPU against GPU: logits within 1e-4, 50 training steps
#     sanitize   compute-sanitizer over the op suite: memcheck, racecheck, initcheck (memcheck: sanitize=memcheck). What
#                the last two find in kernels that are not ours (cuDNN's, cuBLASLt's) is counted, and no failure
#     bench      beside the PyTorch on this machine, eager and compiled, channels_last, AMP bf16; bench=quick: three
#                rows
#     recipe     froze_fine_tune on the images of LURCHER_DATA (a folder with train/ and valid/; dogs24 in ../shared
#                where it is there), from the weights LURCHER_WEIGHTS (Xception's, likewise); its time, and the data
#                pipeline's share of it
#     pack       only when named: puts programs and libraries in the folder LURCHER_PACK, for a GPU machine that cannot
#                build
#     pack-data  only when named: what the recipe reads of LURCHER_DATA goes to LURCHER_PACK/data, at most 60 MiB of it
#
#   LURCHER_SMALL=1  every part at toy size: tries the script out, on the emulator too, and measures nothing
#   LURCHER_BUILD    the build folder (build-gpu beside tests/); a packed folder does too
#   LURCHER_REPORT   where logs go (LURCHER_BUILD/report)
#   LURCHER_PYTHON   a python3 with torch (the first of python3, python and the usual folders that has it)
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${LURCHER_BUILD:-$root/build-gpu}
report=${LURCHER_REPORT:-$build/report}
small=${LURCHER_SMALL:-}
size=299 width=1 batch=64 iterations=20
[ -z "$small" ] || size=71 width=0.03 batch=2 iterations=1
failed=0
export LURCHER_REQUIRE=cuda
PATH=$PATH:/usr/local/cuda/bin:/usr/local/cuda/compute-sanitizer # toolkits stand there and are often on no path
if [ -d "$build/lib" ]; then # packed
  export LD_LIBRARY_PATH="$build:$build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
shared=$(cd "$root/.." && pwd)/shared/data
[ -n "${LURCHER_DATA:-}" ] || ! [ -d "$shared/dogs24/train" ] || LURCHER_DATA=$shared/dogs24
[ -n "${LURCHER_WEIGHTS:-}" ] || [ -n "$small" ] || ! [ -f "$shared/weights/xception_imagenet_block1-13.h5" ] ||
  LURCHER_WEIGHTS=$shared/weights/xception_imagenet_block1-13.h5
mkdir -p "$report"

# check NAME COMMAND...: runs it, logs it, says how it went.
check() {
  name=$1
  shift
  began=$(date +%s)
  if "$@" >"$report/$name.log" 2>&1; then word=passed; else word=FAILED failed=1; fi
  printf '%-28s %s, %d s\n' "$name" "$word" "$(($(date +%s) - began))"
  [ "$word" = passed ] || tail -n 15 "$report/$name.log"
}

# The python that has PyTorch; without one, python3, and the peer is missed where it is needed.
find_python() {
  for python in ${LURCHER_PYTHON:-python3 python /opt/conda/bin/python /opt/venv/bin/python /usr/bin/python3}; do
    [ -n "${LURCHER_PYTHON:-}" ] && return 0
    "$python" -c 'import torch' 2>/dev/null && return 0
  done
  python=python3
}

# PyTorch's wheels bring cuDNN and cuBLASLt: the folders of both, where a machine has them from nowhere else.
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

# The kinds of op that the suite knows.
kinds() { [ -z "$small" ] && all_kinds || echo "gather copy"; }
all_kinds() { tr '\n' ' ' <"$root/CMakeLists.txt" | sed 's/.*set(TEST_OPS \([^)]*\)).*/\1/'; }

part_build() {
  # shellcheck source=tests/packages.sh
  (. "$root/tests/packages.sh" && need_packages) || echo "build: trying without"
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
    print(why); assert(not good and why:find "no CUDA device: cuda:99 asked for", why)
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

# Our kernels, as a pattern.
our_kernels() {
  grep -oh '[a-z_]*_kernel' "$root"/kernels/cuda/*.cu "$root"/kernels/cuda/*.cuh | sort -u | tr '\n' '|' | sed 's/|$//'
}

# sanitized TOOL KIND: memcheck finds what a call of the API refuses too, which the suite provokes on purpose.
sanitized() {
  case $1 in memcheck) set -- "$@" --report-api-errors no ;; *) set -- "$@" --print-limit 1000 ;; esac
  timeout 580 compute-sanitizer --tool "$1" --error-exitcode 9 "$3" "$4" "$build/test_ops" --compare --device cuda "$2"
  code=$?
  [ "$code" != 124 ] || echo "sanitize: stopped after 580 s"
  return "$code"
}

# A report of racecheck or initcheck that names no kernel of ours is about a library.
sanitize() {
  sanitized "$1" "$2" >"$report/$1-$2.out" 2>&1
  code=$?
  cat "$report/$1-$2.out"
  [ "$code" = 9 ] && [ "$1" != memcheck ] || return "$code"
  grep -q '^ok ' "$report/$1-$2.out" || return 1
  ! grep '^=====' "$report/$1-$2.out" | grep -Eqw "$(our_kernels)" || return 1
  echo "sanitize: nothing of this is about a kernel of ours"
}

part_sanitize() {
  if ! command -v compute-sanitizer >/dev/null 2>&1; then
    echo "sanitize: no compute-sanitizer here (it comes with the CUDA toolkit)"
    failed=1
    return
  fi
  for tool in $1; do
    for kind in $(kinds); do check "$tool-$kind" sanitize "$tool" "$kind"; done
  done
}

# bench ROW...: WORK:BATCH:PRECISION:PEER. Without PyTorch there is no ratio: ours is timed alone, and the part fails.
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
    echo "peer: none, $python has no torch (LURCHER_PYTHON names one that has)"
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
    echo "recipe: LURCHER_DATA names no folder of images, and there is no $shared/dogs24"
    failed=1
    return
  fi
  rm -rf "$report/froze_fine_tune" # of a run before; the recipe refuses to write over one
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
        text = "%s: %d epochs, %.1f s, %.1f %% of it waiting for images\n"
        if (all > 0) printf text, name, epochs, all, 100 * waited / all
      }' "$history"
  done
}

# Everything that the programs need but libc and NVIDIA's own.
part_pack() {
  to=${LURCHER_PACK:?pack: LURCHER_PACK names no folder}
  mkdir -p "$to/lib"
  cp "$build"/lurcher "$build"/liblurcher.so "$build"/lurcher_cuda.so "$build"/test_ops "$build"/test_cuda \
    "$build"/test_model "$build"/test_capture "$to" || failed=1
  ldd "$to"/* 2>/dev/null | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | sort -u |
    grep -Ev '/(libc|libm|libpthread|libdl|librt|ld-linux[^/]*|libcud[^/]*|libcublas[^/]*|liblurcher)\.so' |
    xargs -r cp -L -t "$to/lib"
  strip "$to"/lib/* "$to"/lurcher "$to"/*.so "$to"/test_* 2>/dev/null
  du -sh "$to"
}

# train/ and valid/ whole, which is all that the recipe reads.
part_pack_data() {
  to=${LURCHER_PACK:?pack-data: LURCHER_PACK names no folder}/data
  mkdir -p "$to"
  cp -r "${LURCHER_DATA:?pack-data: LURCHER_DATA names no folder of images}/train" "$LURCHER_DATA/valid" "$to" ||
    failed=1
  kilobytes=$(du -sk --apparent-size "$to" | cut -f1)
  echo "$to: $((kilobytes / 1024)) MiB"
  [ "$kilobytes" -lt 61440 ] || { echo "pack-data: more than 60 MiB of images: take fewer classes" && failed=1; }
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
    *) echo "no such part: $part (see the head of this file)" && exit 2 ;;
  esac
done
echo "== report in $report"
exit "$failed"
