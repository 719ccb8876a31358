/* forward.c - the blocks of a transformer in reading order.
 *
 *   x    [T, d]  the stream; a product writes what a block adds, and the next norm adds the rest of
 *                the stream to it, so that no row is copied
 *   n0 = norm(x)   qkv = n0 Wqkv'   rotated q and k   att = attention(q, k, v)
 *   mid = att Wo' + x   n1 = norm(mid)   gu = n1 Wgu'   h = silu(gate) up   next x = h Wdown' + mid
 *
 * Training, evaluation and generation are this one pass; with a cache the keys and values of the
 * pass are put into it and attention reads the cache. */
#include "engine/model/state.h"
#include <math.h>

struct mat stream(const struct model *m, int layer, int rows)
{
    return buffer(m, m->b.layers[layer].x, rows, m->b.config.dim, F32);
}

struct mat norm_weight(const struct model *m, int param)
{
    return buffer(m, m->b.storage[param].w, 1, m->b.config.dim, F32);
}

void embed_forward(struct model *m, const struct pass *p)
{
    const struct training *t = &m->b.training;
    struct mat x = stream(m, 0, p->rows);
    m->k->embed(m->d, x, m->weights[m->b.parts.embed].w, buffer_at(m, m->b.ids));
    if (!p->train || t->neftune_alpha <= 0) return;
    struct draw key = p->key;
    key.layer = 0;
    key.site = SITE_NEFTUNE;
    m->k->noise(m->d, x, p->queries, t->neftune_alpha, key);
}

static void product(struct model *m, const struct pass *p, int layer, enum product product,
                    struct mat y, struct mat x)
{
    const struct block_parts *b = &m->b.parts.blocks[layer];
    int bias = b->bias[product];
    m->k->linear(m->d, y, x, &m->weights[b->weight[product]], 1, 0);
    if (bias >= 0) m->k->bias(m->d, y, m->weights[bias].w);
    adapter_forward(m, p, layer, product, y, x);
}

/* again: q and k are rotated already. */
static void attend(struct model *m, const struct pass *p, const struct block_rows *r,
                   struct mat qkv, bool again)
{
    const struct model_config *c = &m->b.config;
    int q = c->heads * c->head_dim, k = c->kv_heads * c->head_dim;
    enum dtype t = m->b.training.compute;
    struct attention a = {.heads = c->heads, .kv_heads = c->kv_heads, .head_dim = c->head_dim,
                          .scale = 1 / sqrtf((float)c->head_dim)};
    struct mat rope = buffer(m, m->b.rope, m->b.positions, c->head_dim, F32),
               att = buffer(m, r->att, p->rows, q, t);
    struct mat keys = mat_cols(qkv, q, k), values = mat_cols(qkv, q + k, k);
    if (!again)
        m->k->rope(m->d, mat_cols(qkv, 0, q + k), buffer_at(m, m->b.pos), rope, c->head_dim, 1);
    if (p->cache_at >= 0) {
        struct mat cache_k = buffer(m, r->cache_k, m->b.shape.cache_tokens, k, t);
        struct mat cache_v = buffer(m, r->cache_v, m->b.shape.cache_tokens, k, t);
        m->k->convert(m->d, mat_rows(cache_k, p->cache_at, p->rows), keys);
        m->k->convert(m->d, mat_rows(cache_v, p->cache_at, p->rows), values);
        keys = mat_rows(cache_k, 0, p->cache_at + p->rows);
        values = mat_rows(cache_v, 0, p->cache_at + p->rows);
    }
    m->k->attn(m->d, att, buffer_at(m, r->lse), mat_cols(qkv, 0, q), keys, values, p->queries,
               p->keys, &a);
}

/* `again`: x is whole already, and the output of the block is not wanted. */
static void block_forward(struct model *m, const struct pass *p, int layer, bool again)
{
    const struct model_config *c = &m->b.config;
    const struct block_rows *r = &m->b.layers[layer];
    const struct block_parts *b = &m->b.parts.blocks[layer];
    enum dtype t = m->b.training.compute;
    struct mat none = {0}, x = stream(m, layer, p->rows),
               mid = buffer(m, r->mid, p->rows, c->dim, F32);
    struct mat n0 = buffer(m, r->n[0], p->rows, c->dim, t),
               n1 = buffer(m, r->n[1], p->rows, c->dim, t);
    struct mat qkv = buffer(m, r->qkv, p->rows, product_out(c, PRODUCT_QKV), t);
    struct mat gu = buffer(m, r->gu, p->rows, 2 * c->ffn, t),
               h = buffer(m, r->h, p->rows, c->ffn, t);
    struct mat before =
        again || layer == 0 ? none : buffer(m, m->b.layers[layer - 1].mid, p->rows, c->dim, F32);
    m->k->norm(m->d, n0, buffer_at(m, r->rstd[0]), x, before, norm_weight(m, b->norm[0]), c->eps);
    product(m, p, layer, PRODUCT_QKV, qkv, n0);
    attend(m, p, r, qkv, false);
    product(m, p, layer, PRODUCT_O, mid, buffer(m, r->att, p->rows, c->heads * c->head_dim, t));
    m->k->norm(m->d, n1, buffer_at(m, r->rstd[1]), mid, x, norm_weight(m, b->norm[1]), c->eps);
    product(m, p, layer, PRODUCT_GATE_UP, gu, n1);
    m->k->swiglu(m->d, h, gu);
    if (again) adapter_low(m, p, layer, PRODUCT_DOWN, h);
    else product(m, p, layer, PRODUCT_DOWN, stream(m, layer + 1, p->rows), h);
}

void blocks_forward(struct model *m, const struct pass *p)
{
    int layers = m->b.config.layers;
    for (int l = 0; l < layers; l++) block_forward(m, p, l, false);
    struct mat mid = buffer(m, m->b.layers[layers - 1].mid, p->rows, m->b.config.dim, F32);
    m->k->add(m->d, stream(m, layers, p->rows), mid, 1);
}

/* What the policy of this layer did not keep; the last layer's is still there. The operations and
 * their inputs are those of the forward pass, so the bits are too. */
void block_again(struct model *m, const struct pass *p, int layer)
{
    const struct model_config *c = &m->b.config;
    const struct block_rows *r = &m->b.layers[layer];
    const struct block_parts *b = &m->b.parts.blocks[layer];
    enum dtype t = m->b.training.compute;
    enum recompute policy = recompute_of(&m->b.training, m->b.first_kept, layer);
    if (policy == RECOMPUTE_NONE || layer == c->layers - 1) return;
    if (policy == RECOMPUTE_FULL) {
        block_forward(m, p, layer, true);
        return;
    }
    struct mat none = {0}, x = stream(m, layer, p->rows),
               mid = buffer(m, r->mid, p->rows, c->dim, F32);
    struct mat n0 = buffer(m, r->n[0], p->rows, c->dim, t),
               n1 = buffer(m, r->n[1], p->rows, c->dim, t);
    bool attention = policy == RECOMPUTE_ATTENTION;
    m->k->norm(m->d, n0, NULL, x, none, norm_weight(m, b->norm[0]), c->eps);
    if (attention) {
        attend(m, p, r, buffer(m, r->qkv, p->rows, product_out(c, PRODUCT_QKV), t), true);
        product(m, p, layer, PRODUCT_O, mid, buffer(m, r->att, p->rows, c->heads * c->head_dim, t));
    }
    m->k->norm(m->d, n1, attention ? buffer_at(m, r->rstd[1]) : NULL, mid, attention ? x : none,
               norm_weight(m, b->norm[1]), c->eps);
    if (policy >= RECOMPUTE_SELECTIVE)
        m->k->swiglu(m->d, buffer(m, r->h, p->rows, c->ffn, t),
                     buffer(m, r->gu, p->rows, 2 * c->ffn, t));
}
