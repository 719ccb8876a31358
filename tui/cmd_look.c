/* cmd_look.c - commands that look and change nothing: check, preview, models, doctor, and the
 * workbench itself. */
#include "engine/format/json.h"
#include "tui/cli.h"
#include "tui/tui.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int cmd_check(struct cli *c)
{
    struct profile profile, pinned;
    struct plan_inputs in;
    struct buf b = buf_make(c->a);
    if (!cli_profile(c, &profile)) return EXIT_USAGE;
    int code = cli_plan(c, &profile, &in, &pinned);
    if (code) return code;
    if (c->o.json) plan_write_json(&in.plan, &pinned, &b);
    else plan_write_text(&in.plan, &pinned, &b);
    if (c->o.json) print_text(buf_text(&b));
    else print_safe(buf_text(&b));
    plan_close(&in);
    return EXIT_DONE;
}

/* ---- preview ---- */

static int64_t shortest(const struct source_report *r)
{
    for (size_t i = 0; i < COUNT(r->lengths); i++)
        if (r->lengths[i]) return (int64_t)1 << i;
    return 0;
}

static void put_source(struct buf *b, const struct source *s)
{
    const struct source_report *r = &s->report;
    const struct {
        const char *key;
        int64_t v;
    } numbers[] = {{"rows", r->rows},
                   {"bad", r->rows_bad},
                   {"held_out", r->rows_held_out},
                   {"tokens", r->tokens},
                   {"trained", r->tokens_trained},
                   {"dropped", r->rows_dropped},
                   {"truncated", r->rows_truncated},
                   {"lost", r->bytes_lost},
                   {"shortest", shortest(r)},
                   {"longest", r->longest}};
    buf_put(b, "{", 1);
    json_field_text(b, "name", text_of(s->spec.name));
    json_field_text(b, "path", text_of(s->spec.path));
    json_field_text(b, "format", text_of(r->format));
    for (size_t i = 0; i < COUNT(numbers); i++) json_field_int(b, numbers[i].key, numbers[i].v);
    json_put_key(b, "lengths");
    for (size_t i = 0; i < COUNT(r->lengths); i++)
        buf_printf(b, "%s%lld", i ? "," : "[", (long long)r->lengths[i]);
    buf_put(b, "]", 1);
    json_put_key(b, "bad_rows");
    buf_put(b, "[", 1);
    for (int i = 0; i < r->n_bad; i++) {
        if (i) buf_put(b, ",", 1);
        json_put_text(b, text_of(r->bad[i]));
    }
    buf_put(b, "]}", 2);
}

/* "wanted" beside "here": the shares of tokens that the profile asks for, and that the stream
 * gives. */
static void put_shares(struct buf *b, const struct profile *p, const struct stage *s,
                       const struct stream *stream)
{
    double shares = 0;
    for (int i = 0; i < s->n_mix; i++) shares += s->mix[i].share;
    json_put_key(b, "shares");
    buf_put(b, "[", 1);
    for (int i = 0; i < s->n_mix; i++) {
        buf_put(b, i ? ",{" : "{", i ? 2 : 1);
        json_field_text(b, "dataset", text_of(p->datasets[s->mix[i].dataset].name));
        json_field_num(b, "wanted", s->mix[i].share / shares);
        json_field_num(b, "here",
                stream->tokens ? (double)stream->source_tokens[i] / (double)stream->tokens : 0);
        json_field_num(b, "epochs", stream->source_epochs[i]);
        buf_put(b, "}", 1);
    }
    buf_put(b, "]", 1);
}

static void put_documents(struct buf *b, const struct window_view *v)
{
    json_put_key(b, "documents");
    buf_put(b, "[", 1);
    for (int i = 0; i < v->n_parts; i++) {
        bool first = i == 0 || v->parts[i].document != v->parts[i - 1].document;
        buf_printf(b, first ? (i ? "],[{" : "[{") : ",{");
        json_field_text(b, "text", v->parts[i].text);
        json_put_key(b, "trained");
        buf_printf(b, v->parts[i].trained ? "true}" : "false}");
    }
    buf_printf(b, v->n_parts ? "]]" : "]");
}

static void put_window(struct buf *b, const struct plan_inputs *in, const struct profile *p,
                       int stage, int64_t number, const struct window_view *v)
{
    const struct stream *s = &in->plan.stages[stage].stream;
    const struct {
        const char *key;
        int64_t v;
    } numbers[] = {{"index", number},       {"of", s->windows},    {"bucket", v->bucket},
                   {"buckets", s->buckets}, {"tokens", v->tokens}, {"trained", v->trained}};
    buf_put(b, "{", 1);
    json_field_text(b, "stage", text_of(p->stages[stage].name));
    json_field_text(b, "source", text_of(v->source));
    for (size_t i = 0; i < COUNT(numbers); i++) json_field_int(b, numbers[i].key, numbers[i].v);
    put_shares(b, p, &p->stages[stage], s);
    put_documents(b, v);
    buf_put(b, "}", 1);
}

static bool preview_json(struct buf *b, const struct plan_inputs *in, const struct profile *p,
                         int stage, int64_t first, int64_t count, struct arena *a, struct err *err)
{
    const struct stream *s = &in->plan.stages[stage].stream;
    buf_printf(b, "{\"sources\":[");
    for (int i = 0; i < in->plan.n_sources; i++) {
        if (i) buf_put(b, ",", 1);
        put_source(b, &in->plan.sources[i]);
    }
    buf_put(b, "]", 1);
    json_field_int(b, "stages", in->plan.n_stages);
    json_field_int(b, "tokens_lost", s->lost);
    json_field_int(b, "documents_cut", s->cut);
    json_put_key(b, "windows");
    buf_put(b, "[", 1);
    for (int64_t w = first; w < first + count && w < s->windows; w++) {
        struct window_view v;
        if (!stream_view(s, w, &v, a, err)) return false;
        if (w > first) buf_put(b, ",", 1);
        put_window(b, in, p, stage, w, &v);
    }
    buf_put(b, "]}\n", 3);
    return true;
}

static void text_source(struct buf *b, const struct source *s)
{
    const struct source_report *r = &s->report;
    char n[5][32];
    buf_printf(b,
               "%s  %s (%s): rows %s  tokens %s  trained %.1f %%  held out %s  dropped %s  "
               "truncated %s  bytes lost %lld\n",
               s->spec.name, s->spec.path, r->format, text_count(n[0], r->rows),
               text_count(n[1], r->tokens),
               r->tokens ? 100.0 * (double)r->tokens_trained / (double)r->tokens : 0.0,
               text_count(n[2], r->rows_held_out), text_count(n[3], r->rows_dropped),
               text_count(n[4], r->rows_truncated), (long long)r->bytes_lost);
    for (int i = 0; i < r->n_bad; i++) buf_printf(b, "  bad row %s\n", r->bad[i]);
}

static bool preview_text(struct buf *b, const struct plan_inputs *in, const struct profile *p,
                         int stage, int64_t first, int64_t count, struct arena *a, struct err *err)
{
    const struct stream *s = &in->plan.stages[stage].stream;
    char n[32];
    for (int i = 0; i < in->plan.n_sources; i++) text_source(b, &in->plan.sources[i]);
    for (int64_t w = first; w < first + count && w < s->windows; w++) {
        struct window_view v;
        if (!stream_view(s, w, &v, a, err)) return false;
        buf_printf(b,
                   "\n%s · window %lld of %s · %d tokens, %d document%s, %d trained [in brackets]   "
                   "bin %d of %d\n",
                   p->stages[stage].name, (long long)w + 1, text_count(n, s->windows), v.tokens,
                   v.documents, v.documents == 1 ? "" : "s", v.trained, v.bucket + 1, s->buckets);
        for (int i = 0; i < v.n_parts; i++) {
            if (i && v.parts[i].document != v.parts[i - 1].document) buf_printf(b, "\n---\n");
            buf_printf(b, v.parts[i].trained ? "[" : "");
            buf_put(b, v.parts[i].text.p, v.parts[i].text.n);
            buf_printf(b, v.parts[i].trained ? "]" : "");
        }
        buf_put(b, "\n", 1);
    }
    buf_printf(b, "\ntokens lost %lld\n", (long long)s->lost);
    return true;
}

int cmd_preview(struct cli *c)
{
    struct profile profile, pinned;
    struct plan_inputs in;
    struct buf b = buf_make(c->a);
    if (!cli_profile(c, &profile)) return EXIT_USAGE;
    int code = cli_plan(c, &profile, &in, &pinned);
    if (code) return code;
    int64_t stage = c->o.stage < 0 ? 1 : c->o.stage, window = c->o.window < 0 ? 1 : c->o.window,
            count = c->o.count < 0 ? 3 : c->o.count;
    bool ok = (stage >= 1 && stage <= in.plan.n_stages) ||
              fail(&c->err, "--stage %lld: the profile has stages 1 to %d", (long long)stage,
                   in.plan.n_stages);
    ok = ok && ((window >= 1 && window <= in.plan.stages[stage - 1].stream.windows) ||
                fail(&c->err, "--window %lld: stage %lld has windows 1 to %lld", (long long)window,
                     (long long)stage, (long long)in.plan.stages[stage - 1].stream.windows));
    if (!ok) {
        plan_close(&in);
        return refuse(EXIT_USAGE, &c->err);
    }
    ok = (c->o.json ? preview_json : preview_text)(&b, &in, &pinned, (int)stage - 1, window - 1,
                                                   count, c->a, &c->err);
    if (ok) (c->o.json ? print_text : print_safe)(buf_text(&b));
    plan_close(&in);
    return ok ? EXIT_DONE : refuse(EXIT_REFUSED, &c->err);
}

/* ---- models ---- */

static void put_fit(struct buf *b, const char *key, struct fit f)
{
    json_put_key(b, key);
    buf_printf(b, "{\"fits\":%s,\"bytes\":%lld}", f.fits ? "true" : "false", (long long)f.bytes);
}

static void put_model(struct buf *b, const struct model_entry *m)
{
    const char *const texts[][2] = {{"name", m->name},           {"path", m->path},
                                    {"family", m->family},       {"dtype", m->dtype},
                                    {"tokenizer", m->tokenizer}, {"licence", m->licence},
                                    {"unusable", m->unusable},   {"about", m->about},
                                    {"quiz", m->quiz},           {"template", m->chat_template}};
    buf_put(b, "{", 1);
    for (size_t i = 0; i < COUNT(texts); i++)
        if (texts[i][1]) json_field_text(b, texts[i][0], text_of(texts[i][1]));
    json_field_int(b, "parameters", m->parameters);
    json_field_int(b, "bytes", m->bytes);
    json_field_int(b, "context", m->context);
    json_field_int(b, "layers", m->layers);
    json_field_int(b, "dim", m->dim);
    json_field_int(b, "heads", m->heads);
    json_field_int(b, "kv_heads", m->kv_heads);
    json_field_int(b, "vocabulary", m->vocab);
    json_put_key(b, "tied");
    buf_printf(b, m->tied ? "true" : "false");
    json_put_key(b, "shipped");
    buf_printf(b, m->shipped ? "true" : "false");
    put_fit(b, "full", m->full);
    put_fit(b, "lora", m->lora);
    buf_put(b, "}", 1);
}

static const char *fit_text(char out[32], struct fit f)
{
    char bytes[16];
    snprintf(out, 32, "%s %s", f.fits ? "yes" : "no,", text_bytes(bytes, f.bytes));
    return out;
}

static void text_model(struct buf *b, const struct model_entry *m)
{
    char full[32], lora[32], count[32];
    if (m->unusable) {
        buf_printf(b, "%-28s %-8s unusable: %s\n", m->name, m->family ? m->family : "-",
                   m->unusable);
        return;
    }
    buf_printf(b, "%-28s %-8s %13s  %-5s %8d  %-12s %-12s %s\n", m->name, m->family,
               text_count(count, m->parameters), m->dtype, m->context, fit_text(full, m->full),
               fit_text(lora, m->lora), m->licence ? m->licence : "-");
}

static void put_machine(struct buf *b, const struct machine *m)
{
    buf_printf(b, "{\"device\":{");
    json_field_text(b, "name", text_of(m->device.name));
    json_field_int(b, "cores", m->device.threads);
    json_field_int(b, "memory", m->device.memory_total);
    buf_put(b, "}", 1);
    json_field_text(b, "problem", text_of(m->problem));
    buf_put(b, ",", 1);
}

int cmd_models(struct cli *c)
{
    struct machine machine;
    struct model_entry *list;
    int n;
    struct buf b = buf_make(c->a);
    if (!machine_probe(&machine, &c->places, c->a, &c->err) ||
        !models_list(&list, &n, &c->places, &machine, c->a, &c->err))
        return refuse(EXIT_FAILED, &c->err);
    if (c->o.json) put_machine(&b, &machine);
    if (c->o.json) buf_printf(&b, "\"models\":[");
    else
        buf_printf(&b, "%-28s %-8s %13s  %-5s %8s  %-12s %-12s %s\n", "name", "family",
                   "parameters", "dtype", "context", "full here?", "LoRA here?", "licence");
    for (int i = 0; i < n; i++) {
        if (c->o.json && i) buf_put(&b, ",", 1);
        if (c->o.json) put_model(&b, &list[i]);
        else text_model(&b, &list[i]);
    }
    if (c->o.json) buf_printf(&b, "]}\n");
    (c->o.json ? print_text : print_safe)(buf_text(&b));
    return EXIT_DONE;
}

/* ---- doctor ---- */

/* What was found of a GPU's libraries, and why no GPU is used where none is. */
static void print_gpus(struct cli *c, const struct machine *m)
{
    char a[16], b[16];
    struct library_line *lines;
    int n;
    for (int i = 0; i < m->n_gpus; i++) {
        const struct device_info *d = &m->gpus[i].device;
        printf("GPU       cuda:%d %s, %s, %s, %s free, products %s\n", i, d->name, d->isa,
               text_bytes(a, d->memory_total), text_bytes(b, d->memory_free), d->library);
        printf("          peak %.0f TF/s fp32, %.0f TF/s bf16 (data sheet)\n",
               m->gpus[i].peak_f32 / 1e12, m->gpus[i].peak_bf16 / 1e12);
    }
    if (m->n_gpus == 0) printf("GPU       none is used: %s\n", m->gpu_problem);
    if (!machine_libraries(&lines, &n, &c->places, c->a, &c->err)) {
        printf("          %s\n", c->err.text);
        return;
    }
    for (int i = 0; i < n; i++)
        if (lines[i].path[0])
            printf("%-9s %s, %s\n", lines[i].name,
                   lines[i].version[0] ? lines[i].version : "of an unknown version",
                   lines[i].path);
        else printf("%-9s %s\n", lines[i].name, lines[i].why);
}

int cmd_doctor(struct cli *c)
{
    struct machine m;
    char a[16], b[16];
    printf("hone %s\n", HONE_VERSION);
    printf("program   %s\nplug-ins  %s\nassets    %s\nstate     %s\nconfig    %s\n",
           c->places.program, c->places.plugins, c->places.assets, c->places.home,
           c->places.config);
    if (!machine_probe(&m, &c->places, c->a, &c->err)) return refuse(EXIT_FAILED, &c->err);
    machine_gpus(&m, &c->places, c->a);
    printf("processor %s, %d threads, kernels %s, products %s\n", m.device.name, m.device.threads,
           m.device.isa, m.device.library);
    printf("peak      %.0f GF/s fp32, %.0f GF/s bf16 (measured)\n", m.peak_f32 / 1e9,
           m.peak_bf16 / 1e9);
    printf("memory    %s, %s free\n", text_bytes(a, m.device.memory_total),
           text_bytes(b, m.device.memory_free));
    printf("bf16      %s\n", m.device.fast[BF16]
                                 ? "fast: auto uses it"
                                 : "works by widening and is slower than fp32: auto uses fp32");
    printf("disk      %s free in %s\n",
           text_bytes(a, disk_free(path_exists(c->places.home) ? c->places.home : "/")),
           c->places.home);
    print_gpus(c, &m);
    if (m.problem[0]) printf("problem   %s\n", m.problem);
    return m.problem[0] ? EXIT_FAILED : EXIT_DONE;
}

/* ---- the workbench ---- */

static bool glyphs_of(struct cli *c, enum glyphs *g)
{
    *g = GLYPHS_AUTO;
    return !c->o.glyphs || glyphs_read(g, c->o.glyphs, &c->err);
}

int cmd_open(struct cli *c)
{
    struct tui_options o = {.glyphs = GLYPHS_AUTO};
    if (!glyphs_of(c, &o.glyphs)) return refuse(EXIT_USAGE, &c->err);
    return tui_run(&c->places, &o);
}

int cmd_attach(struct cli *c)
{
    struct tui_options o = {.glyphs = GLYPHS_AUTO};
    if (!glyphs_of(c, &o.glyphs)) return refuse(EXIT_USAGE, &c->err);
    if (!run_find(&o.run, c->words[0], &c->places, c->a, &c->err))
        return refuse(EXIT_REFUSED, &c->err);
    return tui_run(&c->places, &o);
}

int cmd_dump(struct cli *c)
{
    struct dump_options o = {.state = c->o.state,
                             .keys = c->o.keys ? c->o.keys : "",
                             .svg = c->o.svg,
                             .styles = c->o.styles,
                             .light = c->o.light};
    struct buf b = buf_make(c->a);
    if (sscanf(c->o.dump, "%dx%d", &o.width, &o.height) != 2 || o.width < 1 || o.height < 1 ||
        o.width > 1000 || o.height > 1000)
        return fail(&c->err, "--dump wants WIDTHxHEIGHT, 1x1 to 1000x1000, not '%s'", c->o.dump),
               refuse(EXIT_USAGE, &c->err);
    if (!glyphs_of(c, &o.glyphs)) return refuse(EXIT_USAGE, &c->err);
    if (!tui_dump(&b, &c->places, &o, &c->err)) return refuse(EXIT_REFUSED, &c->err);
    print_text(buf_text(&b));
    return EXIT_DONE;
}
