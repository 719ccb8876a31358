/* models_scan.c - where base models lie: the shipped ones, the user's folders, the hub's cache.
 *
 * A configured folder may be a model itself, hold models (at most two levels down: org/name), or be
 * a cache of the Hugging Face hub: models--ORG--NAME/refs/main names a snapshot,
 * snapshots/REVISION/ holds links into blobs/. */
#include "engine/run/models_scan.h"
#include "engine/run/profile_parts.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MODELS_MOST = 2000, NAMES_MOST = 5000 };

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* Whether a folder is meant to be a model: its files say so, complete or not. */
static bool seems_model(const char *dir, struct arena *a)
{
    static const char *const ends[] = {".safetensors", ".safetensors.index.json", ".gguf", ".bin",
                                       ".pth"};
    char **names;
    int n;
    struct err ignored;
    if (path_exists(path_join(a, dir, "config.json"))) return true;
    if (!dir_list(&names, &n, dir, a, &ignored)) return false;
    for (int i = 0; i < n && i < NAMES_MOST; i++)
        for (size_t e = 0; e < COUNT(ends); e++)
            if (ends_with(names[i], ends[e])) return true;
    return false;
}

static void found_add(struct found_list *l, const char *name, const char *path, bool shipped)
{
    const char *real = realpath(path, arena_take(l->a, 1, PATH_MAX)), *kept = real ? real : path;
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->list[i].path, kept) == 0) return;
    if (l->n >= MODELS_MOST) return;
    ROOM(l->a, l->list, l->n, l->cap);
    l->list[l->n++] = (struct found){name, kept, shipped};
}

/* ---- the hub's cache ---- */

/* The snapshot that refs/main names, else the newest one; NULL where there is none. */
static const char *hub_snapshot(const char *repo, struct arena *a)
{
    struct text ref;
    struct err ignored;
    const char *snapshots = path_join(a, repo, "snapshots"), *newest = NULL;
    if (file_read(&ref, path_join(a, repo, "refs/main"), 256, a, &ignored)) {
        size_t n = strcspn(ref.p, " \r\n");
        const char *path = path_join(a, snapshots, arena_string(a, ref.p, n));
        if (n > 0 && !memchr(ref.p, '/', n) && ref.p[0] != '.' && path_is_dir(path)) return path;
    }
    char **names;
    int n;
    time_t best = 0;
    if (!dir_list(&names, &n, snapshots, a, &ignored)) return NULL;
    for (int i = 0; i < n; i++) {
        struct stat s;
        const char *path = path_join(a, snapshots, names[i]);
        if (stat(path, &s) != 0 || !S_ISDIR(s.st_mode) || (newest && s.st_mtime < best)) continue;
        newest = path;
        best = s.st_mtime;
    }
    return newest;
}

/* "models--ORG--NAME" is ORG/NAME. */
static const char *hub_name(const char *folder, struct arena *a)
{
    char *name = arena_string(a, folder + 8, strlen(folder + 8));
    char *dashes = strstr(name, "--");
    if (!dashes) return name;
    *dashes = '/';
    memmove(dashes + 1, dashes + 2, strlen(dashes + 2) + 1);
    return name;
}

static void scan_hub_entry(struct found_list *l, const char *repo)
{
    const char *snapshot = hub_snapshot(repo, l->a);
    if (snapshot && seems_model(snapshot, l->a))
        found_add(l, hub_name(path_base(repo), l->a), snapshot, false);
}

/* ---- folders ---- */

static void scan_folder(struct found_list *l, const char *dir, const char *prefix, int depth,
                        bool shipped)
{
    char **names;
    int n;
    struct err ignored;
    if (depth == 0 && seems_model(dir, l->a)) {
        found_add(l, path_base(dir), dir, shipped);
        return;
    }
    if (!dir_list(&names, &n, dir, l->a, &ignored)) return;
    for (int i = 0; i < n && i < NAMES_MOST; i++) {
        const char *path = path_join(l->a, dir, names[i]);
        if (names[i][0] == '.' || !path_is_dir(path)) continue;
        const char *name = prefix[0] ? arena_printf(l->a, "%s/%s", prefix, names[i]) : names[i];
        if (strncmp(names[i], "models--", 8) == 0) scan_hub_entry(l, path);
        else if (seems_model(path, l->a)) found_add(l, name, path, shipped);
        else if (depth == 0 && strcmp(names[i], "hub") == 0) scan_folder(l, path, "", 1, false);
        else if (depth == 0 && !shipped) scan_folder(l, path, name, 1, false);
    }
}

struct folders {
    struct model_folder *list;
    int n, cap;
    struct arena *a;
};

static void folder_add(struct folders *f, const char *path, const char *said, enum folder_from from)
{
    ROOM(f->a, f->list, f->n, f->cap);
    f->list[f->n++] = (struct model_folder){path, said, from, path_is_dir(path)};
}

static void folders_of_variable(struct folders *f, const char *list)
{
    for (const char *p = list; p && *p;) {
        size_t n = strcspn(p, ":");
        const char *said = arena_string(f->a, p, n);
        if (n > 0) folder_add(f, path_join(f->a, NULL, said), said, FOLDER_VARIABLE);
        p += n + (p[n] == ':');
    }
}

static bool folders_of_settings(struct folders *f, const struct places *p, struct err *err)
{
    struct text source;
    struct problems problems = {0};
    struct node *root;
    if (!path_exists(p->config)) return true;
    if (!file_read(&source, p->config, 256 * 1024, f->a, err)) return false;
    if (!yaml_parse(&root, source, &problems, f->a) || problems.n > 0)
        return fail(err, "%s:%d:%d: %s", p->config, problems.list[0].line, problems.list[0].column,
                    problems.list[0].text);
    const struct node *models = node_get(root, TEXT("models"));
    if (node_is_null(models)) return true;
    if (models->kind != NODE_LIST)
        return fail(err, "%s:%d: models: a list of folders is wanted, like [~/models]", p->config,
                    models->line);
    for (int i = 0; i < models->n; i++) {
        const struct node *m = models->items[i];
        if (m->kind != NODE_SCALAR)
            return fail(err, "%s:%d: models: a list of folders is wanted, like [~/models]",
                        p->config, m->line);
        folder_add(f, path_join(f->a, path_dir(f->a, p->config), m->value.p), m->value.p,
                   FOLDER_SETTINGS);
    }
    return true;
}

static void folders_of_hub(struct folders *f)
{
    const char *hub = getenv("HF_HUB_CACHE"), *hf = getenv("HF_HOME"), *home = getenv("HOME");
    if (hub && hub[0]) folder_add(f, hub, "HF_HUB_CACHE", FOLDER_HUB);
    else if (hf && hf[0]) folder_add(f, path_join(f->a, hf, "hub"), "HF_HOME", FOLDER_HUB);
    else if (home && home[0])
        folder_add(f, path_join(f->a, home, ".cache/huggingface/hub"), "", FOLDER_HUB);
}

bool models_folders(struct model_folder **out, int *n, const struct places *p, struct arena *a,
                    struct err *err)
{
    struct folders f = {.a = a};
    folder_add(&f, p->assets, "", FOLDER_SHIPPED);
    if (!folders_of_settings(&f, p, err)) return false;
    folders_of_variable(&f, getenv("HONE_MODELS"));
    folders_of_hub(&f);
    *out = f.list;
    *n = f.n;
    return true;
}

bool models_scan(struct found_list *out, const struct places *p, struct arena *a, struct err *err)
{
    struct model_folder *folders;
    int n;
    *out = (struct found_list){.a = a};
    if (!models_folders(&folders, &n, p, a, err)) return false;
    for (int i = 0; i < n; i++)
        scan_folder(out, folders[i].path, "", folders[i].from == FOLDER_HUB,
                    folders[i].from == FOLDER_SHIPPED);
    return true;
}

/* ---- adding and removing a folder ---- */

static bool config_with(struct text *out, struct text source, const char *folder, struct arena *a,
                        struct err *err)
{
    struct problems problems = {0};
    struct node *root;
    struct buf item = buf_make(a), value = buf_make(a);
    yaml_put_text(&item, text_of(folder));
    if (!yaml_parse(&root, source, &problems, a) || problems.n > 0)
        return fail(err, "line %d: %s", problems.list[0].line, problems.list[0].text);
    const struct node *models = node_get(root, TEXT("models"));
    bool list = models && models->kind == NODE_LIST;
    for (int i = 0; list && i < models->n; i++)
        if (text_is(models->items[i]->value, folder)) {
            *out = source;
            return true;
        }
    if (list && models->n > 0)
        return profile_text_set(out, source, arena_printf(a, "models.%d", models->n), item.p, a,
                                err);
    buf_printf(&value, "[%s]", item.p);
    return profile_text_set(out, source, "models", value.p, a, err);
}

bool models_add_folder(const char *folder, const struct places *p, struct arena *a, struct err *err)
{
    struct text source = TEXT(""), with;
    if (!path_is_dir(path_join(a, NULL, folder))) return fail(err, "%s is no folder", folder);
    if (path_exists(p->config) && !file_read(&source, p->config, 256 * 1024, a, err)) return false;
    if (!config_with(&with, source, folder, a, err)) return fail_in(err, "%s", p->config);
    return dir_make(path_dir(a, p->config), err) && file_replace(p->config, with, err);
}

static bool config_without(struct text *out, struct text source, const char *folder,
                           struct arena *a, struct err *err)
{
    struct problems problems = {0};
    struct node *root;
    if (!yaml_parse(&root, source, &problems, a) || problems.n > 0)
        return fail(err, "line %d: %s", problems.list[0].line, problems.list[0].text);
    const struct node *models = node_get(root, TEXT("models"));
    for (int i = 0; models && models->kind == NODE_LIST && i < models->n; i++) {
        if (!text_is(models->items[i]->value, folder)) continue;
        const char *path = models->n == 1 ? "models" : arena_printf(a, "models.%d", i);
        return profile_text_set(out, source, path, NULL, a, err);
    }
    return fail(err, "the settings do not name the folder %s", folder);
}

bool models_remove_folder(const char *folder, const struct places *p, struct arena *a,
                          struct err *err)
{
    struct text source = TEXT(""), without;
    if (path_exists(p->config) && !file_read(&source, p->config, 256 * 1024, a, err)) return false;
    if (!config_without(&without, source, folder, a, err)) return fail_in(err, "%s", p->config);
    return file_replace(p->config, without, err);
}
