#!/usr/bin/env bash
# The long tier: all of scripts/test.sh, then what takes too long for every change: clang-19 without warnings, formatting,
# clang-tidy, ThreadSanitizer, a build without LLVM, full test counts, plans judged from outside, and five epochs of Fashion-MNIST that must reach 90%.
set -euo pipefail
steps=9
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
cd "$root"
passed=0 failed=0 skipped=0

check() {  # check NAME COMMAND...: counts as one test
  local name=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
    echo "  $name: passed"
  else
    failed=$((failed + 1))
    echo "  $name: FAILED"
  fi
}

step "Setting up"
scripts/setup.sh --long

step "Formatting"
check clang-format scripts/format.sh --check

step "Everything of .ci/run, with full counts"
export PLACEWRIGHT_FULL_COUNTS=1
check ".ci/run" bash .ci/run

step "clang-19 with -Werror"
check "clang-19 build" bash -c "source scripts/steps.sh; cd '$root'; build clang -DPLACEWRIGHT_WERROR=ON"

step "clang-tidy-19"
check clang-tidy bash -c "git ls-files '*.cc' | grep -v '^tests/' | xargs -n 4 -P $jobs clang-tidy-19 --quiet -p build-clang"

step "ThreadSanitizer"
build tsan
run_whole build-tsan test_base test_runtime test_frontend

step "Without LLVM"
check "scripts/test_no_llvm.sh" scripts/test_no_llvm.sh

step "Plans judged on simulated machines, 20 seeds"
check "judge_bench" build/bin/judge_bench 20

step "Fashion-MNIST, five epochs, on one and on two threads"
accuracy_reached() {
  local threads
  for threads in 1 2; do
    build/bin/examples/fashion_mnist --epochs 5 --threads $threads --json "build/fashion_mnist_$threads.json" </dev/null || return 1
  done
  python3 - <<'P'
import json, sys
runs = [json.load(open(f"build/fashion_mnist_{threads}.json")) for threads in (1, 2)]
losses = [[epoch["loss"] for epoch in run["epochs"]] for run in runs]
print("  test accuracy:", *[run["test_accuracy"] for run in runs])
if losses[0] != losses[1]:
    sys.exit("losses differ between one thread and two")
if min(run["test_accuracy"] for run in runs) < 0.9:
    sys.exit("test accuracy is below 0.9")
P
}
check "Fashion-MNIST" accuracy_reached

echo "Took $(elapsed)."
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
