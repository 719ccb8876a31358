/* input: bytes of a terminal; the first byte says in what pieces they come. The keys are the same
 * in whatever pieces; a text without control bytes is its characters; nothing stays behind, and a
 * key's written name means that key. */
#include "tests/fuzz/fuzz.h"
#include "tui/input.h"

const struct fuzz_limits fuzz_limits = {1 << 20, 64, 0};

void fuzz_seeds(void)
{
    seed_many("\10", "\33[", "");
    seed_many("\10\33]", "x", "");
    seed_many("\10\33[200~", "\33[201", "");
    static const char *const texts[] = {"abc \xE4\xBD\xA0\xF0\x9F\x98\x80",
                                        "\33[A\33[1;5B\33OP\33[15~\33[3;2~\33[Z",
                                        "\33[200~paste \33[A\33[201~x",
                                        "\33",
                                        "\33\33[A",
                                        "\33[",
                                        "\33O",
                                        "\33[0n\33[1n",
                                        "\33[13;2u\33[27u\33[9;5u\33[65;1u",
                                        "\33]0;title\7a",
                                        "\33]0;x\33\\b",
                                        "\33P+q\33\\c",
                                        "\33[<0;1;2M",
                                        "\33[?1;2c",
                                        "\33[>0;276;0c",
                                        "\r\t\b\x7F\1\32\34\37",
                                        "\xFF\xC0\x80\xED\xA0\x80",
                                        "\xE4\xBD",
                                        "\33[99999999999999999999~",
                                        "\33[1;99999999999A",
                                        "\33[\33[A",
                                        "\33a\33\xE4\xBD\xA0\33\r",
                                        "\33[200~\33[20",
                                        "\33[200~\33[201",
                                        "\33[1;2;3;4;5;6;7H",
                                        "\33[4:3m",
                                        "\xC2\x9B\x33\x31m"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        char p[256];
        size_t n = strlen(texts[i]);
        p[0] = (char)(i % 7);
        memcpy(p + 1, texts[i], n);
        seed(p, n + 1);
    }
}

struct heard {
    int32_t *keys;
    int n;
    struct buf pasted;
    int answers;
};

static void take(struct heard *h, struct input *in, bool late)
{
    struct input_event e;
    int turns = 0;
    while (input_next(in, &e, late)) {
        HOLDS(++turns < 10000);
        if (e.kind == INPUT_KEY) h->keys[h->n++] = e.key;
        if (e.kind == INPUT_PASTE) {
            HOLDS(e.paste.n > 0);
            buf_put(&h->pasted, e.paste.p, e.paste.n);
        }
        if (e.kind == INPUT_PASTE_END) h->keys[h->n++] = -1;
        if (e.kind == INPUT_ANSWERED) h->keys[h->n++] = -2;
        if (e.kind == INPUT_MOUSE) h->keys[h->n++] = -3 - (e.x + 10000 * e.y);
    }
}

static struct heard hear(struct text in, size_t step, struct arena *a)
{
    struct input *i = NEW(a, struct input);
    struct heard h = {NEW_N(a, int32_t, 2 * in.n + 2), 0, buf_make(a), 0};
    for (size_t at = 0; at < in.n;) {
        size_t n = in.n - at < step ? in.n - at : step;
        size_t fed = input_feed(i, in.p + at, n);
        HOLDS(fed > 0 || !input_waiting(i) || i->n == sizeof i->held);
        at += fed;
        take(&h, i, false);
    }
    take(&h, i, true);
    HOLDS(!input_waiting(i));
    return h;
}

static void check_key(int32_t key)
{
    char name[32];
    int32_t base = key & ~(K_ALT | K_CTRL | K_SHIFT);
    if (key < 0) return;
    HOLDS(base > 0 && base < K_LAST && (key & ~(K_ALT | K_CTRL | K_SHIFT | 0x1FFFFF)) == 0);
    key_text(name, key);
    HOLDS(memchr(name, 0, sizeof name) && strlen(name) > 0 &&
          utf8_bad(text_of(name)) == strlen(name));
    if (text_shown(base) == base || base > 0x10FFFF) HOLDS(key_named(text_of(name)) == key);
}

static void check_plain(struct text in, const struct heard *h)
{
    int n = 0;
    for (size_t i = 0; i < in.n;) {
        int32_t code;
        i += (size_t)utf8_decode(in.p + i, in.n - i, &code);
        if (code < 0x20 || (code >= 0x7F && code < 0xA0)) return;
    }
    for (size_t i = 0; i < in.n; n++) {
        int32_t code;
        i += (size_t)utf8_decode(in.p + i, in.n - i, &code);
        HOLDS(n < h->n && h->keys[n] == code);
    }
    HOLDS(n == h->n && h->pasted.n == 0);
}

void fuzz(struct text in, struct arena *a)
{
    size_t step = 1 + (size_t)fuzz_number(&in, 1) % 9;
    struct heard whole = hear(in, in.n + 1, a), pieces = hear(in, step, a);
    fuzz_oracle();
    for (int i = 0; i < whole.n; i++) check_key(whole.keys[i]);
    if (in.n > 2000)
        return; /* a string without end is given up after 2,048 bytes, wherever they end */
    HOLDS(whole.n == pieces.n &&
          memcmp(whole.keys, pieces.keys, (size_t)whole.n * sizeof *whole.keys) == 0);
    HOLDS(text_equal(buf_text(&whole.pasted), buf_text(&pieces.pasted)));
    check_plain(in, &whole);
}
