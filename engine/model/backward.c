/* backward.c - the blocks from the last to the first: gradients are added, and the gradient of the
 * stream goes down as far as something is trained.
 *
 * dx [T, d] F32 is the gradient of the stream; a block's two branches read it (rounded to the
 * compute type) and norm_back adds theirs to it. Frozen weights cost one product, trained ones two.
 */
#include "engine/model/state.h"
#include <math.h>

/* Of the trained rows of a matrix: each run is one product. */
void weight_gradient(struct model *m, int param, struct mat dy, struct mat x, float alpha)
{
    const struct param *p = &m->b.parts.params[param];
    for (int i = p->run; i < p->run + p->n_runs; i++) {
        const struct run *r = &m->b.parts.runs[i];
        m->k->linear_grad(m->d, run_gradient(m, r), mat_cols(dy, r->first, r->rows), x, alpha);
    }
}

struct mat vector_gradient(const struct model *m, int param)
{
    const struct param *p = &m->b.parts.params[param];
    return p->n_runs ? run_gradient(m, &m->b.parts.runs[p->run]) : (struct mat){0};
}

static void bias_gradient(struct model *m, int param, struct mat dy)
{
    if (param < 0) return;
    const struct param *p = &m->b.parts.params[param];
    for (int i = p->run; i < p->run + p->n_runs; i++) {
        const struct run *r = &m->b.parts.runs[i];
        m->k->bias_grad(m->d, run_gradient(m, r), mat_cols(dy, r->first, r->cols));
    }
}

/* dx = dy W, with the gradients of weight, bias and adapters. false: nothing below is trained, and
 * dx was not made. */
static bool product_back(struct model *m, const struct pass *p, int layer, enum product product,
                         struct mat dx, struct mat dy, struct mat x)
{
    const struct block_parts *b = &m->b.parts.blocks[layer];
    int weight = b->weight[product];
    bool wanted = below(m, m->b.parts.params[weight].order);
    struct mat none = {0};
    weight_gradient(m, weight, dy, x, 1);
    bias_gradient(m, b->bias[product], dy);
    if (wanted) m->k->linear_back(m->d, dx, dy, &m->weights[weight], 1, 0);
    adapter_backward(m, p, layer, product, wanted ? dx : none, dy, x);
    return wanted;
}

/* The gradient of the stream as a factor of products. */
static struct mat rounded(struct model *m, struct mat dx)
{
    if (m->b.dxc < 0) return dx;
    struct mat y = buffer(m, m->b.dxc, dx.rows, dx.cols, m->b.training.compute);
    m->k->convert(m->d, y, dx);
    return y;
}

static bool mlp_back(struct model *m, const struct pass *p, int layer, struct mat dx)
{
    const struct model_config *c = &m->b.config;
    const struct block_rows *r = &m->b.layers[layer];
    const struct block_parts *b = &m->b.parts.blocks[layer];
    enum dtype t = m->b.training.compute;
    struct mat gu = buffer(m, r->gu, p->rows, 2 * c->ffn, t),
               h = buffer(m, r->h, p->rows, c->ffn, t);
    struct mat dh = buffer(m, m->b.wide, p->rows, c->ffn, t),
               dn = buffer(m, m->b.dn, p->rows, c->dim, t);
    struct mat n1 = buffer(m, r->n[1], p->rows, c->dim, t),
               mid = buffer(m, r->mid, p->rows, c->dim, F32);
    if (!product_back(m, p, layer, PRODUCT_DOWN, dh, rounded(m, dx), h)) return false;
    m->k->swiglu_back(m->d, gu, dh, gu);
    if (!product_back(m, p, layer, PRODUCT_GATE_UP, dn, gu, n1)) return false;
    m->k->norm_back(m->d, dx, vector_gradient(m, b->norm[1]), dn, mid, norm_weight(m, b->norm[1]),
                    buffer_at(m, r->rstd[1]));
    return below(m, m->b.parts.params[b->norm[1]].order);
}

static bool attention_back(struct model *m, const struct pass *p, int layer, struct mat dx)
{
    const struct model_config *c = &m->b.config;
    const struct block_rows *r = &m->b.layers[layer];
    const struct block_parts *b = &m->b.parts.blocks[layer];
    enum dtype t = m->b.training.compute;
    int q = c->heads * c->head_dim, k = c->kv_heads * c->head_dim;
    struct attention a = {.heads = c->heads, .kv_heads = c->kv_heads, .head_dim = c->head_dim,
                          .scale = 1 / sqrtf((float)c->head_dim)};
    struct mat dqkv = buffer(m, m->b.wide, p->rows, q + 2 * k, t);
    struct mat datt = mat_make((char *)dqkv.p + (size_t)p->rows * (size_t)dqkv.ld * dtype_bytes(t),
                               p->rows, q, t);
    struct mat qkv = buffer(m, r->qkv, p->rows, q + 2 * k, t),
               att = buffer(m, r->att, p->rows, q, t);
    struct mat dn = buffer(m, m->b.dn, p->rows, c->dim, t),
               n0 = buffer(m, r->n[0], p->rows, c->dim, t);
    if (!product_back(m, p, layer, PRODUCT_O, datt, rounded(m, dx), att)) return false;
    m->k->attn_back(m->d, mat_cols(dqkv, 0, q), mat_cols(dqkv, q, k), mat_cols(dqkv, q + k, k),
                    datt, att, buffer_at(m, r->lse), mat_cols(qkv, 0, q), mat_cols(qkv, q, k),
                    mat_cols(qkv, q + k, k), p->queries, &a);
    m->k->rope(m->d, mat_cols(dqkv, 0, q + k), buffer_at(m, m->b.pos),
               buffer(m, m->b.rope, m->b.positions, c->head_dim, F32), c->head_dim, -1);
    if (!product_back(m, p, layer, PRODUCT_QKV, dn, dqkv, n0)) return false;
    m->k->norm_back(m->d, dx, vector_gradient(m, b->norm[0]), dn, stream(m, layer, p->rows),
                    norm_weight(m, b->norm[0]), buffer_at(m, r->rstd[0]));
    return below(m, m->b.parts.params[b->norm[0]].order);
}

/* From dx of the last stream to the embeddings, or to where nothing is trained any more. */
void blocks_backward(struct model *m, const struct pass *p)
{
    struct mat dx = buffer(m, m->b.dx, p->rows, m->b.config.dim, F32);
    for (int l = m->b.config.layers - 1; l >= 0; l--) {
        block_again(m, p, l);
        gradients_begin(m, l);
        if (!mlp_back(m, p, l, dx) || !attention_back(m, p, l, dx)) return;
    }
    gradients_begin(m, -1);
    m->k->embed_grad(
        m->d,
        buffer(m, m->b.storage[m->b.parts.embed].grad, m->b.config.vocab, m->b.config.dim, F32), dx,
        buffer_at(m, m->b.ids));
}
