#!/usr/bin/env bash
# What real windows and a browser need beside Python: checked, and installed where that is allowed.
set -euo pipefail
packages="xvfb xauth chromium chromium-driver libgl1 libgl1-mesa-dri libegl1 libglu1-mesa libdbus-1-3 libxkbcommon-x11-0
 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0
 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1 libopengl0 fontconfig fonts-dejavu-core"
missing=()
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
run=()
[ "$(id -u)" -eq 0 ] || run=(sudo -n)
if command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }; then
  "${run[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${run[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "Packages are missing and cannot be installed from here. Run:" >&2
  echo "    sudo apt-get install -y ${missing[*]}" >&2
  exit 1
fi
