/* unicode.c - character classes and normal forms, from utf8proc and a table of what changed. */
#include "engine/format/unicode.h"
#include <string.h>
#include <utf8proc.h>

static const char *category(int32_t code)
{
    int low = 0, high = n_unicode_changes - 1;
    while (low <= high) {
        int middle = (low + high) / 2;
        const struct unicode_change *c = &unicode_changes[middle];
        if (code < c->first) high = middle - 1;
        else if (code > c->last) low = middle + 1;
        else return c->category;
    }
    return utf8proc_category_string(code);
}

static bool is_space(int32_t c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
           c == 0x3000;
}

int unicode_class(int32_t code)
{
    const char *kind = category(code);
    int class = kind[0] == 'L' ? CLASS_LETTER | CLASS_WORD : 0;
    if (kind[0] == 'N') class |= CLASS_NUMBER;
    if (kind[0] == 'P') class |= CLASS_PUNCTUATION;
    if (code < 0x80 && (kind[0] == 'P' || kind[0] == 'S')) class |= CLASS_PUNCTUATION;
    if (kind[0] == 'M' || !strcmp(kind, "Nd") || !strcmp(kind, "Nl") || !strcmp(kind, "Pc"))
        class |= CLASS_WORD;
    if (code == 0x200C || code == 0x200D || (code >= 0x24B6 && code <= 0x24E9)) class |= CLASS_WORD;
    if (is_space(code)) class |= CLASS_SPACE;
    if (code == '\r' || code == '\n') class |= CLASS_LINE;
    return class;
}

struct unicode *unicode_make(struct arena *a)
{
    struct unicode *u = NEW(a, struct unicode);
    for (int32_t code = 0; code < 65536; code++) u->bmp[code] = (uint8_t)unicode_class(code);
    for (int c = 0; c < 256; c++) u->byte[c] = c < 0x80 ? u->bmp[c] : CLASS_WIDE;
    return u;
}

/* Capitals that came with Unicode 16 and 17, which Rust's tables know. */
static int32_t lower(int32_t c)
{
    static const int32_t rows[][3] = {{0x1C89, 0x1C89, 1},      {0xA7CB, 0xA7CB, 0x264 - 0xA7CB},
                                      {0xA7CC, 0xA7CC, 1},      {0xA7CE, 0xA7CE, 1},
                                      {0xA7D2, 0xA7D2, 1},      {0xA7D4, 0xA7D4, 1},
                                      {0xA7DA, 0xA7DA, 1},      {0xA7DC, 0xA7DC, 0x19B - 0xA7DC},
                                      {0x10D50, 0x10D65, 0x20}, {0x16EA0, 0x16EB8, 0x1B}};
    for (size_t i = 0; i < COUNT(rows); i++)
        if (c >= rows[i][0] && c <= rows[i][1]) return c + rows[i][2];
    return utf8proc_tolower(c);
}

void unicode_lower(struct buf *out, struct text t)
{
    for (size_t i = 0; i < t.n;) {
        int32_t code;
        char bytes[4];
        int length = utf8_decode(t.p + i, t.n - i, &code);
        if (code < 0) buf_put(out, t.p + i, 1);
        else if (code == 0x130) buf_put(out, "i\xCC\x87", 3);
        else buf_put(out, bytes, (size_t)utf8_encode(lower(code), bytes));
        i += (size_t)length;
    }
}

/* A boundary stands before a stable character whatever came earlier, and no form changes it: it has
 * combining class 0, no decomposition, and never is the second half of a composition. */
static bool stable(int32_t c, enum unicode_form form)
{
    if (c < 0x80) return true;
    if (c < 0xC0) return form == FORM_NFC || form == FORM_NFD;
    if (c < 0x300) return form == FORM_NFC;
    if ((c >= 0x2010 && c <= 0x2027) || (c >= 0xFF01 && c <= 0xFF60)) /* dashes, quotes, wide forms */
        return form == FORM_NFC || form == FORM_NFD;
    if ((c >= 0x3041 && c <= 0x3096) || (c >= 0x30A1 && c <= 0x30FA) || (c >= 0xAC00 && c <= 0xD7A3))
        return form == FORM_NFC; /* kana and Hangul's syllables */
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3001 && c <= 0x3029) ||
           (c >= 0xE000 && c <= 0xF8FF) || (c >= 0x3400 && c <= 0x4DBF);
}

/* Assigned after the tables of Hugging Face's normaliser were made (Unicode 9), and moved by a newer one:
 * to it they are inert, so each stays as it is and nothing joins across it. Found by asking it about every
 * code point; the blocks of Unicode 16 and 17 with compositions are there as a whole. */
static bool later(int32_t c)
{
    static const int32_t ranges[][2] = {
        {0x7FD, 0x7FD},     {0x890, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
        {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1AFF},   {0x1DF6, 0x1DFA},
        {0x32FF, 0x32FF},   {0xA7F1, 0xA7F4},   {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x105C0, 0x105FF},
        {0x10781, 0x107BA}, {0x10D24, 0x10D27}, {0x10D69, 0x10D6D}, {0x10EAB, 0x10EAC}, {0x10EFA, 0x10EFF},
        {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x11380, 0x113FF},
        {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11900, 0x1195F}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34},
        {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42},
        {0x16100, 0x1613F}, {0x16D40, 0x16D7F}, {0x16FF0, 0x16FF1}, {0x1CCD6, 0x1CCF9}, {0x1E030, 0x1E08F},
        {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}, {0x1E5EE, 0x1E5EF},
        {0x1E6C0, 0x1E6FF}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9}};
    for (size_t i = 0; c >= ranges[i][0]; i++) {
        if (c <= ranges[i][1]) return true;
        if (i + 1 == COUNT(ranges)) break;
    }
    return false;
}

static int combining(int32_t c) { return utf8proc_get_property(c)->combining_class; }

/* Marks after a base stand in the order of their classes, equal ones as they were: a counting sort,
 * for a text may consist of marks alone. */
static void order_marks(int32_t *codes, int64_t n, struct arena *scratch)
{
    for (int64_t i = 0, end; i < n; i = end) {
        int64_t at[257] = {0};
        for (end = i; end < n && combining(codes[end]); end++) at[combining(codes[end]) + 1]++;
        if (end - i > 1) {
            struct arena_mark mark = arena_mark(scratch);
            int32_t *sorted = NEW_N(scratch, int32_t, end - i);
            for (int c = 1; c < 257; c++) at[c] += at[c - 1];
            for (int64_t k = i; k < end; k++) sorted[at[combining(codes[k])]++] = codes[k];
            memcpy(codes + i, sorted, (size_t)(end - i) * sizeof *codes);
            arena_back(scratch, mark);
        }
        if (end == i) end++;
    }
}

/* Decomposes, orders and, for NFC and NFKC, composes a stretch of well-formed text. */
static void normalise_part(struct buf *out, struct text t, enum unicode_form form, struct arena *scratch)
{
    enum { WIDEST = 18 }; /* U+FDFA has the longest decomposition */
    struct arena_mark mark = arena_mark(scratch);
    size_t cap = t.n + WIDEST, n = 0;
    int32_t *codes = NEW_N(scratch, int32_t, cap), code;
    int compat = form == FORM_NFKC || form == FORM_NFKD ? UTF8PROC_COMPAT : 0;
    for (size_t i = 0; i < t.n;) {
        i += (size_t)utf8_decode(t.p + i, t.n - i, &code);
        if (n + WIDEST > cap) {
            codes = arena_grow(scratch, codes, cap * sizeof *codes, 2 * cap * sizeof *codes);
            cap *= 2;
        }
        n += (size_t)utf8proc_decompose_char(code, codes + n, WIDEST,
                                             (utf8proc_option_t)(UTF8PROC_DECOMPOSE | compat), NULL);
    }
    order_marks(codes, (int64_t)n, scratch);
    if (form == FORM_NFC || form == FORM_NFKC)
        n = (size_t)utf8proc_normalize_utf32(codes, (utf8proc_ssize_t)n,
                                             (utf8proc_option_t)(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    for (size_t i = 0; i < n; i++) {
        char bytes[4];
        buf_put(out, bytes, (size_t)utf8_encode(codes[i], bytes));
    }
    arena_back(scratch, mark);
}

/* Stretches of stable characters are copied; the rest is normalised together with the stable
 * character before it, which may be its base. */
void unicode_normalise(struct buf *out, struct text t, enum unicode_form form)
{
    struct arena scratch = arena_make(0);
    size_t copied = 0, base = 0; /* up to where t is in `out`; where the last stable character begins */
    for (size_t i = 0; i < t.n;) {
        int32_t code;
        int length = utf8_next(t.p + i, t.p + t.n, &code);
        if (code >= 0 && stable(code, form)) base = i; /* none of these came later */
        else if (code < 0 || later(code)) base = i + (size_t)length;
        else {
            size_t end = i;
            do end += (size_t)length;
            while (end < t.n && (length = utf8_decode(t.p + end, t.n - end, &code), code >= 0) &&
                   !stable(code, form) && !later(code));
            buf_put(out, t.p + copied, base - copied);
            normalise_part(out, (struct text){t.p + base, end - base}, form, &scratch);
            copied = base = i = end;
            continue;
        }
        i += (size_t)length;
    }
    buf_put(out, t.p + copied, t.n - copied);
    arena_drop(&scratch);
}
