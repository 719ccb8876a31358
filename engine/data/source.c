/* source.c - making a source ready: its rows read, checked and tokenised by all cores, or found in
 * the cache.
 *
 * The caller's thread reads records into a round of some megabytes; the pool turns fixed parts of
 * the round into tokens, each part with an arena of its own; the caller then adds the parts to the
 * cache file in order. So what is written does not depend on the number of threads. */
#include "engine/data/tokens.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROUND_BYTES (8 << 20)
#define PART_BYTES (64 << 10)
#define SECONDS_BETWEEN 0.2

/* A row after its part was done. */
struct done {
    int64_t from, tokens; /* in the part's ids; tokens 0: nothing to learn */
    int64_t longest, labels, lost;
    uint64_t hash;
    bool text;
    struct text category;
    const char *bad; /* why, or NULL */
};

struct part {
    struct arena arena;
    int first, n;
    struct ids ids;
    struct done *done;
};

struct job {
    const struct source_spec *spec;
    const struct data_settings *s;
    const struct format *format;
    bool plain;
    struct arena rows_arena, *thread_arenas;
    struct row *rows;
    int n_rows, cap_rows;
    struct part *parts;
    int n_parts, cap_parts;
    struct cache_writer writer;
    struct source_report report;
    double told;
};

static void do_row(struct job *j, const struct row *row, struct part *p, struct done *d,
                   struct arena *scratch)
{
    struct err err = {{0}};
    struct conversation c;
    struct arena_mark m = arena_mark(scratch);
    int64_t from = p->ids.n;
    bool ok = row_read(&c, j->format, row, j->plain, j->spec->path, scratch, &err);
    if (ok && !conversation_encode(&p->ids, &c, j->s->tokenizer, j->s->template, j->spec->train_on,
                                   &d->lost, scratch, &err))
        ok = fail_in(&err, "%s:%lld", j->spec->path, (long long)row->line);
    if (ok) {
        int64_t n = p->ids.n - from;
        d->from = from;
        d->longest = n;
        d->hash = conversation_hash(&c);
        d->text = c.kind == PROSE && c.source.n == 0;
        d->category =
            (struct text){arena_string(&p->arena, c.category.p, c.category.n), c.category.n};
        d->labels = labels_in((const uint32_t *)p->ids.p + from, n);
        d->tokens = d->labels ? n : 0;
        p->ids.n = from + d->tokens;
    } else {
        p->ids.n = from;
        struct buf b = buf_make(&p->arena);
        text_safe(&b, text_of(err.text), false);
        d->bad = b.p;
    }
    arena_back(scratch, m);
}

static void do_part(void *arg, int part, int thread)
{
    struct job *j = arg;
    struct part *p = &j->parts[part];
    p->ids = (struct ids){.a = &p->arena};
    p->done = NEW_N(&p->arena, struct done, p->n);
    for (int i = 0; i < p->n; i++)
        do_row(j, &j->rows[p->first + i], p, &p->done[i], &j->thread_arenas[thread]);
}

/* Rows of about PART_BYTES each; where the borders are depends on the rows alone. */
static void split(struct job *j)
{
    size_t bytes = 0;
    j->n_parts = 0;
    for (int i = 0; i < j->n_rows; i++) {
        if (i == 0 || bytes >= PART_BYTES) {
            ROOM(&j->rows_arena, j->parts, j->n_parts, j->cap_parts);
            j->parts[j->n_parts++] = (struct part){.first = i, .arena = arena_make(0)};
            bytes = 0;
        }
        j->parts[j->n_parts - 1].n++;
        bytes += j->rows[i].text.n;
    }
}

static int length_bucket(int64_t tokens)
{
    int i = 0;
    while (i < 15 && tokens >> (i + 1)) i++;
    return i;
}

static bool add_row(struct job *j, const struct part *p, const struct done *d, struct err *err)
{
    struct source_report *r = &j->report;
    r->rows++;
    if (d->bad) {
        r->rows_bad++;
        if (r->n_bad < (int)COUNT(r->bad))
            snprintf(r->bad[r->n_bad++], sizeof r->bad[0], "%s", d->bad);
        return true;
    }
    r->bytes_lost += d->lost;
    if (d->longest > r->longest) r->longest = d->longest;
    r->lengths[length_bucket(d->longest)]++;
    if (d->tokens == 0) {
        r->rows_dropped++;
        return true;
    }
    struct document doc = {.hash = d->hash,
                           .tokens = (int32_t)d->tokens,
                           .trained = (int32_t)d->labels,
                           .text = d->text};
    return cache_add(&j->writer, (const uint32_t *)p->ids.p + d->from, doc, d->category, err);
}

static bool do_round(struct job *j, struct err *err)
{
    bool ok = true;
    j->parts = NULL;
    j->cap_parts = 0;
    split(j);
    pool_run(j->s->pool, j->n_parts, do_part, j);
    for (int i = 0; i < j->n_parts; i++) {
        struct part *p = &j->parts[i];
        for (int k = 0; ok && k < p->n; k++) ok = add_row(j, p, &p->done[k], err);
        arena_drop(&p->arena);
    }
    arena_drop(&j->rows_arena);
    j->rows = NULL;
    j->n_rows = j->cap_rows = 0;
    return ok;
}

static bool tell(struct job *j, const struct rows *r, bool last, struct err *err)
{
    double now = now_monotonic();
    if (!j->s->progress || (!last && now - j->told < SECONDS_BETWEEN)) return true;
    j->told = now;
    return j->s->progress(j->s->arg, j->spec->name, j->report.rows, r->at, r->size) ||
           fail(err, "preparing %s was stopped", j->spec->path);
}

/* Copies records into a round until it is full; *any is false where the file, or max_rows, is at
 * its end. */
static bool fill_round(struct job *j, struct rows *r, bool *any, struct err *err)
{
    size_t bytes = 0;
    *any = true;
    while (bytes < ROUND_BYTES && *any) {
        struct row row;
        if (j->spec->max_rows > 0 && j->report.rows + j->n_rows >= j->spec->max_rows) *any = false;
        else if (!rows_next(r, &row, any, err)) return false;
        if (!*any) break;
        ROOM(&j->rows_arena, j->rows, j->n_rows, j->cap_rows);
        bytes += row.text.n;
        row.text.p = arena_string(&j->rows_arena, row.text.p, row.text.n);
        j->rows[j->n_rows++] = row;
    }
    return true;
}

static bool read_all(struct job *j, struct rows *r, struct err *err)
{
    bool any = true;
    while (any)
        if (!fill_round(j, r, &any, err) || !do_round(j, err) || !tell(j, r, !any, err))
            return false;
    return true;
}

static bool too_many_bad(const struct source_report *r, const char *path, struct err *err)
{
    if (r->rows_bad * 100 <= r->rows) return true;
    char rows[32], bad[32];
    fail(err, "%s: %s of %s rows are bad (%.1f %%; at most 1 %% may be): %s", path,
         text_count(bad, r->rows_bad), text_count(rows, r->rows),
         100.0 * (double)r->rows_bad / (double)r->rows, r->bad[0]);
    for (int i = 1; i < r->n_bad && i < 3; i++) {
        size_t n = strlen(err->text);
        snprintf(err->text + n, sizeof err->text - n, "; %s", r->bad[i]);
    }
    return false;
}

/* The first row that could be read, as the model would see it. */
static bool nothing_to_learn(const struct source_spec *spec, const struct data_settings *s,
                             const struct source_report *report, struct err *err)
{
    static const char *const ons[] = {[TRAIN_ON_ANSWERS] = "answers",
                                      [TRAIN_ON_ALL] = "all",
                                      [TRAIN_ON_LAST_ANSWER] = "last_answer"};
    struct arena a = arena_make(0), scratch = arena_make(0);
    struct buf shown = buf_make(&a), safe = buf_make(&a);
    struct ids ids = {.a = &a};
    struct rows r;
    struct row row;
    bool any = false;
    struct conversation c;
    struct err ignored;
    bool plain = false;
    const struct format *format = format_find(report->format, &ignored);
    if (format_is_plain(spec->path, spec->format, &plain, &ignored) &&
        rows_open(&r, spec->path, plain, &ignored)) {
        if (rows_next(&r, &row, &any, &ignored) && any &&
            row_read(&c, format, &row, plain, spec->path, &a, &ignored) &&
            conversation_encode(&ids, &c, s->tokenizer, s->template, spec->train_on, NULL, &scratch,
                                &ignored)) {
            for (int64_t i = 0; i < ids.n; i++) ids.p[i] &= (int32_t)~TRAINED;
            tokenizer_decode(s->tokenizer, &shown, ids.p, ids.n < 100 ? ids.n : 100, false);
        }
        rows_close(&r);
    }
    text_safe(&safe, buf_text(&shown), false);
    fail(err,
         "%s: nothing to learn: none of its %lld rows has a trained token (format %s, train_on %s, "
         "template %s, max_length %d). "
         "The first row reads: \"%.300s\"",
         spec->path, (long long)report->rows, report->format, ons[spec->train_on],
         template_name(s->template), s->max_length, safe.p);
    arena_drop(&a);
    arena_drop(&scratch);
    return false;
}

static bool choose_format(struct job *j, struct err *err)
{
    if (!format_is_plain(j->spec->path, j->spec->format, &j->plain, err)) return false;
    j->format = j->plain                               ? format_find("text", err)
                : strcmp(j->spec->format, "auto") == 0 ? format_detect(j->spec->path, err)
                                                       : format_find(j->spec->format, err);
    if (!j->format) return false;
    snprintf(j->report.format, sizeof j->report.format, "%s", j->format->name);
    return true;
}

static bool make_rows(struct job *j, const char *key, struct err *err)
{
    struct rows r;
    bool ok = rows_open(&r, j->spec->path, j->plain, err);
    if (!ok) return false;
    ok = read_all(j, &r, err);
    rows_close(&r);
    ok = ok && (j->report.rows > 0 ||
                fail(err, "%s has no rows; there is nothing to learn from it", j->spec->path));
    ok = ok && too_many_bad(&j->report, j->spec->path, err);
    ok = ok && (j->writer.made.n_documents > 0 || nothing_to_learn(j->spec, j->s, &j->report, err));
    return ok && cache_end(&j->writer, key, &j->report, err);
}

/* Reads and tokenises; the cache file is there afterwards. */
static bool make(const char *key, const struct source_spec *spec, const struct data_settings *s,
                 struct err *err)
{
    struct job j = {.spec = spec, .s = s, .rows_arena = arena_make(0)};
    struct arena a = arena_make(0);
    if (!choose_format(&j, err)) return false;
    int threads = pool_threads(s->pool);
    j.thread_arenas = NEW_N(&a, struct arena, threads);
    for (int i = 0; i < threads; i++) j.thread_arenas[i] = arena_make(0);
    bool ok = cache_begin(&j.writer, s->cache_dir, key, err) && make_rows(&j, key, err);
    if (!ok) cache_abandon(&j.writer);
    for (int i = 0; i < threads; i++) arena_drop(&j.thread_arenas[i]);
    arena_drop(&j.rows_arena);
    arena_drop(&a);
    return ok;
}

/* Labels in the first max_length tokens of a document; only some of a long chat's must be looked
 * at. */
static bool kept_labels(int32_t *out, const struct token_cache *c, int64_t i, int max_length,
                        uint32_t *room, struct err *err)
{
    const struct document *d = &c->documents[i];
    *out = d->trained;
    if (d->tokens <= max_length) return true;
    *out = max_length - 1;
    if (d->trained == d->tokens - 1) return true;
    if (!cache_read(c, i, 0, max_length, room, err)) return false;
    *out = (int32_t)labels_in(room, max_length);
    return true;
}

/* The hold-out: rows whose hash, as a number in [0, 1), is below the share. And what cutting
 * leaves. */
static bool fit(struct source *out, const struct data_settings *s, struct arena *a, struct err *err)
{
    struct token_cache *c = out->cache;
    struct source_report *r = &out->report;
    struct arena room = arena_make(0);
    uint32_t *tokens = NEW_N(&room, uint32_t, s->max_length);
    bool *held = NEW_N(a, bool, c->n_documents), ok = true;
    int32_t *kept = NEW_N(a, int32_t, c->n_documents);
    c->held = held;
    c->kept = kept;
    c->max_length = s->max_length;
    for (int64_t i = 0; ok && i < c->n_documents; i++) {
        if (!(ok = kept_labels(&kept[i], c, i, s->max_length, tokens, err))) break;
        int32_t whole = c->documents[i].tokens, n = document_taken(c, i, s);
        held[i] = rand_unit(c->documents[i].hash, 0) < s->holdout;
        if (n < whole) {
            r->rows_truncated++;
            r->tokens_truncated += whole - s->max_length;
        }
        r->rows_dropped += n == 0;
        r->tokens += n;
        r->tokens_trained += n == 0      ? 0
                             : n < whole ? kept[i]
                                         : c->documents[i].trained - (document_pieces(c, i, s) - 1);
        out->held_out += n > 0 && held[i];
        out->documents += n > 0 && !held[i];
    }
    arena_drop(&room);
    r->rows_held_out = out->held_out;
    return ok;
}

bool source_prepare(struct source *out, const struct source_spec *spec,
                    const struct data_settings *s, struct arena *a, struct err *err)
{
    char key[33], again[33];
    *out = (struct source){.spec = *spec};
    if (s->max_length < 2)
        return fail(err, "max_length is %d; a window needs 2 tokens at least", s->max_length);
    if (!source_key(key, spec, s, a, err)) return false;
    if (!cache_open(&out->cache, s->cache_dir, key, tokenizer_size(s->tokenizer), a, err)) {
        if (err->text[0]) say(LOG_WARN, "%s", err->text);
        err->text[0] = 0;
        if (!make(key, spec, s, err) || !source_key(again, spec, s, a, err)) return false;
        if (strcmp(key, again) != 0)
            return fail(err, "%s changed while it was read; start again", spec->path);
        if (!cache_open(&out->cache, s->cache_dir, key, tokenizer_size(s->tokenizer), a, err))
            return err->text[0]
                       ? false
                       : fail(err, "the token cache in %s vanished; start again", s->cache_dir);
    }
    memcpy(out->key, key, sizeof key);
    out->report = out->cache->report;
    if (fit(out, s, a, err) &&
        (out->report.tokens_trained > 0 || nothing_to_learn(spec, s, &out->report, err)))
        return true;
    source_close(out);
    return false;
}

void source_close(struct source *s)
{
    if (!s->cache) return;
    close(s->cache->fd);
    s->cache = NULL;
}
