/* cmd_eval.c - measuring a model: nats per token of texts and rows, or the score of a quiz. */
#include "engine/format/json.h"
#include "tui/cli.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What has been measured so far. */
struct measure {
    double sum;
    int64_t labels, windows;
    bool json, per_token;
};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* One batch: its losses are added, and printed a line where they were asked for. */
static bool add_batch(struct measure *m, struct answerer *x, const struct batch *b, float *losses,
                      struct arena *a, struct err *err)
{
    if (!model_losses(x->model, b, losses, err)) return false;
    struct buf line = buf_make(a);
    bool first = true;
    if (m->per_token) buf_printf(&line, "{\"losses\":[");
    for (int i = 0; i < b->rows; i++) {
        if (b->targets[i] < 0) continue;
        m->sum += losses[i];
        m->labels++;
        if (!m->per_token) continue;
        if (!first) buf_put(&line, ",", 1);
        first = false;
        json_put_num(&line, losses[i]);
    }
    m->windows++;
    if (m->per_token) {
        buf_printf(&line, "]}\n");
        print_text(buf_text(&line));
    }
    return true;
}

/* ---- windows of ids ---- */

struct window {
    const char *p;
    size_t n;
    int line;
};

static bool ids_line(struct batch *b, struct window w, int vocab, const char *path, struct err *err)
{
    int n = 0;
    for (const char *p = w.p, *stop = w.p + w.n; p < stop;) {
        if (strchr(" \t\r", *p)) {
            p++;
            continue;
        }
        char *end;
        long v = strtol(p, &end, 10);
        if (end == p || v < 0 || v >= vocab)
            return fail(err, "%s:%d: '%.12s' is no token id from 0 to %d", path, w.line, p,
                        vocab - 1);
        if (n == b->rows_most)
            return fail(err, "%s:%d: over %d ids; the context of the model ends there", path,
                        w.line, b->rows_most);
        b->ids[n] = (int32_t)v;
        b->pos[n] = n;
        n++;
        p = end;
    }
    if (n < 2) return fail(err, "%s:%d: a window has at least 2 ids", path, w.line);
    for (int i = 0; i < n; i++) b->targets[i] = i + 1 < n ? b->ids[i + 1] : -1;
    b->rows = b->longest = n;
    b->trained = n - 1;
    b->n_seqs = 1;
    b->start[0] = 0;
    b->start[1] = n;
    return true;
}

static bool eval_ids(struct cli *c, struct answerer *x, struct measure *m, int rows)
{
    struct text t;
    struct batch b = batch_make(c->a, rows);
    float *losses = NEW_N(c->a, float, rows);
    int line = 0;
    if (!file_read(&t, c->words[1], (int64_t)1 << 30, c->a, &c->err)) return false;
    for (size_t at = 0; at < t.n;) {
        const char *end = memchr(t.p + at, '\n', t.n - at);
        size_t n = end ? (size_t)(end - t.p) - at : t.n - at;
        struct window w = {t.p + at, n, ++line};
        at += n + 1;
        if (n == 0) continue;
        struct arena_mark mark = arena_mark(c->a);
        if (!ids_line(&b, w, x->config.vocab, c->words[1], &c->err) ||
            !add_batch(m, x, &b, losses, c->a, &c->err))
            return false;
        arena_back(c->a, mark);
    }
    return m->labels > 0 || fail(&c->err, "%s has no window", c->words[1]);
}

/* ---- rows of a dataset, or a text ---- */

static bool eval_rows(struct cli *c, struct answerer *x, struct measure *m, int rows)
{
    struct source_spec spec = {.name = path_base(c->words[1]),
                               .path = c->words[1],
                               .format = "auto",
                               .category = "",
                               .train_on = ends_with(c->words[1], ".txt") ? TRAIN_ON_ALL
                                                                          : TRAIN_ON_ANSWERS};
    struct data_settings s = {.tokenizer = x->tokenizer,
                              .template = x->template,
                              .max_length = rows,
                              .packing = PACKING_BFD, /* a document keeps its beginning */
                              .cache_dir = c->places.cache,
                              .pool = x->pool};
    struct source source;
    struct stream stream;
    if (!source_prepare(&source, &spec, &s, c->a, &c->err)) return false;
    struct mix mix = {&source, 1};
    struct stream_spec one = {.mix = &mix, .n_mix = 1, .epochs = 1};
    struct batch b = batch_make(c->a, rows);
    float *losses = NEW_N(c->a, float, rows);
    bool ok = stream_make(&stream, &one, &s, c->a, &c->err);
    for (int64_t w = 0; ok && w < stream.windows; w++) {
        struct arena_mark mark = arena_mark(c->a);
        ok = stream_batch(&stream, w, 1, &b, &c->err) && add_batch(m, x, &b, losses, c->a, &c->err);
        arena_back(c->a, mark);
    }
    source_close(&source);
    return ok;
}

/* ---- quiz ---- */

/* The first row decides: a quiz row has a question and an answer. */
static bool is_quiz(const char *path, struct arena *a)
{
    struct quiz_row *rows;
    int n;
    struct err ignored;
    struct arena_mark mark = arena_mark(a);
    bool yes = !ends_with(path, ".txt") && quiz_read(&rows, &n, path, a, &ignored);
    arena_back(a, mark);
    return yes;
}

static int eval_quiz(struct cli *c, struct answerer *x)
{
    struct quiz_row *rows;
    int n, right;
    int most = c->o.max_new_tokens > 0 ? (int)c->o.max_new_tokens : 32;
    if (!quiz_read(&rows, &n, c->words[1], c->a, &c->err) ||
        !quiz_score(x->model, x->tokenizer, x->template, &x->config, rows, n, most, &right, c->a,
                    &c->err))
        return refuse(EXIT_REFUSED, &c->err);
    if (c->o.json) printf("{\"right\":%d,\"of\":%d,\"score\":%.6f}\n", right, n, (double)right / n);
    else
        printf("quiz %s: %d of %d, %.1f %%\n", path_base(c->words[1]), right, n, 100.0 * right / n);
    return EXIT_DONE;
}

static int report(const struct measure *m)
{
    double mean = m->sum / (double)m->labels;
    if (m->per_token) return EXIT_DONE;
    if (m->json)
        printf("{\"nats_per_token\":%.9g,\"perplexity\":%.9g,\"tokens\":%lld,\"windows\":%lld}\n",
               mean, exp(mean), (long long)m->labels, (long long)m->windows);
    else
        printf("%.6f nats per token, perplexity %.3f, %lld tokens in %lld windows\n", mean,
               exp(mean), (long long)m->labels, (long long)m->windows);
    return EXIT_DONE;
}

int cmd_eval(struct cli *c)
{
    struct answerer x;
    struct measure m = {.json = c->o.json, .per_token = c->o.per_token};
    struct answerer_options o = {.backend = c->o.backend,
                                 .adapter = c->o.adapter,
                                 .dtype = c->o.dtype,
                                 .template = c->o.template,
                                 .threads = c->o.threads > 0 ? (int)c->o.threads : 0,
                                 .context = c->o.context > 0 ? (int)c->o.context : 0};
    if (!path_exists(c->words[1]))
        return fail(&c->err, "there is no file %s", c->words[1]), refuse(EXIT_REFUSED, &c->err);
    bool quiz = is_quiz(c->words[1], c->a);
    o.rows = quiz ? 0 : o.context ? o.context : 1024;
    bool ok = answerer_open(&x, c->words[0], &o, &c->places, c->a, &c->err);
    int rows = x.context < o.rows ? x.context : o.rows;
    int code = EXIT_REFUSED;
    if (!ok) code = refuse(EXIT_REFUSED, &c->err);
    else if (quiz) code = eval_quiz(c, &x);
    else if (!(ends_with(c->words[1], ".ids") ? eval_ids : eval_rows)(c, &x, &m, rows))
        code = refuse(EXIT_REFUSED, &c->err);
    else code = report(&m);
    answerer_close(&x);
    return code;
}
