#!/bin/sh
# check.sh: what a machine can hold of the style: layers, sizes of files, warnings of both compilers, the man page,
# words that must not be left over. Prints a TAP line each.
cd "$(dirname "$0")/.." || exit 2
B=${B:-build}; n=0; bad=0
verdict() { # verdict NAME FILE: empty FILE is good
    n=$((n + 1))
    if [ -s "$2" ]; then bad=$((bad + 1)); echo "not ok $1"; head -n 20 "$2" | sed 's/^/    /'; else echo "ok $1"; fi
}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
sources() { git ls-files '*.c' '*.h' 2>/dev/null || find kernels engine tui tests assets -name '*.[ch]'; }

tests/layers.sh > "$out" 2>&1; verdict "includes go one way" "$out"
sh tests/promises.sh > "$out" 2>&1; verdict "every promise names a test that exists" "$out"
sources | xargs wc -l | awk '$1 > 800 && $2 != "total" { print $2 ": " $1 " lines; 800 at most" }' > "$out"
verdict "files have 800 lines at most" "$out"
sources | xargs grep -nwE 'TODO|FIXME|XXX' > "$out"; verdict "nothing is left for later" "$out"
sources | xargs awk 'length > 160 { print FILENAME ":" FNR ": " length " columns" }' > "$out"
verdict "lines fit" "$out"
[ "$(wc -l < Makefile)" -le 120 ] && : > "$out" || echo "Makefile has over 120 lines" > "$out"; verdict "the Makefile fits" "$out"
for cc in gcc clang; do
    make -s -k B="$B/check-$cc" CC=$cc CFLAGS=-O1 all 2>&1 | grep -E "(warning|error):" > "$out"
    verdict "$cc has nothing to say" "$out"
done
if [ -f assets/hone.1 ] && command -v mandoc >/dev/null; then mandoc -Tlint -W warning assets/hone.1 > "$out" 2>&1; verdict "the man page is clean" "$out"; fi
echo "$((n - bad)) passed, $bad failed, 0 skipped"
[ $bad -eq 0 ]
