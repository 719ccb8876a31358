/* generate.c - a model that is asked: losses and logits of a batch, and tokens one after the other
 * with a key-value cache. Nothing here touches gradients, moments or the scalars of a step, so it
 * may come between two micro-batches and change no bit of them. */
#include "engine/model/state.h"
#include <string.h>

static bool read_batch(struct model *m, const struct batch *b, struct pass *p, struct err *err)
{
    BUG_IF(m->carrying);
    m->cached = 0;
    if (!batch_upload(m, b, p, err)) return false;
    embed_forward(m, p);
    blocks_forward(m, p);
    return true;
}

bool model_losses(struct model *m, const struct batch *b, float *losses, struct err *err)
{
    struct pass p = {0};
    if (!read_batch(m, b, &p, err)) return false;
    int labels = batch_labels(m, b);
    head_losses(m, labels);
    m->k->download(m->d, m->host.losses, buffer_at(m, m->b.loss), (size_t)labels * sizeof(float));
    if (!model_wait(m, err)) return false;
    memset(losses, 0, (size_t)b->rows * sizeof *losses);
    for (int i = 0; i < labels; i++) losses[m->host.index[i]] = m->host.losses[i];
    return true;
}

bool model_logits(struct model *m, const struct batch *b, const int32_t *rows, int n, float *out,
                  struct err *err)
{
    struct pass p = {0};
    int most = m->b.shape.loss_rows, vocab = m->b.config.vocab;
    if (!read_batch(m, b, &p, err)) return false;
    for (int i = 0; i < n; i += most) {
        int some = n - i < most ? n - i : most;
        memcpy(m->host.index, rows + i, (size_t)some * sizeof *rows);
        m->k->upload(m->d, buffer_at(m, m->b.index), m->host.index, (size_t)some * sizeof(int32_t));
        struct mat logits = buffer(m, m->b.logits, some, vocab, F32);
        head_logits(m, 0, some, logits);
        m->k->download(m->d, out + (int64_t)i * vocab, logits.p,
                       (size_t)some * (size_t)vocab * sizeof(float));
        if (!model_wait(m, err)) return false;
    }
    return true;
}

/* ---- a conversation ---- */

void model_forget(struct model *m) { m->cached = 0; }
int model_cached(const struct model *m) { return m->cached; }
const int32_t *model_cached_ids(const struct model *m) { return m->cached_ids; }
int model_context(const struct model *m) { return m->b.shape.cache_tokens; }
void model_rewind(struct model *m, int tokens)
{
    m->cached = tokens < m->cached ? tokens : m->cached;
}

void model_use_adapter(struct model *m, bool on)
{
    if (on != m->adapter_on) m->cached = 0; /* its keys and values are the other model's */
    m->adapter_on = on;
}

/* n tokens, at most a micro-batch, onto the cache. */
static void read_tokens(struct model *m, const int32_t *ids, int n)
{
    struct host *h = &m->host;
    BUG_IF(m->carrying);
    memcpy(h->ids, ids, (size_t)n * sizeof *ids);
    for (int i = 0; i < n; i++) h->pos[i] = m->cached + i;
    h->start[0] = h->keys[0] = 0;
    h->start[1] = n;
    h->keys[1] = m->cached + n;
    struct pass p = {.rows = n,
                     .queries = {h->start, 1, n},
                     .keys = {h->keys, 1, m->cached + n},
                     .cache_at = m->cached};
    m->k->upload(m->d, buffer_at(m, m->b.ids), h->ids, (size_t)n * sizeof *ids);
    m->k->upload(m->d, buffer_at(m, m->b.pos), h->pos, (size_t)n * sizeof *ids);
    m->in_flight = true;
    embed_forward(m, &p);
    blocks_forward(m, &p);
    memcpy(m->cached_ids + m->cached, ids, (size_t)n * sizeof *ids);
    m->cached += n;
}

/* The logits of the row read last, and a draw from them. */
static bool draw_next(struct model *m, int last, const struct sampling *s, const int32_t *recent,
                      int n_recent, struct draw draw, int32_t *next, struct err *err)
{
    struct mat logits = buffer(m, m->b.logits, 1, m->b.config.vocab, F32);
    m->host.index[0] = last;
    m->k->upload(m->d, buffer_at(m, m->b.index), m->host.index, sizeof(int32_t));
    head_logits(m, 0, 1, logits);
    m->k->sample(m->d, buffer_at(m, m->b.drawn), logits, s, recent, n_recent, draw);
    m->k->download(m->d, next, buffer_at(m, m->b.drawn), sizeof *next);
    return model_wait(m, err);
}

bool model_next(struct model *m, const int32_t *ids, int n, const struct sampling *s,
                const int32_t *recent, int n_recent, struct draw draw, int32_t *next,
                struct err *err)
{
    int context = m->b.shape.cache_tokens, most = m->b.shape.rows, last = 0;
    if (n < 1) return fail(err, "nothing to read: the prompt is empty");
    if (m->cached + n > context)
        return fail(err, "context of %d tokens is full: %d are read and %d more were given",
                    context, m->cached, n);
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= m->b.config.vocab)
            return fail(err,
                        "token %d is not in the vocabulary of %d: the tokenizer does not belong to "
                        "this model",
                        ids[i], m->b.config.vocab);
    for (int i = 0; i < n; i += most) {
        int some = n - i < most ? n - i : most;
        read_tokens(m, ids + i, some);
        last = some - 1;
    }
    return draw_next(m, last, s, recent, n_recent, draw, next, err);
}
