# Shared by the scripts beside it: where things are, and what a missing one needs.
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache
target=${CARGO_TARGET_DIR:-$root/target}

# System packages, only where one is missing.
ensure_deps() {
  # Some images give the tap device to root alone; users without rights need it for their machines' networks.
  if [ "$(id -u)" -eq 0 ] && [ -c /dev/net/tun ]; then chmod 0666 /dev/net/tun; fi
  "$root/scripts/deps" check "$@" >/dev/null || "$root/scripts/stage" "system packages" "$root/scripts/deps" install "$@"
}

# The guest image; its own script knows whether it is up to date.
ensure_guest() {
  "$root/scripts/stage" "guest" "$root/guest/build"
}
