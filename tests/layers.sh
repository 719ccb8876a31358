#!/bin/sh
# Checks tests/layers.txt against the tree. Prints one line for each breach; silent when there is none.
cd "$(dirname "$0")/.." || exit 2
find kernels engine tui tests -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' | sort | awk '
function matches(s, list,   n, a, i, p) {
    n = split(list, a, " ")
    for (i = 1; i <= n; i++) {
        p = a[i]; gsub(/[.()]/, "\\\\&", p); gsub(/\*/, ".*", p)
        if (s ~ ("^" p "$")) return 1
    }
    return 0
}
function place(file, dir,   k) {   # the row that a file obeys: its own, a pattern, its folder, the folder above
    if (file in may) return file
    for (k in may) if (k ~ /\*/ && matches(file, " " k)) return k
    while (!(dir in may) && sub("/[^/]*$", "", dir)) {}
    return dir
}
function breach(text) { print file ":" line ": " text; bad = 1 }
FILENAME == "-" { files[++nfiles] = $0; next }
/^#/ || NF == 0 { next }
{ key = $1; $1 = ""; if (key ~ /[<(]/) only[key] = $0; else may[key] = $0 }
END {
    for (f = 1; f <= nfiles; f++) {
        file = files[f]; dir = file; sub("/[^/]*$", "", dir); line = 0
        while ((getline text < file) > 0) {
            line++
            if (text ~ /^#include "/) {
                split(text, q, "\""); inc = q[2]; incdir = inc; sub("/[^/]*$", "", incdir)
                who = place(file, dir)
                if (incdir != dir && !matches(inc, may[who])) breach(who " may not include " inc)
            }
            code = text; sub("//.*", "", code); gsub(/"([^"\\]|\\.)*"/, "\"\"", code)
            if (code !~ /^[ \t]*(\/?\*)/)
                for (k in only)
                    if ((i = index(code, k)) && (k ~ /^</ || substr(code, i - 1, 1) !~ /[A-Za-z0-9_]/) &&
                        !matches(file, only[k]))
                        breach(k " only in" only[k])
        }
        close(file)
    }
    exit bad
}' - tests/layers.txt
