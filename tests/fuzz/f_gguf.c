/* gguf: a file is opened exactly when a second walk over its bytes, in 128 bits, finds every count,
 * text, block and place sound; then all says the same. An import leaves a folder that opens, or
 * nothing. */
#include "tests/fuzz/fuzz.h"
#include "engine/format/gguf_import.h"
#include "engine/format/tokenizer.h"
#include <math.h>

/* An import takes 4 MiB for rows and 1 MiB pieces for writing; 32 bytes of a tensor's row become
 * 200. */
const struct fuzz_limits fuzz_limits = {16 << 20, 12, 4 << 20};

typedef unsigned __int128 wide;

/* ---- a small model, and what is wrong with others ---- */

struct made {
    struct buf head, data;
    uint64_t tensors, entries;
    struct arena *a;
};

static void u32(struct buf *b, uint32_t v) { buf_put(b, (char *)&v, 4); }
static void u64(struct buf *b, uint64_t v) { buf_put(b, (char *)&v, 8); }
static void words(struct buf *b, const char *s) { u64(b, strlen(s)), buf_put(b, s, strlen(s)); }

static void entry(struct made *m, const char *key, enum gguf_kind kind)
{
    words(&m->head, key), u32(&m->head, kind), m->entries++;
}
static void whole(struct made *m, const char *key, uint32_t v)
{
    entry(m, key, GGUF_U32), u32(&m->head, v);
}
static void real(struct made *m, const char *key, float v)
{
    entry(m, key, GGUF_F32), buf_put(&m->head, (char *)&v, 4);
}
static void named(struct made *m, const char *key, const char *v)
{
    entry(m, key, GGUF_TEXT), words(&m->head, v);
}

static void vocabulary(struct made *m, bool spm)
{
    static const char *const level[] = {"a", "b", "ab", "\xC4\xA0", "\xC4\xA0\x61", "<s>"};
    static const char *const pieces[] = {"<unk>", "<s>", "a", "b", "ab", "<0x0A>"};
    static const int types[] = {2, 3, 1, 1, 1, 6};
    named(m, "tokenizer.ggml.model", spm ? "llama" : "gpt2");
    entry(m, "tokenizer.ggml.tokens", GGUF_ARRAY), u32(&m->head, GGUF_TEXT), u64(&m->head, 6);
    for (int i = 0; i < 6; i++) words(&m->head, spm ? pieces[i] : level[i]);
    entry(m, "tokenizer.ggml.token_type", GGUF_ARRAY), u32(&m->head, GGUF_I32), u64(&m->head, 6);
    for (int i = 0; i < 6; i++) u32(&m->head, spm ? (uint32_t)types[i] : i == 5 ? 3 : 1);
    whole(m, "tokenizer.ggml.bos_token_id", spm ? 1 : 5);
    named(m, "tokenizer.chat_template", "{{ messages[0].content }}");
    if (spm) {
        entry(m, "tokenizer.ggml.scores", GGUF_ARRAY), u32(&m->head, GGUF_F32), u64(&m->head, 6);
        for (int i = 0; i < 6; i++) u32(&m->head, 0xBF800000u + (uint32_t)i);
        return;
    }
    named(m, "tokenizer.ggml.pre", "llama-bpe");
    entry(m, "tokenizer.ggml.merges", GGUF_ARRAY), u32(&m->head, GGUF_TEXT), u64(&m->head, 2);
    words(&m->head, "a b"), words(&m->head, "\xC4\xA0 a");
}

static void sizes(struct made *m)
{
    named(m, "general.architecture", "llama");
    whole(m, "llama.block_count", 1), whole(m, "llama.embedding_length", 32),
        whole(m, "llama.feed_forward_length", 32);
    whole(m, "llama.attention.head_count", 4), whole(m, "llama.attention.head_count_kv", 2),
        whole(m, "llama.context_length", 64);
    real(m, "llama.attention.layer_norm_rms_epsilon", 1e-5f),
        real(m, "llama.rope.freq_base", 10000);
}

static void tensor(struct made *m, const char *name, uint64_t columns, uint64_t rows, uint32_t type)
{
    const struct block *b = ggml_block(type);
    words(&m->head, name), u32(&m->head, rows ? 2 : 1), u64(&m->head, columns);
    if (rows) u64(&m->head, rows);
    u32(&m->head, type), u64(&m->head, m->data.n);
    size_t n = (size_t)(columns * (rows ? rows : 1)) / (size_t)b->elements * (size_t)b->bytes;
    for (size_t i = 0; i < (n + 31) / 32 * 32; i++) buf_put(&m->data, "\x3C", 1);
    m->tensors++;
}

static void seed_made(struct made *m)
{
    struct buf b = buf_make(m->a);
    buf_put(&b, "GGUF", 4), u32(&b, 3), u64(&b, m->tensors), u64(&b, m->entries);
    buf_put(&b, m->head.p, m->head.n);
    while (b.n % 32) buf_put(&b, "", 1);
    buf_put(&b, m->data.p ? m->data.p : "", m->data.n);
    seed(b.p, b.n);
}

static struct made fresh(struct arena *a)
{
    return (struct made){.head = buf_make(a), .data = buf_make(a), .a = a};
}

void fuzz_seeds(void)
{
    struct arena a = arena_make(0);
    static const struct {
        const char *name;
        uint64_t columns, rows;
    } layer[] = {{"token_embd.weight", 32, 6},         {"output_norm.weight", 32, 0},
                 {"blk.0.attn_norm.weight", 32, 0},    {"blk.0.attn_q.weight", 32, 32},
                 {"blk.0.attn_k.weight", 32, 16},      {"blk.0.attn_v.weight", 32, 16},
                 {"blk.0.attn_output.weight", 32, 32}, {"blk.0.ffn_norm.weight", 32, 0},
                 {"blk.0.ffn_gate.weight", 32, 32},    {"blk.0.ffn_up.weight", 32, 32},
                 {"blk.0.ffn_down.weight", 32, 32}};
    for (int spm = 0; spm < 2; spm++) {
        struct made m = fresh(&a), v = fresh(&a);
        vocabulary(&v, spm);
        seed_made(&v);
        sizes(&m), vocabulary(&m, spm);
        for (size_t i = 0; i < COUNT(layer); i++)
            tensor(&m, layer[i].name, layer[i].columns, layer[i].rows,
                   layer[i].rows ? spm ? GGML_Q4_0 : GGML_Q8_0 : GGML_F32);
        seed_made(&m);
    }
    static const uint32_t types[] = {0, 1, 2, 3, 8, 12, 13, 14, 30};
    struct made all = fresh(&a);
    for (size_t i = 0; i < COUNT(types); i++)
        tensor(&all, arena_printf(&a, "t%zu", i), 256, 1, types[i]);
    seed_made(&all);
    struct {
        uint64_t tensors, entries;
    } counts[] = {{1ull << 60, 0}, {0, UINT64_MAX}, {65536, 65536}, {0, 1}, {1, 0}};
    for (size_t i = 0; i < COUNT(counts); i++) {
        struct made m = fresh(&a);
        m.tensors = counts[i].tensors, m.entries = counts[i].entries;
        u64(&m.head, UINT64_MAX - 8);
        seed_made(&m);
    }
    struct made m = fresh(&a);
    words(&m.head, "big"), u32(&m.head, 4), m.tensors = 1;
    for (int i = 0; i < 4; i++) u64(&m.head, 1ull << 16);
    u32(&m.head, 0), u64(&m.head, 0);
    seed_made(&m);
    struct made n = fresh(&a);
    entry(&n, "k", GGUF_ARRAY), u32(&n.head, GGUF_U64), u64(&n.head, 1ull << 61);
    whole(&n, "general.alignment", 64);
    seed_made(&n);
    for (int kind = 0; kind < 4; kind++) {
        struct made large = fresh(&a);
        if (kind == 1) {
            entry(&large, "k", GGUF_ARRAY), u32(&large.head, GGUF_TEXT), u64(&large.head, 120000);
            for (int i = 0; i < 120000; i++) u64(&large.head, 0);
        }
        for (int i = 0; large.head.n < 900000; i++) {
            char name[16];
            snprintf(name, sizeof name, "%d", i);
            if (kind == 0) entry(&large, name, GGUF_U8), buf_put(&large.head, "", 1);
            if (kind == 2)
                words(&large.head, name), u32(&large.head, 1), u64(&large.head, 1),
                    u32(&large.head, 0), u64(&large.head, 0), large.tensors++;
            if (kind == 3)
                words(&large.head, name), u32(&large.head, 1), u64(&large.head, 1),
                    u32(&large.head, 0), u64(&large.head, 32u * (unsigned)i), large.tensors++;
        }
        for (int i = 0; kind == 3 && i < 3000; i++)
            fuzz_many(&large.data, "abcdefghijklmnopqrstuvwxyz012345", 32);
        seed_made(&large);
    }
    arena_drop(&a);
}

/* ---- the second walk ---- */

struct walk {
    struct text file;
    size_t at;
    bool ok;
};
struct place {
    struct text name;
    wide from, bytes;
    uint64_t elements;
    uint32_t type;
};

static wide number(struct walk *w, size_t n)
{
    wide v = 0;
    if (!w->ok || w->file.n - w->at < n) return w->ok = false;
    for (size_t i = 0; i < n; i++) v |= (wide)(unsigned char)w->file.p[w->at + i] << 8 * i;
    w->at += n;
    return v;
}

static struct text bytes(struct walk *w)
{
    wide n = number(w, 8);
    if (!w->ok || n > w->file.n - w->at) return w->ok = false, TEXT("");
    w->at += (size_t)n;
    return (struct text){w->file.p + w->at - (size_t)n, (size_t)n};
}

static int size_of(wide kind)
{
    static const int sizes_of[GGUF_KINDS] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return kind < GGUF_KINDS ? sizes_of[kind] : 0;
}

/* *alignment: what general.alignment says, 0: it is no whole number of at least 1. */
static void walk_entry(struct walk *w, struct text *key, wide *alignment)
{
    *key = bytes(w);
    wide kind = number(w, 4), n = 1;
    size_t from = w->at;
    w->ok = w->ok && key->n >= 1 && key->n <= 1024 && kind < GGUF_KINDS;
    bool array = kind == GGUF_ARRAY,
         whole_kind = kind <= GGUF_I32 || kind == GGUF_U64 || kind == GGUF_I64;
    if (array) kind = number(w, 4), n = number(w, 8);
    w->ok = w->ok && kind < GGUF_KINDS && kind != GGUF_ARRAY && n <= 16 << 20;
    if (kind == GGUF_TEXT)
        for (wide i = 0; w->ok && i < n; i++) bytes(w);
    else if (w->ok) {
        w->ok = n * (wide)size_of(kind) <= w->file.n - w->at;
        if (w->ok) w->at += (size_t)n * (size_t)size_of(kind);
    }
    if (!w->ok || !text_is(*key, "general.alignment")) return;
    struct walk value = {w->file, from, true};
    *alignment = array || !whole_kind ? 0 : number(&value, (size_t)size_of(kind));
}

static void walk_tensor(struct walk *w, struct place *p)
{
    p->name = bytes(w);
    wide rank = number(w, 4), elements = 1, dim, first = 0;
    w->ok = w->ok && p->name.n >= 1 && p->name.n <= 512 && !memchr(p->name.p, 0, p->name.n) &&
            rank >= 1 && rank <= 4;
    for (wide i = 0; w->ok && i < rank; i++) {
        dim = number(w, 8);
        if (i == 0) first = dim;
        elements *= dim;
        w->ok = w->ok && dim >= 1 && elements <= (wide)1 << 48;
    }
    p->type = (uint32_t)number(w, 4);
    p->from = number(w, 8);
    static const struct {
        uint32_t type, elements, bytes;
    } blocks[] = {{0, 1, 4},      {1, 1, 2},      {2, 32, 18},    {3, 32, 20}, {8, 32, 34},
                  {12, 256, 144}, {13, 256, 176}, {14, 256, 210}, {30, 1, 2}};
    for (size_t i = 0; i < COUNT(blocks); i++)
        if (w->ok && blocks[i].type == p->type && first % blocks[i].elements == 0) {
            p->elements = (uint64_t)elements;
            p->bytes = elements / blocks[i].elements * blocks[i].bytes;
            return;
        }
    w->ok = false;
}

static bool is_sound(struct text file, struct place **places, int *n_places, struct arena *a)
{
    struct walk w = {file, 0, true};
    wide magic = number(&w, 4), version = number(&w, 4), tensors = number(&w, 8),
         entries = number(&w, 8), alignment = 32;
    if (!w.ok || magic != 0x46554747 || (version != 2 && version != 3) || tensors > 65536 ||
        entries > 65536)
        return false;
    if (entries * 13 + tensors * 32 > file.n) return false;
    struct text *keys = NEW_N(a, struct text, entries);
    for (wide i = 0; i < entries && w.ok; i++) {
        walk_entry(&w, &keys[i], &alignment);
        for (wide k = 0; k < i && w.ok; k++) w.ok = !text_equal(keys[k], keys[i]);
    }
    struct place *p = *places = NEW_N(a, struct place, tensors);
    for (wide i = 0; i < tensors && w.ok; i++) {
        walk_tensor(&w, &p[i]);
        for (wide k = 0; k < i && w.ok; k++) w.ok = !text_equal(p[k].name, p[i].name);
    }
    if (!w.ok || alignment < 1 || alignment > 1 << 20 || (alignment & (alignment - 1)))
        return false;
    wide start = (w.at + alignment - 1) / alignment * alignment;
    *n_places = (int)tensors;
    for (wide i = 0; i < tensors; i++) {
        if (p[i].from % alignment || start + p[i].from + p[i].bytes > file.n) return false;
        p[i].from += start;
        for (wide k = 0; k < i; k++)
            if (p[k].from < p[i].from + p[i].bytes && p[i].from < p[k].from + p[k].bytes)
                return false;
    }
    return true;
}

/* ---- what is there is what is said ---- */

static void check_tensors(const struct gguf *g, const struct place *places, int n, struct arena *a)
{
    float out[BLOCK_MOST];
    char raw[1024];
    struct err err;
    HOLDS(g->n_tensors == n);
    for (int i = 0; i < n; i++) {
        const struct gguf_tensor *t =
            gguf_find(g, arena_string(a, places[i].name.p, places[i].name.n));
        HOLDS(t && t->at == (int64_t)places[i].from && t->bytes == (int64_t)places[i].bytes);
        HOLDS(t->type == places[i].type && t->elements == (int64_t)places[i].elements);
        int block = ggml_block(t->type)->elements;
        HOLDS(gguf_floats(g, t, 0, block, out, raw, &err) &&
              gguf_floats(g, t, t->elements - block, block, out, raw, &err));
    }
}

static void check_entries(const struct gguf *g)
{
    struct err err;
    for (int i = 0; i < g->n_entries; i++) {
        const struct gguf_entry *e = &g->entries[i];
        if (!fuzz_harmless(e->key, false) || utf8_bad(e->key) < e->key.n) continue;
        char key[1025];
        int64_t v = 0;
        double d = 0;
        bool yes;
        struct text t;
        snprintf(key, sizeof key, "%.*s", (int)e->key.n, e->key.p);
        HOLDS(gguf_get(g, key) == e);
        if (!gguf_int(g, &v, key, -5, 5, &err)) fuzz_sentence(err.text);
        else HOLDS(v >= -5 && v <= 5);
        if (!gguf_num(g, &d, key, 0, 1, &err)) fuzz_sentence(err.text);
        else HOLDS(d >= 0 && d <= 1);
        if (!gguf_bool(g, &yes, key, &err) || !gguf_text(g, &t, key, &err)) fuzz_sentence(err.text);
    }
}

/* Some imports, chosen by the bytes so that they repeat: the folder is whole, or nothing is left of
 * it. */
static void check_import(struct text in, struct arena *a)
{
    struct import_options o = {.type = hash64(in.p, in.n, 1) & 1 ? T_F32 : T_BF16};
    struct err err = {{0}};
    const char *folder = fuzz_folder(), *dir = arena_printf(a, "%s/out", folder);
    char **names;
    int n;
    bool ok = import_model(fuzz_file("m.gguf", in), dir, &o, a, &err);
    HOLDS(dir_list(&names, &n, folder, a, &err) && n == ok);
    if (!ok) {
        fuzz_sentence(err.text);
        return;
    }
    struct tokenizer *tokenizer;
    struct tensors tensors;
    HOLDS(tokenizer_open(&tokenizer, dir, a, &err));
    if (!path_exists(arena_printf(a, "%s/model.safetensors", dir))) return;
    HOLDS(tensors_open(&tensors, dir, a, &err));
    tensors_close(&tensors);
}

void fuzz(struct text in, struct arena *a)
{
    struct gguf g;
    struct vocab v;
    struct err err = {{0}};
    struct place *places = NULL;
    int n = 0;
    bool ok = gguf_open(&g, fuzz_file("m.gguf", in), a, &err);
    if (!ok) fuzz_sentence(err.text);
    else if (!gguf_vocab(&g, &v, 0, &err)) fuzz_sentence(err.text);
    fuzz_oracle();
    if (in.n > 100000) {
        if (ok) gguf_close(&g);
        return;
    }
    bool sound = is_sound(in, &places, &n, a);
    if (ok != sound) fprintf(stderr, "opened %d, sound %d: %s\n", ok, sound, err.text);
    HOLDS(ok == sound);
    if (ok) {
        check_entries(&g);
        check_tensors(&g, places, n, a);
        gguf_close(&g);
    }
    if (hash64(in.p, in.n, 0) % 8 == 0) check_import(in, a);
}
