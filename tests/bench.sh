#!/bin/sh
# bench.sh: speed, as ratios within one run where there is something to compare with. Says which machine it was.
#   sh tests/bench.sh            all          B: the build folder
# Products and operations against the machine's own peak and oneDNN's products; starts, paints, checks; the tokenizer;
# opening a run of a million steps. Quiet machines give true figures; a busy one is told by the load average.
cd "$(dirname "$0")/.." || exit 2
B=${B:-build}
make -s B="$B" all "$B/tests/bench/bench_ops" "$B/tests/bench/bench_tokenizer" || exit 1
grep -m 1 'model name' /proc/cpuinfo; uptime
python3 tests/bench/start.py "$B"
"$B/tests/bench/bench_ops"
