/* app_edit.c - the rows of text fields in the key table: each passes on to the field that has the
 * keyboard. */
#include "tui/keys.h"

#define PASS(name, verb) \
    void act_##name(struct app *a) \
    { \
        struct edit *e = app_edit(a); \
        if (e) verb(e); \
    }
PASS(left, edit_left) PASS(right, edit_right) PASS(word_left, edit_word_left) PASS(word_right,
    edit_word_right) PASS(home, edit_home)
PASS(end, edit_end) PASS(backspace, edit_back) PASS(delete, edit_delete) PASS(kill_end,
    edit_kill_end) PASS(kill_home, edit_kill_home)
PASS(kill_word, edit_kill_word) PASS(yank, edit_yank) PASS(field_up, edit_up) PASS(field_down,
    edit_down)

void act_new_line(struct app *a)
{
    struct edit *e = app_edit(a);
    if (e) edit_insert(e, TEXT("\n"));
}
