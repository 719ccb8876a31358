#!/bin/sh
# t_stop.sh - SIGTERM in every phase of a run's life: it ends with 143 as stopped, saved where there was something to
# save, and a resume ends with the bits of the run that nobody stopped. Each phase is held at one of its own system
# calls while the signal comes, so that it is that phase and no other.
. "$(dirname "$0")/engine/kit.sh"
"$hone" train "$dir/full.yaml" --run-dir "$dir/whole" > "$dir/out" 2>&1

fresh() { rm -rf "$1" "$dir/home/cache" "$dir/hits" "$dir/go"; mkdir -p "$1/ckpt" "$1/chat"; cp "$dir/whole/profile.yaml" "$dir/whole/plan.json" "$1/"; }
pid_of() { sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$1/state.json"; }
ends_stopped() { # ends_stopped RUN PID: with 143, as stopped, the lock is free
    wait "$2"; rc=$?
    echo "status $rc, $(cat "$1/state.json")" >> "$dir/out"
    [ $rc = 143 ] && is_state "$1" stopped && flock -n "$1/lock" true
}
goes_on() { "$hone" engine "$1" >> "$dir/out" 2>&1 && same_run "$dir/whole" "$1" && events_are_whole "$1"; }

stopped_in() { # NAME CALL:N PATH [TEXT]
    run=$dir/stop; fresh "$run"; : > "$dir/out"
    # shellcheck disable=SC2086
    env HONE_FAULT="$2:touch" ${3:+HONE_FAULT_AT="$3"} ${4:+HONE_FAULT_TEXT="$4"} HONE_FAULT_TOUCH="$dir/go" HONE_FAULT_HITS="$dir/hits" \
        LD_PRELOAD="$dir/faults.so" "$hone" engine "$run" >> "$dir/out" 2>&1 &
    engine=$!
    wait_for 30 [ -s "$dir/hits" ] || { echo "never came to: $1" >> "$dir/out"; kill -9 $engine; wait; return 1; }
    kill -TERM $engine; sleep 0.2; touch "$dir/go"
    ends_stopped "$run" $engine && goes_on "$run"
}
check "SIGTERM while the profile is read" stopped_in profile read:1 stop/profile.yaml
check "SIGTERM while rows are tokenised" stopped_in rows read:1 a.jsonl
check "SIGTERM while the model is loaded" stopped_in model read:2 tiny/model.safetensors
check "SIGTERM in a step" stopped_in step write:3 events.jsonl '"kind":"step"'
check "SIGTERM in a validation" stopped_in validation write:1 events.jsonl '"kind":"validation"'
check "SIGTERM in a quiz" stopped_in quiz write:1 events.jsonl '"kind":"quiz"'
check "SIGTERM in a save" stopped_in save write:2 .tmp-0000
check "SIGTERM between a save and its name" stopped_in name rename:1 ckpt/0
check "SIGTERM as a stage begins" stopped_in stage write:2 events.jsonl '"kind":"stage"'

paused() {
    run=$dir/paused; fresh "$run"; : > "$dir/out"
    HONE_FAULT=write:3:touch HONE_FAULT_AT=events.jsonl HONE_FAULT_TEXT='"kind":"step"' HONE_FAULT_TOUCH=$dir/go HONE_FAULT_HITS=$dir/hits \
        LD_PRELOAD=$dir/faults.so "$hone" engine "$run" >> "$dir/out" 2>&1 &
    engine=$!
    wait_for 30 [ -s "$dir/hits" ]
    "$hone" pause "$run" >> "$dir/out" 2>&1; touch "$dir/go"
    wait_for 20 is_state "$run" paused && kill -TERM $engine
    ends_stopped "$run" $engine && goes_on "$run"
}
check "SIGTERM while it is paused" paused

long="--set stages.1.max_steps=100000 --set eval.every_steps=0 --set save.every_steps=0"
training() { grep -qs '"kind":"step"' "$1/events.jsonl"; }
chatting() { # an answer is being written by the weights in training
    "$hone" train "$dir/full.yaml" --run-dir "$dir/chat" $long > "$dir/out" 2>&1 &
    watcher=$!
    wait_for 30 training "$dir/chat" || return 1
    "$hone" chat "$dir/chat" --prompt "hop 3?" --max-new-tokens 200 > "$dir/said" 2>&1 &
    chat=$!
    wait_for 20 [ -s "$dir/said" ]
    kill -TERM "$(pid_of "$dir/chat")"
    wait $watcher; wait $chat
    is_state "$dir/chat" stopped
}
check "SIGTERM while it answers a chat" chatting

queued() { # behind a run that has the device
    "$hone" train "$dir/full.yaml" --run-dir "$dir/first" $long > "$dir/out" 2>&1 &
    wait_for 30 training "$dir/first" || return 1
    run=$dir/queued; fresh "$run"
    "$hone" engine "$run" >> "$dir/out" 2>&1 &
    engine=$!
    wait_for 20 is_state "$run" queued && sleep 0.5 && kill -TERM $engine
    ends_stopped "$run" $engine; rc=$?
    "$hone" stop "$dir/first" >> "$dir/out" 2>&1; wait
    [ $rc = 0 ] && goes_on "$run"
}
check "SIGTERM while it waits for the device" queued

twice() { # a second Ctrl-C leaves at once, while the save is still held; the engine goes on saving
    rm -f "$dir/hits" "$dir/go"
    HONE_FAULT=write:2:touch HONE_FAULT_AT=.tmp-0000 HONE_FAULT_TOUCH=$dir/go HONE_FAULT_HITS=$dir/hits LD_PRELOAD=$dir/faults.so \
        python3 - "$hone" "$dir/full.yaml" "$dir/twice" "$dir/hits" > "$dir/out" 2>&1 << 'END2'
import os, signal, subprocess, sys, time
hone, profile, run, hits = sys.argv[1:]
p = subprocess.Popen([hone, "train", profile, "--run-dir", run])
while not (os.path.exists(hits) and os.path.getsize(hits)): time.sleep(0.05)
p.send_signal(signal.SIGINT); time.sleep(0.5)
assert p.poll() is None, "it left at the first"
p.send_signal(signal.SIGINT)
sys.exit(p.wait(timeout=20))
END2
    rc=$?
    held=$(flock -n "$dir/twice/lock" true || echo held)
    touch "$dir/go"
    [ $rc = 130 ] && [ "$held" = held ] && wait_for 30 is_state "$dir/twice" stopped && "$hone" resume "$dir/twice" >> "$dir/out" 2>&1 &&
        same_run "$dir/whole" "$dir/twice"
}
check "a second Ctrl-C leaves at once and the engine goes on saving" twice
