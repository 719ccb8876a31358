#!/bin/sh
# t_disk.sh - a disk that fills pauses a run and loses nothing: on a real small disk (tmpfs) where one may be mounted,
# and its twin by preload, where every write fails with "No space left", everywhere.
. "$(dirname "$0")/engine/kit.sh"
summary() { "$hone" runs --json | tr '{' '\n' | grep "\"name\": *\"$1\""; }
"$hone" train "$dir/full.yaml" --run-dir "$dir/whole" > "$dir/out" 2>&1

# ---- the real disk ----
disk=$dir/disk
mkdir "$disk"
fill() { cat /dev/zero > "$disk/fill" 2>/dev/null; rm -f "$disk/room"; : ; } # every byte, but those of `room`
empty() { rm -f "$disk/fill"; }
real_disk() {
    run=$disk/run
    # Full in the middle: the first save that finds no room pauses, with its sentence.
    head -c 65536 /dev/zero > "$disk/room"
    HONE_FAULT=open:1:touch HONE_FAULT_AT=.tmp-000008 HONE_FAULT_TOUCH=$dir/go LD_PRELOAD=$dir/faults.so HONE_FAULT_HITS=$dir/hits \
        "$hone" train "$dir/full.yaml" --run-dir "$run" > "$dir/watch" 2>&1 &
    wait_for 30 [ -s "$dir/hits" ]
    fill; touch "$dir/go"
    check "a disk that is full pauses the run, in a sentence with what is free" \
        wait_for 60 grep -qs '"state":"paused","why":"a checkpoint could not be saved: .*No space left on device.* free). The last good one is 000006' "$run/events.jsonl"
    check "the list of runs says so too" wait_for 30 is_state "$run" paused
    "$hone" continue "$run" > "$dir/out" 2>&1
    paused_twice() { [ "$(grep -c '"state":"paused"' "$run/events.jsonl")" = 2 ]; }
    check "it pauses again while there is no room" wait_for 30 paused_twice
    empty
    "$hone" continue "$run" > "$dir/out" 2>&1
    wait
    check "with room again one command lets it go on to its end" is_state "$run" done
    check "and nothing is lost: the same bits" same_run "$dir/whole" "$run"
    check "and every event is there" events_are_whole "$run"
    rm -rf "$run"

    # Full while nothing is saved: training goes on, events wait.
    "$hone" train "$dir/full.yaml" --run-dir "$run" --set save.every_steps=0 --set eval.every_steps=0 --set stages.1.max_steps=100000 > "$dir/watch" 2>&1 &
    wait_for 30 grep -qs '"step":20,' "$run/events.jsonl"
    fill
    check "a full disk under the log is said: log not on disk" wait_for 60 grep -q "log not on disk: [0-9]* events" "$dir/watch"
    held() { summary run | grep -q '"state": *"training".*"held": *[1-9]'; }
    check "training goes on meanwhile, and the list of runs counts what waits" wait_for 30 held
    empty
    check "with room again the events that waited are written, and that is said" \
        wait_for 60 grep -q '"text":"the disk was full: [0-9]* events waited and are written now' "$run/events.jsonl"
    "$hone" stop "$run" > "$dir/out" 2>&1
    wait
    check "no event is lost" events_are_whole "$run"
    steps() { [ "$("$hone" metrics "$run" --csv | tail -n 1 | cut -d, -f1)" = "$(($("$hone" metrics "$run" --csv | wc -l) - 1))" ]; }
    check "and no step's numbers" steps
}
if mount -t tmpfs -o size=3m,mode=700 tmpfs "$disk" 2>/dev/null; then
    trap 'umount "$disk" 2>/dev/null || umount -l "$disk"; rm -rf "$dir"' EXIT
    real_disk
elif [ -z "$HONE_OWN_MOUNTS" ] && unshare -Urm true 2>/dev/null; then
    HONE_OWN_MOUNTS=1 unshare -Urm sh "$0" # the whole test again as root of its own mounts
    exit
else
    echo "ok a real full disk # SKIP no right to mount a small disk"
fi

# ---- the twin ----
twin() { # twin CALL ERRNO N: from the Nth on every such call of checkpoints fails, until the run is told to stop
    rm -f "$dir/hits"
    HONE_FAULT="$1:$3:$2+" HONE_FAULT_AT=.tmp-0000 HONE_FAULT_HITS=$dir/hits LD_PRELOAD=$dir/faults.so \
        "$hone" train "$dir/full.yaml" --run-dir "$dir/twin" > "$dir/out" 2>&1 &
    wait_for 30 grep -qs '"state":"paused","why":"a checkpoint could not be saved' "$dir/twin/events.jsonl"
    rc=$?
    "$hone" stop "$dir/twin" >> "$dir/out" 2>&1
    wait
    [ $rc = 0 ] && is_state "$dir/twin" stopped && [ -s "$dir/hits" ] && "$hone" resume "$dir/twin" >> "$dir/out" 2>&1 &&
        same_run "$dir/whole" "$dir/twin" && events_are_whole "$dir/twin"
    rc=$?
    rm -rf "$dir/twin"
    return $rc
}
check "no space at any write (ENOSPC): paused, stopped, resumed, the same bits" twin write 28 20
check "a quota (EDQUOT) the same" twin write 122 30
check "a disk that became read-only (EROFS) the same" twin open 30 9
check "an error of the disk (EIO) at a sync the same" twin fsync 5 12
once() { # one error of the disk is tried again, three pause
    rm -f "$dir/hits"
    HONE_FAULT=fsync:4:5 HONE_FAULT_AT=.tmp-0000 HONE_FAULT_HITS=$dir/hits LD_PRELOAD=$dir/faults.so \
        "$hone" train "$dir/full.yaml" --run-dir "$dir/once" > "$dir/out" 2>&1
    [ -s "$dir/hits" ] && is_state "$dir/once" done && same_run "$dir/whole" "$dir/once" &&
        grep -q 'thrown away: .*Input/output error.*Writing a new one' "$dir/once/events.jsonl"
}
check "one error of a sync throws that checkpoint away and writes a new one" once
log_full() { # events that cannot be appended wait; the list and the watcher say so
    rm -f "$dir/hits" "$dir/watch" # what an earlier run said is not what this one says
    HONE_FAULT=write:15:28+ HONE_FAULT_AT=events.jsonl HONE_FAULT_HITS=$dir/hits LD_PRELOAD=$dir/faults.so \
        "$hone" train "$dir/full.yaml" --run-dir "$dir/log" --set stages.1.max_steps=100000 --set save.every_steps=0 --set eval.every_steps=0 > "$dir/watch" 2>&1 &
    wait_for 60 grep -q "log not on disk: [0-9]* events" "$dir/watch" && summary log | grep -q '"held": *[1-9]'
    rc=$?
    "$hone" stop "$dir/log" > "$dir/out" 2>&1
    wait
    return $rc
}
ends() { is_state "$dir/log" stopped && grep -q '"text":"[0-9]* events are lost: the disk was full until the engine ended' "$dir/log/events.jsonl" && events_are_whole "$dir/log"; }
check "a log that takes nothing (ENOSPC) is said: log not on disk" log_full
check "and what died with the engine is counted by its parent, which writes the end" ends
