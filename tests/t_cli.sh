#!/bin/sh
# t_cli.sh - the command line: exit codes, sentences for bad input, help made from the tables, an installed tree.
cd "$(dirname "$0")/.." || exit 2
B=$(pwd)/${HONE_BUILD:-build}
case ${HONE_BUILD:-build} in /*) B=$HONE_BUILD ;; esac
hone=$B/hone
dir=$(mktemp -d "${TMPDIR:-/tmp}/hone-cli-XXXXXX") || exit 2
trap 'rm -rf "$dir"' EXIT
export HONE_HOME=$dir/home XDG_CONFIG_HOME=$dir/config

# says CODE PATTERN WORDS...: the command ends with CODE and its last line on standard error holds PATTERN.
says() {
    code=$1; pattern=$2; shift 2
    timeout 60 "$hone" "$@" > "$dir/out" 2> "$dir/err" < /dev/null; got=$?
    if [ $got = "$code" ] && tail -n 1 "$dir/err" | grep -q -- "$pattern"; then echo "ok $*"
    else echo "not ok $*"; echo "    status $got, wanted $code; wanted '$pattern' in:"; tail -n 3 "$dir/err" | sed 's/^/    /'; fi
}
prints() { # prints PATTERN WORDS...: ends with 0 and prints it
    pattern=$1; shift
    if timeout 60 "$hone" "$@" > "$dir/out" 2> "$dir/err" < /dev/null && grep -q -- "$pattern" "$dir/out"; then echo "ok $*"
    else echo "not ok $*"; tail -n 3 "$dir/err" "$dir/out" | sed 's/^/    /'; fi
}
mkfifo "$dir/fifo"; printf '\377\376\000' > "$dir/binary"; : > "$dir/empty.jsonl"
printf '{"instruction": "a", "output": "b"}\n{"instruction": "\033[2Jx", "output"\n' > "$dir/bad.jsonl"
mkdir "$dir/pickle" && echo x > "$dir/pickle/pytorch_model.bin" && cp assets/small-world/config.json "$dir/pickle/"
mkdir "$dir/cut" && cp assets/small-world/*.json "$dir/cut/" && head -c 100000 assets/small-world/model.safetensors > "$dir/cut/model.safetensors"
mkdir "$dir/deep" && cp assets/small-world/* "$dir/deep/" && awk 'BEGIN { for (i = 0; i < 100000; i++) printf "[" }' > "$dir/deep/config.json"
awk 'BEGIN { for (i = 0; i < 200000; i++) printf "[" }' > "$dir/deep.yaml"
printf 'a: &x [1]\nb: *x\n' > "$dir/anchor.yaml"
printf 'learing_rate: 1\nname: x\nname: y\n' > "$dir/typo.yaml"

says 1 "no terminal"
says 2 "no command 'lol'" lol
says 2 "did you mean 'train'" trian
says 2 "usage: hone eval" eval small-world
says 2 "knows no option" models --lol
says 2 "wants a number" chat small-world --prompt hi --temperature x
says 3 "neither a folder nor a name" chat nowhere --prompt hi
says 3 "safetensors" chat "$dir/pickle" --prompt hi
says 3 "safetensors" eval "$dir/cut" assets/world/data/quiz.en.jsonl
says 3 "config.json" eval "$dir/deep" assets/world/data/quiz.en.jsonl
says 3 "not a regular file" eval small-world "$dir/fifo"
says 3 "is empty" eval small-world "$dir/empty.jsonl"
says 3 "no model that hone knows" import "$dir/binary" "$dir/imported"
says 2 "not a regular file" train "$dir/fifo"
says 2 "not UTF-8" train "$dir/binary"
says 2 "deep\|nest\|262,144\|KiB" check "$dir/deep.yaml"
says 2 "anchor" check "$dir/anchor.yaml"
says 2 "typo.yaml" check "$dir/typo.yaml"
says 2 "unknown key" check profiles/demo.yaml --set stages.0.lol=3
says 2 "a number is wanted" check profiles/demo.yaml --set learning_rate=abc
says 2 "not built yet" check profiles/demo.yaml --set parallel.tensor=4
says 2 "not built yet" check profiles/demo.yaml --set guards.spike_action=rollback
says 3 "is empty" check profiles/demo.yaml --set "datasets.zh.path=$dir/empty.jsonl"
says 3 "bad.jsonl:2" check profiles/demo.yaml --set "datasets.zh.path=$dir/bad.jsonl"
says 3 "no run 'nowhere'" resume nowhere
says 2 "has stages 1 to 3" preview profiles/demo.yaml --stage 9
{ printf '{"instruction": "a", "output": "b"}\n%.0s' 1 2 3; printf '{"instruction": "%0600d", "output": "b"}\n' 1; } > "$dir/silent.jsonl"
printf 'base_model: small-world\nmax_length: 256\ntrain: [norms]\neval: {holdout: 0}\nmax_steps: 1\ndatasets: {quiet: {path: silent.jsonl}}\n' > "$dir/silent.yaml"
says 2 "quiet: 1 of 4 rows (25.0 %).*explicit --yes" train "$dir/silent.yaml" --run-dir "$dir/silent"
if [ -e "$dir/silent" ]; then echo "not ok what was not agreed to leaves no run"; else echo "ok what was not agreed to leaves no run"; fi
prints "quiet: 1 of 4 rows" check "$dir/silent.yaml"
prints "^done" train "$dir/silent.yaml" --run-dir "$dir/silent" --yes
timeout 60 "$hone" check "$dir/typo.yaml" > /dev/null 2> "$dir/err"
all() { grep -q "typo.yaml:1:1.*learning_rate" "$dir/err" && grep -q "typo.yaml:3:1" "$dir/err"; }
if all; then echo "ok all errors of a profile at once, with places and the nearest key"; else echo "not ok all errors of a profile at once"; sed 's/^/    /' "$dir/err"; fi
timeout 60 "$hone" check profiles/demo.yaml --set "datasets.zh.path=$dir/bad.jsonl" > "$dir/out" 2>&1
if LC_ALL=C grep -q "$(printf '\033')" "$dir/out"; then echo "not ok no escape sequence of a file reaches the terminal"; else echo "ok no escape sequence of a file reaches the terminal"; fi

prints "hone 0" --version
prints "Li Ming\|[A-Z]" chat small-world --prompt "Who lives in the red house?" --greedy
prints "small-world" models
prints '"models"' models --json
prints "tokens lost 0" preview profiles/demo.yaml
prints "exit: 0 done" help train
prints "learning_rate" help profile
prints "grad_norm" help events
prints "MFU" help formula
"$hone" help | awk '$1 == "hone" && NF > 2 && $2 ~ /^[a-z]+$/ { print $2 }' > "$dir/commands"
missing=$(while read -r c; do grep -q "$c" assets/hone.1 || echo "$c"; done < "$dir/commands")
if [ -z "$missing" ]; then echo "ok the man page names every command"; else echo "not ok the man page lacks $missing"; fi
text="Anna sells bread. 红色的房子 12"
ids=$(printf '%s' "$text" | "$hone" tokenize small-world)
back=$(printf '%s' "$ids" | "$hone" tokenize small-world --decode)
if [ "$back" = "$text" ]; then echo "ok tokenize and back"; else echo "not ok tokenize and back"; echo "    $ids -> $back"; fi

make -s B="${HONE_BUILD:-build}" install PREFIX="$dir/prefix" > "$dir/out" 2>&1
installed=$(cd / && "$dir/prefix/bin/hone" chat small-world --prompt "Who lives in the red house?" --greedy 2>> "$dir/out")
if [ -n "$installed" ]; then echo "ok an installed hone finds its things from anywhere"; else echo "not ok an installed hone finds its things"; tail -n 5 "$dir/out" | sed 's/^/    /'; fi
make -s B="${HONE_BUILD:-build}" uninstall PREFIX="$dir/prefix" >> "$dir/out" 2>&1
if [ -z "$(find "$dir/prefix" -type f)" ]; then echo "ok uninstall leaves no file"; else echo "not ok uninstall leaves files"; fi
