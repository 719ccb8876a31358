/* tokenizer_config.c - what stands beside the tokenizer: which tokens begin and end a text, the chat
 * template, and tokens that were added to a tokenizer.model.
 *
 * The first file that speaks of a thing decides: tokenizer_config.json, special_tokens_map.json, then
 * the ids in config.json. The template: chat_template.jinja, then "chat_template", which is a text or a
 * list [{"name": "default", "template": ...}, ...]. */
#include "engine/format/tokenizer_parts.h"
#include <string.h>

static bool read_beside(struct opening *o, const struct json **out, const char **path, const char *dir,
                        const char *name)
{
    *path = path_join(o->scratch, dir, name);
    *out = NULL;
    if (!path_exists(*path)) return true;
    struct json_limits limits = {.bytes = CONFIG_BYTES_MOST};
    if (!json_read(out, *path, limits, o->scratch, o->err)) return false;
    if ((*out)->kind == JSON_OBJECT) return true;
    return fail(o->err, "%s: this is no JSON object", *path);
}

/* "bos_token": "<s>" or {"content": "<s>"} or null. True where the file speaks of it. */
static bool token_of(const struct opening *o, int *id, const struct json *object, const char *key)
{
    const struct json *v = json_get(object, key);
    if (v && v->kind == JSON_OBJECT) v = json_get(v, "content");
    if (!v) return false;
    *id = v->kind == JSON_TEXT && v->text.n ? tokenizer_find(o->t, v->text) : -1;
    return true;
}

/* "eos_token_id": 2 or [2, 7]: the first. */
static bool id_of(const struct opening *o, int *id, const struct json *object, const char *key)
{
    const struct json *v = json_get(object, key);
    if (v && v->kind == JSON_ARRAY && v->n) v = &v->items[0];
    if (!v || v->kind != JSON_INT || v->integer < 0 || v->integer >= o->t->size) return false;
    *id = (int)v->integer;
    return true;
}

static struct text template_in(const struct json *v)
{
    struct text none = {NULL, 0};
    if (!v) return none;
    if (v->kind == JSON_TEXT) return v->text;
    const struct json *chosen = NULL;
    for (int i = 0; v->kind == JSON_ARRAY && i < v->n; i++) {
        const struct json *name = json_get(&v->items[i], "name"), *source = json_get(&v->items[i], "template");
        if (!source || source->kind != JSON_TEXT) continue;
        bool is_default = name && name->kind == JSON_TEXT && text_is(name->text, "default");
        if (!chosen || is_default) chosen = source;
    }
    return chosen ? chosen->text : none;
}

static bool read_template(struct opening *o, const struct json *config, const char *config_path,
                          const char *dir)
{
    struct text source = template_in(json_get(config, "chat_template"));
    const char *file = path_join(o->scratch, dir, "chat_template.jinja");
    if (path_exists(file) && !file_read(&source, file, TEMPLATE_BYTES_MOST, o->scratch, o->err)) return false;
    if (source.n > TEMPLATE_BYTES_MOST)
        return fail(o->err, "%s: chat_template has %zu bytes; at most %d are allowed", config_path,
                    source.n, TEMPLATE_BYTES_MOST);
    if (utf8_bad(source) < source.n) return fail(o->err, "%s: byte %zu is no UTF-8", file, utf8_bad(source));
    if (source.n) o->t->chat_template = (struct text){arena_string(o->a, source.p, source.n), source.n};
    return true;
}

bool open_config(struct opening *o, const char *dir)
{
    static const char *const tokens[] = {"bos_token", "eos_token"}, *const ids[] = {"bos_token_id",
                                                                                    "eos_token_id"};
    struct tokenizer *t = o->t;
    const struct json *config, *map, *model;
    const char *path, *other;
    int *const out[] = {&t->bos, &t->eos};
    if (!read_beside(o, &config, &path, dir, "tokenizer_config.json") ||
        !read_beside(o, &map, &other, dir, "special_tokens_map.json") ||
        !read_beside(o, &model, &other, dir, "config.json")) return false;
    for (int i = 0; i < 2; i++)
        if (!token_of(o, out[i], config, tokens[i]) && !token_of(o, out[i], map, tokens[i]))
            id_of(o, out[i], model, ids[i]);
    if (!json_get_bool(&t->adds_bos, config, "add_bos_token", path, o->err)) return false;
    t->adds_bos = t->adds_bos && t->bos >= 0;
    return read_template(o, config, path, dir);
}

/* added_tokens.json: {"<pad>": 32000}; tokenizer_config.json: {"added_tokens_decoder": {"32000": {"content": "<pad>",
 * "special": true, ...}}, "legacy": false}, where legacy false means a dummy prefix at the text's start only. */
static bool added_entry(struct opening *o, struct text key, const struct json *entry, const char *path)
{
    struct added token = {.id = 0, .normalized = false};
    int64_t id = 0;
    for (size_t i = 0; i < key.n; i++) {
        if (key.p[i] < '0' || key.p[i] > '9' || id >= TOKENS_MOST)
            return fail(o->err, "%s: %s in added_tokens_decoder is no id", path, shown(o->scratch, key));
        id = id * 10 + (key.p[i] - '0');
    }
    token.id = (int32_t)id;
    if (!json_get_text(&token.content, entry, "content", path, o->err) ||
        !json_get_bool(&token.special, entry, "special", path, o->err) ||
        !json_get_bool(&token.lstrip, entry, "lstrip", path, o->err) ||
        !json_get_bool(&token.rstrip, entry, "rstrip", path, o->err) ||
        !json_get_bool(&token.single_word, entry, "single_word", path, o->err)) return false;
    return add_token(o, token);
}

bool open_added(struct opening *o, const char *dir)
{
    const struct json *config, *added;
    const char *path, *other;
    bool legacy = true;
    if (!read_beside(o, &config, &path, dir, "tokenizer_config.json") ||
        !read_beside(o, &added, &other, dir, "added_tokens.json") ||
        !json_get_bool(&legacy, config, "legacy", path, o->err)) return false;
    o->t->spm.each_part = legacy;
    const struct json *decoder = json_get(config, "added_tokens_decoder");
    for (int i = 0; decoder && decoder->kind == JSON_OBJECT && i < decoder->n; i++)
        if (!added_entry(o, decoder->keys[i], &decoder->items[i], path)) return false;
    for (int i = 0; added && i < added->n; i++) {
        const struct json *id = &added->items[i];
        if (id->kind != JSON_INT || id->integer < 0 || id->integer >= TOKENS_MOST)
            return fail(o->err, "%s: the id of %s is not a whole number from 0 to %d", other,
                        shown(o->scratch, added->keys[i]), TOKENS_MOST - 1);
        struct added token = {.content = added->keys[i], .id = (int32_t)id->integer, .special = true};
        if (!add_token(o, token)) return false;
    }
    return true;
}
