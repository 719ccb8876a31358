/* checkpoint.h - private to engine/run: saving, listing and dropping checkpoints. */
#ifndef HONE_CHECKPOINT_H
#define HONE_CHECKPOINT_H
#include "engine/format/json.h"
#include "engine/run/folder.h"

/* What a resumed loop must know besides weights and moments; all of it is in train.json. */
struct progress {
    int64_t step, stage, stage_step;     /* steps in all, current stage, steps of it done */
    double best;                         /* lowest validation loss so far, NaN: none */
    double validation;                   /* the last one, NaN: none */
    double learning_rate;                /* an order's, 0: the profile's */
    double spike_mean, spike_var; int64_t spike_n;  /* running loss of the guard */
    int64_t skipped_in_row;
};

/* ---- what decides the bits of a run beside its folder (maker.c) ---- */

enum {
    MADE_VERSION, MADE_PROGRAM, MADE_BACKEND, MADE_LIBRARY, MADE_ISA, MADE_PROCESSOR, MADE_DTYPE,
    MADE_PROFILE, MADE_DATA, MADE_BASE, MAKER_FACTS
};
struct maker_fact { const char *key, *says; };
extern const struct maker_fact maker_facts[MAKER_FACTS];
struct maker { const char *fact[MAKER_FACTS]; int threads; };
/* Texts live as long as what they are taken from and arena a. */
struct maker maker_of(const char *run_dir, const struct plan *plan, const struct device_info *d,
                      const struct places *places, struct arena *a);
/* Can a resume repeat the bits? Appends what differs, or why it does not matter. base_counts: the
 * base model is still read (an adapter). */
bool maker_same(const struct maker *then, const struct maker *now, bool base_counts, struct buf *why);

/* ---- a checkpoint ---- */

struct checkpoint_job {
    const char *run_dir, *stage_name;
    const char *model_dir;               /* where tokenizer files come from */
    const char *base;                    /* adapter: what it belongs to */
    bool adapter, merge;                 /* merge: a whole F32 model beside the adapter, for the next stage */
    enum tensor_type type;               /* of the model's file */
    struct progress progress;
    int64_t seed;
    struct maker maker;
    bool is_best;
};
/* Written beside, synced, renamed, the manifest last; a checkpoint that has a name is whole. On failure
 * nothing is left but a sentence. bytes: its size. */
bool checkpoint_save(const struct checkpoint_job *job, struct model *m, int64_t *bytes, struct arena *a, struct err *err);
/* Keeps `limit` checkpoints (0: all) up to step `newest`, which was saved just now, the best where keep_best,
 * and the one whose path is `needed` (may be NULL). Those of later steps are of a life that a resume gave up:
 * they are not counted and left alone. */
bool checkpoint_rotate(const char *run_dir, int64_t newest, int limit, bool keep_best, const char *needed,
                       struct arena *a, struct err *err);
/* Sizes and names always; hashes of all but training.safetensors (who answers does not read it), or of all. */
enum verify { VERIFY_SIZES, VERIFY_MODEL, VERIFY_ALL };
/* The newest that verifies; false: there is none. *damage: what is wrong with the first that was passed over,
 * text[0] == 0 where none was. */
bool checkpoint_newest(struct checkpoint *out, const char *run_dir, enum verify v, struct arena *a, struct err *damage);
/* A checkpoint's folder against its manifest. */
bool checkpoint_verify(const char *dir, enum verify v, struct arena *a, struct err *err);

/* train.json, the manifest: written last, with a hash of itself (manifest.c). */
#define MANIFEST "train.json"
struct manifest {
    struct progress progress;
    struct maker maker;
    bool adapter;
    const char *base;                    /* as written: relative where it lies in the run's folder */
    const struct json *files;            /* [{name, bytes, xxh3}] */
};
bool manifest_write(const struct checkpoint_job *job, const struct saved *saved, const char *dir,
                    struct arena *a, struct err *err);
bool manifest_read(struct manifest *out, const char *dir, struct arena *a, struct err *err);
#endif
