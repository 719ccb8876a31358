/* key.c - under which name a source's tokens are kept: a hash of everything that decides them.
 *
 * The file's bytes are part of the key. So that a file is not read at every start, its hash is
 * remembered in <cache_dir>/<16 digits>.seen under path, device, inode, size and time of change; a
 * file that changed less than two seconds ago is never remembered, since it could change again
 * within one tick of its clock. */
#include "engine/data/tokens.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIECE (1 << 20)

static bool content_hash(char out[33], const char *path, struct stat *st, struct err *err)
{
    struct arena a = arena_make(0);
    struct hash h;
    char *p = arena_take(&a, 1, PIECE);
    int fd;
    int64_t size;
    if (!file_open(&fd, &size, path, err)) {
        arena_drop(&a);
        return false;
    }
    bool ok = fstat(fd, st) == 0 || fail_errno(err, "cannot look at %s", path);
    hash_start(&h, &a);
    for (int64_t at = 0; ok && at < size; at += PIECE) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        ok = file_read_at(fd, p, n, at, path, err);
        if (ok) hash_add(&h, p, n);
    }
    close(fd);
    if (ok) hash_text(&h, out);
    arena_drop(&a);
    return ok;
}

/* Where the hash of the file as it is now would be remembered. */
static char *seen_path(const char *dir, const char *path, const struct stat *st, struct arena *a)
{
    const int64_t facts[] = {(int64_t)st->st_dev,          (int64_t)st->st_ino,
                             (int64_t)st->st_size,         (int64_t)st->st_mtim.tv_sec,
                             (int64_t)st->st_mtim.tv_nsec, (int64_t)st->st_ctim.tv_sec,
                             (int64_t)st->st_ctim.tv_nsec};
    uint64_t h = hash64(facts, sizeof facts, hash64(path, strlen(path), 0));
    return arena_printf(a, "%s/%016llx.seen", dir, (unsigned long long)h);
}

static bool known_hash(char out[33], const char *path, const char *dir, struct arena *a,
                       struct err *err)
{
    struct stat st;
    struct err ignored;
    struct text text;
    if (stat(path, &st) != 0) return fail_errno(err, "cannot open %s", path);
    if (file_read(&text, seen_path(dir, path, &st, a), 32, a, &ignored) && text.n == 32 &&
        strspn(text.p, "0123456789abcdef") == 32) {
        memcpy(out, text.p, 33);
        return true;
    }
    if (!content_hash(out, path, &st, err)) return false;
    if (st.st_mtim.tv_sec + 2 < time(NULL) && st.st_ctim.tv_sec + 2 < time(NULL) &&
        dir_make(dir, &ignored))
        file_replace(seen_path(dir, path, &st, a), (struct text){out, 32}, &ignored);
    return true;
}

static void add_text(struct hash *h, const char *s) { hash_add(h, s, strlen(s) + 1); }

bool source_key(char key[33], const struct source_spec *spec, const struct data_settings *s,
                struct arena *a, struct err *err)
{
    char content[33];
    bool plain;
    struct hash h;
    if (!known_hash(content, spec->path, s->cache_dir, a, err) ||
        !format_is_plain(spec->path, spec->format, &plain, err))
        return false;
    const int64_t facts[] = {TOKENS_VERSION,
                             spec->train_on,
                             spec->max_rows,
                             plain,
                             tokenizer_bos(s->tokenizer),
                             tokenizer_eos(s->tokenizer),
                             tokenizer_adds_bos(s->tokenizer),
                             template_is_models_own(s->template)};
    hash_start(&h, a);
    add_text(&h, HONE_VERSION);
    add_text(&h, tokenizer_hash(s->tokenizer));
    add_text(&h, template_hash(s->template));
    add_text(&h, spec->format);
    add_text(&h, content);
    hash_add(&h, facts, sizeof facts);
    hash_text(&h, key);
    return true;
}
