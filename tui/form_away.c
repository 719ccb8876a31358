/* form_away.c - a profile written into another folder: what it names relative to the old one is
 * named from the root, everything else stays byte for byte. */
#include "tui/app.h"
#include <stdio.h>
#include <string.h>

struct away {
    struct profile_show *p;
    struct text out;
    struct arena *a;
};

/* The value at a path becomes the file that it means, where it is written relative. */
static bool fix(struct away *w, const char *path, const char *meant, struct err *err)
{
    struct text said;
    if (!profile_text_get(&said, w->out, path, w->a, err)) return false;
    if (said.n && strchr("\"'", said.p[0])) said.p++, said.n--;
    if (said.n == 0 || said.p[0] == '/' || said.p[0] == '~' || !meant || meant[0] != '/')
        return true;
    char plain[4096];
    plain_path(plain, meant);
    return profile_text_set(&w->out, w->out, path, plain, w->a, err);
}

static bool fix_quizzes(struct away *w, struct err *err)
{
    const struct profile *p = &w->p->profile;
    struct text first;
    if (!profile_text_get(&first, w->out, "eval.quiz.0", w->a, err)) return false;
    if (p->eval.n_quiz > 0 && first.n == 0) return fix(w, "eval.quiz", p->eval.quiz[0], err);
    for (int i = 0; i < p->eval.n_quiz; i++)
        if (!fix(w, arena_printf(w->a, "eval.quiz.%d", i), p->eval.quiz[i], err)) return false;
    return true;
}

/* An adapter to start from: the root's counts in every stage that says none. */
static bool fix_adapters(struct away *w, struct err *err)
{
    const struct profile *p = &w->p->profile;
    for (int i = 0; i < p->n_stages; i++) {
        struct text said;
        const char *path = arena_printf(w->a, "stages.%d.lora.init_from", i),
                   *meant = p->stages[i].set.lora.init_from;
        if (!profile_text_get(&said, w->out, path, w->a, err)) return false;
        if (!fix(w, said.n ? path : "lora.init_from", meant, err)) return false;
    }
    return true;
}

bool form_away(struct app *a, const char *to, struct text *out, struct arena *memory,
               struct err *err)
{
    struct profile_show *p = &a->profile;
    struct away w = {p, p->source, memory};
    const char *dir = path_dir(memory, to);
    *out = p->source;
    if (!p->profile.dir || strcmp(dir, p->profile.dir) == 0) return true;
    if (p->problems.n)
        return fail(err, "something is wrong in it, and its paths cannot be told: %s",
                    p->problems.list[0].text);
    bool ok = fix(&w, "base_model", p->profile.base_model, err) &&
              fix(&w, "template", p->profile.template, err) && fix_quizzes(&w, err) &&
              fix_adapters(&w, err);
    for (int i = 0; ok && i < p->profile.n_datasets; i++)
        ok = fix(&w, arena_printf(memory, "datasets.%s.path", p->profile.datasets[i].name),
                 p->profile.datasets[i].path, err);
    *out = w.out;
    return ok;
}
