/* main.c - hone's command line: finds the row of the command, reads its options, runs it. */
#include "tui/cli.h"
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct command commands[] = {
    {"train", cmd_train, "P.yaml", "set run-dir json yes dtype backend threads",
     "train a profile; Ctrl-C asks it to save and stop", false},
    {"check", cmd_check, "P.yaml", "set json dtype backend threads",
     "what a profile costs and teaches; exit 0 only where it can run", false},
    {"preview", cmd_preview, "P.yaml", "set json stage window count threads",
     "the packed windows with the trained tokens in [brackets]", false},
    {"models", cmd_models, "", "json", "base models of this machine, and what fits", false},
    {"runs", cmd_runs, "", "json", "all runs, newest first", false},
    {"tail", cmd_tail, "RUN", "json", "follow what happens in a run, as lines", false},
    {"attach", cmd_attach, "RUN", "glyphs", "open the workbench on a run", false},
    {"resume", cmd_resume, "RUN", "json backend threads", "go on from the newest good checkpoint",
     false},
    {"pause", cmd_pause, "RUN", "", "hold a run still at the next step", false},
    {"continue", cmd_continue, "RUN", "", "let a paused run go on", false},
    {"save", cmd_save, "RUN", "", "save a checkpoint at the next step", false},
    {"stop", cmd_stop, "RUN", "", "save a checkpoint and stop", false},
    {"rm", cmd_rm, "RUN", "yes", "remove a run's folder with its checkpoints", false},
    {"metrics", cmd_metrics, "RUN", "csv json", "the numbers of every step", false},
    {"chat", cmd_chat, "MODEL|RUN",
     "adapter prompt raw system greedy temperature top-k top-p repetition-penalty seed stop "
     "max-new-tokens dtype backend template threads context",
     "talk with a model, a run or a checkpoint", false},
    {"eval", cmd_eval, "MODEL|RUN FILE",
     "adapter dtype backend per-token json template threads max-new-tokens context",
     "nats per token of a text, or the score of a quiz", false},
    {"tokenize", cmd_tokenize, "MODEL [FILE]", "ids decode", "text to token ids and back", false},
    {"export", cmd_export, "RUN DIR", "dtype gguf q8 adapter-only backend",
     "a Hugging Face folder (merged), an adapter, or a GGUF", false},
    {"import", cmd_import, "FILE DIR", "dtype tokenizer",
     "a GGUF or llama2.c file becomes a model folder", false},
    {"doctor", cmd_doctor, "", "backend", "what this machine has, and what is wrong with it",
     false},
    {"help", cmd_help, "[TOPIC]", "", "help: a command, or profile, events, formula", false},
    {"engine", cmd_engine, "[RUN]",
     "locked backend threads chat adapter dtype template context probe", "the process of a run",
     true},
};
const int n_commands = (int)COUNT(commands);

enum option_kind { FLAG, WORD, NUMBER, COUNTED, WORDS_SET, WORDS_STOP };
#define AT(field) offsetof(struct options, field)
const struct option cli_options[] = {
    {"set", "path=value", "change one value of the profile (many times)", WORDS_SET, 0},
    {"run-dir", "DIR", "where the run's folder is made", WORD, AT(run_dir)},
    {"json", NULL, "machine readable output", FLAG, AT(json)},
    {"csv", NULL, "comma separated values", FLAG, AT(csv)},
    {"yes", NULL, "do it without asking", FLAG, AT(yes)},
    {"dtype", "TYPE", "auto, fp32 or bf16 (export: fp16 too)", WORD, AT(dtype)},
    {"backend", "NAME", "kernels: cpu, cuda, or ref, the slow definition", WORD, AT(backend)},
    {"threads", "N", "threads of the pool, all cores without it", COUNTED, AT(threads)},
    {"adapter", "DIR", "a PEFT folder to use on the model", WORD, AT(adapter)},
    {"prompt", "TEXT", "answer this and end; - reads standard input", WORD, AT(prompt)},
    {"raw", NULL, "no template: continue the text as it is", FLAG, AT(raw)},
    {"system", "TEXT", "the system message", WORD, AT(system)},
    {"template", "NAME", "auto, or a name of assets/templates", WORD, AT(template)},
    {"greedy", NULL, "always the most likely token", FLAG, AT(greedy)},
    {"temperature", "X", "0 is greedy", NUMBER, AT(temperature)},
    {"top-k", "N", "only the N most likely tokens; 0: off", COUNTED, AT(top_k)},
    {"top-p", "X", "only the most likely tokens of this mass; 1: off", NUMBER, AT(top_p)},
    {"repetition-penalty", "X", "over 1: what was said becomes less likely", NUMBER,
     AT(repetition_penalty)},
    {"seed", "N", "the same seed gives the same answer", COUNTED, AT(seed)},
    {"stop", "TEXT", "end the answer before this text (many times)", WORDS_STOP, 0},
    {"max-new-tokens", "N", "tokens of an answer", COUNTED, AT(max_new_tokens)},
    {"context", "N", "tokens that a conversation may have", COUNTED, AT(context)},
    {"per-token", NULL, "the loss of every token", FLAG, AT(per_token)},
    {"ids", NULL, "print token ids (as without it)", FLAG, AT(ids)},
    {"decode", NULL, "read ids, print text", FLAG, AT(decode)},
    {"gguf", "FILE", "write a GGUF too", WORD, AT(gguf)},
    {"q8", NULL, "the GGUF's matrices as Q8_0", FLAG, AT(q8)},
    {"adapter-only", NULL, "the adapter as PEFT reads it, nothing merged", FLAG, AT(adapter_only)},
    {"tokenizer", "FILE", "llama2.c: where its tokenizer is", WORD, AT(tokenizer)},
    {"stage", "N", "which stage, from 1", COUNTED, AT(stage)},
    {"window", "N", "the first window to show, from 1", COUNTED, AT(window)},
    {"count", "N", "how many windows", COUNTED, AT(count)},
    {"glyphs", "WORD", "auto, braille, block or ascii", WORD, AT(glyphs)},
    {"locked", "FD", "", COUNTED, AT(locked)},
    {"chat", "SPEC", "", WORD, AT(chat)},
    {"probe", "BACKEND", "", WORD, AT(probe)},
    {"dump", "WxH", "print a screen instead of opening it", WORD, AT(dump)},
    {"state", "DIR", "--dump: the state that is shown", WORD, AT(state)},
    {"keys", "KEYS", "--dump: keys typed before", WORD, AT(keys)},
    {"svg", NULL, "--dump: a picture", FLAG, AT(svg)},
    {"styles", NULL, "--dump: the style of every cell too", FLAG, AT(styles)},
    {"light", NULL, "--dump: dark on white", FLAG, AT(light)},
    {"help", NULL, "this help", FLAG, AT(help)},
    {"version", NULL, "the version", FLAG, AT(version)},
};
const int n_cli_options = (int)COUNT(cli_options);

static bool accepted(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; (p = strstr(p, name)); p += n)
        if ((p == list || p[-1] == ' ') && (p[n] == 0 || p[n] == ' ')) return true;
    return strcmp(name, "help") == 0;
}

static bool store(struct options *o, const struct option *row, const char *value, struct err *err)
{
    char *at = (char *)o + row->at, *end = NULL;
    switch (row->kind) {
    case FLAG: *(bool *)at = true; return true;
    case WORD: *(const char **)at = value; return true;
    case NUMBER:
        *(double *)at = strtod(value, &end);
        return (end > value && *end == 0 && isfinite(*(double *)at)) ||
               fail(err, "--%s wants a number, not '%s'", row->name, value);
    case COUNTED:
        *(int64_t *)at = strtoll(value, &end, 10);
        return (end > value && *end == 0 && *(int64_t *)at >= 0) ||
               fail(err, "--%s wants a whole number from 0, not '%s'", row->name, value);
    case WORDS_SET:
        if (o->n_sets == (int)COUNT(o->sets))
            return fail(err, "at most %d --set", (int)COUNT(o->sets));
        o->sets[o->n_sets++] = value;
        return true;
    case WORDS_STOP:
        if (o->n_stops == (int)COUNT(o->stops))
            return fail(err, "at most %d --stop", (int)COUNT(o->stops));
        o->stops[o->n_stops++] = value;
        return true;
    }
    return true;
}

static const struct option *option_named(const char *name, size_t n)
{
    for (int i = 0; i < n_cli_options; i++)
        if (strlen(cli_options[i].name) == n && memcmp(cli_options[i].name, name, n) == 0)
            return &cli_options[i];
    return NULL;
}

/* --name value, --name=value; "--" ends the options. */
static bool read_args(struct cli *c, int argc, char **argv, const char *command,
                      const char *accepts)
{
    bool open = true;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i], *value = strchr(arg, '=');
        if (open && strcmp(arg, "--") == 0) {
            open = false;
            continue;
        }
        if (!open || arg[0] != '-' || arg[1] == 0) {
            if (c->n_words == (int)COUNT(c->words))
                return fail(&c->err, "'%s' is one word too many", arg);
            c->words[c->n_words++] = arg;
            continue;
        }
        const char *name = arg + (arg[1] == '-' ? 2 : 1);
        if (strcmp(arg, "-h") == 0) name = "help";
        size_t n = value && value > name ? (size_t)(value - name) : strlen(name);
        const struct option *row = option_named(name, n);
        if (!row || !accepted(accepts, row->name))
            return fail(&c->err, "hone %s knows no option '%s'; `hone help %s` lists what it knows",
                        command, arg, command);
        value = value && value > name ? value + 1 : NULL;
        if (row->kind == FLAG && value) return fail(&c->err, "--%s takes no value", row->name);
        if (row->kind != FLAG && !value) {
            if (++i >= argc) return fail(&c->err, "--%s wants a value (%s)", row->name, row->value);
            value = argv[i];
        }
        if (!store(&c->o, row, value, &c->err)) return false;
    }
    return true;
}

/* How many words a command wants: "MODEL [FILE]" is 1 to 2. */
static bool words_fit(struct cli *c, const struct command *row)
{
    int least = 0, most = 0;
    for (const char *p = row->words; *p;) {
        most++;
        if (*p != '[') least++;
        p += strcspn(p, " ");
        p += strspn(p, " ");
    }
    if (c->n_words >= least && c->n_words <= most) return true;
    return fail(&c->err, "usage: hone %s %s [options]; `hone help %s` says more", row->name,
                row->words, row->name);
}

static const struct command *command_named(const char *name)
{
    for (int i = 0; i < n_commands; i++)
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    return NULL;
}

static bool no_such_command(struct cli *c, const char *name)
{
    const char *names[COUNT(commands)];
    for (int i = 0; i < n_commands; i++) names[i] = commands[i].name;
    const char *near = text_nearest(name, names, n_commands);
    return fail(&c->err, "there is no command '%s'%s%s%s; `hone help` lists them", name,
                near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
}

static int run_command(struct cli *c, int argc, char **argv)
{
    const struct command *row = argc > 0 && argv[0][0] != '-' ? command_named(argv[0]) : NULL;
    if (argc > 0 && argv[0][0] != '-' && !row)
        return no_such_command(c, argv[0]), refuse(EXIT_USAGE, &c->err);
    if (!row) {
        if (!read_args(c, argc, argv, "", "dump state keys svg styles light glyphs version"))
            return refuse(EXIT_USAGE, &c->err);
        if (c->o.help) return cmd_help(c);
        if (!places_find(&c->places, c->a, &c->err)) return refuse(EXIT_FAILED, &c->err);
        return c->o.dump ? cmd_dump(c) : cmd_open(c);
    }
    if (!read_args(c, argc - 1, argv + 1, row->name, row->accepts))
        return refuse(EXIT_USAGE, &c->err);
    if (c->o.help) {
        c->words[0] = row->name;
        c->n_words = 1;
        return cmd_help(c);
    }
    if (!words_fit(c, row)) return refuse(EXIT_USAGE, &c->err);
    if (!places_find(&c->places, c->a, &c->err)) return refuse(EXIT_FAILED, &c->err);
    return row->run(c);
}

/* Whoever starts hone with a closed standard error must not find its sentences in a run's files. */
static void standard_files(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) _exit(EXIT_FAILED);
}

int main(int argc, char **argv)
{
    standard_files();
    struct arena a = arena_make(0);
    struct cli c = {.a = &a};
    c.o.temperature = c.o.top_p = c.o.repetition_penalty = NAN;
    c.o.top_k = c.o.seed = c.o.max_new_tokens = c.o.threads = c.o.context = c.o.locked = c.o.stage =
        c.o.window = c.o.count = -1;
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("hone %s\n", HONE_VERSION);
        return EXIT_DONE;
    }
    int code = run_command(&c, argc - 1, argv + 1);
    arena_drop(&a);
    if (fflush(stdout) != 0 || ferror(stdout)) return code ? code : EXIT_FAILED;
    return code;
}
