/* form_rows.c - the rows of the form: the fields that people look for first, then datasets and
 * stages as entries, then everything else, folded.
 *
 * A row shows what counts: what the file says there, or dim what counts without it. For a stage
 * that is what the file's root says, for everything else the default. */
#include "tui/app.h"
#include <stdio.h>
#include <string.h>

static const char *const first_keys[] = {"name",          "base_model",   "max_length",   "train",
                                         "learning_rate", "lr_scheduler", "batch_tokens", "dtype"};
static const char *const first_of_stage[] = {"bins",       "epochs", "max_steps",
                                             "max_tokens", "train",  "learning_rate"};
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

struct builder {
    struct app *a;
    struct form_row *rows;
    int n, cap;
    enum form_part part;
    int entry;
};

static bool among(const char *const *list, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], word) == 0) return true;
    return false;
}

static bool folded_open(const struct profile_show *p, const char *key, bool at_first)
{
    for (int i = 0; i < p->n_flipped; i++)
        if (strcmp(p->flipped[i], key) == 0) return !at_first;
    return at_first;
}

static bool of_root(const struct field *f)
{
    return f->scope == SCOPE_ROOT || f->scope == SCOPE_SETTINGS;
}

/* What the file says at a path; n 0: nothing. */
static struct text said_at(struct profile_show *p, const char *path)
{
    struct text value;
    struct err err;
    return profile_text_get(&value, p->source, path, &p->form, &err) ? value : (struct text){0};
}

/* ---- one row ---- */

static struct form_row *row_add(struct builder *b, enum row_kind kind, const char *path,
                                const char *label, int depth)
{
    struct profile_show *p = &b->a->profile;
    ROOM(&p->form, b->rows, b->n, b->cap);
    struct form_row *r = &b->rows[b->n++];
    *r = (struct form_row){
        .kind = kind, .label = label, .depth = depth, .part = b->part, .entry = b->entry};
    snprintf(r->path, sizeof r->path, "%s", path);
    size_t n = strlen(path);
    bool heading = kind == ROW_GROUP || kind == ROW_DATASET || kind == ROW_STAGE;
    for (int i = 0; i < p->problems.n && n > 0; i++) {
        const char *text = p->problems.list[i].text;
        if (strncmp(text, path, n) == 0 && (text[n] == ':' || (heading && text[n] == '.')))
            r->bad = true;
    }
    return r;
}

static struct form_row *heading(struct builder *b, enum row_kind kind, const char *path,
                                const char *key, const char *label, int depth, bool open)
{
    struct form_row *r = row_add(b, kind, path, label, depth);
    r->key = arena_printf(&b->a->profile.form, "%s", key);
    r->open = folded_open(&b->a->profile, r->key, open);
    return r;
}

/* What counts where the file says nothing at `prefix`: of settings that exclude each other the
 * ones that are not said count as nothing when another is. */
static struct text not_said(struct profile_show *p, const struct field *f, const char *prefix)
{
    const char *levels[] = {prefix, ""};
    for (size_t l = 0; l < COUNT(levels); l++) {
        if (l > 0 && !prefix[0]) break;
        struct text root = l > 0 ? said_at(p, f->path) : (struct text){0};
        if (root.n) return root;
        for (int i = 0; i < profile_n_fields; i++)
            if (f->scope == SCOPE_SETTINGS && profile_excludes(f->path, profile_fields[i].path) &&
                said_at(p, arena_printf(&p->form, "%s%s", levels[l], profile_fields[i].path)).n)
                return (struct text){0};
    }
    return text_of(f->preset ? f->preset : "");
}

static void row_field(struct builder *b, const struct field *f, const char *prefix, int depth)
{
    struct profile_show *p = &b->a->profile;
    char path[160];
    snprintf(path, sizeof path, "%s%s", prefix, f->path);
    const char *dot = strrchr(f->path, '.');
    struct form_row *r =
        row_add(b, ROW_FIELD, path, dot && depth > 0 && !prefix[0] ? dot + 1 : f->path, depth);
    r->field = f;
    r->value = said_at(p, path);
    r->said = r->value.n > 0;
    if (!r->said) r->value = not_said(p, f, f->scope == SCOPE_SETTINGS ? prefix : "");
    bool number = r->value.n && strchr("0123456789.", r->value.p[0]);
    if (number && !memchr(r->value.p, '%', r->value.n)) r->note = text_of(f->unit);
}

static const struct field *field_named(const char *path, enum field_scope scope)
{
    for (int i = 0; i < profile_n_fields; i++)
        if (profile_fields[i].scope == scope && strcmp(profile_fields[i].path, path) == 0)
            return &profile_fields[i];
    return NULL;
}

/* ---- datasets ---- */

static void dataset(struct builder *b, int i)
{
    struct profile_show *p = &b->a->profile;
    const struct source_spec *d = &p->profile.datasets[i];
    char path[160], prefix[170];
    snprintf(path, sizeof path, "datasets.%.100s", d->name);
    b->entry = i;
    struct form_row *r = heading(b, ROW_DATASET, path, path, d->name, 1, false);
    const char *file = d->path;
    size_t dir = p->profile.dir ? strlen(p->profile.dir) : 0;
    if (dir && strncmp(file, p->profile.dir, dir) == 0 && file[dir] == '/') file += dir + 1;
    bool format = d->format && strcmp(d->format, "auto") != 0;
    r->value = text_of(file);
    if (format) r->note = text_of(d->format);
    if (!r->open) return;
    snprintf(prefix, sizeof prefix, "%s.", path);
    struct form_row *name = row_add(b, ROW_NAME, path, "name", 2);
    name->value = text_of(d->name);
    name->said = true;
    for (int f = 0; f < profile_n_fields; f++)
        if (profile_fields[f].scope == SCOPE_DATASET && profile_fields[f].built)
            row_field(b, &profile_fields[f], prefix, 2);
}

/* ---- stages ---- */

static struct text stage_summary(struct profile_show *p, const struct stage *s)
{
    struct buf b = buf_make(&p->form);
    for (int i = 0; i < s->n_mix; i++)
        buf_printf(&b, "%s%s %.3g", i ? "  " : "", p->profile.datasets[s->mix[i].dataset].name,
                   s->mix[i].share);
    if (s->bins > 1) buf_printf(&b, "  bins %d", s->bins);
    if (s->max_steps > 0) buf_printf(&b, "  %lld steps", (long long)s->max_steps);
    else if (s->max_tokens > 0) buf_printf(&b, "  %lld tokens", (long long)s->max_tokens);
    else if (s->epochs > 0) buf_printf(&b, "  %.3g epoch%s", s->epochs, s->epochs == 1 ? "" : "s");
    for (int i = 0; i < s->set.n_train; i++)
        buf_printf(&b, "%s%s", i ? ", " : "  train ", s->set.train[i]);
    return buf_text(&b);
}

/* A row a dataset of the profile: how much of the stage's tokens it gives, or nothing. */
static void shares(struct builder *b, const struct stage *s, const char *prefix)
{
    struct profile_show *p = &b->a->profile;
    double sum = 0;
    for (int i = 0; i < s->n_mix; i++) sum += s->mix[i].share;
    for (int d = 0; d < p->profile.n_datasets; d++) {
        char path[300];
        snprintf(path, sizeof path, "%sdatasets.%s", prefix, p->profile.datasets[d].name);
        const char *label = arena_printf(&p->form, "share of %s", p->profile.datasets[d].name);
        struct form_row *r = row_add(b, ROW_SHARE, path, label, 2);
        r->field = field_named("datasets", SCOPE_STAGE);
        r->value = said_at(p, path);
        r->said = r->value.n > 0;
        for (int i = 0; i < s->n_mix; i++) {
            if (s->mix[i].dataset != d) continue;
            r->note = text_of(arena_printf(&p->form, "%.0f %% of its tokens",
                                           sum > 0 ? 100 * s->mix[i].share / sum : 0));
            if (!r->said) r->value = text_of(arena_printf(&p->form, "%.3g", s->mix[i].share));
        }
    }
}

static void stage(struct builder *b, int i)
{
    struct profile_show *p = &b->a->profile;
    const struct stage *s = &p->profile.stages[i];
    char path[160], prefix[170], key[200];
    snprintf(path, sizeof path, "stages.%d", i);
    snprintf(prefix, sizeof prefix, "stages.%d.", i);
    snprintf(key, sizeof key, "stage %s", s->name);
    b->entry = i;
    struct form_row *r =
        heading(b, ROW_STAGE, path, key, arena_printf(&p->form, "%d %s", i + 1, s->name), 1, false);
    r->value = stage_summary(p, s);
    if (!r->open) return;
    row_field(b, field_named("name", SCOPE_STAGE), prefix, 2);
    shares(b, s, prefix);
    for (size_t k = 0; k < COUNT(first_of_stage); k++)
        row_field(b, field_named(first_of_stage[k], SCOPE_SETTINGS), prefix, 2);
    snprintf(key, sizeof key, "more of %s", s->name);
    r = heading(b, ROW_GROUP, "", key, "more of this stage", 2, false);
    int at = b->n - 1, said = 0;
    for (int f = 0; f < profile_n_fields; f++) {
        const struct field *x = &profile_fields[f];
        if (!x->built || x->scope != SCOPE_SETTINGS ||
            among(first_of_stage, COUNT(first_of_stage), x->path))
            continue;
        if (b->rows[at].open) row_field(b, x, prefix, 3);
        else said += said_at(p, arena_printf(&p->form, "%s%s", prefix, x->path)).n > 0;
    }
    if (!b->rows[at].open)
        b->rows[at].value =
            said ? text_of(arena_printf(&p->form, "%d set", said)) : TEXT("as all stages");
}

/* ---- all ---- */

static bool in_group(const struct field *f, const char *group)
{
    size_t n = strlen(group);
    if (!of_root(f) || !f->built) return false;
    if (strcmp(group, "more") == 0)
        return !strchr(f->path, '.') && !among(first_keys, COUNT(first_keys), f->path);
    return strncmp(f->path, group, n) == 0 && f->path[n] == '.';
}

static struct text counted(struct profile_show *p, int n, const char *what)
{
    return text_of(arena_printf(&p->form, "%d %s%s", n, what, n == 1 ? "" : "s"));
}

static void group(struct builder *b, size_t g)
{
    struct profile_show *p = &b->a->profile;
    b->part = g == 0 ? PART_DATASETS : g == 1 ? PART_STAGES : PART_OTHER;
    b->entry = -1;
    struct form_row *r =
        heading(b, ROW_GROUP, groups[g].group, groups[g].group, groups[g].label, 0, groups[g].open);
    bool open = r->open;
    int at = b->n - 1, said = 0;
    for (int i = 0; g == 0 && open && i < p->profile.n_datasets; i++) dataset(b, i);
    for (int i = 0; g == 1 && open && i < p->profile.n_stages; i++) stage(b, i);
    for (int f = 0; f < profile_n_fields && g > 1; f++) {
        if (!in_group(&profile_fields[f], groups[g].group)) continue;
        if (open) row_field(b, &profile_fields[f], "", 1);
        else said += said_at(p, profile_fields[f].path).n > 0;
    }
    r = &b->rows[at];
    if (g == 0) r->value = counted(p, p->profile.n_datasets, "file");
    if (g == 1) r->value = counted(p, p->profile.n_stages, "stage");
    if (g > 1 && !open)
        r->value =
            said ? text_of(arena_printf(&p->form, "%d set", said)) : TEXT("as they are by default");
}

void form_build(struct app *a)
{
    struct profile_show *p = &a->profile;
    arena_drop(&p->form);
    p->form = arena_make(0);
    struct builder b = {.a = a, .entry = -1};
    for (size_t i = 0; i < COUNT(first_keys); i++)
        for (int f = 0; f < profile_n_fields; f++)
            if (of_root(&profile_fields[f]) && strcmp(profile_fields[f].path, first_keys[i]) == 0)
                row_field(&b, &profile_fields[f], "", 0);
    for (size_t g = 0; g < COUNT(groups); g++) group(&b, g);
    p->rows = b.rows;
    p->n_rows = b.n;
    list_move(&p->list, 0, p->n_rows);
}
