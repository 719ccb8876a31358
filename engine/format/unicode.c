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
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

int unicode_class(int32_t code)
{
    const char *kind = category(code);
    int class = kind[0] == 'L' ? CLASS_LETTER | CLASS_WORD : 0;
    if (kind[0] == 'N') class |= CLASS_NUMBER;
    if (kind[0] == 'P') class |= CLASS_PUNCTUATION;
    if (code < 0x80 && (kind[0] == 'P' || kind[0] == 'S')) class |= CLASS_PUNCTUATION;
    if (kind[0] == 'M' || !strcmp(kind, "Nd") || !strcmp(kind, "Nl") || !strcmp(kind, "Pc")) class |= CLASS_WORD;
    if (!strcmp(kind, "Mn")) class |= CLASS_MARK;
    if (code == 0x200C || code == 0x200D || (code >= 0x24B6 && code <= 0x24E9)) class |= CLASS_WORD;
    if (is_space(code)) class |= CLASS_SPACE;
    if (code == '\r' || code == '\n') class |= CLASS_LINE;
    return class;
}

struct unicode *unicode_make(struct arena *a)
{
    struct unicode *u = NEW(a, struct unicode);
    for (int32_t code = 0; code < 65536; code++) u->bmp[code] = (uint8_t)unicode_class(code);
    return u;
}

void unicode_lower(struct buf *out, struct text t)
{
    for (size_t i = 0; i < t.n;) {
        int32_t code;
        char bytes[4];
        int length = utf8_decode(t.p + i, t.n - i, &code);
        if (code < 0) buf_put(out, t.p + i, 1);
        else if (code == 0x130) buf_put(out, "i\xCC\x87", 3);
        else buf_put(out, bytes, (size_t)utf8_encode(utf8proc_tolower(code), bytes));
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
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3001 && c <= 0x3029) ||
           (c >= 0xE000 && c <= 0xF8FF) || (c >= 0x3400 && c <= 0x4DBF);
}

/* Code points that got a decomposition or a combining class after the tables of Hugging Face's
 * normaliser were made. */
static bool later(int32_t c)
{
    (void)c;
    return false;
}

static int combining(int32_t c) { return later(c) ? 0 : utf8proc_get_property(c)->combining_class; }

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
        if (later(code)) codes[n++] = code;
        else n += (size_t)utf8proc_decompose_char(code, codes + n, WIDEST, (utf8proc_option_t)(UTF8PROC_DECOMPOSE | compat), NULL);
    }
    order_marks(codes, (int64_t)n, scratch);
    if (form == FORM_NFC || form == FORM_NFKC)
        n = (size_t)utf8proc_normalize_utf32(codes, (utf8proc_ssize_t)n, (utf8proc_option_t)(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    for (size_t i = 0; i < n; i++) {
        char bytes[4];
        buf_put(out, bytes, (size_t)utf8_encode(codes[i], bytes));
    }
    arena_back(scratch, mark);
}

/* Stretches of stable characters are copied; the rest is normalised together with the stable
 * character before it, which may be its base. */
void unicode_normalise(struct buf *out, struct text t, enum unicode_form form, struct arena *scratch)
{
    size_t copied = 0, base = 0; /* up to where t is in `out`; where the last stable character begins */
    for (size_t i = 0; i < t.n;) {
        int32_t code;
        int length = utf8_decode(t.p + i, t.n - i, &code);
        if (code < 0) base = i + 1;
        else if (stable(code, form)) base = i;
        else {
            size_t end = i;
            do end += (size_t)length;
            while (end < t.n && (length = utf8_decode(t.p + end, t.n - end, &code), code >= 0) && !stable(code, form));
            buf_put(out, t.p + copied, base - copied);
            normalise_part(out, (struct text){t.p + base, end - base}, form, scratch);
            copied = base = i = end;
            continue;
        }
        i += (size_t)length;
    }
    buf_put(out, t.p + copied, t.n - copied);
}
