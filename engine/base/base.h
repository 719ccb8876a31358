/* base.h - errors, memory, text, files, random numbers, time and log: what every file of the
 * engine stands on. It knows libc only (and xxHash for hashes).
 *
 * Errors. What the user or the machine can cause is an error: the function returns false and its
 * last argument says why, in a sentence fit for the screen: what, where, both numbers, what to do.
 * What only we can cause is a bug: BUG_IF stops the process with the place. There is no third kind.
 *
 * Memory. An arena is a lifetime (process, run, stage, step, frame). Everything of one lifetime
 * comes from one arena and goes at once; nothing is freed alone. malloc occurs in arena.c and in
 * the backends' device.c only. An arena belongs to one thread at a time.
 *
 * Text. `struct text` is bytes that somebody else owns: UTF-8, not terminated. Paths and names are
 * terminated C strings. Text from outside (models, data, model output, other people's file names)
 * passes text_safe() before it reaches a terminal or a log. */
#ifndef HONE_BASE_H
#define HONE_BASE_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define BUG_IF(x) ((x) ? bug(__FILE__, __LINE__, #x) : (void)0)
_Noreturn void bug(const char *file, int line, const char *what);

/* ---- errors ---- */

struct err { char text[1024]; };    /* text[0] == 0: no error. Lives on the caller's stack. */

/* Sets the text and returns false, so that a function can `return fail(err, ...)`. Whatever the arguments hold, the
 * text is UTF-8 and acts on no terminal. */
bool fail(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Puts "where: " before the text and returns false, to add what only the caller knows. */
bool fail_in(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* As fail(), with ": " and the sentence of errno after the text. */
bool fail_errno(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- memory ---- */

struct arena { struct arena_block *last; size_t used, peak, limit; };

struct arena arena_make(size_t limit); /* bytes; 0: none. A full arena is a bug. */
/* Zeroed, aligned to 64 bytes, never NULL; size * count is checked for overflow. */
void *arena_take(struct arena *a, size_t size, size_t count);
/* A longer block with the old contents, new bytes zeroed. In place where p was taken last. */
void *arena_grow(struct arena *a, void *p, size_t old_bytes, size_t new_bytes);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
char *arena_string(struct arena *a, const char *p, size_t n); /* terminated copy */
struct arena_mark { struct arena_block *last; size_t used, block_used; };
struct arena_mark arena_mark(const struct arena *a);
void arena_back(struct arena *a, struct arena_mark m); /* drops all that was taken since */
void arena_drop(struct arena *a);
/* malloc for a library that takes one: it is given memory, or the process ends as an arena's does. */
void *memory_for_library(size_t bytes);
#define NEW(a, T) ((T *)arena_take((a), sizeof(T), 1))
#define NEW_N(a, T, n) ((T *)arena_take((a), sizeof(T), (size_t)(n)))
/* Makes room for one more element of `array` (length n, capacity cap, in arena a). */
#define ROOM(a, array, n, cap) \
    ((n) < (cap) ? (void)0 \
                 : (void)((array) = arena_grow((a), (array), (size_t)(cap) * sizeof *(array), \
                              ((cap) ? (size_t)(cap) * 2 : 16) * sizeof *(array)), \
                          (cap) = (cap) ? (cap) * 2 : 16))

/* ---- text ---- */

struct text { const char *p; size_t n; };
#define TEXT(literal) ((struct text){(literal), sizeof(literal) - 1})
struct text text_of(const char *terminated);
bool text_equal(struct text a, struct text b);
bool text_is(struct text a, const char *terminated);

/* A text that grows at its end, in an arena. p is terminated after every call. */
struct buf { struct arena *a; char *p; size_t n, cap; };
struct buf buf_make(struct arena *a);
void buf_put(struct buf *b, const char *p, size_t n);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct text buf_text(const struct buf *b);

/* Decodes one code point at p (n > 0 bytes left) into *code and returns its length 1..4; for an
 * ill-formed sequence (also overlong forms and surrogates) *code is -1 and the length 1. */
int utf8_decode(const char *p, size_t n, int32_t *code);
int utf8_encode(int32_t code, char out[4]);           /* length 1..4 */
size_t utf8_bad(struct text t);                       /* offset of the first ill-formed byte, or t.n */
/* Bytes at the end of t that may be the start of a longer sequence (0..3): streams hold them back. */
size_t utf8_unfinished(struct text t);
/* What a screen shows for a code point (-1: ill-formed): itself, a blank for tab and newline, U+FFFD for
 * what could act on a terminal, 0 for what is invisible and is left out. */
int32_t text_shown(int32_t code);
/* Appends t with everything that could act on a terminal made harmless: C0, DEL, C1, bidi and zero
 * width controls, ill-formed bytes become U+FFFD or vanish; '\n' stays where keep_newlines. */
void text_safe(struct buf *out, struct text t, bool keep_newlines);
/* The same, newlines kept, as a terminated text in room for n bytes: what does not fit is left out from a whole
 * character on. */
void text_fit(char *out, size_t n, struct text t);
/* The nearest of n names to `name` by edit distance, or NULL where none is near (> a third). */
const char *text_nearest(const char *name, const char *const *names, int n);
/* "3.9 GB", "58 MB", "512 B": three digits, decimal units, as disks and model cards count. */
char *text_bytes(char out[16], int64_t bytes);
/* "2 min 41 s", "3 h 02 min", "0.8 s". */
char *text_seconds(char out[24], double seconds);
char *text_count(char out[32], int64_t n);            /* "1,234,567" */

/* ---- files ---- */

/* Opens a regular file for reading; a folder, FIFO or device is refused in a sentence. */
bool file_open(int *fd, int64_t *size, const char *path, struct err *err);
/* Whole file, terminated after its last byte; more than `limit` bytes are refused. */
bool file_read(struct text *out, const char *path, int64_t limit, struct arena *a, struct err *err);
bool file_read_at(int fd, void *out, size_t n, int64_t at, const char *path, struct err *err);
bool file_write_all(int fd, const void *p, size_t n, const char *path, struct err *err);
/* Written beside, synced, renamed: readers see the old or the new file, never half (mode 0600). */
bool file_replace(const char *path, struct text s, struct err *err);
bool dir_make(const char *path, struct err *err);     /* with its parents, mode 0700 */
bool dir_sync(const char *path, struct err *err);
bool dir_remove(const char *path, struct err *err);   /* with all that is in it; follows no link */
/* Names in a folder except "." and "..", sorted by bytes. */
bool dir_list(char ***names, int *n, const char *path, struct arena *a, struct err *err);
bool path_exists(const char *path);
bool path_is_dir(const char *path);
/* `path` where it is absolute or dir is NULL, else dir/path; "~/" is the home folder. */
char *path_join(struct arena *a, const char *dir, const char *path);
char *path_dir(struct arena *a, const char *path);    /* the folder part, "." where there is none */
const char *path_base(const char *path);              /* after the last '/' */
int64_t disk_free(const char *path);                  /* bytes a user may write there, -1 unknown */

/* ---- numbers ---- */

uint64_t rand_at(uint64_t seed, uint64_t n);          /* value n of stream seed; no state to save */
double rand_unit(uint64_t seed, uint64_t n);          /* [0, 1) */
uint64_t hash64(const void *p, size_t n, uint64_t seed); /* XXH3 */
/* A hash of much, piece by piece; text form: 32 hexadecimal digits (XXH3-128). */
struct hash { struct XXH3_state_s *state; };
void hash_start(struct hash *h, struct arena *a);
void hash_add(struct hash *h, const void *p, size_t n);
char *hash_text(const struct hash *h, char out[33]);
double now_unix(void);       /* seconds; for people */
double now_monotonic(void);  /* seconds; for durations */

/* ---- log ---- */

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
void log_to(int fd, enum log_level least);            /* until then nothing is written */
void say(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
#endif
