/* tokenizer_json: tokenizer.json NUL a text NUL tokenizer_config.json. What is opened must work:
 * see tokenizing.h; and where a file is nothing but BPE, its ids are those of the merges done one
 * by one, as the JSON tree lists them. */
#include "tests/fuzz/tokenizing.h"

/* The JSON tree, and the tables for pieces and classes; compiled patterns stay for the next
 * tokenizer. */
const struct fuzz_limits fuzz_limits = {8 << 20, 128, 4 << 20};

#define BPE(vocab, merges, more) \
    "{\"model\":{\"type\":\"BPE\",\"vocab\":" vocab ",\"merges\":" merges more "}}"
#define UNIGRAM(vocab, more) "{\"model\":{\"type\":\"Unigram\",\"vocab\":[" vocab "]" more "}}"
#define WITH(part)                                                                            \
    "{" part ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"<s>\":2,\"ab\":3,\" " \
    "\":4},\"merges\":[\"a b\"]}}"
#define SPLIT(regex, behavior)                                                   \
    WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex \
         "\"},\"behavior\":\"" behavior "\"}")

static const char *const files[] = {
    "",
    "[]",
    "{}",
    "{\"model\":{\"type\":\"bytes\"}}",
    "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}",
    BPE("{\"a\":0,\"aa\":1,\"aaa\":2,\"aaaa\":3}",
        "[\"aa aa\",\"a aa\",\"aa a\",\"a a\",\"aaa a\",\"a a\"]", ""),
    BPE("{\"a\":0,\"b\":1,\"aa\":2,\"ab\":3,\"aab\":4}", "[\"a a\",\"a b\",\"aa b\"]", ""),
    BPE("{\"a\":0,\"b\":1,\"c\":2,\"bc\":3,\"ab\":4}", "[\"b c\",\"a b\"]", ""),
    BPE("{\"a\":0,\"\":1}", "[[\"a\",\"\"],[\"\",\"a\"],[\"\",\"\"]]", ""),
    BPE("{\"<0x61>\":0,\"<0x62>\":1,\"<0x61><0x62>\":2}", "[\"<0x61> <0x62>\"]",
        ",\"byte_fallback\":true"),
    BPE("{\"u\":0,\"uu\":1}", "[\"u u\"]", ",\"unk_token\":\"u\",\"fuse_unk\":true"),
    BPE("{\"a\":4194304}", "[]", ""),
    BPE("{\"a\":0,\"b\":0}", "[]", ""),
    BPE("{\"a\":0}", "[\"a z\"]", ""),
    BPE("{\"h\":0,\"e\":1,\"l\":2,\"o\":3,\"he\":4,\"ll\":5,\"hell\":6,\" \":7,\" he\":8}",
        "[\"h e\",\"l l\",[\"he\",\"ll\"],[\" \",\"he\"]]", ",\"ignore_merges\":true"),
    WITH("\"added_tokens\":[{\"id\":2,\"content\":\"<s>\",\"special\":true,\"lstrip\":true,"
         "\"rstrip\":true}]"),
    WITH("\"added_tokens\":[{\"id\":7,\"content\":\"xy\",\"single_word\":true,\"normalized\":true}]"
         ",\"normalizer\":{\"type\":\"NFKC\"}"),
    WITH("\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":"
         "\"_\"},{\"type\":\"Replace\","
         "\"pattern\":{\"String\":\" "
         "\"},\"content\":\"_\"},{\"type\":\"Lowercase\"},{\"type\":\"NFD\"},{\"type\":\"Strip\"}]"
         "}"),
    WITH("\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\","
         "\"individual_digits\":true},"
         "{\"type\":\"Punctuation\"},{\"type\":\"WhitespaceSplit\"}]},\"decoder\":{\"type\":"
         "\"Sequence\",\"decoders\":["
         "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" "
         "\",\"start\":1,\"stop\":0}]}"),
    WITH("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"prepend_scheme\":\"first\"},\"decoder\":{"
         "\"type\":\"Metaspace\"}"),
    WITH("\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true},\"decoder\":{"
         "\"type\":\"ByteLevel\"},"
         "\"post_processor\":{\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}}]}"),
    SPLIT("(", "Isolated"),
    SPLIT("[a&&b]", "Isolated"),
    SPLIT("a{1,2}+", "Isolated"),
    SPLIT("((a+)+)+[bd]", "Isolated"),
    SPLIT("\\\\p{L}+|\\\\s+(?!\\\\S)", "Removed"),
    SPLIT("(?i:'s|'t)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+", "MergedWithNext"),
    SPLIT("x*", "Contiguous"),
    SPLIT("\\\\d{1,3}", "MergedWithPrevious"),
    UNIGRAM("[\"<unk>\",0],[\"a\",-1],[\"b\",-2.5],[\"ab\",-1.5]", ",\"unk_id\":0"),
    UNIGRAM("[\"a\",-1],[\"a\",-2]", "")};

static void seed_parts(const char *file, const char *text, const char *config)
{
    char p[8192];
    size_t n = strlen(file), m = strlen(text), k = strlen(config);
    memcpy(p, file, n), p[n] = 0;
    memcpy(p + n + 1, text, m), p[n + 1 + m] = 0;
    memcpy(p + n + m + 2, config, k);
    seed(p, n + m + k + 2);
}

void fuzz_seeds(void)
{
    static const char text[] = "Hello  abab 12\n\xE4\xBB\x8A\xE5\xA4\xA9 <s>\xFF\x04 aaaaaaaaa";
    for (size_t i = 0; i < COUNT(files); i++) seed_parts(files[i], text, "");
#define TAIL ",\"model\":{\"type\":\"bytes\"}}"
    seed_many("{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{", "\"#\":#,",
              "\"x\":1000000}}}");
    seed_many("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[", "\"a a\",",
              "\"a a\"]}}");
    seed_many("{\"model\":{\"type\":\"Unigram\",\"vocab\":[", "[\"#\",-1],", "[\"x\",0]]}}");
    seed_many("{\"added_tokens\":[", "{\"id\":#,\"content\":\"a#\"},",
              "{\"id\":70000,\"content\":\"b\"}]" TAIL);
    seed_many("{\"normalizer\":{\"type\":\"Replace\",\"content\":\"\",\"pattern\":{\"Regex\":\"",
              "(a#)?", "\"}}" TAIL);
    seed_many("{\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{"
              "\"String\":\"",
              "a", "\"}}" TAIL);
    seed_many("{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{\"a\":0,\"", "aaaaaaaaa#",
              "\":1}}}");
    char many[301] = "";
    for (int i = 0; i < 300; i++) many[i] = "aab"[i * i % 7 % 3];
    char ring[301] = "";
    for (int i = 0; i < 300; i++) ring[i] = "abc"[i % 3];
    const char *const plain[] = {"aaa", "abab ab aabb", "aaaaaaaaaaab", "abcab", many, ring};
    for (size_t i = 5; i < COUNT(files); i++)
        for (size_t k = 0; k < COUNT(plain); k++) seed_parts(files[i], plain[k], "");
    seed_parts(files[3], text,
               "{\"add_bos_token\":true,\"bos_token\":\"<s>\",\"chat_template\":\"{{ x }}\"}");
    seed_parts(files[15], text,
               "{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"<s>\",\"added_tokens_"
               "decoder\":{\"2\":{\"content\":\"<s>\"}}}");
}

/* ---- merges, one by one ---- */

struct merges {
    const struct json *list;
};

static bool is_pair(const struct json *m, struct text l, struct text r)
{
    if (m->kind == JSON_ARRAY)
        return text_equal(m->items[0].text, l) && text_equal(m->items[1].text, r);
    struct text t = m->text;
    return t.n == l.n + r.n + 1 && memcmp(t.p, l.p, l.n) == 0 && t.p[l.n] == ' ' &&
           memcmp(t.p + l.n + 1, r.p, r.n) == 0;
}

static int64_t rank_of(void *of, struct text l, struct text r)
{
    const struct json *list = ((struct merges *)of)->list;
    for (int i = list->n - 1; i >= 0; i--) /* the last of two equal ones counts */
        if (is_pair(&list->items[i], l, r)) return i;
    return -1;
}

static bool has_empty(const struct json *list)
{
    for (int i = 0; i < list->n; i++) {
        const struct json *m = &list->items[i];
        if (m->kind == JSON_ARRAY ? !m->items[0].text.n || !m->items[1].text.n
                                  : m->text.p[0] == ' ' || m->text.p[m->text.n - 1] == ' ')
            return true;
    }
    return false;
}

/* Only where nothing but the merges decides: no steps, no added tokens, every character a piece. */
static void check_merges(const struct tokenizer *t, const struct json *root, struct text s,
                         const struct ids *ids, struct arena *a)
{
    const struct json *model = json_get(root, "model"), *vocab = json_get(model, "vocab");
    struct merges merges = {json_get(model, "merges")};
    if (t->model != MODEL_BPE || t->alphabet || t->norm_n || t->pre_n || t->added_n ||
        t->bpe.ignore_merges || t->bpe.byte_fallback)
        return;
    if (s.n > 300 || merges.list->n > 200 || utf8_bad(s) < s.n || has_empty(merges.list)) return;
    struct parts parts = characters_of(s, false, a);
    for (int i = 0; i < parts.n; i++)
        if (!json_get(vocab, arena_string(a, parts.p[i].p, parts.p[i].n))) return;
    merge_naively(&parts, rank_of, &merges);
    HOLDS(ids->n == parts.n);
    for (int i = 0; i < parts.n; i++)
        HOLDS(json_get(vocab, arena_string(a, parts.p[i].p, parts.p[i].n))->integer == ids->p[i]);
}

/* Byte-level pieces lie side by side, so decoding gives the text back where nothing was lost. */
static void check_round_trip(const struct tokenizer *t, struct text s, const struct ids *ids,
                             int64_t lost, struct arena *a)
{
    struct buf out = buf_make(a);
    bool plain =
        t->norm_n == 0 && t->added_n == 0 && lost == 0 && t->unknown < 0 && utf8_bad(s) == s.n;
    for (int i = 0; i < t->pre_n; i++)
        plain =
            plain && (t->pre[i].kind == PRE_ALPHABET ||
                      (t->pre[i].kind == PRE_SPLIT && t->pre[i].split.behaviour != SPLIT_REMOVED));
    bool bytes = t->model == MODEL_BYTES && t->pre_n == 0;
    bool level = t->model == MODEL_BPE && t->alphabet && t->written && t->decode_n == 1 &&
                 t->decode[0].kind == DECODE_BYTE_LEVEL;
    if (!plain || (!bytes && !level)) return;
    tokenizer_decode(t, &out, ids->p, ids->n, false);
    HOLDS(text_equal(buf_text(&out), s));
    for (int64_t i = 0; bytes && i < ids->n; i++) HOLDS(ids->p[i] == (unsigned char)s.p[i]);
}

void fuzz(struct text in, struct arena *a)
{
    struct text file = fuzz_until(&in, 0), s = fuzz_until(&in, 0);
    struct tokenizer *t;
    struct err err = {{0}};
    const struct json *root;
    fuzz_file("tokenizer.json", file);
    fuzz_file("tokenizer_config.json", in.n ? in : TEXT("{}"));
    if (!tokenizer_open(&t, fuzz_files(), a, &err)) {
        fuzz_oracle();
        fuzz_sentence(err.text);
        HOLDS(a->used == 0);
        return;
    }
    struct arena scratch = arena_make(0);
    struct ids ids[4] = {{.a = a}, {.a = a}, {.a = a}, {.a = a}};
    int64_t lost[4] = {0};
    bool ok[4];
    for (unsigned flags = 0; flags < 4; flags++) {
        ok[flags] = tokenizer_encode(t, &ids[flags], s, flags, &lost[flags], &scratch, &err);
        if (!ok[flags]) fuzz_sentence(err.text);
    }
    HOLDS(scratch.used == 0);
    arena_drop(&scratch);
    fuzz_oracle();
    if (file.n > 100000) return;
    check_answers(t);
    for (unsigned flags = 0; flags < 4; flags++)
        if (ok[flags]) check_tokens(t, s, &ids[flags], flags, lost[flags], a);
    if (!ok[0]) return;
    HOLDS(json_parse(&root, file, "f", (struct json_limits){0}, a, &err));
    check_merges(t, root, s, &ids[0], a);
    check_round_trip(t, s, &ids[0], lost[0], a);
}
