#!/bin/sh
# quickstart.sh - from a bare Debian 12 to a trained and tested network: installs missing packages, builds Lurcher,
# draws a small image set, trains a small Xception on it, tests it and reports. Works from any directory, and
# repeatedly.
#   QUICKSTART_DIR=DIR   folder for the images and the run (default: runs/quickstart in this project's folder)
#   LURCHER_BUILD=DIR    build folder (default: build in this project's folder)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tests/packages.sh"
build=${LURCHER_BUILD:-$root/build}
work=${QUICKSTART_DIR:-$root/runs/quickstart}

say() { printf '\n== %s\n' "$1"; }

say "1/5 Debian packages"
need_packages
echo "all packages are installed"

say "2/5 building in $build"
log=$(mktemp)
generator=
[ -f "$build/CMakeCache.txt" ] || generator=-GNinja
if ! { cmake -S "$root" -B "$build" $generator -DCMAKE_BUILD_TYPE=Release &&
  cmake --build "$build" --target lurcher embed; } >"$log" 2>&1; then
  tail -n 30 "$log" >&2
  stop "the build failed; its full output is in $log"
fi
rm -f "$log"
lurcher=$build/lurcher
echo "built $("$lurcher" --version)"

say "3/5 drawing images: six look-alike breeds of dogs"
rm -rf "$work/images" "$work/run"
"$lurcher" "$root/examples/draw_images.lua" --out "$work/images" --train 100 --valid 25 --test 40 --size 96

say "4/5 training a small Xception from random weights"
"$lurcher" single_model --data "$work/images" --size 96 --width 0.25 --middle 2 --batch 16 --epochs 12 \
  --optimizer adam --lr 0.002 --dropout 0.2 --augment flip --bn-momentum 0.9 --patience 0 --out "$work/run"

say "5/5 testing it on images it has never seen"
"$lurcher" single_model_test --model "$work/run" --data "$work/images/test" --out "$work/run/predict.txt"

cat <<END

Done. There are six breeds, so guessing would have a top-1 of 0.1667.
  predictions:  $work/run/predict.txt
  run folder:   $work/run
Try next, with folders of your own images, DIR/train/CLASS/*.jpg and DIR/valid/CLASS/*.jpg:
  $lurcher single_model --data DIR
or start a Lua session:
  $lurcher
END
