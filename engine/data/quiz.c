/* quiz.c - questions with the answers that count as right, from JSON lines or a JSON array. */
#include "engine/data/data.h"
#include "engine/data/rows.h"

static bool read_row(struct quiz_row *out, const struct row *row, const char *path, struct arena *a,
                     struct err *err)
{
    const struct json *v;
    char *where = arena_printf(a, "%s:%lld", path, (long long)row->line);
    if (row->too_long) return fail(err, "%s: the row is longer than 64 MiB", where);
    if (!json_parse(&v, row->text, where, (struct json_limits){.bytes = ROW_BYTES_MOST}, a, err))
        return false;
    *out = (struct quiz_row){0};
    if (v->kind != JSON_OBJECT)
        return fail(err, "%s: a quiz row must be an object with \"question\" and \"answer\"",
                    where);
    if (!json_get_text(&out->question, v, "question", where, err) ||
        !json_get_text(&out->answer, v, "answer", where, err))
        return false;
    if (out->question.n == 0 || out->answer.n == 0)
        return fail(err, "%s: a quiz row needs \"question\" and \"answer\", both with text", where);
    return true;
}

bool quiz_read(struct quiz_row **rows, int *n, const char *path, struct arena *a, struct err *err)
{
    struct rows r;
    int cap = 0;
    bool any = true;
    *rows = NULL;
    *n = 0;
    if (!rows_open(&r, path, false, err)) return false;
    while (any) {
        struct row row;
        struct quiz_row q;
        bool ok = rows_next(&r, &row, &any, err) && (!any || read_row(&q, &row, path, a, err));
        if (!ok) {
            rows_close(&r);
            return false;
        }
        if (!any) break;
        ROOM(a, *rows, *n, cap);
        (*rows)[(*n)++] = q;
    }
    rows_close(&r);
    return *n > 0 || fail(err, "%s has no questions", path);
}
