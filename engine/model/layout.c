/* layout.c - every buffer of a stage as a row of one table. The plan prints it and model_open
 * places it, so what was promised and what is used cannot differ.
 *
 * Recompute policies differ only in which rows a block has to itself; what it does not keep lies in
 * rows that all such blocks share. */
#include "engine/model/blueprint.h"
#include <string.h>

#define ALIGN 256

const char *owner_name(enum owner o)
{
    static const char *const names[OWNERS] = {"weights",     "masters", "moments",  "gradients",
                                              "activations", "cache",   "workspace"};
    return names[o];
}

struct making {
    struct blueprint *b;
    const struct device_info *device;
    int cap;
    struct arena *a;
};

static int row_add(struct making *m, const char *name, enum owner owner, int layer, int64_t bytes)
{
    struct layout *l = &m->b->layout;
    ROOM(m->a, l->rows, l->n, m->cap);
    l->rows[l->n] =
        (struct layout_row){.name = name, .owner = owner, .layer = layer, .bytes = bytes};
    return l->n++;
}

static int64_t aligned(int64_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

/* ---- weights ---- */

/* Which products a param takes part in. A gradient passes through it where something below is
 * trained. */
static unsigned packing_of(const struct blueprint *b, int param)
{
    const struct param *p = &b->parts.params[param];
    int order = param == b->parts.head ? order_norm(&b->config) + 1 : p->order;
    bool head = param == b->parts.head,
         back = b->parts.lowest < order || (p->kind == KIND_LORA_B && p->trained);
    if (param_is_vector(p) || (p->kind == KIND_EMBED && !head)) return 0;
    return PACK_FORWARD | (back ? PACK_BACKWARD : 0u);
}

/* Blocks of codes of a param's trained pieces: none is of two pieces, so each is saved whole. */
static int64_t moment_blocks(const struct blueprint *b, const struct param *p)
{
    int64_t blocks = 0;
    for (int i = p->piece; i < p->piece + p->n_pieces; i++)
        if (b->parts.pieces[i].trained) blocks += piece_blocks(&b->parts.pieces[i]);
    return blocks;
}

static void storage_make(struct making *m, int param)
{
    struct blueprint *b = m->b;
    const struct param *p = &b->parts.params[param];
    struct storage *s = &b->storage[param];
    enum dtype compute = b->training.compute;
    int64_t elements = (int64_t)p->rows * p->cols, packed = 0, trained = 0;
    bool wide = p->trained || param_is_vector(p) || param_is_lora(p);
    *s = (struct storage){
        .w = -1,
        .packed = -1,
        .grad = -1,
        .moments = -1,
        .scales = -1,
        .type = wide ? F32 : b->training.frozen,
        .gradient = p->kind == KIND_WEIGHT || p->kind == KIND_HEAD ? b->training.gradients : F32,
        .packing = packing_of(b, param)};
    /* BF16 in memory with products in F32: widened as it is read, a packed copy would double it. */
    if (s->packing && !(s->type == BF16 && compute == F32))
        packed = (int64_t)kernels_packed_bytes(m->device, p->rows, p->cols, compute, s->packing);
    if (packed) s->packed = row_add(m, p->name, OWN_WEIGHTS, p->layer, packed);
    /* What is frozen and packed is never read again, unless rows of it are looked up. */
    if (!packed || p->trained || p->kind == KIND_EMBED)
        s->w = row_add(m, p->name, p->trained ? OWN_MASTERS : OWN_WEIGHTS, p->layer,
                       elements * (int64_t)dtype_bytes(s->type));
    for (int r = p->run; r < p->run + p->n_runs; r++)
        trained += (int64_t)b->parts.runs[r].rows * b->parts.runs[r].cols;
    if (!trained) return;
    s->grad =
        row_add(m, p->name, OWN_GRADIENTS, p->layer, trained * (int64_t)dtype_bytes(s->gradient));
    s->moments = row_add(m, p->name, OWN_MOMENTS, p->layer,
                         2 * trained * (int64_t)dtype_bytes(b->training.moments));
    if (b->training.moments == U8)
        s->scales = row_add(m, p->name, OWN_MOMENTS, p->layer, 2 * 4 * moment_blocks(b, p));
    b->layout.parameters_trained += trained;
    if (param_is_lora(p)) b->layout.parameters_lora += trained;
}

/* ---- activations ---- */

/* An activation of one block: its own up to the policy that keeps it last, else the one all such
 * blocks share. */
static int act(struct making *m, int *shared, const char *name, enum recompute last, int layer,
               int64_t bytes)
{
    const struct blueprint *b = m->b;
    if (layer >= b->first_kept && recompute_of(&b->training, b->first_kept, layer) <= last)
        return row_add(m, name, OWN_ACTIVATIONS, layer, bytes);
    if (*shared < 0) *shared = row_add(m, name, OWN_ACTIVATIONS, -1, bytes);
    return *shared;
}

static int64_t low_bytes(const struct blueprint *b, int param, int64_t rows, int64_t type)
{
    return param < 0 ? 0 : rows * b->parts.params[param].rows * type;
}

static void block_make(struct making *m, struct block_rows *shared, int l)
{
    struct blueprint *b = m->b;
    struct block_rows *r = &b->layers[l];
    const struct model_config *c = &b->config;
    const struct block_parts *block = &b->parts.blocks[l];
    int64_t rows = b->shape.rows, ct = (int64_t)dtype_bytes(b->training.compute);
    int64_t d = c->dim, q = (int64_t)c->heads * c->head_dim, k = (int64_t)c->kv_heads * c->head_dim,
            f = c->ffn;
    const enum recompute none = RECOMPUTE_NONE, norms = RECOMPUTE_NORMS,
                         selective = RECOMPUTE_SELECTIVE, attention = RECOMPUTE_ATTENTION,
                         full = RECOMPUTE_FULL;
    r->x = act(m, &shared->x, "stream", full, l, rows * d * 4);
    r->rstd[0] = act(m, &shared->rstd[0], "attention rstd", attention, l, rows * 4);
    r->n[0] = act(m, &shared->n[0], "attention input", none, l, rows * d * ct);
    r->qkv = act(m, &shared->qkv, "qkv", attention, l, rows * (q + 2 * k) * ct);
    r->att = act(m, &shared->att, "attention", selective, l, rows * q * ct);
    r->lse = act(m, &shared->lse, "attention lse", selective, l, rows * c->heads * 4);
    r->mid = act(m, &shared->mid, "middle stream", selective, l, rows * d * 4);
    r->rstd[1] = act(m, &shared->rstd[1], "mlp rstd", selective, l, rows * 4);
    r->n[1] = act(m, &shared->n[1], "mlp input", none, l, rows * d * ct);
    r->gu = act(m, &shared->gu, "gate and up", attention, l, rows * 2 * f * ct);
    r->h = act(m, &shared->h, "swiglu", norms, l, rows * f * ct);
    for (int p = 0; p < PRODUCTS; p++) {
        int64_t low = low_bytes(b, block->low[p], rows, ct);
        r->low[p] = low ? act(m, &shared->low[p], "lora", attention, l, low) : -1;
    }
    r->cache_k = r->cache_v = -1;
    if (b->shape.cache_tokens < 1) return;
    r->cache_k = row_add(m, "keys", OWN_CACHE, l, b->shape.cache_tokens * k * ct);
    r->cache_v = row_add(m, "values", OWN_CACHE, l, b->shape.cache_tokens * k * ct);
}

static void blocks_make(struct making *m)
{
    struct blueprint *b = m->b;
    struct block_rows shared;
    memset(&shared, -1, sizeof shared);
    int layers = b->config.layers;
    b->first_kept = parts_first_kept(&b->parts, &b->config);
    for (int l = 0; l < layers; l++) block_make(m, &shared, l);
    struct block_rows *last = &b->layers[layers];
    memset(last, -1, sizeof *last);
    last->x = act(m, &shared.x, "stream", RECOMPUTE_FULL, layers,
                  (int64_t)b->shape.rows * b->config.dim * 4);
}

static void head_make(struct making *m)
{
    struct blueprint *b = m->b;
    int64_t T = b->shape.rows, R = b->shape.loss_rows, d = b->config.dim, V = b->config.vocab;
    int64_t ct = (int64_t)dtype_bytes(b->training.compute);
    b->xs = row_add(m, "head stream", OWN_ACTIVATIONS, -1, R * d * 4);
    b->ns = row_add(m, "head input", OWN_ACTIVATIONS, -1, R * d * ct);
    b->rstd = row_add(m, "head rstd", OWN_ACTIVATIONS, -1, R * 4);
    b->logits = row_add(m, "logits", OWN_ACTIVATIONS, -1, R * V * 4);
    b->loss = row_add(m, "losses", OWN_ACTIVATIONS, -1, T * 4);
    b->dns = b->dlab = -1;
    if (b->parts.lowest > order_norm(&b->config)) return;
    b->dns = row_add(m, "head input gradient", OWN_ACTIVATIONS, -1, R * d * ct);
    b->dlab = row_add(m, "head stream gradient", OWN_ACTIVATIONS, -1, T * d * 4);
}

/* Scratch of a block's backward pass, and of LoRA's dropout in both directions. */
static void backward_make(struct making *m)
{
    struct blueprint *b = m->b;
    const struct model_config *c = &b->config;
    int64_t T = b->shape.rows, d = c->dim, q = (int64_t)c->heads * c->head_dim,
            k = (int64_t)c->kv_heads * c->head_dim;
    int64_t ct = (int64_t)dtype_bytes(b->training.compute), wide = 2 * q + 2 * k, low = 0, in = 0;
    b->dx = b->dxc = b->dn = b->wide = b->drop = b->dlow = -1;
    if (b->parts.lowest >= order_norm(c)) return;
    if (c->ffn > wide) wide = c->ffn;
    b->dx = row_add(m, "stream gradient", OWN_ACTIVATIONS, -1, T * d * 4);
    if (b->training.compute != F32)
        b->dxc = row_add(m, "rounded stream gradient", OWN_ACTIVATIONS, -1, T * d * ct);
    b->dn = row_add(m, "input gradient", OWN_ACTIVATIONS, -1, T * d * ct);
    b->wide = row_add(m, "block gradient", OWN_ACTIVATIONS, -1, T * wide * ct);
    for (int p = 0; p < PRODUCTS; p++) {
        int64_t bytes = low_bytes(b, b->parts.blocks[0].low[p], T, ct),
                wants = linear_in(c, products[p].first);
        if (bytes > low) low = bytes;
        if (bytes && wants > in) in = wants;
    }
    if (low) b->dlow = row_add(m, "lora gradient", OWN_ACTIVATIONS, -1, low);
    if (low && b->training.lora.dropout > 0)
        b->drop = row_add(m, "lora input", OWN_ACTIVATIONS, -1, T * in * ct);
}

static void rest_make(struct making *m)
{
    struct blueprint *b = m->b;
    const struct model_config *c = &b->config;
    int64_t T = b->shape.rows;
    b->positions =
        b->shape.longest > b->shape.cache_tokens ? b->shape.longest : b->shape.cache_tokens;
    b->rope = row_add(m, "rope", OWN_WORKSPACE, -1, (int64_t)b->positions * c->head_dim * 4);
    b->ids = row_add(m, "ids", OWN_WORKSPACE, -1, T * 4);
    b->pos = row_add(m, "positions", OWN_WORKSPACE, -1, T * 4);
    b->index = row_add(m, "labelled rows", OWN_WORKSPACE, -1, T * 4);
    b->targets = row_add(m, "labels", OWN_WORKSPACE, -1, T * 4);
    b->drawn = row_add(m, "drawn token", OWN_WORKSPACE, -1, 4);
    b->block = row_add(m, "scalars", OWN_WORKSPACE, -1, (int64_t)sizeof(struct block));
    struct shape s = {.rows = b->shape.rows,
                      .longest = b->positions,
                      .dim = c->dim,
                      .heads = c->heads,
                      .kv_heads = c->kv_heads,
                      .head_dim = c->head_dim,
                      .ffn = c->ffn,
                      .vocab = c->vocab,
                      .loss_rows = b->shape.loss_rows,
                      .t = b->training.compute};
    b->workspace =
        row_add(m, "workspace", OWN_WORKSPACE, -1, (int64_t)kernels_workspace_bytes(m->device, &s));
}

/* ---- places ---- */

static void place_row(struct layout *l, struct layout_row *r)
{
    r->at = l->bytes;
    l->bytes += aligned(r->bytes);
    l->owned[r->owner] += aligned(r->bytes);
}

static int64_t bytes_of(const struct layout *l, enum when when, int layer)
{
    int64_t bytes = 0;
    for (int i = 0; i < l->n; i++)
        if (l->rows[i].when == when && l->rows[i].layer == layer)
            bytes += aligned(l->rows[i].bytes);
    return bytes;
}

/* Activations of the layers lie from the lowest up, gradients from the end down, the topmost
 * layer's at the very end. The backward pass of a layer needs the activations up to it and the
 * gradients from it on: the end is where these never meet. */
static void place_layers(struct layout *l, int layers)
{
    int64_t begin = l->bytes, kept = 0, later = 0, end = 0, activations = 0;
    for (int k = 0; k <= layers; k++)
        for (int i = 0; i < l->n; i++)
            if (l->rows[i].when == WHEN_KEPT && l->rows[i].layer == k) place_row(l, &l->rows[i]);
    activations = kept = l->bytes - begin;
    for (int k = layers; k >= -1; k--) {
        later += bytes_of(l, WHEN_AFTER, k);
        if (kept + later > end) end = kept + later;
        kept -= k >= 0 ? bytes_of(l, WHEN_KEPT, k) : 0;
    }
    if (end < activations) end = activations;
    int64_t at = begin + end;
    for (int k = layers; k >= -1; k--)
        for (int i = 0; i < l->n; i++)
            if (l->rows[i].when == WHEN_AFTER && l->rows[i].layer == k)
                l->rows[i].at = at -= aligned(l->rows[i].bytes);
    l->owned[OWN_GRADIENTS] += end - activations;
    l->over += later - (end - activations);
    l->bytes = begin + end;
}

/* Rows of one time one after the other from `at` on; their end. */
static int64_t place_from(struct layout *l, enum when when, int64_t at)
{
    for (int i = 0; i < l->n; i++) {
        struct layout_row *r = &l->rows[i];
        if (r->when != when) continue;
        r->at = at;
        at += aligned(r->bytes);
    }
    return at;
}

/* The head's scratch, the backward pass's, and the chat's, which begins behind the head's first row
 * of logits, all in one place. */
static void place_scratch(struct blueprint *b)
{
    struct layout *l = &b->layout;
    int64_t begin = l->bytes, head = place_from(l, WHEN_HEAD, begin),
            back = place_from(l, WHEN_BACKWARD, begin);
    int64_t row = aligned((int64_t)b->config.vocab * 4);
    int64_t behind = row < l->rows[b->logits].bytes ? l->rows[b->logits].at + row : head;
    int64_t chat = place_from(l, WHEN_CHAT, behind), end = back > head ? back : head;
    l->owned[OWN_ACTIVATIONS] += end - begin;
    l->owned[OWN_CACHE] += chat > end ? chat - end : 0;
    l->over += (head - begin) + (back - begin) + (chat - behind);
    l->bytes = chat > end ? chat : end;
    l->over -= l->bytes - begin;
}

/* Which rows need not be there always. */
static void times(struct blueprint *b)
{
    struct layout_row *rows = b->layout.rows;
    const int head[] = {b->xs, b->ns, b->rstd, b->logits, b->dns};
    const int back[] = {b->dx, b->dxc, b->dn, b->wide, b->drop, b->dlow};
    for (size_t i = 0; i < COUNT(head); i++)
        if (head[i] >= 0) rows[head[i]].when = WHEN_HEAD;
    for (size_t i = 0; i < COUNT(back); i++)
        if (back[i] >= 0) rows[back[i]].when = WHEN_BACKWARD;
    for (int i = 0; i < b->layout.n; i++) {
        if (rows[i].owner == OWN_CACHE) rows[i].when = WHEN_CHAT;
        if (rows[i].owner == OWN_ACTIVATIONS && rows[i].layer >= 0) rows[i].when = WHEN_KEPT;
    }
    for (int i = 0; i < b->parts.n_params && b->shape.alone; i++) {
        int grad = b->storage[i].grad;
        bool late = b->parts.params[i].layer >= 0 || (i == b->parts.embed && i != b->parts.head);
        if (grad >= 0 && late) rows[grad].when = WHEN_AFTER;
    }
}

/* Rows lie by owner, but for those that share a place. Everything after the weights is free while
 * those are packed; where the largest of them does not fit there, a row makes up the difference. */
static void place(struct making *m)
{
    struct blueprint *b = m->b;
    struct layout *l = &b->layout;
    int64_t staged = 0;
    times(b);
    for (int i = 0; i < b->parts.n_params; i++) {
        const struct param *p = &b->parts.params[i];
        int64_t bytes = (int64_t)p->rows * p->cols * (int64_t)dtype_bytes(b->storage[i].type);
        if (b->storage[i].w < 0 && bytes > staged) staged = bytes;
    }
    for (enum owner o = 0; o < OWNERS; o++) {
        if (o == OWN_WEIGHTS + 1) b->zone = l->bytes;
        if (o == OWN_ACTIVATIONS) place_layers(l, b->config.layers);
        if (o == OWN_ACTIVATIONS) place_scratch(b);
        for (int i = 0; i < l->n; i++)
            if (l->rows[i].owner == o && l->rows[i].when == WHEN_ALWAYS) place_row(l, &l->rows[i]);
    }
    b->staging = -1;
    if (staged <= l->bytes - b->zone) return;
    b->staging = row_add(m, "loading", OWN_WORKSPACE, -1, staged - (l->bytes - b->zone));
    place_row(l, &l->rows[b->staging]);
}

static bool shape_check(const struct model_config *c, const struct training *t,
                        const struct model_shape *s, struct err *err)
{
    if (s->rows < 1 || s->longest < 1 || s->longest > s->rows || s->loss_rows < 1 ||
        s->cache_tokens < 0)
        return fail(err,
                    "a micro-batch of %d rows, %d of one document, %d labels a slice and %d tokens "
                    "of cache is not "
                    "possible",
                    s->rows, s->longest, s->loss_rows, s->cache_tokens);
    if (t->recompute_layers < 0 || t->recompute_layers > c->layers)
        return fail(err,
                    "gradient_checkpointing_layers: %d is not possible: the model has %d layers",
                    t->recompute_layers, c->layers);
    if (t->gradients != F32 && t->gradients != BF16)
        return fail(err, "gradients are kept as fp32 or bf16; nothing else is built");
    if (t->moments != F32 && t->moments != BF16 && t->moments != U8)
        return fail(err, "moments are kept as fp32, bf16 or 8bit; nothing else is built");
    if ((t->compute != F32 && t->compute != BF16) || (t->frozen != F32 && t->frozen != BF16))
        return fail(err, "weights are multiplied and kept as fp32 or bf16; nothing else is built");
    if (c->head_dim > ATTENTION_HEAD_DIM || c->head_dim % 2)
        return fail(err, "heads of %d columns: even numbers up to %d are possible", c->head_dim,
                    ATTENTION_HEAD_DIM);
    return true;
}

bool blueprint_make(struct blueprint *out, const struct model_config *c, const struct training *t,
                    const struct model_shape *shape, const struct device_info *device,
                    struct arena *a, struct err *err)
{
    *out = (struct blueprint){.config = *c, .training = *t, .shape = *shape};
    struct making m = {.b = out, .device = device, .a = a};
    if (!shape_check(c, t, shape, err)) return false;
    parts_make(&out->parts, c, &t->lora, a);
    if (!parts_train(&out->parts, c, t, a, err)) return false;
    out->storage = NEW_N(a, struct storage, out->parts.n_params);
    out->layers = NEW_N(a, struct block_rows, c->layers + 1);
    for (int i = 0; i < out->parts.n_params; i++) storage_make(&m, i);
    blocks_make(&m);
    head_make(&m);
    backward_make(&m);
    rest_make(&m);
    place(&m);
    return true;
}

bool layout_make(struct layout *out, const struct model_config *c, const struct training *t,
                 const struct model_shape *shape, const struct device_info *device, struct arena *a,
                 struct err *err)
{
    struct blueprint b;
    if (!blueprint_make(&b, c, t, shape, device, a, err)) return false;
    *out = b.layout;
    return true;
}
