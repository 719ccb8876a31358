#!/bin/sh
# t_stream.sh - a data set larger than the memory that the process may have: rows are read, turned into tokens, kept and
# trained a piece at a time. The limit is on the whole address space; file and token cache are both larger. About 10 s.
. "$(dirname "$0")/engine/kit.sh"
limit=196608 # KiB: a run of the tiny model with two threads takes 147,000
# 52,000 rows: 1 KiB that is learnt, and 3.2 KiB that no format reads.
awk 'BEGIN {
    for (i = 0; i < 16; i++) text = text "the quick brown fox jumps over the lazy dog while it rains. "
    for (i = 0; i < 54; i++) note = note "nobody reads this, but it has to be walked over all the same"
    for (i = 0; i < 52000; i++) printf "{\"instruction\": \"row %d\", \"note\": \"%s\", \"output\": \"%d %s\"}\n", i, note, i, text
}' > "$dir/large.jsonl"
sed 's/^datasets: .*/datasets: {a: {path: large.jsonl}}/; s/^max_length: .*/max_length: 1100/; s/^batch_tokens: .*/batch_tokens: 2200/' "$dir/full.yaml" |
    sed '/^stages:/,$d; s/^eval: .*/eval: {every_steps: 5, holdout: 0.05%}/' > "$dir/large.yaml"
echo "stages: [{name: one, datasets: {a: 1.0}, max_steps: 10}]" >> "$dir/large.yaml"

larger() { echo "$1: $(stat -c %s "$1") bytes" > "$dir/out"; [ "$(stat -c %s "$1")" -gt $((limit * 1024)) ]; }
check "the data are larger than the process may be" larger "$dir/large.jsonl"
trained() { ( ulimit -v $limit; "$hone" train "$dir/large.yaml" --threads 2 --run-dir "$dir/limited" ) > "$dir/out" 2>&1 && [ "$(state_word "$dir/limited")" = done ]; }
check "a run with them under the limit ends" trained
check "its tokens are larger than the process may be" larger "$(ls "$HONE_HOME"/../home/cache/*.tokens "$HONE_HOME"/cache/*.tokens 2> /dev/null | head -n 1)"
again() { "$hone" train "$dir/large.yaml" --run-dir "$dir/free" --threads 3 > "$dir/out" 2>&1 && same_run "$dir/limited" "$dir/free"; }
check "it is the run that one without a limit makes" again
rm -f "$dir/large.jsonl"
gone() { ( ulimit -v $limit; "$hone" preview "$dir/large.yaml" --json ) > "$dir/out" 2>&1; [ $? -ne 0 ] && grep -q "large.jsonl" "$dir/out"; }
check "without its file the cached tokens are not taken for it" gone

# A model whose activations do not fit: refused in a sentence where all are kept, trained where they are computed again.
"$B/tests/run/tiny" "$dir/deep" 6
sed 's/^batch_tokens: .*/batch_tokens: 12k/; s/^micro_batch_size: .*/micro_batch_size: 187/; s/^eval: .*/eval: {every_steps: 0, holdout: 0}/' "$dir/full.yaml" |
    sed '/^stages:/,$d' > "$dir/deep.yaml"
echo "stages: [{name: one, datasets: {a: 1.0}, max_steps: 2}]" >> "$dir/deep.yaml"
deep() { ( ulimit -v 190000; "$hone" train "$dir/deep.yaml" --threads 2 --run-dir "$dir/deep-$1" --set base_model="$dir/deep" --set gradient_checkpointing=$1 ) > "$dir/out" 2>&1; }
kept() { deep none; [ $? -eq 1 ] && grep -q "device refused .* for the model; take a smaller micro-batch, recompute more" "$dir/out"; }
check "a model that the limit refuses says what to do" kept
fits() { deep full && [ "$(state_word "$dir/deep-full")" = done ]; }
check "the same trains when its layers are computed again" fits
