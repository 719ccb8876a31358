/* message.c - the messages of wire.h as JSON, and what an "ask" does. */
#include "engine/serve/wire.h"
#include <math.h>
#include <string.h>

void put_ask(struct buf *b, const struct chat_request *r)
{
    buf_printf(b, "{\"ask\":{\"messages\":[");
    for (int i = 0; i < r->n; i++) {
        buf_printf(b, i ? ",{" : "{");
        json_field_text(b, "role", text_of(r->messages[i].role));
        json_field_text(b, "content", r->messages[i].content);
        buf_put(b, "}", 1);
    }
    buf_put(b, "],\"stop\":[", 10);
    for (int i = 0; i < r->n_stops; i++) {
        if (i) buf_put(b, ",", 1);
        json_put_text(b, text_of(r->stops[i]));
    }
    buf_put(b, "]", 1);
    json_field_bool(b, "raw", r->raw);
    json_field_bool(b, "adapter_off", r->adapter_off);
    json_field_num(b, "temperature", r->sampling.temperature);
    json_field_num(b, "top_p", r->sampling.top_p);
    json_field_int(b, "top_k", r->sampling.top_k);
    json_field_num(b, "repetition_penalty", r->sampling.repetition_penalty);
    json_field_int(b, "max_new_tokens", r->max_new_tokens);
    json_field_int(b, "seed", (int64_t)(r->seed & INT64_MAX));
    buf_put(b, "}}\n", 3);
}

static bool asked_messages(struct asked *out, const struct json *list, struct arena *a,
                           struct err *err)
{
    if (!list || list->kind != JSON_ARRAY || list->n == 0 || list->n > 10000)
        return fail(err, "a chat has 1 to 10,000 messages");
    out->messages = NEW_N(a, struct message, list->n);
    out->n = list->n;
    for (int i = 0; i < list->n; i++)
        if (!json_get_text(&out->messages[i].role, &list->items[i], "role", "a chat message",
                           err) ||
            !json_get_text(&out->messages[i].content, &list->items[i], "content", "a chat message",
                           err))
            return false;
    return true;
}

static bool asked_stops(struct answer_options *o, const struct json *list, struct arena *a,
                        struct err *err)
{
    if (!list) return true;
    if (list->kind != JSON_ARRAY || list->n > 16)
        return fail(err, "a chat has at most 16 stop texts");
    const char **stops = NEW_N(a, const char *, list->n);
    for (int i = 0; i < list->n; i++) {
        if (list->items[i].kind != JSON_TEXT) return fail(err, "stop text %d is no text", i + 1);
        stops[i] = arena_string(a, list->items[i].text.p, list->items[i].text.n);
    }
    o->stops = stops;
    o->n_stops = list->n;
    return true;
}

bool asked_read(struct asked *out, const struct json *ask, struct arena *a, struct err *err)
{
    static const char where[] = "a chat request";
    double temperature = 0.7, top_p = 1, penalty = 1;
    int64_t top_k = 0, tokens = 256, seed = 0;
    *out = (struct asked){.n = 0};
    if (!asked_messages(out, json_get(ask, "messages"), a, err) ||
        !asked_stops(&out->options, json_get(ask, "stop"), a, err) ||
        !json_get_bool(&out->raw, ask, "raw", where, err) ||
        !json_get_bool(&out->adapter_off, ask, "adapter_off", where, err) ||
        !json_get_num(&temperature, ask, "temperature", 0, 100, where, err) ||
        !json_get_num(&top_p, ask, "top_p", 0, 1, where, err) ||
        !json_get_num(&penalty, ask, "repetition_penalty", 0.01, 100, where, err) ||
        !json_get_int(&top_k, ask, "top_k", 0, 1 << 24, where, err) ||
        !json_get_int(&tokens, ask, "max_new_tokens", 1, 1 << 24, where, err) ||
        !json_get_int(&seed, ask, "seed", 0, INT64_MAX, where, err))
        return false;
    out->options.sampling =
        (struct sampling){(float)temperature, (float)top_p, (float)penalty, (int)top_k};
    out->options.max_new_tokens = (int)tokens;
    out->options.seed = (uint64_t)seed;
    out->options.trim = !out->raw;
    return true;
}

bool asked_answer(struct asked *x, struct model *m, const struct model_config *c,
                  const struct tokenizer *tok, const struct template *tpl,
                  struct answer_stats *stats, struct arena *a, struct err *err)
{
    struct ids prompt = {.a = a};
    struct buf out = buf_make(a);
    if (x->raw && tokenizer_adds_bos(tok)) ids_put(&prompt, tokenizer_bos(tok));
    bool ok = x->raw ? tokenizer_encode(tok, &prompt, x->messages[x->n - 1].content, ENCODE_SPECIAL,
                                        NULL, a, err)
                     : prompt_encode(&prompt, tok, tpl, x->messages, x->n, err);
    if (!ok) return false;
    if (x->adapter_off) {
        model_forget(m); /* what the adapter wrote into the cache is another model's */
        model_use_adapter(m, false);
    }
    ok = answer(m, tok, c, prompt.p, (int)prompt.n, &x->options, &out, stats, a, err);
    if (x->adapter_off) {
        model_forget(m);
        model_use_adapter(m, true);
    }
    return ok;
}

void put_ready(struct buf *b, const char *name, bool adapter, int context, int64_t step)
{
    buf_printf(b, "{\"ready\":{");
    json_field_text(b, "name", text_of(name));
    json_field_text(b, "version", text_of(HONE_VERSION));
    json_field_bool(b, "adapter", adapter);
    json_field_int(b, "context", context);
    json_field_int(b, "step", step);
    buf_put(b, "}}\n", 3);
}

void put_refused(struct buf *b, struct text sentence)
{
    buf_put(b, "{", 1);
    json_field_text(b, "refused", sentence);
    buf_put(b, "}\n", 2);
}

void put_token(struct buf *b, struct text piece)
{
    buf_put(b, "{", 1);
    json_field_text(b, "token", piece);
    buf_put(b, "}\n", 2);
}

void put_answered(struct buf *b, const struct answer_stats *s)
{
    buf_printf(b, "{\"answered\":{");
    json_field_int(b, "prompt_tokens", s->prompt_tokens);
    json_field_int(b, "tokens", s->tokens);
    json_field_int(b, "context_used", s->context_used);
    json_field_int(b, "context", s->context);
    json_field_num(b, "prompt_seconds", s->prompt_seconds);
    json_field_num(b, "seconds", s->seconds);
    json_field_text(b, "ended", text_of(s->ended));
    buf_put(b, "}}\n", 3);
}

static int64_t int_of(const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);
    return v && v->kind == JSON_INT ? v->integer : 0;
}

static double num_of(const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);
    return v && (v->kind == JSON_INT || v->kind == JSON_NUM) ? v->number : 0;
}

static void answered_read(struct answer_stats *s, const struct json *o)
{
    const struct json *ended = json_get(o, "ended");
    *s = (struct answer_stats){(int)int_of(o, "prompt_tokens"),
                               (int)int_of(o, "tokens"),
                               (int)int_of(o, "context_used"),
                               (int)int_of(o, "context"),
                               num_of(o, "prompt_seconds"),
                               num_of(o, "seconds"),
                               ended && ended->kind == JSON_TEXT ? ended->text.p : ""};
}

bool reply_read(struct reply *out, struct text line, struct arena *a)
{
    const struct json *o, *v;
    struct err err;
    *out = (struct reply){.kind = REPLY_NONE, .step = -1};
    if (!json_parse(&o, line, "the engine's reply",
                    (struct json_limits){.bytes = WIRE_LINE_MOST, .depth = 16}, a, &err)) {
        out->kind = REPLY_GONE;
        out->text = text_of(arena_printf(a, "%s", err.text));
    } else if ((v = json_get(o, "token")) && v->kind == JSON_TEXT) {
        out->kind = REPLY_TOKEN;
        out->text = v->text;
    } else if ((v = json_get(o, "refused")) && v->kind == JSON_TEXT) {
        out->kind = REPLY_REFUSED;
        out->text = v->text;
    } else if ((v = json_get(o, "answered"))) {
        out->kind = REPLY_ANSWERED;
        answered_read(&out->stats, v);
    } else if ((v = json_get(o, "ready"))) {
        const struct json *name = json_get(v, "name"), *adapter = json_get(v, "adapter");
        out->kind = REPLY_READY;
        if (name && name->kind == JSON_TEXT) out->text = name->text;
        out->adapter = adapter && adapter->kind == JSON_BOOL && adapter->yes;
        out->context = (int)int_of(v, "context");
        out->step = int_of(v, "step");
    } else if (json_get(o, "ok")) out->kind = REPLY_OK;
    return out->kind != REPLY_NONE;
}
