/* t_template.c - chat templates against transformers, segments, and what is refused. */
#include "tests/test.h"
#include "engine/format/gguf.h"
#include "engine/format/json.h"
#include "engine/format/template.h"

#define DIR "assets/templates"
#define wrong_with(...) (print_message(__VA_ARGS__), print_message("\n"), assert_true(false))

static struct arena a;
static const struct json *golden;

static int start(void **state)
{
    (void)state;
    struct err err;
    a = arena_make(0);
    if (json_read(&golden, "tests/golden/template.json", (struct json_limits){0}, &a, &err))
        return 0;
    fprintf(stderr, "%s\n", err.text);
    return 1;
}

static int stop(void **state)
{
    (void)state;
    arena_drop(&a);
    return 0;
}

static struct template *open_source(const char *source)
{
    struct template *t;
    struct err err = {{0}};
    if (!template_open(&t, "auto", DIR, text_of(source), &a, &err)) wrong_with("%s", err.text);
    return t;
}

static struct text joined(const struct segments *s)
{
    struct buf b = buf_make(&a);
    for (int i = 0; i < s->n; i++) buf_put(&b, s->list[i].text.p, s->list[i].text.n);
    return buf_text(&b);
}

static int chat(struct message *out, const struct json *rows)
{
    for (int i = 0; i < rows->n; i++)
        out[i] = (struct message){rows->items[i].items[0].text, rows->items[i].items[1].text};
    return rows->n;
}

static struct template *golden_template(struct text name)
{
    struct template *t;
    struct err err = {{0}};
    const struct json *own = json_get(json_get(golden, "formats"), name.p);
    bool ok = own ? template_open(&t, "auto", DIR, own->text, &a, &err)
                  : template_open(&t, name.p, DIR, (struct text){0}, &a, &err);
    if (!ok) wrong_with("%s: %s", name.p, err.text);
    return t;
}

/* Renders one golden case and returns its hash, or "refused". */
static const char *outcome(const struct template *t, const struct json *rows, bool ask,
                           struct arena *arena, char *said)
{
    struct message messages[16];
    struct segments s = {0};
    struct err err = {{0}};
    struct render how = {json_get(golden, "bos")->text, json_get(golden, "eos")->text, ask};
    int n = chat(messages, rows);
    if (!template_render(t, messages, n, how, &s, arena, &err)) {
        snprintf(said, 1024, "%s", err.text);
        return "refused";
    }
    struct text text = joined(&s);
    snprintf(said, 1024, "%.*s", text.n > 1000 ? 1000 : (int)text.n, text.p);
    return arena_printf(arena, "%016llx", (unsigned long long)hash64(text.p, text.n, 0));
}

/* How many of a template's recorded texts come out otherwise. */
static int wrong_texts(const struct template *t, const char *name, const struct json *want,
                       int *cases)
{
    const struct json *chats = json_get(golden, "chats");
    char said[1024];
    int wrong = 0;
    for (int k = 0; k < chats->n; k++)
        for (int ask = 0; ask < 2; ask++, ++*cases) {
            if (text_is(want->items[k].items[ask].text,
                        outcome(t, &chats->items[k], ask, &a, said)))
                continue;
            if (++wrong <= 3)
                print_message("template %s, chat %d, ask %d:\n%s\n", name, k, ask, said);
        }
    return wrong;
}

static void writes_what_transformers_writes(void **state)
{
    (void)state;
    const struct json *texts = json_get(golden, "texts");
    int cases = 0, wrong = 0;
    for (int i = 0; i < texts->n; i++)
        wrong += wrong_texts(golden_template(texts->keys[i]), texts->keys[i].p, &texts->items[i],
                             &cases);
    assert_true(cases >= 800);
    assert_int_equal(wrong, 0);
}

static void writes_what_transformers_writes_with_real_models(void **state)
{
    (void)state;
    const struct json *texts = json_get(golden, "material");
    const char *folder = getenv("HONE_MATERIAL");
    int cases = 0, wrong = 0;
    assert_int_equal(texts->n, 3);
    for (int i = 0; i < texts->n; i++) {
        struct gguf g;
        struct err err = {{0}};
        struct text source = {0};
        struct template *t;
        char *path = folder ? path_join(&a, folder, texts->keys[i].p) : NULL;
        if (!path || !path_exists(path)) {
            print_message("skipped: HONE_MATERIAL/%s is not there\n", texts->keys[i].p);
            skip();
        }
        bool ok = gguf_open(&g, path, &a, &err) &&
                  gguf_text(&g, &source, "tokenizer.chat_template", &err) &&
                  template_open(&t, "auto", DIR, source, &a, &err);
        if (!ok) wrong_with("%s", err.text);
        wrong += wrong_texts(t, texts->keys[i].p, &texts->items[i], &cases);
        gguf_close(&g);
    }
    assert_true(cases >= 100);
    assert_int_equal(wrong, 0);
}

/* What of the rendering is learnt, with borders: "[Hi|</s>]". */
static const char *answers(const struct template *t, const struct message *m, int n)
{
    struct segments s = {0};
    struct err err = {{0}};
    struct buf b = buf_make(&a);
    bool inside = false;
    if (!template_render(t, m, n, (struct render){TEXT("<s>"), TEXT("</s>"), false}, &s, &a, &err))
        wrong_with("%s", err.text);
    for (int i = 0; i < s.n; i++) {
        if (s.list[i].answer != inside) buf_put(&b, inside ? "]" : "[", 1);
        inside = s.list[i].answer;
        if (s.list[i].end) buf_put(&b, "|", 1);
        if (inside) buf_put(&b, s.list[i].text.p, s.list[i].text.n);
        if (inside) assert_true(s.list[i].message >= 0);
    }
    buf_put(&b, inside ? "]" : "", inside);
    return b.p ? b.p : "";
}

static const struct message two_turns[] = {{{"system", 6}, {"S", 1}},
                                           {{"user", 4}, {"one", 3}},
                                           {{"assistant", 9}, {"uno", 3}},
                                           {{"user", 4}, {"two", 3}},
                                           {{"assistant", 9}, {"dos", 3}}};

static void answers_are_the_assistants_words_and_their_end(void **state)
{
    (void)state;
    static const struct {
        const char *name, *want;
    } rows[] = {
        {"plain", "[uno|</s>][dos|</s>]"},
        {"qa", "[uno|</s>][dos|</s>]"},
        {"alpaca", "[uno|</s>][dos|</s>]"},
        {"llama2", "[uno |</s>][dos |</s>]"},
        {"llama3", "[uno|<|eot_id|>][dos|<|eot_id|>]"},
        {"chatml", "[uno|<|im_end|>][dos|<|im_end|>]"},
        {"vicuna", "[uno|</s>][dos|</s>]"},
        {"zephyr", "[uno|</s>][dos|</s>]"},
        {"generation", "[uno|<|im_end|>][dos|<|im_end|>]"},
        {"thinking", "[uno|<|im_end|>][dos|<|im_end|>]"},
        {"deepseek", "[uno|<｜end▁of▁sentence｜>][dos|<｜end▁of▁sentence｜>]"},
        {"zephyr-lines", "[uno|</s>][dos|</s>]"},
        {"llama31", "[uno|<|eot_id|>][dos|<|eot_id|>]"},
        {"phi3", "[uno|<|end|>][dos|<|end|>]"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *got = answers(golden_template(text_of(rows[i].name)), two_turns, 5);
        assert_string_equal(got, rows[i].want);
    }
}

static void words_keep_their_message_through_strings(void **state)
{
    (void)state;
    static const struct {
        const char *source, *want;
    } rows[] = {
        {"{% for m in messages %}{{ m.role ~ ':' ~ m.content }}{% endfor %}", "[uno][dos]"},
        {"{% for m in messages %}{{ ('<' + m.content + '>').strip('<').upper() }}{% endfor %}",
         "[UNO>][DOS>]"},
        {"{% for m in messages %}{{ m.content.split('n')[0] }}{{ m.content[1:] }}{% endfor %}",
         "[uno][dosos]"},
        {"{% for m in messages %}{{ m.content.replace('o', 'O')|trim }}{% endfor %}", "[unO][dOs]"},
        {"{% for m in messages %}{% set x %}({{ m.content }}){% endset %}{{ x }}{% endfor %}",
         "[uno][dos]"},
        {"{%- macro f(c) %}{{ c }}</s>{% endmacro %}{% for m in messages %}{{ m.role }}{{ "
         "f(m.content) }}{% endfor %}",
         "[uno|</s>][dos|</s>]"},
        {"{{ messages | map(attribute='content') | join(' ') }}", "[uno][dos]"},
        {"{% for m in messages %}{{ m.role }} {{ m.content }}\n </s>x{% endfor %}",
         "[uno\n |</s>][dos\n |</s>]"},
        {"{% for m in messages %}{{ m.content }} and <b c>{% endfor %}", "[uno][dos]"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_string_equal(answers(open_source(rows[i].source), two_turns, 5), rows[i].want);
}

static void a_question_that_repeats_the_answer_is_not_learnt(void **state)
{
    (void)state;
    static const struct message echo[] = {{{"user", 4}, {"Say: yes", 8}},
                                          {{"assistant", 9}, {"Say: yes", 8}}};
    assert_string_equal(answers(golden_template(TEXT("chatml")), echo, 2), "[Say: yes|<|im_end|>]");
}

/* Opens and renders; the sentence of the failure, or "" */
#define LONG \
    "{% set ns = namespace(x=[1], t='0123456789') %}" \
    "{% for i in range(15) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}"
static const char *refusal(const char *source)
{
    struct template *t;
    struct segments s = {0};
    struct arena inner = arena_make(0);
    static struct err err;
    err.text[0] = 0;
    if (template_open(&t, "auto", DIR, text_of(source), &inner, &err))
        template_render(t, two_turns, 5, (struct render){TEXT("<s>"), TEXT("</s>"), false}, &s,
                        &inner, &err);
    arena_drop(&inner);
    return err.text;
}

static void what_it_cannot_do_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *source, *part;
    } rows[] = {
        {"{% include 'x' %}", "\"include\" is not understood"},
        {"{{ 1 | frobnicate }}", "filter \"frobnicate\""},
        {"{{ 1 is frob }}", "test \"frob\""},
        {"{{ frob(1) }}", "function \"frob\""},
        {"{{ 'a'.encode() }}", "method \"encode\""},
        {"{{ strftime_now('%d') }}", "depend on the day"},
        {"{{ 1.5 }}", "decimal"},
        {"{{ 3 / 2 }}", "'/'"},
        {"{{ raise_exception('no ' ~ 'way') }}", "no way"},
        {"{{ x.y }}", "x, which is undefined"},
        {"{{ 1 + x }}", "x is undefined"},
        {"{{ messages }}", "a list is written out"},
        {"{% for x in 3 %}{% endfor %}", "a number cannot be looped over"},
        {"{{ ''.__class__ }}{{ ''.__class__.mro() }}", "undefined"},
        {"{% for a in b recursive %}{% endfor %}", "recursive"},
        {"{% set a, b = 1, 2 %}", "several names"},
        {"{% set x.y = 1 %}", "no namespace"},
        {"{{ 5 % 0 }}", "division by zero"},
        {"{{ 9223372036854775807 + 1 }}", "64 bits"},
        {"{{ loop }}{% for m in messages %}{{ loop.changed(1) }}{% endfor %}", "changed"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (!strstr(refusal(rows[i].source), rows[i].part))
            wrong_with("%s: \"%s\"", rows[i].source, refusal(rows[i].source));
}

static void a_broken_source_is_refused_with_its_line(void **state)
{
    (void)state;
    static const char *const sources[] = {
        "a\nb{{",
        "a\n{% if x",
        "\n{# no end",
        "\n{{ 'open }}",
        "\n{% if x %}",
        "\n{% endif %}",
        "\n{% for %}",
        "\n{{ }}",
        "\n{{ a b }}",
        "\n{{ (1 }}",
        "\n{{ [1, }}",
        "\n{{ {'a' 1} }}",
        "\n{{ a[ }}",
        "\n{{ a | }}",
        "\n{{ a is }}",
        "\n{% set %}",
        "\n{% macro f(a=1, b) %}{% endmacro %}",
        "\n{% raw %}",
        "\n{{ a if }}",
        "\n{{ @ }}",
        "\n{% break %}",
        "\n{{ f(a=1, 2) }}",
        "\n{{ f(*x) }}",
        "\n{% set x %}",
        "\n{{ 99999999999999999999 }}",
        "\n{% generation %}x",
        "\n{% for x in y %}{% else %}",
        "\n{% if a %}{% elif %}",
        "\n{{ 1 }",
        "\n{{ a. }}",
        "\n{{ not }}",
        "\n{{ - }}",
    };
    for (size_t i = 0; i < COUNT(sources); i++)
        if (!strstr(refusal(sources[i]), "line 2"))
            wrong_with("%s: \"%s\"", sources[i], refusal(sources[i]));
}

static char *repeated(const char *before, const char *s, int n, const char *after)
{
    struct buf b = buf_make(&a);
    buf_put(&b, before, strlen(before));
    for (int i = 0; i < n; i++) buf_put(&b, s, strlen(s));
    buf_put(&b, after, strlen(after));
    return b.p;
}

static void hostile_templates_stop_at_a_limit(void **state)
{
    (void)state;
    const struct {
        const char *source, *part;
    } rows[] = {
        {"{% for a in range(2000) %}{% for b in range(2000) %}x{% endfor %}{% endfor %}", "steps"},
        {"{% for a in range(900000000) %}{% endfor %}", "steps"},
        /* what takes longer the longer a text or list is, over and over */
        {LONG "{% for i in range(200000) %}{% set q = ns.t[1] %}{% endfor %}", "steps"},
        {LONG "{% for i in range(200000) %}{% set q = ns.t | length %}{% endfor %}", "steps"},
        {LONG "{% for i in range(200000) %}{% set q = ns.t is in(ns.t) %}{% endfor %}", "steps"},
        {LONG "{% set l = range(100000) | list %}{% for i in range(900) %}{% set q = l == l %}{% endfor %}", "steps"},
        {LONG "{% set l = range(100000) | list %}{% for i in range(900) %}{% set q = l is eq l %}{% endfor %}", "steps"},
        {LONG "{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == ns.x }}", "steps"},
        {LONG "{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x in [ns.x] }}", "steps"},
        {LONG "{% for i in range(9000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x == ns.x }}", "64 deep"},
        {LONG "{% for i in range(9000) %}{% set ns.x = {'a': ns.x} %}{% endfor %}{{ ns.x is ne ns.x }}", "64 deep"},
        {"{% set ns = namespace(x='ab') %}{% for a in range(64) %}{% set ns.x = ns.x + ns.x %}{% "
         "endfor %}",
         "limit"},
        {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "macros call each other"},
        {repeated(repeated("{{ ", "(", 5000, "1"), ")", 5000, " }}"), "deep"},
        {repeated(repeated("{{ ", "[", 5000, "1"), "]", 5000, " }}"), "deep"},
        {repeated("{{ 1", " + 1", 5000, " }}"), "in a row"},
        {repeated("{{ 'a'", "|trim", 5000, " }}"), "in a row"},
        {repeated("{{ a", ".b", 5000, " }}"), "in a row"},
        {repeated("{{ ", "not ", 5000, "1 }}"), "deep"},
        {repeated("{{ ", "-", 5000, "1 }}"), "deep"},
        {repeated("", "{% if 1 %}", 5000, ""), "deep"},
        {repeated("{% if 0 %}", "{% elif 0 %}", 5000, "{% endif %}"), "deep"},
        {repeated("", "{% for a in [1] %}", 9, ""), "8 deep"},
        {repeated("{{ 1", " if 1 else 1", 5000, " }}"), "deep"},
        {repeated("{{ 1", " == 1", 5000, " }}"), ""},
        {repeated("", "x", 300000, ""), "at most"},
        {"\xff", "UTF-8"},
        {repeated("{{ f(", "1,", 20, ") }}"), "arguments"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (!strstr(refusal(rows[i].source), rows[i].part))
            wrong_with("row %zu: \"%s\"", i, refusal(rows[i].source));
}

static void names_are_counted(void **state)
{
    (void)state;
    for (int n = 250; n <= 260; n++) {
        struct buf sets = buf_make(&a), map = buf_make(&a);
        for (int i = 0; i < n; i++) buf_printf(&sets, "{%% set v%d = 1 %%}", i);
        for (int i = 0; i < n; i++) buf_printf(&map, "%s'k%d': 1", i ? ", " : "{{ {", i);
        buf_printf(&map, "} is mapping }}");
        /* six are there before: messages, bos_token, ... */
        assert_int_equal(strstr(refusal(sets.p), "more than 256 variables") != NULL, n > 250);
        assert_int_equal(strstr(refusal(map.p), "more than 256 keys") != NULL, n > 256);
    }
}

/* No source crashes: every cut and every changed byte of real templates, and bytes at random. */
static void damaged_templates_do_no_harm(void **state)
{
    (void)state;
    const struct json *formats = json_get(golden, "formats");
    static const char odd[] = "{}%#-+'\"\\|.()[]\n 0aif";
    for (int i = 0; i < formats->n; i++) {
        struct text s = formats->items[i].text;
        for (uint64_t k = 0; k < 400; k++) {
            char *copy = arena_string(&a, s.p, s.n);
            size_t n = k < 200 ? s.n * (size_t)k / 200 : s.n;
            copy[n] = 0;
            for (int change = 0; k >= 200 && change < 3; change++)
                copy[rand_at(k, (uint64_t)change) % s.n] =
                    odd[rand_at(k, 10 + (uint64_t)change) % (sizeof odd - 1)];
            refusal(copy);
        }
    }
}

static void auto_is_the_models_own_and_plain_without_one(void **state)
{
    (void)state;
    struct template *t, *u;
    struct err err = {{0}};
    assert_true(template_open(&t, "auto", DIR, (struct text){0}, &a, &err));
    assert_string_equal(template_name(t), "plain");
    assert_false(template_is_models_own(t));
    assert_true(template_open(&u, "auto", DIR, TEXT("{{ 1 }}"), &a, &err));
    assert_true(template_is_models_own(u));
    assert_string_not_equal(template_hash(t), template_hash(u));
    assert_true(template_open(&u, DIR "/plain.jinja", NULL, (struct text){0}, &a, &err));
    assert_string_equal(template_hash(t), template_hash(u));
    assert_false(template_open(&u, "chatlm", DIR, (struct text){0}, &a, &err));
    assert_non_null(strstr(err.text, "no template \"chatlm\""));
    assert_non_null(strstr(err.text, "chatml"));
    assert_false(template_open(&u, "/nowhere/x.jinja", DIR, (struct text){0}, &a, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_what_transformers_writes),
        cmocka_unit_test(writes_what_transformers_writes_with_real_models),
        cmocka_unit_test(answers_are_the_assistants_words_and_their_end),
        cmocka_unit_test(words_keep_their_message_through_strings),
        cmocka_unit_test(a_question_that_repeats_the_answer_is_not_learnt),
        cmocka_unit_test(what_it_cannot_do_is_refused_by_name),
        cmocka_unit_test(a_broken_source_is_refused_with_its_line),
        cmocka_unit_test(hostile_templates_stop_at_a_limit),
        cmocka_unit_test(names_are_counted),
        cmocka_unit_test(damaged_templates_do_no_harm),
        cmocka_unit_test(auto_is_the_models_own_and_plain_without_one),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
