#!/usr/bin/env bash
# Builds without LLVM (-DPLACEWRIGHT_LLVM=OFF), for CUDA alone, and runs the library's tests there, the emulator standing for
# GPUs; tests that need kernels for the processor say so and are skipped. Its last line is 'N passed, N failed, N skipped'.
set -euo pipefail
steps=3
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
cd "$root"
passed=0 failed=0 skipped=0

step "Building without LLVM"
cmake --preset no-llvm -DPLACEWRIGHT_WERROR=ON >/dev/null || fail "configuring the preset 'no-llvm' failed; its reason stands above"
programs=(test_codegen test_frontend test_ir test_passes test_runtime test_base)
cmake --build build-no-llvm -j "$jobs" --target "${programs[@]}" placewright_tool >build-no-llvm/build.log ||
  { tail -n 50 build-no-llvm/build.log; fail "the build of the preset 'no-llvm' failed"; }

step "The library's tests"
run_whole build-no-llvm "${programs[@]}"

step "What needs the processor's code generator says so in one line"
check_refusal() {
  local line
  line=$(build-no-llvm/bin/placewright bench a --no-peers --rounds 1 2>&1 >/dev/null) && return 1
  echo "  $line"
  [[ $(wc -l <<<"$line") == 1 && "$line" == *"no kernels can be made for the processor"*"-DPLACEWRIGHT_LLVM=ON"* ]]
}
if check_refusal; then
  passed=$((passed + 1))
else
  failed=$((failed + 1))
fi

echo "Took $(elapsed)."
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
