/* text.c - texts that grow, UTF-8, and making outside text harmless for a terminal. */
#include "engine/base/base.h"
#include <stdio.h>
#include <string.h>

struct text text_of(const char *terminated) { return (struct text){terminated, strlen(terminated)}; }

bool text_equal(struct text a, struct text b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool text_is(struct text a, const char *terminated) { return text_equal(a, text_of(terminated)); }

struct buf buf_make(struct arena *a) { return (struct buf){.a = a}; }

static void buf_room(struct buf *b, size_t more)
{
    if (b->n + more + 1 <= b->cap) return;
    size_t cap = b->cap ? b->cap * 2 : 128;
    while (cap < b->n + more + 1) cap *= 2;
    b->p = arena_grow(b->a, b->p, b->cap, cap);
    b->cap = cap;
}

void buf_put(struct buf *b, const char *p, size_t n)
{
    buf_room(b, n);
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = 0;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    BUG_IF(n < 0);
    buf_room(b, (size_t)n);
    vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
    va_end(again);
    b->n += (size_t)n;
}

struct text buf_text(const struct buf *b) { return (struct text){b->p ? b->p : "", b->n}; }

/* Length of the sequence that the first byte announces, and the least code point it may mean. */
static int utf8_lead(unsigned char c, int32_t *least, int32_t *bits)
{
    static const struct { unsigned char mask, is; int n; int32_t least; } rows[] = {
        {0x80, 0x00, 1, 0}, {0xE0, 0xC0, 2, 0x80}, {0xF0, 0xE0, 3, 0x800}, {0xF8, 0xF0, 4, 0x10000}};
    for (size_t i = 0; i < COUNT(rows); i++)
        if ((c & rows[i].mask) == rows[i].is) {
            *least = rows[i].least;
            *bits = c & (unsigned char)~rows[i].mask;
            return rows[i].n;
        }
    return 0;
}

int utf8_decode(const char *p, size_t n, int32_t *code)
{
    int32_t least, c;
    int len = utf8_lead((unsigned char)p[0], &least, &c);
    *code = -1;
    if (len == 0 || (size_t)len > n) return 1;
    for (int i = 1; i < len; i++) {
        if (((unsigned char)p[i] & 0xC0) != 0x80) return 1;
        c = c << 6 | ((unsigned char)p[i] & 0x3F);
    }
    if (c < least || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return 1;
    *code = c;
    return len;
}

int utf8_encode(int32_t c, char out[4])
{
    if (c < 0x80) { out[0] = (char)c; return 1; }
    if (c < 0x800) { out[0] = (char)(0xC0 | c >> 6); out[1] = (char)(0x80 | (c & 0x3F)); return 2; }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12); out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18); out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F)); out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

size_t utf8_bad(struct text t)
{
    size_t i = 0;
    while (i < t.n) {
        if ((unsigned char)t.p[i] < 0x80) { i++; continue; }
        int32_t c;
        int len = utf8_decode(t.p + i, t.n - i, &c);
        if (c < 0) return i;
        i += (size_t)len;
    }
    return t.n;
}

size_t utf8_unfinished(struct text t)
{
    for (size_t back = 1; back <= 3 && back <= t.n; back++) {
        unsigned char c = (unsigned char)t.p[t.n - back];
        int32_t least, bits;
        if ((c & 0xC0) == 0x80) continue;
        int len = utf8_lead(c, &least, &bits);
        return len > (int)back ? back : 0;
    }
    return 0;
}

/* Zero width, bidi and other invisible characters that terminals disagree about or obey. */
static bool vanishes(int32_t c)
{
    static const int32_t ranges[][2] = {{0xAD, 0xAD}, {0x200B, 0x200F}, {0x2028, 0x202E}, {0x2060, 0x206F},
        {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF}, {0x1F3FB, 0x1F3FF}, {0x20E3, 0x20E3}, {0xE0000, 0x10FFFF}};
    for (size_t i = 0; i < COUNT(ranges); i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}

int32_t text_shown(int32_t c)
{
    if (c == '\t' || c == '\n') return ' ';
    if (c < 0x20 || (c >= 0x7F && c < 0xA0)) return 0xFFFD;
    return vanishes(c) ? 0 : c;
}

void text_safe(struct buf *out, struct text t, bool keep_newlines)
{
    for (size_t i = 0; i < t.n;) {
        int32_t c;
        char shown[4];
        int len = utf8_decode(t.p + i, t.n - i, &c);
        if (c != '\n' || !keep_newlines) c = text_shown(c);
        if (c) buf_put(out, shown, (size_t)utf8_encode(c, shown));
        i += (size_t)len;
    }
    if (!out->p) buf_put(out, "", 0);
}

void text_fit(char *out, size_t room, struct text t)
{
    size_t n = 0;
    for (size_t i = 0; i < t.n;) {
        int32_t c;
        char shown[4];
        i += (size_t)utf8_decode(t.p + i, t.n - i, &c);
        if (c != '\n') c = text_shown(c);
        size_t len = c ? (size_t)utf8_encode(c, shown) : 0;
        if (n + len >= room) break;
        memcpy(out + n, shown, len);
        n += len;
    }
    out[n] = 0;
}

/* Levenshtein distance of two short names, one row at a time. */
static int edit_distance(const char *a, const char *b)
{
    int row[65], nb = (int)strlen(b);
    if (nb > 64 || strlen(a) > 64) return 999;
    for (int j = 0; j <= nb; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[nb];
}

const char *text_nearest(const char *name, const char *const *names, int n)
{
    const char *best = NULL;
    int least = (int)(strlen(name) + 2) / 3 + 1;
    for (int i = 0; i < n; i++) {
        int d = edit_distance(name, names[i]);
        if (d < least) { least = d; best = names[i]; }
    }
    return best;
}

char *text_bytes(char out[16], int64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    double v = (double)bytes;
    size_t u = 0;
    while (v >= 999.5 && u + 1 < COUNT(units)) { v /= 1000; u++; }
    snprintf(out, 16, u == 0 || v >= 99.95 ? "%.0f %s" : v >= 9.995 ? "%.1f %s" : "%.2f %s", v, units[u]);
    return out;
}

char *text_seconds(char out[24], double s)
{
    if (s < 9.95) snprintf(out, 24, "%.1f s", s);
    else if (s < 60) snprintf(out, 24, "%.0f s", s);
    else if (s < 3600) snprintf(out, 24, "%d min %02d s", (int)s / 60, (int)s % 60);
    else if (s < 86400 * 2) snprintf(out, 24, "%d h %02d min", (int)s / 3600, (int)s / 60 % 60);
    else snprintf(out, 24, "%.0f days", s / 86400);
    return out;
}

char *text_count(char out[32], int64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n), k = 0;
    for (int i = 0; i < len; i++) {
        if (i > (digits[0] == '-') && (len - i) % 3 == 0) out[k++] = ',';
        out[k++] = digits[i];
    }
    out[k] = 0;
    return out;
}
