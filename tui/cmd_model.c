/* cmd_model.c - commands about one model: chat, eval, tokenize, export, import, and the process of
 * a run. */
#include "engine/format/import.h"
#include "engine/format/json.h"
#include "tui/cli.h"
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct answerer_options answerer_of(struct cli *c)
{
    return (struct answerer_options){.backend = c->o.backend,
                                     .adapter = c->o.adapter,
                                     .dtype = c->o.dtype,
                                     .template = c->o.template,
                                     .threads = c->o.threads > 0 ? (int)c->o.threads : 0,
                                     .context = c->o.context > 0 ? (int)c->o.context : 0};
}

/* ---- chat ---- */

static volatile sig_atomic_t interrupted;
static void on_interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

static struct chat_request request_of(struct cli *c)
{
    const struct options *o = &c->o;
    struct chat_request r = {.raw = o->raw,
                             .stops = o->stops,
                             .n_stops = o->n_stops,
                             .max_new_tokens = o->max_new_tokens > 0 ? (int)o->max_new_tokens : 256,
                             .seed =
                                 o->seed >= 0 ? (uint64_t)o->seed : (uint64_t)(now_unix() * 1000)};
    r.sampling = (struct sampling){
        .temperature = isnan(o->temperature) ? 0.7f : (float)o->temperature,
        .top_p = isnan(o->top_p) ? 0.9f : (float)o->top_p,
        .top_k = o->top_k >= 0 ? (int)o->top_k : 40,
        .repetition_penalty = isnan(o->repetition_penalty) ? 1 : (float)o->repetition_penalty};
    if (o->greedy) r.sampling.temperature = 0;
    return r;
}

/* A run that trains is asked itself; everything else by a process of its own. */
static bool chat_open(struct cli *c, struct client **client)
{
    const char *dir;
    struct err no_run;
    struct answerer_options o = answerer_of(c);
    if (run_find(&dir, c->words[0], &c->places, c->a, &no_run) && run_is_held(dir))
        return client_open(client, dir, c->a, &c->err);
    struct reply r = {.kind = REPLY_NONE};
    if (!client_chat_process(client, c->words[0], &o, &c->places, c->a, &c->err)) return false;
    while (r.kind == REPLY_NONE) {
        if (!client_next(*client, &r, &c->err)) return false;
        if (r.kind == REPLY_NONE) poll(&(struct pollfd){client_fd(*client), POLLIN, 0}, 1, 1000);
    }
    return r.kind == REPLY_READY || fail(&c->err, "%.*s", (int)r.text.n, r.text.p);
}

/* One answer to the end, printed as it comes; its text goes to `said`. */
static bool answer_print(struct cli *c, struct client *client, const struct chat_request *r,
                         struct buf *said, struct answer_stats *stats)
{
    struct reply reply;
    if (!client_ask(client, r, &c->err)) return false;
    for (;;) {
        if (!client_next(client, &reply, &c->err)) return false;
        if (interrupted == 1) {
            interrupted = 2;
            if (!client_stop_answer(client, &c->err)) return false;
        }
        switch (reply.kind) {
        case REPLY_NONE: poll(&(struct pollfd){client_fd(client), POLLIN, 0}, 1, 200); break;
        case REPLY_TOKEN:
            buf_put(said, reply.text.p, reply.text.n);
            if (isatty(1)) print_safe(reply.text);
            else print_text(reply.text);
            fflush(stdout);
            break;
        case REPLY_ANSWERED: *stats = reply.stats; return true;
        case REPLY_REFUSED:
        case REPLY_GONE: return fail(&c->err, "%.*s", (int)reply.text.n, reply.text.p);
        case REPLY_READY:
        case REPLY_OK: break;
        }
    }
}

static bool read_all(int fd, struct buf *out, struct err *err)
{
    char piece[65536];
    for (ssize_t n; (n = read(fd, piece, sizeof piece)) != 0;) {
        if (n < 0) return fail_errno(err, "cannot read standard input");
        if (out->n + (size_t)n > (64u << 20))
            return fail(err, "standard input has over 64 MiB; give a file in pieces");
        buf_put(out, piece, (size_t)n);
    }
    if (!out->p) buf_put(out, "", 0);
    return true;
}

static int chat_once(struct cli *c, struct client *client)
{
    struct chat_request r = request_of(c);
    struct chat_message m[2];
    struct buf in = buf_make(c->a), said = buf_make(c->a);
    struct answer_stats stats;
    int n = 0;
    struct text prompt = text_of(c->o.prompt);
    if (strcmp(c->o.prompt, "-") == 0) {
        if (!read_all(0, &in, &c->err)) return refuse(EXIT_FAILED, &c->err);
        prompt = buf_text(&in);
    }
    if (c->o.system) m[n++] = (struct chat_message){"system", text_of(c->o.system)};
    m[n++] = (struct chat_message){"user", prompt};
    r.messages = m;
    r.n = n;
    if (!answer_print(c, client, &r, &said, &stats)) return refuse(EXIT_FAILED, &c->err);
    printf("\n");
    return interrupted ? EXIT_CTRL_C : EXIT_DONE;
}

/* A conversation line by line; Ctrl-C stops an answer, an empty line or the end of input ends it.
 */
static int chat_lines(struct cli *c, struct client *client)
{
    struct chat_message *list = NULL;
    int n = 0, cap = 0, code = EXIT_DONE;
    char *line = NULL;
    size_t size = 0;
    if (c->o.system) {
        ROOM(c->a, list, n, cap);
        list[n++] = (struct chat_message){"system", text_of(c->o.system)};
    }
    if (isatty(0))
        fprintf(stderr, "%s answers; Ctrl-C stops an answer, an empty line ends\n", c->words[0]);
    for (;;) {
        struct buf said = buf_make(c->a);
        struct answer_stats s;
        struct chat_request r = request_of(c);
        if (isatty(0)) fprintf(stderr, "> ");
        ssize_t got = getline(&line, &size, stdin);
        while (got > 0 && (line[got - 1] == '\n' || line[got - 1] == '\r')) got--;
        if (got <= 0) break;
        ROOM(c->a, list, n, cap);
        list[n++] =
            (struct chat_message){"user", {arena_string(c->a, line, (size_t)got), (size_t)got}};
        r.messages = list;
        r.n = n;
        interrupted = 0;
        if (!answer_print(c, client, &r, &said, &s)) {
            code = refuse(EXIT_FAILED, &c->err);
            break;
        }
        printf("\n");
        if (isatty(2))
            fprintf(stderr, "[%d tokens, %.0f a second, context %d of %d]\n", s.tokens,
                    s.tokens / fmax(s.seconds - s.prompt_seconds, 1e-9), s.context_used, s.context);
        ROOM(c->a, list, n, cap);
        list[n++] = (struct chat_message){"assistant", buf_text(&said)};
    }
    free(line);
    return code;
}

int cmd_chat(struct cli *c)
{
    struct client *client = NULL;
    struct sigaction stop = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    int code = EXIT_REFUSED;
    if (!chat_open(c, &client)) code = refuse(EXIT_REFUSED, &c->err);
    else code = c->o.prompt ? chat_once(c, client) : chat_lines(c, client);
    if (client) client_close(client);
    return code;
}

/* ---- tokenize ---- */

static bool decode_ids(struct cli *c, const struct tokenizer *t, struct text in, struct buf *out)
{
    struct ids ids = {.a = c->a};
    for (size_t i = 0; i < in.n;) {
        if (strchr(" \n\t\r,", in.p[i])) {
            i++;
            continue;
        }
        char *end;
        long long v = strtoll(in.p + i, &end, 10);
        if (end == in.p + i || v < 0 || v >= tokenizer_size(t))
            return fail(&c->err, "byte %zu of the input: ids are numbers from 0 to %d", i,
                        tokenizer_size(t) - 1);
        ids_put(&ids, (int32_t)v);
        i = (size_t)(end - in.p);
    }
    tokenizer_decode(t, out, ids.p, ids.n, false);
    return true;
}

/* Ids by spaces, in decimal by hand: printf would take longer than the tokenizer. */
static void put_ids(struct buf *out, const struct ids *ids)
{
    enum { DIGITS_MOST = 10, AT_ONCE = 1024 };
    char some[AT_ONCE * (DIGITS_MOST + 1)], digits[DIGITS_MOST];
    for (int64_t i = 0; i < ids->n;) {
        size_t n = 0;
        for (int64_t end = i + AT_ONCE < ids->n ? i + AT_ONCE : ids->n; i < end; i++) {
            int k = 0;
            for (int32_t v = ids->p[i]; v || k == 0; v /= 10) digits[k++] = (char)('0' + v % 10);
            if (i) some[n++] = ' ';
            while (k) some[n++] = digits[--k];
        }
        buf_put(out, some, n);
    }
}

static bool encode_text(struct cli *c, const struct tokenizer *t, struct text in, struct buf *out)
{
    struct ids ids = {.a = c->a};
    int64_t lost = 0;
    if (!tokenizer_encode(t, &ids, in, ENCODE_SPECIAL, &lost, c->a, &c->err)) return false;
    put_ids(out, &ids);
    buf_put(out, "\n", 1);
    if (lost)
        fprintf(stderr, "hone: %lld bytes have no token and were left out\n", (long long)lost);
    return true;
}

int cmd_tokenize(struct cli *c)
{
    struct tokenizer *t;
    const char *dir;
    struct text in;
    struct buf b = buf_make(c->a), out = buf_make(c->a);
    if (path_exists(c->words[0])) dir = c->words[0];
    else if (!models_find(&dir, c->words[0], NULL, &c->places, c->a, &c->err))
        return refuse(EXIT_REFUSED, &c->err);
    if (!tokenizer_open(&t, dir, c->a, &c->err)) return refuse(EXIT_REFUSED, &c->err);
    bool ok = c->n_words > 1 ? file_read(&in, c->words[1], 64 << 20, c->a, &c->err)
                             : read_all(0, &b, &c->err);
    if (!ok) return refuse(EXIT_REFUSED, &c->err);
    if (c->n_words == 1) in = buf_text(&b);
    if (!(c->o.decode ? decode_ids : encode_text)(c, t, in, &out))
        return refuse(EXIT_REFUSED, &c->err);
    print_text(buf_text(&out));
    return EXIT_DONE;
}

/* ---- export, import ---- */

static const char *without_slash(struct cli *c, const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    return arena_string(c->a, path, n);
}

int cmd_export(struct cli *c)
{
    struct export_options o = {.dtype = c->o.dtype,
                               .gguf = c->o.gguf,
                               .gguf_q8 = c->o.q8,
                               .adapter_only = c->o.adapter_only,
                               .backend = c->o.backend};
    struct buf report = buf_make(c->a);
    bool ok = run_export(c->words[0], without_slash(c, c->words[1]), &o, &c->places, &report, c->a,
                         &c->err);
    if (report.p) print_safe(buf_text(&report));
    return ok ? EXIT_DONE : refuse(EXIT_REFUSED, &c->err);
}

static void import_progress(void *arg, int64_t done, int64_t all)
{
    (void)arg;
    if (isatty(2))
        fprintf(stderr, "\r%.0f %% ", all > 0 ? 100.0 * (double)done / (double)all : 0.0);
}

int cmd_import(struct cli *c)
{
    struct import_options o = {
        .type = T_BF16, .tokenizer = c->o.tokenizer, .progress = import_progress};
    const char *dir = without_slash(c, c->words[1]);
    if (c->o.dtype && strcmp(c->o.dtype, "fp32") == 0) o.type = T_F32;
    else if (c->o.dtype && strcmp(c->o.dtype, "bf16") != 0)
        return fail(&c->err, "--dtype '%s' is not one of bf16, fp32", c->o.dtype),
               refuse(EXIT_USAGE, &c->err);
    if (!import_model(c->words[0], dir, &o, c->a, &c->err)) return refuse(EXIT_REFUSED, &c->err);
    if (isatty(2)) fprintf(stderr, "\r");
    printf("wrote %s\n", dir);
    return EXIT_DONE;
}

/* ---- the process of a run ---- */

int cmd_engine(struct cli *c)
{
    struct run_options o = {.backend = c->o.backend,
                            .threads = c->o.threads > 0 ? (int)c->o.threads : 0};
    struct answerer_options answerer = answerer_of(c);
    struct buf b = buf_make(c->a);
    if (c->o.probe) {
        if (!machine_measure(&b, c->o.probe, &c->places, c->a, &c->err))
            return refuse(EXIT_FAILED, &c->err);
        print_text(buf_text(&b));
        return EXIT_DONE;
    }
    if (c->o.chat) return serve_chat(c->o.chat, &answerer, &c->places);
    if (c->n_words == 0)
        return fail(&c->err, "usage: hone engine RUN"), refuse(EXIT_USAGE, &c->err);
    const char *dir;
    if (!run_find(&dir, c->words[0], &c->places, c->a, &c->err))
        return refuse(EXIT_REFUSED, &c->err);
    return serve_engine(dir, (int)c->o.locked, &o, &c->places);
}
