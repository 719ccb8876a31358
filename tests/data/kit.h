/* kit.h - what the tests of engine/data share: a folder, a tokenizer of bytes, files of rows. */
#ifndef HONE_TESTS_DATA_KIT_H
#define HONE_TESTS_DATA_KIT_H
#include "tests/test.h"
#include "engine/data/data.h"
#include "engine/data/tokens.h"
#include <unistd.h>

#define stop_with(...) (print_message(__VA_ARGS__), print_message("\n"), assert_true(false))
#define NOTES __attribute__((unused)) static

/* Ids 0 .. 255 are the bytes. */
enum { BOS = 256, EOS = 257, START = 258, END = 259, VOCABULARY = 260 };

static struct arena a;
static char folder[64];
static struct err error;

NOTES char *in_folder(const char *name) { return arena_printf(&a, "%s/%s", folder, name); }

NOTES char *write_bytes(const char *name, const char *p, size_t n)
{
    char *path = in_folder(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
    return path;
}

NOTES char *write_file(const char *name, const char *text) { return write_bytes(name, text, strlen(text)); }

NOTES struct tokenizer *bytes_tokenizer(const char *name, bool adds_bos)
{
    struct tokenizer *t;
    dir_make(in_folder(name), &error);
    write_file(arena_printf(&a, "%s/tokenizer.json", name),
        "{\"version\": \"1.0\", \"added_tokens\": ["
        "{\"id\": 256, \"content\": \"<s>\", \"special\": true, \"normalized\": false, \"lstrip\": false, \"rstrip\": false, \"single_word\": false},"
        "{\"id\": 257, \"content\": \"</s>\", \"special\": true, \"normalized\": false, \"lstrip\": false, \"rstrip\": false, \"single_word\": false},"
        "{\"id\": 258, \"content\": \"<|im_start|>\", \"special\": true, \"normalized\": false, \"lstrip\": false, \"rstrip\": false, \"single_word\": false},"
        "{\"id\": 259, \"content\": \"<|im_end|>\", \"special\": true, \"normalized\": false, \"lstrip\": false, \"rstrip\": false, \"single_word\": false}],"
        " \"model\": {\"type\": \"bytes\"}}");
    write_file(arena_printf(&a, "%s/tokenizer_config.json", name),
        arena_printf(&a, "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"add_bos_token\": %s}", adds_bos ? "true" : "false"));
    if (!tokenizer_open(&t, in_folder(name), &a, &error)) stop_with("%s", error.text);
    assert_int_equal(tokenizer_size(t), VOCABULARY);
    assert_int_equal(tokenizer_bos(t), BOS);
    assert_int_equal(tokenizer_eos(t), EOS);
    assert_int_equal(tokenizer_adds_bos(t), adds_bos);
    return t;
}

NOTES struct template *named_template(const char *name)
{
    struct template *t;
    if (!template_open(&t, name, "assets/templates", (struct text){0}, &a, &error)) stop_with("%s", error.text);
    return t;
}

NOTES struct data_settings settings(struct tokenizer *t, const char *template, int max_length, enum packing_kind packing)
{
    return (struct data_settings){.tokenizer = t, .template = named_template(template), .max_length = max_length,
                                  .packing = packing, .cache_dir = in_folder("cache")};
}

NOTES struct source_spec spec_of(const char *path)
{
    return (struct source_spec){.name = path_base(path), .path = path, .format = "auto", .category = ""};
}

NOTES struct source prepared(const struct source_spec *spec, const struct data_settings *s)
{
    struct source out;
    error.text[0] = 0;
    if (!source_prepare(&out, spec, s, &a, &error)) stop_with("%s", error.text);
    return out;
}

/* The sentence of the failure that must come. */
NOTES const char *unprepared(const struct source_spec *spec, const struct data_settings *s)
{
    struct source out;
    error.text[0] = 0;
    if (source_prepare(&out, spec, s, &a, &error)) stop_with("%s was taken", spec->path);
    assert_true(error.text[0]);
    return error.text;
}

NOTES void says(const char *text, const char *part)
{
    if (!strstr(text, part)) stop_with("\"%s\" does not say \"%s\"", text, part);
}

/* A window as text: "[" and "]" round what is trained, "/" between documents. */
NOTES const char *shown(const struct stream *s, int64_t window)
{
    struct window_view v;
    struct buf b = buf_make(&a);
    if (!stream_view(s, window, &v, &a, &error)) stop_with("%s", error.text);
    for (int i = 0; i < v.n_parts; i++) {
        if (i && v.parts[i].document != v.parts[i - 1].document) buf_put(&b, "/", 1);
        buf_printf(&b, v.parts[i].trained ? "[%.*s]" : "%.*s", (int)v.parts[i].text.n, v.parts[i].text.p);
    }
    return b.p;
}

NOTES struct stream streamed(const struct stream_spec *spec, const struct data_settings *s)
{
    struct stream out;
    error.text[0] = 0;
    if (!stream_make(&out, spec, s, &a, &error)) stop_with("%s", error.text);
    return out;
}

NOTES int kit_start(void **state)
{
    (void)state;
    a = arena_make(0);
    snprintf(folder, sizeof folder, "/tmp/hone-data-XXXXXX");
    return mkdtemp(folder) ? 0 : 1;
}

NOTES int kit_stop(void **state)
{
    (void)state;
    arena_drop(&a);
    return dir_remove(folder, &error) ? 0 : 1;
}
#endif
