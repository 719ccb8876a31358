/* edit.h - a text being typed: one line or many, the keys of emacs, one killed text, a history.
 *
 * Positions are bytes at a character's start. What is pasted is text, never keys; a one-line field
 * takes its newlines as blanks. The text is what was typed; it is made harmless where it is drawn.
 * */
#ifndef HONE_EDIT_H
#define HONE_EDIT_H
#include "tui/grid.h"

#define EDIT_MOST (1 << 20) /* bytes; more is not taken */
struct edit {
    struct buf text, killed;
    size_t at;
    bool many;                       /* newlines are kept */
    /* back: 0 is the draft, 1 the newest entry */
    const char **history; int n_history, cap_history, back;
    const char *draft;
    struct arena *arena;
};
struct edit edit_make(struct arena *a, bool many);
void edit_set(struct edit *e, struct text t);        /* the caret at its end */
void edit_insert(struct edit *e, struct text t);
/* adds the text to the history and empties the field */
void edit_remember(struct edit *e);

void edit_left(struct edit *e);
void edit_right(struct edit *e);
void edit_word_left(struct edit *e);
void edit_word_right(struct edit *e);
void edit_home(struct edit *e);                       /* of the line */
void edit_end(struct edit *e);
void edit_back(struct edit *e);                       /* Backspace */
void edit_delete(struct edit *e);
void edit_kill_end(struct edit *e);
void edit_kill_home(struct edit *e);
void edit_kill_word(struct edit *e);
void edit_yank(struct edit *e);
/* the line above, or on the first line the history */
void edit_up(struct edit *e);
void edit_down(struct edit *e);
/* Draws it wrapped in r, the caret always in sight; returns the rows that the whole text wants. */
int edit_draw(const struct edit *e, struct grid *g, struct rect r, bool caret);
int edit_rows(const struct edit *e, int columns);
#endif
