#!/bin/sh
# bench-peers.sh: hone beside torch, PEFT and llama.cpp, in turn; see the head of tests/bench/peers.py for what it reads
# (PEERS, COMPILE, HONE_MATERIAL, WORK). ROWS="135m-full llama" picks rows; all of them take about half an hour.
cd "$(dirname "$0")/.." || exit 2
B=${B:-build}; V=${HONE_PEFT_VENV:-$B/venv-peft}
[ -z "$PEERS" ] && [ -x "$V/bin/python" ] && PEERS=$V
export PEERS
make -s B="$B" all "$B/tests/bench/bench_step" || exit 1
python3 tests/bench/peers.py "$B" $ROWS
