/* bench_step.c - where the time of a step goes: the engine's own step over a model of random weights,
 * on a backend with a clock around every operation.
 *
 *     bench_step [110m|135m|demo|FOLDER [full|lora|prompt|decode [f32|bf16]]]     all without arguments
 *
 * A line an operation: calls and milliseconds a step, its share, GF/s or GB/s, and the share of its own
 * limit: a product's is what oneDNN takes for it at this shape (over 100 %: we are faster), other
 * arithmetic's the measured peak, the rest's the measured read bandwidth. What is between the
 * operations is told too. The step is the best of a few; B is the build folder. */
#include "engine/model/model.h"
#include "kernels/pool.h"
#include "tests/bench/library.h"
#include "tests/bench/timed.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct shape_of {
    const char *name, *folder;     /* folder: a model that is there; else random weights */
    int dim, ffn, heads, kv_heads, vocab, layers, length, micro;
};
static const struct shape_of shapes[] = {
    {"135m", NULL, 576, 1536, 9, 3, 49152, 30, 512, 4},
    {"110m", NULL, 768, 2048, 12, 12, 32000, 12, 1024, 4},
    {"demo", "assets/small-world", 0, 0, 0, 0, 0, 0, 256, 8}};
static const char *const modes[] = {"full", "lora", "prompt", "decode"};
enum { FULL, LORA, PROMPT, DECODE, MODES };
enum { PROMPT_TOKENS = 512, DECODE_TOKENS = 48, STEPS = 5 };

static struct arena arena;
static struct err error;
static const struct kernels *kernels;
static struct pool *pool;
static struct device *device;
static struct device_info info;
static double bandwidth;

static _Noreturn void stop(const char *what)
{
    fprintf(stderr, "bench_step: %s\n", what);
    _Exit(1);
}

/* ---- a model ---- */

static struct tensor_row *tensor_add(struct tensor_row *row, const char *name, int rows, int cols)
{
    *row = (struct tensor_row){arena_string(&arena, name, strlen(name)), T_BF16, cols ? 2 : 1, {rows, cols}};
    return row + 1;
}

static int list_tensors(struct tensor_row *rows, const struct shape_of *s)
{
    int kv = s->dim / s->heads * s->kv_heads;
    struct tensor_row *r = tensor_add(rows, "model.embed_tokens.weight", s->vocab, s->dim);
    const struct { const char *name; int rows, cols; } parts[] = {
        {"input_layernorm", s->dim, 0},        {"self_attn.q_proj", s->dim, s->dim},
        {"self_attn.k_proj", kv, s->dim},      {"self_attn.v_proj", kv, s->dim},
        {"self_attn.o_proj", s->dim, s->dim},  {"post_attention_layernorm", s->dim, 0},
        {"mlp.gate_proj", s->ffn, s->dim},     {"mlp.up_proj", s->ffn, s->dim},
        {"mlp.down_proj", s->dim, s->ffn}};
    for (int l = 0; l < s->layers; l++)
        for (size_t i = 0; i < COUNT(parts); i++)
            r = tensor_add(r, arena_printf(&arena, "model.layers.%d.%s.weight", l, parts[i].name),
                           parts[i].rows, parts[i].cols);
    r = tensor_add(r, "model.norm.weight", s->dim, 0);
    return (int)(r - rows);
}

/* Norms are 1, matrices uniform with the standard deviation that such models begin with. */
static void fill_tensor(float *p, int64_t n, bool norm, uint64_t seed)
{
    const double width = 0.02 * sqrt(12);
    for (int64_t i = 0; i < n; i++)
        p[i] = norm ? 1 : (float)((rand_unit(seed, (uint64_t)i) - 0.5) * width);
}

/* A Hugging Face folder of random weights, in a place of its own. */
static const char *model_write(const struct shape_of *s)
{
    static const char *const pt[] = {"format", "pt"};
    char *dir = arena_printf(&arena, "/tmp/hone-bench-%s-XXXXXX", s->name), hash[33];
    struct tensor_row *rows = NEW_N(&arena, struct tensor_row, 3 + 9 * s->layers);
    int n = list_tensors(rows, s);
    struct tensors_writer *w;
    struct buf json = buf_make(&arena);
    int64_t bytes;
    if (!mkdtemp(dir)) stop("no temporary folder can be made");
    buf_printf(&json,
               "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_act\":\"silu\","
               "\"hidden_size\":%d,\"intermediate_size\":%d,\"num_hidden_layers\":%d,"
               "\"num_attention_heads\":%d,\"num_key_value_heads\":%d,\"vocab_size\":%d,"
               "\"max_position_embeddings\":2048,\"rms_norm_eps\":1e-5,\"rope_theta\":10000.0,"
               "\"tie_word_embeddings\":true,\"torch_dtype\":\"bfloat16\"}\n",
               s->dim, s->ffn, s->layers, s->heads, s->kv_heads, s->vocab);
    if (!file_replace(path_join(&arena, dir, "config.json"), buf_text(&json), &error) ||
        !tensors_create(&w, path_join(&arena, dir, "model.safetensors"), rows, n, pt, 1, &arena, &error))
        stop(error.text);
    float *p = NEW_N(&arena, float, (int64_t)s->vocab * s->dim);
    for (int i = 0; i < n; i++) {
        int64_t elements = rows[i].dims[0] * (rows[i].rank == 2 ? rows[i].dims[1] : 1);
        fill_tensor(p, elements, rows[i].rank == 1, (uint64_t)i);
        if (!tensors_write_f32(w, p, elements, &error)) stop(error.text);
    }
    if (!tensors_finish(w, &bytes, hash, &error)) stop(error.text);
    return dir;
}

struct bench {
    const struct shape_of *shape;
    int mode;
    struct model_config config;
    struct training training;
    struct model *model;
    struct batch batch;
};

/* As the planner chooses them. */
static int loss_rows(int vocab, int rows)
{
    int most = (128 << 20) / (vocab * 4) / 64 * 64;
    most = most > 1024 ? 1024 : most < 64 ? 64 : most;
    int slices = (rows + most - 1) / most;
    return slices < 2 ? rows : ((rows + slices - 1) / slices + 15) / 16 * 16;
}

static void bench_open(struct bench *b, const char *dir, enum dtype compute, const struct kernels *k)
{
    static const char *const full[] = {"full"}, *const lora[] = {"lora"};
    static const char *const all[] = {"all-linear"};
    bool trains = b->mode == FULL || b->mode == LORA;
    if (!model_config_read(&b->config, dir, &arena, &error)) stop(error.text);
    int rows = trains ? b->shape->length * b->shape->micro : PROMPT_TOKENS;
    struct model_shape shape = {.rows = rows, .longest = trains ? b->shape->length : rows,
                                .loss_rows = trains ? loss_rows(b->config.vocab, rows) : 128,
                                .cache_tokens = trains ? 0 : PROMPT_TOKENS + DECODE_TOKENS,
                                .alone = trains};
    struct layout layout;
    b->training = (struct training){.parts = b->mode == FULL ? full : lora,
                                    .n_parts = trains,
                                    .compute = compute,
                                    .frozen = compute,
                                    .weight_decay = 0.1F};
    if (b->mode == LORA) b->training.lora = (struct lora){.rank = 16, .alpha = 32};
    if (b->mode == LORA && !lora_targets(&b->training.lora.targets, all, 1, &error)) stop(error.text);
    struct model_files files = {.base = dir};
    if (!layout_make(&layout, &b->config, &b->training, &shape, &info, &arena, &error) ||
        !model_open(&b->model, &b->config, &b->training, &shape, &layout, &files, 1, k, device, &arena,
                    &error))
        stop(error.text);
    b->batch = batch_make(&arena, rows);
    printf("memory of the layout %.0f MB\n", (double)layout.bytes * 1e-6);
}

/* ---- a step ---- */

static int32_t random_id(const struct bench *b, uint64_t seed, int i)
{
    return (int32_t)(rand_at(seed, (uint64_t)i) % (uint64_t)b->config.vocab);
}

/* One document a window, every token labelled. */
static void fill_batch(struct bench *b, int step)
{
    int length = b->shape->length;
    struct batch *x = &b->batch;
    x->rows = length * b->shape->micro, x->n_seqs = b->shape->micro;
    x->longest = length, x->trained = 0;
    for (int i = 0; i < x->rows; i++) {
        x->ids[i] = random_id(b, (uint64_t)step, i);
        x->pos[i] = i % length;
    }
    for (int i = 0; i < x->rows; i++) {
        x->targets[i] = x->pos[i] + 1 < length ? x->ids[i + 1] : -1;
        x->trained += x->targets[i] >= 0;
    }
    for (int i = 0; i <= x->n_seqs; i++) x->start[i] = i * length;
}

static void train_once(struct bench *b, int step)
{
    struct step_result r;
    struct update u = {.step = step + 1, .lr = 1e-4F, .beta1 = 0.9F, .beta2 = 0.95F, .eps = 1e-8F,
                       .max_norm = 1, .trained = b->batch.trained};
    struct draw key = {.seed = 1, .step = (uint32_t)step};
    model_begin(b->model, &u);
    model_step(b->model, &b->batch, key);
    if (!model_update(b->model, &r, &error)) stop(error.text);
    if (!isfinite(r.loss) || r.skipped) stop("a step's loss is no number");
}

static void next_token(struct bench *b, const int32_t *ids, int n, int32_t *next)
{
    struct sampling greedy = {.temperature = 0, .top_p = 1, .repetition_penalty = 1};
    if (!model_next(b->model, ids, n, &greedy, NULL, 0, (struct draw){0}, next, &error))
        stop(error.text);
}

static void generate_once(struct bench *b, int step)
{
    int32_t ids[PROMPT_TOKENS], next = 1;
    for (int i = 0; i < PROMPT_TOKENS; i++) ids[i] = random_id(b, (uint64_t)step, i);
    model_forget(b->model);
    if (b->mode == PROMPT) {
        next_token(b, ids, PROMPT_TOKENS, &next);
        return;
    }
    timed_reset(); /* what there was of opening */
    for (int i = 0; i < DECODE_TOKENS; i++) next_token(b, &next, 1, &next);
}

/* The best of some steps; *out is its budget. */
static double best_step(struct bench *b, struct timed *out)
{
    double best = 1e30;
    for (int i = 0; i < STEPS; i++) {
        if (b->mode <= LORA) fill_batch(b, i);
        timed_reset();
        double start = seconds_now();
        if (b->mode <= LORA) train_once(b, i);
        else generate_once(b, i);
        start = seconds_now() - start;
        if (i == 0 || start > best) continue; /* the first one touches fresh memory */
        best = start;
        *out = *timed_so_far();
    }
    return best;
}

/* ---- the table ---- */

static int by_time(const void *a, const void *b)
{
    double x = ((const struct timed_row *)a)->seconds, y = ((const struct timed_row *)b)->seconds;
    return (x < y) - (x > y);
}

/* Seconds that the library takes for all calls of a product. */
static double library_seconds(const struct timed_row *r)
{
    bool grad = r->product == PRODUCT_GRAD, back = r->product == PRODUCT_BACK;
    int m = grad ? r->b : r->a, n = grad || back ? r->c : r->b, inner = grad ? r->a : back ? r->b : r->c;
    return (double)r->calls * library_time(m, n, inner, r->type, grad, !grad);
}

static void print_row(const struct timed_row *r, double step, double library)
{
    char shape[48];
    if (r->kind == TIMED_PRODUCT || r->c) snprintf(shape, sizeof shape, "%d x %d x %d", r->a, r->b, r->c);
    else snprintf(shape, sizeof shape, "%d x %d", r->a, r->b);
    printf("  %-12s %-20s %5ld %9.2f ms %5.1f %%  %8.1f %s", r->name, shape, r->calls, r->seconds * 1e3,
           100 * r->seconds / step, r->work / r->seconds * 1e-9, r->kind == TIMED_BYTES ? "GB/s" : "GF/s");
    if (r->kind == TIMED_PRODUCT && library > 0) printf("  %5.0f %% of the library", 100 * library / r->seconds);
    if (r->kind == TIMED_FLOPS)
        printf("  %5.0f %% of the peak", 100 * r->work / r->seconds / kernels->peak(device, r->type));
    if (r->kind == TIMED_BYTES) printf("  %5.0f %% of reading", 100 * r->work / r->seconds / bandwidth);
    printf("\n");
    fflush(stdout);
}

static const char *mark(double share, bool bf16)
{
    const double wide[] = {62, 79, 92}, narrow[] = {80, 88, 95}, *bars = bf16 ? wide : narrow;
    return share >= bars[2] ? "moonshot" : share >= bars[1] ? "good" : share >= bars[0] ? "floor" : "under the floor";
}

static void print_budget(struct bench *b, struct timed *t, double step, enum dtype compute)
{
    double sum = 0, products = 0, library = 0;
    qsort(t->rows, (size_t)t->n, sizeof *t->rows, by_time);
    for (int i = 0; i < t->n; i++) sum += t->rows[i].seconds;
    for (int i = 0; i < t->n; i++) {
        const struct timed_row *r = &t->rows[i];
        double theirs = r->kind == TIMED_PRODUCT && r->seconds > 0.002 * step ? library_seconds(r) : 0;
        if (r->kind == TIMED_PRODUCT) products += r->seconds, library += theirs > 0 ? theirs : r->seconds;
        if (r->seconds > 0.002 * step) print_row(r, step, theirs);
    }
    printf("  between operations %37.2f ms %5.1f %%\n", (step - sum) * 1e3, 100 * (step - sum) / step);
    if (b->mode > LORA) return;
    double tokens = b->batch.rows, pairs = tokens * (b->shape->length + 1) / 2, hardware;
    double flops = model_step_flops(b->model, b->batch.rows, pairs, b->batch.trained, &hardware);
    printf("  %.0f tokens/s, MFU %.1f %%; products %.0f ms, in %s %.0f ms: the step reaches %.0f %% of the "
           "library's products alone (%s)\n",
           tokens / step, 100 * flops / step / kernels->peak(device, compute), products * 1e3, library_name(),
           library * 1e3, 100 * library / step, mark(100 * library / step, compute == BF16));
}

static void bench(const struct shape_of *s, const char *dir, int mode, enum dtype compute)
{
    struct arena_mark all = arena_mark(&arena);
    struct bench b = {.shape = s, .mode = mode};
    struct timed *t = NEW(&arena, struct timed);
    printf("\n%s, %s, %s: ", s->name, modes[mode], compute == BF16 ? "bf16" : "f32");
    bench_open(&b, dir, compute, timed_over(kernels));
    double step = best_step(&b, t);
    if (mode == DECODE) {
        double bytes = (double)b.config.parameters * (double)dtype_bytes(compute) * DECODE_TOKENS / step;
        printf("%.1f tokens/s, %.1f GB/s of weights, %.0f %% of reading\n", DECODE_TOKENS / step, bytes * 1e-9,
               100 * bytes / bandwidth);
    } else if (mode == PROMPT) printf("%.0f tokens/s\n", PROMPT_TOKENS / step);
    print_budget(&b, t, step, compute);
    model_close(b.model);
    arena_back(&arena, all);
}

/* ---- the machine ---- */

struct reading { struct slot slot; struct block *block; };
static void read_all(void *arg)
{
    struct reading *r = arg;
    kernels->sumsq(device, r->block, &r->slot, 1);
}

/* Bytes a second of 256 MB, which no cache holds. */
static double measure_reading(void)
{
    struct reading r = {.slot = {.n = 64 << 20, .gradient = F32}};
    size_t bytes = (size_t)r.slot.n * 4;
    r.block = kernels->alloc(device, sizeof *r.block);
    r.slot.g = kernels->alloc(device, bytes);
    if (!r.block || !r.slot.g) stop("no memory to read");
    kernels->fill(device, mat_make(r.slot.g, 1, (int)r.slot.n, F32), 1); /* pages of its own */
    double rate = (double)bytes / best_of(read_all, &r);
    kernels->free(device, r.slot.g, bytes);
    kernels->free(device, r.block, sizeof *r.block);
    return rate;
}

static void device_begin(void)
{
    char why[512];
    const char *build = getenv("B");
    kernels = kernels_load("cpu", build ? build : "build", why, sizeof why);
    pool = pool_make(0);
    if (!kernels || !kernels->open(&device, 0, pool, why, sizeof why)) stop(why);
    kernels->info(device, &info);
    bandwidth = measure_reading();
    printf("%s, %s, %d threads: peak %.0f GF/s f32, %.0f bf16; reading %.1f GB/s\n", info.name, info.isa,
           info.threads, kernels->peak(device, F32) * 1e-9, kernels->peak(device, BF16) * 1e-9, bandwidth * 1e-9);
}

static void bench_shape(const struct shape_of *s, const char *mode, const char *type)
{
    enum dtype t = type ? strcmp(type, "bf16") == 0 ? BF16 : F32 : info.fast[BF16] ? BF16 : F32;
    const char *dir = s->folder ? s->folder : model_write(s);
    for (int i = 0; i < MODES; i++)
        if (mode ? strcmp(mode, modes[i]) == 0 : i <= LORA || !s->folder) bench(s, dir, i, t);
    if (!s->folder && !dir_remove(dir, &error)) stop(error.text);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 2 ? argv[2] : NULL, *type = argc > 3 ? argv[3] : NULL;
    device_begin();
    if (argc > 1 && path_is_dir(argv[1]))
        bench_shape(&(struct shape_of){.name = path_base(argv[1]), .folder = argv[1], .length = 512, .micro = 4},
                    mode, type);
    else
        for (size_t i = 0; i < COUNT(shapes); i++)
            if (argc == 1 || strcmp(argv[1], shapes[i].name) == 0) bench_shape(&shapes[i], mode, type);
    kernels->close(device);
    pool_drop(pool);
    arena_drop(&arena);
    return 0;
}
