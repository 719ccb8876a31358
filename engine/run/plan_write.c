/* plan_write.c - a plan for people (`hone check`, the profile screen) and for programs. */
#include "engine/run/plan_parts.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const recompute_names[] = {"none", "norms", "selective", "attention", "full"};
static const char *recompute_text(const struct plan_stage *s, char out[48])
{
    const struct training *t = &s->training;
    if (t->recompute_layers == 0) return recompute_names[t->recompute];
    snprintf(out, 48, "%s in %d layers, %s in the others", recompute_names[t->recompute],
             t->recompute_layers, recompute_names[t->recompute > 0 ? t->recompute - 1 : 0]);
    return out;
}
static const char *dtype_name(enum dtype t) { return t == BF16 ? "bf16" : "fp32"; }
static double percent(int64_t part, int64_t whole)
{
    return whole > 0 ? 100 * (double)part / (double)whole : 0;
}

/* ---- for people ---- */

static void text_sources(const struct plan *p, struct buf *b)
{
    char rows[32], tokens[32];
    buf_printf(b, "\ndata\n");
    for (int i = 0; i < p->n_sources; i++) {
        const struct source_report *r = &p->sources[i].report;
        buf_printf(b,
                   "  %-14s %s, %s rows, %s tokens, trained %.1f %%, held out %lld, dropped %lld, "
                   "truncated %lld, bytes lost %lld\n",
                   p->sources[i].spec.name, r->format, text_count(rows, r->rows),
                   text_count(tokens, r->tokens), percent(r->tokens_trained, r->tokens),
                   (long long)r->rows_held_out, (long long)r->rows_dropped,
                   (long long)r->rows_truncated, (long long)r->bytes_lost);
    }
}

static void text_stages(const struct plan *p, const struct profile *profile, struct buf *b)
{
    char tokens[32], steps[32], time[24], again[48];
    buf_printf(b, "\nstages\n");
    for (int i = 0; i < p->n_stages; i++) {
        const struct plan_stage *s = &p->stages[i];
        buf_printf(
            b,
            "  %-14s %s %s of %d windows of %d tokens, %s tokens, trained %.1f %%, about %s\n",
            s->name, text_count(steps, s->steps), s->steps == 1 ? "step" : "steps",
            s->windows_per_step, profile->max_length,
            text_count(tokens, s->tokens), percent(s->trained, s->tokens),
            text_seconds(time, s->seconds));
        buf_printf(b,
                   "  %-14s micro-batch %d, %d a step; recompute %s; warm-up %lld steps; tokens "
                   "lost %lld\n",
                   "", s->micro_batch, s->accumulation, recompute_text(s, again),
                   (long long)s->warmup, (long long)s->stream.lost);
        buf_printf(b, "  %-14s", "");
        double sum = 0;
        for (int j = 0; j < profile->stages[i].n_mix; j++) sum += profile->stages[i].mix[j].share;
        for (int j = 0; j < profile->stages[i].n_mix; j++)
            buf_printf(b, " %s %.1f %% wanted, %.1f %% given, seen %.2f times;",
                       profile->datasets[profile->stages[i].mix[j].dataset].name,
                       100 * profile->stages[i].mix[j].share / sum,
                       percent(s->stream.source_tokens[j], s->tokens), s->stream.source_epochs[j]);
        b->p[--b->n] = 0;
        buf_printf(b, "\n");
    }
}

/* Memory of the largest stage, by owner. */
static void text_memory(const struct plan *p, struct buf *b)
{
    char bytes[16], most[16], host[16], exact[32];
    const struct plan_stage *largest = p->stages;
    for (int i = 1; i < p->n_stages; i++)
        if (p->stages[i].layout.bytes > largest->layout.bytes) largest = &p->stages[i];
    buf_printf(b, "\nmemory           %s (%s bytes) in stage %s, of %s free; beside it about %s\n",
               text_bytes(bytes, p->bytes_peak), text_count(exact, p->bytes_peak), largest->name,
               p->bytes_free > 0 ? text_bytes(most, p->bytes_free) : "an unknown number",
               text_bytes(host, p->host_bytes));
    for (int o = 0; o < OWNERS; o++)
        if (largest->layout.owned[o] > 0)
            buf_printf(b, "  %-14s %8s  %s bytes\n", owner_name((enum owner)o),
                       text_bytes(bytes, largest->layout.owned[o]),
                       text_count(exact, largest->layout.owned[o]));
    if (largest->layout.over > 0)
        buf_printf(b, "  %s more lie in the place of something that is not needed then\n",
                   text_bytes(bytes, largest->layout.over));
}

/* A peak that could not be measured gives no time, and says so. */
static const char *text_time(const struct plan *p, char out[24])
{
    return isfinite(p->seconds) ? text_seconds(out, p->seconds) : "-";
}

void plan_write_text(const struct plan *p, const struct profile *profile, struct buf *b)
{
    char x[32], y[32], time[24], c[16], need[16], there[16];
    int64_t most = 0;
    profile_write(profile, b);
    for (int i = 0; i < p->n_stages; i++)
        if (p->stages[i].layout.parameters_trained > most)
            most = p->stages[i].layout.parameters_trained;
    buf_printf(b, "\nmodel            %s: %s, %s parameters, %s; computed in %s\n", p->model_dir,
               family_name(p->model.family), text_count(x, p->model.parameters),
               tensor_type_name(p->model.type), dtype_name(p->compute));
    text_sources(p, b);
    text_stages(p, profile, b);
    text_memory(p, b);
    buf_printf(b, "time             about %s for %s %s (%s)\n", text_time(p, time),
               text_count(x, p->steps), p->steps == 1 ? "step" : "steps", p->seconds_source);
    buf_printf(b, "disk             %s for the checkpoints that are kept, %s each; %s free\n",
               text_bytes(need, p->disk_needed), text_bytes(c, p->checkpoint_bytes),
               p->disk_there >= 0 ? text_bytes(there, p->disk_there) : "unknown");
    buf_printf(b, "learns           %.1f %% of %s tokens are trained, in at most %s parameters\n",
               percent(p->trained, p->tokens), text_count(x, p->tokens), text_count(y, most));
    for (int i = 0; i < p->warnings.n; i++) buf_printf(b, "! %s\n", p->warnings.list[i].text);
    struct problems asked = {0};
    for (int i = 0, n = plan_questions(p, &asked, b->a); i < n; i++)
        buf_printf(b, "? %s A start asks first.\n", asked.list[i].text);
}

/* ---- for programs ---- */

static void json_source(const struct source *s, struct buf *b)
{
    const struct source_report *r = &s->report;
    const struct { const char *key; int64_t v;
    } numbers[] = {{"rows", r->rows},
                   {"bad", r->rows_bad},
                   {"held_out", r->rows_held_out},
                   {"dropped", r->rows_dropped},
                   {"truncated", r->rows_truncated},
                   {"tokens", r->tokens},
                   {"trained", r->tokens_trained},
                   {"tokens_truncated", r->tokens_truncated},
                   {"bytes_lost", r->bytes_lost},
                   {"longest", r->longest}};
    buf_printf(b, "{");
    json_field_text(b, "name", text_of(s->spec.name));
    json_field_text(b, "path", text_of(s->spec.path));
    json_field_text(b, "format", text_of(r->format));
    for (size_t i = 0; i < COUNT(numbers); i++) json_field_int(b, numbers[i].key, numbers[i].v);
    buf_printf(b, "}");
}

static void json_memory(const struct layout *l, struct buf *b)
{
    json_put_key(b, "memory");
    buf_printf(b, "{");
    for (int o = 0; o < OWNERS; o++) json_field_int(b, owner_name((enum owner)o), l->owned[o]);
    json_field_int(b, "total", l->bytes);
    buf_printf(b, "}");
}

static void json_mix(const struct plan_stage *s, const struct stage *stage,
                     const struct profile *profile, struct buf *b)
{
    double sum = 0;
    for (int j = 0; j < stage->n_mix; j++) sum += stage->mix[j].share;
    json_put_key(b, "datasets");
    buf_printf(b, "{");
    for (int j = 0; j < stage->n_mix; j++) {
        json_put_key(b, profile->datasets[stage->mix[j].dataset].name);
        buf_printf(b, "{");
        json_field_num(b, "wanted", stage->mix[j].share / sum);
        json_field_num(b, "actual", percent(s->stream.source_tokens[j], s->tokens) / 100);
        json_field_num(b, "epochs", s->stream.source_epochs[j]);
        buf_printf(b, "}");
    }
    buf_printf(b, "}");
}

static void json_stage(const struct plan_stage *s, const struct stage *stage,
                       const struct profile *profile, struct buf *b)
{
    const struct { const char *key; int64_t v;
    } numbers[] = {{"steps", s->steps},
                   {"windows", s->windows},
                   {"tokens", s->tokens},
                   {"trained", s->trained},
                   {"windows_per_step", s->windows_per_step},
                   {"micro_batch", s->micro_batch},
                   {"accumulation", s->accumulation},
                   {"warmup", s->warmup},
                   {"buckets", s->stream.buckets},
                   {"tokens_lost", s->stream.lost},
                   {"recompute_layers", s->training.recompute_layers},
                   {"parameters_trained", s->layout.parameters_trained}};
    buf_printf(b, "{");
    json_field_text(b, "name", text_of(s->name));
    for (size_t i = 0; i < COUNT(numbers); i++) json_field_int(b, numbers[i].key, numbers[i].v);
    json_field_text(b, "recompute", text_of(recompute_names[s->training.recompute]));
    json_field_num(b, "flops", s->flops);
    json_field_num(b, "hardware_flops", s->hardware_flops);
    json_field_num(b, "seconds", s->seconds);
    json_mix(s, stage, profile, b);
    json_memory(&s->layout, b);
    buf_printf(b, "}");
}

static void json_model(const struct plan *p, struct buf *b)
{
    json_put_key(b, "model");
    buf_printf(b, "{");
    json_field_text(b, "path", text_of(p->model_dir));
    json_field_text(b, "family", text_of(family_name(p->model.family)));
    json_field_int(b, "parameters", p->model.parameters);
    json_field_text(b, "type", text_of(tensor_type_name(p->model.type)));
    json_field_text(b, "compute", text_of(dtype_name(p->compute)));
    buf_printf(b, "}");
}

static void json_sentences(const char *key, const struct problems *p, struct buf *b)
{
    json_put_key(b, key);
    buf_printf(b, "[");
    for (int i = 0; i < p->n; i++)
        buf_printf(b, "%s", i ? ", " : ""), json_put_text(b, text_of(p->list[i].text));
    buf_printf(b, "]");
}

void plan_write_json(const struct plan *p, const struct profile *profile, struct buf *b)
{
    struct buf yaml = buf_make(b->a);
    profile_write(profile, &yaml);
    buf_printf(b, "{");
    json_field_text(b, "profile", text_of(yaml.p));
    json_model(p, b);
    json_put_key(b, "sources");
    buf_printf(b, "[");
    for (int i = 0; i < p->n_sources; i++)
        buf_printf(b, "%s", i ? ", " : ""), json_source(&p->sources[i], b);
    buf_printf(b, "]");
    json_put_key(b, "stages");
    buf_printf(b, "[");
    for (int i = 0; i < p->n_stages; i++)
        buf_printf(b, "%s", i ? ", " : ""),
            json_stage(&p->stages[i], &profile->stages[i], profile, b);
    buf_printf(b, "]");
    const struct { const char *key; int64_t v;
    } numbers[] = {{"steps", p->steps},
                   {"tokens", p->tokens},
                   {"trained", p->trained},
                   {"memory", p->bytes_peak},
                   {"memory_free", p->bytes_free},
                   {"host_memory", p->host_bytes},
                   {"checkpoint_bytes", p->checkpoint_bytes},
                   {"disk", p->disk_needed},
                   {"disk_free", p->disk_there}};
    for (size_t i = 0; i < COUNT(numbers); i++) json_field_int(b, numbers[i].key, numbers[i].v);
    json_field_num(b, "seconds", p->seconds);
    json_field_text(b, "seconds_source", text_of(p->seconds_source));
    struct problems asked = {0};
    plan_questions(p, &asked, b->a);
    json_sentences("warnings", &p->warnings, b);
    json_sentences("questions", &asked, b);
    buf_printf(b, "}\n");
}
