/* split.c - pre-tokenizers: three patterns by hand, the rest through PCRE2.
 *
 * A scanner by hand returns the length of the piece at p, as the alternatives of its regular
 * expression would match, in their order; it is several times faster than a regular expression. */
#include "engine/format/split.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdatomic.h>
#include <string.h>

/* ---- scanners ---- */

static inline size_t run_of(const struct unicode *u, const char *p, const char *end, int classes, bool are)
{
    const char *start = p;
    int stop = are ? 0 : classes | CLASS_WIDE, length;
    for (;;) {
        if (are) while (p < end && (u->byte[(unsigned char)*p] & classes)) p++;
        else while (p < end && !(u->byte[(unsigned char)*p] & stop)) p++;
        if (p == end || (unsigned char)*p < 0x80) break;
        if (((class_at(u, p, end, &length) & classes) != 0) != are) break;
        p += length;
    }
    return (size_t)(p - start);
}

/* 's 't 're 've 'm 'll 'd; where `fold`, in any case (U+017F folds to s). */
static size_t contraction(const char *p, const char *end, bool fold)
{
    size_t n = (size_t)(end - p);
    if (n < 2 || p[0] != '\'') return 0;
    char a = fold && p[1] >= 'A' && p[1] <= 'Z' ? (char)(p[1] | 32) : p[1];
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (n < 3) return 0;
    char b = fold && p[2] >= 'A' && p[2] <= 'Z' ? (char)(p[2] | 32) : p[2];
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
    return fold && !memcmp(p + 1, "\xC5\xBF", 2) ? 3 : 0;
}

/* \s+(?!\S)|\s+ : leaves the last of several spaces to the word behind it. */
static size_t spaces(const struct unicode *u, const char *p, const char *end)
{
    size_t n = run_of(u, p, end, CLASS_SPACE, true);
    if (p + n == end) return n;
    size_t last = n - 1;
    while (((unsigned char)p[last] & 0xC0) == 0x80) last--;
    return last ? last : n;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t gpt2_piece(const struct unicode *u, const char *p, const char *end)
{
    size_t n = split_plain(p, end), lead = 0;
    if (n) return n;
    int length, class = class_at(u, p, end, &length);
    if ((n = contraction(p, end, false)) != 0) return n;
    if (*p == ' ' && p + 1 < end) {
        class = class_at(u, p + 1, end, &length);
        lead = 1;
    }
    if (class & CLASS_LETTER) return lead + run_of(u, p + lead, end, CLASS_LETTER, true);
    if (class & CLASS_NUMBER) return lead + run_of(u, p + lead, end, CLASS_NUMBER, true);
    if (class & CLASS_SPACE) return spaces(u, p, end);
    return lead + run_of(u, p + lead, end, CLASS_LETTER | CLASS_NUMBER | CLASS_SPACE, false);
}

/* \s*[\r\n]+ : to the last line end in a run of spaces; 0 where there is none. */
static size_t line_ends(const struct unicode *u, const char *p, const char *end)
{
    size_t n = run_of(u, p, end, CLASS_SPACE, true);
    while (n && p[n - 1] != '\n' && p[n - 1] != '\r') n--;
    return n;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}|
 *  ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t llama3_piece(const struct unicode *u, const char *p, const char *end, int digits)
{
    enum { KNOWN = CLASS_LETTER | CLASS_NUMBER | CLASS_SPACE };
    size_t n = split_plain(p, end);
    if (n) return n;
    int length, next_length, class = class_at(u, p, end, &length);
    if ((n = contraction(p, end, true)) != 0) return n;
    if (class & CLASS_LETTER) return run_of(u, p, end, CLASS_LETTER, true);
    int next = p + length < end ? class_at(u, p + length, end, &next_length) : CLASS_SPACE;
    if (!(class & (CLASS_LINE | CLASS_NUMBER)) && (next & CLASS_LETTER))
        return (size_t)length + run_of(u, p + length, end, CLASS_LETTER, true);
    if (class & CLASS_NUMBER) {
        for (n = (size_t)length;
             --digits > 0 && p + n < end && (class_at(u, p + n, end, &length) & CLASS_NUMBER);)
            n += (size_t)length;
        return n;
    }
    if (!(class & KNOWN) || (*p == ' ' && !(next & KNOWN))) {
        n = *p == ' ' ? 1 : 0;
        n += run_of(u, p + n, end, KNOWN, false);
        while (p + n < end && (p[n] == '\r' || p[n] == '\n')) n++;
        return n;
    }
    n = line_ends(u, p, end);
    return n ? n : spaces(u, p, end);
}

size_t split_scan(const struct split *s, const char *p, const char *end)
{
    if (s->pattern == PATTERN_GPT2) return gpt2_piece(s->unicode, p, end);
    return llama3_piece(s->unicode, p, end, s->pattern == PATTERN_LLAMA3 ? 3 : 1);
}

/* ---- regular expressions ---- */

struct regex { pcre2_code *code; };

static void *regex_take(PCRE2_SIZE n, void *arena) { return arena_take(arena, n, 1); }
static void regex_give(void *p, void *arena) { (void)p, (void)arena; }

/* Compiled patterns with machine code stay for the life of the process: the code lives outside of any
 * arena, and a handful of patterns serves all models. Past the last row a pattern is interpreted. */
static struct {
    atomic_flag busy;
    int n;
    struct { uint64_t hash; size_t length; pcre2_code *code; } rows[16];
} compiled = {.busy = ATOMIC_FLAG_INIT};

enum { REGEX_OPTIONS = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C };

static pcre2_code *compile(struct text pattern, int *code, size_t *at, struct arena *a)
{
    const unsigned char *p = (const unsigned char *)pattern.p;
    uint64_t hash = hash64(pattern.p, pattern.n, 1);
    pcre2_code *found = NULL;
    while (atomic_flag_test_and_set(&compiled.busy)) { }
    for (int i = 0; i < compiled.n; i++)
        if (compiled.rows[i].hash == hash && compiled.rows[i].length == pattern.n)
            found = compiled.rows[i].code;
    if (!found && compiled.n < (int)COUNT(compiled.rows)) {
        found = pcre2_compile(p, pattern.n, REGEX_OPTIONS, code, at, NULL);
        if (found) {
            pcre2_jit_compile(found, PCRE2_JIT_COMPLETE);
            compiled.rows[compiled.n].hash = hash;
            compiled.rows[compiled.n].length = pattern.n;
            compiled.rows[compiled.n++].code = found;
        }
    } else if (!found) {
        pcre2_general_context *memory = pcre2_general_context_create(regex_take, regex_give, a);
        found = pcre2_compile(p, pattern.n, REGEX_OPTIONS, code, at, pcre2_compile_context_create(memory));
    }
    atomic_flag_clear(&compiled.busy);
    return found;
}

/* Ranges that Unicode 16 gives to a category ("L", "Lu") and other versions do not. */
static void put_changes(struct buf *out, const char *category)
{
    for (int i = 0; i < n_unicode_changes; i++)
        if (!strncmp(unicode_changes[i].category, category, strlen(category)))
            buf_printf(out, "\\x{%X}-\\x{%X}", (unsigned)unicode_changes[i].first,
                       (unsigned)unicode_changes[i].last);
}

static const char white[] =
    "\\x09-\\x0D\\x20\\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}";

/* What a class letter stands for, as the inside of [ ]; 0 where it needs nothing. */
static bool class_letter(struct buf *out, char letter)
{
    switch (letter | 32) {
    case 's': buf_printf(out, "%s", white); return true;
    case 'd': buf_printf(out, "\\p{Nd}"), put_changes(out, "Nd"); return true;
    case 'h': buf_printf(out, "0-9A-Fa-f"); return true;
    case 'w':
        buf_printf(out, "\\p{L}\\p{M}\\p{Nd}\\p{Pc}");
        put_changes(out, "L"), put_changes(out, "M"), put_changes(out, "Nd"), put_changes(out, "Pc");
        return true;
    default: return false;
    }
}

/* \p{Name} at p: its name without braces, and whether it is negated; 0 or the length. */
static size_t property(const char *p, size_t n, char name[32], bool *negated)
{
    size_t end = 2, k = 0;
    *negated = p[1] == 'P';
    if (n < 4 || p[2] != '{') return 0;
    for (end = 3; end < n && p[end] != '}'; end++) {
        if (p[end] == '^' && end == 3) *negated = !*negated;
        else if (k < 31) name[k++] = p[end];
    }
    name[k] = 0;
    return end < n ? end + 1 : 0;
}

static const struct { const char *name, *category; } long_names[] = {
    {"Letter", "L"}, {"Mark", "M"}, {"Number", "N"}, {"Punctuation", "P"}, {"Symbol", "S"}, {"Separator", "Z"},
    {"Other", "C"}, {"Uppercase_Letter", "Lu"}, {"Lowercase_Letter", "Ll"}, {"Titlecase_Letter", "Lt"},
    {"Modifier_Letter", "Lm"}, {"Other_Letter", "Lo"}, {"Decimal_Number", "Nd"}};

/* Rewrites one escape; returns its length in the source. */
static size_t rewrite_escape(struct buf *out, const char *p, size_t n, bool in_class)
{
    struct buf inside = buf_make(out->a);
    char name[32];
    bool negated = false;
    size_t length = n < 2 ? 0 : 2;
    if (length && (p[1] | 32) == 'p' && (length = property(p, n, name, &negated))) {
        const char *category = name;
        for (size_t i = 0; i < COUNT(long_names); i++)
            if (!strcmp(name, long_names[i].name)) category = long_names[i].category;
        buf_printf(&inside, "\\p{%s}", category);
        if (strlen(category) <= 2) put_changes(&inside, category);
        if (negated && in_class) {
            buf_printf(out, "\\P{%s}", category);
            return length;
        }
    } else if (length && class_letter(&inside, p[1])) {
        negated = !(p[1] & 32);
        if (negated && in_class && p[1] == 'S') buf_printf(out, "\\S\\x{180E}");
        else if (negated && in_class) buf_put(out, p, 2);
        if (negated && in_class) return 2;
    } else if (n >= 6 && p[1] == 'u') {
        buf_printf(out, "\\x{%.4s}", p + 2);
        return 6;
    } else {
        const char *end = n > 2 && p[1] == 'x' && p[2] == '{' ? memchr(p, '}', n) : NULL;
        length = end ? (size_t)(end - p) + 1 : n < 2 ? n : 2;
        buf_put(out, p, length);
        return length;
    }
    if (in_class) buf_put(out, inside.p, inside.n);
    else buf_printf(out, "[%s%s]", negated ? "^" : "", inside.p);
    return length;
}

/* {1,3}+ at p, which repeats the interval in Oniguruma and is possessive in PCRE2. */
static bool repeated_interval(const char *p, size_t n)
{
    size_t i = 1;
    while (i < n && ((p[i] >= '0' && p[i] <= '9') || p[i] == ',')) i++;
    return *p == '{' && i > 1 && i + 1 < n && p[i] == '}' && p[i + 1] == '+';
}

/* Oniguruma's pattern as PCRE2's. */
static bool rewrite(struct buf *out, struct text t, const char *where, struct err *err)
{
    bool in_class = false;
    size_t class_start = 0;
    for (size_t i = 0; i < t.n;) {
        const char *p = t.p + i;
        size_t left = t.n - i;
        if (*p == '\\') {
            i += rewrite_escape(out, p, left, in_class);
            continue;
        }
        if (in_class && left > 1 && p[0] == '&' && p[1] == '&')
            return fail(err, "%s: the regular expression has a class with &&, which hone does not do", where);
        if (!in_class && repeated_interval(p, left))
            return fail(err,
                        "%s: the regular expression has a repeated interval {..}+, which hone does not do",
                        where);
        if (!in_class && left > 2 && !memcmp(p, "(?m", 3))
            return fail(err, "%s: the regular expression has the option (?m), which hone does not do", where);
        if (in_class && p[0] == '[' && (left < 2 || p[1] != ':'))
            return fail(err,
                        "%s: the regular expression has a class within a class, which hone does not do",
                        where);
        size_t length = 1;
        if (*p == '[' && !in_class) {
            in_class = true;
            class_start = i + (left > 1 && p[1] == '^' ? 2 : 1);
        } else if (in_class && *p == '[') {
            const char *end = memchr(p, ']', left); /* [:name:] */
            length = end ? (size_t)(end - p) + 1 : 1;
        } else if (*p == ']' && in_class && i > class_start) {
            in_class = false;
        }
        buf_put(out, p, length);
        i += length;
    }
    return true;
}

#define LLAMA3_WITH(number) \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" number "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
static const struct { enum pattern pattern; const char *regex; } known[] = {
    {PATTERN_GPT2, "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
    {PATTERN_LLAMA3, LLAMA3_WITH("\\p{N}{1,3}")},
    {PATTERN_QWEN, LLAMA3_WITH("\\p{N}")},
    {PATTERN_NUMBER, "\\p{N}"},
    {PATTERN_SPACE, "\\s"}};

bool split_regex(struct split *s, struct text regex, const char *where, struct arena *a, struct err *err)
{
    for (size_t i = 0; i < COUNT(known); i++)
        if (text_is(regex, known[i].regex)) {
            s->pattern = known[i].pattern;
            return true;
        }
    enum { PATTERN_MOST = 16384 };
    if (regex.n > PATTERN_MOST)
        return fail(err, "%s: the regular expression has %zu bytes; hone reads at most %d", where, regex.n,
                    PATTERN_MOST);
    struct buf pattern = buf_make(a);
    if (!rewrite(&pattern, regex, where, err)) return false;
    int code = 0;
    size_t at = 0;
    s->pattern = PATTERN_REGEX;
    s->regex = NEW(a, struct regex);
    s->regex->code = compile(buf_text(&pattern), &code, &at, a);
    if (s->regex->code) return true;
    char why[128] = "";
    pcre2_get_error_message(code, (unsigned char *)why, sizeof why);
    return fail(err, "%s: the regular expression is not understood: %s (near byte %zu of %zu)", where, why,
                at, pattern.n);
}

/* Made at the first match: most texts need none. Only the whole match is asked for, so one serves all
 * patterns; the memory is PCRE2's own, for it grows while matching. */
static void matching_start(struct matching *m, size_t text)
{
    size_t steps = 1000000 + 16 * text;
    m->data = pcre2_match_data_create(1, NULL);
    m->context = pcre2_match_context_create(NULL);
    BUG_IF(!m->data || !m->context);
    pcre2_set_match_limit(m->context, (uint32_t)(steps > UINT32_MAX ? UINT32_MAX : steps));
    pcre2_set_heap_limit(m->context, 1 << 19); /* KiB */
}

void matching_end(struct matching *m)
{
    if (m->data) pcre2_match_data_free(m->data);
    if (m->context) pcre2_match_context_free(m->context);
    *m = (struct matching){NULL, NULL};
}

static int regex_match(struct pieces *w, struct stretch *found)
{
    if (!w->matching->data) matching_start(w->matching, w->t.n);
    for (;;) {
        if (w->search > w->t.n) return 0;
        if (w->valid < w->search || w->valid == 0) { /* PCRE2 wants well-formed text: a stretch at a time */
            struct text rest = {w->t.p + w->search, w->t.n - w->search};
            w->valid = w->search + utf8_bad(rest);
        }
        const pcre2_code *code = w->split->regex->code;
        const unsigned char *p = (const unsigned char *)w->t.p;
        int got = pcre2_match(code, p, w->valid, w->search, PCRE2_NO_UTF_CHECK, w->matching->data,
                              w->matching->context);
        if (got == PCRE2_ERROR_JIT_STACKLIMIT)
            got = pcre2_match(code, p, w->valid, w->search, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                              w->matching->data, w->matching->context);
        if (got == PCRE2_ERROR_NOMATCH) {
            if (w->valid >= w->t.n) return 0;
            w->search = w->valid + 1;
            continue;
        }
        if (got < 0) {
            char why[128] = "";
            pcre2_get_error_message(got, (unsigned char *)why, sizeof why);
            fail(w->err, "the tokenizer's regular expression gave up at byte %zu of %zu bytes: %s",
                 w->search, w->t.n, why);
            return -1;
        }
        const size_t *ends = pcre2_get_ovector_pointer(w->matching->data);
        *found = (struct stretch){ends[0], ends[1] < ends[0] ? ends[0] : ends[1], true};
        w->search = found->end;
        int32_t skipped;
        if (found->end == found->start)
            w->search += found->end < w->valid
                             ? (size_t)utf8_decode(w->t.p + found->end, w->valid - found->end, &skipped)
                             : 1;
        return 1;
    }
}

/* ---- walking ---- */

static int text_match(struct pieces *w, struct stretch *found)
{
    struct text literal = w->split->literal;
    if (!literal.n || w->search + literal.n > w->t.n) return 0;
    const char *at = memmem(w->t.p + w->search, w->t.n - w->search, literal.p, literal.n);
    if (!at) return 0;
    *found = (struct stretch){(size_t)(at - w->t.p), (size_t)(at - w->t.p) + literal.n, true};
    w->search = found->end;
    return 1;
}

/* One character of a class. */
static int class_match(struct pieces *w, struct stretch *found)
{
    static const int classes[] = {[PATTERN_NUMBER] = CLASS_NUMBER, [PATTERN_PUNCTUATION] = CLASS_PUNCTUATION,
                                  [PATTERN_SPACE] = CLASS_SPACE};
    const char *end = w->t.p + w->t.n, *p = w->t.p + w->search;
    int class = classes[w->split->pattern], length;
    p += run_of(w->split->unicode, p, end, class, false);
    if (p == end) return 0;
    class_at(w->split->unicode, p, end, &length);
    found->start = (size_t)(p - w->t.p);
    found->end = w->search = found->start + (size_t)length;
    found->match = true;
    return 1;
}

int pieces_match(struct pieces *w, struct stretch *found)
{
    switch (w->split->pattern) {
    case PATTERN_REGEX: return regex_match(w, found);
    case PATTERN_TEXT: return text_match(w, found);
    case PATTERN_NUMBER: case PATTERN_PUNCTUATION: case PATTERN_SPACE: return class_match(w, found);
    default: break;
    }
    if (w->search >= w->t.n) return 0;
    *found = (struct stretch){w->search, w->search + split_scan(w->split, w->t.p + w->search, w->t.p + w->t.n), true};
    w->search = found->end;
    return 1;
}

/* Matches and what lies between them, in turn. */
static int next_stretch(struct pieces *w, struct stretch *out)
{
    if (w->wait) {
        *out = w->waiting;
        w->wait = false;
        return 1;
    }
    if (!w->known) {
        int got = w->ended ? 0 : pieces_match(w, &w->found);
        if (got < 0) return got;
        if (got == 0) w->found = (struct stretch){w->t.n, w->t.n, false};
        w->ended = got == 0;
        w->known = true;
    }
    if (w->at < w->found.start) {
        *out = (struct stretch){w->at, w->found.start, w->split->invert};
        w->at = w->found.start;
        return 1;
    }
    if (w->ended) return 0;
    *out = (struct stretch){w->found.start, w->found.end, !w->split->invert};
    w->at = w->found.end;
    w->known = false;
    return 1;
}

/* Joins the stretches that follow `s` to it, as the behaviour says. */
static int join(struct pieces *w, struct stretch *s)
{
    enum behaviour how = w->split->behaviour;
    for (;;) {
        struct stretch next;
        int got = next_stretch(w, &next);
        if (got <= 0) return got;
        bool joins = how == SPLIT_CONTIGUOUS ? next.match == s->match
                   : how == SPLIT_MERGED_WITH_PREVIOUS ? next.match && !s->match : s->match && !next.match;
        if (!joins) {
            w->waiting = next;
            w->wait = true;
            return 1;
        }
        s->end = next.end;
        if (how != SPLIT_CONTIGUOUS) return 1;
    }
}

int pieces_next(struct pieces *w, struct text *piece)
{
    enum behaviour how = w->split->behaviour;
    if (split_scans(w->split)) {
        if (w->at >= w->t.n) return 0;
        size_t n = split_scan(w->split, w->t.p + w->at, w->t.p + w->t.n);
        *piece = (struct text){w->t.p + w->at, n};
        w->at += n;
        return 1;
    }
    for (;;) {
        struct stretch s;
        int got = next_stretch(w, &s);
        if (got <= 0) return got;
        if (how == SPLIT_REMOVED && s.match) continue;
        if (how >= SPLIT_MERGED_WITH_PREVIOUS && join(w, &s) < 0) return -1;
        if (s.end == s.start) continue;
        *piece = (struct text){w->t.p + s.start, s.end - s.start};
        return 1;
    }
}
