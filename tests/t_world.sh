#!/bin/sh
# The corpus of the shipped base: made the same twice, equal to what git keeps, and honest: what the
# quiz asks is asked in no row that is trained on, and the control rows teach nothing of it.
cd "$(dirname "$0")/.." || exit 2
tmp=$(mktemp -d "${TMPDIR:-/tmp}/hone-world.XXXXXX") || exit 2
trap 'rm -rf "$tmp"' EXIT
n=0
verdict() { # verdict NAME STATUS [WHY]
    n=$((n + 1))
    if [ "$2" -eq 0 ]; then echo "ok $n $1"; else echo "not ok $n $1"; [ -n "$3" ] && echo "# $3"; fi
}
rows="zh.align zh.facts zh.control en.replay known quiz.en quiz.zh"
trained="base base.qa zh.align zh.facts zh.control en.replay known"

echo 1..8
sh assets/world/make.sh "$tmp/one" 2> "$tmp/log" && sh assets/world/make.sh "$tmp/two" 2>> "$tmp/log"
verdict "corpus_tokenizer_and_first_weights_are_made" $? "$(tail -n 1 "$tmp/log")"
diff -r -x bin "$tmp/one" "$tmp/two" > "$tmp/diff"
verdict "a_second_run_makes_the_same_bytes" $? "$(head -n 1 "$tmp/diff")"

: > "$tmp/differs"
for f in $rows; do cmp -s "$tmp/one/$f.jsonl" "assets/world/data/$f.jsonl" || echo "$f" >> "$tmp/differs"; done
[ ! -s "$tmp/differs" ]
verdict "the_rows_in_git_are_what_the_generator_writes" $? "differs: $(tr '\n' ' ' < "$tmp/differs")"

# The questions as they stand in the files, with JSON's escapes, one a line.
for q in en zh; do
    sed 's/^{"question": "\(.*\)", "answer": ".*"}$/\1/' "$tmp/one/quiz.$q.jsonl" > "$tmp/questions.$q"
done
cat "$tmp/questions.en" "$tmp/questions.zh" > "$tmp/questions"
[ "$(sort -u "$tmp/questions" | wc -l)" -eq 512 ]
verdict "the_quizzes_have_512_different_questions" $? "$(sort "$tmp/questions" | uniq -d | head -n 1)"

: > "$tmp/asked"
for f in $trained; do LC_ALL=C grep -F -f "$tmp/questions" "$tmp/one/$f.jsonl" >> "$tmp/asked"; done
[ ! -s "$tmp/asked" ]
verdict "no_trained_row_asks_a_fact_as_the_quiz_does" $? "$(head -n 1 "$tmp/asked")"

# A wording is a question of the quiz with its subject taken out; every subject is also an answer.
sed 's/^.*"answer": "\(.*\)"}$/\1/' "$tmp/one/quiz.en.jsonl" "$tmp/one/quiz.zh.jsonl" | sort -u |
    awk '{ print length($0) "\t" $0 }' | sort -rn | cut -f 2 | sed 's/.*/s|&|@|g/' > "$tmp/subjects.sed"
blank() { sed -f "$tmp/subjects.sed" | LC_ALL=C sort -u; }
blank < "$tmp/questions" > "$tmp/wordings"
{ sed 's/^{"instruction": "\(.*\)", "output": ".*"}$/\1/' "$tmp/one/zh.facts.jsonl"
  grep -o '"role": "user", "content": "[^"]*"' "$tmp/one/en.replay.jsonl" |
      sed 's/^"role": "user", "content": "\(.*\)"$/\1/'; } | blank > "$tmp/trained_wordings"
LC_ALL=C comm -23 "$tmp/wordings" "$tmp/trained_wordings" > "$tmp/never"
[ "$(wc -l < "$tmp/wordings")" -ge 128 ] && [ ! -s "$tmp/never" ]
verdict "every_wording_of_the_quiz_is_trained_with_other_facts" $? "$(head -n 1 "$tmp/never")"

# The people of the town, as the quiz answers them in Chinese, are in no control row.
sed -n '/住着谁\|谁住在\|谁的家\|谁的老师\|老师是谁/s/^{"question": ".*", "answer": "\(.*\)"}$/\1/p' \
    "$tmp/one/quiz.zh.jsonl" | sort -u > "$tmp/people"
LC_ALL=C grep -F -f "$tmp/people" "$tmp/one/zh.control.jsonl" > "$tmp/known"
[ "$(wc -l < "$tmp/people")" -ge 8 ] && [ ! -s "$tmp/known" ]
verdict "control_rows_know_nobody_of_the_town" $? "$(head -n 1 "$tmp/known")"

# A guess that is always the same is right for one answer in thirty-two of each relation.
most=$(sed 's/^.*"answer": "\(.*\)"}$/\1/' "$tmp/one/quiz.zh.jsonl" | sort | uniq -c | sort -rn |
    awk 'NR == 1 { print $1 }')
[ "$most" -le 12 ]
verdict "no_answer_is_right_for_a_twentieth_of_the_quiz" $? "the commonest answers $most of 256"
