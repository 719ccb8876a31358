#!/bin/sh
# bench.sh: speed, as ratios within one run where there is something to compare with. Says which machine it was.
#   sh tests/bench.sh            all          B: the build folder; PART=start|tokenizer|step|ops: one part
# Starts, paints and checks; the tokenizer; where the time of a step, a prompt and a token goes, beside the library's
# products; single operations. Quiet machines give true figures; a busy one is told by the load average.
cd "$(dirname "$0")/.." || exit 2
B=${B:-build}; export B
t="$B/tests/bench"
make -s B="$B" all "$t/bench_ops" "$t/bench_step" "$t/bench_tokenizer" || exit 1
grep -m 1 'model name' /proc/cpuinfo; uptime
part() { [ -z "$PART" ] || [ "$PART" = "$1" ]; }
part start && python3 tests/bench/start.py "$B" start
part tokenizer && python3 tests/bench/start.py "$B" tokenizer
part step && "$t/bench_step"
part ops && "$t/bench_ops"
exit 0
