#!/usr/bin/env bash
# Sets up the peers that `placewright bench` measures against: PyTorch 2 and JAX from PyPI, in a virtual environment
# outside the source tree (${PLACEWRIGHT_PEERS:-~/.cache/placewright/peers}; about 6 GB, for PyPI's PyTorch brings CUDA's
# libraries), and tcmalloc from apt. Then runs the measurement with the arguments given.
#
#   scripts/bench_peers.sh --setup-only
#   scripts/bench_peers.sh a b c d e gemm --threads 1
set -euo pipefail
steps=3
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
cd "$root"
peers=${PLACEWRIGHT_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/placewright/peers}

step "Setting up Placewright"
scripts/setup.sh

step "Setting up the peers in $peers"
missing=()
for package in python3 python3-venv libtcmalloc-minimal4; do
  dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if ((${#missing[@]} > 0)); then
  as_root=()
  ((EUID == 0)) || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq </dev/null
  # On Ubuntu 24.04 tcmalloc's package has another name; the peers run without it, only slower.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null ||
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv libtcmalloc-minimal4t64 </dev/null
fi
if ! "$peers/bin/python" -c 'import torch, jax, numpy' 2>/dev/null; then
  python3 -m venv "$peers"
  "$peers/bin/pip" install --quiet --no-cache-dir 'torch>=2.15,<3' 'jax>=0.10' numpy setuptools
fi
"$peers/bin/python" -c 'import torch, jax, numpy; print("PyTorch", torch.__version__, "JAX", jax.__version__, "NumPy", numpy.__version__)'
if [[ "${1:-}" == --setup-only ]]; then
  exit 0
fi

step "Building and measuring"
build release
exec env PLACEWRIGHT_PEERS="$peers" build/bin/placewright bench --peers "$@"
