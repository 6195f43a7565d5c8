#!/bin/sh
# try_run.sh BUILD - runs tests/cuda/run.sh on the emulator with small sizes, to find its errors without a GPU: every
# part but build, with stubs for compute-sanitizer (which runs the program) and PyTorch (which reports half a
# second). Its exit code is that of run.sh; parts that must fail are tested to fail.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LURCHER_BUILD="$build" LURCHER_REPORT="$work/report" LURCHER_SMALL=1
export LURCHER_DATA="$work/images" LURCHER_PACK="$work/pack"

mkdir "$work/bin"
cat >"$work/bin/compute-sanitizer" <<'END'
#!/bin/sh
# Runs the program; racecheck then reports a race in the kernel that LURCHER_TRY_HAZARD names.
tool=$2
while case $1 in --*) true ;; *) false ;; esac; do shift 2; done
"$@" || exit
[ "$tool" != racecheck ] || [ -z "${LURCHER_TRY_HAZARD:-}" ] || {
  echo "========= Error: Race reported between Write access at void $LURCHER_TRY_HAZARD<float>(float *)+0x20"
  exit 9
}
END
printf '#!/bin/sh\necho 0.5 0.5 peak 1000000\n' >"$work/bin/torch"
chmod +x "$work/bin/compute-sanitizer" "$work/bin/torch"
export PATH="$work/bin:$PATH" LURCHER_PYTHON="$work/bin/torch"

"$build/lurcher" -e 'local folder = os.getenv "LURCHER_DATA"
  local lfs = require "lfs"
  lfs.mkdir(folder)
  for _, split in ipairs{ "train", "valid" } do
    lfs.mkdir(folder .. "/" .. split)
    for class = 1, 4 do
      local to = ("%s/%s/class%d"):format(folder, split, class)
      lfs.mkdir(to)
      for i = 1, 4 do
        local image = (lurcher.range(24 * 24 * 3) * (class * 20 / 1728) + i * 9):view(24, 24, 3)
        assert(lurcher.image.save(("%s/%d.png"):format(to, i), image))
      end
    end
  end'

sh "$here/../cuda/run.sh" ops errors agree sanitize bench recipe pack-data
LURCHER_TRY_HAZARD=cutlass_simt_gemm_kernel sh "$here/../cuda/run.sh" sanitize=racecheck

# fails WHAT TEXT VARIABLE=VALUE PART...: run.sh must end with an error and print TEXT.
fails() {
  what=$1 text=$2
  shift 2
  if env "$1" sh "$here/../cuda/run.sh" "$2" >"$work/failed" 2>&1 || ! grep -q "$text" "$work/failed"; then
    echo "$what passed, or failed without a reason:" && cat "$work/failed" && exit 1
  fi
}
fails "a recipe without images" 'recipe  *FAILED' LURCHER_DATA="$work/none" recipe
fails "a race in a kernel" 'racecheck-gather  *FAILED' LURCHER_TRY_HAZARD=gather_kernel sanitize=racecheck
fails "a benchmark without a peer" 'peer: none' LURCHER_PYTHON=false bench=quick
