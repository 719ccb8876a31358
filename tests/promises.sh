#!/bin/sh
# promises.sh - tests/promises.md against the tree: a row for each promise, and every test that it names exists. Silent
# when all is well.
cd "$(dirname "$0")/.." || exit 2
file=${1:-tests/promises.md}
for p in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; do
    grep -q "^| P$p |.*\`tests/" "$file" || echo "$file: no row with a test for P$p"
done
# Each `file` name: up to the next ';', ':' or '|'.
grep '^| P' "$file" | grep -o '`tests/[^`]*` [^;:|]*' | sed 's/^`\([^`]*\)` \(.*[^ ]\) *$/\1|\2/' | while IFS='|' read -r test name; do
    [ -f "$test" ] || { echo "$file: there is no $test"; continue; }
    grep -qF -- "$name" "$test" || echo "$file: $test has no test '$name'"
done
