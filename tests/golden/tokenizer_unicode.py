#!/usr/bin/env python3
"""Writes engine/format/unicode_table.c: the code points whose general category is not the same in
Unicode 14, 15, 15.1, 16 and 17, with their category in Unicode 16.

Hugging Face's tokenizers (0.23) classify by Unicode 16; the libraries of a machine (utf8proc, PCRE2)
may be older or newer. What never changed is asked of the library, what changed stands in the table.

    python3 -m venv V && for v in 15.0.0 15.1.0 16.0.0 17.0.0; do
        V/bin/pip install --no-deps --target U/$v unicodedata2==$v; done
    python3.11 tests/golden/tokenizer_unicode.py U > engine/format/unicode_table.c   (3.11 knows Unicode 14)
"""
import json
import subprocess
import sys
import unicodedata

ONE = """
import sys, json
sys.path.insert(0, sys.argv[1])
import unicodedata2 as u
json.dump([u.category(chr(i)) for i in range(0x110000)], sys.stdout)
"""

def main(folder):
    assert unicodedata.unidata_version == "14.0.0", "run this with Python 3.11"
    tables = {"14.0.0": [unicodedata.category(chr(i)) for i in range(0x110000)]}
    for version in ("15.0.0", "15.1.0", "16.0.0", "17.0.0"):
        tables[version] = json.loads(subprocess.check_output([sys.executable, "-c", ONE, f"{folder}/{version}"]))
    now = tables["16.0.0"]
    rows = []
    for code, category in enumerate(now):
        if all(t[code] == category for t in tables.values()):
            continue
        if rows and rows[-1][1] == code - 1 and rows[-1][2] == category:
            rows[-1][1] = code
        else:
            rows.append([code, code, category])
    letters, numbers = (sum(c[0] == kind for c in now) for kind in "LN")
    print("/* unicode_table.c - code points whose category differs between Unicode 14 and 17, with their\n"
          f" * category in Unicode 16, by tests/golden/tokenizer_unicode.py. With it there are {letters:,} letters\n"
          f" * and {numbers:,} numbers, whatever version the machine's libraries know. */\n"
          '#include "engine/format/unicode.h"\n\n'
          "const struct unicode_change unicode_changes[] = {")
    for i in range(0, len(rows), 4):
        print("    " + " ".join('{0x%X, 0x%X, "%s"},' % tuple(r) for r in rows[i:i + 4]))
    print("};\nconst int n_unicode_changes = COUNT(unicode_changes);")

main(sys.argv[1])
