/* t_profile_move.c - whole entries of a profile's text: inserted, moved, renamed, with their
 * comments, and no other byte changed. */
#include "tests/test.h"
#include "engine/run/profile.h"

static struct arena arena;
static int setup(void **s)
{
    (void)s;
    arena = arena_make(0);
    return 0;
}
static int teardown(void **s)
{
    (void)s;
    arena_drop(&arena);
    return 0;
}

static const char blocks[] = "base_model: m\n"
                             "datasets:\n"
                             "  # the words\n"
                             "  words: {path: w.jsonl}   # 語\n"
                             "  zh:\n"
                             "    path: zh.jsonl\n"
                             "\n"
                             "  en:  {path: en.jsonl}\n"
                             "stages:   # in this order\n"
                             "  # First the words.\n"
                             "  - {name: align, datasets: {words: 1}}\n"
                             "\n"
                             "  # Then the facts,\n"
                             "  # slowly.\n"
                             "  - name: inject\n"
                             "    datasets: {zh: 0.8, en: 0.2}  # mixed\n"
                             "    bins: 10\n"
                             "  - {name: replay, datasets: {zh: 0.5, en: 0.5}}\n"
                             "# the end\n"
                             "seed: 3\n";

enum { INSERT, MOVE, RENAME };
/* The bytes `old` of the file become `new`. */
static const struct {
    int kind;
    const char *path, *value; /* of a move: "-1" or "1" */
    const char *old, *new;
} edits[] = {
    {INSERT, "stages.1", "{name: more, datasets: {zh: 1}}", "words: 1}}\n\n",
     "words: 1}}\n\n  - {name: more, datasets: {zh: 1}}\n"},
    {INSERT, "stages.2", "{name: more, datasets: {zh: 1}}", "bins: 10\n",
     "bins: 10\n  - {name: more, datasets: {zh: 1}}\n"},
    {INSERT, "stages.3", "{name: more, datasets: {zh: 1}}", "en: 0.5}}\n",
     "en: 0.5}}\n  - {name: more, datasets: {zh: 1}}\n"},
    {INSERT, "stages.0", "{name: more, datasets: {zh: 1}}", "# in this order\n",
     "# in this order\n  - {name: more, datasets: {zh: 1}}\n"},
    {MOVE, "stages.1", "-1",
     "  # First the words.\n  - {name: align, datasets: {words: 1}}\n\n"
     "  # Then the facts,\n  # slowly.\n  - name: inject\n    datasets: {zh: 0.8, en: 0.2}  # "
     "mixed\n    bins: 10\n",
     "  # Then the facts,\n  # slowly.\n  - name: inject\n    datasets: {zh: 0.8, en: 0.2}  # "
     "mixed\n    bins: 10\n\n"
     "  # First the words.\n  - {name: align, datasets: {words: 1}}\n"},
    {MOVE, "stages.2", "-1",
     "  # Then the facts,\n  # slowly.\n  - name: inject\n    datasets: {zh: 0.8, en: 0.2}  # "
     "mixed\n    bins: 10\n  - {name: replay, datasets: {zh: 0.5, en: 0.5}}\n",
     "  - {name: replay, datasets: {zh: 0.5, en: 0.5}}\n  # Then the facts,\n  # slowly.\n  - "
     "name: "
     "inject\n    datasets: {zh: 0.8, en: 0.2}  # mixed\n    bins: 10\n"},
    {MOVE, "datasets.words", "1",
     "  # the words\n  words: {path: w.jsonl}   # 語\n  zh:\n    path: zh.jsonl\n",
     "  zh:\n    path: zh.jsonl\n  # the words\n  words: {path: w.jsonl}   # 語\n"},
    {MOVE, "datasets.en", "-1", "  zh:\n    path: zh.jsonl\n\n  en:  {path: en.jsonl}\n",
     "  en:  {path: en.jsonl}\n\n  zh:\n    path: zh.jsonl\n"},
    {MOVE, "stages.1.datasets.zh", "1", "{zh: 0.8, en: 0.2}", "{en: 0.2, zh: 0.8}"},
    {RENAME, "datasets.zh", "chinese", "  zh:\n", "  chinese:\n"},
    {RENAME, "datasets.en", "a: b", "  en: ", "  \"a: b\": "},
    {RENAME, "stages.1.datasets.zh", "no", "{zh: 0.8", "{\"no\": 0.8"},
};

static bool edit(struct text *out, struct text source, size_t i, struct err *err)
{
    err->text[0] = 0;
    if (edits[i].kind == INSERT)
        return profile_text_insert(out, source, edits[i].path, edits[i].value, &arena, err);
    if (edits[i].kind == MOVE)
        return profile_text_move(out, source, edits[i].path, edits[i].value[0] == '-' ? -1 : 1,
                                 &arena, err);
    return profile_text_rename(out, source, edits[i].path, edits[i].value, &arena, err);
}

static const char *with_crlf(const char *text)
{
    struct buf b = buf_make(&arena);
    for (; *text; text++) buf_printf(&b, "%s%c", *text == '\n' ? "\r" : "", *text);
    return b.p;
}

static void check(size_t i, bool crlf)
{
    struct err err;
    struct text out;
    const char *file = crlf ? with_crlf(blocks) : blocks,
               *old = crlf ? with_crlf(edits[i].old) : edits[i].old,
               *new = crlf ? with_crlf(edits[i].new) : edits[i].new;
    const char *at = strstr(file, old);
    assert_non_null(at);
    if (!edit(&out, text_of(file), i, &err)) fail_msg("%s: %s", edits[i].path, err.text);
    assert_string_equal(
        arena_string(&arena, out.p, out.n),
        arena_printf(&arena, "%.*s%s%s", (int)(at - file), file, new, at + strlen(old)));
}

static void entries_move_with_their_comments_and_nothing_else_does(void **s)
{
    (void)s;
    for (size_t i = 0; i < COUNT(edits); i++) {
        check(i, false);
        check(i, true);
    }
}

static void a_move_and_its_opposite_give_the_file_back(void **s)
{
    (void)s;
    for (size_t i = 0; i < COUNT(edits); i++) {
        struct err err;
        struct text out, back;
        if (edits[i].kind != MOVE || strncmp(edits[i].path, "stages.", 7) != 0 ||
            strchr(edits[i].path + 7, '.'))
            continue;
        bool up = edits[i].value[0] == '-';
        assert_true(edit(&out, text_of(blocks), i, &err));
        assert_true(profile_text_move(&back, out, edits[i].path, up ? -1 : 1, &arena, &err));
        assert_true(text_is(back, blocks));
    }
}

/* Lists in brackets, lists that are not there, ends of files. */
static const struct {
    int kind;
    const char *file, *path, *value, *becomes;
} small[] = {
    {INSERT, "stages: [{name: a}]\n", "stages.0", "{name: b}", "stages: [{name: b}, {name: a}]\n"},
    {INSERT, "stages: [{name: a}]\n", "stages.1", "{name: b}", "stages: [{name: a}, {name: b}]\n"},
    {INSERT, "stages: []\n", "stages.0", "{name: b}", "stages: [{name: b}]\n"},
    {INSERT, "stages:\nseed: 1\n", "stages.0", "{name: b}", "stages: [{name: b}]\nseed: 1\n"},
    {INSERT, "seed: 1", "stages.0", "{name: b}", "seed: 1\nstages:\n  - {name: b}\n"},
    {INSERT, "", "stages.0", "{name: b}", "stages:\n  - {name: b}\n"},
    {INSERT, "{seed: 1}\n", "stages.0", "{name: b}", "{seed: 1, stages: [{name: b}]}\n"},
    {INSERT, "stages:\n- name: a\n", "stages.0", "{name: b}", "stages:\n- {name: b}\n- name: a\n"},
    {MOVE, "stages: [{name: a}, {name: b} , c]\n", "stages.1", "-1",
     "stages: [{name: b}, {name: a} , c]\n"},
    {MOVE, "stages:\n  - a\n  - b", "stages.0", "1", "stages:\n  - b\n  - a"},
    {MOVE, "stages:\n  - a\n  - |\n    two\n    lines\n  - c\n", "stages.1", "1",
     "stages:\n  - a\n  - c\n  - |\n    two\n    lines\n"},
    {MOVE, "{datasets: {a: 1, b: 2}}", "datasets.b", "-1", "{datasets: {b: 2, a: 1}}"},
    {MOVE, "datasets:\n  a: 1\n  b:\nseed: 1\n", "datasets.b", "-1",
     "datasets:\n  b:\n  a: 1\nseed: 1\n"},
    {RENAME, "datasets: {\"a b\": 1}\n", "datasets.a b", "c", "datasets: {c: 1}\n"},
};

static void short_forms_and_ends_of_files_are_edited_too(void **s)
{
    (void)s;
    for (size_t i = 0; i < COUNT(small); i++) {
        struct err err = {{0}};
        struct text out, file = text_of(small[i].file);
        bool ok =
            small[i].kind == INSERT
                ? profile_text_insert(&out, file, small[i].path, small[i].value, &arena, &err)
            : small[i].kind == MOVE
                ? profile_text_move(&out, file, small[i].path, small[i].value[0] == '-' ? -1 : 1,
                                    &arena, &err)
                : profile_text_rename(&out, file, small[i].path, small[i].value, &arena, &err);
        if (!ok) fail_msg("%s: %s", small[i].file, err.text);
        assert_string_equal(arena_string(&arena, out.p, out.n), small[i].becomes);
    }
}

static void what_cannot_be_done_is_a_sentence(void **s)
{
    (void)s;
    static const struct {
        int kind;
        const char *file, *path, *value, *says;
    } rows[] = {
        {MOVE, blocks, "stages.0", "-1", "nothing before it"},
        {MOVE, blocks, "stages.2", "1", "nothing after it"},
        {MOVE, blocks, "stages.3", "-1", "nothing before it"},
        {MOVE, blocks, "stages.9", "1", "no such place"},
        {MOVE, blocks, "datasets.nobody", "1", "no such place"},
        {MOVE, blocks, "seed.x", "1", "no such place"},
        {INSERT, blocks, "stages.9", "x", "no such place"},
        {INSERT, blocks, "datasets.zh", "x", "a list is wanted"},
        {INSERT, blocks, "stages.1", "a: {", "line"},
        {INSERT, blocks, "stages.1", "a\n- b", "edit it by hand"},
        {RENAME, blocks, "datasets.zh", "en", "called en already"},
        {RENAME, blocks, "stages.1", "en", "only a key"},
        {RENAME, "a: [1\n", "a", "b", "line 2"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = {{0}};
        struct text out, file = text_of(rows[i].file);
        bool ok = rows[i].kind == INSERT
                      ? profile_text_insert(&out, file, rows[i].path, rows[i].value, &arena, &err)
                  : rows[i].kind == MOVE
                      ? profile_text_move(&out, file, rows[i].path,
                                          rows[i].value[0] == '-' ? -1 : 1, &arena, &err)
                      : profile_text_rename(&out, file, rows[i].path, rows[i].value, &arena, &err);
        assert_false(ok);
        if (!strstr(err.text, rows[i].says)) print_message("%s: %s\n", rows[i].path, err.text);
        assert_non_null(strstr(err.text, rows[i].says));
    }
}

/* Spoilt text: an edit is refused, or it is the file with that edit and reads so again. */
static void spoilt_files_are_edited_rightly_or_refused(void **s)
{
    static const char letters[] = "{}[]:,-#'\"|>&*!? \n\tab0%\xE4\x80";
    int changed = 0;
    (void)s;
    for (uint64_t round = 0; round < 3000; round++) {
        struct arena_mark mark = arena_mark(&arena);
        size_t n = sizeof blocks - 1, i = rand_at(4, round) % COUNT(edits);
        char *text = arena_string(&arena, blocks, n);
        struct text out, again;
        struct err err;
        for (uint64_t k = 0; k <= rand_at(1, round) % 4; k++)
            text[rand_at(2, round * 8 + k) % n] = letters[rand_at(3, round * 8 + k) % 26];
        if (edit(&out, (struct text){text, n}, i, &err)) {
            changed++;
            assert_true(profile_text_get(&again, out, "seed", &arena, &err));
        } else {
            assert_true(err.text[0]);
        }
        arena_back(&arena, mark);
    }
    assert_true(changed > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_move_with_their_comments_and_nothing_else_does),
        cmocka_unit_test(a_move_and_its_opposite_give_the_file_back),
        cmocka_unit_test(short_forms_and_ends_of_files_are_edited_too),
        cmocka_unit_test(what_cannot_be_done_is_a_sentence),
        cmocka_unit_test(spoilt_files_are_edited_rightly_or_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
