/* machine.c - what this machine can do: measured by a process of its own, remembered by whom it was
 * measured for.
 *
 *   home/machine.json   {"key": "...", "device": {...}, "peak_f32": 3.4e11, "peak_bf16": 6.1e11}
 *
 * The key names processor, instruction set asked for, cores, and the times of the program and
 * plug-in. */
#include "engine/run/machine_parts.h"
#include "kernels/pool.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROBE_SECONDS = 30, PROBE_BYTES = 64 * 1024 };

/* ---- measuring ---- */

void device_put(struct buf *b, const struct device_info *d, double peak_f32, double peak_bf16)
{
    const struct { const char *key, *text; } texts[] = {
        {"backend", d->backend}, {"name", d->name}, {"isa", d->isa}, {"library", d->library}};
    const struct { const char *key; int64_t v;
    } numbers[] = {{"threads", d->threads},
                   {"memory_total", d->memory_total},
                   {"memory_free", d->memory_free},
                   {"fast_bf16", d->fast[BF16]},
                   {"pack_rows", d->pack_rows},
                   {"pack_cols", d->pack_cols},
                   {"pack_f32", d->pack_copies[F32]},
                   {"pack_bf16", d->pack_copies[BF16]},
                   {"scratch_per_thread", (int64_t)d->scratch_per_thread},
                   {"scratch_shared", (int64_t)d->scratch_shared}};
    json_put_key(b, "device");
    buf_printf(b, "{");
    for (size_t i = 0; i < COUNT(texts); i++) {
        json_put_key(b, texts[i].key);
        json_put_text(b, text_of(texts[i].text));
    }
    for (size_t i = 0; i < COUNT(numbers); i++) {
        json_put_key(b, numbers[i].key);
        json_put_int(b, numbers[i].v);
    }
    buf_printf(b, "}");
    json_put_key(b, "peak_f32");
    json_put_num(b, peak_f32);
    json_put_key(b, "peak_bf16");
    json_put_num(b, peak_bf16);
}

bool machine_measure(struct buf *json, const char *backend, const struct places *p, struct arena *a,
                     struct err *err)
{
    char why[400];
    if (strcmp(backend, "cuda") == 0) return gpus_measure(json, p, err);
    if (strcmp(backend, "libraries") == 0) return libraries_measure(json);
    (void)a;
    const struct kernels *k = kernels_load(backend, p->plugins, why, sizeof why);
    if (!k) return fail(err, "%s", why);
    struct pool *pool = pool_make(0);
    struct device *d;
    if (!k->open(&d, 0, pool, why, sizeof why)) {
        if (pool) pool_drop(pool);
        return fail(err, "backend %s: %s", backend, why);
    }
    struct device_info info = {0};
    k->info(d, &info);
    buf_printf(json, "{");
    device_put(json, &info, k->peak(d, F32), k->peak(d, BF16));
    buf_printf(json, "}\n");
    k->close(d);
    if (pool) pool_drop(pool);
    return true;
}

/* ---- asking ---- */

void device_text(char *to, size_t size, const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);
    bool text = v && v->kind == JSON_TEXT;
    snprintf(to, size, "%.*s", text ? (int)v->text.n : 0, text ? v->text.p : "");
}

static bool read_info(struct device_info *d, const struct json *o, const char *where,
                      struct err *err)
{
    int64_t threads = 0, rows = 0, cols = 0, f32 = 0, bf16 = 0, scratch = 0, shared = 0,
            fast = 0;
    device_text(d->backend, sizeof d->backend, o, "backend");
    device_text(d->name, sizeof d->name, o, "name");
    device_text(d->isa, sizeof d->isa, o, "isa");
    device_text(d->library, sizeof d->library, o, "library");
    if (!json_get_int(&threads, o, "threads", 1, 100000, where, err) ||
        !json_get_int(&d->memory_total, o, "memory_total", 0, INT64_MAX, where, err) ||
        !json_get_int(&d->memory_free, o, "memory_free", 0, INT64_MAX, where, err) ||
        !json_get_int(&fast, o, "fast_bf16", 0, 1, where, err) ||
        !json_get_int(&rows, o, "pack_rows", 1, 1 << 20, where, err) ||
        !json_get_int(&cols, o, "pack_cols", 1, 1 << 20, where, err) ||
        !json_get_int(&f32, o, "pack_f32", 0, 8, where, err) ||
        !json_get_int(&bf16, o, "pack_bf16", 0, 8, where, err) ||
        !json_get_int(&scratch, o, "scratch_per_thread", 0, INT64_MAX, where, err) ||
        !json_get_int(&shared, o, "scratch_shared", 0, INT64_MAX, where, err))
        return false;
    if (!threads || !rows || !cols)
        return fail(err, "%s: threads, pack_rows or pack_cols is missing", where);
    d->threads = (int)threads;
    d->fast[F32] = true;
    d->fast[BF16] = fast;
    d->pack_rows = (int)rows;
    d->pack_cols = (int)cols;
    d->pack_copies[F32] = (int)f32;
    d->pack_copies[BF16] = (int)bf16;
    d->scratch_per_thread = (size_t)scratch;
    d->scratch_shared = (size_t)shared;
    return true;
}

bool device_take(struct gpu *out, const struct json *o, const char *where, struct err *err)
{
    return read_info(&out->device, json_get(o, "device"), where, err) &&
           json_get_num(&out->peak_f32, o, "peak_f32", 0, 1e20, where, err) &&
           json_get_num(&out->peak_bf16, o, "peak_bf16", 0, 1e20, where, err);
}

static bool read_machine(struct machine *out, const struct json *o, const char *where,
                         struct err *err)
{
    struct gpu d = {0};
    bool ok = device_take(&d, o, where, err);
    out->device = d.device;
    out->peak_f32 = d.peak_f32;
    out->peak_bf16 = d.peak_bf16;
    return ok;
}

static double changed_at(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 ? (double)s.st_mtim.tv_sec + (double)s.st_mtim.tv_nsec * 1e-9 : 0;
}

static const char *processor_name(struct arena *a)
{
    char line[4096];
    const char *name = "processor";
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        name = arena_string(a, colon + 2, strcspn(colon + 2, "\n"));
        break;
    }
    if (f) fclose(f);
    return name;
}

static const char *machine_key(const struct places *p, struct arena *a)
{
    const char *isa = getenv("HONE_ISA");
    return arena_printf(a, "%s; isa %.32s; %d cores; program %.6f; plug-in %.6f", processor_name(a),
                        isa ? isa : "any", pool_cores(), changed_at(p->program),
                        changed_at(path_join(a, p->plugins, "hone-cpu.so")));
}

/* The child: the same program, its output in the pipe, its complaint too. */
static pid_t probe_start(int out, const char *program, const char *what)
{
    pid_t pid = fork();
    if (pid != 0) return pid;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) _exit(127);
    execl(program, program, "engine", "--probe", what, (char *)NULL);
    dprintf(2, "cannot start %s: %s", program, strerror(errno));
    _exit(127);
}

/* Reads until the end, the limit of time or of bytes. */
static bool probe_read(struct buf *said, int in, struct err *err)
{
    double end = now_monotonic() + PROBE_SECONDS;
    char part[4096];
    for (;;) {
        double left = end - now_monotonic();
        struct pollfd p = {.fd = in, .events = POLLIN};
        int ready = left > 0 ? poll(&p, 1, (int)(left * 1000) + 1) : 0;
        if (ready < 0 && errno == EINTR) continue;
        if (ready == 0)
            return fail(err, "measuring this machine took longer than %d s", PROBE_SECONDS);
        if (ready < 0) return fail_errno(err, "waiting for the measurement of this machine");
        ssize_t n = read(in, part, sizeof part);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n == 0 || fail_errno(err, "reading the measurement of this machine");
        if (said->n + (size_t)n > PROBE_BYTES)
            return fail(err, "the measurement of this machine is longer than 64 KiB");
        buf_put(said, part, (size_t)n);
    }
}

bool machine_ask(struct buf *said, const char *program, const char *what, struct err *err)
{
    int ends[2], status = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) return fail_errno(err, "cannot make a pipe");
    pid_t pid = probe_start(ends[1], program, what);
    close(ends[1]);
    bool ok =
        pid > 0 ? probe_read(said, ends[0], err) : fail_errno(err, "cannot start %s", program);
    close(ends[0]);
    if (pid <= 0) return false;
    if (!ok) kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (!ok || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) return ok;
    if (WIFSIGNALED(status))
        return fail(err, "the program that measures this machine ended with signal %d",
                    WTERMSIG(status));
    while (said->n && (said->p[said->n - 1] == '\n' || said->p[said->n - 1] == ' '))
        said->p[--said->n] = 0;
    return fail(err, "%.180s",
                said->n ? said->p : "the program that measures this machine said nothing");
}

/* A machine whose backend cannot be used: enough to list models, and why. */
static void without_backend(struct machine *out, const char *why, struct arena *a)
{
    struct device_info *d = &out->device;
    *d = (struct device_info){
        .threads = pool_cores(), .pack_rows = 1, .pack_cols = 1, .fast = {[F32] = true}};
    snprintf(d->backend, sizeof d->backend, "none");
    snprintf(d->name, sizeof d->name, "%s", processor_name(a));
    snprintf(out->problem, sizeof out->problem, "%.199s", why);
}

static bool from_cache(struct machine *out, const char *path, const char *key, struct arena *a)
{
    struct err ignored = {0};
    const struct json *o;
    if (!path_exists(path) ||
        !json_read(&o, path, (struct json_limits){.bytes = PROBE_BYTES, .depth = 4, .nodes = 1000},
                   a, &ignored))
        return false;
    const struct json *k = json_get(o, "key");
    return k && k->kind == JSON_TEXT && text_is(k->text, key) &&
           read_machine(out, o, path, &ignored);
}

static void to_cache(const char *path, const struct places *p, const char *key, const char *json,
                     struct arena *a)
{
    struct err ignored = {0};
    struct buf b = buf_make(a);
    buf_printf(&b, "{");
    json_put_key(&b, "key");
    json_put_text(&b, text_of(key));
    buf_printf(&b, ", %s", json + 1);
    if (!dir_make(p->home, &ignored) || !file_replace(path, buf_text(&b), &ignored))
        say(LOG_WARN, "the measurement of this machine is not kept: %s", ignored.text);
}

bool machine_remembered(struct machine *out, const struct places *p, struct arena *a)
{
    *out = (struct machine){0};
    return from_cache(out, path_join(a, p->home, "machine.json"), machine_key(p, a), a);
}

bool machine_probe(struct machine *out, const struct places *p, struct arena *a, struct err *err)
{
    *out = (struct machine){0};
    const char *path = path_join(a, p->home, "machine.json"), *key = machine_key(p, a);
    if (!from_cache(out, path, key, a)) {
        struct buf said = buf_make(a);
        const struct json *o;
        *out = (struct machine){0};
        err->text[0] = 0;
        bool ok = machine_ask(&said, p->program, "cpu", err) &&
                  json_parse(&o, buf_text(&said), "hone engine --probe", (struct json_limits){0}, a,
                             err) &&
                  read_machine(out, o, "hone engine --probe", err);
        if (ok) to_cache(path, p, key, said.p, a);
        else without_backend(out, err->text, a);
        err->text[0] = 0;
    }
    int64_t total = 0;
    pool_memory(&total, &out->device.memory_free);
    if (total > 0) out->device.memory_total = total;
    snprintf(out->device_name, sizeof out->device_name, "cpu");
    return true;
}
