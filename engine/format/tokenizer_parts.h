/* tokenizer_parts.h - what the files of the tokenizer share; nobody else includes it.
 *
 * tokenizer.c        opens, answers, and walks a text: added tokens, normalisers, splits, model
 * tokenizer_json.c   reads tokenizer.json and vocab.json with merges.txt
 * tokenizer_steps.c  reads and runs the normalisers and pre-tokenizers of tokenizer.json
 * tokenizer_spm.c    reads tokenizer.model (SentencePiece), and its normaliser
 * tokenizer_bpe.c    merges;  tokenizer_unigram.c: the best path
 * tokenizer_words.c  words seen before, and words in parts
 * tokenizer_decode.c ids to text;  tokenizer_config.c: bos, eos, chat template
 * tokenizer_map.c    pieces by their bytes, tries, the byte alphabet of GPT-2 */
#ifndef HONE_TOKENIZER_PARTS_H
#define HONE_TOKENIZER_PARTS_H
#include "engine/format/json.h"
#include "engine/format/split.h"
#include "engine/format/tokenizer.h"

enum {
    TOKENS_MOST = 4194304, TOKEN_BYTES_MOST = 65536, STEPS_MOST = 32,
    TEXT_BYTES_MOST = 64 << 20, JSON_BYTES_MOST = 256 << 20, MODEL_BYTES_MOST = 64 << 20,
    CONFIG_BYTES_MOST = 16 << 20, TEMPLATE_BYTES_MOST = 256 << 10
};

/* ---- maps ---- */

/* Ids by the bytes of their pieces: open addressing; the bytes themselves are in an array by id. */
struct piece_map { struct piece_slot { uint32_t tag; int32_t id_plus_1; } *slots; size_t mask, n; };
void piece_map_make(struct piece_map *m, size_t most, struct arena *a);
bool piece_map_add(struct piece_map *m, const struct text *pieces, int32_t id); /* false: one is there */
void piece_map_room(struct piece_map *m, const struct text *pieces, struct arena *a); /* for one more */
int32_t piece_map_find(const struct piece_map *m, const struct text *pieces, const char *p, size_t n);

/* A trie over bytes with a value (>= 0) at some nodes. Node 0 is the root; step gives 0 for none. */
struct trie {
    struct trie_edge { uint32_t key, child; } *edges;
    size_t mask;
    uint32_t n, most, root[256];
    int32_t *values;
};
enum { TRIE_NODES_MOST = (1 << 24) - 1 };
/* bytes: of all keys together, below TRIE_NODES_MOST. */
void trie_make(struct trie *t, size_t bytes, struct arena *a);
bool trie_add(struct trie *t, struct text key, int32_t value); /* false: there is a value already */
uint32_t trie_step(const struct trie *t, uint32_t node, unsigned char byte);
/* The value of the longest key at p, or -1; *length is its length. */
int32_t trie_longest(const struct trie *t, const char *p, size_t n, size_t *length);

/* GPT-2 writes each byte as a printable character. */
void alphabet_put(struct buf *out, unsigned char byte);
/* The bytes of a piece written in the alphabet; false where a character is not of it. */
bool alphabet_bytes(struct buf *out, struct text piece);

/* "..." of outside text, harmless and short, for sentences. */
const char *shown(struct arena *a, struct text t);

/* ---- the steps of tokenizer.json ---- */

enum norm_kind { NORM_NFC, NORM_NFD, NORM_NFKC, NORM_NFKD, NORM_LOWER, NORM_STRIP, NORM_REPLACE, NORM_PREPEND };
struct norm_step { enum norm_kind kind; bool left, right; struct split find; struct text with; };

enum pre_kind { PRE_SPLIT, PRE_PREFIX_SPACE, PRE_ALPHABET, PRE_METASPACE };
enum prepend_scheme { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };
struct pre_step {
    enum pre_kind kind;
    struct split split;
    struct text with;
    enum prepend_scheme scheme;
    bool splits;
};

enum decode_kind {
    DECODE_BYTE_LEVEL, DECODE_BYTE_FALLBACK, DECODE_FUSE, DECODE_REPLACE, DECODE_STRIP, DECODE_METASPACE
};
struct decode_step {
    enum decode_kind kind;
    struct text find, with;
    int64_t start;
    enum prepend_scheme scheme;
};

/* ---- models ---- */

enum piece_kind { PIECE_ADDED = 1, PIECE_SPECIAL = 2, PIECE_BYTE = 4, PIECE_UNKNOWN = 8, PIECE_USER = 16,
                  PIECE_UNUSED = 32, PIECE_RAW = 64 /* shows bytes of a longer text */ };

/* Merges: pair of ids -> rank and the id that it becomes. Most pairs that are asked for are none:
 * `maybe` has a bit for each that is, by hash, and is small enough to stay near. */
struct pair_map {
    struct pair_slot { uint64_t key; uint32_t rank; int32_t id; } *slots;
    size_t mask;
    uint64_t *maybe;
    int maybe_shift;
};
struct bpe {
    struct piece_map map;
    struct text *bytes;        /* by id: what the model sees (raw bytes where byte_level); beyond size:
                                  characters that only occur inside of pieces */
    int n_bytes;               /* ids that `bytes` had when the model was read; added tokens have none */
    struct pair_map pairs;
    int32_t byte_id[256];      /* byte_level: the byte's piece; else the piece <0xXX>; -1: none */
    int32_t ascii_id[128];     /* not byte_level: pieces of one ASCII character */
    bool byte_level, byte_fallback, all_bytes, fuse_unknown, ignore_merges;
    bool late_unknown;         /* SentencePiece: unknown characters are settled after the merges */
    bool by_words;             /* no piece has U+2581 behind another character: words can be merged apart */
    size_t longest;            /* bytes of the longest piece */
    uint8_t *whole;            /* by id: merging its own bytes gives it back (0 not asked yet, 1 yes, 2 no) */
    struct joins *joins;       /* byte_level: characters that merges can join */
    struct word_cache *words;  /* what words became; a call sits at one */
    int seats;
};
struct unigram { struct trie trie; double *score, unknown_score; bool byte_fallback; };
struct spm {
    const uint32_t *units; size_t n_units; const char *texts; size_t n_texts; /* the compiled normaliser */
    bool dummy_prefix, remove_extra, escape, as_suffix, each_part;
    struct text unknown_surface;
};

struct added {
    struct text content, found; /* as written, as the text shows it where it is looked for */
    int32_t id;
    bool special, lstrip, rstrip, single_word, normalized;
};
struct matcher { struct trie trie; int n; };

enum model_kind { MODEL_BPE, MODEL_UNIGRAM, MODEL_BYTES };
struct tokenizer {
    enum model_kind model;
    bool is_spm;
    int size, cap, bos, eos, unknown;
    int32_t byte_piece[256];        /* SentencePiece's or byte fallback's <0xXX>, -1 none */
    bool adds_bos;
    struct text *pieces;            /* by id, as in the file */
    uint8_t *kinds;                 /* by id: enum piece_kind */
    struct text *shows;             /* by id: its part of a decoded text */
    bool fused, byte_singly;        /* decoders: one text before the last step; a bad byte is one U+FFFD */
    struct piece_map names;         /* over pieces: the model's, then the added ones */
    struct bpe bpe;
    struct unigram unigram;
    struct spm spm;
    struct added *added; int added_n, added_cap;
    struct matcher raw, normalised; /* added tokens found before and after the normalisers; values: index */
    struct trie user; bool has_user;/* SentencePiece's user-defined pieces; values: id */
    struct norm_step norm[STEPS_MOST]; int norm_n;
    struct pre_step pre[STEPS_MOST]; int pre_n;
    bool alphabet;                  /* the model's pieces are written in the byte alphabet */
    bool written;                   /* and so is the text that reaches it */
    struct decode_step decode[STEPS_MOST]; int decode_n;
    struct unicode *unicode;
    struct text chat_template;
    char about[96], hash[33];
};

/* A word, or a part that is merged by itself, on its way to the model. */
struct word_key { uint64_t low, high; };
struct unit { const char *p; size_t n; struct word_key key; struct word *set; bool part; };
enum { UNITS_MOST = 32 };

/* One call of tokenizer_encode. */
struct encoding {
    const struct tokenizer *t;
    struct ids *out;
    struct arena *scratch;
    struct err *err;
    int64_t lost;
    unsigned flags;
    bool last_unknown;              /* the id before was the unknown piece, which swallows its like */
    struct matching matching;
    struct word_cache *words;       /* NULL: none was free */
    struct unit units[UNITS_MOST]; int n_units;
};
static inline void put_id(struct ids *out, int32_t id)
{
    if (out->n < out->cap) out->p[out->n++] = id;
    else ids_put(out, id);
}

struct opening { struct tokenizer *t; struct arena *a, *scratch; const char *path; struct err *err; };
bool open_json(struct opening *o, const struct json *root);
bool open_pair(struct opening *o, const struct json *vocab, struct text merges);
bool open_spm(struct opening *o, struct text file);
bool open_config(struct opening *o, const char *dir);      /* after the model: names, template */
bool open_added(struct opening *o, const char *dir);       /* tokens that stand beside a tokenizer.model */
bool open_steps(struct opening *o, const struct json *root);
bool add_token(struct opening *o, struct added token);    /* with its checks; grows the arrays by id */
int byte_of_piece(struct text piece);                     /* <0x0A>: 10; -1: no such piece */
bool make_shown(struct opening *o);                       /* what each piece decodes to */
bool make_matchers(struct opening *o);
bool grow_ids(struct opening *o, int64_t size);

void bpe_make(struct opening *o, size_t pairs);           /* bpe.bytes and bpe.map are filled */
void bpe_pair(struct bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t id);
void bpe_finish(struct opening *o);
void bpe_encode(struct encoding *e, struct text piece);
void bpe_merge(struct encoding *e, struct text piece);    /* by merges alone, not looked up as a whole */
void word_encode(struct encoding *e, struct text word);   /* not by the cache */
void words_make(struct opening *o);                       /* after bpe_finish's facts are there */
void words_sit(struct encoding *e);
void words_leave(struct encoding *e);
/* A word (not empty) whose text ends at `end`; plain: it is of ASCII. words_flush follows the last. */
void words_put(struct encoding *e, const char *p, size_t n, const char *end, bool plain);
void words_flush(struct encoding *e);
void words_split(struct encoding *e, const struct split *split, struct text s); /* a byte-level text's last split */
bool unigram_make(struct opening *o, const double *scores);
void unigram_encode(struct encoding *e, struct text piece);
void unknown_text(struct encoding *e, struct text t);     /* as bytes, the unknown piece, or lost */
enum spm_part { PART_FIRST, PART_LATER, PART_CONTINUES };
void spm_normalise(const struct tokenizer *t, struct buf *out, struct text s, enum spm_part where);
bool normalise(struct encoding *e, struct buf *out, struct text s, bool first);
bool pretokenise(struct encoding *e, int step, struct text piece, bool first);
bool model_encode(struct encoding *e, struct text piece);
#endif
