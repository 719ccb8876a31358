/* edit.c - text fields. */
#include "tui/edit.h"
#include <string.h>

struct edit edit_make(struct arena *a, bool many)
{
    struct edit e = {.text = buf_make(a), .killed = buf_make(a), .many = many, .arena = a};
    buf_put(&e.text, "", 0);
    buf_put(&e.killed, "", 0);
    return e;
}

void edit_set(struct edit *e, struct text t)
{
    e->text.n = e->at = 0;
    buf_put(&e->text, "", 0);
    edit_insert(e, t);
}

void edit_insert(struct edit *e, struct text t)
{
    if (t.n > EDIT_MOST - e->text.n) t.n = EDIT_MOST - e->text.n;
    size_t tail = e->text.n - e->at;
    for (size_t i = 0; i < t.n; i++) buf_put(&e->text, " ", 1);
    memmove(e->text.p + e->at + t.n, e->text.p + e->at, tail);
    for (size_t i = 0; i < t.n; i++) {
        char c = t.p[i];
        if (c == '\r') c = '\n';
        e->text.p[e->at + i] = c == '\n' && !e->many ? ' ' : c;
    }
    e->at += t.n;
}

void edit_remember(struct edit *e)
{
    if (e->text.n) {
        ROOM(e->arena, e->history, e->n_history, e->cap_history);
        e->history[e->n_history++] = arena_string(e->arena, e->text.p, e->text.n);
    }
    e->back = 0;
    edit_set(e, TEXT(""));
}

static size_t before(const struct edit *e, size_t at)
{
    if (at == 0) return 0;
    do at--;
    while (at > 0 && ((unsigned char)e->text.p[at] & 0xC0) == 0x80);
    return at;
}

static size_t after(const struct edit *e, size_t at)
{
    if (at >= e->text.n) return e->text.n;
    int32_t c;
    return at + (size_t)utf8_decode(e->text.p + at, e->text.n - at, &c);
}

static bool blank(const struct edit *e, size_t at)
{
    return e->text.p[at] == ' ' || e->text.p[at] == '\n';
}

static size_t line_start(const struct edit *e, size_t at)
{
    while (at > 0 && e->text.p[at - 1] != '\n') at--;
    return at;
}

static size_t line_end(const struct edit *e, size_t at)
{
    while (at < e->text.n && e->text.p[at] != '\n') at++;
    return at;
}

static size_t word_before(const struct edit *e, size_t at)
{
    while (at > 0 && blank(e, at - 1)) at--;
    while (at > 0 && !blank(e, at - 1)) at--;
    return at;
}

void edit_left(struct edit *e) { e->at = before(e, e->at); }
void edit_right(struct edit *e) { e->at = after(e, e->at); }
void edit_word_left(struct edit *e) { e->at = word_before(e, e->at); }
void edit_home(struct edit *e) { e->at = line_start(e, e->at); }
void edit_end(struct edit *e) { e->at = line_end(e, e->at); }

void edit_word_right(struct edit *e)
{
    while (e->at < e->text.n && blank(e, e->at)) e->at++;
    while (e->at < e->text.n && !blank(e, e->at)) e->at++;
}

static void cut(struct edit *e, size_t from, size_t to, bool keep)
{
    if (keep && to > from) {
        e->killed.n = 0;
        buf_put(&e->killed, e->text.p + from, to - from);
    }
    memmove(e->text.p + from, e->text.p + to, e->text.n - to + 1);
    e->text.n -= to - from;
    e->at = from;
}

void edit_back(struct edit *e) { cut(e, before(e, e->at), e->at, false); }
void edit_delete(struct edit *e) { cut(e, e->at, after(e, e->at), false); }
void edit_kill_home(struct edit *e) { cut(e, line_start(e, e->at), e->at, true); }
void edit_kill_word(struct edit *e) { cut(e, word_before(e, e->at), e->at, true); }
void edit_yank(struct edit *e) { edit_insert(e, buf_text(&e->killed)); }

void edit_kill_end(struct edit *e)
{
    size_t end = line_end(e, e->at);
    cut(e, e->at, end == e->at ? after(e, end) : end, true);
}

static void from_history(struct edit *e, int back)
{
    if (back < 0 || back > e->n_history) return;
    if (e->back == 0) e->draft = arena_string(e->arena, e->text.p, e->text.n);
    e->back = back;
    edit_set(e, text_of(back ? e->history[e->n_history - back] : e->draft));
}

void edit_up(struct edit *e)
{
    size_t start = line_start(e, e->at);
    if (start == 0) {
        from_history(e, e->back + 1);
        return;
    }
    int columns = text_columns((struct text){e->text.p + start, e->at - start});
    size_t above = line_start(e, start - 1);
    e->at = above + text_first((struct text){e->text.p + above, start - 1 - above}, columns).n;
}

void edit_down(struct edit *e)
{
    size_t end = line_end(e, e->at), start = line_start(e, e->at);
    if (end == e->text.n) {
        if (e->back) from_history(e, e->back - 1);
        return;
    }
    int columns = text_columns((struct text){e->text.p + start, e->at - start});
    e->at =
        end + 1 +
        text_first((struct text){e->text.p + end + 1, line_end(e, end + 1) - end - 1}, columns).n;
}

/* Where a byte of the text lies when the text is broken hard at `columns`; g draws it on the way.
 * */
static int place(const struct edit *e, struct grid *g, struct rect r, int top, int *caret_x,
                 int *caret_y)
{
    int x = 0, y = 0;
    for (size_t i = 0; i <= e->text.n;) {
        int32_t c = 0;
        int len = i < e->text.n ? utf8_decode(e->text.p + i, e->text.n - i, &c) : 1,
            n = i < e->text.n && c != '\n' ? code_columns(c) : 1;
        if (x + n > r.w && x > 0) {
            x = 0;
            y++;
        }
        if (i == e->at) {
            *caret_x = x;
            *caret_y = y;
        }
        if (i == e->text.n) break;
        if (c == '\n') {
            x = 0;
            y++;
        } else {
            if (g)
                grid_text(g, r, x, y - top, STYLE_PLAIN, (struct text){e->text.p + i, (size_t)len});
            x += n;
        }
        i += (size_t)len;
    }
    return y + 1;
}

int edit_rows(const struct edit *e, int columns)
{
    int x, y;
    return place(e, NULL, (struct rect){0, 0, columns > 0 ? columns : 1, 1}, 0, &x, &y);
}

int edit_draw(const struct edit *e, struct grid *g, struct rect r, bool caret)
{
    int x = 0, y = 0;
    if (r.w <= 0 || r.h <= 0) return 0;
    int rows = place(e, NULL, r, 0, &x, &y), top = y >= r.h ? y - r.h + 1 : 0;
    place(e, g, r, top, &x, &y);
    int32_t under = 0;
    if (e->at < e->text.n) utf8_decode(e->text.p + e->at, e->text.n - e->at, &under);
    if (caret) grid_caret(g, r, x, y - top, under == '\n' ? 0 : under);
    return rows;
}
