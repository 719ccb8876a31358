/* bench_tokenizer.c - the tokenizer alone, on one core: MB of text a second.
 *
 *     bench_tokenizer FOLDER FILE...     each file by itself, all as one text, all as short rows
 *
 * `rows` gives the texts as a data set does: a call for each piece of about 600 bytes. The number at
 * the end of a line is a hash of the ids, so that two builds can be compared. */
#include "engine/format/tokenizer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FILE_MOST = 64 << 20, ROW = 600, TIMES = 5 };

static struct text next_row(struct text *rest)
{
    size_t n = rest->n < ROW ? rest->n : ROW;
    while (n < rest->n && ((unsigned char)rest->p[n] & 0xC0) == 0x80) n++;
    struct text row = {rest->p, n};
    rest->p += n, rest->n -= n;
    return row;
}

static bool encode(const struct tokenizer *t, struct ids *ids, struct text s, bool rows, struct err *err)
{
    struct arena scratch = arena_make(0);
    bool ok = true;
    ids->n = 0;
    while (ok && s.n) {
        struct text row = s;
        if (rows) row = next_row(&s);
        else s.n = 0;
        ok = tokenizer_encode(t, ids, row, ENCODE_SPECIAL, NULL, &scratch, err);
    }
    arena_drop(&scratch);
    return ok;
}

/* Of this thread alone: what others run counts only as far as it takes the caches. */
static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The best of some runs; the first, which finds the caches cold, is told apart. */
static bool measure(const struct tokenizer *t, const char *name, struct text s, bool rows, struct err *err)
{
    struct arena a = arena_make(0);
    struct ids ids = {.a = &a};
    double first = 0, best = 1e30;
    bool ok = true;
    for (int i = 0; ok && i < TIMES; i++) {
        double start = seconds();
        ok = encode(t, &ids, s, rows, err);
        start = seconds() - start;
        if (i == 0) first = start;
        if (start < best) best = start;
    }
    double mb = (double)s.n * 1e-6;
    if (ok)
        printf("  %-28s %6.2f MB  %7.1f MB/s (first %.1f)  %.2f bytes an id, %016llx\n", name, mb, mb / best,
               mb / first, (double)s.n / (double)ids.n,
               (unsigned long long)hash64(ids.p, (size_t)ids.n * sizeof *ids.p, 0));
    arena_drop(&a);
    return ok;
}

int main(int argc, char **argv)
{
    struct arena a = arena_make(0);
    struct tokenizer *t;
    struct err err;
    struct buf all = buf_make(&a);
    if (argc < 3) return fprintf(stderr, "use: bench_tokenizer FOLDER FILE...\n"), 2;
    bool ok = tokenizer_open(&t, argv[1], &a, &err);
    if (ok) printf("%s: %s\n", path_base(argv[1]), tokenizer_about(t));
    for (int i = 2; ok && i < argc; i++) {
        struct text s;
        ok = file_read(&s, argv[i], FILE_MOST, &a, &err) &&
             measure(t, path_base(argv[i]), s, false, &err);
        if (ok) buf_put(&all, s.p, s.n);
    }
    ok = ok && measure(t, "all", buf_text(&all), false, &err) &&
         measure(t, "all, rows of 600 bytes", buf_text(&all), true, &err);
    if (!ok) fprintf(stderr, "bench_tokenizer: %s\n", err.text);
    arena_drop(&a);
    return !ok;
}
