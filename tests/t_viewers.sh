#!/bin/sh
# t_viewers.sh - whoever watches holds nothing up: a viewer that reads 2 KB a second, twenty that are stopped, ten
# clients that ask and never read, clients that flood, a terminal that closes. The run ends as if nobody had watched.
. "$(dirname "$0")/engine/kit.sh"
long="--set stages.1.max_steps=1500 --set eval.every_steps=0 --set save.every_steps=100"
cat > "$dir/clients.py" << 'END'
# clients.py RUN VERSION KIND N: N connections that are held open for as long as this lives; says how many it has.
import json, socket, sys, time
run, version, kind, n = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
path, held = open(run + "/socket").read(), []
ask = {"ask": {"messages": [{"role": "user", "content": "hop 3?"}], "max_new_tokens": 200, "temperature": 0}}
for i in range(n):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    held.append(s)
    if kind != "silent": s.sendall(json.dumps({"hello": version}).encode() + b"\n")
    if kind == "asking": s.sendall(json.dumps(ask).encode() + b"\n")
    if kind == "flood":
        try: s.sendall(b"x" * (3 << 20))
        except OSError: pass
    if kind == "nagging": # its refusals fill the socket, then the engine's queue for it
        try: s.sendall(b'{"order":"nothing"}\n' * 30000)
        except OSError: pass
    if kind == "half": s.sendall(b'{"order": "st')
answers = [s for s in held if kind == "count" and b"ready" in s.recv(4096)]
print(len(answers) if kind == "count" else n, flush=True)
time.sleep(60)
END
cat > "$dir/slow.py" << 'END'
import sys, time
while (piece := sys.stdin.buffer.read1(200)):
    sys.stdout.buffer.write(piece); sys.stdout.flush(); time.sleep(0.1)
END
version=$("$hone" --version | cut -d' ' -f2)
"$hone" train "$dir/full.yaml" --run-dir "$dir/alone" $long > "$dir/out" 2>&1
check "a run that nobody disturbs ends" is_state "$dir/alone" done

# Held in its preparation until all viewers are there.
HONE_FAULT=open:1:touch HONE_FAULT_AT=tiny/model.safetensors HONE_FAULT_TOUCH=$dir/go HONE_FAULT_HITS=$dir/hits LD_PRELOAD=$dir/faults.so \
    setsid "$hone" train "$dir/full.yaml" --run-dir "$dir/watched" $long > "$dir/out" 2>&1 &
wait_for 30 [ -s "$dir/hits" ]
viewers=""
"$hone" tail "$dir/watched" --json 2> /dev/null | python3 "$dir/slow.py" > "$dir/slow.out" &
viewers="$viewers $!"
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    "$hone" tail "$dir/watched" --json > "$dir/tail.$i" 2>&1 &
    viewers="$viewers $!"; stopped="$stopped $!"
done
for kind in asking half flood silent nagging; do
    python3 "$dir/clients.py" "$dir/watched" "$version" $kind 10 > "$dir/clients.$kind" 2>&1 &
    viewers="$viewers $!"
    wait_for 10 [ -s "$dir/clients.$kind" ]
done
sleep 0.5
kill -STOP $stopped
python3 - "$hone" "$dir/watched" << 'END' # a terminal that closes under its watcher
import os, pty, sys, time
pid, master = pty.fork()
if pid == 0: os.execv(sys.argv[1], ["hone", "tail", sys.argv[2]])
os.read(master, 10)
os.close(master)
time.sleep(0.2)
try: os.kill(pid, 9)
except OSError: pass
os.waitpid(pid, 0)
END
touch "$dir/go"
check "with all of them there the run ends" wait_for 60 is_state "$dir/watched" done
gone() { flock -n "$dir/watched/lock" true; }
check "and its engine leaves" wait_for 20 gone
check "with the same bits as alone" same_run "$dir/alone" "$dir/watched"
behind() { echo "it read $(wc -c < "$dir/slow.out")" > "$dir/out"; [ "$(wc -c < "$dir/slow.out")" -gt 0 ] && [ "$(wc -c < "$dir/slow.out")" -lt "$(wc -c < "$dir/watched/events.jsonl")" ]; }
check "while the slow viewer was still reading" behind
kill -CONT $stopped
caught_up() { for i in 1 7 20; do cmp -s "$dir/tail.$i" "$dir/watched/events.jsonl" || return 1; done; }
check "a viewer that was stopped shows all of it when it goes on" wait_for 20 caught_up
kill -9 $viewers 2> /dev/null
wait

# Places are few, and who says nothing loses its own.
"$hone" train "$dir/full.yaml" --run-dir "$dir/places" --set stages.1.max_steps=60000 --set eval.every_steps=0 --set save.every_steps=0 > "$dir/out" 2>&1 &
wait_for 30 grep -qs '"step":9,' "$dir/places/events.jsonl"
hold() { # hold KIND: all places are taken by such clients
    python3 "$dir/clients.py" "$dir/places" "$version" "$1" 64 > "$dir/clients.$1.64" 2>&1 &
    viewers=$!
    wait_for 20 [ -s "$dir/clients.$1.64" ]
}
hold greeted
refused() { ! "$hone" pause "$dir/places" > "$dir/out" 2>&1 && grep -q "64 screens and commands are attached" "$dir/out"; }
check "the sixty-fifth is told so" wait_for 20 refused
kill -9 $viewers; wait $viewers 2> /dev/null
hold silent
takes() { "$hone" pause "$dir/places" > "$dir/out" 2>&1; }
check "sixty-four that say nothing give their places back" wait_for 30 takes
kill -9 $viewers
"$hone" stop "$dir/places" > "$dir/out" 2>&1
wait
check "and the run obeys" is_state "$dir/places" stopped
