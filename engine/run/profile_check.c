/* profile_check.c - what a profile may say and people seldom mean: each a row with the usual range.
 */
#include "engine/run/profile_parts.h"
#include <string.h>

static bool trains(const struct stage *s, const char *what)
{
    return s->set.n_train == 1 && strcmp(s->set.train[0], what) == 0;
}

/* The learning rates that people report for each kind of training. */
static void warn_learning_rate(const struct stage *s, int index, struct problems *out,
                               struct arena *a)
{
    static const struct {
        const char *what;
        double least, most;
    } rows[] = {{"lora", 1e-5, 1e-3}, {"full", 1e-6, 3e-3}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        double lr = s->set.learning_rate;
        if (!trains(s, rows[i].what) || (lr >= rows[i].least && lr <= rows[i].most)) continue;
        problem_add(out, a, s->line, 1,
                    "stages.%d.learning_rate: %g is %s for %s training: %g to %g is usual", index,
                    lr, lr > rows[i].most ? "high" : "low", rows[i].what, rows[i].least,
                    rows[i].most);
    }
}

static void warn_stage(const struct profile *p, int index, struct problems *out, struct arena *a)
{
    const struct stage *s = &p->stages[index];
    warn_learning_rate(s, index, out, a);
    int64_t tokens = s->set.batch_tokens, windows = tokens / p->max_length;
    if (tokens > 0 && windows * p->max_length != tokens)
        problem_add(out, a, s->line, 1,
                    "stages.%d.batch_tokens: %lld is no multiple of max_length %d: a step takes "
                    "%lld windows, %lld tokens",
                    index, (long long)tokens, p->max_length, (long long)(windows ? windows : 1),
                    (long long)(windows ? windows : 1) * p->max_length);
    if (s->set.warmup_steps > 0 && s->max_steps > 0 && s->set.warmup_steps >= s->max_steps)
        problem_add(out, a, s->line, 1,
                    "stages.%d.warmup_steps: %lld of %lld steps are warm-up: the learning rate "
                    "never stands at its height",
                    index, (long long)s->set.warmup_steps, (long long)s->max_steps);
}

static bool is_used(const struct profile *p, int dataset)
{
    for (int i = 0; i < p->n_stages; i++)
        for (int j = 0; j < p->stages[i].n_mix; j++)
            if (p->stages[i].mix[j].dataset == dataset) return true;
    return false;
}

void profile_warnings(const struct profile *p, struct problems *out, struct arena *a)
{
    for (int i = 0; i < p->n_datasets; i++)
        if (!is_used(p, i))
            problem_add(out, a, 1, 1, "datasets.%s: no stage takes it", p->datasets[i].name);
    for (int i = 0; i < p->n_stages; i++) warn_stage(p, i, out, a);
    if (p->save.keep_best && p->eval.holdout <= 0)
        problem_add(
            out, a, 1, 1,
            "save.keep_best: without eval.holdout there is no validation loss to be best by");
    out->warnings_only = true;
}
