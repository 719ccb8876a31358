/* forget.c - makes a cold start of a checkpoint: `forget CKPT` zeroes the optimizer's moments in its training.safetensors
 * and signs it anew, so that everything but the optimizer's state is as it was. */
#include "engine/format/safetensors.h"
#include "engine/run/checkpoint.h"
#include <stdio.h>
#include <string.h>

static bool zero_moments(char *bytes, const char *path, struct arena *a, struct err *err)
{
    struct tensors t;
    int zeroed = 0;
    if (!tensors_open(&t, path, a, err)) return false;
    for (int i = 0; i < t.n; i++) {
        size_t n = strlen(t.list[i].name);
        if (n < 2 || (strcmp(t.list[i].name + n - 2, ".m") != 0 && strcmp(t.list[i].name + n - 2, ".v") != 0)) continue;
        memset(bytes + t.list[i].at, 0, (size_t)t.list[i].bytes);
        zeroed++;
    }
    tensors_close(&t);
    return zeroed > 0 || fail(err, "%s has no moments", path);
}

static bool forget(const char *dir, struct arena *a, struct err *err)
{
    struct manifest m;
    struct text file;
    struct saved *saved = NEW(a, struct saved);
    const char *path = path_join(a, dir, "training.safetensors");
    if (!manifest_read(&m, dir, a, err) || !file_read(&file, path, 1 << 28, a, err) ||
        !zero_moments((char *)(uintptr_t)file.p, path, a, err) || !file_replace(path, file, err))
        return false;
    for (int i = 0; i < m.files->n; i++) {
        struct saved_file *f = &saved->files[saved->n++];
        struct hash h;
        snprintf(f->name, sizeof f->name, "%s", json_get(&m.files->items[i], "name")->text.p);
        if (!file_read(&file, path_join(a, dir, f->name), 1 << 28, a, err)) return false;
        f->bytes = (int64_t)file.n;
        hash_start(&h, a);
        hash_add(&h, file.p, file.n);
        hash_text(&h, f->hash);
    }
    struct checkpoint_job job = {.run_dir = "", .base = m.base, .adapter = m.adapter, .progress = m.progress, .maker = m.maker};
    return manifest_write(&job, saved, dir, a, err);
}

int main(int argc, char **argv)
{
    struct arena a = arena_make(0);
    struct err err;
    bool ok = argc == 2 && forget(argv[1], &a, &err);
    if (!ok) fprintf(stderr, "%s\n", argc == 2 ? err.text : "usage: forget CKPT");
    arena_drop(&a);
    return !ok;
}
