/* gpus.c - the GPUs of this machine, asked by a process of its own each time, since what is free on
 * them changes, and which device a profile gets.
 *
 *   hone engine --probe cuda        {"gpus": [{"device": {...}, "peak_f32": .., "peak_bf16": ..}],
 *                                    "problem": ""}
 *   hone engine --probe libraries   {"libraries": [{"name": "cuBLASLt", "version": "13.1.0",
 *                                    "path": "/usr/lib/..", "why": ""}]} */
#include "engine/run/machine_parts.h"
#include "kernels/library.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the other side ---- */

static void gpu_measure(struct buf *json, const struct kernels *k, int index, char why[256])
{
    struct device *d;
    struct device_info info = {0};
    char refused[256];
    if (!k->open(&d, index, NULL, refused, sizeof refused)) {
        if (!why[0]) snprintf(why, 256, "%s", refused);
        return;
    }
    k->info(d, &info);
    buf_printf(json, "%s{", json->p[json->n - 1] == '[' ? "" : ", ");
    device_put(json, &info, k->peak(d, F32), k->peak(d, BF16));
    buf_printf(json, "}");
    k->close(d);
}

bool gpus_measure(struct buf *json, const struct places *p, struct err *err)
{
    char why[400], refused[256] = "";
    const struct kernels *k = kernels_load("cuda", p->plugins, why, sizeof why);
    if (!k) return fail(err, "%s", why);
    int n = k->count();
    buf_printf(json, "{\"gpus\": [");
    for (int i = 0; i < n && i < GPUS_MOST; i++) gpu_measure(json, k, i, refused);
    if (n == 0) gpu_measure(json, k, 0, refused);
    buf_printf(json, "]");
    json_put_key(json, "problem");
    json_put_text(json, text_of(refused));
    buf_printf(json, "}\n");
    return true;
}

bool libraries_measure(struct buf *json)
{
    buf_printf(json, "{\"libraries\": [");
    for (int l = 0; l < LIBRARIES; l++) {
        struct library_found found;
        char version[32] = "";
        if (library_open(&found, (enum library)l)) library_version(version, (enum library)l, &found);
        const char *const fields[][2] = {{"name", library_name((enum library)l)},
                                         {"version", version},
                                         {"path", found.path},
                                         {"why", found.why}};
        buf_printf(json, "%s{", l ? ", " : "");
        for (size_t i = 0; i < COUNT(fields); i++) {
            json_put_key(json, fields[i][0]);
            json_put_text(json, text_of(fields[i][1]));
        }
        buf_printf(json, "}");
    }
    buf_printf(json, "]}\n");
    return true;
}

/* ---- asking ---- */

static bool ask(const struct json **list, const struct json **whole, const char *what,
                const char *key, const struct places *p, struct arena *a, struct err *err)
{
    struct buf said = buf_make(a);
    const char *where = "hone engine --probe";
    if (!machine_ask(&said, p->program, what, err) ||
        !json_parse(whole, buf_text(&said), where, (struct json_limits){0}, a, err))
        return false;
    *list = json_get(*whole, key);
    return (*list && (*list)->kind == JSON_ARRAY) || fail(err, "%s: %s is no list", where, key);
}

void machine_gpus(struct machine *m, const struct places *p, struct arena *a)
{
    struct err err = {{0}};
    const struct json *list, *whole;
    if (!path_exists(path_join(a, p->plugins, "hone-cuda.so"))) {
        snprintf(m->gpu_problem, sizeof m->gpu_problem,
                 "this hone was built without CUDA: there is no hone-cuda.so in %.150s",
                 p->plugins);
        return;
    }
    if (ask(&list, &whole, "cuda", "gpus", p, a, &err)) {
        device_text(m->gpu_problem, sizeof m->gpu_problem, whole, "problem");
        for (int i = 0; i < list->n && m->n_gpus < GPUS_MOST; i++)
            if (device_take(&m->gpus[m->n_gpus], &list->items[i], "hone engine --probe", &err))
                m->n_gpus++;
    }
    if (err.text[0]) snprintf(m->gpu_problem, sizeof m->gpu_problem, "%.255s", err.text);
}

bool machine_libraries(struct library_line **out, int *n, const struct places *p, struct arena *a,
                       struct err *err)
{
    const struct json *list, *whole;
    if (!ask(&list, &whole, "libraries", "libraries", p, a, err)) return false;
    *n = list->n;
    *out = NEW_N(a, struct library_line, *n);
    for (int i = 0; i < *n; i++) {
        struct library_line *l = &(*out)[i];
        device_text(l->name, sizeof l->name, &list->items[i], "name");
        device_text(l->version, sizeof l->version, &list->items[i], "version");
        device_text(l->path, sizeof l->path, &list->items[i], "path");
        device_text(l->why, sizeof l->why, &list->items[i], "why");
    }
    return true;
}

/* ---- choosing ---- */

int device_index(const char *device, struct err *err)
{
    if (!device || strncmp(device, "cuda:", 5) != 0) return 0;
    char *end;
    long index = strtol(device + 5, &end, 10);
    if (!*end && index >= 0 && index < GPUS_MOST) return (int)index;
    if (*end)
        fail(err,
             "device %s: training on several GPUs at once is not built yet; name one of them, as "
             "cuda:0",
             device);
    else fail(err, "device %s: no machine is asked for more than %d GPUs", device, GPUS_MOST);
    return -1;
}

bool machine_wants_gpu(const char *device, const char *backend)
{
    return strncmp(backend ? backend : device, "cuda", 4) == 0;
}

bool machine_choose(struct machine *m, const char *device, const char *backend, struct err *err)
{
    if (!machine_wants_gpu(device, backend)) return true;
    int index = device_index(device, err);
    if (index < 0) return false;
    if (m->n_gpus == 0)
        return fail(err, "device cuda: %s; device: auto and device: cpu train on the processor",
                    m->gpu_problem);
    if (index >= m->n_gpus)
        return fail(err, "device cuda:%d: this machine has %d GPU%s, from cuda:0 on", index,
                    m->n_gpus, m->n_gpus == 1 ? "" : "s");
    m->device = m->gpus[index].device;
    m->peak_f32 = m->gpus[index].peak_f32;
    m->peak_bf16 = m->gpus[index].peak_bf16;
    m->problem[0] = 0;
    snprintf(m->device_name, sizeof m->device_name, "cuda:%d", index);
    return true;
}
