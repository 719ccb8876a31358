/* profile_text.h - private to engine/run: a YAML text, the way down a path in it, and the one
 * splice that an edit is.
 *
 * Whoever edits makes the splice from the tree's marks, makes the same change in a second tree, and
 * asks reads_as() whether the new text is that tree. */
#ifndef HONE_PROFILE_TEXT_H
#define HONE_PROFILE_TEXT_H
#include "engine/run/profile_parts.h"

/* A walk down a path: nodes[0] is the root, nodes[i] what the first i words name. */
enum { WORDS_MOST = 16 };
struct trail {
    struct text words[WORDS_MOST];
    struct node *nodes[WORDS_MOST + 1];
    int index[WORDS_MOST];       /* child i + 1 of node i; -1: it is not there */
    int n, there;                /* words, and how many of them exist */
};
struct splice { size_t from, to; struct buf text; };

bool text_tree(struct node **root, struct text source, struct arena *a, struct err *err);
bool trail_make(struct trail *t, struct node *root, const char *path, struct err *err);
struct text spliced(struct text s, const struct splice *x, struct arena *a);
/* Is `text` the tree that was wanted? Else the edit is refused in a sentence. */
bool reads_as(struct text text, const struct node *wanted, const char *path, struct arena *a,
              struct err *err);

/* The end of a value without the line break that ends a | or > text. */
size_t value_end(struct text source, const struct node *n);
size_t line_start(struct text s, size_t at);
/* After the line break of the line that holds the byte before `at`; for a | text that ends there,
 * `at`. */
size_t line_after(struct text s, size_t at);
bool blank_between(struct text s, size_t from, size_t to);
const char *line_break(struct text s);
/* Where entry i begins: its key, its '-', or in brackets the item itself. */
size_t entry_start(struct text s, const struct node *parent, int i);

void replace_value(struct splice *out, struct text s, const struct node *key, const struct node *n,
                   const char *text);
/* Adds an entry ("key: value" or "value") at the end of a list or map. */
void add_entry(struct splice *out, struct text s, const struct node *parent, const char *entry);
#endif
