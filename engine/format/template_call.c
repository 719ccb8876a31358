/* template_call.c - the filters, tests, methods and functions that templates may use: rows of four
 * tables. What is in no table is refused by name. */
#include "engine/format/template_tree.h"
#include <string.h>

/* ---- filters ---- */

typedef bool filter(struct interp *in, const struct value *v, const struct args *args,
                    struct value *out);

static bool filter_trim(struct interp *in, const struct value *v, const struct args *args,
                        struct value *out)
{
    struct value t;
    return value_string(in, v, &t) && text_strip(in, &t, args, true, true, out);
}

static bool filter_tojson(struct interp *in, const struct value *v, const struct args *args,
                          struct value *out)
{
    const struct value *indent = arg_get(args, 1, "indent");
    struct buf b = buf_make(in->a);
    for (int i = 0; i < args->n_named; i++)
        if (!text_is(args->names[i], "indent") && !text_is(args->names[i], "ensure_ascii"))
            return template_fail(in, "tojson(%.*s=...) is not understood", (int)args->names[i].n,
                                 args->names[i].p);
    int64_t spaces = indent && indent->kind == V_INT && indent->number >= 0 && indent->number <= 16
                         ? indent->number
                         : -1;
    if (!value_json(in, &b, v, spaces, 0)) return false;
    *out = v->kind == V_TEXT ? value_made(in, buf_text(&b), v) : value_text(buf_text(&b));
    return true;
}

static bool filter_join(struct interp *in, const struct value *v, const struct args *args,
                        struct value *out)
{
    const struct value *by = arg_get(args, 0, "d"), *attribute = arg_get(args, 1, "attribute");
    struct value list, between = value_text((struct text){0}), item;
    struct written w = {.text = buf_make(in->a)};
    if (by && !value_string(in, by, &between)) return false;
    if (!value_iterate(in, v, &list)) return false;
    for (int i = 0; i < list.n; i++) {
        item = list.items[i];
        if (attribute && item.kind == V_MAP && attribute->kind == V_TEXT) {
            const struct value *field = map_get(item.map, attribute->text);
            item = field ? *field : value_undefined(attribute->text);
        }
        if ((i && !written_put(in, &w, &between)) || !value_string(in, &item, &item) ||
            !written_put(in, &w, &item))
            return false;
    }
    *out = written_value(in, &w);
    return true;
}

static bool filter_length(struct interp *in, const struct value *v, const struct args *args,
                          struct value *out)
{
    (void)args;
    int64_t n = v->kind == V_TEXT   ? text_length(v->text)
                : v->kind == V_LIST ? v->n
                : v->kind == V_MAP  ? v->map->n
                                    : 0;
    if (v->kind != V_TEXT && v->kind != V_LIST && v->kind != V_MAP && v->kind != V_UNDEFINED)
        return template_fail(in, "%s has no length", value_kind_name(v));
    *out = value_int(n);
    return v->kind != V_TEXT || template_work(in, (int64_t)(v->text.n >> 8));
}

static bool cased(struct interp *in, const struct value *v, const char *who, char how,
                  struct value *out)
{
    struct value t;
    return value_string(in, v, &t) && text_change_case(in, &t, who, how, out);
}

static bool filter_upper(struct interp *in, const struct value *v, const struct args *args,
                         struct value *out)
{
    (void)args;
    return cased(in, v, "upper", 'u', out);
}

static bool filter_lower(struct interp *in, const struct value *v, const struct args *args,
                         struct value *out)
{
    (void)args;
    return cased(in, v, "lower", 'l', out);
}

static bool filter_title(struct interp *in, const struct value *v, const struct args *args,
                         struct value *out)
{
    (void)args;
    return cased(in, v, "title", 't', out);
}

static bool filter_capitalize(struct interp *in, const struct value *v, const struct args *args,
                              struct value *out)
{
    (void)args;
    return cased(in, v, "capitalize", 'c', out);
}

static bool filter_default(struct interp *in, const struct value *v, const struct args *args,
                           struct value *out)
{
    const struct value *otherwise = arg_get(args, 0, "default_value"),
                       *also_false = arg_get(args, 1, "boolean");
    bool use = v->kind == V_UNDEFINED || (also_false && value_true(also_false) && !value_true(v));
    *out = !use ? *v : otherwise ? *otherwise : value_text((struct text){0});
    (void)in;
    return true;
}

static bool edge_item(struct interp *in, const struct value *v, bool last, struct value *out)
{
    struct value list;
    if (!value_iterate(in, v, &list)) return false;
    *out = list.n ? list.items[last ? list.n - 1 : 0]
                  : value_undefined(TEXT("the first or last of nothing"));
    return true;
}

static bool filter_first(struct interp *in, const struct value *v, const struct args *args,
                         struct value *out)
{
    (void)args;
    return edge_item(in, v, false, out);
}

static bool filter_last(struct interp *in, const struct value *v, const struct args *args,
                        struct value *out)
{
    (void)args;
    return edge_item(in, v, true, out);
}

static bool filter_replace(struct interp *in, const struct value *v, const struct args *args,
                           struct value *out)
{
    struct value t;
    return value_string(in, v, &t) && text_replace(in, &t, args, out);
}

static bool filter_string(struct interp *in, const struct value *v, const struct args *args,
                          struct value *out)
{
    (void)args;
    return value_string(in, v, out);
}

static bool filter_list(struct interp *in, const struct value *v, const struct args *args,
                        struct value *out)
{
    (void)args;
    return value_iterate(in, v, out);
}

static bool pairs(struct interp *in, const struct value *v, struct value *out)
{
    if (v->kind == V_UNDEFINED) {
        *out = value_list(NULL, 0);
        return true;
    }
    if (v->kind != V_MAP)
        return template_fail(in, "items of %s; a mapping is wanted", value_kind_name(v));
    struct value *list = NEW_N(in->a, struct value, v->map->n);
    for (int i = 0; i < v->map->n; i++) {
        struct value *pair = NEW_N(in->a, struct value, 2);
        pair[0] = value_text(v->map->keys[i]);
        pair[1] = v->map->values[i];
        list[i] = value_list(pair, 2);
    }
    *out = value_list(list, v->map->n);
    return template_work(in, v->map->n);
}

static bool filter_items(struct interp *in, const struct value *v, const struct args *args,
                         struct value *out)
{
    (void)args;
    return pairs(in, v, out);
}

static bool filter_reverse(struct interp *in, const struct value *v, const struct args *args,
                           struct value *out)
{
    (void)args;
    struct value list;
    if (!value_iterate(in, v, &list) || !template_work(in, list.n)) return false;
    struct value *items = NEW_N(in->a, struct value, list.n);
    for (int i = 0; i < list.n; i++) items[i] = list.items[list.n - 1 - i];
    *out = value_list(items, list.n);
    return true;
}

static bool filter_int(struct interp *in, const struct value *v, const struct args *args,
                       struct value *out)
{
    const struct value *otherwise = arg_get(args, 0, "default");
    int64_t n = 0;
    struct span s = text_stripped(v->text, NULL, true, true);
    bool negative = v->kind == V_TEXT && s.from < s.to && v->text.p[s.from] == '-',
         ok = v->kind == V_TEXT && s.to > s.from + negative;
    for (size_t i = s.from + negative; ok && i < s.to; i++) {
        int d = v->text.p[i] - '0';
        ok = d >= 0 && d <= 9 && !__builtin_mul_overflow(n, 10, &n) &&
             !__builtin_add_overflow(n, d, &n);
    }
    (void)in;
    if (v->kind == V_INT || v->kind == V_BOOL) *out = value_int(v->number);
    else *out = ok ? value_int(negative ? -n : n) : otherwise ? *otherwise : value_int(0);
    return true;
}

/* Every line but the first moved by some blanks. */
static bool filter_indent(struct interp *in, const struct value *v, const struct args *args,
                          struct value *out)
{
    const struct value *width = arg_get(args, 0, "width"), *first = arg_get(args, 1, "first");
    char blanks[65];
    int64_t n = width && width->kind == V_INT ? width->number : 4;
    if (!want_text(in, v, "indent")) return false;
    if (n < 0 || n > 64)
        return template_fail(in, "indent by %lld; 0 to 64 are understood", (long long)n);
    memset(blanks, ' ', sizeof blanks);
    struct value by = value_text((struct text){blanks, (size_t)n});
    struct written w = {.text = buf_make(in->a)};
    if (first && value_true(first) && !written_put(in, &w, &by)) return false;
    for (size_t at = 0, end; at < v->text.n; at = end) {
        const char *hit = memchr(v->text.p + at, '\n', v->text.n - at);
        end = hit ? (size_t)(hit - v->text.p) + 1 : v->text.n;
        bool blank_line = end == at + 1 && hit;
        if (at && !blank_line && !written_put(in, &w, &by)) return false;
        if (!written_part(in, &w, v, at, end)) return false;
    }
    *out = written_value(in, &w);
    return true;
}

static struct value field_of(const struct value *item, struct text name)
{
    const struct value *v = item->kind == V_MAP ? map_get(item->map, name) : NULL;
    return v ? *v : value_undefined(name);
}

/* map(attribute="x", default=y) or map("filter", arguments). */
static bool filter_map(struct interp *in, const struct value *v, const struct args *args,
                       struct value *out)
{
    const struct value *attribute = arg_get(args, ARGS_MOST, "attribute"),
                       *otherwise = arg_get(args, ARGS_MOST, "default");
    struct value list;
    struct args rest = {.n = args->n > 0 ? args->n - 1 : 0};
    if (!value_iterate(in, v, &list) || !template_work(in, list.n)) return false;
    for (int i = 0; i < rest.n; i++) rest.list[i] = args->list[i + 1];
    if (attribute ? attribute->kind != V_TEXT : args->n < 1 || args->list[0].kind != V_TEXT)
        return template_fail(in, "map takes attribute=\"name\" or the name of a filter");
    struct value *items = NEW_N(in->a, struct value, list.n);
    for (int i = 0; i < list.n; i++)
        if (attribute) {
            items[i] = field_of(&list.items[i], attribute->text);
            if (items[i].kind == V_UNDEFINED && otherwise) items[i] = *otherwise;
        } else if (!template_filter(in, args->list[0].text, &list.items[i], &rest, &items[i]))
            return false;
    *out = value_list(items, list.n);
    return true;
}

/* selectattr(name, test, argument), select(test, argument) and their opposites. */
static bool select_items(struct interp *in, const struct value *v, const struct args *args,
                         bool attribute, bool want, struct value *out)
{
    struct value list;
    int skip = attribute + 1, kept = 0;
    struct args rest = {.n = args->n > skip ? args->n - skip : 0};
    for (int i = 0; i < rest.n; i++) rest.list[i] = args->list[i + skip];
    for (int i = 0; i < skip && i < args->n; i++)
        if (!want_text(in, &args->list[i], "select by")) return false;
    if (attribute && args->n < 1)
        return template_fail(in, "selectattr takes the name of an attribute");
    if (!value_iterate(in, v, &list) || !template_work(in, list.n)) return false;
    struct value *items = NEW_N(in->a, struct value, list.n);
    for (int i = 0; i < list.n; i++) {
        struct value item =
            attribute ? field_of(&list.items[i], args->list[0].text) : list.items[i];
        bool yes = value_true(&item);
        if (args->n > attribute &&
            !template_test(in, args->list[attribute].text, &item, &rest, &yes))
            return false;
        if (yes == want) items[kept++] = list.items[i];
    }
    *out = value_list(items, kept);
    return true;
}

static bool filter_select(struct interp *in, const struct value *v, const struct args *args,
                          struct value *out)
{
    return select_items(in, v, args, false, true, out);
}

static bool filter_reject(struct interp *in, const struct value *v, const struct args *args,
                          struct value *out)
{
    return select_items(in, v, args, false, false, out);
}

static bool filter_selectattr(struct interp *in, const struct value *v, const struct args *args,
                              struct value *out)
{
    return select_items(in, v, args, true, true, out);
}

static bool filter_rejectattr(struct interp *in, const struct value *v, const struct args *args,
                              struct value *out)
{
    return select_items(in, v, args, true, false, out);
}

static const struct {
    const char *name;
    filter *run;
} filters[] = {
    {"trim", filter_trim},
    {"tojson", filter_tojson},
    {"join", filter_join},
    {"length", filter_length},
    {"count", filter_length},
    {"upper", filter_upper},
    {"lower", filter_lower},
    {"title", filter_title},
    {"capitalize", filter_capitalize},
    {"default", filter_default},
    {"d", filter_default},
    {"first", filter_first},
    {"last", filter_last},
    {"replace", filter_replace},
    {"string", filter_string},
    {"safe", filter_string},
    {"list", filter_list},
    {"items", filter_items},
    {"reverse", filter_reverse},
    {"int", filter_int},
    {"indent", filter_indent},
    {"map", filter_map},
    {"select", filter_select},
    {"reject", filter_reject},
    {"selectattr", filter_selectattr},
    {"rejectattr", filter_rejectattr},
};

bool template_filter(struct interp *in, struct text name, const struct value *v,
                     const struct args *args, struct value *out)
{
    for (size_t i = 0; i < COUNT(filters); i++)
        if (text_is(name, filters[i].name)) return filters[i].run(in, v, args, out);
    return template_fail(in, "the filter \"%.*s\" is not understood; choose another template",
                         (int)name.n, name.p);
}

/* ---- tests ---- */

typedef bool test(const struct value *v, const struct value *arg);

static bool test_defined(const struct value *v, const struct value *a)
{
    (void)a;
    return v->kind != V_UNDEFINED;
}
static bool test_undefined(const struct value *v, const struct value *a)
{
    (void)a;
    return v->kind == V_UNDEFINED;
}
static bool test_none(const struct value *v, const struct value *a)
{
    (void)a;
    return v->kind == V_NONE;
}
static bool test_string(const struct value *v, const struct value *a)
{
    (void)a;
    return v->kind == V_TEXT;
}
static bool test_mapping(const struct value *v, const struct value *a)
{
    (void)a;
    return v->kind == V_MAP;
}
static bool test_sequence(const struct value *v, const struct value *a)
{
    (void)a;
    return v->kind == V_TEXT || v->kind == V_LIST || v->kind == V_MAP || v->kind == V_UNDEFINED;
}
static bool test_number(const struct value *v, const struct value *a)
{
    (void)a;
    return v->kind == V_INT || v->kind == V_BOOL;
}
static bool test_integer(const struct value *v, const struct value *a)
{
    (void)a;
    return v->kind == V_INT;
}
static bool test_boolean(const struct value *v, const struct value *a)
{
    (void)a;
    return v->kind == V_BOOL;
}
static bool test_true(const struct value *v, const struct value *a)
{
    (void)a;
    return v->kind == V_BOOL && v->number;
}
static bool test_false(const struct value *v, const struct value *a)
{
    (void)a;
    return v->kind == V_BOOL && !v->number;
}
static bool test_odd(const struct value *v, const struct value *a)
{
    (void)a;
    return test_number(v, a) && v->number % 2 != 0;
}
static bool test_even(const struct value *v, const struct value *a)
{
    (void)a;
    return test_number(v, a) && v->number % 2 == 0;
}
static bool test_callable(const struct value *v, const struct value *a)
{
    (void)a;
    return v->kind == V_MACRO;
}
static bool test_divisible(const struct value *v, const struct value *a)
{
    return test_number(v, a) && a->kind == V_INT && a->number != 0 && a->number != -1 &&
           v->number % a->number == 0;
}

static bool test_unequal(struct interp *in, const struct value *v, const struct value *a)
{
    return !value_equal(in, v, a);
}

static bool test_in(struct interp *in, const struct value *v, const struct value *a)
{
    bool yes = false;
    if (a->kind == V_TEXT && v->kind == V_TEXT)
        return template_work(in, (int64_t)(a->text.n >> 8)) &&
               (v->text.n == 0 ||
                (a->text.n >= v->text.n && memmem(a->text.p, a->text.n, v->text.p, v->text.n)));
    if (a->kind == V_MAP) return v->kind == V_TEXT && map_get(a->map, v->text);
    for (int i = 0; a->kind == V_LIST && i < a->n && !yes; i++)
        yes = value_equal(in, v, &a->items[i]);
    return yes;
}

static const struct {
    const char *name;
    test *run;
    bool (*compare)(struct interp *in, const struct value *v, const struct value *a);
    bool argument;
} tests[] = {
    {"defined", test_defined, NULL, false},
    {"undefined", test_undefined, NULL, false},
    {"none", test_none, NULL, false},
    {"string", test_string, NULL, false},
    {"mapping", test_mapping, NULL, false},
    {"sequence", test_sequence, NULL, false},
    {"iterable", test_sequence, NULL, false},
    {"number", test_number, NULL, false},
    {"integer", test_integer, NULL, false},
    {"boolean", test_boolean, NULL, false},
    {"true", test_true, NULL, false},
    {"false", test_false, NULL, false},
    {"odd", test_odd, NULL, false},
    {"even", test_even, NULL, false},
    {"callable", test_callable, NULL, false},
    {"equalto", NULL, value_equal, true},
    {"eq", NULL, value_equal, true},
    {"ne", NULL, test_unequal, true},
    {"sameas", NULL, value_equal, true},
    {"divisibleby", test_divisible, NULL, true},
    {"in", NULL, test_in, true},
};

bool template_test(struct interp *in, struct text name, const struct value *v,
                   const struct args *args, bool *out)
{
    for (size_t i = 0; i < COUNT(tests); i++) {
        if (!text_is(name, tests[i].name)) continue;
        if (tests[i].argument && args->n < 1)
            return template_fail(in, "the test \"%s\" takes an argument", tests[i].name);
        const struct value *a = &args->list[0];
        *out = tests[i].run ? tests[i].run(v, a) : tests[i].compare(in, v, a);
        return template_work(in, 0);
    }
    return template_fail(in, "the test \"%.*s\" is not understood; choose another template",
                         (int)name.n, name.p);
}

/* ---- methods ---- */

typedef bool method(struct interp *in, const struct value *v, const struct args *args,
                    struct value *out);

static bool method_strip(struct interp *in, const struct value *v, const struct args *args,
                         struct value *out)
{
    return text_strip(in, v, args, true, true, out);
}

static bool method_lstrip(struct interp *in, const struct value *v, const struct args *args,
                          struct value *out)
{
    return text_strip(in, v, args, true, false, out);
}

static bool method_rstrip(struct interp *in, const struct value *v, const struct args *args,
                          struct value *out)
{
    return text_strip(in, v, args, false, true, out);
}

static bool method_starts(struct interp *in, const struct value *v, const struct args *args,
                          struct value *out)
{
    return text_edge(in, v, args, true, out);
}

static bool method_ends(struct interp *in, const struct value *v, const struct args *args,
                        struct value *out)
{
    return text_edge(in, v, args, false, out);
}

static bool method_join(struct interp *in, const struct value *v, const struct args *args,
                        struct value *out)
{
    struct args by = {.n = 1, .list = {*v}};
    if (args->n != 1) return template_fail(in, "join takes a list");
    return filter_join(in, &args->list[0], &by, out);
}

static bool method_get(struct interp *in, const struct value *v, const struct args *args,
                       struct value *out)
{
    const struct value *key = arg_get(args, 0, "key"), *otherwise = arg_get(args, 1, "default");
    if (!key || key->kind != V_TEXT) return template_fail(in, "get takes a key");
    const struct value *found = map_get(v->map, key->text);
    *out = found ? *found : otherwise ? *otherwise : value_none();
    return true;
}

static bool method_items(struct interp *in, const struct value *v, const struct args *args,
                         struct value *out)
{
    (void)args;
    return pairs(in, v, out);
}

static bool method_keys(struct interp *in, const struct value *v, const struct args *args,
                        struct value *out)
{
    (void)args;
    return value_iterate(in, v, out);
}

static bool method_values(struct interp *in, const struct value *v, const struct args *args,
                          struct value *out)
{
    (void)in, (void)args;
    *out = value_list(v->map->values, v->map->n);
    return true;
}

static bool method_find(struct interp *in, const struct value *v, const struct args *args,
                        struct value *out)
{
    if (args->n != 1 || args->list[0].kind != V_TEXT) return template_fail(in, "find takes a text");
    struct text t = v->text, w = args->list[0].text;
    const char *hit = w.n == 0 ? t.p : t.n >= w.n ? memmem(t.p, t.n, w.p, w.n) : NULL;
    *out = value_int(hit ? text_length((struct text){t.p, (size_t)(hit - t.p)}) : -1);
    return true;
}

static const struct {
    enum value_kind of;
    const char *name;
    method *run;
} methods[] = {
    {V_TEXT, "strip", method_strip},
    {V_TEXT, "lstrip", method_lstrip},
    {V_TEXT, "rstrip", method_rstrip},
    {V_TEXT, "split", text_split},
    {V_TEXT, "startswith", method_starts},
    {V_TEXT, "endswith", method_ends},
    {V_TEXT, "replace", text_replace},
    {V_TEXT, "upper", filter_upper},
    {V_TEXT, "lower", filter_lower},
    {V_TEXT, "title", filter_title},
    {V_TEXT, "capitalize", filter_capitalize},
    {V_TEXT, "join", method_join},
    {V_TEXT, "find", method_find},
    {V_MAP, "get", method_get},
    {V_MAP, "items", method_items},
    {V_MAP, "keys", method_keys},
    {V_MAP, "values", method_values},
};

bool template_method(struct interp *in, const struct value *v, struct text name,
                     const struct args *args, struct value *out)
{
    for (size_t i = 0; i < COUNT(methods); i++)
        if (v->kind == methods[i].of && text_is(name, methods[i].name))
            return methods[i].run(in, v, args, out);
    if (v->kind == V_UNDEFINED)
        return template_fail(in, "%.*s() of %.*s, which is undefined", (int)name.n, name.p,
                             (int)v->text.n, v->text.p);
    return template_fail(in, "the method \"%.*s\" of %s is not understood; choose another template",
                         (int)name.n, name.p, value_kind_name(v));
}

/* ---- functions ---- */

static bool call_raise(struct interp *in, const struct args *args, struct value *out)
{
    struct value t = value_text(TEXT("no reason is given"));
    *out = value_none();
    if (args->n > 0 && !value_string(in, &args->list[0], &t)) return false;
    return template_fail(in, "it refuses this conversation: %.*s",
                         t.text.n > 300 ? 300 : (int)t.text.n, t.text.p);
}

static bool named_map(struct interp *in, const struct args *args, enum value_kind kind,
                      struct value *out)
{
    struct map *m = NEW(in->a, struct map);
    if (args->n > 0 && args->list[0].kind == V_MAP)
        for (int i = 0; i < args->list[0].map->n; i++)
            map_put(in, m, args->list[0].map->keys[i], args->list[0].map->values[i]);
    for (int i = 0; i < args->n_named; i++)
        if (!map_put(in, m, args->names[i], args->named[i])) return false;
    if (!template_work(in, m->n)) return false;
    *out = (struct value){.kind = kind, .map = m};
    return true;
}

static bool call_namespace(struct interp *in, const struct args *args, struct value *out)
{
    return named_map(in, args, V_NAMESPACE, out);
}
static bool call_dict(struct interp *in, const struct args *args, struct value *out)
{
    return named_map(in, args, V_MAP, out);
}

static bool call_range(struct interp *in, const struct args *args, struct value *out)
{
    int64_t n[3] = {0, 0, 1}, count = 0;
    for (int i = 0; i < args->n; i++)
        if (args->list[i].kind != V_INT || args->n > 3)
            return template_fail(in, "range takes one to three numbers");
    if (args->n < 1) return template_fail(in, "range takes one to three numbers");
    n[1] = args->list[0].number;
    for (int i = 0; args->n > 1 && i < args->n; i++) n[i] = args->list[i].number;
    for (int i = 0; i < 3; i++)
        if (n[i] > INT32_MAX || n[i] < -INT32_MAX)
            return template_fail(in, "range over %lld", (long long)n[i]);
    if (n[2] == 0) return template_fail(in, "range with the step 0");
    if (n[2] > 0 ? n[1] > n[0] : n[1] < n[0])
        count = n[2] > 0 ? (n[1] - n[0] + n[2] - 1) / n[2] : (n[0] - n[1] - n[2] - 1) / -n[2];
    if (!template_work(in, count)) return false;
    struct value *items = NEW_N(in->a, struct value, count);
    for (int64_t i = 0; i < count; i++) items[i] = value_int(n[0] + i * n[2]);
    *out = value_list(items, (int)count);
    return true;
}

static const struct {
    const char *name;
    bool (*run)(struct interp *, const struct args *, struct value *);
} functions[] = {
    {"raise_exception", call_raise},
    {"namespace", call_namespace},
    {"dict", call_dict},
    {"range", call_range},
};

bool template_function(struct interp *in, struct text name, const struct args *args,
                       struct value *out, bool *known)
{
    *known = true;
    for (size_t i = 0; i < COUNT(functions); i++)
        if (text_is(name, functions[i].name)) return functions[i].run(in, args, out);
    if (text_is(name, "strftime_now"))
        return template_fail(
            in, "strftime_now would make the text depend on the day; choose another template");
    *known = false;
    return true;
}
