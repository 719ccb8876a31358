/* t_message.c - the messages between an engine and its clients: what is asked comes over as it was
 * asked, what is out of range is a sentence, and each reply is read as what it was. */
#include "tests/test.h"
#include "engine/serve/wire.h"

static struct arena a;

static const struct json *parse(const char *text)
{
    const struct json *o;
    struct err err;
    if (!json_parse(&o, text_of(text), "test", (struct json_limits){0}, &a, &err))
        fail_msg("%s: %s", text, err.text);
    return o;
}

static bool asked(struct asked *out, const char *ask, struct err *err)
{
    err->text[0] = 0;
    return asked_read(out, parse(ask), &a, err);
}

static void what_is_asked_comes_over_as_it_was(void **state)
{
    static const struct chat_message messages[] = {{"system", {"be \"brief\"\n", 11}},
                                                   {"user", {"hop?", 4}}};
    static const char *const stops[] = {"a", "b\n", "\xE4\xBD\xA0"};
    struct chat_request r = {.messages = messages,
                             .n = 2,
                             .raw = true,
                             .sampling = {0.5f, 0.25f, 1.5f, 40},
                             .max_new_tokens = 77,
                             .seed = 123456789012345,
                             .stops = stops,
                             .n_stops = 3,
                             .adapter_off = true};
    (void)state;
    for (int round = 0; round < 2; round++) {
        struct buf b = buf_make(&a);
        struct asked out;
        struct err err;
        put_ask(&b, &r);
        assert_int_equal(b.p[b.n - 1], '\n');
        assert_null(memchr(b.p, '\n', b.n - 1));
        if (!asked_read(&out, json_get(parse(b.p), "ask"), &a, &err)) fail_msg("%s", err.text);
        assert_int_equal(out.n, 2);
        for (int i = 0; i < 2; i++) {
            assert_true(text_is(out.messages[i].role, messages[i].role));
            assert_true(text_equal(out.messages[i].content, messages[i].content));
        }
        assert_int_equal(out.options.n_stops, r.n_stops);
        for (int i = 0; i < r.n_stops; i++) assert_string_equal(out.options.stops[i], stops[i]);
        assert_true(out.raw == r.raw && out.adapter_off == r.adapter_off);
        assert_true(out.options.trim == !r.raw);
        assert_true(out.options.sampling.temperature == 0.5f &&
                    out.options.sampling.top_p == 0.25f);
        assert_true(out.options.sampling.repetition_penalty == 1.5f);
        assert_int_equal(out.options.sampling.top_k, 40);
        assert_int_equal(out.options.max_new_tokens, 77);
        assert_int_equal(out.options.seed, 123456789012345);
        r.raw = r.adapter_off = false; /* and the other way round */
        r.n_stops = 0;
    }
}

static void what_is_not_said_has_its_usual_value(void **state)
{
    struct asked out;
    struct err err;
    (void)state;
    assert_true(asked(&out, "{\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}", &err));
    assert_true(out.options.sampling.temperature == 0.7f && out.options.sampling.top_p == 1);
    assert_true(out.options.sampling.repetition_penalty == 1 && out.options.sampling.top_k == 0);
    assert_int_equal(out.options.max_new_tokens, 256);
    assert_int_equal(out.options.seed, 0);
    assert_int_equal(out.options.n_stops, 0);
    assert_true(!out.raw && !out.adapter_off && out.options.trim);
}

#define ONE "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"

static void what_is_out_of_range_is_a_sentence(void **state)
{
    static const struct {
        const char *ask, *says;
    } rows[] = {{"{}", "a chat has 1 to 10,000 messages"},
                {"{\"messages\":[]}", "a chat has 1 to 10,000 messages"},
                {"{\"messages\":{\"role\":1}}", "a chat has 1 to 10,000 messages"},
                {"{\"messages\":[{\"role\":1,\"content\":\"x\"}]}", "role"},
                {"{\"messages\":[{\"role\":\"user\",\"content\":5}]}", "content"},
                {ONE "\"stop\":5}", "at most 16 stop texts"},
                {ONE "\"stop\":[\"a\",2]}", "stop text 2 is no text"},
                {ONE "\"stop\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}", "at most 16 stop texts"},
                {ONE "\"stop\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}", "stop text 1 is no text"},
                {ONE "\"raw\":1}", "raw"},
                {ONE "\"adapter_off\":\"\"}", "adapter_off"},
                {ONE "\"temperature\":-0.5}", "temperature"},
                {ONE "\"temperature\":100.5}", "temperature"},
                {ONE "\"top_p\":1.01}", "top_p"},
                {ONE "\"top_p\":-0.01}", "top_p"},
                {ONE "\"repetition_penalty\":0}", "repetition_penalty"},
                {ONE "\"repetition_penalty\":101}", "repetition_penalty"},
                {ONE "\"top_k\":-1}", "top_k"},
                {ONE "\"top_k\":16777217}", "top_k"},
                {ONE "\"max_new_tokens\":0}", "max_new_tokens"},
                {ONE "\"max_new_tokens\":16777217}", "max_new_tokens"},
                {ONE "\"seed\":-1}", "seed"}};
    static const char *const good[] = {
        ONE "\"temperature\":100,\"top_p\":0,\"repetition_penalty\":0.01,\"top_k\":16777216}",
        ONE "\"temperature\":0,\"top_p\":1,\"repetition_penalty\":100,\"max_new_tokens\":16777216}",
        ONE "\"max_new_tokens\":1,\"seed\":9223372036854775807,\"top_k\":0}"};
    struct asked out;
    struct err err;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool read = asked(&out, rows[i].ask, &err);
        if (read || !strstr(err.text, rows[i].says))
            print_message("%s: %s\n", rows[i].ask, err.text);
        assert_true(!read && strstr(err.text, rows[i].says));
    }
    for (size_t i = 0; i < COUNT(good); i++) assert_true(asked(&out, good[i], &err));
    struct buf many = buf_make(&a);
    for (int n = 10000; n <= 10001; n++) { /* the most, and one more */
        many.n = 0;
        buf_printf(&many, "{\"messages\":[");
        for (int i = 0; i < n; i++)
            buf_printf(&many, "%s{\"role\":\"user\",\"content\":\"\"}", i ? "," : "");
        buf_printf(&many, "]}");
        assert_int_equal(asked(&out, many.p, &err), n == 10000);
    }
}

static struct reply read_line(const struct buf *b)
{
    struct reply r;
    assert_true(b->n > 1 && b->p[b->n - 1] == '\n' && !memchr(b->p, '\n', b->n - 1));
    assert_true(reply_read(&r, (struct text){b->p, b->n - 1}, &a));
    return r;
}

static void each_reply_is_read_as_what_it_was(void **state)
{
    static const struct answer_stats stats = {11, 22, 33, 44, 0.5, 1.25, "length"};
    struct buf b = buf_make(&a);
    (void)state;
    put_ready(&b, "a \"name\"", true, 4096, 1234567);
    struct reply r = read_line(&b);
    assert_true(r.kind == REPLY_READY && text_is(r.text, "a \"name\"") && r.adapter);
    assert_true(r.context == 4096 && r.step == 1234567);
    const struct json *version = json_get(json_get(parse(b.p), "ready"), "version");
    assert_true(version && text_is(version->text, HONE_VERSION));
    b.n = 0;
    put_ready(&b, "b", false, 1, -1);
    r = read_line(&b);
    assert_true(r.kind == REPLY_READY && !r.adapter && r.step == -1);
    b.n = 0;
    put_refused(&b, TEXT("no: \x1B"));
    r = read_line(&b);
    assert_true(r.kind == REPLY_REFUSED && text_is(r.text, "no: \x1B"));
    b.n = 0;
    put_token(&b, TEXT("\n"));
    r = read_line(&b);
    assert_true(r.kind == REPLY_TOKEN && text_is(r.text, "\n") && r.step == -1);
    b.n = 0;
    put_answered(&b, &stats);
    r = read_line(&b);
    assert_int_equal(r.kind, REPLY_ANSWERED);
    assert_true(r.stats.prompt_tokens == 11 && r.stats.tokens == 22 && r.stats.context_used == 33);
    assert_true(r.stats.context == 44 && r.stats.prompt_seconds == 0.5 && r.stats.seconds == 1.25);
    assert_string_equal(r.stats.ended, "length");
}

/* An engine of another version, or something that is none, may say anything. */
static void what_is_no_reply_is_told_apart(void **state)
{
    static const struct {
        const char *line;
        enum reply_kind kind;
    } rows[] = {{"{\"ok\":true}", REPLY_OK},
                {"{\"token\":5}", REPLY_NONE},
                {"{\"refused\":5}", REPLY_NONE},
                {"{\"nothing\":1}", REPLY_NONE},
                {"[]", REPLY_NONE},
                {"{", REPLY_GONE},
                {"", REPLY_GONE},
                {"[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", REPLY_GONE}};
    struct reply r;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool any = reply_read(&r, text_of(rows[i].line), &a);
        if (r.kind != rows[i].kind) print_message("%s: %d\n", rows[i].line, (int)r.kind);
        assert_true(r.kind == rows[i].kind && any == (r.kind != REPLY_NONE));
        if (r.kind == REPLY_GONE) assert_true(r.text.n > 0);
    }
    assert_true(
        reply_read(&r, TEXT("{\"answered\":{\"tokens\":1.5,\"seconds\":2,\"ended\":3}}"), &a));
    assert_true(r.kind == REPLY_ANSWERED && r.stats.tokens == 0 && r.stats.seconds == 2);
    assert_string_equal(r.stats.ended, "");
    assert_true(reply_read(&r, TEXT("{\"ready\":{\"name\":1,\"adapter\":1,\"context\":1.5}}"), &a));
    assert_true(r.kind == REPLY_READY && r.text.n == 0 && !r.adapter && r.context == 0);
}

/* There is no model here to reach. */
static void what_its_template_refuses_reaches_no_model(void **state)
{
    char folder[] = "/tmp/hone-message-XXXXXX";
    struct message m = {TEXT("nobody"), TEXT("x")};
    struct asked x = {.messages = &m, .n = 1, .adapter_off = true};
    struct answer_stats stats;
    struct tokenizer *tok;
    struct template *tpl;
    struct err err;
    (void)state;
    assert_non_null(mkdtemp(folder));
    bool open = file_replace(path_join(&a, folder, "tokenizer.json"),
                             TEXT("{\"model\":{\"type\":\"bytes\"}}"), &err) &&
                tokenizer_open(&tok, folder, &a, &err) &&
                template_open(&tpl, "qa", "assets/templates", (struct text){0}, &a, &err);
    if (!open) fail_msg("%s", err.text);
    assert_false(asked_answer(&x, NULL, NULL, tok, tpl, &stats, &a, &err));
    assert_non_null(strstr(err.text, "has no place for the role nobody"));
    assert_true(dir_remove(folder, &err));
}

static int begin(void **state)
{
    (void)state;
    a = arena_make(0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_drop(&a);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_asked_comes_over_as_it_was),
                                       cmocka_unit_test(what_is_not_said_has_its_usual_value),
                                       cmocka_unit_test(what_is_out_of_range_is_a_sentence),
                                       cmocka_unit_test(each_reply_is_read_as_what_it_was),
                                       cmocka_unit_test(what_is_no_reply_is_told_apart),
                                       cmocka_unit_test(what_its_template_refuses_reaches_no_model)};
    return cmocka_run_group_tests(tests, begin, end);
}
