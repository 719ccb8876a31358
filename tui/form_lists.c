/* form_lists.c - datasets and stages as entries of the form: added, removed, moved, named; and
 * lists whose words are marked.
 *
 * An edit here may touch several places of the text (a dataset and the stages that mix it); it is
 * one change for undo, and it is taken only where the parser has nothing against the whole. */
#include "tui/keys.h"
#include "tui/view.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- small things ---- */

static bool stages_are_said(const struct profile_show *p, struct arena *a)
{
    struct text said;
    struct err err;
    return profile_text_get(&said, p->source, "stages", a, &err) && said.n > 0;
}

static const char *entry_path(const struct profile_show *p, enum form_part part, int i,
                              struct arena *a)
{
    return part == PART_STAGES ? arena_printf(a, "stages.%d", i)
                               : arena_printf(a, "datasets.%s", p->profile.datasets[i].name);
}

/* The cursor on an entry's heading. */
static void go_to(struct app *a, enum row_kind kind, const char *name)
{
    struct profile_show *p = &a->profile;
    for (int i = 0; i < p->n_rows; i++) {
        const struct form_row *r = &p->rows[i];
        if (r->kind != kind || r->entry < 0) continue;
        const char *its = kind == ROW_STAGE ? p->profile.stages[r->entry].name
                                            : p->profile.datasets[r->entry].name;
        if (strcmp(its, name) == 0) p->list.at = i;
    }
}

static bool whole(struct app *a)
{
    if (a->profile.problems.n == 0) return true;
    app_notice(a, STYLE_BAD, "first what is wrong already: %s", a->profile.problems.list[0].text);
    return false;
}

/* ---- the stage of a profile that writes none ---- */

bool form_write_stage(struct app *a, struct text *source, struct arena *memory, struct err *err)
{
    struct profile_show *p = &a->profile;
    const struct stage *s = &p->profile.stages[0];
    if (stages_are_said(p, memory)) return true;
    if (!profile_text_insert(source, *source, "stages.0",
                             arena_printf(memory, "{name: %s}", s->name), memory, err))
        return false;
    for (int i = 0; i < s->n_mix; i++)
        if (!profile_text_set(source, *source,
                              arena_printf(memory, "stages.0.datasets.%s",
                                           p->profile.datasets[s->mix[i].dataset].name),
                              arena_printf(memory, "%g", s->mix[i].share), memory, err))
            return false;
    return true;
}

/* ---- adding ---- */

static bool name_is_taken(const struct profile_show *p, enum form_part part, const char *name)
{
    int n = part == PART_STAGES ? p->profile.n_stages : p->profile.n_datasets;
    for (int i = 0; i < n; i++)
        if (strcmp(part == PART_STAGES ? p->profile.stages[i].name : p->profile.datasets[i].name,
                   name) == 0)
            return true;
    return false;
}

/* "data/My file.train.jsonl" is called "My-file". */
static void name_of_file(const struct profile_show *p, char out[64], const char *path)
{
    char plain[48];
    const char *base = path_base(path);
    size_t n = strcspn(base, ".");
    if (n > 40) n = 40;
    while (n > 0 && ((unsigned char)base[n] & 0xC0) == 0x80) n--;
    snprintf(plain, sizeof plain, "%.*s", (int)n, n ? base : "");
    for (char *c = plain; *c; c++)
        if (strchr(" \t./:{}[],#\"'", *c)) *c = '-';
    snprintf(out, 64, "%s", plain[0] ? plain : "data");
    for (int i = 2; name_is_taken(p, PART_DATASETS, out); i++)
        snprintf(out, 64, "%s-%d", plain[0] ? plain : "data", i);
}

static bool add_dataset(struct app *a, struct text typed)
{
    struct profile_show *p = &a->profile;
    struct text out;
    struct err err;
    char name[64];
    const char *file = arena_string(&p->texts, typed.p, typed.n);
    name_of_file(p, name, file);
    const char *path = arena_printf(&p->texts, "datasets.%s.path", name);
    out = p->source;
    if (!form_write_stage(a, &out, &p->texts, &err) ||
        !profile_text_set(&out, out, path, file, &p->texts, &err)) {
        snprintf(a->prompt.problem, sizeof a->prompt.problem, "%.390s", err.text);
        return false;
    }
    if (!form_check(a, out, a->prompt.problem)) return false;
    form_change(a, out);
    go_to(a, ROW_DATASET, name);
    app_notice(a, STYLE_PLAIN, "%s is added; now give it a share in a stage", name);
    return true;
}

/* A new stage after the one at the cursor, with the same mix. */
static bool add_stage(struct app *a, struct text typed)
{
    struct profile_show *p = &a->profile;
    const struct form_row *r = form_here(a);
    int like = r && r->part == PART_STAGES && r->entry >= 0 ? r->entry : p->profile.n_stages - 1;
    const struct stage *s = &p->profile.stages[like];
    struct text out = p->source;
    struct err err = {""};
    const char *name = arena_string(&p->texts, typed.p, typed.n);
    const char *at = arena_printf(&p->texts, "stages.%d", like + 1);
    bool ok =
        form_write_stage(a, &out, &p->texts, &err) &&
        profile_text_insert(&out, out, at, "{name: new}", &p->texts, &err) &&
        profile_text_set(&out, out, arena_printf(&p->texts, "%s.name", at), name, &p->texts, &err);
    for (int i = 0; ok && i < s->n_mix; i++)
        ok = profile_text_set(&out, out,
                              arena_printf(&p->texts, "%s.datasets.%s", at,
                                           p->profile.datasets[s->mix[i].dataset].name),
                              arena_printf(&p->texts, "%g", s->mix[i].share), &p->texts, &err);
    if (!ok) snprintf(a->prompt.problem, sizeof a->prompt.problem, "%.390s", err.text);
    if (!ok || !form_check(a, out, a->prompt.problem)) return false;
    form_change(a, out);
    go_to(a, ROW_STAGE, name);
    app_notice(a, STYLE_PLAIN, "stage %s is added; Enter opens it", name);
    return true;
}

bool form_add(struct app *a, struct text typed)
{
    if (typed.n == 0) {
        snprintf(a->prompt.problem, sizeof a->prompt.problem, "a name is wanted; Esc leaves it");
        return false;
    }
    return a->prompt.kind == PROMPT_STAGE ? add_stage(a, typed) : add_dataset(a, typed);
}

void act_add(struct app *a)
{
    struct profile_show *p = &a->profile;
    const struct form_row *r = form_here(a);
    char name[64] = "";
    if (!r || !whole(a)) return;
    if (r->part == PART_DATASETS)
        app_ask(a, PROMPT_DATASET, "rows of the new dataset, a file:", TEXT(""));
    else if (r->part == PART_STAGES) {
        for (int i = p->profile.n_stages + 1; !name[0] || name_is_taken(p, PART_STAGES, name); i++)
            snprintf(name, sizeof name, "stage-%d", i);
        app_ask(a, PROMPT_STAGE, "name of the new stage:", text_of(name));
    } else
        app_notice(a, STYLE_PLAIN,
                   "a adds a dataset or a stage: put the cursor on the datasets or the stages");
}

/* ---- removing ---- */

static bool remove_dataset(struct app *a, int d, struct text *out, struct err *err)
{
    struct profile_show *p = &a->profile;
    const char *name = p->profile.datasets[d].name;
    if (p->profile.n_datasets == 1)
        return fail(err, "a profile needs a dataset: a adds another first");
    for (int i = 0; i < p->profile.n_stages && stages_are_said(p, &p->texts); i++) {
        const struct stage *s = &p->profile.stages[i];
        for (int m = 0; m < s->n_mix; m++) {
            if (s->mix[m].dataset != d) continue;
            if (s->n_mix == 1)
                return fail(err, "stage %s learns from %s alone: give it a share of another first",
                            s->name, name);
            if (!profile_text_set(out, *out,
                                  arena_printf(&p->texts, "stages.%d.datasets.%s", i, name), NULL,
                                  &p->texts, err))
                return false;
        }
    }
    return profile_text_set(out, *out, arena_printf(&p->texts, "datasets.%s", name), NULL,
                            &p->texts, err);
}

static bool remove_stage(struct app *a, int i, struct text *out, struct err *err)
{
    struct profile_show *p = &a->profile;
    if (!stages_are_said(p, &p->texts))
        return fail(err, "this is the one stage that every profile has");
    if (p->profile.n_stages == 1 && p->profile.n_datasets > 1)
        return fail(err, "several datasets need a stage that says how much of each is taken");
    const char *path =
        p->profile.n_stages == 1 ? "stages" : arena_printf(&p->texts, "stages.%d", i);
    return profile_text_set(out, *out, path, NULL, &p->texts, err);
}

bool form_remove(struct app *a)
{
    struct profile_show *p = &a->profile;
    const struct form_row *r = form_here(a);
    struct err err;
    char problem[400], name[128];
    struct text out = p->source;
    if (!r || (r->kind != ROW_DATASET && r->kind != ROW_STAGE)) return false;
    if (!whole(a)) return true;
    snprintf(name, sizeof name, "%s",
             r->kind == ROW_STAGE ? p->profile.stages[r->entry].name
                                  : p->profile.datasets[r->entry].name);
    bool ok = r->kind == ROW_STAGE ? remove_stage(a, r->entry, &out, &err)
                                   : remove_dataset(a, r->entry, &out, &err);
    if (!ok) app_notice(a, STYLE_BAD, "%s", err.text);
    else if (!form_check(a, out, problem)) app_notice(a, STYLE_BAD, "%s", problem);
    else {
        form_change(a, out);
        app_notice(a, STYLE_PLAIN, "%s is removed; u takes that back", name);
    }
    return true;
}

/* ---- moving and naming ---- */

static void move_entry(struct app *a, int by)
{
    struct profile_show *p = &a->profile;
    const struct form_row *r = form_here(a);
    struct text out;
    struct err err;
    char problem[400], name[128];
    if (!r || r->part == PART_OTHER || r->entry < 0) {
        app_notice(a, STYLE_PLAIN, "< and > move a dataset or a stage: put the cursor on one");
        return;
    }
    if (!whole(a)) return;
    bool stage = r->part == PART_STAGES;
    int n = stage ? p->profile.n_stages : p->profile.n_datasets;
    if (r->entry + by < 0 || r->entry + by >= n) {
        app_notice(a, STYLE_PLAIN, by < 0 ? "it is the first already" : "it is the last already");
        return;
    }
    snprintf(name, sizeof name, "%s",
             stage ? p->profile.stages[r->entry].name : p->profile.datasets[r->entry].name);
    const char *path = entry_path(p, r->part, r->entry, &p->texts);
    if (!profile_text_move(&out, p->source, path, by, &p->texts, &err))
        app_notice(a, STYLE_BAD, "%s", err.text);
    else if (!form_check(a, out, problem)) app_notice(a, STYLE_BAD, "%s", problem);
    else {
        form_change(a, out);
        go_to(a, stage ? ROW_STAGE : ROW_DATASET, name);
    }
}

void act_earlier(struct app *a) { move_entry(a, -1); }
void act_later(struct app *a) { move_entry(a, 1); }

/* A dataset's name stands in `datasets` and in every stage that mixes it. */
bool form_rename(struct app *a, const struct form_row *r, struct text name, struct text *out,
                 struct arena *memory, char problem[400])
{
    struct profile_show *p = &a->profile;
    const char *old = p->profile.datasets[r->entry].name, *to;
    struct err err = {""};
    struct text said;
    to = arena_string(memory, name.n ? name.p : "", name.n);
    *out = p->source;
    problem[0] = 0;
    if (strcmp(old, to) == 0) return true;
    bool ok = name.n > 0 || fail(&err, "a dataset needs a name");
    ok = ok &&
         profile_text_rename(out, *out, arena_printf(memory, "datasets.%s", old), to, memory, &err);
    for (int i = 0; ok && i < p->profile.n_stages; i++) {
        const char *path = arena_printf(memory, "stages.%d.datasets.%s", i, old);
        ok = profile_text_get(&said, *out, path, memory, &err) &&
             (said.n == 0 || profile_text_rename(out, *out, path, to, memory, &err));
    }
    if (!ok) snprintf(problem, 400, "%.390s", err.text);
    return ok && form_check(a, *out, problem);
}

/* ---- lists with marks ---- */

static void mark_add(struct marks *m, const char *word, size_t n, bool on)
{
    if (m->n == (int)COUNT(m->list) || n == 0 || n >= sizeof m->list[0].word) return;
    struct mark *k = &m->list[m->n++];
    *k = (struct mark){.on = on, .alone = word[n - 1] == '!'};
    snprintf(k->word, sizeof k->word, "%.*s", (int)(n - k->alone), word);
}

static void mark_on(struct marks *m, const char *word, size_t n)
{
    for (int i = 0; i < m->n; i++) {
        bool last =
            n > 5 && strncmp(word, "last:", 5) == 0 && strncmp(m->list[i].word, "last:", 5) == 0;
        if (!last && (strlen(m->list[i].word) != n || strncmp(m->list[i].word, word, n) != 0))
            continue;
        m->list[i].on = true;
        if (last) snprintf(m->list[i].word, sizeof m->list[i].word, "%.*s", (int)n, word);
        return;
    }
    mark_add(m, word, n, true);
}

/* The words of "[a, "b"]", of "a" and of lines with dashes. */
static void marks_read(struct marks *m, struct text value)
{
    for (size_t i = 0; i < value.n;) {
        char c = value.p[i];
        size_t n = 0;
        if (c == '"' || c == '\'') {
            const char *end = memchr(value.p + i + 1, c, value.n - i - 1);
            n = end ? (size_t)(end - value.p) - i - 1 : value.n - i - 1;
            mark_on(m, value.p + i + 1, n);
            i += n + 2;
        } else if (strchr("[], \r\n-", c)) {
            i++;
        } else {
            while (i + n < value.n && !strchr(",]\r\n", value.p[i + n])) n++;
            size_t word = n;
            while (word > 0 && value.p[i + word - 1] == ' ') word--;
            mark_on(m, value.p + i, word);
            i += n;
        }
    }
}

void form_marks(struct app *a)
{
    struct marks *m = &a->profile.marks;
    const struct form_row *r = form_here(a);
    *m = (struct marks){0};
    snprintf(m->path, sizeof m->path, "%s", r->path);
    for (const char *w = profile_field_words(r->field); w && *w;) {
        const char *end = strstr(w, " | ");
        mark_add(m, w, end ? (size_t)(end - w) : strlen(w), false);
        w = end ? end + 3 : NULL;
    }
    marks_read(m, r->value);
    app_popup(a, POPUP_MARKS);
}

static void put_word(struct buf *b, const char *word)
{
    bool quote = strpbrk(word, ",[]{}#\"'\\ ") != NULL;
    buf_printf(b, "%s%s", b->n ? ", " : "", quote ? "\"" : "");
    for (; *word; word++) buf_printf(b, "%s%c", quote && strchr("\"\\", *word) ? "\\" : "", *word);
    if (quote) buf_printf(b, "\"");
}

void form_take_marks(struct app *a)
{
    const struct marks *m = &a->profile.marks;
    struct buf b = buf_make(&a->profile.texts);
    for (int i = 0; i < m->n; i++)
        if (m->list[i].on) put_word(&b, m->list[i].word);
    if (b.n) form_set(a, buf_text(&b));
    else app_notice(a, STYLE_PLAIN, "nothing is marked: it stays as it was");
}

static struct mark *mark_here(struct app *a)
{
    struct marks *m = &a->profile.marks;
    return a->pick.at < m->n ? &m->list[a->pick.at] : NULL;
}

void act_mark(struct app *a)
{
    struct marks *m = &a->profile.marks;
    struct mark *here = mark_here(a);
    if (!here) return;
    bool on = !here->on;
    for (int i = 0; i < m->n && on; i++)
        if (here->alone || m->list[i].alone) m->list[i].on = false;
    here->on = on;
}

static void mark_step(struct app *a, int by)
{
    struct mark *here = mark_here(a);
    if (!here || strncmp(here->word, "last:", 5) != 0) return;
    long n = strtol(here->word + 5, NULL, 10) + by;
    if (n >= 1 && n <= 1024) snprintf(here->word, sizeof here->word, "last:%ld", n);
}

void act_mark_more(struct app *a) { mark_step(a, 1); }
void act_mark_less(struct app *a) { mark_step(a, -1); }

void act_mark_type(struct app *a)
{
    char label[96];
    const struct form_row *r = form_here(a);
    app_close_popup(a);
    if (!r) return;
    snprintf(label, sizeof label, "%.90s:", r->path);
    app_ask(a, PROMPT_VALUE, label, r->value);
}

void marks_size(const struct app *a, int *w, int *h)
{
    *w = 52;
    *h = a->profile.marks.n + 2;
}

void marks_popup(const struct app *a, struct grid *g, struct rect r)
{
    const struct marks *m = &a->profile.marks;
    struct list l = a->pick;
    grid_fit(g, r, 0, 0, r.w, STYLE_DIM, text_of(m->path));
    list_show(&l, m->n, r.h - 2);
    for (int i = l.top; i < m->n && i - l.top < r.h - 2; i++) {
        int y = 2 + i - l.top;
        const struct mark *k = &m->list[i];
        grid_text(g, r, 2, y, STYLE_PLAIN, k->on ? TEXT("[x]") : TEXT("[ ]"));
        int n = grid_fit(g, r, 6, y, 24, k->on ? STYLE_BRIGHT : STYLE_PLAIN, text_of(k->word));
        if (k->alone) grid_text(g, r, 8 + n, y, STYLE_DIM, TEXT("alone"));
        if (strncmp(k->word, "last:", 5) == 0)
            grid_text(g, r, 8 + n, y, STYLE_DIM, TEXT("layers; + and - change it"));
        if (i != l.at) continue;
        grid_paint(g, rect_clip(r, (struct rect){0, y, r.w, 1}), STYLE_SELECTED);
        grid_sign(g, r, 0, y, STYLE_SELECTED, SIGN_CURSOR);
    }
}
