#!/bin/sh
# faults.sh - the k-th allocation, open, read, write, fsync, rename, mmap or thread fails, for every k, while a model is
# loaded, compiled and trained, images are transformed in Lua by workers, a checkpoint, weights and a feature cache are
# written, images are audited, and a report is made. Each time: a message or success, no crash, no lost file, and the
# next try succeeds. See tests/c/fault.c.
#
#   sh tests/faults.sh [PHASE...]         all phases of tests/faults.lua, every k (of the report's allocations
#                                         every 50th: FAULT_REPORT_STEP)
#   sh tests/faults.sh --short [PHASE...] every j-th k, about half a minute: what CI runs
#   LURCHER_BUILD=DIR                     build folder (default: build)
#   FAULT_VERBOSE=1                       print what each failure says
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=${LURCHER_BUILD:-$root/build}
short=
if [ "${1:-}" = --short ]; then short=1; shift; fi
phases=${*:-load compile train transform checkpoint weights cache audit report}
export OMP_NUM_THREADS=1 LURCHER_THREADS=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$build/lurcher" "$root/tests/faults.lua" prepare "$work/set"
case " $phases " in *" report "*)
  mkdir "$work/data" && mv "$work/set/train" "$work/set/valid" "$work/data"
  "$build/lurcher" single_model --data "$work/data" --size 71 --width 0.125 --middle 0 --batch 4 --epochs 1 --freeze none \
    --seed 1 --cache none --out "$work/set/run" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; } ;;
esac
failed=0
for phase in $phases; do
  for kind in alloc alloc4 open read write sync rename map thread; do
    step=1 seconds=100000 burst=1
    case $kind in alloc4) burst=4 ;; esac # Lua collects garbage and tries again after one failure
    case $phase$kind in reportalloc*) step=${FAULT_REPORT_STEP:-50} ;; esac # it makes tens of thousands
    if [ "$short" ]; then
      seconds=2
      case $kind in alloc*) step=37 ;; esac
    fi
    echo "$phase: $kind"
    FAULT_KIND=${kind%4} FAULT_STEP=$step FAULT_BURST=$burst FAULT_SECONDS=$seconds \
      LD_PRELOAD="$build/libfault.so" "$build/lurcher" "$root/tests/faults.lua" "$phase" "$work/set" >"$work/log" || failed=1
  done
done
exit $failed
