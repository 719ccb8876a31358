/* profile: a YAML text NUL settings, each ended by NUL, as `--set` takes them. What is accepted is
 * written out and read again as the same; each setting is also tried as an edit of the text, which
 * must change that value and nothing else. */
#include "tests/fuzz/fuzz.h"
#include "engine/run/yaml_tree.h"

/* A node takes 150 bytes, and every key may be a problem of 400. */
const struct fuzz_limits fuzz_limits = {4 << 20, 24, 0};

enum { SETS = 4 };

#define LEAST "base_model: m\ndatasets: {a: {path: a.jsonl}}\n"

void fuzz_seeds(void)
{
    static const char sets[] =
        "\0learning_rate=1e-4\0stages.0.max_steps=20\0datasets.a.path=\"b: c\"\0lora.rank=3,";
    static const char *const texts[] = {
        "",
        LEAST,
        LEAST "learning_rate: 2e-5\nwarmup_ratio: 3%\nbatch_tokens: 16Ki\nmax_tokens: 5M\n",
        LEAST "learing_rate: 1\n",
        LEAST "seed: 1\nlora: 5\nseed: 2\n",
        "a: &x [*x, *x]\n",
        "a: !tag b\n",
        "--- a\n--- b\n",
        "[[[[[[[[[[[[[[[[[[[[[[[[\n",
        "{a: {b: {c: {d: 1}}}}\n",
        LEAST "stages:\n  - {name: one, epochs: 2, bins: 10, datasets: {a: 100%}}\n  - name: two\n "
              "   train: [embeddings, \"last:2\", /q_proj$/]\n    max_steps: 5\n",
        LEAST "chat:\n  system: |\n    two\n    lines\n  temperature: 0.7\n",
        "\xEF\xBB\xBF" LEAST,
        "a: \"\\e[31m\\x07\"\n",
        "\"a\\0b\": 1\n",
        "a:\tb\n",
        "%YAML 1.1\n---\na: 1\n",
        LEAST "eval: {prompts: ['it''s', \"\\u4f60\"], holdout: 1e-2}\nsave: {total_limit: 010}\n",
        LEAST "chat: {system: \"a\\\\b \\\"c\\\" \\t\"}\nname: 'x'\n",
        LEAST "dtype: [bf16]\ndevice: cuda:0,1\n",
        "? a\n: b\n",
        LEAST
        "# comment\nlora: {rank: 8, alpha: 16, target_modules: [q_proj]} # more\ntrain: lora\n",
        "a: 'open\n",
        "- 1\n- 2\n",
        LEAST "vocabulary: x\nclean: y\n"};
    struct arena a = arena_make(0);
    struct err err;
    char **names;
    int n = 0;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct buf b = buf_make(&a);
        buf_put(&b, texts[i], strlen(texts[i]));
        buf_put(&b, sets, sizeof sets);
        seed(b.p, b.n);
    }
    if (dir_list(&names, &n, "profiles", &a, &err))
        for (int i = 0; i < n; i++) seed_file(path_join(&a, "profiles", names[i]));
    static const char *const large[][2] = {{"", "["},
                                           {"", "{a: "},
                                           {"", "a#: 1\n"},
                                           {"", "a: 1\n"},
                                           {"stages:\n", "  - {name: s#}\n"},
                                           {"a: ", "x"},
                                           {"# ", "y"},
                                           {"", "- "},
                                           {"a: \"", "\\x1b"},
                                           {"datasets:\n", "  d#: {path: p}\n"},
                                           {"a: &x 1\nb: [", "*x, "},
                                           {"train: [", "a#, "}};
    for (size_t i = 0; i < COUNT(large); i++) {
        struct buf b = buf_make(&a);
        buf_put(&b, large[i][0], strlen(large[i][0]));
        fuzz_many(&b, large[i][1], 250000);
        seed(b.p, b.n);
    }
    arena_drop(&a);
}

static void check_problems(const struct problems *list, struct text source)
{
    int lines = 1, last = 0;
    for (size_t i = 0; i < source.n; i++) /* YAML breaks lines at U+0085, U+2028 and U+2029 too */
        lines += source.p[i] == '\n' || source.p[i] == '\r' || (unsigned char)source.p[i] == 0x85 ||
                 (unsigned char)source.p[i] == 0xA8 || (unsigned char)source.p[i] == 0xA9;
    HOLDS(list->n > 0);
    for (int i = 0; i < list->n; i++) {
        const struct problem *p = &list->list[i];
        fuzz_sentence(p->text);
        HOLDS(p->line >= 0 && p->line <= lines + 1 && p->column >= 0);
        HOLDS(p->line == 0 || p->line >= last); /* in file order */
        if (p->line) last = p->line;
    }
}

static bool parse(struct profile *p, struct text source, const char *const *sets, int n,
                  struct problems *all, struct arena *a)
{
    struct err err = {{0}};
    bool ok = profile_parse(p, source, "/somewhere/p.yaml", sets, n, all, a, &err);
    if (!ok) fuzz_sentence(err.text);
    return ok;
}

/* Written out with every default, it reads as what it was. */
static void check_written(const struct profile *p, struct arena *a)
{
    struct buf once = buf_make(a), twice = buf_make(a);
    struct problems problems = {0};
    struct profile again;
    profile_write(p, &once);
    HOLDS(utf8_bad(buf_text(&once)) == once.n);
    HOLDS(parse(&again, buf_text(&once), NULL, 0, &problems, a));
    profile_write(&again, &twice);
    HOLDS(text_equal(buf_text(&once), buf_text(&twice)));
}

/* The number of nodes that differ between two trees; where one has a child more, that is one. */
static int differences(const struct node *x, const struct node *y)
{
    int n = 0;
    if (x->kind != y->kind || x->kind == NODE_SCALAR) return !node_equal(x, y);
    for (int i = 0; i < x->n; i++) {
        const struct node *other = x->kind == NODE_MAP ? node_get(y, x->keys[i]->value)
                                   : i < y->n          ? y->items[i]
                                                       : NULL;
        n += other ? differences(x->items[i], other) : 1;
    }
    for (int i = 0; i < y->n; i++)
        n += x->kind == NODE_MAP ? !node_get(x, y->keys[i]->value) : i >= x->n;
    return n;
}

static void check_edit(struct text source, char *set, struct arena *a)
{
    struct err err = {{0}};
    struct text out, again, value;
    struct problems problems = {0};
    struct node *before, *after;
    char *equals = strchr(set, '=');
    if (!equals) return;
    *equals = 0;
    const char *to = strcmp(equals + 1, "null") == 0 ? NULL : equals + 1;
    bool ok = profile_text_set(&out, source, set, to, a, &err);
    *equals = '=';
    if (!ok) {
        fuzz_sentence(err.text);
        return;
    }
    *equals = 0;
    HOLDS(profile_text_set(&again, out, set, to, a, &err) && text_equal(again, out));
    HOLDS(profile_text_get(&value, out, set, a, &err) &&
          (to == NULL) == (value.n == 0 && to == NULL));
    *equals = '=';
    HOLDS(yaml_parse(&before, source, &problems, a) && yaml_parse(&after, out, &problems, a));
    if (problems.n) return;
    bool lists = before->kind == NODE_LIST;
    if (!lists && to && before->kind == after->kind)
        HOLDS(differences(before, after) <= 1 || strchr(set, '.'));
}

void fuzz(struct text in, struct arena *a)
{
    struct text source = fuzz_until(&in, 0);
    const char *sets[SETS];
    int n = 0;
    for (; in.n && n < SETS; n++) {
        struct text one = fuzz_until(&in, 0);
        sets[n] = arena_string(a, one.p, one.n);
    }
    struct profile p, with;
    struct problems problems = {0}, more = {0}, warnings = {0};
    bool ok = parse(&p, source, NULL, 0, &problems, a);
    bool ok_with = n && parse(&with, source, sets, n, &more, a);
    if (ok) profile_warnings(&p, &warnings, a);
    fuzz_oracle();
    if (source.n > 100000) return;
    if (ok) check_written(&p, a);
    else check_problems(&problems, source);
    if (ok_with) check_written(&with, a);
    else if (n) check_problems(&more, source);
    for (int i = 0; i < warnings.n; i++) fuzz_sentence(warnings.list[i].text);
    for (int i = 0; i < n; i++) {
        char *set = arena_string(a, sets[i], strlen(sets[i]));
        check_edit(source, set, a);
    }
}
