/* batch.c - a batch of the host on its way to the device. */
#include "engine/model/state.h"
#include <string.h>

bool model_wait(struct model *m, struct err *err)
{
    char why[512] = "";
    m->in_flight = false;
    return m->k->sync(m->d, why, sizeof why)
               ? true
               : fail(err, "the %s device failed: %s", m->k->name, why);
}

/* What only a broken file can cause: an id that the embeddings do not have, a batch that is too
 * large. */
static bool check(const struct model *m, const struct batch *b, struct err *err)
{
    const struct model_shape *s = &m->b.shape;
    if (b->rows < 1 || b->rows > s->rows || b->longest > m->b.positions)
        return fail(
            err, "a batch of %d rows (%d of one document) for a model that was opened for %d (%d)",
            b->rows, b->longest, s->rows, m->b.positions);
    for (int i = 0; i < b->rows; i++)
        if (b->ids[i] < 0 || b->ids[i] >= m->b.config.vocab || b->targets[i] >= m->b.config.vocab)
            return fail(err,
                        "token %d in row %d is not in the vocabulary of %d: the tokenizer does not "
                        "belong to this model",
                        b->ids[i] < 0 || b->ids[i] >= m->b.config.vocab ? b->ids[i] : b->targets[i],
                        i, m->b.config.vocab);
    for (int i = 0; i < b->rows; i++)
        if (b->pos[i] < 0 || b->pos[i] >= m->b.positions)
            return fail(err, "position %d in row %d; the model was opened for %d", b->pos[i], i,
                        m->b.positions);
    return true;
}

/* What was queued before has read the host's arrays already (kernels.h): nothing waits here. */
bool batch_upload(struct model *m, const struct batch *b, struct pass *p, struct err *err)
{
    if (!check(m, b, err)) return false;
    size_t bytes = (size_t)b->rows * sizeof(int32_t);
    struct host *h = &m->host;
    memcpy(h->ids, b->ids, bytes);
    memcpy(h->pos, b->pos, bytes);
    memcpy(h->start, b->start, (size_t)(b->n_seqs + 1) * sizeof(int32_t));
    m->k->upload(m->d, buffer_at(m, m->b.ids), h->ids, bytes);
    m->k->upload(m->d, buffer_at(m, m->b.pos), h->pos, bytes);
    m->in_flight = true;
    p->rows = b->rows;
    p->queries = p->keys = (struct seqs){.start = h->start, .n = b->n_seqs, .longest = b->longest};
    p->cache_at = -1;
    return true;
}

int batch_labels(struct model *m, const struct batch *b)
{
    int n = 0;
    struct host *h = &m->host;
    for (int i = 0; i < b->rows; i++) {
        if (b->targets[i] < 0) continue;
        h->index[n] = i;
        h->targets[n++] = b->targets[i];
    }
    m->k->upload(m->d, buffer_at(m, m->b.index), h->index, (size_t)n * sizeof(int32_t));
    m->k->upload(m->d, buffer_at(m, m->b.targets), h->targets, (size_t)n * sizeof(int32_t));
    return n;
}
