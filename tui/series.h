/* series.h - the numbers of a run over its steps, as a chart needs them.
 *
 * A series keeps at most SERIES_MOST buckets of `per` consecutive steps each, with their least,
 * largest and mean value; when it is full, neighbours are joined and `per` doubles. So a run of
 * any length costs the same to draw and no spike is ever hidden. Up to SERIES_MOST steps it holds
 * every value. */
#ifndef HONE_SERIES_H
#define HONE_SERIES_H
#include "engine/base/base.h"

#define SERIES_MOST 8192
struct bucket { float low, high; double sum; int32_t count, none; /* values;
values that were no numbers */ };
struct series { struct bucket *buckets; int n; int64_t per; struct arena *arena; };

struct series series_make(struct arena *a);
/* step from 1, not below the last bucket */
void series_add(struct series *s, int64_t step, double value);
/* Drops what lies after a step. A bucket that the border cuts keeps its extremes. */
void series_cut(struct series *s, int64_t step);
bool series_range(const struct series *s, double *low, double *high); /* false: no value yet */
#endif
