/* export_gguf.c - a LLaMA folder as one GGUF file that llama.cpp opens.
 *
 * The entries and the tensors' rows are made in memory, so every offset is known before the first
 * byte of data; then the tensors follow, q and k with their rows in LLaMA's order, norms and biases
 * always F32. Rows that are no multiple of 32 long cannot be Q8_0 and stay F32. */
#include "engine/format/export.h"
#include "engine/format/gguf.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ALIGNMENT = 32, PIECE_NUMBERS = 1 << 20 };

struct place { const struct llama_tensor *t; uint32_t type; int64_t bytes, at; };
struct exporting {
    const char *dir, *file, *beside;
    int fd;
    enum tensor_type type;
    struct llama m;
    struct vocab v;
    struct tensors in;
    struct llama_tensor *list; int64_t n;
    struct place *places;
    float *numbers, *turned;     /* PIECE_NUMBERS, or a head's rows */
    uint8_t *raw;
    int64_t written;
    struct arena *a;
    struct err *err;
};

static void put_raw(struct buf *b, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++) buf_put(b, (char[]){(char)(v >> 8 * i)}, 1);
}

static void put_text(struct buf *b, struct text t)
{
    put_raw(b, t.n, 8);
    buf_put(b, t.p, t.n);
}

static void put_key(struct buf *b, const char *key, enum gguf_kind kind, int *n)
{
    put_text(b, text_of(key));
    put_raw(b, kind, 4);
    ++*n;
}

static void entry_text(struct buf *b, const char *key, struct text v, int *n) { put_key(b, key, GGUF_TEXT, n); put_text(b, v); }
static void entry_int(struct buf *b, const char *key, int64_t v, int *n) { put_key(b, key, GGUF_U32, n); put_raw(b, (uint64_t)v, 4); }
static void entry_bool(struct buf *b, const char *key, bool v, int *n) { put_key(b, key, GGUF_BOOL, n); put_raw(b, v, 1); }

static void entry_float(struct buf *b, const char *key, double v, int *n)
{
    union { float f; uint32_t u; } x = {.f = (float)v};
    put_key(b, key, GGUF_F32, n);
    put_raw(b, x.u, 4);
}

static void entry_array(struct buf *b, const char *key, enum gguf_kind of, int64_t count, int *n)
{
    put_key(b, key, GGUF_ARRAY, n);
    put_raw(b, of, 4);
    put_raw(b, (uint64_t)count, 8);
}

/* The file's name without folder and ending. */
static struct text model_name(const char *file)
{
    struct text t = text_of(path_base(file));
    if (t.n > 5 && memcmp(t.p + t.n - 5, ".gguf", 5) == 0) t.n -= 5;
    return t;
}

static void put_model(struct buf *b, const struct exporting *x, int *n)
{
    const struct llama *m = &x->m;
    const struct { const char *key; int64_t v; } rows[] = {
        {"llama.block_count", m->layers}, {"llama.context_length", m->context}, {"llama.embedding_length", m->hidden},
        {"llama.feed_forward_length", m->inner}, {"llama.attention.head_count", m->heads},
        {"llama.attention.head_count_kv", m->kv_heads}, {"llama.attention.key_length", m->head_dim},
        {"llama.attention.value_length", m->head_dim}, {"llama.rope.dimension_count", m->head_dim},
        {"llama.vocab_size", m->vocab}, {"general.quantization_version", 2},
        {"general.file_type", x->type == T_F32 ? 0 : x->type == T_BF16 ? 32 : 7}};
    entry_text(b, "general.architecture", TEXT("llama"), n);
    entry_text(b, "general.type", TEXT("model"), n);
    entry_text(b, "general.name", model_name(x->file), n);
    for (size_t i = 0; i < COUNT(rows); i++) entry_int(b, rows[i].key, rows[i].v, n);
    entry_float(b, "llama.attention.layer_norm_rms_epsilon", m->eps, n);
    entry_float(b, "llama.rope.freq_base", m->theta, n);
    if (m->rope != ROPE_LINEAR) return; /* LLaMA 3's scaling is a tensor */
    entry_text(b, "llama.rope.scaling.type", TEXT("linear"), n);
    entry_float(b, "llama.rope.scaling.factor", m->factor, n);
}

static void put_merges(struct buf *b, const struct vocab *v, int *n)
{
    entry_text(b, "tokenizer.ggml.pre", text_of(v->pre->names[0]), n);
    entry_array(b, "tokenizer.ggml.merges", GGUF_TEXT, v->n_merges, n);
    for (int i = 0; i < v->n_merges; i++) {
        struct merge m = v->merges[i];
        put_raw(b, m.left.n + 1 + m.right.n, 8);
        buf_put(b, m.left.p, m.left.n);
        buf_put(b, " ", 1);
        buf_put(b, m.right.p, m.right.n);
    }
}

static void put_scores(struct buf *b, const struct vocab *v, int *n)
{
    entry_text(b, "tokenizer.ggml.pre", TEXT("default"), n);
    entry_bool(b, "tokenizer.ggml.add_space_prefix", v->space_prefix, n);
    entry_array(b, "tokenizer.ggml.scores", GGUF_F32, v->n, n);
    for (int i = 0; i < v->n; i++) {
        union { float f; uint32_t u; } x = {.f = v->scores[i]};
        put_raw(b, x.u, 4);
    }
}

static void put_vocab(struct buf *b, const struct vocab *v, int *n)
{
    const struct { const char *key; int id; } ids[] = {
        {"tokenizer.ggml.bos_token_id", v->bos}, {"tokenizer.ggml.eos_token_id", v->eos},
        {"tokenizer.ggml.unknown_token_id", v->unknown}, {"tokenizer.ggml.padding_token_id", v->padding},
        {"tokenizer.ggml.eot_token_id", v->turn_end}};
    entry_text(b, "tokenizer.ggml.model", v->pre ? TEXT("gpt2") : TEXT("llama"), n);
    entry_array(b, "tokenizer.ggml.tokens", GGUF_TEXT, v->n, n);
    for (int i = 0; i < v->n; i++) put_text(b, v->tokens[i]);
    entry_array(b, "tokenizer.ggml.token_type", GGUF_I32, v->n, n);
    for (int i = 0; i < v->n; i++) put_raw(b, (uint64_t)v->types[i], 4);
    if (v->pre) put_merges(b, v, n);
    else put_scores(b, v, n);
    for (size_t i = 0; i < COUNT(ids); i++)
        if (ids[i].id >= 0) entry_int(b, ids[i].key, ids[i].id, n);
    entry_bool(b, "tokenizer.ggml.add_bos_token", v->adds_bos, n);
    if (v->chat_template.n) entry_text(b, "tokenizer.chat_template", v->chat_template, n);
}

static uint32_t type_of(const struct exporting *x, const struct llama_tensor *t)
{
    if (t->rank == 1 || x->type == T_F32) return GGML_F32;
    if (x->type == T_BF16) return GGML_BF16;
    return t->columns % 32 ? GGML_F32 : GGML_Q8_0;
}

/* The row of a tensor: dimensions with the fastest first. */
static void put_place(struct buf *b, const struct place *p)
{
    put_text(b, text_of(p->t->gguf));
    put_raw(b, (uint64_t)p->t->rank, 4);
    if (p->t->rank == 2) put_raw(b, (uint64_t)p->t->columns, 8);
    put_raw(b, (uint64_t)p->t->rows, 8);
    put_raw(b, p->type, 4);
    put_raw(b, (uint64_t)p->at, 8);
}

static void place_tensors(struct exporting *x)
{
    int64_t at = 0;
    x->places = NEW_N(x->a, struct place, x->n);
    for (int64_t i = 0; i < x->n; i++) {
        uint32_t type = type_of(x, &x->list[i]);
        const struct block *b = ggml_block(type);
        int64_t bytes = x->list[i].rows * x->list[i].columns / b->elements * b->bytes;
        x->places[i] = (struct place){&x->list[i], type, bytes, at};
        at += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
}

static bool check_tensors(struct exporting *x)
{
    for (int64_t i = 0; i < x->n; i++) {
        const struct llama_tensor *t = &x->list[i];
        const struct tensor *in = tensors_find(&x->in, t->hf);
        if (t->kind == TENSOR_KINDS) continue; /* LLaMA 3's factors */
        if (!in) return fail(x->err, "%s has no tensor %s", x->dir, t->hf);
        if (in->rank != t->rank || in->dims[0] != t->rows || (t->rank == 2 && in->dims[1] != t->columns))
            return fail(x->err, "%s: tensor %s has %d dimensions and %lld numbers; %lld x %lld belong there", x->dir, t->hf,
                        in->rank, (long long)in->elements, (long long)t->rows, (long long)t->columns);
    }
    return true;
}

static bool put(struct exporting *x, const void *p, int64_t bytes)
{
    x->written += bytes;
    return file_write_all(x->fd, p, (size_t)bytes, x->beside, x->err);
}

static bool pad(struct exporting *x)
{
    static const char zeros[ALIGNMENT];
    return put(x, zeros, (ALIGNMENT - x->written % ALIGNMENT) % ALIGNMENT);
}

static bool put_numbers(struct exporting *x, const float *p, int64_t n, uint32_t type)
{
    if (type == GGML_F32) return put(x, p, n * 4);
    if (type == GGML_Q8_0) {
        q8_0_narrow(x->raw, p, n);
        return put(x, x->raw, n / 32 * 34);
    }
    for (int64_t i = 0; i < n; i++) {
        uint16_t v = f32_to_bf16(p[i]);
        memcpy(x->raw + 2 * i, &v, 2);
    }
    return put(x, x->raw, n * 2);
}

static int64_t rows_at_once(const struct exporting *x, const struct llama_tensor *t)
{
    int64_t n = t->heads ? x->m.head_dim : PIECE_NUMBERS / t->columns;
    return n < 1 ? 1 : n;
}

static bool put_tensor(struct exporting *x, const struct place *p)
{
    const struct llama_tensor *t = p->t;
    const struct tensor *in = tensors_find(&x->in, t->hf);
    int64_t step = rows_at_once(x, t);
    for (int64_t first = 0; first < t->rows; first += step) {
        int64_t n = t->rows - first < step ? t->rows - first : step;
        float *out = t->heads ? x->turned : x->numbers;
        if (t->kind == TENSOR_KINDS) llama3_factors(&x->m, x->numbers);
        else if (!tensors_read_f32(&x->in, in, first * t->columns, n * t->columns, x->numbers, x->err)) return false;
        for (int64_t r = 0; t->heads && r < n; r++)
            memcpy(out + rope_row(r, n) * t->columns, x->numbers + r * t->columns, (size_t)t->columns * sizeof *out);
        if (!put_numbers(x, out, n * t->columns, p->type)) return false;
    }
    return pad(x);
}

static bool write_all(struct exporting *x)
{
    struct buf head = buf_make(x->a), entries = buf_make(x->a);
    int n = 0;
    put_model(&entries, x, &n);
    put_vocab(&entries, &x->v, &n);
    put_raw(&head, 0x46554747, 4);
    put_raw(&head, 3, 4);
    put_raw(&head, (uint64_t)x->n, 8);
    put_raw(&head, (uint64_t)n, 8);
    if (!put(x, head.p, (int64_t)head.n)) return false;
    for (int64_t i = 0; i < x->n; i++) put_place(&entries, &x->places[i]);
    if (!put(x, entries.p, (int64_t)entries.n) || !pad(x)) return false;
    for (int64_t i = 0; i < x->n; i++)
        if (!put_tensor(x, &x->places[i])) return false;
    return fsync(x->fd) == 0 || fail_errno(x->err, "cannot sync %s", x->beside);
}

/* The tensors of the model, and for LLaMA 3's scaling one that holds its factors. */
static void list_tensors(struct exporting *x)
{
    struct llama_tensor *list;
    int64_t most = PIECE_NUMBERS;
    x->n = llama_tensors(&list, &x->m, x->a);
    x->list = NEW_N(x->a, struct llama_tensor, x->n + 1);
    memcpy(x->list, list, (size_t)x->n * sizeof *list);
    if (x->m.rope == ROPE_LLAMA3)
        x->list[x->n++] = (struct llama_tensor){.kind = TENSOR_KINDS, .hf = "rope_freqs", .gguf = "rope_freqs.weight",
                                                .rank = 1, .rows = x->m.head_dim / 2, .columns = 1};
    for (int64_t i = 0; i < x->n; i++) {
        int64_t n = rows_at_once(x, &x->list[i]) * x->list[i].columns;
        if (n > most) most = n;
    }
    x->numbers = NEW_N(x->a, float, most);
    x->turned = NEW_N(x->a, float, most);
    x->raw = arena_take(x->a, 2, (size_t)most);
}

static bool write_beside(struct exporting *x)
{
    unlink(x->beside);
    x->fd = open(x->beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (x->fd < 0) return fail_errno(x->err, "cannot create %s", x->beside);
    bool ok = write_all(x);
    if (close(x->fd) != 0 && ok) ok = fail_errno(x->err, "cannot close %s", x->beside);
    ok = ok && rename_new(x->beside, x->file, x->err);
    if (!ok) unlink(x->beside);
    if (!ok || dir_sync(path_dir(x->a, x->file), x->err)) return ok;
    unlink(x->file); /* who is told that it failed gives the same command again */
    return false;
}

bool export_gguf(const char *dir, const char *file, enum tensor_type type, struct arena *a, struct err *err)
{
    BUG_IF(type != T_F32 && type != T_BF16 && type != T_I8);
    struct arena_mark m = arena_mark(a);
    struct exporting x = {.dir = dir, .file = file, .type = type, .fd = -1, .a = a, .err = err,
                          .beside = arena_printf(a, "%s.tmp-%d", file, (int)getpid())};
    bool ok = !path_exists(file) || fail(err, "%s exists; name a new file", file);
    ok = ok && export_config(&x.m, dir, a, err) && export_vocab(&x.v, dir, x.m.vocab, a, err) && tensors_open(&x.in, dir, a, err);
    if (ok) {
        list_tensors(&x);
        place_tensors(&x);
        ok = check_tensors(&x) && write_beside(&x);
        tensors_close(&x.in);
    }
    arena_back(a, m);
    return ok;
}
