/* grid.h - the screen as cells, and the only way text gets into them.
 *
 * A cell holds one character, at most one combining mark, and a style that says what the text *is*
 * (a warning, a label, the third series), never a colour; the table `looks` gives every role its
 * colour and weight once, for the terminal and for pictures. Meaning never hangs on colour alone.
 *
 * Widths are wcwidth()'s in C.UTF-8 after text_shown(): measured to agree with ncurses, tmux and
 * libvterm. A wide character is a cell of width 2 followed by one of width 0. Two rules come from
 * terminals: no combining mark in the last column, and the two cells at the bottom right stay
 * blank.
 *
 * All drawing is clipped to a rectangle; coordinates are relative to its corner. Nothing fails. */
#ifndef HONE_GRID_H
#define HONE_GRID_H
#include "engine/base/base.h"
#include "tui/tui.h"

enum style {
    STYLE_PLAIN, STYLE_DIM, STYLE_BRIGHT, STYLE_ACCENT, STYLE_GOOD, STYLE_WARN, STYLE_BAD,
    STYLE_SELECTED, STYLE_LIT,
    STYLE_SERIES_1, STYLE_SERIES_2, STYLE_SERIES_3, STYLE_SERIES_4, STYLE_SERIES_5, STYLE_SERIES_6,
    STYLES
};
enum colour { COLOUR_NONE, COLOUR_RED, COLOUR_GREEN, COLOUR_YELLOW, COLOUR_BLUE, COLOUR_MAGENTA,
    COLOUR_CYAN };
struct look { char letter; enum colour colour; bool bold, dim, reverse; };
extern const struct look looks[STYLES];

/* Signs of our own, each with an ASCII twin of the same width. */
enum sign {
    SIGN_CURSOR, SIGN_OPEN, SIGN_SHUT, SIGN_LIVE, SIGN_LINE_DOWN, SIGN_LINE_ACROSS, SIGN_CORNER,
    SIGN_AXIS, SIGN_BORDER,
    SIGN_FULL, SIGN_BAR, SIGN_EMPTY, SIGN_MORE, SIGN_CARET, SIGN_DOT, SIGN_ARROW, SIGN_TOP_LEFT,
    SIGN_TOP_RIGHT,
    SIGN_BOTTOM_LEFT, SIGN_BOTTOM_RIGHT, SIGN_TIMES, SIGN_AHEAD, SIGNS
};

struct cell { int32_t code, mark; uint8_t style, width; uint16_t unused; };
struct rect { int x, y, w, h; };
struct grid {
    int w, h; enum glyphs glyphs;
    struct cell *cells;              /* [h][w] */
    /* where typing goes, for the terminal's own (hidden) cursor; -1: nowhere */
    int caret_x, caret_y;
    size_t room; struct arena memory;
};

#define GRID_MOST 1000 /* columns or rows; larger terminals get that much */
/* LC_CTYPE from the environment, else C.UTF-8; the rest of the locale stays "C", as numbers need
 * it. Returns whether the terminal's characters are UTF-8. Once, before anything is drawn. */
bool grid_locale(void);
void grid_size(struct grid *g, int w, int h); /* all cells blank; memory is kept and reused */
void grid_drop(struct grid *g);
struct rect grid_all(const struct grid *g);

/* Columns of a text on the screen. */
int text_columns(struct text t);
/* Columns of what is shown for a code point: 0 (a mark or nothing), 1 or 2. */
int code_columns(int32_t code);
/* The first bytes of t that fill at most `columns`. */
struct text text_first(struct text t, int columns);

/* Draws t from (x, y) on, cut at the rectangle's edge; returns the columns it would fill. */
int grid_text(struct grid *g, struct rect r, int x, int y, enum style s, struct text t);
int grid_printf(struct grid *g, struct rect r, int x, int y, enum style s, const char *fmt,
    ...) PRINTF_LIKE(6, 7);
/* At most `columns` of it, the last one a sign that there is more. Returns the columns used. */
int grid_fit(struct grid *g, struct rect r, int x, int y, int columns, enum style s, struct text t);
/* The same for a path: its end is kept, the sign stands first. */
int grid_fit_end(struct grid *g, struct rect r, int x, int y, int columns, enum style s,
    struct text t);
/* So that it ends before column x. */
void grid_right(struct grid *g, struct rect r, int x, int y, enum style s, struct text t);
/* Broken at blanks (anywhere between wide characters) to the rectangle's width, from row y on;
 * newlines begin a row. Returns the rows it takes, also where they are more than fit; draws
 * nothing where g is NULL. */
int grid_wrap(struct grid *g, struct rect r, int y, enum style s, struct text t);
/* The same for a text that begins at column x of the first row, for texts of several styles; *x
 * and the result (the row) are where the next one begins. */
int grid_flow(struct grid *g, struct rect r, int *x, int y, enum style s, struct text t);
int grid_sign(struct grid *g, struct rect r, int x, int y, enum style s, enum sign sign);
void grid_code(struct grid *g, struct rect r, int x, int y, enum style s, int32_t code);
/* Where the next character will be typed: `code` there reversed, or at a text's end (code 0) a
 * sign. */
void grid_caret(struct grid *g, struct rect r, int x, int y, int32_t code);
void grid_clear(struct grid *g, struct rect r);
void grid_paint(struct grid *g, struct rect r, enum style s); /* the style alone */
/* A frame with a title around a popup; returns the inside. */
struct rect grid_frame(struct grid *g, struct rect r, const char *title);
struct rect grid_inside(struct rect frame);
/* A bar of `columns` at most whose length is share (0..1) of it: whole cells. */
void grid_bar(struct grid *g, struct rect r, int x, int y, int columns, double share, enum style s,
    enum sign sign);

/* inner relative to outer, cut to it; the result is absolute */
struct rect rect_clip(struct rect outer, struct rect inner);

/* Lines of UTF-8, blanks at their ends left out; with styles, the letters follow below. */
void grid_print(const struct grid *g, bool styles, struct buf *out);
/* A picture of it: monospaced text on a terminal's background. */
void grid_picture(const struct grid *g, bool light, struct buf *out);
#endif
