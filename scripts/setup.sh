#!/usr/bin/env bash
# Installs with apt what building and testing Placewright needs and this machine lacks. Debian 12 or later, Ubuntu 24.04 or later.
#
#   scripts/setup.sh             what the build, the tests and the demonstration need
#   scripts/setup.sh --cuda      also NVIDIA's compiler NVRTC, without which CUDA kernels are neither made nor tested
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
cuda_packages=(python3-pip)
# The wheel that CUDA kernels are tested with, from PyPI, and where Placewright looks for it.
nvrtc="nvidia-cuda-nvrtc==13.0.88 --hash=sha256:ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575"
cuda_folder="${XDG_DATA_HOME:-$HOME/.local/share}/placewright/cuda"
long_packages=("${browser_packages[@]}" clang-19 libclang-rt-19-dev lld-19 clang-tidy-19 clang-format-19)

list_only=false
with_cuda=false
for argument in "$@"; do
  case "$argument" in
    --cuda) packages+=("${cuda_packages[@]}") with_cuda=true ;;
    --browser) packages+=("${browser_packages[@]}") ;;
    --long) packages+=("${long_packages[@]}") ;;
    --list) list_only=true ;;
    *)
      echo "setup.sh: unknown option '$argument'; usage: scripts/setup.sh [--cuda] [--browser] [--long] [--list]" >&2
      exit 2
      ;;
  esac
done

if "$list_only"; then
  printf '%s\n' "${packages[@]}"
  exit 0
fi

# Of the user, not of the system: nothing of it is linked.
install_nvrtc() {
  "$with_cuda" || return 0
  if compgen -G "$cuda_folder/nvidia/*/lib/libnvrtc.so.13" >/dev/null; then
    echo "setup: NVRTC is installed in $cuda_folder"
    return
  fi
  echo "setup: installing NVRTC into $cuda_folder"
  local wanted
  wanted=$(mktemp)
  echo "$nvrtc" >"$wanted"
  PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --no-deps --require-hashes --only-binary :all: --target "$cuda_folder" -r "$wanted" </dev/null
  rm -f "$wanted"
}

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
  install_nvrtc
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
install_nvrtc
echo "setup: done"
