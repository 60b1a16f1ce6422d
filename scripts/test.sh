#!/usr/bin/env bash
# Sets up, builds and runs all tests. Its last line is 'N passed, N failed'.
#
#   scripts/test.sh [--werror]     --werror: a compiler warning is an error
set -euo pipefail
steps=4
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

werror=OFF
for argument in "$@"; do
  case "$argument" in
    --werror) werror=ON ;;
    *) echo "test.sh: unknown option '$argument'; usage: scripts/test.sh [--werror]" >&2; exit 2 ;;
  esac
done
cd "$root"

step "Setting up"
scripts/setup.sh

step "Building (a first build takes some minutes)"
build release -DPLACEWRIGHT_TESTS=ON -DPLACEWRIGHT_WERROR=$werror

step "Checking that setup.sh names all that the build uses"
setup_complete=1
scripts/check_setup.sh build || setup_complete=0

step "Running the tests"
log=build/ctest.log
status=0
if [[ -t 1 ]]; then
  ctest --test-dir build -j "$jobs" --progress --output-on-failure </dev/null | tee "$log" || status=$?
else
  # One line in a hundred, and all of a failing test.
  ctest --test-dir build -j "$jobs" --output-on-failure </dev/null >"$log" 2>&1 &
  ctest_pid=$!
  tail -f -n +1 --pid=$ctest_pid "$log" | awk '
    /^ *[0-9]+\/[0-9]+ Test.* (Passed|Skipped) / || /\*\*\*Skipped/ { if (n++ % 100 == 0) print; fflush(); next }
    /^ *Start / { next } { print; fflush() }'
  wait $ctest_pid || status=$?
fi
# ctest counts a skipped test as passed; it is counted on its own here.
total=$(sed -n 's/.*tests failed out of \([0-9]*\)$/\1/p' "$log" | tail -n 1)
failed=$(sed -n 's/.* \([0-9]*\) tests failed out of .*/\1/p' "$log" | tail -n 1)
skipped=$(grep -c '\*\*\*Skipped' "$log" || true)
if [[ -z "$total" ]]; then
  tail -n 20 "$log"
  fail "ctest ran no tests"
fi
if ((status != 0 && failed == 0)); then
  failed=1
fi
# The check of setup.sh counts as one more test.
total=$((total + 1))
failed=$((failed + 1 - setup_complete))
echo "Took $(elapsed)."
echo "$((total - failed - skipped)) passed, $failed failed, $skipped skipped"
((failed == 0))
