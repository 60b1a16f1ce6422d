# shellcheck shell=bash
# Sourced by the scripts beside it: where things are, and a heading a step.
# The caller sets `steps` to how many steps it has.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jobs=${PLACEWRIGHT_JOBS:-$(nproc)}
step_number=0
script_name=$(basename "$0")

step() {  # step TITLE
  step_number=$((step_number + 1))
  local bold='' plain=''
  if [[ -t 1 && -z "${NO_COLOR:-}" ]]; then
    bold=$'\e[1m' plain=$'\e[0m'
  fi
  echo "${bold}[$step_number/$steps] $1${plain} ($(elapsed) so far)"
}

elapsed() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }

fail() {  # fail MESSAGE: one line, and the end
  echo "$script_name: $1" >&2
  exit 1
}

# build PRESET [CMake option ...]: configures and builds build-PRESET (build for release). On a terminal ninja keeps one
# line up to date; elsewhere one line in forty is printed, and everything when it fails.
build() {
  local preset=$1 log status=0
  shift
  cmake --preset "$preset" -S "$root" "$@" >/dev/null || fail "configuring the preset '$preset' failed; its reason stands above"
  if [[ -t 1 ]]; then
    cmake --build "$(build_folder "$preset")" -j "$jobs" || status=$?
  else
    log=$(mktemp)
    cmake --build "$(build_folder "$preset")" -j "$jobs" 2>&1 | tee "$log" | awk '/^\[/ { if (n++ % 40 == 0) print; fflush() }' || status=$?
    if ((status != 0)); then
      grep -v '^\[[0-9]*/[0-9]*\] ' "$log" | tail -n 200 || true
    fi
    rm -f "$log"
  fi
  ((status == 0)) || fail "the build of the preset '$preset' failed"
}

build_folder() {  # build_folder PRESET
  if [[ "$1" == release ]]; then echo "$root/build"; else echo "$root/build-$1"; fi
}

# run_whole FOLDER [test executable ...]: each test executable of a build as one process, for slow builds where a process
# a test costs too much; as many at once as there are jobs, so name the longest first. Adds to `passed`, `failed` and `skipped`.
run_whole() {
  local folder=$1 name log status
  shift
  for name in "$@"; do
    [[ -x "$folder/bin/$name" ]] || continue
    while (($(jobs -pr | wc -l) >= jobs)); do
      wait -n || true
    done
    log="$folder/$name.log"
    rm -f "$log.status"
    {
      status=0
      timeout "${PLACEWRIGHT_TEST_TIMEOUT:-1800}" "$folder/bin/$name" --gtest_brief=1 </dev/null >"$log" 2>&1 || status=$?
      echo "$status" >"$log.status"
    } &
  done
  wait
  for name in "$@"; do
    log="$folder/$name.log"
    [[ -x "$folder/bin/$name" ]] || continue
    status=$(cat "$log.status" 2>/dev/null || echo 1)
    local ok bad skip
    ok=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" | tail -n 1)
    skip=$(sed -n 's/^\[  SKIPPED \] \([0-9]*\) test.*/\1/p' "$log" | tail -n 1)
    bad=$(grep -c '^\[  FAILED  \]' "$log" || true)  # one line a failed test, with --gtest_brief
    if ((status != 0)) && ((${bad:-0} == 0)); then
      bad=1  # it crashed, hung or a sanitizer stopped it: that is a failure whatever it had counted
    fi
    passed=$((passed + ${ok:-0}))
    failed=$((failed + ${bad:-0}))
    skipped=$((skipped + ${skip:-0}))
    echo "  $name: ${ok:-0} passed, ${bad:-0} failed, ${skip:-0} skipped"
    awk '/: Skipped$/ { getline; n[$0]++ } END { for (reason in n) print "    " n[reason] " skipped: " reason }' "$log" | sort
    if ((status != 0)); then
      tail -n 60 "$log"
    fi
  done
}
