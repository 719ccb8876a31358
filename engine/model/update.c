/* update.c - a step from its first scalar to the packed weights: model_begin, model_step for each
 * micro-batch, model_update. */
#include "engine/model/state.h"
#include <math.h>
#include <string.h>

/* Those that no activation lies over, when a step begins; the others when their layer's backward
 * pass does. */
enum { ALL_LAYERS = -2 };
static void clear_which(struct model *m, bool over, int layer)
{
    for (int i = 0; i < m->b.parts.n_runs; i++) {
        const struct run *r = &m->b.parts.runs[i];
        const struct layout_row *row = &m->b.layout.rows[m->b.storage[r->param].grad];
        if ((row->when == WHEN_AFTER) != over || (layer != ALL_LAYERS && row->layer != layer))
            continue;
        m->k->fill(m->d, run_gradient(m, r), 0);
    }
}

void gradients_begin(struct model *m, int layer) { clear_which(m, true, layer); }

void model_begin(struct model *m, const struct update *u)
{
    m->trouble.text[0] = 0;
    m->carrying = false;
    if (m->in_flight && !model_wait(m, &m->trouble)) return;
    m->host.block =
        (struct block){.lr = u->lr,
                       .beta1 = u->beta1,
                       .beta2 = u->beta2,
                       .eps = u->eps,
                       .correction1 = (float)(1 - pow((double)u->beta1, (double)u->step)),
                       .correction2 = (float)(1 - pow((double)u->beta2, (double)u->step)),
                       .max_norm = u->max_norm,
                       .inv_trained = u->trained > 0 ? (float)(1 / (double)u->trained) : 0,
                       .norm_limit = u->norm_limit,
                       .loss_limit = u->loss_limit,
                       .key = kernels_key((struct draw){
                           .seed = m->seed, .step = (uint32_t)u->step, .site = SITE_MOMENTS})};
    m->k->upload(m->d, buffer_at(m, m->b.block), &m->host.block, sizeof m->host.block);
    clear_which(m, false, ALL_LAYERS);
    m->in_flight = true;
}

/* Gradients of the last stream's labelled rows in their place among all rows. */
static void spread(struct model *m, const struct pass *p, int labels)
{
    struct mat dlab = buffer(m, m->b.dlab, labels, m->b.config.dim, F32);
    m->k->scatter(m->d, buffer(m, m->b.dx, p->rows, m->b.config.dim, F32), dlab,
                  buffer_at(m, m->b.index));
}

void model_step(struct model *m, const struct batch *b, struct draw key)
{
    struct pass p = {.train = true, .key = key};
    if (m->trouble.text[0] || !batch_upload(m, b, &p, &m->trouble)) return;
    int labels = batch_labels(m, b);
    if (!labels) return;
    BUG_IF(m->carrying);
    m->cached = 0;
    bool adapter = m->adapter_on;
    m->adapter_on = true;
    embed_forward(m, &p);
    blocks_forward(m, &p);
    head_train(m, labels);
    m->carrying = m->b.shape.alone;
    if (below(m, order_norm(&m->b.config))) {
        spread(m, &p, labels);
        blocks_backward(m, &p);
    }
    m->adapter_on = adapter;
}

bool model_update(struct model *m, struct step_result *out, struct err *err)
{
    struct block *block = buffer_at(m, m->b.block);
    if (m->trouble.text[0]) return fail(err, "%s", m->trouble.text);
    if (!m->carrying) clear_which(m, true, ALL_LAYERS); /* no label, no backward pass */
    m->carrying = false;
    m->k->sumsq(m->d, block, m->slots, m->n_slots);
    m->k->clip(m->d, block);
    m->k->adamw(m->d, m->slots, m->n_slots, block);
    weights_settle(m);
    m->k->download(m->d, &m->host.block, block, sizeof m->host.block);
    if (!model_wait(m, err)) return false;
    *out = (struct step_result){.loss = m->host.block.loss * (double)m->host.block.inv_trained,
                                .grad_norm = sqrt(m->host.block.sumsq),
                                .skipped = m->host.block.skipped != 0};
    m->cached = 0;
    return true;
}
