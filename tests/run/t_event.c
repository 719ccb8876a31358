/* t_event.c - engine/run/event.h, and how a run's folder keeps events: torn lines, full disks,
 * dropped steps. */
#include "tests/test.h"
#include "engine/format/json.h"
#include "engine/run/folder.h"
#include <fcntl.h>
#include <math.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static int folder_make(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/hone-event-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_drop(void **state)
{
    struct err err;
    (void)state;
    return dir_remove(folder, &err) ? 0 : -1;
}

static struct event step(int64_t n, double loss)
{
    return (struct event){.kind = EV_STEP,
                          .step = {.step = n,
                                   .stage = TEXT("align"),
                                   .loss = loss,
                                   .lr = 1e-3,
                                   .tokens = 64,
                                   .trained = 60,
                                   .seconds = 0.5}};
}

static void every_kind_reads_back_as_it_was_written(void **state)
{
    (void)state;
    struct arena a = arena_make(0);
    for (int k = 0; k < EV_KINDS; k++) {
        const struct event_info *info = &event_infos[k];
        struct event e = {.kind = (enum event_kind)k,
                          .seq = 7,
                          .t = 1790000000.125,
                          .has = EVENT_ALL},
                     back;
        struct err err;
        char line[EVENT_LINE_MOST];
        for (int i = 0; i < info->n; i++) {
            char *at = (char *)&e + info->fields[i].at;
            if (info->fields[i].type == EVENT_INT) *(event_INT *)(void *)at = 1000 + i;
            if (info->fields[i].type == EVENT_NUM) *(event_NUM *)(void *)at = 0.1 + i;
            if (info->fields[i].type == EVENT_STR)
                *(event_STR *)(void *)at = TEXT("红 \"q\" \x1b\n");
        }
        size_t n = event_write(&e, line);
        assert_true(n > 0 && line[n - 1] == '\n' && memchr(line, '\n', n - 1) == NULL);
        assert_true(event_read(&back, (struct text){line, n - 1}, &a, &err));
        assert_int_equal(back.kind, k);
        assert_int_equal(back.seq, 7);
        assert_int_equal(back.has, (1u << info->n) - 1);
        for (int i = 0; i < info->n; i++) {
            const char *x = (const char *)&e + info->fields[i].at,
                       *y = (const char *)&back + info->fields[i].at;
            if (info->fields[i].type != EVENT_STR) assert_memory_equal(x, y, 8);
            else
                assert_true(text_equal(*(const struct text *)(const void *)x,
                                       *(const struct text *)(const void *)y));
        }
        assert_true(strlen(info->fields[0].says) > 0);
    }
    arena_drop(&a);
}

static void a_number_that_is_not_finite_is_null_and_named(void **state)
{
    (void)state;
    struct arena a = arena_make(0);
    struct event e = step(3, NAN), back;
    struct err err;
    char line[EVENT_LINE_MOST];
    e.has = EVENT_ALL & ~(1u << 8);
    size_t n = event_write(&e, line);
    line[n - 1] = 0;
    assert_non_null(strstr(line, "\"loss\":null"));
    assert_non_null(strstr(line, "\"non_finite\":[\"loss\"]"));
    assert_null(strstr(line, "\"mfu\""));
    assert_true(event_read(&back, (struct text){line, n - 1}, &a, &err));
    assert_true(isnan(back.step.loss));
    assert_false(back.has >> 8 & 1);
    arena_drop(&a);
}

static void a_long_text_is_cut_so_that_the_line_fits(void **state)
{
    (void)state;
    struct arena a = arena_make(0);
    char *big = arena_take(&a, 1, 9000);
    for (int i = 0; i < 3000; i++) memcpy(big + 3 * i, "\xE7\xBA\xA2", 3);
    struct event e = {.kind = EV_SAMPLE, .has = EVENT_ALL, .sample = {1, {big, 9000}, {big, 9000}}},
                 back;
    struct err err;
    char line[EVENT_LINE_MOST];
    size_t n = event_write(&e, line);
    assert_true(n <= EVENT_LINE_MOST);
    assert_true(event_read(&back, (struct text){line, n - 1}, &a, &err));
    assert_int_equal(back.sample.answer.n % 3, 0);
    memset(big, 1, 9000); /* each byte escaped as six */
    assert_true(event_write(&e, line) <= EVENT_LINE_MOST);
    for (int k = 0; k < EV_KINDS; k++) { /* and so with every text of every kind */
        e = (struct event){.kind = (enum event_kind)k, .has = EVENT_ALL};
        for (int i = 0; i < event_infos[k].n; i++)
            if (event_infos[k].fields[i].type == EVENT_STR)
                *(struct text *)((char *)&e + event_infos[k].fields[i].at) =
                    (struct text){big, 9000};
        n = event_write(&e, line);
        assert_true(n <= EVENT_LINE_MOST && line[n - 1] == '\n');
    }
    arena_drop(&a);
}

static void an_unknown_kind_is_passed_over(void **state)
{
    (void)state;
    struct arena a = arena_make(0);
    struct event e;
    struct err err;
    assert_false(event_read(&e, TEXT("{\"v\":1,\"seq\":1,\"t\":1,\"kind\":\"later\"}"), &a, &err));
    assert_string_equal(err.text, "");
    assert_false(event_read(&e, TEXT("{\"v\":1,"), &a, &err));
    assert_true(err.text[0] != 0);
    assert_true(event_read(&e, TEXT("{\"kind\":\"saved\",\"step\":\"x\",\"new\":1}"), &a, &err));
    assert_int_equal(e.has, 0);
    arena_drop(&a);
}

/* A power cut may leave blocks of zeros where the file grew, and a line that is no event. */
static void a_torn_end_is_cut_however_long_it_is(void **state)
{
    (void)state;
    struct arena a = arena_make(0);
    struct err err;
    struct text t;
    const char *path = path_join(&a, folder, "events.jsonl");
    static const size_t sizes[] = {1, 4095, 4096, 4097, 8192, 20000, (1 << 20) + 4096};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct journal j = {.events = -1};
        unlink(path);
        assert_true(journal_open(&j, folder, &a, &err));
        struct event e = step(1, 2.0), f = step(2, 1.0);
        journal_write(&j, &e);
        journal_close(&j);
        int fd = open(path, O_WRONLY | O_APPEND);
        if (i % 2) assert_int_equal(write(fd, "{}\n\n", 4), 4);
        char *zeros = arena_take(&a, 1, sizes[i]);
        assert_int_equal(write(fd, zeros, sizes[i]), sizes[i]);
        close(fd);
        assert_true(journal_open(&j, folder, &a, &err));
        journal_write(&j, &f);
        journal_close(&j);
        assert_int_equal(f.seq, 2);
        assert_true(file_read(&t, path, 1 << 24, &a, &err));
        assert_null(memchr(t.p, 0, t.n));
        assert_int_equal(t.p[t.n - 1], '\n');
        assert_true(file_read(&t, path_join(&a, folder, "events.torn"), 1 << 24, &a, &err));
        assert_int_equal(t.n, sizes[i] < 1 << 20 ? sizes[i] : 1 << 20);
    }
    arena_drop(&a);
}

static void a_torn_last_line_is_cut_and_the_numbers_go_on(void **state)
{
    (void)state;
    struct arena a = arena_make(0);
    struct err err;
    struct journal j = {.events = -1};
    assert_true(journal_open(&j, folder, &a, &err));
    for (int i = 1; i <= 3; i++) {
        struct event e = step(i, 2.0);
        journal_write(&j, &e);
    }
    journal_close(&j);
    const char *path = path_join(&a, folder, "events.jsonl");
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "{\"v\":1,\"seq\":4,\"t", 17), 17);
    close(fd);
    struct journal k = {.events = -1};
    assert_true(journal_open(&k, folder, &a, &err));
    struct event e = step(4, 1.0);
    journal_write(&k, &e);
    assert_int_equal(e.seq, 4);
    journal_close(&k);
    struct text t;
    assert_true(file_read(&t, path, 1 << 20, &a, &err));
    int lines = 0;
    for (size_t at = 0; at < t.n; lines++) {
        const char *end = memchr(t.p + at, '\n', t.n - at);
        struct event back;
        assert_non_null(end);
        assert_true(event_read(&back, (struct text){t.p + at, (size_t)(end - t.p) - at}, &a, &err));
        assert_int_equal(back.seq, lines + 1);
        at = (size_t)(end - t.p) + 1;
    }
    assert_int_equal(lines, 4);
    assert_true(file_read(&t, path_join(&a, folder, "events.torn"), 100, &a, &err));
    assert_string_equal(t.p, "{\"v\":1,\"seq\":4,\"t");
    arena_drop(&a);
}

static void what_was_lived_after_a_resumed_step_is_dropped(void **state)
{
    (void)state;
    struct arena a = arena_make(0);
    struct err err;
    struct journal j = {.events = -1};
    struct metric *m;
    int64_t n;
    assert_true(journal_open(&j, folder, &a, &err));
    for (int i = 1; i <= 10; i++) {
        struct event e = step(i, 10 - i);
        journal_write(&j, &e);
        metrics_add(&j, &e);
    }
    struct event resumed = {.kind = EV_RESUMED, .resumed = {6, TEXT("000006")}};
    journal_write(&j, &resumed);
    assert_true(metrics_cut(&j, 6, &err));
    for (int i = 7; i <= 8; i++) {
        struct event e = step(i, 100 + i);
        journal_write(&j, &e);
        metrics_add(&j, &e);
    }
    journal_close(&j);
    for (int pass = 0; pass < 2; pass++) { /* from metrics.bin, then from the events alone */
        assert_true(run_metrics(&m, &n, folder, &a, &err));
        assert_int_equal(n, 8);
        assert_true(m[5].loss == 4 && m[6].loss == 107 && m[7].step == 8);
        assert_int_equal(unlink(path_join(&a, folder, "metrics.bin")), 0);
    }
    assert_true(run_metrics(&m, &n, folder, &a, &err));
    assert_int_equal(n, 8);
    assert_true(path_exists(path_join(&a, folder, "metrics.bin"))); /* made again */
    arena_drop(&a);
}

/* A full disk may refuse the numbers of a step whose event it took. */
static void a_gap_in_the_numbers_is_filled_from_the_events(void **state)
{
    (void)state;
    struct arena a = arena_make(0);
    struct err err;
    struct journal j = JOURNAL_CLOSED;
    struct metric *m;
    int64_t n;
    assert_true(journal_open(&j, folder, &a, &err));
    for (int i = 1; i <= 10; i++) {
        struct event e = step(i, i);
        journal_write(&j, &e);
        if (i < 4 || i > 6) metrics_add(&j, &e);
    }
    journal_close(&j);
    assert_true(run_metrics(&m, &n, folder, &a, &err));
    assert_int_equal(n, 10);
    for (int i = 0; i < 10; i++) assert_true(m[i].step == i + 1 && m[i].loss == i + 1);
    arena_drop(&a);
}

/* A disk that takes no more: lines wait in memory and go out in order when it does. */
static void lines_that_cannot_be_written_wait(void **state)
{
    (void)state;
    struct arena a = arena_make(0);
    struct err err;
    struct journal j = {.events = -1};
    assert_true(journal_open(&j, folder, &a, &err));
    int real = j.events;
    j.events = open("/dev/full", O_WRONLY);
    for (int i = 1; i <= 5; i++) {
        struct event e = step(i, 1);
        journal_write(&j, &e);
    }
    assert_int_equal(j.held_lines, 5);
    struct run_summary s;
    int lock = open(path_join(&a, folder, "lock"), O_RDWR | O_CREAT, 0600);
    assert_true(lock >= 0 && flock(lock, LOCK_EX) == 0); /* only a living engine's word counts */
    journal_beat(&j);
    assert_true(run_summary_read(&s, folder, &a, &err));
    assert_int_equal(s.held, 5);
    close(j.events);
    j.events = real;
    struct event e = step(6, 1);
    journal_write(&j, &e);
    assert_int_equal(j.held_lines, 0);
    assert_true(run_summary_read(&s, folder, &a, &err));
    assert_int_equal(s.held, 0);
    close(lock);
    struct text t;
    assert_true(file_read(&t, path_join(&a, folder, "events.jsonl"), 1 << 20, &a, &err));
    int64_t seq = 0;
    for (size_t at = 0; at < t.n; seq++) {
        const char *end = memchr(t.p + at, '\n', t.n - at);
        struct event back;
        assert_true(event_read(&back, (struct text){t.p + at, (size_t)(end - t.p) - at}, &a, &err));
        assert_int_equal(back.seq, seq + 1);
        at = (size_t)(end - t.p) + 1;
        if (seq == 6)
            assert_true(
                back.kind == EV_NOTE &&
                text_is(back.note.text, "the disk was full: 5 events waited and are written now"));
    }
    assert_int_equal(seq, 7);
    journal_close(&j);
    arena_drop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_reads_back_as_it_was_written),
        cmocka_unit_test(a_number_that_is_not_finite_is_null_and_named),
        cmocka_unit_test(a_long_text_is_cut_so_that_the_line_fits),
        cmocka_unit_test(an_unknown_kind_is_passed_over),
        cmocka_unit_test_setup_teardown(a_torn_end_is_cut_however_long_it_is, folder_make,
                                        folder_drop),
        cmocka_unit_test_setup_teardown(a_torn_last_line_is_cut_and_the_numbers_go_on, folder_make,
                                        folder_drop),
        cmocka_unit_test_setup_teardown(what_was_lived_after_a_resumed_step_is_dropped, folder_make,
                                        folder_drop),
        cmocka_unit_test_setup_teardown(a_gap_in_the_numbers_is_filled_from_the_events, folder_make,
                                        folder_drop),
        cmocka_unit_test_setup_teardown(lines_that_cannot_be_written_wait, folder_make,
                                        folder_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
