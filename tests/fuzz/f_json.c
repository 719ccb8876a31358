/* json: read by jansson behind our scan; the oracle is a validator of RFC 8259 of its own, written
 * from the grammar, and the round trip through json_put_*. */
#include "tests/fuzz/fuzz.h"
#include "engine/format/json.h"
#include <math.h>

/* A value takes 80 bytes in our tree and some 300 in jansson's, so two bytes of source may cost as
 * much. */
const struct fuzz_limits fuzz_limits = {1 << 20, 128, 0};

enum { DEPTH = 64 };

void fuzz_seeds(void)
{
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        "null",
        "true",
        "-0",
        "0.5e-3",
        "\"\"",
        "{\"a\":[1,-2.5,true,null],\"b\":\"x\\u00e9\\ud83d\\ude00\\u0000y\"}",
        "[9223372036854775807,-9223372036854775808,9223372036854775808,"
        "1000000000000000019884624838656]",
        "[1e999]",
        "[1e-999]",
        "[1,]",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "[NaN]",
        "\"\\ud800\"",
        "\"\\udc00x\"",
        "\"\xC0\xAF\"",
        "\"\xED\xA0\x80\"",
        "[1] x",
        "\"a\nb\"",
        "[01]",
        "{'a':1}",
        "\xEF\xBB\xBF{}",
        "[1] // c",
        "\"open",
        "\"\\",
        "{\"a\\u0000b\":1}",
        "[-]",
        "[1.]",
        "[.5]",
        "[1e]",
        "[1e+]",
        "\"\x7F\x1F\"",
        "{\"a\" 1}",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]",
        "[123456789012345678901234567890e5]",
        "{\"a\":0,\"b\":0,\"c\":0,\"d\":0,\"e\":0,\"f\":0,\"g\":0,\"h\":0,\"i\":0,\"j\":0,\"k\":0,"
        "\"l\":0,\"m\":0,\"n\":0,\"o\":0,\"p\":0,\"q\":0}"};
    seed_many("[", "[],", "[]]");
    seed_many("[", "{},", "{}]");
    seed_many("[", "0,", "0]");
    seed_many("{", "\"#\":0,", "\"x\":0}");
    seed_many("[", "[[[[[[[[1]]]]]]]],", "0]");
    seed_many("[\"", "\\u0001", "\"]");
    seed_many("[", "1234567890123456789012#,", "x]");
    seed_many("", "[", "");
    seed_many("{", "\"a\":{", "");
    for (int depth = DEPTH - 1; depth <= DEPTH + 1; depth++) {
        char deep[2 * (DEPTH + 1) + 1] = "";
        memset(deep, '[', (size_t)depth), memset(deep + depth, ']', (size_t)depth);
        seed_text(deep);
    }
    for (size_t i = 0; i < COUNT(texts); i++) seed_text(texts[i]);
}

/* ---- the grammar ---- */

struct check {
    const char *p, *end;
    struct text keys[4096];
    int n_keys;
    struct arena *a;
    bool over;
};

static void blanks(struct check *c)
{
    while (c->p < c->end && strchr(" \t\r\n", *c->p) && *c->p) c->p++;
}

static bool word(struct check *c, const char *w)
{
    size_t n = strlen(w);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, w, n) != 0) return false;
    c->p += n;
    return true;
}

static int digits(struct check *c)
{
    int n = 0;
    while (c->p < c->end && *c->p >= '0' && *c->p <= '9') c->p++, n++;
    return n;
}

static bool number(struct check *c)
{
    const char *from = c->p;
    char copy[4096];
    if (*c->p == '-') c->p++;
    if (c->p < c->end && *c->p == '0') c->p++;
    else if (!digits(c)) return false;
    if (c->p < c->end && *c->p == '.' && (c->p++, !digits(c))) return false;
    if (c->p < c->end && (*c->p == 'e' || *c->p == 'E')) {
        c->p++;
        if (c->p < c->end && (*c->p == '+' || *c->p == '-')) c->p++;
        if (!digits(c)) return false;
    }
    if ((size_t)(c->p - from) >= sizeof copy) {
        c->over = true;
        return false;
    }
    snprintf(copy, sizeof copy, "%.*s", (int)(c->p - from), from);
    return isfinite(strtod(copy, NULL));
}

static int hex(struct check *c)
{
    char four[5] = {0};
    if (c->end - c->p < 4) return -1;
    memcpy(four, c->p, 4);
    if (strspn(four, "0123456789abcdefABCDEF") != 4) return -1;
    c->p += 4;
    return (int)strtol(four, NULL, 16);
}

/* After \u: appends the character. */
static bool escaped(struct check *c, struct buf *out)
{
    char utf8[4];
    int high = hex(c), low;
    if (high < 0 || (high >= 0xDC00 && high <= 0xDFFF)) return false;
    if (high >= 0xD800 && high <= 0xDBFF) {
        if (!word(c, "\\u") || (low = hex(c)) < 0xDC00 || low > 0xDFFF) return false;
        high = 0x10000 + (high - 0xD800) * 1024 + (low - 0xDC00);
    }
    buf_put(out, utf8, (size_t)utf8_encode(high, utf8));
    return true;
}

static bool string(struct check *c, struct buf *out)
{
    if (c->p == c->end || *c->p++ != '"') return false;
    for (; c->p < c->end && *c->p != '"';) {
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        const char *f;
        if ((unsigned char)*c->p < 0x20) return false;
        if (*c->p != '\\') {
            buf_put(out, c->p++, 1);
            continue;
        }
        if (++c->p == c->end) return false;
        if (*c->p == 'u') {
            c->p++;
            if (!escaped(c, out)) return false;
            continue;
        }
        if (*c->p == 0 || !(f = strchr(from, *c->p))) return false;
        buf_put(out, &to[f - from], 1);
        c->p++;
    }
    return c->p < c->end && c->p++ && utf8_bad(buf_text(out)) == out->n;
}

static bool value(struct check *c, int depth);

static bool members(struct check *c, int depth, bool keys)
{
    char close = keys ? '}' : ']';
    int first = c->n_keys;
    blanks(c);
    if (c->p < c->end && *c->p == close) {
        c->p++;
        return true;
    }
    for (;;) {
        blanks(c);
        if (keys) {
            struct buf key = buf_make(c->a);
            if (!string(c, &key) || memchr(key.p ? key.p : "", 0, key.n)) return false;
            for (int i = first; i < c->n_keys; i++)
                if (text_equal(c->keys[i], buf_text(&key))) return false;
            if (c->n_keys == (int)COUNT(c->keys)) {
                c->over = true;
                return false;
            }
            c->keys[c->n_keys++] = buf_text(&key);
            blanks(c);
            if (!word(c, ":")) return false;
        }
        if (!value(c, depth)) return false;
        blanks(c);
        if (c->p == c->end) return false;
        if (*c->p == close) {
            c->p++;
            c->n_keys = first;
            return true;
        }
        if (*c->p++ != ',') return false;
    }
}

static bool value(struct check *c, int depth)
{
    blanks(c);
    if (c->p == c->end) return false;
    struct buf text = buf_make(c->a);
    switch (*c->p) {
    case '{': c->p++; return depth < DEPTH && members(c, depth + 1, true);
    case '[': c->p++; return depth < DEPTH && members(c, depth + 1, false);
    case '"': return string(c, &text);
    case 't': return word(c, "true");
    case 'f': return word(c, "false");
    case 'n': return word(c, "null");
    default: return number(c);
    }
}

/* ---- the round trip ---- */

static void put(struct buf *b, const struct json *v)
{
    switch (v->kind) {
    case JSON_NULL: buf_put(b, "null", 4); break;
    case JSON_BOOL: buf_printf(b, v->yes ? "true" : "false"); break;
    case JSON_INT: json_put_int(b, v->integer); break;
    case JSON_NUM: json_put_num(b, v->number); break;
    case JSON_TEXT: json_put_text(b, v->text); break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        buf_put(b, v->kind == JSON_ARRAY ? "[" : "{", 1);
        for (int i = 0; i < v->n; i++) {
            if (v->kind == JSON_OBJECT) json_put_key(b, v->keys[i].p);
            else if (i) buf_put(b, ",", 1);
            put(b, &v->items[i]);
        }
        buf_put(b, v->kind == JSON_ARRAY ? "]" : "}", 1);
    }
}

static bool equal(const struct json *x, const struct json *y)
{
    bool number = x->kind == JSON_NUM &&
                  (y->kind == JSON_NUM || y->kind == JSON_INT); /* 1.0 is written as 1 */
    if (number) return x->number == y->number;
    if (x->kind != y->kind || x->n != y->n || x->yes != y->yes || x->integer != y->integer ||
        !text_equal(x->text, y->text))
        return false;
    for (int i = 0; i < x->n; i++) {
        if (x->kind == JSON_OBJECT &&
            (!text_equal(x->keys[i], y->keys[i]) || json_get(x, x->keys[i].p) != &x->items[i]))
            return false;
        if (!equal(&x->items[i], &y->items[i])) return false;
    }
    return true;
}

void fuzz(struct text in, struct arena *a)
{
    const struct json *v = NULL, *again = NULL;
    struct err err = {{0}};
    bool read = json_parse(&v, in, "f.json", (struct json_limits){.depth = DEPTH}, a, &err);
    fuzz_oracle();
    if (!read) {
        fuzz_sentence(err.text);
        HOLDS(a->used == 0);
    }
    if (in.n > 100000) return;
    struct arena scratch = arena_make(0);
    struct check *c = NEW(&scratch, struct check);
    *c = (struct check){.p = in.p, .end = in.p + in.n, .a = &scratch};
    bool good = value(c, 0);
    blanks(c);
    good = good && c->p == c->end;
    bool over = c->over;
    arena_drop(&scratch);
    /* The bound on depth is checked before the grammar, so a bad file may be refused for its depth:
     * both refuse. */
    if (over) return;
    if (read != good)
        fprintf(stderr, "the grammar says %d, json_parse %d: %s\n", good, read, err.text);
    HOLDS(read == good);
    if (!read) return;
    struct buf b = buf_make(a);
    put(&b, v);
    HOLDS(json_parse(&again, buf_text(&b), "written", (struct json_limits){0}, a, &err));
    HOLDS(equal(v, again));
}
