/* t_form.c - the profile as a form: entries come, go and move by keys, values step and toggle,
 * every change can be undone, and no byte of the file changes but those meant. */
#include "tests/test.h"
#include "tui/keys.h"
#include "tui/view.h"
#include <stdio.h>
#include <stdlib.h>

static const struct places places = {.program = "hone", .profiles = "profiles", .home = "/nowhere"};

static const char file[] = "# what it is for\n"
                           "base_model: m     # the base\n"
                           "learning_rate: 2e-4\n"
                           "batch_tokens: 16k   # a step\n"
                           "datasets:\n"
                           "  # words first\n"
                           "  zh: {path: data/zh.jsonl}   # 中文\n"
                           "  en: {path: data/en.jsonl}\n"
                           "stages:\n"
                           "  # slowly\n"
                           "  - {name: align, train: [embeddings, lm_head], datasets: {zh: 1.0}, "
                           "max_steps: 120}\n"
                           "  - {name: inject, datasets: {zh: 0.8, en: 0.2}, bins: 10}\n"
                           "# the end\n";

static struct arena arena;
static struct app *app;

static int begin(void **s)
{
    (void)s;
    arena = arena_make(0);
    app = NEW(&arena, struct app);
    app_start(app, &places, 100, 40, 0, GLYPHS_BRAILLE);
    app_profile(app, "/p/a.yaml", text_of(file));
    return 0;
}

static int end(void **s)
{
    (void)s;
    app_drop(app);
    arena_drop(&arena);
    return 0;
}

static void type(const char *keys)
{
    for (; *keys; keys++) app_key(app, *keys == '\n' ? K_ENTER : (unsigned char)*keys);
}

static void cursor(const char *path, enum row_kind kind)
{
    for (int i = 0; i < app->profile.n_rows; i++)
        if (strcmp(app->profile.rows[i].path, path) == 0 && app->profile.rows[i].kind == kind) {
            app->profile.list.at = i;
            return;
        }
    fail_msg("there is no row %s", path);
}

static const struct form_row *row_of(const char *path, enum row_kind kind)
{
    cursor(path, kind);
    return form_here(app);
}

/* The file as it began, with one text in another's place. */
static const char *with(const char *old, const char *new)
{
    const char *at = strstr(file, old);
    assert_non_null(at);
    return arena_printf(&arena, "%.*s%s%s", (int)(at - file), file, new, at + strlen(old));
}

static void is(const char *wanted)
{
    const char *got = arena_string(&arena, app->profile.source.p, app->profile.source.n);
    if (app->notice[0] && strcmp(got, wanted) != 0) print_message("notice: %s\n", app->notice);
    assert_string_equal(got, wanted);
    assert_int_equal(app->profile.problems.n, 0);
}

static void a_dataset_is_added_named_after_its_file(void **s)
{
    (void)s;
    cursor("datasets.zh", ROW_DATASET);
    type("a");
    assert_true(app->prompt.open);
    type("\n");
    assert_true(app->prompt.open && app->prompt.problem[0]); /* no name, no file */
    type("rows/my chat.train.jsonl\n");
    assert_false(app->prompt.open);
    is(with("  en: {path: data/en.jsonl}\n",
            "  en: {path: data/en.jsonl}\n  my-chat: {path: rows/my chat.train.jsonl}\n"));
    assert_string_equal(form_here(app)->label, "my-chat");
    type("azh.jsonl\n");
    assert_string_equal(form_here(app)->label, "zh-2"); /* zh is there already */
    type("uu");
    is(file);
    type("U");
    assert_int_equal(app->profile.profile.n_datasets, 3);
}

static void a_stage_is_added_after_the_one_here_with_its_mix(void **s)
{
    (void)s;
    cursor("stages.0", ROW_STAGE);
    type("a");
    app_key(app, K_CTRL | 'u');
    type("align\n");
    assert_true(app->prompt.open && app->prompt.problem[0]); /* there is one called so */
    app_key(app, K_CTRL | 'u');
    type("more\n");
    is(with("max_steps: 120}\n", "max_steps: 120}\n  - {name: more, datasets: {zh: 1}}\n"));
    assert_string_equal(form_here(app)->label, "2 more");
    type("u");
    is(file);
}

static void entries_go_where_nothing_else_needs_them(void **s)
{
    (void)s;
    cursor("stages.0", ROW_STAGE);
    type("d");
    is(with("  - {name: align, train: [embeddings, lm_head], datasets: {zh: 1.0}, max_steps: "
            "120}\n",
            ""));
    type("u");
    cursor("datasets.en", ROW_DATASET);
    type("d"); /* out of the mix of inject too */
    assert_int_equal(app->profile.profile.n_datasets, 1);
    assert_int_equal(app->profile.profile.stages[1].n_mix, 1);
    type("u");
    is(file);
    cursor("datasets.zh", ROW_DATASET);
    type("d");
    is(file);
    assert_non_null(strstr(app->notice, "stage align learns from zh alone"));
}

static void the_last_stage_and_the_last_dataset_leave_a_whole_profile(void **s)
{
    (void)s;
    cursor("stages.0", ROW_STAGE);
    type("dd");
    assert_non_null(strstr(app->notice, "several datasets need a stage"));
    cursor("datasets.zh", ROW_DATASET);
    type("dd");
    assert_non_null(strstr(app->notice, "needs a dataset"));
    cursor("stages.0", ROW_STAGE);
    type("d"); /* one dataset needs no stage */
    assert_null(memmem(app->profile.source.p, app->profile.source.n, "stages", 6));
    assert_int_equal(app->profile.profile.n_stages, 1);
    cursor("stages.0", ROW_STAGE);
    type("d");
    assert_non_null(strstr(app->notice, "every profile has"));
    assert_int_equal(app->profile.problems.n, 0);
}

static void entries_move_and_the_cursor_stays_on_them(void **s)
{
    (void)s;
    cursor("stages.1", ROW_STAGE);
    type("<");
    assert_string_equal(app->profile.profile.stages[0].name, "inject");
    assert_string_equal(form_here(app)->path, "stages.0");
    type("<");
    assert_non_null(strstr(app->notice, "first already"));
    type(">");
    is(file);
    cursor("datasets.zh", ROW_DATASET);
    type(">");
    assert_string_equal(app->profile.profile.datasets[1].name, "zh");
    assert_string_equal(form_here(app)->label, "zh");
    type("u");
    is(file);
    cursor("learning_rate", ROW_FIELD);
    type(">");
    is(file);
    assert_true(app->notice[0]);
}

static void a_dataset_gets_another_name_everywhere(void **s)
{
    (void)s;
    cursor("datasets.zh", ROW_DATASET);
    type("\n");
    cursor("datasets.zh", ROW_NAME);
    type("\n");
    app_key(app, K_CTRL | 'u');
    assert_true(app->prompt.problem[0]);
    type("en");
    assert_true(app->prompt.problem[0]); /* taken */
    app_key(app, K_CTRL | 'u');
    type("chinese\n");
    assert_false(app->prompt.open);
    assert_string_equal(app->profile.profile.datasets[0].name, "chinese");
    assert_int_equal(app->profile.profile.stages[1].mix[0].dataset, 0);
    assert_true(row_of("datasets.chinese", ROW_DATASET)->open); /* as it was folded */
    type("u");
    is(file);
}

static void shares_are_taken_in_and_out_and_stepped(void **s)
{
    (void)s;
    cursor("stages.0", ROW_STAGE);
    type("\n");
    cursor("stages.0.datasets.en", ROW_SHARE);
    assert_false(form_here(app)->said);
    type(" ");
    is(with("{zh: 1.0}", "{zh: 1.0, en: 1}"));
    assert_non_null(memmem(form_here(app)->note.p, form_here(app)->note.n, "50 %", 4));
    type("-");
    is(with("{zh: 1.0}", "{zh: 1.0, en: 0.9}"));
    type(" ");
    is(file);
    cursor("datasets.en", ROW_DATASET);
    type("aother.jsonl\n");
    cursor("stages.1", ROW_STAGE);
    type("\n");
    cursor("stages.1.datasets.other", ROW_SHARE);
    type(" "); /* the others are parts of one */
    assert_true(text_is(form_here(app)->value, "0.1"));
    type("uu");
    is(file);
    cursor("stages.0.datasets.zh", ROW_SHARE);
    type("d"); /* a stage that learns nothing is refused */
    is(file);
    assert_true(app->notice[0]);
}

static void parts_are_marked(void **s)
{
    (void)s;
    cursor("stages.0", ROW_STAGE);
    type("\n");
    cursor("stages.0.train", ROW_FIELD);
    type(" ");
    assert_int_equal(app_top(app), POPUP_MARKS);
    type("jjjj \n"); /* norms */
    is(with("[embeddings, lm_head]", "[embeddings, lm_head, norms]"));
    type("\njjjjj +\n");
    is(with("[embeddings, lm_head]", "[embeddings, lm_head, norms, last:5]"));
    type("\n \n"); /* full stands alone */
    is(with("[embeddings, lm_head]", "full"));
    type("\n \n");
    is(with("[embeddings, lm_head]", "full"));
    assert_non_null(strstr(app->notice, "nothing is marked"));
    type("\nt");
    assert_true(app->prompt.open && app->prompt.kind == PROMPT_VALUE);
    app_key(app, K_CTRL | 'u');
    type("norms, /q_proj$/\n");
    is(with("[embeddings, lm_head]", "[norms, /q_proj$/]"));
    type("\njjj \n"); /* lm_head beside the pattern */
    is(with("[embeddings, lm_head]", "[lm_head, norms, /q_proj$/]"));
}

static void settings_that_exclude_each_other_replace_each_other(void **s)
{
    (void)s;
    cursor("stages.0", ROW_STAGE);
    type("\n");
    assert_int_equal(row_of("stages.0.epochs", ROW_FIELD)->value.n, 0);
    type("\n2\n");
    is(with("max_steps: 120}", "epochs: 2}"));
    type("u");
    is(file);
}

static void a_stage_shows_what_the_root_says(void **s)
{
    (void)s;
    cursor("stages.1", ROW_STAGE);
    type("\n");
    const struct form_row *r = row_of("stages.1.learning_rate", ROW_FIELD);
    assert_true(!r->said && text_is(r->value, "2e-4"));
    type("+");
    is(with("bins: 10}", "bins: 10, learning_rate: 3e-4}"));
}

static void a_stage_that_is_not_written_is_written_before_it_is_changed(void **s)
{
    (void)s;
    app_profile(app, "/p/b.yaml", TEXT("base_model: m\ndatasets: {a: {path: a}}\n"));
    cursor("stages.0", ROW_STAGE);
    type("\n");
    cursor("stages.0.bins", ROW_FIELD);
    type("+");
    is("base_model: m\ndatasets: {a: {path: a}}\nstages:\n"
       "  - {name: train, datasets: {a: 1}, bins: 2}\n");
    type("u");
    cursor("datasets.a", ROW_DATASET);
    type("ab.jsonl\n");
    is("base_model: m\ndatasets: {a: {path: a}, b: {path: b.jsonl}}\nstages:\n"
       "  - {name: train, datasets: {a: 1}}\n");
    cursor("stages.0", ROW_STAGE);
    type("a\n");
    assert_int_equal(app->profile.profile.n_stages, 2);
    assert_string_equal(app->profile.profile.stages[1].name, "stage-2");
}

static const struct {
    const char *path, *value;
    int by;
    const char *becomes;
} steps[] = {
    {"learning_rate", "2e-4", 1, "3e-4"},
    {"learning_rate", "1.5e-4", 1, "2e-4"},
    {"learning_rate", "7e-4", 1, "0.001"},
    {"learning_rate", "0.001", -1, "7e-4"},
    {"learning_rate", "1e-5", -1, "7e-6"},
    {"learning_rate", "2.2e-5", -1, "2e-5"},
    {"learning_rate", "0", 1, "1e-5"},
    {"learning_rate", "10", 1, NULL},
    {"batch_tokens", "16k", 1, "32k"},
    {"batch_tokens", "1k", -1, "500"},
    {"batch_tokens", "4096", -1, "2048"},
    {"batch_tokens", "1", -1, NULL},
    {"max_length", "8", -1, NULL},
    {"max_length", "1024", 1, "2048"},
    {"max_steps", "120", 1, "200"},
    {"max_steps", "100", -1, "50"},
    {"max_steps", "", 1, "1"},
    {"max_steps", "1", -1, NULL},
    {"save.every_steps", "1", -1, "0"},
    {"warmup_ratio", "3%", 1, "4%"},
    {"warmup_ratio", "0.03", -1, "0.02"},
    {"warmup_ratio", "10%", 1, "15%"},
    {"eval.holdout", "50%", 1, NULL},
    {"optimizer.beta2", "0.95", 1, "0.96"},
    {"optimizer.beta1", "0.9", 1, "0.91"},
    {"optimizer.weight_decay", "0.1", -1, "0.05"},
    {"bins", "10", 1, "11"},
    {"bins", "1", -1, NULL},
    {"epochs", "1", 1, "2"},
    {"epochs", "2.5", -1, "2"},
    {"lora.rank", "16", 1, "32"},
    {"micro_batch_size", "auto", 1, "1"},
    {"chat.temperature", "0.7", 1, "0.8"},
    {"chat.temperature", "0", -1, NULL},
    {"seed", "42", -1, "41"},
};

static void numbers_step_as_people_choose_them(void **s)
{
    (void)s;
    for (size_t i = 0; i < COUNT(steps); i++) {
        char out[64] = "";
        const struct field *f = profile_field(steps[i].path);
        bool ok = form_step(out, f, text_of(steps[i].value), steps[i].by);
        if (ok != (steps[i].becomes != NULL) || (ok && strcmp(out, steps[i].becomes) != 0))
            fail_msg("%s %s by %d is %s, not %s", steps[i].path, steps[i].value, steps[i].by,
                     ok ? out : "refused", steps[i].becomes ? steps[i].becomes : "refused");
    }
}

/* Every number of the table can be stepped from its default to both ends, and each value is one
 * that the parser takes. */
static void every_number_can_be_stepped_to_its_ends(void **s)
{
    (void)s;
    for (int i = 0; i < profile_n_fields; i++) {
        const struct field *f = &profile_fields[i];
        if (!f->built || (f->type != FIELD_INT && f->type != FIELD_NUM) ||
            f->scope == SCOPE_DATASET)
            continue;
        for (int by = -1; by <= 1; by += 2) {
            char value[64], next[64];
            snprintf(value, sizeof value, "%s", f->preset);
            for (int n = 0; n < 300 && form_step(next, f, text_of(value), by); n++) {
                struct profile p;
                struct err err = {""};
                const char *front = profile_excludes(f->path, "micro_batch_size") ||
                                            strcmp(f->path, "gradient_accumulation_steps") == 0
                                        ? "micro_batch_size=1"
                                        : "seed=1";
                const char *sets[] = {front, arena_printf(&arena, "%s=%s", f->path, next)};
                assert_string_not_equal(value, next);
                if (!profile_parse(&p, TEXT("base_model: m\ndatasets: {a: {path: a}}\n"), "/p",
                                   sets, 2, NULL, &arena, &err))
                    fail_msg("%s=%s: %s", f->path, next, err.text);
                snprintf(value, sizeof value, "%s", next);
            }
        }
    }
}

static void space_and_signs_take_the_next_choice(void **s)
{
    (void)s;
    cursor("lr_scheduler", ROW_FIELD);
    type(" ");
    is(with("bins: 10}\n", "bins: 10}\nlr_scheduler: wsd\n"));
    type(" ");
    is(with("bins: 10}\n", "bins: 10}\nlr_scheduler: constant\n"));
    type("-");
    is(with("bins: 10}\n", "bins: 10}\nlr_scheduler: wsd\n"));
    type("d");
    is(file);
    cursor("batch_tokens", ROW_FIELD);
    type("+");
    is(with("16k", "32k"));
    type("uU");
    is(with("16k", "32k"));
}

static void in_another_folder_a_profile_means_the_same_files(void **s)
{
    (void)s;
    struct text out;
    struct err err = {""};
    app_profile(app, "/p/a.yaml",
                TEXT("base_model: ../m   # here\ntemplate: chatml\nlora: {init_from: ad}\n"
                     "datasets:\n  a: {path: \"rows a.jsonl\"}\n  b: {path: /abs/b.jsonl}\n"
                     "eval: {quiz: [q.jsonl, /abs/q.jsonl]}\n"
                     "stages: [{name: s, datasets: {a: 1, b: 1}}]\n"));
    assert_int_equal(app->profile.problems.n, 0);
    assert_true(form_away(app, "/p/other.yaml", &out, &arena, &err));
    assert_true(text_equal(out, app->profile.source));
    if (!form_away(app, "/elsewhere/a.yaml", &out, &arena, &err)) fail_msg("%s", err.text);
    assert_string_equal(arena_string(&arena, out.p, out.n),
                        "base_model: /m   # here\ntemplate: chatml\nlora: {init_from: /p/ad}\n"
                        "datasets:\n  a: {path: /p/rows a.jsonl}\n  b: {path: /abs/b.jsonl}\n"
                        "eval: {quiz: [/p/q.jsonl, /abs/q.jsonl]}\n"
                        "stages: [{name: s, datasets: {a: 1, b: 1}}]\n");
}

static void a_preset_is_written_to_the_users_own_folder(void **s)
{
    (void)s;
    app_profile(app, "profiles/demo.yaml", text_of(file));
    app->n_wishes = 0;
    type("w");
    assert_true(app->prompt.open && app->prompt.kind == PROMPT_SAVE_AS);
    assert_string_equal(app->prompt.edit.text.p, "/nowhere/profiles/demo.yaml");
    type("\n");
    assert_int_equal(app->wishes[0].kind, WISH_WRITE_PROFILE);
}

static void a_model_that_is_the_base_already_changes_nothing(void **s)
{
    (void)s;
    app_models(app,
               TEXT("{\"models\": [{\"name\": \"m\", \"path\": \"/p/x/../m\"}, {\"name\": \"n\", "
                    "\"path\": \"/n\"}]}"),
               NULL);
    app_profile(app, "/p/a.yaml", text_of(with("base_model: m ", "base_model: ./m ")));
    const char *before = arena_string(&arena, app->profile.source.p, app->profile.source.n);
    app->screen = SCREEN_MODELS;
    type("\n");
    assert_true(text_is(app->profile.source, before) && app->screen == SCREEN_PROFILE);
    app->screen = SCREEN_MODELS;
    type("j\n");
    is(with("base_model: m ", "base_model: /n "));
}

static void a_files_name_is_completed_and_others_are_named(void **s)
{
    (void)s;
    cursor("datasets.zh", ROW_DATASET);
    app->n_wishes = 0;
    type("ada");
    app_key(app, K_TAB);
    assert_int_equal(app->wishes[0].kind, WISH_COMPLETE);
    assert_string_equal(app->wishes[0].text, "da");
    app_completed(app, TEXT("data/"), "a.jsonl  b.jsonl");
    assert_string_equal(app->prompt.edit.text.p, "data/");
    assert_string_equal(app->prompt.problem, "a.jsonl  b.jsonl");
}

static void nothing_is_done_to_a_profile_that_is_wrong_already(void **s)
{
    (void)s;
    const char *wrong = with("learning_rate: 2e-4", "learning_rate: fast");
    app_profile(app, "/p/a.yaml", text_of(wrong));
    app->profile.list.at = 0;
    for (int i = 0; i < app->profile.n_rows; i++)
        if (app->profile.rows[i].kind == ROW_STAGE) app->profile.list.at = i;
    type("d");
    assert_true(text_is(app->profile.source, wrong));
    type("a");
    assert_false(app->prompt.open);
    assert_non_null(strstr(app->notice, "learning_rate"));
}

int main(void)
{
#define FORM(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        FORM(a_dataset_is_added_named_after_its_file),
        FORM(a_stage_is_added_after_the_one_here_with_its_mix),
        FORM(entries_go_where_nothing_else_needs_them),
        FORM(the_last_stage_and_the_last_dataset_leave_a_whole_profile),
        FORM(entries_move_and_the_cursor_stays_on_them),
        FORM(a_dataset_gets_another_name_everywhere),
        FORM(shares_are_taken_in_and_out_and_stepped),
        FORM(parts_are_marked),
        FORM(settings_that_exclude_each_other_replace_each_other),
        FORM(a_stage_shows_what_the_root_says),
        FORM(a_stage_that_is_not_written_is_written_before_it_is_changed),
        FORM(numbers_step_as_people_choose_them),
        FORM(every_number_can_be_stepped_to_its_ends),
        FORM(space_and_signs_take_the_next_choice),
        FORM(in_another_folder_a_profile_means_the_same_files),
        FORM(a_preset_is_written_to_the_users_own_folder),
        FORM(a_model_that_is_the_base_already_changes_nothing),
        FORM(a_files_name_is_completed_and_others_are_named),
        FORM(nothing_is_done_to_a_profile_that_is_wrong_already),
    };
    return cmocka_run_group_tests_name("form", tests, NULL, NULL);
}
