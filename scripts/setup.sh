#!/usr/bin/env bash
# Installs with apt what building and testing Placewright needs and this machine lacks. Debian 12 or later, Ubuntu 24.04 or later.
#
#   scripts/setup.sh             what the build, the tests and the demonstration need
#   scripts/setup.sh --browser   also a browser, for the test of the placement report's page
#   scripts/setup.sh --long      also what scripts/test_long.sh needs: that browser, clang-19 and its tools
#   scripts/setup.sh --list      prints the packages, one a line, and installs nothing
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache     # the build
  llvm-19-dev libzstd-dev          # the CPU code generator; LLVM's static libraries need zstd
  libfmt-dev libspdlog-dev libcli11-dev nlohmann-json3-dev libxxhash-dev zlib1g-dev
  libgtest-dev libgmock-dev libbenchmark-dev
  python3                          # the placement report's tests
  dataset-fashion-mnist            # the main job's data
)
browser_packages=(chromium)
long_packages=("${browser_packages[@]}" clang-19 libclang-rt-19-dev lld-19 clang-tidy-19 clang-format-19)

list_only=false
for argument in "$@"; do
  case "$argument" in
    --browser) packages+=("${browser_packages[@]}") ;;
    --long) packages+=("${long_packages[@]}") ;;
    --list) list_only=true ;;
    *)
      echo "setup.sh: unknown option '$argument'; usage: scripts/setup.sh [--browser] [--long] [--list]" >&2
      exit 2
      ;;
  esac
done

if "$list_only"; then
  printf '%s\n' "${packages[@]}"
  exit 0
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "setup.sh: this system has no apt; install what 'scripts/setup.sh --list' prints by its own means, then run cmake --preset release" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  if [[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]]; then
    missing+=("$package")
  fi
done
if ((${#missing[@]} == 0)); then
  echo "setup: all ${#packages[@]} packages are installed"
  exit 0
fi

as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "setup.sh: needs root or sudo to install: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "setup: installing ${#missing[@]} of ${#packages[@]} packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq </dev/null
for package in "${missing[@]}"; do
  if [[ -z "$(apt-cache show "$package" 2>/dev/null)" ]]; then
    system=$(. /etc/os-release && echo "$PRETTY_NAME")
    echo "setup.sh: $system offers no package '$package'; Debian 12+ and Ubuntu 24.04+ (with universe) do" >&2
    exit 1
  fi
done
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null
echo "setup: done"
