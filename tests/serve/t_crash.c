/* t_crash.c - a power cut at every moment of a save, in every state that it can leave the disk in.
 *
 * One real save (with its rotation) is watched: every call that changes the disk, with its bytes.
 * From the list all states are made that the rules of a file system allow after a cut, and the real
 * recovery looks at each: a folder's entries      those of its first k changes, for every k from
 * what an fsync of it made sure of to what was done; the entries of different folders know nothing
 * of each other a file's bytes          what an fsync made sure of; else, in turn: all, none,
 * zeros, or half and then zeros In each state the newest checkpoint that verifies is there; once
 * "saved" was said it is the new one; nothing that is broken has a final name; and the next save
 * works. The test tests itself: without any one of the syncs, or with the manifest's before the
 * weights', it must find something. */
#include "tests/model/tiny.h"
#include "tests/serve/system.h"
#include "engine/run/checkpoint.h"

enum { OPS_MOST = 600, FILES_MOST = 64, DIRS_MOST = 16, STATES_MOST = 20000 };

/* ---- what happened ---- */

static struct op {
    enum call call;
    char path[300], to[300];
    char *bytes;
    size_t n;
    long at;
} ops[OPS_MOST];
static int n_ops, begun,
    said_at; /* the save begins at op `begun`; "saved" was said before op `said_at` */
static int drop_sync = -1,
           syncs; /* the sync of the save that is left out of the list; how many there are */

static struct tiny t;
static char root[64], run[80], scene[80];
static const char *watched = ""; /* below this folder */

static void remember(enum call c, const char *path, const char *to, const void *p, size_t n,
                     long at)
{
    size_t skip = strlen(watched);
    if (strncmp(path, watched, skip) != 0 || (c == CALL_MKDIR && !path[skip])) return;
    if (c == CALL_FSYNC && syncs++ == drop_sync) return;
    if (n_ops == OPS_MOST) abort();
    struct op *o = &ops[n_ops++];
    *o = (struct op){.call = c, .n = n, .at = at};
    snprintf(o->path, sizeof o->path, "%s", path + skip);
    if (to) snprintf(o->to, sizeof o->to, "%s", to + skip);
    if (n) memcpy(o->bytes = arena_take(&t.a, 1, n), p, n);
}

/* ---- the disk as it may be ---- */

struct file {
    char *bytes, *synced;
    long n, n_synced;
    bool unsynced;
};
/* An entry that comes or goes (file or dir: which, else -1); a rename takes the entry `from` away
 * with it. */
struct change {
    char name[200], from[200];
    int file, dir;
    bool gone;
};
struct dir {
    struct change list[200];
    int n, sure;
};
static struct disk {
    struct file files[FILES_MOST];
    struct dir dirs[DIRS_MOST];
    int n_files, n_dirs;
} disk;

/* Entries as all changes up to k[dir] leave them. */
static const struct change *entry(const struct disk *d, int dir, const char *name, int k)
{
    static const struct change gone = {.file = -1, .dir = -1, .gone = true};
    for (int i = k - 1; i >= 0; i--) {
        const struct change *c = &d->dirs[dir].list[i];
        if (strcmp(c->name, name) == 0) return c;
        if (strcmp(c->from, name) == 0) return &gone;
    }
    return NULL;
}

/* The folder of a path and its last name, as they are now. */
static int find_dir(struct disk *d, const char *path, char name[200])
{
    int dir = 0;
    const char *p = path + (*path == '/');
    for (const char *slash; (slash = strchr(p, '/')); p = slash + 1) {
        char part[200];
        snprintf(part, sizeof part, "%.*s", (int)(slash - p), p);
        const struct change *c = entry(d, dir, part, d->dirs[dir].n);
        if (!c || c->gone || c->dir < 0) {
            fprintf(stderr, "no folder of %s\n", path);
            abort();
        }
        dir = c->dir;
    }
    snprintf(name, 200, "%s", p);
    return dir;
}

static void change(struct disk *d, int dir, const char *name, int file, int sub, bool gone)
{
    struct dir *x = &d->dirs[dir];
    if (x->n == (int)COUNT(x->list)) abort();
    x->list[x->n] = (struct change){.file = file, .dir = sub, .gone = gone};
    snprintf(x->list[x->n++].name, 200, "%s", name);
}

static struct file *file_at(struct disk *d, const char *path)
{
    char name[200];
    int dir = find_dir(d, path, name);
    const struct change *c = entry(d, dir, name, d->dirs[dir].n);
    return c && !c->gone && c->file >= 0 ? &d->files[c->file] : NULL;
}

static void put_bytes(struct file *f, const struct op *o)
{
    long end = o->at + (long)o->n;
    if (end > f->n) f->bytes = arena_grow(&t.a, f->bytes, (size_t)f->n, (size_t)end), f->n = end;
    memcpy(f->bytes + o->at, o->bytes, o->n);
    f->unsynced = true;
}

static void do_sync(struct disk *d, const char *path)
{
    char name[200];
    struct file *f = file_at(d, path);
    if (f) {
        f->synced = arena_string(&t.a, f->bytes ? f->bytes : "", (size_t)f->n);
        f->n_synced = f->n;
        f->unsynced = false;
        return;
    }
    int dir = find_dir(d, path, name);
    const struct change *c = name[0] ? entry(d, dir, name, d->dirs[dir].n) : NULL;
    struct dir *x = &d->dirs[c ? c->dir : dir];
    x->sure = x->n;
}

static void apply(struct disk *d, const struct op *o)
{
    char name[200], to[200];
    int dir = find_dir(d, o->path, name);
    const struct change *c = entry(d, dir, name, d->dirs[dir].n);
    struct change was = c ? *c : (struct change){.file = -1, .dir = -1};
    switch (o->call) {
    case CALL_OPEN:
        if (c && !c->gone) return;
        d->files[d->n_files] = (struct file){.unsynced = true};
        change(d, dir, name, d->n_files++, -1, false);
        return;
    case CALL_MKDIR: change(d, dir, name, -1, d->n_dirs++, false); return;
    case CALL_WRITE: put_bytes(file_at(d, o->path), o); return;
    case CALL_TRUNCATE:
        file_at(d, o->path)->n = o->at;
        file_at(d, o->path)->unsynced = true;
        return;
    case CALL_FSYNC: do_sync(d, o->path); return;
    case CALL_UNLINK:
    case CALL_RMDIR: change(d, dir, name, was.file, was.dir, true); return;
    case CALL_RENAME: { /* both names in one folder: one change of it */
        int other = find_dir(d, o->to, to);
        if (other != dir) abort();
        change(d, dir, to, was.file, was.dir, false);
        memcpy(d->dirs[dir].list[d->dirs[dir].n - 1].from, name, sizeof name);
        return;
    }
    default: abort();
    }
}

/* ---- looking at a state ---- */

enum content { ALL, NONE, ZEROS, HALF, CONTENTS };

static void write_file(const char *path, const struct file *f, enum content as)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const char *p = f->unsynced ? f->bytes : f->synced;
    long n = f->unsynced ? f->n : f->n_synced;
    char *made = arena_take(&t.a, 1, (size_t)n + 1);
    if (n) memcpy(made, p, (size_t)n);
    if (f->unsynced && as == NONE) n = 0;
    if (f->unsynced && as == ZEROS) memset(made, 0, (size_t)n);
    if (f->unsynced && as == HALF) memset(made + n / 2, 0, (size_t)(n - n / 2));
    if (fd < 0 || write(fd, made, (size_t)n) != n || close(fd) != 0) abort();
}

static void write_dir(const struct disk *d, int dir, const char *path, const int k[DIRS_MOST],
                      enum content as)
{
    const struct dir *x = &d->dirs[dir];
    if (mkdir(path, 0700) != 0) abort();
    for (int i = 0; i < k[dir]; i++) {
        const struct change *c = &x->list[i];
        char below[600];
        if (c->gone || entry(d, dir, c->name, k[dir]) != c) continue;
        snprintf(below, sizeof below, "%s/%s", path, c->name);
        if (c->dir >= 0) write_dir(d, c->dir, below, k, as);
        else write_file(below, &d->files[c->file], as);
    }
}

static struct findings {
    int states, broken, lost, not_durable, stuck;
} found;

/* Folders under a final name that do not verify. */
static int broken_names(struct arena *a)
{
    struct err err;
    struct checkpoint *list;
    char **names;
    int all, good, numbers = 0;
    if (!dir_list(&names, &all, path_join(a, scene, "ckpt"), a, &err) ||
        !checkpoint_list(&list, &good, scene, true, a, &err))
        abort();
    for (int i = 0; i < all; i++) numbers += names[i][0] != '.';
    return numbers - good;
}

/* The real recovery on what lies in `scene`. */
static void look(bool said)
{
    struct arena a = arena_make(0);
    struct err err = {.text = ""};
    struct checkpoint c;
    int64_t bytes;
    bool there = checkpoint_newest(&c, scene, VERIFY_ALL, &a, &err);
    found.states++;
    found.broken += broken_names(&a) > 0;
    found.lost += !there || (c.step != 10 && c.step != 20);
    found.not_durable += said && !(there && c.step == 20);
    struct checkpoint_job job = {.run_dir = scene,
                                 .stage_name = "one",
                                 .model_dir = t.files.base,
                                 .base = "",
                                 .type = T_F32,
                                 .progress = {.step = 30, .best = NAN, .validation = NAN}};
    for (int i = 0; i < MAKER_FACTS; i++) job.maker.fact[i] = "";
    bool next = checkpoint_save(&job, t.m, &bytes, &a, &err) &&
                checkpoint_newest(&c, scene, VERIFY_ALL, &a, &err) && c.step == 30;
    found.stuck += !next;
    if (!dir_remove(scene, &err)) abort();
    arena_drop(&a);
}

/* A file that was replaced is the old one or the new one, whole. */
#define OLD "what stood there before"
#define NEW_TEXT "what stands there now, which is longer"

static void look_replaced(bool said)
{
    struct arena a = arena_make(0);
    struct err err = {.text = ""};
    struct text now = {0};
    bool there = file_read(&now, path_join(&a, scene, "file"), 1 << 20, &a, &err);
    found.states++;
    found.broken += !there || (!text_is(now, OLD) && !text_is(now, NEW_TEXT));
    found.not_durable += said && !(there && text_is(now, NEW_TEXT));
    if (!dir_remove(scene, &err)) abort();
    arena_drop(&a);
}

static void (*looks)(bool said) = look;

static uint64_t seen[STATES_MOST];
static int n_seen;

/* The same state comes up at many moments; it is looked at once. */
static bool is_new(const struct disk *d, const int k[DIRS_MOST], enum content as, bool said)
{
    uint64_t h = hash64(k, sizeof *k * (size_t)d->n_dirs, (uint64_t)(as * 2 + said));
    for (int i = 0; i < d->n_files; i++) {
        long facts[2] = {d->files[i].unsynced ? d->files[i].n : -1, d->files[i].n_synced};
        h = hash64(facts, sizeof facts, h);
    }
    for (int i = 0; i < n_seen; i++)
        if (seen[i] == h) return false;
    if (n_seen == STATES_MOST) abort();
    seen[n_seen++] = h;
    return true;
}

/* All choices of how far each folder got, then all contents of what is not synced. */
static void choose(const struct disk *d, int dir, int k[DIRS_MOST], bool said)
{
    if (dir < d->n_dirs) {
        int sure = d->dirs[dir].sure, n = d->dirs[dir].n;
        for (k[dir] = sure; k[dir] <= n; k[dir]++)
            if (k[dir] == sure || k[dir] == n || n - sure < 4 || (k[dir] - sure) % 3 == 1)
                choose(d, dir + 1, k, said);
        return;
    }
    for (int as = 0; as < CONTENTS; as++) {
        if (!is_new(d, k, (enum content)as, said)) continue;
        struct arena_mark mark = arena_mark(&t.a);
        write_dir(d, 0, scene, k, (enum content)as);
        looks(said);
        arena_back(&t.a, mark);
    }
}

/* ---- what is watched ---- */

static bool save(int64_t step, struct err *err)
{
    struct arena a = arena_make(0);
    int64_t bytes;
    struct checkpoint_job job = {.run_dir = run,
                                 .stage_name = "one",
                                 .model_dir = t.files.base,
                                 .base = "",
                                 .type = T_F32,
                                 .progress = {.step = step, .best = NAN, .validation = NAN}};
    for (int i = 0; i < MAKER_FACTS; i++) job.maker.fact[i] = "";
    bool ok = checkpoint_save(&job, t.m, &bytes, &a, err);
    arena_drop(&a);
    return ok;
}

/* Checkpoint 10 is made; then 20 is saved, without one of its syncs, and 10 is dropped. */
static void record(int without)
{
    struct arena a = arena_make(0);
    struct err err;
    if (path_exists(run) && !dir_remove(run, &err)) fail_msg("%s", err.text);
    n_ops = syncs = 0;
    drop_sync = -1;
    watched = run;
    sys.watch = remember;
    sys_begin();
    if (!dir_make(path_join(&a, run, "ckpt"), &err) || !save(10, &err)) fail_msg("%s", err.text);
    begun = n_ops;
    syncs = 0;
    drop_sync = without;
    if (!save(20, &err)) fail_msg("%s", err.text);
    said_at = n_ops;
    if (!checkpoint_rotate(run, 20, 1, false, NULL, &a, &err)) fail_msg("%s", err.text);
    sys_end();
    sys.watch = NULL;
    arena_drop(&a);
}

static void record_replaced(int without)
{
    struct arena a = arena_make(0);
    struct err err;
    const char *file = path_join(&a, run, "file");
    if (path_exists(run) && !dir_remove(run, &err)) fail_msg("%s", err.text);
    if (!dir_make(run, &err)) fail_msg("%s", err.text);
    n_ops = syncs = 0;
    drop_sync = -1;
    watched = run;
    sys.watch = remember;
    sys_begin();
    if (!file_replace(file, TEXT(OLD), &err)) fail_msg("%s", err.text);
    begun = n_ops;
    syncs = 0;
    drop_sync = without;
    if (!file_replace(file, TEXT(NEW_TEXT), &err)) fail_msg("%s", err.text);
    said_at = n_ops;
    sys_end();
    sys.watch = NULL;
    arena_drop(&a);
}

static void (*records)(int without) = record;

static int bad(const struct findings *f) { return f->broken + f->lost + f->not_durable + f->stuck; }

/* What a cut after each op of the save may leave; what was before it lies on the disk since
 * yesterday. */
static struct findings explore(int without, bool until_found)
{
    struct arena_mark mark = arena_mark(&t.a);
    records(without);
    found = (struct findings){0};
    disk = (struct disk){.n_dirs = 1};
    n_seen = 0;
    for (int i = 0; i < n_ops && !(until_found && bad(&found)); i++) {
        int k[DIRS_MOST] = {0};
        apply(&disk, &ops[i]);
        for (int x = 0; i < begun && x < disk.n_dirs; x++) disk.dirs[x].sure = disk.dirs[x].n;
        bool more = i + 1 < n_ops && ops[i].call == CALL_WRITE && ops[i + 1].call == CALL_WRITE;
        if (i >= begun && !more) choose(&disk, 0, k, i + 1 >= said_at);
    }
    arena_back(&t.a, mark);
    return found;
}

static void print(const char *what, struct findings f)
{
    print_message("# %s: %d states, %d broken, %d lost, %d not durable, %d stuck\n", what, f.states,
                  f.broken, f.lost, f.not_durable, f.stuck);
}

static void a_power_cut_at_any_moment_loses_nothing(void **state)
{
    (void)state;
    struct findings f = explore(-1, false);
    print("the saver as it is", f);
    assert_true(f.states >= 100);
    assert_int_equal(bad(&f), 0);
}

static void without_any_one_sync_something_is_found(void **state)
{
    (void)state;
    explore(-1, true);
    int all = syncs;
    assert_true(all >= 7);
    for (int i = 0; i < all; i++) {
        char what[64];
        snprintf(what, sizeof what, "without sync %d of %d", i + 1, all);
        struct findings f = explore(i, true);
        print(what, f);
        if (bad(&f) == 0)
            fail_msg("%s nothing is found: the test is blind, or the sync is for nothing", what);
    }
}

static void a_file_that_is_replaced_is_the_old_or_the_new_one(void **state)
{
    (void)state;
    records = record_replaced;
    looks = look_replaced;
    struct findings f = explore(-1, false);
    print("a file replaced", f);
    assert_true(f.states >= 5);
    assert_int_equal(bad(&f), 0);
    int all = syncs;
    assert_int_equal(all, 2);
    for (int i = 0; i < all; i++) {
        f = explore(i, true);
        assert_true(bad(&f) > 0);
    }
}

/* A state, and that something was saved, is on the disk before the next thing happens: after a cut
 * the log may not know less than the checkpoints. */
static void a_state_is_synced_as_it_is_written(void **state)
{
    struct arena a = arena_make(0);
    struct journal j = JOURNAL_CLOSED;
    struct err err;
    int written = -1, synced = -1;
    (void)state;
    if (path_exists(run) && !dir_remove(run, &err)) fail_msg("%s", err.text);
    if (!dir_make(run, &err) || !journal_open(&j, run, &a, &err)) fail_msg("%s", err.text);
    n_ops = syncs = 0;
    drop_sync = -1;
    watched = run;
    sys.watch = remember;
    sys_begin();
    journal_state(&j, RUN_TRAINING, 3, "as it is said");
    sys_end();
    sys.watch = NULL;
    for (int i = 0; i < n_ops; i++) {
        if (strcmp(ops[i].path, "/events.jsonl") != 0) continue;
        if (ops[i].call == CALL_WRITE) written = i;
        if (ops[i].call == CALL_FSYNC) synced = i;
    }
    journal_close(&j);
    arena_drop(&a);
    assert_true(written >= 0 && synced > written);
}

static int begin(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "%s/hone-crash-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(root)) return -1;
    snprintf(run, sizeof run, "%s/run", root);
    snprintf(scene, sizeof scene, "%s/scene", root);
    assert_true(tiny_begin(&t, "tied", "ref", 1));
    tiny_open(&t);
    return 0;
}

static int end(void **state)
{
    (void)state;
    struct err err;
    tiny_close(&t);
    return dir_remove(root, &err) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_cut_at_any_moment_loses_nothing),
        cmocka_unit_test(without_any_one_sync_something_is_found),
        cmocka_unit_test(a_file_that_is_replaced_is_the_old_or_the_new_one),
        cmocka_unit_test(a_state_is_synced_as_it_is_written),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
