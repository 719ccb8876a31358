#!/bin/sh
# make.sh DIR: builds the three programs of this folder and makes in DIR what the shipped base is trained
# from: the corpus (base.jsonl, base.qa.jsonl), the rows and quizzes of the preset `demo`, and DIR/init,
# an untrained model with its tokenizer. Afterwards `hone train profiles/base.yaml` trains the base.
# The same bytes come out every time; assets/world/data keeps those that the demo reads.
set -e
[ $# -eq 1 ] || { echo "usage: make.sh DIR   (DIR is made where absent)" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
out=$1
pieces=2240    # nearly every word of the corpus and each Chinese character of it is one piece
compile="${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -I$here"

mkdir -p "$out/bin" "$out/init"
$compile -o "$out/bin/world" "$here/world.c" "$here/words.c" "$here/lessons.c" "$here/facts.c" \
    "$here/stories.c"
$compile -o "$out/bin/bpe" "$here/bpe.c"
$compile -o "$out/bin/init" "$here/init.c"

"$out/bin/world" "$out"
"$out/bin/bpe" "$out/init" $pieces "$out/base.jsonl" "$out/base.qa.jsonl" "$out/zh.align.jsonl" \
    "$out/zh.facts.jsonl" "$out/zh.control.jsonl" "$out/en.replay.jsonl"
"$out/bin/init" "$out/init" $pieces
