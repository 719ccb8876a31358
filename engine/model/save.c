/* save.c - what leaves a model: a Hugging Face folder, a PEFT adapter, a checkpoint's training
 * state.
 *
 * Tensors are read and written a few rows at a time. What is trained comes from the device, what is
 * frozen from the files it was loaded from, so that nothing is rounded twice. */
#include "engine/format/json.h"
#include "engine/model/state.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const metadata[] = {"format", "pt"};

/* ---- pieces ---- */

enum content { CONTENT_WEIGHTS, CONTENT_ADAPTER, CONTENT_TRAINING };

static bool belongs(const struct parts *parts, const struct piece *p, enum content content)
{
    bool lora = param_is_lora(&parts->params[p->param]);
    return content == CONTENT_TRAINING ? p->trained : lora == (content == CONTENT_ADAPTER);
}

static struct tensor_row row_of(const struct parts *parts, const struct piece *p, const char *name,
                                enum tensor_type type)
{
    bool vector = param_is_vector(&parts->params[p->param]);
    struct tensor_row r = {
        .name = name, .type = type, .rank = vector ? 1 : 2, .dims = {p->rows, p->cols}};
    if (vector) r.dims[0] = p->cols;
    return r;
}

/* The tensors of a file in the order in which they are written: of training state NAME, then its
 * moments. */
static int rows_of(struct tensor_row **out, const struct parts *parts, const struct training *t,
                   enum content content, enum tensor_type type, struct arena *a)
{
    int n = 0, each = content == CONTENT_TRAINING ? 1 + MOMENT_TENSORS : 1;
    *out = NEW_N(a, struct tensor_row, (int64_t)parts->n_pieces * each);
    for (int i = 0; i < parts->n_pieces; i++) {
        const struct piece *p = &parts->pieces[i];
        if (!belongs(parts, p, content)) continue;
        (*out)[n++] = row_of(parts, p, p->name, type);
        if (content == CONTENT_TRAINING) n += moment_rows(*out + n, parts, t, i, a);
    }
    return n;
}

struct writing { struct model *m; struct tensors_writer *w; bool merge; struct arena *a; };

static bool piece_write(const struct writing *x, int piece, struct err *err)
{
    const struct piece *p = &x->m->b.parts.pieces[piece];
    int most = piece_rows_most(x->m, p);
    for (int first = 0; first < p->rows; first += most) {
        int rows = p->rows - first < most ? p->rows - first : most;
        if (!piece_read(x->m, piece, first, rows, x->m->host.piece, x->a, err) ||
            (x->merge && !adapter_merge(x->m, piece, first, rows, x->m->host.piece, x->a, err)) ||
            !tensors_write_f32(x->w, x->m->host.piece, (int64_t)rows * p->cols, err)) return false;
    }
    return true;
}

static bool moments_write(const struct writing *x, int piece, struct err *err)
{
    struct span spans[MOMENT_TENSORS];
    int n = moment_spans(spans, x->m, piece);
    int64_t most = x->m->host.piece_n * 4;
    for (int i = 0; i < n; i++)
        for (int64_t at = 0; at < spans[i].bytes; at += most) {
            int64_t bytes = spans[i].bytes - at < most ? spans[i].bytes - at : most;
            if (!span_read(x->m, spans[i].at + at, bytes, err) ||
                !tensors_write_raw(x->w, x->m->host.piece, bytes, err))
                return false;
        }
    return true;
}

static struct saved_file *saved_add(struct saved *s, const char *name)
{
    BUG_IF(s->n == (int)COUNT(s->files));
    struct saved_file *f = &s->files[s->n];
    *f = (struct saved_file){.bytes = 0};
    snprintf(f->name, sizeof f->name, "%s", name);
    return f;
}

static bool tensors_save(struct model *m, const char *dir, const char *name, enum content content,
                         enum tensor_type type, bool merge, struct saved *saved, struct err *err)
{
    struct arena a = arena_make(0);
    struct tensor_row *rows;
    struct writing x = {.m = m, .merge = merge && m->b.training.lora.rank > 0, .a = &a};
    struct saved_file *f = saved_add(saved, name);
    int n = rows_of(&rows, &m->b.parts, &m->b.training, content, type, &a);
    bool ok = !m->in_flight || model_wait(m, err);
    ok = ok && tensors_create(&x.w, path_join(&a, dir, name), rows, n, metadata, 1, &a, err);
    if (ok) {
        for (int i = 0; ok && i < m->b.parts.n_pieces; i++) {
            if (!belongs(&m->b.parts, &m->b.parts.pieces[i], content)) continue;
            struct arena_mark mark = arena_mark(&a);
            ok = piece_write(&x, i, err) &&
                 (content != CONTENT_TRAINING || moments_write(&x, i, err));
            arena_back(&a, mark);
        }
        if (ok) ok = tensors_finish(x.w, &f->bytes, f->hash, err);
        else tensors_abandon(x.w);
    }
    arena_drop(&a);
    if (ok) saved->n++;
    return ok;
}

/* ---- small files ---- */

static bool text_save(const char *dir, const char *name, struct text s, struct saved *saved,
                      struct arena *a, struct err *err)
{
    struct hash h;
    struct saved_file *f = saved_add(saved, name);
    char *path = path_join(a, dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return fail_errno(err, "cannot create %s", path);
    bool ok = file_write_all(fd, s.p, s.n, path, err);
    if (ok && fsync(fd)) ok = fail_errno(err, "cannot sync %s", path);
    if (close(fd) && ok) ok = fail_errno(err, "cannot write %s", path);
    if (!ok) {
        unlink(path);
        return false;
    }
    hash_start(&h, a);
    hash_add(&h, s.p, s.n);
    hash_text(&h, f->hash);
    f->bytes = (int64_t)s.n;
    saved->n++;
    return true;
}

static void put_json(struct buf *b, const struct json *v)
{
    static const char brackets[2][2] = {{'[', ']'}, {'{', '}'}};
    if (v->kind == JSON_NULL) buf_printf(b, "null");
    else if (v->kind == JSON_BOOL) buf_printf(b, v->yes ? "true" : "false");
    else if (v->kind == JSON_INT) json_put_int(b, v->integer);
    else if (v->kind == JSON_NUM) json_put_num(b, v->number);
    else if (v->kind == JSON_TEXT) json_put_text(b, v->text);
    else {
        const char *pair = brackets[v->kind == JSON_OBJECT];
        buf_put(b, &pair[0], 1);
        for (int i = 0; i < v->n; i++) {
            if (i) buf_printf(b, ", ");
            if (v->kind == JSON_OBJECT) {
                json_put_text(b, v->keys[i]);
                buf_printf(b, ": ");
            }
            put_json(b, &v->items[i]); /* as deep as the reader's limit */
        }
        buf_put(b, &pair[1], 1);
    }
}

/* The base's config.json as it was, with what saving decides: the type, and whether the head is
 * tied. */
static struct text config_text(const struct model *m, enum tensor_type type, struct arena *a)
{
    static const char *const ours[] = {"tie_word_embeddings", "torch_dtype", "dtype"};
    const char *dtype = type == T_F32 ? "float32" : type == T_BF16 ? "bfloat16" : "float16";
    const struct json *o = m->config_json;
    struct buf b = buf_make(a);
    buf_printf(&b, "{\n  \"tie_word_embeddings\": %s,\n  \"torch_dtype\": \"%s\"",
               m->b.config.tied ? "true" : "false", dtype);
    for (int i = 0; i < o->n; i++) {
        bool replaced = false;
        for (size_t k = 0; k < COUNT(ours); k++) replaced |= text_is(o->keys[i], ours[k]);
        if (replaced) continue;
        buf_printf(&b, ",\n  ");
        json_put_text(&b, o->keys[i]);
        buf_printf(&b, ": ");
        put_json(&b, &o->items[i]);
    }
    buf_printf(&b, "\n}\n");
    return buf_text(&b);
}

bool model_save(struct model *m, const char *dir, enum tensor_type type, bool merge,
                struct saved *saved, struct err *err)
{
    struct arena a = arena_make(0);
    bool ok = type == T_F32 || type == T_BF16 || type == T_F16 ? true :
        fail(err, "weights are saved as F32, BF16 or F16, not as %s", tensor_type_name(type));
    ok = ok && text_save(dir, "config.json", config_text(m, type, &a), saved, &a, err) &&
         tensors_save(m, dir, "model.safetensors", CONTENT_WEIGHTS, type, merge, saved, err);
    arena_drop(&a);
    return ok;
}

static struct text adapter_text(const struct model *m, const char *base, struct arena *a)
{
    const struct lora *l = &m->b.training.lora;
    struct buf b = buf_make(a);
    buf_printf(&b, "{\n  \"peft_type\": \"LORA\",\n  \"task_type\": \"CAUSAL_LM\",\n  "
                   "\"base_model_name_or_path\": ");
    json_put_text(&b, text_of(base));
    buf_printf(&b, ",\n  \"r\": %d,\n  \"lora_alpha\": ", l->rank);
    json_put_num(&b, (double)l->alpha);
    buf_printf(&b, ",\n  \"lora_dropout\": ");
    json_put_num(&b, (double)l->dropout);
    buf_printf(&b, ",\n  \"use_rslora\": %s,\n  \"target_modules\": [",
               l->rank_stabilised ? "true" : "false");
    const char *comma = "";
    for (int i = 0; i < LINEARS; i++) {
        if (!(l->targets >> i & 1)) continue;
        buf_printf(&b, "%s\"%s\"", comma, m->b.config.family->linear[i].target);
        comma = ", ";
    }
    buf_printf(
        &b, "],\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n"
            "  \"init_lora_weights\": true,\n  \"modules_to_save\": null\n}\n");
    return buf_text(&b);
}

bool model_save_adapter(struct model *m, const char *dir, const char *base, struct saved *saved,
                        struct err *err)
{
    struct arena a = arena_make(0);
    bool ok = m->b.training.lora.rank > 0
                  ? true
                  : fail(err, "there is no adapter to save: the model was opened without one");
    ok = ok && text_save(dir, "adapter_config.json", adapter_text(m, base, &a), saved, &a, err) &&
         tensors_save(m, dir, "adapter_model.safetensors", CONTENT_ADAPTER, T_F32, false, saved,
                      err);
    arena_drop(&a);
    return ok;
}

bool model_save_training(struct model *m, const char *dir, struct saved *saved, struct err *err)
{
    return tensors_save(m, dir, "training.safetensors", CONTENT_TRAINING, T_F32, false, saved, err);
}

int64_t model_save_bytes(const struct model_config *c, const struct training *t,
                         enum tensor_type type)
{
    enum { SMALL = 8192 }; /* config.json or adapter_config.json, at most */
    struct arena a = arena_make(0);
    struct parts parts;
    struct tensor_row *rows;
    struct err ignored = {{0}};
    bool adapter = t->lora.rank > 0;
    parts_make(&parts, c, &t->lora, &a);
    parts_train(&parts, c, t, &a, &ignored); /* a layout was made of it, so it is right */
    int n = rows_of(&rows, &parts, t, adapter ? CONTENT_ADAPTER : CONTENT_WEIGHTS,
                    adapter ? T_F32 : type, &a);
    int64_t bytes = SMALL + tensors_file_bytes(rows, n, metadata, 1);
    n = rows_of(&rows, &parts, t, CONTENT_TRAINING, T_F32, &a);
    bytes += tensors_file_bytes(rows, n, metadata, 1);
    arena_drop(&a);
    return bytes;
}

bool model_copy_files(const char *from, const char *to, struct saved *saved, struct arena *a,
                      struct err *err)
{
    static const char *const names[] = {"tokenizer.json",
                                        "tokenizer.model",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "chat_template.jinja",
                                        "chat_template.json",
                                        "generation_config.json",
                                        "LICENSE"};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct text s;
        struct arena_mark mark = arena_mark(a);
        char *path = path_join(a, from, names[i]);
        bool there = path_exists(path) && !path_exists(path_join(a, to, names[i]));
        bool ok = !there || (file_read(&s, path, 256 << 20, a, err) &&
                             text_save(to, names[i], s, saved, a, err));
        arena_back(a, mark);
        if (!ok) return false;
    }
    return true;
}

/* ---- hash ---- */

bool model_hash(struct model *m, char out[33], struct err *err)
{
    if (m->in_flight && !model_wait(m, err)) return false;
    struct arena a = arena_make(0);
    struct hash h;
    bool ok = true;
    hash_start(&h, &a);
    for (int i = 0; ok && i < m->n_slots; i++) {
        struct span spans[SLOT_SPANS];
        int n = slot_spans(spans, m, i);
        int64_t most = m->host.piece_n * 4;
        for (int k = 0; ok && k < n; k++)
            for (int64_t at = 0; ok && at < spans[k].bytes; at += most) {
                int64_t bytes = spans[k].bytes - at < most ? spans[k].bytes - at : most;
                ok = span_read(m, spans[k].at + at, bytes, err);
                hash_add(&h, m->host.piece, (size_t)bytes);
            }
    }
    hash_text(&h, out);
    arena_drop(&a);
    return ok;
}
