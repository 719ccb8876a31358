/* unicode.h - the facts of Unicode that tokenizers stand on: classes, lower case and normal forms.
 *
 * The classes are those of Unicode 16 whatever the machine's libraries know: utf8proc's category,
 * corrected by the rows of unicode_table.c. The normal forms are those of Hugging Face's tokenizers,
 * whose tables are older: what Unicode added to them later stays as it is written. */
#ifndef HONE_UNICODE_H
#define HONE_UNICODE_H
#include "engine/base/base.h"

struct unicode_change { int32_t first, last; char category[3]; };
extern const struct unicode_change unicode_changes[];   /* ascending */
extern const int n_unicode_changes;

enum unicode_class {
    CLASS_LETTER = 1,       /* L* */
    CLASS_NUMBER = 2,       /* N* */
    CLASS_SPACE = 4,        /* White_Space: 25 code points */
    CLASS_LINE = 8,         /* CR and LF */
    CLASS_PUNCTUATION = 16, /* P*, and all of ASCII's punctuation and symbols */
    CLASS_WORD = 32,        /* \w: alphabetic, marks, decimal digits, connectors, joiners */
};
int unicode_class(int32_t code);

/* The classes of the Basic Multilingual Plane side by side, for scanners, and those of single bytes,
 * where a byte of a longer character is CLASS_WIDE; 64 KiB in the arena. */
enum { CLASS_WIDE = 128 };
struct unicode { uint8_t bmp[65536], byte[256]; };
struct unicode *unicode_make(struct arena *a);

/* As utf8_decode, with the most common lengths in line. p < end. */
static inline int utf8_next(const char *p, const char *end, int32_t *code)
{
    const unsigned char *b = (const unsigned char *)p;
    if (b[0] < 0x80) {
        *code = b[0];
        return 1;
    }
    if (b[0] > 0xE0 && b[0] < 0xED && end - p > 2 && (b[1] & 0xC0) == 0x80 && (b[2] & 0xC0) == 0x80) {
        *code = (b[0] & 0xF) << 12 | (b[1] & 0x3F) << 6 | (b[2] & 0x3F);
        return 3;
    }
    return utf8_decode(p, (size_t)(end - p), code);
}

/* The classes of the character at p (before end) and its length; an ill-formed byte has none. */
static inline int class_at(const struct unicode *u, const char *p, const char *end, int *length)
{
    if ((unsigned char)*p < 0x80) {
        *length = 1;
        return u->bmp[(unsigned char)*p];
    }
    int32_t code;
    *length = utf8_next(p, end, &code);
    return code < 0 ? 0 : code < 65536 ? u->bmp[code] : unicode_class(code);
}

enum unicode_form { FORM_NFC, FORM_NFD, FORM_NFKC, FORM_NFKD };
/* Appends t in a normal form; ill-formed bytes are kept. Linear in t. */
void unicode_normalise(struct buf *out, struct text t, enum unicode_form form);
void unicode_lower(struct buf *out, struct text t);
#endif
