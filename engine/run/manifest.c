/* manifest.c - train.json, what a checkpoint says of itself: progress, what made it, and size and
 * XXH3-128 of every file.
 *
 * Its last field is the XXH3-128 of all bytes before, so that a flipped bit in the manifest itself
 * is found as one in the weights is. */
#include "engine/run/checkpoint.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECK_KEY ",\"check\":\""
enum { CHECK_BYTES = sizeof CHECK_KEY - 1 + 32 + sizeof "\"}\n" - 1 };

static void put_str(struct buf *b, const char *key, const char *v)
{
    json_field_text(b, key, text_of(v ? v : ""));
}

/* Relative to the run folder where it lies inside, so that a run can be moved. */
static const char *within(const char *run_dir, const char *path)
{
    size_t n = strlen(run_dir);
    return path && strncmp(path, run_dir, n) == 0 && path[n] == '/' ? path + n + 1 : path;
}

static void put_progress(struct buf *b, const struct progress *p)
{
    json_field_int(b, "step", p->step);
    json_field_int(b, "stage", p->stage);
    json_field_int(b, "stage_step", p->stage_step);
    json_field_num(b, "validation", p->validation);
    json_field_num(b, "best", p->best);
    json_field_num(b, "learning_rate", p->learning_rate);
    json_field_num(b, "spike_mean", p->spike_mean);
    json_field_num(b, "spike_var", p->spike_var);
    json_field_int(b, "spike_n", p->spike_n);
    json_field_int(b, "skipped_in_row", p->skipped_in_row);
}

static void put_maker(struct buf *b, const struct maker *m)
{
    json_put_key(b, "maker");
    buf_put(b, "{", 1);
    for (int i = 0; i < MAKER_FACTS; i++) put_str(b, maker_facts[i].key, m->fact[i]);
    json_field_int(b, "threads", m->threads);
    buf_put(b, "}", 1);
}

static void check_of(char out[33], const char *p, size_t n)
{
    struct arena a = arena_make(0);
    struct hash h;
    hash_start(&h, &a);
    hash_add(&h, p, n);
    hash_text(&h, out);
    arena_drop(&a);
}

bool manifest_write(const struct checkpoint_job *job, const struct saved *saved, const char *dir,
                    struct arena *a, struct err *err)
{
    char check[33];
    struct buf b = buf_make(a);
    buf_put(&b, "{", 1);
    json_field_int(&b, "v", 1);
    put_str(&b, "stage_name", job->stage_name);
    put_progress(&b, &job->progress);
    json_field_int(&b, "seed", job->seed);
    json_field_int(&b, "adapter", job->adapter);
    json_field_int(&b, "is_best", job->is_best);
    put_str(&b, "base", within(job->run_dir, job->base));
    put_maker(&b, &job->maker);
    json_field_num(&b, "t", now_unix());
    json_put_key(&b, "files");
    for (int i = 0; i < saved->n; i++) {
        buf_put(&b, i ? "," : "[", 1);
        buf_put(&b, "{", 1);
        put_str(&b, "name", saved->files[i].name);
        json_field_int(&b, "bytes", saved->files[i].bytes);
        put_str(&b, "xxh3", saved->files[i].hash);
        buf_put(&b, "}", 1);
    }
    buf_printf(&b, "%s]", saved->n ? "" : "[");
    check_of(check, b.p, b.n);
    buf_printf(&b, CHECK_KEY "%s\"}\n", check);
    return file_replace(run_path(a, dir, MANIFEST), buf_text(&b), err);
}

/* ---- reading ---- */

static bool check_is_right(struct text t, const char *path, struct err *err)
{
    char check[33];
    if (t.n < CHECK_BYTES || memcmp(t.p + t.n - CHECK_BYTES, CHECK_KEY, sizeof CHECK_KEY - 1) != 0)
        return fail(err, "%s is cut short: its check is not at its end", path);
    check_of(check, t.p, t.n - CHECK_BYTES);
    return memcmp(check, t.p + t.n - CHECK_BYTES + sizeof CHECK_KEY - 1, 32) == 0 ||
           fail(err, "%s is damaged: its bytes do not have the hash that it ends with", path);
}

static bool get_progress(struct progress *p, const struct json *o, const char *path,
                         struct err *err)
{
    return json_get_int(&p->step, o, "step", 0, INT64_MAX, path, err) &&
           json_get_int(&p->stage, o, "stage", 0, 1000, path, err) &&
           json_get_int(&p->stage_step, o, "stage_step", 0, INT64_MAX, path, err) &&
           json_get_num(&p->validation, o, "validation", -HUGE_VAL, HUGE_VAL, path, err) &&
           json_get_num(&p->best, o, "best", -HUGE_VAL, HUGE_VAL, path, err) &&
           json_get_num(&p->learning_rate, o, "learning_rate", 0, HUGE_VAL, path, err) &&
           json_get_num(&p->spike_mean, o, "spike_mean", -HUGE_VAL, HUGE_VAL, path, err) &&
           json_get_num(&p->spike_var, o, "spike_var", 0, HUGE_VAL, path, err) &&
           json_get_int(&p->spike_n, o, "spike_n", 0, INT64_MAX, path, err) &&
           json_get_int(&p->skipped_in_row, o, "skipped_in_row", 0, INT64_MAX, path, err);
}

static bool get_maker(struct maker *m, const struct json *o, const char *path, struct arena *a,
                      struct err *err)
{
    int64_t threads = 0;
    for (int i = 0; i < MAKER_FACTS; i++) {
        struct text t = {0};
        if (!json_get_text(&t, o, maker_facts[i].key, path, err)) return false;
        m->fact[i] = arena_string(a, t.p ? t.p : "", t.n);
    }
    if (!json_get_int(&threads, o, "threads", 0, 1 << 20, path, err)) return false;
    m->threads = (int)threads;
    return true;
}

bool manifest_read(struct manifest *out, const char *dir, struct arena *a, struct err *err)
{
    const char *path = run_path(a, dir, MANIFEST);
    struct text source, base = {0};
    const struct json *o;
    int64_t adapter = 0;
    *out = (struct manifest){.progress = {.validation = NAN, .best = NAN}};
    if (!file_read(&source, path, 1 << 20, a, err) || !check_is_right(source, path, err) ||
        !json_parse(&o, source, path, (struct json_limits){.bytes = 1 << 20, .depth = 8}, a, err) ||
        !get_progress(&out->progress, o, path, err) ||
        !get_maker(&out->maker, json_get(o, "maker"), path, a, err) ||
        !json_get_int(&adapter, o, "adapter", 0, 1, path, err) ||
        !json_get_text(&base, o, "base", path, err))
        return false;
    out->adapter = adapter;
    out->base = arena_string(a, base.p ? base.p : "", base.n);
    out->files = json_get(o, "files");
    return (out->files && out->files->kind == JSON_ARRAY && out->files->n > 0) ||
           fail(err, "%s lists no files", path);
}
