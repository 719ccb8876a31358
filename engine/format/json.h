/* json.h - JSON as it is read and written: strict, with limits, every value in an arena.
 *
 * Reading is jansson's (RFC 8259: UTF-8 checked, duplicate keys, NaN and lone surrogates refused);
 * the values are copied into plain nodes, so that nobody else knows the library. Errors name the
 * file, line and column. Writing is a few functions that append to a buf: no tree is built. */
#ifndef HONE_JSON_H
#define HONE_JSON_H
#include "engine/base/base.h"

enum json_kind { JSON_NULL, JSON_BOOL, JSON_INT, JSON_NUM, JSON_TEXT, JSON_ARRAY, JSON_OBJECT };

/* A value; immutable, lives as long as its arena. */
struct json {
    enum json_kind kind;
    bool yes;                    /* JSON_BOOL */
    int64_t integer;             /* JSON_INT */
    double number;               /* JSON_NUM, and JSON_INT as a double */
    struct text text;            /* JSON_TEXT; terminated after its last byte */
    int n;                       /* JSON_ARRAY, JSON_OBJECT: how many */
    const struct json *items;    /* their values, in file order */
    const struct text *keys;     /* JSON_OBJECT: keys[i] belongs to items[i] */
    const int32_t *slots;        /* of json_get alone: the index of an object of many keys */
};

struct json_limits { int64_t bytes; int depth; int64_t nodes; }; /* 0: the default (64 MiB, 64, 64 M) */

/* `where` names the source in errors ("data/zh.jsonl:17"). The arena is left as it was on failure. */
bool json_parse(const struct json **out, struct text source, const char *where,
                struct json_limits limits, struct arena *a, struct err *err);
bool json_read(const struct json **out, const char *path, struct json_limits limits,
               struct arena *a, struct err *err);

/* NULL where `object` is NULL, no object, or has no such key. Linear up to 16 keys, then by hash. */
const struct json *json_get(const struct json *object, const char *key);
/* Optional fields of a known type: absent or null gives the default; another type is an error that
 * names `where`, the key, what was found and what is allowed. */
bool json_get_text(struct text *out, const struct json *o, const char *key, const char *where, struct err *err);
bool json_get_int(int64_t *out, const struct json *o, const char *key, int64_t least, int64_t most,
                  const char *where, struct err *err);
bool json_get_num(double *out, const struct json *o, const char *key, double least, double most,
                  const char *where, struct err *err);
bool json_get_bool(bool *out, const struct json *o, const char *key, const char *where, struct err *err);

void json_put_text(struct buf *b, struct text t);   /* quoted and escaped; ill-formed bytes as U+FFFD */
void json_put_num(struct buf *b, double v);          /* shortest that reads back equal; not finite: null */
void json_put_int(struct buf *b, int64_t v);
/* Appends `"key": ` and, where the object is not empty yet, a comma before it. The caller writes
 * '{' and '}' itself. */
void json_put_key(struct buf *b, const char *key);
/* A key and its value. */
void json_field_text(struct buf *b, const char *key, struct text v);
void json_field_num(struct buf *b, const char *key, double v);
void json_field_int(struct buf *b, const char *key, int64_t v);
void json_field_bool(struct buf *b, const char *key, bool v);
#endif
