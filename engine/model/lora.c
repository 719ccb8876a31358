/* lora.c - low-rank adapters (Hu et al. 2021) beside the products of a block, as PEFT computes
 * them: y adds scale B A dropout(x). The siblings' A lie one below the other, so q, k and v share
 * one product and one mask. */
#include "engine/model/state.h"

static struct mat dropped(struct model *m, const struct pass *p, int layer, enum product product,
                          struct mat x)
{
    float rate = m->b.training.lora.dropout;
    if (!p->train || rate <= 0) return x;
    struct mat y = buffer(m, m->b.drop, x.rows, x.cols, m->b.training.compute);
    struct draw key = p->key;
    key.layer = (uint32_t)layer;
    key.site = SITE_LORA + (uint32_t)product;
    m->k->dropout(m->d, y, x, rate, key);
    return y;
}

/* The adapters of a product's linears, one after the other: columns in `low` and in the output. */
struct sibling { int up, low_at, out_at, out; };

static int siblings_of(const struct model *m, int layer, enum product product,
                       struct sibling out[3])
{
    const struct block_parts *b = &m->b.parts.blocks[layer];
    const struct model_config *c = &m->b.config;
    int n = 0;
    for (int i = 0; i < products[product].n; i++) {
        enum linear l = products[product].first + (unsigned)i;
        if (b->up[l] < 0) continue;
        out[n] = (struct sibling){.up = b->up[l],
                                  .low_at = n * m->b.training.lora.rank,
                                  .out_at = linear_first(c, l),
                                  .out = linear_out(c, l)};
        n++;
    }
    return n;
}

void adapter_low(struct model *m, const struct pass *p, int layer, enum product product,
                 struct mat x)
{
    int a = m->b.parts.blocks[layer].low[product];
    if (a < 0 || !m->adapter_on) return;
    struct mat low = buffer(m, m->b.layers[layer].low[product], x.rows, m->b.parts.params[a].rows,
                            m->b.training.compute);
    m->k->linear(m->d, low, dropped(m, p, layer, product, x), &m->weights[a], 1, 0);
}

void adapter_forward(struct model *m, const struct pass *p, int layer, enum product product,
                     struct mat y, struct mat x)
{
    int a = m->b.parts.blocks[layer].low[product], rank = m->b.training.lora.rank;
    if (a < 0 || !m->adapter_on) return;
    struct mat low = buffer(m, m->b.layers[layer].low[product], x.rows, m->b.parts.params[a].rows,
                            m->b.training.compute);
    struct sibling s[3];
    int n = siblings_of(m, layer, product, s);
    adapter_low(m, p, layer, product, x);
    for (int i = 0; i < n; i++)
        m->k->linear(m->d, mat_cols(y, s[i].out_at, s[i].out), mat_cols(low, s[i].low_at, rank),
                     &m->weights[s[i].up], lora_scale(&m->b.training.lora), 1);
}

/* dB adds scale dy' low; dlow = scale dy B; dA adds dlow' dropped x; dx adds dropout of dlow A. */
void adapter_backward(struct model *m, const struct pass *p, int layer, enum product product,
                      struct mat dx, struct mat dy, struct mat x)
{
    int a = m->b.parts.blocks[layer].low[product], rank = m->b.training.lora.rank;
    if (a < 0) return;
    enum dtype t = m->b.training.compute;
    float scale = lora_scale(&m->b.training.lora);
    struct mat low =
        buffer(m, m->b.layers[layer].low[product], x.rows, m->b.parts.params[a].rows, t);
    struct mat dlow = buffer(m, m->b.dlow, x.rows, m->b.parts.params[a].rows, t);
    struct sibling s[3];
    int n = siblings_of(m, layer, product, s);
    for (int i = 0; i < n; i++) {
        struct mat part = mat_cols(dy, s[i].out_at, s[i].out);
        weight_gradient(m, s[i].up, part, mat_cols(low, s[i].low_at, rank), scale);
        m->k->linear_back(m->d, mat_cols(dlow, s[i].low_at, rank), part, &m->weights[s[i].up],
                          scale, 0);
    }
    struct mat kept = dropped(m, p, layer, product, x);
    weight_gradient(m, a, dlow, kept, 1);
    if (!dx.p) return;
    if (kept.p == x.p) {
        m->k->linear_back(m->d, dx, dlow, &m->weights[a], 1, 1);
        return;
    }
    m->k->linear_back(m->d, kept, dlow, &m->weights[a], 1, 0);
    m->k->add(m->d, dx, dropped(m, p, layer, product, kept), 1);
}

/* ---- merging ---- */

enum { MERGE_COLS = 256 }; /* columns whose sums are kept at once */

static void merge_part(float *out, int n, int cols, int rank, const float *up, const float *low,
                       double scale)
{
    double sum[MERGE_COLS] = {0};
    for (int r = 0; r < rank; r++)
        for (int j = 0; j < n; j++) sum[j] += (double)up[r] * (double)low[(int64_t)r * cols + j];
    for (int j = 0; j < n; j++) out[j] = (float)((double)out[j] + scale * sum[j]);
}

void lora_merge(float *out, int rows, int cols, int rank, const float *up, const float *low,
                double scale)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j += MERGE_COLS)
            merge_part(out + (int64_t)i * cols + j, cols - j < MERGE_COLS ? cols - j : MERGE_COLS,
                       cols, rank, up + (int64_t)i * rank, low + j, scale);
}

/* The piece of a LoRA param that belongs to a linear. */
static int lora_piece(const struct model *m, int param, enum linear l)
{
    int i = m->b.parts.params[param].piece;
    while (m->b.parts.pieces[i].linear != l) i++;
    return i;
}

bool adapter_merge(struct model *m, int piece, int first, int rows, float *out, struct arena *a,
                   struct err *err)
{
    const struct piece *p = &m->b.parts.pieces[piece];
    const struct param *q = &m->b.parts.params[p->param];
    if (q->kind != KIND_WEIGHT || m->b.parts.blocks[q->layer].up[p->linear] < 0) return true;
    const struct block_parts *b = &m->b.parts.blocks[q->layer];
    int rank = m->b.training.lora.rank;
    struct arena_mark mark = arena_mark(a);
    float *up = NEW_N(a, float, (int64_t)rows *rank),
          *low = NEW_N(a, float, (int64_t)rank * p->cols);
    bool ok = piece_read(m, lora_piece(m, b->up[p->linear], p->linear), first, rows, up, a, err) &&
              piece_read(m, lora_piece(m, b->low[product_of(p->linear)], p->linear), 0, rank, low,
                         a, err);
    if (ok) lora_merge(out, rows, p->cols, rank, up, low, (double)lora_scale(&m->b.training.lora));
    arena_back(a, mark);
    return ok;
}
