/* event.c - the rows of event.h as tables, and one generic writer and reader over them. */
#include "engine/run/event.h"
#include "engine/format/json.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define AS_ROW(k, type, name, unit, says) \
    {#name, unit, says, EVENT_##type, offsetof(struct event, k.name)},
#define AS_LIST(up, low, FIELDS) \
    static const struct event_field fields_##low[] = {FIELDS(AS_ROW, low)};
EVENTS(AS_LIST)
#define AS_INFO(up, low, FIELDS) {#low, fields_##low, (int)COUNT(fields_##low)},
const struct event_info event_infos[EV_KINDS] = {EVENTS(AS_INFO)};

#define TEXT_MOST 2000

static struct text cut(struct text t, size_t most)
{
    if (t.n <= most) return t;
    t.n = most;
    t.n -= utf8_unfinished(t);
    return t;
}

/* One attempt: texts at most `most` bytes, into a buffer that is large enough for all of them
 * escaped. */
static size_t write_line(const struct event *e, struct buf *b, size_t most)
{
    const struct event_info *info = &event_infos[e->kind];
    struct {
        char p[256];
        size_t n;
    } bad = {.n = 0};
    b->n = 0;
    buf_printf(b, "{\"v\":1,\"seq\":%lld,\"t\":%.3f,\"kind\":\"%s\"", (long long)e->seq, e->t,
               info->name);
    for (int i = 0; i < info->n; i++) {
        const struct event_field *f = &info->fields[i];
        const char *at = (const char *)e + f->at;
        if (!(e->has >> i & 1)) continue;
        buf_printf(b, ",\"%s\":", f->name);
        if (f->type == EVENT_INT) json_put_int(b, *(const event_INT *)at);
        if (f->type == EVENT_STR) json_put_text(b, cut(*(const event_STR *)at, most));
        if (f->type != EVENT_NUM) continue;
        json_put_num(b, *(const event_NUM *)at);
        if (!isfinite(*(const event_NUM *)at))
            bad.n += (size_t)snprintf(bad.p + bad.n, sizeof bad.p - bad.n, "%s\"%s\"",
                                      bad.n ? "," : "", f->name);
    }
    if (bad.n) buf_printf(b, ",\"non_finite\":[%s]", bad.p);
    buf_put(b, "}\n", 2);
    return b->n;
}

size_t event_write(const struct event *e, char line[EVENT_LINE_MOST])
{
    char room[8 * TEXT_MOST * 6 + EVENT_LINE_MOST]; /* eight texts, each byte escaped as six */
    struct buf b = {.p = room, .cap = sizeof room};
    for (size_t most = TEXT_MOST; write_line(e, &b, most) > EVENT_LINE_MOST; most /= 2) {}
    memcpy(line, room, b.n);
    return b.n;
}

static const struct event_info *kind_named(struct text name, enum event_kind *kind)
{
    for (int k = 0; k < EV_KINDS; k++)
        if (text_is(name, event_infos[k].name)) {
            *kind = (enum event_kind)k;
            return &event_infos[k];
        }
    return NULL;
}

static bool listed(const struct json *list, const char *name)
{
    for (int i = 0; list && list->kind == JSON_ARRAY && i < list->n; i++)
        if (text_is(list->items[i].text, name)) return true;
    return false;
}

static void read_field(struct event *e, const struct event_field *f, int i, const struct json *line)
{
    const struct json *v = json_get(line, f->name);
    char *at = (char *)e + f->at;
    if (!v) return;
    if (f->type == EVENT_NUM && v->kind == JSON_NULL &&
        listed(json_get(line, "non_finite"), f->name))
        *(event_NUM *)at = NAN;
    else if (f->type == EVENT_NUM && (v->kind == JSON_NUM || v->kind == JSON_INT))
        *(event_NUM *)at = v->number;
    else if (f->type == EVENT_INT && v->kind == JSON_INT) *(event_INT *)at = v->integer;
    else if (f->type == EVENT_STR && v->kind == JSON_TEXT) *(event_STR *)at = v->text;
    else return;
    e->has |= 1u << i;
}

bool event_read(struct event *e, struct text line, struct arena *a, struct err *err)
{
    const struct json *o;
    struct text name = {0};
    err->text[0] = 0;
    *e = (struct event){.has = 0};
    if (line.n < 2 || line.p[0] != '{') /* a damaged file may hold a million such */
        return fail(err, "events.jsonl: a line is no JSON object");
    if (!json_parse(&o, line, "events.jsonl", (struct json_limits){.depth = 4}, a, err))
        return false;
    if (!json_get_text(&name, o, "kind", "events.jsonl", err)) return false;
    const struct event_info *info = kind_named(name, &e->kind);
    if (!info) return false;
    const struct json *seq = json_get(o, "seq"), *t = json_get(o, "t");
    e->seq = seq ? seq->integer : 0;
    e->t = t ? t->number : 0;
    for (int i = 0; i < info->n; i++) read_field(e, &info->fields[i], i, o);
    return true;
}
