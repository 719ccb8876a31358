/* form.c - the profile's text: parsed after each change, undone and redone, and one value of it
 * set.
 *
 * The text is the truth; the rows are made from it anew after each change (form_rows.c). A change
 * is checked by parsing the text with it, so that the form can never say yes where the parser says
 * no. */
#include "engine/format/json.h"
#include "tui/keys.h"
#include "tui/view.h"
#include <stdio.h>
#include <string.h>

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

static void keep(struct profile_show *p, struct text source)
{
    p->n_history = p->n_history ? p->at_history + 1 : 0;
    ROOM(&p->texts, p->history, p->n_history, p->cap_history);
    p->at_history = p->n_history++;
    p->history[p->at_history] = p->source = source;
}

void form_change(struct app *a, struct text source)
{
    if (text_equal(source, a->profile.source)) return;
    keep(&a->profile, source);
    changed(a);
}

void form_saved(struct app *a, struct text source)
{
    a->profile.saved = source;
    if (text_equal(source, a->profile.source)) changed(a);
    else form_change(a, source);
}

static void step_history(struct app *a, int by, const char *nothing)
{
    struct profile_show *p = &a->profile;
    int to = p->at_history + by;
    if (to < 0 || to >= p->n_history) {
        app_notice(a, STYLE_PLAIN, "%s", nothing);
        return;
    }
    p->at_history = to;
    p->source = p->history[to];
    changed(a);
}

void act_undo(struct app *a) { step_history(a, -1, "nothing to take back"); }
void act_redo(struct app *a) { step_history(a, 1, "nothing was taken back"); }

void plain_path(char out[4096], const char *path)
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

bool form_has_model(const struct app *a, const char *path)
{
    return same_path(path, a->profile.profile.base_model);
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
    p->history = NULL;
    p->at_history = p->n_history = p->cap_history = 0;
    keep(p, source);
    p->saved = source;
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
        if (!form_has_model(a, p->wanted_model) &&
            profile_text_set(&out, p->source, "base_model", p->wanted_model, &p->texts, &err))
            form_change(a, out);
        p->wanted_model[0] = 0;
    }
    a->screen = SCREEN_PROFILE;
}

struct form_row *form_here(struct app *a)
{
    struct profile_show *p = &a->profile;
    return p->list.at < p->n_rows ? &p->rows[p->list.at] : NULL;
}

/* ---- checked edits ---- */

/* What the parser says against a text: of the row's own value, else whatever is new. */
static bool sound(struct app *a, struct text out, const char *path, char problem[400])
{
    struct profile_show *p = &a->profile;
    struct profile trial;
    struct problems problems = {0};
    struct err err = {""};
    struct arena scratch = arena_make(0);
    size_t n = strlen(path);
    problem[0] = 0;
    if (!profile_parse(&trial, out, p->path, NULL, 0, &problems, &scratch, &err)) {
        for (int i = 0; i < problems.n && n && !problem[0]; i++)
            if (strncmp(problems.list[i].text, path, n) == 0)
                snprintf(problem, 400, "%.390s", problems.list[i].text);
        if (!problem[0] && problems.n > p->problems.n)
            snprintf(problem, 400, "%.390s", problems.list[0].text);
    }
    arena_drop(&scratch);
    return problem[0] == 0;
}

bool form_check(struct app *a, struct text out, char problem[400])
{
    return sound(a, out, "", problem);
}

/* What the same level says and cannot say beside this value goes. */
static bool rivals_go(const struct form_row *r, struct text *source, struct arena *memory,
                      struct err *err)
{
    size_t prefix = strlen(r->path) - strlen(r->field->path);
    for (int i = 0; i < profile_n_fields; i++) {
        const struct field *f = &profile_fields[i];
        if (f->scope != r->field->scope || !profile_excludes(r->field->path, f->path)) continue;
        const char *path = arena_printf(memory, "%.*s%s", (int)prefix, r->path, f->path);
        if (!profile_text_set(source, *source, path, NULL, memory, err)) return false;
    }
    return true;
}

/* The text with the value, if nothing is wrong with it; else the sentence. */
static bool with_value(struct app *a, const struct form_row *r, struct text value, struct text *out,
                       struct arena *memory, char problem[400])
{
    struct err err = {""};
    const char *typed = value.n ? arena_string(memory, value.p, value.n) : NULL;
    bool ok = true;
    *out = a->profile.source;
    if (r->kind == ROW_NAME) return form_rename(a, r, value, out, memory, problem);
    if (typed && r->part == PART_STAGES) ok = form_write_stage(a, out, memory, &err);
    if (ok && typed && r->kind == ROW_FIELD) ok = rivals_go(r, out, memory, &err);
    if (ok && profile_text_set(out, *out, r->path, typed, memory, &err))
        return sound(a, *out, r->path, problem);
    snprintf(problem, 400, "%.390s", err.text);
    return false;
}

void form_try(struct app *a)
{
    struct form_row *r = form_here(a);
    struct text out;
    struct arena scratch = arena_make(0);
    char *problem = a->prompt.problem;
    if (r) with_value(a, r, buf_text(&a->prompt.edit.text), &out, &scratch, problem);
    if (r && !problem[0] && !a->prompt.edit.text.n && r->kind == ROW_SHARE)
        snprintf(problem, sizeof a->prompt.problem, "empty: the stage does without it");
    else if (r && !problem[0] && !a->prompt.edit.text.n && r->field)
        snprintf(problem, sizeof a->prompt.problem,
                 r->field->preset[0]
                     ? "empty: what the profile says for all counts, else the default, %s"
                     : "empty: nothing is said",
                 r->field->preset);
    arena_drop(&scratch);
}

/* What is folded stays so when its entry gets another name. */
static void refold(struct profile_show *p, const char *old, const char *now)
{
    for (int i = 0; i < p->n_flipped; i++)
        if (strcmp(p->flipped[i], old) == 0)
            snprintf(p->flipped[i], sizeof p->flipped[i], "%s", now);
}

static const char *heading_key(struct profile_show *p, const struct form_row *r)
{
    for (int i = 0; i < p->n_rows; i++)
        if (p->rows[i].key && p->rows[i].part == r->part && p->rows[i].entry == r->entry)
            return p->rows[i].key;
    return "";
}

bool form_accept(struct app *a, struct text value)
{
    struct profile_show *p = &a->profile;
    struct form_row *r = form_here(a), here;
    struct text out;
    char old[160];
    if (!r || !with_value(a, r, value, &out, &p->texts, a->prompt.problem)) return false;
    here = *r;
    snprintf(old, sizeof old, "%s", heading_key(p, &here));
    form_change(a, out);
    if (here.entry >= 0 && strcmp(old, heading_key(p, &here)) != 0) {
        refold(p, old, heading_key(p, &here));
        form_build(a);
    }
    return true;
}

bool form_set(struct app *a, struct text value)
{
    char problem[400];
    struct form_row *r = form_here(a);
    struct text out;
    if (r && with_value(a, r, value, &out, &a->profile.texts, problem)) {
        form_change(a, out);
        return true;
    }
    if (r) app_notice(a, STYLE_BAD, "%s", problem);
    return false;
}

/* ---- choices ---- */

int form_choices(const struct app *a, struct text *out, int most)
{
    const struct profile_show *p = &a->profile;
    const struct field *f = p->list.at < p->n_rows ? p->rows[p->list.at].field : NULL;
    int n = 0;
    if (f && f->type == FIELD_BOOL && most >= 2) {
        out[n++] = TEXT("true");
        out[n++] = TEXT("false");
    }
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
    if (choice < form_choices(a, choices, COUNT(choices))) form_set(a, choices[choice]);
}

static int choice_now(const struct app *a, const struct text *choices, int n)
{
    for (int i = 0; i < n; i++)
        if (text_equal(choices[i], a->profile.rows[a->profile.list.at].value)) return i;
    return -1;
}

static void next_choice(struct app *a, int by)
{
    struct text choices[32];
    int n = form_choices(a, choices, COUNT(choices));
    if (n) form_choose(a, (choice_now(a, choices, n) + by + n) % n);
}

/* ---- keys ---- */

void act_fold(struct app *a)
{
    struct profile_show *p = &a->profile;
    const struct form_row *r = form_here(a);
    if (!r || !r->key) return;
    for (int i = 0; i < p->n_flipped; i++)
        if (strcmp(p->flipped[i], r->key) == 0) {
            memmove(p->flipped[i], p->flipped[i + 1],
                    sizeof p->flipped[0] * (size_t)(p->n_flipped - i - 1));
            p->n_flipped--;
            form_build(a);
            return;
        }
    if (p->n_flipped < (int)COUNT(p->flipped))
        snprintf(p->flipped[p->n_flipped++], sizeof p->flipped[0], "%s", r->key);
    form_build(a);
}

static bool has_choices(const struct field *f)
{
    return f && (f->type == FIELD_BOOL || f->type == FIELD_CHOICE);
}

void act_edit_value(struct app *a)
{
    const struct form_row *r = form_here(a);
    char label[96];
    if (!r) act_presets(a);
    else if (r->key) act_fold(a);
    else if (r->field && profile_field_words(r->field)) form_marks(a);
    else if (has_choices(r->field)) {
        struct text choices[32];
        app_popup(a, POPUP_CHOICES);
        a->pick.at = choice_now(a, choices, form_choices(a, choices, COUNT(choices)));
        if (a->pick.at < 0) a->pick.at = 0;
    } else {
        snprintf(label, sizeof label, "%.90s:", r->kind == ROW_NAME ? "name" : r->path);
        app_ask(a, PROMPT_VALUE, label, r->value);
    }
}

/* Of a mix whose shares are parts of one, a tenth; else one. */
static struct text first_share(const struct app *a, const struct form_row *r)
{
    const struct stage *s = &a->profile.profile.stages[r->entry];
    bool parts = s->n_mix > 1;
    for (int i = 0; i < s->n_mix; i++) parts = parts && s->mix[i].share < 1;
    return parts ? TEXT("0.1") : TEXT("1");
}

/* Space: the quickest change that the row knows. */
void act_toggle(struct app *a)
{
    const struct form_row *r = form_here(a);
    if (!r) return;
    if (r->key) act_fold(a);
    else if (r->kind == ROW_SHARE) form_set(a, r->said ? (struct text){0} : first_share(a, r));
    else if (r->field && profile_field_words(r->field)) form_marks(a);
    else if (has_choices(r->field)) next_choice(a, 1);
    else app_notice(a, STYLE_PLAIN, "Enter types a value; + and - step a number");
}

static void step_value(struct app *a, int by)
{
    const struct form_row *r = form_here(a);
    char value[64];
    bool number =
        r && r->field &&
        (r->field->type == FIELD_INT || r->field->type == FIELD_NUM || r->kind == ROW_SHARE);
    if (number && !form_step(value, r->field, r->value, by))
        app_notice(a, STYLE_PLAIN, "%s goes no further", r->label);
    else if (number) form_set(a, text_of(value));
    else if (r && has_choices(r->field)) next_choice(a, by);
    else app_notice(a, STYLE_PLAIN, "+ and - step numbers and choices");
}

void act_more(struct app *a) { step_value(a, 1); }
void act_less(struct app *a) { step_value(a, -1); }

void act_unset(struct app *a)
{
    const struct form_row *r = form_here(a);
    if (!r || form_remove(a)) return;
    if (!r->field)
        app_notice(a, STYLE_PLAIN, "d removes a value, a dataset or a stage; here is none");
    else if (!r->said)
        app_notice(a, STYLE_PLAIN, "it is not said here: what is shown counts already");
    else form_set(a, (struct text){0});
}
