/* template_eval.c - walks the tree: expressions give values, statements write.
 *
 * Variables lie on one stack. A pass of a loop begins a frame: what is set in it ends with it, as
 * in Jinja; a namespace is how templates carry something out of a loop. */
#include "engine/format/template_tree.h"
#include <string.h>

static struct value missing(const char *what) { return value_undefined(text_of(what)); }

const struct value *variable_get(const struct interp *in, struct text name)
{
    for (int i = in->n_variables - 1; i >= 0; i--)
        if (text_equal(in->variables[i].name, name)) return &in->variables[i].value;
    return NULL;
}

bool variable_set(struct interp *in, struct text name, struct value v)
{
    for (int i = in->n_variables - 1; i >= in->frame; i--)
        if (text_equal(in->variables[i].name, name)) {
            in->variables[i].value = v;
            return true;
        }
    if (in->n_variables == TEMPLATE_NAMES_MOST)
        return template_fail(in, "there are more than %d variables", TEMPLATE_NAMES_MOST);
    ROOM(in->a, in->variables, in->n_variables, in->cap_variables);
    in->variables[in->n_variables++] = (struct variable){name, v};
    return true;
}

/* ---- expressions ---- */

static bool eval_constant(struct interp *in, const struct node *n, struct value *out)
{
    (void)in;
    *out = n->kind == N_TEXT   ? value_text(n->name)
           : n->kind == N_INT  ? value_int(n->number)
           : n->kind == N_BOOL ? value_bool(n->number != 0)
                               : value_none();
    return true;
}

static bool eval_name(struct interp *in, const struct node *n, struct value *out)
{
    const struct value *v = variable_get(in, n->name);
    *out = v ? *v : value_undefined(n->name);
    return true;
}

static bool eval_list(struct interp *in, const struct node *n, struct value *out)
{
    struct value *items = NEW_N(in->a, struct value, n->items.n);
    for (int i = 0; i < n->items.n; i++)
        if (!template_eval(in, n->items.list[i], &items[i])) return false;
    *out = value_list(items, n->items.n);
    return true;
}

static bool eval_map(struct interp *in, const struct node *n, struct value *out)
{
    struct map *m = NEW(in->a, struct map);
    for (int i = 0; i < n->items.n; i++) {
        struct value key, v;
        if (!template_eval(in, n->keys.list[i], &key) || !template_eval(in, n->items.list[i], &v))
            return false;
        if (key.kind != V_TEXT)
            return template_fail(in, "a mapping has %s as a key; only texts are understood",
                                 value_kind_name(&key));
        if (!map_put(in, m, key.text, v)) return false;
    }
    *out = (struct value){.kind = V_MAP, .map = m};
    return true;
}

static bool loop_field(const struct loop *l, struct text name, struct value *out)
{
    const struct {
        const char *name;
        struct value value;
    } rows[] = {
        {"index", value_int(l->at + 1)},
        {"index0", value_int(l->at)},
        {"revindex", value_int(l->n - l->at)},
        {"revindex0", value_int(l->n - l->at - 1)},
        {"first", value_bool(l->at == 0)},
        {"last", value_bool(l->at == l->n - 1)},
        {"length", value_int(l->n)},
        {"depth", value_int(1)},
        {"depth0", value_int(0)}, /* they count recursion */
        {"previtem", l->at > 0 ? l->items[l->at - 1] : missing("loop.previtem")},
        {"nextitem", l->at + 1 < l->n ? l->items[l->at + 1] : missing("loop.nextitem")},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (text_is(name, rows[i].name)) {
            *out = rows[i].value;
            return true;
        }
    return false;
}

static bool get_field(struct interp *in, const struct value *v, struct text name, struct value *out)
{
    const struct value *found = NULL;
    *out = value_undefined(name);
    if (v->kind == V_UNDEFINED)
        return template_fail(in, "\"%.*s\" is asked of %.*s, which is undefined", (int)name.n,
                             name.p, (int)v->text.n, v->text.p);
    if (v->kind == V_MAP || v->kind == V_NAMESPACE) found = map_get(v->map, name);
    if (found) *out = *found;
    if (v->kind == V_LOOP && !loop_field(v->loop, name, out))
        return template_fail(in, "loop.%.*s is not understood", (int)name.n, name.p);
    return true;
}

static bool eval_get(struct interp *in, const struct node *n, struct value *out)
{
    struct value v;
    return template_eval(in, n->a, &v) && get_field(in, &v, n->name, out);
}

static bool eval_index(struct interp *in, const struct node *n, struct value *out)
{
    struct value v, at;
    if (!template_eval(in, n->a, &v) || !template_eval(in, n->b, &at)) return false;
    if (v.kind == V_UNDEFINED)
        return template_fail(in, "%.*s is undefined; it has no elements", (int)v.text.n, v.text.p);
    if (at.kind == V_TEXT && (v.kind == V_MAP || v.kind == V_NAMESPACE))
        return get_field(in, &v, at.text, out);
    *out = missing("an element");
    if (at.kind != V_INT) return true;
    if (v.kind == V_TEXT && !template_work(in, (int64_t)(v.text.n >> 8))) return false;
    int64_t length = v.kind == V_LIST ? v.n : v.kind == V_TEXT ? text_length(v.text) : 0;
    int64_t i = at.number < 0 ? at.number + length : at.number;
    if (i < 0 || i >= length) return true;
    if (v.kind == V_LIST) *out = v.items[i];
    else {
        size_t from = text_offset(v.text, i), to = text_offset(v.text, i + 1);
        *out = value_part(in, &v, from, to);
    }
    return true;
}

/* A bound of a slice as Python counts it, within 0..length (or -1..length-1 going backwards). */
static int64_t bound(const struct value *v, int64_t otherwise, int64_t length, bool backwards)
{
    if (v->kind != V_INT) return otherwise;
    int64_t i = v->number < 0 ? v->number + length : v->number;
    int64_t least = backwards ? -1 : 0, most = backwards ? length - 1 : length;
    return i < least ? least : i > most ? most : i;
}

static bool slice_items(struct interp *in, const struct value *v, int64_t from, int64_t to,
                        int64_t step, struct value *out)
{
    struct value list;
    if (!value_iterate(in, v, &list) || !template_work(in, list.n)) return false;
    struct value *items = NEW_N(in->a, struct value, list.n);
    int n = 0;
    for (int64_t i = from; step > 0 ? i < to : i > to; i += step) items[n++] = list.items[i];
    *out = value_list(items, n);
    if (v->kind == V_LIST) return true;
    struct written w = {.text = buf_make(in->a)};
    for (int i = 0; i < n; i++)
        if (!written_put(in, &w, &items[i])) return false;
    *out = written_value(in, &w);
    return true;
}

static bool eval_slice(struct interp *in, const struct node *n, struct value *out)
{
    struct value v, part[3];
    if (!template_eval(in, n->items.list[0], &v)) return false;
    for (int i = 0; i < 3; i++) {
        part[i] = value_none();
        if (n->items.list[i + 1] && !template_eval(in, n->items.list[i + 1], &part[i]))
            return false;
    }
    if (v.kind != V_LIST && v.kind != V_TEXT)
        return template_fail(in, "%s has no slices", value_kind_name(&v));
    int64_t length = v.kind == V_LIST ? v.n : text_length(v.text);
    int64_t step = part[2].kind == V_INT ? part[2].number : 1;
    if (step == 0 || step > INT32_MAX || step < -INT32_MAX)
        return template_fail(in, "a slice has the step %lld", (long long)step);
    int64_t from = bound(&part[0], step > 0 ? 0 : length - 1, length, step < 0);
    int64_t to = bound(&part[1], step > 0 ? length : -1, length, step < 0);
    if (v.kind == V_LIST || step != 1) return slice_items(in, &v, from, to, step, out);
    size_t a = text_offset(v.text, from), b = text_offset(v.text, to > from ? to : from);
    *out = value_part(in, &v, a, b);
    return template_work(in, (int64_t)(v.text.n >> 8));
}

static bool eval_arguments(struct interp *in, const struct node *n, struct args *args)
{
    *args = (struct args){0};
    for (int i = 0; i < n->items.n; i++) {
        int named = i - (n->items.n - n->n_names);
        struct value *to = named < 0 ? &args->list[args->n++] : &args->named[args->n_named];
        if (named >= 0) args->names[args->n_named++] = n->names[named];
        if (!template_eval(in, n->items.list[i], to)) return false;
    }
    return true;
}

const struct value *arg_get(const struct args *args, int i, const char *name)
{
    if (i < args->n) return &args->list[i];
    for (int k = 0; k < args->n_named; k++)
        if (text_is(args->names[k], name)) return &args->named[k];
    return NULL;
}

static bool bind(struct interp *in, const struct node *m, const struct args *args)
{
    if (args->n > m->n_names)
        return template_fail(in, "macro %.*s takes %d arguments", (int)m->name.n, m->name.p,
                             m->n_names);
    for (int i = 0; i < m->n_names; i++) {
        char name[64];
        struct text t = m->names[i];
        size_t n = t.n < sizeof name ? t.n : sizeof name - 1;
        memcpy(name, t.p, n);
        name[n] = 0;
        const struct value *given = arg_get(args, i, name);
        int otherwise = i - (m->n_names - m->items.n);
        struct value v = value_undefined(t);
        if (given) v = *given;
        else if (otherwise >= 0 && !template_eval(in, m->items.list[otherwise], &v)) return false;
        if (!variable_set(in, t, v)) return false;
    }
    return true;
}

/* Runs a body in a frame of its own and gives what it wrote. */
static bool capture(struct interp *in, const struct body *body, struct value *out)
{
    struct written w = {.text = buf_make(in->a)}, *outer = in->out;
    in->out = &w;
    bool ok = template_do(in, body);
    in->out = outer;
    *out = written_value(in, &w);
    return ok;
}

static bool call_macro(struct interp *in, const struct node *m, const struct args *args,
                       struct value *out)
{
    int frame = in->frame, n = in->n_variables, line = in->line;
    if (in->calls >= TEMPLATE_CALLS_MOST)
        return template_fail(in, "macros call each other more than %d deep", TEMPLATE_CALLS_MOST);
    in->calls++;
    in->frame = n;
    bool ok = bind(in, m, args) && capture(in, &m->body, out);
    in->flow = GO;
    in->frame = frame;
    in->n_variables = n;
    in->line = line;
    in->calls--;
    return ok;
}

static bool eval_call(struct interp *in, const struct node *n, struct value *out)
{
    struct args args;
    struct value of;
    bool known;
    if (!eval_arguments(in, n, &args)) return false;
    if (n->a->kind == N_NAME && !variable_get(in, n->a->name)) {
        in->line = n->line;
        if (!template_function(in, n->a->name, &args, out, &known)) return false;
        return known ||
               template_fail(in, "the function \"%.*s\" is not understood; choose another template",
                             (int)n->a->name.n, n->a->name.p);
    }
    if (n->a->kind == N_GET) {
        if (!template_eval(in, n->a->a, &of)) return false;
        const struct value *macro =
            of.kind == V_NAMESPACE || of.kind == V_MAP ? map_get(of.map, n->a->name) : NULL;
        in->line = n->line;
        if (!macro || macro->kind != V_MACRO)
            return template_method(in, &of, n->a->name, &args, out);
        return call_macro(in, macro->macro, &args, out);
    }
    if (!template_eval(in, n->a, &of)) return false;
    if (of.kind != V_MACRO)
        return template_fail(in, "%s is called like a function", value_kind_name(&of));
    return call_macro(in, of.macro, &args, out);
}

static bool eval_filter(struct interp *in, const struct node *n, struct value *out)
{
    struct value v;
    struct args args;
    if (!template_eval(in, n->a, &v) || !eval_arguments(in, n, &args)) return false;
    in->line = n->line;
    return template_filter(in, n->name, &v, &args, out);
}

static bool eval_test(struct interp *in, const struct node *n, struct value *out)
{
    struct value v;
    struct args args;
    bool yes;
    if (!template_eval(in, n->a, &v) || !eval_arguments(in, n, &args)) return false;
    in->line = n->line;
    if (!template_test(in, n->name, &v, &args, &yes)) return false;
    *out = value_bool(yes != n->negated);
    return true;
}

static bool eval_not(struct interp *in, const struct node *n, struct value *out)
{
    struct value v;
    if (!template_eval(in, n->a, &v)) return false;
    *out = value_bool(!value_true(&v));
    return true;
}

static bool eval_negate(struct interp *in, const struct node *n, struct value *out)
{
    struct value v;
    if (!template_eval(in, n->a, &v)) return false;
    if (v.kind != V_INT || v.number == INT64_MIN)
        return template_fail(in, "'-' before %s", value_kind_name(&v));
    *out = value_int(-v.number);
    return true;
}

/* `and` and `or` give one of their operands, as in Python. */
static bool eval_logic(struct interp *in, const struct node *n, struct value *out)
{
    if (!template_eval(in, n->a, out)) return false;
    return value_true(out) == (n->kind == N_OR) || template_eval(in, n->b, out);
}

static bool eval_choice(struct interp *in, const struct node *n, struct value *out)
{
    struct value yes;
    if (!template_eval(in, n->b, &yes)) return false;
    *out = missing("the value of an if without an else");
    if (value_true(&yes)) return template_eval(in, n->a, out);
    return !n->c || template_eval(in, n->c, out);
}

static bool joined(struct interp *in, const struct value *a, const struct value *b,
                   struct value *out)
{
    struct written w = {.text = buf_make(in->a)};
    if (b->text.n == 0 || a->text.n == 0) {
        *out = a->text.n ? *a : *b;
        return true;
    }
    if (!written_put(in, &w, a) || !written_put(in, &w, b)) return false;
    *out = written_value(in, &w);
    return true;
}

static bool list_sum(struct interp *in, const struct value *a, const struct value *b,
                     struct value *out)
{
    if (!template_work(in, a->n + b->n)) return false;
    struct value *items = NEW_N(in->a, struct value, a->n + b->n);
    for (int i = 0; i < a->n + b->n; i++) items[i] = i < a->n ? a->items[i] : b->items[i - a->n];
    *out = value_list(items, a->n + b->n);
    return true;
}

static bool arithmetic(struct interp *in, char op, int64_t a, int64_t b, struct value *out)
{
    int64_t r = 0;
    if ((op == '/' || op == '%') && b == 0) return template_fail(in, "a division by zero");
    bool over = op == '+'   ? __builtin_add_overflow(a, b, &r)
                : op == '-' ? __builtin_sub_overflow(a, b, &r)
                : op == '*' ? __builtin_mul_overflow(a, b, &r)
                            : a == INT64_MIN && b == -1;
    if (over) return template_fail(in, "a number over 64 bits");
    if (op == '%') r = (a % b + b) % b;
    if (op == '/') r = a / b - (a % b != 0 && (a < 0) != (b < 0));
    *out = value_int(r);
    return true;
}

static bool eval_binary(struct interp *in, const struct node *n, struct value *out)
{
    struct value a, b;
    if (!template_eval(in, n->a, &a) || !template_eval(in, n->b, &b)) return false;
    in->line = n->line;
    char op = n->name.p[0];
    if (op == '~')
        return value_string(in, &a, &a) && value_string(in, &b, &b) && joined(in, &a, &b, out);
    if (op == '+' && a.kind == V_TEXT && b.kind == V_TEXT) return joined(in, &a, &b, out);
    if (op == '+' && a.kind == V_LIST && b.kind == V_LIST) return list_sum(in, &a, &b, out);
    bool numbers = (a.kind == V_INT || a.kind == V_BOOL) && (b.kind == V_INT || b.kind == V_BOOL);
    if (numbers && text_is(n->name, "//")) return arithmetic(in, '/', a.number, b.number, out);
    if (numbers && n->name.n == 1 && op != '/') return arithmetic(in, op, a.number, b.number, out);
    const struct value *odd = a.kind == V_UNDEFINED ? &a : &b;
    if (odd->kind == V_UNDEFINED)
        return template_fail(in, "%.*s is undefined and stands beside '%.*s'", (int)odd->text.n,
                             odd->text.p, (int)n->name.n, n->name.p);
    return template_fail(in, "'%.*s' between %s and %s is not understood", (int)n->name.n,
                         n->name.p, value_kind_name(&a), value_kind_name(&b));
}

static bool contains(struct interp *in, const struct value *what, const struct value *in_what,
                     bool *yes)
{
    *yes = false;
    if (in_what->kind == V_TEXT) {
        if (what->kind != V_TEXT)
            return template_fail(in, "%s is looked for in a text", value_kind_name(what));
        struct text t = in_what->text, w = what->text;
        *yes = w.n == 0 || (t.n >= w.n && memmem(t.p, t.n, w.p, w.n));
        return template_work(in, (int64_t)(t.n >> 8));
    }
    if (in_what->kind == V_MAP) {
        *yes = what->kind == V_TEXT && map_get(in_what->map, what->text);
        return true;
    }
    struct value list;
    if (!value_iterate(in, in_what, &list)) return false;
    for (int i = 0; i < list.n && !*yes; i++) *yes = value_equal(in, what, &list.items[i]);
    return template_work(in, 0);
}

static bool order(struct interp *in, const struct value *a, const struct value *b, int *sign)
{
    bool numbers =
        (a->kind == V_INT || a->kind == V_BOOL) && (b->kind == V_INT || b->kind == V_BOOL);
    if (numbers) *sign = a->number < b->number ? -1 : a->number > b->number;
    else if (a->kind == V_TEXT && b->kind == V_TEXT) {
        size_t n = a->text.n < b->text.n ? a->text.n : b->text.n;
        *sign = n ? memcmp(a->text.p, b->text.p, n) : 0;
        if (*sign == 0) *sign = a->text.n < b->text.n ? -1 : a->text.n > b->text.n;
    } else
        return template_fail(in, "%s and %s have no order", value_kind_name(a), value_kind_name(b));
    return true;
}

static bool compare(struct interp *in, struct text op, const struct value *a, const struct value *b,
                    bool *yes)
{
    int sign = 0;
    if (text_is(op, "==") || text_is(op, "!=")) {
        *yes = value_equal(in, a, b) == (op.p[0] == '=');
        return template_work(in, 0);
    }
    if (text_is(op, "in") || text_is(op, "not in")) {
        bool found;
        if (!contains(in, a, b, &found)) return false;
        *yes = found == (op.n == 2);
        return true;
    }
    if (!order(in, a, b, &sign)) return false;
    *yes = (sign < 0 && op.p[0] == '<') || (sign > 0 && op.p[0] == '>') || (sign == 0 && op.n == 2);
    return true;
}

static bool eval_compare(struct interp *in, const struct node *n, struct value *out)
{
    struct value left, right;
    bool yes = true;
    if (!template_eval(in, n->items.list[0], &left)) return false;
    for (int i = 0; yes && i < n->keys.n; i++) {
        if (!template_eval(in, n->items.list[i + 1], &right)) return false;
        in->line = n->line;
        if (!compare(in, n->keys.list[i]->name, &left, &right, &yes)) return false;
        left = right;
    }
    *out = value_bool(yes);
    return true;
}

bool template_eval(struct interp *in, const struct node *n, struct value *out)
{
    static bool (*const evals[NODE_KINDS])(struct interp *, const struct node *, struct value *) = {
        [N_TEXT] = eval_constant,   [N_INT] = eval_constant, [N_BOOL] = eval_constant,
        [N_NONE] = eval_constant,   [N_NAME] = eval_name,    [N_LIST] = eval_list,
        [N_MAP] = eval_map,         [N_GET] = eval_get,      [N_INDEX] = eval_index,
        [N_SLICE] = eval_slice,     [N_CALL] = eval_call,    [N_FILTER] = eval_filter,
        [N_TEST] = eval_test,       [N_NOT] = eval_not,      [N_NEGATE] = eval_negate,
        [N_AND] = eval_logic,       [N_OR] = eval_logic,     [N_BINARY] = eval_binary,
        [N_COMPARE] = eval_compare, [N_CHOICE] = eval_choice};
    in->line = n->line;
    return template_work(in, 1) && evals[n->kind](in, n, out);
}

/* ---- statements ---- */

static bool do_data(struct interp *in, const struct node *n)
{
    struct value v = value_text(n->name);
    return written_put(in, in->out, &v);
}

static bool do_print(struct interp *in, const struct node *n)
{
    struct value v;
    return template_eval(in, n->a, &v) && value_string(in, &v, &v) && written_put(in, in->out, &v);
}

static bool do_if(struct interp *in, const struct node *n)
{
    struct value v;
    return template_eval(in, n->a, &v) && template_do(in, value_true(&v) ? &n->body : &n->other);
}

/* The loop's names: one takes the item, several take its elements. */
static bool set_targets(struct interp *in, const struct node *n, const struct value *item)
{
    struct value parts;
    if (n->n_names == 1) return variable_set(in, n->names[0], *item);
    if (!value_iterate(in, item, &parts)) return false;
    if (parts.n != n->n_names)
        return template_fail(in, "%d names take %d elements", n->n_names, parts.n);
    for (int i = 0; i < parts.n; i++)
        if (!variable_set(in, n->names[i], parts.items[i])) return false;
    return true;
}

/* Keeps the items for which the loop's own condition holds. */
static bool keep(struct interp *in, const struct node *n, struct value *list)
{
    struct value *items = NEW_N(in->a, struct value, list->n);
    int kept = 0, frame = in->frame, variables = in->n_variables;
    in->frame = variables;
    for (int i = 0; i < list->n; i++) {
        struct value yes;
        if (!set_targets(in, n, &list->items[i]) || !template_eval(in, n->b, &yes)) return false;
        if (value_true(&yes)) items[kept++] = list->items[i];
        in->n_variables = variables;
    }
    in->frame = frame;
    *list = value_list(items, kept);
    return true;
}

static bool do_for(struct interp *in, const struct node *n)
{
    struct value over, list;
    if (!template_eval(in, n->a, &over) || !value_iterate(in, &over, &list)) return false;
    if (n->b && !keep(in, n, &list)) return false;
    if (list.n == 0) return template_do(in, &n->other);
    if (in->loops >= TEMPLATE_LOOPS_MOST)
        return template_fail(in, "loops nest more than %d deep", TEMPLATE_LOOPS_MOST);
    struct loop *loop = NEW(in->a, struct loop); /* it may outlive the loop in a namespace */
    *loop = (struct loop){list.items, list.n, 0};
    in->loops++;
    int frame = in->frame, variables = in->n_variables;
    bool ok = true;
    for (; ok && loop->at < loop->n && in->flow != BREAK; loop->at++) {
        in->frame = in->n_variables = variables;
        in->flow = GO;
        ok = variable_set(in, TEXT("loop"), (struct value){.kind = V_LOOP, .loop = loop}) &&
             set_targets(in, n, &loop->items[loop->at]) && template_do(in, &n->body);
    }
    in->flow = GO;
    in->frame = frame;
    in->n_variables = variables;
    in->loops--;
    return ok;
}

static bool do_set(struct interp *in, const struct node *n)
{
    struct value v;
    if (!template_eval(in, n->a, &v)) return false;
    if (!n->b) return variable_set(in, n->name, v);
    const struct value *space = variable_get(in, n->b->name);
    if (!space || space->kind != V_NAMESPACE)
        return template_fail(in, "%.*s is no namespace", (int)n->b->name.n, n->b->name.p);
    return map_put(in, space->map, n->name, v);
}

static bool do_set_block(struct interp *in, const struct node *n)
{
    struct value v;
    return capture(in, &n->body, &v) && variable_set(in, n->name, v);
}

static bool do_macro(struct interp *in, const struct node *n)
{
    return variable_set(in, n->name, (struct value){.kind = V_MACRO, .macro = n});
}

static bool do_flow(struct interp *in, const struct node *n)
{
    in->flow = n->kind == S_BREAK ? BREAK : CONTINUE;
    return true;
}

static bool do_generation(struct interp *in, const struct node *n)
{
    in->generation++;
    bool ok = template_do(in, &n->body);
    in->generation--;
    return ok;
}

bool template_do(struct interp *in, const struct body *body)
{
    static bool (*const dos[NODE_KINDS])(struct interp *, const struct node *) = {
        [S_DATA] = do_data,     [S_PRINT] = do_print,
        [S_FOR] = do_for,       [S_IF] = do_if,
        [S_SET] = do_set,       [S_SET_BLOCK] = do_set_block,
        [S_MACRO] = do_macro,   [S_BREAK] = do_flow,
        [S_CONTINUE] = do_flow, [S_GENERATION] = do_generation};
    for (int i = 0; i < body->n && in->flow == GO; i++) {
        in->line = body->list[i]->line;
        if (!template_work(in, 1) || !dos[body->list[i]->kind](in, body->list[i])) return false;
    }
    return true;
}
