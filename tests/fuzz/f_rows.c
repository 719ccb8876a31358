/* rows: a byte that says how, then a file of data rows. The records are those that a plain split of
 * the whole file gives; each conversation becomes bytes whose mask is written down here by hand for
 * chatml, role by role. */
#include "tests/fuzz/fuzz.h"
#include "engine/data/tokens.h"

/* Two buffers of 1 MiB; a JSON value of two bytes takes 300 in all; a message's ids four times its
 * bytes, twice. */
const struct fuzz_limits fuzz_limits = {8 << 20, 256, 0};

static struct tokenizer *bytes;
static struct template *chatml;

void fuzz_start(void)
{
    static struct arena forever;
    struct err err;
    fuzz_file("tokenizer.json", TEXT("{\"model\":{\"type\":\"bytes\"}}"));
    if (!tokenizer_open(&bytes, fuzz_files(), &forever, &err) ||
        !template_open(&chatml, "chatml", "assets/templates", (struct text){0}, &forever, &err))
        fuzz_broken(__FILE__, __LINE__, err.text);
}

void fuzz_seeds(void)
{
    static const char *const texts[] = {
        "\0{\"instruction\":\"a\",\"input\":\"b\",\"output\":\"c\",\"history\":[[\"q\",\"r\"]],"
        "\"system\":\"s\"}\n",
        "\0{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\","
        "\"content\":[{\"type\":\"text\",\"text\":\"b\"}]}]}\n{\n",
        "\0{\"conversations\":[{\"from\":\"human\",\"value\":\"x\"},{\"from\":\"gpt\",\"value\":"
        "\"\"},{\"from\":\"gpt\",\"value\":\" y\"}],\"system\":\"s\"}\n\n",
        "\1{\"prompt\":\"a\",\"completion\":[{\"role\":\"assistant\",\"content\":\"b\"}]}\n",
        "\1{\"prompt\":[],\"completion\":\"b\"}",
        "\2{\"source\":\"a\",\"target\":\"b\",\"category\":\"c\"}\r\n{\"target\":\"\xE4\xBD\xA0\"}"
        "\n",
        "\2{\"input_ids\":[1,2,255],\"labels\":[-100,2,255]}\n{\"input_ids\":[256]}\n",
        "\3one\ntwo\n\n\n  three\n \nfour",
        "\3\xEF\xBB\xBF"
        "bom\n\nx",
        "\4\r\n\r\n",
        "\1[{\"text\":\"a\"}, {\"text\":\"]}\\\"\"}]",
        "\1[",
        "\1[]",
        "\1[1,]",
        "\1[{\"text\":1} {",
        "\1 [ null ] x",
        "\0{\"text\":\"a\"}",
        "\0{\"text\":null}\n[1]\n\"x\"\n{\"text\":\"\\ud800\"}\n",
        "\0{\"messages\":[{\"role\":\"x\33[2J\",\"content\":\"a\"}]}\n"};
    for (size_t i = 0; i < COUNT(texts); i++) seed(texts[i], strlen(texts[i] + 1) + 1);
    seed_many("\1[", "{\"text\":\"#\"},", "{\"text\":\"x\"}]");
    seed_many("\1", "{\"text\":\"#\"}\n", "");
    seed_many("\1[", "[[[[", "");
    seed_many("\3", "a\n\n", "");
    seed_many("\3", "a", "");
    seed_many("\24{\"messages\":[", "{\"role\":\"user\",\"content\":\"\"},",
              "{\"role\":\"assistant\",\"content\":\"x\"}]}");
    seed_many("\42{\"input_ids\":[", "1,", "2]}");
    struct arena a = arena_make(0);
    struct err err;
    struct text t;
    if (file_read(&t, "assets/samples/alpaca.json", 1 << 20, &a, &err)) {
        char first[2048] = "\1";
        memcpy(first + 1, t.p, t.n < 2000 ? t.n : 2000);
        seed(first, t.n < 2000 ? t.n + 1 : 2001);
    }
    arena_drop(&a);
}

/* ---- records ---- */

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static struct text trimmed(struct text t, bool left)
{
    while (left && t.n && blank(*t.p)) t.p++, t.n--;
    while (t.n && blank(t.p[t.n - 1])) t.n--;
    return t;
}

struct record {
    struct text text;
    int64_t line;
};
struct records {
    struct record *list;
    int n;
};

static struct records lines_of(struct text file, bool paragraphs, struct arena *a)
{
    struct records out = {NEW_N(a, struct record, file.n + 1), 0};
    int64_t line = 1;
    bool open = false;
    if (file.n >= 3 && memcmp(file.p, "\xEF\xBB\xBF", 3) == 0) file.p += 3, file.n -= 3;
    for (; file.n; line++) {
        struct text whole = fuzz_until(&file, '\n');
        bool empty = trimmed(whole, true).n == 0;
        if (!paragraphs && !empty) out.list[out.n++] = (struct record){trimmed(whole, true), line};
        if (!paragraphs) continue;
        if (!empty && open)
            out.list[out.n - 1].text.n = (size_t)(whole.p + whole.n - out.list[out.n - 1].text.p);
        if (!empty && !open) out.list[out.n++] = (struct record){whole, line};
        open = !empty;
    }
    for (int i = 0; i < out.n; i++) out.list[i].text = trimmed(out.list[i].text, false);
    return out;
}

/* ---- the mask, by hand ---- */

struct expected {
    struct buf text, mask;
};

static void expect(struct expected *x, struct text t, bool trained)
{
    buf_put(&x->text, t.p ? t.p : "", t.n);
    for (size_t i = 0; i < t.n; i++) buf_put(&x->mask, trained ? "1" : "0", 1);
}

static void expect_talk(struct expected *x, const struct conversation *c, enum train_on on)
{
    int last = -1;
    for (int i = 0; i < c->n; i++)
        if (text_is(c->messages[i].role, "assistant") && c->messages[i].content.n) last = i;
    for (int i = 0; i < c->n; i++) {
        const struct message *m = &c->messages[i];
        bool answer = text_is(m->role, "assistant") && m->content.n &&
                      (on != TRAIN_ON_LAST_ANSWER || i == last);
        bool all = on == TRAIN_ON_ALL;
        expect(x, TEXT("<|im_start|>"), all);
        expect(x, m->role, all);
        expect(x, TEXT("\n"), all);
        expect(x, m->content, all || answer);
        expect(x, TEXT("<|im_end|>"), all || answer);
        expect(x, TEXT("\n"), all);
    }
}

static void check_mask(const struct conversation *c, enum train_on on, const struct ids *ids,
                       struct arena *a)
{
    struct expected x = {buf_make(a), buf_make(a)};
    if (c->kind == TALK) expect_talk(&x, c, on);
    else if (c->kind == PROSE) {
        expect(&x, c->source, on == TRAIN_ON_ALL);
        expect(&x, c->target, true);
    } else
        for (int64_t i = 0; i < c->n_ids; i++)
            expect(&x, (struct text){(char[]){(char)c->ids[i]}, 1}, c->trained[i]);
    HOLDS(ids->n == (int64_t)x.text.n);
    for (int64_t i = 0; i < ids->n; i++) {
        HOLDS(((uint32_t)ids->p[i] & ~TRAINED) == (unsigned char)x.text.p[i]);
        HOLDS((ids->p[i] < 0) == (x.mask.p[i] == '1'));
    }
    int64_t labels = 0;
    for (int64_t i = 1; i < ids->n; i++) labels += x.mask.p[i] == '1';
    HOLDS(labels_in((const uint32_t *)ids->p, ids->n) == labels);
}

static void check_row(const struct conversation *c, struct arena *a)
{
    struct err err;
    static const enum train_on ways[] = {TRAIN_ON_ANSWERS, TRAIN_ON_ALL, TRAIN_ON_LAST_ANSWER};
    for (size_t w = 0; w < COUNT(ways); w++) {
        struct ids ids = {.a = a};
        struct arena scratch = arena_make(0);
        int64_t lost = 0;
        bool ok = conversation_encode(&ids, c, bytes, chatml, ways[w], &lost, &scratch, &err);
        HOLDS(scratch.used == 0);
        arena_drop(&scratch);
        if (!ok) fuzz_sentence(err.text);
        else check_mask(c, ways[w], &ids, a);
        HOLDS(ok || c->kind == TOKENS); /* an id may be beyond the vocabulary */
        HOLDS(lost == 0);
    }
    HOLDS(conversation_hash(c) == conversation_hash(c));
}

/* ---- the file ---- */

static const struct json *whole_array(struct text file, struct arena *a)
{
    struct err err;
    const struct json *v = NULL;
    if (file.n >= 3 && memcmp(file.p, "\xEF\xBB\xBF", 3) == 0) file.p += 3, file.n -= 3;
    if (!json_parse(&v, file, "f", (struct json_limits){0}, a, &err) || v->kind != JSON_ARRAY)
        return NULL;
    return v;
}

static void check_records(struct rows *r, struct text file, bool plain, const struct format *f,
                          struct arena *a)
{
    struct err err = {{0}};
    struct row row;
    bool any = true, ok;
    bool array = r->kind == ROWS_ARRAY;
    struct records want = lines_of(file, plain, a);
    const struct json *all = array ? whole_array(file, a) : NULL;
    int n = 0;
    arena_take(a, 1, 1); /* its block stays when what a row took is given back */
    for (; (ok = rows_next(r, &row, &any, &err)) && any; n++) {
        struct conversation c;
        HOLDS(!row.too_long && row.line >= 1);
        if (!array)
            HOLDS(n < want.n && row.line == want.list[n].line &&
                  text_equal(row.text, want.list[n].text));
        if (all) HOLDS(n < all->n);
        struct arena_mark mark = arena_mark(a);
        bool read = row_read(&c, f, &row, plain, "f.jsonl", a, &err);
        if (!read) fuzz_sentence(err.text);
        if (read && (file.n <= 100000 || n == 0)) check_row(&c, a);
        arena_back(a, mark);
    }
    if (!ok) fuzz_sentence(err.text);
    HOLDS(ok || array);
    if (!array) HOLDS(n == want.n);
    if (all) HOLDS(ok && n == all->n);
}

void fuzz(struct text in, struct arena *a)
{
    static const char *const formats[] = {"auto",     "text",     "alpaca",
                                          "sharegpt", "messages", "prompt_completion",
                                          "colossal", "tokens"};
    unsigned how = (unsigned)fuzz_number(&in, 1);
    bool plain = how % 5 >= 3;
    const char *path = fuzz_file("rows.jsonl", in);
    struct err err = {{0}};
    struct rows r;
    const struct format *f =
        how % 5 == 0 ? format_detect(path, &err) : format_find(formats[1 + how / 5 % 7], &err);
    if (!f) {
        fuzz_sentence(err.text);
        f = format_find("text", &err);
    }
    if (!rows_open(&r, path, plain, &err)) {
        fuzz_sentence(err.text);
        HOLDS(in.n == 0);
        return;
    }
    check_records(&r, in, plain, f, a);
    rows_close(&r);
}
