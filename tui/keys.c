/* keys.c - the table, and the four things made from it. */
#include "tui/keys.h"
#include "tui/view.h"
#include <stdio.h>
#include <string.h>

#define CTRL(c) (K_CTRL | (c))
#define ALT(c) (K_ALT | (c))
#define SHIFT(c) (K_SHIFT | (c))

static bool at_work(const struct app *a) { return fold_lives(&a->live.fold); }
static bool ended_early(const struct app *a)
{
    enum run_state s = a->live.fold.state;
    return s == RUN_STOPPED || s == RUN_FAILED || s == RUN_LOST;
}
static const struct form_row *form_row(const struct app *a)
{
    return a->profile.list.at < a->profile.n_rows ? &a->profile.rows[a->profile.list.at] : NULL;
}
static bool on_entries(const struct app *a)
{
    return form_row(a) && form_row(a)->part != PART_OTHER;
}
static bool on_entry(const struct app *a)
{
    return form_row(a) && (form_row(a)->kind == ROW_DATASET || form_row(a)->kind == ROW_STAGE);
}
static bool was_changed(const struct app *a) { return a->profile.at_history > 0; }
static bool on_model(const struct app *a) { return a->models.list.at < a->models.n_order; }
static bool on_run(const struct app *a) { return a->runs.list.at < a->runs.n_order; }
static bool has_profile(const struct app *a) { return a->profile.path[0] != 0; }
static bool talks(const struct app *a) { return a->chat.spec[0] != 0; }
static bool has_adapter(const struct app *a) { return a->chat.has_adapter; }
static bool completes(const struct app *a)
{
    return a->prompt.kind == PROMPT_COMMAND || prompt_wants_path(a);
}

const struct binding bindings[] = {
    {K_ENTER, 0, "use", KEYS_MODELS, "use it",
     "Makes it the base model of the profile, or of a new one.", act_use_model, on_model},
    {'c', 0, "chat-with", KEYS_MODELS, "chat with it", "Starts the model and opens the chat.",
     act_model_chat, on_model},
    {'v', 0, "model-data", KEYS_MODELS, "view data",
     "Shows the open profile's data as this model sees them.", act_model_data, on_model},
    {'i', 0, "details", KEYS_MODELS, "details", "Shows all that is known of the model.",
     act_model_details, on_model},
    {'o', 0, "folders", KEYS_MODELS, "folders", "Lists, adds and removes folders of models.",
     act_folders, NULL},
    {'r', 0, "reload", KEYS_MODELS, "", "Reads the folders of models anew.", act_reload_models,
     NULL},
    {'x', 0, "start-from", KEYS_MODELS, "presets", "Lists the profiles to start from.", act_presets,
     NULL},

    {K_ENTER, 0, "edit", KEYS_PROFILE, "edit", "Edits the value, or folds a group open and shut.",
     act_edit_value, has_profile},
    {' ', 0, "toggle", KEYS_PROFILE, "", "Takes the next choice, marks words, folds a group.",
     act_toggle, NULL},
    {'+', '=', "more", KEYS_PROFILE, "", "Steps a number up to the next usual value.", act_more,
     NULL},
    {'-', 0, "less", KEYS_PROFILE, "", "Steps a number down to the next usual value.", act_less,
     NULL},
    {'a', 0, "add", KEYS_PROFILE, "add", "Adds a dataset, or a stage after the one here.", act_add,
     on_entries},
    {'d', K_DELETE, "unset", KEYS_PROFILE, "remove",
     "Removes a value, a dataset or a stage; u takes it back.", act_unset, on_entry},
    {'<', ALT(K_UP), "earlier", KEYS_PROFILE, "", "Moves the dataset or stage up.", act_earlier,
     NULL},
    {'>', ALT(K_DOWN), "later", KEYS_PROFILE, "", "Moves the dataset or stage down.", act_later,
     NULL},
    {'r', 0, "launch", KEYS_PROFILE, "launch", "Starts a run of the profile as it stands.",
     act_launch, has_profile},
    {'v', 0, "view-data", KEYS_PROFILE, "view data", "Shows the data as the model will see them.",
     act_view_data, has_profile},
    {'E', 0, "editor", KEYS_PROFILE, "$EDITOR", "Opens the profile in $EDITOR.", act_editor,
     has_profile},
    {'u', 0, "undo", KEYS_PROFILE, "undo", "Takes the last change back.", act_undo, was_changed},
    {'U', 0, "redo", KEYS_PROFILE, "", "Makes the change again that u took back.", act_redo, NULL},
    {'w', 0, "write", KEYS_PROFILE, "write", "Writes the profile to its file.", act_write,
     has_profile},
    {'W', 0, "write-as", KEYS_PROFILE, "",
     "Writes the profile to another file and goes on with that.", act_write_as, NULL},
    {'x', 0, "presets", KEYS_PROFILE, "presets", "Lists the profiles to start from.", act_presets,
     NULL},
    {'J', 0, "plan-down", KEYS_PROFILE, "", "Scrolls the plan down.", act_plan_down, NULL},
    {'K', 0, "plan-up", KEYS_PROFILE, "", "Scrolls the plan up.", act_plan_up, NULL},

    {K_RIGHT, 'l', "next-window", KEYS_DATA, "next", "Shows the next packed window.",
     act_next_window, NULL},
    {K_LEFT, 'h', "window-before", KEYS_DATA, "before", "Shows the window before.", act_last_window,
     NULL},
    {'L', 0, "window-ahead", KEYS_DATA, "", "Goes a hundred windows on.", act_window_far, NULL},
    {'H', 0, "window-back", KEYS_DATA, "", "Goes a hundred windows back.", act_window_back, NULL},
    {'s', 0, "next-stage", KEYS_DATA, "stage", "Shows the data of the next stage.", act_next_stage,
     NULL},
    {'d', 0, "next-source", KEYS_DATA, "source", "Shows the report of the next dataset.",
     act_next_source, NULL},

    {K_ENTER, 0, "open", KEYS_RUNS, "open", "Opens the run: its chart, its log, its quiz.",
     act_open_run, on_run},
    {'c', 0, "run-chat", KEYS_RUNS, "chat with it", "Opens a chat with the run's newest weights.",
     act_run_chat, on_run},
    {'r', 0, "resume", KEYS_RUNS, "resume",
     "Goes on from the newest checkpoint of a run that ended.", act_resume_run, on_run},
    {'C', 0, "checkpoints", KEYS_RUNS, "checkpoints", "Lists its checkpoints, to chat with one.",
     act_checkpoints, on_run},
    {'D', 0, "remove", KEYS_RUNS, "remove", "Removes the run's folder, after asking.",
     act_remove_run, on_run},

    {'p', 0, "pause", KEYS_LIVE, "pause", "Pauses the run after this step, or goes on.", act_pause,
     at_work},
    {'s', 0, "save", KEYS_LIVE, "save", "Saves a checkpoint after this step.", act_save, at_work},
    {'S', 0, "stop", KEYS_LIVE, "stop", "Saves a checkpoint and ends the run.", act_stop, at_work},
    {'r', 0, "resume-run", KEYS_LIVE, "resume",
     "Goes on from the newest checkpoint of a run that ended.", act_resume_run, ended_early},
    {'l', 0, "learning-rate", KEYS_LIVE, "learning rate",
     "Sets the learning rate from the next step on.", act_learning_rate, at_work},
    {'c', 0, "live-chat", KEYS_LIVE, "chat", "Opens a chat with the weights in training.",
     act_live_chat, NULL},
    {'C', 0, "run-checkpoints", KEYS_LIVE, "", "Lists its checkpoints, to chat with one.",
     act_checkpoints, NULL},
    {'z', 0, "zoom", KEYS_LIVE, "zoom", "Gives the chart the whole screen, or divides it again.",
     act_zoom, NULL},
    {'y', 0, "log-axis", KEYS_LIVE, "log", "Draws the axis as a logarithm, or not.", act_log_axis,
     NULL},
    {'e', 0, "smooth", KEYS_LIVE, "smooth", "Smoothes the curve: not, weakly, strongly.",
     act_smooth, NULL},
    {'t', 0, "metric", KEYS_LIVE, "next number",
     "Charts the next number: loss, rate, gradient, speed.", act_metric, NULL},
    {'f', 0, "formula", KEYS_LIVE, "formula", "Shows what MFU and HFU are.", act_formula, NULL},
    {'a', K_ESC, "all-runs", KEYS_LIVE, "all runs", "Goes back to the list of runs.", act_all_runs,
     NULL},

    {'i', K_ENTER, "type", KEYS_CHAT, "type", "Goes back to the text field.", act_type, talks},
    {'b', 0, "adapter", KEYS_CHAT, "adapter on/off",
     "Lets the base alone answer, or the adapter too.", act_adapter, talks},
    {'r', 0, "ask-again", KEYS_CHAT, "again", "Answers the last message once more.", act_again,
     talks},
    {'h', 0, "history", KEYS_CHAT, "history", "Lists conversations and reopens one.", act_past,
     NULL},
    {'c', 0, "new-chat", KEYS_CHAT, "new", "Begins a new conversation; this one is kept.",
     act_forget, talks},
    {'W', 0, "keep-chat", KEYS_CHAT, "", "Writes the conversation to a file of your choice.",
     act_keep_chat, NULL},
    {'Y', 0, "copy-answer", KEYS_CHAT, "copy", "Sends the last answer to the terminal's clipboard.",
     act_copy_answer, talks},

    {K_ENTER, 0, "send", KEYS_TYPING, "send", "Sends the message.", act_send, NULL},
    {ALT(K_ENTER), CTRL('j'), "new-line", KEYS_TYPING, "new line",
     "Begins a new line in the message.", act_new_line, NULL},
    {K_ESC, CTRL('c'), "stop-answer", KEYS_TYPING, "stop, leave",
     "Stops the answer; else leaves the text field.", act_chat_escape, NULL},
    {CTRL('r'), 0, "again", KEYS_TYPING, "again", "Answers the last message once more.", act_again,
     NULL},
    {CTRL('o'), 0, "adapter-too", KEYS_TYPING, "adapter on/off",
     "Lets the base alone answer, or the adapter too.", act_adapter, has_adapter},
    {CTRL('g'), 0, "edit-message", KEYS_TYPING, "", "Opens the message in $EDITOR.",
     act_edit_message, NULL},
    {K_TAB, 0, "complete-setting", KEYS_TYPING, "", "Completes a line that begins with /.",
     act_complete_setting, NULL},
    {K_PAGE_UP, 0, "chat-up", KEYS_TYPING, "", "Scrolls the conversation up.", act_page_up, NULL},
    {K_PAGE_DOWN, 0, "chat-down", KEYS_TYPING, "", "Scrolls the conversation down.", act_page_down,
     NULL},

    {K_ENTER, 0, "accept", KEYS_PROMPT, "accept", "Takes what was typed.", act_prompt_done, NULL},
    {K_ESC, CTRL('c'), "cancel", KEYS_PROMPT, "cancel", "Leaves everything as it was.",
     act_prompt_cancel, NULL},
    {K_TAB, 0, "complete", KEYS_PROMPT, "complete", "Completes a command or the name of a file.",
     act_prompt_complete, completes},

    {K_LEFT, CTRL('b'), "left", KEYS_EDIT, "", "A character to the left.", act_left, NULL},
    {K_RIGHT, CTRL('f'), "right", KEYS_EDIT, "", "A character to the right.", act_right, NULL},
    {ALT('b'), CTRL(K_LEFT), "word-left", KEYS_EDIT, "", "A word to the left.", act_word_left,
     NULL},
    {ALT('f'), CTRL(K_RIGHT), "word-right", KEYS_EDIT, "", "A word to the right.", act_word_right,
     NULL},
    {K_HOME, CTRL('a'), "line-begin", KEYS_EDIT, "", "To the line's beginning.", act_home, NULL},
    {K_END, CTRL('e'), "line-end", KEYS_EDIT, "", "To the line's end.", act_end, NULL},
    {K_BACKSPACE, 0, "erase", KEYS_EDIT, "", "Erases the character before.", act_backspace, NULL},
    {K_DELETE, CTRL('d'), "erase-next", KEYS_EDIT, "", "Erases the character here.", act_delete,
     NULL},
    {CTRL('k'), 0, "cut-end", KEYS_EDIT, "", "Cuts to the line's end.", act_kill_end, NULL},
    {CTRL('u'), 0, "cut-begin", KEYS_EDIT, "", "Cuts to the line's beginning.", act_kill_home,
     NULL},
    {CTRL('w'), ALT(K_BACKSPACE), "cut-word", KEYS_EDIT, "", "Cuts the word before.", act_kill_word,
     NULL},
    {CTRL('y'), 0, "paste-cut", KEYS_EDIT, "", "Puts back what was cut.", act_yank, NULL},
    {K_UP, CTRL('p'), "history-up", KEYS_EDIT, "",
     "The line above; on the first one, what was typed before.", act_field_up, NULL},
    {K_DOWN, CTRL('n'), "history-down", KEYS_EDIT, "",
     "The line below; on the last one, what was typed after.", act_field_down, NULL},

    {K_ESC, 'q', "close", KEYS_HELP, "close", "Closes the help.", act_close, NULL},
    {'d', 0, "detach", KEYS_LEAVE, "leave it running", "Leaves the workbench; the run goes on.",
     act_detach, NULL},
    {'s', 0, "stop-and-leave", KEYS_LEAVE, "stop it",
     "Saves a checkpoint, ends the run and leaves.", act_stop_and_leave, NULL},
    {K_ESC, CTRL('c'), "stay", KEYS_LEAVE, "stay", "Goes back to the workbench.", act_close, NULL},
    {'y', 0, "yes", KEYS_CONFIRM, "yes", "Does it.", act_yes, NULL},
    {K_ESC, 'n', "no", KEYS_CONFIRM, "no", "Leaves everything as it is.", act_close, NULL},
    {K_ENTER, 0, "choose", KEYS_PICK, "choose", "Takes the row at the cursor.", act_pick, NULL},
    {K_ESC, 'q', "none", KEYS_PICK, "cancel", "Closes the list.", act_close, NULL},

    {' ', 0, "mark", KEYS_MARKS, "mark", "Marks the word, or takes its mark away.", act_mark, NULL},
    {K_ENTER, 0, "take", KEYS_MARKS, "take", "Takes the words that are marked.", act_pick, NULL},
    {'+', '=', "mark-more", KEYS_MARKS, "", "One layer more.", act_mark_more, NULL},
    {'-', 0, "mark-less", KEYS_MARKS, "", "One layer less.", act_mark_less, NULL},
    {'t', 0, "mark-type", KEYS_MARKS, "type a list", "Types the list, patterns among it.",
     act_mark_type, NULL},
    {K_ESC, 'q', "mark-none", KEYS_MARKS, "cancel", "Leaves the list as it was.", act_close, NULL},

    {'a', 0, "add-folder", KEYS_FOLDERS, "add", "Adds a folder that holds Hugging Face models.",
     act_add_folder, NULL},
    {'d', K_DELETE, "drop-folder", KEYS_FOLDERS, "remove",
     "Takes the folder out of the settings; its files stay.", act_drop_folder, NULL},
    {K_ESC, 'q', "leave-folders", KEYS_FOLDERS, "close", "Closes the list.", act_close, NULL},

    {'k', K_UP, "up", KEYS_LISTS, "", "A row up.", act_up, NULL},
    {'j', K_DOWN, "down", KEYS_LISTS, "", "A row down.", act_down, NULL},
    {K_PAGE_UP, CTRL('u'), "page-up", KEYS_LISTS, "", "A page up.", act_page_up, NULL},
    {K_PAGE_DOWN, CTRL('d'), "page-down", KEYS_LISTS, "", "A page down.", act_page_down, NULL},
    {'g', K_HOME, "first", KEYS_LISTS, "", "To the first row.", act_top, NULL},
    {'G', K_END, "last", KEYS_LISTS, "", "To the last row.", act_bottom, NULL},
    {'/', 0, "filter", KEYS_LISTS, "", "Shows the rows that hold a word, or goes to the next.",
     act_filter, NULL},
    {'n', 0, "search-next", KEYS_LISTS, "", "To the next row that holds the word searched for.",
     act_search_next, NULL},
    {'N', 0, "search-before", KEYS_LISTS, "", "To the row before that holds the word.",
     act_search_before, NULL},

    {'1', 0, "models", KEYS_ALL, "", "The base models of this machine.", act_models, NULL},
    {'2', 0, "profile", KEYS_ALL, "", "The profile and its plan.", act_profile, NULL},
    {'3', 0, "runs", KEYS_ALL, "", "The runs, or the one that is open.", act_runs, NULL},
    {'4', 0, "chat", KEYS_ALL, "", "The chat.", act_chat, NULL},
    {K_TAB, 0, "next-screen", KEYS_ALL, "", "The next screen.", act_next_screen, NULL},
    {SHIFT(K_TAB), 0, "screen-before", KEYS_ALL, "", "The screen before.", act_last_screen, NULL},
    {K_ESC, 0, "back", KEYS_ALL, "", "Back by one level; never leaves the workbench.", act_back,
     NULL},
    {'?', K_F1, "help", KEYS_ALL, "help", "The keys that count here.", act_help, NULL},
    {':', 0, "command", KEYS_ALL, "", "Types the name of an action; Tab completes.", act_command,
     NULL},
    {'q', CTRL('c'), "leave", KEYS_ALL, "leave", "Leaves the workbench; runs go on.", act_leave,
     NULL},
    {'m', K_F1 + 1, "mouse", KEYS_ALL, "", "Turns the mouse on, to click and scroll here, or off.",
     act_mouse, NULL},
    {CTRL('l'), 0, "repaint", KEYS_ALL, "", "Draws the screen anew.", act_repaint, NULL},
    {CTRL('z'), 0, "suspend", KEYS_ALL, "", "Hands the terminal back to the shell; fg returns.",
     act_suspend, NULL},
};
const int n_bindings = COUNT(bindings);

const char *const scope_names[KEYS_SCOPES] = {[KEYS_ALL] = "everywhere",
                                              [KEYS_LISTS] = "in lists",
                                              [KEYS_MODELS] = "models",
                                              [KEYS_PROFILE] = "profile",
                                              [KEYS_DATA] = "data",
                                              [KEYS_RUNS] = "runs",
                                              [KEYS_LIVE] = "a run",
                                              [KEYS_CHAT] = "chat, outside the text field",
                                              [KEYS_TYPING] = "chat, in the text field",
                                              [KEYS_PROMPT] = "in a question",
                                              [KEYS_EDIT] = "in text fields",
                                              [KEYS_HELP] = "help",
                                              [KEYS_LEAVE] = "leaving",
                                              [KEYS_CONFIRM] = "yes or no",
                                              [KEYS_PICK] = "a list to choose from",
                                              [KEYS_MARKS] = "a list with marks",
                                              [KEYS_FOLDERS] = "folders of models"};

int keys_now(const struct app *a, enum keys_of out[4])
{
    int n = 0;
    if (a->prompt.open) {
        out[n++] = KEYS_PROMPT;
        out[n++] = KEYS_EDIT;
        return n;
    }
    enum popup p = app_top(a);
    if (p != POPUP_NONE) {
        out[n++] = popup_views[p].keys;
        if (popup_views[p].lists) out[n++] = KEYS_LISTS;
        return n;
    }
    if (a->screen == SCREEN_CHAT && a->chat.typing) {
        out[n++] = KEYS_TYPING;
        out[n++] = KEYS_EDIT;
        out[n++] = KEYS_ALL;
        return n;
    }
    out[n++] = views[a->screen].keys;
    if (views[a->screen].lists) out[n++] = KEYS_LISTS;
    out[n++] = KEYS_ALL;
    return n;
}

const struct binding *keys_find(const struct app *a, int32_t key)
{
    enum keys_of now[4];
    int n = keys_now(a, now);
    /* a letter is never a command while a field has the keyboard */
    if (app_types(a) && key >= 32 && key < K_UP) return NULL;
    for (int s = 0; s < n; s++)
        for (int i = 0; i < n_bindings; i++)
            if (bindings[i].of == now[s] &&
                (bindings[i].key == key || (bindings[i].other && bindings[i].other == key)))
                return &bindings[i];
    return NULL;
}

bool keys_press(struct app *a, int32_t key)
{
    const struct binding *b = keys_find(a, key);
    if (b) b->act(a);
    return b != NULL;
}

int keys_named(const struct app *a, const char *prefix, const struct binding **out, int most)
{
    static const enum keys_of everywhere[] = {KEYS_LISTS, KEYS_ALL};
    enum keys_of scopes[3] = {views[a->screen].keys, everywhere[0], everywhere[1]};
    int n = 0;
    for (size_t s = 0; s < COUNT(scopes); s++)
        for (int i = 0; i < n_bindings && n < most; i++)
            if (bindings[i].of == scopes[s] &&
                strncmp(bindings[i].name, prefix, strlen(prefix)) == 0)
                out[n++] = &bindings[i];
    return n;
}

bool keys_run(struct app *a, const char *name)
{
    const struct binding *found[1];
    const struct binding *all[COUNT(bindings)];
    int n = keys_named(a, name, all, COUNT(bindings));
    found[0] = n == 1 ? all[0] : NULL;
    for (int i = 0; i < n; i++)
        if (strcmp(all[i]->name, name) == 0) found[0] = all[i];
    if (!found[0]) return false;
    found[0]->act(a);
    return true;
}

void keys_write(struct buf *out)
{
    for (int s = 0; s < KEYS_SCOPES; s++) {
        buf_printf(out, "%s\n", scope_names[s]);
        for (int i = 0; i < n_bindings; i++) {
            char key[32], other[32] = "";
            if ((int)bindings[i].of != s) continue;
            key_text(key, bindings[i].key);
            if (bindings[i].other) key_text(other, bindings[i].other);
            char both[80];
            snprintf(both, sizeof both, "%s%s%s", key, other[0] ? ", " : "", other);
            buf_printf(out, "  %-22s %-16s %s\n", both, bindings[i].name, bindings[i].help);
        }
    }
}
