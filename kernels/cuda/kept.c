/* kept.c - the file of chosen algorithms, one a kind of device and version of the library:
 *
 *   HONE_HOME/cublaslt-NVIDIA-H100-80GB-HBM3-132-13.1.0.txt
 *   hone 1: cuBLASLt 13.1.0, NVIDIA H100 80GB HBM3, sm_90, 132 processors
 *   0 1 0 0 16 16 16 2048 4096 2048 0000000000000001 ... (eight words of the library's own)
 *
 * A line is turn, types, whether it adds, alignments, m, n, k, and the algorithm. Lines are only
 * added, under a lock; a line that is not whole or not sane ends the reading. */
#include "kernels/cuda/algorithm.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORDS = 8, FILE_MOST = 4 << 20 };
_Static_assert(sizeof(cublasLtMatmulAlgo_t) == WORDS * 8, "an algorithm is eight words");

/* ---- the table ---- */

struct chosen *chosen_find(struct chosen_table *t, const struct shape_key *key)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    const unsigned char *p = (const unsigned char *)key;
    for (size_t i = 0; i < sizeof *key; i++) hash = (hash ^ p[i]) * UINT64_C(0x100000001B3);
    for (int i = 0; i < CHOSEN_MOST; i++) {
        struct chosen *c = &t->rows[(hash + (uint64_t)i) % CHOSEN_MOST];
        if (c->taken && memcmp(&c->key, key, sizeof *key) == 0) return c;
        if (!c->taken) return t->n < CHOSEN_MOST / 2 ? c : NULL;
    }
    return NULL;
}

/* ---- the file ---- */

/* hone's own folder, as the engine finds it. */
static bool home_folder(char *out, size_t size)
{
    const char *own = getenv("HONE_HOME"), *state = getenv("XDG_STATE_HOME"),
               *home = getenv("HOME");
    int n = own && *own                ? snprintf(out, size, "%s", own)
            : state && state[0] == '/' ? snprintf(out, size, "%s/hone", state)
            : home && home[0] == '/'   ? snprintf(out, size, "%s/.local/state/hone", home)
                                       : -1;
    return n > 0 && (size_t)n < size;
}

static void plain(char *s)
{
    for (; *s; s++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.", *s))
            *s = '-';
}

void kept_open(struct kept *k, const struct host_side *h, int processors)
{
    char folder[768], name[192];
    struct stat s;
    *k = (struct kept){.fd = -1};
    if (!home_folder(folder, sizeof folder) || stat(folder, &s) != 0) return;
    snprintf(name, sizeof name, "%s-%d-%s", h->name, processors, h->library_version);
    plain(name);
    snprintf(k->path, sizeof k->path, "%s/cublaslt-%s.txt", folder, name);
    snprintf(k->head, sizeof k->head, "hone 1: cuBLASLt %s, %s, sm_%d%d, %d processors\n",
             h->library_version, h->name, h->major, h->minor, processors);
    k->fd = open(k->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

void kept_close(struct kept *k)
{
    if (k->fd >= 0) close(k->fd);
    k->fd = -1;
}

static bool sane(const struct shape_key *k)
{
    bool aligned = true;
    for (int i = 0; i < 3; i++)
        aligned = aligned && k->align[i] >= 2 && k->align[i] <= 16 &&
                  (k->align[i] & (k->align[i] - 1)) == 0;
    return aligned && k->turn >= 0 && k->turn < TURNS &&
           (k->factors == F32 || k->factors == BF16) && (k->result == F32 || k->result == BF16) &&
           (k->adds == 0 || k->adds == 1) && k->m > 0 && k->n > 0 && k->k > 0;
}

static bool line_read(struct chosen *c, const char *line)
{
    uint64_t words[WORDS];
    struct shape_key *k = &c->key;
    int n = 0;
    *c = (struct chosen){.taken = true};
    if (sscanf(line,
               "%" SCNd32 " %" SCNd32 " %" SCNd32 " %" SCNd32 " %" SCNd32 " %" SCNd32 " %" SCNd32
               " %" SCNd64 " %" SCNd64 " %" SCNd64 "%n",
               &k->turn, &k->factors, &k->result, &k->adds, &k->align[0], &k->align[1],
               &k->align[2], &k->m, &k->n, &k->k, &n) != 10 ||
        !sane(k))
        return false;
    for (int i = 0; i < WORDS; i++) {
        int more = 0;
        if (sscanf(line + n, " %16" SCNx64 "%n", &words[i], &more) != 1) return false;
        n += more;
    }
    memcpy(&c->algo, words, sizeof words);
    return line[n] == '\n';
}

static void lines_take(struct kept *k, struct chosen_table *t, FILE *f)
{
    char line[CHOSEN_LINE];
    struct chosen c;
    while (k->read_to < FILE_MOST && fgets(line, sizeof line, f) && line_read(&c, line)) {
        struct chosen *to = chosen_find(t, &c.key);
        k->read_to += (long)strlen(line);
        if (!to || to->taken) continue;
        *to = c;
        t->n++;
    }
}

void kept_lock(struct kept *k, struct chosen_table *t)
{
    char head[sizeof k->head];
    struct stat s;
    if (k->fd < 0 || flock(k->fd, LOCK_EX) != 0) return;
    if (fstat(k->fd, &s) == 0 && s.st_size == 0 &&
        write(k->fd, k->head, strlen(k->head)) != (ssize_t)strlen(k->head))
        return;
    FILE *f = fopen(k->path, "re");
    if (f && fgets(head, sizeof head, f) && strcmp(head, k->head) == 0) {
        if (k->read_to == 0) k->read_to = (long)strlen(head);
        if (fseek(f, k->read_to, SEEK_SET) == 0) lines_take(k, t, f);
    } else kept_close(k); /* another's: left alone */
    if (f) fclose(f);
}

void kept_unlock(struct kept *k)
{
    if (k->fd >= 0) flock(k->fd, LOCK_UN);
}

void kept_add(struct kept *k, const struct chosen *c)
{
    char line[CHOSEN_LINE];
    uint64_t words[WORDS];
    const struct shape_key *s = &c->key;
    if (k->fd < 0) return;
    memcpy(words, &c->algo, sizeof words);
    int n = snprintf(line, sizeof line,
                     "%" PRId32 " %" PRId32 " %" PRId32 " %" PRId32 " %" PRId32 " %" PRId32
                     " %" PRId32 " %" PRId64 " %" PRId64 " %" PRId64,
                     s->turn, s->factors, s->result, s->adds, s->align[0], s->align[1], s->align[2],
                     s->m, s->n, s->k);
    for (int i = 0; i < WORDS; i++)
        n += snprintf(line + n, sizeof line - (size_t)n, " %016" PRIx64, words[i]);
    line[n++] = '\n';
    if (write(k->fd, line, (size_t)n) == n) k->read_to += n;
    else kept_close(k); /* a full disk: what was written of it ends the reading */
}
