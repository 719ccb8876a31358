/* template_parse.c - tokens as a tree, by the grammar that Jinja has:
 *
 *   expression  or [ "if" or [ "else" expression ] ]
 *   or          and { "or" and }             and       not { "and" not }
 *   not         "not" not | compare          compare   sum { (== != < <= > >= in, not in) sum }
 *   sum         join { (+ -) join }          join      product { "~" product }
 *   product     unary { (* / // %) unary }   unary     (- +) unary | primary postfix filters
 *   postfix     { "." name | "[" index "]" | "(" arguments ")" }
 *   filters     { "|" name [ arguments ] | "is" [ "not" ] name [ argument ] | "(" arguments ")" }
 *
 * Operands of a node: a, b, c from left to right; N_CHOICE is a (the value), b (the condition), c
 * (otherwise); N_SLICE is items 0..3 (what, from, to, step); S_FOR is a (over what), b (the
 * condition); S_SET is a (the value), b (the namespace, where an attribute is set). */
#include "engine/format/template_tree.h"
#include <stdio.h>
#include <string.h>

struct parser {
    const struct token *t;
    const char *name;
    struct arena *a;
    struct err *err;
    int depth, loops;
    bool generation;
};

static struct node *parse_expression(struct parser *p);
static struct node *parse_or(struct parser *p);
static struct node *parse_unary(struct parser *p, bool filters);
static bool parse_body(struct parser *p, struct body *out, const char *const *ends);

static void *bad(struct parser *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void *bad(struct parser *p, const char *fmt, ...)
{
    char what[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (!p->err->text[0]) fail(p->err, "template %s, line %d: %s", p->name, p->t->line, what);
    return NULL;
}

static struct node *node(struct parser *p, enum node_kind kind)
{
    struct node *n = NEW(p->a, struct node);
    n->kind = kind;
    n->line = p->t->line;
    return n;
}

static void add(struct parser *p, struct body *b, struct node *n)
{
    ROOM(p->a, b->list, b->n, b->cap);
    b->list[b->n++] = n;
}

static bool is(const struct token *t, enum token_kind kind, const char *text)
{
    return t->kind == kind && text_is(t->text, text);
}
static bool next_op(struct parser *p, const char *op)
{
    return is(p->t, T_OP, op) ? p->t++, true : false;
}
static bool next_name(struct parser *p, const char *name)
{
    return is(p->t, T_NAME, name) ? p->t++, true : false;
}

static bool want_op(struct parser *p, const char *op)
{
    return next_op(p, op) || (bad(p, "'%s' is missing", op), false);
}

static bool want_kind(struct parser *p, enum token_kind kind, const char *what)
{
    if (p->t->kind == kind) return p->t++, true;
    return bad(p, "%s is missing", what), false;
}

static bool want_name(struct parser *p, struct text *out)
{
    *out = p->t->text;
    return want_kind(p, T_NAME, "a name");
}

static int deepest(const struct body *b, int depth)
{
    for (int i = 0; i < b->n; i++)
        if (b->list[i] && b->list[i]->depth > depth) depth = b->list[i]->depth;
    return depth;
}

/* Notes how deep an expression is once its operands are there: a long chain nests as a deep one
 * does. */
static struct node *sealed(struct parser *p, struct node *n)
{
    const struct node *const operands[] = {n->a, n->b, n->c};
    n->depth = deepest(&n->items, deepest(&n->keys, 0));
    for (size_t i = 0; i < COUNT(operands); i++)
        if (operands[i] && operands[i]->depth > n->depth) n->depth = operands[i]->depth;
    n->depth++;
    return n->depth <= TEMPLATE_CHAIN_MOST
               ? n
               : bad(p, "an expression has more than %d operations in a row", TEMPLATE_CHAIN_MOST);
}

static struct node *binary(struct parser *p, enum node_kind kind, struct text op, struct node *a,
                           struct node *b)
{
    struct node *n = node(p, kind);
    n->name = op;
    n->a = a;
    n->b = b;
    return a && b ? sealed(p, n) : NULL;
}

/* Arguments after "(": positional ones, then named ones. */
static bool parse_arguments(struct parser *p, struct node *n)
{
    int cap = 0;
    while (!next_op(p, ")")) {
        if (n->items.n && !want_op(p, ",")) return false;
        if (next_op(p, ")")) break;
        if (n->items.n >= ARGS_MOST) return bad(p, "more than %d arguments", ARGS_MOST), false;
        if (is(p->t, T_OP, "*") || is(p->t, T_OP, "**"))
            return bad(p, "'*' before an argument is not understood"), false;
        if (p->t->kind == T_NAME && is(p->t + 1, T_OP, "=")) {
            ROOM(p->a, n->names, n->n_names, cap);
            n->names[n->n_names++] = p->t->text;
            p->t += 2;
        } else if (n->n_names) return bad(p, "a positional argument after a named one"), false;
        struct node *value = parse_expression(p);
        if (!value) return false;
        add(p, &n->items, value);
    }
    return true;
}

static struct node *parse_text(struct parser *p)
{
    struct node *n = node(p, N_TEXT);
    n->name = p->t++->text;
    if (p->t->kind != T_TEXT) return n;
    struct buf b = buf_make(p->a); /* texts side by side are one */
    buf_put(&b, n->name.p, n->name.n);
    for (; p->t->kind == T_TEXT; p->t++) buf_put(&b, p->t->text.p, p->t->text.n);
    n->name = buf_text(&b);
    return n;
}

static struct node *parse_name(struct parser *p)
{
    static const struct {
        const char *name;
        enum node_kind kind;
        int number;
    } constants[] = {{"true", N_BOOL, 1},  {"True", N_BOOL, 1}, {"false", N_BOOL, 0},
                     {"False", N_BOOL, 0}, {"none", N_NONE, 0}, {"None", N_NONE, 0}};
    struct node *n = node(p, N_NAME);
    n->name = p->t++->text;
    for (size_t i = 0; i < COUNT(constants); i++)
        if (text_is(n->name, constants[i].name)) {
            n->kind = constants[i].kind;
            n->number = constants[i].number;
        }
    return n;
}

/* Elements up to `end`; one without a comma in parentheses is itself. */
static struct node *parse_list(struct parser *p, const char *end)
{
    struct node *n = node(p, N_LIST);
    bool comma = false;
    while (!next_op(p, end)) {
        if (n->items.n && !want_op(p, ",")) return NULL;
        if (n->items.n) comma = true;
        if (next_op(p, end)) break;
        struct node *item = parse_expression(p);
        if (!item) return NULL;
        add(p, &n->items, item);
    }
    bool grouped = end[0] == ')' && n->items.n == 1 && !comma;
    return grouped ? n->items.list[0] : sealed(p, n);
}

static struct node *parse_map(struct parser *p)
{
    struct node *n = node(p, N_MAP);
    while (!next_op(p, "}")) {
        if (n->items.n && !want_op(p, ",")) return NULL;
        if (next_op(p, "}")) break;
        struct node *key = parse_expression(p);
        struct node *value = key && want_op(p, ":") ? parse_expression(p) : NULL;
        if (!value) return NULL;
        add(p, &n->keys, key);
        add(p, &n->items, value);
    }
    return sealed(p, n);
}

static struct node *parse_primary(struct parser *p)
{
    struct node *n;
    switch (p->t->kind) {
    case T_NAME: return parse_name(p);
    case T_TEXT: return parse_text(p);
    case T_INT:
        n = node(p, N_INT);
        n->number = p->t++->number;
        return n;
    default:
        if (next_op(p, "(")) return parse_list(p, ")");
        if (next_op(p, "[")) return parse_list(p, "]");
        if (next_op(p, "{")) return parse_map(p);
        return bad(p, "a value is missing");
    }
}

/* After "[": an index, or a slice with up to three numbers. */
static struct node *parse_index(struct parser *p, struct node *of)
{
    struct node *part[3] = {NULL, NULL, NULL};
    int colons = 0;
    for (;;) {
        if (!is(p->t, T_OP, ":") && !is(p->t, T_OP, "]") && !(part[colons] = parse_expression(p)))
            return NULL;
        if (colons == 2 || !next_op(p, ":")) break;
        colons++;
    }
    if (!want_op(p, "]")) return NULL;
    struct node *n = node(p, colons ? N_SLICE : N_INDEX);
    if (!colons)
        return part[0] ? binary(p, N_INDEX, (struct text){0}, of, part[0])
                       : bad(p, "an index is missing");
    add(p, &n->items, of);
    for (int i = 0; i < 3; i++) add(p, &n->items, part[i]);
    return sealed(p, n);
}

static struct node *parse_call(struct parser *p, struct node *of)
{
    struct node *n = node(p, N_CALL);
    n->a = of;
    return parse_arguments(p, n) ? sealed(p, n) : NULL;
}

static struct node *parse_postfix(struct parser *p, struct node *n)
{
    while (n)
        if (next_op(p, ".")) {
            struct node *get = node(p, N_GET);
            get->a = n;
            if (!want_name(p, &get->name)) return NULL;
            n = sealed(p, get);
        } else if (next_op(p, "[")) n = parse_index(p, n);
        else if (next_op(p, "(")) n = parse_call(p, n);
        else break;
    return n;
}

static struct node *parse_filter(struct parser *p, struct node *of)
{
    struct node *n = node(p, N_FILTER);
    n->a = of;
    if (!want_name(p, &n->name)) return NULL;
    return !next_op(p, "(") || parse_arguments(p, n) ? sealed(p, n) : NULL;
}

/* A test's argument may stand without parentheses: `is divisibleby 3`. */
static struct node *parse_test(struct parser *p, struct node *of)
{
    struct node *n = node(p, N_TEST);
    n->a = of;
    n->negated = next_name(p, "not");
    if (!want_name(p, &n->name)) return NULL;
    if (next_op(p, "(")) return parse_arguments(p, n) ? sealed(p, n) : NULL;
    const struct token *t = p->t;
    bool ends = is(t, T_NAME, "else") || is(t, T_NAME, "or") || is(t, T_NAME, "and") ||
                is(t, T_NAME, "is") || is(t, T_NAME, "if");
    bool begins = t->kind == T_NAME || t->kind == T_TEXT || t->kind == T_INT || is(t, T_OP, "[") ||
                  is(t, T_OP, "{");
    if (ends || !begins) return sealed(p, n);
    struct node *argument = parse_primary(p);
    argument = argument ? parse_postfix(p, argument) : NULL;
    if (argument) add(p, &n->items, argument);
    return argument ? sealed(p, n) : NULL;
}

static struct node *parse_filters(struct parser *p, struct node *n)
{
    while (n)
        if (next_op(p, "|")) n = parse_filter(p, n);
        else if (next_name(p, "is")) n = parse_test(p, n);
        else if (next_op(p, "(")) n = parse_call(p, n);
        else break;
    return n;
}

static struct node *parse_unary(struct parser *p, bool filters)
{
    if (p->depth >= TEMPLATE_DEPTH_MOST)
        return bad(p, "an expression nests more than %d deep", TEMPLATE_DEPTH_MOST);
    p->depth++;
    struct node *n;
    if (next_op(p, "-")) {
        n = node(p, N_NEGATE);
        n->a = parse_unary(p, false);
        n = n->a ? sealed(p, n) : NULL;
    } else if (next_op(p, "+")) n = parse_unary(p, false);
    else n = parse_postfix(p, parse_primary(p));
    if (filters) n = parse_filters(p, n);
    p->depth--;
    return n;
}

/* Left-associative operators, from the loosest level to the tightest. */
static const char *const levels[][5] = {{"+", "-"}, {"~"}, {"*", "//", "/", "%", "**"}};

static struct node *parse_level(struct parser *p, size_t level)
{
    if (level == COUNT(levels)) return parse_unary(p, true);
    struct node *n = parse_level(p, level + 1);
    for (bool more = true; n && more;) {
        more = false;
        for (size_t i = 0; !more && i < COUNT(levels[0]) && levels[level][i]; i++)
            if (is(p->t, T_OP, levels[level][i])) {
                struct text op = p->t++->text;
                n = binary(p, N_BINARY, op, n, parse_level(p, level + 1));
                more = true;
            }
    }
    return n;
}

/* a < b < c: a list of operands, with the operators as keys. */
static struct node *parse_compare(struct parser *p)
{
    static const char *const ops[] = {"==", "!=", "<=", ">=", "<", ">"};
    struct node *first = parse_level(p, 0), *n = NULL;
    while (first) {
        struct text op = {0};
        for (size_t i = 0; i < COUNT(ops) && !op.n; i++)
            if (is(p->t, T_OP, ops[i])) op = text_of(ops[i]);
        if (op.n || is(p->t, T_NAME, "in")) op = p->t++->text;
        else if (is(p->t, T_NAME, "not") && is(p->t + 1, T_NAME, "in"))
            op = TEXT("not in"), p->t += 2;
        else break;
        if (!n) {
            n = node(p, N_COMPARE);
            add(p, &n->items, first);
        }
        struct node *sign = node(p, N_TEXT), *right = parse_level(p, 0);
        sign->name = op;
        if (!right) return NULL;
        add(p, &n->keys, sign);
        add(p, &n->items, right);
    }
    return n ? sealed(p, n) : first;
}

static struct node *parse_not(struct parser *p)
{
    if (!next_name(p, "not")) return parse_compare(p);
    if (p->depth >= TEMPLATE_DEPTH_MOST)
        return bad(p, "an expression nests more than %d deep", TEMPLATE_DEPTH_MOST);
    struct node *n = node(p, N_NOT);
    p->depth++;
    n->a = parse_not(p);
    p->depth--;
    return n->a ? sealed(p, n) : NULL;
}

static struct node *parse_and(struct parser *p)
{
    struct node *n = parse_not(p);
    while (n && next_name(p, "and")) n = binary(p, N_AND, (struct text){0}, n, parse_not(p));
    return n;
}

static struct node *parse_or(struct parser *p)
{
    struct node *n = parse_and(p);
    while (n && next_name(p, "or")) n = binary(p, N_OR, (struct text){0}, n, parse_and(p));
    return n;
}

static struct node *parse_expression(struct parser *p)
{
    if (p->depth >= TEMPLATE_DEPTH_MOST)
        return bad(p, "an expression nests more than %d deep", TEMPLATE_DEPTH_MOST);
    p->depth++;
    struct node *n = parse_or(p);
    while (n && next_name(p, "if")) {
        struct node *choice = node(p, N_CHOICE);
        choice->a = n;
        choice->b = parse_or(p);
        if (choice->b && next_name(p, "else")) {
            choice->c = parse_expression(p);
            if (!choice->c) choice = NULL;
        }
        n = choice && choice->b ? sealed(p, choice) : NULL;
    }
    p->depth--;
    return n;
}

static bool block_end(struct parser *p)
{
    return want_kind(p, T_BLOCK_END, "the end of the tag (%})");
}

/* `{% name %}` where a body must end. */
static bool end_tag(struct parser *p, const char *name)
{
    if (p->t->kind == T_BLOCK && is(p->t + 1, T_NAME, name)) {
        p->t += 2;
        return block_end(p);
    }
    return bad(p, "{%% %s %%} is missing", name), false;
}

static struct node *parse_for(struct parser *p)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    struct node *n = node(p, S_FOR);
    int cap = 0;
    bool ok;
    if (++p->loops > TEMPLATE_LOOPS_MOST)
        return bad(p, "loops nest more than %d deep", TEMPLATE_LOOPS_MOST);
    bool grouped = next_op(p, "(");
    do {
        ROOM(p->a, n->names, n->n_names, cap);
        ok = want_name(p, &n->names[n->n_names++]);
    } while (ok && next_op(p, ","));
    if (!ok || (grouped && !want_op(p, ")"))) return NULL;
    if (!next_name(p, "in")) return bad(p, "'in' is missing");
    if (!(n->a = parse_or(p))) return NULL;
    if (next_name(p, "if") && !(n->b = parse_or(p))) return NULL;
    if (is(p->t, T_NAME, "recursive")) return bad(p, "recursive loops are not understood");
    if (!block_end(p) || !parse_body(p, &n->body, ends)) return NULL;
    if (is(p->t + 1, T_NAME, "else")) {
        p->t += 2;
        if (!block_end(p) || !parse_body(p, &n->other, ends + 1)) return NULL;
    }
    p->loops--;
    return end_tag(p, "endfor") ? n : NULL;
}

static struct node *parse_if(struct parser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    struct node *n = node(p, S_IF);
    if (!(n->a = parse_or(p)) || !block_end(p) || !parse_body(p, &n->body, ends)) return NULL;
    if (is(p->t + 1, T_NAME, "elif")) {
        p->t += 2;
        if (p->depth >= TEMPLATE_DEPTH_MOST)
            return bad(p, "more than %d elif", TEMPLATE_DEPTH_MOST);
        p->depth++;
        struct node *next = parse_if(p); /* takes the endif */
        p->depth--;
        if (!next) return NULL;
        add(p, &n->other, next);
        return n;
    }
    if (is(p->t + 1, T_NAME, "else")) {
        p->t += 2;
        if (!block_end(p) || !parse_body(p, &n->other, ends + 2)) return NULL;
    }
    return end_tag(p, "endif") ? n : NULL;
}

static struct node *parse_set(struct parser *p)
{
    static const char *const ends[] = {"endset", NULL};
    struct node *n = node(p, S_SET);
    if (!want_name(p, &n->name)) return NULL;
    if (next_op(p, ".")) {
        n->b = node(p, N_NAME);
        n->b->name = n->name;
        if (!want_name(p, &n->name)) return NULL;
    }
    if (is(p->t, T_OP, ",")) return bad(p, "setting several names at once is not understood");
    if (next_op(p, "=")) return (n->a = parse_expression(p)) && block_end(p) ? n : NULL;
    n->kind = S_SET_BLOCK;
    if (n->b || !block_end(p) || !parse_body(p, &n->body, ends)) return bad(p, "'=' is missing");
    return end_tag(p, "endset") ? n : NULL;
}

/* names: the parameters; items: defaults of the last ones. */
static struct node *parse_macro(struct parser *p)
{
    static const char *const ends[] = {"endmacro", NULL};
    struct node *n = node(p, S_MACRO);
    int cap = 0;
    if (!want_name(p, &n->name) || !want_op(p, "(")) return NULL;
    while (!next_op(p, ")")) {
        if (n->n_names && !want_op(p, ",")) return NULL;
        if (n->n_names >= ARGS_MOST) return bad(p, "more than %d parameters", ARGS_MOST);
        ROOM(p->a, n->names, n->n_names, cap);
        if (!want_name(p, &n->names[n->n_names++])) return NULL;
        struct node *value = next_op(p, "=") ? parse_expression(p) : NULL;
        if (value) add(p, &n->items, value);
        else if (n->items.n || p->err->text[0])
            return bad(p, "a parameter without a default after one that has it");
    }
    return block_end(p) && parse_body(p, &n->body, ends) && end_tag(p, "endmacro") ? n : NULL;
}

static struct node *parse_generation(struct parser *p)
{
    static const char *const ends[] = {"endgeneration", NULL};
    struct node *n = node(p, S_GENERATION);
    p->generation = true;
    return block_end(p) && parse_body(p, &n->body, ends) && end_tag(p, "endgeneration") ? n : NULL;
}

static struct node *parse_break(struct parser *p)
{
    struct node *n = node(p, S_BREAK);
    return !p->loops ? bad(p, "break outside of a loop") : block_end(p) ? n : NULL;
}

static struct node *parse_continue(struct parser *p)
{
    struct node *n = node(p, S_CONTINUE);
    return !p->loops ? bad(p, "continue outside of a loop") : block_end(p) ? n : NULL;
}

static const struct {
    const char *name;
    struct node *(*parse)(struct parser *p);
} statements[] = {
    {"if", parse_if},
    {"for", parse_for},
    {"set", parse_set},
    {"macro", parse_macro},
    {"generation", parse_generation},
    {"break", parse_break},
    {"continue", parse_continue},
};

static struct node *parse_statement(struct parser *p)
{
    struct text name;
    p->t++;
    if (!want_name(p, &name)) return NULL;
    for (size_t i = 0; i < COUNT(statements); i++)
        if (text_is(name, statements[i].name)) return statements[i].parse(p);
    p->t--;
    return bad(p,
               "the statement \"%.*s\" is not understood; if, for, set, macro, break, continue and "
               "generation are; "
               "choose another template",
               name.n > 40 ? 40 : (int)name.n, name.p);
}

static bool ends_here(const struct parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (p->t->kind == T_BLOCK && is(p->t + 1, T_NAME, *ends)) return true;
    return false;
}

static struct node *parse_print(struct parser *p)
{
    struct node *n = node(p, S_PRINT);
    p->t++;
    n->a = parse_expression(p);
    return n->a && want_kind(p, T_PRINT_END, "the end of the tag (}})") ? n : NULL;
}

static struct node *parse_data(struct parser *p)
{
    struct node *n = node(p, S_DATA);
    n->name = p->t++->text;
    return n;
}

/* What stands up to one of `ends` (which is not taken), or to the end of the source where it is
 * NULL. */
static bool parse_body(struct parser *p, struct body *out, const char *const *ends)
{
    if (p->depth >= TEMPLATE_DEPTH_MOST)
        return bad(p, "statements nest more than %d deep", TEMPLATE_DEPTH_MOST), false;
    p->depth++;
    while (!ends_here(p, ends)) {
        struct node *n = NULL;
        if (p->t->kind == T_END) {
            p->depth--;
            return !ends || (bad(p, "{%% %s %%} is missing", ends[0]), false);
        }
        if (p->t->kind == T_DATA) n = parse_data(p);
        else if (p->t->kind == T_PRINT) n = parse_print(p);
        else if (p->t->kind == T_BLOCK) n = parse_statement(p);
        if (!n) return false;
        add(p, out, n);
    }
    p->depth--;
    return true;
}

bool template_parse(struct body *out, bool *generation, const struct tokens *tokens,
                    const char *name, struct arena *a, struct err *err)
{
    struct parser p = {.t = tokens->list, .name = name, .a = a, .err = err};
    err->text[0] = 0;
    bool ok = parse_body(&p, out, NULL);
    *generation = p.generation;
    return ok || (p.err->text[0] ? false : fail(err, "template %s cannot be read", name));
}
