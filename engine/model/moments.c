/* moments.c - what the optimizer keeps: where it lies, how it is loaded and saved.
 *
 * A slot is what an update walks: a run of neighbouring trained rows, or, where moments are codes,
 * a single piece, so that every piece begins with a block of its own and can be saved without its
 * neighbours. Whatever their type, moments go to a file and back as the bytes they are. */
#include "engine/model/state.h"
#include <string.h>

/* ---- slots ---- */

static int64_t elements(const struct piece *p) { return (int64_t)p->rows * p->cols; }

/* Elements of a param's trained rows. */
static int64_t trained_elements(const struct model *m, int param)
{
    const struct storage *s = &m->b.storage[param];
    return m->b.layout.rows[s->grad].bytes / (int64_t)dtype_bytes(s->gradient);
}

/* n elements of a run from element `at` of it on; blocks: those of the param before them. */
static void slot_add(struct model *m, const struct run *r, int64_t at, int64_t n, int64_t blocks)
{
    const struct storage *s = &m->b.storage[r->param];
    bool bias = m->b.parts.params[r->param].kind == KIND_BIAS;
    int64_t first = bias ? r->first : (int64_t)r->first * r->cols;
    enum dtype t = m->b.training.moments;
    char *moments = buffer_at(m, s->moments);
    float *scales = buffer_at(m, s->scales);
    int64_t size = (int64_t)dtype_bytes(t), all = trained_elements(m, r->param);
    m->slots[m->n_slots++] = (struct slot){
        .w = (float *)buffer_at(m, s->w) + first + at,
        .g = (char *)run_gradient(m, r).p + at * (int64_t)dtype_bytes(s->gradient),
        .m = moments + (r->at + at) * size,
        .v = moments + (all + r->at + at) * size,
        .m_scale = scales ? scales + blocks : NULL,
        .v_scale = scales ? scales + m->b.layout.rows[s->scales].bytes / 8 + blocks : NULL,
        .n = n,
        .gradient = s->gradient,
        .moment = t,
        .weight_decay = r->decay,
        .lr_scale = 1};
}

/* The trained pieces of a run, from its first row or column on. */
static void run_slots(struct model *m, const struct run *r, int64_t *blocks)
{
    const struct param *q = &m->b.parts.params[r->param];
    bool codes = m->b.training.moments == U8;
    int64_t at = 0, all = (int64_t)r->rows * r->cols;
    if (!codes) slot_add(m, r, 0, all, 0);
    for (int i = q->piece; i < q->piece + q->n_pieces && at < all; i++) {
        const struct piece *p = &m->b.parts.pieces[i];
        if (!p->trained || p->first < r->first) continue;
        if (codes) slot_add(m, r, at, elements(p), *blocks);
        m->places[i] = (struct place){.slot = m->n_slots - 1, .at = codes ? 0 : at};
        *blocks += piece_blocks(p);
        at += elements(p);
    }
}

void slots_make(struct model *m)
{
    int64_t blocks = 0;
    m->slots = NEW_N(m->a, struct slot, m->b.parts.n_pieces + 1);
    m->places = NEW_N(m->a, struct place, m->b.parts.n_pieces + 1);
    for (int i = 0; i < m->b.parts.n_runs; i++) {
        const struct run *r = &m->b.parts.runs[i];
        if (i == 0 || r[-1].param != r->param) blocks = 0;
        run_slots(m, r, &blocks);
    }
}

/* ---- as memory, and as tensors ---- */

int moment_rows(struct tensor_row out[MOMENT_TENSORS], const struct parts *parts,
                const struct training *t, int piece, struct arena *a)
{
    static const char *const suffixes[MOMENT_TENSORS] = {".m", ".v", ".m.scale", ".v.scale"};
    static const enum tensor_type types[DTYPES] = {[F32] = T_F32, [BF16] = T_BF16, [U8] = T_U8};
    const struct piece *p = &parts->pieces[piece];
    bool vector = param_is_vector(&parts->params[p->param]);
    int n = t->moments == U8 ? 4 : 2;
    for (int i = 0; i < n; i++) {
        out[i] = (struct tensor_row){.name = arena_printf(a, "%s%s", p->name, suffixes[i]),
                                     .type = types[t->moments],
                                     .rank = vector ? 1 : 2,
                                     .dims = {vector ? p->cols : p->rows, p->cols}};
        if (i < 2) continue;
        out[i].type = T_F32;
        out[i].rank = 1;
        out[i].dims[0] = piece_blocks(p);
    }
    return n;
}

static int spans_of(struct span out[MOMENT_TENSORS], const struct slot *s, int64_t at, int64_t n)
{
    int64_t size = (int64_t)dtype_bytes(s->moment), blocks = (n + MOMENT_BLOCK - 1) / MOMENT_BLOCK;
    out[0] = (struct span){(char *)s->m + at * size, n * size};
    out[1] = (struct span){(char *)s->v + at * size, n * size};
    if (s->moment != U8) return 2;
    out[2] = (struct span){(char *)s->m_scale, blocks * 4};
    out[3] = (struct span){(char *)s->v_scale, blocks * 4};
    return 4;
}

int moment_spans(struct span out[MOMENT_TENSORS], const struct model *m, int piece)
{
    const struct place *p = &m->places[piece];
    return spans_of(out, &m->slots[p->slot], p->at, elements(&m->b.parts.pieces[piece]));
}

int slot_spans(struct span out[SLOT_SPANS], const struct model *m, int slot)
{
    const struct slot *s = &m->slots[slot];
    out[0] = (struct span){(char *)s->w, s->n * 4};
    return 1 + spans_of(out + 1, s, 0, s->n);
}

/* ---- from a checkpoint, and from nothing ---- */

bool span_read(struct model *m, const char *at, int64_t bytes, struct err *err)
{
    m->k->download(m->d, m->host.piece, at, (size_t)bytes);
    return model_wait(m, err);
}

static bool span_load(struct model *m, struct span s, const struct tensor_row *row, struct err *err)
{
    int64_t most = m->host.piece_n * 4;
    for (int64_t at = 0; at < s.bytes; at += most) {
        int64_t n = s.bytes - at < most ? s.bytes - at : most;
        if (!origin_moments(m, row, at, n, m->host.piece, err)) return false;
        m->k->upload(m->d, s.at + at, m->host.piece, (size_t)n);
        if (!model_wait(m, err)) return false;
    }
    return true;
}

bool moments_load(struct model *m, struct err *err)
{
    struct tensor_row rows[MOMENT_TENSORS];
    struct span spans[MOMENT_TENSORS];
    for (int i = 0; i < m->b.parts.n_pieces; i++) {
        if (!m->b.parts.pieces[i].trained) continue;
        struct arena_mark mark = arena_mark(m->a);
        int n = moment_rows(rows, &m->b.parts, &m->b.training, i, m->a);
        bool ok = moment_spans(spans, m, i) == n;
        for (int k = 0; ok && k < n; k++) ok = span_load(m, spans[k], &rows[k], err);
        arena_back(m->a, mark);
        if (!ok) return false;
    }
    return true;
}

/* Rows of the layout are whole multiples of 256 bytes in memory, and zero is zero in every type. */
void moments_clear(struct model *m)
{
    for (int i = 0; i < m->b.parts.n_params; i++) {
        const int rows[] = {m->b.storage[i].moments, m->b.storage[i].scales};
        for (size_t k = 0; k < COUNT(rows); k++) {
            if (rows[k] < 0) continue;
            int64_t lines = (m->b.layout.rows[rows[k]].bytes + 255) / 256;
            m->k->fill(m->d, buffer(m, rows[k], (int)lines, 64, F32), 0);
        }
    }
}
