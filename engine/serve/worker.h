/* worker.h - private to engine/serve: the thread that owns the device, and the two queues that join it to the loop.
 *
 * The loop puts orders and at most one chat in; the worker takes them between steps and micro-steps. The worker
 * puts lines for the chat's client out; the loop sends them. Each direction is bounded, and one mutex guards both. */
#ifndef HONE_WORKER_H
#define HONE_WORKER_H
#include "engine/serve/wire.h"

struct worker;
/* Starts the thread: it waits its turn for the device, then trains. wake: an eventfd written when something is out. */
struct worker *worker_start(const char *run_dir, const struct run_options *o, const struct places *p, int wake, struct arena *a, struct err *err);
bool worker_order(struct worker *w, const struct order *o);     /* false: 64 orders wait already */
/* Hands a chat over, as the JSON of its "ask". false: one is being answered. */
bool worker_ask(struct worker *w, struct text line);
void worker_stop_answer(struct worker *w);
/* The next line for the chat's client, copied to `out`. */
bool worker_reply(struct worker *w, struct buf *out);
bool worker_ended(struct worker *w, bool *ok);                  /* the thread is done; ok: not failed */
void worker_join(struct worker *w);
#endif
