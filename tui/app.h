/* app.h - the workbench as one plain struct: keys and news change it, views draw
 * it, wishes leave it.
 *
 * Nothing here opens a file, reads a clock or waits. What must happen outside (start a run, ask a
 * model, measure a plan) is put into `wishes`; loop.c does it and brings what came of it back
 * through the app_* functions, and so does dump.c from a saved state, and a test from its own.
 * Memory: what is shown at one time has one arena that is dropped when it is read anew. */
#ifndef HONE_APP_H
#define HONE_APP_H
#include "engine/base/base.h"
#include "engine/run/models.h"
#include "engine/run/profile.h"
#include "engine/run/run.h"
#include "engine/serve/serve.h"
#include "tui/edit.h"
#include "tui/fold.h"
#include "tui/grid.h"
#include "tui/input.h"

enum screen { SCREEN_MODELS, SCREEN_PROFILE, SCREEN_DATA, SCREEN_RUNS, SCREEN_LIVE, SCREEN_CHAT,
    SCREENS };
enum popup { POPUP_NONE, POPUP_HELP, POPUP_LEAVE, POPUP_CONFIRM, POPUP_PRESETS, POPUP_CHOICES,
    POPUP_MARKS, POPUP_SETTINGS, POPUP_PAST, POPUP_FOLDERS, POPUP_CHECKPOINTS,
    POPUPS };
/* Whose keys a row of the key table is. */
enum keys_of {
    KEYS_ALL, KEYS_LISTS, KEYS_MODELS, KEYS_PROFILE, KEYS_DATA, KEYS_RUNS, KEYS_LIVE, KEYS_CHAT,
    KEYS_TYPING, KEYS_PROMPT, KEYS_EDIT,
    KEYS_HELP, KEYS_LEAVE, KEYS_CONFIRM, KEYS_PICK, KEYS_MARKS, KEYS_FOLDERS, KEYS_SCOPES
};

/* ---- what is to happen outside ---- */

enum wish_kind {
    WISH_MODELS,            /* read the list of models */
    WISH_FOLDERS,           /* read where models are looked for */
    WISH_ADD_FOLDER,        /* text: a folder of models */
    WISH_DROP_FOLDER,       /* text: a folder as the settings say it */
    WISH_PRESETS,           /* read the list of profiles */
    WISH_OPEN_PROFILE,      /* text: its path */
    /* text: where to; the profile's text. number 1: over what is there */
    WISH_WRITE_PROFILE,
    WISH_COMPLETE,          /* text: a file's name as far as it is typed */
    WISH_EDITOR,            /* the open profile in $EDITOR */
    WISH_PLAN,              /* of the profile as it stands in the form */
    WISH_PREVIEW,           /* its data: stage and window of app.data */
    WISH_LAUNCH,            /* a run of it */
    WISH_RUNS, WISH_OPEN_RUN /* text: folder */, WISH_RESUME /* text: folder */,
    WISH_REMOVE /* text: folder */,
    WISH_CHECKPOINTS,       /* text: a run's folder */
    WISH_ORDER,             /* number: enum order_kind, value: learning rate; of the open run */
    /* text: a model, checkpoint or run; number 1: the run in training itself, if it trains */
    WISH_CHAT_OPEN,
    WISH_ASK, WISH_STOP_ANSWER,
    WISH_SAVE_CHAT,         /* the conversation to where conversations are kept */
    WISH_PAST, WISH_PAST_OPEN /* text: a kept conversation's file */,
    WISH_EDIT_CHAT,         /* the message in $EDITOR */
    WISH_KEEP_CHAT,         /* text: the file that the transcript is written to */
    WISH_COPY,              /* text: to the terminal's clipboard */
    WISH_MOUSE,             /* number: on or off */
    WISH_SUSPEND, WISH_REPAINT, WISH_QUIT
};
struct wish { enum wish_kind kind; char text[4096]; int number; double value; };
#define WISHES_MOST 16

/* ---- parts ---- */

struct list { int at, top; };
void list_move(struct list *l, int by, int n);
/* moves `top` so that `at` is among `rows` rows */
void list_show(struct list *l, int n, int rows);

struct models_show {
    struct model_entry *all; int n;
    int *order, n_order;                   /* those that the filter lets through */
    char device[128], problem[256], error[1024], filter[64];
    bool loading, details;
    struct list list;
    struct arena arena;
    struct model_folder *folders; int n_folders; struct arena folders_arena;
};

/* A heading folds; a dataset, a stage and a share of a mix are entries that come and go. */
enum row_kind { ROW_FIELD, ROW_GROUP, ROW_DATASET, ROW_STAGE, ROW_SHARE, ROW_NAME };
enum form_part { PART_OTHER, PART_DATASETS, PART_STAGES };
struct form_row {
    enum row_kind kind;
    enum form_part part; int entry;        /* the dataset or stage that it belongs to; -1: none */
    char path[160];                        /* as profile_text_get takes it */
    const char *key;                       /* a heading's, for folding: stays when entries move */
    const char *label;
    const struct field *field;             /* of a value */
    struct text value; bool said;          /* what the file says, else what counts without it */
    struct text note;                      /* behind the value: its unit, or what it comes to */
    int depth; bool open, bad;
};
/* Words of a list with marks ("train", "lora.target_modules"). */
struct mark { char word[64]; bool alone, on; };
struct marks { char path[160]; struct mark list[32]; int n; };
enum plan_state { PLAN_NONE, PLAN_WAITING, PLAN_MEASURING, PLAN_READY, PLAN_REFUSED };
struct profile_show {
    char path[4096];                       /* "": none is open */
    struct text source, saved;             /* in the form, and in the file */
    /* texts; [at_history] is shown */
    struct text *history; int at_history, n_history, cap_history;
    /* edited: not as the file says; parsed: `profile` holds it */
    bool edited, parsed;
    struct profile profile;                /* the last text without errors */
    struct problems problems, warnings;
    struct form_row *rows; int n_rows;
    char flipped[64][160]; int n_flipped;  /* keys that are folded otherwise than at first */
    struct list list;
    struct marks marks;
    struct arena texts, parse, trouble, form, plan_arena;  /* trouble: of problems */
    enum plan_state plan_state; char plan_error[2048];
    const struct json *plan; double changed; int plan_scroll;
    bool launching, launch_when_ready;
    /* becomes the base_model of the next profile that is opened */
    char wanted_model[4096];
};

struct data_show {
    const struct json *preview; char error[2048];
    bool loading; int stage, of_stages; int64_t window, of;  /* wanted: from 1 */
    int source, scroll;
    /* the data of the open profile with this model instead of its own; "": its own */
    char model[4096], model_name[256];
    struct arena arena;
};

struct runs_show {
    struct run_summary *all; int n;
    int *order, n_order;
    char filter[64], error[512];
    bool loaded;
    struct list list;
    struct arena arena;
    /* of one run, the newest first */
    char of_name[256];
    struct checkpoint *checkpoints; int n_checkpoints; struct arena checkpoints_arena;
};

enum live_metric { METRIC_LOSS, METRIC_LR, METRIC_GRAD_NORM, METRIC_SPEED, METRICS };
struct live_show {
    struct fold fold;
    bool open, log, zoom, formula;
    int smooth, scroll;
    double celsius, watts;                 /* of this machine's processor; NaN: no reading */
    int64_t found;                         /* the log line that a search stands on; -1: none */
    enum live_metric metric;
};

struct chat_line {
    const char *role; struct buf text;
    bool done; char ended[16]; struct answer_stats stats; int64_t step;
};
struct chat_show {
    char spec[4096], name[256], problem[512];
    char file[4096];                       /* where the conversation is kept; "": nowhere yet */
    /* training: the weights of a run at work; fresh: its settings are still to be read */
    bool open, opening, answering, typing, training, fresh, send_when_ready;
    bool stopping;                         /* asked to end its answer */
    bool has_adapter, adapter_off;
    int context; int64_t step;
    struct chat_line *lines; int n_lines, cap_lines;
    struct edit edit;
    struct sampling sampling; int max_new_tokens; uint64_t seed; char system[1024];
    int scroll, found;                     /* found: the message that a search stands on; -1 */
    /* the start of a character whose rest has not come */
    char half[4]; size_t half_n;
    struct arena arena;
};

/* How an answer is drawn where no profile says it. */
extern const struct sampling chat_usual;
#define CHAT_USUAL_TOKENS 256
/* A conversation that was kept. `list`: its messages, while it is read. */
struct chat_past { const char *path, *spec, *name, *first; const struct json *list; int messages;
    double at; };
struct past_show { struct chat_past *all; int n; bool loaded; struct arena arena; };

enum prompt_kind { PROMPT_FILTER, PROMPT_SEARCH, PROMPT_COMMAND, PROMPT_VALUE,
    PROMPT_LEARNING_RATE, PROMPT_FOLDER,
    PROMPT_SAVE_AS, PROMPT_KEEP_CHAT, PROMPT_DATASET, PROMPT_STAGE, PROMPTS };
struct prompt {
    bool open; enum prompt_kind kind;
    char label[96], problem[400];
    struct edit edit; struct arena arena;
};

enum confirm_kind { CONFIRM_REMOVE, CONFIRM_DROP_EDITS, CONFIRM_LAUNCH, CONFIRM_OVERWRITE };
struct preset { const char *path, *name, *about; };

struct app {
    const struct places *places;
    /* now: Unix seconds; utc: times of day without the zone (dumps) */
    int w, h; double now; bool utc;
    enum glyphs glyphs;
    enum screen screen;
    enum popup popups[4]; int n_popups;
    struct list pick; char filter[64];     /* of the popup that is open */
    struct preset *presets; int n_presets; struct arena presets_arena;
    enum confirm_kind confirm; char confirm_text[4096], confirm_path[4096];
    struct prompt prompt;
    char search[256]; int search_from;     /* the word that n and N look for; where `/` began */
    bool mouse;                            /* clicks and the wheel are ours */
    /* good news goes by itself, bad news by the next key */
    char notice[2048]; enum style notice_style; double notice_at;
    char device[64];                       /* "CPU 2 cores" */
    struct models_show models;
    struct profile_show profile;
    struct data_show data;
    struct runs_show runs;
    struct live_show live;
    struct chat_show chat;
    struct past_show past;
    struct wish wishes[WISHES_MOST]; int n_wishes;
    bool dirty, leaving;
};

/* ---- in ---- */

void app_start(struct app *a, const struct places *p, int w, int h, double now, enum glyphs glyphs);
void app_drop(struct app *a);
void app_input(struct app *a, const struct input_event *e);
void app_key(struct app *a, int32_t key);
void app_tick(struct app *a, double now);                  /* time has passed */
void app_models(struct app *a, struct text json, const char *error);
void app_folders(struct app *a, const struct model_folder *list, int n);
void app_presets(struct app *a, const struct preset *list, int n);
void app_profile(struct app *a, const char *path, struct text source);
void app_plan(struct app *a, struct text json, const char *error);
void app_preview(struct app *a, struct text json, const char *error);
/* of the run that asked (runs.of_name) */
void app_checkpoints(struct app *a, const struct checkpoint *list, int n, const char *error);
void app_runs(struct app *a, const struct run_summary *list, int n, const char *error);
/* The question's text is completed; `others`: what it could be, where that is several things. */
void app_completed(struct app *a, struct text text, const char *others);
void app_reply(struct app *a, const struct reply *r);
void app_past(struct app *a, const struct chat_past *list, int n);
void app_transcript(struct app *a, const struct chat_past *past);   /* reopens it */
/* What a run's profile says of chats. */
void app_chat_defaults(struct app *a, const struct sampling *s, int max_new_tokens,
    const char *system);
void app_notice(struct app *a, enum style s, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* ---- between the files of tui ---- */

void wish(struct app *a, enum wish_kind kind, const char *text, int number);
void app_go(struct app *a, enum screen s);
void app_popup(struct app *a, enum popup p);
void app_close_popup(struct app *a);
enum popup app_top(const struct app *a);
void app_ask(struct app *a, enum prompt_kind kind, const char *label, struct text start);
bool app_types(const struct app *a);                       /* a text field has the keyboard */
struct edit *app_edit(struct app *a);                      /* that field, or NULL */
bool prompt_wants_path(const struct app *a);                /* Tab completes a file's name */
void app_typed(struct app *a);                             /* a question's text changed */
void models_filter(struct app *a);
void runs_filter(struct app *a);
void chat_line_add(struct app *a, const char *role, struct text t);  /* of a transcript */
/* chat_past.c: the conversation as it is kept; false: nothing was said yet */
bool chat_transcript(const struct app *a, struct buf *out);
/* one such file; texts in arena a */
bool chat_past_read(struct chat_past *out, struct text source, const char *path, struct arena *a);
void chat_command(struct app *a, const char *line);        /* chat_set.c: what stood after '/' */
/* `training`: the run's own weights answer while it is at work */
void chat_start(struct app *a, const char *spec, const char *name, bool training);
/* starts the run that the plan on the screen belongs to */
void launch_now(struct app *a);

/* form.c: the profile's text, and one value of it */
/* a change that can be undone */
void form_change(struct app *a, struct text source);
/* the file says this now */
void form_saved(struct app *a, struct text source);
/* says what would be wrong with the value typed so far */
void form_try(struct app *a);
bool form_accept(struct app *a, struct text value);
/* The value at the cursor becomes this one (n = 0: none); a refusal is a notice. */
bool form_set(struct app *a, struct text value);
struct form_row *form_here(struct app *a);
/* Takes an edit of several steps: *out parses without errors, or the problem is said. */
bool form_check(struct app *a, struct text out, char problem[400]);
void form_choose(struct app *a, int choice);               /* of the field at the cursor */
int form_choices(const struct app *a, struct text *out, int most);
/* Is this folder the base model already, however the profile says it? */
bool form_has_model(const struct app *a, const char *path);
/* form_rows.c: the rows anew, after a change of text or folding */
void form_build(struct app *a);
/* form_lists.c: datasets and stages as entries, and lists with marks */
bool form_add(struct app *a, struct text typed);           /* what a question for one asked */
void form_marks(struct app *a);                            /* opens the popup of the row's words */
void form_take_marks(struct app *a);
bool form_remove(struct app *a);                           /* false: the cursor is on no entry */
/* Writes out the one stage that a profile without stages has. */
bool form_write_stage(struct app *a, struct text *source, struct arena *memory, struct err *err);
bool form_rename(struct app *a, const struct form_row *r, struct text name, struct text *out,
    struct arena *memory, char problem[400]);
/* The path without "." and "..", by its text alone. */
void plain_path(char out[4096], const char *path);
/* form_away.c: the text as it must be to mean the same in another file. */
bool form_away(struct app *a, const char *to, struct text *out, struct arena *memory,
    struct err *err);
/* form_step.c: the next larger (by 1) or smaller (-1) value of a number that people use */
bool form_step(char out[64], const struct field *f, struct text value, int by);
/* view_profile.c: the data of the open profile, with its own model (NULL) or another */
void data_open(struct app *a, const char *model, const char *name);
/* view_live.c */
bool live_accept(struct app *a, struct text value);
/* ASCII letters of either case; an empty word is everywhere */
bool text_contains(const char *text, const char *word);
bool text_holds(struct text t, const char *word);
void app_move(struct app *a, int by);                      /* what the keys of lists do */
void app_mouse(struct app *a, enum mouse what, int x, int y);  /* mouse.c */
/* search.c; false: there is nothing to search here */
bool search_begin(struct app *a);
void search_typed(struct app *a);
void search_leave(struct app *a);
void chat_scroll_to(struct app *a, int line);              /* view_chat.c */
#endif
