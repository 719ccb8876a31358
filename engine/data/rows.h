/* rows.h - private: a file of rows as records, and a record as a conversation. */
#ifndef HONE_DATA_ROWS_H
#define HONE_DATA_ROWS_H
#include "engine/base/base.h"
#include "engine/format/json.h"
#include "engine/format/template.h"

#define ROW_BYTES_MOST (64ll << 20)
#define TURNS_MOST 10000

enum rows_kind { ROWS_LINES, ROWS_ARRAY, ROWS_PLAIN };

/* A record: its bytes, and the line of the file on which it begins. */
struct row { struct text text; int64_t line; bool too_long; };

/* Reads a file of any size in order, with one buffer that grows to the longest record. */
struct rows {
    const char *path;
    int fd;
    int64_t size, at;            /* bytes of the file, bytes read so far */
    enum rows_kind kind;
    struct arena arena;
    char *p; size_t from, n, cap;/* what is read and not taken yet: p[from..n) */
    int64_t line;                /* of p[from], from 1 */
    bool open, ended;            /* the array's bracket was read; its end was */
};

/* plain: the whole file is text, documents by blank lines; else JSON lines or one JSON array. */
bool rows_open(struct rows *r, const char *path, bool plain, struct err *err);
/* *any is false at the end. The text lives until the next call. False where the file cannot go on being
 * read: an array that is cut off, or I/O. */
bool rows_next(struct rows *r, struct row *out, bool *any, struct err *err);
void rows_close(struct rows *r);

/* What a row says, in the few ways that training knows. */
enum conversation_kind { TALK, PROSE, TOKENS };
struct conversation {
    enum conversation_kind kind;
    struct message *messages; int n;       /* TALK */
    struct text source, target;            /* PROSE: read, then learnt; no template */
    int32_t *ids; bool *trained; int64_t n_ids; /* TOKENS */
    struct text category;
};

struct format {
    const char *name;
    const char *keys[2];                   /* a row that has these is of this format */
    bool (*read)(struct conversation *out, const struct json *row, const char *where,
                 struct arena *a, struct err *err);
};
const struct format *format_find(const char *name, struct err *err);
/* The format of the first rows: the first whose keys are in each of them. */
const struct format *format_detect(const char *path, struct err *err);
/* Whether a file under this format is plain text and not JSON. */
bool format_is_plain(const char *path, const char *format, bool *plain, struct err *err);
/* A record of either kind; the sentence of a bad one begins with "path:line". */
bool row_read(struct conversation *out, const struct format *f, const struct row *row, bool plain,
              const char *path, struct arena *a, struct err *err);
/* Of what the row says, not of how it is written: decides the hold-out. */
uint64_t conversation_hash(const struct conversation *c);
#endif
