/* models.h - the base models of this machine, and the settings file that says where they lie.
 *
 * Folders come from $XDG_CONFIG_HOME/hone/config.yaml (`models: [folders]`), HONE_MODELS (separated
 * by ':'), and the Hugging Face hub cache (models--org--name/snapshots/...). The shipped model is
 * first. */
#ifndef HONE_MODELS_H
#define HONE_MODELS_H
#include "engine/base/base.h"
#include "engine/model/model.h"

/* Where hone's own things lie, found once from where the program stands. All paths absolute. */
struct places {
    const char *program;                 /* the running binary */
    const char *plugins;                 /* folder of hone-cpu.so */
    const char *assets, *profiles;       /* build tree or PREFIX/share/hone */
    const char *home; /* $HONE_HOME, else $XDG_STATE_HOME/hone, else ~/.local/state/hone */
    const char *runs, *cache;            /* home/runs, home/cache */
    const char *config;                  /* $XDG_CONFIG_HOME/hone/config.yaml */
};
bool places_find(struct places *out, struct arena *a, struct err *err);

/* What this machine can do, from `hone engine --probe` (its own process), cached in
 * home/machine.json by processor, library and instruction set. Never loads a backend into this
 * process. */
enum { GPUS_MOST = 16 };
struct gpu { struct device_info device; double peak_f32, peak_bf16; };
struct machine {
    struct device_info device; /* the CPU backend's (memory_free is read anew each time), until
                                  machine_choose() puts a GPU's in its place */
    double peak_f32, peak_bf16;          /* FLOP/s, measured; a GPU's by its data sheet */
    char problem[200];                   /* why a backend could not be used, or "" */
    char device_name[16];                /* as a profile says it: "cpu", "cuda:0" */
    struct gpu gpus[GPUS_MOST]; int n_gpus;
    char gpu_problem[256];               /* why there is none, or "" */
};
bool machine_probe(struct machine *out, const struct places *p, struct arena *a, struct err *err);
/* Fills the GPUs, or why there are none. A driver takes a second to begin, so it is asked where a GPU
 * is wanted (by a profile's device, or a backend that was asked for; NULL: none) or shown. */
void machine_gpus(struct machine *m, const struct places *p, struct arena *a);
bool machine_wants_gpu(const char *device, const char *backend);
/* Takes the device that a profile names (auto: the processor); a backend that was asked for (NULL:
 * none) wins over it. One of the GPUs that machine_gpus found: a list of several is refused. */
bool machine_choose(struct machine *m, const char *device, const char *backend, struct err *err);
/* "cuda", "cuda:2" and NULL's 0; -1: several, err says that they are not used yet. */
int device_index(const char *device, struct err *err);

/* The libraries of a GPU as a process of its own finds them, for `hone doctor`. */
struct library_line { char name[16], version[32], path[512], why[256]; };
bool machine_libraries(struct library_line **out, int *n, const struct places *p, struct arena *a,
                       struct err *err);
/* What was measured before, where it still counts: measures nothing. */
bool machine_remembered(struct machine *out, const struct places *p, struct arena *a);
/* The other side: measures with the backend loaded and prints the JSON that machine_probe reads, of
 * "cuda" for all GPUs; "libraries": what machine_libraries reads. */
bool machine_measure(struct buf *json, const char *backend, const struct places *p, struct arena *a,
                     struct err *err);

struct fit { bool fits; int64_t bytes; };
struct model_entry {
    const char *name, *path, *family, *dtype, *tokenizer, *licence;
    const char *unusable;                /* why, or NULL */
    int64_t parameters, bytes; int context;
    bool shipped;
    struct fit full, lora;               /* at max_length 512, micro-batch 1 */
    const char *about;                   /* the folder's README first line, or "" */
    const char *quiz;                    /* README's line that begins with "Quiz", or "" */
    const char *chat_template;           /* "its own", or "none": auto is plain then */
    int layers, dim, heads, kv_heads, vocab; bool tied; /* 0: the folder cannot be used */
};
bool models_list(struct model_entry **out, int *n, const struct places *p, const struct machine *m,
                 struct arena *a, struct err *err);
/* A path, or a name looked up among the model folders: the folder. */
bool models_find(const char **out, const char *spec, const char *relative_to,
                 const struct places *p, struct arena *a, struct err *err);
/* Where models are looked for, in this order. */
enum folder_from { FOLDER_SHIPPED, FOLDER_SETTINGS, FOLDER_VARIABLE, FOLDER_HUB };
struct model_folder {
    const char *path, *said;             /* absolute; as the settings or the variable say it */
    enum folder_from from;
    bool there;
};
bool models_folders(struct model_folder **out, int *n, const struct places *p, struct arena *a,
                    struct err *err);
/* Takes a folder, as the settings say it, out of them. */
bool models_remove_folder(const char *folder, const struct places *p, struct arena *a,
                          struct err *err);
bool models_add_folder(const char *folder, const struct places *p, struct arena *a,
                       struct err *err); /* writes config.yaml, keeps its comments */
#endif
