# packages.sh - the only list of the Debian 12 packages that Lurcher needs to build and run.
# Sourced by examples/quickstart.sh, tests/run.sh and tests/cuda/run.sh; need_packages installs those that are missing.

LURCHER_PACKAGES="cmake ninja-build gcc g++ libc6-dev pkg-config lua5.4 liblua5.4-dev lua-filesystem libdnnl-dev
libjpeg62-turbo-dev libpng-dev zlib1g-dev libhdf5-dev libcjson-dev libxxhash-dev libedit-dev"

# Prints the packages of the list that are not installed.
missing_packages() {
  for package in $LURCHER_PACKAGES; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s ' "$package"
  done
}

# Ends the script with a message.
stop() {
  printf '%s: %s\n' "$(basename "$0")" "$1" >&2
  exit 1
}

need_packages() {
  if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "This is not Debian: continuing without installing anything. Needed are the equivalents of these packages:"
    echo "  $LURCHER_PACKAGES"
    return 0
  fi
  missing=$(missing_packages)
  [ -z "$missing" ] && return 0
  echo "Installing Debian packages: $missing"
  as_root=
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 ||
      stop "packages are missing, and this is neither root nor is there sudo; as root, run: apt-get install $missing"
    as_root=sudo
  fi
  log=$(mktemp)
  # shellcheck disable=SC2086 # the lists are split on purpose
  if ! { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y \
    --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    rm -f "$log"
    stop "apt-get could not install these packages (is there a network connection?): $missing"
  fi
  rm -f "$log"
}
