/* folder: what a run's folder holds, in parts by NUL: events.jsonl, state.json, train.json and
 * metrics.bin. It is listed, its events are gone on with, its steps are counted; a torn line is cut
 * and kept, and nothing that was whole is lost. */
#include "tests/fuzz/fuzz.h"
#include "engine/format/json.h"
#include "engine/run/checkpoint.h"
#include <math.h>
#include <unistd.h>

/* The journal keeps 4 MiB for a full disk; JSON as ever. */
const struct fuzz_limits fuzz_limits = {12 << 20, 256, 0};

#define STEP(n)                                                      \
    "{\"v\":1,\"seq\":" #n ",\"t\":1,\"kind\":\"step\",\"step\":" #n \
    ",\"loss\":2.5,\"lr\":1e-3,\"seconds\":1}\n"
#define WEIGHTS(files) \
    "{\"step\":2,\"stage\":0,\"stage_step\":2,\"adapter\":0,\"validation\":null,\"files\":" files

void fuzz_seeds(void)
{
    seed_many("", STEP(1), "torn");
    seed_many("", "x", "");
    seed_many("", "\n", "");
    static const struct {
        const char *part[4];
    } rows[] = {
        {{STEP(1) STEP(2) STEP(3),
          "{\"name\":\"r\",\"state\":\"training\",\"step\":3,\"steps\":9,\"pid\":1,\"loss\":2.5,"
          "\"started\":1,\"changed\":2}",
          WEIGHTS("[{\"name\":\"data\",\"bytes\":4,\"xxh3\":\"0\"}]"), ""}},
        {{STEP(1) "{\"kind\":\"resumed\",\"step\":0}\n" STEP(1) "{\"torn",
          "{\"state\":\"done\",\"why\":\"\\u001b\"}", WEIGHTS("[]"), "x"}},
        {{"", "", "", ""}},
        {{"\n\n\n", "[]", "{\"files\":[{}]}", ""}},
        {{"torn", "{\"state\":5}", WEIGHTS("[{\"name\":\"..\",\"bytes\":0,\"xxh3\":\"\"}]"), ""}},
        {{STEP(1) STEP(7) STEP(3), "{\"state\":\"x\",\"loss\":null,\"step\":-1}",
          WEIGHTS("[{\"name\":\"/etc/passwd\",\"bytes\":1}]"), ""}},
        {{STEP(5), "{}", WEIGHTS("[{\"name\":\"train.json\",\"bytes\":1e3,\"xxh3\":\"00\"},null]"),
          ""}}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        char p[4096];
        size_t n = 0;
        for (int k = 0; k < 4; k++) {
            memcpy(p + n, rows[i].part[k], strlen(rows[i].part[k]) + 1);
            n += strlen(rows[i].part[k]) + 1;
        }
        seed(p, n);
    }
}

/* After it was opened the file ends with a whole line; what was cut lies beside it; the next event
 * follows. */
static void check_journal(const char *dir, struct text before, struct arena *a)
{
    struct journal j = {.events = -1, .metrics = -1};
    struct err err = {{0}};
    struct text after, torn = {"", 0};
    const char *end = before.n ? memrchr(before.p, '\n', before.n) : NULL;
    size_t whole = end ? (size_t)(end - before.p) + 1 : 0;
    bool long_tail = before.n - whole > 1 << 20;
    if (!journal_open(&j, dir, a, &err)) {
        journal_close(&j);
        fuzz_sentence(err.text);
        HOLDS(false);
        return;
    }
    HOLDS(file_read(&after, run_path(a, dir, "events.jsonl"), 1 << 24, a, &err));
    HOLDS(after.n == 0 || after.p[after.n - 1] == '\n');
    if (!long_tail)
        HOLDS(after.n == whole && (whole == 0 || memcmp(after.p, before.p, whole) == 0));
    if (path_exists(run_path(a, dir, "events.torn")))
        HOLDS(file_read(&torn, run_path(a, dir, "events.torn"), 1 << 24, a, &err));
    if (!long_tail)
        HOLDS(torn.n == before.n - whole &&
              (torn.n == 0 || memcmp(torn.p, before.p + whole, torn.n) == 0));
    int64_t seq = j.seq;
    journal_note(&j, "info", 1, "the next");
    HOLDS(j.seq == seq + 1 || seq == INT64_MAX);
    journal_close(&j);
    struct text more;
    struct event e;
    HOLDS(file_read(&more, run_path(a, dir, "events.jsonl"), 1 << 24, a, &err) && more.n > after.n);
    HOLDS(event_read(&e, (struct text){more.p + after.n, more.n - after.n - 1}, a, &err) &&
          e.kind == EV_NOTE);
}

/* Read again, also from the file that the first reading made, the steps are the same. */
static void check_metrics(const char *dir, struct arena *a)
{
    struct metric *m, *again;
    int64_t n, n_again;
    struct err err = {{0}};
    if (!run_metrics(&m, &n, dir, a, &err)) {
        fuzz_sentence(err.text);
        return;
    }
    HOLDS(run_metrics(&again, &n_again, dir, a, &err) && n == n_again);
    HOLDS(n == 0 || memcmp(m, again, (size_t)n * sizeof *m) == 0);
}

/* With the hash that it must end with, but for one that begins with '!': else nothing behind the
 * hash is reached. */
static struct text hashed(struct text manifest, struct arena *a)
{
    struct buf b = buf_make(a);
    struct hash h;
    char text[33];
    if (manifest.n && *manifest.p == '!') return (struct text){manifest.p + 1, manifest.n - 1};
    hash_start(&h, a);
    hash_add(&h, manifest.p, manifest.n);
    buf_put(&b, manifest.p, manifest.n);
    buf_printf(&b, ",\"check\":\"%s\"}\n", hash_text(&h, text));
    return buf_text(&b);
}

static void check_checkpoints(const char *dir, struct arena *a)
{
    struct checkpoint *list;
    struct manifest m;
    struct err err = {{0}};
    int n;
    bool whole = manifest_read(&m, arena_printf(a, "%s/ckpt/000002", dir), a, &err);
    if (!whole) fuzz_sentence(err.text);
    HOLDS(checkpoint_list(&list, &n, dir, true, a, &err));
    HOLDS(n <= whole);
    if (n == 0) return;
    HOLDS(list[0].step >= 0 && list[0].stage >= 0 && list[0].stage <= 1000);
    HOLDS(strcmp(list[0].name, "000002") == 0 && list[0].base && list[0].adapter <= 1);
    for (int i = 0; i < m.files->n; i++) { /* each file named is there, under that name alone */
        struct text name = {0};
        HOLDS(json_get_text(&name, &m.files->items[i], "name", "m", &err) && name.n &&
              !memchr(name.p, '/', name.n));
        HOLDS(text_is(name, "data") || text_is(name, "train.json"));
    }
}

void fuzz(struct text in, struct arena *a)
{
    struct text events = fuzz_until(&in, 0), state = fuzz_until(&in, 0),
                manifest = fuzz_until(&in, 0);
    const char *dir = fuzz_folder();
    struct run_summary s;
    struct err err = {{0}};
    HOLDS(dir_make(arena_printf(a, "%s/ckpt/000002", dir), &err));
    fuzz_put(dir, "events.jsonl", events);
    fuzz_put(dir, "state.json", state);
    fuzz_put(dir, "ckpt/000002/train.json", hashed(manifest, a));
    fuzz_put(dir, "ckpt/000002/data", TEXT("data"));
    fuzz_put(dir, "metrics.bin", in);
    if (run_summary_read(&s, dir, a, &err))
        HOLDS(s.state < RUN_STATES && s.step >= 0 && s.steps >= 0 && s.pid >= 0);
    else fuzz_sentence(err.text);
    check_metrics(dir, a);
    check_checkpoints(dir, a);
    check_journal(dir, events, a);
}
