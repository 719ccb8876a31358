/* safetensors: a file is opened exactly when a second reader, over the JSON tree and in 128 bits,
 * finds the header sound and every byte of the data in one tensor; then all says the same, and the
 * first and last element can be read. */
#include "tests/fuzz/fuzz.h"
#include "engine/format/json.h"
#include "engine/format/safetensors.h"
#include "tests/format/safetensors_matrix.h"

const struct fuzz_limits fuzz_limits = {1 << 20, 4, 0};

static void seed_header(const char *header, int64_t length, size_t data)
{
    struct arena a = arena_make(0);
    size_t n = strlen(header);
    char *p = arena_take(&a, 1, 8 + n + data);
    memcpy(p, &length, 8);
    memcpy(p + 8, header, n);
    seed(p, 8 + n + data);
    arena_drop(&a);
}

void fuzz_seeds(void)
{
    for (size_t i = 0; i < COUNT(matrix); i++)
        seed_header(matrix[i].header, (int64_t)strlen(matrix[i].header), matrix[i].data);
    static const int64_t lengths[] = {0, 1, 3, 100000000, 100000001, INT64_MAX, INT64_MIN, -1};
    for (size_t i = 0; i < COUNT(lengths); i++) seed_header("{}", lengths[i], 0);
    static const struct {
        const char *head, *part, *tail;
    } large[] = {{"{", "\"#\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},",
                  "\"x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}"},
                 {"{\"__metadata__\":{", "\"#\":\"\",", "\"x\":\"\"}}"},
                 {"{\"", "\\u0001", "\":{}}"},
                 {"{\"a\":{\"shape\":[", "0,", "0]}}"},
                 {"{\"a\":", "{\"b\":", "}"}};
    for (size_t i = 0; i < COUNT(large); i++) {
        struct arena a = arena_make(0);
        struct buf b = buf_make(&a);
        buf_put(&b, large[i].head, strlen(large[i].head));
        fuzz_many(&b, large[i].part, 990000);
        buf_put(&b, large[i].tail, strlen(large[i].tail));
        seed_header(b.p, (int64_t)b.n, 0);
        arena_drop(&a);
    }
    seed_text("version https://git-lfs.github.com/spec/v1\n");
    seed_text("");
    seed_file("tests/golden/model/lora-all/adapter_model.safetensors");
}

/* What the tree says of one tensor; false: the file is not sound. */
struct said {
    const char *name;
    int64_t begin, end, dims[8];
    int rank;
    struct text dtype;
};

static bool sizes(const struct json *v, int64_t *out, int most, int *n)
{
    if (!v || v->kind != JSON_ARRAY || v->n > most) return false;
    for (int i = 0; i < v->n; i++) {
        if (v->items[i].kind != JSON_INT || v->items[i].integer < 0 ||
            v->items[i].integer > (int64_t)1 << 48)
            return false;
        out[i] = v->items[i].integer;
    }
    *n = v->n;
    return true;
}

static int bytes_of(struct text dtype)
{
    static const struct {
        const char *name;
        int bytes;
    } rows[] = {{"F64", 8}, {"F32", 4}, {"F16", 2},  {"BF16", 2},    {"I64", 8},
                {"I32", 4}, {"I16", 2}, {"I8", 1},   {"U64", 8},     {"U32", 4},
                {"U16", 2}, {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
    for (size_t i = 0; i < COUNT(rows); i++)
        if (text_is(dtype, rows[i].name)) return rows[i].bytes;
    return 0;
}

static bool tensor_is_sound(struct said *s, struct text name, const struct json *v)
{
    int64_t ends[2];
    int n;
    const struct json *dtype = json_get(v, "dtype");
    if (name.n < 1 || name.n > 512 || strlen(name.p) != name.n) return false;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i], next = (unsigned char)name.p[i + 1];
        if (c < 0x20 || c == 0x7F || (c == 0xC2 && next < 0xA0)) return false;
    }
    if (v->kind != JSON_OBJECT || v->n != 3 || !dtype || dtype->kind != JSON_TEXT ||
        !bytes_of(dtype->text))
        return false;
    if (!sizes(json_get(v, "shape"), s->dims, 8, &s->rank) ||
        !sizes(json_get(v, "data_offsets"), ends, 2, &n) || n != 2)
        return false;
    unsigned __int128 product = 1, limit = (unsigned __int128)1 << 48;
    bool empty = false;
    for (int i = 0; i < s->rank; i++) {
        if (s->dims[i]) product *= (unsigned __int128)s->dims[i];
        else empty = true;
        if (product > limit) return false;
    }
    unsigned __int128 bytes = (empty ? 0 : product) * (unsigned)bytes_of(dtype->text);
    *s = (struct said){.name = name.p,
                       .begin = ends[0],
                       .end = ends[1],
                       .rank = s->rank,
                       .dtype = dtype->text,
                       .dims = {s->dims[0], s->dims[1], s->dims[2], s->dims[3], s->dims[4],
                                s->dims[5], s->dims[6], s->dims[7]}};
    return ends[0] <= ends[1] && bytes <= limit && bytes == (unsigned __int128)(ends[1] - ends[0]);
}

/* Each byte of the data in one tensor, counted byte by byte. */
static bool covered(const struct said *list, int n, int64_t data, struct arena *a)
{
    unsigned char *times = arena_take(a, 1, (size_t)data + 1);
    for (int i = 0; i < n; i++) {
        if (list[i].end > data) return false;
        for (int64_t k = list[i].begin; k < list[i].end; k++)
            if (times[k]++) return false;
    }
    return !memchr(times, 0, (size_t)data);
}

static bool metadata_is_sound(const struct json *v)
{
    if (v->kind == JSON_NULL) return true;
    if (v->kind != JSON_OBJECT) return false;
    for (int i = 0; i < v->n; i++)
        if (v->items[i].kind != JSON_TEXT || strlen(v->items[i].text.p) != v->items[i].text.n)
            return false;
    return true;
}

/* *sure is false where the two readers may differ by design: "-0" is a number in JSON, an empty
 * tensor may lie anywhere. */
static bool is_sound(struct text file, struct said **list, int *n, bool *sure, struct arena *a)
{
    const struct json *root;
    struct err err;
    uint64_t length = 0;
    *n = 0;
    *sure = true;
    if (file.n < 8) return false;
    memcpy(&length, file.p, 8);
    if (length > 100000000 || length > file.n - 8) return false;
    struct text header = {file.p + 8, length};
    if (header.n && memmem(header.p, header.n, "-0", 2)) *sure = false;
    if (!json_parse(&root, header, "h", (struct json_limits){0}, a, &err)) return false;
    if (root->kind != JSON_OBJECT) return false;
    *list = NEW_N(a, struct said, root->n);
    int64_t data = (int64_t)(file.n - 8 - length);
    for (int i = 0; i < root->n; i++) {
        if (text_is(root->keys[i], "__metadata__")) {
            if (!metadata_is_sound(&root->items[i])) return false;
            continue;
        }
        struct said *s = &(*list)[(*n)++];
        if (!tensor_is_sound(s, root->keys[i], &root->items[i])) return false;
        if (s->begin == s->end) *sure = *sure && s->begin <= data;
    }
    for (int i = 0; i < *n;
         i++) /* an empty tensor inside another one is an overlap for one reader alone */
        for (int k = 0; k < *n; k++)
            if ((*list)[i].begin == (*list)[i].end && (*list)[k].begin < (*list)[i].begin &&
                (*list)[i].begin < (*list)[k].end)
                *sure = false;
    return covered(*list, *n, data, a);
}

static void says_the_same(const struct tensors *t, const struct said *list, int n, struct text file)
{
    uint64_t length;
    int64_t bytes = 0;
    memcpy(&length, file.p, 8);
    HOLDS(t->n == n);
    for (int i = 0; i < n; i++) {
        const struct tensor *x = tensors_find(t, list[i].name);
        struct err err;
        float f[1];
        HOLDS(x && strcmp(x->name, list[i].name) == 0 && x->rank == list[i].rank);
        HOLDS(text_is(list[i].dtype, tensor_type_name(x->type)) &&
              tensor_type_bytes(x->type) == bytes_of(list[i].dtype));
        HOLDS(memcmp(x->dims, list[i].dims, sizeof x->dims[0] * (size_t)x->rank) == 0);
        HOLDS(x->at == (int64_t)(8 + length) + list[i].begin &&
              x->bytes == list[i].end - list[i].begin);
        HOLDS(x->elements * tensor_type_bytes(x->type) == x->bytes &&
              x->at + x->bytes <= (int64_t)file.n);
        HOLDS(i == 0 || strcmp(t->list[i - 1].name, t->list[i].name) < 0);
        bytes += x->bytes;
        bool floats = x->type == T_F32 || x->type == T_F16 || x->type == T_BF16 || x->type == T_F64;
        if (x->elements)
            HOLDS(tensors_read_f32(t, x, 0, 1, f, &err) == floats &&
                  tensors_read_f32(t, x, x->elements - 1, 1, f, &err) == floats);
    }
    HOLDS(t->bytes == bytes);
    HOLDS(!tensors_find(t, "no such tensor"));
}

void fuzz(struct text in, struct arena *a)
{
    struct tensors t;
    struct err err = {{0}};
    struct said *list;
    int n;
    bool sure, ok = tensors_open(&t, fuzz_file("model.safetensors", in), a, &err);
    fuzz_oracle();
    if (!ok) {
        fuzz_sentence(err.text);
        HOLDS(a->used == 0);
    }
    if (in.n > 100000) { /* the second reader compares each with each */
        if (ok) tensors_close(&t);
        return;
    }
    struct arena own = arena_make(0);
    bool sound = is_sound(in, &list, &n, &sure, &own);
    if (sure && ok != sound) fprintf(stderr, "opened %d, sound %d: %s\n", ok, sound, err.text);
    HOLDS(ok == sound || !sure);
    if (ok) {
        if (sound) says_the_same(&t, list, n, in);
        tensors_close(&t);
    }
    arena_drop(&own);
}
