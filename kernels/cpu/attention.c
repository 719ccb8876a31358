/* attention.c - causal attention over packed sequences, forward and backward, without a matrix of
 * scores (Dao et al. 2022), as products of tiles.
 *
 * The lanes of a vector are NR neighbours of one kind (queries forward and for dq, keys for dk and
 * dv); blocks of BK of the other kind pass by. Scores come out as [other][lane], which is already
 * the right panel of the next product, so a probability is never turned around, and maxima and sums
 * of a softmax are sums of vectors.
 *
 * A part is one sequence, one key head (with up to PANELS of the query heads that share it) and one
 * range of lanes. Blocks that are masked for the whole range are not visited. */
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

static struct span span_of(const struct attending *t, int part, bool lanes_are_keys) {
    struct span s = {0};
    const int32_t *of = lanes_are_keys ? t->sk.start : t->sq.start;
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

/* Left panels of a block: turned (lanes are rows, steps are columns of the head) or natural. */
static void pack_block(float *to, const struct factor *f, bool pairs) {
    pack_left(to, f, 0, f->lanes, 0, f->steps, pairs);
}

/* out [lanes up to MR, NR] gets or adds left' right over the first `units` of the `packed` steps.
 */
static void tiles(int lanes, int units, int packed, bool pairs, const float *left,
                  const float *right, float *out, bool add) {
    for (int l = 0; l < lanes; l += MR)
        tile(units, pairs, left + (size_t)l * (size_t)packed, right, out + (size_t)l * NR, NR, add,
             NULL);
}

/* Floats of a panel of sums: a row of NR for each column of a head, with the last tile's. */
static size_t panel_of(const struct attending *t) {
    return (size_t)groups_of(t->a.head_dim, MR) * MR * NR;
}

/* Scores that are probabilities or their gradients become the right panel of the next product. */
static void to_right(float *scores, int rows, bool pairs) {
    if (!HAS_PAIRS || !pairs) return;
    for (int r = 0; r < rows; r += 2)
        for (int j = 0; j < NR; j += V) {
            const float *s = scores + (size_t)r * NR + j;
            v_store(scores + (size_t)(r / 2) * NR + j,
                    v_pair(v_load(s), r + 1 < rows ? v_load(s + NR) : v_set(0)));
        }
}

/* sums [head_dim, NR] of `count` lanes into rows of m, each lane times its scale. */
static void store_lanes(struct mat m, int row, int count, int head, int head_dim, const float *sums,
                        const float *scale) {
    float turned[HD + 4];
    for (int lane = 0; lane < count; lane++) {
        void *to = cpu_row(mat_cols(m, head * head_dim, head_dim), row + lane);
        for (int c = 0; c < head_dim; c++) turned[c] = sums[(size_t)c * NR + lane] * scale[lane];
        for (int c = 0; c < head_dim; c += V)
            v_to(to, m.t, c, head_dim, v_at(turned, F32, c, head_dim));
    }
}

/* Numbers of consecutive lanes: first, first + 1, ... as floats, for comparing with a row's number.
 */
static void count_up(float *to, int first) {
    for (int i = 0; i < NR; i++) to[i] = (float)(first + i);
}

struct softmax { float most[NR], sum[NR], last_seen[NR]; };

/* One block of scores: the running maximum and sum go on, scores become probabilities, and what was
 * summed before is rescaled. */
static void soften(struct softmax *s, float *scores, int rows, int key, bool masked, float scale,
                   float *out, int head_dim) {
    for (int j = 0; j < NR; j += V) {
        vf seen = v_load(s->last_seen + j), before = v_load(s->most + j), most = before,
           sum = v_set(0);
        for (int r = 0; r < rows; r++) {
            float *at = scores + (size_t)r * NR + j;
            vf x = v_load(at) * v_set(scale);
            if (masked) x = v_less(seen, v_set((float)(key + r)), x, v_set(-INFINITY));
            v_store(at, x);
            most = v_max(x, most);
        }
        for (int r = 0; r < rows; r++) {
            float *at = scores + (size_t)r * NR + j;
            vf p = v_exp(v_load(at) - most);
            v_store(at, p);
            sum = sum + p;
        }
        vf fade = v_exp(before - most);
        v_store(s->most + j, most);
        v_store(s->sum + j, v_fma(v_load(s->sum + j), fade, sum));
        for (int c = 0; c < head_dim; c++) {
            float *at = out + (size_t)c * NR + j;
            v_store(at, v_load(at) * fade);
        }
    }
}

static void finish(const struct attending *t, const struct span *s, int panel,
                   const struct softmax *soft, const float *out) {
    int head = s->head + panel / s->panels_each, at = panel % s->panels_each * NR;
    int row = t->sq.start[s->seq] + s->first + at, count = cpu_least(NR, s->count - at);
    float scale[NR];
    for (int i = 0; i < count; i++) {
        bool any = soft->sum[i] > 0 || soft->sum[i] != soft->sum[i]; /* a NaN is passed on */
        scale[i] = any ? 1 / soft->sum[i] : 0;
        float lse = any ? (float)((double)soft->most[i] + log_of((double)soft->sum[i])) : -INFINITY;
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
        pack_right(to, &f, p % s->panels_each * NR, NR, 0, t->a.head_dim, t->pairs);
    }
}

static void forward_part(void *arg, int part, int thread) {
    const struct attending *t = arg;
    struct span s = span_of(t, part, false);
    int hd = t->a.head_dim, units = units_of(hd, t->pairs), panels = s.heads * s.panels_each;
    int start = t->sk.start[s.seq], last = cpu_least(s.keys, s.first + s.count + s.shift);
    struct softmax soft[PANELS];
    float *right = cpu_scratch(t->d, thread), *out = right + PANELS * HD * NR,
          *scores = out + PANELS * HD * NR;
    float *keys = scores + BK * NR, *values = keys + BK * HD;
    pack_lanes(t, &s, t->q, t->sq.start[s.seq], false, right);
    memset(out, 0, sizeof *out * (size_t)panels * HD * NR);
    for (int p = 0; p < panels; p++) {
        for (int i = 0; i < NR; i++) soft[p].most[i] = -1e30f, soft[p].sum[i] = 0;
        count_up(soft[p].last_seen, s.first + p % s.panels_each * NR + s.shift);
    }
    for (int key = 0; key < last; key += BK) {
        int count = cpu_least(BK, last - key);
        struct factor turned = head_rows(t->k, start + key, count, s.kv_head, hd, false);
        struct factor natural = head_rows(t->v, start + key, count, s.kv_head, hd, true);
        pack_block(keys, &turned, t->pairs);
        pack_block(values, &natural, t->pairs);
        for (int p = 0; p < panels; p++) {
            int from = s.first + p % s.panels_each * NR,
                rows = cpu_least(count, from + NR + s.shift - key);
            if (rows <= 0) continue;
            float *sums = out + (size_t)p * HD * NR;
            tiles(rows, units, units, t->pairs, keys, right + (size_t)p * (size_t)units * NR,
                  scores, false);
            bool masked = key + rows - 1 > from + s.shift;
            soften(&soft[p], scores, rows, key, masked, t->a.scale, sums, hd);
            to_right(scores, rows, t->pairs);
            tiles(hd, units_of(rows, t->pairs), units_of(count, t->pairs), t->pairs, values, scores,
                  sums, true);
        }
    }
    for (int p = 0; p < panels; p++) finish(t, &s, p, &soft[p], out + (size_t)p * HD * NR);
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

/* The scratch of the backward: two right factors and two sums for each panel, blocks of the others.
 */
struct back {
    float *right1, *right2, *sums1, *sums2, *scores, *grads, *turned1, *turned2, *natural1,
        *natural2;
};

static struct back back_of(const struct attending *t, int thread, int panels) {
    size_t panel = panel_of(t), block = (size_t)BK * (size_t)(t->a.head_dim + MR);
    struct back b;
    b.right1 = cpu_scratch(t->d, thread);
    b.right2 = b.right1 + panel * (size_t)panels;
    b.sums1 = b.right2 + panel * (size_t)panels;
    b.sums2 = b.sums1 + panel * (size_t)panels;
    b.scores = b.sums2 + panel * (size_t)panels;
    b.grads = b.scores + BK * NR;
    b.turned1 = b.grads + BK * NR;
    b.turned2 = b.turned1 + block;
    b.natural1 = b.turned2 + block;
    b.natural2 = b.natural1 + block;
    memset(b.sums1, 0, 2 * panel * (size_t)panels * sizeof(float));
    return b;
}

/* Lanes are queries: scores become ds = p (dp - dot). */
static void grade_queries(const struct back *b, int rows, int key, const float *lse,
                          const float *dot, const float *last_seen, float scale) {
    for (int j = 0; j < NR; j += V) {
        vf seen = v_load(last_seen + j), l = v_load(lse + j), d = v_load(dot + j);
        for (int r = 0; r < rows; r++) {
            float *at = b->scores + (size_t)r * NR + j;
            vf p = v_exp(v_fma(v_load(at), v_set(scale), v_set(0) - l));
            vf ds = p * (v_load(b->grads + (size_t)r * NR + j) - d);
            v_store(at, v_less(seen, v_set((float)(key + r)), ds, v_set(0)));
        }
    }
}

static void query_part(void *arg, int part, int thread) {
    const struct attending *t = arg;
    struct span s = span_of(t, part, false);
    int hd = t->a.head_dim, units = units_of(hd, t->pairs), panels = s.heads * s.panels_each;
    int start = t->sk.start[s.seq], last = cpu_least(s.keys, s.first + s.count);
    struct back b = back_of(t, thread, PANELS);
    float lse[PANELS][NR], dot[PANELS][NR], seen[PANELS][NR], scales[NR];
    pack_lanes(t, &s, t->q, start, false, b.right1);
    pack_lanes(t, &s, t->d_o, start, false, b.right2);
    for (int p = 0; p < panels; p++) {
        int head = s.head + p / s.panels_each, at = s.first + p % s.panels_each * NR;
        count_up(seen[p], at);
        for (int i = 0; i < NR;
             i++) { /* lanes beyond the last query repeat it; they are not stored */
            size_t row = (size_t)(start + cpu_least(at + i, s.queries - 1));
            lse[p][i] = t->lse[row * (size_t)t->a.heads + (size_t)head];
            dot[p][i] = t->dots[row * (size_t)t->a.heads + (size_t)head];
        }
    }
    for (int key = 0; key < last; key += BK) {
        int count = cpu_least(BK, last - key);
        struct factor k1 = head_rows(t->k, start + key, count, s.kv_head, hd, false);
        struct factor v1 = head_rows(t->v, start + key, count, s.kv_head, hd, false);
        struct factor k2 = head_rows(t->k, start + key, count, s.kv_head, hd, true);
        pack_block(b.turned1, &k1, t->pairs);
        pack_block(b.turned2, &v1, t->pairs);
        pack_block(b.natural1, &k2, t->pairs);
        for (int p = 0; p < panels; p++) {
            int rows = cpu_least(count, s.first + p % s.panels_each * NR + NR - key);
            if (rows <= 0) continue;
            size_t right = (size_t)p * (size_t)units * NR;
            tiles(rows, units, units, t->pairs, b.turned1, b.right1 + right, b.scores, false);
            tiles(rows, units, units, t->pairs, b.turned2, b.right2 + right, b.grads, false);
            grade_queries(&b, rows, key, lse[p], dot[p], seen[p], t->a.scale);
            to_right(b.scores, rows, t->pairs);
            tiles(hd, units_of(rows, t->pairs), units_of(count, t->pairs), t->pairs, b.natural1,
                  b.scores, b.sums1 + (size_t)p * panel_of(t), true);
        }
    }
    for (int i = 0; i < NR; i++) scales[i] = t->a.scale;
    for (int p = 0; p < panels; p++) {
        int at = p % s.panels_each * NR;
        store_lanes(t->dq, start + s.first + at, cpu_least(NR, s.count - at),
                    s.head + p / s.panels_each, hd, b.sums1 + (size_t)p * panel_of(t), scales);
    }
}

/* Lanes are keys: scores become p, grads become ds. */
static void grade_keys(const struct attending *t, const struct back *b, int rows, int row,
                       int query, int head, const float *lane) {
    for (int r = 0; r < rows; r++) {
        size_t at = (size_t)(row + r) * (size_t)t->a.heads + (size_t)head;
        vf l = v_set(-t->lse[at]), d = v_set(t->dots[at]), last = v_set((float)(query + r));
        for (int j = 0; j < NR; j += V) {
            float *s = b->scores + (size_t)r * NR + j, *g = b->grads + (size_t)r * NR + j;
            vf p = v_exp(v_fma(v_load(s), v_set(t->a.scale), l));
            p = v_less(last, v_load(lane + j), p, v_set(0));
            v_store(s, p);
            v_store(g, p * (v_load(g) - d));
        }
    }
}

/* One block of queries of one head passes by the keys of a span. */
static void pass_queries(const struct attending *t, const struct span *s, const struct back *b,
                         int head, int query, int count, float lane[][NR]) {
    int hd = t->a.head_dim, units = units_of(hd, t->pairs), row = t->sq.start[s->seq] + query;
    size_t panel = panel_of(t);
    struct factor q1 = head_rows(t->q, row, count, head, hd, false),
                  g1 = head_rows(t->d_o, row, count, head, hd, false);
    struct factor q2 = head_rows(t->q, row, count, head, hd, true),
                  g2 = head_rows(t->d_o, row, count, head, hd, true);
    pack_block(b->turned1, &q1, t->pairs);
    pack_block(b->turned2, &g1, t->pairs);
    pack_block(b->natural1, &q2, t->pairs);
    pack_block(b->natural2, &g2, t->pairs);
    for (int p = 0; p < s->panels_each; p++) {
        if (query + count - 1 < s->first + p * NR) continue;
        size_t right = (size_t)p * (size_t)units * NR;
        tiles(count, units, units, t->pairs, b->turned1, b->right1 + right, b->scores, false);
        tiles(count, units, units, t->pairs, b->turned2, b->right2 + right, b->grads, false);
        grade_keys(t, b, count, row, query, head, lane[p]);
        to_right(b->scores, count, t->pairs);
        to_right(b->grads, count, t->pairs);
        int all = units_of(count, t->pairs);
        tiles(hd, all, all, t->pairs, b->natural2, b->scores, b->sums2 + (size_t)p * panel, true);
        tiles(hd, all, all, t->pairs, b->natural1, b->grads, b->sums1 + (size_t)p * panel, true);
    }
}

static void key_part(void *arg, int part, int thread) {
    const struct attending *t = arg;
    struct span s = span_of(t, part, true);
    int hd = t->a.head_dim, start = t->sk.start[s.seq];
    size_t panel = panel_of(t);
    struct back b = back_of(t, thread, PANELS);
    float lane[PANELS][NR], scales[NR], ones[NR];
    pack_lanes(t, &s, t->k, start, true, b.right1);
    pack_lanes(t, &s, t->v, start, true, b.right2);
    for (int p = 0; p < s.panels_each; p++) count_up(lane[p], s.first + p * NR);
    for (int head = s.kv_head * t->group; head < (s.kv_head + 1) * t->group; head++)
        for (int query = s.first; query < s.queries; query += BK)
            pass_queries(t, &s, &b, head, query, cpu_least(BK, s.queries - query), lane);
    for (int i = 0; i < NR; i++) scales[i] = t->a.scale, ones[i] = 1;
    for (int p = 0; p < s.panels_each; p++) {
        int row = start + s.first + p * NR, count = cpu_least(NR, s.count - p * NR);
        store_lanes(t->dk, row, count, s.kv_head, hd, b.sums1 + (size_t)p * panel, scales);
        store_lanes(t->dv, row, count, s.kv_head, hd, b.sums2 + (size_t)p * panel, ones);
    }
}

static void attn_back(struct device *d, struct mat dq, struct mat dk, struct mat dv, struct mat d_o,
                      struct mat o, const float *lse, struct mat q, struct mat k, struct mat v,
                      struct seqs s, const struct attention *a) {
    struct attending t = {.o = o, .lse = (float *)lse, .q = q, .k = k, .v = v, .sq = s, .sk = s,
                          .d_o = d_o, .dq = dq, .dk = dk, .dv = dv, .dots = cpu_shared(d)};
    int64_t work = 0, parts = 0;
    plan(&t, d, a);
    t.pairs = t.pairs && d_o.t == BF16;
    cpu_run(d, (o.rows + 63) / 64, cpu_bytes(o) * 2, dots_part, &t);
    for (int n = 0; n < s.n; n++) {
        int length = s.start[n + 1] - s.start[n];
        parts += parts_of(&t, length);
        work += (int64_t)length * length * a->heads * 16;
    }
    cpu_run(d, (int)parts, work, query_part, &t);
    /* All query heads of a key head pass by the same sums, so a part has all its panels for keys.
     */
    t.sets = 1;
    t.lanes_each = PANELS * NR;
    parts = 0;
    for (int n = 0; n < s.n; n++) parts += parts_of(&t, s.start[n + 1] - s.start[n]);
    cpu_run(d, (int)parts, work, key_part, &t);
}

void CPU_NAME(attention)(struct kernels *k) {
    k->attn = attn;
    k->attn_back = attn_back;
}
