/* template.h - how a conversation becomes text: one object for training, evaluation and chat, so that
 * the model is asked in the very form it was taught in.
 *
 * A template is a Jinja source: the model's own chat template, or a file of assets/templates
 * (plain, qa, alpaca, llama2, llama3, chatml, vicuna, zephyr). The subset that real chat templates
 * use is done here (for, if, set, namespace, tests, filters trim, join, tojson ...; the list is in
 * template.c); what it cannot do is refused by name when the template is opened or rendered.
 *
 * Rendering gives segments, not one string: each knows which message its text came from, so a mask is
 * built by construction and never by searching. */
#ifndef HONE_TEMPLATE_H
#define HONE_TEMPLATE_H
#include "engine/base/base.h"

struct template;

struct message { struct text role, content; };   /* role: "system", "user", "assistant", "tool" */

/* A piece of the rendered text. */
struct segment {
    struct text text;
    int message;         /* which message it came from; -1: the template's own words */
    bool answer;         /* an assistant's content, or its end (the end token and nothing after it) */
    bool end;            /* the end token of an answer */
};
struct segments { struct segment *list; int n, cap; };

/* `spec`: "auto" (the tokenizer's own chat template, passed as `own`; plain where it is empty), a
 * name in folder `dir`, a path to a .jinja file. */
bool template_open(struct template **out, const char *spec, const char *dir, struct text own,
                   struct arena *a, struct err *err);
const char *template_name(const struct template *t);
const char *template_hash(const struct template *t);    /* of the source: part of the cache key */
bool template_is_models_own(const struct template *t);  /* it came with the model, so it knows its bos */

struct render { struct text bos, eos; bool ask; };       /* ask: add the generation prompt (chat, evaluation) */
/* Renders `n` messages. Text lives in arena a. Fails in a sentence where the template raises one, or is
 * beyond the limits (1 M steps, 16 MiB of output). Thread-safe for different arenas. */
bool template_render(const struct template *t, const struct message *messages, int n, struct render how,
                     struct segments *out, struct arena *a, struct err *err);
#endif
