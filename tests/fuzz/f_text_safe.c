/* text_safe: whatever comes in, nothing that acts on a terminal comes out. */
#include "tests/fuzz/fuzz.h"

const struct fuzz_limits fuzz_limits = {1 << 16, 16, 0};

void fuzz_seeds(void)
{
    static const char *const texts[] = {
        "plain",
        "\33[31mred\33[0m",
        "\33]0;title\7",
        "\33P$q\"p\33\\",
        "a\rb\bc\td\nd",
        "\x7F\xC2\x9B"
        "31m\xC2\x85",
        "\xE2\x80\xAE"
        "evil\xE2\x80\xAC\xE2\x81\xA6x\xE2\x81\xA9",
        "\xEF\xBB\xBF"
        "bom",
        "\xF3\xA0\x80\x81\xF3\xA0\x81\xBF",
        "\xC0\xAF\xE0\x80\xAF\xED\xA0\x80\xF4\x90\x80\x80\xFF\xFE",
        "a\xCC\x80\xCC\x81\xCC\x82\xCC\x83\xCC\x84\xCC\x85",
        "\xE4\xBD\xA0\xE5\xA5\xBD \xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x94\xA7",
        "\xE2\x82",
        "\xF0\x9F\x91",
        "\xE2\x80\xA8\xE2\x80\xA9"};
    for (size_t i = 0; i < COUNT(texts); i++) seed_text(texts[i]);
    seed("\0\1\2\3", 4);
    seed_many("", "\xFF", "");
    seed_many("", "\33[31m", "");
}

/* What UTF-8 is, said in another way than utf8_decode says it: by the table 3-7 of the Unicode
 * standard. */
static int well_formed(const unsigned char *p, size_t n)
{
    static const struct {
        unsigned char lead[2], second[2];
        int length;
    } rows[] = {{{0x00, 0x7F}, {0, 0}, 1},       {{0xC2, 0xDF}, {0x80, 0xBF}, 2},
                {{0xE0, 0xE0}, {0xA0, 0xBF}, 3}, {{0xE1, 0xEC}, {0x80, 0xBF}, 3},
                {{0xED, 0xED}, {0x80, 0x9F}, 3}, {{0xEE, 0xEF}, {0x80, 0xBF}, 3},
                {{0xF0, 0xF0}, {0x90, 0xBF}, 4}, {{0xF1, 0xF3}, {0x80, 0xBF}, 4},
                {{0xF4, 0xF4}, {0x80, 0x8F}, 4}};
    for (size_t r = 0; r < COUNT(rows); r++) {
        if (p[0] < rows[r].lead[0] || p[0] > rows[r].lead[1]) continue;
        if ((size_t)rows[r].length > n) return 0;
        for (int i = 1; i < rows[r].length; i++)
            if (p[i] < (i == 1 ? rows[r].second[0] : 0x80) ||
                p[i] > (i == 1 ? rows[r].second[1] : 0xBF))
                return 0;
        return rows[r].length;
    }
    return 0;
}

static void decoding_is_the_standards(struct text in)
{
    size_t bad = in.n;
    for (size_t i = 0; i < in.n;) {
        int32_t code;
        char again[4];
        int want = well_formed((const unsigned char *)in.p + i, in.n - i),
            len = utf8_decode(in.p + i, in.n - i, &code);
        HOLDS(len == (want ? want : 1) && (code < 0) == (want == 0));
        if (want)
            HOLDS(utf8_encode(code, again) == len && memcmp(again, in.p + i, (size_t)len) == 0);
        else if (bad == in.n) bad = i;
        i += (size_t)len;
    }
    HOLDS(utf8_bad(in) == bad);
}

/* A stream that holds back what utf8_unfinished says shows the same as the whole. */
static void streaming_is_the_same(struct text in, const struct buf *whole, struct arena *a)
{
    struct buf out = buf_make(a), held = buf_make(a);
    size_t step = 1 + (in.n ? (unsigned char)in.p[0] % 7u : 0);
    for (size_t i = 0; i < in.n; i += step) {
        buf_put(&held, in.p + i, in.n - i < step ? in.n - i : step);
        size_t back = utf8_unfinished(buf_text(&held));
        HOLDS(back <= 3 && back <= held.n);
        text_safe(&out, (struct text){held.p, held.n - back}, true);
        memmove(held.p, held.p + held.n - back, back);
        held.n = back;
    }
    text_safe(&out, buf_text(&held), true);
    HOLDS(text_equal(buf_text(&out), buf_text(whole)));
}

void fuzz(struct text in, struct arena *a)
{
    struct buf line = buf_make(a), lines = buf_make(a), again = buf_make(a);
    text_safe(&line, in, false);
    text_safe(&lines, in, true);
    fuzz_oracle();
    HOLDS(line.p && line.p[line.n] == 0 && strlen(line.p) == line.n);
    HOLDS(utf8_bad(buf_text(&line)) == line.n && utf8_bad(buf_text(&lines)) == lines.n);
    HOLDS(fuzz_harmless(buf_text(&line), false) && fuzz_harmless(buf_text(&lines), true));
    HOLDS(line.n <= in.n * 3);
    text_safe(&again, buf_text(&lines), true);
    HOLDS(text_equal(buf_text(&again), buf_text(&lines)));
    HOLDS(line.n == lines.n);
    for (size_t i = 0; i < line.n; i++)
        HOLDS(line.p[i] == lines.p[i] || (line.p[i] == ' ' && lines.p[i] == '\n'));
    decoding_is_the_standards(in);
    streaming_is_the_same(in, &lines, a);
}
