/* checkpoint.c - RUN/ckpt/000200: a whole model folder that cannot be half there.
 *
 *   model.safetensors, config.json     the model in its own dtype (full training, or merged beside
 * an adapter) adapter_model.safetensors, ...     the adapter as PEFT reads it (LoRA)
 *   training.safetensors               F32 masters and moments of what is trained, by tensor name
 *   tokenizer files                    copied from the base, so the folder loads anywhere
 *   train.json                         the manifest, written last: progress, and size and XXH3-128
 * of every file
 *
 * Order is the promise: everything is written into ckpt/.tmp-STEP-PID and synced, then the
 * manifest, then the folder is synced and renamed, then its parent is synced. Only then is it
 * called saved. */
#include "engine/run/checkpoint.h"
#include "engine/format/json.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put_int(struct buf *b, const char *key, int64_t v)
{
    json_put_key(b, key);
    json_put_int(b, v);
}
static void put_num(struct buf *b, const char *key, double v)
{
    json_put_key(b, key);
    json_put_num(b, v);
}
static void put_str(struct buf *b, const char *key, const char *v)
{
    json_put_key(b, key);
    json_put_text(b, text_of(v ? v : ""));
}

/* Relative to the run folder where it lies inside, so that a run can be moved. */
static const char *within(const char *run_dir, const char *path)
{
    size_t n = strlen(run_dir);
    return path && strncmp(path, run_dir, n) == 0 && path[n] == '/' ? path + n + 1 : path;
}

static bool manifest_write(const struct checkpoint_job *job, const struct saved *saved,
                           const char *dir, struct arena *a, struct err *err)
{
    struct buf b = buf_make(a);
    const struct progress *p = &job->progress;
    buf_put(&b, "{", 1);
    put_int(&b, "v", 1);
    put_int(&b, "step", p->step);
    put_int(&b, "stage", p->stage);
    put_str(&b, "stage_name", job->stage_name);
    put_int(&b, "stage_step", p->stage_step);
    put_num(&b, "validation", p->validation);
    put_num(&b, "best", p->best);
    put_num(&b, "learning_rate", p->learning_rate);
    put_num(&b, "spike_mean", p->spike_mean);
    put_num(&b, "spike_var", p->spike_var);
    put_int(&b, "spike_n", p->spike_n);
    put_int(&b, "skipped_in_row", p->skipped_in_row);
    put_int(&b, "seed", job->seed);
    put_int(&b, "adapter", job->adapter);
    put_int(&b, "is_best", job->is_best);
    put_str(&b, "base", within(job->run_dir, job->base));
    put_str(&b, "backend", job->device.backend);
    put_str(&b, "isa", job->device.isa);
    put_str(&b, "library", job->device.library);
    put_str(&b, "dtype", job->dtype);
    put_str(&b, "hone", HONE_VERSION);
    put_num(&b, "t", now_unix());
    json_put_key(&b, "files");
    for (int i = 0; i < saved->n; i++) {
        buf_put(&b, i ? "," : "[", 1);
        buf_put(&b, "{", 1);
        put_str(&b, "name", saved->files[i].name);
        put_int(&b, "bytes", saved->files[i].bytes);
        put_str(&b, "xxh3", saved->files[i].hash);
        buf_put(&b, "}", 1);
    }
    buf_printf(&b, "%s]}\n", saved->n ? "" : "[");
    return file_replace(run_path(a, dir, "train.json"), buf_text(&b), err);
}

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
    struct checkpoint *list;
    int n;
    *there = false;
    if (!path_exists(final)) return true;
    if (!checkpoint_list(&list, &n, run_dir, true, a, err)) return false;
    for (int i = 0; i < n; i++)
        if (strcmp(list[i].path, final) == 0) *there = true;
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

static bool publish(const char *beside, const char *final, const char *ckpt, const char *run_dir,
                    struct arena *a, struct err *err)
{
    bool there;
    if (!dir_sync(beside, err) || !make_way(final, run_dir, &there, a, err)) return false;
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

/* ---- reading ---- */

static bool file_is_whole(const char *dir, const struct json *f, bool verify, struct arena *a)
{
    struct err why;
    struct text name = {0}, want = {0}, t;
    int64_t bytes = 0, size;
    int fd;
    if (!json_get_text(&name, f, "name", dir, &why) ||
        !json_get_text(&want, f, "xxh3", dir, &why) ||
        !json_get_int(&bytes, f, "bytes", 0, INT64_MAX, dir, &why) || memchr(name.p, '/', name.n))
        return false;
    const char *path = path_join(a, dir, name.p);
    if (!file_open(&fd, &size, path, &why)) return false;
    bool ok = size == bytes;
    if (ok && verify) {
        char found[33];
        struct hash h;
        struct arena piece = arena_make(0);
        enum { PIECE = 4 << 20 };
        hash_start(&h, &piece);
        char *p = arena_take(&piece, 1, PIECE);
        for (int64_t at = 0; ok && at < size; at += PIECE) {
            size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
            ok = file_read_at(fd, p, n, at, path, &why);
            hash_add(&h, p, n);
        }
        t = text_of(hash_text(&h, found));
        ok = ok && text_equal(t, want);
        arena_drop(&piece);
    }
    close(fd);
    return ok;
}

static bool checkpoint_read(struct checkpoint *c, const char *run_dir, const char *name,
                            bool verify, struct arena *a)
{
    struct err why;
    const struct json *o, *files;
    int64_t adapter = 0;
    struct text base = {0};
    *c = (struct checkpoint){
        .name = name, .path = arena_printf(a, "%s/ckpt/%s", run_dir, name), .validation = NAN};
    const char *path = run_path(a, c->path, "train.json");
    if (!json_read(&o, path, (struct json_limits){.bytes = 1 << 20, .depth = 8}, a, &why) ||
        !json_get_int(&c->step, o, "step", 0, INT64_MAX, path, &why) ||
        !json_get_int(&c->stage, o, "stage", 0, 1000, path, &why) ||
        !json_get_int(&c->stage_step, o, "stage_step", 0, INT64_MAX, path, &why) ||
        !json_get_int(&adapter, o, "adapter", 0, 1, path, &why) ||
        !json_get_num(&c->validation, o, "validation", -HUGE_VAL, HUGE_VAL, path, &why) ||
        !json_get_num(&c->learning_rate, o, "learning_rate", 0, HUGE_VAL, path, &why) ||
        !json_get_text(&base, o, "base", path, &why))
        return false;
    files = json_get(o, "files");
    if (!files || files->kind != JSON_ARRAY || files->n == 0) return false;
    for (int i = 0; i < files->n; i++)
        if (!file_is_whole(c->path, &files->items[i], verify, a)) return false;
    c->adapter = adapter;
    c->base = base.n ? path_join(a, run_dir, arena_string(a, base.p, base.n)) : "";
    return true;
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
    for (int i = all - 1; i >= 0; i--) {
        struct checkpoint c;
        if (names[i][0] == '.' || strspn(names[i], "0123456789") != strlen(names[i])) continue;
        if (!checkpoint_read(&c, run_dir, names[i], verify, a)) continue;
        ROOM(a, list, *n, cap);
        list[(*n)++] = c;
    }
    *out = list;
    return true;
}

bool checkpoint_progress(struct progress *out, const struct checkpoint *c, struct arena *a,
                         struct err *err)
{
    const char *path = run_path(a, c->path, "train.json");
    const struct json *o;
    *out = (struct progress){.step = c->step,
                             .stage = c->stage,
                             .stage_step = c->stage_step,
                             .best = NAN,
                             .validation = c->validation,
                             .learning_rate = c->learning_rate};
    return json_read(&o, path, (struct json_limits){.bytes = 1 << 20, .depth = 8}, a, err) &&
           json_get_num(&out->best, o, "best", -HUGE_VAL, HUGE_VAL, path, err) &&
           json_get_num(&out->spike_mean, o, "spike_mean", -HUGE_VAL, HUGE_VAL, path, err) &&
           json_get_num(&out->spike_var, o, "spike_var", 0, HUGE_VAL, path, err) &&
           json_get_int(&out->spike_n, o, "spike_n", 0, INT64_MAX, path, err) &&
           json_get_int(&out->skipped_in_row, o, "skipped_in_row", 0, INT64_MAX, path, err);
}

/* ---- dropping ---- */

static bool drop(const struct checkpoint *c, const char *run_dir, struct arena *a, struct err *err)
{
    const char *aside = arena_printf(a, "%s/ckpt/.del-%s", run_dir, c->name);
    if (rename(c->path, aside) != 0)
        return fail_errno(err, "cannot drop the old checkpoint %s", c->path);
    return dir_remove(aside, err);
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

bool checkpoint_rotate(const char *run_dir, int limit, bool keep_best, const char *needed,
                       struct arena *a, struct err *err)
{
    struct checkpoint *list;
    int n;
    if (limit <= 0) return true;
    if (!checkpoint_list(&list, &n, run_dir, false, a, err)) return false;
    int best = keep_best ? best_of(list, n) : -1;
    for (int i = limit; i < n; i++) {
        bool wanted = i == best || (needed && strcmp(needed, list[i].path) == 0);
        if (!wanted && !drop(&list[i], run_dir, a, err)) return false;
    }
    return true;
}
