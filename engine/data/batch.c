/* batch.c - windows as the model takes them, and as people look at them. */
#include "engine/data/stream.h"
#include <string.h>

struct batch batch_make(struct arena *a, int rows_most)
{
    return (struct batch){.rows_most = rows_most,
                          .ids = NEW_N(a, int32_t, rows_most),
                          .targets = NEW_N(a, int32_t, rows_most),
                          .pos = NEW_N(a, int32_t, rows_most),
                          .start = NEW_N(a, int32_t, rows_most + 1)};
}

/* One document's part: positions from 0, and the label of each token is the next one's id. */
static bool add_part(struct batch *b, const struct token_cache *c, const struct part_of *p,
                     struct err *err)
{
    uint32_t *ids = (uint32_t *)b->ids + b->rows;
    int32_t *targets = b->targets + b->rows, *pos = b->pos + b->rows;
    if (!cache_read(c, p->document, p->from, p->n, ids, err)) return false;
    for (int32_t i = 0; i < p->n; i++) {
        bool trained = i + 1 < p->n && ids[i + 1] & TRAINED;
        targets[i] = trained ? (int32_t)(ids[i + 1] & ~TRAINED) : -1;
        b->trained += trained;
        pos[i] = i;
        ids[i] &= ~TRAINED;
    }
    b->rows += p->n;
    b->start[++b->n_seqs] = b->rows;
    if (p->n > b->longest) b->longest = p->n;
    return true;
}

bool stream_batch(const struct stream *s, int64_t first, int n, struct batch *out, struct err *err)
{
    const struct stream_plan *plan = s->plan;
    const struct windows *w = &plan->windows;
    BUG_IF(first < 0 || n < 0 || first + n > s->windows);
    out->rows = out->n_seqs = out->longest = out->trained = 0;
    out->start[0] = 0;
    for (int64_t k = w->first[first]; k < w->first[first + n]; k++) {
        const struct part_of *p = &w->parts[k];
        BUG_IF(out->rows + p->n > out->rows_most);
        if (!add_part(out, plan->mix[p->source].source->cache, p, err)) return false;
    }
    return true;
}

int64_t stream_trained(const struct stream *s, int64_t first, int64_t n)
{
    return s->plan->trained[first + n] - s->plan->trained[first];
}

static void view_part(struct window_view *v, const struct stream_plan *plan, const uint32_t *tokens,
                      int n, int document, int *cap, struct arena *a)
{
    for (int i = 0, end; i < n; i = end) {
        bool trained = i > 0 && tokens[i] & TRAINED;
        for (end = i + 1; end < n && !(tokens[end] & TRAINED) == !trained; end++) continue;
        struct buf b = buf_make(a);
        int32_t *ids = NEW_N(a, int32_t, end - i);
        for (int k = i; k < end; k++) ids[k - i] = (int32_t)(tokens[k] & ~TRAINED);
        tokenizer_decode(plan->tokenizer, &b, ids, end - i, false);
        ROOM(a, v->parts, v->n_parts, *cap);
        v->parts[v->n_parts++] = (struct window_part){buf_text(&b), trained, document};
    }
}

/* "zh", or "zh, world" where documents of several sources share a window. */
static const char *sources_of(const struct stream_plan *plan, int64_t window, struct arena *a)
{
    const struct windows *w = &plan->windows;
    bool *seen = NEW_N(a, bool, plan->n_mix);
    struct buf b = buf_make(a);
    for (int64_t k = w->first[window]; k < w->first[window + 1]; k++) {
        int s = w->parts[k].source;
        if (!seen[s]) buf_printf(&b, "%s%s", b.n ? ", " : "", plan->mix[s].source->spec.name);
        seen[s] = true;
    }
    return b.p;
}

bool stream_view(const struct stream *s, int64_t window, struct window_view *out, struct arena *a,
                 struct err *err)
{
    const struct stream_plan *plan = s->plan;
    const struct windows *w = &plan->windows;
    int cap = 0;
    BUG_IF(window < 0 || window >= s->windows);
    *out = (struct window_view){.trained = (int)stream_trained(s, window, 1)};
    while (out->bucket + 1 < s->buckets && s->bucket_start[out->bucket + 1] <= window)
        out->bucket++;
    for (int64_t k = w->first[window]; k < w->first[window + 1]; k++) {
        const struct part_of *p = &w->parts[k];
        uint32_t *tokens = NEW_N(a, uint32_t, p->n);
        if (!cache_read(plan->mix[p->source].source->cache, p->document, p->from, p->n, tokens,
                        err))
            return false;
        view_part(out, plan, tokens, p->n, out->documents++, &cap, a);
        out->tokens += p->n;
    }
    out->source = sources_of(plan, window, a);
    return true;
}
