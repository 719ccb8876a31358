/* t_damage.c - any bit of a checkpoint that flips is found before the checkpoint is used: every bit
 * of its manifest, and the first ones of each file. A file that is cut, grown or gone is found too. */
#include "tests/model/tiny.h"
#include "engine/run/checkpoint.h"
#include <fcntl.h>
#include <unistd.h>

static struct tiny t;
static char run[64];

static void save(int64_t step)
{
    struct err err;
    int64_t bytes;
    struct checkpoint_job job = {.run_dir = run,
                                 .stage_name = "one",
                                 .model_dir = t.files.base,
                                 .base = "",
                                 .type = T_F32,
                                 .progress = {.step = step, .best = NAN, .validation = NAN}};
    for (int i = 0; i < MAKER_FACTS; i++) job.maker.fact[i] = "a fact";
    if (!checkpoint_save(&job, t.m, &bytes, &t.a, &err)) fail_msg("%s", err.text);
}

/* With this bit of the newest checkpoint's file flipped: is the older one taken, with a sentence?
 */
static bool is_found(const char *path, int64_t bit)
{
    struct arena a = arena_make(0);
    struct checkpoint c;
    struct err damage;
    unsigned char was, is;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && pread(fd, &was, 1, bit / 8) == 1);
    is = (unsigned char)(was ^ 1u << bit % 8);
    assert_int_equal(pwrite(fd, &is, 1, bit / 8), 1);
    bool found =
        checkpoint_newest(&c, run, VERIFY_ALL, &a, &damage) && c.step == 10 && damage.text[0];
    assert_int_equal(pwrite(fd, &was, 1, bit / 8), 1);
    close(fd);
    if (!found) print_message("# %s: bit %lld\n", path, (long long)bit);
    arena_drop(&a);
    return found;
}

static int64_t size_of(const char *path)
{
    int fd;
    int64_t size = 0;
    struct err err;
    assert_true(file_open(&fd, &size, path, &err));
    close(fd);
    return size;
}

static void an_undamaged_checkpoint_is_the_newest(void **state)
{
    struct checkpoint c;
    struct err damage;
    (void)state;
    assert_true(checkpoint_newest(&c, run, VERIFY_ALL, &t.a, &damage) && c.step == 20 &&
                !damage.text[0]);
}

static void every_bit_of_a_manifest_counts(void **state)
{
    const char *path = path_join(&t.a, run, "ckpt/000020/" MANIFEST);
    (void)state;
    for (int64_t bit = 0; bit < 8 * size_of(path); bit++) assert_true(is_found(path, bit));
}

static void the_first_bits_of_every_file_count(void **state)
{
    char **names;
    int n;
    struct err err;
    const char *dir = path_join(&t.a, run, "ckpt/000020");
    (void)state;
    assert_true(dir_list(&names, &n, dir, &t.a, &err));
    for (int i = 0; i < n; i++)
        for (int64_t bit = 0; bit < 64; bit++)
            assert_true(is_found(path_join(&t.a, dir, names[i]), bit));
}

static void a_file_cut_short_or_grown_is_found(void **state)
{
    char **names;
    int n;
    struct err err, damage;
    struct checkpoint c;
    struct text whole;
    const char *dir = path_join(&t.a, run, "ckpt/000020");
    (void)state;
    assert_true(dir_list(&names, &n, dir, &t.a, &err));
    for (int i = 0; i < n; i++) {
        const char *path = path_join(&t.a, dir, names[i]);
        assert_true(file_read(&whole, path, 1 << 28, &t.a, &err));
        assert_int_equal(truncate(path, (off_t)whole.n - 1), 0);
        assert_true(checkpoint_newest(&c, run, VERIFY_ALL, &t.a, &damage) && c.step == 10);
        assert_int_equal(truncate(path, (off_t)whole.n + 1), 0);
        assert_true(checkpoint_newest(&c, run, VERIFY_ALL, &t.a, &damage) && c.step == 10);
        assert_int_equal(unlink(path), 0);
        assert_true(checkpoint_newest(&c, run, VERIFY_ALL, &t.a, &damage) && c.step == 10);
        assert_true(file_replace(path, whole, &err));
    }
    assert_true(checkpoint_newest(&c, run, VERIFY_ALL, &t.a, &damage) && c.step == 20);
}

static int begin(void **state)
{
    struct err err;
    (void)state;
    bool memory = access("/dev/shm", W_OK) == 0;
    snprintf(run, sizeof run, "%s/hone-damage-XXXXXX", memory ? "/dev/shm" : "/tmp");
    if (!mkdtemp(run)) return -1;
    assert_true(tiny_begin(&t, "tied", "ref", 1));
    assert_true(dir_make(path_join(&t.a, run, "ckpt"), &err));
    tiny_open(&t);
    save(10);
    save(20);
    return 0;
}

static int end(void **state)
{
    struct err err;
    (void)state;
    tiny_close(&t);
    return dir_remove(run, &err) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_undamaged_checkpoint_is_the_newest),
                                       cmocka_unit_test(every_bit_of_a_manifest_counts),
                                       cmocka_unit_test(the_first_bits_of_every_file_count),
                                       cmocka_unit_test(a_file_cut_short_or_grown_is_found)};
    return cmocka_run_group_tests(tests, begin, end);
}
