/* plan_fit.c - which micro-batch and recompute policy a stage gets, and what to do where none fits.
 */
#include "engine/run/plan_parts.h"
#include <stdio.h>
#include <string.h>

enum {
    ROWS_BEST =
        2048, /* tokens of a micro-batch from which a processor's products are at their best */
    LOSS_BYTES = 64 << 20, /* of a slice of logits */
    LOSS_ROWS_MOST = 1024,
    LOSS_ROWS_LEAST = 64,
    CACHE_TOKENS = 2048, /* of a chat with the weights in training */
};

int64_t plan_bytes_most(const struct plan_inputs *in)
{
    int64_t free = in->machine->device.memory_free;
    if (free <= 0) return INT64_MAX;
    return free - free / 32 -
           in->plan.host_bytes; /* a thirty-second stays for what else this machine does */
}

/* A slice of the head's rows: a pure function of the vocabulary, so that the same run gives the
 * same bits. */
static int loss_rows(int vocab, int rows)
{
    int n = (int)(LOSS_BYTES / ((int64_t)vocab * 4) / LOSS_ROWS_LEAST * LOSS_ROWS_LEAST);
    if (n > LOSS_ROWS_MOST) n = LOSS_ROWS_MOST;
    if (n < LOSS_ROWS_LEAST) n = LOSS_ROWS_LEAST;
    return n < rows ? n : rows;
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

/* What is tried: the settings that are open, from the fastest to the smallest. */
struct attempt {
    struct training training;
    int max_length, micro;
    bool micro_fixed, recompute_fixed;
};

/* Micro-batches of about equal size: 15 windows in two are 8 and 7, not 14 and 1. */
static int even(int windows, int micro)
{
    int parts = (windows + micro - 1) / micro;
    return (windows + parts - 1) / parts;
}

static bool try_layout(const struct plan_inputs *in, struct plan_stage *p, const struct attempt *t,
                       int micro, int recompute, struct arena *a, struct err *err)
{
    p->training = t->training;
    p->training.recompute = (enum recompute)recompute;
    p->micro_batch = micro;
    p->accumulation = (p->windows_per_step + micro - 1) / micro;
    p->shape = shape_of(in, t->max_length, micro);
    p->shape.alone = p->accumulation == 1;
    return layout_make(&p->layout, &in->plan.model, &p->training, &p->shape, &in->machine->device,
                       a, err);
}

/* 1 where an attempt fits, 0 where it does not (p then holds the smallest), -1 on an error. */
static int try_all(const struct plan_inputs *in, struct plan_stage *p, const struct attempt *t,
                   struct arena *a, struct err *err)
{
    int first = t->recompute_fixed ? (int)t->training.recompute : RECOMPUTE_NONE;
    int last = t->recompute_fixed ? (int)t->training.recompute : RECOMPUTE_FULL;
    for (int r = first; r <= last; r++)
        for (int micro = t->micro;; micro /= 2) {
            struct arena_mark mark = arena_mark(a);
            if (!try_layout(in, p, t, t->micro_fixed ? micro : even(p->windows_per_step, micro), r,
                            a, err))
                return -1;
            if (p->layout.bytes <= plan_bytes_most(in)) return 1;
            if (t->micro_fixed || micro == 1) break;
            arena_back(a, mark);
        }
    return 0;
}

/* ---- where nothing fits ---- */

static struct lora usual_lora(void)
{
    return (struct lora){.rank = 16, .alpha = 32, .targets = (1u << LINEARS) - 1};
}

/* The one change that makes a stage fit, as it would be written; "" where none does. */
static const char *remedy(const struct plan_inputs *in, const struct plan_stage *p,
                          const struct attempt *t, int64_t *bytes, struct arena *a)
{
    static const char *const lora[] = {"lora"}, *const last[] = {"last:2"};
    static const int lengths[] = {2048, 1024, 512, 256, 128, 64};
    struct attempt tries[12];
    const char *says[12];
    int n = 0;
    if (t->recompute_fixed)
        tries[n] = *t, tries[n].recompute_fixed = false, says[n++] = "gradient_checkpointing: auto";
    if (t->micro_fixed)
        tries[n] = *t, tries[n].micro_fixed = false, says[n++] = "micro_batch_size: auto";
    if (t->training.lora.rank == 0) {
        tries[n] = *t;
        tries[n].training.parts = lora, tries[n].training.n_parts = 1,
        tries[n].training.lora = usual_lora();
        says[n++] = "train: lora";
        tries[n] = *t;
        tries[n].training.parts = last, tries[n].training.n_parts = 1;
        says[n++] = "train: [last:2]";
    }
    for (size_t i = 0; i < COUNT(lengths); i++)
        if (lengths[i] < t->max_length)
            tries[n] = *t, tries[n].max_length = lengths[i],
            says[n++] = arena_printf(a, "max_length: %d", lengths[i]);
    for (int i = 0; i < n; i++) {
        struct plan_stage trial = *p;
        struct err ignored = {0};
        struct arena_mark mark = arena_mark(a);
        int fits = try_all(in, &trial, &tries[i], a, &ignored);
        *bytes = trial.layout.bytes;
        arena_back(a, mark);
        if (fits == 1) return says[i];
    }
    return "";
}

static bool refuse(const struct plan_inputs *in, const struct plan_stage *p,
                   const struct attempt *t, struct arena *a, struct err *err)
{
    char need[16], have[16], over[16], other[16];
    int64_t bytes = 0, most = plan_bytes_most(in);
    const char *change = remedy(in, p, t, &bytes, a);
    text_bytes(need, p->layout.bytes);
    text_bytes(have, most > 0 ? most : 0);
    text_bytes(over, p->layout.bytes - (most > 0 ? most : 0));
    if (change[0])
        return fail(
            err, "stage %s needs %s and %s can be had: %s too much; with %s it needs %s and fits",
            p->name, need, have, over, change, text_bytes(other, bytes));
    return fail(err,
                "stage %s needs %s and %s can be had: %s too much, and neither LoRA nor a shorter "
                "max_length makes it fit; take a "
                "smaller model or a machine with more memory",
                p->name, need, have, over);
}

bool plan_fit(struct plan_inputs *in, struct plan_stage *p, const struct settings *s,
              struct arena *a, struct err *err)
{
    struct attempt t = {.training = p->training,
                        .max_length = in->profile->max_length,
                        .micro = s->micro_batch_size,
                        .micro_fixed = s->micro_batch_size > 0,
                        .recompute_fixed = s->recompute >= 0};
    if (t.recompute_fixed) t.training.recompute = (enum recompute)s->recompute;
    if (!t.micro_fixed) t.micro = ROWS_BEST / t.max_length;
    if (t.micro > p->windows_per_step) t.micro = p->windows_per_step;
    if (t.micro < 1) t.micro = 1;
    int fits = try_all(in, p, &t, a, err);
    if (fits < 0) return fail_in(err, "stage %s", p->name);
    return fits == 1 || refuse(in, p, &t, a, err);
}
