#!/bin/sh
# kill.sh - kills a training with SIGKILL at random moments, N times, resumes it each time, and compares the final model
# with that of a training that nobody killed: the same bits. Temporary files of killed processes must not stay.
#
#   sh tests/kill.sh [N]      N: kills (default 20; about a second each)
#   LURCHER_BUILD=DIR         build folder (default: build)      KILL_SEED=n   the moments (default: the process id)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
lurcher=${LURCHER_BUILD:-$root/build}/lurcher
kills=${1:-20}
seed=${KILL_SEED:-$$}
export OMP_WAIT_POLICY=passive LURCHER_THREADS=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$lurcher" "$root/tests/faults.lua" prepare set
mkdir data && mv set/train set/valid data

train() { # train OUT, in a subshell, which becomes the program; resumes where there is a checkpoint
  if [ -f "$1/checkpoints/last.safetensors" ]; then exec "$lurcher" single_model --resume "$1"; fi
  rm -rf "$1"
  exec "$lurcher" single_model --data data --size 71 --width 0.25 --middle 1 --batch 4 --epochs 12 --freeze none --seed 1 \
    --cache none --workers 2 --out "$1"
}

start=$(date +%s%N)
(train whole) >log 2>&1 || { cat log; exit 1; }
length=$((($(date +%s%N) - start) / 1000000))
echo "uninterrupted: $length ms"
killed=0 finished=0
while [ "$killed" -lt "$kills" ]; do
  rm -rf cut
  while :; do
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    wait_ms=$((seed / 7 % (length + length / 10) + 1))
    (train cut) >log 2>&1 &
    pid=$!
    sleep "$((wait_ms / 1000)).$(printf %03d $((wait_ms % 1000)))"
    kill -9 "$pid" 2>/dev/null || true
    { wait "$pid" && status=0 || status=$?; } 2>/dev/null # without the shell's "Killed"
    [ "$status" -eq 137 ] || break
    killed=$((killed + 1))
  done
  [ "$status" -eq 0 ] || { echo "resuming failed after $killed kills:"; cat log; exit 1; }
  finished=$((finished + 1))
  "$lurcher" "$root/tests/faults.lua" same whole/model.safetensors cut/model.safetensors ||
    { echo "the resumed training differs, after $killed kills"; exit 1; }
  left=$(find cut -name '.*lurcher-tmp')
  [ -z "$left" ] || { echo "left behind: $left"; exit 1; }
done
echo "$killed kills, $finished trainings finished with the same bits"
