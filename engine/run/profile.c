/* profile.c - a profile's text becomes a struct: one walk over the tree, every key through its row.
 *
 * The walk never stops at a problem, so that all of a file's errors come at once. Defaults are laid
 * down first, then what the root says, then, for each stage, a copy of that and what the stage
 * says. */
#include "engine/run/profile_parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One level of the file: which rows may stand here, the structs they fill, and which of them were
 * said. */
struct level {
    struct reading *r;
    unsigned scopes;
    void *base[SCOPES];
    const char *shown;                          /* "stages.1." in front of paths, "" at the root */
    const struct node *said[FIELDS_MOST];
};

/* ---- keys ---- */

static void unknown_key(struct level *l, const struct node *key, const char *group)
{
    const char *near = field_nearest(key->value.p, group, l->scopes, l->r->a);
    const char *whole =
        arena_printf(l->r->a, "%s%s%s%s", l->shown, group, group[0] ? "." : "", key->value.p);
    if (near) {
        profile_problem(l->r, key, "%s: unknown key; did you mean %s?", whole, near);
        return;
    }
    const char *elsewhere = profile_field_nearest(whole);
    profile_problem(l->r, key, "%s: unknown key%s%s%s", whole,
                    elsewhere ? "; did you mean " : "; `hone help profile` lists all",
                    elsewhere ? elsewhere : "", elsewhere ? "?" : "");
}

static bool key_is_list(const struct level *l, const char *path)
{
    bool root = l->scopes & SCOPE_BIT(SCOPE_ROOT);
    return (root && (strcmp(path, "datasets") == 0 || strcmp(path, "stages") == 0)) ||
           (!root && strcmp(path, "datasets") == 0);
}

/* Reads the keys of a map below `group` ("" or "lora"); groups are one level deep. */
static void read_keys(struct level *l, const struct node *map, const char *group)
{
    for (int i = 0; i < map->n; i++) {
        const struct node *key = map->keys[i], *value = map->items[i];
        const char *path =
            group[0] ? arena_printf(l->r->a, "%s.%s", group, key->value.p) : key->value.p;
        const char *shown = arena_printf(l->r->a, "%s%s", l->shown, path);
        const struct field *f =
            strlen(key->value.p) == key->value.n ? field_find(path, l->scopes) : NULL;
        bool is_group = !group[0] && field_is_group(path, l->scopes);
        if (!group[0] && key_is_list(l, path)) continue;
        if (is_group && value->kind == NODE_MAP) {
            read_keys(l, value, path);
        } else if (f) {
            if (!node_is_null(value)) l->said[f - profile_fields] = key;
            field_read(l->r, f, l->base[f->scope], value, shown);
        } else if (is_group) {
            if (!node_is_null(value))
                profile_problem(l->r, value, "%s: a map is wanted, like {key: value}", shown);
        } else {
            unknown_key(l, key, group);
        }
    }
}

/* Of settings that exclude each other one may be said; the others' defaults go. */
static void settle_one_of(struct level *l)
{
    for (int g = 0; g < fields_n_one_of; g++) {
        const struct field *said = NULL;
        for (size_t i = 0; i < COUNT(fields_one_of[g].paths) && fields_one_of[g].paths[i]; i++) {
            const struct field *f = field_find(fields_one_of[g].paths[i], l->scopes);
            const struct node *key = l->said[f - profile_fields];
            if (!key) continue;
            if (said)
                profile_problem(l->r, key, "%s%s: %s is said here too; say one of the two",
                                l->shown, f->path, said->path);
            said = f;
        }
        for (size_t i = 0; said && i < COUNT(fields_one_of[g].paths) && fields_one_of[g].paths[i];
             i++) {
            const struct field *f = field_find(fields_one_of[g].paths[i], l->scopes);
            if (f != said && !l->said[f - profile_fields]) field_unset(f, l->base[f->scope]);
        }
    }
}

static const struct node *said(const struct level *l, const char *path)
{
    const struct field *f = field_find(path, l->scopes);
    return l->said[f - profile_fields];
}

/* ---- datasets ---- */

static bool name_is_good(const char *name, size_t n)
{
    if (n == 0 || n > 64 || strlen(name) != n) return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] <= ' ' || name[i] == '.' || name[i] == '/' || name[i] == 127)
            return false;
    return true;
}

static void read_dataset(struct reading *r, struct source_spec *d, const struct node *key,
                         const struct node *value)
{
    struct level l = {.r = r, .scopes = SCOPE_BIT(SCOPE_DATASET), .base = {[SCOPE_DATASET] = d},
                      .shown = arena_printf(r->a, "datasets.%s.", key->value.p)};
    for (int i = 0; i < profile_n_fields; i++)
        if (profile_fields[i].scope == SCOPE_DATASET) field_preset(&profile_fields[i], d, r->a);
    d->name = key->value.p;
    if (!name_is_good(key->value.p, key->value.n))
        profile_problem(r, key,
                        "datasets.%s: a dataset's name has 1 to 64 bytes, no blank, '.' or '/'",
                        key->value.p);
    if (value->kind != NODE_MAP) {
        profile_problem(r, value, "datasets.%s: a map is wanted, like {path: rows.jsonl}",
                        key->value.p);
        return;
    }
    read_keys(&l, value, "");
    if (!said(&l, "path"))
        profile_problem(r, key, "datasets.%s.path: is missing; it names the file of rows",
                        key->value.p);
}

static void read_datasets(struct reading *r, struct profile *p, const struct node *root)
{
    const struct node *map = node_get(root, TEXT("datasets"));
    if (node_is_null(map) || map->kind != NODE_MAP || map->n == 0 || map->n > DATASETS_MOST) {
        if (!node_is_null(map) && map->kind == NODE_MAP && map->n > DATASETS_MOST)
            profile_problem(r, map, "datasets: %d datasets; %d are allowed", map->n, DATASETS_MOST);
        else
            profile_problem(r, map, "datasets: %s; write datasets: {name: {path: rows.jsonl}}",
                            node_is_null(map) ? "is missing" : "a map is wanted");
        return;
    }
    p->datasets = NEW_N(r->a, struct source_spec, map->n);
    p->n_datasets = map->n;
    for (int i = 0; i < map->n; i++) read_dataset(r, &p->datasets[i], map->keys[i], map->items[i]);
}

/* ---- stages ---- */

static int dataset_find(const struct profile *p, struct text name)
{
    for (int i = 0; i < p->n_datasets; i++)
        if (text_is(name, p->datasets[i].name)) return i;
    return -1;
}

static const char *dataset_nearest(const struct profile *p, const char *name)
{
    const char *names[DATASETS_MOST];
    for (int i = 0; i < p->n_datasets; i++) names[i] = p->datasets[i].name;
    return text_nearest(name, names, p->n_datasets);
}

static void read_mix(struct reading *r, struct profile *p, struct stage *s, const struct node *map,
                     const char *path)
{
    struct field share = *field_find("datasets", SCOPES_STAGE);
    share.type = FIELD_NUM;
    share.store = STORE_NUM;
    share.at = (int)offsetof(struct stage_mix, share);
    s->mix = NEW_N(r->a, struct stage_mix, map->n);
    for (int i = 0; i < map->n; i++) {
        const struct node *key = map->keys[i];
        const char *shown = arena_printf(r->a, "%s.%s", path, key->value.p);
        struct stage_mix *m = &s->mix[s->n_mix];
        m->dataset = dataset_find(p, key->value);
        if (m->dataset < 0) {
            const char *near = dataset_nearest(p, key->value.p);
            profile_problem(r, key, "%s: there is no such dataset%s%s%s", shown,
                            near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
        } else if (node_is_null(map->items[i])) {
            profile_problem(r, map->items[i], "%s: a share is wanted, like 0.5", shown);
        } else if (field_read(r, &share, m, map->items[i], shown)) {
            s->n_mix++;
        }
    }
}

/* Which datasets a stage takes: what it says, or the only one there is. */
static void read_stage_datasets(struct reading *r, struct profile *p, struct stage *s,
                                const struct node *value, const struct node *where,
                                const char *path)
{
    if (!node_is_null(value) && value->kind == NODE_MAP && value->n > 0) {
        read_mix(r, p, s, value, path);
    } else if (!node_is_null(value)) {
        profile_problem(r, value, "%s: shares of tokens are wanted, like {zh: 0.8, world: 0.2}",
                        path);
    } else if (p->n_datasets == 1) {
        s->mix = NEW(r->a, struct stage_mix);
        s->mix[0].share = 1;
        s->n_mix = 1;
    } else if (p->n_datasets > 1) {
        profile_problem(
            r, where,
            "%s: is missing; say the share of tokens of each dataset, like {%s: 0.5, %s: 0.5}",
            path, p->datasets[0].name, p->datasets[1].name);
    }
}

/* Whether a batch is fully said: a number of micro-batches alone would leave its size to the
 * machine. */
static bool batch_is_open(const struct stage *s)
{
    return s->set.gradient_accumulation_steps > 0 && s->set.micro_batch_size == 0;
}

static void refuse_open_batch(struct reading *r, const struct node *where, const char *shown)
{
    profile_problem(r, where,
                    "%sgradient_accumulation_steps: needs micro_batch_size, or the batch would "
                    "depend on the machine",
                    shown);
}

static void check_stage_name(struct reading *r, const struct profile *p, int index,
                             const struct node *where)
{
    for (int i = 0; i < index; i++)
        if (strcmp(p->stages[i].name, p->stages[index].name) == 0) {
            profile_problem(r, where, "stages.%d.name: stage %d is called '%s' too", index, i,
                            p->stages[i].name);
            return;
        }
}

static void read_stage(struct reading *r, struct profile *p, const struct stage *defaults,
                       const struct node *map, int index)
{
    struct stage *s = &p->stages[index];
    *s = *defaults;
    s->line = map->line;
    s->name = p->n_stages == 1 ? "train" : arena_printf(r->a, "stage-%d", index + 1);
    const char *shown = arena_printf(r->a, "stages.%d.", index);
    if (map->kind != NODE_MAP) {
        profile_problem(r, map, "stages.%d: a map is wanted, like {name: train, epochs: 1}", index);
        return;
    }
    struct level l = {.r = r,
                      .scopes = SCOPES_STAGE,
                      .base = {[SCOPE_STAGE] = s, [SCOPE_SETTINGS] = s},
                      .shown = shown};
    read_keys(&l, map, "");
    settle_one_of(&l);
    check_stage_name(r, p, index, said(&l, "name") ? said(&l, "name") : map);
    read_stage_datasets(r, p, s, node_get(map, TEXT("datasets")), map,
                        arena_printf(r->a, "%sdatasets", shown));
    const struct node *accumulation = said(&l, "gradient_accumulation_steps");
    if (batch_is_open(s) && !batch_is_open(defaults))
        refuse_open_batch(r, accumulation ? accumulation : map, shown);
}

static void read_stages(struct reading *r, struct profile *p, const struct stage *defaults,
                        const struct node *root)
{
    const struct node *list = node_get(root, TEXT("stages"));
    if (!node_is_null(list) && (list->kind != NODE_LIST || list->n > STAGES_MOST)) {
        if (list->kind != NODE_LIST)
            profile_problem(r, list, "stages: a list is wanted, like [{name: train, epochs: 1}]");
        else profile_problem(r, list, "stages: %d stages; %d are allowed", list->n, STAGES_MOST);
        return;
    }
    if (node_is_null(list) || list->n == 0) {
        struct stage *s = p->stages = NEW(r->a, struct stage);
        p->n_stages = 1;
        *s = *defaults;
        s->name = "train";
        s->line = 1;
        read_stage_datasets(r, p, s, NULL, root, "stages.0.datasets");
        return;
    }
    p->stages = NEW_N(r->a, struct stage, list->n);
    p->n_stages = list->n;
    for (int i = 0; i < list->n; i++) read_stage(r, p, defaults, list->items[i], i);
}

/* ---- what was given on the command line ---- */

/* The child of a list or map by the next word of a path; made where a map lacks it. */
static struct node *step_into(struct node *n, struct text word, bool make, struct arena *a)
{
    if (n->kind == NODE_LIST) {
        char *end, digits[16] = "";
        if (word.n == 0 || word.n > 9) return NULL;
        memcpy(digits, word.p, word.n);
        long i = strtol(digits, &end, 10);
        return *end || digits[0] == '-' || i < 0 || i >= n->n ? NULL : n->items[i];
    }
    if (n->kind == NODE_SCALAR && node_is_null(n) && make) {
        n->kind = NODE_MAP;
        n->n = 0;
    }
    struct node *child = node_get(n, word);
    if (child || !make || n->kind != NODE_MAP) return child;
    struct node *key = node_scalar(word, a);
    child = node_scalar(TEXT(""), a);
    node_put(n, key, child, a);
    return child;
}

/* The value of `path=value`: words as they are, lists and shares as YAML. */
static struct node *set_value(const struct field *f, const char *text, struct reading *r)
{
    bool scalar = f && f->type != FIELD_LIST && f->type != FIELD_SHARES;
    if (scalar || (f && f->type == FIELD_SHARES && text[0] != '{') ||
        (f && f->type == FIELD_LIST && text[0] != '[')) {
        struct node *n = node_scalar(text_of(text), r->a);
        n->plain = !f || (f->type != FIELD_TEXT && f->type != FIELD_PATH && f->type != FIELD_LIST);
        return n;
    }
    struct problems inner = {0};
    struct node *n;
    if (!yaml_parse(&n, text_of(text), &inner, r->a) || inner.n > 0) {
        problem_add(r->problems, r->a, 0, 0, "%s",
                    inner.n ? inner.list[0].text : "this is no YAML");
        return NULL;
    }
    n->line = n->column = 0;
    return n;
}

static void clear_places(struct node *n)
{
    n->line = n->column = 0;
    for (int i = 0; i < n->n; i++) {
        clear_places(n->items[i]);
        if (n->kind == NODE_MAP) n->keys[i]->line = n->keys[i]->column = 0;
    }
}

/* What the command line says replaces what the file says of the same thing: the others of its group
 * go. */
static void drop_rivals(struct node *map, const char *key)
{
    for (int g = 0; g < fields_n_one_of; g++) {
        bool ours = false;
        for (size_t i = 0; i < COUNT(fields_one_of[g].paths) && fields_one_of[g].paths[i]; i++)
            ours = ours || strcmp(fields_one_of[g].paths[i], key) == 0;
        for (size_t i = 0; ours && i < COUNT(fields_one_of[g].paths) && fields_one_of[g].paths[i];
             i++) {
            struct node *rival = node_get(map, text_of(fields_one_of[g].paths[i]));
            if (rival && strcmp(fields_one_of[g].paths[i], key) != 0)
                *rival = (struct node){.plain = true, .value = TEXT("")};
        }
    }
}

/* A file without stages has one, so that `stages.0` is a place. */
static void open_stages(struct node *root, struct arena *a)
{
    struct node *list = step_into(root, TEXT("stages"), true, a);
    if (!list || !node_is_null(list)) return;
    *list = (struct node){.kind = NODE_LIST};
    struct node *stage = NEW(a, struct node);
    stage->kind = NODE_MAP;
    node_put(list, NULL, stage, a);
}

static void apply_set(struct reading *r, struct node *root, const char *set)
{
    const char *equals = strchr(set, '=');
    if (!equals || equals == set) {
        problem_add(r->problems, r->a, 0, 0, "%s: path=value is wanted, like stages.0.max_steps=20",
                    set);
        return;
    }
    const char *path = arena_string(r->a, set, (size_t)(equals - set));
    if (strncmp(path, "stages.0.", 9) == 0) open_stages(root, r->a);
    struct node *n = root;
    for (const char *p = path; n && p;) {
        const char *dot = strchr(p, '.');
        if (!dot && n->kind == NODE_MAP) drop_rivals(n, p);
        n = step_into(n, (struct text){p, dot ? (size_t)(dot - p) : strlen(p)}, true, r->a);
        p = dot ? dot + 1 : NULL;
    }
    if (!n) {
        problem_add(r->problems, r->a, 0, 0, "%s: there is no such place in this profile", path);
        return;
    }
    struct node *value = set_value(profile_field(path), equals + 1, r);
    if (!value) return;
    clear_places(value);
    *n = *value;
}

/* ---- the whole ---- */

/* The comment lines that the file begins with, without their "# ". */
static const char *head_comment(struct text source, struct arena *a)
{
    struct buf b = buf_make(a);
    size_t i = source.n >= 3 && memcmp(source.p, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (i < source.n && source.p[i] == '#') {
        size_t end = i;
        while (end < source.n && source.p[end] != '\n') end++;
        size_t from = i + 1 + (i + 1 < end && source.p[i + 1] == ' '), to = end;
        if (to > from && source.p[to - 1] == '\r') to--;
        if (b.n) buf_put(&b, "\n", 1);
        buf_put(&b, source.p + from, to - from);
        i = end + 1;
    }
    return b.p ? b.p : "";
}

static void set_places(struct profile *p, const char *path, struct arena *a)
{
    char *here = getcwd(arena_take(a, 1, 4096), 4096);
    p->path = path_join(a, path[0] == '/' || path[0] == '~' ? NULL : here, path);
    p->dir = path_dir(a, p->path);
    const char *name = path_base(p->path), *dot = strrchr(name, '.');
    char *kept = arena_string(a, name, dot && dot != name ? (size_t)(dot - name) : strlen(name));
    for (char *c = kept; *c; c++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *c))
            *c = '-';
    if (strlen(kept) > 64) kept[64] = 0;
    p->name = kept[0] && !strchr(".-", kept[0]) ? kept : "profile";
}

static void read_root(struct reading *r, struct profile *p, const struct node *root)
{
    struct stage defaults = {0};
    struct level l = {.r = r,
                      .scopes = SCOPES_ROOT,
                      .base = {[SCOPE_ROOT] = p, [SCOPE_SETTINGS] = &defaults},
                      .shown = ""};
    const char *name = p->name;
    for (int i = 0; i < profile_n_fields; i++)
        if (l.base[profile_fields[i].scope])
            field_preset(&profile_fields[i], l.base[profile_fields[i].scope], r->a);
    p->name = name;
    if (root->kind != NODE_MAP) {
        profile_problem(r, root, "the file is no map of keys and values");
        return;
    }
    read_keys(&l, root, "");
    settle_one_of(&l);
    if (!said(&l, "base_model"))
        profile_problem(r, NULL,
                        "base_model: is missing; it is a Hugging Face folder, or a name that `hone "
                        "models` lists");
    if (batch_is_open(&defaults)) refuse_open_batch(r, said(&l, "gradient_accumulation_steps"), "");
    read_datasets(r, p, root);
    read_stages(r, p, &defaults, root);
}

static int by_place(const void *x, const void *y)
{
    const struct problem *a = x, *b = y;
    return a->line != b->line ? (a->line > b->line) - (a->line < b->line)
                              : (a->column > b->column) - (a->column < b->column);
}

static bool first_problem(const struct problems *all, const char *path, struct err *err)
{
    const struct problem *x = &all->list[0];
    if (x->line == 0) return fail(err, "--set %s", x->text);
    return fail(err, "%s:%d:%d: %s", path, x->line, x->column, x->text);
}

bool profile_parse(struct profile *out, struct text source, const char *path,
                   const char *const *sets, int n_sets, struct problems *problems, struct arena *a,
                   struct err *err)
{
    struct problems mine = {0};
    if (!problems) problems = &mine;
    int before = problems->n;
    struct reading r = {.problems = problems, .a = a};
    struct node *root;
    *out = (struct profile){0};
    set_places(out, path, a);
    r.dir = out->dir;
    out->about = head_comment(source, a);
    if (yaml_parse(&root, source, problems, a)) {
        if (root->kind == NODE_SCALAR && node_is_null(root)) root->kind = NODE_MAP;
        for (int i = 0; i < n_sets; i++) apply_set(&r, root, sets[i]);
        read_root(&r, out, root);
    }
    if (problems->n == before) return true;
    qsort(problems->list, (size_t)problems->n, sizeof *problems->list, by_place);
    return first_problem(problems, path, err);
}

bool profile_read(struct profile *out, const char *path, const char *const *sets, int n_sets,
                  struct problems *problems, struct arena *a, struct err *err)
{
    struct text source;
    if (!file_read(&source, path, 1 << 20, a, err)) {
        if (problems) problem_add(problems, a, 1, 1, "%s", err->text);
        return false;
    }
    return profile_parse(out, source, path, sets, n_sets, problems, a, err);
}
