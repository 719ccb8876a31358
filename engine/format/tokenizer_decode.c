/* tokenizer_decode.c - ids to text, one at a time: a whole text is the same steps in a loop, so the
 * pieces of a stream and the whole are equal by construction.
 *
 * Bytes come singly (byte pieces, the byte alphabet), so a character may be spread over several ids: its
 * first bytes are held. What can no longer become a character turns into U+FFFD: one for each longest
 * beginning of a character in byte-level text, as Rust's and Python's decoders do, and one for each
 * byte where pieces like <0x0A> stand among others, as SentencePiece does. */
#include "engine/format/tokenizer_parts.h"
#include <string.h>

static const char replacement[] = "\xEF\xBF\xBD", underline[] = "\xE2\x96\x81";

/* The last step: what is cut from the start of the whole text. */
static void emit(const struct tokenizer *t, struct decoding *d, struct buf *out, const char *p, size_t n)
{
    const struct decode_step *last = t->decode_n ? &t->decode[t->decode_n - 1] : NULL;
    if (!d->started && last && last->kind == DECODE_STRIP && t->fused)
        while (d->cut < last->start && n >= last->find.n && last->find.n &&
               !memcmp(p, last->find.p, last->find.n)) {
            p += last->find.n;
            n -= last->find.n;
            d->cut++;
        }
    if (!n) return;
    d->started = true;
    buf_put(out, p, n);
}

/* How many bytes at p begin a well-formed character; *open: with more bytes they could become one. */
static size_t beginning(const unsigned char *p, size_t n, bool *open)
{
    static const struct { unsigned char first, last, low, high; size_t length;
    } rows[] = {{0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
                {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
                {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4}};
    *open = false;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (p[0] < rows[i].first || p[0] > rows[i].last) continue;
        size_t k = 1;
        if (k < n && (p[1] < rows[i].low || p[1] > rows[i].high)) return 1;
        while (k < n && k < rows[i].length && (p[k] & 0xC0) == 0x80) k++;
        *open = k == n && k < rows[i].length;
        return k;
    }
    return 1;
}

static void flush(const struct tokenizer *t, struct decoding *d, struct buf *out)
{
    int n = t->byte_singly ? d->n_held : d->n_held ? 1 : 0;
    d->n_held = 0;
    for (int i = 0; i < n; i++) emit(t, d, out, replacement, 3);
}

static void emit_bytes(const struct tokenizer *t, struct decoding *d, struct buf *out, struct text bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        d->held[d->n_held++] = bytes.p[i];
        while (d->n_held) {
            int32_t code;
            bool open;
            int length = utf8_decode(d->held, (size_t)d->n_held, &code);
            size_t bad = code >= 0 ? 0 : beginning((unsigned char *)d->held, (size_t)d->n_held, &open);
            if (code < 0 && open) break;
            if (bad && t->byte_singly) bad = 1;
            if (bad) length = (int)bad;
            emit(t, d, out, bad ? replacement : d->held, bad ? 3 : (size_t)length);
            d->n_held -= length;
            memmove(d->held, d->held + length, (size_t)d->n_held);
        }
    }
}

static void emit_text(const struct tokenizer *t, struct decoding *d, struct buf *out, struct text s)
{
    flush(t, d, out);
    emit(t, d, out, s.p, s.n);
}

/* ---- what each piece shows, made when the tokenizer is opened ---- */

static void replaced(struct buf *out, struct text s, struct text find, struct text with)
{
    while (s.n) {
        const char *at = find.n ? memmem(s.p, s.n, find.p, find.n) : NULL;
        size_t plain = at ? (size_t)(at - s.p) : s.n;
        buf_put(out, s.p, plain);
        if (at) buf_put(out, with.p, with.n);
        plain += at ? find.n : 0;
        s = (struct text){s.p + plain, s.n - plain};
    }
}

/* The steps of tokenizer.json on one piece; sets PIECE_RAW where it becomes bytes of a longer text. */
static void show_by_steps(struct opening *o, int32_t id, struct text token, struct buf *out)
{
    struct tokenizer *t = o->t;
    for (int i = 0; i < t->decode_n; i++) {
        const struct decode_step *s = &t->decode[i];
        struct buf next = buf_make(o->scratch);
        switch (s->kind) {
        case DECODE_REPLACE: replaced(&next, token, s->find, s->with); break;
        case DECODE_METASPACE: replaced(&next, token, s->find, text_of(" ")); break;
        case DECODE_STRIP:
            for (int64_t k = 0; !t->fused && k < s->start && token.n >= s->find.n &&
                                !memcmp(token.p, s->find.p, s->find.n);
                 k++)
                token = (struct text){token.p + s->find.n, token.n - s->find.n};
            continue;
        case DECODE_BYTE_FALLBACK:
            if (byte_of_piece(token) < 0) continue;
            t->kinds[id] |= PIECE_RAW;
            buf_put(&next, (char[]){(char)byte_of_piece(token)}, 1);
            break;
        case DECODE_BYTE_LEVEL:
            t->kinds[id] |= PIECE_RAW;
            if (!alphabet_bytes(&next, token)) continue;
            break;
        case DECODE_FUSE: continue;
        }
        token = buf_text(&next);
    }
    buf_put(out, token.p, token.n);
}

static void show_spm(struct opening *o, int32_t id, struct buf *out)
{
    struct tokenizer *t = o->t;
    if (t->kinds[id] & PIECE_BYTE) {
        t->kinds[id] |= PIECE_RAW;
        buf_put(out, (char[]){(char)byte_of_piece(t->pieces[id])}, 1);
    } else if (t->kinds[id] & PIECE_UNKNOWN) {
        buf_put(out, t->spm.unknown_surface.p, t->spm.unknown_surface.n);
    } else if (t->kinds[id] & PIECE_ADDED) {
        buf_put(out, t->pieces[id].p, t->pieces[id].n);
    } else {
        replaced(out, t->pieces[id], text_of(underline), text_of(" "));
    }
}

/* Which orders of steps can be done a token at a time. */
static bool check_steps(struct opening *o)
{
    struct tokenizer *t = o->t;
    for (int i = 0; i < t->decode_n; i++) {
        enum decode_kind kind = t->decode[i].kind;
        bool last = i + 1 == t->decode_n,
             strip_last = i + 2 == t->decode_n && t->decode[i + 1].kind == DECODE_STRIP;
        if ((kind == DECODE_FUSE && !last && !strip_last) || (kind == DECODE_BYTE_LEVEL && !last) ||
            (kind == DECODE_METASPACE && t->decode_n > 1))
            return fail(o->err, "%s: the decoders stand in an order that hone does not do", o->path);
        t->fused = t->fused || kind == DECODE_FUSE;
        t->byte_singly = t->byte_singly || kind == DECODE_BYTE_FALLBACK;
    }
    t->byte_singly = t->byte_singly || t->is_spm;
    return true;
}

bool make_shown(struct opening *o)
{
    enum { SHOWN_BYTES_MOST = 256 << 20 };
    struct tokenizer *t = o->t;
    if (!check_steps(o)) return false;
    t->shows = NEW_N(o->a, struct text, t->size);
    size_t *ends = NEW_N(o->scratch, size_t, t->size), start = 0;
    struct text *token = NEW_N(o->scratch, struct text, t->size);
    memcpy(token, t->pieces, (size_t)t->size * sizeof *token);
    for (int i = 0; i < t->added_n; i++)
        token[t->added[i].id] = t->added[i].found; /* as Hugging Face shows them */
    struct arena room = arena_make(0);
    struct buf all = buf_make(&room);
    bool as_is = t->decode_n == 1 && t->decode[0].kind == DECODE_BYTE_LEVEL;
    for (int32_t id = 0; id < t->size && all.n <= SHOWN_BYTES_MOST; id++) {
        struct arena_mark mark = arena_mark(o->scratch);
        if (as_is && !(t->kinds[id] & PIECE_ADDED) && id < t->bpe.n_bytes && t->bpe.bytes[id].p) {
            t->shows[id] = t->bpe.bytes[id];
            t->kinds[id] |= PIECE_RAW;
        } else if (t->pieces[id].p && t->is_spm) {
            show_spm(o, id, &all);
        } else if (t->pieces[id].p) {
            show_by_steps(o, id, token[id], &all);
        }
        ends[id] = all.n;
        arena_back(o->scratch, mark);
    }
    bool fits = all.n <= SHOWN_BYTES_MOST;
    const char *kept = arena_string(o->a, all.p ? all.p : "", fits ? all.n : 0);
    arena_drop(&room);
    if (!fits)
        return fail(o->err, "%s: the pieces together decode to more than %d bytes", o->path,
                    SHOWN_BYTES_MOST);
    for (int32_t id = 0; id < t->size; start = ends[id++])
        if (ends[id] > start) t->shows[id] = (struct text){kept + start, ends[id] - start};
    return true;
}

/* ---- decoding ---- */

static bool leads(struct text s, struct text with) { return s.n >= with.n && !memcmp(s.p, with.p, with.n); }

/* What the first piece loses: SentencePiece's added space, or all of Metaspace's marks. */
static struct text first_text(const struct tokenizer *t, struct decoding *d, int32_t id, struct buf *out)
{
    struct text shows = t->shows[id];
    const struct decode_step *s = &t->decode[0];
    if (t->is_spm) {
        bool drops = leads(t->pieces[id], text_of(underline)) && (t->spm.dummy_prefix || t->spm.remove_extra);
        if (!drops || (t->kinds[id] & PIECE_ADDED)) return shows;
        d->started = !t->spm.remove_extra;
        return (struct text){shows.p + 1, shows.n - 1};
    }
    if (d->n != 1 || !t->decode_n || s->kind != DECODE_METASPACE || s->scheme == PREPEND_NEVER) return shows;
    struct buf without = buf_make(out->a);
    replaced(&without, t->pieces[id], s->find, text_of(""));
    return buf_text(&without);
}

void tokenizer_decode_next(const struct tokenizer *t, struct decoding *d, int32_t id, struct buf *out)
{
    if (id < 0 || id >= t->size || !t->pieces[id].p) return;
    if (d->skip_special && (t->kinds[id] & PIECE_SPECIAL)) return;
    d->n++;
    if (!t->decode_n && !t->is_spm && d->n > 1) emit_text(t, d, out, text_of(" "));
    if (t->kinds[id] & PIECE_RAW) emit_bytes(t, d, out, t->shows[id]);
    else {
        flush(t, d, out);
        emit_text(t, d, out, d->started ? t->shows[id] : first_text(t, d, id, out));
    }
}

void tokenizer_decode_end(const struct tokenizer *t, struct decoding *d, struct buf *out)
{
    flush(t, d, out);
    if (!out->p) buf_put(out, "", 0);
}

void tokenizer_decode(const struct tokenizer *t, struct buf *out, const int32_t *ids, int64_t n,
                      bool skip_special)
{
    struct decoding d = {.skip_special = skip_special};
    for (int64_t i = 0; i < n; i++) tokenizer_decode_next(t, &d, ids[i], out);
    tokenizer_decode_end(t, &d, out);
}
