/* data.h - from files of rows to micro-batches of tokens.
 *
 *   source   a file of rows in a format -> conversations (documents)
 *   tokens   template, tokenizer and mask turn each document into ids with a "trained" flag each;
 *            kept in a cache file under a key of everything that decides them
 *   stream   the windows of one stage in the order they are trained: mixed by share of tokens,
 *            binned, packed, shuffled; a pure function of (sources, settings, seed)
 *   batch    some windows of a stream, laid out for the model
 *
 * A window is up to max_length tokens of one or several documents that never see each other. The
 * mask is built segment by segment from the template's rendering, never searched for, and the end
 * token of an answer is trained. The label of token i is token i+1 of the same document where that
 * one is trained.
 *
 * The rows of most formats are conversations and go through the template, which owns all special
 * tokens then. Texts do not: bos where the tokenizer says that a text begins with it, the text,
 * eos; all of it is learnt. Nor does colossal: source, target, eos, the target and eos learnt. The
 * ids of a `tokens` row are taken as they are.
 *
 * A conversation over max_length is cut to it and a text is split into pieces that are documents of
 * their own (packing none and bfd), or either goes on in the next window (splice). The token cache
 * holds documents whole, so max_length and packing may change without reading the rows again.
 *
 * Bins: `bins: 10` splits each source into ten bins of equal token mass with the same mix of
 * categories and lengths; bucket k takes bin k of every source; buckets come in order, shuffled
 * inside. Hold-out rows are chosen by the hash of the row, so they are the same in every run. */
#ifndef HONE_DATA_H
#define HONE_DATA_H
#include "engine/base/base.h"
#include "engine/format/template.h"
#include "engine/format/tokenizer.h"
#include "kernels/pool.h"

enum train_on { TRAIN_ON_ANSWERS, TRAIN_ON_ALL, TRAIN_ON_LAST_ANSWER };
enum packing_kind { PACKING_BFD, PACKING_NONE, PACKING_SPLICE };

struct source_spec {
    const char *name, *path;      /* path: absolute or from the working directory */
    const char *format;           /* "auto", "text", "alpaca", "sharegpt", "messages",
                                     "prompt_completion", "colossal", "tokens" */
    const char *category;         /* "" = the rows' own, or none */
    enum train_on train_on;
    int64_t max_rows;             /* 0: all */
};

struct data_settings {
    const struct tokenizer *tokenizer;
    const struct template *template;
    int max_length;               /* tokens in a window */
    enum packing_kind packing;
    double holdout;               /* share of rows, 0..1 */
    const char *cache_dir;        /* made where absent */
    struct pool *pool;
    /* Called from the calling thread, some times a second; false: give up (the error says so). May be NULL. */
    bool (*progress)(void *arg, const char *source, int64_t rows_done, int64_t bytes_done, int64_t bytes_all);
    void *arg;
};

/* What became of a source's rows, under the packing and max_length it was prepared with. Numbers of tokens
 * are of all documents, held out or not. */
struct source_report {
    char format[24];              /* what `auto` found */
    int64_t rows, rows_bad, rows_held_out, rows_dropped;  /* all; dropped: nothing to learn, or empty */
    int64_t tokens, tokens_trained, tokens_truncated;     /* truncated: cut off conversations over max_length */
    int64_t rows_truncated, bytes_lost;                   /* bytes the vocabulary has no token for */
    int64_t longest;                                      /* tokens of the longest document, before cutting */
    int64_t lengths[16];                                  /* documents by length: bucket i holds 2^i .. 2^(i+1)-1 tokens */
    int n_bad; char bad[8][200];                          /* the first bad rows: "file:line: why" */
};

/* A source whose tokens are ready. */
struct source {
    struct source_spec spec;
    char key[33];                         /* a hash of all that decides its tokens: file, tokenizer, template */
    struct source_report report;
    int64_t documents, held_out;          /* numbers of both kinds */
    struct token_cache *cache;            /* private to the module */
};
/* Reads, checks and tokenises, or finds it all in the cache. Refused in a sentence: over 1 % bad rows,
 * nothing to learn (with the first row shown), an unreadable or empty file. Uses all cores of the pool. */
bool source_prepare(struct source *out, const struct source_spec *spec, const struct data_settings *s,
                    struct arena *a, struct err *err);
void source_close(struct source *s);

struct mix { const struct source *source; double share; };     /* shares of tokens; need not sum to 1 */
struct stream_spec {
    const struct mix *mix; int n_mix;
    int bins;                             /* 0 or 1: one bucket */
    /* What is reached first of those that are not 0 ends the stage; all 0: one epoch. The end is known when
     * the stream is made: a short stage has short buckets, and all of them. max_windows is met exactly. */
    double epochs; int64_t max_tokens, max_windows;
    uint64_t seed; bool shuffle;
    bool held_out;                        /* the hold-out rows instead (validation): in order, one epoch */
};

struct stream {
    int64_t windows;
    int64_t tokens, trained;              /* of all windows */
    int buckets; int64_t *bucket_start;   /* [buckets + 1], in windows */
    int64_t *source_tokens;               /* [n_mix] tokens that each source really gives */
    double *source_epochs;                /* [n_mix] how often its rows are seen */
    int longest;                          /* tokens of the longest document part */
    int64_t cut, lost;                    /* documents cut by splice; tokens chosen that are in no window: 0 */
    struct stream_plan *plan;             /* private to the module */
};
/* An epoch of a stage is the sum of its sources' tokens; each source gives its share of that sum, by
 * repeating or cutting its (shuffled) rows, to within one document. `s` may differ from what the sources
 * were prepared with in packing alone. Lives in arena a; sources must outlive it. A held-out stream may
 * have no window; any other without one is refused. */
bool stream_make(struct stream *out, const struct stream_spec *spec, const struct data_settings *s,
                 struct arena *a, struct err *err);

/* The one way from a conversation to ids, for training, evaluation and chat: appends what the model reads
 * before it answers. The template's own special tokens are the only ones (bos where it writes it, never
 * twice). A space that the template writes last is left to the answer, where training puts it too, since a
 * space is one token with the word after it; so an answer may begin with a space. */
bool prompt_encode(struct ids *out, const struct tokenizer *tokenizer, const struct template *template,
                   const struct message *messages, int n, struct err *err);

/* Rows of tokens for the model, in host memory; capacity is the plan's. */
struct batch {
    int rows_most;                        /* what there is room for: rows, and as many documents */
    int rows, n_seqs, longest, trained;   /* tokens, documents, longest document, labels >= 0 */
    int32_t *ids, *targets, *pos;         /* [rows]; targets: the label's id or -1; pos restarts in each document */
    int32_t *start;                       /* [n_seqs + 1] */
};
struct batch batch_make(struct arena *a, int rows_most);
/* Fills from windows first .. first+n-1. Reads the cache file; thread: the caller's. */
bool stream_batch(const struct stream *s, int64_t first, int n, struct batch *out, struct err *err);
/* Trained labels in windows first .. first+n-1, without reading them: the divisor of a step. */
int64_t stream_trained(const struct stream *s, int64_t first, int64_t n);

/* One window as people want to see it; texts in arena a. */
struct window_part { struct text text; bool trained; int document; };
struct window_view { int tokens, trained, documents, bucket; struct window_part *parts; int n_parts; const char *source; };
bool stream_view(const struct stream *s, int64_t window, struct window_view *out, struct arena *a, struct err *err);

/* A quiz: questions with the answer that counts as right. One bad row refuses the file. */
struct quiz_row { struct text question, answer; };
bool quiz_read(struct quiz_row **rows, int *n, const char *path, struct arena *a, struct err *err);
#endif
