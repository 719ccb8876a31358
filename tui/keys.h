/* keys.h - THE table of keys: dispatch, footer, `?`, `:` and the manual are made from it.
 *
 * A row is a key, perhaps another, a name (what `:` completes), whose it is, a word for the footer
 * ("" keeps it out), a sentence of help and the action. An action changes the app and makes
 * wishes. */
#ifndef HONE_KEYS_H
#define HONE_KEYS_H
#include "tui/app.h"

struct binding {
    int32_t key, other;
    const char *name;
    enum keys_of of;
    const char *brief;               /* for the footer */
    const char *help;
    void (*act)(struct app *a);
    /* NULL: always; else the footer names it only where it does something now */
    bool (*fits)(const struct app *a);
};
extern const struct binding bindings[];
extern const int n_bindings;
extern const char *const scope_names[KEYS_SCOPES]; /* "everywhere", "on the models screen" */

/* Whose keys count now, the narrowest first; returns how many. */
int keys_now(const struct app *a, enum keys_of out[4]);
/* the row that a key would run now, or NULL */
const struct binding *keys_find(const struct app *a, int32_t key);
bool keys_press(struct app *a, int32_t key);           /* false: no row has it */
/* Rows that `:` offers for a word typed so far: those of the screen and of everywhere. */
int keys_named(const struct app *a, const char *prefix, const struct binding **out, int most);
bool keys_run(struct app *a, const char *name);
/* Every row by scope, as lines: key, name, help (`hone help keys`). */
void keys_write(struct buf *out);

#define ACTION(name) void act_##name(struct app *a);
/* app.c */
ACTION(models) ACTION(profile) ACTION(runs) ACTION(chat) ACTION(leave) ACTION(help) ACTION(command)
ACTION(repaint) ACTION(suspend)
ACTION(next_screen) ACTION(last_screen) ACTION(back) ACTION(filter) ACTION(close) ACTION(detach)
ACTION(stop_and_leave)
ACTION(search_next) ACTION(search_before) ACTION(mouse)
ACTION(up) ACTION(down) ACTION(page_up) ACTION(page_down) ACTION(top) ACTION(bottom)
ACTION(pick) ACTION(yes) ACTION(prompt_done) ACTION(prompt_cancel) ACTION(prompt_complete)
/* app_edit.c */
ACTION(left) ACTION(right) ACTION(word_left) ACTION(word_right) ACTION(home) ACTION(end)
ACTION(backspace) ACTION(delete)
ACTION(kill_end) ACTION(kill_home) ACTION(kill_word) ACTION(yank) ACTION(field_up)
ACTION(field_down) ACTION(new_line)
/* view_models.c */
ACTION(use_model) ACTION(model_chat) ACTION(model_data) ACTION(model_details) ACTION(folders)
ACTION(add_folder) ACTION(drop_folder) ACTION(reload_models)
/* form.c, form_lists.c, view_profile.c */
ACTION(edit_value) ACTION(fold) ACTION(toggle) ACTION(more) ACTION(less) ACTION(unset) ACTION(undo)
ACTION(redo) ACTION(add) ACTION(earlier) ACTION(later)
ACTION(mark) ACTION(mark_more) ACTION(mark_less) ACTION(mark_type)
ACTION(launch) ACTION(view_data) ACTION(editor) ACTION(write) ACTION(write_as) ACTION(presets)
ACTION(plan_down) ACTION(plan_up)
/* view_data.c */
ACTION(next_window) ACTION(last_window) ACTION(next_stage) ACTION(next_source) ACTION(window_far)
ACTION(window_back)
/* view_runs.c */
ACTION(checkpoints) ACTION(open_run) ACTION(resume_run) ACTION(remove_run) ACTION(run_chat)
/* view_live.c */
ACTION(pause) ACTION(save) ACTION(stop) ACTION(learning_rate) ACTION(live_chat) ACTION(zoom)
ACTION(log_axis) ACTION(smooth) ACTION(metric)
ACTION(formula) ACTION(all_runs)
/* view_chat.c, chat_set.c, chat_past.c */
ACTION(send) ACTION(chat_escape) ACTION(again) ACTION(adapter) ACTION(type) ACTION(keep_chat)
ACTION(forget) ACTION(copy_answer) ACTION(complete_setting) ACTION(past) ACTION(edit_message)
#endif
