/* form.c - the profile as a form: rows from the table of fields and the text, every change a
 * splice of it.
 *
 * The text is the truth; the form is made from it anew after each change. A value is checked by
 * parsing the text with it, so that the form can never say yes where the parser says no. */
#include "engine/format/json.h"
#include "tui/keys.h"
#include "tui/view.h"
#include <stdio.h>
#include <string.h>

/* Keys of the root that stand on top, in this order; others of the root are folded under "more". */
static const char *const first_keys[] = {"name",          "base_model",   "max_length",   "train",
                                         "learning_rate", "lr_scheduler", "batch_tokens", "dtype"};
static const struct {
    const char *group, *label;
    bool open;
} groups[] = {{"datasets", "datasets", true},
              {"stages", "stages", true},
              {"more", "more settings", false},
              {"lora", "lora", false},
              {"optimizer", "optimizer", false},
              {"eval", "eval", false},
              {"save", "save", false},
              {"guards", "guards", false},
              {"chat", "chat", false}};

/* ---- reading the text ---- */

static void parse(struct app *a)
{
    struct profile_show *p = &a->profile;
    struct arena memory = arena_make(0);
    struct profile *profile = NEW(&memory, struct profile);
    struct problems problems = {0};
    struct err err = {""};
    bool ok = profile_parse(profile, p->source, p->path, NULL, 0, &problems, &memory, &err);
    arena_drop(&p->trouble);
    p->trouble = arena_make(0);
    p->problems = p->warnings = (struct problems){0};
    if (!ok) {
        if (problems.n == 0) {
            struct problem *one = NEW(&memory, struct problem);
            snprintf(one->text, sizeof one->text, "%.390s", err.text);
            problems = (struct problems){one, 1, 1, false};
        }
        p->problems = problems;
        arena_drop(&p->trouble);
        p->trouble = memory;
        return;
    }
    arena_drop(&p->parse);
    p->parse = memory;
    p->profile = *profile;
    p->parsed = true;
    profile_warnings(&p->profile, &p->warnings, &p->trouble);
}

static bool folded_open(const struct profile_show *p, const char *path, bool at_first)
{
    for (int i = 0; i < p->n_flipped; i++)
        if (strcmp(p->flipped[i], path) == 0) return !at_first;
    return at_first;
}

/* ---- rows ---- */

struct builder {
    struct app *a;
    struct form_row *rows;
    int n, cap;
};

static struct form_row *row_add(struct builder *b, const char *path, const char *label,
                                const struct field *field, int depth)
{
    struct profile_show *p = &b->a->profile;
    ROOM(&p->form, b->rows, b->n, b->cap);
    struct form_row *r = &b->rows[b->n++];
    *r = (struct form_row){.label = label, .field = field, .depth = depth};
    snprintf(r->path, sizeof r->path, "%s", path);
    size_t n = strlen(path);
    for (int i = 0; i < p->problems.n && n > 0; i++) {
        const char *text = p->problems.list[i].text;
        if (strncmp(text, path, n) == 0 && (text[n] == ':' || (!field && text[n] == '.')))
            r->bad = true;
    }
    return r;
}

static void row_field(struct builder *b, const struct field *f, const char *prefix, int depth)
{
    struct profile_show *p = &b->a->profile;
    struct err err;
    char path[160];
    snprintf(path, sizeof path, "%s%s", prefix, f->path);
    const char *dot = strrchr(f->path, '.');
    struct form_row *r =
        row_add(b, path, dot && depth > 0 && !prefix[0] ? dot + 1 : f->path, f, depth);
    if (!profile_text_get(&r->value, p->source, path, &p->form, &err)) r->value = (struct text){0};
    r->said = r->value.n > 0;
    if (!r->said) r->value = text_of(f->preset ? f->preset : "");
}

static bool is_first(const char *path)
{
    for (size_t i = 0; i < COUNT(first_keys); i++)
        if (strcmp(first_keys[i], path) == 0) return true;
    return false;
}

static bool of_root(const struct field *f)
{
    return f->scope == SCOPE_ROOT || f->scope == SCOPE_SETTINGS;
}

static bool in_group(const struct field *f, const char *group)
{
    size_t n = strlen(group);
    if (!of_root(f) || !f->built) return false;
    if (strcmp(group, "more") == 0) return !strchr(f->path, '.') && !is_first(f->path);
    return strncmp(f->path, group, n) == 0 && f->path[n] == '.';
}

static void datasets(struct builder *b)
{
    struct profile_show *p = &b->a->profile;
    for (int i = 0; i < p->profile.n_datasets; i++) {
        const struct source_spec *d = &p->profile.datasets[i];
        char path[160], prefix[170];
        snprintf(path, sizeof path, "datasets.%.100s", d->name);
        struct form_row *r = row_add(b, path, d->name, NULL, 1);
        r->open = folded_open(p, path, false);
        const char *file = d->path;
        size_t dir = p->profile.dir ? strlen(p->profile.dir) : 0;
        if (dir && strncmp(file, p->profile.dir, dir) == 0 && file[dir] == '/') file += dir + 1;
        r->value =
            text_of(arena_printf(&p->form, "%s  %s", file,
                                 d->format && strcmp(d->format, "auto") != 0 ? d->format : ""));
        snprintf(prefix, sizeof prefix, "%s.", path);
        for (int f = 0; r->open && f < profile_n_fields; f++)
            if (profile_fields[f].scope == SCOPE_DATASET && profile_fields[f].built)
                row_field(b, &profile_fields[f], prefix, 2);
    }
}

static struct text stage_summary(struct profile_show *p, const struct stage *s)
{
    struct buf b = buf_make(&p->form);
    for (int i = 0; i < s->set.n_train; i++)
        buf_printf(&b, "%s%s", i ? ", " : "train ", s->set.train[i]);
    for (int i = 0; i < s->n_mix; i++)
        buf_printf(&b, "  %s %.3g", p->profile.datasets[s->mix[i].dataset].name, s->mix[i].share);
    if (s->bins > 1) buf_printf(&b, "  bins %d", s->bins);
    if (s->max_steps > 0) buf_printf(&b, "  %lld steps", (long long)s->max_steps);
    else if (s->max_tokens > 0) buf_printf(&b, "  %lld tokens", (long long)s->max_tokens);
    else if (s->epochs > 0) buf_printf(&b, "  %.3g epochs", s->epochs);
    return buf_text(&b);
}

static void stages(struct builder *b)
{
    struct profile_show *p = &b->a->profile;
    for (int i = 0; i < p->profile.n_stages; i++) {
        const struct stage *s = &p->profile.stages[i];
        char path[160], prefix[170];
        snprintf(path, sizeof path, "stages.%d", i);
        struct form_row *r =
            row_add(b, path, arena_printf(&p->form, "%d %s", i + 1, s->name), NULL, 1);
        r->open = folded_open(p, path, false);
        r->value = stage_summary(p, s);
        bool open = r->open;
        snprintf(prefix, sizeof prefix, "%s.", path);
        for (int pass = 0; open && pass < 2; pass++) /* its own keys first */
            for (int f = 0; f < profile_n_fields; f++)
                if (profile_fields[f].built &&
                    profile_fields[f].scope == (pass ? SCOPE_SETTINGS : SCOPE_STAGE))
                    row_field(b, &profile_fields[f], prefix, 2);
    }
}

static void group(struct builder *b, size_t g)
{
    struct profile_show *p = &b->a->profile;
    struct form_row *r = row_add(b, groups[g].group, groups[g].label, NULL, 0);
    bool open = r->open = folded_open(p, groups[g].group, groups[g].open);
    int at = b->n - 1, said = 0;
    if (g == 0 && open) datasets(b);
    if (g == 1 && open) stages(b);
    for (int f = 0; f < profile_n_fields && g > 1; f++) {
        struct text value;
        struct err err;
        if (!in_group(&profile_fields[f], groups[g].group)) continue;
        if (open) row_field(b, &profile_fields[f], "", 1);
        else if (profile_text_get(&value, p->source, profile_fields[f].path, &p->form, &err))
            said += value.n > 0;
    }
    if (g == 0) b->rows[at].value = text_of(arena_printf(&p->form, "%d", p->profile.n_datasets));
    if (g == 1) b->rows[at].value = text_of(arena_printf(&p->form, "%d", p->profile.n_stages));
    if (g > 1 && !open)
        b->rows[at].value =
            said ? text_of(arena_printf(&p->form, "%d set", said)) : TEXT("as they are by default");
}

void form_build(struct app *a)
{
    struct profile_show *p = &a->profile;
    arena_drop(&p->form);
    p->form = arena_make(0);
    struct builder b = {.a = a};
    for (size_t i = 0; i < COUNT(first_keys); i++)
        for (int f = 0; f < profile_n_fields; f++)
            if (of_root(&profile_fields[f]) && strcmp(profile_fields[f].path, first_keys[i]) == 0)
                row_field(&b, &profile_fields[f], "", 0);
    for (size_t g = 0; g < COUNT(groups); g++) group(&b, g);
    p->rows = b.rows;
    p->n_rows = b.n;
    list_move(&p->list, 0, p->n_rows);
}

/* ---- changes ---- */

static void changed(struct app *a)
{
    struct profile_show *p = &a->profile;
    p->edited = !text_equal(p->source, p->saved);
    parse(a);
    form_build(a);
    p->plan_state = p->problems.n ? PLAN_NONE : PLAN_WAITING;
    p->changed = a->now;
    p->launch_when_ready = false;
    a->dirty = true;
}

void form_change(struct app *a, struct text source)
{
    struct profile_show *p = &a->profile;
    if (text_equal(source, p->source)) return;
    ROOM(&p->texts, p->undo, p->n_undo, p->cap_undo);
    p->undo[p->n_undo++] = p->source;
    p->source = source;
    changed(a);
}

/* The path without "." and "..", by its text alone. */
static void plain_path(char out[4096], const char *path)
{
    size_t n = 0;
    for (const char *p = path; *p;) {
        size_t len = strcspn(p, "/");
        if (len == 2 && p[0] == '.' && p[1] == '.' && n > 0)
            while (n > 0 && out[--n] != '/') {}
        else if (len > 0 && !(len == 1 && p[0] == '.') && n + len + 2 < 4096) {
            out[n++] = '/';
            memcpy(out + n, p, len);
            n += len;
        }
        p += len + (p[len] == '/');
    }
    out[n] = 0;
}

static bool same_path(const char *a, const char *b)
{
    char plain[2][4096];
    if (!a || !b) return false;
    plain_path(plain[0], a);
    plain_path(plain[1], b);
    return strcmp(plain[0], plain[1]) == 0;
}

void app_profile(struct app *a, const char *path, struct text source)
{
    struct profile_show *p = &a->profile;
    struct text out;
    struct err err;
    bool same = strcmp(p->path, path) == 0;
    struct arena texts = arena_make(0);
    source = (struct text){arena_string(&texts, source.p, source.n), source.n};
    arena_drop(&p->texts);
    p->texts = texts;
    p->undo = NULL;
    p->n_undo = p->cap_undo = 0;
    p->source = p->saved = source;
    snprintf(p->path, sizeof p->path, "%s", path);
    if (!same) {
        p->list = (struct list){0};
        p->n_flipped = 0;
        p->parsed = false;
        p->profile = (struct profile){0};
        p->plan = NULL;
    }
    changed(a);
    if (p->wanted_model[0]) {
        if (!same_path(p->wanted_model, p->profile.base_model) &&
            profile_text_set(&out, p->source, "base_model", p->wanted_model, &p->texts, &err))
            form_change(a, out);
        p->wanted_model[0] = 0;
    }
    a->screen = SCREEN_PROFILE;
}

static struct form_row *row_here(struct app *a)
{
    struct profile_show *p = &a->profile;
    return p->list.at < p->n_rows ? &p->rows[p->list.at] : NULL;
}

/* The text with the value, if the parser has nothing to say against it; else the sentence. */
static bool with_value(struct app *a, const struct form_row *r, struct text value, struct text *out,
                       struct arena *memory, char problem[400])
{
    struct profile_show *p = &a->profile;
    struct err err = {""};
    struct problems problems = {0};
    struct profile trial;
    struct arena scratch = arena_make(0);
    size_t n = strlen(r->path);
    problem[0] = 0;
    char *typed = value.n ? arena_string(&scratch, value.p, value.n) : NULL;
    if (!profile_text_set(out, p->source, r->path, typed, memory, &err))
        snprintf(problem, 400, "%.390s", err.text);
    else if (!profile_parse(&trial, *out, p->path, NULL, 0, &problems, &scratch, &err)) {
        for (int i = 0; i < problems.n && !problem[0]; i++)
            if (strncmp(problems.list[i].text, r->path, n) == 0)
                snprintf(problem, 400, "%.390s", problems.list[i].text);
        if (!problem[0] && problems.n > p->problems.n)
            snprintf(problem, 400, "%.390s", problems.list[0].text);
    }
    arena_drop(&scratch);
    return problem[0] == 0;
}

void form_try(struct app *a)
{
    struct form_row *r = row_here(a);
    struct text out;
    struct arena scratch = arena_make(0);
    if (r) with_value(a, r, buf_text(&a->prompt.edit.text), &out, &scratch, a->prompt.problem);
    if (r && !a->prompt.problem[0] && r->field && !a->prompt.edit.text.n)
        snprintf(a->prompt.problem, sizeof a->prompt.problem, "empty: the default counts (%s)",
                 r->field->preset);
    arena_drop(&scratch);
}

static bool set_here(struct app *a, struct text value, char problem[400])
{
    struct form_row *r = row_here(a);
    struct text out;
    if (!r || !with_value(a, r, value, &out, &a->profile.texts, problem)) return false;
    form_change(a, out);
    return true;
}

bool form_accept(struct app *a, struct text value) { return set_here(a, value, a->prompt.problem); }

int form_choices(const struct app *a, struct text *out, int most)
{
    const struct profile_show *p = &a->profile;
    const struct field *f = p->list.at < p->n_rows ? p->rows[p->list.at].field : NULL;
    int n = 0;
    for (const char *c = f ? f->choices : NULL; c && *c && n < most;) {
        const char *end = strstr(c, " | ");
        out[n++] = (struct text){c, end ? (size_t)(end - c) : strlen(c)};
        c = end ? end + 3 : NULL;
    }
    return n;
}

void form_choose(struct app *a, int choice)
{
    struct text choices[32];
    char problem[400];
    if (choice >= form_choices(a, choices, COUNT(choices))) return;
    if (!set_here(a, choices[choice], problem)) app_notice(a, STYLE_BAD, "%s", problem);
}

void act_fold(struct app *a)
{
    struct profile_show *p = &a->profile;
    const struct form_row *r = row_here(a);
    if (!r || r->field) return;
    for (int i = 0; i < p->n_flipped; i++)
        if (strcmp(p->flipped[i], r->path) == 0) {
            memmove(p->flipped[i], p->flipped[i + 1],
                    sizeof p->flipped[0] * (size_t)(p->n_flipped - i - 1));
            p->n_flipped--;
            form_build(a);
            return;
        }
    if (p->n_flipped < (int)COUNT(p->flipped))
        snprintf(p->flipped[p->n_flipped++], sizeof p->flipped[0], "%s", r->path);
    form_build(a);
}

void act_edit_value(struct app *a)
{
    struct form_row *r = row_here(a);
    struct text choices[32];
    char label[96], problem[400];
    if (!r) {
        act_presets(a);
        return;
    }
    if (!r->field) {
        act_fold(a);
        return;
    }
    if (r->field->type == FIELD_BOOL) {
        if (!set_here(a, text_is(r->value, "true") ? TEXT("false") : TEXT("true"), problem))
            app_notice(a, STYLE_BAD, "%s", problem);
        return;
    }
    if (r->field->type == FIELD_CHOICE) {
        app_popup(a, POPUP_CHOICES);
        int n = form_choices(a, choices, COUNT(choices));
        for (int i = 0; i < n; i++)
            if (text_equal(choices[i], r->value)) a->pick.at = i;
        return;
    }
    snprintf(label, sizeof label, "%.90s:", r->path);
    app_ask(a, PROMPT_VALUE, label, r->value);
}

void act_unset(struct app *a)
{
    char problem[400];
    const struct form_row *r = row_here(a);
    if (!r || !r->field)
        app_notice(a, STYLE_PLAIN, "only a value can be removed here; E opens the whole text");
    else if (!r->said)
        app_notice(a, STYLE_PLAIN, "it is not said in the file: the default counts already");
    else if (!set_here(a, (struct text){0}, problem)) app_notice(a, STYLE_BAD, "%s", problem);
}

void act_undo(struct app *a)
{
    struct profile_show *p = &a->profile;
    if (p->n_undo == 0) {
        app_notice(a, STYLE_PLAIN, "nothing to take back");
        return;
    }
    p->source = p->undo[--p->n_undo];
    changed(a);
}
