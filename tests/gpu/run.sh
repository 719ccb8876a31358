#!/bin/sh
# run.sh - hone on a machine with an NVIDIA GPU: checks first, then measurements, the most important first, inside nine
# minutes; a table as it goes, and a line of JSON for each result in OUT/results.jsonl.
#
#     sh tests/gpu/run.sh           builds what is not built yet (gcc, make, a CUDA toolkit, hone's libraries), runs all
#     sh tests/gpu/run.sh --pack    only builds, on any machine with a toolkit, and puts the libraries beside it: then the
#                                   checkout with its build-gpu goes to a GPU machine that has none of them
#     sh tests/gpu/run.sh --twin    runs all of it on the fakes of tests/cuda, which proves this script and no speed
#
# B: the build folder (build-gpu). OUT: where results go (B/results). LIMIT: seconds (540).
#
# It has not run on a device yet: what stands here was seen on the fakes alone. Not in it: HF transformers and PEFT side by
# side, SmolLM2's fine-tune, a record of call traces.
cd "$(dirname "$0")/../.." || exit 2
B=${B:-build-gpu}; LIMIT=${LIMIT:-540}; started=$(date +%s)
case $B in /*) ;; *) B=$(pwd)/$B ;; esac
OUT=${OUT:-$B/results}; mkdir -p "$OUT" || exit 2
results=$OUT/results.jsonl; failed=0
programs="hone hone-cpu.so hone-cuda.so tests/gpu/operations tests/gpu/measure tests/cuda/golden_twin tests/cuda/model_twin"

say() { printf '%s\n' "$*" | tee -a "$OUT/run.log"; }
left() { echo $((LIMIT - $(date +%s) + started)); }
result() { printf '%s\n' "$1" >> "$results"; }

built() { for p in $programs; do [ -f "$B/$p" ] || return 1; done; }
build() { # a sentence where it cannot be
    for t in gcc g++ make; do command -v $t > /dev/null || { say "run.sh: $t is missing, and $B is not packed (--pack on another machine)"; return 1; }; done
    [ "$(make -s B="$B" cuda-here)" = yes ] || { say "run.sh: no nvcc in CUDA_HOME, the PATH or /usr/local/cuda/bin, and $B is not packed"; return 1; }
    for p in $programs; do echo "$B/$p"; done | xargs make -s -j"$(nproc)" B="$B" > "$OUT/build.log" 2>&1 && return 0
    say "run.sh: the build failed; what is missing stands in $OUT/build.log (or --pack on a machine that has it)"
    tail -n 5 "$OUT/build.log"
    return 1
}
pack() { # the shared libraries that a bare machine lacks
    mkdir -p "$B/lib"
    for p in hone tests/gpu/operations tests/gpu/measure tests/cuda/golden_twin; do ldd "$B/$p"; done |
        awk '/cmocka|yaml|jansson|pcre2|utf8proc|xxhash|ncurses|tinfo|vterm/ { print $3 }' | sort -u |
        while read -r l; do cp -L "$l" "$B/lib/"; done
    say "packed: $B ($(du -sh "$B/hone-cuda.so" | cut -f1) of kernels)"
}

# step NAME SECONDS COMMAND...: under a timeout; its lines of JSON are results, the rest is its log
step() {
    name=$1 most=$2; shift 2
    rest=$(left); [ "$rest" -lt "$most" ] && most=$rest
    if [ "$most" -lt 5 ]; then
        say "$(printf '%-34s left out: no time' "$name")"; result "{\"step\": \"$name\", \"left_out\": \"no time\"}"; return 0
    fi
    log=$OUT/$(echo "$name" | tr ' /' '--').log; t=$(date +%s)
    timeout -k 5 "$most" "$@" > "$log" 2>&1; rc=$?
    grep '^{' "$log" | tee -a "$results" | sed 's/[{}"]//g; s/^/    /'
    t=$(($(date +%s) - t))
    case $rc in 0) word=ok ;; 124 | 137) word="out of time" ;; *) word="FAILED ($rc)"; failed=$((failed + 1)); grep -v '^{' "$log" | tail -n 6 | sed 's/^/    /' ;; esac
    say "$(printf '%-34s %s, %d s' "$name" "$word" "$t")"
    result "{\"step\": \"$name\", \"status\": $rc, \"seconds\": $t}"
    return $rc
}

plugins=$B only=
case $1 in
--pack) if build; then pack; exit 0; else exit 1; fi ;;
--twin) # the same steps, small
    B2=${HONE_BUILD:-build}; case $B2 in /*) ;; *) B2=$(pwd)/$B2 ;; esac
    make -s B="$B2" cuda-twins "$B2/tests/gpu/operations" "$B2/tests/gpu/measure" > "$OUT/build.log" 2>&1 || { tail -n 5 "$OUT/build.log"; exit 1; }
    B=$B2 plugins=$B2/cuda/ref only=tiny
    ln -f "$B/hone" "$plugins/hone"; ln -sf "$B/hone-cpu.so" "$plugins/hone-cpu.so"
    export HONE_CUDA="$B/cuda/lib" HONE_TWIN=1 FAKE_ORDER=eager ;;
"") built || build || exit 1 ;;
*) say "run.sh: --pack, --twin or nothing, not $1"; exit 2 ;;
esac
: > "$results"
work=$(mktemp -d /tmp/hone-gpu-run-XXXXXX) || exit 2
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/home"
export HONE_BUILD="$plugins" HONE_HOME="$work/home" XDG_CONFIG_HOME="$work" CMOCKA_MESSAGE_OUTPUT=tap
[ -d "$B/lib" ] && export LD_LIBRARY_PATH="$B/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
hone=$plugins/hone

# ---- is there a GPU? ----
"$hone" doctor > "$OUT/doctor.log" 2>&1
say "hone $(git rev-parse --short HEAD 2> /dev/null), $(date -u +%Y-%m-%dT%H:%MZ)"
sed -n '/^processor/p; /^GPU/,$p' "$OUT/doctor.log" | while read -r line; do say "$line"; done
if ! grep -q '^GPU *cuda:' "$OUT/doctor.log"; then say "run.sh: stopped, since no GPU can be used"; exit 1; fi

# ---- checks ----
step "operations against ref, twice" 120 "$B/tests/gpu/operations" ${only:+add}
step "fixtures of transformers and PEFT" 60 "$B/tests/cuda/golden_twin"
step "recompute, chat, micro-batches" 60 "$B/tests/cuda/model_twin"
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2> /dev/null)
if [ -n "$sanitizer" ] && [ -z "$only" ]; then
    HONE_CASES=gqa step "compute-sanitizer memcheck" 60 "$sanitizer" --error-exitcode 9 "$B/tests/cuda/golden_twin"
else say "compute-sanitizer is not here"; result '{"step": "compute-sanitizer", "left_out": "not here"}'; fi

# ---- measurements ----
[ -n "$only" ] && share=20 || share=$(($(left) - 90))
[ $share -gt 10 ] && step "speed" $((share + 20)) "$B/tests/gpu/measure" $share $only

# ---- the demo on both, in the time that is left ----
loss_of() { "$hone" metrics "$1" --csv 2> /dev/null | tail -n 1 | cut -d, -f4; }
demo() { # demo cpu|cuda: its last loss as a result
    "$hone" train profiles/demo.yaml --run-dir "$work/$1" --set device="$1" --set name="demo-$1" ${only:+--set stages.0.max_steps=2} --yes < /dev/null &&
        echo "{\"what\": \"demo\", \"device\": \"$1\", \"loss\": $(loss_of "$work/$1")}"
}
if [ -z "$only" ] && [ "$(left)" -gt 30 ]; then
    (demo cpu > "$OUT/demo-cpu.log" 2>&1; grep '^{' "$OUT/demo-cpu.log" >> "$results") &
    beside=$!
    say "the demo on the GPU, and beside it on the processor"
    timeout "$(left)" sh -c "\"$hone\" train profiles/demo.yaml --run-dir \"$work/cuda\" --set device=cuda --set name=demo-cuda --yes < /dev/null" > "$OUT/demo-cuda.log" 2>&1 &&
        result "{\"what\": \"demo\", \"device\": \"cuda\", \"loss\": $(loss_of "$work/cuda")}"
    while kill -0 $beside 2> /dev/null && [ "$(left)" -gt 0 ]; do sleep 1; done
    kill $beside 2> /dev/null
    grep demo "$results" | while read -r line; do say "    $line"; done
fi
say "$failed failed; results in $results, $(($(date +%s) - started)) s"
[ $failed -eq 0 ]
