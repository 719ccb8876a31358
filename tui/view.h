/* view.h - a screen is a row: its name, whose keys it has, how it divides its room, and how it
 * draws.
 *
 * layout() is pure: a rectangle and the app in, panes out; they lie inside, never overlap, are
 * never empty, at every size from 1x1 on. What has no room is left out, least important first.
 * draw() draws one pane; it changes nothing, reads no clock and no file. A popup is the same kind
 * of row. */
#ifndef HONE_VIEW_H
#define HONE_VIEW_H
#include "tui/app.h"

#define PANES_MOST 12
struct pane { int id; struct rect r; };
struct view {
    const char *name;
    int place;                      /* 1..4: the number that leads to it */
    enum keys_of keys; bool lists;  /* lists: the keys of lists move in it too */
    int (*layout)(const struct app *a, struct rect r, struct pane out[PANES_MOST]);
    void (*draw)(const struct app *a, struct grid *g, const struct pane *p);
    /* what the keys of lists do in it: rows, PAGE, or to an END */
    void (*move)(struct app *a, int by);
    void (*click)(struct app *a, const struct pane *p, int row);   /* or NULL */
};
#define MOVE_PAGE 10000
#define MOVE_END 1000000
extern const struct view views[SCREENS];
struct popup_view {
    const char *title;
    enum keys_of keys; bool lists;
    void (*size)(const struct app *a, int *w, int *h); /* wanted, of the inside */
    void (*draw)(const struct app *a, struct grid *g, struct rect inside);
    void (*move)(struct app *a, int by);
    /* of a list: how many rows it has (NULL: it is none), and rows of the inside above them */
    int (*count)(const struct app *a); int header;
};
extern const struct popup_view popup_views[POPUPS];

/* The whole screen into a grid of the app's size. */
void view_draw(const struct app *a, struct grid *g);
struct rect view_body(const struct app *a);            /* between the top line and the footer */
struct rect view_popup_inside(const struct app *a);    /* of the popup that is open */
int view_place_at(const struct app *a, int x);         /* 1..4 on the top line, 0: none */
struct binding;
const struct binding *view_footer_at(const struct app *a, int x);
/* A click on row `row` of the `rows` that show a list of n: the cursor, or Enter where it is. */
void list_click(struct app *a, struct list *l, int n, int rows, int row);
#define LEAST_WIDTH 40
#define LEAST_HEIGHT 10

/* Panes from the top down; each call cuts rows off `r` and adds a pane, or nothing where none are
 * left. */
int pane_rows(struct pane *out, int n, int id, struct rect *r, int rows);
int pane_columns(struct pane *out, int n, int id, struct rect *r, int columns);

/* Small things that several views write the same way. */
char *time_text(const struct app *a, char out[16], double unix_seconds);   /* 12:04:11 */
char *date_text(const struct app *a, char out[24], double unix_seconds);   /* 2025-11-22 12:04 */
/* a dash where it is NaN */
char *number_text(char out[32], double v, const char *fmt);
enum style state_style(enum run_state s);
/* "about" text where there is nothing to list: a sentence that names the next key. */
void view_empty(struct grid *g, struct rect r, const char *sentence);

/* A row of the models', runs' and other tables at a cursor: the sign and the reversed line. */
void view_cursor(struct grid *g, struct rect r, int y, bool here);

#define VIEW(name) \
    int name##_layout(const struct app *a, struct rect r, struct pane out[PANES_MOST]); \
    void name##_draw(const struct app *a, struct grid *g, const struct pane *p); \
    void name##_move(struct app *a, int by); \
    void name##_click(struct app *a, const struct pane *p, int row);
VIEW(models) VIEW(profile) VIEW(data) VIEW(runs) VIEW(live) VIEW(chat)
#define POPUP(name) \
    void name##_size(const struct app *a, int *w, int *h); \
    void name##_popup(const struct app *a, struct grid *g, struct rect inside);
POPUP(help) POPUP(leave) POPUP(confirm) POPUP(presets) POPUP(choices)
POPUP(marks) POPUP(settings) POPUP(past) POPUP(folders) POPUP(checkpoints)
void settings_move(struct app *a, int by);
/* what a line that begins with '/' could be, at the bottom of r */
void chat_offers(const struct app *a, struct grid *g, struct rect r);
void help_move(struct app *a, int by);
void pick_move(struct app *a, int by);
#endif
