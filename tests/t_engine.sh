#!/bin/sh
# t_engine.sh - one engine a run whatever races, and what reaches it: hang-up, kill -9 of screen, engine and parent, a
# stopped viewer, a full disk, orders, exit codes.
. "$(dirname "$0")/engine/kit.sh"
long="--set stages.1.max_steps=100000 --set eval.every_steps=0 --set save.every_steps=200"
alive() { case $(state_word "$1") in training | saving) ;; *) return 1 ;; esac; } # it saves often
engine_pid() { sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$1/state.json"; }
parent_of() { awk '{ print $4 }' "/proc/$1/stat"; }
start() { # start RUN ARGS...: in the background, until it trains
    run=$1; shift
    setsid "$hone" train "$dir/full.yaml" --run-dir "$run" "$@" > "$run.out" 2>&1 &
    watcher=$!
    wait_for 30 alive "$run"
}

# Forty starts of one folder.
"$hone" train "$dir/full.yaml" --run-dir "$dir/race" $long > "$dir/out" 2>&1 &
wait_for 30 alive "$dir/race"
"$hone" stop "$dir/race" > "$dir/out" 2>&1
wait
check "an order to stop saves and stops" is_state "$dir/race" stopped
before=$(grep -c '"kind":"start"' "$dir/race/events.jsonl")
i=0
while [ $i -lt 40 ]; do
    "$hone" resume "$dir/race" > "$dir/race.$i" 2>&1 &
    i=$((i + 1))
done
wait_for 30 alive "$dir/race"
sleep 1
one_engine() {
    starts=$(($(grep -c '"kind":"start"' "$dir/race/events.jsonl") - before))
    refused=$(cat "$dir"/race.[0-9]* | grep -c "is held already")
    echo "starts $starts, refused $refused" > "$dir/out"
    [ "$starts" = 1 ] && [ "$refused" = 39 ]
}
check "forty starts of one folder: one engine, thirty-nine refusals" one_engine
"$hone" stop "$dir/race" > "$dir/out" 2>&1
wait
rm -rf "$dir/race"

# The screen and its terminal die, the run does not.
start "$dir/hangup" $long
kill -HUP -- -$watcher 2>/dev/null; kill -9 $watcher 2>/dev/null
sleep 0.5
check "hang-up and kill -9 of the watcher leave the run alone" alive "$dir/hangup"
"$hone" tail "$dir/hangup" > "$dir/tail.out" 2>&1 &
viewer=$!
sleep 0.3; kill -STOP $viewer
step_at() { sed -n 's/.*"step": *\([0-9]*\).*/\1/p' "$dir/hangup/state.json"; }
one=$(step_at); sleep 2.5; two=$(step_at)
goes_on() { [ "${two:-0}" -gt "${one:-0}" ]; }
check "a stopped viewer holds nothing up" goes_on
kill -CONT $viewer; kill -9 $viewer 2>/dev/null

"$hone" pause "$dir/hangup" > "$dir/out" 2>&1
check "pause holds it still" wait_for 30 is_state "$dir/hangup" paused
"$hone" continue "$dir/hangup" > "$dir/out" 2>&1
check "continue lets it go on" wait_for 30 is_state "$dir/hangup" training
"$hone" save "$dir/hangup" > "$dir/out" 2>&1
check "save makes a checkpoint" wait_for 30 grep -q '"why":"order"' "$dir/hangup/events.jsonl"
answers() { "$hone" chat "$dir/hangup" --prompt "hop 3?" --greedy --max-new-tokens 4 > "$dir/out" 2>&1 && [ -s "$dir/out" ]; }
check "the weights in training answer" answers
not_removed() { ! "$hone" rm "$dir/hangup" --yes > "$dir/out" 2>&1 && grep -q "is running" "$dir/out"; }
check "a running run is not removed" not_removed

# Two runs, one device: the second waits its turn.
start "$dir/second" > /dev/null 2>&1 &
queued() { is_state "$dir/second" queued && grep -q "waits for hangup" "$dir/second/state.json"; }
check "a second run waits for the device" wait_for 20 queued
kill -9 "$(engine_pid "$dir/hangup")"
failed_by_signal() { is_state "$dir/hangup" failed && grep -q "killed by signal 9" "$dir/hangup/state.json"; }
check "kill -9 of the engine is named by its parent" wait_for 10 failed_by_signal
check "and the next run gets the device" wait_for 60 is_state "$dir/second" done
resumes() { "$hone" resume "$dir/hangup" > "$dir/out" 2>&1 & wait_for 20 alive "$dir/hangup"; }
check "it resumes" resumes

engine=$(engine_pid "$dir/hangup"); parent=$(parent_of "$engine")
kill -9 "$parent"; sleep 0.5
check "the engine outlives its parent" alive "$dir/hangup"
kill -9 "$engine"; sleep 0.5
lost() { "$hone" runs --json | grep -q '"name": *"hangup".*"state": *"lost"'; }
check "both killed: the run is called lost" lost

# Signals and exit codes.
"$hone" train "$dir/full.yaml" --run-dir "$dir/intr" $long > "$dir/out" 2>&1 &
watcher=$!
wait_for 30 alive "$dir/intr"
kill -TERM $watcher; wait $watcher; code=$?
check "SIGTERM saves, stops and exits with 143" [ $code = 143 ]
check "its state is stopped" is_state "$dir/intr" stopped
"$hone" train "$dir/full.yaml" --run-dir "$dir/intr" > "$dir/out" 2>&1; code=$?
named() { [ $code = 2 ] && grep -q "hone resume" "$dir/out"; }
check "train on a folder that holds a run names resume" named
"$hone" train "$dir/none.yaml" > "$dir/out" 2>&1; check "a missing profile exits with 2" [ $? = 2 ]
"$hone" train "$dir/full.yaml" --set base_model=/nowhere --run-dir "$dir/x" > "$dir/out" 2>&1; check "a missing model exits with 3" [ $? = 3 ]
"$hone" rm "$dir/intr" < /dev/null > "$dir/out" 2>&1; check "rm without a terminal wants --yes" [ $? = 2 ]
"$hone" rm "$dir/intr" --yes > "$dir/out" 2>&1; check "rm --yes removes" [ ! -e "$dir/intr" ]

# --json is the events, and nothing else.
"$hone" train "$dir/full.yaml" --run-dir "$dir/json" --json > "$dir/json.out" 2> "$dir/out"
check "--json prints the lines of events.jsonl" cmp "$dir/json.out" "$dir/json/events.jsonl"
