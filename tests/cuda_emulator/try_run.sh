#!/bin/sh
# try_run.sh BUILD - tests/cuda/run.sh on the emulator, at toy size, so that no slip in it costs a person with a GPU the day:
# every part but build, with stand-ins for compute-sanitizer (which runs the program) and for PyTorch (which says half a
# second). Ends with run.sh's exit code; a part that fails must be an error too.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LURCHER_BUILD="$build" LURCHER_REPORT="$work/report" LURCHER_SMALL=1 LURCHER_DATA="$work/pictures" LURCHER_PACK="$work/pack"

mkdir "$work/bin"
printf '#!/bin/sh\nshift 4 # --tool TOOL --error-exitcode 9\nexec "$@"\n' >"$work/bin/compute-sanitizer"
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
        local picture = (lurcher.range(24 * 24 * 3) * (class * 20 / 1728) + i * 9):view(24, 24, 3)
        assert(lurcher.image.save(("%s/%d.png"):format(to, i), picture))
      end
    end
  end'

sh "$here/../cuda/run.sh" ops errors agree sanitize bench recipe pack-data
if LURCHER_DATA="$work/none" sh "$here/../cuda/run.sh" recipe >"$work/failed"; then
  echo "a recipe without pictures passed:" && cat "$work/failed" && exit 1
fi
