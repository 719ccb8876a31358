#!/bin/sh
# t_memory.sh - what the plan promises is what the system is asked for: the planned bytes are one map, to the page; no
# allocation happens between steps; the process stays within 5 % + 50 MB of the plan.
. "$(dirname "$0")/engine/kit.sh"
cc -shared -fPIC -O1 -o "$dir/count.so" tests/engine/count.c -ldl || exit 2
planned() { sed -n 's/.*"bytes_planned":\([0-9]*\).*/\1/p' "$1/events.jsonl" | head -n 1; }

sed 's/^stages:/optimizer: {state_dtype: 8bit, gradient_dtype: bf16}\n&/' "$dir/full.yaml" > "$dir/codes.yaml"
sed 's/^stages:/optimizer: {state_dtype: bf16}\n&/' "$dir/lora.yaml" > "$dir/halves.yaml"
sed 's/^micro_batch_size: .*/micro_batch_size: 4/' "$dir/full.yaml" > "$dir/alone.yaml" # a step is one micro-batch
for p in full bf16 lora codes halves alone; do
    rm -f "$dir/count"
    HONE_COUNT=$dir/count LD_PRELOAD=$dir/count.so "$hone" train "$dir/$p.yaml" --run-dir "$dir/$p-run" --set eval.every_steps=0 \
        --set save.every_steps=0 > "$dir/out" 2>&1
    bytes=$(planned "$dir/$p-run")
    "$hone" check "$dir/$p.yaml" --json > "$dir/plan.json" 2>> "$dir/out"
    promised() { grep -q "\"memory\": *$bytes[,}]" "$dir/plan.json"; }
    check "$p: hone check promises what the engine plans" promised
    one_map() {
        echo "planned ${bytes:-nothing}" >> "$dir/out"; cat "$dir/count" >> "$dir/out"
        awk -v b="${bytes:-0}" '$1 == "map" && b > 0 && $2 >= b && $2 - b < 4096 { found = 1 } END { exit !found }' "$dir/count"
    }
    check "$p: the planned bytes are asked for in one map, to the page" one_map
    # The last stage's steps but its first two: the same count of allocations at every step.
    still() { grep '^step' "$dir/count" | tail -n 10 | sort -u | wc -l | grep -qx 1; }
    cat "$dir/count" >> "$dir/out"
    check "$p: nothing is allocated between steps" still
done

# Moments in fewer bits: the same run from its profile, with another number of threads, and killed and resumed.
killed_and_resumed() { # PROFILE CALL
    rm -f "$dir/hits"
    HONE_FAULT="any:$2:kill" HONE_FAULT_HITS=$dir/hits LD_PRELOAD=$dir/faults.so \
        "$hone" train "$dir/$1.yaml" --run-dir "$dir/$1-$2" > "$dir/out" 2>&1
    [ -s "$dir/hits" ] || { echo "the fault at call $2 was never reached" >> "$dir/out"; return 1; }
    for again in 1 2 3; do
        [ "$(state_word "$dir/$1-$2")" = done ] && break
        "$hone" resume "$dir/$1-$2" >> "$dir/out" 2>&1
    done
    same_run "$dir/$1" "$dir/$1-$2"
}
for p in codes halves; do
    "$hone" train "$dir/$p.yaml" --run-dir "$dir/$p" > "$dir/out" 2>&1
    check "$p: the run ends" [ "$(state_word "$dir/$p")" = done ]
    "$hone" train "$dir/$p.yaml" --run-dir "$dir/$p-again" --threads 3 > "$dir/out" 2>&1
    check "$p: three threads give the same bits" same_run "$dir/$p" "$dir/$p-again"
    for n in 75 118; do check "$p: killed at call $n it resumes to the same bits" killed_and_resumed $p $n; done
done
smaller() {
    for p in full codes; do ls -l "$dir/$p"*/ckpt/*20/training.safetensors | awk '{ print $5; exit }'; done > "$dir/out"
    [ "$(sed -n 2p "$dir/out")" -lt $(($(sed -n 1p "$dir/out") * 3 / 5)) ]
}
check "codes: the training state takes under three fifths of a whole one's" smaller

# Six layers: whatever is kept or computed again, the run is the same, and takes what its plan says.
"$B/tests/run/tiny" "$dir/deep" 6
again() { # NAME OPTION...: true where the run is that which keeps everything
    "$hone" train "$dir/bf16.yaml" --run-dir "$dir/again-$1" --set base_model="$dir/deep" --set eval.every_steps=0 "$2" "$3" $4 $5 > "$dir/out" 2>&1
    planned "$dir/again-$1" >> "$dir/planned"
    same_run "$dir/again-none" "$dir/again-$1"
}
again none --set gradient_checkpointing=none
for g in norms selective attention full; do
    check "recompute $g gives the same bits" again $g --set gradient_checkpointing=$g
done
check "full in two layers gives the same bits" again some --set gradient_checkpointing=full --set gradient_checkpointing_layers=2
falls() { cp "$dir/planned" "$dir/out"; head -n 5 "$dir/planned" | sort -nr -c 2> /dev/null && [ "$(sort -u "$dir/planned" | wc -l)" = 6 ]; }
check "each kind takes less than the one before" falls

"$hone" train "$dir/full.yaml" --run-dir "$dir/rss" --set stages.1.max_steps=4000 --set eval.every_steps=0 > "$dir/out" 2>&1 &
trains() { [ "$(state_word "$dir/rss")" = training ] && grep -q '"step":20,' "$dir/rss/events.jsonl"; }
wait_for 30 trains
pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$dir/rss/state.json")
peak=$(awk '/VmHWM/ { print $2 * 1024 }' "/proc/$pid/status")
bytes=$(planned "$dir/rss")
near() { echo "peak $peak, planned $bytes" > "$dir/out"; [ "$peak" -lt $((bytes + bytes / 20 + 50000000)) ]; }
check "the process stays within 5 % + 50 MB of the plan" near
"$hone" stop "$dir/rss" > /dev/null 2>&1
wait
