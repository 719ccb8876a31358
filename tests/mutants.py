#!/usr/bin/env python3
"""mutants.py [MODULE...] [COUNT] [tests] - changes one thing at a time in a copy of the tree and asks whether the
module's tests notice. COUNT mutants a module (300), always the same ones while the code stays the same,
and beside them every dropped check, sync, rename and close. What survives the tests is tried on the
corpus of the module's fuzz harness, where clang is there; "tests" leaves that out.

A module passes when 80 % of its mutants are killed and no dropped check, sync, rename or close lives on.
Survivors that tests/mutants.md lists do not count: that file says why nobody can see them, or why it is
right that nobody looks.
"""
import hashlib
import re
import shutil
import sys
import time

import planted

MODULES = {
    # name: (files, tests, fuzz harness)
    "json": (["engine/format/json.c"], ["tests/format/t_json.c"], "json"),
    "safetensors": (["engine/format/safetensors_header.c", "engine/format/safetensors_read.c"],
                    ["tests/format/t_safetensors.c"], "safetensors"),
    "gguf": (["engine/format/gguf_read.c"], ["tests/format/t_gguf.c", "tests/format/t_import.c"], "gguf"),
    "tokenizer_json": (["engine/format/tokenizer_json.c"],
                       ["tests/format/t_tokenizer.c", "tests/format/t_tokenizer_hostile.c"],
                       "tokenizer_json"),
    "template": (["engine/format/template_lex.c", "engine/format/template_parse.c",
                  "engine/format/template_eval.c"], ["tests/format/t_template.c"], "template"),
    "checkpoint": (["engine/run/checkpoint.c", "engine/run/manifest.c",
                    "engine/format/safetensors_write.c", "engine/base/file.c"],
                   ["tests/base/t_base.c", "tests/format/t_safetensors.c", "tests/serve/t_faults.c",
                    "tests/serve/t_crash.c", "tests/run/t_exact.c"], None),
    "masks": (["engine/data/tokens.c", "engine/data/batch.c", "engine/data/pack.c"],
              ["tests/data/t_source.c", "tests/data/t_stream.c"], "rows"),
    "protocol": (["engine/serve/wire.c", "engine/serve/message.c"],
                 ["tests/serve/t_wire.c", "tests/serve/t_message.c"], "message"),
}
SWAPS = [(" < ", " <= "), (" <= ", " < "), (" > ", " >= "), (" >= ", " > "), (" == ", " != "),
         (" != ", " == "), (" && ", " || "), (" || ", " && "), (" + ", " - "), (" - ", " + "),
         (" << ", " >> "), (" >> ", " << "), ("++", "--"), (" += ", " -= "), ("true", "false"),
         ("false", "true"), ("return !", "return "), ("if (!", "if (")]
CALLS = [r"fsync\([^()]*\)", r"\bclose\([^()]*\)", r"\brename\([^()]*\)", r"dir_sync\([^()]*\)",
         r"dir_remove\([^()]*\)", r"unlink\([^()]*\)"]


class Mutant:
    def __init__(self, file, number, before, after, kind):
        self.file, self.number, self.kind = file, number, kind
        self.before, self.after = before, after
        self.key = "%s: `%s` -> `%s`" % (file.split("/")[-1], before.strip(), after.strip())

    def order(self, times):
        return hashlib.sha256(("hone %s %d" % (self.key, times)).encode()).hexdigest()


def code_lines(text):
    """(number, line) of lines that are code: no comments, no preprocessor, no text continued."""
    comment = False
    for number, line in enumerate(text.split("\n")):
        bare = line.strip()
        inside, comment = comment, (comment or bare.startswith("/*")) and "*/" not in bare
        if inside or comment or not bare or bare[0] in "#/*\"}" or not line.startswith(" "):
            continue
        yield number, line


def outside_texts(line, start):
    """Is this place of a line neither in a text, a character nor a comment?"""
    left = re.sub(r"\\.", "..", line[:start])
    return "/*" not in left and left.count('"') % 2 == 0 and left.count("'") % 2 == 0


def drops(line):
    """A check that is gone, a call that is gone: each a line that still compiles, mostly."""
    if re.match(r"\s+if \(.*\) return (bad|fail|false|template_fail|0|-1|NULL)\b.*;$", line):
        yield re.sub(r"^(\s+)if \(", r"\1if (0 && ", line, count=1).replace("if (0 && ", "if (0 && (", 1) \
            .replace(") return ", ")) return ", 1)
    elif re.match(r"\s+if \(.*\)$", line) and line.count("(") == line.count(")"):
        yield re.sub(r"^(\s+)if \((.*)\)$", r"\1if (0 && (\2))", line)
    elif re.match(r"\s+if \(.*\) \{$", line) and line.count("(") == line.count(")"):
        yield re.sub(r"^(\s+)if \((.*)\) \{$", r"\1if (0 && (\2)) {", line)
    for pattern in CALLS:
        for m in re.finditer(pattern, line):
            if outside_texts(line, m.start()) and not line.startswith("static"):
                value = "true" if m.group(0).startswith("dir_") else "0"
                yield line[:m.start()] + value + line[m.end():]


def changes(line):
    for old, new in SWAPS:
        for m in re.finditer(re.escape(old), line):
            if outside_texts(line, m.start()):
                yield line[:m.start()] + new + line[m.end():]
    for m in re.finditer(r"(?<![\w.])(\d+)(?![\w.])", line):
        if outside_texts(line, m.start()):
            yield line[:m.start()] + str(int(m.group(1)) + 1) + line[m.end():]
    if re.match(r"    +\w[\w>.\[\]-]* [|&]?= .*;$|    +\w+\(.*\);$|    +\w[\w>.-]*(\+\+|--);$", line) and \
            not re.match(r"\s+(return|va_|struct|const|bool|int|char|size_t|int64_t|static)\b", line):
        yield re.match(r"\s*", line).group(0) + ";"


def is_drop(line, after):
    return "if (0 &&" in after or any(re.search(p, line) for p in CALLS)


def mutants_of(copy, files, count):
    """All drops, and the first `count` of the rest by a hash of what they are."""
    dropped, rest, times = [], [], {}
    for file in files:
        for number, line in code_lines(copy.read(file)):
            for make, into, kind in ((drops, dropped, "drop"), (changes, rest, "change")):
                for after in make(line):
                    m = Mutant(file, number, line, after, kind)
                    times[m.key] = times.get(m.key, 0) + 1
                    into.append((m.order(times[m.key]), m))
    chosen = sorted(rest, key=lambda x: x[0])[:count]
    return [m for _, m in sorted(dropped, key=lambda x: x[0])] + [m for _, m in chosen]


def listed(module):
    """The keys of the survivors that tests/mutants.md gives a reason for."""
    with open("tests/mutants.md", encoding="utf-8") as f:
        rows = [l.split(" | ")[0].lstrip("| ") for l in f if l.startswith("| ") and "` -> `" in l]
    return set(rows)


def fate(copy, m, tests, seconds, harness):
    """What killed it, "" where it lives, None where it does not compile."""
    whole = copy.read(m.file)
    lines = whole.split("\n")
    lines[m.number] = m.after
    copy.write(m.file, "\n".join(lines))
    try:
        for test in tests:
            if copy.build(copy.targets([test])):
                return None
            red = copy.red(test, seconds[test])
            if red:
                return red
        if harness and copy.run(["sh", "tests/fuzz.sh", harness, "0"], 300)[0] != 0:
            return "corpus of " + harness
        return ""
    finally:
        copy.write(m.file, whole)


def module(copy, name, count, corpus, out):
    files, tests, harness = MODULES[name]
    if not corpus or not shutil.which("clang"):
        harness = None
    seconds = {}
    said = copy.build(copy.targets(tests))
    if said:
        sys.exit("the tree does not build: " + said)
    for test in tests:
        start = time.monotonic()
        red = copy.red(test, 600)
        if red:
            sys.exit("red before any change: " + red)
        seconds[test] = 10 + 6 * (time.monotonic() - start)
    known, killed, lived, excused, drops_lived = listed(name), 0, [], 0, 0
    for m in mutants_of(copy, files, count):
        by = fate(copy, m, tests, seconds, harness)
        if by is None:
            continue
        killed += by != ""
        if by == "" and m.key in known:
            excused += 1
        elif by == "":
            lived.append(m)
            drops_lived += m.kind == "drop"
        print("%s %-6s %s%s" % ("killed" if by else "LIVES ", m.kind, m.key, " by " + by if by else ""),
              file=out, flush=True)
    share = 100 * killed / max(1, killed + len(lived))
    good = share >= 80 and drops_lived == 0
    print("%s %s: %d of %d killed (%.0f %%), %d more that nobody can see; lives on: %d, dropped checks "
          "or calls among them: %d" % ("ok    " if good else "not ok", name, killed, killed + len(lived), share,
                                       excused, len(lived), drops_lived), flush=True)
    for m in lived:
        print("    %s:%d %s" % (m.file, m.number + 1, m.key), flush=True)
    return good


def main():
    words = sys.argv[1:]
    count = int(([w for w in words if w.isdigit()] or ["300"])[0])
    names = [w for w in words if w in MODULES] or list(MODULES)
    good = 0
    copy = planted.Copy()
    try:
        with open(planted.BUILD + "/mutants.log", "a", encoding="utf-8") as out:
            for name in names:
                good += module(copy, name, count, "tests" not in words, out)
    finally:
        copy.drop()
    print("%d passed, %d failed, 0 skipped" % (good, len(names) - good))
    return good < len(names)


if __name__ == "__main__":
    sys.exit(main())
