/* yaml_tree.h - private to engine/run: a small YAML file as a tree that knows where each value
 * stands.
 *
 * Every node keeps its bytes in the source, so that an edit can splice one value and leave the rest
 * of the file alone. What a file of settings does not need is refused: anchors, aliases, tags, a
 * second document, more than 256 KiB, 16 levels, 10,000 nodes or 64 KiB in one value, tabs between
 * values. */
#ifndef HONE_YAML_TREE_H
#define HONE_YAML_TREE_H
#include "engine/run/profile.h"

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
    enum node_kind kind;
    bool plain; /* a scalar without quotes: "null", "~" and nothing mean that it is absent */
    bool flow;                   /* a list or map in brackets */
    bool literal;                /* a | or > scalar: its end is the start of a line */
    struct text value;           /* a scalar's, decoded and terminated */
    size_t start, end; /* bytes of the source; a block list or map ends where its last child does */
    int line, column;            /* from 1, in characters; 0: not from the file (`--set`) */
    struct node **keys, **items; /* children; keys of a map only */
    int n, cap, key_cap;
};

/* false: the text is no YAML, and *out is NULL. Duplicate keys, anchors and the like are problems
 * too, but the tree is there, so that the rest can be checked. An empty text is an empty map. */
bool yaml_parse(struct node **out, struct text source, struct problems *problems, struct arena *a);
struct node *node_get(const struct node *map, struct text key); /* NULL: no map, or no such key */
bool node_is_null(const struct node *n);
bool node_equal(const struct node *x, const struct node *y); /* values alone, not places */
void node_put(struct node *parent, struct node *key, struct node *item, struct arena *a);
struct node *node_scalar(struct text value, struct arena *a);
void problem_add(struct problems *p, struct arena *a, int line, int column, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
#endif
