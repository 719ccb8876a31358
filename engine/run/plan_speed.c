/* plan_speed.c - how long a plan will take: from what earlier runs did here, else from the peak.
 *
 *   home/speeds.json   {"speeds": [{"key": "...", "tokens_per_second": 12410.5, "run": "demo-0006",
 * "t": 1.79e9}, ...]}
 *
 * The newest 200 are kept, one for each key. */
#include "engine/run/plan_parts.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define PEAK_SHARE 0.5 /* what a step usually reaches of the measured peak */
enum { SPEEDS_MOST = 200 };

const char *plan_speed_key(const struct plan_inputs *in, const struct plan_stage *p,
                           struct arena *a)
{
    const struct device_info *d = &in->machine->device;
    struct buf b = buf_make(a);
    buf_printf(&b, "%s %lld; train", in->plan.model.source_hash,
               (long long)in->plan.model.parameters);
    for (int i = 0; i < p->training.n_parts; i++) buf_printf(&b, " %s", p->training.parts[i]);
    buf_printf(&b,
               " r%d t%x; again %d %d; moments %d %d; %s; length %d; micro %d; %s %s, %d threads",
               p->training.lora.rank, p->training.lora.targets, (int)p->training.recompute,
               p->training.recompute_layers, (int)p->training.moments, (int)p->training.gradients,
               p->training.compute == BF16 ? "bf16" : "fp32", in->profile->max_length,
               p->micro_batch, d->name, d->isa, d->threads);
    return b.p;
}

static const char *speeds_path(const struct places *places, struct arena *a)
{
    return path_join(a, places->home, "speeds.json");
}

const struct json *plan_speeds(const struct places *places, struct arena *a)
{
    const struct json *o;
    struct err ignored = {0};
    const char *path = speeds_path(places, a);
    if (!path_exists(path) ||
        !json_read(&o, path, (struct json_limits){.bytes = 1 << 20, .depth = 4, .nodes = 10000}, a,
                   &ignored))
        return NULL;
    const struct json *list = json_get(o, "speeds");
    return list && list->kind == JSON_ARRAY ? list : NULL;
}

static const struct json *speed_find(const struct json *speeds, const char *key)
{
    for (int i = 0; speeds && i < speeds->n; i++) {
        const struct json *k = json_get(&speeds->items[i], "key"),
                          *v = json_get(&speeds->items[i], "tokens_per_second");
        if (k && k->kind == JSON_TEXT && text_is(k->text, key) && v && v->kind >= JSON_INT &&
            v->kind <= JSON_NUM && v->number > 0)
            return &speeds->items[i];
    }
    return NULL;
}

/* Every stage's seconds; one source for the whole: measured only where all stages were. */
void plan_time(struct plan_inputs *in, struct arena *a)
{
    struct plan *plan = &in->plan;
    const struct json *run = NULL;
    int measured = 0;
    plan->seconds = 0;
    for (int i = 0; i < plan->n_stages; i++) {
        struct plan_stage *p = &plan->stages[i];
        const struct json *known = speed_find(in->speeds, p->speed_key);
        double peak = p->training.compute == BF16 && in->machine->device.fast[BF16]
                          ? in->machine->peak_bf16
                          : in->machine->peak_f32;
        p->seconds = known      ? (double)p->tokens / json_get(known, "tokens_per_second")->number
                     : peak > 0 ? p->hardware_flops / (peak * PEAK_SHARE)
                                : NAN;
        plan->seconds += p->seconds;
        if (known) run = json_get(known, "run");
        measured += known != NULL;
    }
    struct buf name = buf_make(a);
    if (run && run->kind == JSON_TEXT) text_safe(&name, run->text, false);
    if (measured == plan->n_stages)
        snprintf(plan->seconds_source, sizeof plan->seconds_source, "measured here, %.60s",
                 name.n ? name.p : "an earlier run");
    else
        snprintf(plan->seconds_source, sizeof plan->seconds_source,
                 "from the %s at %.0f %%%s",
                 strcmp(in->machine->device.backend, "cuda") == 0 ? "GPU's peak"
                                                                  : "processor's measured peak",
                 PEAK_SHARE * 100,
                 measured ? ", some stages measured here" : "");
}

static void put_speed(struct buf *b, const char *key, double speed, struct text run, double t)
{
    buf_printf(b, "%s\n{", b->p[b->n - 1] == '[' ? "" : ",");
    json_put_key(b, "key");
    json_put_text(b, text_of(key));
    json_put_key(b, "tokens_per_second");
    json_put_num(b, speed);
    json_put_key(b, "run");
    json_put_text(b, run);
    json_put_key(b, "t");
    json_put_num(b, t);
    buf_printf(b, "}");
}

bool plan_remember_speed(const struct places *places, const char *speed_key, const char *run,
                         double tokens_per_second, struct arena *a, struct err *err)
{
    if (!(tokens_per_second > 0) || !isfinite(tokens_per_second)) return true;
    const struct json *old = plan_speeds(places, a);
    struct buf b = buf_make(a);
    buf_printf(&b, "{\"speeds\": [");
    put_speed(&b, speed_key, tokens_per_second, text_of(run), now_unix());
    for (int i = 0; old && i < old->n && i < SPEEDS_MOST - 1; i++) {
        const struct json *o = &old->items[i], *k = json_get(o, "key"),
                          *v = json_get(o, "tokens_per_second"), *r = json_get(o, "run"),
                          *t = json_get(o, "t");
        if (!k || k->kind != JSON_TEXT || text_is(k->text, speed_key) || !v || v->kind < JSON_INT ||
            v->kind > JSON_NUM)
            continue;
        put_speed(&b, k->text.p, v->number, r && r->kind == JSON_TEXT ? r->text : TEXT(""),
                  t ? t->number : 0);
    }
    buf_printf(&b, "]}\n");
    return dir_make(places->home, err) && file_replace(speeds_path(places, a), buf_text(&b), err);
}
