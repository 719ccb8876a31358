/* folder.h - private to engine/run: a run's folder while its engine writes to it. */
#ifndef HONE_FOLDER_H
#define HONE_FOLDER_H
#include "engine/run/run.h"

/* events.jsonl, metrics.bin and state.json as the engine appends to them. A line that cannot be written
 * (full disk) waits in memory, 4 MiB of them, and goes out with the next one that can. As long as lines wait,
 * or state.json cannot be replaced, RUN/word says how many and what the state is: it has its full size from the
 * start and is overwritten in place, which a full disk allows (btrfs aside). Else it is blank. */
struct journal {
    const char *dir;
    int events, metrics, word;
    bool spoken;                         /* the word is not blank */
    int64_t seq, events_bytes;
    char *held; size_t held_n; int held_lines, held_lost, waited;
    struct run_summary now;              /* what state.json says */
    void (*event)(void *arg, const struct event *e); void *arg;
};
#define HELD_BYTES (4 << 20)
#define WORD_BYTES 1024
#define JOURNAL_CLOSED {.events = -1, .metrics = -1, .word = -1}
/* Cuts a torn last line (kept in events.torn) and goes on after the last seq. */
bool journal_open(struct journal *j, const char *dir, struct arena *a, struct err *err);
void journal_close(struct journal *j);
/* Sets seq and t, and `has` where it is 0: to all fields. */
void journal_write(struct journal *j, struct event *e);
void journal_note(struct journal *j, const char *level, int64_t step, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* A state event, and state.json replaced. */
void journal_state(struct journal *j, enum run_state s, int64_t step, const char *fmt, ...) PRINTF_LIKE(4, 5);
void journal_sync(struct journal *j);    /* what is written so far outlives a power cut */
void journal_beat(struct journal *j);    /* state.json again, for lists (step, loss) */
/* Drops records of steps after `step` from metrics.bin. */
bool metrics_cut(struct journal *j, int64_t step, struct err *err);
void metrics_add(struct journal *j, const struct event *step);

char *run_path(struct arena *a, const char *dir, const char *name);
#endif
