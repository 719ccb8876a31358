/* plan_fit.c - which micro-batch and which recompute a stage gets, and what to change where none
 * fits.
 *
 * Every way that fits costs some time: small micro-batches read the weights more often, recompute
 * does work again. The cheapest is taken. `selective` is as fast as keeping everything (its three
 * passes over memory replace writes that would miss the caches; measured), so it comes first. */
#include "engine/run/plan_parts.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    ROWS_BEST =
        2048, /* tokens of a micro-batch from which a processor's products are at their best */
    ROWS_BEST_GPU = 16384, /* the same of a GPU's, and of its kernels' */
    ROWS_LOST = 32, /* a micro-batch costs as if it had so many tokens more: weights are packed
                       for each (measured) */
    LOSS_BYTES = 128 << 20, /* of a slice of logits */
    LOSS_ROWS_MOST = 1024,
    LOSS_ROWS_LEAST = 64,
    CACHE_TOKENS = 2048, /* of a chat with the weights in training */
    LENGTH_LEAST = 64,   /* the shortest max_length that is proposed */
};

static bool on_gpu(const struct plan_inputs *in)
{
    return strcmp(in->machine->device.backend, "cuda") == 0;
}

int64_t plan_bytes_most(const struct plan_inputs *in)
{
    int64_t free = in->machine->device.memory_free;
    if (free <= 0) return INT64_MAX;
    if (on_gpu(in)) return free - free / 64; /* what is beside the model is in the host's memory */
    return free - free / 32 -
           in->plan.host_bytes; /* a thirty-second stays for what else this machine does */
}

/* Rows of a slice of the head, slices of about equal size: each of them packs the head's weight
 * anew. A pure function of the profile, so that the same run gives the same bits. */
static int loss_rows(int vocab, int rows)
{
    int most = (int)(LOSS_BYTES / ((int64_t)vocab * 4) / LOSS_ROWS_LEAST * LOSS_ROWS_LEAST);
    if (most > LOSS_ROWS_MOST) most = LOSS_ROWS_MOST;
    if (most < LOSS_ROWS_LEAST) most = LOSS_ROWS_LEAST;
    int slices = (rows + most - 1) / most, even = (rows + slices - 1) / slices;
    return slices < 2 ? rows : (even + 15) / 16 * 16;
}

static struct model_shape shape_of(const struct plan_inputs *in, int max_length, int micro)
{
    const struct model_config *c = &in->plan.model;
    int rows = micro * max_length, context = c->max_position > 0 && c->max_position < CACHE_TOKENS
                                                 ? c->max_position
                                                 : CACHE_TOKENS;
    return (struct model_shape){.rows = rows,
                                .longest = max_length,
                                .loss_rows = loss_rows(c->vocab, rows),
                                .cache_tokens = context};
}

/* What is open and what is said. */
struct attempt {
    struct training training;
    int max_length, micro;
    bool micro_fixed, recompute_fixed;
};

/* What was tried last, and what is known of it. */
struct trial {
    const struct plan_inputs *in;
    const struct attempt *t;
    struct plan_stage *p;
    struct arena *a;
    struct err *err;
    bool failed;
    int64_t least; /* bytes of the smallest that was tried */
};

/* Micro-batches of about equal size: 15 windows in two are 8 and 7, not 14 and 1. */
static int even(int windows, int micro)
{
    int parts = (windows + micro - 1) / micro;
    return (windows + parts - 1) / parts;
}

static bool layout_of(struct trial *x, int micro, enum recompute recompute, int layers)
{
    struct plan_stage *p = x->p;
    p->training = x->t->training;
    p->training.recompute = recompute;
    p->training.recompute_layers = layers;
    p->micro_batch = micro;
    p->accumulation = (p->windows_per_step + micro - 1) / micro;
    p->shape = shape_of(x->in, x->t->max_length, micro);
    p->shape.alone = p->accumulation == 1;
    return layout_make(&p->layout, &x->in->plan.model, &p->training, &p->shape,
                       &x->in->machine->device, x->a, x->err);
}

static bool fits(struct trial *x, int micro, enum recompute recompute, int layers)
{
    struct arena_mark mark = arena_mark(x->a);
    if (!layout_of(x, micro, recompute, layers)) x->failed = true;
    arena_back(x->a, mark);
    if (x->failed) return false;
    if (x->p->layout.bytes < x->least) x->least = x->p->layout.bytes;
    return x->p->layout.bytes <= plan_bytes_most(x->in);
}

/* The time of a way, in any unit: what is computed, and what a micro-batch loses. */
static double cost_of(const struct trial *x)
{
    const struct plan_stage *p = x->p;
    enum { TOKENS = 4096 };
    double hardware;
    model_flops(&x->in->plan.model, &p->training, TOKENS, (double)TOKENS * x->t->max_length / 2,
                TOKENS, &hardware);
    return hardware * (1 + (double)ROWS_LOST / p->shape.rows);
}

/* With this micro-batch: the least recompute that fits, in as few layers as it takes. */
static bool least_recompute(struct trial *x, int micro, enum recompute *recompute, int *layers)
{
    if (x->t->recompute_fixed) {
        *recompute = x->t->training.recompute;
        *layers = x->t->training.recompute_layers;
        return fits(x, micro, *recompute, *layers);
    }
    for (int r = RECOMPUTE_SELECTIVE; r <= RECOMPUTE_FULL && !x->failed; r++) {
        if (!fits(x, micro, (enum recompute)r, 0)) continue;
        int low = 0, high = x->in->plan.model.layers; /* high fits, low does not */
        while (r > RECOMPUTE_SELECTIVE && high - low > 1) {
            int middle = (low + high) / 2;
            if (fits(x, micro, (enum recompute)r, middle)) high = middle;
            else low = middle;
        }
        *recompute = (enum recompute)r;
        *layers = r > RECOMPUTE_SELECTIVE && high < x->in->plan.model.layers ? high : 0;
        return fits(x, micro, *recompute, *layers);
    }
    return false;
}

/* 1 where an attempt fits, and p then holds the cheapest way; 0 where it does not; -1: an error. */
static int try_all(struct trial *x)
{
    double best = INFINITY;
    int micro_best = 0, layers_best = 0, before = 0;
    enum recompute recompute_best = RECOMPUTE_NONE;
    x->least = INT64_MAX;
    for (int most = x->t->micro; most > 0 && !x->failed; most /= 2) {
        int micro = x->t->micro_fixed ? most : even(x->p->windows_per_step, most), layers;
        enum recompute recompute;
        if (micro != before && least_recompute(x, micro, &recompute, &layers) &&
            cost_of(x) < best) {
            best = cost_of(x);
            micro_best = micro, recompute_best = recompute, layers_best = layers;
        }
        bool cheapest = micro_best && recompute_best <= RECOMPUTE_SELECTIVE;
        if (x->t->micro_fixed || cheapest) break;
        before = micro;
    }
    if (x->failed) return -1;
    if (!micro_best) return 0;
    return layout_of(x, micro_best, recompute_best, layers_best) ? 1 : -1;
}

/* ---- where nothing fits ---- */

/* A change of one key, as it would be written, and what the stage then needs at its smallest. */
struct change {
    const char *says;
    int64_t bytes;
    bool fits;
};
enum { CHANGES = 8 };
struct changes {
    struct change list[CHANGES];
    int n;
};

static bool change_add(struct changes *c, const struct trial *x, const struct attempt *t,
                       const char *says)
{
    struct plan_stage stage = *x->p;
    struct err ignored = {{0}};
    struct arena_mark mark = arena_mark(x->a);
    struct trial y = {.in = x->in, .t = t, .p = &stage, .a = x->a, .err = &ignored};
    int found = try_all(&y);
    arena_back(x->a, mark);
    if (found < 0) return false;
    c->list[c->n++] = (struct change){says, found == 1 ? stage.layout.bytes : y.least, found == 1};
    return found == 1;
}

/* The longest half, quarter, ... of max_length that fits, else the shortest. */
static void change_length(struct changes *c, const struct trial *x)
{
    struct attempt t = *x->t;
    int n = c->n;
    while (t.max_length / 2 >= LENGTH_LEAST) {
        t.max_length /= 2;
        c->n = n;
        const char *says = arena_printf(x->a, "max_length: %d", t.max_length);
        if (change_add(c, x, &t, says)) return;
    }
}

static void change_train(struct changes *c, const struct trial *x, const struct settings *s)
{
    static const char *const lora[] = {"lora"};
    struct attempt t = *x->t;
    struct err ignored = {{0}};
    if (t.training.lora.rank > 0) return;
    t.training.parts = lora;
    t.training.n_parts = 1;
    t.training.lora = (struct lora){.rank = s->lora.rank,
                                    .alpha = (float)s->lora.alpha,
                                    .dropout = (float)s->lora.dropout,
                                    .rank_stabilised = s->lora.rank_stabilised};
    if (lora_targets(&t.training.lora.targets, s->lora.targets, s->lora.n_targets, &ignored))
        change_add(c, x, &t, "train: lora");
}

static void changes_find(struct changes *c, const struct trial *x, const struct settings *s)
{
    struct attempt t = *x->t;
    if (t.recompute_fixed) {
        t.recompute_fixed = false;
        change_add(c, x, &t, "gradient_checkpointing: auto");
    }
    t = *x->t;
    if (t.micro_fixed && t.micro > 1) {
        t.micro = 1;
        change_add(c, x, &t, "micro_batch_size: 1");
    }
    t = *x->t;
    if (t.training.moments != U8) {
        t.training.moments = U8;
        change_add(c, x, &t, "optimizer.state_dtype: 8bit");
    }
    t = *x->t;
    if (t.training.gradients != BF16) {
        t.training.gradients = BF16;
        change_add(c, x, &t, "optimizer.gradient_dtype: bf16");
    }
    change_train(c, x, s);
    change_length(c, x);
}

static int changes_write(struct buf *b, const struct changes *c, bool fit)
{
    int n = 0;
    char bytes[16];
    for (int i = 0; i < c->n; i++)
        if (c->list[i].fits == fit)
            buf_printf(b, "%s%s (%s)", n++ ? ", " : "", c->list[i].says,
                       text_bytes(bytes, c->list[i].bytes));
    return n;
}

static bool refuse(const struct trial *x, const struct settings *s, struct err *err)
{
    char need[16], have[16], over[16];
    int64_t most = plan_bytes_most(x->in) > 0 ? plan_bytes_most(x->in) : 0;
    struct changes c = {.n = 0};
    struct buf yes = buf_make(x->a), no = buf_make(x->a);
    changes_find(&c, x, s);
    int fit = changes_write(&yes, &c, true), unfit = changes_write(&no, &c, false);
    text_bytes(need, x->least);
    text_bytes(have, most);
    text_bytes(over, x->least - most);
    if (!fit)
        return fail(err,
                    "stage %s needs %s at least and %s can be had: %s too much, and no single "
                    "change makes it fit%s%s; take a smaller model or a machine with more memory",
                    x->p->name, need, have, over, unfit ? ": with " : "", unfit ? no.p : "");
    return fail(err,
                "stage %s needs %s at least and %s can be had: %s too much. It fits with one of: "
                "%s%s%s",
                x->p->name, need, have, over, yes.p, unfit ? "; too little: " : "",
                unfit ? no.p : "");
}

bool plan_fit(struct plan_inputs *in, struct plan_stage *p, const struct settings *s,
              struct arena *a, struct err *err)
{
    struct attempt t = {.training = p->training,
                        .max_length = in->profile->max_length,
                        .micro = s->micro_batch_size,
                        .micro_fixed = s->micro_batch_size > 0,
                        .recompute_fixed = s->recompute >= 0};
    struct trial x = {.in = in, .t = &t, .p = p, .a = a, .err = err};
    if (t.recompute_fixed) t.training.recompute = (enum recompute)s->recompute;
    if (t.recompute_fixed) t.training.recompute_layers = s->recompute_layers;
    if (!t.micro_fixed) t.micro = (on_gpu(in) ? ROWS_BEST_GPU : ROWS_BEST) / t.max_length;
    if (t.micro > p->windows_per_step) t.micro = p->windows_per_step;
    if (t.micro < 1) t.micro = 1;
    int found = try_all(&x);
    if (found < 0) return fail_in(err, "stage %s", p->name);
    return found == 1 || refuse(&x, s, err);
}
