#!/bin/sh
# t_limits.sh - what the machine, its other users and its clock do to a run: too few descriptors, bytes of a file, threads,
# processes or memory; a model file that is cut or replaced under the run; a clock that jumps; another user. Whatever it
# is, the run ends in a sentence and goes on to the same bits, and nothing ends by a signal of its own. What needs root
# or a cgroup has a twin by preload (tests/engine/twin.c) that always runs.
. "$(dirname "$0")/engine/kit.sh"
cc -shared -fPIC -o "$dir/twin.so" tests/engine/twin.c -ldl || exit 2
"$hone" train "$dir/full.yaml" --run-dir "$dir/whole" > "$dir/out" 2>&1
fresh() { rm -rf "$1"; mkdir -p "$1/ckpt" "$1/chat"; cp "$dir/whole/profile.yaml" "$dir/whole/plan.json" "$1/"; }
goes_on() { "$hone" engine "$1" >> "$dir/out" 2>&1 && same_run "$dir/whole" "$1" && events_are_whole "$1"; }
training() { grep -qs '"kind":"step"' "$1/events.jsonl"; }
pid_of() { sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$1/state.json"; }
step_of() { sed -n 's/.*"step": *\([0-9]*\).*/\1/p' "$1/state.json"; }
long="--set stages.1.max_steps=100000 --set eval.every_steps=0 --set save.every_steps=0"

# An engine with that ulimit ends by itself, done or with a sentence, and what it left goes on.
under() {
    run=$dir/limit; fresh "$run"; : > "$dir/said"
    # shellcheck disable=SC2086
    (ulimit $1; exec timeout 60 "$hone" engine "$run") > "$dir/said" 2>&1 &
    engine=$!; n=0
    while [ $n -lt 600 ] && kill -0 $engine 2>/dev/null; do # one that pauses is told to stop
        is_state "$run" paused && "$hone" stop "$run" >> "$dir/out" 2>&1
        sleep 0.1; n=$((n + 1))
    done
    wait $engine; rc=$?
    echo "ulimit $1: status $rc: $(tail -n 1 "$dir/said") $(cat "$run/state.json" 2>/dev/null)" >> "$dir/out"
    case $rc in
    0) is_state "$run" stopped && hit=$((hit + 1)) ;;
    1) hit=$((hit + 1)); [ -s "$dir/said" ] || return 1 ;;
    134) hit=$((hit + 1)); grep -q "out of memory: the system refused" "$dir/said" || return 1 ;;
    *) return 1 ;;
    esac
    goes_on "$run"
}
each() { # each LEAST LIMIT...: all of them, and so many of them were felt
    least=$1; shift; hit=0; : > "$dir/out"
    for l in "$@"; do under "$l" || return 1; done
    echo "$hit were felt" >> "$dir/out"
    [ $hit -ge "$least" ]
}
check "with few descriptors it ends in a sentence and goes on" each 3 "-n 4" "-n 7" "-n 9" "-n 11" "-n 13"
check "where no file may grow it pauses or ends in a sentence, and goes on" each 2 "-f 8" "-f 40" "-f 200"
check "with little address space it ends in a sentence and goes on" each 2 "-v 20000" "-v 40000" "-v 60000" "-v 90000"

twin() { # twin VARIABLE=VALUE SENTENCE: the launch under it fails with the sentence, and goes on without
    run=$dir/twin; fresh "$run"; : > "$run/events.jsonl"
    env "$1" LD_PRELOAD="$dir/twin.so" "$hone" resume "$run" > "$dir/out" 2>&1 && return 1
    cat "$run/engine.log" >> "$dir/out" 2>/dev/null
    grep -q "$2" "$dir/out" && goes_on "$run"
}
check "no process more: in a sentence" twin HONE_FORKS=0 "the system refuses another process"
check "no thread for the worker: in a sentence" twin HONE_THREADS=0 "the system refuses the worker thread"
check "no thread for the pool: in a sentence" twin HONE_THREADS=1 "the system refuses threads"

# Want of memory: an engine that the kernel killed (the twin: its counter is a file), and a cgroup that is too small.
killed_by_kernel() { is_state "$1" failed && grep -q "killed by the kernel: out of memory" "$1/state.json"; }
oom_twin() {
    echo "oom_kill 3" > "$dir/events"
    HONE_OOM=$dir/events LD_PRELOAD=$dir/twin.so "$hone" train "$dir/full.yaml" --run-dir "$dir/oom" $long > "$dir/out" 2>&1 &
    wait_for 30 training "$dir/oom" || return 1
    echo "oom_kill 4" > "$dir/events"
    kill -9 "$(pid_of "$dir/oom")"; wait
    killed_by_kernel "$dir/oom"
}
check "an engine that the kernel killed for want of memory is called that" oom_twin
group=$(sed -n 's/.*:memory:\(.*\)/memory\1/p; s/^0::\(.*\)/\1/p' /proc/self/cgroup | head -n 1)
cage=/sys/fs/cgroup/$group/hone-test-$$
[ -d "/sys/fs/cgroup/$group" ] || cage=/sys/fs/cgroup/${group%%/*}/hone-test-$$
limit() { echo "$1" 2>/dev/null > "$cage/memory.max" || echo "$1" > "$cage/memory.limit_in_bytes"; }
caged() { # before step 1, not after hours
    sh -c "echo \$\$ > '$cage/cgroup.procs'; exec timeout 20 '$hone' train '$dir/full.yaml' --run-dir '$dir/caged'" > "$dir/out" 2>&1
    [ $? -gt 0 ] && grep -q "needs .* at least and .* can be had" "$dir/out" && ! training "$dir/caged"
}
if mkdir "$cage" 2>/dev/null && limit 20000000 2>/dev/null; then check "where a cgroup leaves too little the start is refused with how much" caged
else echo "ok where a cgroup leaves too little the start is refused with how much # SKIP no right to make a cgroup"; fi
rmdir "$cage" 2>/dev/null

# The model's file under the run.
cp -r "$dir/tiny" "$dir/kept"
hold() { # hold RUN CALL:N PATH [TEXT]: an engine that waits at this call
    rm -f "$dir/hits" "$dir/go"
    # shellcheck disable=SC2086
    env HONE_FAULT="$2:touch" HONE_FAULT_AT="$3" ${4:+HONE_FAULT_TEXT="$4"} HONE_FAULT_TOUCH="$dir/go" HONE_FAULT_HITS="$dir/hits" \
        LD_PRELOAD="$dir/faults.so" "$hone" engine "$1" > "$dir/out" 2>&1 &
    engine=$!
    wait_for 30 [ -s "$dir/hits" ]
}
release() { touch "$dir/go"; wait $engine; rc=$?; cp "$dir/kept/model.safetensors" "$dir/tiny/model.safetensors"; }
cut_while_loading() {
    run=$dir/cut; fresh "$run"
    hold "$run" read:2 tiny/model.safetensors; truncate -s 3000 "$dir/tiny/model.safetensors"; release
    [ $rc = 1 ] && grep -q "model.safetensors" "$run/state.json" && is_state "$run" failed && goes_on "$run"
}
check "a model file that is cut while it is loaded ends the run in a sentence" cut_while_loading
cut_under_run() { # a save reads what is not trained from it: the run pauses, and nothing half is saved
    run=$dir/under; fresh "$run"
    hold "$run" write:3 events.jsonl '"kind":"step"'; truncate -s 100 "$dir/tiny/model.safetensors"; touch "$dir/go"
    wait_for 30 is_state "$run" paused && grep -q "could not be saved: .*tiny/model.safetensors ends at byte" "$run/state.json"; paused=$?
    cp "$dir/kept/model.safetensors" "$dir/tiny/model.safetensors"
    kill -TERM $engine; wait $engine
    [ $paused = 0 ] && goes_on "$run"
}
check "one that is cut under a run in training pauses it in a sentence, and it goes on" cut_under_run
under_run() { # under_run COMMAND...: while it trains
    run=$dir/under; fresh "$run"
    hold "$run" write:3 events.jsonl '"kind":"step"'; "$@"; release
    [ $rc = 0 ] && same_run "$dir/whole" "$run"
}
replace() { head -c 9000 /dev/urandom > "$dir/tiny/new" && mv "$dir/tiny/new" "$dir/tiny/model.safetensors"; }
check "one that is replaced under it changes nothing" under_run replace

# A clock that jumps: a year ahead as it starts, an hour and more back while it trains.
later() { [ "$(step_of "$dir/jump")" -gt "$1" ]; }
jumps() {
    echo 31536000 > "$dir/clock"
    HONE_CLOCK=$dir/clock LD_PRELOAD=$dir/twin.so "$hone" train "$dir/full.yaml" --run-dir "$dir/jump" $long > "$dir/out" 2>&1 &
    wait_for 30 grep -qs '"step":50,' "$dir/jump/events.jsonl" || return 1
    echo -3600 > "$dir/clock"; sleep 1.5
    wait_for 30 later "$(($(step_of "$dir/jump") + 1))"; rc=$?
    "$hone" stop "$dir/jump" >> "$dir/out" 2>&1; wait
    [ $rc = 0 ] && is_state "$dir/jump" stopped && events_are_whole "$dir/jump" &&
        python3 - "$dir/jump" >> "$dir/out" 2>&1 << 'END'
import json, sys
for e in map(json.loads, open(sys.argv[1] + "/events.jsonl")):
    assert e["kind"] not in ("step", "saved") or 0 <= e["seconds"] < 60, e
END
}
check "a clock that jumps: the list keeps up, durations stay true, no event is lost" jumps
year() { fresh "$dir/year"; echo 31536000 > "$dir/clock"; HONE_CLOCK=$dir/clock LD_PRELOAD=$dir/twin.so "$hone" engine "$dir/year" > "$dir/out" 2>&1 && same_run "$dir/whole" "$dir/year"; }
check "a year ahead gives the same bits" year
waiting() { # one whose clock is behind does not share the device
    echo -7200 > "$dir/clock"
    "$hone" train "$dir/full.yaml" --run-dir "$dir/owner" $long > "$dir/out" 2>&1 &
    wait_for 30 training "$dir/owner" || return 1
    HONE_CLOCK=$dir/clock LD_PRELOAD=$dir/twin.so "$hone" train "$dir/full.yaml" --run-dir "$dir/behind" >> "$dir/out" 2>&1 &
    wait_for 20 is_state "$dir/behind" queued && sleep 1 && is_state "$dir/behind" queued; rc=$?
    "$hone" stop "$dir/owner" >> "$dir/out" 2>&1; wait
    [ $rc = 0 ] && is_state "$dir/behind" done && same_run "$dir/whole" "$dir/behind"
}
check "a run whose clock is behind waits for the device like any other" waiting

# Another user of the machine.
"$hone" train "$dir/full.yaml" --run-dir "$dir/mine" $long > "$dir/out" 2>&1 &
wait_for 30 training "$dir/mine"
modes() {
    stat -c '%a %n' "$dir/mine" "$dir/mine/ckpt" "$dir/home/sock" "$(cat "$dir/mine/socket")" "$dir/mine/events.jsonl" > "$dir/out"
    [ "$(cut -d' ' -f1 "$dir/out" | tr '\n' ' ')" = "700 700 700 600 600 " ]
}
check "a run's folder is 0700, its socket and files 0600" modes
stranger() { ! HONE_PEER=12345 LD_PRELOAD=$dir/twin.so "$hone" pause "$dir/mine" > "$dir/out" 2>&1 && grep -q "belongs to another user" "$dir/out" && wait_for 5 is_state "$dir/mine" training; }
check "an engine of another user gets no order (twin)" stranger
other() { # every word of hone, said by another user to this run: a sentence, and the run does not notice
    for words in "tail $dir/mine" "pause $dir/mine" "stop $dir/mine" "resume $dir/mine" "chat $dir/mine --prompt x" "rm $dir/mine --yes"; do
        # shellcheck disable=SC2086
        timeout 20 setpriv --reuid 65534 --regid 65534 --clear-groups env HONE_HOME="$dir/open" "$hone" $words > "$dir/out" 2>&1
        rc=$?
        [ $rc -gt 0 ] && [ $rc -lt 124 ] && [ -s "$dir/out" ] || { echo "status $rc: $words" >> "$dir/out"; return 1; }
    done
    wait_for 5 is_state "$dir/mine" training
}
if [ "$(id -u)" = 0 ] && chmod 711 "$dir" && mkdir -m 1777 "$dir/open" && setpriv --reuid 65534 --regid 65534 --clear-groups "$hone" --version > "$dir/out" 2>&1; then
    check "another user is refused in a sentence, whatever he says" other
else echo "ok another user is refused in a sentence, whatever he says # SKIP this needs root, and a build that others may run"; fi
"$hone" stop "$dir/mine" > "$dir/out" 2>&1
wait

# What an unlucky past left behind.
zeros() {
    head -c 300 /dev/zero > "$dir/mine/state.json"
    "$hone" resume "$dir/mine" > "$dir/out" 2>&1 &
    wait_for 30 is_state "$dir/mine" training; rc=$?
    "$hone" stop "$dir/mine" >> "$dir/out" 2>&1; wait
    return $rc
}
check "a state.json of zeros hides no run: it resumes" zeros
damaged() { sed -i '5s/.*/{"v":1,"seq":5,"kind":"st/' "$dir/mine/events.jsonl"; "$hone" tail "$dir/mine" > "$dir/out" 2>&1; grep -q "1 lines of .*events.jsonl are damaged" "$dir/out"; }
check "a damaged line in the middle of the events is told" damaged
closed() { fresh "$dir/closed"; "$hone" engine "$dir/closed" 0<&- 1>&- 2>&-; same_run "$dir/whole" "$dir/closed" && events_are_whole "$dir/closed"; }
check "a start with closed standard files writes into no file of the run" closed
