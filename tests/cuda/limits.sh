#!/bin/sh
# limits.sh OUT [write]: what nvcc makes of every kernel (registers, stack, spilled and shared bytes) against
# limits.txt, and the occupancy that follows. Prints a line for each breach: a number above its limit, a kernel that the
# table does not know, a row that no kernel has. write: makes the table anew, keeping threads and dynamic bytes.
cd "$(dirname "$0")/../.." || exit 2
out=$1 table=tests/cuda/limits.txt
nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
mkdir -p "$out"
for f in kernels/cuda/*.cu; do
    log=$out/$(basename "$f").log
    [ -f "$log" ] && [ -z "$(find kernels/kernels.h kernels/cuda -newer "$log" \( -name '*.h' -o -path "$f" \) -print -quit)" ] && continue
    "$nvcc" -std=c++17 -I. -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90a,code=sm_90a -Xptxas -v \
        -c "$f" -o "$out/$(basename "$f").o" > "$log" 2>&1 || { echo "nvcc: $f"; cat "$log"; rm -f "$log"; }
done
cat "$out"/*.cu.log | c++filt -p | awk -v table="$table" -v write="$2" '
function least(a, b) { return a < b ? a : b }
# Blocks on a processor: by threads, registers (a warp takes them by 256) and shared memory (1 KiB of each block besides).
function occupancy(arch, threads, registers, bytes,   warps, blocks, room) {
    warps = int((threads + 31) / 32)
    room = arch == "sm_80" ? 167936 : 233472
    blocks = least(int(64 / warps), int(65536 / (warps * int((registers * 32 + 255) / 256) * 256)))
    return least(least(blocks, 32), int(room / (bytes + 1024))) * warps * 100 / 64
}
function number(text, before,   at) {   # the number that stands before a word
    at = match(text, "[0-9]+ " before)
    return at ? substr(text, at) + 0 : 0
}
BEGIN {
    while ((getline line < table) > 0) {
        split(line, w, " ")
        if (line ~ /^#/ || line == "") { if (!(line ~ /^# *arch/)) head = head line "\n"; continue }
        key = w[1] " " w[2]; known[key] = line; threads[w[2]] = w[3]; dynamic[w[2]] = w[4]
    }
}
/Compiling entry function/ {
    name = $0; sub(/.*function ./, "", name); arch = name
    sub(/. for .*/, "", name); sub(/.* for ./, "", arch); sub(/.$/, "", arch)
    sub(/^void /, "", name); gsub(/ /, "", name)
}
/bytes stack frame/ { stack = number($0, "bytes stack"); spills = number($0, "bytes spill stores") }
/Used [0-9]+ registers/ {
    key = arch " " name; seen[key] = 1
    registers = number($0, "registers"); fixed = number($0, "bytes smem")
    t = name in threads ? threads[name] : 256; b = name in dynamic ? dynamic[name] : 0
    o = occupancy(arch, t, registers, fixed + b)
    if (write) {
        row = sprintf("%-6s %-36s %4d %6d %4d %3d %3d %5d %3d", arch, name, t, b, registers, stack, spills, fixed, o)
        if (!(key in rows) || row > rows[key]) rows[key] = row   # of a kernel in two files the larger
        next
    }
    if (!(key in known)) { print key ": limits.txt has no row for it"; next }
    split(known[key], w, " ")
    if (registers > w[5]) print key ": " registers " registers; " w[5] " are allowed"
    if (stack > w[6]) print key ": " stack " bytes of stack; " w[6] " are allowed"
    if (spills > w[7]) print key ": " spills " bytes spilled; " w[7] " are allowed"
    if (fixed > w[8]) print key ": " fixed " bytes of shared memory; " w[8] " are allowed"
    if (o < w[9]) print key ": " o " % of the warps fit; at least " w[9] " must"
}
END {
    if (!write) { for (k in known) if (!(k in seen)) print k ": in limits.txt, and no kernel is called so"; exit }
    printf "%s", head > (table ".new")
    print "# arch kernel threads dynamic registers stack spilled shared occupancy" > (table ".new")
    close(table ".new")
    for (k in rows) print rows[k] | ("sort >> " table ".new")
}'
[ "$2" != write ] || mv "$table.new" "$table"
