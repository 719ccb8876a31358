/* cmd_help.c - help made from the tables: commands, options, profile fields, events. */
#include "tui/cli.h"
#include "tui/keys.h"
#include <stdio.h>
#include <string.h>

static bool accepts(const struct command *row, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = row->accepts; (p = strstr(p, name)); p += n)
        if ((p == row->accepts || p[-1] == ' ') && (p[n] == 0 || p[n] == ' ')) return true;
    return false;
}

static int help_command(const struct command *row)
{
    printf("usage: hone %s %s%s\n\n%s\n", row->name, row->words,
           row->accepts[0] ? " [options]" : "", row->says);
    if (row->accepts[0]) printf("\noptions:\n");
    for (int i = 0; i < n_cli_options; i++) {
        const struct option *o = &cli_options[i];
        char left[48];
        if (!accepts(row, o->name)) continue;
        snprintf(left, sizeof left, "--%s %s", o->name, o->value ? o->value : "");
        printf("  %-28s %s\n", left, o->says);
    }
    printf("\nexit: 0 done, 1 failed, 2 usage or profile refused, 3 data or model refused, 130 "
           "stopped by Ctrl-C, 143 by SIGTERM\n");
    return EXIT_DONE;
}

static int help_all(void)
{
    printf("hone %s: a workbench for fine-tuning language models\n\n  hone                       "
           "opens it\n",
           HONE_VERSION);
    for (int i = 0; i < n_commands; i++) {
        char left[64];
        if (commands[i].hidden) continue;
        snprintf(left, sizeof left, "hone %s %s", commands[i].name, commands[i].words);
        printf("  %-26s %s\n", left, commands[i].says);
    }
    printf("\n`hone help COMMAND`; topics: profile (every key), keys (of the workbench), events "
           "(every line of --json), formula (loss, MFU, HFU)\n");
    return EXIT_DONE;
}

static int help_profile(void)
{
    static const char *const scopes[] = {[SCOPE_ROOT] = "the file",
                                         [SCOPE_DATASET] = "datasets.NAME",
                                         [SCOPE_SETTINGS] = "the file, or a stage",
                                         [SCOPE_STAGE] = "a stage"};
    for (int i = 0; i < profile_n_fields; i++) {
        const struct field *f = &profile_fields[i];
        printf("%-32s %s%s%s\n", f->path, f->says, f->built ? "" : " (not built yet)", "");
        printf("%-32s in %s%s%s%s%s%s%s\n", "", scopes[f->scope], f->unit[0] ? "; " : "", f->unit,
               f->choices ? "; " : "", f->choices ? f->choices : "",
               f->preset[0] ? "; default " : "", f->preset);
    }
    return EXIT_DONE;
}

static int help_events(void)
{
    printf("Every line has v (1), seq, t (Unix seconds) and kind. A number that is not finite is "
           "null and its key stands in\n"
           "non_finite; a reading that does not exist is absent.\n");
    for (int k = 0; k < EV_KINDS; k++) {
        printf("\n%s\n", event_infos[k].name);
        for (int i = 0; i < event_infos[k].n; i++) {
            const struct event_field *f = &event_infos[k].fields[i];
            printf("  %-20s %-5s %s\n", f->name, f->unit, f->says);
        }
    }
    return EXIT_DONE;
}

static int help_formula(void)
{
    printf("loss   sum of the losses of all trained tokens of a step / their number, over all "
           "micro-batches, in nats\n"
           "MFU    model FLOPs / (seconds x peak). A parameter of a product costs 6 FLOPs a token "
           "where it is trained, 4 where it is\n"
           "       frozen and gradients pass through it, 2 under the lowest trained layer; the "
           "head counts on labelled tokens only,\n"
           "       the embedding not; attention counts the pairs that a causal document has\n"
           "HFU    the same with what gradient checkpointing computes again\n"
           "peak   the processor's, measured when a run starts; in the compute type where that is "
           "fast, else fp32\n");
    return EXIT_DONE;
}

static int help_keys(void)
{
    struct arena a = arena_make(0);
    struct buf b = buf_make(&a);
    keys_write(&b);
    print_text(buf_text(&b));
    arena_drop(&a);
    return EXIT_DONE;
}

int cmd_help(struct cli *c)
{
    static const struct {
        const char *name;
        int (*help)(void);
    } topics[] = {{"profile", help_profile},
                  {"keys", help_keys},
                  {"events", help_events},
                  {"formula", help_formula}};
    if (c->n_words == 0) return help_all();
    for (size_t i = 0; i < COUNT(topics); i++)
        if (strcmp(c->words[0], topics[i].name) == 0) return topics[i].help();
    for (int i = 0; i < n_commands; i++)
        if (strcmp(c->words[0], commands[i].name) == 0) return help_command(&commands[i]);
    fail(&c->err, "there is no help on '%s'; `hone help` lists what there is", c->words[0]);
    return refuse(EXIT_USAGE, &c->err);
}
