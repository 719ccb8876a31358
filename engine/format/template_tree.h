/* template_tree.h - private: what the files of the template interpreter share.
 *
 * A source becomes tokens (template_lex.c), tokens a tree (template_parse.c), the tree text
 * (template_eval.c, template_value.c, template_call.c). A text value carries runs: which message each of its
 * bytes came from. They survive joining, slicing, stripping and splitting, so the output knows, byte by
 * byte, whose words it is made of. */
#ifndef HONE_TEMPLATE_TREE_H
#define HONE_TEMPLATE_TREE_H
#include "engine/format/template.h"

#define TEMPLATE_STEPS_MOST 1000000
#define TEMPLATE_OUTPUT_MOST (16ll << 20)
#define TEMPLATE_LOOPS_MOST 8
#define TEMPLATE_DEPTH_MOST 64
#define TEMPLATE_CHAIN_MOST 300
#define TEMPLATE_CALLS_MOST 16
#define TEMPLATE_SOURCE_MOST (256 << 10)
#define TEMPLATE_NAMES_MOST 256 /* variables, and keys of a mapping: they are searched one by one */
#define ARGS_MOST 8

/* ---- tokens ---- */

enum token_kind { T_END, T_DATA, T_BLOCK, T_BLOCK_END, T_PRINT, T_PRINT_END, T_NAME, T_TEXT, T_INT,
                 T_OP };
struct token { enum token_kind kind; int line; struct text text; int64_t number; };
struct tokens { struct token *list; int n, cap; };
/* The texts of tokens live in arena a. `name` is the template's, for errors. */
bool template_lex(struct tokens *out, struct text source, const char *name, struct arena *a,
                  struct err *err);

/* ---- the tree ---- */

enum node_kind {
    N_TEXT, N_INT, N_BOOL, N_NONE, N_NAME, N_LIST, N_MAP, N_GET, N_INDEX, N_SLICE, N_CALL,
    N_FILTER, N_TEST,
    N_NOT, N_NEGATE, N_AND, N_OR, N_BINARY, N_COMPARE, N_CHOICE,
    S_DATA, S_PRINT, S_FOR, S_IF, S_SET, S_SET_BLOCK, S_MACRO, S_BREAK, S_CONTINUE, S_GENERATION,
    NODE_KINDS
};
struct body { struct node **list; int n, cap; };
struct node {
    enum node_kind kind;
    int line, depth;             /* depth: nodes below it on the longest way */
    struct text name;            /* a name, an operator, a text, a filter */
    int64_t number;
    bool negated;                /* N_TEST */
    struct node *a, *b, *c;      /* operands; see template_parse.c */
    struct body items, keys;     /* elements, arguments; keys of a map */
    struct text *names; int n_names; /* N_CALL, N_FILTER: names of the last arguments; S_FOR, S_MACRO: targets */
    struct body body, other;     /* S_*: what is done; what is done otherwise */
};
bool template_parse(struct body *out, bool *generation, const struct tokens *tokens,
                    const char *name, struct arena *a, struct err *err);

/* ---- values ---- */

struct run { size_t end; int message; bool generation; };
enum value_kind { V_UNDEFINED, V_NONE, V_BOOL, V_INT, V_TEXT, V_LIST, V_MAP, V_NAMESPACE, V_LOOP,
                 V_MACRO };
struct value {
    enum value_kind kind;
    int64_t number;              /* V_BOOL, V_INT */
    struct text text;            /* V_TEXT; V_UNDEFINED: what was looked for */
    const struct run *runs; int n_runs; /* of text; none: the template's own words */
    struct value *items; int n;  /* V_LIST */
    struct map *map;             /* V_MAP, V_NAMESPACE */
    const struct loop *loop;
    const struct node *macro;
};
struct map { struct text *keys; struct value *values; int n, cap; };
struct loop { const struct value *items; int n, at; };

/* Text with its runs that grows. */
struct written { struct buf text; struct run *runs; int n, cap; };

struct variable { struct text name; struct value value; };
struct interp {
    const char *name;            /* the template's */
    struct arena *a;
    struct err *err;
    int line;                    /* of the node in work */
    int64_t steps;
    int loops, calls, generation;
    bool failed;                 /* the error is said; nothing more is done */
    enum { GO, BREAK, CONTINUE } flow;
    struct variable *variables; int n_variables, cap_variables, frame;
    struct written *out;
};

bool template_fail(struct interp *in, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Counts n steps of work; false over the limit. Work on bytes counts a step for each 256. */
bool template_work(struct interp *in, int64_t n);
const char *value_kind_name(const struct value *v);
struct value value_text(struct text t);
struct value value_int(int64_t n);
struct value value_bool(bool yes);
struct value value_none(void);
struct value value_undefined(struct text what);
struct value value_list(struct value *items, int n);
bool value_true(const struct value *v);
/* Counts as work; false also where that was too much, and in->failed. */
bool value_equal(struct interp *in, const struct value *a, const struct value *b);
const struct value *map_get(const struct map *m, struct text key);
bool map_put(struct interp *in, struct map *m, struct text key, struct value v);
/* The bytes from..to of a text with their runs. */
struct value value_part(struct interp *in, const struct value *v, size_t from, size_t to);
/* A text made of `from`: its message, where there is just one. */
struct value value_made(struct interp *in, struct text t, const struct value *from);
bool written_put(struct interp *in, struct written *w, const struct value *text);
struct value written_value(struct interp *in, const struct written *w);
/* What {{ }} writes of a value. */
bool value_string(struct interp *in, const struct value *v, struct value *out);
bool value_iterate(struct interp *in, const struct value *v, struct value *list);
/* Code points and their places: Python counts texts so. */
int64_t text_length(struct text t);
size_t text_offset(struct text t, int64_t points);
bool is_blank(int32_t code);

struct args { struct value list[ARGS_MOST]; int n; struct text names[ARGS_MOST]; struct value named[ARGS_MOST]; int n_named; };
/* Argument i, or the one of that name, or NULL. */
const struct value *arg_get(const struct args *args, int i, const char *name);

/* ---- texts ---- */

struct span { size_t from, to; };
/* What is left without blanks, or without the characters of `set`, at its ends. */
struct span text_stripped(struct text t, const struct value *set, bool left, bool right);
bool text_strip(struct interp *in, const struct value *v, const struct args *args, bool left,
                bool right, struct value *out);
/* how: 'u'pper, 'l'ower, 't'itle, 'c'apitalize. */
bool text_change_case(struct interp *in, const struct value *v, const char *who, char how,
                      struct value *out);
bool text_replace(struct interp *in, const struct value *v, const struct args *args,
                  struct value *out);
bool text_split(struct interp *in, const struct value *v, const struct args *args,
                struct value *out);
bool text_edge(struct interp *in, const struct value *v, const struct args *args, bool at_start,
               struct value *out);
bool want_text(struct interp *in, const struct value *v, const char *who);
bool written_part(struct interp *in, struct written *w, const struct value *v, size_t from,
                  size_t to);
/* As Python's json.dumps(ensure_ascii=False); indent below 0: on one line. */
bool value_json(struct interp *in, struct buf *b, const struct value *v, int64_t indent, int depth);

/* ---- doing ---- */

bool template_eval(struct interp *in, const struct node *n, struct value *out);
bool template_do(struct interp *in, const struct body *body);
bool template_filter(struct interp *in, struct text name, const struct value *v,
                     const struct args *args, struct value *out);
bool template_test(struct interp *in, struct text name, const struct value *v,
                   const struct args *args, bool *out);
bool template_method(struct interp *in, const struct value *v, struct text name,
                     const struct args *args, struct value *out);
bool template_function(struct interp *in, struct text name, const struct args *args,
                       struct value *out, bool *known);
bool variable_set(struct interp *in, struct text name, struct value v);
const struct value *variable_get(const struct interp *in, struct text name);
#endif
