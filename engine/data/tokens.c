/* tokens.c - from a conversation to ids with their mask: one way for training, evaluation and chat.
 *
 * The template's segments are encoded piece by piece, so a border between what is read and what is
 * learnt is a border between tokens by construction. Two rules make the pieces equal to what the
 * whole text would give: a piece after a special token is encoded together with that token (its id
 * is then dropped), so that the tokenizer's rules for the start of a part hold; a space that the
 * template writes directly before an answer goes with the answer, because " word" is one token of
 * nearly every vocabulary. */
#include "engine/data/tokens.h"
#include <string.h>

struct encoding {
    struct ids *out;
    int64_t first; /* where this document begins in out */
    const struct tokenizer *t;
    int64_t *lost;
    struct arena *scratch;
    struct err *err;
};

static void put(struct encoding *e, int32_t id, bool trained)
{
    ids_put(e->out, (int32_t)((uint32_t)id | (trained ? TRAINED : 0)));
}

static int32_t last_id(const struct encoding *e)
{
    return e->out->n > e->first ? e->out->p[e->out->n - 1] & (int32_t)~TRAINED : -1;
}

/* Encodes `s` behind what is there; `special`: together with the special token that it follows.
 * *dropped is how many of the first ids are that token's, -1 where its text did not give it. */
static bool encode_behind(struct encoding *e, struct ids *ids, struct text s, int32_t special,
                          int64_t *dropped)
{
    struct arena inner = arena_make(0);
    struct buf b = buf_make(e->scratch);
    unsigned flags = ENCODE_SPECIAL | (last_id(e) >= 0 ? ENCODE_CONTINUES : 0u);
    int64_t lost = 0;
    ids->n = 0;
    if (special >= 0) {
        struct text piece = tokenizer_piece(e->t, special);
        buf_put(&b, piece.p, piece.n);
        buf_put(&b, s.p, s.n);
        s = buf_text(&b);
    }
    bool ok = tokenizer_encode(e->t, ids, s, flags, &lost, &inner, e->err);
    arena_drop(&inner);
    *dropped = special < 0 ? 0 : ids->n > 0 && ids->p[0] == special ? 1 : -1;
    if (e->lost && *dropped >= 0) *e->lost += lost;
    return ok;
}

/* Appends a piece of text that continues what is there. */
static bool put_text(struct encoding *e, struct text s, bool trained)
{
    if (s.n == 0) return true;
    struct arena_mark m = arena_mark(e->scratch);
    struct ids ids = {.a = e->scratch};
    int32_t last = last_id(e), special = last >= 0 && tokenizer_special(e->t, last) ? last : -1;
    int64_t from;
    bool ok = encode_behind(e, &ids, s, special, &from) &&
              (from >= 0 || encode_behind(e, &ids, s, -1, &from));
    for (int64_t i = from; ok && i < ids.n; i++) put(e, ids.p[i], trained);
    arena_back(e->scratch, m);
    return ok;
}

static void drop_double_bos(struct encoding *e)
{
    int32_t bos = tokenizer_bos(e->t);
    int64_t n = e->out->n - e->first;
    if (bos < 0 || n < 2) return;
    int32_t *p = e->out->p + e->first;
    while (n >= 2 && (p[0] & (int32_t)~TRAINED) == bos &&
           (p[1] & (int32_t)~TRAINED) == bos) {
        memmove(p, p + 1, (size_t)(n - 1) * sizeof *p);
        e->out->n--;
        n--;
    }
}

static struct render how(const struct tokenizer *t, const struct template *template, bool ask)
{
    struct render r = {.ask = ask};
    int bos = tokenizer_bos(t), eos = tokenizer_eos(t);
    bool writes_bos = tokenizer_adds_bos(t) || template_is_models_own(template);
    if (bos >= 0 && writes_bos) r.bos = tokenizer_piece(t, bos);
    if (eos >= 0) r.eos = tokenizer_piece(t, eos);
    return r;
}

static bool learns(const struct segment *s, enum train_on on, int last)
{
    return on == TRAIN_ON_ALL || (s->answer && (on == TRAIN_ON_ANSWERS || s->message == last));
}

/* The segments as pieces of text: a piece ends where answers begin or end, and before an end token.
 */
static bool put_segments(struct encoding *e, const struct segments *list, enum train_on on,
                         bool ask)
{
    struct buf piece = buf_make(e->scratch);
    bool answer = false, trained = on == TRAIN_ON_ALL;
    int last = -1;
    for (int i = 0; i < list->n; i++)
        if (list->list[i].answer && list->list[i].message > last) last = list->list[i].message;
    for (int i = 0; i <= list->n; i++) {
        const struct segment *s = i < list->n ? &list->list[i] : NULL;
        bool border = !s || s->answer != answer || s->end || (i > 0 && list->list[i - 1].end) ||
                      learns(s, on, last) != trained;
        if (border) {
            bool space =
                !answer && piece.n > 0 && piece.p[piece.n - 1] == ' ' && (s ? s->answer : ask);
            if (!put_text(e, (struct text){piece.p, piece.n - space}, trained)) return false;
            piece = buf_make(e->scratch);
            if (space && s) buf_put(&piece, " ", 1);
        }
        if (!s) break;
        answer = s->answer;
        trained = learns(s, on, last);
        buf_put(&piece, s->text.p, s->text.n);
    }
    drop_double_bos(e);
    return true;
}

static bool put_talk(struct encoding *e, const struct template *template,
                     const struct message *messages, int n, enum train_on on, bool ask)
{
    struct segments segments = {0};
    return template_render(template, messages, n, how(e->t, template, ask), &segments, e->scratch,
                           e->err) &&
           put_segments(e, &segments, on, ask);
}

/* bos where the tokenizer says so, the source, the target, eos: the last two are learnt. */
static bool put_prose(struct encoding *e, const struct conversation *c, enum train_on on)
{
    int bos = tokenizer_bos(e->t), eos = tokenizer_eos(e->t);
    struct text first = c->source.n ? c->source : c->target;
    bool first_trained = !c->source.n || on == TRAIN_ON_ALL;
    struct encoding begin = *e;
    if (bos >= 0 && tokenizer_adds_bos(e->t)) {
        put(e, bos, first_trained);
        begin.first = e->out->n; /* the text begins here: nothing before it to continue */
    }
    if (!put_text(&begin, first, first_trained)) return false;
    if (c->source.n && !put_text(e, c->target, true)) return false;
    if (eos >= 0 && last_id(e) != eos) put(e, eos, true);
    drop_double_bos(e);
    return true;
}

static bool put_ids(struct encoding *e, const struct conversation *c)
{
    int size = tokenizer_size(e->t);
    for (int64_t i = 0; i < c->n_ids; i++) {
        if (c->ids[i] >= size)
            return fail(e->err, "\"input_ids\"[%lld] is %d; the tokenizer's ids are 0 to %d",
                        (long long)i, c->ids[i], size - 1);
        put(e, c->ids[i], c->trained[i]);
    }
    return true;
}

bool conversation_encode(struct ids *out, const struct conversation *c,
                         const struct tokenizer *tokenizer, const struct template *template,
                         enum train_on on, int64_t *lost, struct arena *scratch, struct err *err)
{
    struct arena_mark m = arena_mark(scratch);
    struct encoding e = {out, out->n, tokenizer, lost, scratch, err};
    bool ok = c->kind == TALK    ? put_talk(&e, template, c->messages, c->n, on, false)
              : c->kind == PROSE ? put_prose(&e, c, on)
                                 : put_ids(&e, c);
    arena_back(scratch, m);
    return ok;
}

bool prompt_encode(struct ids *out, const struct tokenizer *tokenizer,
                   const struct template *template, const struct message *messages, int n,
                   struct err *err)
{
    struct arena inner = arena_make(0);
    struct encoding e = {out, out->n, tokenizer, NULL, &inner, err};
    int64_t first = out->n;
    bool ok = put_talk(&e, template, messages, n, TRAIN_ON_ANSWERS, true);
    arena_drop(&inner);
    for (int64_t i = first; i < out->n; i++) out->p[i] &= (int32_t)~TRAINED;
    return ok;
}

int64_t labels_in(const uint32_t *tokens, int64_t n)
{
    int64_t labels = 0;
    for (int64_t i = 1; i < n; i++) labels += tokens[i] >> 31;
    return labels;
}
