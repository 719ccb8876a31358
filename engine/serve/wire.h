/* wire.h - private to engine/serve: lines of JSON over a descriptor, and the socket they usually come by.
 *
 *   client -> engine                                    engine -> client
 *   {"hello": VERSION}                                  {"ready": {"name", "version", "adapter", "context", "step"}}
 *   {"order": "pause", "value": 0, "by": "anna"}        {"ok": true}  or  {"refused": SENTENCE}
 *   {"ask": {"messages": [{"role", "content"}], ...}}   {"token": TEXT} ... {"answered": {...}}
 *   {"stop_answer": true}
 *
 * A message is one line of at most 1 MiB. The socket lies in a folder of mode 0700 of this user alone,
 * and the peer's user is checked on both sides. */
#ifndef HONE_WIRE_H
#define HONE_WIRE_H
#include "engine/format/json.h"
#include "engine/serve/serve.h"

#define WIRE_LINE_MOST (1 << 20)
#define WIRE_OUT_MOST (1 << 20)

/* One end of a conversation: not blocking, a line's beginning is kept until its end comes. */
struct wire {
    int in, out;
    char *got; size_t n, from, seen;    /* handed out up to `from`; no newline between there and `seen` */
    char *put; size_t n_put;
};
struct wire wire_make(int in, int out, struct arena *a);
/* The next whole line, without '\n'; it lives until the next call. false: none yet, or *gone is set. */
bool wire_line(struct wire *w, struct text *line, bool *gone);
/* Queues a line (with its '\n') and writes what the other side takes. false: it is gone, or too slow (1 MiB waits). */
bool wire_send(struct wire *w, struct text line);
bool wire_flush(struct wire *w);             /* false: gone */

/* Path of the socket of a run: under home/sock, or in /tmp/hone-UID where that is too long; its folder is made safe. */
bool wire_path(char out[108], const char *run_dir, const char *home, struct err *err);
bool wire_listen(int *fd, const char *path, struct err *err);
/* A new client of this user, or -1. */
int wire_accept(int fd);
/* Tells a new client why it is not served, as far as it fits, and closes. */
void wire_refuse(int fd, const char *sentence);
bool wire_connect(int *fd, const char *path, struct err *err);

/* ---- messages ---- */

struct asked {                                /* a chat_request as it came; lives in its own arena */
    struct message *messages; int n;
    bool raw, adapter_off;
    struct answer_options options;
};
bool asked_read(struct asked *out, const struct json *ask, struct arena *a, struct err *err);
void put_ask(struct buf *b, const struct chat_request *r);
void put_ready(struct buf *b, const char *name, bool adapter, int context, int64_t step);
void put_refused(struct buf *b, struct text sentence);
void put_token(struct buf *b, struct text piece);
void put_answered(struct buf *b, const struct answer_stats *s);
/* An engine's line as a reply; texts in arena a. */
bool reply_read(struct reply *out, struct text line, struct arena *a);

/* Answers what was asked on a model; pieces go to asked->options.token. */
bool asked_answer(struct asked *x, struct model *m, const struct model_config *c, const struct tokenizer *tok,
                  const struct template *tpl, struct answer_stats *stats, struct arena *a, struct err *err);
#endif
