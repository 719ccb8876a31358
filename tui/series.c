/* series.c - buckets that double their width when there are too many. */
#include "tui/series.h"
#include <math.h>

struct series series_make(struct arena *a) { return (struct series){.per = 1, .arena = a}; }

static void join(struct bucket *a, const struct bucket *b)
{
    if (b->count && (!a->count || b->low < a->low)) a->low = b->low;
    if (b->count && (!a->count || b->high > a->high)) a->high = b->high;
    a->sum += b->sum;
    a->count += b->count;
    a->none += b->none;
}

static void halve(struct series *s)
{
    int n = 0;
    for (int i = 0; i < s->n; i += 2, n++) {
        struct bucket b = s->buckets[i];
        if (i + 1 < s->n) join(&b, &s->buckets[i + 1]);
        s->buckets[n] = b;
    }
    s->n = n;
    s->per *= 2;
}

void series_add(struct series *s, int64_t step, double value)
{
    if (step < 1 || step > (int64_t)1 << 48) return;
    if (!s->buckets) s->buckets = NEW_N(s->arena, struct bucket, SERIES_MOST);
    while ((step - 1) / s->per >= SERIES_MOST) {
        if (s->n == 0) s->per *= 2;
        else halve(s);
    }
    int at = (int)((step - 1) / s->per);
    while (s->n <= at) s->buckets[s->n++] = (struct bucket){0};
    struct bucket one = {.none = 1};
    if (isfinite(value)) one = (struct bucket){(float)value, (float)value, value, 1, 0};
    join(&s->buckets[at], &one);
}

void series_cut(struct series *s, int64_t step)
{
    int keep = step <= 0 ? 0 : (int)((step - 1) / s->per) + 1;
    if (keep < s->n) s->n = keep;
}

bool series_range(const struct series *s, double *low, double *high)
{
    bool any = false;
    for (int i = 0; i < s->n; i++) {
        const struct bucket *b = &s->buckets[i];
        if (!b->count) continue;
        if (!any || b->low < *low) *low = b->low;
        if (!any || b->high > *high) *high = b->high;
        any = true;
    }
    return any;
}
