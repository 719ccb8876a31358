/* models.c - what is known of each base model without reading its weights or its tokenizer: config,
 * the names and shapes of its tensors, the first lines of README and LICENSE, and whether training
 * it fits here. */
#include "engine/run/models_scan.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FIT_LENGTH = 512,
    FIT_RANK = 16,
    README_BYTES = 64 * 1024,
    TOKENIZER_GLANCE = 256 * 1024,
    TEMPLATE_GLANCE = 2 * 1024 * 1024
};

/* ---- texts beside the weights ---- */

/* The first bytes of a file, terminated; empty where it cannot be read. */
static struct text glance(const char *path, int64_t most, struct arena *a)
{
    struct err ignored;
    int fd;
    int64_t size;
    if (!path_exists(path) || !file_open(&fd, &size, path, &ignored)) return TEXT("");
    if (size > most) size = most;
    char *p = arena_take(a, 1, (size_t)size + 1);
    bool ok = file_read_at(fd, p, (size_t)size, 0, path, &ignored);
    close(fd);
    return ok ? (struct text){p, (size_t)size} : TEXT("");
}

static const char *one_line(const char *p, size_t n, struct arena *a)
{
    struct buf b = buf_make(a);
    while (n > 0 && (*p == ' ' || *p == '#' || *p == '"' || *p == '\'')) p++, n--;
    while (n > 0 && strchr(" \r\n\"'", p[n - 1])) n--;
    text_safe(&b, (struct text){p, n > 200 ? 200 : n}, false);
    return b.p ? b.p : "";
}

/* The `license:` of README's front matter, the first line of prose after it, and the line that tells
 * of a quiz. */
static void read_readme(struct model_entry *e, struct arena *a)
{
    struct text t = glance(path_join(a, e->path, "README.md"), README_BYTES, a);
    bool front = t.n >= 4 && strncmp(t.p, "---", 3) == 0 && (t.p[3] == '\n' || t.p[3] == '\r');
    for (const char *p = t.p, *end = t.p + t.n; p < end;) {
        size_t n = 0;
        while (p + n < end && p[n] != '\n') n++;
        bool fence = n >= 3 && strncmp(p, "---", 3) == 0;
        if (front && p != t.p && fence) front = false;
        else if (front && n > 8 && strncmp(p, "license:", 8) == 0)
            e->licence = one_line(p + 8, n - 8, a);
        else if (!front && n > 5 && strncmp(p, "Quiz ", 5) == 0) e->quiz = one_line(p, n, a);
        else if (!front && !fence && !e->about[0]) e->about = one_line(p, n, a);
        p += n + 1;
    }
}

static void read_licence(struct model_entry *e, struct arena *a)
{
    static const struct { const char *words, *name;
    } known[] = {{"Apache License", "Apache-2.0"},
                 {"MIT License", "MIT"},
                 {"LLAMA 2 COMMUNITY", "Llama 2"},
                 {"LLAMA 3", "Llama 3"},
                 {"Llama 3", "Llama 3"}};
    static const char *const files[] = {"LICENSE", "LICENSE.txt", "LICENSE.md"};
    for (size_t f = 0; f < COUNT(files) && !e->licence[0]; f++) {
        struct text t = glance(path_join(a, e->path, files[f]), 2048, a);
        if (t.n == 0) continue;
        for (size_t i = 0; i < COUNT(known) && !e->licence[0]; i++)
            if (strstr(t.p, known[i].words)) e->licence = known[i].name;
        if (!e->licence[0]) e->licence = files[f];
    }
}

/* What kind of tokenizer a folder has, by its files and the first part of tokenizer.json. */
static const char *tokenizer_kind(const char *dir, struct arena *a)
{
    struct text t = glance(path_join(a, dir, "tokenizer.json"), TOKENIZER_GLANCE, a);
    if (t.n == 0) return path_exists(path_join(a, dir, "tokenizer.model")) ? "SentencePiece" : NULL;
    if (t.n < 1024 && strstr(t.p, "\"bytes\"")) return "bytes";
    if (strstr(t.p, "\"ByteLevel\"")) return "byte-level BPE";
    if (strstr(t.p, "\"Metaspace\"") || strstr(t.p, "byte_fallback") || strstr(t.p, "\xE2\x96\x81"))
        return "BPE with byte fallback";
    return "tokenizer.json";
}

static const char *template_kind(const char *dir, struct arena *a)
{
    struct arena_mark mark = arena_mark(a);
    struct text t = glance(path_join(a, dir, "tokenizer_config.json"), TEMPLATE_GLANCE, a);
    bool own = (t.n && strstr(t.p, "\"chat_template\"")) ||
               path_exists(path_join(a, dir, "chat_template.jinja"));
    arena_back(a, mark);
    return own ? "its own" : "none";
}

/* ---- whether it fits ---- */

static struct fit fit_of(const struct model_config *c, const struct machine *m, bool lora,
                         struct arena *a)
{
    static const char *const full[] = {"full"}, *const adapter[] = {"lora"};
    struct training t = {.parts = lora ? adapter : full,
                         .n_parts = 1,
                         .compute = m->device.fast[BF16] ? BF16 : F32,
                         .recompute = RECOMPUTE_FULL};
    if (lora) t.lora = (struct lora){.rank = FIT_RANK, .alpha = 32, .targets = (1u << LINEARS) - 1};
    t.frozen = c->type == T_BF16 || (c->type == T_F16 && t.compute == BF16) ? BF16 : F32;
    struct model_shape shape = {
        .rows = FIT_LENGTH, .longest = FIT_LENGTH, .loss_rows = 128, .cache_tokens = FIT_LENGTH};
    struct layout l;
    struct err ignored = {0};
    struct arena_mark mark = arena_mark(a);
    bool ok = layout_make(&l, c, &t, &shape, &m->device, a, &ignored);
    struct fit fit = {.fits = ok && (m->device.memory_free <= 0 || l.bytes < m->device.memory_free),
                      .bytes = ok ? l.bytes : 0};
    arena_back(a, mark);
    return fit;
}

/* ---- an entry ---- */

static const char *missing_weights(const char *dir, struct arena *a)
{
    char **names;
    int n;
    struct err ignored;
    if (!dir_list(&names, &n, dir, a, &ignored)) return NULL;
    for (int i = 0; i < n; i++) {
        size_t length = strlen(names[i]);
        if (length > 5 && strcmp(names[i] + length - 5, ".gguf") == 0)
            return arena_printf(a,
                                "%s is a GGUF file: `hone import %s/%s FOLDER` makes a model of it",
                                names[i], dir, names[i]);
    }
    if (path_exists(path_join(a, dir, "config.json"))) return NULL;
    if (path_exists(path_join(a, dir, "adapter_config.json")))
        return "an adapter (PEFT), not a model: `hone chat BASE --adapter` takes it";
    return "config.json is missing";
}

static int64_t weights_bytes(const struct model_entry *e, struct arena *a)
{
    struct tensors t;
    struct err ignored;
    struct arena_mark mark = arena_mark(a);
    if (!tensors_open(&t, e->path, a, &ignored)) {
        arena_back(a, mark);
        return 0;
    }
    int64_t bytes = t.bytes;
    tensors_close(&t);
    arena_back(a, mark);
    return bytes;
}

/* The sentence of a model that cannot be opened, without the folder in front that the list shows
 * already. */
static const char *reason(const char *text, const char *dir, struct arena *a)
{
    size_t n = strlen(dir);
    if (strncmp(text, dir, n) == 0 && text[n] == '/') text += n + 1;
    else if (strncmp(text, dir, n) == 0 && text[n] == ':')
        text += n + 1 + strspn(text + n + 1, " ");
    return one_line(text, strlen(text), a);
}

static void entry_make(struct model_entry *e, const struct found *f, const struct machine *m,
                       struct arena *a)
{
    static const struct {
        enum tensor_type type;
        const char *name;
    } types[] = {{T_F32, "fp32"}, {T_BF16, "bf16"}, {T_F16, "fp16"}};
    struct model_config c = {0};
    struct err err = {0};
    *e = (struct model_entry){.name = f->name,
                              .path = f->path,
                              .shipped = f->shipped,
                              .family = "-",
                              .dtype = "-",
                              .tokenizer = "-",
                              .licence = "",
                              .about = "",
                              .quiz = "",
                              .chat_template = template_kind(f->path, a)};
    read_readme(e, a);
    read_licence(e, a);
    const char *tokenizer = tokenizer_kind(f->path, a);
    if (tokenizer) e->tokenizer = tokenizer;
    e->unusable = missing_weights(f->path, a);
    if (e->unusable) return;
    if (!model_config_read(&c, f->path, a, &err)) {
        e->unusable = reason(err.text, f->path, a);
        return;
    }
    e->family = family_name(c.family);
    for (size_t i = 0; i < COUNT(types); i++)
        if (types[i].type == c.type) e->dtype = types[i].name;
    e->parameters = c.parameters;
    e->context = c.max_position;
    e->layers = c.layers;
    e->dim = c.dim;
    e->heads = c.heads;
    e->kv_heads = c.kv_heads;
    e->vocab = c.vocab;
    e->tied = c.tied;
    e->bytes = weights_bytes(e, a);
    if (!tokenizer) e->unusable = "it has no tokenizer (tokenizer.json or tokenizer.model)";
    e->full = fit_of(&c, m, false, a);
    e->lora = fit_of(&c, m, true, a);
}

bool models_list(struct model_entry **out, int *n, const struct places *p, const struct machine *m,
                 struct arena *a, struct err *err)
{
    struct found_list found;
    if (!models_scan(&found, p, a, err)) return false;
    *out = NEW_N(a, struct model_entry, found.n + 1);
    *n = found.n;
    for (int i = 0; i < found.n; i++) entry_make(&(*out)[i], &found.list[i], m, a);
    return true;
}

/* ---- by name ---- */

/* A folder as it is given: absolute, from the folder of the profile, or from here. */
static const char *as_path(const char *spec, const char *relative_to, struct arena *a)
{
    char *here = getcwd(arena_take(a, 1, 4096), 4096);
    const char *const bases[] = {relative_to, here};
    for (size_t i = 0; i < COUNT(bases); i++) {
        if (!bases[i]) continue;
        const char *path = path_join(a, bases[i], spec);
        if (path_is_dir(path) || (path_exists(path) && strchr(spec, '/'))) return path;
    }
    return NULL;
}

/* The last part of a name is enough where it is the only such one. */
static const char *by_name(const struct found_list *l, const char *spec, int *matches)
{
    const char *path = NULL;
    *matches = 0;
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->list[i].name, spec) == 0) {
            *matches = 1;
            return l->list[i].path;
        }
    for (int i = 0; i < l->n; i++)
        if (strcmp(path_base(l->list[i].name), spec) == 0) {
            path = l->list[i].path;
            ++*matches;
        }
    return *matches == 1 ? path : NULL;
}

bool models_find(const char **out, const char *spec, const char *relative_to,
                 const struct places *p, struct arena *a, struct err *err)
{
    struct found_list found;
    int matches;
    const char *path = spec[0] ? as_path(spec, relative_to, a) : NULL;
    if (!spec[0]) return fail(err, "no model is named");
    if (!path) {
        if (spec[0] == '/' || spec[0] == '~' || spec[0] == '.')
            return fail(err, "there is no model folder %s", spec);
        if (!models_scan(&found, p, a, err)) return false;
        path = by_name(&found, spec, &matches);
        const char **names = NEW_N(a, const char *, found.n + 1);
        for (int i = 0; i < found.n; i++) names[i] = found.list[i].name;
        const char *near = text_nearest(spec, names, found.n);
        if (!path && matches > 1)
            return fail(err, "%d models are called %s; give the whole name or the folder", matches,
                        spec);
        if (!path)
            return fail(
                err,
                "there is no model %s: neither a folder nor a name that `hone models` lists%s%s%s",
                spec, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    const char *real = realpath(path, arena_take(a, 1, PATH_MAX));
    *out = real ? real : path;
    return true;
}
