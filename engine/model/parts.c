/* parts.c - the tables of parts.h: every tensor of a model in the order of its forward pass, and
 * which of them a stage trains. */
#include "engine/model/parts.h"
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACES 6 /* of a block in which a gradient can end */

int order_block(int layer, int place) { return 1 + PLACES * layer + place; }
int order_norm(const struct model_config *c) { return order_block(c->layers, 0); }

int parts_first_kept(const struct parts *p, const struct model_config *c)
{
    if (p->lowest == 0) return 0;
    return p->lowest >= order_norm(c) ? c->layers + 1 : (p->lowest - 1) / PLACES;
}

enum recompute recompute_of(const struct training *t, int first_kept, int layer)
{
    bool less = t->recompute_layers > 0 && layer >= first_kept + t->recompute_layers;
    return less && t->recompute > RECOMPUTE_NONE ? t->recompute - 1 : t->recompute;
}

static const int place_of_product[PRODUCTS] = {1, 2, 4, 5};
static const char *const norm_names[2] = {"attention norm", "mlp norm"};
static const char *const bias_names[PRODUCTS] = {"qkv bias", "attention output bias",
                                                 "gate and up bias", "down bias"};
static const char *const low_names[PRODUCTS] = {"qkv lora a", "attention output lora a",
                                                "gate and up lora a", "down lora a"};
static const char *const up_names[LINEARS] = {"q lora b",    "k lora b",  "v lora b",   "o lora b",
                                              "gate lora b", "up lora b", "down lora b"};

bool param_is_vector(const struct param *p) { return p->kind == KIND_NORM || p->kind == KIND_BIAS; }
bool param_is_lora(const struct param *p)
{
    return p->kind == KIND_LORA_A || p->kind == KIND_LORA_B;
}

int64_t piece_blocks(const struct piece *p)
{
    return ((int64_t)p->rows * p->cols + MOMENT_BLOCK - 1) / MOMENT_BLOCK;
}

float lora_scale(const struct lora *l)
{
    return l->rank_stabilised ? l->alpha / sqrtf((float)l->rank) : l->alpha / (float)l->rank;
}

char *piece_shape(char out[48], const struct piece *p, bool vector)
{
    if (vector) snprintf(out, 48, "[%lld]", (long long)p->rows * p->cols);
    else snprintf(out, 48, "[%d, %d]", p->rows, p->cols);
    return out;
}

/* ---- all tensors ---- */

static int param_add(struct parts *p, const char *name, enum kind kind, int layer, int order)
{
    p->params[p->n_params] = (struct param){
        .name = name, .kind = kind, .layer = layer, .order = order, .piece = p->n_pieces};
    return p->n_params++;
}

/* The next piece of the param added last: below its siblings, or beside them where it is a bias. */
static void piece_add(struct parts *p, const char *name, int rows, int cols, enum linear linear)
{
    struct param *m = &p->params[p->n_params - 1];
    int first = m->kind == KIND_BIAS ? m->cols : m->rows;
    p->pieces[p->n_pieces++] = (struct piece){.name = name,
                                              .param = p->n_params - 1,
                                              .first = first,
                                              .rows = rows,
                                              .cols = cols,
                                              .linear = linear};
    m->n_pieces++;
    if (m->kind == KIND_BIAS) {
        m->rows = 1;
        m->cols += cols;
    } else {
        m->rows += rows;
        m->cols = cols;
    }
}

static const char *name_of(struct arena *a, const char *pattern, int layer, const char *before,
                           const char *after)
{
    char module[256], number[16];
    const char *hole = strstr(pattern, "%d");
    snprintf(number, sizeof number, "%d", layer);
    if (hole)
        snprintf(module, sizeof module, "%.*s%s%s", (int)(hole - pattern), pattern, number,
                 hole + 2);
    else snprintf(module, sizeof module, "%s", pattern);
    return arena_printf(a, "%s%s%s", before, module, after);
}

static bool has_bias(const struct model_config *c, enum linear l)
{
    enum bias_rule rule = c->family->linear[l].bias;
    return (rule == BIAS_ATTENTION && c->attention_bias) || (rule == BIAS_MLP && c->mlp_bias);
}

static void product_add(struct parts *p, const struct model_config *c, const struct lora *lora,
                        int layer, enum product product, struct arena *a)
{
    const struct product_row *row = &products[product];
    struct block_parts *b = &p->blocks[layer];
    int order = order_block(layer, place_of_product[product]), end = (int)row->first + row->n;
    b->weight[product] = param_add(p, row->name, KIND_WEIGHT, layer, order);
    for (int l = (int)row->first; l < end; l++)
        piece_add(p, name_of(a, c->family->linear[l].module, layer, "", ".weight"),
                  linear_out(c, (enum linear)l), linear_in(c, (enum linear)l), (enum linear)l);
    b->bias[product] = -1;
    if (has_bias(c, row->first)) {
        b->bias[product] = param_add(p, bias_names[product], KIND_BIAS, layer, order);
        for (int l = (int)row->first; l < end; l++)
            piece_add(p, name_of(a, c->family->linear[l].module, layer, "", ".bias"), 1,
                      linear_out(c, (enum linear)l), (enum linear)l);
    }
    b->low[product] = -1;
    unsigned siblings =
        lora && lora->rank > 0 ? lora->targets >> row->first & ((1u << row->n) - 1) : 0;
    if (siblings) b->low[product] = param_add(p, low_names[product], KIND_LORA_A, layer, order);
    for (int l = (int)row->first; l < end; l++)
        if (siblings >> (l - (int)row->first) & 1)
            piece_add(p,
                      name_of(a, c->family->linear[l].module, layer, "base_model.model.",
                              ".lora_A.weight"),
                      lora->rank, linear_in(c, (enum linear)l), (enum linear)l);
    for (int l = (int)row->first; l < end; l++) {
        b->up[l] = -1;
        if (!(siblings >> (l - (int)row->first) & 1)) continue;
        b->up[l] = param_add(p, up_names[l], KIND_LORA_B, layer, order);
        piece_add(
            p,
            name_of(a, c->family->linear[l].module, layer, "base_model.model.", ".lora_B.weight"),
            linear_out(c, (enum linear)l), lora->rank, (enum linear)l);
    }
}

static int norm_add(struct parts *p, const struct model_config *c, const char *label,
                    const char *name, int layer, int order)
{
    int param = param_add(p, label, KIND_NORM, layer, order);
    piece_add(p, name, 1, c->dim, LINEARS);
    return param;
}

void parts_make(struct parts *out, const struct model_config *c, const struct lora *lora,
                struct arena *a)
{
    const struct family *f = c->family;
    int params_most = 3 + c->layers * (2 + 3 * PRODUCTS + LINEARS),
        pieces_most = 3 + c->layers * (2 + 4 * LINEARS);
    *out = (struct parts){.params = NEW_N(a, struct param, params_most),
                          .pieces = NEW_N(a, struct piece, pieces_most),
                          .blocks = NEW_N(a, struct block_parts, c->layers),
                          .lowest = ORDER_NONE};
    out->embed = param_add(out, "embeddings", KIND_EMBED, -1, 0);
    piece_add(out, f->embed, c->vocab, c->dim, LINEARS);
    for (int l = 0; l < c->layers; l++) {
        struct block_parts *b = &out->blocks[l];
        for (int p = 0; p < PRODUCTS; p++) {
            if (p == PRODUCT_QKV || p == PRODUCT_GATE_UP) {
                int n = p == PRODUCT_GATE_UP;
                b->norm[n] =
                    norm_add(out, c, norm_names[n], name_of(a, f->block_norm[n], l, "", ""), l,
                             order_block(l, n * 3));
            }
            product_add(out, c, lora, l, (enum product)p, a);
        }
    }
    out->norm = norm_add(out, c, "last norm", f->norm, -1, order_norm(c));
    out->head = out->embed;
    if (c->tied) return;
    out->head = param_add(out, "head", KIND_HEAD, -1, order_norm(c) + 1);
    piece_add(out, f->head, c->vocab, c->dim, LINEARS);
}

/* ---- what is trained ---- */

/* One word of `train`: marks its pieces and returns how many, or -1 with an error. */
struct choice {
    const char *word;
    bool (*takes)(const struct parts *, const struct model_config *, const struct param *);
};

static bool takes_full(const struct parts *p, const struct model_config *c, const struct param *m)
{
    (void)p, (void)c;
    return !param_is_lora(m);
}
static bool takes_lora(const struct parts *p, const struct model_config *c, const struct param *m)
{
    (void)p, (void)c;
    return param_is_lora(m);
}
static bool takes_embeddings(const struct parts *p, const struct model_config *c,
                             const struct param *m)
{
    (void)p, (void)c;
    return m->kind == KIND_EMBED;
}
static bool takes_head(const struct parts *p, const struct model_config *c, const struct param *m)
{
    (void)c;
    return m == &p->params[p->head];
}
static bool takes_norms(const struct parts *p, const struct model_config *c, const struct param *m)
{
    (void)p, (void)c;
    return m->kind == KIND_NORM;
}

static const struct choice choices[] = {
    {"full", takes_full},    {"lora", takes_lora},   {"embeddings", takes_embeddings},
    {"lm_head", takes_head}, {"norms", takes_norms},
};

static int mark(struct parts *p, struct param *m, int piece)
{
    p->pieces[piece].trained = m->trained = true;
    return 1;
}

static bool train_last(struct parts *p, const struct model_config *c, const char *word,
                       struct err *err)
{
    char *end;
    long n = strtol(word + 5, &end, 10);
    if (end == word + 5 || *end || n < 1 || n > c->layers)
        return fail(err,
                    "train: \"%s\" is not possible: the model has %d layers, so last:1 to last:%d "
                    "are allowed",
                    word, c->layers, c->layers);
    for (int i = 0; i < p->n_pieces; i++) {
        struct param *m = &p->params[p->pieces[i].param];
        if (m->layer >= c->layers - (int)n && !param_is_lora(m)) mark(p, m, i);
    }
    return true;
}

static bool train_pattern(struct parts *p, const char *word, struct err *err)
{
    size_t n = strlen(word);
    char pattern[512];
    if (n < 3 || word[n - 1] != '/' || n - 2 >= sizeof pattern)
        return fail(err, "train: \"%s\" is no pattern: write /regex/, at most 500 characters",
                    word);
    memcpy(pattern, word + 1, n - 2);
    pattern[n - 2] = 0;
    regex_t re;
    int code = regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB);
    if (code) {
        char why[128];
        regerror(code, &re, why, sizeof why);
        return fail(err, "train: the pattern %s is not valid: %s", word, why);
    }
    int marked = 0;
    for (int i = 0; i < p->n_pieces; i++) {
        struct param *m = &p->params[p->pieces[i].param];
        if (!param_is_lora(m) && regexec(&re, p->pieces[i].name, 0, NULL, 0) == 0)
            marked += mark(p, m, i);
    }
    regfree(&re);
    return marked ? true
                  : fail(err,
                         "train: the pattern %s matches no tensor of the model; a name is for "
                         "instance %s",
                         word, p->pieces[p->params[p->norm].piece].name);
}

static bool train_word(struct parts *p, const struct model_config *c, const char *word,
                       struct err *err)
{
    if (word[0] == '/') return train_pattern(p, word, err);
    if (!strncmp(word, "last:", 5)) return train_last(p, c, word, err);
    for (size_t w = 0; w < COUNT(choices); w++) {
        if (strcmp(word, choices[w].word) != 0) continue;
        for (int i = 0; i < p->n_pieces; i++) {
            struct param *m = &p->params[p->pieces[i].param];
            if (choices[w].takes(p, c, m)) mark(p, m, i);
        }
        return true;
    }
    return fail(err,
                "train: \"%s\" is not known; allowed are full, lora, or a list of embeddings, "
                "lm_head, norms, last:N "
                "and /regex/",
                word);
}

/* Neighbouring trained pieces of a param become one run: a product for their gradient. */
static void runs_of(struct parts *p, int param, const struct training *t)
{
    struct param *m = &p->params[param];
    int64_t at = 0;
    bool vector = param_is_vector(m), open = false;
    m->run = p->n_runs;
    for (int i = m->piece; i < m->piece + m->n_pieces; i++) {
        const struct piece *piece = &p->pieces[i];
        if (piece->trained && open) {
            struct run *r = &p->runs[p->n_runs - 1];
            if (vector) r->cols += piece->cols;
            else r->rows += piece->rows;
        } else if (piece->trained) {
            p->runs[p->n_runs++] =
                (struct run){.param = param,
                             .first = piece->first,
                             .rows = piece->rows,
                             .cols = piece->cols,
                             .at = at,
                             .decay = vector && !t->decay_all ? 0 : t->weight_decay};
        }
        open = piece->trained;
        if (open) at += (int64_t)piece->rows * piece->cols;
    }
    m->n_runs = p->n_runs - m->run;
}

bool parts_train(struct parts *p, const struct model_config *c, const struct training *t,
                 struct arena *a, struct err *err)
{
    for (int i = 0; i < t->n_parts; i++) {
        bool whole = !strcmp(t->parts[i], "full") || !strcmp(t->parts[i], "lora");
        if (whole && t->n_parts > 1)
            return fail(err,
                        "train: \"%s\" stands alone; a list is made of embeddings, lm_head, norms, "
                        "last:N and /regex/",
                        t->parts[i]);
        if (!strcmp(t->parts[i], "lora") && (t->lora.rank < 1 || !t->lora.targets))
            return fail(err,
                        "train: lora needs a rank of at least 1 and target modules; the rank is %d",
                        t->lora.rank);
        if (!train_word(p, c, t->parts[i], err)) return false;
    }
    p->runs = NEW_N(a, struct run, p->n_pieces);
    for (int i = 0; i < p->n_params; i++) {
        if (p->params[i].trained && p->params[i].order < p->lowest) p->lowest = p->params[i].order;
        runs_of(p, i, t);
    }
    return true;
}
