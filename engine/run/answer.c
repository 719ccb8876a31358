/* answer.c - asking a model: text of a conversation to ids, tokens one by one, and when to stop.
 *
 * The key-value cache is reused as far as its tokens equal the prompt's, so a chat's next turn
 * reads only what is new. A model under training forgets its cache with every update. */
#include "engine/run/run.h"
#include <string.h>

static bool is_end(const struct model_config *c, const struct tokenizer *tok, int32_t id)
{
    for (int i = 0; i < c->n_eos; i++)
        if (c->eos[i] == id) return true;
    return id == tokenizer_eos(tok);
}

static int cached_prefix(struct model *m, const int32_t *prompt, int n)
{
    int have = model_cached(m), same = 0;
    const int32_t *ids = model_cached_ids(m);
    while (same < have && same < n - 1 && ids[same] == prompt[same]) same++;
    return same; /* the last token is always read: its logits are needed */
}

/* Where the earliest of the stop texts begins in what was written since `from`, or n. */
static size_t stop_at(const struct answer_options *o, struct text written, size_t from)
{
    size_t best = written.n;
    for (int i = 0; i < o->n_stops; i++) {
        size_t n = strlen(o->stops[i]);
        size_t start = from > n ? from - n : 0;
        const char *hit = n && written.n > start
                              ? memmem(written.p + start, written.n - start, o->stops[i], n)
                              : NULL;
        if (hit && (size_t)(hit - written.p) < best) best = (size_t)(hit - written.p);
    }
    return best;
}

/* Text that could be the beginning of a stop text is held back until it is decided. */
static size_t undecided(const struct answer_options *o, struct text written)
{
    size_t most = 0;
    for (int i = 0; i < o->n_stops; i++) {
        size_t n = strlen(o->stops[i]);
        for (size_t k = n > written.n ? written.n : n; k > most; k--)
            if (memcmp(written.p + written.n - k, o->stops[i], k) == 0) most = k;
    }
    return most;
}

struct answering {
    const struct answer_options *o;
    struct buf *out;
    size_t begin, shown; /* where this answer begins in out, how much of it went to token() */
};

static bool show(struct answering *x, size_t until)
{
    struct text piece = {x->out->p + x->shown, until > x->shown ? until - x->shown : 0};
    if (piece.n == 0) return true;
    x->shown = until;
    return !x->o->token || x->o->token(x->o->arg, piece);
}

/* Blanks before the first word of an answer are the template's, which left them to the model. */
static void trim_front(struct answering *x)
{
    size_t n = 0;
    if (!x->o->trim || x->shown > x->begin) return;
    while (x->begin + n < x->out->n && strchr(" \n", x->out->p[x->begin + n])) n++;
    memmove(x->out->p + x->begin, x->out->p + x->begin + n, x->out->n - x->begin - n + 1);
    x->out->n -= n;
}

/* Shows what is decided; NULL to go on, or how the answer ended. */
static const char *written(struct answering *x, size_t from)
{
    trim_front(x);
    struct text all = {x->out->p + x->begin, x->out->n - x->begin};
    size_t stop = stop_at(x->o, all, from > x->begin ? from - x->begin : 0);
    if (stop < all.n) {
        x->out->n = x->begin + stop;
        x->out->p[x->out->n] = 0;
        return show(x, x->out->n) ? "stop" : "stopped";
    }
    return show(x, x->out->n - undecided(x->o, all)) ? NULL : "stopped";
}

bool answer(struct model *m, const struct tokenizer *tok, const struct model_config *c,
            const int32_t *prompt, int n, const struct answer_options *o, struct buf *out,
            struct answer_stats *stats, struct arena *a, struct err *err)
{
    struct decoding d = {.skip_special = true};
    struct ids recent = {.a = a};
    if (!out->p) buf_put(out, "", 0);
    struct answering x = {o, out, out->n, out->n};
    int context = model_context(m), have = cached_prefix(m, prompt, n);
    int32_t id = 0;
    *stats = (struct answer_stats){.prompt_tokens = n, .context = context, .ended = "length"};
    if (n < 1) return fail(err, "there is nothing to answer: the prompt has no token");
    if (n >= context)
        return fail(err,
                    "the conversation has %d tokens and the context is %d; clear it or ask "
                    "something shorter",
                    n, context);
    for (int i = 0; i < n; i++) ids_put(&recent, prompt[i]);
    model_rewind(m, have);
    double t0 = now_monotonic(), t1 = t0;
    for (int i = 0; i < o->max_new_tokens; i++) {
        struct draw draw = {.seed = o->seed, .step = (uint32_t)i};
        if (n + i >= context) {
            stats->ended = "context";
            break;
        }
        const int32_t *next = i == 0 ? prompt + have : &id;
        int32_t drawn;
        if (!model_next(m, next, i == 0 ? n - have : 1, &o->sampling, recent.p, (int)recent.n, draw,
                        &drawn, err))
            return false;
        id = drawn;
        if (i == 0) t1 = now_monotonic();
        stats->tokens++;
        if (is_end(c, tok, id)) {
            stats->ended = "end";
            break;
        }
        ids_put(&recent, id);
        size_t from = out->n;
        tokenizer_decode_next(tok, &d, id, out);
        const char *ended = written(&x, from);
        if (ended) {
            stats->ended = ended;
            break;
        }
    }
    if (strcmp(stats->ended, "stop") != 0) {
        tokenizer_decode_end(tok, &d, out);
        show(&x, out->n);
    }
    stats->context_used = model_cached(m);
    stats->prompt_seconds = t1 - t0;
    stats->seconds = now_monotonic() - t0;
    return true;
}

void answer_normalise(struct buf *out, struct text t)
{
    size_t begin = out->n;
    bool blank = false;
    for (size_t i = 0; i < t.n; i++) {
        char ch = t.p[i];
        bool white = ch == ' ' || ch == '\n' || ch == '\t' || ch == '\r';
        if (white) {
            blank = out->n > begin;
            continue;
        }
        if (blank) buf_put(out, " ", 1);
        blank = false;
        if (ch >= 'A' && ch <= 'Z') ch = (char)(ch + 32);
        buf_put(out, &ch, 1);
    }
    static const char *const stops[] = {".", "。", "!", "！"};
    for (size_t i = 0; i < COUNT(stops); i++) {
        size_t n = strlen(stops[i]);
        if (out->n - begin >= n && memcmp(out->p + out->n - n, stops[i], n) == 0) {
            out->n -= n;
            break;
        }
    }
    buf_put(out, "", 0);
}

static bool answer_is(struct text got, struct text want, struct arena *a)
{
    struct buf x = buf_make(a), y = buf_make(a);
    answer_normalise(&x, got);
    answer_normalise(&y, want);
    return text_equal(buf_text(&x), buf_text(&y));
}

bool ask_greedily(struct model *m, const struct tokenizer *tok, const struct template *tpl,
                  const struct model_config *c, struct text question, int max_new_tokens,
                  struct buf *out, struct arena *a, struct err *err)
{
    struct message message = {TEXT("user"), question};
    struct ids prompt = {.a = a};
    struct answer_options o = {.sampling = {.top_p = 1, .repetition_penalty = 1},
                               .max_new_tokens = max_new_tokens,
                               .trim = true};
    struct answer_stats stats;
    if (!prompt_encode(&prompt, tok, tpl, &message, 1, err)) return false;
    return answer(m, tok, c, prompt.p, (int)prompt.n, &o, out, &stats, a, err);
}

bool quiz_score(struct model *m, const struct tokenizer *tok, const struct template *tpl,
                const struct model_config *c, const struct quiz_row *rows, int n,
                int max_new_tokens, int *right, struct arena *a, struct err *err)
{
    *right = 0;
    for (int i = 0; i < n; i++) {
        struct arena_mark mark = arena_mark(a);
        struct buf got = buf_make(a);
        bool ok = ask_greedily(m, tok, tpl, c, rows[i].question, max_new_tokens, &got, a, err);
        if (ok && answer_is(buf_text(&got), rows[i].answer, a)) ++*right;
        arena_back(a, mark);
        if (!ok) return false;
    }
    return true;
}
