/* weights.c - a model is opened: one allocation, its buffers filled piece by piece.
 *
 * Nothing of a file is held twice: rows pass through a staging buffer of the host straight into
 * their place. A frozen weight that is multiplied from a packed copy alone is put together in
 * memory that the stage uses later for something else, packed, and forgotten (blueprint.h, zone).
 */
#include "engine/format/json.h"
#include "engine/model/state.h"
#include <math.h>
#include <string.h>

enum { STAGING = 1 << 18 }; /* elements */

int piece_rows_most(const struct model *m, const struct piece *p)
{
    int64_t n = m->host.piece_n / p->cols;
    return n < p->rows ? (int)n : p->rows;
}

static bool upload_wait(struct model *m, void *to, const void *from, size_t bytes, struct err *err)
{
    m->k->upload(m->d, to, from, bytes);
    return model_wait(m, err);
}

/* ---- into place ---- */

/* Rows of a piece, which lies in a param's matrix from element `at` on. */
static bool load_rows(struct model *m, int piece, int first, int rows, struct mat to,
                      struct err *err)
{
    const struct piece *p = &m->b.parts.pieces[piece];
    int64_t n = (int64_t)rows * p->cols,
            at = p->first * (m->b.parts.params[p->param].kind == KIND_BIAS ? 1 : (int64_t)to.ld);
    if (!origin_rows(m, piece, first, rows, m->host.piece, m->a, err)) return false;
    at += (int64_t)first * p->cols;
    if (to.t == F32) return upload_wait(m, (float *)to.p + at, m->host.piece, (size_t)n * 4, err);
    for (int64_t i = 0; i < n; i++) m->host.half[i] = f32_to_bf16(m->host.piece[i]);
    return upload_wait(m, (uint16_t *)to.p + at, m->host.half, (size_t)n * 2, err);
}

static bool load_param(struct model *m, int param, struct mat to, struct err *err)
{
    const struct param *q = &m->b.parts.params[param];
    for (int i = q->piece; i < q->piece + q->n_pieces; i++) {
        const struct piece *p = &m->b.parts.pieces[i];
        int most = piece_rows_most(m, p);
        for (int first = 0; first < p->rows; first += most) {
            int rows = p->rows - first < most ? p->rows - first : most;
            if (!load_rows(m, i, first, rows, to, err)) return false;
        }
    }
    return true;
}

static void weights_bind(struct model *m)
{
    for (int i = 0; i < m->b.parts.n_params; i++) {
        const struct param *p = &m->b.parts.params[i];
        const struct storage *s = &m->b.storage[i];
        m->weights[i] = (struct weight){.w = buffer(m, s->w, p->rows, p->cols, s->type),
                                        .packed = buffer_at(m, s->packed),
                                        .t = m->b.training.compute};
    }
}

/* First what is only packed, since its place is still free; then everything that stays. */
static bool weights_load(struct model *m, struct err *err)
{
    for (int i = 0; i < m->b.parts.n_params; i++) {
        const struct param *p = &m->b.parts.params[i];
        if (m->b.storage[i].w >= 0) continue;
        struct weight w = m->weights[i];
        w.w = mat_make(m->base + m->b.zone, p->rows, p->cols, m->b.storage[i].type);
        if (!load_param(m, i, w.w, err)) return false;
        m->k->settle(m->d, &w, m->b.storage[i].packing);
        if (!model_wait(m, err)) return false;
        m->weights[i].w = w.w; /* its shape; the memory is another's from now on */
    }
    for (int i = 0; i < m->b.parts.n_params; i++)
        if (m->b.storage[i].w >= 0 && !load_param(m, i, m->weights[i].w, err)) return false;
    for (int i = 0; i < m->b.parts.n_params; i++)
        if (m->b.storage[i].w >= 0 && m->b.storage[i].packing)
            m->k->settle(m->d, &m->weights[i], m->b.storage[i].packing);
    return model_wait(m, err);
}

void weights_settle(struct model *m)
{
    for (int i = 0; i < m->b.parts.n_params; i++)
        if (m->b.parts.params[i].trained && m->b.storage[i].packing)
            m->k->settle(m->d, &m->weights[i], m->b.storage[i].packing);
}

/* ---- out again ---- */

static bool download_wait(struct model *m, float *to, const float *from, int64_t n, struct err *err)
{
    m->k->download(m->d, to, from, (size_t)n * 4);
    return model_wait(m, err);
}

bool piece_read(struct model *m, int piece, int first, int rows, float *out, struct arena *a,
                struct err *err)
{
    const struct piece *p = &m->b.parts.pieces[piece];
    const struct param *q = &m->b.parts.params[p->param];
    const struct storage *s = &m->b.storage[p->param];
    bool held = s->w >= 0 && s->type == F32 && (q->trained || param_is_lora(q));
    if (!held) return origin_rows(m, piece, first, rows, out, a, err);
    int64_t at =
        (q->kind == KIND_BIAS ? p->first : (int64_t)p->first * p->cols) + (int64_t)first * p->cols;
    return download_wait(m, out, (const float *)buffer_at(m, s->w) + at, (int64_t)rows * p->cols,
                         err);
}

/* ---- the model ---- */

static void host_make(struct model *m)
{
    const struct blueprint *b = &m->b;
    struct host *h = &m->host;
    int rows = b->shape.rows;
    h->piece_n = STAGING;
    for (int i = 0; i < b->parts.n_pieces; i++)
        if (b->parts.pieces[i].cols > h->piece_n) h->piece_n = b->parts.pieces[i].cols;
    h->piece = NEW_N(m->a, float, h->piece_n);
    h->half = NEW_N(m->a, uint16_t, h->piece_n);
    h->ids = NEW_N(m->a, int32_t, rows);
    h->pos = NEW_N(m->a, int32_t, rows);
    h->index = NEW_N(m->a, int32_t, rows);
    h->targets = NEW_N(m->a, int32_t, rows);
    h->start = NEW_N(m->a, int32_t, rows + 1);
    h->keys = NEW_N(m->a, int32_t, 2);
    h->losses = NEW_N(m->a, float, rows);
    m->cached_ids = NEW_N(m->a, int32_t, b->shape.cache_tokens + 1);
}

/* Frequencies as transformers' ROPE_INIT_FUNCTIONS computes them, in float as it does. */
static float frequency(const struct model_config *c, int j)
{
    float f = 1.0f / powf(c->rope_theta, (float)(2 * j) / (float)c->head_dim);
    if (c->scaling == ROPE_LINEAR) return f / c->rope_factor;
    if (c->scaling != ROPE_LLAMA3) return f;
    float wave = 2 * 3.14159265358979f / f, original = (float)c->rope_original;
    if (wave > original / c->rope_low) return f / c->rope_factor;
    if (wave < original / c->rope_high) return f;
    float smooth = (original / wave - c->rope_low) / (c->rope_high - c->rope_low);
    return (1 - smooth) * f / c->rope_factor + smooth * f;
}

static bool rope_load(struct model *m, struct err *err)
{
    const struct model_config *c = &m->b.config;
    int half = c->head_dim / 2, most = (int)(m->host.piece_n / c->head_dim);
    float *table = buffer_at(m, m->b.rope);
    for (int first = 0; first < m->b.positions; first += most) {
        int n = m->b.positions - first < most ? m->b.positions - first : most;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < half; j++) {
                double angle = (double)((float)(first + i) * frequency(c, j));
                m->host.piece[i * c->head_dim + j] = (float)cos(angle);
                m->host.piece[i * c->head_dim + half + j] = (float)sin(angle);
            }
        if (!upload_wait(m, table + (int64_t)first * c->head_dim, m->host.piece,
                         (size_t)n * (size_t)c->head_dim * 4, err))
            return false;
    }
    return true;
}

static bool model_fill(struct model *m, const struct model_files *files, struct err *err)
{
    const char *config = path_join(m->a, files->base, "config.json");
    if (!json_read(&m->config_json, config,
                   (struct json_limits){.bytes = 1 << 20, .depth = 32, .nodes = 10000}, m->a,
                   err) ||
        !origin_open(&m->origin, files, &m->b.training.lora, m->a, err))
        return false;
    m->base = m->k->alloc(m->d, (size_t)m->b.layout.bytes);
    if (!m->base) {
        char bytes[16];
        return fail(err,
                    "the %s device refused %s for the model; take a smaller micro-batch, recompute "
                    "more, or train less",
                    m->k->name, text_bytes(bytes, m->b.layout.bytes));
    }
    m->k->workspace(m->d, buffer_at(m, m->b.workspace),
                    (size_t)m->b.layout.rows[m->b.workspace].bytes);
    weights_bind(m);
    slots_make(m);
    if (!weights_load(m, err) || !rope_load(m, err)) return false;
    if (!files->moments) moments_clear(m);
    return files->moments ? moments_load(m, err) : model_wait(m, err);
}

bool model_open(struct model **out, const struct model_config *c, const struct training *t,
                const struct model_shape *shape, const struct layout *layout,
                const struct model_files *files, uint64_t seed, const struct kernels *k,
                struct device *d, struct arena *a, struct err *err)
{
    struct device_info info;
    struct model *m = NEW(a, struct model);
    *out = NULL;
    m->k = k;
    m->d = d;
    m->a = a;
    m->seed = seed;
    m->adapter_on = true;
    k->info(d, &info);
    if (!blueprint_make(&m->b, c, t, shape, &info, a, err)) return false;
    if (m->b.layout.bytes != layout->bytes)
        return fail(err,
                    "the plan has %lld bytes for another device or setting; this one needs %lld: "
                    "plan again",
                    (long long)layout->bytes, (long long)m->b.layout.bytes);
    m->weights = NEW_N(a, struct weight, m->b.parts.n_params);
    host_make(m);
    m->flops = flops_make(&m->b.parts, c, t);
    if (!model_fill(m, files, err)) {
        model_close(m);
        return false;
    }
    *out = m;
    return true;
}

void model_close(struct model *m)
{
    if (!m) return;
    origin_close(&m->origin);
    if (m->base) m->k->free(m->d, m->base, (size_t)m->b.layout.bytes);
    m->base = NULL;
}
