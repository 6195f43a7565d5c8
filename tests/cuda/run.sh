#!/bin/sh
# run.sh - everything that can only be checked on a machine with an NVIDIA GPU, in one call. Prints a line a part and the
# figures last; logs and figures lie in the report folder. It ends with an error when any part failed.
#
#   sh tests/cuda/run.sh [PART ...]        default: build ops errors agree sanitize bench recipe
#     build      configures for this machine's GPUs with -DLURCHER_CUDA=ON and builds (needs the CUDA toolkit and cuDNN)
#     ops        the op suite against ref, recorded steps, whole networks: tests/c and tests/ops on cuda
#     errors     a wrong device number, memory that does not suffice: the message, and the program alive
#     agree      CPU against GPU: logits within 1e-4, 50 training steps
#     sanitize   compute-sanitizer over the op suite: memcheck, racecheck, initcheck (memcheck: sanitize=memcheck)
#     bench      beside the PyTorch on this machine, eager and compiled, channels_last, AMP bf16; bench=quick: three rows
#     recipe     froze_fine_tune on the pictures of LURCHER_DATA (a folder with train/ and valid/), from the weights LURCHER_WEIGHTS
#     pack       only when named: puts programs and libraries in the folder LURCHER_PACK, for a GPU machine that cannot build
#     pack-data  only when named: what the recipe reads of LURCHER_DATA goes to LURCHER_PACK/data, at most 60 MiB of it
#
#   LURCHER_SMALL=1  every part at toy size: tries the script out, on the emulator too, and measures nothing
#   LURCHER_BUILD    the build folder (build-gpu beside tests/); a packed folder does too
#   LURCHER_REPORT   where logs go (LURCHER_BUILD/report)
#   LURCHER_PYTHON   a python3 with torch (python3)
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${LURCHER_BUILD:-$root/build-gpu}
report=${LURCHER_REPORT:-$build/report}
python=${LURCHER_PYTHON:-python3}
small=${LURCHER_SMALL:-}
size=299 width=1 batch=64 iterations=20
[ -z "$small" ] || size=71 width=0.03 batch=2 iterations=1
failed=0
export LURCHER_REQUIRE=cuda
if [ -d "$build/lib" ]; then # packed
  export LD_LIBRARY_PATH="$build:$build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
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

# The kinds of op that the suite knows.
kinds() { [ -z "$small" ] && all_kinds || echo "gather copy"; }
all_kinds() { tr '\n' ' ' <"$root/CMakeLists.txt" | sed 's/.*set(TEST_OPS \([^)]*\)).*/\1/'; }

part_build() {
  check build sh -c "cmake -S '$root' -B '$build' -DLURCHER_CUDA=ON && cmake --build '$build' -j '$(nproc)'"
  ls -l "$build/lurcher_cuda.so" 2>/dev/null
}

part_ops() {
  for kind in $(kinds); do check "ops_$kind" "$build/test_ops" --compare --device cuda "$kind"; done
  check device "$build/test_cuda"
  check model "$build/test_model" cuda
  check record "$build/test_record" cuda
  check script "$build/lurcher" "$root/tests/lua/run.lua" gpu
  LURCHER_SYNC=1 check record_sync "$build/test_record" cuda "refused: LURCHER_SYNC=1"
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

part_sanitize() {
  command -v compute-sanitizer >/dev/null 2>&1 || { echo "sanitize: no compute-sanitizer here (it comes with the CUDA toolkit)" && failed=1 && return; }
  for tool in $1; do
    for kind in $(kinds); do
      check "$tool-$kind" timeout 120 compute-sanitizer --tool "$tool" --error-exitcode 9 "$build/test_ops" --compare --device cuda "$kind"
    done
  done
}

# bench ROW...: WORK:BATCH:PRECISION:PEER
bench() {
  for row in "$@"; do
    IFS=: read -r work rows precision peer <<END
$row
END
    check "bench-$work-$rows-$precision-$peer" env LURCHER_BENCH_DEVICE=cuda LURCHER_BENCH_PRECISION="$precision" LURCHER_BENCH_PEER="$peer" \
      LURCHER_BENCH_PYTHON="$python" LURCHER_BENCH_ROUNDS=3 LURCHER_BENCH_ITERATIONS=$iterations LURCHER_BENCH_SIZE=$size LURCHER_BENCH_WIDTH=$width \
      "$build/lurcher" "$root/tests/bench/xception.lua" "$work:$rows"
    tail -n 1 "$report/bench-$work-$rows-$precision-$peer.log"
  done
}

part_bench() {
  bench "train:$batch:bf16:eager" "train:$batch:bf16:compile" inference:1:bf16:eager
  [ "$1" = quick ] && return
  bench "inference:$((2 * batch)):bf16:compile" "train:$batch:f32:eager" "train:$batch:tf32:eager" "train:$batch:f16:eager" inference:1:f32:eager
  for precision in f32 bf16; do
    check "floor-$precision" "$build/lurcher" "$root/tests/cuda/floor.lua" cuda "$batch" "$precision" "$size" "$width"
    cat "$report/floor-$precision.log"
  done
}

part_recipe() {
  [ -n "${LURCHER_DATA:-}" ] || { echo "recipe: LURCHER_DATA names no folder of pictures" && failed=1 && return; }
  rm -rf "$report/froze_fine_tune" # of a run before; the recipe refuses to write over one
  check recipe "$build/lurcher" froze_fine_tune --data "$LURCHER_DATA" --device cuda --out "$report/froze_fine_tune" --cache none \
    ${LURCHER_WEIGHTS:+--weights "$LURCHER_WEIGHTS" --feature-layer add_12} \
    ${small:+--size 48 --width 0.125 --middle 1 --tune-from 20 --batch 8 --steps 2 --epochs 1 --frozen-epochs 1}
  tail -n 12 "$report/recipe.log"
}

# Everything that the programs need but libc and NVIDIA's own.
part_pack() {
  to=${LURCHER_PACK:?pack: LURCHER_PACK names no folder}
  mkdir -p "$to/lib"
  cp "$build"/lurcher "$build"/liblurcher.so "$build"/lurcher_cuda.so "$build"/test_ops "$build"/test_cuda "$build"/test_model \
    "$build"/test_record "$to" || failed=1
  ldd "$to"/* 2>/dev/null | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | sort -u |
    grep -Ev '/(libc|libm|libpthread|libdl|librt|ld-linux[^/]*|libcud[^/]*|libcublas[^/]*|liblurcher)\.so' | xargs -r cp -L -t "$to/lib"
  strip "$to"/lib/* "$to"/lurcher "$to"/*.so "$to"/test_* 2>/dev/null
  du -sh "$to"
}

# train/ and valid/ whole, which is all that the recipe reads.
part_pack_data() {
  to=${LURCHER_PACK:?pack-data: LURCHER_PACK names no folder}/data
  mkdir -p "$to"
  cp -r "${LURCHER_DATA:?pack-data: LURCHER_DATA names no folder of pictures}/train" "$LURCHER_DATA/valid" "$to" || failed=1
  kilobytes=$(du -sk --apparent-size "$to" | cut -f1)
  echo "$to: $((kilobytes / 1024)) MiB"
  [ "$kilobytes" -lt 61440 ] || { echo "pack-data: more than 60 MiB of pictures: take fewer classes" && failed=1; }
}

[ $# -gt 0 ] || set -- build ops errors agree sanitize bench recipe
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
