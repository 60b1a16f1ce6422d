#!/usr/bin/env bash
# Checks that setup.sh names every package that a finished build used: each header that a compiler read and each library
# that was linked must come from a package that setup.sh lists, or from one that those depend on.
#
#   scripts/check_setup.sh BUILD_FOLDER
set -euo pipefail
build=${1:?usage: scripts/check_setup.sh BUILD_FOLDER}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What apt installs for the list: its packages and, again and again, what those depend on.
"$here/setup.sh" --list | sort -u >"$work/listed"
xargs apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
  --installed <"$work/listed" | grep -E '^[a-z0-9]' | sed 's/:.*//' | sort -u >"$work/installed"
# Every system has these.
dpkg-query -W -f='${Package} ${Essential} ${Priority}\n' | awk '$2 == "yes" || $3 == "required" {print $1}' >>"$work/installed"

# What the build read: headers from ninja's dependency log; libraries from the link commands.
{
  ninja -C "$build" -t deps | sed -n 's/^ *\(\/usr\/.*\)$/\1/p'
  ninja -C "$build" -t commands all | tr ' ' '\n' | grep -E '^/usr/.*\.(a|so)(\.[0-9.]*)?$' || true
} | sort -u | xargs -r realpath -q | sort -u >"$work/used"
if ! [[ -s "$work/used" ]]; then
  echo "check_setup.sh: $build holds no finished build" >&2
  exit 1
fi

# Which package brought each: /lib and /usr/lib are one folder, so both spellings are asked for.
awk -v used="$work/used" '
  BEGIN { while ((getline line < used) > 0) wanted[line] = 1 }
  FNR == 1 { package = FILENAME; sub(/.*\//, "", package); sub(/\.list$/, "", package); sub(/:.*/, "", package) }
  { path = $0; if (path ~ /^\/lib/) path = "/usr" path }
  path in wanted { print package, path; delete wanted[path] }
  END { for (path in wanted) print "?", path }
' /var/lib/dpkg/info/*.list | sort >"$work/owners"

status=0
while read -r package path; do
  if [[ "$package" == "?" ]]; then
    # Files that no package lists are links that a package made when it was installed; anything below /usr/local is not.
    if [[ "$path" == /usr/local/* ]]; then
      echo "check_setup.sh: the build used $path, which no package brought" >&2
      status=1
    fi
  elif ! grep -qxF "$package" "$work/installed"; then
    echo "check_setup.sh: the build used $path of package $package; setup.sh has to list it" >&2
    status=1
  fi
done < <(sort -u -k 1,1 "$work/owners")

# The programs that CMake and the scripts call.
for program in g++ cmake ninja ccache; do
  path=$(realpath "$(command -v "$program")")
  package=$(dpkg-query -S "$path" 2>/dev/null | cut -d: -f1 | head -n 1 || true)
  if [[ -n "$package" ]] && ! grep -qxF "$package" "$work/installed"; then
    echo "check_setup.sh: $program comes from package $package; setup.sh has to list it" >&2
    status=1
  fi
done
if ((status == 0)); then
  echo "setup.sh names all that the build used: $(wc -l <"$work/used") files of $(cut -d' ' -f1 "$work/owners" | sort -u | wc -l) packages"
fi
exit $status
