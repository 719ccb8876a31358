/* split.h - cutting text into the pieces that a tokenizer's model sees one at a time.
 *
 * A split finds matches of a pattern and decides what becomes of them. The patterns of GPT-2, LLaMA-3
 * and Qwen are scanned by hand when a file's regular expression is exactly theirs; any other goes
 * through PCRE2 with limits, its classes rewritten so that they mean what Oniguruma means by them
 * with Unicode 16 (Hugging Face's tokenizers use Oniguruma). */
#ifndef HONE_SPLIT_H
#define HONE_SPLIT_H
#include "engine/base/base.h"
#include "engine/format/unicode.h"
#include <string.h>

enum pattern {
    PATTERN_GPT2, PATTERN_LLAMA3, PATTERN_QWEN,   /* these match all of a text */
    PATTERN_NUMBER, PATTERN_PUNCTUATION, PATTERN_SPACE,
    PATTERN_TEXT, PATTERN_REGEX
};
enum behaviour {
    SPLIT_ISOLATED, SPLIT_REMOVED, SPLIT_MERGED_WITH_PREVIOUS, SPLIT_MERGED_WITH_NEXT, SPLIT_CONTIGUOUS
};

struct split {
    enum pattern pattern;
    enum behaviour behaviour;
    bool invert;                  /* what does not match is what is split off */
    struct text literal;          /* PATTERN_TEXT */
    struct regex *regex;          /* PATTERN_REGEX */
    const struct unicode *unicode;
};

/* Chooses the pattern for a regular expression. Refuses what PCRE2 or the rewriting does not know. */
bool split_regex(struct split *s, struct text regex, const char *where, struct arena *a, struct err *err);

/* What PCRE2 needs while it matches: zeroed at the start, of one thread, given back with matching_end. */
struct matching { void *data, *context; };
void matching_end(struct matching *m);

/* Every stretch of a text is a match and a piece: split_scan is all there is to it. */
static inline bool split_scans(const struct split *s)
{
    return s->pattern <= PATTERN_QWEN && s->behaviour == SPLIT_ISOLATED && !s->invert;
}
size_t split_scan(const struct split *s, const char *p, const char *end); /* of the piece at p < end */

/* Letters of ASCII at p, eight at a time: what is no letter gets its highest bit set. */
static inline size_t ascii_letters(const char *p, const char *end)
{
    const uint64_t each = 0x0101010101010101u, high = 0x80 * each;
    const char *start = p;
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte is the lowest");
    for (uint64_t w; end - p >= 8; p += 8) {
        memcpy(&w, p, 8);
        uint64_t c = (w | 0x20 * each) & ~high;
        uint64_t other = (~(c + (0x80 - 'a') * each) | (c + (0x7F - 'z') * each) | w) & high;
        if (other) return (size_t)(p - start) + (size_t)__builtin_ctzll(other) / 8;
    }
    while (p < end && (unsigned char)((*p | 32) - 'a') < 26) p++;
    return (size_t)(p - start);
}

/* What most words are to all three patterns: letters of ASCII, or a blank and such letters. 0: it is
 * something else, or goes on with a longer character. */
static inline size_t split_plain(const char *p, const char *end)
{
    size_t blank = *p == ' ', n = ascii_letters(p + blank, end);
    if (n == 0 || (p + blank + n < end && (unsigned char)p[blank + n] >= 0x80)) return 0;
    return blank + n;
}

/* A walk over the pieces of one text: zeroed but for the first four fields. Empty pieces are left out. */
struct stretch { size_t start, end; bool match; };
struct pieces {
    const struct split *split;
    struct text t;
    struct matching *matching;
    struct err *err;
    size_t at, search, valid;     /* walked to; next search begins here; well-formed to here */
    struct stretch found, waiting;
    bool known, wait, ended;
};
/* 1 and the next piece, 0 at the end, -1 when a limit of the regular expression is reached. */
int pieces_next(struct pieces *w, struct text *piece);

/* The next match of s at or after w->search: 1, 0 or -1. For normalisers that replace. */
int pieces_match(struct pieces *w, struct stretch *match);
#endif
