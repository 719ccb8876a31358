/* plan_ask.c - what a plan may do only after somebody has said yes to it. */
#include "engine/run/plan.h"
#include <stdio.h>

/* One row in a hundred without anything to learn is an odd row; more of them are a wrong format,
 * a mask that hides the answers, or windows too short for them. */
enum { ROWS_IN_ONE_SILENT = 100 };

int plan_questions(const struct plan *p, struct problems *out, struct arena *a)
{
    int n = 0;
    for (int i = 0; i < p->n_sources; i++) {
        const struct source_report *r = &p->sources[i].report;
        char dropped[32], rows[32];
        if (r->rows_dropped * ROWS_IN_ONE_SILENT <= r->rows) continue;
        n++;
        if (!out) continue;
        ROOM(a, out->list, out->n, out->cap);
        struct problem *q = &out->list[out->n++];
        *q = (struct problem){0};
        snprintf(q->text, sizeof q->text,
                 "%.64s: %s of %s rows (%.1f %%) hold no trained token and teach nothing; its "
                 "format (%s), train_on or max_length may be wrong.",
                 p->sources[i].spec.name, text_count(dropped, r->rows_dropped),
                 text_count(rows, r->rows), 100.0 * (double)r->rows_dropped / (double)r->rows,
                 r->format);
    }
    return n;
}
