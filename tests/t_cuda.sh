#!/bin/sh
# t_cuda.sh - the CUDA kernels on a machine without a GPU: every operation against the reference through the shim of
# tests/cuda, in three builds that find different faults, the shim's own sentences, the words that no kernel may say,
# and what nvcc makes of each kernel (tests/cuda/limits.txt). 150 s of processor time in two strands, 38 of them nvcc.
# tests/cuda/plant.py plants faults and says which build sees them.
cd "$(dirname "$0")/.." || exit 2
out=${HONE_BUILD:-build}/cuda-kernels
mkdir -p "$out"
have() { command -v "$1" > /dev/null 2>&1; }
if ! have g++; then echo "ok 1 - the CUDA kernels # SKIP g++ is not installed"; echo 1..1; exit 0; fi

# checked NAME FILE: ok where FILE, what a check had to say, is empty.
checked() { if [ -s "$2" ]; then echo "not ok $1"; head -n 30 "$2" | sed 's/^/    /'; else echo "ok $1"; fi; }

# proved KIND NAME ARGUMENT...: builds the kernels in a kind and runs every operation's test; the TAP of its lines.
proved() {
    kind=$1 name=$2; shift 2
    if ! sh tests/cuda/build.sh "$out/$kind" "$kind" > "$out/$kind.build" 2>&1; then
        echo "not ok $name: it does not build"; tail -n 15 "$out/$kind.build" | sed 's/^/    /'; return
    fi
    ASAN_OPTIONS=detect_stack_use_after_return=0 timeout 600 "$out/$kind/operations" "$@" > "$out/$kind.tap" 2>&1
    rc=$?
    grep -aE '^(not )?ok ' "$out/$kind.tap" | grep -av -- '- tests$' | sed "s/\$/ ($name)/"
    if [ $rc -ne 0 ]; then echo "not ok $name ended with status $rc"; tail -n 25 "$out/$kind.tap" | sed 's/^/    /'; fi
}
said() { "$out/$1/faults" ${2:-} 2>&1 | grep -aE '^(not )?ok '; } # the sentences of the shim, each broken on purpose

plain() { proved plain "plain, six schedules" 6; said plain; }
sanitized() { proved asan "ASan and UBSan" 1 exact; }
raced() {
    if have clang++; then proved race "race checker" 1; said race race
    else echo "ok the kernels under the race checker # SKIP clang is not installed"; fi
}
limits() {
    nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
    if [ ! -x "$nvcc" ]; then echo "ok what nvcc makes of the kernels # SKIP there is no nvcc here"
    elif ! "$nvcc" --version | grep -q 'release 13\.0'; then echo "ok what nvcc makes of the kernels # SKIP the table is of nvcc 13.0"
    else
        sh tests/cuda/limits.sh "$out/limits" > "$out/limits.said" 2>&1
        checked "registers, stack, spills and shared memory stay within tests/cuda/limits.txt" "$out/limits.said"
    fi
}
sh tests/cuda/words.sh > "$out/words.said" 2>&1
checked "no kernel says what the shim cannot see" "$out/words.said"
(plain; limits) > "$out/first.tap" 2>&1 &
(sanitized; raced) > "$out/second.tap" 2>&1
wait
cat "$out/first.tap" "$out/second.tap"
