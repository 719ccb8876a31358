#!/bin/sh
# t_resume.sh - twenty steps equal ten, kill -9, ten, bit by bit: full fp32, bf16, and LoRA with dropout, NEFTune and
# accumulation; killed at counted system calls, which fall into steps, saves and the edges of stages alike.
. "$(dirname "$0")/engine/kit.sh"

killed_and_resumed() { # PROFILE N: true when the run was hit, resumed, and equals the reference
    run=$dir/$1-$2
    rm -f "$dir/hits"
    HONE_FAULT="any:$2:kill" HONE_FAULT_HITS=$dir/hits LD_PRELOAD=$dir/faults.so \
        "$hone" train "$dir/$1.yaml" --run-dir "$run" --json > "$dir/out" 2>&1
    [ -s "$dir/hits" ] || { echo "the fault at call $2 was never reached" >> "$dir/out"; return 1; }
    for again in 1 2 3; do
        [ "$(state_word "$run")" = done ] && break
        "$hone" resume "$run" --json >> "$dir/out" 2>&1
    done
    same_run "$dir/$1-whole" "$run"
}
for p in full bf16 lora; do
    if ! "$hone" train "$dir/$p.yaml" --run-dir "$dir/$p-whole" > "$dir/out" 2>&1; then
        not_ok "$p trains" "$(tail -n 20 "$dir/out")"
        continue
    fi
    ok "$p trains"
    "$hone" train "$dir/$p.yaml" --run-dir "$dir/$p-again" --threads 1 > "$dir/out" 2>&1
    check "$p with one thread gives the same bits" same_run "$dir/$p-whole" "$dir/$p-again"
    case $p in full) points="9 21 34 47 58 66 75 83 91 104 118 126 139 150" ;; *) points="30 61 88 97 120 141" ;; esac
    for n in $points; do
        check "$p killed at call $n resumes to the same bits" killed_and_resumed $p $n
        rm -rf "$dir/$p-$n"
    done
done

# A steered run: its learning rate is changed on the way; its journal of orders repeats it, and so does a resume.
cat > "$dir/order.py" <<'END'
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(open(sys.argv[1] + "/socket").read())
f = s.makefile("rw")
for message in ({"hello": sys.argv[2]}, {"order": sys.argv[3], "value": float(sys.argv[4]), "by": "test"}):
    f.write(json.dumps(message) + "\n")
    f.flush()
    print(f.readline().strip())
END
version=$("$hone" --version | cut -d' ' -f2)
many="--set stages.1.max_steps=400 --set eval.every_steps=0 --set save.every_steps=50"
"$hone" train "$dir/full.yaml" --run-dir "$dir/steered" $many > "$dir/out" 2>&1 &
wait_for 30 grep -q '"step":20,' "$dir/steered/events.jsonl" 2>/dev/null
python3 "$dir/order.py" "$dir/steered" "$version" learning_rate 3e-3 > "$dir/order.out" 2>&1
wait
check "an order reaches the run and is journalled" grep -q '"learning_rate".*0.003' "$dir/steered/orders.jsonl"
"$hone" train "$dir/full.yaml" --run-dir "$dir/unsteered" $many > "$dir/out" 2>&1
differs() { ! same_run "$dir/steered" "$dir/unsteered"; }
check "a changed learning rate changes the run" differs
again() {
    mkdir -p "$dir/replayed" && cp "$dir/steered/orders.jsonl" "$dir/replayed/"
    "$hone" train "$dir/full.yaml" --run-dir "$dir/replayed" $many > "$dir/out" 2>&1 && same_run "$dir/steered" "$dir/replayed"
}
check "its journal of orders repeats the steered run" again
