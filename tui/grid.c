/* grid.c - cells: sanitised text in, nothing else. */
#include "tui/grid.h"
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

const struct look looks[STYLES] = {
    [STYLE_PLAIN] = {'.', COLOUR_NONE, false, false, false},
    [STYLE_DIM] = {'d', COLOUR_NONE, false, true, false},
    [STYLE_BRIGHT] = {'b', COLOUR_NONE, true, false, false},
    [STYLE_ACCENT] = {'a', COLOUR_CYAN, true, false, false},
    [STYLE_GOOD] = {'g', COLOUR_GREEN, false, false, false},
    [STYLE_WARN] = {'w', COLOUR_YELLOW, true, false, false},
    [STYLE_BAD] = {'r', COLOUR_RED, true, false, false},
    [STYLE_SELECTED] = {'s', COLOUR_NONE, false, false, true},
    [STYLE_LIT] = {'l', COLOUR_GREEN, false, false, true},
    [STYLE_SERIES_1] = {'1', COLOUR_CYAN, false, false, false},
    [STYLE_SERIES_2] = {'2', COLOUR_MAGENTA, false, false, false},
    [STYLE_SERIES_3] = {'3', COLOUR_GREEN, false, false, false},
    [STYLE_SERIES_4] = {'4', COLOUR_BLUE, false, false, false},
    [STYLE_SERIES_5] = {'5', COLOUR_YELLOW, true, false, false},
    [STYLE_SERIES_6] = {'6', COLOUR_RED, false, false, false},
};

static const int32_t signs[SIGNS][2] = {
    [SIGN_CURSOR] = {0x25B8, '>'},      [SIGN_OPEN] = {0x25BE, '-'},
    [SIGN_SHUT] = {0x25B8, '+'},        [SIGN_LIVE] = {0x25CF, '*'},
    [SIGN_LINE_DOWN] = {0x2502, '|'},   [SIGN_LINE_ACROSS] = {0x2500, '-'},
    [SIGN_CORNER] = {0x2514, '+'},      [SIGN_AXIS] = {0x2524, '+'},
    [SIGN_BORDER] = {0x254E, '|'},      [SIGN_FULL] = {0x2588, '#'},
    [SIGN_BAR] = {0x2587, '='},         [SIGN_EMPTY] = {0x2591, '.'},
    [SIGN_MORE] = {0x2026, '~'},        [SIGN_CARET] = {0x258C, '_'},
    [SIGN_DOT] = {0x00B7, '-'},         [SIGN_ARROW] = {0x2192, '>'},
    [SIGN_TOP_LEFT] = {0x250C, '+'},    [SIGN_TOP_RIGHT] = {0x2510, '+'},
    [SIGN_BOTTOM_LEFT] = {0x2514, '+'}, [SIGN_BOTTOM_RIGHT] = {0x2518, '+'},
    [SIGN_TIMES] = {0x00D7, 'x'},       [SIGN_AHEAD] = {0x254C, '.'},
};

bool glyphs_read(enum glyphs *out, const char *word, struct err *err)
{
    static const char *const words[] = {"auto", "braille", "block", "ascii"};
    for (size_t i = 0; i < COUNT(words); i++)
        if (strcmp(word, words[i]) == 0) {
            *out = (enum glyphs)i;
            return true;
        }
    return fail(err, "glyphs \"%.40s\" are not known: auto, braille, block or ascii", word);
}

bool grid_locale(void)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

void grid_size(struct grid *g, int w, int h)
{
    w = w < 1 ? 1 : w > GRID_MOST ? GRID_MOST : w;
    h = h < 1 ? 1 : h > GRID_MOST ? GRID_MOST : h;
    size_t n = (size_t)w * (size_t)h;
    if (n > g->room) {
        arena_drop(&g->memory);
        g->memory = arena_make(0);
        g->cells = NEW_N(&g->memory, struct cell, n);
        g->room = n;
    }
    g->w = w;
    g->h = h;
    g->caret_x = g->caret_y = -1;
    for (size_t i = 0; i < n; i++) g->cells[i] = (struct cell){' ', 0, STYLE_PLAIN, 1, 0};
}

void grid_drop(struct grid *g)
{
    arena_drop(&g->memory);
    *g = (struct grid){0};
}

struct rect grid_all(const struct grid *g) { return (struct rect){0, 0, g->w, g->h}; }

struct rect rect_clip(struct rect o, struct rect i)
{
    if (i.x < 0) {
        i.w += i.x;
        i.x = 0;
    }
    if (i.y < 0) {
        i.h += i.y;
        i.y = 0;
    }
    if (i.x + i.w > o.w) i.w = o.w - i.x;
    if (i.y + i.h > o.h) i.h = o.h - i.y;
    if (i.w <= 0 || i.h <= 0) i.w = i.h = 0;
    return (struct rect){o.x + i.x, o.y + i.y, i.w, i.h};
}

/* What a cell holds for a code point that came from outside, and its columns; 0: nothing is drawn.
 * */
static int shown(int32_t *code, int *columns)
{
    int32_t c = text_shown(*code);
    if (c == 0) {
        *columns = 0;
        return *code = 0;
    }
    *columns = c < 0x7F ? 1 : wcwidth((wchar_t)c);
    if (*columns < 0) {
        c = 0xFFFD;
        *columns = 1;
    }
    if (*columns > 2) *columns = 2;
    *code = c;
    return 1;
}

int code_columns(int32_t code)
{
    int n;
    shown(&code, &n);
    return n;
}

int text_columns(struct text t)
{
    int columns = 0, n;
    for (size_t i = 0; i < t.n;) {
        int32_t c;
        i += (size_t)utf8_decode(t.p + i, t.n - i, &c);
        shown(&c, &n);
        columns += n;
    }
    return columns;
}

struct text text_first(struct text t, int most)
{
    int columns = 0, n;
    size_t i = 0;
    while (i < t.n) {
        int32_t c;
        int len = utf8_decode(t.p + i, t.n - i, &c);
        shown(&c, &n);
        if (columns + n > most) break;
        columns += n;
        i += (size_t)len;
    }
    return (struct text){t.p, i};
}

/* A cell that is overwritten may be half of a wide character: the other half becomes a blank. */
static void unpair(struct grid *g, struct cell *row, int x)
{
    if (row[x].width == 0 && x > 0) row[x - 1] = (struct cell){' ', 0, row[x - 1].style, 1, 0};
    if (row[x].width == 2 && x + 1 < g->w)
        row[x + 1] = (struct cell){' ', 0, row[x + 1].style, 1, 0};
}

/* Absolute, inside the grid; width 1 or 2. */
static void put(struct grid *g, int x, int y, enum style s, int32_t code, int width)
{
    if (y == g->h - 1 && x + width > g->w - 2) return;
    struct cell *row = g->cells + (size_t)y * (size_t)g->w;
    unpair(g, row, x);
    if (width == 2) unpair(g, row, x + 1);
    row[x] = (struct cell){code, 0, (uint8_t)s, (uint8_t)width, 0};
    if (width == 2) row[x + 1] = (struct cell){' ', 0, (uint8_t)s, 0, 0};
}

static void put_mark(struct grid *g, int x, int y, int32_t mark)
{
    struct cell *row = g->cells + (size_t)y * (size_t)g->w;
    if (row[x].width == 0 && x > 0) x--;
    if (x + row[x].width < g->w && row[x].code != ' ' && row[x].mark == 0) row[x].mark = mark;
}

static bool inside(const struct grid *g, struct rect r, int x, int y, int width)
{
    return x >= 0 && y >= 0 && x + width <= r.w && y < r.h && r.x + x >= 0 && r.y + y >= 0 &&
           r.x + x + width <= g->w && r.y + y < g->h;
}

int grid_text(struct grid *g, struct rect r, int x, int y, enum style s, struct text t)
{
    int from = x, n;
    for (size_t i = 0; i < t.n;) {
        int32_t c;
        i += (size_t)utf8_decode(t.p + i, t.n - i, &c);
        if (!shown(&c, &n)) continue;
        if (n == 0 && x > from && inside(g, r, x - 1, y, 1)) put_mark(g, r.x + x - 1, r.y + y, c);
        else if (n > 0 && inside(g, r, x, y, n)) put(g, r.x + x, r.y + y, s, c, n);
        x += n;
    }
    return x - from;
}

int grid_printf(struct grid *g, struct rect r, int x, int y, enum style s, const char *fmt, ...)
{
    char line[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0) return 0;
    if (n > (int)sizeof line - 1) n = (int)sizeof line - 1;
    return grid_text(g, r, x, y, s, (struct text){line, (size_t)n});
}

int grid_sign(struct grid *g, struct rect r, int x, int y, enum style s, enum sign sign)
{
    grid_code(g, r, x, y, s, signs[sign][g->glyphs == GLYPHS_ASCII]);
    return 1;
}

void grid_code(struct grid *g, struct rect r, int x, int y, enum style s, int32_t code)
{
    if (inside(g, r, x, y, 1)) put(g, r.x + x, r.y + y, s, code, 1);
}

int grid_fit(struct grid *g, struct rect r, int x, int y, int columns, enum style s, struct text t)
{
    if (x + columns > r.w) columns = r.w - x;
    if (columns <= 0) return 0;
    int all = text_columns(t);
    if (all <= columns) return grid_text(g, r, x, y, s, t);
    int n = grid_text(g, r, x, y, s, text_first(t, columns - 1));
    grid_sign(g, r, x + n, y, s, SIGN_MORE);
    return n + 1;
}

int grid_fit_end(struct grid *g, struct rect r, int x, int y, int columns, enum style s,
                 struct text t)
{
    if (columns < 2 || text_columns(t) <= columns) return grid_fit(g, r, x, y, columns, s, t);
    while (t.n && text_columns(t) > columns - 1) {
        int32_t code;
        int n = utf8_decode(t.p, t.n, &code);
        t.p += n;
        t.n -= (size_t)n;
    }
    int used = grid_sign(g, r, x, y, s, SIGN_MORE);
    return used + grid_text(g, r, x + used, y, s, t);
}

void grid_right(struct grid *g, struct rect r, int x, int y, enum style s, struct text t)
{
    grid_text(g, r, x - text_columns(t), y, s, t);
}

/* Bytes of the next piece of t that must stay together: blanks, a word, a wide character, or a
 * newline. */
static size_t piece(struct text t, int *columns, bool *blank)
{
    size_t i = 0;
    *columns = 0;
    *blank = false;
    while (i < t.n) {
        int32_t c;
        int n, len = utf8_decode(t.p + i, t.n - i, &c);
        bool space = c == ' ' || c == '\t', line = c == '\n';
        shown(&c, &n);
        if (i == 0) *blank = space;
        if (i > 0 && (line || space != *blank || n == 2)) break;
        i += (size_t)len;
        *columns += n;
        if (line || n == 2) break;
    }
    return i;
}

int grid_flow(struct grid *g, struct rect r, int *px, int y, enum style s, struct text t)
{
    int x = *px;
    while (t.n > 0 && r.w > 0) {
        int columns;
        bool blank;
        size_t n = piece(t, &columns, &blank);
        struct text p = {t.p, n};
        t.p += n;
        t.n -= n;
        if (p.p[0] == '\n') {
            x = 0;
            y++;
            continue;
        }
        if (x + columns > r.w && x > 0) {
            x = 0;
            y++;
            if (blank) continue;
        }
        while (columns > r.w) { /* a word longer than a row */
            struct text first = text_first(p, r.w);
            if (first.n == 0) break;
            if (g) grid_text(g, r, 0, y, s, first);
            p.p += first.n;
            p.n -= first.n;
            columns = text_columns(p);
            y++;
        }
        if (g) grid_text(g, r, x, y, s, p);
        x += columns;
    }
    *px = x;
    return y;
}

int grid_wrap(struct grid *g, struct rect r, int y, enum style s, struct text t)
{
    int x = 0;
    return grid_flow(g, r, &x, y, s, t) - y + 1;
}

void grid_caret(struct grid *g, struct rect r, int x, int y, int32_t code)
{
    if (!inside(g, r, x, y, 1)) return;
    g->caret_x = r.x + x;
    g->caret_y = r.y + y;
    if (code == 0) grid_sign(g, r, x, y, STYLE_ACCENT, SIGN_CARET);
    else
        grid_paint(g, rect_clip(r, (struct rect){x, y, code_columns(code) == 2 ? 2 : 1, 1}),
                   STYLE_SELECTED);
}

void grid_clear(struct grid *g, struct rect r)
{
    for (int y = 0; y < r.h; y++)
        for (int x = 0; x < r.w; x++) grid_code(g, r, x, y, STYLE_PLAIN, ' ');
}

void grid_paint(struct grid *g, struct rect r, enum style s)
{
    for (int y = 0; y < r.h; y++)
        for (int x = 0; x < r.w; x++)
            if (inside(g, r, x, y, 1))
                g->cells[(size_t)(r.y + y) * (size_t)g->w + (size_t)(r.x + x)].style = (uint8_t)s;
}

struct rect grid_inside(struct rect r)
{
    return rect_clip(r, (struct rect){2, 1, r.w - 4, r.h - 2});
}

struct rect grid_frame(struct grid *g, struct rect r, const char *title)
{
    grid_clear(g, r);
    for (int x = 1; x < r.w - 1; x++) {
        grid_sign(g, r, x, 0, STYLE_DIM, SIGN_LINE_ACROSS);
        grid_sign(g, r, x, r.h - 1, STYLE_DIM, SIGN_LINE_ACROSS);
    }
    for (int y = 1; y < r.h - 1; y++) {
        grid_sign(g, r, 0, y, STYLE_DIM, SIGN_LINE_DOWN);
        grid_sign(g, r, r.w - 1, y, STYLE_DIM, SIGN_LINE_DOWN);
    }
    grid_sign(g, r, 0, 0, STYLE_DIM, SIGN_TOP_LEFT);
    grid_sign(g, r, r.w - 1, 0, STYLE_DIM, SIGN_TOP_RIGHT);
    grid_sign(g, r, 0, r.h - 1, STYLE_DIM, SIGN_BOTTOM_LEFT);
    grid_sign(g, r, r.w - 1, r.h - 1, STYLE_DIM, SIGN_BOTTOM_RIGHT);
    if (title[0] && r.w > 6) {
        grid_text(g, r, 1, 0, STYLE_PLAIN, TEXT(" "));
        int n = grid_fit(g, r, 2, 0, r.w - 5, STYLE_BRIGHT, text_of(title));
        grid_text(g, r, 2 + n, 0, STYLE_PLAIN, TEXT(" "));
    }
    return grid_inside(r);
}

void grid_bar(struct grid *g, struct rect r, int x, int y, int columns, double share, enum style s,
              enum sign sign)
{
    if (!(share > 0)) return;
    int n = (int)(share * columns + 0.5);
    if (n < 1) n = 1;
    if (n > columns) n = columns;
    for (int i = 0; i < n; i++) grid_sign(g, r, x + i, y, s, sign);
}
