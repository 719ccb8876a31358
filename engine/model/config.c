/* config.c - config.json of a Hugging Face folder, and whether the tensors beside it are what it
 * says.
 *
 * A field that would change the numbers and is not built is refused by name; what describes
 * training or files of others is passed over. Both spellings of the rotary fields are read:
 * rope_theta and rope_scaling (transformers 4) and rope_parameters (transformers 5). */
#include "engine/format/json.h"
#include "engine/model/parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct json_limits limits = {.bytes = 1 << 20, .depth = 32, .nodes = 10000};

/* ---- fields ---- */

struct reading { const struct json *o; const char *where; struct err *err; };

struct int_field { const char *key; size_t at; int64_t least, most; bool wanted; };
#define INT_FIELD(key, member, least, most, wanted)                     \
    {                                                                   \
        key, offsetof(struct model_config, member), least, most, wanted \
    }
static const struct int_field int_fields[] = {
    INT_FIELD("num_hidden_layers", layers, 1, 1024, true),
    INT_FIELD("hidden_size", dim, 8, 65536, true),
    INT_FIELD("num_attention_heads", heads, 1, 1024, true),
    INT_FIELD("num_key_value_heads", kv_heads, 1, 1024, false),
    INT_FIELD("head_dim", head_dim, 2, 256, false),
    INT_FIELD("intermediate_size", ffn, 1, 1048576, true),
    INT_FIELD("vocab_size", vocab, 1, 4194304, true),
    INT_FIELD("max_position_embeddings", max_position, 1, 16777216, false),
};

static bool read_ints(struct model_config *c, const struct reading *r)
{
    for (size_t i = 0; i < COUNT(int_fields); i++) {
        const struct int_field *f = &int_fields[i];
        int64_t v = 0;
        const struct json *given = json_get(r->o, f->key);
        if ((!given || given->kind == JSON_NULL) && f->wanted)
            return fail(r->err, "%s: \"%s\" is missing", r->where, f->key);
        if (!json_get_int(&v, r->o, f->key, f->least, f->most, r->where, r->err)) return false;
        if (v) *(int *)(void *)((char *)c + f->at) = (int)v;
    }
    return true;
}

/* Values that other models use and this engine does not compute. */
struct refusal { const char *key, *allowed; };
static const struct refusal refusals[] = {
    {"hidden_act", "silu"}, {"pretraining_tp", "1"}, {"attention_dropout", "0"}};

static bool refuse(const struct reading *r)
{
    for (size_t i = 0; i < COUNT(refusals); i++) {
        const struct json *v = json_get(r->o, refusals[i].key);
        if (!v || v->kind == JSON_NULL) continue;
        bool number = v->kind == JSON_INT || v->kind == JSON_NUM;
        if (number && v->number == strtod(refusals[i].allowed, NULL)) continue;
        if (v->kind == JSON_TEXT && text_is(v->text, refusals[i].allowed)) continue;
        return fail(r->err, "%s: \"%s\" is not %s; other values are not built", r->where,
                    refusals[i].key, refusals[i].allowed);
    }
    const struct json *quantized = json_get(r->o, "quantization_config");
    if (quantized && quantized->kind != JSON_NULL)
        return fail(r->err,
                    "%s: \"quantization_config\" says that the weights are quantized; give the "
                    "folder of the "
                    "unquantized model (F32, F16 or BF16)",
                    r->where);
    return true;
}

static bool read_family(struct model_config *c, const struct reading *r)
{
    struct text type = {0};
    if (!json_get_text(&type, r->o, "model_type", r->where, r->err)) return false;
    if (!type.n) return fail(r->err, "%s: \"model_type\" is missing", r->where);
    c->family = family_find(type);
    return c->family ? true
                     : fail(r->err, "%s: family \"%.*s\" is not built yet; llama is", r->where,
                            (int)(type.n < 64 ? type.n : 64), type.p);
}

static bool read_number(float *out, const struct reading *r, const struct json *o, const char *key,
                        double least, double most)
{
    double v = (double)*out;
    if (!json_get_num(&v, o, key, least, most, r->where, r->err)) return false;
    *out = (float)v;
    return true;
}

static bool read_scaling(struct model_config *c, const struct reading *r, const struct json *o)
{
    static const struct { const char *name; enum rope_scaling scaling; } kinds[] = {
        {"default", ROPE_PLAIN}, {"linear", ROPE_LINEAR}, {"llama3", ROPE_LLAMA3}};
    struct text type = {0};
    int64_t original = 0;
    if (!json_get_text(&type, o, json_get(o, "rope_type") ? "rope_type" : "type", r->where, r->err))
        return false;
    size_t i = 0;
    while (type.n && i < COUNT(kinds) && !text_is(type, kinds[i].name)) i++;
    if (i == COUNT(kinds))
        return fail(
            r->err,
            "%s: rope_scaling of type \"%.*s\" is not built yet; default, linear and llama3 are",
            r->where, (int)(type.n < 64 ? type.n : 64), type.p);
    c->scaling = kinds[i].scaling;
    c->rope_factor = c->rope_low = c->rope_high = 1;
    if (!read_number(&c->rope_theta, r, o, "rope_theta", 1, 1e9) || c->scaling == ROPE_PLAIN)
        return !r->err->text[0];
    if (!json_get(o, "factor")) return fail(r->err, "%s: rope_scaling has no \"factor\"", r->where);
    if (!read_number(&c->rope_factor, r, o, "factor", 1, 1e6)) return false;
    if (c->scaling == ROPE_LINEAR) return true;
    c->rope_high = 4;
    if (!read_number(&c->rope_low, r, o, "low_freq_factor", 1e-6, 1e6) ||
        !read_number(&c->rope_high, r, o, "high_freq_factor", 1e-6, 1e6) ||
        !json_get_int(&original, o, "original_max_position_embeddings", 1, 16777216, r->where,
                      r->err))
        return false;
    if (!original || c->rope_high <= c->rope_low)
        return fail(r->err,
                    "%s: rope_scaling llama3 needs original_max_position_embeddings, and "
                    "high_freq_factor (%g) over "
                    "low_freq_factor (%g)",
                    r->where, (double)c->rope_high, (double)c->rope_low);
    c->rope_original = (int)original;
    return true;
}

static bool read_rope(struct model_config *c, const struct reading *r)
{
    c->rope_theta = 10000;
    if (!read_number(&c->rope_theta, r, r->o, "rope_theta", 1, 1e9)) return false;
    const struct json *scaling = json_get(r->o, "rope_parameters");
    if (!scaling || scaling->kind != JSON_OBJECT) scaling = json_get(r->o, "rope_scaling");
    if (!scaling || scaling->kind == JSON_NULL) return true;
    if (scaling->kind != JSON_OBJECT)
        return fail(r->err, "%s: \"rope_scaling\" is no object", r->where);
    return read_scaling(c, r, scaling);
}

static bool read_eos(struct model_config *c, const struct reading *r)
{
    const struct json *v = json_get(r->o, "eos_token_id");
    if (!v || v->kind == JSON_NULL) return true;
    int n = v->kind == JSON_ARRAY ? v->n : 1;
    const struct json *list = v->kind == JSON_ARRAY ? v->items : v;
    if (n > (int)COUNT(c->eos))
        return fail(r->err, "%s: %d end tokens; at most %zu are possible", r->where, n,
                    COUNT(c->eos));
    c->n_eos = 0;
    for (int i = 0; i < n; i++) {
        if (list[i].kind != JSON_INT || list[i].integer < 0 || list[i].integer >= c->vocab)
            return fail(r->err, "%s: \"eos_token_id\" is no token of the vocabulary (0 to %d)",
                        r->where, c->vocab - 1);
        c->eos[c->n_eos++] = (int32_t)list[i].integer;
    }
    return true;
}

static bool read_tokens(struct model_config *c, const struct reading *r)
{
    int64_t bos = c->bos;
    if (!json_get_int(&bos, r->o, "bos_token_id", -1, c->vocab - 1, r->where, r->err)) return false;
    c->bos = (int32_t)bos;
    return read_eos(c, r);
}

static bool check_shapes(struct model_config *c, const struct reading *r)
{
    if (!c->kv_heads) c->kv_heads = c->heads;
    if (!c->max_position) c->max_position = 2048;
    if (!c->head_dim && c->dim % c->heads)
        return fail(r->err, "%s: hidden_size %d is no multiple of num_attention_heads %d", r->where,
                    c->dim, c->heads);
    if (!c->head_dim) c->head_dim = c->dim / c->heads;
    if (c->heads % c->kv_heads)
        return fail(r->err, "%s: num_attention_heads %d is no multiple of num_key_value_heads %d",
                    r->where, c->heads, c->kv_heads);
    if (c->head_dim % 2 || c->head_dim > ATTENTION_HEAD_DIM)
        return fail(r->err, "%s: heads of %d columns; even numbers up to %d are possible", r->where,
                    c->head_dim, ATTENTION_HEAD_DIM);
    return true;
}

static bool read_fields(struct model_config *c, const struct reading *r)
{
    double eps = 1e-6;
    if (r->o->kind != JSON_OBJECT) return fail(r->err, "%s is no JSON object", r->where);
    if (!read_family(c, r) || !read_ints(c, r) || !refuse(r) || !read_rope(c, r)) return false;
    if (!json_get_num(&eps, r->o, "rms_norm_eps", 1e-12, 1e-2, r->where, r->err) ||
        !json_get_bool(&c->tied, r->o, "tie_word_embeddings", r->where, r->err) ||
        !json_get_bool(&c->attention_bias, r->o, "attention_bias", r->where, r->err) ||
        !json_get_bool(&c->mlp_bias, r->o, "mlp_bias", r->where, r->err)) return false;
    c->eps = (float)eps;
    c->bos = -1;
    return check_shapes(c, r) && read_tokens(c, r);
}

/* ---- tensors ---- */

struct names { char text[400]; int n; };

static void names_add(struct names *s, const char *name, const char *detail)
{
    size_t used = strlen(s->text);
    if (s->n++ < 3)
        snprintf(s->text + used, sizeof s->text - used, "%s%.80s%s", s->n > 1 ? ", " : "", name,
                 detail);
    else if (s->n == 4) snprintf(s->text + used, sizeof s->text - used, " ...");
}

static bool has_shape(const struct tensor *t, const struct piece *p, bool vector)
{
    if (vector) return t->rank == 1 && t->dims[0] == (int64_t)p->rows * p->cols;
    return t->rank == 2 && t->dims[0] == p->rows && t->dims[1] == p->cols;
}

static bool check_tensor(const struct tensor *t, const struct piece *p, const struct param *m,
                         struct err *err)
{
    char want[48], got[200] = "[";
    for (int i = 0; i < t->rank; i++) {
        size_t n = strlen(got);
        snprintf(got + n, sizeof got - n, "%s%lld", i ? ", " : "", (long long)t->dims[i]);
    }
    bool vector = param_is_vector(m),
         number = t->type == T_F32 || t->type == T_F16 || t->type == T_BF16 || t->type == T_F64;
    if (!has_shape(t, p, vector))
        return fail(err, "%s is %s], by config.json it should be %s", p->name, got,
                    piece_shape(want, p, vector));
    return number ? true
                  : fail(err, "%s is of type %s; F32, F16 and BF16 are possible", p->name,
                         tensor_type_name(t->type));
}

static bool ignored(const char *name)
{
    static const char end[] =
        ".rotary_emb.inv_freq"; /* old files carry the table that theta gives */
    size_t n = strlen(name), m = sizeof end - 1;
    return n > m && !strcmp(name + n - m, end);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void find_unknown(struct names *unknown, const struct tensors *t, const struct parts *p,
                         const struct model_config *c, struct arena *a)
{
    const char **known = NEW_N(a, const char *, p->n_pieces + 1);
    for (int i = 0; i < p->n_pieces; i++) known[i] = p->pieces[i].name;
    known[p->n_pieces] = c->family->head; /* a tied head may be there as a copy */
    qsort(known, (size_t)p->n_pieces + 1, sizeof *known, by_name);
    for (int i = 0; i < t->n; i++) {
        const char *name = t->list[i].name;
        if (!bsearch(&name, known, (size_t)p->n_pieces + 1, sizeof *known, by_name) &&
            !ignored(name))
            names_add(unknown, name, "");
    }
}

static bool check_tensors(struct model_config *c, const struct tensors *t, struct arena *a,
                          struct err *err)
{
    struct parts p;
    struct names missing = {{0}, 0}, unknown = {{0}, 0};
    parts_make(&p, c, NULL, a);
    c->parameters = 0;
    for (int i = 0; i < p.n_pieces; i++) {
        const struct piece *piece = &p.pieces[i];
        const struct tensor *x = tensors_find(t, piece->name);
        c->parameters += (int64_t)piece->rows * piece->cols;
        if (!x)
            names_add(&missing, piece->name,
                      piece->param == p.head ? " (and tie_word_embeddings is false)" : "");
        else if (!check_tensor(x, piece, &p.params[piece->param], err)) return false;
    }
    if (missing.n)
        return fail(err, "%d tensors that config.json promises are missing: %s", missing.n,
                    missing.text);
    find_unknown(&unknown, t, &p, c, a);
    if (unknown.n)
        return fail(err, "%d tensors do not belong to a %s of %d layers: %s", unknown.n,
                    c->family->name, c->layers, unknown.text);
    c->type = tensors_find(t, p.pieces[0].name)->type;
    return true;
}

/* tie_word_embeddings with both tensors in the file: equal values are tied, others are what they
 * are. */
static bool tied_by_value(bool *tied, const struct model_config *c, const struct tensors *t,
                          struct arena *a, struct err *err)
{
    enum { PIECE = 1 << 16 };
    const struct tensor *e = tensors_find(t, c->family->embed),
                        *h = tensors_find(t, c->family->head);
    if (!e || !h || e->elements != h->elements) return true;
    struct arena_mark mark = arena_mark(a);
    float *x = NEW_N(a, float, PIECE), *y = NEW_N(a, float, PIECE);
    bool ok = true;
    for (int64_t at = 0; ok && *tied && at < e->elements; at += PIECE) {
        int64_t n = e->elements - at < PIECE ? e->elements - at : PIECE;
        ok = tensors_read_f32(t, e, at, n, x, err) && tensors_read_f32(t, h, at, n, y, err);
        if (ok && memcmp(x, y, (size_t)n * sizeof *x) != 0) *tied = false;
    }
    arena_back(a, mark);
    return ok;
}

/* ---- the folder ---- */

static bool read_generation(struct model_config *c, const char *dir, struct arena *a,
                            struct err *err)
{
    const struct json *o;
    char *path = path_join(a, dir, "generation_config.json");
    if (!path_exists(path)) return true;
    if (!json_read(&o, path, limits, a, err)) return false;
    return read_tokens(c, &(struct reading){o, path, err});
}

static bool read_config(struct model_config *out, const char *dir, struct arena *a, struct err *err)
{
    struct text source;
    struct hash h;
    struct reading r = {.where = path_join(a, dir, "config.json"), .err = err};
    if (!path_exists(r.where))
        return fail(err, "%s has no config.json, so it is no model folder", dir);
    if (!file_read(&source, r.where, limits.bytes, a, err) ||
        !json_parse(&r.o, source, r.where, limits, a, err))
        return false;
    hash_start(&h, a);
    hash_add(&h, source.p, source.n);
    hash_text(&h, out->source_hash);
    return read_fields(out, &r) && read_generation(out, dir, a, err);
}

bool model_config_read(struct model_config *out, const char *dir, struct arena *a, struct err *err)
{
    struct tensors t;
    *out = (struct model_config){0};
    err->text[0] = 0;
    if (!read_config(out, dir, a, err) || !tensors_open(&t, dir, a, err)) return false;
    bool ok = (!out->tied || tied_by_value(&out->tied, out, &t, a, err)) &&
              check_tensors(out, &t, a, err);
    tensors_close(&t);
    return ok ? true : fail_in(err, "%s", dir);
}
