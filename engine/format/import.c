/* import.c - a foreign model file becomes a folder that appears whole or not at all.
 *
 * Everything is written into a hidden folder beside the wanted one, each file synced, then the folder;
 * the rename at the end refuses to replace anything. */
#include "engine/format/import_llama.h"
#include "engine/format/tokenizer.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct { const char *bytes; size_t n; bool (*import)(struct importing *i); const char *refused; } kinds[] = {
    {"GGUF", 4, import_gguf, NULL},
    {"24ka", 4, import_llama2c, NULL},      /* "ak42" as a number, little endian */
    {"PK\3\4", 4, NULL, "is a zip archive, as PyTorch's .pt and .pth are: a pickle, which could run code and is never opened"},
    {"\x80\2", 2, NULL, "is a pickle, which could run code and is never opened"},
    {"ggjt", 4, NULL, "is of GGML's time before GGUF; convert it to GGUF first"},
    {"tjgg", 4, NULL, "is of GGML's time before GGUF; convert it to GGUF first"},
    {"fmgg", 4, NULL, "is of GGML's time before GGUF; convert it to GGUF first"},
    {"lmgg", 4, NULL, "is of GGML's time before GGUF; convert it to GGUF first"}};

/* llama2.c's version 0 has no mark: its numbers are checked against the file's size. */
static bool import_kind(struct importing *i)
{
    char head[8] = {0};
    int fd;
    int64_t size;
    if (!file_open(&fd, &size, i->file, i->err)) return false;
    bool ok = file_read_at(fd, head, size < 8 ? (size_t)size : 8, 0, i->file, i->err);
    close(fd);
    if (!ok) return false;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        if (memcmp(head, kinds[k].bytes, kinds[k].n) != 0) continue;
        return kinds[k].import ? kinds[k].import(i) : fail(i->err, "%s %s", i->file, kinds[k].refused);
    }
    return import_llama2c(i);
}

/* What was written is opened once, so that a folder that nobody can use is never left. */
static bool check_tokenizer(struct importing *i)
{
    struct arena a = arena_make(0);
    struct tokenizer *t;
    bool ok = tokenizer_open(&t, i->dir, &a, i->err) || fail_in(i->err, "the tokenizer of %s", i->file);
    arena_drop(&a);
    return ok;
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

bool rename_new(const char *from, const char *to, struct err *err)
{
    int rc = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (rc != 0 && (errno == EINVAL || errno == ENOSYS) && !exists(to)) rc = rename(from, to);
    return rc == 0 || fail_errno(err, "cannot rename %s to %s", from, to);
}

bool import_model(const char *file, const char *dir, const struct import_options *o, struct arena *a, struct err *err)
{
    BUG_IF(o->type != T_BF16 && o->type != T_F32);
    struct arena_mark m = arena_mark(a);
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/') n--;
    char *to = arena_string(a, dir, n), *parent = path_dir(a, to);
    char *beside = arena_printf(a, "%s/.%s.tmp-%d", parent, path_base(to), (int)getpid());
    struct importing i = {file, beside, o, a, err};
    struct err later;
    bool ok = exists(to) ? fail(err, "%s exists; name a new folder", to) : dir_make(parent, err);
    if (ok && mkdir(beside, 0700) != 0) ok = fail_errno(err, "cannot make folder %s", beside);
    else if (ok) {
        ok = import_kind(&i) && check_tokenizer(&i) && dir_sync(beside, err) && rename_new(beside, to, err) &&
             dir_sync(parent, err);
        if (!ok && exists(beside)) dir_remove(beside, &later);
    }
    arena_back(a, m);
    return ok;
}
