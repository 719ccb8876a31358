/* input.c - the decoder: one table of final bytes, one of numbered keys, and four shapes of
 * sequence. */
#include "tui/input.h"
#include <stdio.h>
#include <string.h>

static const struct {
    char last;
    int32_t key;
} letter_keys[] = {{'A', K_UP},     {'B', K_DOWN},   {'C', K_RIGHT}, {'D', K_LEFT},
                   {'H', K_HOME},   {'F', K_END},    {'P', K_F1},    {'Q', K_F1 + 1},
                   {'R', K_F1 + 2}, {'S', K_F1 + 3}, {'M', K_ENTER}, {'Z', K_TAB | K_SHIFT}};
static const struct {
    int number;
    int32_t key;
} numbered_keys[] = {{1, K_HOME},    {2, K_INSERT},    {3, K_DELETE},   {4, K_END},
                     {5, K_PAGE_UP}, {6, K_PAGE_DOWN}, {7, K_HOME},     {8, K_END},
                     {11, K_F1},     {12, K_F1 + 1},   {13, K_F1 + 2},  {14, K_F1 + 3},
                     {15, K_F1 + 4}, {17, K_F1 + 5},   {18, K_F1 + 6},  {19, K_F1 + 7},
                     {20, K_F1 + 8}, {21, K_F1 + 9},   {23, K_F1 + 10}, {24, K_F12}};

size_t input_feed(struct input *in, const char *p, size_t n)
{
    if (in->at > 0) {
        memmove(in->held, in->held + in->at, in->n - in->at);
        in->n -= in->at;
        in->at = 0;
    }
    if (n > sizeof in->held - in->n) n = sizeof in->held - in->n;
    if (n) memcpy(in->held + in->n, p, n);
    in->n += n;
    return n;
}

bool input_waiting(const struct input *in) { return in->n > in->at; }

static int32_t modifiers(int code)
{
    int m = code > 1 && code <= 16 ? code - 1 : 0;
    return (m & 1 ? K_SHIFT : 0) | (m & 2 ? K_ALT : 0) | (m & 4 ? K_CTRL : 0);
}

static int32_t by_letter(char last)
{
    for (size_t i = 0; i < COUNT(letter_keys); i++)
        if (letter_keys[i].last == last) return letter_keys[i].key;
    return 0;
}

static int32_t by_number(int number)
{
    for (size_t i = 0; i < COUNT(numbered_keys); i++)
        if (numbered_keys[i].number == number) return numbered_keys[i].key;
    return 0;
}

/* CSI < button ; column ; row M (pressed) or m (let go): the left button and the wheel count. */
static bool mouse_event(const int values[4], char last, struct input_event *out)
{
    int button = values[0] & ~28; /* without Shift, Alt and Ctrl */
    if (last != 'M' || (button != 0 && button != 64 && button != 65) || values[1] < 1 ||
        values[2] < 1)
        return false;
    *out = (struct input_event){.kind = INPUT_MOUSE,
                                .mouse = button == 0    ? MOUSE_CLICK
                                         : button == 64 ? MOUSE_UP
                                                        : MOUSE_DOWN,
                                .x = values[1] - 1,
                                .y = values[2] - 1};
    return true;
}

/* A character that a sequence names by its number; 0: none, or one that acts on a terminal. */
static int32_t character(int32_t code, int32_t mods)
{
    if (code < 32 || (code >= 0xD800 && code <= 0xDFFF) || text_shown(code) != code) return 0;
    return mods & K_CTRL && code >= 'A' && code <= 'Z' ? code + 32 : code;
}

/* A whole CSI sequence of n bytes (ESC [ ... final). Unknown ones are dropped: they must never
 * become text. */
static bool control_sequence(struct input *in, const char *p, size_t n, struct input_event *out)
{
    int values[4] = {0}, count = 0;
    char last = p[n - 1];
    bool private = n > 3 && (unsigned char)p[2] >= 0x3C && (unsigned char)p[2] <= 0x3F;
    for (size_t i = 2; i + 1 < n; i++) {
        if (p[i] >= '0' && p[i] <= '9' && count < 4) {
            if (values[count] < 10000) values[count] = values[count] * 10 + (p[i] - '0');
        } else if (p[i] == ';' || p[i] == ':') count++;
    }
    if (private) return p[2] == '<' && mouse_event(values, last, out);
    if (last == '~' && values[0] == 200) {
        in->pasting = true;
        return false;
    }
    if (last == '~' && values[0] == 201) return false;
    if (last == 'n' && values[0] == 0) {
        *out = (struct input_event){.kind = INPUT_ANSWERED};
        return true;
    }
    int32_t key = last == '~' ? by_number(values[0]) : by_letter(last);
    /* CSI code ; modifiers u: what some terminals send for Shift+Enter and the like */
    if (last == 'u') {
        key = values[0] == 13    ? K_ENTER
              : values[0] == 27  ? K_ESC
              : values[0] == 9   ? K_TAB
              : values[0] == 127 ? K_BACKSPACE
                                 : character(values[0], modifiers(values[1]));
    }
    if (!key) return false;
    *out = (struct input_event){.kind = INPUT_KEY, .key = key | modifiers(values[1])};
    return true;
}

/* Length of the CSI sequence at p: 0 while it is unfinished, and where a byte that cannot belong
 * to one comes, up to before that byte. */
static size_t sequence_length(const char *p, size_t n, bool *whole)
{
    *whole = false;
    for (size_t i = 2; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c >= 0x40 && c <= 0x7E) {
            *whole = true;
            return i + 1;
        }
        if (c < 0x20 || c > 0x3F) return i;
    }
    return 0;
}

static int32_t plain_key(const char *p, size_t n, bool late, size_t *used)
{
    unsigned char c = (unsigned char)p[0];
    *used = 1;
    if (c == '\r') return K_ENTER;
    if (c == '\t') return K_TAB;
    if (c == 0x7F || c == 0x08) return K_BACKSPACE;
    if (c == 0) return K_CTRL | ' ';
    if (c < 27) return K_CTRL | ('a' + c - 1);
    if (c < 32) return K_CTRL | (c + 64);
    int32_t code;
    if (!late && utf8_unfinished((struct text){p, n}) == n && n < 4) {
        *used = 0;
        return 0;
    }
    *used = (size_t)utf8_decode(p, n, &code);
    return code < 0 || (code >= 0x7F && code < 0xA0) ? 0 : code;
}

/* One thing at p; *used = 0: more bytes are needed. Returns whether *out holds an event. */
static bool take(struct input *in, const char *p, size_t n, bool late, size_t *used,
                 struct input_event *out)
{
    *out = (struct input_event){.kind = INPUT_KEY};
    if (p[0] != 27) {
        /* Only the first character's bytes decide whether it is whole. */
        size_t first = n > 4 ? 4 : n, len = 1;
        while (len < first && ((unsigned char)p[len] & 0xC0) == 0x80) len++;
        out->key = plain_key(p, (unsigned char)p[0] < 0x80 ? 1 : len, late || len < n, used);
        return out->key != 0;
    }
    *used = 0;
    if (n == 1) {
        if (!late) return false;
        *used = 1;
        out->key = K_ESC;
        return true;
    }
    if (p[1] == 27) {
        *used = 1;
        out->key = K_ESC;
        return true;
    }
    if (p[1] == '[' && !(late && n == 2)) {
        bool whole;
        *used = sequence_length(p, n, &whole);
        if (*used == 0 && late) *used = n;
        return whole && control_sequence(in, p, *used, out);
    }
    if (p[1] == 'O' && !(late && n == 2)) {
        if (n < 3) return false;
        *used = 3;
        out->key = by_letter(p[2]);
        return out->key != 0;
    }
    if (p[1] == ']' || p[1] == 'P') { /* strings a terminal may answer with: skipped to their end */
        for (size_t i = 2; i < n; i++)
            if (p[i] == 7 || (p[i] == '\\' && p[i - 1] == 27)) {
                *used = i + 1;
                return false;
            }
        if (late || n >= 2048) *used = n;
        return false;
    }
    bool event = take(in, p + 1, n - 1, late, used, out);
    if (*used) *used += 1;
    out->key |= K_ALT;
    return event;
}

/* Text of a paste up to its end mark; what may be the start of that mark is held back. */
static bool take_paste(struct input *in, struct input_event *out, bool late)
{
    static const char mark[] = "\33[201~";
    char *p = in->held + in->at, *end = memmem(p, in->n - in->at, mark, 6);
    size_t n = end ? (size_t)(end - p) : in->n - in->at;
    for (size_t k = 5; !end && !late && k > 0; k--)
        if (n >= k && memcmp(p + n - k, mark, k) == 0) {
            n -= k;
            break;
        }
    if (n > 0) {
        *out = (struct input_event){.kind = INPUT_PASTE, .paste = {p, n}};
        in->at += n;
        return true;
    }
    if (!end) return false;
    in->at += 6;
    in->pasting = false;
    *out = (struct input_event){.kind = INPUT_PASTE_END};
    return true;
}

bool input_next(struct input *in, struct input_event *out, bool late)
{
    while (in->at < in->n) {
        if (in->pasting) return take_paste(in, out, late);
        size_t used;
        bool event = take(in, in->held + in->at, in->n - in->at, late, &used, out);
        if (used == 0) {
            if (in->n - in->at < sizeof in->held) return false;
            used = in->n - in->at; /* a sequence longer than the whole buffer is none */
        }
        in->at += used;
        if (event) return true;
    }
    return false;
}

static const struct {
    int32_t key;
    const char *name;
} names[] = {{K_UP, "Up"},        {K_DOWN, "Down"},           {K_LEFT, "Left"},
             {K_RIGHT, "Right"},  {K_HOME, "Home"},           {K_END, "End"},
             {K_PAGE_UP, "PgUp"}, {K_PAGE_DOWN, "PgDn"},      {K_INSERT, "Ins"},
             {K_DELETE, "Del"},   {K_ENTER, "Enter"},         {K_TAB, "Tab"},
             {K_ESC, "Esc"},      {K_BACKSPACE, "Backspace"}, {' ', "Space"}};

char *key_text(char out[32], int32_t key)
{
    int32_t base = key & ~(K_ALT | K_CTRL | K_SHIFT);
    char name[12] = "";
    for (size_t i = 0; i < COUNT(names); i++)
        if (names[i].key == base) snprintf(name, sizeof name, "%s", names[i].name);
    if (base >= K_F1 && base <= K_F12) snprintf(name, sizeof name, "F%d", base - K_F1 + 1);
    if (!name[0]) {
        if (key & K_CTRL && base >= 'a' && base <= 'z') base -= 32;
        name[utf8_encode(base, name)] = 0;
    }
    snprintf(out, 32, "%s%s%s%s", key & K_CTRL ? "Ctrl-" : "", key & K_ALT ? "Alt-" : "",
             key & K_SHIFT ? "Shift-" : "", name);
    return out;
}

int32_t key_named(struct text w)
{
    static const struct {
        const char *prefix;
        int32_t bit;
    } prefixes[] = {{"Ctrl-", K_CTRL}, {"Alt-", K_ALT}, {"Shift-", K_SHIFT},
                    {"C-", K_CTRL},    {"A-", K_ALT},   {"S-", K_SHIFT}};
    for (size_t i = 0; i < COUNT(prefixes); i++) {
        size_t n = strlen(prefixes[i].prefix);
        if (w.n > n && strncmp(w.p, prefixes[i].prefix, n) == 0) {
            int32_t rest = key_named((struct text){w.p + n, w.n - n});
            int32_t base = rest & ~(K_ALT | K_CTRL | K_SHIFT);
            if (prefixes[i].bit == K_CTRL && base >= 'A' && base <= 'Z') rest += 32;
            return rest ? rest | prefixes[i].bit : 0;
        }
    }
    for (size_t i = 0; i < COUNT(names); i++)
        if (text_is(w, names[i].name)) return names[i].key;
    if (w.n >= 2 && w.p[0] == 'F' && w.p[1] >= '1' && w.p[1] <= '9')
        return K_F1 + (w.n == 2                                     ? w.p[1] - '1'
                       : w.n == 3 && w.p[1] == '1' && w.p[2] <= '2' ? 9 + w.p[2] - '0'
                                                                    : 0);
    int32_t code;
    return w.n > 0 && utf8_decode(w.p, w.n, &code) == (int)w.n && code > 0 ? code : 0;
}
