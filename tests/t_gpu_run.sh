#!/bin/sh
# t_gpu_run.sh - tests/gpu/run.sh from end to end on the fakes: what a GPU machine will do, and that it stops in a
# sentence where there is no GPU. Half a minute of a core.
cd "$(dirname "$0")/.." || exit 2
export HONE_BUILD="${HONE_BUILD:-build}"
[ "$(make -s B="$HONE_BUILD" cuda-here)" = yes ] || { echo "ok the script for GPU machines # skip no CUDA toolkit: its headers are needed"; exit 0; }
dir=$(mktemp -d /tmp/hone-gpu-test-XXXXXX) || exit 2
trap 'rm -rf "$dir"' EXIT
check() { name=$1; shift; if "$@"; then echo "ok $name"; else echo "not ok $name"; tail -n 20 "$dir/out" | sed 's/^/    /'; fi; }
script() { HONE_CASES=gqa B="$dir" OUT="$dir/results" LIMIT=280 sh tests/gpu/run.sh --twin > "$dir/out" 2>&1; }
check "every step of the script is done" script
lines() { # every line is JSON, and each kind of measurement is there
    python3 - "$dir/results/results.jsonl" << 'END' >> "$dir/out" 2>&1
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
assert {"device", "train", "decode", "products"} <= {l.get("what") for l in lines}, lines
assert {l["mode"] for l in lines if l.get("what") == "train"} == {"full", "lora"}
assert all(l["status"] == 0 for l in lines if "status" in l) and sum("status" in l for l in lines) >= 4
END
}
check "results are lines of JSON" lines
none() { ! FAKE_DEVICES=0 script && grep -q 'stopped, since no GPU can be used' "$dir/out"; }
check "without a GPU it stops in a sentence" none
