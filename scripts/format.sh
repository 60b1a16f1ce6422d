#!/usr/bin/env bash
# Formats every C++ file of the tree with clang-format-19; with --check it only says which are not formatted, and fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ "${1:-}" == --check ]]; then
  git ls-files '*.cc' '*.h' | xargs clang-format-19 --dry-run --Werror
else
  git ls-files '*.cc' '*.h' | xargs clang-format-19 -i
fi
