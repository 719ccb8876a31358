/* attention.c - causal attention over packed sequences, forward and backward, without a matrix of
 * scores (Dao et al. 2022), as products of tiles.
 *
 * The lanes of a vector are NR neighbours of one kind (queries forward, keys backward); blocks of
 * BK of the other kind pass by. Scores come out as [other][lane], which is already the right panel
 * of the next product, so a probability is never turned around, and maxima and sums of a softmax
 * are sums of vectors. Their rows are also the left factor of dq, the only product that sums over
 * lanes.
 *
 * Forward, a part is one sequence, one key head (with up to PANELS of the query heads that share
 * it) and one range of queries; backward it is one sequence and one key head, range of keys by range
 * of keys, so that nobody else adds to its sums. Blocks that are masked for a whole range are not
 * visited. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/tile.h"

enum {
    BK = 128,   /* rows of a block that passes by */
    PANELS = 6, /* panels of NR lanes in a part */
    FEW = 4,    /* up to so many queries take the other way: one token on a cache */
    HD = ATTENTION_HEAD_DIM,
    KEYS = 1024, /* keys at a time on that way */
};

struct attending {
    struct device *d;
    struct mat o, q, k, v, d_o, dq, dk, dv;
    float *lse;
    const float *dots;           /* backward: d_o . o of each row and head */
    struct mat sums;             /* backward: of dq, F32 */
    struct seqs sq, sk;
    struct attention a;
    /* query heads of a key head, those of a part, parts for one key head */
    int group, heads_each, sets;
    int lanes_each;              /* lanes of a part */
    bool pairs;
};

/* What one part works on. Rows count from the start of the sequence. */
struct span {
    int seq, kv_head, head, heads;   /* the query heads head .. head + heads - 1 */
    int first, count;                /* lanes */
    int queries, keys, shift;        /* query i sees the keys up to i + shift */
    int panels_each;                 /* panels of a head */
};

static int groups_of(int n, int each) { return (n + each - 1) / each; }

static void plan(struct attending *t, struct device *d, const struct attention *a) {
    t->d = d;
    t->a = *a;
    t->group = a->heads / a->kv_heads;
    t->heads_each = cpu_least(t->group, PANELS);
    t->sets = groups_of(t->group, t->heads_each);
    t->lanes_each = PANELS / t->heads_each * NR;
    t->pairs = HAS_PAIRS && t->q.t == BF16 && t->k.t == BF16 && t->v.t == BF16;
}

/* Parts for one sequence of `lanes` lanes, and the span of one of all parts. */
static int parts_of(const struct attending *t, int lanes) {
    return groups_of(lanes, t->lanes_each) * t->sets * t->a.kv_heads;
}

static struct span span_of(const struct attending *t, int part) {
    struct span s = {0};
    const int32_t *of = t->sq.start;
    for (int here; part >= (here = parts_of(t, of[s.seq + 1] - of[s.seq])); s.seq++) part -= here;
    int lanes = of[s.seq + 1] - of[s.seq], ranges = groups_of(lanes, t->lanes_each);
    s.first = part % ranges * t->lanes_each;
    s.count = cpu_least(t->lanes_each, lanes - s.first);
    int set = part / ranges % t->sets;
    s.kv_head = part / ranges / t->sets;
    s.head = s.kv_head * t->group + set * t->heads_each;
    s.heads = cpu_least(t->heads_each, t->group - set * t->heads_each);
    s.queries = t->sq.start[s.seq + 1] - t->sq.start[s.seq];
    s.keys = t->sk.start[s.seq + 1] - t->sk.start[s.seq];
    s.shift = s.keys - s.queries;
    s.panels_each = groups_of(s.count, NR);
    return s;
}

/* Rows first .. first + count - 1 of a sequence, the columns of one head. */
static struct factor head_rows(struct mat m, int row, int count, int head, int head_dim,
                               bool natural) {
    struct mat part = mat_cols(mat_rows(m, row, count), head * head_dim, head_dim);
    return (struct factor){.p = part.p,
                           .ld = (size_t)m.ld,
                           .t = m.t,
                           .natural = natural,
                           .steps = natural ? count : head_dim,
                           .lanes = natural ? head_dim : count};
}

/* The left factor of a block whose lanes are rows: read where it lies, but for the last rows, or
 * packed. */
struct lefts { const float *rows; size_t lane; int direct, units; const float *panels; };

static struct lefts lefts_of(const struct factor *f, bool pairs, float *panels) {
    struct lefts l = {.rows = f->p, .lane = f->ld / (pairs ? 2 : 1), .panels = panels,
                      .units = units_of(f->steps, pairs)};
    if (factor_lies(f, f->steps, pairs)) l.direct = f->lanes / MR * MR;
    pack_left(panels + (size_t)l.direct * (size_t)l.units, f, l.direct, f->lanes - l.direct, 0,
              f->steps, pairs);
    return l;
}

/* Rows `first` (a multiple of MR) to rows of out [rows, NR] = left' right. */
static void scores_of(const struct lefts *l, int first, int rows, bool pairs, const float *right,
                      float *out) {
    out += (size_t)first * NR;
    for (int i = first; i < rows; i += MR, out += MR * NR) {
        if (i < l->direct)
            tile_direct(l->units, pairs, l->rows + (size_t)i * l->lane, l->lane, right, out, NR,
                        false, NULL, 3);
        else
            tile(l->units, pairs, l->panels + (size_t)i * (size_t)l->units, right, out, NR, false,
                 NULL, 3);
    }
}

/* out [lanes up to MR, NR] adds left' right over the first `units` of the `packed` steps. */
static void add_tiles(int lanes, int units, int packed, bool pairs, const float *left,
                      const float *right, float *out) {
    for (int l = 0; l < lanes; l += MR)
        tile(units, pairs, left + (size_t)l * (size_t)packed, right, out + (size_t)l * NR, NR, true,
             NULL, 3);
}

/* Floats of a panel of sums: a row of NR for each column of a head, with the last tile's. */
static size_t panel_of(const struct attending *t) {
    return (size_t)groups_of(t->a.head_dim, MR) * MR * NR;
}

/* sums [head_dim, NR] of `count` lanes into rows of m, each lane times its scale. */
static void store_lanes(struct mat m, int row, int count, int head, int head_dim, const float *sums,
                        const float *scale) {
    enum { LD = HD + 4 };
    float turned[V * LD];
    struct mat part = mat_cols(m, head * head_dim, head_dim);
    for (int j = 0; j < count; j += V) {
        vf factor = v_load(scale + j), r[4] = {factor, factor, factor, factor};
        for (int c = 0; c < head_dim; c += 4) {
            for (int i = 0; i < 4 && c + i < head_dim; i++)
                r[i] = v_load(sums + (size_t)(c + i) * NR + j) * factor;
            turn4(turned + c, LD, r, V);
        }
        for (int i = 0; i < cpu_least(V, count - j); i++) {
            void *to = cpu_row(part, row + j + i);
            for (int c = 0; c < head_dim; c += V)
                v_to(to, m.t, c, head_dim, v_at(turned + i * LD, F32, c, head_dim));
        }
    }
}

/* Numbers of consecutive lanes: first, first + 1, ... as floats, for comparing with a row's number.
 */
static void count_up(float *to, int first) {
    for (int i = 0; i < NR; i++) to[i] = (float)(first + i);
}

/* Of each lane, in powers of 2: the largest score times `scale` log2 e, and the sum of 2^(score - most). */
struct softmax { float most[NR], sum[NR], last_seen[NR]; };

#define LOG2_E 1.44269504088896340736

/* One block of scores: the running maximum and sum go on, scores become probabilities (pairs of
 * them for a product in BF16), and what was summed before is rescaled. factor: scale log2 e. */
INLINE void soften_lanes(struct softmax *s, float *scores, int j, int rows, int key, bool masked,
                         float factor, bool pairs, float *out, int head_dim) {
    vf seen = v_load(s->last_seen + j), before = v_load(s->most + j), most = v_set(-INFINITY);
    vf sum = v_set(0), times = v_set(factor);
    for (int r = 0; r < rows; r++) {
        float *at = scores + (size_t)r * NR + j;
        vf x = v_load(at);
        if (masked) {
            x = v_less(seen, v_set((float)(key + r)), x, v_set(-1e32f / factor));
            v_store(at, x);
        }
        most = v_max(x, most);
    }
    most = v_max(most * times, before);
    for (int r = 0; r < rows; r += pairs ? 2 : 1) {
        const float *at = scores + (size_t)r * NR + j;
        vf p = v_exp2(v_fma(v_load(at), times, -most)), next = v_set(0);
        if (pairs && r + 1 < rows) next = v_exp2(v_fma(v_load(at + NR), times, -most));
        sum = sum + (p + next);
        v_store(scores + (size_t)(pairs ? r / 2 : r) * NR + j, pairs ? v_pair(p, next) : p);
    }
    vf fade = v_exp2(before - most);
    v_store(s->most + j, most);
    v_store(s->sum + j, v_fma(v_load(s->sum + j), fade, sum));
    if (!v_any_less(before, most)) return; /* every fade is 1 */
    for (int c = 0; c < head_dim; c++) {
        float *at = out + (size_t)c * NR + j;
        v_store(at, v_load(at) * fade);
    }
}

static void soften(struct softmax *s, float *scores, int rows, int key, bool masked, float scale,
                   bool pairs, float *out, int head_dim) {
    float factor = scale * (float)LOG2_E;
    for (int j = 0; j < NR; j += V) {
        if (HAS_PAIRS && pairs)
            soften_lanes(s, scores, j, rows, key, masked, factor, true, out, head_dim);
        else soften_lanes(s, scores, j, rows, key, masked, factor, false, out, head_dim);
    }
}

static void finish(const struct attending *t, const struct span *s, int panel,
                   const struct softmax *soft, const float *out) {
    int head = s->head + panel / s->panels_each, at = panel % s->panels_each * NR;
    int row = t->sq.start[s->seq] + s->first + at, count = cpu_least(NR, s->count - at);
    float scale[NR] = {0};
    for (int i = 0; i < count; i++) {
        bool any = soft->sum[i] > 0 || soft->sum[i] != soft->sum[i]; /* a NaN is passed on */
        scale[i] = any ? 1 / soft->sum[i] : 0;
        float lse = any ? (float)((double)soft->most[i] / LOG2_E + log_of((double)soft->sum[i])) : -INFINITY;
        if (t->lse) t->lse[(size_t)(row + i) * (size_t)t->a.heads + (size_t)head] = lse;
    }
    store_lanes(t->o, row, count, head, t->a.head_dim, out, scale);
}

/* Panels of lanes: the columns of a head are the steps. */
static void pack_lanes(const struct attending *t, const struct span *s, struct mat m, int start,
                       bool keys, float *to) {
    int units = units_of(t->a.head_dim, t->pairs),
        panels = keys ? s->panels_each : s->heads * s->panels_each;
    for (int p = 0; p < panels; p++, to += (size_t)units * NR) {
        int head = keys ? s->kv_head : s->head + p / s->panels_each;
        struct factor f = head_rows(m, start + s->first, s->count, head, t->a.head_dim, false);
        pack_right(to, &f, p % s->panels_each * NR, NR, 0, t->a.head_dim, t->pairs, 3);
    }
}

static void forward_part(void *arg, int part, int thread) {
    const struct attending *t = arg;
    struct span s = span_of(t, part);
    int hd = t->a.head_dim, units = units_of(hd, t->pairs), panels = s.heads * s.panels_each;
    int start = t->sk.start[s.seq], last = cpu_least(s.keys, s.first + s.count + s.shift);
    struct softmax soft[PANELS];
    size_t panel = panel_of(t);
    float *right = cpu_scratch(t->d, thread), *out = right + PANELS * panel,
          *scores = out + PANELS * panel;
    float *keys = scores + BK * NR, *values = keys + BK * HD;
    pack_lanes(t, &s, t->q, t->sq.start[s.seq], false, right);
    memset(out, 0, sizeof *out * (size_t)panels * panel);
    for (int p = 0; p < panels; p++) {
        for (int i = 0; i < NR; i++) soft[p].most[i] = -1e30f, soft[p].sum[i] = 0;
        count_up(soft[p].last_seen, s.first + p % s.panels_each * NR + s.shift);
    }
    for (int key = 0; key < last; key += BK) {
        int count = cpu_least(BK, last - key);
        struct factor rows_of_k = head_rows(t->k, start + key, count, s.kv_head, hd, false);
        struct factor natural = head_rows(t->v, start + key, count, s.kv_head, hd, true);
        struct lefts left = lefts_of(&rows_of_k, t->pairs, keys);
        pack_left(values, &natural, 0, hd, 0, count, t->pairs);
        for (int p = 0; p < panels; p++) {
            int from = s.first + p % s.panels_each * NR,
                rows = cpu_least(count, from + NR + s.shift - key);
            if (rows <= 0) continue;
            float *sums = out + (size_t)p * panel;
            scores_of(&left, 0, rows, t->pairs, right + (size_t)p * (size_t)units * NR, scores);
            bool masked = key + rows - 1 > from + s.shift;
            soften(&soft[p], scores, rows, key, masked, t->a.scale, t->pairs, sums, hd);
            add_tiles(hd, units_of(rows, t->pairs), units_of(count, t->pairs), t->pairs, values,
                      scores, sums);
        }
    }
    for (int p = 0; p < panels; p++) finish(t, &s, p, &soft[p], out + (size_t)p * panel);
}

static float dot_row(const void *a, enum dtype ta, const void *b, enum dtype tb, int n) {
    vf sum = v_set(0);
    for (int c = 0; c < n; c += V) sum = v_fma(v_at(a, ta, c, n), v_at(b, tb, c, n), sum);
    return v_sum(sum);
}

/* One query of one head, its keys straight through. */
static void attend_one(const struct attending *t, int seq, int row, int head, float *scores) {
    int hd = t->a.head_dim, kv = head / t->group, start = t->sk.start[seq];
    int keys = t->sk.start[seq + 1] - start, queries = t->sq.start[seq + 1] - t->sq.start[seq];
    int seen = cpu_least(keys, row - t->sq.start[seq] + 1 + keys - queries);
    struct mat k = mat_cols(t->k, kv * hd, hd), v = mat_cols(t->v, kv * hd, hd);
    const void *q = cpu_row(mat_cols(t->q, head * hd, hd), row);
    float most = -1e30f, sum = 0, out[HD];
    memset(out, 0, sizeof out);
    for (int first = 0; first < seen; first += KEYS) {
        int n = cpu_least(KEYS, seen - first);
        float higher = most;
        for (int j = 0; j < n; j++) {
            scores[j] = dot_row(q, t->q.t, cpu_row(k, start + first + j), k.t, hd) * t->a.scale;
            higher = scores[j] > higher || scores[j] != scores[j] ? scores[j] : higher;
        }
        float fade[V];
        v_store(fade, v_exp(v_set(most - higher)));
        most = higher;
        sum *= fade[0];
        for (int c = 0; c < hd; c++) out[c] *= fade[0];
        for (int j = 0; j < n; j += V) {
            vf p = v_keep(v_exp(v_at(scores, F32, j, n) - v_set(most)), j, n, 0);
            v_to(scores, F32, j, n, p);
            sum += v_sum(p);
        }
        for (int c = 0; c < hd; c += V) {
            vf total = v_at(out, F32, c, hd);
            for (int j = 0; j < n; j++)
                total =
                    v_fma(v_set(scores[j]), v_at(cpu_row(v, start + first + j), v.t, c, hd), total);
            v_to(out, F32, c, hd, total);
        }
    }
    bool any = seen > 0;
    if (t->lse)
        t->lse[(size_t)row * (size_t)t->a.heads + (size_t)head] =
            any ? (float)((double)most + log_of((double)sum)) : -INFINITY;
    void *o = cpu_row(mat_cols(t->o, head * hd, hd), row);
    for (int c = 0; c < hd; c += V)
        v_to(o, t->o.t, c, hd, v_at(out, F32, c, hd) * v_set(any ? 1 / sum : 0));
}

static void few_part(void *arg, int part, int thread) {
    const struct attending *t = arg;
    int seq = part / t->a.heads, head = part % t->a.heads;
    for (int row = t->sq.start[seq]; row < t->sq.start[seq + 1]; row++)
        attend_one(t, seq, row, head, cpu_scratch(t->d, thread));
}

static void attn(struct device *d, struct mat o, float *lse, struct mat q, struct mat k,
                 struct mat v, struct seqs sq, struct seqs sk, const struct attention *a) {
    struct attending t = {.o = o, .lse = lse, .q = q, .k = k, .v = v, .sq = sq, .sk = sk};
    plan(&t, d, a);
    bool few = true;
    int64_t parts = 0, work = 0;
    for (int n = 0; n < sq.n; n++) {
        int queries = sq.start[n + 1] - sq.start[n], keys = sk.start[n + 1] - sk.start[n];
        few = few && queries <= FEW;
        parts += parts_of(&t, queries);
        work += (int64_t)queries * keys * a->heads * 8;
    }
    if (few) cpu_run(d, sq.n * a->heads, work * 8, few_part, &t);
    else cpu_run(d, (int)parts, work, forward_part, &t);
}

static void dots_part(void *arg, int part, int thread) {
    (void)thread;
    const struct attending *t = arg;
    int hd = t->a.head_dim;
    for (int row = part * 64; row < cpu_least(part * 64 + 64, t->o.rows); row++)
        for (int head = 0; head < t->a.heads; head++)
            ((float *)t->dots)[(size_t)row * (size_t)t->a.heads + (size_t)head] =
                dot_row(cpu_row(mat_cols(t->o, head * hd, hd), row), t->o.t,
                        cpu_row(mat_cols(t->d_o, head * hd, hd), row), t->d_o.t, hd);
}

/* The scratch of a part of the backward, for one range of keys. */
struct back {
    float *k_right, *v_right;            /* panels of keys: the columns of a head are the steps */
    float *k_natural;                    /* panels of columns of a head: the keys are the steps */
    float *dk, *dv;                      /* sums [head_dim, NR] of each panel */
    float *scores, *grads;               /* of a block of queries and one panel of keys */
    float *rows;                         /* of the gradients: a block of queries, all panels */
    float *q_turned, *g_turned, *q_natural, *g_natural;
    int first, count, panels;            /* the keys */
    float lane[PANELS][NR];
};

static struct back back_of(const struct attending *t, int thread) {
    size_t panels = panel_of(t) * PANELS, block = (size_t)BK * (size_t)(t->a.head_dim + MR);
    struct back b = {.k_right = cpu_scratch(t->d, thread)};
    b.v_right = b.k_right + panels;
    b.dk = b.v_right + panels;
    b.dv = b.dk + panels;
    b.k_natural = b.dv + panels;
    b.scores = b.k_natural + (size_t)PANELS * NR * (size_t)(groups_of(t->a.head_dim, TWO) * TWO);
    b.grads = b.scores + BK * NR;
    b.rows = b.grads + BK * NR;
    b.q_turned = b.rows + BK * NR * PANELS;
    b.g_turned = b.q_turned + block;
    b.q_natural = b.g_turned + block;
    b.g_natural = b.q_natural + block;
    return b;
}

/* One row of scores becomes p and one of grads ds = p (dp - dot); ds also goes to the rows. */
INLINE void grade_row(const struct back *b, int r, int j, vf seen, vf scale, vf lse, vf dot,
                      vf query, vf *p, vf *ds) {
    vf x = v_exp2(v_fma(v_load(b->scores + (size_t)r * NR + j), scale, lse));
    *p = v_less(query, seen, x, v_set(0));
    *ds = *p * (v_load(b->grads + (size_t)r * NR + j) - dot);
}

/* Scores and gradients of a block of queries, from the `first` on, become right panels of dv and dk,
 * and rows of dq; the queries before see no key of the panel. */
INLINE void grade(const struct attending *t, const struct back *b, int panel, int first, int count,
                  int row, int query, int head, bool pairs) {
    vf scale = v_set(t->a.scale * (float)LOG2_E);
    for (int r = 0; r < first; r++)
        memset((char *)b->rows + ((size_t)r * PANELS + (size_t)panel) * NR * (pairs ? 2 : 4), 0,
               NR * (pairs ? 2 : 4));
    for (int r = first; r < count; r += pairs ? 2 : 1) {
        size_t at = (size_t)(row + r) * (size_t)t->a.heads + (size_t)head;
        size_t next = r + 1 < count ? at + (size_t)t->a.heads : at;
        vf lse[2] = {v_set(t->lse[at] * -(float)LOG2_E), v_set(t->lse[next] * -(float)LOG2_E)};
        vf dot[2] = {v_set(t->dots[at]), v_set(t->dots[next])};
        for (int j = 0; j < NR; j += V) {
            vf seen = v_load(b->lane[panel] + j), p[2] = {v_set(0), v_set(0)}, ds[2] = {p[0], p[0]};
            for (int i = 0; i < (pairs ? 2 : 1) && r + i < count; i++) {
                grade_row(b, r + i, j, seen, scale, lse[i], dot[i], v_set((float)(query + r + i)),
                          &p[i], &ds[i]);
                v_to((char *)b->rows + (size_t)(r + i) * PANELS * NR * (pairs ? 2 : 4),
                     pairs ? BF16 : F32, panel * NR + j, PANELS * NR, ds[i]);
            }
            size_t to = (size_t)(pairs ? r / 2 : r) * NR + (size_t)j;
            v_store(b->scores + to, pairs ? v_pair(p[0], p[1]) : p[0]);
            v_store(b->grads + to, pairs ? v_pair(ds[0], ds[1]) : ds[0]);
        }
    }
}

/* dq of a block of queries adds ds k over the keys of the panels that it sees. */
static void add_queries(const struct attending *t, const struct back *b, int row, int count,
                        int head, int panels) {
    int each = t->pairs ? 2 : 1, hd = t->a.head_dim;
    int units = units_of(cpu_least(panels * NR, b->count), t->pairs);
    int all = units_of(b->count, t->pairs);
    float out[MR * TWO];
    for (int c = 0; c < hd; c += TWO)
        for (int i = 0; i < count; i += MR) {
            tile_direct(units, t->pairs, b->rows + (size_t)i * PANELS * NR / (size_t)each,
                        (size_t)(PANELS * NR / each), b->k_natural + (size_t)c * (size_t)all, out,
                        TWO, false, NULL, 2);
            for (int r = 0; r < cpu_least(MR, count - i); r++) {
                float *sum = (float *)cpu_row(t->sums, row + i + r) + head * hd + c;
                for (int j = 0; j < cpu_least(TWO, hd - c); j += V)
                    v_to(sum, F32, j, hd - c,
                         v_at(sum, F32, j, hd - c) + v_at(out + r * TWO, F32, j, TWO));
            }
        }
}

/* One block of queries of one head passes by a range of keys. */
static void pass_queries(const struct attending *t, const struct back *b, int head, int start,
                         int query, int count) {
    int hd = t->a.head_dim, units = units_of(hd, t->pairs), row = start + query, seen = 0;
    int all = units_of(count, t->pairs);
    struct factor q = head_rows(t->q, row, count, head, hd, false),
                  g = head_rows(t->d_o, row, count, head, hd, false);
    struct factor q_natural = head_rows(t->q, row, count, head, hd, true),
                  g_natural = head_rows(t->d_o, row, count, head, hd, true);
    struct lefts ql = lefts_of(&q, t->pairs, b->q_turned), gl = lefts_of(&g, t->pairs, b->g_turned);
    pack_left(b->q_natural, &q_natural, 0, hd, 0, count, t->pairs);
    pack_left(b->g_natural, &g_natural, 0, hd, 0, count, t->pairs);
    for (int p = 0; p < b->panels && query + count > b->first + p * NR; p++, seen++) {
        size_t right = (size_t)p * (size_t)units * NR, sums = (size_t)p * panel_of(t);
        int first = cpu_most(0, b->first + p * NR - query) / MR * MR, begin = units_of(first, t->pairs);
        scores_of(&ql, first, count, t->pairs, b->k_right + right, b->scores);
        scores_of(&gl, first, count, t->pairs, b->v_right + right, b->grads);
        if (HAS_PAIRS && t->pairs) grade(t, b, p, first, count, row, query, head, true);
        else grade(t, b, p, first, count, row, query, head, false);
        size_t skipped = (size_t)begin * MR, rows = (size_t)begin * NR;
        add_tiles(hd, all - begin, all, t->pairs, b->g_natural + skipped, b->scores + rows, b->dv + sums);
        add_tiles(hd, all - begin, all, t->pairs, b->q_natural + skipped, b->grads + rows, b->dk + sums);
    }
    add_queries(t, b, row, count, head, seen);
}

/* The keys first .. of a sequence, and all queries that see them. */
static void back_keys(const struct attending *t, struct back *b, int kv_head, int start,
                      int length) {
    int hd = t->a.head_dim, end = (kv_head + 1) * t->group;
    float scales[NR], ones[NR];
    struct factor k = head_rows(t->k, start + b->first, b->count, kv_head, hd, false);
    struct factor v = head_rows(t->v, start + b->first, b->count, kv_head, hd, false);
    struct factor natural = head_rows(t->k, start + b->first, b->count, kv_head, hd, true);
    pack_right(b->k_right, &k, 0, b->count, 0, hd, t->pairs, 3);
    pack_right(b->v_right, &v, 0, b->count, 0, hd, t->pairs, 3);
    pack_right(b->k_natural, &natural, 0, hd, 0, b->count, t->pairs, 2);
    memset(b->dk, 0, sizeof(float) * panel_of(t) * PANELS * 2);
    for (int p = 0; p < b->panels; p++) count_up(b->lane[p], b->first + p * NR);
    for (int head = kv_head * t->group; head < end; head++)
        for (int query = b->first; query < length; query += BK)
            pass_queries(t, b, head, start, query, cpu_least(BK, length - query));
    for (int i = 0; i < NR; i++) scales[i] = t->a.scale, ones[i] = 1;
    for (int p = 0; p < b->panels; p++) {
        int row = start + b->first + p * NR, count = cpu_least(NR, b->count - p * NR);
        store_lanes(t->dk, row, count, kv_head, hd, b->dk + (size_t)p * panel_of(t), scales);
        store_lanes(t->dv, row, count, kv_head, hd, b->dv + (size_t)p * panel_of(t), ones);
    }
}

static void back_part(void *arg, int part, int thread) {
    const struct attending *t = arg;
    int seq = part / t->a.kv_heads, kv_head = part % t->a.kv_heads, hd = t->a.head_dim;
    int start = t->sq.start[seq], length = t->sq.start[seq + 1] - start;
    int first = kv_head * t->group * hd, cols = t->group * hd;
    struct mat dq = mat_cols(mat_rows(t->dq, start, length), first, cols);
    struct mat sums = mat_cols(mat_rows(t->sums, start, length), first, cols);
    struct back b = back_of(t, thread);
    for (int i = 0; i < length; i++) memset(cpu_row(sums, i), 0, sizeof(float) * (size_t)cols);
    for (b.first = 0; b.first < length; b.first += PANELS * NR) {
        b.count = cpu_least(PANELS * NR, length - b.first);
        b.panels = groups_of(b.count, NR);
        back_keys(t, &b, kv_head, start, length);
    }
    for (int i = 0; i < length; i++)
        for (int c = 0; c < cols; c += V)
            v_to(cpu_row(dq, i), dq.t, c, cols,
                 v_at(cpu_row(sums, i), F32, c, cols) * v_set(t->a.scale));
}

static void attn_back(struct device *d, struct mat dq, struct mat dk, struct mat dv, struct mat d_o,
                      struct mat o, const float *lse, struct mat q, struct mat k, struct mat v,
                      struct seqs s, const struct attention *a) {
    struct attending t = {.o = o, .lse = (float *)lse, .q = q, .k = k, .v = v, .sq = s, .sk = s,
                          .d_o = d_o, .dq = dq, .dk = dk, .dv = dv, .dots = cpu_shared(d)};
    int64_t work = 0;
    plan(&t, d, a);
    t.pairs = t.pairs && d_o.t == BF16;
    t.sums = dq;
    if (dq.t != F32)
        t.sums = mat_make((float *)cpu_shared(d) + (size_t)o.rows * (size_t)a->heads, o.rows,
                          a->heads * a->head_dim, F32);
    cpu_run(d, (o.rows + 63) / 64, cpu_bytes(o) * 2, dots_part, &t);
    for (int n = 0; n < s.n; n++) {
        int length = s.start[n + 1] - s.start[n];
        work += (int64_t)length * length * a->heads * 16;
    }
    cpu_run(d, s.n * a->kv_heads, work, back_part, &t);
}

void CPU_NAME(attention)(struct kernels *k) {
    k->attn = attn;
    k->attn_back = attn_back;
}
