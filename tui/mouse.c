/* mouse.c - clicks and the wheel, where the user has turned the mouse on: a click is the key that
 * would have done the same. */
#include "tui/keys.h"
#include "tui/view.h"

#define WHEEL_ROWS 3

void list_click(struct app *a, struct list *l, int n, int rows, int row)
{
    struct list shown = *l;
    list_show(&shown, n, rows);
    int at = shown.top + row;
    if (row < 0 || row >= rows || at >= n) return;
    if (at == l->at) keys_press(a, K_ENTER);
    else l->at = at;
}

static bool inside(struct rect r, int x, int y)
{
    return x >= r.x && y >= r.y && x < r.x + r.w && y < r.y + r.h;
}

/* Outside a popup a click closes it; on a row it is the cursor, on the cursor's row Enter. */
static void click_popup(struct app *a, int x, int y)
{
    const struct popup_view *v = &popup_views[app_top(a)];
    struct rect in = view_popup_inside(a);
    if (!inside(in, x, y)) {
        keys_press(a, K_ESC);
        return;
    }
    if (!v->count) return;
    int n = v->count(a), row = y - in.y - v->header;
    struct list before = a->pick;
    list_click(a, &a->pick, n, in.h - v->header, row);
    if (v->keys == KEYS_MARKS && a->pick.at != before.at) keys_press(a, ' ');
}

static void click_body(struct app *a, int x, int y)
{
    struct pane panes[PANES_MOST];
    const struct view *v = &views[a->screen];
    int n = v->layout(a, view_body(a), panes);
    for (int i = 0; i < n; i++)
        if (inside(panes[i].r, x, y) && v->click) v->click(a, &panes[i], y - panes[i].r.y);
}

static void click(struct app *a, int x, int y)
{
    if (y == 0 && app_top(a) == POPUP_NONE) {
        int place = view_place_at(a, x);
        void (*const go[4])(struct app *) = {act_models, act_profile, act_runs, act_chat};
        if (place) go[place - 1](a);
    } else if (y == a->h - 1) {
        const struct binding *b = view_footer_at(a, x);
        if (b) b->act(a);
    } else if (app_top(a) != POPUP_NONE) click_popup(a, x, y);
    else click_body(a, x, y);
}

void app_mouse(struct app *a, enum mouse what, int x, int y)
{
    if (a->w < LEAST_WIDTH || a->h < LEAST_HEIGHT) return;
    a->dirty = true;
    a->notice[0] = 0;
    if (a->prompt.open) return;
    if (what == MOUSE_CLICK) click(a, x, y);
    else app_move(a, what == MOUSE_UP ? -WHEEL_ROWS : WHEEL_ROWS);
}

void act_mouse(struct app *a)
{
    a->mouse = !a->mouse;
    wish(a, WISH_MOUSE, "", a->mouse);
    app_notice(a, STYLE_PLAIN, "%s",
               a->mouse ? "the mouse clicks and scrolls here now; Shift and drag still selects "
                          "text in most terminals"
                        : "the mouse is the terminal's again");
}
