/* sentencepiece: a length byte, a text of that length, and tokenizer.model. What is opened must
 * work: see tokenizing.h; BPE is compared with merges done one by one by their scores, unigram with
 * the best sum over all ways to cut. */
#include "tests/fuzz/tokenizing.h"
#include <math.h>

const struct fuzz_limits fuzz_limits = {8 << 20, 48, 0};

static void put_piece(struct buf *b, const char *piece, float score, int type)
{
    size_t n = strlen(piece);
    char head[] = {0x0A, (char)(n + 9), 0x0A, (char)n},
         tail[] = {0x15, 0, 0, 0, 0, 0x18, (char)type};
    memcpy(tail + 1, &score, 4);
    buf_put(b, head, sizeof head);
    buf_put(b, piece, n);
    buf_put(b, tail, sizeof tail);
}

static const struct {
    const char *pieces[8], *types, *more;
    size_t more_n;
} models[] = {
    {{"<unk>", "bc", "ab", "a", "b", "c", "\xE2\x96\x81"},
     "\2\1\1\1\1\1\1",
     "\x12\x02\x18\x02\x1A\x02\x18\x00",
     8},
    {{"<unk>", "<s>", "ab", "a", "b", "abab",
      "\xE2\x96\x81"
      "a"},
     "\2\3\1\1\1\1\1",
     "\x12\x02\x18\x02",
     4},
    {{"<unk>", "ab", "a", "b", "ba", "\xE2\x96\x81"}, "\2\1\1\1\1\1", "\x12\x02\x18\x01", 4},
    {{"<unk>", "ab", "a", "b", "b a", "\xE2\x96\x81"}, "\2\4\1\1\4\1", "\x12\x02\x18\x01", 4},
    {{"<unk>", "a"}, "\2\5", "\x12\x02\x18\x02", 4},
    {{"<unk>", "a"}, "\2\7", "", 0},
    {{"a"}, "\1", "", 0},
    {{"<unk>", "\xFF"}, "\2\1", "", 0},
    {{"<unk>", "a"},
     "\2\1",
     "\x1A\x08\x12\x06\xFF\x00\x00\x00"
     "ab",
     10},
    {{"<unk>", "a"}, "\2\1", "\x12\xFF\xFF\xFF\x7F", 5},
    {{"<unk>", "a"}, "\2\1", "\x12\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12},
    {{"<unk>", "a"}, "\2\1", "\x1A\x06\x18\x00\x20\x01\x28\x00", 8},
    {{"<unk>", "a"}, "\2\1", "\x12\x03\x98\x02\x01", 5},
    {{"<unk>", "a"}, "\2\1", "\x12\x03\xC0\x01\x01", 5}};

static void seed_model(struct text text, struct text model)
{
    struct arena a = arena_make(0);
    struct buf b = buf_make(&a);
    char n = (char)text.n;
    buf_put(&b, &n, 1);
    buf_put(&b, text.p, text.n);
    buf_put(&b, model.p, model.n);
    seed(b.p, b.n);
    arena_drop(&a);
}

void fuzz_seeds(void)
{
    static const struct text text = TEXT("ababbab  abc <s>\xE4\xBD\xA0 aaaab");
    struct arena a = arena_make(0);
    struct err err;
    struct text file;
    for (size_t i = 0; i < COUNT(models); i++) {
        struct buf b = buf_make(&a);
        for (int k = 0; k < 8 && models[i].pieces[k]; k++)
            put_piece(&b, models[i].pieces[k], -0.3f * (float)(k * 5 % 7), models[i].types[k]);
        buf_put(&b, models[i].more, models[i].more_n);
        seed_model(text, buf_text(&b));
        seed_model(TEXT("abbaabab aab"), buf_text(&b));
    }
    static const char *const golden[] = {"tests/golden/tokenizer_nmt.model",
                                         "tests/golden/tokenizer_suffix.model"};
    for (size_t i = 0; i < COUNT(golden); i++)
        if (file_read(&file, golden[i], 1 << 20, &a, &err)) seed_model(text, file);
    for (int kind = 0; kind < 4;
         kind++) { /* many short pieces or a few long ones, BPE or unigram */
        struct buf b = buf_make(&a);
        put_piece(&b, "<unk>", 0, 2);
        for (int i = 0; b.n < 980000; i++) {
            struct buf piece = buf_make(&a);
            fuzz_many(&piece, kind & 1 ? "ab" : "", kind & 1 ? 60000 : 0);
            buf_printf(&piece, "%d", i);
            unsigned n = (unsigned)piece.n;
            unsigned char head[] = {0x0A,
                                    (unsigned char)((n + 9) | 128),
                                    (unsigned char)((n + 9) >> 7 | 128),
                                    (unsigned char)((n + 9) >> 14),
                                    0x0A,
                                    (unsigned char)(n | 128),
                                    (unsigned char)(n >> 7 | 128),
                                    (unsigned char)(n >> 14)};
            buf_put(&b, (char *)head, sizeof head);
            buf_put(&b, piece.p, n);
            buf_put(&b, "\x15\0\0\x80\xBF", 5);
        }
        buf_put(&b, kind & 2 ? "\x12\x02\x18\x02" : "\x12\x02\x18\x01", 4);
        seed_model(text, buf_text(&b));
    }
    seed_text("\1aIQ== 0\nIg== 1\n");
    arena_drop(&a);
}

static int plain_id(const struct tokenizer *t, struct text piece)
{
    for (int id = 0; id < t->size; id++)
        if (t->kinds[id] == 0 && text_equal(t->pieces[id], piece)) return id;
    return -1;
}

/* ---- BPE: two neighbours that are a piece together, the best score first ---- */

struct scores {
    const struct tokenizer *t;
    const float *score;
};

static int64_t rank_of(void *of, struct text l, struct text r)
{
    const struct scores *s = of;
    int id = plain_id(s->t, (struct text){l.p, l.n + r.n}), better = 0;
    if (id < 0) return -1;
    for (int k = 0; k < s->t->size; k++) better += s->score[k] > s->score[id];
    return better;
}

static void check_bpe(const struct tokenizer *t, const float *score, struct text s,
                      const struct ids *ids, struct arena *a)
{
    struct parts parts = characters_of(s, false, a);
    for (int i = 0; i < parts.n; i++)
        if (plain_id(t, parts.p[i]) < 0) return;
    merge_naively(&parts, rank_of, &(struct scores){t, score});
    HOLDS(ids->n == parts.n);
    for (int i = 0; i < parts.n; i++) HOLDS(plain_id(t, parts.p[i]) == ids->p[i]);
}

/* ---- unigram: no other cut has a better sum ---- */

static void check_unigram(const struct tokenizer *t, const float *score, struct text s,
                          const struct ids *ids, struct arena *a)
{
    double *best = NEW_N(a, double, s.n + 1), sum = 0, size = 0;
    size_t at = 0;
    for (int64_t i = 0; i < ids->n; i++) {
        struct text piece = t->pieces[ids->p[i]];
        if (t->kinds[ids->p[i]] || s.n - at < piece.n || memcmp(s.p + at, piece.p, piece.n) != 0)
            return; /* unknown text */
        sum += (double)score[ids->p[i]];
        size += fabs((double)score[ids->p[i]]);
        at += piece.n;
    }
    HOLDS(at == s.n);
    for (size_t i = 1; i <= s.n; i++) best[i] = -INFINITY;
    for (size_t i = 0; i < s.n; i++)
        for (int id = 0; best[i] > -INFINITY && id < t->size; id++) {
            struct text piece = t->pieces[id];
            if (t->kinds[id] || !piece.n || s.n - i < piece.n ||
                memcmp(s.p + i, piece.p, piece.n) != 0)
                continue;
            if (best[i] + (double)score[id] > best[i + piece.n])
                best[i + piece.n] = best[i] + (double)score[id];
        }
    double bound = fmax(size, fabs(best[s.n])); /* sums are single precision */
    HOLDS(best[s.n] <= sum + 1e-4 * bound + 1e-6);
}

/* The scores, read again: field 1 is a piece, with its text in field 1 and its score in field 2. */
static uint64_t varint(struct text *s)
{
    uint64_t v = 0;
    for (int shift = 0; s->n; shift += 7) {
        unsigned char b = (unsigned char)*s->p++;
        s->n--;
        v |= (uint64_t)(b & 127) << shift;
        if (b < 128) break;
    }
    return v;
}

static struct text field(struct text *s, uint64_t *key)
{
    static const size_t fixed[] = {[1] = 8, [5] = 4};
    *key = varint(s);
    const char *from = s->p;
    size_t n = fixed[*key & 5];
    if ((*key & 7) == 0) varint(s), n = 0;
    else if ((*key & 7) == 2) n = varint(s), from = s->p;
    struct text value = {from, n ? n : (size_t)(s->p - from)};
    s->p += n, s->n -= n;
    return value;
}

static bool read_scores(float *score, int size, struct text file)
{
    int id = 0;
    uint64_t key, inner;
    while (file.n) {
        struct text piece = field(&file, &key);
        if (key != (1 << 3 | 2)) continue;
        while (piece.n) {
            struct text value = field(&piece, &inner);
            if (inner == (2 << 3 | 5) && id < size) memcpy(&score[id], value.p, 4);
        }
        id++;
    }
    return id == size;
}

void fuzz(struct text in, struct arena *a)
{
    size_t n = fuzz_number(&in, 1);
    if (n > in.n) n = in.n;
    struct text s = {in.p, n}, file = {in.p + n, in.n - n};
    struct tokenizer *t;
    struct err err = {{0}};
    if (!tokenizer_open(&t, fuzz_file("tokenizer.model", file), a, &err)) {
        fuzz_oracle();
        fuzz_sentence(err.text);
        HOLDS(a->used == 0);
        return;
    }
    struct ids ids[4] = {{.a = a}, {.a = a}, {.a = a}, {.a = a}};
    struct arena scratch = arena_make(0);
    int64_t lost[4] = {0};
    for (unsigned flags = 0; flags < 4; flags++)
        HOLDS(tokenizer_encode(t, &ids[flags], s, flags, &lost[flags], &scratch, &err));
    HOLDS(scratch.used == 0);
    arena_drop(&scratch);
    fuzz_oracle();
    if (file.n > 100000) return;
    check_answers(t);
    for (unsigned flags = 0; flags < 4; flags++)
        check_tokens(t, s, &ids[flags], flags, lost[flags], a);
    struct buf normal = buf_make(a);
    float *score = NEW_N(a, float, t->size);
    if (t->has_user || t->size > 300 || !read_scores(score, t->size, file)) return;
    spm_normalise(t, &normal, s, PART_FIRST);
    if (t->model == MODEL_BPE) check_bpe(t, score, buf_text(&normal), &ids[0], a);
    else check_unigram(t, score, buf_text(&normal), &ids[0], a);
}
