#!/bin/sh
# t_resume.sh - twenty steps equal ten, kill -9, ten, bit by bit: full fp32, bf16, and LoRA with dropout, NEFTune,
# accumulation and a learning rate that an order changes on the way.
#
# Each case is killed at twenty points: fourteen random system calls of its life (a process that dies between two calls
# leaves what it left at the next one), and six that are chosen: inside saves, at a stage's and a bucket's edge, inside
# an event's line. HONE_SEED repeats the random ones; HONE_MORE multiplies them.
. "$(dirname "$0")/engine/kit.sh"
seed=${HONE_SEED:-$(date +%s)}
echo "# HONE_SEED=$seed"
points=$((14 * ${HONE_MORE:-1}))

# A run as it is made, with the orders of an earlier life; its engine is a plain child that may die.
fresh() { # fresh CASE RUN
    rm -rf "$2"; mkdir -p "$2/ckpt" "$2/chat"
    cp "$dir/$1-whole/profile.yaml" "$dir/$1-whole/plan.json" "$2/"
    [ "$1" != lora ] || cp "$dir/lora-whole/orders.jsonl" "$2/"
}
unset HONE_FAULT_AT HONE_FAULT_TEXT
engine() { "$hone" engine "$@" >> "$dir/out" 2>&1; }
dies_and_resumes() { # CASE NAME FAULT [PATH [TEXT]]: hit, killed, resumed once, and then it equals the whole run
    run=$dir/$1-$2
    fresh "$1" "$run"
    rm -f "$dir/hits"
    echo "# $1: HONE_FAULT=$3 HONE_FAULT_AT=$4 HONE_FAULT_TEXT=$5 HONE_SEED=$seed" > "$dir/out"
    unset HONE_FAULT_AT HONE_FAULT_TEXT
    [ -z "$4" ] || export HONE_FAULT_AT="$4"
    [ -z "$5" ] || export HONE_FAULT_TEXT="$5"
    HONE_FAULT=$3 HONE_FAULT_HITS=$dir/hits LD_PRELOAD=$dir/faults.so engine "$run"
    rc=$?
    [ -s "$dir/hits" ] && [ $rc = 137 ] || { echo "it was not hit (status $rc)" >> "$dir/out"; return 1; }
    engine "$run" && same_run "$dir/$1-whole" "$run" && events_are_whole "$run" && rm -rf "$run"
}
calls_of() { # how many calls a whole life of this case has
    fresh "$1" "$dir/$1-count"; rm -f "$dir/count"
    HONE_FAULT=any:1000000:kill HONE_FAULT_COUNT=$dir/count LD_PRELOAD=$dir/faults.so engine "$dir/$1-count"
    cat "$dir/count"
}

for p in full bf16 lora; do
    whole=$dir/$p-whole
    if ! "$hone" train "$dir/$p.yaml" --run-dir "$whole" > "$dir/out" 2>&1; then
        not_ok "$p trains" "$(tail -n 20 "$dir/out")"
        continue
    fi
    ok "$p trains"
    if [ $p = lora ]; then # again, with a learning rate that was changed after steps 3 and 14
        mv "$whole" "$dir/lora-plain"; mkdir -p "$whole/ckpt" "$whole/chat"
        cp "$dir/lora-plain/profile.yaml" "$dir/lora-plain/plan.json" "$whole/"
        printf '{"t":1,"order":"learning_rate","value":0.00%s,"by":"test","step":%s,"stage":%s}\n' 3 3 0 5 14 1 > "$whole/orders.jsonl"
        engine "$whole"
        steered() { ! same_run "$dir/lora-plain" "$whole" && [ "$(grep -c '"kind":"order","order":"learning_rate"' "$whole/events.jsonl")" = 2 ]; }
        check "a learning rate changed on the way changes the run" steered
    fi
    for n in 1 2 3 4; do
        fresh $p "$dir/$p-again"
        engine "$dir/$p-again" --threads $n
        check "$p with $n threads gives the same bits" same_run "$whole" "$dir/$p-again"
    done
    calls=$(calls_of $p)
    random=$(python3 -c "import random; r = random.Random('$seed$p'); print(*(r.randint(1, int(${calls:-1} * 0.97)) for i in range($points)))")
    for n in $random; do
        check "$p killed at call $n of $calls resumes to the same bits" dies_and_resumes $p "$n" any:$n:kill
    done
    edge=$(grep -c '"kind":"step".*"bucket":0' "$whole/events.jsonl") # steps until a bucket follows another
    check "$p killed half-way in the weights of a save" dies_and_resumes $p weights write:3:half training.safetensors
    check "$p killed before a save is renamed" dies_and_resumes $p rename rename:2:kill ckpt/0
    check "$p killed after a save is renamed" dies_and_resumes $p renamed rename:2:after ckpt/0
    check "$p killed as its second stage begins" dies_and_resumes $p stage write:2:after "" '"kind":"stage"'
    check "$p killed at a bucket's edge" dies_and_resumes $p bucket write:1:after "" '"bucket":1,'
    check "$p killed half-way in an event's line" dies_and_resumes $p line write:$((edge + 2)):half "" '"kind":"step"'
done

# What a resume must have: the same weights without the optimizer's state are another run.
cold() {
    fresh full "$dir/warm"; fresh full "$dir/cold"
    for r in warm cold; do HONE_FAULT=write:11:kill HONE_FAULT_TEXT='"kind":"step"' LD_PRELOAD=$dir/faults.so engine "$dir/$r"; done
    last=$dir/cold/ckpt/$(ls "$dir/cold/ckpt" | tail -n 1)
    "$B/tests/run/forget" "$last" >> "$dir/out" 2>&1 || return 1
    engine "$dir/warm" && engine "$dir/cold" && same_run "$dir/full-whole" "$dir/warm" && ! same_run "$dir/warm" "$dir/cold"
}
make -s B="${HONE_BUILD:-build}" "${HONE_BUILD:-build}/tests/run/forget" || exit 2
check "a start without the optimizer's state differs" cold

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
