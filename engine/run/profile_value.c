/* profile_value.c - one value of a profile: from a node to its struct, and back to text.
 *
 * Numbers are read by hand because YAML 1.1 readers make a text of 1e-4 and an octal number of 010,
 * and because people write 5M, 8k and 3%. */
#include "engine/run/profile_parts.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void profile_problem(struct reading *r, const struct node *n, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    problem_add(r->problems, r->a, n ? n->line : 1, n ? n->column : 1, "%s", text);
}

/* The value as a problem quotes it: short, on one line. */
static const char *quote(const struct node *n, struct arena *a)
{
    if (n->kind == NODE_LIST) return "a list";
    if (n->kind == NODE_MAP) return "a map";
    struct buf b = buf_make(a);
    size_t most = n->value.n > 60 ? 60 : n->value.n;
    while (most > 0 && most < n->value.n && (n->value.p[most] & 0xC0) == 0x80) most--;
    text_safe(&b, (struct text){n->value.p, most}, false);
    return arena_printf(a, "%s%.*s%s%s", n->plain ? "" : "\"", (int)b.n, b.p ? b.p : "",
                        most < n->value.n ? "..." : "", n->plain ? "" : "\"");
}

/* ---- numbers ---- */

enum suffix_kind { SUFFIX_NONE, SUFFIX_COUNT, SUFFIX_SHARE, SUFFIX_TIME };
static const struct { const char *text; double factor; enum suffix_kind kind;
} suffixes[] = {
    {"", 1, SUFFIX_NONE},       {"k", 1e3, SUFFIX_COUNT},      {"K", 1e3, SUFFIX_COUNT},
    {"M", 1e6, SUFFIX_COUNT},   {"G", 1e9, SUFFIX_COUNT},      {"B", 1e9, SUFFIX_COUNT},
    {"Ki", 1024, SUFFIX_COUNT}, {"Mi", 1048576, SUFFIX_COUNT}, {"%", 0.01, SUFFIX_SHARE},
    {"s", 1, SUFFIX_TIME},      {"min", 60, SUFFIX_TIME},      {"h", 3600, SUFFIX_TIME},
};

/* How many bytes of p are a decimal number: sign, digits with '_' between them, a fraction, an
 * exponent. */
static size_t number_length(const char *p)
{
    size_t i = *p == '+' || *p == '-', digits = 0;
    for (; (p[i] >= '0' && p[i] <= '9') ||
           (p[i] == '_' && digits && p[i + 1] >= '0' && p[i + 1] <= '9');
         i++)
        digits++;
    if (p[i] == '.')
        for (i++; p[i] >= '0' && p[i] <= '9'; i++) digits++;
    if (!digits) return 0;
    if (p[i] == 'e' || p[i] == 'E') {
        size_t j = i + 1 + (p[i + 1] == '+' || p[i + 1] == '-');
        if (p[j] >= '0' && p[j] <= '9')
            for (i = j; p[i] >= '0' && p[i] <= '9'; i++) continue;
    }
    return i;
}

/* What is wrong with a number as a sentence, or NULL. 3% is 3 / 100, so that it equals 0.03. */
static const char *scan_number(double *out, const struct field *f, const char *p, struct arena *a)
{
    size_t n = number_length(p), k = 0, at = 0;
    char digits[64];
    if (n == 0) return f->type == FIELD_INT ? "a whole number is wanted" : "a number is wanted";
    if (n >= sizeof digits) return "the number is too long";
    for (size_t i = 0; i < n; i++)
        if (p[i] != '_') digits[at++] = p[i];
    digits[at] = 0;
    if (digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9')
        return "some readers take a leading zero for an octal number; write it without";
    while (k < COUNT(suffixes) && strcmp(p + n, suffixes[k].text) != 0) k++;
    if (k == COUNT(suffixes))
        return arena_printf(a, "'%.20s' is no unit; k, M, G, Ki, Mi%s are known", p + n,
                            f->unit[0] == 's' ? " and %" : "");
    enum suffix_kind kind = suffixes[k].kind;
    if (kind == SUFFIX_TIME)
        return f->unit[0] ? arena_printf(a, "this is a time, and it counts %s", f->unit)
                          : "this is a time; a plain number is wanted";
    if (kind == SUFFIX_COUNT && f->type != FIELD_INT)
        return arena_printf(a, "%s is for counts; a plain number is wanted", suffixes[k].text);
    if (kind == SUFFIX_SHARE && strcmp(f->unit, "share") != 0)
        return "% is for shares; a plain number is wanted";
    double v = strtod(digits, NULL);
    *out = kind == SUFFIX_SHARE ? v / 100 : v * suffixes[k].factor;
    if (f->type == FIELD_INT && isfinite(*out) && *out != floor(*out))
        return "a whole number is wanted";
    return NULL;
}

static bool read_number(struct reading *r, double *out, const struct field *f, const struct node *n,
                        const char *path)
{
    const char *why;
    if (n->kind != NODE_SCALAR || !n->plain)
        why = n->kind == NODE_SCALAR ? "this is a text; write the number without quotes"
                                     : "a number is wanted";
    else if (strlen(n->value.p) != n->value.n)
        why = "a number is wanted";
    else
        why = scan_number(out, f, n->value.p, r->a);
    if (why) {
        profile_problem(r, n, "%s: %s: %s", path, quote(n, r->a), why);
        return false;
    }
    if (*out >= f->least && *out <= f->most) return true;
    char least[40], most[40];
    snprintf(least, sizeof least, f->type == FIELD_INT ? "%.0f" : "%g", f->least);
    snprintf(most, sizeof most, f->type == FIELD_INT ? "%.0f" : "%g", f->most);
    profile_problem(r, n, "%s: %s is out of range; %s to %s is allowed", path, quote(n, r->a),
                    least, most);
    return false;
}

static void put_number(const struct field *f, void *base, double v)
{
    char *p = (char *)base + f->at;
    switch (f->store) {
    case STORE_INT: *(int *)(void *)p = (int)v; break;
    case STORE_INT64: *(int64_t *)(void *)p = (int64_t)v; break;
    case STORE_NUM: *(double *)(void *)p = v; break;
    case STORE_FLOAT: *(float *)(void *)p = (float)v; break;
    default: break;
    }
}

static double get_number(const struct field *f, const void *base)
{
    const char *p = (const char *)base + f->at;
    switch (f->store) {
    case STORE_INT: return *(const int *)(const void *)p;
    case STORE_INT64: return (double)*(const int64_t *)(const void *)p;
    case STORE_NUM: return *(const double *)(const void *)p;
    case STORE_FLOAT: return *(const float *)(const void *)p;
    default: return 0;
    }
}

/* ---- words ---- */

static bool read_bool(struct reading *r, bool *out, const struct node *n, const char *path)
{
    static const struct { const char *word; bool is;
    } words[] = {{"true", true}, {"false", false}, {"True", true}, {"False", false},
                 {"TRUE", true}, {"FALSE", false}, {"yes", true},  {"no", false},
                 {"on", true},   {"off", false}};
    for (size_t i = 0; n->kind == NODE_SCALAR && n->plain && i < COUNT(words); i++)
        if (text_is(n->value, words[i].word)) {
            *out = words[i].is;
            return true;
        }
    profile_problem(r, n, "%s: %s is neither true nor false", path, quote(n, r->a));
    return false;
}

static const char *nearest_choice(const char *choices, const char *word, struct arena *a)
{
    const char *names[32];
    int n = 0;
    for (const char *p = choices; p && n < 32;) {
        const char *end = strstr(p, " | ");
        names[n++] = arena_string(a, p, end ? (size_t)(end - p) : strlen(p));
        p = end ? end + 3 : NULL;
    }
    return text_nearest(word, names, n);
}

static bool read_choice(struct reading *r, int *index, const struct field *f, const struct node *n,
                        const char *path)
{
    if (n->kind == NODE_SCALAR && field_choice(f->choices, n->value, index)) return true;
    if (n->kind == NODE_SCALAR && field_choice_is_unbuilt(path, n->value)) {
        profile_problem(r, n, "%s: %s is not built yet; allowed is %s", path, n->value.p,
                        f->choices);
        return false;
    }
    const char *near = n->kind == NODE_SCALAR ? nearest_choice(f->choices, n->value.p, r->a) : NULL;
    profile_problem(r, n, "%s: %s is not known%s%s%s; allowed is %s", path, quote(n, r->a),
                    near ? " (did you mean " : "", near ? near : "", near ? "?)" : "", f->choices);
    return false;
}

static bool text_is_sound(struct reading *r, const struct field *f, const struct node *n,
                          const char *path)
{
    if (n->kind != NODE_SCALAR)
        profile_problem(r, n, "%s: a text is wanted, not %s", path, quote(n, r->a));
    else if (n->value.n > (size_t)f->most && f->most > 0 && f->type != FIELD_LIST)
        profile_problem(r, n, "%s: %zu bytes are too long; %.0f are allowed", path, n->value.n,
                        f->most);
    else if (strlen(n->value.p) != n->value.n)
        profile_problem(r, n, "%s: a zero byte stands in this text", path);
    else
        return true;
    return false;
}

/* A path of the user's is relative to the profile. A model may also be a name, and a template too.
 */
static const char *resolve(struct reading *r, int store, const char *p)
{
    if (!p[0] || store == STORE_TEXT || store == STORE_WORDS) return p;
    const char *whole = path_join(r->a, r->dir, p);
    if (store == STORE_MODEL && !strchr(p, '/') && !path_exists(whole)) return p;
    size_t n = strlen(p);
    if (store == STORE_TEMPLATE && !strchr(p, '/') && !(n > 6 && strcmp(p + n - 6, ".jinja") == 0))
        return p;
    return whole;
}

/* The check of a row, with the path in front. */
static bool check_words(struct reading *r, const struct field *f, const char *const *words, int n,
                        const struct node *node, const char *path)
{
    struct err err = {0};
    if (!f->check || f->check(words, n, &err)) return true;
    const char *start = strncmp(err.text, "train: ", 7) == 0 ? err.text + 7 : err.text;
    profile_problem(r, node, "%s: %s", path, start);
    return false;
}

static bool read_words(struct reading *r, const struct field *f, void *base, const struct node *n,
                       const char *path)
{
    bool one = n->kind == NODE_SCALAR;
    int count = one ? n->value.n > 0 : n->n;
    if (n->kind == NODE_MAP || count > (int)f->most) {
        if (n->kind == NODE_MAP) profile_problem(r, n, "%s: a list is wanted, like [a, b]", path);
        else profile_problem(r, n, "%s: %d items; %.0f are allowed", path, count, f->most);
        return false;
    }
    const char **words = NEW_N(r->a, const char *, count + 1);
    for (int i = 0; i < count; i++) {
        const struct node *item = one ? n : n->items[i];
        const char *item_path = one ? path : arena_printf(r->a, "%s.%d", path, i);
        if (!text_is_sound(r, f, item, item_path)) return false;
        words[i] = resolve(r, f->store == STORE_PATHS ? STORE_PATH : STORE_WORDS, item->value.p);
    }
    if (!check_words(r, f, words, count, n, path)) return false;
    *(const char *const **)(void *)((char *)base + f->at) = words;
    *(int *)(void *)((char *)base + f->count_at) = count;
    return true;
}

static bool read_text(struct reading *r, const struct field *f, void *base, const struct node *n,
                      const char *path)
{
    if (!text_is_sound(r, f, n, path)) return false;
    const char *word = n->value.p;
    int index;
    if (f->type == FIELD_CHOICE && !read_choice(r, &index, f, n, path)) return false;
    if (!check_words(r, f, &word, 1, n, path)) return false;
    if (f->store == STORE_NOTHING) return true;
    *(const char **)(void *)((char *)base + f->at) = resolve(r, f->store, word);
    return true;
}

/* ---- what is not built ---- */

static bool value_is_harmless(const struct field *f, const struct node *n)
{
    int index;
    if (!f->preset[0]) return false;
    if (n->kind == NODE_LIST) return n->n == 0 || (n->n == 1 && n->items[0]->kind == NODE_SCALAR &&
                                                   text_is(n->items[0]->value, f->preset));
    return n->kind == NODE_SCALAR &&
           (text_is(n->value, f->preset) || field_choice(f->choices, n->value, &index));
}

static bool refuse_unbuilt(struct reading *r, const struct field *f, const struct node *n,
                           const char *path)
{
    if (value_is_harmless(f, n)) return true;
    if (f->preset[0])
        profile_problem(r, n, "%s: %s is not built yet; only %s is", path, quote(n, r->a),
                        f->choices ? f->choices : f->preset);
    else
        profile_problem(r, n, "%s is not built yet", path);
    return false;
}

/* ---- the whole ---- */

bool field_read(struct reading *r, const struct field *f, void *base, const struct node *n,
                const char *path)
{
    if (node_is_null(n)) return true;
    if (!f->built) return refuse_unbuilt(r, f, n, path);
    double v = 0;
    int index = 0;
    switch (f->type) {
    case FIELD_INT:
    case FIELD_NUM:
        if (n->kind == NODE_SCALAR && field_choice(f->choices, n->value, &index)) {
            field_unset(f, base);
            return true;
        }
        if (!read_number(r, &v, f, n, path)) return false;
        put_number(f, base, v);
        return true;
    case FIELD_BOOL:
        return read_bool(r, (bool *)((char *)base + f->at), n, path);
    case FIELD_CHOICE:
        if (f->store != STORE_ENUM && f->store != STORE_FLAG) return read_text(r, f, base, n, path);
        if (!read_choice(r, &index, f, n, path)) return false;
        if (f->store == STORE_FLAG) *((bool *)base + f->at) = index == 1;
        else *(int *)(void *)((char *)base + f->at) = f->base + index;
        return true;
    case FIELD_LIST:
        return read_words(r, f, base, n, path);
    default:
        return read_text(r, f, base, n, path);
    }
}

void field_unset(const struct field *f, void *base)
{
    if (f->type == FIELD_INT || f->type == FIELD_NUM) put_number(f, base, f->base);
}

bool field_is_unset(const struct field *f, const void *base)
{
    return (f->type == FIELD_INT || f->type == FIELD_NUM) && get_number(f, base) == f->base;
}

void field_preset(const struct field *f, void *base, struct arena *a)
{
    struct problems none = {0};
    struct reading r = {&none, a, NULL};
    if (f->store == STORE_NOTHING) return;
    if (f->preset[0] && f->built)
        field_read(&r, f, base, node_scalar(text_of(f->preset), a), f->path);
    else if (f->type == FIELD_TEXT || f->type == FIELD_PATH)
        *(const char **)(void *)((char *)base + f->at) = "";
    else field_unset(f, base);
    BUG_IF(none.n > 0);
}

/* ---- back to text ---- */

/* A word that no YAML reader takes for anything but a text. */
static bool text_is_plain(struct text t)
{
    static const char *const others[] = {"null", "Null",  "NULL", "true", "false", "True", "False",
                                         "TRUE", "FALSE", "yes",  "no",   "on",    "off",  "Yes",
                                         "No",   "On",    "Off",  "y",    "n",     "Y",    "N"};
    if (t.n == 0 ||
        !(t.p[0] == '/' || t.p[0] == '_' || ((t.p[0] | 32) >= 'a' && (t.p[0] | 32) <= 'z')))
        return false;
    for (size_t i = 0; i < t.n; i++) {
        char c = t.p[i];
        if (!((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
              (c && strchr("_./-", c))))
            return false;
    }
    for (size_t i = 0; i < COUNT(others); i++)
        if (text_is(t, others[i])) return false;
    return true;
}

void yaml_put_text(struct buf *out, struct text t)
{
    if (text_is_plain(t)) {
        buf_put(out, t.p, t.n);
        return;
    }
    buf_put(out, "\"", 1);
    for (size_t i = 0; i < t.n;) {
        int32_t code;
        int n = utf8_decode(t.p + i, t.n - i, &code);
        if (code == '"' || code == '\\') buf_printf(out, "\\%c", (char)code);
        else if (code == '\n') buf_put(out, "\\n", 2);
        else if (code >= 0 && (code < 32 || (code >= 127 && code < 160) || code == 0x2028 ||
                               code == 0x2029 || code == 0xFEFF))
            buf_printf(out, "\\u%04X", (unsigned)code);
        else if (code < 0) buf_put(out, "\xEF\xBF\xBD", 3);
        else buf_put(out, t.p + i, (size_t)n);
        i += (size_t)n;
    }
    buf_put(out, "\"", 1);
}

void yaml_put_num(struct buf *out, double v)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    buf_printf(out, "%s", text);
}

/* A float's own shortest: 0.7f is 0.7, not 0.69999998807907104. */
static void put_float(struct buf *out, float v)
{
    char text[40];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)v);
        if (strtof(text, NULL) == v) break;
    }
    buf_printf(out, "%s", text);
}

static void put_choice(struct buf *out, const char *choices, int index)
{
    const char *p = choices;
    while (index-- > 0) p = strstr(p, " | ") + 3;
    const char *end = strstr(p, " | ");
    buf_put(out, p, end ? (size_t)(end - p) : strlen(p));
}

static void put_words(struct buf *out, const char *const *words, int n)
{
    buf_put(out, "[", 1);
    for (int i = 0; i < n; i++) {
        if (i) buf_put(out, ", ", 2);
        yaml_put_text(out, text_of(words[i]));
    }
    buf_put(out, "]", 1);
}

void field_write(const struct field *f, const void *base, struct buf *out)
{
    const char *p = (const char *)base + f->at;
    if ((f->type == FIELD_INT || f->type == FIELD_NUM) && field_is_unset(f, base) && f->choices) {
        put_choice(out, f->choices, 0);
        return;
    }
    switch (f->store) {
    case STORE_NOTHING: buf_printf(out, "%s", f->preset); break;
    case STORE_INT:
    case STORE_INT64: buf_printf(out, "%.0f", get_number(f, base)); break;
    case STORE_NUM: yaml_put_num(out, get_number(f, base)); break;
    case STORE_FLOAT: put_float(out, *(const float *)(const void *)p); break;
    case STORE_BOOL: buf_printf(out, "%s", *(const bool *)p ? "true" : "false"); break;
    case STORE_FLAG: put_choice(out, f->choices, *(const bool *)p); break;
    case STORE_ENUM: put_choice(out, f->choices, *(const int *)(const void *)p - f->base); break;
    case STORE_WORDS:
    case STORE_PATHS:
        put_words(out, *(const char *const *const *)(const void *)p,
                  *(const int *)(const void *)((const char *)base + f->count_at));
        break;
    default: {
        const char *word = *(const char *const *)(const void *)p;
        yaml_put_text(out, text_of(word ? word : ""));
    }
    }
}
