/* head.c - the last norm, the head and the loss, on labelled rows only, a slice of loss_rows at a
 * time: the logits of a slice become their own gradient in place. */
#include "engine/model/state.h"

/* Rows `first` .. of the list of labelled rows: gathered and normed. */
static struct mat slice_input(struct model *m, int first, int n)
{
    const struct model_config *c = &m->b.config;
    struct mat x = buffer(m, m->b.xs, n, c->dim, F32),
               y = buffer(m, m->b.ns, n, c->dim, m->b.training.compute), none = {0};
    const int32_t *index = (const int32_t *)buffer_at(m, m->b.index) + first;
    m->k->gather(m->d, x, stream(m, c->layers, m->b.shape.rows), index);
    m->k->norm(m->d, y, buffer_at(m, m->b.rstd), x, none, norm_weight(m, m->b.parts.norm), c->eps);
    return y;
}

void head_logits(struct model *m, int first, int n, struct mat logits)
{
    m->k->linear(m->d, logits, slice_input(m, first, n), &m->weights[m->b.parts.head], 1, 0);
}

static struct mat slice_logits(const struct model *m, int n)
{
    return buffer(m, m->b.logits, n, m->b.config.vocab, F32);
}

static void slice_loss(struct model *m, int first, struct mat logits, struct mat grad)
{
    const int32_t *targets = (const int32_t *)buffer_at(m, m->b.targets) + first;
    m->k->xent(m->d, (float *)buffer_at(m, m->b.loss) + first, grad, logits, targets,
               buffer_at(m, m->b.block));
}

void head_losses(struct model *m, int labels)
{
    struct mat none = {0};
    for (int i = 0; i < labels; i += m->b.shape.loss_rows) {
        int n = labels - i < m->b.shape.loss_rows ? labels - i : m->b.shape.loss_rows;
        head_logits(m, i, n, slice_logits(m, n));
        slice_loss(m, i, slice_logits(m, n), none);
    }
}

/* Gradients of the compute type over logits of F32: the same first byte and bytes a row. */
static struct mat over(struct mat logits, enum dtype t)
{
    logits.ld = (int)((size_t)logits.ld * dtype_bytes(logits.t) / dtype_bytes(t));
    logits.t = t;
    return logits;
}

static void slice_train(struct model *m, int first, int n)
{
    const struct model_config *c = &m->b.config;
    const struct parts *parts = &m->b.parts;
    enum dtype t = m->b.training.compute;
    struct mat logits = slice_logits(m, n), grad = over(logits, t), x = slice_input(m, first, n);
    m->k->linear(m->d, logits, x, &m->weights[parts->head], 1, 0);
    slice_loss(m, first, logits, grad);
    weight_gradient(m, parts->head, grad, x, 1);
    if (!below(m, order_norm(c) + 1)) return;
    struct mat dn = buffer(m, m->b.dns, n, c->dim, t), xs = buffer(m, m->b.xs, n, c->dim, F32);
    struct mat dx = mat_rows(buffer(m, m->b.dlab, m->b.shape.rows, c->dim, F32), first, n);
    m->k->linear_back(m->d, dn, grad, &m->weights[parts->head], 1, 0);
    m->k->fill(m->d, dx, 0);
    m->k->norm_back(m->d, dx, vector_gradient(m, parts->norm), dn, xs, norm_weight(m, parts->norm),
                    buffer_at(m, m->b.rstd));
}

void head_train(struct model *m, int labels)
{
    for (int i = 0; i < labels; i += m->b.shape.loss_rows)
        slice_train(m, i, labels - i < m->b.shape.loss_rows ? labels - i : m->b.shape.loss_rows);
    m->k->total(m->d, buffer_at(m, m->b.block), buffer_at(m, m->b.loss), labels);
}
