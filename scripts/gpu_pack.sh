#!/usr/bin/env bash
# Makes the archive that measures a GPU machine: the programs, the tests that run on a GPU and the benches, with all that
# they need but glibc and libstdc++. It runs where neither LLVM nor a network is: docs/gpu-pack.md.
#
#   scripts/gpu_pack.sh [FILE.tar.gz [CMake option ...]]     default: build-gpu-pack/placewright-gpu-pack.tar.gz
set -euo pipefail
steps=3
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
cd "$root"
folder=build-gpu-pack
archive=$(realpath -m "${1:-$folder/placewright-gpu-pack.tar.gz}")
most_bytes=$((20 * 1024 * 1024))
# What Debian 12 and Ubuntu 22.04 have, or less.
most_glibc=2.35 most_glibcxx=3.4.30

step "Building"
cmake --preset gpu-pack "${@:2}" >/dev/null || fail "configuring the preset 'gpu-pack' failed; its reason stands above"
cmake --build "$folder" -j "$jobs" --target placewright_tool placewright-llvm device_bench test_gpu >"$folder/build.log" || { tail -n 50 "$folder/build.log"; fail "the build failed"; }

step "Putting it together"
name=placewright-gpu-pack
stage=$folder/$name
rm -rf "$stage"
mkdir -p "$stage"/{bin/examples,lib,share/placewright/{bench,scripts,tests/runtime/kernels}}
for program in placewright device_bench test_gpu; do
  install -s "$folder/bin/$program" "$stage/bin/"
done
for program in "$folder"/bin/examples/*; do
  [[ -f "$program" ]] || continue
  install -s "$program" "$stage/bin/examples/"
done
install -s "$folder"/lib/{libplacewright-llvm.so,libcuda_emulator.so,libcublaslt_emulator.so,libplacewright.so.0} "$stage/lib/"
# Whatever the system brings besides glibc and libstdc++.
libraries=$(find "$stage/bin" "$stage/lib" -type f -exec ldd {} + | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u)
for library in $libraries; do
  case "$(basename "$library")" in
    libc.so.* | libm.so.* | libstdc++.so.* | libgcc_s.so.* | libplacewright* | libcuda_emulator.so) ;;
    *) install -s "$library" "$stage/lib/" ;;
  esac
done
install -m 644 bench/peers.py "$stage/share/placewright/bench/"
install -m 644 scripts/make_reference.py "$stage/share/placewright/scripts/"
install -m 644 tests/runtime/kernels/kernels.ptx "$stage/share/placewright/tests/runtime/kernels/"
install -m 755 scripts/gpu_pack_run.py "$stage/gpu_pack_run"
install -m 644 LICENSE docs/gpu-pack.md "$stage/"
sed -n 's/^project(placewright VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt >"$stage/version"
# Whatever was changed since makes it another tree.
git describe --always --dirty --abbrev=40 --exclude='*' >>"$stage/version" 2>/dev/null || true

step "Checking and packing"
for file in "$stage"/bin/* "$stage"/bin/examples/* "$stage"/lib/*; do
  [[ -f "$file" ]] || continue
  needs=$(objdump -T "$file" | grep -oE '\(GLIBC(XX)?_[0-9.]+\)' | tr -d '()' | sort -uV || true)
  for wanted in "GLIBC_ $most_glibc" "GLIBCXX_ $most_glibcxx"; do
    read -r kind most <<<"$wanted"
    newest=$(grep "^$kind" <<<"$needs" | sed "s/^$kind//" | sort -V | tail -n 1 || true)
    if [[ -n "$newest" && "$(printf '%s\n%s\n' "$newest" "$most" | sort -V | tail -n 1)" != "$most" ]]; then
      fail "$file needs $kind$newest, expected $most at most: older systems could not start it"
    fi
  done
done
# The same bytes of the same files.
tar -C "$folder" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - "$name" | gzip -9n >"$archive.part"
mv "$archive.part" "$archive"
bytes=$(stat -c %s "$archive")
((bytes <= most_bytes)) || fail "$archive has $bytes bytes, expected $most_bytes at most"
echo "$archive: $(awk "BEGIN { printf \"%.1f\", $bytes / 1048576 }") MiB ($bytes bytes), took $(elapsed)"
