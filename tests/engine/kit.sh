# kit.sh - sourced by the tests of whole runs: a tiny model, data, profiles, and words for verdicts.
cd "$(dirname "$0")/.." || exit 2
B=$(pwd)/${HONE_BUILD:-build}
case ${HONE_BUILD:-build} in /*) B=$HONE_BUILD ;; esac
hone=$B/hone
dir=$(mktemp -d "${TMPDIR:-/tmp}/hone-run-XXXXXX") || exit 2
trap 'chmod -R u+w "$dir" 2>/dev/null; rm -rf "$dir"' EXIT
export HONE_HOME=$dir/home XDG_CONFIG_HOME=$dir/config HONE_MODELS=$dir
make -s B="${HONE_BUILD:-build}" "${HONE_BUILD:-build}/tests/run/tiny" || exit 2
cc -shared -fPIC -o "$dir/faults.so" tests/engine/faults.c -ldl || exit 2
"$B/tests/run/tiny" "$dir/tiny" || exit 2

ok() { echo "ok $1"; }
not_ok() { echo "not ok $1"; [ -n "$2" ] && echo "$2" | sed 's/^/    /' | head -n 30; return 0; }
check() { name=$1; shift; if "$@"; then ok "$name"; else not_ok "$name" "$(cat "$dir/out" 2>/dev/null | tail -n 20)"; fi; }

# Rows whose words depend on their number: enough to learn something, little enough to be quick.
rows() { # rows FILE N WORD
    awk -v n="$2" -v w="$3" 'BEGIN { for (i = 0; i < n; i++)
        printf "{\"instruction\": \"%s %d?\", \"output\": \"%s%s%d\"}\n", w, i * 7 % 100, substr("aeiouxyz", i % 8 + 1, 1 + i % 3), w, i % 10 }' > "$dir/$1"
}
rows a.jsonl 200 hop; rows b.jsonl 150 tin
awk 'BEGIN { for (i = 0; i < 6; i++) printf "{\"question\": \"hop %d?\", \"answer\": \"a\"}\n", i }' > "$dir/q.jsonl"

profile() { # profile FILE: standard input is what differs (settings, stages)
    {   echo "name: tiny"
        echo "base_model: $dir/tiny"
        echo "max_length: 64"
        echo "template: qa"
        echo "datasets: {a: {path: a.jsonl}, b: {path: b.jsonl}}"
        echo "batch_tokens: 256"
        echo "micro_batch_size: 2"
        echo "eval: {every_steps: 5, holdout: 10%, quiz: [q.jsonl], max_new_tokens: 4, prompts: [\"hop 3?\"]}"
        echo "save: {every_steps: 4, total_limit: 2}"
        cat
    } > "$dir/$1"
}
stages='stages:
  - {name: align, train: [embeddings, lm_head], datasets: {a: 1.0}, max_steps: 6, lr_scheduler: constant}
  - {name: inject, datasets: {a: 0.4, b: 0.6}, bins: 3, max_steps: 14}'
printf 'dtype: fp32\nlearning_rate: 1e-2\n%s\n' "$stages" | profile full.yaml
printf 'dtype: bf16\nlearning_rate: 1e-2\n%s\n' "$stages" | profile bf16.yaml
printf 'dtype: fp32\ntrain: lora\nlora: {rank: 4, dropout: 0.1}\nneftune_alpha: 5\nlearning_rate: 2e-2\nstages:\n  - {name: one, datasets: {a: 1.0}, max_steps: 8}\n  - {name: two, datasets: {a: 0.5, b: 0.5}, bins: 2, max_steps: 12}\n' | profile lora.yaml

# What two runs must have in common when they are the same run: losses, and the last checkpoint's weights and moments.
state_of() { # state_of RUNDIR: one line of hashes
    "$hone" metrics "$1" --csv | cut -d, -f1-4,6,7 | cksum
    last=$(ls "$1/ckpt" | tail -n 1)
    for f in "$1/ckpt/$last"/*.safetensors; do echo "$(basename "$f") $(cksum < "$f")"; done
}
same_run() { [ -n "$(state_of "$1")" ] && [ "$(state_of "$1")" = "$(state_of "$2")" ]; }
state_word() { sed -n 's/.*"state": *"\([a-z]*\)".*/\1/p' "$1/state.json" 2>/dev/null; }
wait_for() { # wait_for SECONDS COMMAND...: true as soon as it is
    n=$(($1 * 10)); shift
    while [ $n -gt 0 ]; do "$@" && return 0; sleep 0.1; n=$((n - 1)); done
    return 1
}
events_are_whole() { # every line is JSON and they are numbered without a gap
    python3 - "$1" << 'END' >> "$dir/out" 2>&1
import json, sys
for n, line in enumerate(open(sys.argv[1] + "/events.jsonl", "rb"), 1):
    if json.loads(line)["seq"] != n: sys.exit("line %d has seq %s" % (n, json.loads(line)["seq"]))
END
}
is_state() { [ "$(state_word "$1")" = "$2" ]; }
