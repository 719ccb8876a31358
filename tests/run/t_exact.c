/* t_exact.c - the bits of a run depend on nothing but its folder: 100 steps on one, two, three and
 * four threads, whole or stopped after 1, 13, 57 or 99 of them and resumed, end in the same
 * weights, moments, positions and losses. And a resume says whether it can be so: exact or close,
 * and why. */
#include "tests/test.h"
#include "engine/run/checkpoint.h"
#include "kernels/kernels.h"
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#define main tiny_main /* the program that writes a small model, as a function */
#include "tests/run/tiny.c"
#undef main

static struct arena arena;
static struct places places;
static char folder[64]; /* in memory where that can be: thousands of syncs are not what is tested */

static void put_rows(const char *name, const char *word, int n)
{
    struct buf b = buf_make(&arena);
    struct err err;
    for (int i = 0; i < n; i++)
        buf_printf(&b, "{\"instruction\": \"%s %d?\", \"output\": \"%.*s%s%d\"}\n", word,
                   i * 7 % 100, 1 + i % 3, "aeiou" + i % 3, word, i % 10);
    assert_true(file_replace(path_join(&arena, folder, name), buf_text(&b), &err));
}

static int setup(void **s)
{
    (void)s;
    struct err err;
    arena = arena_make(0);
    bool memory = access("/dev/shm", W_OK) == 0;
    snprintf(folder, sizeof folder, "%s/hone-exact-XXXXXX", memory ? "/dev/shm" : "/tmp");
    if (!mkdtemp(folder)) return -1;
    setenv("HONE_HOME", arena_printf(&arena, "%s/home", folder), 1);
    setenv("XDG_CONFIG_HOME", arena_printf(&arena, "%s/config", folder), 1);
    unsetenv("HONE_ISA");
    char *args[] = {"tiny", arena_printf(&arena, "%s/tiny", folder)};
    if (tiny_main(2, args) != 0 || !places_find(&places, &arena, &err)) return -1;
    put_rows("a.jsonl", "hop", 200);
    put_rows("b.jsonl", "tin", 150);
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

/* Two stages, buckets, a mix, validation, accumulation; clipping is always at work, so that the
 * norm of all gradients counts in every bit. */
#define HEAD                                                                           \
    "name: t\nbase_model: tiny\nmax_length: 64\ntemplate: qa\nbatch_tokens: 256\n"     \
    "micro_batch_size: 2\ndatasets: {a: {path: a.jsonl}, b: {path: b.jsonl}}\n"        \
    "eval: {every_steps: 25, holdout: 10%}\nsave: {every_steps: 30, total_limit: 2}\n" \
    "max_grad_norm: 0.05\n"
#define STAGES                                                      \
    "stages:\n  - {name: one, datasets: {a: 1.0}, max_steps: 40}\n" \
    "  - {name: two, datasets: {a: 0.4, b: 0.6}, bins: 3, max_steps: 60}\n"
static const char full[] = HEAD "dtype: fp32\nlearning_rate: 1e-2\n" STAGES;
static const char narrow[] =
    HEAD "dtype: bf16\nlearning_rate: 1e-2\noptimizer: {state_dtype: 8bit}\n" STAGES;
static const char lora[] = HEAD "dtype: fp32\nlearning_rate: 2e-2\ntrain: lora\n"
                                "lora: {rank: 4, dropout: 0.1}\nneftune_alpha: 5\n" STAGES;

static const char *make(const char *name, const char *yaml)
{
    struct profile p;
    struct err err = {{0}};
    const char *dir;
    bool ok = profile_parse(&p, text_of(yaml), path_join(&arena, folder, "t.yaml"), NULL, 0, NULL,
                            &arena, &err) &&
              run_create(&dir, path_join(&arena, folder, name), &p, &places, &arena, &err);
    if (!ok) fail_msg("%s", err.text);
    return dir;
}

/* ---- a life of a run ---- */

struct life {
    int threads;
    int64_t stop;        /* after this step; 0: none */
    const char *backend; /* NULL: cpu */
    const char *plugins; /* NULL: where they were built */
    int64_t step;        /* where it is */
    bool ordered;
    char exact[16], why[512]; /* what it says of its resume, "" where it was none */
};

static bool next_order(void *arg, struct order *out, bool wait)
{
    struct life *l = arg;
    (void)wait;
    if (!l->stop || l->step != l->stop || l->ordered) return false;
    l->ordered = true;
    *out = (struct order){.kind = ORDER_STOP, .by = "the test"};
    return true;
}

static void nothing_between(void *arg, struct model *m, const struct model_config *c,
                            const struct tokenizer *tok, const struct template *tpl, int64_t step)
{
    (void)arg, (void)m, (void)c, (void)tok, (void)tpl, (void)step;
}

static void heard(void *arg, const struct event *e)
{
    struct life *l = arg;
    if (e->kind == EV_STEP) l->step = e->step.step;
    if (e->kind != EV_RESUMED) return;
    snprintf(l->exact, sizeof l->exact, "%.*s", (int)e->resumed.exact.n, e->resumed.exact.p);
    snprintf(l->why, sizeof l->why, "%.*s", (int)e->resumed.why.n, e->resumed.why.p);
}

/* Measuring how fast the processor is decides no bit and takes half a second a life. */
static double no_peak(struct device *d, enum dtype t)
{
    (void)d, (void)t;
    return 0;
}

static void leave_out_the_measurement(void)
{
    char why[400];
    const struct kernels *k = kernels_load("cpu", places.plugins, why, sizeof why);
    assert_non_null(k);
    ((struct kernels *)(uintptr_t)k)->peak = no_peak; /* the plug-in filled it as it was loaded */
}

/* True where it ended well: at its end, or after the step it was to stop at. */
static bool live(const char *dir, struct life *l)
{
    struct arena a = arena_make(0);
    struct err err = {{0}};
    struct run_options o = {.backend = l->backend, .threads = l->threads};
    struct run_hooks hooks = {l, next_order, nothing_between, heard};
    struct places here = places;
    if (l->plugins) here.plugins = l->plugins;
    leave_out_the_measurement();
    bool ok = run_train(dir, &o, &hooks, &here, &a, &err);
    if (!ok) print_message("%s: %s\n", dir, err.text);
    arena_drop(&a);
    return ok && l->ordered == (l->stop > 0) && l->step == (l->stop ? l->stop : 100);
}

/* ---- all state ---- */

static void add_file(struct hash *h, const char *dir, const char *name)
{
    struct text t;
    struct err err = {{0}};
    if (!file_read(&t, path_join(&arena, dir, name), 1 << 28, &arena, &err))
        fail_msg("%s", err.text);
    hash_add(h, name, strlen(name) + 1);
    hash_add(h, t.p, t.n);
}

static void add_progress(struct hash *h, const struct progress *p)
{
    const double numbers[] = {p->best, p->validation, p->learning_rate, p->spike_mean,
                              p->spike_var};
    const int64_t counts[] = {p->step, p->stage, p->stage_step, p->spike_n, p->skipped_in_row};
    hash_add(h, numbers, sizeof numbers);
    hash_add(h, counts, sizeof counts);
}

/* Weights, masters and moments by their bytes; where the data and the random numbers are (functions
 * of the seed, the stage and its steps), the guard and the best; the numbers of each of the steps.
 */
static const char *state_of(const char *dir)
{
    struct checkpoint last;
    struct manifest m;
    struct metric *steps;
    struct hash h;
    struct err err = {{0}};
    int64_t n;
    char **names;
    int n_names;
    char *out = arena_take(&arena, 1, 33);
    hash_start(&h, &arena);
    if (!checkpoint_newest(&last, dir, VERIFY_ALL, &arena, &err) ||
        !manifest_read(&m, last.path, &arena, &err) ||
        !run_metrics(&steps, &n, dir, &arena, &err) ||
        !dir_list(&names, &n_names, last.path, &arena, &err))
        fail_msg("%s: %s", dir, err.text);
    assert_int_equal(m.progress.step, 100);
    assert_int_equal(n, 100);
    add_progress(&h, &m.progress);
    for (int64_t i = 0; i < n; i++) {
        const double row[] = {steps[i].step,      steps[i].loss,   steps[i].lr,
                              steps[i].grad_norm, steps[i].tokens, steps[i].trained};
        hash_add(&h, row, sizeof row);
    }
    for (int i = 0; i < n_names; i++)
        if (strcmp(names[i], MANIFEST) != 0) add_file(&h, last.path, names[i]);
    return hash_text(&h, out);
}

static void drop(const char *dir)
{
    struct err err = {{0}};
    if (!dir_remove(dir, &err)) fail_msg("%s", err.text);
}

/* The state after the lives of one run: stopped after each of the steps, resumed by so many threads
 * as the next life has. */
static const char *state_after(const char *yaml, int threads, int step_threads,
                               const int64_t *stops, int n_stops)
{
    const char *dir = make("run", yaml);
    for (int i = 0; i <= n_stops; i++) {
        struct life l = {.threads = (threads + i * step_threads - 1) % 4 + 1,
                         .stop = i < n_stops ? stops[i] : 0,
                         .step = i ? stops[i - 1] : 0};
        assert_true(live(dir, &l));
        assert_string_equal(l.exact, i ? "exact" : "");
    }
    const char *state = state_of(dir);
    drop(dir);
    return state;
}

static void ends_the_same(const char *yaml)
{
    static const int64_t stops[] = {1, 13, 57, 99};
    const char *whole = state_after(yaml, 1, 0, NULL, 0);
    for (int threads = 1; threads <= 4; threads++) {
        assert_string_equal(state_after(yaml, threads, 0, NULL, 0), whole);
        for (size_t i = 0; i < COUNT(stops); i++)
            assert_string_equal(state_after(yaml, threads, 0, &stops[i], 1), whole);
        /* All four stops, each life on another number of threads. */
        assert_string_equal(state_after(yaml, threads, 1, stops, COUNT(stops)), whole);
    }
}

static void full_training_ends_in_the_same_bits_on_any_threads_and_after_any_stop(void **s)
{
    (void)s;
    ends_the_same(full);
}

static void narrow_moments_end_in_the_same_bits_on_any_threads_and_after_any_stop(void **s)
{
    (void)s;
    ends_the_same(narrow);
}

static void an_adapter_with_dropout_and_noise_ends_in_the_same_bits(void **s)
{
    (void)s;
    ends_the_same(lora);
}

/* A step is a mean over its labels, however many micro-batches they come in. */
static void the_size_of_micro_batches_changes_no_mean(void **s)
{
    (void)s;
    struct metric *small, *large;
    struct err err;
    int64_t n, m;
    static const char *const sizes[] = {"size: 1", "size: 4"};
    const char *dirs[2];
    for (int i = 0; i < 2; i++) {
        struct life l = {.threads = 2};
        char *yaml = arena_printf(&arena, "%s", full);
        memcpy(strstr(yaml, "size: 2"), sizes[i], 7);
        dirs[i] = make(arena_printf(&arena, "mean%d", i), yaml);
        assert_true(live(dirs[i], &l));
    }
    assert_true(run_metrics(&small, &n, dirs[0], &arena, &err));
    assert_true(run_metrics(&large, &m, dirs[1], &arena, &err));
    assert_true(n == 100 && m == 100);
    for (int i = 0; i < 10; i++) { /* later the rounding of each step has grown */
        assert_true(small[i].trained == large[i].trained && small[i].tokens == large[i].tokens);
        assert_true(fabs(small[i].loss / large[i].loss - 1) < 1e-4);
        assert_true(fabs(small[i].grad_norm / large[i].grad_norm - 1) < 1e-3);
    }
    drop(dirs[0]);
    drop(dirs[1]);
}

/* The comparison itself: a run that differs in its seed alone is told apart. */
static void another_seed_is_another_state(void **s)
{
    (void)s;
    const char *other = arena_printf(&arena, "seed: 43\n%s", full);
    assert_string_not_equal(state_after(full, 2, 0, NULL, 0), state_after(other, 2, 0, NULL, 0));
}

/* ---- what a resume says ---- */

static bool says_each_fact(int fact, const char *then, const char *now, bool base_counts,
                           const char *says)
{
    struct maker x = {.threads = 2}, y = {.threads = 2};
    struct buf why = buf_make(&arena);
    for (int i = 0; i < MAKER_FACTS; i++) x.fact[i] = y.fact[i] = "same";
    x.fact[fact] = then;
    y.fact[fact] = now;
    bool exact = maker_same(&x, &y, base_counts, &why);
    if (!text_is(buf_text(&why), says)) print_message("%s\n", buf_text(&why).p);
    return !exact && text_is(buf_text(&why), says);
}

static void every_fact_that_decides_bits_makes_a_resume_close_by_name(void **s)
{
    (void)s;
    static const struct {
        int fact;
        const char *then, *now, *says;
    } rows[] = {{MADE_VERSION, "0.1.0", "0.2.0", "hone's version was 0.1.0 and is 0.2.0"},
                {MADE_PROGRAM, "00ff", "00fe", "the build of hone changed"},
                {MADE_BACKEND, "cpu", "ref", "the backend was cpu and is ref"},
                {MADE_LIBRARY, "none", "x 1", "the library of the products was none and is x 1"},
                {MADE_ISA, "avx512", "avx2", "the instruction set was avx512 and is avx2"},
                {MADE_PROCESSOR, "EPYC", "Xeon", "the processor was EPYC and is Xeon"},
                {MADE_DTYPE, "bf16", "fp32", "the compute type was bf16 and is fp32"},
                {MADE_PROFILE, "1", "2", "the run's profile.yaml changed"},
                {MADE_DATA, "1", "2", "the data, its tokenizer or its template changed"},
                {MADE_BASE, "1", "2", "the base model's files changed"}};
    assert_int_equal(COUNT(rows), MAKER_FACTS);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(rows[i].fact, i);
        assert_true(says_each_fact(rows[i].fact, rows[i].then, rows[i].now, true, rows[i].says));
    }
}

static void a_base_that_is_not_read_again_decides_nothing(void **s)
{
    (void)s;
    struct maker x = {.threads = 2}, y = {.threads = 3};
    struct buf why = buf_make(&arena);
    for (int i = 0; i < MAKER_FACTS; i++) x.fact[i] = y.fact[i] = "same";
    y.fact[MADE_BASE] = "other";
    assert_true(maker_same(&x, &y, false, &why));
    assert_true(text_is(buf_text(&why), "3 threads instead of 2, which change no bit"));
    why.n = 0;
    x.threads = 3;
    assert_true(maker_same(&x, &y, false, &why));
    assert_true(text_is(buf_text(&why), "the same program on the same machine"));
    y.fact[MADE_VERSION] = "2", y.fact[MADE_PROGRAM] = "p"; /* a version is a build: said once */
    y.fact[MADE_ISA] = "avx2";
    why.n = 0;
    assert_false(maker_same(&x, &y, false, &why));
    assert_true(text_is(buf_text(&why), "hone's version was same and is 2; the instruction set was "
                                        "same and is avx2"));
}

/* Resumes a run that was stopped after 13 steps, and is then stopped after the next one. */
static void resumes(const char *dir, struct life next, const char *exact, const char *why)
{
    next.step = 13;
    next.stop = 14;
    assert_true(live(dir, &next));
    if (strcmp(next.exact, exact) != 0 || !strstr(next.why, why))
        print_message("%s: %s\n", next.exact, next.why);
    assert_string_equal(next.exact, exact);
    assert_non_null(strstr(next.why, why));
    drop(dir);
}

static const char *stopped(const char *yaml)
{
    struct life first = {.threads = 2, .stop = 13};
    const char *dir = make("said", yaml);
    assert_true(live(dir, &first));
    return dir;
}

static void other_threads_are_exact_and_another_backend_is_close(void **s)
{
    (void)s;
    resumes(stopped(full), (struct life){.threads = 2}, "exact", "the same program on the same");
    resumes(stopped(full), (struct life){.threads = 3}, "exact", "3 threads instead of 2, which");
    resumes(stopped(full), (struct life){.threads = 2, .backend = "ref"}, "close",
            "the backend was cpu and is ref");
}

static void copy_changed(const char *from, const char *to)
{
    struct text t;
    struct buf b = buf_make(&arena);
    struct err err = {{0}};
    if (!file_read(&t, from, 1 << 28, &arena, &err)) fail_msg("%s", err.text);
    buf_put(&b, t.p, t.n);
    buf_put(&b, "\n", 1);
    if (!file_replace(to, buf_text(&b), &err)) fail_msg("%s", err.text);
}

static void another_build_of_the_kernels_is_close(void **s)
{
    (void)s;
    struct err err;
    const char *other = path_join(&arena, folder, "other");
    assert_true(dir_make(other, &err));
    copy_changed(path_join(&arena, places.plugins, "hone-cpu.so"),
                 path_join(&arena, other, "hone-cpu.so"));
    resumes(stopped(full), (struct life){.threads = 2, .plugins = other}, "close",
            "the build of hone changed");
}

static void a_changed_profile_and_changed_data_are_close(void **s)
{
    (void)s;
    const char *dir = stopped(full), *profile = path_join(&arena, dir, "profile.yaml");
    copy_changed(profile, profile);
    resumes(dir, (struct life){.threads = 2}, "close", "the run's profile.yaml changed");
    dir = stopped(full);
    put_rows("a.jsonl", "hat", 200);
    resumes(dir, (struct life){.threads = 2}, "close",
            "the data, its tokenizer or its template changed");
    put_rows("a.jsonl", "hop", 200);
}

static void a_touched_base_is_close_for_an_adapter_and_exact_for_a_whole_model(void **s)
{
    (void)s;
    const char *weights = path_join(&arena, folder, "tiny/model.safetensors");
    const struct timespec later[2] = {{2000000000, 0}, {2000000000, 5}};
    const char *dir = stopped(lora);
    struct stat before;
    assert_int_equal(stat(weights, &before), 0);
    const struct timespec then[2] = {before.st_atim, before.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, weights, later, 0), 0);
    resumes(dir, (struct life){.threads = 2}, "close", "the base model's files changed");
    assert_int_equal(utimensat(AT_FDCWD, weights, then, 0), 0);
    dir = stopped(full);
    assert_int_equal(utimensat(AT_FDCWD, weights, later, 0), 0);
    resumes(dir, (struct life){.threads = 2}, "exact", "the same program on the same machine");
}

/* Comes first: the kernels are chosen when they are loaded, once a process. */
static void a_lower_instruction_set_is_close(void **s)
{
    (void)s;
    struct life first = {.threads = 2, .stop = 13};
    const char *dir = make("said", full);
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl")) {
        print_message("this processor has one instruction set only\n");
        drop(dir);
        skip();
    }
    pid_t child = fork();
    if (child == 0) {
        setenv("HONE_ISA", "avx2", 1);
        _exit(!live(dir, &first));
    }
    int status = 1;
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    assert_int_equal(status, 0);
    resumes(dir, (struct life){.threads = 2}, "close",
            "the instruction set was avx2 and is avx512");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lower_instruction_set_is_close),
        cmocka_unit_test(full_training_ends_in_the_same_bits_on_any_threads_and_after_any_stop),
        cmocka_unit_test(narrow_moments_end_in_the_same_bits_on_any_threads_and_after_any_stop),
        cmocka_unit_test(an_adapter_with_dropout_and_noise_ends_in_the_same_bits),
        cmocka_unit_test(the_size_of_micro_batches_changes_no_mean),
        cmocka_unit_test(another_seed_is_another_state),
        cmocka_unit_test(every_fact_that_decides_bits_makes_a_resume_close_by_name),
        cmocka_unit_test(a_base_that_is_not_read_again_decides_nothing),
        cmocka_unit_test(other_threads_are_exact_and_another_backend_is_close),
        cmocka_unit_test(another_build_of_the_kernels_is_close),
        cmocka_unit_test(a_changed_profile_and_changed_data_are_close),
        cmocka_unit_test(a_touched_base_is_close_for_an_adapter_and_exact_for_a_whole_model)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
