/* t_plan.c - what a profile will cost: steps, sizes, choices, refusals, and that the resolved
 * profile makes the same plan again. */
#include "tests/test.h"
#include "engine/format/json.h"
#include "engine/run/plan.h"
#include <math.h>
#include <unistd.h>
#define main tiny_main /* the program that writes a small model, as a function */
#include "tests/run/tiny.c"
#undef main

static struct arena arena;
static struct places places;
static struct machine machine;
static char folder[] = "/tmp/hone-plan-XXXXXX";

static void put_rows(const char *name, int n)
{
    struct buf b = buf_make(&arena);
    struct err err = {{0}};
    /* With the template plain each is a document of 10 + 20 bytes and the end token: 31 tokens, 21
     * trained. */
    for (int i = 0; i < n; i++)
        buf_printf(&b, "{\"prompt\": \"row %05d:\", \"completion\": \" the answer is %05d\"}\n", i,
                   i);
    assert_true(file_replace(path_join(&arena, folder, name), buf_text(&b), &err));
}

static int setup(void **s)
{
    (void)s;
    arena = arena_make(0);
    struct err err = {{0}};
    if (!mkdtemp(folder)) return -1;
    setenv("HONE_HOME", arena_printf(&arena, "%s/home", folder), 1);
    setenv("XDG_CONFIG_HOME", arena_printf(&arena, "%s/config", folder), 1);
    char *args[] = {"tiny", arena_printf(&arena, "%s/tiny", folder)};
    char *deep[] = {"tiny", arena_printf(&arena, "%s/deep", folder), "6"};
    if (tiny_main(2, args) != 0 || tiny_main(3, deep) != 0 || !places_find(&places, &arena, &err)) return -1;
    machine = (struct machine){.device = {.backend = "cpu",
                                          .name = "test",
                                          .isa = "avx2",
                                          .threads = 2,
                                          .memory_total = 8000000000,
                                          .memory_free = 4000000000,
                                          .fast = {[F32] = true},
                                          .pack_rows = 48,
                                          .pack_cols = 48,
                                          .pack_copies = {[F32] = 1, [BF16] = 2},
                                          .scratch_per_thread = 1 << 20},
                               .peak_f32 = 1e11,
                               .peak_bf16 = 1e11};
    put_rows("rows.jsonl", 101);
    put_rows("more.jsonl", 300);
    return 0;
}

static int teardown(void **s)
{
    (void)s;
    struct err err;
    dir_remove(folder, &err);
    arena_drop(&arena);
    return 0;
}

#define HEAD                                                                                       \
    "base_model: tiny\nname: t\nmax_length: 64\ntemplate: plain\npacking: none\neval: {holdout: "  \
    "0}\n"                                                                                         \
    "datasets: {rows: {path: rows.jsonl}}\n"
#define HEAD2                                                                                      \
    "base_model: tiny\nname: t\nmax_length: 64\ntemplate: plain\npacking: none\neval: {holdout: "  \
    "0}\n"                                                                                         \
    "datasets: {rows: {path: rows.jsonl}, more: {path: more.jsonl}}\n"

static bool plan_of(struct plan_inputs *in, struct profile *pinned, const char *yaml,
                    const struct machine *m, struct err *err)
{
    struct profile *p = NEW(&arena, struct profile);
    err->text[0] = 0;
    if (!profile_parse(p, text_of(yaml), path_join(&arena, folder, "t.yaml"), NULL, 0, NULL, &arena,
                       err))
        return false;
    *in = (struct plan_inputs){.profile = p, .places = &places, .machine = m};
    return plan_open(in, &arena, err) && plan_make(in, pinned, &arena, err);
}

static struct plan_stage stage_of(const char *yaml)
{
    struct plan_inputs in;
    struct profile pinned;
    struct err err;
    if (!plan_of(&in, &pinned, yaml, &machine, &err)) print_message("%s\n%s\n", yaml, err.text);
    assert_true(err.text[0] == 0);
    struct plan_stage p = in.plan.stages[0];
    plan_close(&in);
    return p;
}

/* ---- the schedule ---- */

static void the_learning_rate_follows_the_formulas(void **s)
{
    (void)s;
    struct settings set = {.learning_rate = 2, .min_lr_ratio = 0.1};
    static const struct { enum schedule kind; int64_t step, warmup, steps; double is;
    } rows[] = {{SCHEDULE_CONSTANT, 0, 4, 10, 0.5},
                {SCHEDULE_CONSTANT, 3, 4, 10, 2},
                {SCHEDULE_CONSTANT, 9, 4, 10, 2},
                {SCHEDULE_LINEAR, 4, 4, 10, 2},
                {SCHEDULE_LINEAR, 7, 4, 10, 2 * (1 - 0.9 * 0.5)},
                {SCHEDULE_LINEAR, 9, 4, 10, 2 * (1 - 0.9 * 5 / 6)},
                {SCHEDULE_COSINE, 0, 0, 10, 2},
                {SCHEDULE_COSINE, 5, 0, 10, 2 * (0.1 + 0.9 * 0.5)},
                {SCHEDULE_WSD, 89, 0, 100, 2},
                {SCHEDULE_WSD, 90, 0, 100, 2},
                {SCHEDULE_WSD, 95, 0, 100, 2 * (1 - 0.9 * 0.5)},
                {SCHEDULE_COSINE, 1, 2, 2, 2},
                {SCHEDULE_LINEAR, 0, 0, 1, 2}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        set.schedule = rows[i].kind;
        double got = schedule_at(&set, rows[i].step, rows[i].warmup, rows[i].steps);
        if (!(fabs(got - rows[i].is) < 1e-12)) print_message("row %zu: %g\n", i, got);
        assert_true(fabs(got - rows[i].is) < 1e-12);
    }
}

static void no_schedule_rises_after_its_warm_up_or_leaves_its_range(void **s)
{
    (void)s;
    struct settings set = {.learning_rate = 1e-3, .min_lr_ratio = 0.1};
    for (int kind = SCHEDULE_CONSTANT; kind <= SCHEDULE_WSD; kind++) {
        double before = 1e-3;
        set.schedule = (enum schedule)kind;
        for (int64_t step = 7; step < 50; step++) {
            double lr = schedule_at(&set, step, 7, 50);
            assert_true(lr <= before && lr >= 1e-4 - 1e-15);
            before = lr;
        }
    }
}

/* ---- arithmetic ---- */

static void steps_and_micro_batches_follow_from_windows(void **s)
{
    (void)s;
    static const struct {
        const char *more;
        int64_t windows, steps;
        int per_step, micro, accumulation;
        int64_t warmup;
    } rows[] = {
        {"batch_tokens: 256\n", 101, 26, 4, 4, 1, 1}, /* the last step is one window */
        {"batch_tokens: 256\nmicro_batch_size: 3\n", 101, 26, 4, 3, 2, 1}, /* 3 and 1 */
        {"batch_tokens: 300\nwarmup_steps: 5\n", 101, 26, 4, 4, 1, 5},
        {"batch_tokens: 10\n", 101, 101, 1, 1, 1, 4}, /* at least one window */
        {"micro_batch_size: 2\ngradient_accumulation_steps: 8\n", 101, 7, 16, 2, 8, 1},
        {"batch_tokens: 256\nmax_steps: 7\nwarmup_ratio: 0\n", 28, 7, 4, 4, 1, 0},
        {"batch_tokens: 256\nepochs: 2\n", 202, 51, 4, 4, 1, 2},
        {"batch_tokens: 256\nepochs: 0.5\nwarmup_steps: 100\n", 51, 13, 4, 4, 1, 13},
        {"batch_tokens: 4096\n", 101, 2, 64, 32, 2, 1}, /* 2,048 tokens at once */
        {"batch_tokens: 2240\n", 101, 3, 35, 18, 2, 1}, /* 18 and 17, not 32 and 3 */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct plan_stage p = stage_of(arena_printf(&arena, "%s%s", HEAD, rows[i].more));
        if (p.windows != rows[i].windows || p.steps != rows[i].steps ||
            p.micro_batch != rows[i].micro || p.warmup != rows[i].warmup)
            print_message("row %zu: %lld windows, %lld steps, micro %d, warm-up %lld\n", i,
                          (long long)p.windows, (long long)p.steps, p.micro_batch,
                          (long long)p.warmup);
        assert_true(p.windows == rows[i].windows && p.steps == rows[i].steps &&
                    p.windows_per_step == rows[i].per_step);
        assert_true(p.micro_batch == rows[i].micro && p.accumulation == rows[i].accumulation &&
                    p.warmup == rows[i].warmup);
        assert_true(p.tokens == p.windows * 31 && p.trained == p.windows * 21);
        assert_true(p.shape.rows == p.micro_batch * 64 && p.shape.longest == 64);
    }
}

static void the_sum_of_owners_is_the_whole_and_the_largest_stage_the_peak(void **s)
{
    (void)s;
    struct plan_inputs in;
    struct profile pinned;
    struct err err;
    assert_true(plan_of(&in, &pinned,
                        HEAD2 "stages:\n - {name: a, train: lora, datasets: {rows: 1}}\n"
                              " - {name: b, datasets: {rows: 0.5, more: 0.5}, micro_batch_size: "
                              "2}\n - {name: c, train: [norms], datasets: {more: 1}}\n",
                        &machine, &err));
    int64_t peak = 0, steps = 0;
    for (int i = 0; i < in.plan.n_stages; i++) {
        const struct layout *l = &in.plan.stages[i].layout;
        int64_t owned = 0, rows = 0;
        for (int o = 0; o < OWNERS; o++) owned += l->owned[o];
        for (int r = 0; r < l->n; r++) rows += (l->rows[r].bytes + 255) / 256 * 256;
        assert_true(owned == l->bytes && rows == l->bytes + l->over);
        if (l->bytes > peak) peak = l->bytes;
        steps += in.plan.stages[i].steps;
    }
    assert_true(in.plan.bytes_peak == peak && in.plan.steps == steps);
    assert_true(in.plan.stages[0].layout.parameters_lora > 0 &&
                in.plan.stages[1].layout.parameters_lora == 0);
    assert_int_equal(in.plan.stages[1].layout.parameters_trained, in.plan.model.parameters);
    assert_true(in.plan.checkpoint_bytes >
                in.plan.model.parameters * 14); /* bf16 weights, fp32 masters and moments */
    plan_close(&in);
}

static void types_are_chosen_by_what_is_fast_and_what_the_file_holds(void **s)
{
    (void)s;
    static const struct {
        bool fast;
        const char *dtype;
        enum dtype compute;
        const char *warns;
    } rows[] = {{false, "auto", F32, NULL},
                {true, "auto", BF16, NULL},
                {false, "bf16", BF16, "slower than fp32"},
                {true, "fp32", F32, NULL}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct machine m = machine;
        struct plan_inputs in;
        struct profile pinned;
        struct err err;
        m.device.fast[BF16] = rows[i].fast;
        assert_true(plan_of(&in, &pinned,
                            arena_printf(&arena, "%sdtype: %s\ntrain: lora\n", HEAD, rows[i].dtype),
                            &m, &err));
        assert_true(in.plan.compute == rows[i].compute &&
                    in.plan.stages[0].training.compute == rows[i].compute);
        assert_int_equal(in.plan.stages[0].training.frozen, BF16); /* the file is BF16 */
        assert_string_equal(pinned.dtype, rows[i].compute == BF16 ? "bf16" : "fp32");
        struct buf b = buf_make(&arena);
        plan_write_text(&in.plan, &pinned, &b);
        assert_int_equal(rows[i].warns != NULL, strstr(b.p, "slower than fp32") != NULL);
        plan_close(&in);
    }
}

/* ---- pinning ---- */

static void the_resolved_profile_makes_the_same_plan(void **s)
{
    (void)s;
    static const char *const files[] = {
        HEAD "batch_tokens: 2240\n",
        HEAD2 "batch_tokens: 512\nstages:\n - {name: a, datasets: {rows: 1}, bins: 4}\n - {name: "
              "b, train: lora, datasets: {rows: 1, more: 3}, packing: bfd}\n",
        HEAD
        "micro_batch_size: 2\ngradient_accumulation_steps: 8\ngradient_checkpointing: selective\n"};
    for (size_t i = 0; i < COUNT(files); i++) {
        struct plan_inputs in, again;
        struct profile pinned, twice;
        struct err err;
        struct buf yaml = buf_make(&arena), first = buf_make(&arena), second = buf_make(&arena);
        assert_true(plan_of(&in, &pinned, files[i], &machine, &err));
        assert_true(pinned.stages[0].set.micro_batch_size > 0 &&
                    pinned.stages[0].set.recompute >= 0 && pinned.base_model[0] == '/');
        profile_write(&pinned, &yaml);
        /* On a machine with far more memory and faster types the pinned choices stay. */
        struct machine other = machine;
        other.device.memory_free *= 100;
        other.device.fast[BF16] = true;
        assert_true(plan_of(&again, &twice, yaml.p, &other, &err));
        again.plan.bytes_free = in.plan.bytes_free;
        again.plan.disk_there = in.plan.disk_there;
        plan_write_json(&in.plan, &pinned, &first);
        plan_write_json(&again.plan, &twice, &second);
        assert_string_equal(first.p, second.p);
        plan_close(&in);
        plan_close(&again);
    }
}

/* ---- memory ---- */

/* What a way costs: as in plan_fit.c, worked out anew. */
static double cost_of(const struct plan_stage *p, const struct model_config *c)
{
    double hardware;
    model_flops(c, &p->training, 4096, 4096 * 64 / 2.0, 4096, &hardware);
    return hardware * (1 + 32.0 / p->shape.rows);
}

/* The cheapest of all micro-batches, kinds and numbers of layers that fit in `most` bytes. */
static double cheapest(const struct plan_stage *like, const struct model_config *c,
                       const struct machine *m, int64_t most, int micro_least)
{
    double best = INFINITY;
    for (int micro = 32; micro >= micro_least; micro /= 2)
        for (int r = RECOMPUTE_NONE; r <= RECOMPUTE_FULL; r++)
            for (int layers = 0; layers <= c->layers; layers++) {
                struct plan_stage p = *like;
                struct err err;
                struct arena a = arena_make(0);
                int parts = (p.windows_per_step + micro - 1) / micro;
                int even = micro_least == 1 ? (p.windows_per_step + parts - 1) / parts : micro;
                p.training.recompute = (enum recompute)r;
                p.training.recompute_layers = layers;
                p.shape.rows = even * 64;
                p.shape.loss_rows = p.shape.rows < 1024 ? p.shape.rows : 1024;
                p.shape.alone = even == p.windows_per_step;
                assert_true(layout_make(&p.layout, c, &p.training, &p.shape, &m->device, &a, &err));
                double cost = cost_of(&p, c);
                if (p.layout.bytes <= most && cost < best) best = cost;
                arena_drop(&a);
            }
    return best;
}

/* From plenty to too little: always within what is there, never dearer than needed, until nothing
 * fits; what fits only by doing things again is found. */
static void the_fastest_that_fits_is_chosen(void **s)
{
    (void)s;
    static const struct { const char *more; int micro_least; int64_t step; } rows[] = {
        {"", 1, 100000}, {"micro_batch_size: 32\n", 32, 30000}};
    int seen[RECOMPUTE_FULL + 1] = {0}, part = 0, micros = 0;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *yaml = arena_printf(&arena, "base_model: deep\n%s%sstages: [{datasets: {more: "
                                        "1}, batch_tokens: 4k}]\n", HEAD2 + 17, rows[i].more);
        bool refused = false;
        struct machine m = machine;
        for (m.device.memory_free = 66000000; !refused; m.device.memory_free -= rows[i].step) {
            struct plan_inputs in;
            struct profile pinned;
            struct err err;
            if (!plan_of(&in, &pinned, yaml, &m, &err)) {
                assert_non_null(strstr(err.text, "too much"));
                refused = true;
                continue;
            }
            const struct plan_stage *p = in.plan.stages;
            int64_t most = m.device.memory_free - m.device.memory_free / 32 - in.plan.host_bytes;
            assert_true(p->layout.bytes <= most);
            double cost = cost_of(p, &in.plan.model),
                   best = cheapest(p, &in.plan.model, &m, most, rows[i].micro_least);
            if (cost > best * (1 + 1e-12))
                fail_msg("%lld bytes: cost %g, the cheapest %g", (long long)most, cost, best);
            seen[p->training.recompute]++;
            part += p->training.recompute_layers > 0;
            micros += p->micro_batch < 32;
            plan_close(&in);
        }
    }
    assert_true(seen[RECOMPUTE_SELECTIVE] > 0 && seen[RECOMPUTE_ATTENTION] > 0);
    assert_true(seen[RECOMPUTE_FULL] > 0 && part > 0 && micros > 0);
}

/* Takes a refusal at its word: each change that "fits" does, with the figure that was said, and each
 * that is "too little" does not. */
static int take_changes(const char *list, const char *yaml, const struct machine *m, bool fits)
{
    int n = 0;
    for (const char *at = list; *at;) {
        size_t key = strcspn(at, ":"), word = strcspn(at, "(") - 1;
        const char *figure = at + word + 2;
        char bytes[16];
        struct text changed;
        struct err err = {{0}};
        struct plan_inputs in;
        struct profile pinned;
        assert_true(profile_text_set(&changed, text_of(yaml), arena_string(&arena, at, key),
                                     arena_string(&arena, at + key + 2, word - key - 2), &arena,
                                     &err));
        bool ok = plan_of(&in, &pinned, arena_string(&arena, changed.p, changed.n), m, &err);
        if (ok != fits) print_message("%.*s: %s\n", (int)word, at, err.text);
        assert_int_equal(ok, fits);
        if (ok) {
            text_bytes(bytes, in.plan.bytes_peak);
            assert_memory_equal(figure, bytes, strlen(bytes));
            plan_close(&in);
        } else assert_non_null(strstr(err.text, arena_string(&arena, figure, strcspn(figure, ")"))));
        n++;
        at = figure + strcspn(figure, ")") + 1;
        if (strncmp(at, ", ", 2) != 0) break;
        at += 2;
    }
    return n;
}

static void what_a_refusal_names_makes_it_fit_and_what_it_excludes_does_not(void **s)
{
    (void)s;
    static const char *const files[] = {
        HEAD "micro_batch_size: 16\ngradient_checkpointing: none\nbatch_tokens: 1024\n",
        HEAD "batch_tokens: 1024\n",
        HEAD "train: lora\nmicro_batch_size: 16\nbatch_tokens: 1024\n"};
    static const char yes[] = "It fits with one of: ", no[] = "too little: ",
                      none[] = "no single change makes it fit: with ";
    int fitted = 0, unfit = 0, nothing = 0;
    for (size_t i = 0; i < COUNT(files); i++)
        for (int64_t free = 80000000; free > 45000000; free = free * 99 / 100) {
            struct machine m = machine;
            struct plan_inputs in;
            struct profile pinned;
            struct err err;
            m.device.memory_free = free;
            if (plan_of(&in, &pinned, files[i], &m, &err)) {
                plan_close(&in);
                continue;
            }
            const char *fit = strstr(err.text, yes), *not = strstr(err.text, no),
                       *all = strstr(err.text, none);
            assert_true((fit != NULL) != (all != NULL));
            if (fit) fitted += take_changes(fit + sizeof yes - 1, files[i], &m, true);
            if (not) unfit += take_changes(not + sizeof no - 1, files[i], &m, false);
            if (all) nothing += take_changes(all + sizeof none - 1, files[i], &m, false);
        }
    assert_true(fitted > 10 && unfit > 10 && nothing > 10);
}

/* ---- refusals ---- */

static void what_cannot_run_is_refused_in_a_sentence(void **s)
{
    (void)s;
    static const struct { const char *yaml, *says;
    } rows[] = {
        {"base_model: tiny\ntemplate: plain\ndatasets: {x: {path: absent.jsonl}}\n",
         "dataset x: there is no file"},
        {"base_model: nobody\ntemplate: plain\ndatasets: {x: {path: rows.jsonl}}\n",
         "there is no model nobody"},
        {"base_model: ./absent\ntemplate: plain\ndatasets: {x: {path: rows.jsonl}}\n",
         "there is no model"},
        {"base_model: tiny\ntemplate: nothing\ndatasets: {x: {path: rows.jsonl}}\n", "template"},
        {HEAD "train: [/nowhere/]\n", "nowhere"},
        {HEAD "train: \"last:9\"\n", "last:9"},
        {HEAD "train: lora\nlora: {init_from: absent}\n", "lora.init_from: there is no file"},
        {HEAD "batch_tokens: 900M\nmax_length: 1048576\nmicro_batch_size: 60000\n", "too much"},
        {HEAD "micro_batch_size: 60000\ngradient_accumulation_steps: 60000\n",
         "3600000000 windows"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct plan_inputs in;
        struct profile pinned;
        struct err err;
        struct text text = text_of(rows[i].yaml);
        if (strstr(rows[i].yaml, "max_length: 1048576")) /* said twice otherwise */
            assert_true(profile_text_set(
                &text, text_of(HEAD "micro_batch_size: 60000\nbatch_tokens: 900M\n"), "max_length",
                "1048576", &arena, &err));
        bool ok = plan_of(&in, &pinned, arena_string(&arena, text.p, text.n), &machine, &err);
        if (ok || !strstr(err.text, rows[i].says))
            print_message("%s -> %s\n", rows[i].yaml, err.text);
        assert_false(ok);
        assert_non_null(strstr(err.text, rows[i].says));
    }
    struct machine broken = machine;
    struct plan_inputs in;
    struct profile pinned;
    struct err err;
    snprintf(broken.problem, sizeof broken.problem, "it is too old");
    assert_false(plan_of(&in, &pinned, HEAD, &broken, &err));
    assert_non_null(strstr(err.text, "it is too old"));
}

static void a_tokenizer_larger_than_its_model_is_refused(void **s)
{
    (void)s;
    struct err err = {{0}};
    char *args[] = {"tiny", arena_printf(&arena, "%s/other", folder)};
    assert_int_equal(tiny_main(2, args), 0);
    assert_true(file_replace(path_join(&arena, args[1], "tokenizer.json"),
                             TEXT("{\"model\": {\"type\": \"bytes\"}, \"added_tokens\": [{\"id\": "
                                  "256, \"content\": \"<|end|>\", \"special\": true}, "
                                  "{\"id\": 257, \"content\": \"<|more|>\", \"special\": true}]}"),
                             &err));
    struct plan_inputs in;
    struct profile pinned;
    assert_false(plan_of(&in, &pinned,
                         "base_model: other\ntemplate: plain\ndatasets: {x: {path: rows.jsonl}}\n",
                         &machine, &err));
    assert_non_null(strstr(err.text, "258 pieces"));
    assert_non_null(strstr(err.text, "257 rows"));
}

/* ---- time ---- */

static void the_time_comes_from_earlier_runs_of_the_same_kind(void **s)
{
    (void)s;
    struct plan_inputs in;
    struct profile pinned;
    struct err err = {{0}};
    assert_true(dir_make(places.home, &err) && plan_of(&in, &pinned, HEAD, &machine, &err));
    assert_non_null(strstr(in.plan.seconds_source, "peak at 50 %"));
    double expected = in.plan.stages[0].hardware_flops / (0.5 * machine.peak_f32);
    assert_true(fabs(in.plan.seconds - expected) < 1e-9 * expected && in.plan.seconds > 0);
    const char *key = in.plan.stages[0].speed_key;
    int64_t tokens = in.plan.tokens;
    plan_close(&in);
    struct buf many = buf_make(&arena); /* 250 other kinds: the file stays small */
    for (int i = 0; i < 250; i++)
        buf_printf(&many,
                   "%s{\"key\": \"kind %d\", \"tokens_per_second\": 10, \"run\": \"x\", \"t\": 1}",
                   i ? ", " : "{\"speeds\": [", i);
    buf_printf(&many, "]}");
    assert_true(file_replace(path_join(&arena, places.home, "speeds.json"), buf_text(&many), &err));
    assert_true(plan_remember_speed(&places, key, "demo-0006", 1000, &arena, &err));
    assert_true(plan_remember_speed(&places, key, "demo-0007", 500, &arena, &err));
    assert_true(plan_remember_speed(&places, key, "demo-0008", NAN, &arena,
                                    &err)); /* no reading: nothing kept */
    assert_true(plan_of(&in, &pinned, HEAD, &machine, &err));
    assert_string_equal(in.plan.seconds_source, "measured here, demo-0007");
    assert_true(in.plan.seconds == (double)tokens / 500);
    plan_close(&in);
    assert_true(plan_of(&in, &pinned, HEAD "train: lora\n", &machine, &err)); /* another kind */
    assert_non_null(strstr(in.plan.seconds_source, "peak"));
    plan_close(&in);
    struct text kept;
    assert_true(
        file_read(&kept, path_join(&arena, places.home, "speeds.json"), 1 << 20, &arena, &err));
    assert_true(json_parse(&(const struct json *){0}, kept, "speeds.json", (struct json_limits){0},
                           &arena, &err));
    assert_true(strstr(kept.p, "demo-0007") && !strstr(kept.p, "demo-0006") &&
                strstr(kept.p, "\"kind 150\"") && !strstr(kept.p, "\"kind 240\""));
    assert_true(file_replace(path_join(&arena, places.home, "speeds.json"),
                             TEXT("{\"speeds\": [1, {\"key\": 3}]} x"), &err));
    assert_true(plan_of(&in, &pinned, HEAD, &machine,
                        &err)); /* a spoilt file costs the estimate, not the plan */
    plan_close(&in);
}

/* ---- words ---- */

static void the_plan_says_what_a_person_asks(void **s)
{
    (void)s;
    struct plan_inputs in;
    struct profile pinned;
    struct err err;
    struct buf text = buf_make(&arena), json = buf_make(&arena);
    assert_true(plan_of(&in, &pinned, HEAD "batch_tokens: 256\n", &machine, &err));
    plan_write_text(&in.plan, &pinned, &text);
    plan_write_json(&in.plan, &pinned, &json);
    static const char *const says[] = {"101 rows",
                                       "26 steps of 4 windows of 64 tokens",
                                       "3,131 tokens",
                                       "trained 67.7 %",
                                       "weights",
                                       "masters",
                                       "moments",
                                       "gradients",
                                       "activations",
                                       "micro-batch 4",
                                       "micro_batch_size: 4",
                                       "tokens lost 0",
                                       "peak at 50 %",
                                       "for the checkpoints",
                                       "learns"};
    for (size_t i = 0; i < COUNT(says); i++) {
        if (!strstr(text.p, says[i])) print_message("%s\n-- lacks: %s\n", text.p, says[i]);
        assert_non_null(strstr(text.p, says[i]));
    }
    const struct json *o, *stages;
    assert_true(
        json_parse(&o, buf_text(&json), "plan.json", (struct json_limits){0}, &arena, &err));
    stages = json_get(o, "stages");
    assert_int_equal(json_get(o, "steps")->integer, 26);
    assert_int_equal(json_get(&stages->items[0], "micro_batch")->integer, 4);
    assert_int_equal(json_get(json_get(&stages->items[0], "memory"), "total")->integer,
                     in.plan.bytes_peak);
    assert_int_equal(json_get(o, "memory")->integer, in.plan.bytes_peak);
    plan_close(&in);
}

static const char *with_silent_rows(int good, int silent)
{
    struct buf b = buf_make(&arena);
    struct err err;
    for (int i = 0; i < good; i++)
        buf_printf(&b, "{\"prompt\": \"row %05d:\", \"completion\": \" the answer\"}\n", i);
    for (int i = 0; i < silent; i++) /* cut off before its answer */
        buf_printf(&b,
                   "{\"prompt\": \"row %070d\", \"completion\": \" the answer\"}\n", i);
    assert_true(file_replace(path_join(&arena, folder, "silent.jsonl"), buf_text(&b), &err));
    return "base_model: tiny\nname: t\nmax_length: 64\ntemplate: plain\neval: {holdout: 0}\n"
           "datasets: {quiet: {path: silent.jsonl}}\n";
}

static void more_than_one_row_in_a_hundred_that_teaches_nothing_wants_a_yes(void **s)
{
    (void)s;
    static const struct {
        int good, silent;
        const char *says;
    } rows[] = {{99, 0, NULL},
                {99, 1, NULL},
                {97, 2, "quiet: 2 of 99 rows (2.0 %) hold no trained token"},
                {10, 90, "quiet: 90 of 100 rows (90.0 %) hold no trained token"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct plan_inputs in;
        struct profile pinned;
        struct err err;
        struct problems asked = {0};
        struct buf json = buf_make(&arena), text = buf_make(&arena);
        assert_true(plan_of(&in, &pinned, with_silent_rows(rows[i].good, rows[i].silent), &machine,
                            &err));
        assert_int_equal(plan_questions(&in.plan, NULL, &arena), rows[i].says != NULL);
        plan_questions(&in.plan, &asked, &arena);
        assert_int_equal(asked.n, rows[i].says != NULL);
        plan_write_json(&in.plan, &pinned, &json);
        plan_write_text(&in.plan, &pinned, &text);
        if (rows[i].says) assert_non_null(strstr(asked.list[0].text, rows[i].says));
        if (rows[i].says) assert_non_null(strstr(json.p, rows[i].says));
        if (rows[i].says) assert_non_null(strstr(text.p, rows[i].says));
        else assert_non_null(strstr(json.p, "\"questions\": []"));
        plan_close(&in);
    }
}

/* ---- presets ---- */

/* Each preset parses, tells what it is, and makes a plan; where its model is not on this machine,
 * with the small one of this test in its place. */
static void every_preset_parses_and_checks(void **s)
{
    (void)s;
    char **names;
    int n, checked = 0;
    struct err err = {{0}};
    assert_true(dir_list(&names, &n, places.profiles, &arena, &err));
    for (int i = 0; i < n; i++) {
        size_t length = strlen(names[i]);
        if (length < 6 || strcmp(names[i] + length - 5, ".yaml") != 0) continue;
        const char *model = arena_printf(&arena, "base_model=%s/tiny", folder),
                   *sets[] = {model, "template=plain", "device=cpu"};
        const char *path = path_join(&arena, places.profiles, names[i]);
        struct profile *p = NEW(&arena, struct profile), pinned;
        struct problems problems = {0};
        if (!profile_read(p, path, sets, 3, &problems, &arena, &err))
            print_message("%s\n", err.text);
        assert_string_equal(err.text, "");
        assert_true(strlen(p->about) > 40);
        assert_string_equal(p->name, arena_string(&arena, names[i], length - 5));
        bool there = true;
        for (int d = 0; d < p->n_datasets; d++) there = there && path_exists(p->datasets[d].path);
        for (int q = 0; q < p->eval.n_quiz; q++) there = there && path_exists(p->eval.quiz[q]);
        if (!there) {
            print_message(
                "%s: its data are made by another program and are not here; parsed only\n",
                names[i]);
            continue;
        }
        struct plan_inputs in = {.profile = p, .places = &places, .machine = &machine};
        bool ok = plan_open(&in, &arena, &err) && plan_make(&in, &pinned, &arena, &err);
        if (!ok) print_message("%s: %s\n", names[i], err.text);
        assert_true(ok);
        checked++;
        plan_close(&in);
    }
    assert_true(checked >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_learning_rate_follows_the_formulas),
        cmocka_unit_test(no_schedule_rises_after_its_warm_up_or_leaves_its_range),
        cmocka_unit_test(steps_and_micro_batches_follow_from_windows),
        cmocka_unit_test(the_sum_of_owners_is_the_whole_and_the_largest_stage_the_peak),
        cmocka_unit_test(types_are_chosen_by_what_is_fast_and_what_the_file_holds),
        cmocka_unit_test(the_resolved_profile_makes_the_same_plan),
        cmocka_unit_test(the_fastest_that_fits_is_chosen),
        cmocka_unit_test(what_a_refusal_names_makes_it_fit_and_what_it_excludes_does_not),
        cmocka_unit_test(what_cannot_run_is_refused_in_a_sentence),
        cmocka_unit_test(a_tokenizer_larger_than_its_model_is_refused),
        cmocka_unit_test(the_time_comes_from_earlier_runs_of_the_same_kind),
        cmocka_unit_test(the_plan_says_what_a_person_asks),
        cmocka_unit_test(more_than_one_row_in_a_hundred_that_teaches_nothing_wants_a_yes),
        cmocka_unit_test(every_preset_parses_and_checks),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
