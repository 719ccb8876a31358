/* llama2c.c - the models of llama2.c: a header of seven numbers, then fp32 weights tensor by tensor.
 *
 * Version 0: i32 dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size (negative: the head has
 * weights of its own), max_seq_len. Version 1: "ak42", i32 1, the same seven, u8 shared head, zeros up
 * to byte 256. All layers of one tensor lie together; version 0 also has two tables of rotations,
 * which are computed and not read. Heads are in LLaMA's order, not Hugging Face's.
 * tokenizer.bin: i32 longest piece, then for each id f32 score, i32 length, the piece's bytes. */
#include "engine/format/import_llama.h"
#include "engine/format/tokenizer_parts.h"
#include <string.h>
#include <unistd.h>

enum { V1_HEADER = 256, MODEL_TOKENIZER_MOST = 64 << 20, TABLES = -1 };

/* The order of the tensors in a file. */
static const int order_0[] = {K_EMBEDDING, K_ATTENTION_NORM, K_Q, K_K, K_V, K_O, K_MLP_NORM, K_GATE, K_DOWN, K_UP,
                              K_NORM, TABLES, K_HEAD};
static const int order_1[] = {K_ATTENTION_NORM, K_MLP_NORM, K_NORM, K_EMBEDDING, K_Q, K_K, K_V, K_O, K_GATE, K_DOWN,
                              K_UP, K_HEAD};

struct llama2c { const char *path; int fd; int64_t size, start[TENSOR_KINDS]; struct llama m; };

static bool read_head(struct llama2c *f, int *version, struct err *err)
{
    int32_t n[7], mark[2];
    uint8_t shared = 0;
    int64_t at = 0;
    if (f->size < (int64_t)sizeof n) return fail(err, "%s has %lld bytes: no model that hone knows", f->path, (long long)f->size);
    if (!file_read_at(f->fd, mark, sizeof mark, 0, f->path, err)) return false;
    *version = mark[0] == 0x616b3432 ? 1 : 0;
    if (*version) {
        if (mark[1] != 1) return fail(err, "%s is version %d of llama2.c's files; 0 and 1 (fp32) are read", f->path, mark[1]);
        if (f->size < V1_HEADER) return fail(err, "%s is cut short in its header", f->path);
        at = 8;
        if (!file_read_at(f->fd, &shared, 1, at + (int64_t)sizeof n, f->path, err)) return false;
    }
    if (!file_read_at(f->fd, n, sizeof n, at, f->path, err)) return false;
    f->m = (struct llama){.hidden = n[0], .inner = n[1], .layers = n[2], .heads = n[3], .kv_heads = n[4],
        .vocab = n[5] < 0 && !*version ? -(int64_t)n[5] : n[5], .context = n[6], .eps = 1e-5, .theta = 10000,
        .untied = *version ? !shared : n[5] < 0};
    f->m.head_dim = n[3] > 0 ? n[0] / n[3] : 0;
    if (!llama_check(&f->m, f->path, err))
        return *version ? false : fail(err, "%s is none of the files that hone imports (GGUF, llama2.c)", f->path);
    return f->m.hidden % f->m.heads == 0 ||
           fail(err, "%s: the width %d is no multiple of %d heads", f->path, n[0], n[3]);
}

/* Where each kind of tensor starts; the file must have exactly the bytes that they take. */
static bool place_tensors(struct llama2c *f, int version, struct arena *a, struct err *err)
{
    struct llama_tensor *list;
    int64_t n = llama_tensors(&list, &f->m, a), at = version ? V1_HEADER : 7 * 4;
    const int *order = version ? order_1 : order_0;
    for (size_t k = 0; k < (version ? COUNT(order_1) : COUNT(order_0)); k++) {
        if (order[k] == TABLES) {
            at += f->m.context * f->m.head_dim * 4; /* cosines and sines, half a head each */
            continue;
        }
        f->start[order[k]] = at;
        for (int64_t i = 0; i < n; i++)
            if ((int)list[i].kind == order[k]) at += list[i].rows * list[i].columns * 4;
    }
    if (at == f->size) return true;
    return fail(err, "%s has %lld bytes; a llama2.c model of the numbers at its start has %lld: it is cut short, or none "
                "of the files that hone imports (GGUF, llama2.c)", f->path, (long long)f->size, (long long)at);
}

static bool read_rows(void *self, const struct llama_tensor *t, int64_t first, int64_t n, float *out, struct err *err)
{
    const struct llama2c *f = self;
    int64_t at = f->start[t->kind] + (t->layer * t->rows + first) * t->columns * 4;
    return file_read_at(f->fd, out, (size_t)(n * t->columns) * 4, at, f->path, err);
}

/* Spaces stand for U+2581 in the file, and bos and eos have line ends around them. */
static struct text piece_of(const char *p, size_t n, int32_t *type, struct arena *a)
{
    static const char *const ends[] = {"\n<s>\n", "\n</s>\n"};
    struct buf b = buf_make(a);
    *type = TOKEN_NORMAL;
    for (size_t k = 0; k < COUNT(ends); k++)
        if (text_is((struct text){p, n}, ends[k])) {
            *type = TOKEN_CONTROL;
            return (struct text){p + 1, n - 2};
        }
    if (text_is((struct text){p, n}, "<unk>")) *type = TOKEN_UNKNOWN;
    if (n == 6 && memcmp(p, "<0x", 3) == 0 && p[5] == '>') *type = TOKEN_BYTE;
    for (size_t i = 0; i < n; i++)
        if (p[i] == ' ') buf_put(&b, "\u2581", 3);
        else buf_put(&b, p + i, 1);
    return buf_text(&b);
}

static bool read_pieces(struct vocab *v, struct text file, const char *path, struct arena *a, struct err *err)
{
    size_t at = 4;
    v->tokens = NEW_N(a, struct text, v->n);
    v->types = NEW_N(a, int32_t, v->n);
    v->scores = NEW_N(a, float, v->n);
    for (int i = 0; i < v->n; i++) {
        int32_t n = -1;
        if (file.n >= at + 8) memcpy(&n, file.p + at + 4, 4);
        if (n < 0 || (size_t)n > file.n - at - 8)
            return fail(err, "%s ends in piece %d of %d; is it the model's own?", path, i, v->n);
        memcpy(&v->scores[i], file.p + at, 4);
        v->tokens[i] = piece_of(file.p + at + 8, (size_t)n, &v->types[i], a);
        if (v->types[i] == TOKEN_UNKNOWN) v->unknown = i;
        if (v->types[i] == TOKEN_CONTROL) *(text_is(v->tokens[i], "<s>") ? &v->bos : &v->eos) = i;
        at += 8 + (size_t)n;
    }
    return at == file.n || fail(err, "%s holds more than the %d pieces of the model; is it the model's own?", path, v->n);
}

static bool import_pieces(struct importing *i, struct vocab *v, const char *path)
{
    struct text file;
    if (!file_read(&file, path, MODEL_TOKENIZER_MOST, i->a, i->err) || !read_pieces(v, file, path, i->a, i->err)) return false;
    v->adds_bos = v->bos >= 0;
    return vocab_write(v, i->dir, path, i->a, i->err);
}

/* SentencePiece's own file is taken as it is; its first ids are unknown, bos and eos. */
static bool copy_spm(struct importing *i, struct vocab *v, const char *path)
{
    struct text file;
    struct buf b = buf_make(i->a);
    if (!file_read(&file, path, MODEL_TOKENIZER_MOST, i->a, i->err)) return false;
    v->bos = 1;
    v->eos = 2;
    buf_printf(&b, "{\"add_bos_token\": true, \"add_eos_token\": false, \"bos_token\": \"<s>\", \"eos_token\": \"</s>\", "
                   "\"unk_token\": \"<unk>\", \"model_max_length\": %lld, \"tokenizer_class\": \"LlamaTokenizer\"}\n",
               (long long)v->context);
    return file_replace(path_join(i->a, i->dir, "tokenizer.model"), file, i->err) &&
           file_replace(path_join(i->a, i->dir, "tokenizer_config.json"), buf_text(&b), i->err);
}

static bool import_tokenizer(struct importing *i, struct vocab *v)
{
    const char *path = i->o->tokenizer;
    if (!path) path = path_join(i->a, path_dir(i->a, i->file), "tokenizer.bin");
    if (!path_exists(path))
        return fail(i->err, "%s has no vocabulary inside and %s is not there; name its tokenizer.bin or tokenizer.model "
                    "with --tokenizer FILE", i->file, path);
    size_t n = strlen(path);
    bool spm = n > 6 && strcmp(path + n - 6, ".model") == 0;
    return spm ? copy_spm(i, v, path) : import_pieces(i, v, path);
}

bool import_llama2c(struct importing *i)
{
    struct llama2c f = {.path = i->file};
    int version = 0;
    if (!file_open(&f.fd, &f.size, i->file, i->err)) return false;
    bool ok = read_head(&f, &version, i->err) && place_tensors(&f, version, i->a, i->err);
    struct vocab v = {.n = (int)f.m.vocab, .bos = -1, .eos = -1, .unknown = -1, .padding = -1, .turn_end = -1,
                      .space_prefix = true, .context = f.m.context};
    ok = ok && import_tokenizer(i, &v) && write_config(i, &f.m, &v) &&
         write_weights(i, &f.m, (struct llama_source){read_rows, &f});
    close(f.fd);
    return ok;
}
