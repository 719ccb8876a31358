/* chart.c - dots first, characters last: one bitmap a cell, made from lines in pixel coordinates.
 * */
#include "tui/chart.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LABELS 7 /* columns of the numbers at the left, with the axis */

struct plot {
    int w, h, across, down; /* cells; pixels of a cell */
    uint8_t *dots, *styles; /* [h][w] */
    double low, high;       /* of the axis, after the logarithm */
    int64_t steps;
    bool log;
};

static void dot(struct plot *p, int x, int y, enum style s)
{
    static const uint8_t braille[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    if (x < 0 || y < 0 || x >= p->w * p->across || y >= p->h * p->down) return;
    size_t cell = (size_t)(y / p->down) * (size_t)p->w + (size_t)(x / p->across);
    p->dots[cell] |= p->across == 2 ? braille[y % 4][x % 2] : (uint8_t)(1 << y % 2);
    p->styles[cell] = (uint8_t)s;
}

static int row_of(const struct plot *p, double v)
{
    if (p->log) v = log10(v);
    double share = p->high > p->low ? (v - p->low) / (p->high - p->low) : 0.5;
    int rows = p->h * p->down;
    int y = rows - 1 - (int)(share * (rows - 1) + 0.5);
    return y < 0 ? 0 : y >= rows ? rows - 1 : y;
}

static int column_of(const struct plot *p, double step)
{
    int columns = p->w * p->across;
    double share = p->steps > 1 ? (step - 1) / (double)(p->steps - 1) : 0;
    int x = (int)(share * (columns - 1) + 0.5);
    return x >= columns ? columns - 1 : x;
}

static void rise(struct plot *p, int x, int y0, int y1, enum style s)
{
    if (y0 > y1) {
        int t = y0;
        y0 = y1;
        y1 = t;
    }
    for (int y = y0; y <= y1; y++) dot(p, x, y, s);
}

/* From the last point to this one: one column at a time, the rise in between filled. */
static void stroke(struct plot *p, int x0, int y0, int x1, int y1, enum style s)
{
    if (x1 == x0) {
        rise(p, x1, y0, y1, s);
        return;
    }
    int before = y0;
    for (int x = x0 + 1; x <= x1; x++) {
        int y = y0 + (int)lround((double)(y1 - y0) * (x - x0) / (x1 - x0));
        rise(p, x, before < y ? before + 1 : before > y ? before - 1 : y, y, s);
        before = y;
    }
}

static void line(struct plot *p, const struct series *s, enum style style, int smooth)
{
    double mean = 0, weight = 0, w = smooth / 100.0;
    int last_x = -1, last_y = 0;
    for (int i = 0; i < s->n; i++) {
        const struct bucket *b = &s->buckets[i];
        if (!b->count) {
            if (b->none) last_x = -1;
            continue;
        }
        double value = b->sum / b->count;
        mean = w * mean + (1 - w) * value;
        weight = w * weight + (1 - w);
        double shown = smooth ? mean / weight : value;
        int x = column_of(p, (double)i * (double)s->per + 0.5 + 0.5 * (double)(s->per)),
            y = row_of(p, shown);
        if (last_x < 0) dot(p, x, y, style);
        else stroke(p, last_x, last_y, x, y, style);
        if (!smooth) rise(p, x, row_of(p, b->high), row_of(p, b->low), style);
        last_x = x;
        last_y = y;
    }
}

static void cells(struct grid *g, struct rect r, const struct plot *p)
{
    static const int32_t block[4] = {' ', 0x2580, 0x2584, 0x2588}, plain[4] = {' ', '\'', '.', ':'};
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < p->w; x++) {
            size_t at = (size_t)y * (size_t)p->w + (size_t)x;
            if (!p->dots[at]) continue;
            int32_t code = p->across == 2              ? 0x2800 + p->dots[at]
                           : g->glyphs == GLYPHS_ASCII ? plain[p->dots[at]]
                                                       : block[p->dots[at]];
            grid_code(g, r, x, y, (enum style)p->styles[at], code);
        }
}

/* Points of a line that has few of them, so that it is told from the others without colour. */
static void marks(struct grid *g, struct rect r, const struct plot *p, const struct chart_line *l)
{
    const struct series *s = l->series;
    for (int i = 0; i < s->n && l->mark; i++) {
        const struct bucket *b = &s->buckets[i];
        if (!b->count) continue;
        double step = (double)i * (double)s->per + 0.5 + 0.5 * (double)s->per;
        grid_code(g, r, column_of(p, step) / p->across, row_of(p, b->sum / b->count) / p->down,
                  l->style, l->mark);
    }
}

static void number(char out[16], double v)
{
    double size = fabs(v);
    if (size < 1e-12) {
        snprintf(out, 16, "0");
        return;
    }
    snprintf(out, 16,
             size != 0 && (size < 0.001 || size >= 99999) ? "%.0e"
             : size < 0.1                                 ? "%.4f"
             : size < 10                                  ? "%.2f"
             : size < 1000                                ? "%.1f"
                                                          : "%.0f",
             v);
}

static void labels(struct grid *g, struct rect r, const struct plot *p)
{
    int shown[] = {0, p->h / 2, p->h - 1};
    for (int y = 0; y < p->h; y++) grid_sign(g, r, LABELS - 1, y, STYLE_DIM, SIGN_LINE_DOWN);
    for (size_t i = 0; i < COUNT(shown); i++) {
        if (i && shown[i] == shown[i - 1]) continue;
        char text[16];
        double share = p->h > 1 ? 1 - (double)shown[i] / (p->h - 1) : 0.5,
               v = p->low + share * (p->high - p->low);
        number(text, p->log ? pow(10, v) : v);
        grid_right(g, r, LABELS - 1, shown[i], STYLE_DIM, text_of(text));
        grid_sign(g, r, LABELS - 1, shown[i], STYLE_DIM, SIGN_AXIS);
    }
}

/* The axis: what is done in a solid line, what is ahead in a broken one, stages by name, gaps
 * marked. */
static void axis(struct grid *g, struct rect r, const struct plot *p, const struct chart *c)
{
    struct rect plot = {r.x + LABELS, r.y, p->w, r.h};
    char end[40];
    int y = r.h - 1, done = c->done > 0 ? column_of(p, (double)c->done) / p->across : -1;
    int end_n = snprintf(end, sizeof end, " step %lld", (long long)c->steps);
    grid_sign(g, r, LABELS - 1, y, STYLE_DIM, SIGN_CORNER);
    for (int x = 0; x < p->w; x++)
        grid_sign(g, plot, x, y, STYLE_DIM, x <= done ? SIGN_LINE_ACROSS : SIGN_AHEAD);
    for (int i = 0; i < c->n_stages; i++) {
        int x =
            c->stages[i].from <= 0 ? 0 : column_of(p, (double)c->stages[i].from + 1) / p->across;
        int next = i + 1 < c->n_stages ? column_of(p, (double)c->stages[i + 1].from + 1) / p->across
                                       : p->w - end_n;
        if (c->stages[i].from > 0)
            for (int row = 0; row <= y; row++)
                if (row == y || p->dots[(size_t)row * (size_t)p->w + (size_t)x] == 0)
                    grid_sign(g, plot, x, row, STYLE_DIM, SIGN_BORDER);
        int room = next - x - 3, wanted = text_columns(text_of(c->stages[i].name));
        if (room >= wanted || room >= 6) {
            int n = grid_text(g, plot, x + 1, y, STYLE_PLAIN, TEXT(" "));
            n += grid_fit(g, plot, x + 1 + n, y, room, STYLE_PLAIN, text_of(c->stages[i].name));
            grid_text(g, plot, x + 1 + n, y, STYLE_PLAIN, TEXT(" "));
        }
    }
    if (p->w > end_n + 8 && c->steps > 0)
        grid_right(g, plot, p->w - (r.y + r.h >= g->h ? 2 : 0), y, STYLE_DIM, text_of(end));
    for (int i = 0; i < c->n; i++) {
        const struct series *s = c->lines[i].series;
        for (int b = 0; b < s->n; b++)
            if (s->buckets[b].none)
                grid_sign(g, plot, column_of(p, (double)b * (double)s->per + 1) / p->across, y,
                          STYLE_BAD, SIGN_TIMES);
    }
}

static bool range(struct plot *p, const struct chart *c)
{
    bool any = false;
    for (int i = 0; i < c->n; i++) {
        double low, high;
        if (!series_range(c->lines[i].series, &low, &high)) continue;
        if (!any || low < p->low) p->low = low;
        if (!any || high > p->high) p->high = high;
        any = true;
    }
    p->log = any && c->log && p->low > 0;
    if (p->log) {
        p->low = log10(p->low);
        p->high = log10(p->high);
    }
    double pad = (p->high - p->low) * 0.02;
    if (any && p->high - p->low < 1e-12) pad = fabs(p->high) * 0.1 + 1e-6;
    p->high += pad;
    if (!p->log && p->low >= 0 && p->low - pad < 0) p->low = 0;
    else p->low -= pad;
    return any;
}

void chart_draw(struct grid *g, struct rect r, const struct chart *c)
{
    bool fine = g->glyphs != GLYPHS_ASCII && g->glyphs != GLYPHS_BLOCK;
    struct plot p = {.w = r.w - LABELS,
                     .h = r.h - 1,
                     .across = fine ? 2 : 1,
                     .down = fine ? 4 : 2,
                     .steps = c->steps > c->done ? c->steps : c->done};
    if (p.w < 1 || p.h < 1) return;
    struct arena scratch = arena_make(0);
    p.dots = NEW_N(&scratch, uint8_t, (size_t)p.w * (size_t)p.h);
    p.styles = NEW_N(&scratch, uint8_t, (size_t)p.w * (size_t)p.h);
    if (range(&p, c)) {
        for (int i = 0; i < c->n; i++)
            if (c->lines[i].raw_behind && c->lines[i].smooth)
                line(&p, c->lines[i].series, STYLE_DIM, 0);
        for (int i = 0; i < c->n; i++)
            line(&p, c->lines[i].series, c->lines[i].style, c->lines[i].smooth);
        struct rect inner = {r.x + LABELS, r.y, p.w, p.h};
        cells(g, inner, &p);
        for (int i = 0; i < c->n; i++) marks(g, inner, &p, &c->lines[i]);
        labels(g, r, &p);
    }
    axis(g, r, &p, c);
    arena_drop(&scratch);
}

void chart_spark(struct grid *g, struct rect r, int x, int y, int columns, enum style s,
                 const double *values, int n)
{
    static const char plain[] = ".:-=+*#@";
    double low = 0, high = 0;
    bool any = false;
    for (int i = 0; i < n; i++)
        if (isfinite(values[i])) {
            if (!any || values[i] < low) low = values[i];
            if (!any || values[i] > high) high = values[i];
            any = true;
        }
    for (int i = 0; any && i < columns && n > 0; i++) {
        double v = values[(int64_t)i * n / columns];
        if (!isfinite(v)) continue;
        int height = high > low ? (int)((v - low) / (high - low) * 7 + 0.5) : 3;
        grid_code(g, r, x + i, y, s, g->glyphs == GLYPHS_ASCII ? plain[height] : 0x2581 + height);
    }
}

double chart_smoothed(const struct series *s, int weight)
{
    double mean = 0, total = 0, w = weight / 100.0;
    for (int i = 0; i < s->n; i++) {
        const struct bucket *b = &s->buckets[i];
        if (!b->count) continue;
        mean = w * mean + (1 - w) * (b->sum / b->count);
        total = w * total + (1 - w);
    }
    return total > 0 ? mean / total : NAN;
}
