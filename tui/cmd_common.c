/* cmd_common.c - what several commands share: errors, safe printing, a profile with its plan. */
#include "tui/cli.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void print_text(struct text t) { fwrite(t.p, 1, t.n, stdout); }

void print_safe(struct text t)
{
    struct arena a = arena_make(0);
    struct buf b = buf_make(&a);
    text_safe(&b, t, true);
    print_text(buf_text(&b));
    arena_drop(&a);
}

int refuse(enum exit_code code, const struct err *err)
{
    struct arena a = arena_make(0);
    struct buf b = buf_make(&a);
    text_safe(&b, text_of(err->text), true);
    fflush(stdout);
    fprintf(stderr, "hone: %s\n", b.p);
    arena_drop(&a);
    return code;
}

static void print_problems(const char *path, const struct problems *p, const char *word)
{
    for (int i = 0; i < p->n; i++) {
        struct err one;
        const struct problem *x = &p->list[i];
        if (x->line) fail(&one, "%s:%d:%d: %s%s", path, x->line, x->column, word, x->text);
        else fail(&one, "%s: %s%s", path, word, x->text);
        refuse(EXIT_USAGE, &one);
    }
}

bool cli_profile(struct cli *c, struct profile *out)
{
    struct problems problems = {0};
    const char *sets[COUNT(c->o.sets) + 1];
    int n = 0;
    for (; n < c->o.n_sets; n++) sets[n] = c->o.sets[n];
    if (c->o.dtype) sets[n++] = arena_printf(c->a, "dtype=%s", c->o.dtype);
    if (profile_read(out, c->words[0], sets, n, &problems, c->a, &c->err)) return true;
    if (problems.n == 0) refuse(EXIT_USAGE, &c->err);
    print_problems(c->words[0], &problems, "");
    return false;
}

struct shown {
    double last;
    bool line;
};

static bool progress(void *arg, const char *source, int64_t rows, int64_t done, int64_t all)
{
    struct shown *s = arg;
    double now = now_monotonic();
    if (!isatty(2) || now - s->last < 0.2) return true;
    s->last = now;
    s->line = true;
    fprintf(stderr, "\rreading %s: %lld rows, %.0f %%   ", source, (long long)rows,
            all > 0 ? 100.0 * (double)done / (double)all : 0.0);
    return true;
}

int cli_plan(struct cli *c, struct profile *profile, struct plan_inputs *in, struct profile *pinned)
{
    struct machine *machine = NEW(c->a, struct machine);
    struct shown shown = {0};
    *in = (struct plan_inputs){.profile = profile, .places = &c->places, .machine = machine};
    if (!machine_probe(machine, &c->places, c->a, &c->err)) return refuse(EXIT_FAILED, &c->err);
    if (machine_wants_gpu(profile->device, c->o.backend)) machine_gpus(machine, &c->places, c->a);
    if (!machine_choose(machine, profile->device, c->o.backend, &c->err))
        return refuse(EXIT_USAGE, &c->err);
    in->data.pool = pool_make(c->o.threads > 0 ? (int)c->o.threads : 0);
    in->data.progress = progress;
    in->data.arg = &shown;
    bool ok = plan_open(in, c->a, &c->err);
    if (in->data.pool) pool_drop(in->data.pool);
    in->data.pool = NULL;
    in->data.progress = NULL;
    if (shown.line) fprintf(stderr, "\r%60s\r", "");
    if (!ok) return refuse(EXIT_REFUSED, &c->err);
    *pinned = *profile;
    if (!plan_make(in, pinned, c->a, &c->err)) return refuse(EXIT_USAGE, &c->err);
    return EXIT_DONE;
}

bool cli_agreed(struct cli *c, const char *question)
{
    char line[16] = "";
    if (c->o.yes) return true;
    if (!isatty(0)) return fail(&c->err, "%s This wants an explicit --yes", question);
    fprintf(stderr, "%s [y/N] ", question);
    if (!fgets(line, sizeof line, stdin)) line[0] = 0;
    return line[0] == 'y' || line[0] == 'Y' || fail(&c->err, "left as it is");
}
