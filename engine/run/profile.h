/* profile.h - the YAML file that says what to teach, to which model, in which stages.
 *
 * Every key is one row of the table in fields.c (path, type, unit, range, default, choices, a
 * sentence): parser, check, form, `--set`, `hone help profile` and the manual read that row. Keys
 * are those of Hugging Face's Trainer, PEFT, axolotl and LLaMA-Factory. `1e-4` is a number; `5M`,
 * `8k`, `3%`, `90s` are accepted where they make sense. All errors of a file are found at once.
 * What this version does not do yet is refused by name.
 *
 * Editing splices the bytes of one value; everything else of the file stays as it is. */
#ifndef HONE_PROFILE_H
#define HONE_PROFILE_H
#include "engine/base/base.h"
#include "engine/data/data.h"
#include "engine/model/model.h"

/* ---- the profile as the engine sees it ---- */

enum schedule { SCHEDULE_CONSTANT, SCHEDULE_LINEAR, SCHEDULE_COSINE, SCHEDULE_WSD };

enum state_dtype { STATE_FP32, STATE_BF16, STATE_8BIT };

/* What a stage can say; at the root of the file it is the default of all stages. */
struct settings {
    const char *const *train; int n_train;      /* {"full"}, {"lora"} or a list of parts */
    struct {
        int rank; double alpha, dropout; const char *const *targets; int n_targets;
        bool rank_stabilised; const char *init_from;
    } lora;
    double learning_rate, min_lr_ratio, warmup_ratio;
    int64_t warmup_steps; /* warmup_steps -1: by ratio */
    enum schedule schedule;
    double beta1, beta2, eps, weight_decay; bool decay_all;
    enum state_dtype moments, gradients;         /* gradients: no 8bit */
    double max_grad_norm;
    int64_t batch_tokens;
    int micro_batch_size, gradient_accumulation_steps; /* 0: chosen by the plan */
    enum packing_kind packing;
    int recompute, recompute_layers;             /* enum recompute, or -1: auto; 0: all layers */
    double neftune_alpha;
    bool shuffle;
};

struct stage_mix { int dataset; double share; };
struct stage {
    const char *name; int line;
    struct settings set;
    struct stage_mix *mix; int n_mix;
    int bins; double epochs; int64_t max_steps, max_tokens;
};

struct profile {
    const char *path, *dir; /* the file, and the folder that its paths are relative to */
    const char *about;                           /* the head comment */
    const char *name, *base_model, *device, *dtype, *template;
    int64_t seed; int max_length;
    struct source_spec *datasets; int n_datasets;
    struct stage *stages; int n_stages;
    struct { int64_t every_steps; double holdout; const char *const *quiz; int n_quiz;
             const char *const *prompts; int n_prompts; int max_new_tokens; } eval;
    struct { int64_t every_steps; int total_limit; bool keep_best; } save;
    struct { const char *non_finite, *spike_action; double spike_z; } guards;
    struct { struct sampling sampling; int max_new_tokens; const char *system; } chat;
};

/* text: "path: what is wrong, what is allowed". Line 0: it came from `sets`. */
struct problem { int line, column; char text[400]; };
struct problems { struct problem *list; int n, cap; bool warnings_only; };

/* Reads a file, then applies `sets` ("stages.0.max_steps=20") through the same rows. false:
 * problems lists all errors in file order, and err is the first of them as "file:line:column: ...".
 * Paths are made absolute. Opens no model and no data. */
bool profile_read(struct profile *out, const char *path, const char *const *sets, int n_sets,
                  struct problems *problems, struct arena *a, struct err *err);
bool profile_parse(struct profile *out, struct text source, const char *path,
                   const char *const *sets, int n_sets, struct problems *problems, struct arena *a,
                   struct err *err);
/* Things that are allowed and unusual ("learning_rate 2e-3 is high for full training"). */
void profile_warnings(const struct profile *p, struct problems *out, struct arena *a);
/* The whole profile as YAML with every default written out and paths absolute: read again it is
 * equal. */
void profile_write(const struct profile *p, struct buf *out);

/* ---- the table, for forms and help ---- */

enum field_type { FIELD_TEXT, FIELD_PATH, FIELD_INT, FIELD_NUM,
                  FIELD_BOOL, FIELD_CHOICE, FIELD_LIST, FIELD_SHARES };
/* Settings stand at the root, as defaults of all stages, and in a stage. */
enum field_scope { SCOPE_ROOT, SCOPE_DATASET, SCOPE_SETTINGS, SCOPE_STAGE, SCOPES };
struct field {
    const char *path;             /* "lora.rank"; datasets and stages without their index */
    enum field_scope scope;
    enum field_type type;
    const char *unit;             /* "tokens", "steps", "share" (3% is accepted), "" */
    double least, most;           /* of a number; of a text or list: the most characters or items */
    const char *preset;           /* the default as it would be written; "" = required or none */
    const char *choices;          /* "auto | cpu | cuda", or NULL; of a number: a word for "open" */
    const char *says;             /* one sentence */
    bool built;                   /* false: all but preset and choices is refused by name */
    /* What follows is how profile*.c keeps a value, and of no interest elsewhere. */
    int store, at, count_at;      /* enum store; bytes into struct profile, source_spec or stage */
    int base;                     /* a choice: its first word's value; a number: "not said" */
    bool (*check)(const char *const *words, int n, struct err *err);
};
extern const struct field profile_fields[];
extern const int profile_n_fields;
/* The row of a path with its indexes ("stages.1.lora.rank", "datasets.zh.path",
 * "stages.0.datasets.zh"), or NULL. */
const struct field *profile_field(const char *path);
/* The words that a form offers for a list; one with '!' stands alone ("full! | norms | last:4").
 * NULL: any words. */
const char *profile_field_words(const struct field *f);
/* Whether one level of the file says at most one of the two settings (max_steps and epochs). */
bool profile_excludes(const char *path, const char *other);
/* The nearest path that exists, for messages; NULL where none is near. */
const char *profile_field_nearest(const char *path);

/* ---- editing the text ---- */

/* The value at a path ("stages.1.learning_rate") as it stands in the text, or in *out with n = 0
 * where the file does not say it. */
bool profile_text_get(struct text *out, struct text source, const char *path, struct arena *a,
                      struct err *err);
/* The text with that value set (added where absent, at the place its map ends) or, with value NULL,
 * removed. Checked: re-read, the two trees differ only there, else refused. */
bool profile_text_set(struct text *out, struct text source, const char *path, const char *value,
                      struct arena *a, struct err *err);

/* Whole entries, checked in the same way. In a block an entry owns its lines and the comments above
 * it. */
/* A new entry of a list, written as YAML, before the entry at the path ("stages.1"; one past the
 * last: at the end). A list that the file does not have yet is begun. */
bool profile_text_insert(struct text *out, struct text source, const char *path, const char *value,
                         struct arena *a, struct err *err);
/* The entry of a list or map ("stages.1", "datasets.zh") changes places with its neighbour: by -1
 * the one before, by 1 the one after. */
bool profile_text_move(struct text *out, struct text source, const char *path, int by,
                       struct arena *a, struct err *err);
/* A map's key gets another name; what refers to it elsewhere stays as it is. */
bool profile_text_rename(struct text *out, struct text source, const char *path, const char *name,
                         struct arena *a, struct err *err);
#endif
