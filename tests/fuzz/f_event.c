/* event: a line of events.jsonl is read without trust; what is read and written again is one line
 * of JSON of at most 4 KiB that reads as the same event. */
#include "tests/fuzz/fuzz.h"
#include "engine/format/json.h"
#include "engine/run/event.h"
#include <math.h>

/* As JSON: two bytes of source may be a value. */
const struct fuzz_limits fuzz_limits = {1 << 20, 128, 0};

void fuzz_seeds(void)
{
    static const char *const lines[] = {
        "{\"v\":1,\"seq\":1,\"t\":1700000000.123,\"kind\":\"step\",\"step\":1,\"stage\":\"a\","
        "\"loss\":null,\"lr\":1e-4,\"non_finite\":[\"loss\"]}",
        "{\"v\":1,\"seq\":2,\"t\":1,\"kind\":\"note\",\"level\":\"info\",\"text\":\"\\u001b["
        "31m\\u0000\",\"step\":0}",
        "{\"kind\":\"nothing\"}",
        "{\"kind\":1}",
        "{}",
        "[]",
        "",
        "{\"kind\":\"step\",\"step\":1.5,\"loss\":\"x\",\"seq\":{},\"t\":[]}",
        "{\"kind\":\"sample\",\"prompt\":\"\xE4\xBD\xA0\",\"answer\":\"\xFF\"}",
        "{\"kind\":\"step\",\"non_finite\":[1,null,{}],\"loss\":null}",
        "{\"kind\":\"state\",\"state\":\"done\",\"why\":\"\",\"step\":9223372036854775807,\"seq\":-"
        "1,\"t\":1e308}"};
    for (size_t i = 0; i < COUNT(lines); i++) seed_text(lines[i]);
    seed_many("{\"kind\":\"note\",\"text\":\"", "\\u001b", "\"}");
    seed_many("{\"kind\":\"step\",\"non_finite\":[", "\"loss#\",", "0],\"loss\":null,\"lr\":null}");
    seed_many("{\"kind\":\"step\",", "\"x#\":1,", "\"loss\":1}");
    struct arena a = arena_make(0);
    struct err err;
    struct text file;
    struct buf wide = buf_make(&a);
    buf_printf(&wide, "{\"kind\":\"start\"");
    for (int i = 0; i < event_infos[EV_START].n; i++) {
        buf_printf(&wide, ",\"%s\":\"", event_infos[EV_START].fields[i].name);
        for (int k = 0; k < 2100; k++) buf_put(&wide, "\\u0001", 6);
        buf_put(&wide, "\"", 1);
    }
    buf_put(&wide, "}", 1);
    seed(wide.p, wide.n);
    if (file_read(&file, "tests/golden/screens/state/runs/demo-0006/events.jsonl", 1 << 24, &a,
                  &err))
        for (int i = 0; file.n && i < 60; i++) {
            struct text line = fuzz_until(&file, '\n');
            seed(line.p, line.n);
        }
    arena_drop(&a);
}

static bool same(const struct event *x, const struct event *y)
{
    const struct event_info *info = &event_infos[x->kind];
    if (x->kind != y->kind || x->seq != y->seq || x->has != y->has) return false;
    for (int i = 0; i < info->n; i++) {
        const char *p = (const char *)x + info->fields[i].at,
                   *q = (const char *)y + info->fields[i].at;
        if (!(x->has >> i & 1)) continue;
        switch (info->fields[i].type) {
        case EVENT_INT:
            if (*(const int64_t *)p != *(const int64_t *)q) return false;
            break;
        case EVENT_STR:
            if (!text_equal(*(const struct text *)p, *(const struct text *)q)) return false;
            break;
        case EVENT_NUM:
            if (*(const double *)p != *(const double *)q &&
                !(isnan(*(const double *)p) && isnan(*(const double *)q)))
                return false;
        }
    }
    return true;
}

/* Only what JSON can say of it: numbers that are not finite become NaN. */
static void check_line(const char *line, size_t n, struct arena *a)
{
    const struct json *o;
    struct err err;
    struct text kind = {0};
    HOLDS(n >= 2 && n <= EVENT_LINE_MOST && memchr(line, '\n', n) == line + n - 1);
    HOLDS(json_parse(&o, (struct text){line, n - 1}, "written", (struct json_limits){0}, a, &err));
    HOLDS(json_get(o, "v")->integer == 1 && json_get(o, "seq")->kind == JSON_INT &&
          json_get_text(&kind, o, "kind", "l", &err) && kind.n > 0);
    HOLDS(fuzz_harmless((struct text){line, n - 1}, false) ||
          utf8_bad((struct text){line, n}) == n);
}

void fuzz(struct text in, struct arena *a)
{
    struct event e, once, twice;
    struct err err = {{0}};
    char line[EVENT_LINE_MOST], again[EVENT_LINE_MOST];
    bool read = event_read(&e, in, a, &err);
    fuzz_oracle();
    if (!read) {
        if (err.text[0]) fuzz_sentence(err.text);
        return;
    }
    if (in.n > 100000) return;
    HOLDS(e.kind < EV_KINDS && (e.has >> event_infos[e.kind].n) == 0);
    size_t n = event_write(&e, line);
    check_line(line, n, a);
    HOLDS(event_read(&once, (struct text){line, n - 1}, a, &err));
    size_t m = event_write(&once, again);
    check_line(again, m, a);
    HOLDS(event_read(&twice, (struct text){again, m - 1}, a, &err));
    HOLDS(same(&once, &twice)); /* the first writing may cut a text; nothing changes after that */
    HOLDS(once.kind == e.kind && once.seq == e.seq && once.has == e.has);
    if (in.n < 1000) HOLDS(same(&e, &once));
}
