/* t_faults.c - whatever call fails, however: nothing good is lost, nothing broken has a final name,
 * nobody is told "saved" who should not be, and the next try works. The parts of a run one by one;
 * t_lives.c has runs as wholes. */
#include "tests/model/tiny.h"
#include "tests/serve/sweep.h"
#include "engine/run/checkpoint.h"
#include "engine/serve/launch.h"
#include "engine/serve/wire.h"

enum { LINES_BEFORE = 3, LINES_MORE = 6 };

static struct tiny t;
static char root[64], run[80];
static char good_hash[33];

/* ---- checkpoints ---- */

static struct checkpoint_job job_of(int64_t step)
{
    return (struct checkpoint_job){
        .run_dir = run,
        .stage_name = "one",
        .model_dir = t.files.base,
        .base = "",
        .type = T_F32,
        .progress = {.step = step, .stage_step = step, .best = NAN, .validation = NAN},
        .maker = {.fact = {"0.1.0", "", "ref", "", "", "", "fp32", "", "", ""}}};
}

static bool save(int64_t step, struct arena *a, struct err *err)
{
    int64_t bytes;
    struct checkpoint_job job = job_of(step);
    return checkpoint_save(&job, t.m, &bytes, a, err);
}

static bool does_save(struct arena *a, struct err *err) { return save(20, a, err); }
static bool does_rotate(struct arena *a, struct err *err)
{
    return checkpoint_rotate(run, 40, 1, false, NULL, a, err);
}

static int64_t newest(void)
{
    struct arena a = arena_make(0);
    struct checkpoint c;
    struct err damage;
    int64_t step = checkpoint_newest(&c, run, VERIFY_ALL, &a, &damage) ? c.step : -1;
    if (damage.text[0]) fail_msg("broken under a final name: %s", damage.text);
    arena_drop(&a);
    return step;
}

static int count_of(const char *prefix)
{
    struct arena a = arena_make(0);
    struct err err;
    char **names;
    int n, found = 0;
    assert_true(dir_list(&names, &n, path_join(&a, run, "ckpt"), &a, &err));
    for (int i = 0; i < n; i++) found += strncmp(names[i], prefix, strlen(prefix)) == 0;
    arena_drop(&a);
    return found;
}

static void holds_save(bool claimed)
{
    struct arena a = arena_make(0);
    struct err err;
    int64_t step = newest();
    if (step != 10 && step != 20) fail_msg("the good checkpoint is lost");
    if (claimed && step != 20) fail_msg("said saved, and it is not there");
    if (!save(20, &a, &err)) fail_msg("the next save does not work: %s", err.text);
    assert_int_equal(newest(), 20);
    assert_int_equal(count_of(".tmp-"), 0);
    arena_drop(&a);
}

static void holds_rotate(bool claimed)
{
    struct arena a = arena_make(0);
    struct err err;
    assert_int_equal(newest(), 40);
    (void)claimed; /* one that cannot be read is left alone */
    if (!checkpoint_rotate(run, 40, 1, false, NULL, &a, &err) || !save(50, &a, &err))
        fail_msg("%s", err.text);
    assert_int_equal(count_of("0"), 2);
    assert_int_equal(count_of("."), 0); /* a save drops what an older life left */
    arena_drop(&a);
}

/* ---- loading ---- */

static bool does_load(struct arena *a, struct err *err)
{
    struct checkpoint c;
    struct model *m;
    struct err damage;
    if (!checkpoint_newest(&c, run, VERIFY_ALL, a, &damage))
        return fail(err, "%s", damage.text[0] ? damage.text : "no checkpoint");
    struct model_files files = {
        .base = c.path, .training = path_join(a, c.path, "training.safetensors"), .moments = true};
    if (!model_open(&m, &t.config, &t.training, &t.shape, &t.layout, &files, 1, t.k, t.d, a, err))
        return false;
    bool ok = model_hash(m, said->hash, err);
    model_close(m);
    return ok;
}

/* What was loaded is right to the bit, or there is a sentence. */
static void holds_load(bool claimed)
{
    if (claimed) assert_string_equal(said->hash, good_hash);
    assert_int_equal(newest(), 10);
}

/* ---- a run's folder ---- */

static void count_event(void *arg, const struct event *e)
{
    (void)arg;
    (void)e;
}

static bool does_journal(struct arena *a, struct err *err)
{
    struct journal j = JOURNAL_CLOSED;
    j.event = count_event;
    if (!journal_open(&j, run, a, err)) return false;
    for (int i = 0; i < LINES_MORE; i++) {
        struct event e = {.kind = EV_STEP,
                          .step = {.step = i + 1, .stage = TEXT("one"), .loss = 1, .seconds = 1}};
        journal_write(&j, &e);
        metrics_add(&j, &e);
        said->held = j.held_lines + j.held_lost;
    }
    journal_state(&j, RUN_PAUSED, 6, "for the test");
    said->held = j.held_lines + j.held_lost;
    journal_close(&j);
    return true;
}

/* Every line is whole and numbered; returns how many. */
static int lines_are_whole(void)
{
    struct arena a = arena_make(0);
    struct err err;
    struct text s;
    int n = 0;
    assert_true(file_read(&s, path_join(&a, run, "events.jsonl"), 1 << 20, &a, &err));
    for (size_t at = 0; at < s.n; n++) {
        const char *end = memchr(s.p + at, '\n', s.n - at);
        struct event e;
        if (!end) fail_msg("line %d is torn", n + 1);
        struct text line = {s.p + at, (size_t)(end - s.p) - at};
        if (!event_read(&e, line, &a, &err))
            fail_msg("line %d: %s: %.*s", n + 1, err.text, (int)line.n, line.p);
        assert_int_equal(e.seq, n + 1);
        at = (size_t)(end - s.p) + 1;
    }
    arena_drop(&a);
    return n;
}

static void holds_journal(bool claimed)
{
    struct arena a = arena_make(0);
    struct err err;
    struct journal j = JOURNAL_CLOSED;
    struct run_summary s;
    assert_true(run_summary_read(&s, run, &a, &err)); /* old or new, never half */
    if (!journal_open(&j, run, &a, &err)) fail_msg("it cannot be opened again: %s", err.text);
    journal_close(&j);
    int lines = lines_are_whole();
    if (lines < LINES_BEFORE) fail_msg("old lines are lost: %d are left", lines);
    /* A note says that lines waited, once it could be written. */
    if (claimed && lines + said->held < LINES_BEFORE + LINES_MORE + 1)
        fail_msg("%d lines and %d that wait", lines, said->held);
    arena_drop(&a);
}

static bool does_create(struct arena *a, struct err *err)
{
    const char *dir, *at = path_join(a, root, "made");
    struct profile p;
    struct problems problems = {0};
    struct places places = {.home = root, .runs = path_join(a, root, "runs")};
    return profile_read(&p, path_join(a, root, "p.yaml"), NULL, 0, &problems, a, err) &&
           run_create(&dir, at, &p, &places, a, err);
}

static void holds_create(bool claimed)
{
    struct arena a = arena_make(0);
    struct err err;
    struct run_summary s;
    struct profile p;
    struct problems problems = {0};
    const char *made = path_join(&a, root, "made"), *profile = path_join(&a, made, "profile.yaml");
    bool there = path_exists(profile);
    if (claimed && (!there || !run_summary_read(&s, made, &a, &err)))
        fail_msg("made, and it is not there");
    if (there && !profile_read(&p, profile, NULL, 0, &problems, &a, &err))
        fail_msg("half a profile: %s", err.text);
    if (!there && !does_create(&a, &err)) fail_msg("it cannot be made again: %s", err.text);
    if (!dir_remove(made, &err)) fail_msg("%s", err.text);
    if (path_exists(path_join(&a, root, "runs"))) dir_remove(path_join(&a, root, "runs"), &err);
    arena_drop(&a);
}

static bool does_start(struct arena *a, struct err *err)
{
    char path[108];
    int lock, listener;
    return lock_take(&lock, run, err) && wire_path(path, run, root, err) &&
           wire_listen(&listener, path, err) &&
           file_replace(path_join(a, run, "socket"), text_of(path), err);
}

/* The dead leave no lock, and a socket that nobody listens at is no hindrance. */
static void holds_start(bool claimed)
{
    struct arena a = arena_make(0);
    struct err err;
    char path[108];
    int lock = -1, listener = -1, fd = -1;
    (void)claimed;
    assert_false(run_is_held(run));
    if (!lock_take(&lock, run, &err) || !wire_path(path, run, root, &err) ||
        !wire_listen(&listener, path, &err) || !wire_connect(&fd, path, &err))
        fail_msg("the next engine cannot start: %s", err.text);
    close(fd);
    close(listener);
    close(lock);
    arena_drop(&a);
}

/* The run's folder as the scenario finds it. */
static void prepare(const struct scenario *s)
{
    struct arena a = arena_make(0);
    struct err err;
    if (path_exists(run) && !dir_remove(run, &err)) fail_msg("%s", err.text);
    assert_true(dir_make(path_join(&a, run, "ckpt"), &err));
    for (int i = 1; i <= s->saved_before; i++)
        if (!save(10 * i, &a, &err)) fail_msg("%s", err.text);
    struct journal j = JOURNAL_CLOSED;
    assert_true(journal_open(&j, run, &a, &err));
    for (int i = 0; i < LINES_BEFORE; i++) journal_state(&j, RUN_TRAINING, i, "line %d", i);
    assert_true(write(j.events, "{\"v\":1,\"se", 10) == 10); /* torn */
    journal_close(&j);
    arena_drop(&a);
}

static const struct scenario scenarios[] = {
    {"save",
     false,
     false,
     1,
     does_save,
     holds_save,
     prepare,
     {[CALL_OPEN] = 40,
      [CALL_WRITE] = 400,
      [CALL_FSYNC] = 40,
      [CALL_CLOSE] = 40,
      [CALL_RENAME] = 16,
      [CALL_MALLOC] = 10}},
    {"rotate",
     false,
     false,
     4,
     does_rotate,
     holds_rotate,
     prepare,
     {[CALL_OPEN] = 40,
      [CALL_READ] = 20,
      [CALL_FSYNC] = 20,
      [CALL_CLOSE] = 40,
      [CALL_RENAME] = 20}},
    {"load",
     false,
     false,
     1,
     does_load,
     holds_load,
     prepare,
     {[CALL_OPEN] = 40, [CALL_READ] = 200, [CALL_CLOSE] = 20, [CALL_MALLOC] = 10}},
    {"journal",
     false,
     false,
     0,
     does_journal,
     holds_journal,
     prepare,
     {[CALL_OPEN] = 40,
      [CALL_READ] = 20,
      [CALL_WRITE] = 80,
      [CALL_FSYNC] = 20,
      [CALL_CLOSE] = 40,
      [CALL_RENAME] = 10,
      [CALL_MALLOC] = 3}},
    {"create",
     false,
     false,
     0,
     does_create,
     holds_create,
     prepare,
     {[CALL_OPEN] = 20,
      [CALL_WRITE] = 20,
      [CALL_FSYNC] = 10,
      [CALL_CLOSE] = 20,
      [CALL_RENAME] = 10,
      [CALL_MALLOC] = 3}},
    {"start",
     false,
     true,
     0,
     does_start,
     holds_start,
     prepare,
     {[CALL_OPEN] = 10,
      [CALL_WRITE] = 10,
      [CALL_FSYNC] = 10,
      [CALL_CLOSE] = 10,
      [CALL_RENAME] = 5}},
};

#define SWEEP(i, test)                         \
    static void test(void **state)             \
    {                                          \
        (void)state;                           \
        points_in_all += sweep(&scenarios[i]); \
    }
SWEEP(0, no_save_that_fails_harms_what_is_saved)
SWEEP(1, no_rotation_that_fails_harms_what_is_kept)
SWEEP(2, what_is_loaded_is_right_or_refused)
SWEEP(3, no_event_is_lost_without_being_counted)
SWEEP(4, a_run_is_made_or_not)
SWEEP(5, no_start_that_fails_hinders_the_next)

static void a_thousand_points_were_hit(void **state)
{
    (void)state;
    print_message("# %d points in all\n", points_in_all);
    assert_true(points_in_all >= 1000);
}

static int begin(void **state)
{
    (void)state;
    struct err err;
    static const char profile[] =
        "name: p\nbase_model: /nowhere\ndatasets: {a: {path: a.jsonl}}\nstages: [{name: one, "
        "datasets: {a: 1.0}, max_steps: 3}]\n";
    struct arena a = arena_make(0);
    snprintf(root, sizeof root, "%s/hone-faults-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(root)) return -1;
    snprintf(run, sizeof run, "%s/run", root);
    if (!said_shared() || !file_replace(path_join(&a, root, "p.yaml"), text_of(profile), &err))
        return -1;
    arena_drop(&a);
    assert_true(tiny_begin(&t, "tied", "ref", 1));
    tiny_open(&t);
    struct batch b = recorded_batch(&t, 0);
    tiny_step(&t, 1, 1e-2f, &b, 1);
    return model_hash(t.m, good_hash, &err) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    struct err err;
    tiny_close(&t);
    return dir_remove(root, &err) ? 0 : -1;
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* a pattern of names: to look at one scenario */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(no_save_that_fails_harms_what_is_saved, say_point),
        cmocka_unit_test_teardown(no_rotation_that_fails_harms_what_is_kept, say_point),
        cmocka_unit_test_teardown(what_is_loaded_is_right_or_refused, say_point),
        cmocka_unit_test_teardown(no_event_is_lost_without_being_counted, say_point),
        cmocka_unit_test_teardown(a_run_is_made_or_not, say_point),
        cmocka_unit_test_teardown(no_start_that_fails_hinders_the_next, say_point),
        cmocka_unit_test(a_thousand_points_were_hit),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
