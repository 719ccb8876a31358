/* checkpoint.c - RUN/ckpt/000200: a whole model folder that cannot be half there.
 *
 *   model.safetensors, config.json   the model in its own dtype (full training, or merged beside an
 *                                    adapter)
 *   adapter_model.safetensors, ...   the adapter as PEFT reads it (LoRA)
 *   training.safetensors             F32 masters and moments of what is trained, by tensor name
 *   tokenizer files                  copied from the base, so the folder loads anywhere
 *   train.json                       the manifest (manifest.c), written last
 *
 * Order is the promise: everything is written into ckpt/.tmp-STEP-PID and synced, then the manifest
 * with its folder, then the folder is renamed and its parent synced. Only then is it called saved.
 */
#include "engine/run/checkpoint.h"
#include "engine/format/json.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- reading ---- */

static bool hash_is(int fd, int64_t size, struct text want, const char *path, struct err *err)
{
    enum { PIECE = 4 << 20 };
    char found[33];
    struct hash h;
    struct arena a = arena_make(0);
    bool ok = true;
    hash_start(&h, &a);
    char *p = arena_take(&a, 1, PIECE);
    for (int64_t at = 0; ok && at < size; at += PIECE) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        ok = file_read_at(fd, p, n, at, path, err);
        hash_add(&h, p, n);
    }
    ok = ok &&
         (text_equal(text_of(hash_text(&h, found)), want) ||
          fail(err, "%s is damaged: its bytes do not have the hash that %s lists", path, MANIFEST));
    arena_drop(&a);
    return ok;
}

static bool file_is_whole(const char *dir, const struct json *f, enum verify v, struct arena *a,
                          struct err *err)
{
    struct text name = {0}, want = {0};
    int64_t bytes = 0, size;
    int fd;
    if (!json_get_text(&name, f, "name", dir, err) || !json_get_text(&want, f, "xxh3", dir, err) ||
        !json_get_int(&bytes, f, "bytes", 0, INT64_MAX, dir, err))
        return false;
    if (name.n == 0 || memchr(name.p, '/', name.n))
        return fail(err, "%s lists no plain file name", dir);
    const char *path = path_join(a, dir, name.p);
    if (!file_open(&fd, &size, path, err)) return false;
    bool ok = size == bytes || fail(err, "%s has %lld bytes and %s lists %lld", path,
                                    (long long)size, MANIFEST, (long long)bytes);
    bool wanted = v == VERIFY_ALL || (v == VERIFY_MODEL && !text_is(name, "training.safetensors"));
    ok = ok && (!wanted || hash_is(fd, size, want, path, err));
    close(fd);
    return ok;
}

static bool folder_is_whole(struct manifest *m, const char *dir, enum verify v, struct arena *a,
                            struct err *err)
{
    if (!manifest_read(m, dir, a, err)) return false;
    for (int i = 0; i < m->files->n; i++)
        if (!file_is_whole(dir, &m->files->items[i], v, a, err)) return false;
    return true;
}

bool checkpoint_verify(const char *dir, enum verify v, struct arena *a, struct err *err)
{
    struct manifest m;
    return folder_is_whole(&m, dir, v, a, err);
}

/* An adapter's base is as much a part of it where it is a checkpoint of this run. */
static bool checkpoint_read(struct checkpoint *c, const char *run_dir, const char *name,
                            enum verify v, struct arena *a, struct err *err)
{
    struct manifest m;
    const char *path = arena_printf(a, "%s/ckpt/%s", run_dir, name);
    if (!folder_is_whole(&m, path, v, a, err)) return false;
    if (v != VERIFY_SIZES && m.base[0] && m.base[0] != '/' &&
        !checkpoint_verify(path_join(a, run_dir, m.base), VERIFY_MODEL, a, err))
        return fail_in(err, "the base of checkpoint %s", name);
    *c = (struct checkpoint){.name = name,
                             .path = path,
                             .step = m.progress.step,
                             .stage = m.progress.stage,
                             .stage_step = m.progress.stage_step,
                             .validation = m.progress.validation,
                             .learning_rate = m.progress.learning_rate,
                             .adapter = m.adapter,
                             .base = m.base[0] ? path_join(a, run_dir, m.base) : ""};
    return true;
}

static bool is_number(const char *name)
{
    return name[0] && strspn(name, "0123456789") == strlen(name);
}

static int64_t step_named(const char *name) { return strtoll(name, NULL, 10); }

static int newest_first(const void *x, const void *y)
{
    const struct checkpoint *a = x, *b = y;
    return a->step < b->step ? 1 : a->step > b->step ? -1 : strcmp(b->name, a->name);
}

bool checkpoint_list(struct checkpoint **out, int *n, const char *run_dir, bool verify,
                     struct arena *a, struct err *err)
{
    char **names;
    int all, cap = 0;
    const char *ckpt = run_path(a, run_dir, "ckpt");
    struct checkpoint *list = NULL;
    *n = 0;
    *out = NULL;
    if (!path_exists(ckpt)) return true;
    if (!dir_list(&names, &all, ckpt, a, err)) return false;
    for (int i = 0; i < all; i++) {
        struct checkpoint c;
        struct err why;
        enum verify v = verify ? VERIFY_ALL : VERIFY_SIZES;
        if (!is_number(names[i]) || !checkpoint_read(&c, run_dir, names[i], v, a, &why)) continue;
        ROOM(a, list, *n, cap);
        list[(*n)++] = c;
    }
    if (*n) qsort(list, (size_t)*n, sizeof *list, newest_first);
    *out = list;
    return true;
}

bool checkpoint_newest(struct checkpoint *out, const char *run_dir, enum verify v, struct arena *a,
                       struct err *damage)
{
    char **names;
    int n = 0, best;
    const char *ckpt = run_path(a, run_dir, "ckpt");
    damage->text[0] = 0;
    struct err why = {.text = ""};
    if (!path_exists(ckpt) || !dir_list(&names, &n, ckpt, a, damage)) return false;
    for (;;) {
        best = -1;
        for (int i = 0; i < n; i++)
            if (is_number(names[i]) && (best < 0 || step_named(names[i]) > step_named(names[best])))
                best = i;
        if (best < 0) return false;
        if (checkpoint_read(out, run_dir, names[best], v, a, &why)) return true;
        if (!damage->text[0]) *damage = why;
        names[best] = "";
    }
}

/* ---- saving ---- */

static bool write_all(const struct checkpoint_job *job, struct model *m, const char *dir,
                      struct saved *saved, struct arena *a, struct err *err)
{
    bool whole = !job->adapter || job->merge;
    if (whole && !model_save(m, dir, job->merge ? T_F32 : job->type, job->merge, saved, err))
        return false;
    if (job->adapter && !model_save_adapter(m, dir, job->base, saved, err)) return false;
    return model_copy_files(job->model_dir, dir, saved, a, err) &&
           model_save_training(m, dir, saved, err);
}

/* What is under the final name already: a whole checkpoint stays and the new one is dropped; a
 * broken one (an older program, a damaged disk) is moved aside, since rename cannot replace a
 * folder with files. */
static bool make_way(const char *final, const char *run_dir, bool *there, struct arena *a,
                     struct err *err)
{
    struct checkpoint same;
    struct err broken;
    *there = false;
    if (!path_exists(final)) return true;
    *there = checkpoint_read(&same, run_dir, path_base(final), VERIFY_ALL, a, &broken);
    if (*there) return true;
    const char *aside =
        arena_printf(a, "%s/ckpt/.bad-%s-%d", run_dir, path_base(final), (int)getpid());
    return rename(final, aside) == 0 || fail_errno(err, "cannot move the damaged %s aside", final);
}

static void drop_leftovers(const char *ckpt, struct arena *a)
{
    char **names;
    int n;
    struct err ignored;
    if (!dir_list(&names, &n, ckpt, a, &ignored)) return;
    for (int i = 0; i < n; i++)
        if (strncmp(names[i], ".tmp-", 5) == 0 || strncmp(names[i], ".del-", 5) == 0)
            if (!dir_remove(path_join(a, ckpt, names[i]), &ignored))
                say(LOG_WARN, "%s", ignored.text);
}

/* The folder itself is on the disk since its manifest was put there. */
static bool publish(const char *beside, const char *final, const char *ckpt, const char *run_dir,
                    struct arena *a, struct err *err)
{
    bool there;
    if (!make_way(final, run_dir, &there, a, err)) return false;
    if (there) return dir_remove(beside, err);
    if (rename(beside, final) != 0) return fail_errno(err, "cannot rename %s to %s", beside, final);
    return dir_sync(ckpt, err);
}

bool checkpoint_save(const struct checkpoint_job *job, struct model *m, int64_t *bytes,
                     struct arena *a, struct err *err)
{
    const char *ckpt = run_path(a, job->run_dir, "ckpt");
    const char *final = arena_printf(a, "%s/%06lld", ckpt, (long long)job->progress.step);
    const char *beside =
        arena_printf(a, "%s/.tmp-%06lld-%d", ckpt, (long long)job->progress.step, (int)getpid());
    struct saved *saved = NEW(a, struct saved);
    drop_leftovers(ckpt, a);
    bool ok = dir_make(beside, err) && write_all(job, m, beside, saved, a, err) &&
              manifest_write(job, saved, beside, a, err) &&
              publish(beside, final, ckpt, job->run_dir, a, err);
    *bytes = 0;
    for (int i = 0; i < saved->n; i++) *bytes += saved->files[i].bytes;
    struct err ignored;
    if (!ok && path_exists(beside) && !dir_remove(beside, &ignored))
        say(LOG_WARN, "%s", ignored.text);
    return ok;
}

/* ---- dropping ---- */

/* The new name must be on the disk before the files go, or a power cut could leave the old name on
 * a folder that is half empty. */
static bool drop(const struct checkpoint *c, const char *run_dir, struct arena *a, struct err *err)
{
    const char *ckpt = run_path(a, run_dir, "ckpt");
    const char *aside = arena_printf(a, "%s/.del-%s", ckpt, c->name);
    if (rename(c->path, aside) != 0)
        return fail_errno(err, "cannot drop the old checkpoint %s", c->path);
    return dir_sync(ckpt, err) && dir_remove(aside, err);
}

static int best_of(const struct checkpoint *list, int n)
{
    int best = -1;
    for (int i = 0; i < n; i++)
        if (isfinite(list[i].validation) &&
            (best < 0 || list[i].validation < list[best].validation))
            best = i;
    return best;
}

bool checkpoint_rotate(const char *run_dir, int64_t newest, int limit, bool keep_best,
                       const char *needed, struct arena *a, struct err *err)
{
    struct checkpoint *list;
    int n;
    if (limit <= 0) return true;
    if (!checkpoint_list(&list, &n, run_dir, false, a, err)) return false;
    while (n > 0 && list[0].step > newest) list++, n--;
    int best = keep_best ? best_of(list, n) : -1;
    for (int i = limit; i < n; i++) {
        bool wanted = i == best || (needed && strcmp(needed, list[i].path) == 0);
        if (!wanted && !drop(&list[i], run_dir, a, err)) return false;
    }
    return true;
}
