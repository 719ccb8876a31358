#!/bin/sh
# fuzz.sh [NAME... | all] [SECONDS]: builds the harnesses of tests/fuzz with clang under ASan and UBSan, replays their
# corpora and seeds, then fuzzes each for SECONDS (15; 0: no more than the replay), two at a time. New inputs stay in
# build/fuzz/corpus; KEEP=1 merges what reaches new code into tests/fuzz/corpus. A fault lies in build/fuzz/found.
cd "$(dirname "$0")/.." || exit 2
if ! command -v clang > /dev/null 2>&1; then
    echo "ok fuzz # SKIP clang is not there; tests/install.sh test installs it"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
export B="${B:-build}" ASAN_OPTIONS=detect_leaks=0 LC_ALL=C.UTF-8
F=$B/fuzz

keep() { # keep NAME MAX: the smallest set of inputs that reaches what all of them reach, as one archive
    rm -rf "$F/merged-$1"; mkdir -p "$F/merged-$1" tests/fuzz/corpus
    "$F/tests/fuzz/f_$1" -merge=1 -max_len="$2" "$F/merged-$1" "$F/seeds/$1" "$F/corpus/$1" > "$F/$1.merge" 2>&1 || return 1
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=644 -C "$F/merged-$1" -cf - . |
        gzip -n9 > "tests/fuzz/corpus/$1.tar.gz"
    rm -rf "$F/corpus/$1" && mv "$F/merged-$1" "$F/corpus/$1"
}

one() { # one NAME: replays, fuzzes, and says in a line of TAP how it went
    program=$F/tests/fuzz/f_$1; corpus=$F/corpus/$1; log=$F/$1.log
    max=$(awk -v n="$1" '$1 == n { print $2 }' tests/fuzz/targets.txt)
    mkdir -p "$corpus" "$F/seeds/$1"
    rm -f "$F/seeds/$1"/*
    [ -f "tests/fuzz/corpus/$1.tar.gz" ] && tar -xzf "tests/fuzz/corpus/$1.tar.gz" -C "$corpus"
    HONE_SEEDS=$F/seeds/$1 "$program" > "$log" 2>&1 || { echo "not ok $1: its seeds"; cat "$log"; return; }
    mkdir -p "$F/large/$1"; rm -f "$F/large/$1"/*
    find "$F/seeds/$1" -size +100k -exec mv {} "$F/large/$1" \;
    set -- "$1" -timeout=300 -rss_limit_mb=2048 -artifact_prefix="$F/found/$1-" -print_final_stats=1 -verbosity=1
    [ -f "tests/fuzz/$1.dict" ] && set -- "$@" -dict="tests/fuzz/$1.dict"
    name=$1; shift
    if "$program" "$@" -runs=0 -max_len=1100000 "$corpus" "$F/seeds/$name" "$F/large/$name" >> "$log" 2>&1 &&
        { [ "$FUZZ_SECONDS" = 0 ] || "$program" "$@" -max_len="$max" -max_total_time="$FUZZ_SECONDS" "$corpus" "$F/seeds/$name" >> "$log" 2>&1; } &&
        { [ -z "$KEEP" ] || keep "$name" "$max"; }; then
        echo "ok $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1) runs, $(ls "$corpus" | wc -l) inputs"
    else
        echo "not ok $name"
        grep -aE 'ERROR|SUMMARY|does not hold|runtime error|Test unit|are allowed|bytes took|^ *#[0-9]+ .* in [a-z_]+ /' "$log" | head -n 30 | sed 's/^/    /'
    fi
}
if [ "$1" = one ]; then one "$2"; exit; fi

FUZZ_SECONDS=15; names=""
for word in "$@"; do
    case $word in [0-9]*) FUZZ_SECONDS=$word ;; all) ;; *) names="$names $word" ;; esac
done
export FUZZ_SECONDS
[ -n "$names" ] || names=$(awk '!/^#/ { print $1 }' tests/fuzz/targets.txt)
programs=""
for name in $names; do
    grep -q "^$name " tests/fuzz/targets.txt || { echo "tests/fuzz/targets.txt has no target $name"; exit 2; }
    programs="$programs $F/tests/fuzz/f_$name"
done
# -O2: at -O1 clang 14 leaves a branch out when coverage and the overflow check come together.
make -s -j2 B="$F" CC=clang SAN=fuzzer-no-link,address,undefined CFLAGS="-O2 -g" $programs || exit 1
mkdir -p "$F/found"
printf '%s\n' $names | xargs -P 2 -n 1 sh "$0" one > "$F/results"
cat "$F/results"
passed=$(grep -c '^ok' "$F/results"); failed=$(grep -c '^not ok' "$F/results")
wanted=$(printf '%s\n' $names | wc -l)
[ $((passed + failed)) -eq "$wanted" ] || failed=$((failed + wanted - passed - failed))
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
