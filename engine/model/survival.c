/* survival.c - how much of an adapter is left when it is merged and rounded. In bf16 a weight has
 * eight bits, so a change under about a hundredth of it is lost in good part: better known than
 * guessed. */
#include "engine/model/state.h"
#include <math.h>
#include <string.h>

static float round_to(float v, enum tensor_type type)
{
    return type == T_BF16  ? bf16_to_f32(f32_to_bf16(v))
           : type == T_F16 ? f16_to_f32(f32_to_f16(v))
                           : v;
}

struct sums { double lost, delta; };

/* Of some rows: what the adapter adds to them, and what rounding takes from that. */
static void add_rows(struct sums *s, const float *before, const float *after, int64_t n,
                     enum tensor_type type)
{
    for (int64_t i = 0; i < n; i++) {
        double delta = (double)after[i] - (double)before[i],
               kept = (double)round_to(after[i], type) - (double)before[i];
        s->delta += delta * delta;
        s->lost += (delta - kept) * (delta - kept);
    }
}

static bool measure(struct model *m, int piece, enum tensor_type type, double *share,
                    struct arena *a, struct err *err)
{
    const struct piece *p = &m->b.parts.pieces[piece];
    struct sums s = {0, 0};
    int most = piece_rows_most(m, p);
    float *before = NEW_N(a, float, (int64_t)most * p->cols);
    for (int first = 0; first < p->rows; first += most) {
        int rows = p->rows - first < most ? p->rows - first : most;
        float *after = m->host.piece;
        if (!piece_read(m, piece, first, rows, after, a, err)) return false;
        memcpy(before, after, (size_t)rows * (size_t)p->cols * sizeof *before);
        if (!adapter_merge(m, piece, first, rows, after, a, err)) return false;
        add_rows(&s, before, after, (int64_t)rows * p->cols, type);
    }
    *share = s.delta > 0 ? 1 - sqrt(s.lost / s.delta) : 1;
    return true;
}

bool model_survival(struct model *m, enum tensor_type type, struct survival *out, int *n,
                    struct arena *a, struct err *err)
{
    *n = 0;
    for (int i = 0; i < m->b.parts.n_pieces; i++) {
        const struct piece *p = &m->b.parts.pieces[i];
        const struct param *q = &m->b.parts.params[p->param];
        if (q->kind != KIND_WEIGHT || m->b.parts.blocks[q->layer].up[p->linear] < 0) continue;
        struct arena_mark mark = arena_mark(a);
        double share;
        bool ok = measure(m, i, type, &share, a, err);
        arena_back(a, mark);
        if (!ok) return false;
        out[(*n)++] = (struct survival){.layer = q->layer, .linear = p->linear, .share = share};
    }
    return true;
}
