#!/bin/sh
# test-peft.sh: adapters loaded for real, both ways: hone's by PEFT and PEFT's by hone, and a merged export by transformers.
# Installs torch, transformers and PEFT by package name into build/venv-peft (about 2 GB, once).
cd "$(dirname "$0")/.." || exit 2
B=${B:-build}; V=${HONE_PEFT_VENV:-$B/venv-peft}
if ! "$V/bin/python" -c "import torch, transformers, peft" 2>/dev/null; then
    { python3 -m venv "$V" && "$V/bin/pip" install -q torch transformers peft; } > "$B/peft.log" 2>&1 ||
        { echo "ok torch and PEFT # SKIP they cannot be installed; see $B/peft.log"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
fi
make -s B="$B" "$B/tests/run/tiny" || exit 1
"$V/bin/python" tests/peft_both.py "$B" | tee "$B/peft.out"
good=$(grep -c '^ok' "$B/peft.out"); bad=$(grep -c '^not ok' "$B/peft.out")
echo "$good passed, $bad failed, 0 skipped"
[ "$bad" -eq 0 ] && [ "$good" -gt 0 ]
