/* template_lex.c - a template's source as tokens.
 *
 * Outside of tags a source is data. Blanks around tags follow Jinja as transformers sets it up:
 * trim_blocks (the newline after a block or comment goes), lstrip_blocks (blanks from the line's
 * start to a block or comment go), "-" at a tag's edge takes all blanks on that side, "+" none. */
#include "engine/format/template_tree.h"
#include <string.h>

struct lexer {
    struct tokens *out;
    struct text s;
    size_t at;
    int line;
    bool line_starting; /* the last tag took the newline behind it */
    const char *name;
    struct arena *a;
    struct err *err;
};

static bool bad(struct lexer *l, const char *what)
{
    return fail(l->err, "template %s, line %d: %s", l->name, l->line, what);
}

static bool space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static void put(struct lexer *l, enum token_kind kind, struct text text, int64_t number)
{
    ROOM(l->a, l->out->list, l->out->n, l->out->cap);
    l->out->list[l->out->n++] = (struct token){kind, l->line, text, number};
}

static void move(struct lexer *l, size_t to)
{
    for (; l->at < to; l->at++) l->line += l->s.p[l->at] == '\n';
}

static bool here(const struct lexer *l, size_t at, const char *s)
{
    size_t n = strlen(s);
    return l->s.n - at >= n && memcmp(l->s.p + at, s, n) == 0;
}

/* The bytes before a tag, less the blanks that the tag takes. */
static void put_data(struct lexer *l, size_t to, char sign, bool print)
{
    size_t from = l->at, end = to, line = to;
    if (sign == '-')
        while (end > from && space(l->s.p[end - 1])) end--;
    else if (sign != '+' && !print) {
        while (line > from && l->s.p[line - 1] != '\n' && space(l->s.p[line - 1])) line--;
        bool at_start = line > from ? l->s.p[line - 1] == '\n' : l->line_starting;
        if (at_start) end = line;
    }
    if (end > from) put(l, T_DATA, (struct text){l->s.p + from, end - from}, 0);
    move(l, to);
}

/* Behind a tag that ended at `at` with `sign` before its end mark. */
static void skip_behind(struct lexer *l, size_t at, char sign, bool print)
{
    size_t from = at;
    if (sign == '-')
        while (at < l->s.n && space(l->s.p[at])) at++;
    else if (sign != '+' && !print && at < l->s.n && l->s.p[at] == '\n') at++;
    l->line_starting = at > from && l->s.p[at - 1] == '\n';
    move(l, at);
}

static bool lex_comment(struct lexer *l)
{
    const char *end = memmem(l->s.p + l->at + 2, l->s.n - l->at - 2, "#}", 2);
    if (!end) return bad(l, "a comment has no end (#})");
    size_t at = (size_t)(end - l->s.p);
    skip_behind(l, at + 2, at > l->at + 2 ? l->s.p[at - 1] : 0, false);
    return true;
}

static int hex_digits(const struct lexer *l, size_t at, int most, int32_t *out)
{
    int n = 0;
    *out = 0;
    for (; n < most && at + (size_t)n < l->s.n; n++) {
        char c = l->s.p[at + (size_t)n];
        int d = c >= '0' && c <= '9'                 ? c - '0'
                : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                     : -1;
        if (d < 0) break;
        *out = *out * 16 + d;
    }
    return n;
}

/* One escape of a text, as Python reads it; returns how many bytes of the source it is. */
static size_t lex_escape(struct lexer *l, size_t at, struct buf *b)
{
    static const char from[] = "ntr\\'\"abfv", to[] = "\n\t\r\\'\"\a\b\f\v";
    char c = at + 1 < l->s.n ? l->s.p[at + 1] : 0, utf8[4];
    const char *plain = c ? strchr(from, c) : NULL;
    int most = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    int32_t code;
    if (plain) {
        buf_put(b, &to[plain - from], 1);
        return 2;
    }
    if (c == '\n') return 2;
    if (most && hex_digits(l, at + 2, most, &code) == most && code >= 0 && code <= 0x10FFFF &&
        (code < 0xD800 || code > 0xDFFF)) {
        buf_put(b, utf8, (size_t)utf8_encode(code, utf8));
        return 2 + (size_t)most;
    }
    buf_put(b, "\\", 1);
    return 1;
}

static bool lex_text(struct lexer *l)
{
    char quote = l->s.p[l->at];
    struct buf b = buf_make(l->a);
    size_t i = l->at + 1;
    while (i < l->s.n && l->s.p[i] != quote) {
        if (l->s.p[i] == '\\') i += lex_escape(l, i, &b);
        else buf_put(&b, &l->s.p[i++], 1);
    }
    if (i >= l->s.n) return bad(l, "a text has no closing quote");
    put(l, T_TEXT, buf_text(&b), 0);
    move(l, i + 1);
    return true;
}

static bool digit(char c) { return c >= '0' && c <= '9'; }
static bool letter(char c) { return c == '_' || ((c | 32) >= 'a' && (c | 32) <= 'z'); }

static bool lex_number(struct lexer *l)
{
    int64_t n = 0;
    size_t i = l->at;
    for (; i < l->s.n && (digit(l->s.p[i]) || l->s.p[i] == '_'); i++)
        if (l->s.p[i] != '_' &&
            (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, l->s.p[i] - '0', &n)))
            return bad(l, "a number is too large");
    bool decimal = i + 1 < l->s.n && l->s.p[i] == '.' && digit(l->s.p[i + 1]);
    if (decimal || (i < l->s.n && letter(l->s.p[i])))
        return bad(l, "decimal numbers are not understood");
    put(l, T_INT, (struct text){0}, n);
    move(l, i);
    return true;
}

static bool lex_operator(struct lexer *l)
{
    static const char *const all[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                      "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                      ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (size_t i = 0; i < COUNT(all); i++)
        if (here(l, l->at, all[i])) {
            put(l, T_OP, text_of(all[i]), 0);
            move(l, l->at + strlen(all[i]));
            return true;
        }
    return bad(l, "a character that no expression can have");
}

/* The tokens of one tag up to its end mark; brackets that are open keep "}}" from ending it. */
static bool lex_tag(struct lexer *l, bool print)
{
    const char *end = print ? "}}" : "%}";
    int open = 0;
    while (l->at < l->s.n) {
        char c = l->s.p[l->at];
        bool sign = c == '-' || (c == '+' && !print);
        if (space(c)) move(l, l->at + 1);
        else if (!open && (here(l, l->at, end) || (sign && here(l, l->at + 1, end)))) {
            put(l, print ? T_PRINT_END : T_BLOCK_END, (struct text){0}, 0);
            skip_behind(l, l->at + 2 + sign, sign ? c : 0, print);
            return true;
        } else if (c == '"' || c == '\'') {
            if (!lex_text(l)) return false;
        } else if (digit(c)) {
            if (!lex_number(l)) return false;
        } else if (letter(c)) {
            size_t i = l->at;
            while (i < l->s.n && (letter(l->s.p[i]) || digit(l->s.p[i]))) i++;
            put(l, T_NAME, (struct text){l->s.p + l->at, i - l->at}, 0);
            move(l, i);
        } else {
            if (c == '(' || c == '[' || c == '{') open++;
            if (c == ')' || c == ']' || c == '}') open -= open > 0;
            if (!lex_operator(l)) return false;
        }
    }
    return bad(l, print ? "{{ has no }}" : "{% has no %}");
}

/* The length of `{% word %}` with its signs at `at`, or 0; *sign is the one before its end mark. */
static size_t plain_tag(const struct lexer *l, size_t at, const char *word, char *sign)
{
    size_t i = at + 2;
    if (!here(l, at, "{%")) return 0;
    if (i < l->s.n && (l->s.p[i] == '-' || l->s.p[i] == '+')) i++;
    while (i < l->s.n && space(l->s.p[i])) i++;
    if (!here(l, i, word)) return 0;
    i += strlen(word);
    while (i < l->s.n && space(l->s.p[i])) i++;
    *sign = i < l->s.n ? l->s.p[i] : 0;
    if (*sign == '-' || *sign == '+') i++;
    return here(l, i, "%}") ? i + 2 - at : 0;
}

static bool lex_raw(struct lexer *l, size_t begin_length, char begin_sign)
{
    char sign;
    skip_behind(l, l->at + begin_length, begin_sign == '-' ? '-' : '+', false);
    l->line_starting = false;
    for (size_t i = l->at; i < l->s.n; i++) {
        size_t n = plain_tag(l, i, "endraw", &sign);
        if (!n) continue;
        put_data(l, i, l->s.p[i + 2], false);
        skip_behind(l, i + n, sign, false);
        return true;
    }
    return bad(l, "{% raw %} has no {% endraw %}");
}

static bool lex_all(struct lexer *l)
{
    while (l->at < l->s.n) {
        size_t i = l->at;
        while (i < l->s.n && !(l->s.p[i] == '{' && i + 1 < l->s.n && strchr("%{#", l->s.p[i + 1]) &&
                               l->s.p[i + 1]))
            i++;
        if (i == l->s.n) {
            put(l, T_DATA, (struct text){l->s.p + l->at, i - l->at}, 0);
            break;
        }
        char kind = l->s.p[i + 1], sign = i + 2 < l->s.n ? l->s.p[i + 2] : 0, raw_sign;
        put_data(l, i, sign, kind == '{');
        size_t raw = kind == '%' ? plain_tag(l, i, "raw", &raw_sign) : 0;
        bool ok;
        if (kind == '#') ok = lex_comment(l);
        else if (raw) ok = lex_raw(l, raw, raw_sign);
        else {
            put(l, kind == '{' ? T_PRINT : T_BLOCK, (struct text){0}, 0);
            move(l, i + 2 + (sign == '-' || sign == '+'));
            ok = lex_tag(l, kind == '{');
        }
        if (!ok) return false;
    }
    put(l, T_END, (struct text){0}, 0);
    return true;
}

/* "\r\n" and "\r" are newlines; one newline at the very end does not count. */
static struct text normalised(struct text s, struct arena *a)
{
    char *p = arena_take(a, 1, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n') continue;
        p[n++] = s.p[i] == '\r' ? '\n' : s.p[i];
    }
    if (n > 0 && p[n - 1] == '\n') n--;
    return (struct text){p, n};
}

bool template_lex(struct tokens *out, struct text source, const char *name, struct arena *a,
                  struct err *err)
{
    struct lexer l = {.out = out,
                      .s = normalised(source, a),
                      .line = 1,
                      .line_starting = true,
                      .name = name,
                      .a = a,
                      .err = err};
    return lex_all(&l);
}
