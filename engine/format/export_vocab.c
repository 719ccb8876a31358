/* export_vocab.c - a folder's tokenizer in GGUF's terms.
 *
 * What a tokenizer does is taken from the opened one, so tokenizer.json, vocab.json with merges.txt and
 * tokenizer.model are all the same here; only the name of the pre-tokenizer is found by comparing the
 * steps in tokenizer.json with the rows that importing uses. Merges of a SentencePiece vocabulary
 * become scores: a piece scores less the later its first merge comes. */
#include "engine/format/export.h"
#include "engine/format/json.h"
#include "engine/format/tokenizer_parts.h"
#include <stdlib.h>
#include <string.h>

/* The steps of tokenizer.json that matter, in order. */
struct steps { bool digits, gpt2, nfc, ignore_merges; struct text regexes[PRE_STEPS_MOST]; int n; };

static const struct json *in_sequence(const struct json *step, const char *key, int *n)
{
    const struct json *inner = json_get(step, key);
    if (!inner || inner->kind != JSON_ARRAY) {
        *n = step && step->kind == JSON_OBJECT ? 1 : 0;
        return step;
    }
    *n = inner->n;
    return inner->items;
}

static bool is_text(const struct json *o, const char *key, const char *is)
{
    const struct json *v = json_get(o, key);
    return v && v->kind == JSON_TEXT && text_is(v->text, is);
}

static bool is_yes(const struct json *o, const char *key, bool otherwise)
{
    const struct json *v = json_get(o, key);
    return v && v->kind == JSON_BOOL ? v->yes : otherwise;
}

/* A Split isolates what its pattern matches, or (inverted) removes what it does not. */
static bool add_split(struct steps *s, const struct json *step)
{
    const struct json *regex = json_get(json_get(step, "pattern"), "Regex");
    bool invert = is_yes(step, "invert", false);
    if (!regex || regex->kind != JSON_TEXT || s->n == PRE_STEPS_MOST) return false;
    if (!is_text(step, "behavior", invert ? "Removed" : "Isolated")) return false;
    if (s->n == 0 && !s->digits && text_is(regex->text, "\\p{N}")) s->digits = true;
    else s->regexes[s->n++] = regex->text;
    return true;
}

static bool add_step(struct steps *s, const struct json *step)
{
    if (is_text(step, "type", "Split")) return add_split(s, step);
    if (is_text(step, "type", "Digits")) {
        if (s->n || !is_yes(step, "individual_digits", false)) return false;
        s->digits = true;
        return true;
    }
    if (!is_text(step, "type", "ByteLevel") || is_yes(step, "add_prefix_space", true)) return false;
    s->gpt2 = is_yes(step, "use_regex", true);
    return true;
}

static bool read_steps(struct steps *s, const struct json *root)
{
    int n, norms;
    const struct json *step = in_sequence(json_get(root, "pre_tokenizer"), "pretokenizers", &n);
    const struct json *norm = in_sequence(json_get(root, "normalizer"), "normalizers", &norms);
    for (int i = 0; i < n; i++)
        if (!add_step(s, &step[i])) return false;
    for (int i = 0; i < norms; i++) {
        if (!is_text(&norm[i], "type", "NFC")) return false;
        s->nfc = true;
    }
    s->ignore_merges = is_yes(json_get(root, "model"), "ignore_merges", false);
    return true;
}

/* The digits alone in front of GPT-2's pattern may also stand as the first regex of a row. */
static bool row_matches(const struct pre *p, const struct steps *s)
{
    int n = 0;
    bool first_is_digits = p->regexes[0] && strcmp(p->regexes[0], "\\p{N}") == 0;
    if (p->gpt2 != s->gpt2 || p->ignore_merges != s->ignore_merges || (p->digits || first_is_digits) != s->digits) return false;
    for (int i = first_is_digits; i < PRE_STEPS_MOST && p->regexes[i]; i++, n++)
        if (n >= s->n || !text_is(s->regexes[n], p->regexes[i])) return false;
    return n == s->n;
}

/* llama.cpp never normalises, so a row with the same NFC is only preferred. */
static bool find_pre(const struct pre **out, const char *dir, struct arena *a, struct err *err)
{
    const char *path = path_join(a, dir, "tokenizer.json");
    const struct json *root;
    struct steps s = {0};
    *out = pre_at(0);
    if (!path_exists(path)) return true; /* vocab.json and merges.txt are GPT-2's */
    if (!json_read(&root, path, (struct json_limits){.bytes = JSON_BYTES_MOST}, a, err)) return false;
    *out = NULL;
    bool known = read_steps(&s, root);
    for (int i = 0; known && pre_at(i); i++)
        if (row_matches(pre_at(i), &s) && (!*out || (pre_at(i)->nfc == s.nfc && (*out)->nfc != s.nfc))) *out = pre_at(i);
    return *out || fail(err, "%s: its pre-tokenizer or normalizer has no name in GGUF, so llama.cpp could not follow it", path);
}

static int by_rank(const void *a, const void *b)
{
    const struct pair_slot *x = *(const struct pair_slot *const *)a, *y = *(const struct pair_slot *const *)b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static int32_t left_of(const struct pair_slot *s) { return (int32_t)((s->key - 1) >> 32); }
static int32_t right_of(const struct pair_slot *s) { return (int32_t)(uint32_t)(s->key - 1); }

static void take_merges(struct vocab *v, const struct tokenizer *t, struct arena *a)
{
    const struct pair_slot **order = NULL;
    int n = 0, cap = 0;
    for (size_t i = 0; t->bpe.pairs.slots && i <= t->bpe.pairs.mask; i++) {
        if (!t->bpe.pairs.slots[i].key) continue;
        ROOM(a, order, n, cap);
        order[n++] = &t->bpe.pairs.slots[i];
    }
    if (n) qsort(order, (size_t)n, sizeof *order, by_rank);
    v->merges = NEW_N(a, struct merge, n);
    v->n_merges = n;
    for (int i = 0; i < n; i++)
        v->merges[i] = (struct merge){t->pieces[left_of(order[i])], t->pieces[right_of(order[i])]};
}

/* Characters that no merge makes, and special pieces, score 0: it is never asked. */
static void take_scores(struct vocab *v, const struct tokenizer *t, struct arena *a)
{
    v->scores = NEW_N(a, float, v->n);
    for (size_t i = 0; t->bpe.pairs.slots && i <= t->bpe.pairs.mask; i++) {
        const struct pair_slot *s = &t->bpe.pairs.slots[i];
        float score = -1 - (float)s->rank;
        if (s->key && s->id < t->size && (v->scores[s->id] == 0 || v->scores[s->id] < score)) v->scores[s->id] = score;
    }
}

static int type_of(const struct tokenizer *t, int id)
{
    int kind = t->kinds[id];
    if (kind & PIECE_UNKNOWN) return TOKEN_UNKNOWN;
    if (kind & PIECE_SPECIAL) return TOKEN_CONTROL;
    if (kind & (PIECE_USER | PIECE_ADDED)) return TOKEN_USER;
    if (kind & PIECE_UNUSED) return TOKEN_UNUSED;
    return (kind & PIECE_BYTE) && !t->bpe.byte_level ? TOKEN_BYTE : TOKEN_NORMAL;
}

/* Ids without a piece, and rows beyond the vocabulary, get names that no text contains. */
static void take_tokens(struct vocab *v, const struct tokenizer *t, struct arena *a)
{
    v->tokens = NEW_N(a, struct text, v->n);
    v->types = NEW_N(a, int32_t, v->n);
    for (int i = 0; i < v->n; i++) {
        if (t->model == MODEL_BYTES && i < 256) {
            struct buf b = buf_make(a);
            alphabet_put(&b, (unsigned char)i);
            v->tokens[i] = buf_text(&b);
            v->types[i] = TOKEN_NORMAL;
        } else if (i < t->size && t->pieces[i].n) {
            v->tokens[i] = t->pieces[i];
            v->types[i] = type_of(t, i);
        } else {
            v->tokens[i] = text_of(arena_printf(a, "[PAD%d]", i));
            v->types[i] = TOKEN_UNUSED;
        }
    }
}

static bool has_prefix(const struct tokenizer *t)
{
    if (t->is_spm) return t->spm.dummy_prefix;
    for (int i = 0; i < t->norm_n; i++)
        if (t->norm[i].kind == NORM_PREPEND) return true;
    for (int i = 0; i < t->pre_n; i++)
        if (t->pre[i].kind == PRE_METASPACE) return t->pre[i].scheme != PREPEND_NEVER;
    return false;
}

static bool check_fallback(const struct tokenizer *t, const char *dir, struct err *err)
{
    for (int i = 0; i < 256; i++)
        if (t->byte_piece[i] < 0)
            return fail(err, "%s: the vocabulary has no piece <0x%02X>; llama.cpp needs one for every byte", dir, (unsigned)i);
    return true;
}

/* "<pad>" or {"content": "<pad>"}; an absent one leaves *id. */
static void named_token(int *id, const struct tokenizer *t, const struct json *config, const char *key)
{
    const struct json *v = json_get(config, key);
    if (v && v->kind == JSON_OBJECT) v = json_get(v, "content");
    if (v && v->kind == JSON_TEXT && v->text.n) *id = tokenizer_find(t, v->text);
}

/* Padding and unknown are named in tokenizer_config.json; what ends a turn is another eos in
 * generation_config.json. */
static bool take_special(struct vocab *v, const struct tokenizer *t, const char *dir, struct arena *a, struct err *err)
{
    const char *config = path_join(a, dir, "tokenizer_config.json"), *generation = path_join(a, dir, "generation_config.json");
    const struct json *c = NULL, *g = NULL;
    if (path_exists(config) && !json_read(&c, config, (struct json_limits){.bytes = CONFIG_BYTES_MOST}, a, err)) return false;
    if (path_exists(generation) && !json_read(&g, generation, (struct json_limits){1 << 20, 32, 10000}, a, err)) return false;
    named_token(&v->padding, t, c, "pad_token");
    if (v->unknown < 0) named_token(&v->unknown, t, c, "unk_token");
    const struct json *eos = json_get(g, "eos_token_id");
    for (int i = 0; eos && eos->kind == JSON_ARRAY && i < eos->n; i++)
        if (eos->items[i].kind == JSON_INT && eos->items[i].integer >= 0 && eos->items[i].integer < t->size &&
            eos->items[i].integer != v->eos) v->turn_end = (int)eos->items[i].integer;
    return true;
}

bool export_vocab(struct vocab *v, const char *dir, int64_t rows, struct arena *a, struct err *err)
{
    struct tokenizer *t;
    if (!tokenizer_open(&t, dir, a, err)) return false;
    if (t->size > rows) return fail(err, "%s: %d tokens, but the embedding has %lld rows", dir, t->size, (long long)rows);
    if (t->model == MODEL_UNIGRAM)
        return fail(err, "%s: a unigram tokenizer, which hone does not write as GGUF; BPE is written", dir);
    *v = (struct vocab){.n = (int)rows, .bos = t->bos, .eos = t->eos, .unknown = t->unknown, .padding = -1, .turn_end = -1,
                        .adds_bos = t->adds_bos, .space_prefix = has_prefix(t), .chat_template = t->chat_template};
    take_tokens(v, t, a);
    if (!take_special(v, t, dir, a, err)) return false;
    if (t->model == MODEL_BYTES) v->pre = pre_at(0);
    else if (t->bpe.byte_level) {
        if (!find_pre(&v->pre, dir, a, err)) return false;
        take_merges(v, t, a);
    } else {
        if (!check_fallback(t, dir, err)) return false;
        take_scores(v, t, a);
    }
    return true;
}
