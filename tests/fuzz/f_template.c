/* template: a chat template NUL messages, each "role:content" up to a byte 0x1E. It is rendered or
 * refused within the limits; the same twice; and the parts of the text say truly where they came
 * from. */
#include "tests/fuzz/fuzz.h"
#include "engine/format/template.h"

/* A value takes 100 bytes, and a loop may make one a step. */
const struct fuzz_limits fuzz_limits = {512 << 20, 320, 0};

enum { MESSAGES = 8 };

static void seed_parts(const char *source)
{
    static const char chat[] = "system:be <|im_end|> kind\x1Euser:  hi\nthere \x1E"
                               "assistant:\xE4\xBD\xA0\xE5\xA5\xBD\x1Euser:x\x1E"
                               "assistant:</s> y ";
    char p[8192];
    size_t n = strlen(source);
    if (n + sizeof chat > sizeof p) return;
    memcpy(p, source, n), p[n] = 0;
    memcpy(p + n + 1, chat, sizeof chat - 1);
    seed(p, n + sizeof chat);
}

void fuzz_seeds(void)
{
    static const char *const sources[] = {
        "",
        "{{ x",
        "{% for %}",
        "{{ messages[99].content }}",
        "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}{{ eos_token }}{% endfor %}",
        "{% for m in messages %}{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration "
        "%}\n{% endfor %}",
        "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
        "{% for a in range(1000000) %}{% for b in range(1000000) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='a') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% "
        "endfor %}{{ ns.x }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 9223372036854775807 + 1 }}{{ -9223372036854775807 - 2 }}",
        "{{ 1 // 0 }}{{ 1 % 0 }}",
        "{{ (-9223372036854775807 - 1) // -1 }}",
        "{{ ((((((((((((((((((((((((((((((1)))))))))))))))))))))))))))))) }}",
        "{{ not not not not not not not not true }}",
        "{{ messages | tojson(indent=4) }}",
        "{{ 'abc'[::-1] }}{{ 'abc'[-100:100:2] }}{{ [1,2,3][1:] | join('-') }}",
        "{{ 'a,b,c'.split(',') | last | upper }}{{ 'x'.replace('', 'y') }}",
        "{{ raise_exception('\33[31m') }}",
        "{%- raw -%} {{ x }} {%- endraw -%}",
        "{# c #}{% if a is defined and b is not none %}{% elif c in [1] %}{% else %}{% endif %}",
        "{{ {'a': 1}['a'] }}{{ {'a': {'b': [1]}}.a.b[0] }}",
        "{% set x %}{{ bos_token }}{% endset %}{{ x | length }}",
        "{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ loop.last }}{% if "
        "loop.first %}{% continue %}{% endif %}{% break %}{% endfor %}",
        "{{ strftime_now('%Y') }}",
        "{{ x.__class__.__mro__ }}",
        "{% include 'a' %}",
        "{{ messages | map(attribute='role') | list }}",
        "{{ cycler('a') }}"};
    struct arena a = arena_make(0);
    struct err err;
    char **names;
    int n = 0;
    for (size_t i = 0; i < COUNT(sources); i++) seed_parts(sources[i]);
    if (dir_list(&names, &n, "assets/templates", &a, &err))
        for (int i = 0; i < n; i++) {
            struct text t;
            if (file_read(&t, path_join(&a, "assets/templates", names[i]), 8000, &a, &err))
                seed_parts(t.p);
        }
    static const char *const large[][3] = {
        {"", "{{ x }}", ""},
        {"", "{% if x %}", ""},
        {"{{ ", "(", ""},
        {"{{ 1", "+1", " }}"},
        {"{{ ", "not ", "1 }}"},
        {"{{ [", "[],", "1] }}"},
        {"{{ x", ".a", " }}"},
        {"{% for m in messages %}", "{{ m.content }}", "{% endfor %}"},
        {"{# ", "#", ""},
        {"{{ {", "'a#':1,", "'b':2} }}"},
        {"", "{% set a# = 1 %}", "{{ a1 }}"}};
    for (size_t i = 0; i < COUNT(large); i++) {
        struct buf b = buf_make(&a);
        buf_put(&b, large[i][0], strlen(large[i][0]));
        fuzz_many(&b, large[i][1], 250000);
        buf_put(&b, large[i][2], strlen(large[i][2]));
        buf_put(&b, "\0user:x", 8);
        seed(b.p, b.n);
    }
    arena_drop(&a);
}

static int read_messages(struct message *out, struct text rest)
{
    int n = 0;
    while (rest.n && n < MESSAGES) {
        struct text one = fuzz_until(&rest, 0x1E), role = fuzz_until(&one, ':');
        out[n++] = (struct message){role, one};
    }
    return n;
}

static void check_segments(const struct segments *s, const struct message *messages, int n,
                           bool blocks)
{
    size_t bytes = 0;
    for (int i = 0; i < s->n; i++) {
        const struct segment *g = &s->list[i];
        bytes += g->text.n;
        HOLDS(g->text.n > 0 && g->message >= -1 && g->message < n);
        HOLDS(!g->end || g->answer);
        HOLDS(utf8_bad(g->text) == g->text.n);
        if (blocks) continue; /* the template says itself what is an answer */
        if (g->answer) HOLDS(g->message >= 0 && text_is(messages[g->message].role, "assistant"));
    }
    HOLDS(bytes <= 16 << 20);
}

static bool same(const struct segments *x, const struct segments *y)
{
    if (x->n != y->n) return false;
    for (int i = 0; i < x->n; i++) {
        const struct segment *p = &x->list[i], *q = &y->list[i];
        if (p->message != q->message || p->answer != q->answer || p->end != q->end ||
            !text_equal(p->text, q->text))
            return false;
    }
    return true;
}

void fuzz(struct text in, struct arena *a)
{
    struct text source = fuzz_until(&in, 0);
    struct message messages[MESSAGES];
    struct template *t;
    struct err err = {{0}};
    struct segments out[3] = {{0}, {0}, {0}};
    bool ok[3];
    int n = read_messages(messages, in);
    if (source.n == 0) return;
    for (int i = 0; i < n; i++)
        if (utf8_bad(messages[i].content) < messages[i].content.n ||
            utf8_bad(messages[i].role) < messages[i].role.n)
            return;
    if (!template_open(&t, "auto", "assets/templates", source, a, &err)) {
        fuzz_sentence(err.text);
        return;
    }
    for (int i = 0; i < 3; i++) {
        struct render how = {TEXT("<s>"), TEXT("</s>"), i == 2};
        err.text[0] = 0;
        ok[i] = template_render(t, messages, n, how, &out[i], a, &err);
        if (!ok[i]) fuzz_sentence(err.text);
    }
    fuzz_oracle();
    HOLDS(ok[0] == ok[1] && (!ok[0] || same(&out[0], &out[1])));
    bool blocks = memmem(source.p, source.n, "generation", 10) != NULL;
    for (int i = 0; i < 3; i++)
        if (ok[i]) check_segments(&out[i], messages, n, blocks);
}
