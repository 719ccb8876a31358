/* safetensors_read.c - a model's files opened as one set of tensors, and their elements read.
 *
 * Files stay open and are read by pread, never mapped: a file that shrinks under us is an error in a
 * sentence and not a SIGBUS. Symbolic links are followed (the hub cache is made of them); a shard's
 * name is a plain file name, so an index cannot point out of its folder. */
#include "engine/format/safetensors_file.h"
#include "engine/format/json.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHARDS_MOST = 4096, SHARD_SLOTS = 2 * SHARDS_MOST, PIECE = 64 * 1024 };

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static bool is_pickle(const char *name)
{
    static const char *const ends[] = {".bin", ".pt", ".pth", ".ckpt", ".pkl"};
    for (size_t i = 0; i < COUNT(ends); i++)
        if (ends_with(name, ends[i])) return true;
    return false;
}

static const char *safe(struct arena *a, struct text t)
{
    struct buf b = buf_make(a);
    text_safe(&b, t, false);
    return b.p;
}

static bool read_length(int fd, int64_t size, const char *path, int64_t *length, struct err *err)
{
    unsigned char head[8];
    uint64_t n = 0;
    if (size < 8)
        return fail(err, "%s has %lld bytes; a safetensors file has at least 8: it is cut short", path, (long long)size);
    if (!file_read_at(fd, head, 8, 0, path, err)) return false;
    for (int i = 7; i >= 0; i--) n = n << 8 | head[i];
    if (memcmp(head, "version ", 8) == 0)
        return fail(err, "%s is a Git LFS pointer, not the weights; fetch them with `git lfs pull`", path);
    if (n > HEADER_MOST)
        return fail(err, "%s: the header's length is %llu; at most %d is read: no safetensors file, or damaged",
                    path, (unsigned long long)n, HEADER_MOST);
    if ((int64_t)n > size - 8)
        return fail(err, "%s: the header's length is %lld but %lld bytes follow: it is cut short", path,
                    (long long)n, (long long)size - 8);
    *length = (int64_t)n;
    return true;
}

/* Opens one file and appends its tensors; `room` is how many t->list can still take. */
static bool add_file(struct tensors *t, const char *path, int *room, struct arena *a, struct err *err)
{
    int64_t size, length = 0;
    struct header h;
    struct arena own = arena_make(0), *lists = *room < 0 ? a : &own; /* one file: its list is the list */
    int file = t->n_paths;
    if (!file_open(&t->fds[file], &size, path, err)) return false;
    t->paths[t->n_paths++] = arena_string(a, path, strlen(path));
    if (!read_length(t->fds[file], size, path, &length, err)) return false;
    char *p = arena_take(a, 1, (size_t)length + 1);
    bool ok = file_read_at(t->fds[file], p, (size_t)length, 8, path, err) &&
              header_parse(&h, p, (size_t)length, size - 8 - length, path, a, lists, err);
    if (ok && *room < 0) {
        t->list = h.list;
        *room = h.n;
    }
    if (ok && h.n > *room) ok = fail(err, "%s holds tensors that the index does not name", path);
    for (int i = 0; ok && i < h.n; i++) {
        struct tensor *x = &t->list[t->n++];
        if (x != &h.list[i]) *x = h.list[i];
        x->file = file;
        x->at += 8 + length;
        t->bytes += x->bytes;
        --*room;
    }
    if (ok && file == 0) {
        t->metadata = h.metadata;
        t->n_metadata = h.n_metadata;
    }
    arena_drop(&own);
    return ok;
}

static void take_files(struct tensors *t, int n, struct arena *a)
{
    t->paths = NEW_N(a, char *, n);
    t->fds = NEW_N(a, int, n);
    for (int i = 0; i < n; i++) t->fds[i] = -1;
}

static bool open_one(struct tensors *t, const char *path, struct arena *a, struct err *err)
{
    int room = -1;
    take_files(t, 1, a);
    return add_file(t, path, &room, a, err);
}

static bool check_shard_name(struct text name, const char *index, struct arena *a, struct err *err)
{
    bool plain = name.n >= 1 && name.n <= 255 && name.p[0] != '.' && !memchr(name.p, '/', name.n) &&
                 !memchr(name.p, '\\', name.n) && strlen(name.p) == name.n && ends_with(name.p, ".safetensors");
    for (size_t i = 0; plain && i < name.n; i++) plain = (unsigned char)name.p[i] >= 0x20 && name.p[i] != 0x7F;
    return plain || fail(err, "%s names the file \"%s\"; a shard is a plain file name that ends in .safetensors",
                         index, safe(a, name));
}

/* The different shards of the weight map, sorted; 4,096 at most, found by hash. */
static bool list_shards(struct text **shards, int *n, const struct json *map, const char *index,
                        struct arena *a, struct err *err)
{
    int16_t *slots = NEW_N(a, int16_t, SHARD_SLOTS);
    struct text *list = NEW_N(a, struct text, SHARDS_MOST);
    *n = 0;
    for (int i = 0; i < map->n; i++) {
        if (map->items[i].kind != JSON_TEXT) return fail(err, "%s: a tensor's file is not a text", index);
        struct text name = map->items[i].text;
        size_t at = hash64(name.p, name.n, 0) & (SHARD_SLOTS - 1);
        while (slots[at] && !text_equal(list[slots[at] - 1], name)) at = (at + 1) & (SHARD_SLOTS - 1);
        if (slots[at]) continue;
        if (*n == SHARDS_MOST) return fail(err, "%s names over %d files", index, SHARDS_MOST);
        if (!check_shard_name(name, index, a, err)) return false;
        list[(*n)++] = name;
        slots[at] = (int16_t)*n;
    }
    *shards = list;
    return true;
}

static int text_order(const void *a, const void *b)
{
    return strcmp(((const struct text *)a)->p, ((const struct text *)b)->p); /* JSON texts are terminated */
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tensor *)a)->name, ((const struct tensor *)b)->name);
}

/* Every name is in the file that the index says, and the index names nothing else. */
static bool check_index(const struct tensors *t, const struct json *map, const char *index,
                        struct arena *a, struct err *err)
{
    for (int i = 0; i < t->n; i++) {
        const struct json *file = json_get(map, t->list[i].name);
        const char *name = t->list[i].name, *is = path_base(t->paths[t->list[i].file]);
        if (i > 0 && strcmp(name, t->list[i - 1].name) == 0)
            return fail(err, "tensor %s is in two files of %s", safe(a, text_of(name)), index);
        if (!file)
            return fail(err, "%s does not name tensor %s, which is in %s", index, safe(a, text_of(name)),
                        safe(a, text_of(is)));
        if (!text_is(file->text, is))
            return fail(err, "%s says that tensor %s is in %s, but it is in %s", index, safe(a, text_of(name)),
                        safe(a, file->text), safe(a, text_of(is)));
    }
    for (int i = 0; i < map->n && t->n != map->n; i++)
        if (strlen(map->keys[i].p) != map->keys[i].n || !tensors_find(t, map->keys[i].p))
            return fail(err, "%s names tensor %s in %s, but it is not there; the file is cut short or of another model",
                        index, safe(a, map->keys[i]), safe(a, map->items[i].text));
    return true;
}

static bool open_sharded(struct tensors *t, const char *dir, const char *index, struct arena *a,
                         struct arena *scratch, struct err *err)
{
    const struct json *top, *map;
    struct text *shards = NULL;
    int n;
    struct json_limits limits = {.bytes = 64 << 20, .depth = 8, .nodes = 2 * TENSORS_PER_MODEL + 10000};
    if (!json_read(&top, index, limits, scratch, err)) return false;
    map = json_get(top, "weight_map");
    if (!map || map->kind != JSON_OBJECT || map->n == 0)
        return fail(err, "%s has no \"weight_map\" object that names tensors and their files", index);
    if (map->n > TENSORS_PER_MODEL)
        return fail(err, "%s names %d tensors; at most %d are read", index, map->n, TENSORS_PER_MODEL);
    if (!list_shards(&shards, &n, map, index, scratch, err)) return false;
    qsort(shards, (size_t)n, sizeof *shards, text_order);
    take_files(t, n, a);
    t->list = NEW_N(a, struct tensor, map->n);
    int room = map->n;
    for (int i = 0; i < n; i++)
        if (!add_file(t, path_join(scratch, dir, shards[i].p), &room, a, err)) return false;
    if (t->n) qsort(t->list, (size_t)t->n, sizeof *t->list, by_name);
    return check_index(t, map, index, scratch, err);
}

/* Why a folder has nothing to open: what stands there instead, and what to do. */
static bool fail_folder(const char *dir, struct arena *scratch, struct err *err)
{
    char **names;
    int n;
    if (!dir_list(&names, &n, dir, scratch, err)) return false;
    for (int i = 0; i < n; i++) {
        const char *name = safe(scratch, text_of(names[i]));
        if (ends_with(names[i], ".gguf"))
            return fail(err, "%s holds a GGUF file (%s); turn it into a folder with `hone import %s/%s DIR`", dir,
                        name, dir, name);
        if (is_pickle(names[i]) && strcmp(names[i], "training_args.bin") != 0)
            return fail(err, "%s holds its weights as a pickle (%s), which could run code and is never opened; "
                        "save the model with safetensors (safe_serialization=True)", dir, name);
    }
    return fail(err, "%s holds no model.safetensors, model.safetensors.index.json or adapter_model.safetensors", dir);
}

static bool open_folder(struct tensors *t, const char *dir, struct arena *a, struct arena *scratch, struct err *err)
{
    const char *single = path_join(scratch, dir, "model.safetensors");
    const char *index = path_join(scratch, dir, "model.safetensors.index.json");
    const char *adapter = path_join(scratch, dir, "adapter_model.safetensors");
    if (path_exists(single)) return open_one(t, single, a, err);
    if (path_exists(index)) return open_sharded(t, dir, index, a, scratch, err);
    if (path_exists(adapter)) return open_one(t, adapter, a, err);
    return fail_folder(dir, scratch, err);
}

bool tensors_open(struct tensors *t, const char *path, struct arena *a, struct err *err)
{
    struct arena_mark m = arena_mark(a);
    struct arena scratch = arena_make(0);
    bool ok;
    *t = (struct tensors){0};
    if (path_is_dir(path)) ok = open_folder(t, path, a, &scratch, err);
    else if (is_pickle(path))
        ok = fail(err, "%s is a pickle, which could run code and is never opened; save the model with safetensors "
                  "(safe_serialization=True)", path);
    else ok = open_one(t, path, a, err);
    arena_drop(&scratch);
    if (ok) return true;
    tensors_close(t);
    arena_back(a, m);
    return false;
}

void tensors_close(struct tensors *t)
{
    for (int i = 0; i < t->n_paths; i++)
        if (t->fds[i] >= 0) close(t->fds[i]);
    *t = (struct tensors){0};
}

const struct tensor *tensors_find(const struct tensors *t, const char *name)
{
    struct tensor key = {.name = name};
    return t->n ? bsearch(&key, t->list, (size_t)t->n, sizeof key, by_name) : NULL;
}

static bool check_read(const struct tensors *t, const struct tensor *x, int64_t first, int64_t n, struct err *err)
{
    BUG_IF(first < 0 || n < 0 || first > x->elements - n);
    return tensor_type_is_float(x->type) ||
           fail(err, "%s: tensor %s is %s; weights are read from F32, F16, BF16 and F64", t->paths[x->file],
                x->name, tensor_type_name(x->type));
}

static bool read_raw(const struct tensors *t, const struct tensor *x, int64_t first, int64_t n, void *out,
                     struct err *err)
{
    int64_t size = tensor_type_bytes(x->type);
    return file_read_at(t->fds[x->file], out, (size_t)(n * size), x->at + first * size, t->paths[x->file], err);
}

bool tensors_read_raw(const struct tensors *t, const struct tensor *x, int64_t at, int64_t bytes, void *out,
                      struct err *err)
{
    BUG_IF(at < 0 || bytes < 0 || at > x->bytes - bytes);
    return file_read_at(t->fds[x->file], out, (size_t)bytes, x->at + at, t->paths[x->file], err);
}

bool tensors_read_f32(const struct tensors *t, const struct tensor *x, int64_t first, int64_t n, float *out,
                      struct err *err)
{
    _Alignas(64) char piece[PIECE];
    int64_t most = PIECE / tensor_type_bytes(x->type);
    if (!check_read(t, x, first, n, err)) return false;
    if (x->type == T_F32) return read_raw(t, x, first, n, out, err);
    for (int64_t i = 0; i < n; i += most) {
        int64_t part = n - i < most ? n - i : most;
        if (!read_raw(t, x, first + i, part, piece, err)) return false;
        floats_widen(out + i, piece, part, x->type);
    }
    return true;
}
