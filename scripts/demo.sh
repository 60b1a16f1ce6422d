#!/usr/bin/env bash
# Sets up, builds, and runs the main job: trains a convolutional network on Fashion-MNIST and prints where everything ran,
# what was copied, and why. Options are handed to the example (scripts/demo.sh --epochs 5; --help lists them).
set -euo pipefail
steps=3
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
cd "$root"

step "Setting up"
scripts/setup.sh

step "Building (a first build takes some minutes)"
build release -DPLACEWRIGHT_TESTS=OFF

step "Training on Fashion-MNIST"
exec build/bin/examples/fashion_mnist "$@"
