/* t_lives.c - the sweep over runs as wholes: a run from its profile to its end, one that is resumed
 * from a checkpoint, and an export. Whatever call fails: what was saved is there, the journal is
 * whole, and the next start goes on to the same bits as a run that nothing happened to. */
#include "tests/serve/sweep.h"
#include "tests/run/tiny_model.h"
#include "engine/run/checkpoint.h"
#include "kernels/pool.h"

static char root[64], run[80], out[80], half[80], whole[80], gguf[80];
static char good_run[33], good_export[33];
static struct places places;
static const struct run_options options = {.backend = "ref", .threads = 1};

/* ---- a run ---- */

static int64_t stop_at; /* an order to stop comes after this step; 0: none does */
static int64_t at_step;
static bool ordered;

static bool take_order(void *arg, struct order *o, bool wait)
{
    (void)arg;
    *o = (struct order){.kind = ORDER_STOP, .by = "test"};
    bool now = wait || (stop_at && at_step >= stop_at && !ordered); /* a paused run is stopped */
    ordered = ordered || now;
    return now;
}

static void nobody_asks(void *arg, struct model *m, const struct model_config *c,
                        const struct tokenizer *tok, const struct template *tpl, int64_t step)
{
    (void)arg, (void)m, (void)c, (void)tok, (void)tpl;
    at_step = step;
}

static void see(void *arg, const struct event *e)
{
    (void)arg;
    if (e->kind == EV_STEP) at_step = e->step.step;
}

static bool train(struct arena *a, struct err *err)
{
    struct run_hooks hooks = {NULL, take_order, nobody_asks, see};
    struct run_summary s;
    at_step = 0;
    ordered = false;
    return run_train(run, &options, &hooks, &places, a, err) && run_summary_read(&s, run, a, err) &&
           (s.state == RUN_DONE || stop_at || fail(err, "it ended as %s", run_state_name(s.state)));
}

/* ---- folders ---- */

static void copy_tree(const char *from, const char *to)
{
    struct arena a = arena_make(0);
    struct err err;
    struct text t;
    char **names;
    int n = 0;
    if (!dir_make(to, &err) || !dir_list(&names, &n, from, &a, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < n; i++) {
        const char *source = path_join(&a, from, names[i]), *target = path_join(&a, to, names[i]);
        if (path_is_dir(source)) copy_tree(source, target);
        else {
            int fd = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
            if (fd < 0 || !file_read(&t, source, 1 << 24, &a, &err) ||
                !file_write_all(fd, t.p, t.n, target, &err))
                fail_msg("%s cannot be copied", source);
            close(fd);
        }
    }
    arena_drop(&a);
}

static void drop(const char *path)
{
    struct err err;
    if (path_exists(path) && !dir_remove(path, &err)) fail_msg("%s", err.text);
}

static void hash_files(char hash[33], const char *dir, const char *const *names, int n)
{
    struct arena a = arena_make(0);
    struct hash h;
    struct text t;
    struct err err;
    hash_start(&h, &a);
    for (int i = 0; i < n; i++) {
        if (!file_read(&t, path_join(&a, dir, names[i]), 1 << 24, &a, &err))
            fail_msg("%s", err.text);
        hash_add(&h, t.p, t.n);
    }
    hash_text(&h, hash);
    arena_drop(&a);
}

/* Weights, masters and moments of the newest checkpoint, which must verify. */
static void hash_run(char hash[33])
{
    static const char *const names[] = {"adapter_model.safetensors", "training.safetensors"};
    struct arena a = arena_make(0);
    struct checkpoint c;
    struct err damage;
    if (!checkpoint_newest(&c, run, VERIFY_ALL, &a, &damage)) fail_msg("there is no checkpoint");
    hash_files(hash, c.path, names, COUNT(names));
    arena_drop(&a);
}

static void hash_export(char hash[33])
{
    static const char *const names[] = {"model.safetensors", "config.json", "tokenizer.json"};
    hash_files(hash, out, names, COUNT(names));
}

/* ---- what must hold ---- */

static int lines_are_whole(void)
{
    struct arena a = arena_make(0);
    struct err err;
    struct text s;
    int n = 0;
    if (!file_read(&s, path_join(&a, run, "events.jsonl"), 1 << 24, &a, &err))
        fail_msg("%s", err.text);
    for (size_t at = 0; at < s.n; n++) {
        const char *end = memchr(s.p + at, '\n', s.n - at);
        struct event e;
        if (!end) fail_msg("line %d is torn", n + 1);
        struct text line = {s.p + at, (size_t)(end - s.p) - at};
        if (!event_read(&e, line, &a, &err)) fail_msg("line %d: %s", n + 1, err.text);
        assert_int_equal(e.seq, n + 1);
        at = (size_t)(end - s.p) + 1;
    }
    arena_drop(&a);
    return n;
}

/* Every folder under a final name is whole, and no good one was lost. */
static int64_t saved_steps(void)
{
    struct arena a = arena_make(0);
    struct checkpoint c;
    struct err damage;
    int64_t step = checkpoint_newest(&c, run, VERIFY_ALL, &a, &damage) ? c.step : 0;
    if (damage.text[0]) fail_msg("broken under a final name: %s", damage.text);
    arena_drop(&a);
    return step;
}

static void goes_on(bool claimed, int64_t least)
{
    struct arena a = arena_make(0);
    struct err err;
    char hash[33];
    int64_t saved = saved_steps();
    if (saved < least)
        fail_msg("step %lld was saved and %lld is there", (long long)least, (long long)saved);
    if (claimed) {
        hash_run(hash);
        if (strcmp(hash, good_run) != 0) fail_msg("it ended as done with other weights");
    }
    if (!train(&a, &err)) fail_msg("the next start: %s", err.text);
    hash_run(hash);
    if (strcmp(hash, good_run) != 0) fail_msg("the next start ended with other weights");
    lines_are_whole();
    arena_drop(&a);
}

static void holds_fresh(bool claimed) { goes_on(claimed, 0); }
static void holds_resumed(bool claimed) { goes_on(claimed, 1); }

static void prepare_fresh(const struct scenario *s)
{
    struct arena a = arena_make(0);
    struct err err;
    struct text t;
    (void)s;
    drop(run);
    drop(places.cache);
    if (!dir_make(path_join(&a, run, "ckpt"), &err) ||
        !file_read(&t, path_join(&a, root, "p.yaml"), 1 << 20, &a, &err) ||
        !file_replace(path_join(&a, run, "profile.yaml"), t, &err))
        fail_msg("%s", err.text);
    arena_drop(&a);
}

static void prepare_resumed(const struct scenario *s)
{
    (void)s;
    drop(run);
    copy_tree(half, run);
}

/* ---- an export ---- */

static bool does_export(struct arena *a, struct err *err)
{
    struct export_options o = {.dtype = "fp32", .gguf = gguf, .backend = "ref"};
    struct buf report = buf_make(a);
    return run_export(run, out, &o, &places, &report, a, err);
}

static void prepare_export(const struct scenario *s)
{
    (void)s;
    drop(out);
    unlink(gguf);
}

static void holds_export(bool claimed)
{
    struct arena a = arena_make(0);
    struct err err;
    char hash[33];
    if (claimed && !(path_exists(out) && path_exists(gguf)))
        fail_msg("it said that it wrote, and it did not");
    if (path_exists(out)) {
        hash_export(hash);
        if (strcmp(hash, good_export) != 0) fail_msg("half an export has its final name");
    }
    bool refused = said->text[0] && !path_exists(out); /* then the same command works once more */
    if (!refused) prepare_export(NULL);
    if (!does_export(&a, &err)) fail_msg("the next export: %s", err.text);
    arena_drop(&a);
}

static const struct scenario scenarios[] = {
    {.name = "run",
     .few = true,
     .does = train,
     .holds = holds_fresh,
     .prepare = prepare_fresh,
     .least = {[CALL_OPEN] = 90,
               [CALL_READ] = 50,
               [CALL_WRITE] = 200,
               [CALL_FSYNC] = 40,
               [CALL_CLOSE] = 90,
               [CALL_RENAME] = 40,
               [CALL_MMAP] = 1,
               [CALL_MALLOC] = 100}},
    {.name = "resume",
     .few = true,
     .does = train,
     .holds = holds_resumed,
     .prepare = prepare_resumed,
     .least = {[CALL_OPEN] = 60,
               [CALL_READ] = 40,
               [CALL_WRITE] = 100,
               [CALL_FSYNC] = 20,
               [CALL_CLOSE] = 60,
               [CALL_RENAME] = 20,
               [CALL_MMAP] = 1}},
    {.name = "export",
     .few = true,
     .does = does_export,
     .holds = holds_export,
     .prepare = prepare_export,
     .least = {[CALL_OPEN] = 40,
               [CALL_READ] = 80,
               [CALL_WRITE] = 40,
               [CALL_FSYNC] = 6,
               [CALL_CLOSE] = 40,
               [CALL_RENAME] = 3,
               [CALL_MMAP] = 1,
               [CALL_MALLOC] = 20}},
};

static void a_run_goes_on_to_the_same_bits_whatever_failed(void **state)
{
    (void)state;
    points_in_all += sweep(&scenarios[0]);
}

static void a_resumed_run_does_too(void **state)
{
    (void)state;
    points_in_all += sweep(&scenarios[1]);
}

static void an_export_is_whole_or_not_there(void **state)
{
    (void)state;
    drop(run);
    copy_tree(whole, run);
    points_in_all += sweep(&scenarios[2]);
    print_message("# %d points in all\n", points_in_all);
}

/* ---- flipped bits ---- */

enum { FLIPS = 1000 };

static void flip(const char *path, int64_t byte, int bit)
{
    char c;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &c, 1, byte), 1);
    c = (char)(c ^ 1 << bit);
    assert_int_equal(pwrite(fd, &c, 1, byte), 1);
    close(fd);
}

/* Nobody takes this checkpoint for good: not a resume, not a chat; both say which file it is. */
static void is_found(const char *folder, const char *file, bool a_chat_reads_it)
{
    struct arena a = arena_make(0);
    struct checkpoint c;
    struct answerer x;
    struct answerer_options how = {.backend = "ref", .threads = 1};
    struct err err = {.text = ""}, damage = {.text = ""};
    const char *path = arena_printf(&a, "%s/%s", path_base(folder), file);
    if (checkpoint_verify(folder, VERIFY_ALL, &a, &err)) fail_msg("%s is called whole", path);
    if (!strstr(err.text, path)) fail_msg("the sentence does not name %s: %s", path, err.text);
    bool there = checkpoint_newest(&c, run, VERIFY_ALL, &a, &damage);
    if (a_chat_reads_it && (there ? c.step == 3 : !damage.text[0]))
        fail_msg("a resume takes step 3 with a flipped bit in %s", path);
    bool opens = answerer_open(&x, run, &how, &places, &a, &err);
    answerer_close(&x);
    if (a_chat_reads_it && (opens || !strstr(err.text, path)))
        fail_msg("a chat opens with a flipped bit in %s: %s", path, err.text);
    arena_drop(&a);
}

/* Over all files of the newest checkpoint (an adapter) and of its base, in turn. */
static void a_thousand_flipped_bits_are_all_found(void **state)
{
    (void)state;
    static const char *const folders[] = {"ckpt/000003", "ckpt/000002"};
    struct arena a = arena_make(0);
    struct err err;
    struct answerer x;
    struct answerer_options how = {.backend = "ref", .threads = 1};
    drop(run);
    copy_tree(whole, run);
    if (!answerer_open(&x, run, &how, &places, &a, &err)) fail_msg("%s", err.text);
    answerer_close(&x);
    int more = getenv("HONE_NIGHTLY") ? 10 : 1, files = 0;
    for (int i = 0; i < FLIPS * more;) {
        for (size_t f = 0; f < COUNT(folders); f++) {
            struct arena_mark mark = arena_mark(&a);
            char **names;
            int n;
            const char *folder = path_join(&a, run, folders[f]);
            assert_true(dir_list(&names, &n, folder, &a, &err));
            files = n > files ? n : files;
            for (int k = 0; k < n; k++, i++) {
                const char *path = path_join(&a, folder, names[k]);
                struct text t;
                assert_true(file_read(&t, path, 1 << 24, &a, &err));
                int64_t byte = (int64_t)(rand_at(11, (uint64_t)i) % t.n);
                int bit = (int)(rand_at(12, (uint64_t)i) % 8);
                bool trained = strcmp(names[k], "training.safetensors") == 0;
                flip(path, byte, bit);
                is_found(folder, names[k], !trained);
                flip(path, byte, bit);
            }
            arena_back(&a, mark);
        }
    }
    assert_true(files >= 5);
    if (!answerer_open(&x, run, &how, &places, &a, &err)) fail_msg("%s", err.text);
    answerer_close(&x);
    arena_drop(&a);
}

/* ---- the material ---- */

static bool write_material(struct arena *a, struct err *err)
{
    struct buf rows = buf_make(a);
    for (int i = 0; i < 12; i++)
        buf_printf(&rows, "{\"instruction\": \"hop %d?\", \"output\": \"h%d\"}\n", i, i * 7 % 10);
    const char *profile = arena_printf(
        a,
        "name: p\nbase_model: %s/tiny\nmax_length: 32\ntemplate: qa\ndtype: fp32\n"
        "datasets: {a: {path: %s/a.jsonl}}\nbatch_tokens: 64\nmicro_batch_size: 1\n"
        "eval: {every_steps: 2, holdout: 20%%}\nsave: {every_steps: 2, total_limit: 1}\n"
        "stages:\n  - {name: one, datasets: {a: 1.0}, max_steps: 2}\n"
        "  - {name: two, train: lora, lora: {rank: 2}, datasets: {a: 1.0}, max_steps: 1}\n",
        root, root);
    return tiny_write(path_join(a, root, "tiny"), 1, a, err) &&
           file_replace(path_join(a, root, "a.jsonl"), buf_text(&rows), err) &&
           file_replace(path_join(a, root, "p.yaml"), text_of(profile), err);
}

/* The machine is measured once, as it would be for a screen, and not at every start: a script says
 * what the reference kernels do on one thread. */
static bool remember_machine(struct arena *a, struct err *err)
{
    struct buf measured = buf_make(a);
    struct machine m;
    places.program = path_join(a, root, "probe.sh");
    if (!machine_measure(&measured, "ref", &places, a, err)) return false;
    const char *script = arena_printf(
        a, "#!/bin/sh\nsed 's/\"threads\": *[0-9]*/\"threads\": 1/' << 'END'\n%s\nEND\n",
        measured.p);
    return file_replace(places.program, text_of(script), err) && chmod(places.program, 0700) == 0 &&
           machine_probe(&m, &places, a, err) && m.device.threads == 1;
}

/* The run that nothing happens to; the same, stopped after a step; and its export. */
static bool record_good(struct arena *a, struct err *err)
{
    prepare_fresh(NULL);
    stop_at = 1;
    if (!train(a, err)) return false;
    copy_tree(run, half);
    stop_at = 0;
    prepare_fresh(NULL);
    if (!train(a, err)) return false;
    hash_run(good_run);
    copy_tree(run, whole);
    if (!does_export(a, err)) return false;
    hash_export(good_export);
    return true;
}

static int begin(void **state)
{
    (void)state;
    struct err err;
    static struct arena a;
    a = arena_make(0);
    snprintf(root, sizeof root, "%s/hone-lives-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(root) || !said_shared() || !places_find(&places, &a, &err)) return -1;
    snprintf(run, sizeof run, "%s/run", root);
    snprintf(half, sizeof half, "%s/half", root);
    snprintf(whole, sizeof whole, "%s/whole", root);
    snprintf(out, sizeof out, "%s/out", root);
    snprintf(gguf, sizeof gguf, "%s/out.gguf", root);
    places.home = path_join(&a, root, "home");
    places.runs = path_join(&a, root, "home/runs");
    places.cache = path_join(&a, root, "home/cache");
    if (write_material(&a, &err) && remember_machine(&a, &err) && record_good(&a, &err)) return 0;
    print_error("%s\n", err.text);
    return -1;
}

static int end(void **state)
{
    (void)state;
    struct err err;
    return dir_remove(root, &err) ? 0 : -1;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_run_goes_on_to_the_same_bits_whatever_failed, say_point),
        cmocka_unit_test_teardown(a_resumed_run_does_too, say_point),
        cmocka_unit_test_teardown(an_export_is_whole_or_not_there, say_point),
        cmocka_unit_test(a_thousand_flipped_bits_are_all_found),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
