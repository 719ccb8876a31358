/* serve.h - a run's process: how it is started, how it is reached, and how it waits its turn.
 *
 *   launch    make the folder, double fork, setsid, exec `hone engine RUN`: hang-up, logout and the death of
 *             the screen do not reach it. A few-line parent waits for the engine and writes how it ended as
 *             the last event, since nobody else can know.
 *   engine    one loop owns the outside world (socket, signals), one worker thread owns the device and
 *             runs the training loop; a bounded queue each way.
 *   queue     an engine takes a ticket in HOME/queue and waits until it is the lowest living one.
 *   client    what screens and commands use: orders, and a chat with the weights in training.
 *   chat      a model that is not training is served by a process of its own, `hone engine --chat SPEC`, with
 *             the same messages over its standard input and output.
 *
 * Messages are JSON lines (at most 1 MiB); wire.c has them all in one table. */
#ifndef HONE_SERVE_H
#define HONE_SERVE_H
#include "engine/base/base.h"
#include "engine/run/run.h"

/* ---- starting ---- */

/* Starts the engine of a run folder (new or to be resumed) and returns once it holds the lock or failed to
 * (at most 10 s). Several callers may race: one engine comes of it, the others are told who holds it. */
bool serve_launch(const char *run_dir, const struct run_options *o, const struct places *p, struct err *err);
/* The process that `hone engine RUN` is; returns its exit code. lock: the run's lock that the launcher holds
 * already, or -1: take it (a cluster's launcher starts engines so). */
int serve_engine(const char *run_dir, int lock, const struct run_options *o, const struct places *p);
/* The process that `hone engine --chat SPEC` is. */
int serve_chat(const char *spec, const struct answerer_options *o, const struct places *p);

/* ---- the client's side ---- */

struct client;
/* To the engine of a run. Refused in a sentence where nobody listens, another user owns it, or its
 * version differs. Nothing blocks for longer than 2 s. */
bool client_open(struct client **out, const char *run_dir, struct arena *a, struct err *err);
/* Starts a chat process for a base model, checkpoint or finished run. It ends with the client. */
bool client_chat_process(struct client **out, const char *spec, const struct answerer_options *o,
                         const struct places *p, struct arena *a, struct err *err);
void client_close(struct client *c);
/* What the engine of a run said of itself (READY) when client_open reached it; its text lives as the client. */
struct reply client_greeting(const struct client *c);
int client_fd(const struct client *c);       /* for poll: readable when something came */

/* The engine answers with a reply and, when the order counts, with an event. */
bool client_order(struct client *c, enum order_kind kind, double value, struct err *err);

struct chat_message { const char *role; struct text content; };
struct chat_request {
    const struct chat_message *messages; int n;
    bool raw;                                /* no template: the last content is continued as it is */
    struct sampling sampling; int max_new_tokens; uint64_t seed;
    const char *const *stops; int n_stops;
    bool adapter_off;
};
bool client_ask(struct client *c, const struct chat_request *r, struct err *err);
bool client_stop_answer(struct client *c, struct err *err);

enum reply_kind { REPLY_NONE, REPLY_READY, REPLY_OK, REPLY_REFUSED, REPLY_TOKEN, REPLY_ANSWERED, REPLY_GONE };
struct reply {
    enum reply_kind kind;
    struct text text;                        /* REFUSED, GONE: a sentence; TOKEN: a piece; READY: the model's name */
    struct answer_stats stats;               /* ANSWERED */
    bool adapter;                            /* READY: there is an adapter to turn off */
    int context;                             /* READY: tokens that fit */
    int64_t step;                            /* of the weights that answer; -1: not training */
};
/* The next reply that is there; REPLY_NONE where there is none yet. Never blocks. Texts live until the next call. */
bool client_next(struct client *c, struct reply *out, struct err *err);

/* ---- following events ---- */

/* A run's events.jsonl from a byte on: what is there now, and again later for what came since. */
struct follower {
    int fd;
    int64_t at, damaged;                     /* damaged: lines that are no event, until they are told */
    char path[4096];
    struct arena *a;
};
bool follow_open(struct follower *f, const char *run_dir, struct arena *a, struct err *err);
/* Calls each(arg, event) for every whole new line; returns how many through *n. Texts live during the call. */
bool follow_read(struct follower *f, int *n, void (*each)(void *arg, const struct event *e, struct text line), void *arg, struct err *err);
void follow_close(struct follower *f);
#endif
