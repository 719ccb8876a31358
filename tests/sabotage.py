#!/usr/bin/env python3
"""sabotage.py [WORD...] - plants faults that this kind of program is known for, one at a time in a copy
of the tree, builds it and runs the tests that should notice. A fault that nothing notices, or that no
longer applies, is a failure. With words: only faults whose name contains one of them.

A row: the fault; the file; pairs of what stands there, once, and what stands there then; the tests.
"""
import sys
import time

import planted

SAVED = ["tests/serve/t_crash.c"]
ROWS = [
    ("file_replace does not sync the file", "engine/base/file.c",
     [("if (ok && fsync(fd) != 0) ok = fail_errno(err, \"cannot sync %s\", beside);", "")], SAVED),
    ("no folder is synced", "engine/base/file.c",
     [("bool ok = fsync(fd) == 0 || errno == EINVAL ||", "bool ok = true ||")], SAVED),
    ("file_replace renames before it syncs", "engine/base/file.c",
     [("if (ok && fsync(fd) != 0) ok = fail_errno(err, \"cannot sync %s\", beside);",
       "if (ok && rename(beside, path) != 0) ok = fail_errno(err, \"cannot rename %s\", beside);"),
      ("if (ok && rename(beside, path) != 0) ok = fail_errno(err, \"cannot rename %s to %s\", beside, path);",
       "int late = ok ? open(path, O_RDONLY | O_CLOEXEC) : -1;\n    if (ok && fsync(late) != 0) ok = false;"
       "\n    if (late >= 0) close(late);")], SAVED),
    ("file_replace renames no more, it writes in place", "engine/base/file.c",
     [("int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);",
       "int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);"),
      ("if (ok && rename(beside, path) != 0)", "if (!ok && rename(beside, path) != 0)")], SAVED),
    ("weights are not synced", "engine/format/safetensors_write.c",
     [("if (ok && fsync(w->fd) != 0)", "if (!ok && fsync(w->fd) != 0)")], SAVED),
    ("copied tokenizer files are not synced", "engine/model/save.c",
     [("if (ok && fsync(fd))", "if (!ok && fsync(fd))")], SAVED),
    ("a checkpoint's name is not synced", "engine/run/checkpoint.c",
     [("cannot rename %s to %s\", beside, final);\n    return dir_sync(ckpt, err);",
       "cannot rename %s to %s\", beside, final);\n    return true;")], SAVED),
    ("a checkpoint is renamed before its manifest is written", "engine/run/checkpoint.c",
     [("manifest_write(job, saved, beside, a, err) &&\n", ""),
      ("publish(beside, final, ckpt, job->run_dir, a, err);",
       "publish(beside, final, ckpt, job->run_dir, a, err) && manifest_write(job, saved, final, a, err);")],
     SAVED + ["tests/serve/t_faults.c"]),
    ("an old checkpoint is emptied under its own name", "engine/run/checkpoint.c",
     [("return dir_sync(ckpt, err) && dir_remove(aside, err);", "return dir_remove(aside, err);"),
      ("if (rename(c->path, aside) != 0)", "aside = c->path;\n    if (!aside)")],
     SAVED + ["tests/serve/t_faults.c"]),
    ("a short write counts as a whole one", "engine/base/file.c",
     [("q += put; n -= (size_t)put;", "break;")], ["tests/serve/t_faults.c"]),
    ("events are not synced", "engine/run/journal.c",
     [("if (fdatasync(j->events) != 0)", "if (j->events < 0)")], SAVED),
    ("an event that is written short stays torn", "engine/run/journal.c",
     [("if (put > 0 && ftruncate(j->events, j->events_bytes) != 0)", "if (put > 0 && j->events < 0)")],
     ["tests/serve/t_faults.c"]),
    ("a file that is there is the lock", "engine/serve/launch.c",
     [("*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);",
       "*fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);\n        bool was = *fd >= 0;\n"
       "        if (!was) *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);"),
      ("if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {", "if (was) {")], ["tests/serve/t_start.c"]),
    ("a lock on a removed file counts", "engine/serve/launch.c",
     [("mine.st_ino == there.st_ino", "mine.st_ino != 0")], ["tests/serve/t_start.c"]),
    ("the socket lies in XDG_RUNTIME_DIR", "engine/serve/wire.c",
     [("int n = snprintf(dir, sizeof dir, \"%s/sock\", home);",
       "const char *runtime = secure_getenv(\"XDG_RUNTIME_DIR\");\n"
       "    int n = snprintf(dir, sizeof dir, \"%s/sock\", runtime ? runtime : home);"),
      ("#include <stdio.h>\n", "#include <stdio.h>\n#include <stdlib.h>\n")], ["tests/serve/t_wire.c"]),
    ("anybody's socket folder is trusted", "engine/serve/wire.c",
     [("if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))",
       "if (!S_ISDIR(st.st_mode))")], ["tests/serve/t_wire.c"]),
    ("sending blocks", "engine/serve/wire.c", [("    no_blocking(out);\n", "")], ["tests/serve/t_wire.c"]),
    ("each micro-batch divides by its own labels", "engine/model/update.c",
     [("    head_train(m, labels);\n",
       "    m->host.block.inv_trained = 1.0f / (float)labels;\n"
       "    m->k->upload(m->d, buffer_at(m, m->b.block), &m->host.block, sizeof m->host.block);\n"
       "    head_train(m, labels);\n")], ["tests/model/t_model.c"]),
    ("a step divides by the labels of its first micro-batch", "engine/run/step.c",
     [("int64_t trained = stream_trained(&plan->stream, first, windows);",
       "int64_t trained = stream_trained(&plan->stream, first, plan->micro_batch < windows ? "
       "plan->micro_batch : windows);")], ["tests/run/t_exact.c"]),
    ("positions begin anew, but documents see each other", "engine/model/batch.c",
     [("p->queries = p->keys = (struct seqs){.start = h->start, .n = b->n_seqs, .longest = b->longest};",
       "h->start[1] = b->rows;\n"
       "    p->queries = p->keys = (struct seqs){.start = h->start, .n = 1, .longest = b->rows};")],
     ["tests/model/t_model.c"]),
    ("what is learnt is all but the padding id", "engine/data/batch.c",
     [("bool trained = i + 1 < p->n && ids[i + 1] & TRAINED;",
       "bool trained = i + 1 < p->n && (ids[i + 1] & ~TRAINED) != 0;")], ["tests/data/t_stream.c"]),
    ("the end token is not learnt, as if it were padding", "engine/data/tokens.c",
     [("if (eos >= 0 && last_id(e) != eos) put(e, eos, true);",
       "if (eos >= 0 && last_id(e) != eos) put(e, eos, false);")], ["tests/data/t_source.c"]),
    ("labels are not shifted", "engine/data/batch.c",
     [("targets[i] = trained ? (int32_t)(ids[i + 1] & ~TRAINED) : -1;",
       "targets[i] = trained ? (int32_t)(ids[i] & ~TRAINED) : -1;")], ["tests/data/t_stream.c"]),
    ("BOS comes twice", "engine/data/tokens.c",
     [("if (bos < 0 || n < 2) return;", "if (bos < 0 || n < 1 << 30) return;")], ["tests/data/t_source.c"]),
    ("the learning rate follows the steps of this process", "engine/run/step.c",
     [("    return schedule_at(&set, t->at.stage_step,",
       "    static int64_t wall;\n    return schedule_at(&set, wall++,")], ["tests/run/t_exact.c"]),
    ("a resume forgets the moments", "engine/run/train.c",
     [("f.moments = same_stage && t->at.stage_step > 0;", "f.moments = false;")], ["tests/run/t_exact.c"]),
    ("a resume begins the data anew", "engine/run/step.c",
     [("int64_t first = t->at.stage_step * plan->windows_per_step;",
       "static int64_t begun;\n    int64_t first = begun++ % plan->steps * plan->windows_per_step;")],
     ["tests/run/t_exact.c"]),
    ("the gradient norm is summed by threads", "kernels/cpu/update.c",
     [("u.each = (u.all + CPU_PARTS - 1) / CPU_PARTS;", "u.each = (u.all + d->threads - 1) / d->threads;"),
      ("    if (u.each < STRETCH) u.each = STRETCH;\n", "")], ["tests/run/t_exact.c"]),
    ("the norms' gradients are summed by threads", "kernels/cpu/norm.c",
     [("s.each = (x.rows + CPU_SUMS - 1) / CPU_SUMS;", "s.each = (x.rows + d->threads - 1) / d->threads;")],
     ["tests/run/t_exact.c"]),
    ("no hash is compared", "engine/run/checkpoint.c",
     [("ok = ok && (!wanted || hash_is(fd, size, want, path, err));",
       "ok = ok && (!wanted || want.n > 0 || hash_is(fd, size, want, path, err));")],
     ["tests/serve/t_damage.c"]),
    ("the manifest's own hash is not compared", "engine/run/manifest.c",
     [("return memcmp(check, t.p + t.n - CHECK_BYTES + sizeof CHECK_KEY - 1, 32) == 0 ||",
       "return check[0] != 0 ||")], ["tests/serve/t_damage.c"]),
    ("C1 control characters pass", "engine/base/text.c",
     [("if (c < 0x20 || (c >= 0x7F && c < 0xA0)) return 0xFFFD;", "if (c < 0x20 || c == 0x7F) return 0xFFFD;")],
     ["tests/base/t_base.c"]),
    ("bidi controls pass", "engine/base/text.c",
     [("{0x2028, 0x202E}", "{0x2028, 0x2029}")], ["tests/base/t_base.c"]),
    ("JSON may nest without end", "engine/format/json.c",
     [("if (c->deepest > most.depth)", "if (c->deepest > most.depth && c->deepest < 0)")],
     ["tests/format/t_json.c"]),
    ("a template's expression may be as long as it likes", "engine/format/template_parse.c",
     [("return n->depth <= TEMPLATE_CHAIN_MOST", "return n->depth > 0")], ["tests/format/t_template.c"]),
    ("a profile may nest without end", "engine/run/yaml.c",
     [("    YAML_DEPTH_MOST = 16,\n", "    YAML_DEPTH_MOST = 1 << 16,\n")],
     ["tests/run/t_profile.c"]),
    ("tensors may lie over each other", "engine/format/safetensors_header.c",
     [("if (h->list[i].at != at)", "if (h->list[i].at > at)")], ["tests/format/t_safetensors.c"]),
    ("the size of a tensor may overflow", "engine/format/safetensors_header.c",
     [("if (__builtin_mul_overflow(t->elements, tensor_type_bytes(t->type), &bytes) || bytes > SIZE_MOST)",
       "if (bytes = t->elements * tensor_type_bytes(t->type), bytes < -SIZE_MOST)")],
     ["tests/format/t_safetensors.c"]),
]


def plant(copy, file, pairs):
    """The file with the fault in it, or why it cannot be planted."""
    text = copy.read(file)
    for before, after in pairs:
        if text.count(before) != 1:
            return None, "%s holds %d times: %s" % (file, text.count(before), before.strip()[:70])
        text = text.replace(before, after)
    return text, ""


def one(copy, row, seconds):
    """(what went red, why it failed): one of them is empty."""
    fault, file, pairs, tests = row
    whole = copy.read(file)
    text, why = plant(copy, file, pairs)
    if text is None:
        return "", "no longer applies: " + why
    copy.write(file, text)
    said = copy.build(copy.targets(tests))
    red = [] if said else [r for r in (copy.red(t, seconds[t]) for t in tests) if r]
    copy.write(file, whole)
    if said:
        return "", "does not compile: " + said.splitlines()[0]
    return "; ".join(red), "" if red else "nothing noticed it"


def green(copy, rows):
    """How long each test may take; a test that is red without a fault ends it all."""
    seconds = {}
    tests = sorted({t for row in rows for t in row[3]})
    said = copy.build(copy.targets(tests))
    if said:
        sys.exit("the tree does not build: " + said)
    for test in tests:
        start = time.monotonic()
        red = copy.red(test, 600)
        if red:
            sys.exit("red before any fault: " + red)
        seconds[test] = 20 + 6 * (time.monotonic() - start)
    return seconds


def main():
    rows = [r for r in ROWS if not sys.argv[1:] or any(w in r[0] for w in sys.argv[1:])]
    failed = 0
    copy = planted.Copy()
    try:
        seconds = green(copy, rows)
        for row in rows:
            red, why = one(copy, row, seconds)
            failed += not red
            print("%s %-55s %s" % ("ok    " if red else "not ok", row[0], red or why), flush=True)
    finally:
        copy.drop()
    print("%d passed, %d failed, 0 skipped" % (len(rows) - failed, failed))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
