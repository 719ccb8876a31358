/* import_test.h - what the tests of importing share: a folder of their own, files, refusals. */
#ifndef HONE_IMPORT_TEST_H
#define HONE_IMPORT_TEST_H
#include "tests/test.h"
#include "engine/format/import.h"
#include <sys/stat.h>
#include <unistd.h>

static struct arena arena;
static struct err error;
static char dir[64];
static const struct import_options exact = {.type = T_F32};

static inline char *at(const char *name) { return path_join(&arena, dir, name); }

static inline void put_file(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static inline struct text whole(const char *path)
{
    struct text t = {0};
    bool ok = file_read(&t, path, (int64_t)1 << 31, &arena, &error);
    if (!ok) print_message("%s\n", error.text);
    assert_true(ok);
    return t;
}

static inline char *fresh(void)
{
    static int n;
    return at(arena_printf(&arena, "out%d", ++n));
}

static inline int files_in_dir(void)
{
    char **names;
    int n;
    assert_true(dir_list(&names, &n, dir, &arena, &error));
    return n;
}

/* Imports and leaves nothing behind where it is refused. */
static inline bool imports(const char *file, const char *to)
{
    int before = files_in_dir();
    error.text[0] = 0;
    bool ok = import_model(file, to, &exact, &arena, &error);
    assert_int_equal(files_in_dir(), before + ok);
    assert_int_equal(error.text[0] != 0, !ok);
    return ok;
}

static inline void refused(const char *file, const char *says)
{
    bool ok = imports(file, fresh());
    if (ok || !strstr(error.text, says)) print_message("wanted: %s\ngot: %s\n", says, error.text);
    assert_false(ok);
    assert_non_null(strstr(error.text, says));
}

static inline void works(bool ok)
{
    if (!ok) print_message("%s\n", error.text);
    assert_true(ok);
}

/* A file with one text of the same length in place of another. */
static inline void change(struct text t, const char *from, const char *to, size_t n)
{
    char *p = memmem((void *)(uintptr_t)t.p, t.n, from, n);
    assert_non_null(p);
    memcpy(p, to, n);
}

static inline void refused_text(struct text t, const char *says)
{
    put_file(at("changed.gguf"), t.p, t.n);
    refused(at("changed.gguf"), says);
}

static inline void u32(struct buf *b, uint32_t v) { buf_put(b, (char *)&v, 4); }

static inline int run_in_folder(int (*tests)(void))
{
    arena = arena_make(0);
    snprintf(dir, sizeof dir, "/tmp/hone-import-XXXXXX");
    if (!mkdtemp(dir)) return 1;
    int rc = tests();
    if (!dir_remove(dir, &error)) print_message("%s\n", error.text);
    arena_drop(&arena);
    return rc;
}
#endif
