/* safetensors_write.c - a safetensors file, written once from front to back.
 *
 * The header is known before the first byte of data, so nothing is sought or rewritten: bytes are
 * hashed as they go out in pieces of at most 8 MiB, then synced. What is not whole is removed. */
#include "engine/format/safetensors_file.h"
#include "engine/format/json.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 8 << 20, CONVERT = 256 * 1024 };

struct tensors_writer {
    int fd;
    char *path;
    const struct tensor_row *rows;
    int n, row;              /* row: the tensor that comes next or is half written */
    int64_t left;            /* bytes of it that are missing */
    int64_t written;
    struct hash hash;
    char *converted;         /* CONVERT bytes */
};

static int64_t row_bytes(const struct tensor_row *r)
{
    int64_t bytes = tensor_type_bytes(r->type);
    for (int i = 0; i < r->rank; i++) BUG_IF(__builtin_mul_overflow(bytes, r->dims[i], &bytes) || bytes < 0);
    return bytes;
}

/* Length and header, filled up with spaces so that the data begin at a multiple of 8. */
static struct buf make_header(const struct tensor_row *rows, int n, const char *const *metadata, int n_metadata,
                              int64_t *data_bytes, struct arena *a)
{
    struct buf b = buf_make(a);
    int64_t at = 0;
    buf_put(&b, "\0\0\0\0\0\0\0\0{", 9);
    if (n_metadata) buf_put(&b, "\"__metadata__\":{", 16);
    for (int i = 0; i < n_metadata; i++) {
        if (i) buf_put(&b, ",", 1);
        json_put_text(&b, text_of(metadata[2 * i]));
        buf_put(&b, ":", 1);
        json_put_text(&b, text_of(metadata[2 * i + 1]));
    }
    if (n_metadata) buf_put(&b, n ? "}," : "}", n ? 2 : 1);
    for (int i = 0; i < n; i++) {
        int64_t bytes = row_bytes(&rows[i]);
        if (i) buf_put(&b, ",", 1);
        json_put_text(&b, text_of(rows[i].name));
        buf_printf(&b, ":{\"dtype\":\"%s\",\"shape\":[", tensor_type_name(rows[i].type));
        for (int d = 0; d < rows[i].rank; d++) buf_printf(&b, "%s%lld", d ? "," : "", (long long)rows[i].dims[d]);
        buf_printf(&b, "],\"data_offsets\":[%lld,%lld]}", (long long)at, (long long)(at + bytes));
        at += bytes;
    }
    buf_put(&b, "}", 1);
    while (b.n % 8) buf_put(&b, " ", 1);
    for (int i = 0; i < 8; i++) b.p[i] = (char)((b.n - 8) >> 8 * i);
    *data_bytes = at;
    return b;
}

int64_t tensors_file_bytes(const struct tensor_row *rows, int n, const char *const *metadata, int n_metadata)
{
    struct arena a = arena_make(0);
    int64_t data_bytes;
    int64_t header = (int64_t)make_header(rows, n, metadata, n_metadata, &data_bytes, &a).n;
    arena_drop(&a);
    return header + data_bytes;
}

static bool put(struct tensors_writer *w, const void *p, int64_t bytes, struct err *err)
{
    for (const char *q = p; bytes > 0;) {
        size_t part = bytes < PIECE ? (size_t)bytes : PIECE;
        if (!file_write_all(w->fd, q, part, w->path, err)) return false;
        hash_add(&w->hash, q, part);
        q += part;
        bytes -= (int64_t)part;
        w->written += (int64_t)part;
    }
    return true;
}

/* Goes on to the next tensor that has data. */
static void advance(struct tensors_writer *w)
{
    while (w->left == 0 && w->row < w->n)
        if (++w->row < w->n) w->left = row_bytes(&w->rows[w->row]);
}

bool tensors_create(struct tensors_writer **out, const char *path, const struct tensor_row *rows, int n,
                    const char *const *metadata, int n_metadata, struct arena *a, struct err *err)
{
    int64_t data_bytes;
    struct tensors_writer *w = NEW(a, struct tensors_writer);
    struct buf header = make_header(rows, n, metadata, n_metadata, &data_bytes, a);
    if (header.n - 8 > HEADER_MOST || n > TENSORS_PER_FILE)
        return fail(err, "%s would hold %d tensors and a header of %zu bytes; at most %d and %d are allowed", path, n,
                    header.n - 8, TENSORS_PER_FILE, HEADER_MOST);
    w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (w->fd < 0) return fail_errno(err, "cannot create %s", path);
    w->path = arena_string(a, path, strlen(path));
    w->rows = NEW_N(a, struct tensor_row, n);
    if (n) memcpy((void *)(uintptr_t)w->rows, rows, (size_t)n * sizeof *rows);
    w->n = n;
    w->row = -1;
    w->converted = arena_take(a, 1, CONVERT);
    hash_start(&w->hash, a);
    advance(w);
    if (put(w, header.p, (int64_t)header.n, err)) {
        *out = w;
        return true;
    }
    tensors_abandon(w);
    return false;
}

bool tensors_write_raw(struct tensors_writer *w, const void *p, int64_t bytes, struct err *err)
{
    for (const char *q = p; bytes > 0; advance(w)) {
        BUG_IF(w->row >= w->n); /* more data than were declared */
        int64_t part = bytes < w->left ? bytes : w->left;
        if (!put(w, q, part, err)) return false;
        w->left -= part;
        bytes -= part;
        q += part;
    }
    return true;
}

bool tensors_write_f32(struct tensors_writer *w, const float *p, int64_t n, struct err *err)
{
    while (n > 0) {
        BUG_IF(w->row >= w->n); /* more data than were declared */
        enum tensor_type type = w->rows[w->row].type;
        int64_t size = tensor_type_bytes(type), part = w->left / size;
        BUG_IF(!tensor_type_is_float(type) || w->left % size != 0);
        if (part > n) part = n;
        if (type != T_F32 && part > CONVERT / size) part = CONVERT / size;
        if (type != T_F32) floats_narrow(w->converted, p, part, type);
        if (!tensors_write_raw(w, type == T_F32 ? (const void *)p : w->converted, part * size, err)) return false;
        p += part;
        n -= part;
    }
    return true;
}

bool tensors_finish(struct tensors_writer *w, int64_t *bytes, char hash[33], struct err *err)
{
    bool ok = true;
    if (w->row < w->n)
        ok = fail(err, "%s was not written to its end: %lld bytes of tensor %s are missing", w->path,
                  (long long)w->left, w->rows[w->row].name);
    if (ok && fsync(w->fd) != 0) ok = fail_errno(err, "cannot sync %s", w->path);
    if (close(w->fd) != 0 && ok) ok = fail_errno(err, "cannot close %s", w->path);
    w->fd = -1;
    if (!ok) unlink(w->path);
    if (bytes) *bytes = w->written;
    if (hash) hash_text(&w->hash, hash);
    return ok;
}

void tensors_abandon(struct tensors_writer *w)
{
    if (w->fd < 0) return;
    close(w->fd);
    w->fd = -1;
    unlink(w->path);
}
