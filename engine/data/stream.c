/* stream.c - the windows of one stage, in the order they are trained.
 *
 * How many tokens the stage has is fixed first (epochs, max_tokens, max_windows: the smallest that
 * is given); each source gives its share of them. The chosen documents of each source are dealt
 * into the bins, bucket k packs bin k of all sources, and the windows of a bucket are shuffled.
 * Where max_windows decides, the tokens that give so many windows are found by trying, because
 * packing decides how full they are. */
#include "engine/data/stream.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 16
#define BINS_MOST 1000
#define DOCUMENTS_MOST (1ll << 31)

struct making {
    const struct stream_spec *spec;
    const struct data_settings *s;
    struct stream *out;
    double *share; /* [n_mix] of the whole, sums to 1; 0 for a source without documents */
    int64_t *mass; /* [n_mix] tokens of the source on this side of the hold-out */
    int bins;
};

static bool shares(struct making *m, struct arena *a, struct err *err)
{
    const struct stream_spec *spec = m->spec;
    double sum = 0;
    m->share = NEW_N(a, double, spec->n_mix);
    m->mass = NEW_N(a, int64_t, spec->n_mix);
    for (int i = 0; i < spec->n_mix; i++) {
        const struct source *s = spec->mix[i].source;
        if (!(spec->mix[i].share >= 0) || isinf(spec->mix[i].share))
            return fail(err, "the share of dataset %s is %g; it must be 0 or more", s->spec.name,
                        spec->mix[i].share);
        if (spec->mix[i].share == 0) continue;
        for (int64_t d = 0; d < s->cache->n_documents; d++)
            if (s->cache->held[d] == spec->held_out)
                m->mass[i] += document_taken(s->cache, d, m->s);
        if (m->mass[i] == 0 && !spec->held_out)
            return fail(err, "dataset %s has no row to train on: all %lld are held out",
                        s->spec.name, (long long)s->held_out);
        if (m->mass[i] > 0) sum += m->share[i] = spec->mix[i].share;
    }
    if (sum == 0 && !spec->held_out)
        return fail(err, "the stage has no dataset with a share above 0");
    for (int i = 0; i < spec->n_mix && sum > 0; i++) m->share[i] /= sum;
    return true;
}

/* Tokens of the stage as far as epochs and max_tokens say; 0: they do not. */
static int64_t tokens_wanted(const struct making *m)
{
    const struct stream_spec *s = m->spec;
    double epoch = 0, tokens = INFINITY;
    for (int i = 0; i < s->n_mix; i++) epoch += (double)m->mass[i];
    double epochs = s->epochs > 0 || s->max_tokens > 0 || s->max_windows > 0 ? s->epochs : 1;
    if (epochs > 0) tokens = epoch * epochs;
    if (s->max_tokens > 0 && (double)s->max_tokens < tokens) tokens = (double)s->max_tokens;
    return isinf(tokens) ? 0 : tokens < 1 ? 1 : (int64_t)(tokens + 0.5);
}

static uint64_t seed_of(const struct making *m, uint64_t what, uint64_t number)
{
    return rand_at(rand_at(m->spec->seed, what), number);
}

enum { SEED_CHOICE = 1, SEED_ORDER, SEED_WINDOWS };

/* In file order: documents of several sources alternate so that each source is spread over the
 * whole. */
struct placed {
    struct part_of part;
    double place;
};

static int by_place(const void *x, const void *y)
{
    const struct placed *a = x, *b = y;
    if (a->place != b->place) return a->place < b->place ? -1 : 1;
    return a->part.source < b->part.source ? -1 : a->part.source > b->part.source;
}

static void interleave(struct part_of *list, int64_t n, int n_mix, struct arena *scratch)
{
    struct placed *p = NEW_N(scratch, struct placed, n);
    double *all = NEW_N(scratch, double, n_mix), *before = NEW_N(scratch, double, n_mix);
    for (int64_t i = 0; i < n; i++) all[list[i].source] += list[i].n;
    for (int64_t i = 0; i < n; i++) {
        int s = list[i].source;
        p[i] = (struct placed){list[i], before[s] / all[s]};
        before[s] += list[i].n;
    }
    if (n) qsort(p, (size_t)n, sizeof *p, by_place);
    for (int64_t i = 0; i < n; i++) list[i] = p[i].part;
}

static void shuffle_windows(struct windows *w, int64_t first, uint64_t seed, struct arena *scratch)
{
    int64_t n = w->n - first, base = w->first[first], count = w->n_parts - base;
    if (n < 2) return;
    int64_t *order = NEW_N(scratch, int64_t, n), *start = NEW_N(scratch, int64_t, n + 1);
    struct part_of *old = NEW_N(scratch, struct part_of, count);
    memcpy(old, w->parts + base, (size_t)count * sizeof *old);
    memcpy(start, w->first + first, (size_t)(n + 1) * sizeof *start);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t k = (int64_t)(rand_at(seed, (uint64_t)i) % (uint64_t)(i + 1)), t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
    int64_t at = base;
    for (int64_t i = 0; i < n; i++) {
        int64_t from = start[order[i]], size = start[order[i] + 1] - from;
        memcpy(w->parts + at, old + (from - base), (size_t)size * sizeof *old);
        w->first[first + i] = at;
        at += size;
    }
}

/* The documents that each bucket has, one list for each. */
static struct chosen *buckets_of(const struct making *m, int64_t tokens, struct arena *a)
{
    struct chosen *buckets = NEW_N(a, struct chosen, m->bins);
    for (int i = 0; i < m->spec->n_mix; i++) {
        int64_t quota =
            m->spec->held_out ? m->mass[i] : (int64_t)(m->share[i] * (double)tokens + 0.5);
        struct chosen list;
        if (m->share[i] == 0) continue;
        const struct source *source = m->spec->mix[i].source;
        choose(&list, source, i, m->spec->held_out, quota, m->spec->shuffle && !m->spec->held_out,
               seed_of(m, SEED_CHOICE, (uint64_t)i), m->s, a);
        int32_t *bin = NEW_N(a, int32_t, list.n);
        if (m->bins > 1) deal(bin, &list, source, m->bins, a);
        for (int64_t k = 0; k < list.n; k++) {
            struct chosen *b = &buckets[bin[k]];
            ROOM(a, b->list, b->n, b->cap);
            b->list[b->n++] = list.list[k];
        }
    }
    return buckets;
}

static int64_t tokens_of(const struct part_of *parts, int64_t n)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum += parts[i].n;
    return sum;
}

/* All windows for so many tokens, in arena a. What was chosen and is in no window would be lost. */
static void build(const struct making *m, int64_t tokens, struct windows *w, struct arena *a)
{
    struct arena scratch = arena_make(0);
    bool shuffle = m->spec->shuffle && !m->spec->held_out;
    int64_t *bucket_start = m->out->bucket_start, *cut = &m->out->cut;
    windows_start(w, a);
    *cut = m->out->lost = 0;
    struct chosen *buckets = buckets_of(m, tokens, &scratch);
    for (int b = 0; b < m->bins; b++) {
        bucket_start[b] = w->n;
        m->out->lost += tokens_of(buckets[b].list, buckets[b].n);
        if (shuffle)
            shuffle_parts(buckets[b].list, buckets[b].n, seed_of(m, SEED_ORDER, (uint64_t)b));
        else interleave(buckets[b].list, buckets[b].n, m->spec->n_mix, &scratch);
        pack(w, m->s->packing, buckets[b].list, buckets[b].n, m->s->max_length, cut, &scratch);
        if (shuffle)
            shuffle_windows(w, bucket_start[b], seed_of(m, SEED_WINDOWS, (uint64_t)b), &scratch);
    }
    bucket_start[m->bins] = w->n;
    m->out->lost -= tokens_of(w->parts, w->n_parts);
    arena_drop(&scratch);
}

/* Takes windows away evenly from the buckets' ends until `most` are left. */
static void trim(struct windows *w, int64_t *bucket_start, int bins, int64_t most,
                 struct arena *scratch)
{
    int64_t *keep = NEW_N(scratch, int64_t, bins), excess = w->n - most, at = 0, parts = 0;
    for (int b = 0; b < bins; b++) keep[b] = bucket_start[b + 1] - bucket_start[b];
    while (excess > 0)
        for (int b = bins - 1; b >= 0 && excess > 0; b--)
            if (keep[b] > 0) keep[b]--, excess--;
    for (int b = 0; b < bins; b++) {
        int64_t from = bucket_start[b];
        bucket_start[b] = at;
        for (int64_t i = from; i < from + keep[b]; i++, at++) {
            int64_t begin = w->first[i], n = w->first[i + 1] - begin;
            memmove(w->parts + parts, w->parts + begin, (size_t)n * sizeof *w->parts);
            w->first[at] = parts;
            parts += n;
        }
    }
    w->first[at] = parts;
    bucket_start[bins] = w->n = at;
    w->n_parts = parts;
}

/* The least tokens that are known to give max_windows, and their windows. */
static void build_windows(const struct making *m, int64_t most_tokens, struct windows *w,
                          struct arena *a)
{
    int64_t want = m->spec->max_windows, tokens = want * m->s->max_length;
    if (most_tokens > 0 && tokens > most_tokens) tokens = most_tokens;
    struct arena_mark mark = arena_mark(a);
    for (int i = 0; i < TRIES; i++) {
        arena_back(a, mark);
        build(m, tokens, w, a);
        double ratio = (double)want / (double)(w->n ? w->n : 1);
        bool near = w->n >= want && (double)w->n <= (double)want * 1.01 + m->bins;
        bool all = w->n <= want && most_tokens > 0 && tokens == most_tokens;
        if (near || all) break;
        int64_t next = (int64_t)((double)tokens * ratio * 1.003) + 1;
        if (w->n < want && next <= tokens) next = tokens + m->s->max_length;
        if (most_tokens > 0 && next > most_tokens) next = most_tokens;
        if (w->n > want && i + 3 >= TRIES) break;
        tokens = next;
    }
    struct arena scratch = arena_make(0);
    if (w->n > want) trim(w, m->out->bucket_start, m->bins, want, &scratch);
    arena_drop(&scratch);
}

/* Labels of a part; where a document is cut or only partly trained its tokens are looked at. */
static bool part_labels(const struct making *m, const struct part_of *p, int64_t *labels,
                        struct err *err)
{
    const struct token_cache *c = m->spec->mix[p->source].source->cache;
    const struct document *d = &c->documents[p->document];
    *labels = d->trained;
    if (p->n == d->tokens) return true;
    if (p->from == 0 && p->n == c->max_length) {
        *labels = c->kept[p->document];
        return true;
    }
    if (d->trained == d->tokens - 1) {
        *labels = p->n - 1;
        return true;
    }
    struct arena a = arena_make(0);
    uint32_t *tokens = NEW_N(&a, uint32_t, p->n);
    bool ok = cache_read(c, p->document, p->from, p->n, tokens, err);
    if (ok) *labels = labels_in(tokens, p->n);
    arena_drop(&a);
    return ok;
}

static bool count(struct making *m, struct arena *a, struct err *err)
{
    struct stream *s = m->out;
    struct stream_plan *plan = s->plan;
    struct windows *w = &plan->windows;
    plan->trained = NEW_N(a, int64_t, w->n + 1);
    s->source_tokens = NEW_N(a, int64_t, m->spec->n_mix);
    s->source_epochs = NEW_N(a, double, m->spec->n_mix);
    for (int64_t i = 0; i < w->n; i++) {
        int64_t trained = 0;
        for (int64_t k = w->first[i]; k < w->first[i + 1]; k++) {
            int64_t labels;
            const struct part_of *p = &w->parts[k];
            if (!part_labels(m, p, &labels, err)) return false;
            trained += labels;
            s->source_tokens[p->source] += p->n;
            s->tokens += p->n;
            if (p->n > s->longest) s->longest = p->n;
        }
        plan->trained[i + 1] = plan->trained[i] + trained;
    }
    s->trained = plan->trained[w->n];
    for (int i = 0; i < m->spec->n_mix; i++)
        if (m->mass[i] > 0) s->source_epochs[i] = (double)s->source_tokens[i] / (double)m->mass[i];
    return true;
}

static bool check(const struct making *m, int64_t tokens, struct err *err)
{
    const struct stream_spec *s = m->spec;
    double documents = 0;
    if (s->bins < 0 || s->bins > BINS_MOST)
        return fail(err, "bins is %d; it must be 0 to %d", s->bins, BINS_MOST);
    if (tokens == 0) tokens = s->max_windows * m->s->max_length;
    for (int i = 0; i < s->n_mix; i++) {
        const struct source *source = s->mix[i].source;
        if (m->mass[i] > 0)
            documents += (double)tokens * m->share[i] / (double)m->mass[i] *
                         (double)(s->held_out ? source->held_out : source->documents);
    }
    if (documents > (double)DOCUMENTS_MOST)
        return fail(err,
                    "the stage would see %.3g documents; at most %lld are planned at once: make "
                    "more stages of it",
                    documents, (long long)DOCUMENTS_MOST);
    return true;
}

bool stream_make(struct stream *out, const struct stream_spec *spec, const struct data_settings *s,
                 struct arena *a, struct err *err)
{
    struct making m = {.spec = spec,
                       .s = s,
                       .out = out,
                       .bins = spec->bins > 1 && !spec->held_out ? spec->bins : 1};
    struct stream_plan *plan = NEW(a, struct stream_plan);
    *out = (struct stream){.buckets = m.bins, .plan = plan};
    plan->mix = NEW_N(a, struct mix, spec->n_mix);
    for (int i = 0; i < spec->n_mix; i++) plan->mix[i] = spec->mix[i];
    plan->n_mix = spec->n_mix;
    plan->tokenizer = s->tokenizer;
    if (!shares(&m, a, err)) return false;
    int64_t tokens = spec->held_out ? 0 : tokens_wanted(&m);
    if (!check(&m, tokens, err)) return false;
    out->bucket_start = NEW_N(a, int64_t, m.bins + 1);
    if (spec->max_windows > 0 && !spec->held_out) build_windows(&m, tokens, &plan->windows, a);
    else build(&m, tokens, &plan->windows, a);
    out->windows = plan->windows.n;
    if (!count(&m, a, err)) return false;
    return out->trained > 0 || spec->held_out ||
           fail(err, "the stage has nothing to learn: none of its %lld tokens is trained",
                (long long)out->tokens);
}
