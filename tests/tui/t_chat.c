/* t_chat.c - conversations: kept after every answer, listed, reopened, answered again, set up by
 * lines that begin with '/'. No model: replies are made here. */
#include "tests/test.h"
#include "tui/keys.h"
#include "tui/view.h"
#include "tui/world.h"
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct arena arena;
static struct app *app;
static struct world world;
static struct places places;
static char folder[64];

static int begin(void **s)
{
    (void)s;
    struct err err;
    arena = arena_make(0);
    snprintf(folder, sizeof folder, "/tmp/hone-chat-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    places = (struct places){.program = "/bin/false",
                             .home = folder,
                             .runs = arena_printf(&arena, "%s/runs", folder),
                             .cache = arena_printf(&arena, "%s/cache", folder)};
    app = NEW(&arena, struct app);
    app_start(app, &places, 80, 24, 1763812800, GLYPHS_BRAILLE);
    world_start(&world, app, NULL, &places);
    return dir_make(places.runs, &err) ? 0 : -1;
}

static int end(void **s)
{
    struct err err;
    (void)s;
    world_end(&world);
    app_drop(app);
    arena_drop(&arena);
    return dir_remove(folder, &err) ? 0 : -1;
}

static void type(const char *keys)
{
    for (; *keys; keys++) app_key(app, *keys == '\n' ? K_ENTER : (unsigned char)*keys);
}

static void reply(enum reply_kind kind, const char *text)
{
    struct reply r = {.kind = kind, .text = text_of(text), .step = -1, .context = 512};
    if (kind == REPLY_ANSWERED)
        r.stats = (struct answer_stats){.tokens = 3, .seconds = 1, .ended = "end"};
    app_reply(app, &r);
}

/* The wishes but those that want a model. */
static void do_wishes(void)
{
    int n = 0;
    for (int i = 0; i < app->n_wishes; i++) {
        enum wish_kind k = app->wishes[i].kind;
        if (k != WISH_CHAT_OPEN && k != WISH_ASK && k != WISH_STOP_ANSWER)
            app->wishes[n++] = app->wishes[i];
    }
    app->n_wishes = n;
    world_wishes(&world);
}

static void talk(const char *question, const char *answer)
{
    type(question);
    type("\n");
    assert_true(app->chat.answering);
    reply(REPLY_TOKEN, answer);
    reply(REPLY_ANSWERED, "");
    do_wishes();
}

static void start(const char *spec, const char *name)
{
    chat_start(app, spec, name, false);
    reply(REPLY_READY, "");
    do_wishes();
}

static const char *a_run(const char *name)
{
    struct err err;
    const char *dir = path_join(&arena, places.runs, name);
    assert_true(dir_make(dir, &err));
    assert_true(file_replace(path_join(&arena, dir, "events.jsonl"), TEXT(""), &err));
    assert_true(file_replace(path_join(&arena, dir, "state.json"),
                             TEXT("{\"state\": \"done\", \"step\": 3, \"steps\": 3}\n"), &err));
    assert_true(file_replace(path_join(&arena, dir, "profile.yaml"),
                             TEXT("base_model: m\ndatasets: {a: {path: a}}\nchat: {temperature: 0, "
                                  "max_new_tokens: 9, system: Be brief.}\n"),
                             &err));
    return dir;
}

static const char *read_file(const char *path)
{
    struct text t;
    struct err err;
    if (!file_read(&t, path, 1 << 20, &arena, &err)) fail_msg("%s", err.text);
    return t.p;
}

static void every_answer_is_kept_as_a_row_that_can_be_trained_on(void **s)
{
    (void)s;
    struct stat st;
    start("/models/small", "small \xE4\xBD\xA0");
    talk("hi", "\xE4\xBD\xA0\xE5\xA5\xBD \"x\"\n");
    const char *file = arena_printf(&arena, "%s", app->chat.file);
    assert_non_null(strstr(file, "/chat/20251122-120000-small-\xE4\xBD\xA0.jsonl"));
    assert_true(strncmp(file, folder, strlen(folder)) == 0);
    assert_string_equal(
        read_file(file),
        "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": \"assistant\", "
        "\"content\": \"\xE4\xBD\xA0\xE5\xA5\xBD \\\"x\\\"\\n\"}], \"model\": \"/models/small\", "
        "\"name\": \"small \xE4\xBD\xA0\"}\n");
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    talk("more", "yes");
    assert_string_equal(app->chat.file, file); /* the same conversation, the same file */
    assert_non_null(strstr(read_file(file), "more"));
    type("/clear\n");
    talk("new", "no");
    assert_string_not_equal(app->chat.file, file); /* a name of its own, the same second */
    assert_non_null(strstr(read_file(file), "more"));
}

static void a_runs_conversations_lie_in_its_folder_and_follow_its_profile(void **s)
{
    (void)s;
    const char *dir = a_run("one");
    chat_start(app, dir, "one", false);
    world_wishes(&world); /* there is no such program: the process ends, the settings are read */
    assert_true(app->chat.sampling.temperature == 0 && app->chat.max_new_tokens == 9);
    assert_string_equal(app->chat.system, "Be brief.");
    reply(REPLY_READY, "");
    talk("hi", "yes");
    assert_true(strncmp(app->chat.file, arena_printf(&arena, "%s/chat/", dir), strlen(dir) + 6) ==
                0);
    assert_non_null(strstr(read_file(app->chat.file), "\"role\": \"system\", \"content\": \"Be"));
    chat_start(app, arena_printf(&arena, "%s/ckpt/000100", dir), "one 000100", false);
    reply(REPLY_READY, "");
    do_wishes();
    talk("hi", "yes");
    assert_true(strncmp(app->chat.file, arena_printf(&arena, "%s/chat/", dir), strlen(dir) + 6) ==
                0);
}

static void conversations_are_listed_newest_first_and_reopened(void **s)
{
    (void)s;
    struct err err;
    const char *dir = a_run("one");
    start("/models/small", "small");
    talk("first question", "a");
    const char *file = arena_printf(&arena, "%s", app->chat.file);
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, file, old, 0), 0);
    start(dir, "one");
    app->chat.system[0] = 0;
    talk("second question", "b");
    assert_true(
        file_replace(arena_printf(&arena, "%s/chat/broken.jsonl", dir), TEXT("{\"messa"), &err));
    assert_true(file_replace(arena_printf(&arena, "%s/chat/other.txt", dir), TEXT("x"), &err));
    type("/history\n");
    do_wishes();
    assert_int_equal(app_top(app), POPUP_PAST);
    assert_int_equal(app->past.n, 2);
    assert_string_equal(app->past.all[0].first, "second question");
    assert_string_equal(app->past.all[1].first, "first question");
    assert_int_equal(app->past.all[1].messages, 2);
    type("j\n");
    do_wishes();
    assert_int_equal(app_top(app), POPUP_NONE);
    assert_string_equal(app->chat.spec, "/models/small");
    assert_int_equal(app->chat.n_lines, 2);
    assert_string_equal(app->chat.lines[1].text.p, "a");
    reply(REPLY_READY, "");
    talk("goes on", "c");
    assert_string_equal(app->chat.file, file);
    assert_non_null(strstr(read_file(file), "goes on"));
}

static void what_comes_late_of_a_conversation_that_was_left_is_dropped(void **s)
{
    (void)s;
    start("/models/small", "small");
    type("long\n");
    reply(REPLY_TOKEN, "once upon");
    app_key(app, K_ESC); /* stops it */
    app_key(app, K_ESC);
    type("c");
    reply(REPLY_TOKEN, " a time");
    assert_int_equal(app->chat.n_lines, 0);
    type("hi\n");
    assert_int_equal(app->chat.n_lines, 0); /* the stopped answer has not ended yet */
    assert_true(app->notice[0]);
    reply(REPLY_ANSWERED, "");
    type("\n");
    reply(REPLY_TOKEN, "hello");
    reply(REPLY_ANSWERED, "");
    assert_int_equal(app->chat.n_lines, 2);
    assert_string_equal(app->chat.lines[1].text.p, "hello");
}

static void a_question_to_a_model_that_is_gone_opens_it_again(void **s)
{
    (void)s;
    start("/models/small", "small");
    talk("one", "1");
    reply(REPLY_GONE, "the engine ended.");
    assert_true(!app->chat.open && app->chat.n_lines == 2);
    app->n_wishes = 0;
    type("two\n");
    assert_int_equal(app->wishes[0].kind, WISH_CHAT_OPEN);
    assert_string_equal(app->wishes[0].text, "/models/small");
    assert_string_equal(app->chat.spec, "/models/small");
    assert_string_equal(app->chat.name, "small");
    assert_int_equal(app->chat.n_lines, 2);
    app->n_wishes = 0;
    reply(REPLY_READY, "");
    assert_int_equal(app->wishes[0].kind, WISH_ASK);
    assert_string_equal(app->chat.lines[2].text.p, "two");
}

static void the_last_message_is_answered_again_with_another_seed(void **s)
{
    (void)s;
    start("/models/small", "small");
    app_key(app, K_CTRL | 'r');
    assert_non_null(strstr(app->notice, "nothing was asked"));
    talk("one", "1");
    uint64_t seed = app->chat.seed;
    type("/again\n");
    assert_true(app->chat.answering && app->chat.n_lines == 2 && app->chat.seed != seed);
    app_key(app, K_CTRL | 'r');
    assert_non_null(strstr(app->notice, "still coming"));
    reply(REPLY_ANSWERED, "");
    assert_int_equal(app->chat.n_lines, 2);
}

static void settings_are_lines_that_begin_with_a_slash(void **s)
{
    (void)s;
    start("/models/small", "small");
    type("/temp\t");
    app_key(app, K_CTRL | 'u');
    type("/temp");
    app_key(app, K_TAB);
    assert_string_equal(app->chat.edit.text.p, "/temperature ");
    type("1.5\n");
    assert_true(app->chat.sampling.temperature == 1.5f);
    type("/top-p 2\n");
    assert_true(app->chat.sampling.top_p < 1 && strstr(app->notice, "0.001 to 1"));
    type("/max 7\n/top-k 3\n/seed 11\n/system Be kind.\n");
    assert_true(app->chat.max_new_tokens == 7 && app->chat.sampling.top_k == 3);
    assert_true(app->chat.seed == 11 && strcmp(app->chat.system, "Be kind.") == 0);
    type("/adapter off\n");
    assert_non_null(strstr(app->notice, "no adapter"));
    app->chat.has_adapter = true;
    app_key(app, K_CTRL | 'o');
    assert_true(app->chat.adapter_off);
    type("/adapter on\n/nonsense\n");
    assert_true(!app->chat.adapter_off && strstr(app->notice, "/nonsense"));
    assert_int_equal(app->chat.n_lines, 0);
    type("/save\n");
    assert_true(app->prompt.open && app->prompt.kind == PROMPT_KEEP_CHAT);
}

static void where_there_is_nobody_the_keys_are_keys(void **s)
{
    (void)s;
    type("4");
    assert_int_equal(app->screen, SCREEN_CHAT);
    type("1");
    assert_int_equal(app->screen, SCREEN_MODELS);
}

static void a_long_conversation_scrolls_to_its_first_line_and_back(void **s)
{
    (void)s;
    struct grid g = {0};
    struct buf b = buf_make(&arena);
    start("/models/small", "small");
    for (int i = 0; i < 40; i++)
        chat_line_add(app, i % 2 ? "assistant" : "user",
                      text_of(arena_printf(&arena, "line %d", i)));
    for (int i = 0; i < 30; i++) app_key(app, K_PAGE_UP);
    view_draw(app, &g);
    grid_print(&g, false, &b);
    assert_non_null(strstr(b.p, "line 0\n"));
    app_key(app, K_PAGE_DOWN); /* nothing of the way up is left over */
    assert_true(app->chat.scroll < 40);
    for (int i = 0; i < 4; i++) app_key(app, K_PAGE_DOWN);
    assert_int_equal(app->chat.scroll, 0);
    grid_drop(&g);
}

int main(void)
{
    grid_locale();
#define CHAT(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CHAT(every_answer_is_kept_as_a_row_that_can_be_trained_on),
        CHAT(a_runs_conversations_lie_in_its_folder_and_follow_its_profile),
        CHAT(conversations_are_listed_newest_first_and_reopened),
        CHAT(what_comes_late_of_a_conversation_that_was_left_is_dropped),
        CHAT(a_question_to_a_model_that_is_gone_opens_it_again),
        CHAT(the_last_message_is_answered_again_with_another_seed),
        CHAT(settings_are_lines_that_begin_with_a_slash),
        CHAT(where_there_is_nobody_the_keys_are_keys),
        CHAT(a_long_conversation_scrolls_to_its_first_line_and_back),
    };
    return cmocka_run_group_tests_name("chat", tests, NULL, NULL);
}
