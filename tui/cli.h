/* cli.h - the command line: a table of commands and a table of options; help, checks and completion read both. */
#ifndef HONE_CLI_H
#define HONE_CLI_H
#include "engine/run/models.h"
#include "engine/run/run.h"
#include "engine/serve/serve.h"

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_REFUSED = 3, EXIT_CTRL_C = 130, EXIT_TERM = 143 };

/* All options of all commands; a command accepts those that its row names. */
struct options {
    const char *sets[64]; int n_sets;
    const char *run_dir, *dtype, *backend, *adapter, *prompt, *system, *tokenizer, *gguf, *template, *probe, *chat;
    const char *stops[16]; int n_stops;
    const char *dump, *state, *keys, *glyphs;
    double temperature, top_p, repetition_penalty;   /* NAN: not given */
    int64_t top_k, seed, max_new_tokens, threads, context, locked, stage, window, count;   /* -1: not given */
    bool json, yes, raw, greedy, per_token, ids, decode, adapter_only, q8, csv, help, svg, styles, light, version;
};

struct cli {
    struct options o;
    const char *words[4]; int n_words;               /* what is no option */
    struct places places;
    struct arena *a;                                  /* the process */
    struct err err;
};

struct command {
    const char *name;
    int (*run)(struct cli *c);
    const char *words;                                /* "P.yaml", "MODEL|RUN FILE"; [X]: may be left out */
    const char *accepts;                              /* names of its options, by spaces */
    const char *says;                                 /* one line */
    bool hidden;
};
extern const struct command commands[];
extern const int n_commands;
struct option { const char *name, *value; const char *says; int kind; size_t at; };
extern const struct option cli_options[];
extern const int n_cli_options;

/* Prints "hone: SENTENCE" to stderr, made harmless, and returns the code. */
int refuse(enum exit_code code, const struct err *err);
/* Text from outside to stdout; a '\n' in it stays. */
void print_safe(struct text t);
void print_text(struct text t);                       /* ours: as it is */
/* Reads the profile with --set and --dtype; prints all errors. */
bool cli_profile(struct cli *c, struct profile *out);
/* A prepared plan, with progress on a terminal; EXIT_DONE or the code that was printed. */
int cli_plan(struct cli *c, struct profile *profile, struct plan_inputs *in, struct profile *pinned);
/* Asks on a terminal; elsewhere --yes is needed. */
bool cli_agreed(struct cli *c, const char *question);

int cmd_train(struct cli *c);
int cmd_resume(struct cli *c);
int cmd_attach(struct cli *c);
int cmd_tail(struct cli *c);
int cmd_pause(struct cli *c);
int cmd_continue(struct cli *c);
int cmd_save(struct cli *c);
int cmd_stop(struct cli *c);
int cmd_rm(struct cli *c);
int cmd_runs(struct cli *c);
int cmd_metrics(struct cli *c);
int cmd_check(struct cli *c);
int cmd_preview(struct cli *c);
int cmd_models(struct cli *c);
int cmd_doctor(struct cli *c);
int cmd_chat(struct cli *c);
int cmd_eval(struct cli *c);
int cmd_tokenize(struct cli *c);
int cmd_export(struct cli *c);
int cmd_import(struct cli *c);
int cmd_engine(struct cli *c);
int cmd_dump(struct cli *c);
int cmd_help(struct cli *c);
int cmd_open(struct cli *c);                          /* the workbench */
#endif
