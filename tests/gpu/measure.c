/* measure.c - how fast a GPU trains and generates: a line of JSON for each measurement, flushed at
 * once, so that what was measured stays when time runs out.
 *
 *     measure SECONDS [WHAT]     WHAT: rows of `plan` whose name has it; HONE_BUILD: hone-cuda.so
 *
 * Weights are random, of the shapes that the rows name; a step is a whole optimizer step on full
 * windows, loss and gradient norm included. "host" is the share of a step in which the host queues
 * its work; MFU is of the data sheet's peak, model FLOPs as model_step_flops counts them. The
 * median of the steps counts, the first three are left out (algorithms are searched in them). */
#include "engine/model/model.h"
#include "kernels/pool.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct shape_of { const char *name; int dim, ffn, heads, kv_heads, vocab, layers, length, micro; };
static const struct shape_of shapes[] = {
    {"tiny", 64, 128, 4, 2, 256, 2, 64, 2},
    {"135m", 576, 1536, 9, 3, 49152, 30, 1024, 16},
    {"0.5b", 896, 4864, 14, 2, 151936, 24, 1024, 16},
    {"1.5b", 1536, 8960, 12, 2, 151936, 28, 2048, 8},
    {"8b", 4096, 14336, 32, 8, 128256, 32, 4096, 2},
};
enum mode { FULL, LORA, DECODE, PRODUCTS };
static const char *const modes[] = {"full", "lora", "decode", "products"};
/* The most important first. */
static const struct { const char *shape; enum mode mode; } plan[] = {
    {"8192", PRODUCTS}, {"135m", FULL}, {"0.5b", FULL}, {"0.5b", LORA}, {"0.5b", DECODE},
    {"1.5b", FULL},     {"1.5b", LORA}, {"135m", DECODE}, {"8b", LORA}, {"8b", DECODE},
};
enum { WARM = 3, STEPS_MOST = 30, CONTEXT = 512, NEW_TOKENS = 128, RANDOM = 1 << 20 };

static struct err error;
static const struct kernels *k;
static struct device *d;
static struct device_info info;
static double until; /* nothing begins after it */

/* ---- a model of random weights ---- */

static struct tensor_row *tensor_add(struct tensor_row *r, const char *name, int rows, int cols)
{
    *r = (struct tensor_row){name, T_BF16, cols ? 2 : 1, {rows, cols}};
    return r + 1;
}

static int tensors_list(struct tensor_row *rows, const struct shape_of *s, struct arena *a)
{
    int kv = s->dim / s->heads * s->kv_heads;
    const struct { const char *name; int rows, cols; } parts[] = {
        {"input_layernorm", s->dim, 0},       {"self_attn.q_proj", s->dim, s->dim},
        {"self_attn.k_proj", kv, s->dim},     {"self_attn.v_proj", kv, s->dim},
        {"self_attn.o_proj", s->dim, s->dim}, {"post_attention_layernorm", s->dim, 0},
        {"mlp.gate_proj", s->ffn, s->dim},    {"mlp.up_proj", s->ffn, s->dim},
        {"mlp.down_proj", s->dim, s->ffn}};
    struct tensor_row *r = tensor_add(rows, "model.embed_tokens.weight", s->vocab, s->dim);
    for (int l = 0; l < s->layers; l++)
        for (size_t i = 0; i < COUNT(parts); i++)
            r = tensor_add(r, arena_printf(a, "model.layers.%d.%s.weight", l, parts[i].name),
                           parts[i].rows, parts[i].cols);
    return (int)(tensor_add(r, "model.norm.weight", s->dim, 0) - rows);
}

/* Norms are 1; matrices repeat a million values of the deviation that such models begin with. */
static bool tensors_fill(struct tensors_writer *w, const struct tensor_row *rows, int n,
                         struct arena *a)
{
    float *values = NEW_N(a, float, RANDOM), *ones = NEW_N(a, float, 1 << 16);
    for (int i = 0; i < RANDOM; i++)
        values[i] = (float)((rand_unit(1, (uint64_t)i) - 0.5) * 0.02 * sqrt(12));
    for (int i = 0; i < 1 << 16; i++) ones[i] = 1;
    for (int i = 0; i < n; i++) {
        int64_t left = rows[i].dims[0] * (rows[i].rank == 2 ? rows[i].dims[1] : 1);
        for (int64_t some; left > 0; left -= some) {
            some = left < (rows[i].rank == 1 ? 1 << 16 : RANDOM) ? left
                   : rows[i].rank == 1                           ? 1 << 16
                                                                 : RANDOM;
            if (!tensors_write_f32(w, rows[i].rank == 1 ? ones : values, some, &error))
                return false;
        }
    }
    return true;
}

static bool model_write(const char *dir, const struct shape_of *s, struct arena *a)
{
    static const char *const pt[] = {"format", "pt"};
    struct tensor_row *rows = NEW_N(a, struct tensor_row, 3 + 9 * s->layers);
    int n = tensors_list(rows, s, a);
    struct tensors_writer *w;
    struct buf json = buf_make(a);
    int64_t bytes;
    char hash[33];
    buf_printf(&json,
               "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\","
               "\"hidden_act\":\"silu\",\"hidden_size\":%d,\"intermediate_size\":%d,"
               "\"num_hidden_layers\":%d,\"num_attention_heads\":%d,\"num_key_value_heads\":%d,"
               "\"vocab_size\":%d,\"max_position_embeddings\":8192,\"rms_norm_eps\":1e-5,"
               "\"rope_theta\":10000.0,\"tie_word_embeddings\":true,"
               "\"torch_dtype\":\"bfloat16\"}\n",
               s->dim, s->ffn, s->layers, s->heads, s->kv_heads, s->vocab);
    return file_replace(path_join(a, dir, "config.json"), buf_text(&json), &error) &&
           tensors_create(&w, path_join(a, dir, "model.safetensors"), rows, n, pt, 1, a,
                          &error) &&
           tensors_fill(w, rows, n, a) && tensors_finish(w, &bytes, hash, &error);
}

/* ---- opening ---- */

struct bench {
    const struct shape_of *shape;
    enum mode mode;
    struct model_config config;
    struct training training;
    struct layout layout;
    struct model *m;
    struct batch batch;
    struct arena *a;
};

static bool bench_open(struct bench *b, const char *dir)
{
    static const char *const full[] = {"full"}, *const lora[] = {"lora"}, *const all[] = {"all-linear"};
    bool trains = b->mode != DECODE;
    int rows = trains ? b->shape->length * b->shape->micro : CONTEXT;
    struct model_shape shape = {.rows = rows,
                                .longest = trains ? b->shape->length : rows,
                                .loss_rows = trains ? 1024 : 16,
                                .cache_tokens = trains ? 0 : CONTEXT + NEW_TOKENS,
                                .alone = trains};
    struct model_files files = {.base = dir};
    b->training = (struct training){.parts = b->mode == LORA ? lora : full,
                                    .n_parts = trains,
                                    .compute = BF16,
                                    .frozen = BF16,
                                    .gradients = F32,
                                    .recompute = RECOMPUTE_SELECTIVE,
                                    .weight_decay = 0.1F};
    if (b->mode == LORA) b->training.lora = (struct lora){.rank = 16, .alpha = 32};
    if (b->mode == LORA && !lora_targets(&b->training.lora.targets, all, 1, &error)) return false;
    if (!model_config_read(&b->config, dir, b->a, &error) ||
        !layout_make(&b->layout, &b->config, &b->training, &shape, &info, b->a, &error))
        return false;
    if (b->layout.bytes > info.memory_free)
        return fail(&error, "needs %.1f GB and %.1f GB are free", (double)b->layout.bytes * 1e-9,
                    (double)info.memory_free * 1e-9);
    b->batch = batch_make(b->a, rows);
    return model_open(&b->m, &b->config, &b->training, &shape, &b->layout, &files, 1, k, d, b->a,
                      &error);
}

/* ---- training ---- */

static void batch_fill(struct bench *b, int step)
{
    struct batch *x = &b->batch;
    int length = b->shape->length;
    x->rows = length * b->shape->micro, x->n_seqs = b->shape->micro;
    x->longest = length, x->trained = 0;
    for (int i = 0; i < x->rows; i++) {
        x->ids[i] = (int32_t)(rand_at((uint64_t)step, (uint64_t)i) % (uint64_t)b->config.vocab);
        x->pos[i] = i % length;
    }
    for (int i = 0; i < x->rows; i++) {
        x->targets[i] = x->pos[i] + 1 < length ? x->ids[i + 1] : -1;
        x->trained += x->targets[i] >= 0;
    }
    for (int i = 0; i <= x->n_seqs; i++) x->start[i] = i * length;
}

static bool step_once(struct bench *b, int step, double *seconds, double *host)
{
    struct update u = {.step = step + 1, .lr = 1e-4F, .beta1 = 0.9F, .beta2 = 0.95F, .eps = 1e-8F,
                       .max_norm = 1, .trained = b->batch.trained};
    struct step_result r;
    double start = now_monotonic();
    model_begin(b->m, &u);
    model_step(b->m, &b->batch, (struct draw){.seed = 1, .step = (uint32_t)step});
    *host = now_monotonic() - start;
    if (!model_update(b->m, &r, &error)) return false;
    *seconds = now_monotonic() - start;
    return (isfinite(r.loss) && !r.skipped) || fail(&error, "a step's loss is %g", r.loss);
}

static int by_size(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static bool train(struct bench *b)
{
    double took[STEPS_MOST], host[STEPS_MOST], hardware;
    int n = 0;
    for (int i = 0; i < WARM + STEPS_MOST && (i < WARM + 3 || now_monotonic() < until); i++) {
        double seconds, queued;
        batch_fill(b, i);
        if (!step_once(b, i, &seconds, &queued)) return false;
        if (i < WARM) continue;
        took[n] = seconds;
        host[n++] = queued;
    }
    qsort(took, (size_t)n, sizeof *took, by_size);
    qsort(host, (size_t)n, sizeof *host, by_size);
    double rows = b->batch.rows, step = took[n / 2],
           pairs = rows * (b->shape->length + 1) / 2,
           flops = model_step_flops(b->m, b->batch.rows, pairs, b->batch.trained, &hardware);
    printf("{\"what\": \"train\", \"model\": \"%s\", \"mode\": \"%s\", \"dtype\": \"bf16\", \"tokens\": "
           "%d, \"length\": %d, \"steps\": %d, \"step_ms\": %.3f, \"tokens_per_second\": %.0f, "
           "\"mfu\": %.4f, \"hfu\": %.4f, \"host\": %.4f, \"bytes\": %lld}\n",
           b->shape->name, modes[b->mode], b->batch.rows, b->shape->length, n, step * 1e3,
           rows / step, flops / step / k->peak(d, BF16), hardware / step / k->peak(d, BF16),
           host[n / 2] / step, (long long)b->layout.bytes);
    return true;
}

/* ---- generation and products ---- */

static bool decode(struct bench *b)
{
    struct sampling greedy = {.top_p = 1, .repetition_penalty = 1};
    int32_t ids[CONTEXT / 2], next = 1;
    for (int i = 0; i < CONTEXT / 2; i++) ids[i] = i % b->config.vocab;
    double start = now_monotonic(), prompt = 0;
    for (int i = -8; i < NEW_TOKENS - 8; i++) {
        if (i == 0) start = now_monotonic();
        double before = now_monotonic();
        bool first = i == -8;
        if (!model_next(b->m, first ? ids : &next, first ? CONTEXT / 2 : 1, &greedy, NULL, 0,
                        (struct draw){0}, &next, &error))
            return false;
        if (first) prompt = now_monotonic() - before;
    }
    double each = (now_monotonic() - start) / (NEW_TOKENS - 8);
    printf("{\"what\": \"decode\", \"model\": \"%s\", \"dtype\": \"bf16\", \"tokens_per_second\": %.1f, "
           "\"weights_bytes_per_second\": %.4g, \"prompt_tokens\": %d, \"prompt_ms\": %.2f}\n",
           b->shape->name, 1 / each, (double)b->config.parameters * 2 / each, CONTEXT / 2,
           prompt * 1e3);
    return true;
}

/* The ceiling that a step is measured against in the same process. */
static bool products(int n)
{
    size_t bytes = (size_t)n * (size_t)n * 2;
    struct shape s = {.rows = n, .longest = 1, .dim = n, .heads = 1, .kv_heads = 1, .head_dim = 64,
                      .ffn = 1, .vocab = 1, .loss_rows = 1, .t = BF16};
    size_t space = kernels_workspace_bytes(&info, &s);
    char *p = k->alloc(d, 3 * bytes + space), why[256];
    if (!p) return fail(&error, "no memory for products of %d", n);
    struct mat x = mat_make(p, n, n, BF16), y = mat_make(p + 2 * bytes, n, n, BF16);
    struct weight w = {.w = mat_make(p + bytes, n, n, BF16), .t = BF16};
    k->workspace(d, p + 3 * bytes, space);
    k->fill(d, x, 0.5F);
    k->fill(d, w.w, -0.25F);
    k->noise(d, x, (struct seqs){(const int32_t[]){0, n}, 1, n}, 1, (struct draw){.seed = 1});
    bool ok = true;
    double best = 1e30;
    for (int i = 0; i < 8 && ok; i++) {
        double start = now_monotonic();
        for (int j = 0; j < 10; j++) k->linear(d, y, x, &w, 1, 0);
        ok = k->sync(d, why, sizeof why);
        double each = (now_monotonic() - start) / 10;
        if (i > 1 && each < best) best = each;
    }
    if (!ok) fail(&error, "%s", why);
    double rate = 2.0 * n * n * n / best;
    if (ok)
        printf("{\"what\": \"products\", \"n\": %d, \"dtype\": \"bf16\", \"flops\": %.4g, \"of_peak\": "
               "%.4f}\n",
               n, rate, rate / k->peak(d, BF16));
    k->free(d, p, 3 * bytes + space);
    return ok;
}

/* ---- the plan ---- */

static bool bench(const struct shape_of *s, enum mode mode, struct arena *a)
{
    char dir[] = "/tmp/hone-gpu-XXXXXX";
    struct bench b = {.shape = s, .mode = mode, .a = a};
    if (!mkdtemp(dir)) return fail_errno(&error, "no temporary folder");
    bool ok = model_write(dir, s, a) && bench_open(&b, dir);
    if (ok) ok = mode == DECODE ? decode(&b) : train(&b);
    if (b.m) model_close(b.m);
    unlink(path_join(a, dir, "config.json"));
    unlink(path_join(a, dir, "model.safetensors"));
    rmdir(dir);
    return ok;
}

static const struct shape_of *shape_find(const char *name)
{
    for (size_t i = 0; i < COUNT(shapes); i++)
        if (strcmp(shapes[i].name, name) == 0) return &shapes[i];
    return NULL;
}

static void measure(const char *name, enum mode mode)
{
    struct arena a = arena_make(0);
    char text[700] = "";
    const struct shape_of *s = shape_find(name);
    error.text[0] = 0;
    bool ok = mode == PRODUCTS ? products(atol(name) > 0 ? (int)atol(name) : 512) : bench(s, mode, &a);
    for (char *c = error.text; *c; c++)
        if (*c == '"' || *c == '\\') *c = '\'';
    if (!ok) snprintf(text, sizeof text, "%s", error.text);
    if (!ok)
        printf("{\"what\": \"%s\", \"model\": \"%s\", \"left_out\": \"%s\"}\n", modes[mode], name, text);
    fflush(stdout);
    arena_drop(&a);
}

int main(int argc, char **argv)
{
    char why[512];
    const char *build = getenv("HONE_BUILD"), *only = argc > 2 ? argv[2] : "";
    until = now_monotonic() + (argc > 1 ? strtod(argv[1], NULL) : 60);
    k = kernels_load("cuda", build ? build : "build", why, sizeof why);
    if (!k || !k->open(&d, 0, NULL, why, sizeof why)) {
        fprintf(stderr, "measure: %s\n", why);
        return 1;
    }
    k->info(d, &info);
    printf("{\"what\": \"device\", \"name\": \"%s\", \"isa\": \"%s\", \"library\": \"%s\", "
           "\"memory\": %lld, \"peak_bf16\": %.4g}\n",
           info.name, info.isa, info.library, (long long)info.memory_total, k->peak(d, BF16));
    fflush(stdout);
    if (strcmp(only, "tiny") == 0) { /* that all of it runs, on fakes */
        for (int m = FULL; m <= PRODUCTS; m++) measure(m == PRODUCTS ? "64" : "tiny", (enum mode)m);
    } else
        for (size_t i = 0; i < COUNT(plan) && now_monotonic() < until; i++)
            if (strstr(plan[i].shape, only)) measure(plan[i].shape, plan[i].mode);
    k->close(d);
    return 0;
}
