/* fuzz.c - the frame around a harness: limits, leaks, seeds, files in memory. libFuzzer has main().
 */
#include "tests/fuzz/fuzz.h"
#include "engine/format/unicode.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SECONDS_MOST 3.0 /* of processor time: 1 s, which the sanitizers make at least three of */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int __sanitizer_install_malloc_and_free_hooks(void (*taken)(const volatile void *, size_t),
                                              void (*given)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *p);

static int64_t live, most;
static _Thread_local bool counting; /* libFuzzer's own thread begins beside the first inputs */
static bool measuring;
static double start, seconds;

static void taken(const volatile void *p, size_t n)
{
    if (!counting || !p) return;
    live += (int64_t)n;
    if (measuring && live > most) most = live;
}

static void given(const volatile void *p)
{
    if (counting && p) live -= (int64_t)__sanitizer_get_allocated_size(p);
}

_Noreturn void fuzz_broken(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

bool fuzz_harmless(struct text t, bool newlines)
{
    for (size_t i = 0; i < t.n;) {
        int32_t c;
        i += (size_t)utf8_decode(t.p + i, t.n - i, &c);
        if (c == '\n' && newlines) continue;
        if (c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0xFEFF) return false;
        if ((c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
            (c >= 0x2060 && c <= 0x206F))
            return false;
        if (c >= 0xE0000 && c <= 0xE007F) return false;
    }
    return true;
}

void fuzz_sentence(const char *text)
{
    size_t n = strlen(text);
    if (n == 0) fuzz_broken("the product", 0, "an error says why");
    if (fuzz_harmless((struct text){text, n}, true)) return;
    for (const char *p = text; *p; p++)
        fprintf(stderr, (unsigned char)*p < 32 || *p == 127 ? "\\x%02x" : "%c", *p);
    fuzz_broken("the product", 0, "a sentence holds nothing that acts on a terminal");
}

/* The classes of 65,536 characters are the same for every tokenizer: they are made once, not once
 * an input. */
struct unicode *__wrap_unicode_make(struct arena *a);
struct unicode *__real_unicode_make(struct arena *a);
struct unicode *__wrap_unicode_make(struct arena *a)
{
    static struct unicode classes;
    static bool made;
    struct unicode *u = NEW(a, struct unicode);
    if (!made) classes = *__real_unicode_make(a);
    made = true;
    return memcpy(u, &classes, sizeof *u);
}

/* ---- files ---- */

static char base[64];

static void folder_end(void)
{
    struct err ignored;
    if (base[0]) dir_remove(base, &ignored);
}

static void folder_make(void)
{
    if (base[0]) return;
    bool memory = access("/dev/shm", W_OK) == 0;
    snprintf(base, sizeof base, "%s/hone-fuzz-XXXXXX", memory ? "/dev/shm" : "/tmp");
    HOLDS(mkdtemp(base));
    atexit(folder_end);
}

const char *fuzz_files(void)
{
    static char path[96];
    folder_make();
    snprintf(path, sizeof path, "%s/files", base);
    mkdir(path, 0700);
    return path;
}

/* A link to a file that has no other name: nothing is left behind, whatever happens. */
const char *fuzz_file(const char *name, struct text content)
{
    static struct {
        char path[160];
        int fd;
    } files[8];
    char path[160], target[32];
    snprintf(path, sizeof path, "%s/%s", fuzz_files(), name);
    size_t i = 0;
    while (i < COUNT(files) && files[i].path[0] && strcmp(files[i].path, path) != 0) i++;
    HOLDS(i < COUNT(files));
    if (!files[i].path[0]) {
        files[i].fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(files[i].path, sizeof files[i].path, "%s", path);
        snprintf(target, sizeof target, "/proc/self/fd/%d", files[i].fd);
        HOLDS(files[i].fd >= 0 && symlink(target, path) == 0);
    }
    HOLDS(ftruncate(files[i].fd, 0) == 0);
    HOLDS(pwrite(files[i].fd, content.p, content.n, 0) == (ssize_t)content.n);
    return files[i].path;
}

const char *fuzz_folder(void)
{
    static char path[96];
    struct err err;
    folder_make();
    snprintf(path, sizeof path, "%s/folder", base);
    HOLDS(!path_exists(path) || dir_remove(path, &err));
    HOLDS(mkdir(path, 0700) == 0);
    return path;
}

void fuzz_put(const char *folder, const char *name, struct text content)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    HOLDS(fd >= 0 && write(fd, content.p, content.n) == (ssize_t)content.n);
    close(fd);
}

/* ---- the input in parts ---- */

struct text fuzz_until(struct text *rest, char mark)
{
    const char *end = rest->n ? memchr(rest->p, mark, rest->n) : NULL;
    struct text part = {rest->p, end ? (size_t)(end - rest->p) : rest->n};
    size_t taken_n = part.n + (end != NULL);
    *rest = (struct text){rest->p + taken_n, rest->n - taken_n};
    return part;
}

uint64_t fuzz_number(struct text *rest, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes && rest->n; i++, rest->p++, rest->n--)
        v |= (uint64_t)(unsigned char)*rest->p << 8 * i;
    return v;
}

/* ---- seeds ---- */

static const char *seeds_dir;

void seed(const void *p, size_t n)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%016llx", seeds_dir, (unsigned long long)hash64(p, n, 0));
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(p, 1, n, f) != n || fclose(f) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
}

void seed_text(const char *terminated) { seed(terminated, strlen(terminated)); }

void fuzz_many(struct buf *out, const char *part, size_t bytes)
{
    size_t end = out->n + bytes;
    for (int i = 0; out->n < end; i++)
        for (const char *p = part; *p; p++) {
            if (*p == '#') buf_printf(out, "%d", i);
            else buf_put(out, p, 1);
        }
}

void seed_many(const char *head, const char *part, const char *tail)
{
    struct arena a = arena_make(0);
    struct buf b = buf_make(&a);
    buf_put(&b, head, strlen(head));
    fuzz_many(&b, part, 1000000 - strlen(head) - strlen(tail) - 64);
    buf_put(&b, tail, strlen(tail));
    seed(b.p, b.n);
    arena_drop(&a);
}

void seed_file(const char *path)
{
    struct arena a = arena_make(0);
    struct err err;
    struct text t;
    if (file_read(&t, path, 1 << 24, &a, &err)) seed(t.p, t.n);
    else fprintf(stderr, "%s\n", err.text), exit(1);
    arena_drop(&a);
}

void seed_folder(const char *path, const char *end)
{
    struct arena a = arena_make(0);
    struct err err;
    char **names;
    int n;
    if (!dir_list(&names, &n, path, &a, &err)) fprintf(stderr, "%s\n", err.text), exit(1);
    for (int i = 0; i < n; i++) {
        size_t len = strlen(names[i]), m = strlen(end);
        const char *file = path_join(&a, path, names[i]);
        if (len >= m && strcmp(names[i] + len - m, end) == 0 && !path_is_dir(file)) seed_file(file);
    }
    arena_drop(&a);
}

/* ---- libFuzzer's two doors ---- */

__attribute__((weak)) void fuzz_start(void) {}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    seeds_dir = getenv("HONE_SEEDS");
    if (seeds_dir) {
        fuzz_seeds();
        exit(0);
    }
    fuzz_start();
    __sanitizer_install_malloc_and_free_hooks(taken, given);
    return 0;
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void fuzz_oracle(void)
{
    if (measuring) seconds = cpu_seconds() - start;
    measuring = false;
}

static int lowest_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static int runs;
    static int64_t kept;
    struct arena a = arena_make(0);
    int descriptor = lowest_descriptor();
    start = cpu_seconds();
    live = most = 0;
    counting = measuring = true;
    fuzz((struct text){(const char *)p, n},
         &a); /* p is a block of its own size: a byte too far is seen */
    fuzz_oracle();
    arena_drop(&a);
    counting = false;
    if (getenv("HONE_FUZZ_SAY") && n > 100000)
        fprintf(stderr, "%zu bytes took %lld bytes of memory (%.1f times) and %.3f s: %.60s\n", n,
                (long long)most, (double)most / (double)n, seconds, (const char *)p);
    int64_t allowed = fuzz_limits.floor + fuzz_limits.times * (int64_t)n;
    if (most > allowed)
        fprintf(stderr, "%zu bytes took %lld bytes of memory; %lld are allowed\n", n,
                (long long)most, (long long)allowed);
    HOLDS(most <= allowed);
    if (seconds > SECONDS_MOST) fprintf(stderr, "%zu bytes took %.2f s\n", n, seconds);
    HOLDS(seconds <= SECONDS_MOST);
    if (++runs > 2) { /* the first ones open what stays open */
        kept += live;
        HOLDS(kept <= fuzz_limits.kept);
        HOLDS(lowest_descriptor() == descriptor);
    }
    return 0;
}
