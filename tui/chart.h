/* chart.h - lines over the steps of a whole run.
 *
 * The whole run is always shown, least to largest value of every pixel column: nothing scrolls (a
 * scrolling chart costs five times the bytes) and no spike hides. Pixels are braille dots (2 x 4 a
 * cell), half blocks (1 x 2), or the signs ' . : of ASCII (1 x 2). What is no number is a gap,
 * marked on the axis. */
#ifndef HONE_CHART_H
#define HONE_CHART_H
#include "tui/grid.h"
#include "tui/series.h"

struct chart_line {
    const struct series *series; enum style style;
    int smooth;                       /* 0, or the weight in percent */
    bool raw_behind;
    char mark;                        /* drawn on every point, where there are few; 0: none */
};
struct chart_stage { int64_t from; const char *name; };   /* steps before it */
struct chart {
    const struct chart_line *lines; int n;
    const struct chart_stage *stages; int n_stages;
    int64_t steps, done;              /* of the whole run (the width), and so far */
    bool log;                         /* taken as linear where a value is not positive */
};
#define CHART_LEAST_ROWS 7
#define CHART_LEAST_COLUMNS 20
void chart_draw(struct grid *g, struct rect r, const struct chart *c);
/* One row of eight heights, for what has no room for a chart. */
void chart_spark(struct grid *g, struct rect r, int x, int y, int columns, enum style s,
    const double *values, int n);
/* The last smoothed value of a series; NaN where there is none. */
double chart_smoothed(const struct series *s, int weight);
#endif
