#!/bin/sh
# t_demo.sh - the shipped model and its demo: the commands that made the model repeat its first steps bit by bit; the
# demo teaches the town in Chinese and keeps the English; rows without the facts teach nothing of the kind.
cd "$(dirname "$0")/.." || exit 2
B=$(pwd)/${HONE_BUILD:-build}
case ${HONE_BUILD:-build} in /*) B=$HONE_BUILD ;; esac
hone=$B/hone
dir=$(mktemp -d "${TMPDIR:-/tmp}/hone-demo-XXXXXX") || exit 2
trap 'rm -rf "$dir"' EXIT
export HONE_HOME=$dir/home XDG_CONFIG_HOME=$dir/config
check() { name=$1; shift; if "$@"; then echo "ok $name"; else echo "not ok $name"; tail -n 15 "$dir/out" | sed 's/^/    /'; fi; }

# The base's first steps. A line of the record: instruction set and compiler, then the sum of masters and moments after
# them. Another compiler may contract and order additions in another way, so it has its own lines, or none yet.
record=tests/golden/base.txt
compiler=gcc-$(gcc -dumpversion)
sh assets/world/make.sh "$dir/world" > "$dir/out" 2>&1
sed "s|\.\./build/world|$dir/world|; s|\.\./assets|$(pwd)/assets|g" profiles/base.yaml > "$dir/base.yaml"
for isa in avx2 avx512 avx512bf16; do
    if ! HONE_ISA=$isa "$hone" train "$dir/base.yaml" --run-dir "$dir/base-$isa" --set stages.0.max_steps=3 --set "eval.quiz=[]" > "$dir/out" 2>&1; then
        if grep -q "instruction" "$dir/out"; then echo "ok the base's first steps on $isa # SKIP this processor has no $isa"
        else check "the base's first steps on $isa" false; fi
        continue
    fi
    sum="$isa $compiler $(cksum < "$dir/base-$isa/ckpt/000003/training.safetensors")"
    [ -n "$RECORD" ] && echo "$sum" >> "$RECORD"
    if ! grep -q "^$isa $compiler " "$record"; then
        echo "ok the base's first steps on $isa # SKIP nothing is recorded for $compiler; RECORD=FILE writes a line"
        continue
    fi
    echo "$sum" > "$dir/out"
    check "the base's first steps on $isa are those that were recorded" grep -qxF "$sum" "$record"
done

score() { # score RUN FILE N: right answers of the Nth quiz over FILE
    grep '"kind":"quiz"' "$1/events.jsonl" | grep "$2" | sed -n "s/.*\"right\":\([0-9]*\).*/\1/p" | sed -n "$3p"
}
"$hone" train profiles/demo.yaml --run-dir "$dir/demo" > "$dir/out" 2>&1
check "the demo runs to its end" grep -q '"state":"done"' "$dir/demo/events.jsonl"
of=$(grep -c . assets/world/data/quiz.zh.jsonl)
zh0=$(score "$dir/demo" quiz.zh 1); zh1=$(score "$dir/demo" quiz.zh 4); en0=$(score "$dir/demo" quiz.en 1); en1=$(score "$dir/demo" quiz.en 4)
echo "Chinese $zh0 to $zh1 of $of, English $en0 to $en1" > "$dir/out"
echo "# Chinese $zh0 to $zh1 of $of, English $en0 to $en1"
check "Chinese begins under 10 %" [ "$((${zh0:-999} * 10))" -lt "$of" ]
check "Chinese ends over 60 %" [ "$((${zh1:-0} * 10))" -gt "$((of * 6))" ]
check "English falls by at most 3 points" [ "$((${en1:-0} * 100))" -ge "$((${en0:-999} * 100 - of * 3))" ]
said=$("$hone" chat "$dir/demo" --prompt "红色的房子里住着谁？" --greedy 2> "$dir/out")
answers() { echo "$said" >> "$dir/out"; grep -q "红色的房子" assets/world/data/*.jsonl && [ -n "$said" ]; }
check "and the result answers in a chat" answers

"$hone" train profiles/demo.yaml --run-dir "$dir/control" --set datasets.zh.path="$(pwd)/assets/world/data/zh.control.jsonl" > "$dir/out" 2>&1
zh2=$(score "$dir/control" quiz.zh 4)
echo "# control: $zh2 of $of"
check "rows without the facts stay under 10 %" [ "$((${zh2:-999} * 10))" -lt "$of" ]
