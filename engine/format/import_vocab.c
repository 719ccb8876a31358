/* import_vocab.c - a vocabulary written as tokenizer.json and tokenizer_config.json.
 *
 * Byte-level BPE keeps its tokens and merges as they are; only the pre-tokenizer is looked up. A
 * SentencePiece vocabulary has scores in place of merges: at each step the neighbours whose joined
 * piece scores highest become one. Hugging Face says the same by a list: every way to cut a piece
 * into two pieces, in the order of the pieces' scores, longer first parts first. */
#include "engine/format/import_vocab.h"
#include "engine/format/tokenizer_parts.h"
#include <stdlib.h>
#include <string.h>

enum { SPM_PIECE_MOST = 1024 };

struct writing { struct vocab *v; const char *dir, *from; struct piece_map map; struct arena *a; struct err *err; };

static bool check_tokens(struct writing *w)
{
    struct vocab *v = w->v;
    if (v->n < 1 || v->n > VOCAB_MOST)
        return fail(w->err, "%s has %d tokens; 1 to %d are read", w->from, v->n, VOCAB_MOST);
    piece_map_make(&w->map, (size_t)v->n, w->a);
    for (int i = 0; i < v->n; i++) {
        struct text t = v->tokens[i];
        size_t most = v->pre ? TOKEN_BYTES_MOST : SPM_PIECE_MOST;
        if (t.n > most) return fail(w->err, "%s: token %d has %zu bytes; at most %zu are read", w->from, i, t.n, most);
        if (utf8_bad(t) != t.n) return fail(w->err, "%s: token %d is not UTF-8", w->from, i);
        if (v->types[i] < TOKEN_NORMAL || v->types[i] > TOKEN_BYTE)
            return fail(w->err, "%s: token %d is of the unknown kind %d", w->from, i, v->types[i]);
        if (!piece_map_add(&w->map, v->tokens, i))
            return fail(w->err, "%s: token %s stands there twice, as %d and %d", w->from, shown(w->a, t),
                        piece_map_find(&w->map, v->tokens, t.p, t.n), i);
    }
    return true;
}

static bool check_ids(struct writing *w)
{
    const struct vocab *v = w->v;
    const struct { const char *name; int id; } ids[] = {
        {"bos", v->bos}, {"eos", v->eos}, {"unknown", v->unknown}, {"padding", v->padding}};
    for (size_t i = 0; i < COUNT(ids); i++)
        if (ids[i].id < -1 || ids[i].id >= v->n)
            return fail(w->err, "%s: the %s token is %d, but there are %d tokens", w->from, ids[i].name, ids[i].id, v->n);
    if (v->adds_bos && v->bos < 0) return fail(w->err, "%s: texts begin with bos, but no token is bos", w->from);
    if (v->adds_eos && v->eos < 0) return fail(w->err, "%s: texts end with eos, but no token is eos", w->from);
    return true;
}

static bool check_merges(struct writing *w)
{
    char joined[2 * TOKEN_BYTES_MOST];
    if (w->v->n_merges > MERGES_MOST)
        return fail(w->err, "%s has %d merges; at most %d are read", w->from, w->v->n_merges, MERGES_MOST);
    for (int i = 0; i < w->v->n_merges; i++) {
        struct text l = w->v->merges[i].left, r = w->v->merges[i].right;
        bool ok = l.n <= TOKEN_BYTES_MOST && r.n <= TOKEN_BYTES_MOST;
        if (ok && l.n) memcpy(joined, l.p, l.n);
        if (ok && r.n) memcpy(joined + l.n, r.p, r.n);
        if (!ok || piece_map_find(&w->map, w->v->tokens, l.p, l.n) < 0 ||
            piece_map_find(&w->map, w->v->tokens, r.p, r.n) < 0 ||
            piece_map_find(&w->map, w->v->tokens, joined, l.n + r.n) < 0)
            return fail(w->err, "%s: merge %d joins %s and %s, but these or the result are no tokens", w->from, i,
                        shown(w->a, l), shown(w->a, r));
    }
    return true;
}

struct cut { struct merge parts; float score; int left, right, order; };

static int by_score(const void *a, const void *b)
{
    const struct cut *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->left != y->left) return x->left > y->left ? -1 : 1;
    if (x->right != y->right) return x->right > y->right ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static bool is_normal(const struct writing *w, const char *p, size_t n)
{
    int id = piece_map_find(&w->map, w->v->tokens, p, n);
    return id >= 0 && w->v->types[id] == TOKEN_NORMAL;
}

static int characters(struct text t)
{
    int n = 0;
    for (size_t i = 0; i < t.n; i++) n += ((unsigned char)t.p[i] & 0xC0) != 0x80;
    return n;
}

static void cut_piece(struct writing *w, int id, struct cut **cuts, int *n, int *cap)
{
    struct text t = w->v->tokens[id];
    for (size_t at = 1; at < t.n; at++) {
        if (((unsigned char)t.p[at] & 0xC0) == 0x80) continue;
        struct merge m = {{t.p, at}, {t.p + at, t.n - at}};
        if (!is_normal(w, m.left.p, m.left.n) || !is_normal(w, m.right.p, m.right.n)) continue;
        ROOM(w->a, *cuts, *n, *cap);
        (*cuts)[*n] = (struct cut){m, w->v->scores[id], characters(m.left), characters(m.right), *n};
        ++*n;
    }
}

static bool make_merges(struct writing *w)
{
    struct vocab *v = w->v;
    struct cut *cuts = NULL;
    int n = 0, cap = 0;
    for (int i = 0; i < v->n; i++) {
        if (!(v->scores[i] == v->scores[i])) return fail(w->err, "%s: the score of token %d is not a number", w->from, i);
        if (v->types[i] == TOKEN_NORMAL) cut_piece(w, i, &cuts, &n, &cap);
        if (n > MERGES_MOST) return fail(w->err, "%s: its pieces make over %d merges", w->from, MERGES_MOST);
    }
    if (n) qsort(cuts, (size_t)n, sizeof *cuts, by_score);
    v->merges = NEW_N(w->a, struct merge, n);
    v->n_merges = n;
    for (int i = 0; i < n; i++) v->merges[i] = cuts[i].parts;
    return true;
}

static void put(struct buf *b, const char *s) { buf_put(b, s, strlen(s)); }

static void put_added(struct buf *b, const struct vocab *v)
{
    const char *comma = "";
    put(b, "  \"added_tokens\": [");
    for (int i = 0; i < v->n; i++) {
        int type = v->types[i];
        if ((type != TOKEN_CONTROL && type != TOKEN_UNKNOWN && type != TOKEN_USER) || v->tokens[i].n == 0) continue;
        buf_printf(b, "%s\n    {\"id\": %d, \"content\": ", comma, i);
        json_put_text(b, v->tokens[i]);
        buf_printf(b, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
                      "\"special\": %s}", type == TOKEN_USER ? "false" : "true");
        comma = ",";
    }
    put(b, "\n  ],\n");
}

#define BYTE_LEVEL(regex) "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": " regex "}"

static void put_pre(struct buf *b, const struct pre *p)
{
    if (p->nfc) put(b, "  \"normalizer\": {\"type\": \"NFC\"},\n");
    else put(b, "  \"normalizer\": null,\n");
    put(b, "  \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [\n");
    if (p->digits) put(b, "    {\"type\": \"Digits\", \"individual_digits\": true},\n");
    for (int i = 0; i < PRE_STEPS_MOST && p->regexes[i]; i++) {
        put(b, "    {\"type\": \"Split\", \"pattern\": {\"Regex\": ");
        json_put_text(b, text_of(p->regexes[i]));
        put(b, "}, \"behavior\": \"Isolated\", \"invert\": false},\n");
    }
    put(b, p->gpt2 ? "    " BYTE_LEVEL("true") "\n  ]},\n" : "    " BYTE_LEVEL("false") "\n  ]},\n");
    put(b, "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true},\n");
}

/* U+2581 stands for a space; one is put in front of a text where `prefix`, and taken away again. */
static void put_spm(struct buf *b, bool prefix)
{
    put(b, "  \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [");
    if (prefix) put(b, "{\"type\": \"Prepend\", \"prepend\": \"\u2581\"}, ");
    put(b, "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\u2581\"}]},\n"
           "  \"pre_tokenizer\": null,\n"
           "  \"decoder\": {\"type\": \"Sequence\", \"decoders\": ["
           "{\"type\": \"Replace\", \"pattern\": {\"String\": \"\u2581\"}, \"content\": \" \"}, "
           "{\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}");
    if (prefix) put(b, ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}");
    put(b, "]},\n");
}

static void put_special(struct buf *b, const struct vocab *v, int id, const char *type_id)
{
    put(b, "{\"SpecialToken\": {\"id\": ");
    json_put_text(b, v->tokens[id]);
    buf_printf(b, ", \"type_id\": %s}}", type_id);
}

static void put_sequence(struct buf *b, const struct vocab *v, const char *letter, const char *type_id)
{
    if (v->adds_bos) put_special(b, v, v->bos, type_id);
    buf_printf(b, "%s{\"Sequence\": {\"id\": \"%s\", \"type_id\": %s}}", v->adds_bos ? ", " : "", letter, type_id);
    if (v->adds_eos) put(b, ", "), put_special(b, v, v->eos, type_id);
}

static void put_special_ids(struct buf *b, const struct vocab *v, int id)
{
    json_put_text(b, v->tokens[id]);
    put(b, ": {\"id\": ");
    json_put_text(b, v->tokens[id]);
    buf_printf(b, ", \"ids\": [%d], \"tokens\": [", id);
    json_put_text(b, v->tokens[id]);
    put(b, "]}");
}

static void put_post(struct buf *b, const struct vocab *v)
{
    if (!v->adds_bos && !v->adds_eos) {
        put(b, "  \"post_processor\": null,\n");
        return;
    }
    put(b, "  \"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [");
    put_sequence(b, v, "A", "0");
    put(b, "], \"pair\": [");
    put_sequence(b, v, "A", "0");
    put(b, ", ");
    put_sequence(b, v, "B", "1");
    put(b, "], \"special_tokens\": {");
    if (v->adds_bos) put_special_ids(b, v, v->bos);
    if (v->adds_eos && (!v->adds_bos || v->eos != v->bos)) {
        if (v->adds_bos) put(b, ", ");
        put_special_ids(b, v, v->eos);
    }
    put(b, "}},\n");
}

static void put_model(struct buf *b, const struct vocab *v)
{
    put(b, "  \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": ");
    if (!v->pre && v->unknown >= 0) json_put_text(b, v->tokens[v->unknown]);
    else put(b, "null");
    buf_printf(b, ", \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": %s, "
                  "\"byte_fallback\": %s, \"ignore_merges\": %s,\n    \"vocab\": {", v->pre ? "false" : "true",
               v->pre ? "false" : "true", v->pre && v->pre->ignore_merges ? "true" : "false");
    for (int i = 0; i < v->n; i++) {
        put(b, i ? ",\n      " : "\n      ");
        json_put_text(b, v->tokens[i]);
        buf_printf(b, ": %d", i);
    }
    put(b, "\n    },\n    \"merges\": [");
    for (int i = 0; i < v->n_merges; i++) {
        put(b, i ? ",\n      [" : "\n      [");
        json_put_text(b, v->merges[i].left);
        put(b, ", ");
        json_put_text(b, v->merges[i].right);
        put(b, "]");
    }
    put(b, "\n    ]\n  }\n");
}

static bool write_tokenizer(struct writing *w)
{
    struct buf b = buf_make(w->a);
    put(&b, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    put_added(&b, w->v);
    if (w->v->pre) put_pre(&b, w->v->pre);
    else put_spm(&b, w->v->space_prefix);
    put_post(&b, w->v);
    put_model(&b, w->v);
    put(&b, "}\n");
    return file_replace(path_join(w->a, w->dir, "tokenizer.json"), buf_text(&b), w->err);
}

static bool write_config(struct writing *w)
{
    const struct vocab *v = w->v;
    const struct { const char *key; int id; } ids[] = {
        {"bos_token", v->bos}, {"eos_token", v->eos}, {"unk_token", v->unknown}, {"pad_token", v->padding}};
    struct buf b = buf_make(w->a);
    buf_printf(&b, "{\n  \"add_bos_token\": %s,\n  \"add_eos_token\": %s,\n  \"clean_up_tokenization_spaces\": false,\n",
               v->adds_bos ? "true" : "false", v->adds_eos ? "true" : "false");
    for (size_t i = 0; i < COUNT(ids); i++) {
        if (ids[i].id < 0) continue;
        buf_printf(&b, "  \"%s\": ", ids[i].key);
        json_put_text(&b, v->tokens[ids[i].id]);
        put(&b, ",\n");
    }
    if (v->context) buf_printf(&b, "  \"model_max_length\": %lld,\n", (long long)v->context);
    if (v->chat_template.n) {
        put(&b, "  \"chat_template\": ");
        json_put_text(&b, v->chat_template);
        put(&b, ",\n");
    }
    put(&b, "  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n");
    return file_replace(path_join(w->a, w->dir, "tokenizer_config.json"), buf_text(&b), w->err);
}

bool vocab_write(struct vocab *v, const char *dir, const char *from, struct arena *a, struct err *err)
{
    struct writing w = {.v = v, .dir = dir, .from = from, .a = a, .err = err};
    if (!check_tokens(&w) || !check_ids(&w)) return false;
    if (!v->pre && !make_merges(&w)) return false;
    return (!v->pre || check_merges(&w)) && write_tokenizer(&w) && write_config(&w);
}
