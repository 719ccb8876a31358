/* picture.c - a grid as text and as an SVG picture, so that README's picture is what the program
 * draws. */
#include "tui/grid.h"
#include <string.h>

/* Cells of a row up to the last that says something. */
static int row_length(const struct grid *g, int y)
{
    int n = g->w;
    while (n > 0) {
        const struct cell *c = &g->cells[(size_t)y * (size_t)g->w + (size_t)(n - 1)];
        if (c->code != ' ' || looks[c->style].reverse) break;
        n--;
    }
    return n;
}

static void put_code(struct buf *out, int32_t code)
{
    char bytes[4];
    if (code) buf_put(out, bytes, (size_t)utf8_encode(code, bytes));
}

void grid_print(const struct grid *g, bool styles, struct buf *out)
{
    for (int y = 0; y < g->h; y++) {
        int n = row_length(g, y);
        for (int x = 0; x < n; x++) {
            const struct cell *c = &g->cells[(size_t)y * (size_t)g->w + (size_t)x];
            if (c->width == 0) continue;
            put_code(out, c->code);
            put_code(out, c->mark);
        }
        buf_put(out, "\n", 1);
    }
    for (int y = 0; styles && y < g->h; y++) {
        int n = row_length(g, y);
        for (int x = 0; x < n; x++)
            buf_put(out, &looks[g->cells[(size_t)y * (size_t)g->w + (size_t)x].style].letter, 1);
        buf_put(out, "\n", 1);
    }
}

/* Two palettes: what a terminal's six base colours look like on black and on white. */
struct palette {
    const char *back, *front, *dim, *colours[7];
};
static const struct palette palettes[] = {
    {"#16181d",
     "#d7dae0",
     "#858c98",
     {"#d7dae0", "#f0707a", "#8fc76f", "#e5c05f", "#6fa8f5", "#cf8df0", "#56c2cf"}},
    {"#ffffff",
     "#24282f",
     "#7a818c",
     {"#24282f", "#c02530", "#3d7d1f", "#8f6500", "#1f5fc0", "#8b35b5", "#0f7784"}},
};
#define CELL_W 8.4
#define CELL_H 18

static void put_escaped(struct buf *out, int32_t code)
{
    if (code == '<') buf_printf(out, "&lt;");
    else if (code == '>') buf_printf(out, "&gt;");
    else if (code == '&') buf_printf(out, "&amp;");
    else put_code(out, code);
}

static const char *front_of(const struct palette *p, const struct look *l)
{
    return l->reverse ? p->back : l->dim ? p->dim : p->colours[l->colour];
}

static bool is_braille(int32_t code) { return code > 0x2800 && code <= 0x28FF; }

/* Braille as squares of its own: fonts draw it small, in grey, or not at all. */
static void put_dots(struct buf *out, const struct palette *p, const struct cell *row, int from,
                     int to, int y)
{
    static const int column[8] = {0, 0, 0, 1, 1, 1, 0, 1}, line[8] = {0, 1, 2, 0, 1, 2, 3, 3};
    bool any = false;
    for (int x = from; x < to; x++)
        for (int bit = 0; is_braille(row[x].code) && bit < 8; bit++) {
            if (!((row[x].code - 0x2800) >> bit & 1)) continue;
            if (!any)
                buf_printf(out, "<path fill=\"%s\" d=\"", front_of(p, &looks[row[from].style]));
            any = true;
            buf_printf(out, "M%.1f %.1fh2.4v2.4h-2.4z", 12 + x * CELL_W + 0.9 + column[bit] * 4.2,
                       12 + y * CELL_H + 1.0 + line[bit] * 4.5);
        }
    if (any) buf_printf(out, "\"/>\n");
}

/* A run of cells of one style, each piece of text at its own x so that fonts cannot shift columns.
 * */
static void put_run(struct buf *out, const struct palette *p, const struct cell *row, int from,
                    int to, int y)
{
    const struct look *l = &looks[row[from].style];
    if (l->reverse)
        buf_printf(out, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>",
                   12 + from * CELL_W, 12 + y * CELL_H, (to - from) * CELL_W, CELL_H,
                   p->colours[l->colour]);
    put_dots(out, p, row, from, to, y);
    while (to > from && (row[to - 1].code == ' ' || is_braille(row[to - 1].code))) to--;
    while (from < to && (row[from].code == ' ' || is_braille(row[from].code))) from++;
    if (from == to) return;
    buf_printf(out, "<text y=\"%d\" fill=\"%s\"%s x=\"", 12 + y * CELL_H + 13, front_of(p, l),
               l->bold ? " font-weight=\"bold\"" : "");
    for (int x = from; x < to; x++)
        if (row[x].width) buf_printf(out, "%s%.1f", x > from ? " " : "", 12 + x * CELL_W);
    buf_printf(out, "\">");
    for (int x = from; x < to; x++)
        if (row[x].width)
            put_escaped(out, row[x].code == ' ' || is_braille(row[x].code) ? 0xA0 : row[x].code);
    buf_printf(out, "</text>\n");
}

void grid_picture(const struct grid *g, bool light, struct buf *out)
{
    const struct palette *p = &palettes[light];
    double w = g->w * CELL_W + 24;
    int h = g->h * CELL_H + 24;
    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.1f %d\" "
               "width=\"%.1f\" height=\"%d\" "
               "font-family=\"'DejaVu Sans Mono','Noto Sans Mono CJK "
               "SC',Menlo,Consolas,monospace\" font-size=\"14\">\n"
               "<rect width=\"100%%\" height=\"100%%\" rx=\"8\" fill=\"%s\"/>\n",
               w, h, w, h, p->back);
    for (int y = 0; y < g->h; y++) {
        const struct cell *row = g->cells + (size_t)y * (size_t)g->w;
        for (int from = 0; from < g->w;) {
            int to = from + 1;
            while (to < g->w && row[to].style == row[from].style) to++;
            put_run(out, p, row, from, to, y);
            from = to;
        }
    }
    buf_printf(out, "</svg>\n");
}
