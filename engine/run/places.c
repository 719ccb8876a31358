/* places.c - where hone's own things lie, found from where the program stands, so that a build tree
 * and an installed PREFIX work alike and from any working directory.
 *
 *   build tree   ROOT/build/hone, ROOT/build/hone-cpu.so, ROOT/assets, ROOT/profiles
 *   installed    PREFIX/bin/hone, PREFIX/lib/hone/hone-cpu.so, PREFIX/share/hone/assets and
 * profiles */
#include "engine/run/models.h"
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *program_path(struct arena *a, struct err *err)
{
    char path[4097] = "";
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) {
        fail_errno(err, "cannot find out where the program stands (/proc/self/exe)");
        return NULL;
    }
    char *deleted = strstr(path, " (deleted)"); /* the file was replaced by a new build */
    if (deleted && !deleted[10]) *deleted = 0;
    return arena_string(a, path, strlen(path));
}

/* The nearest folder above `from` (that one included) in which `name` exists; the path of name, or
 * NULL. */
static const char *above(const char *from, const char *name, struct arena *a)
{
    for (const char *dir = from; strcmp(dir, "/") != 0 && strcmp(dir, ".") != 0;
         dir = path_dir(a, dir)) {
        const char *path = path_join(a, dir, name);
        if (path_exists(path)) return path;
    }
    return NULL;
}

static const char *first_above(const char *from, const char *const *names, int n, struct arena *a)
{
    for (int i = 0; i < n; i++) {
        const char *path = above(from, names[i], a);
        if (path) return path;
    }
    return NULL;
}

/* A folder of the user's by the XDG rules: $VARIABLE/hone where it is absolute, else
 * ~/fallback/hone. */
static const char *user_folder(const char *variable, const char *fallback, struct arena *a)
{
    const char *set = getenv(variable), *home = getenv("HOME");
    if (set && set[0] == '/') return path_join(a, set, "hone");
    struct passwd *user = home && home[0] == '/' ? NULL : getpwuid(getuid());
    if (user) home = user->pw_dir;
    return arena_printf(a, "%s/%s/hone", home && home[0] == '/' ? home : "", fallback);
}

static const char *home_folder(struct arena *a)
{
    const char *set = getenv("HONE_HOME");
    if (!set || !set[0]) return user_folder("XDG_STATE_HOME", ".local/state", a);
    return path_join(
        a, set[0] == '/' || set[0] == '~' ? NULL : getcwd(arena_take(a, 1, 4096), 4096), set);
}

bool places_find(struct places *out, struct arena *a, struct err *err)
{
    static const char *const plugins[] = {"hone-cpu.so", "lib/hone/hone-cpu.so"};
    static const char *const trees[] = {"assets/templates", "share/hone/assets/templates"};
    const char *program = program_path(a, err);
    if (!program) return false;
    const char *from = path_dir(a, program), *hone = above(from, "hone", a);
    const char *plugin = first_above(from, plugins, COUNT(plugins), a),
               *tree = first_above(from, trees, COUNT(trees), a);
    if (!tree)
        return fail(err,
                    "hone's own files (assets, profiles) are neither beside %s nor in its "
                    "share/hone; install it again "
                    "with make install, or run it from its build tree",
                    program);
    out->program = hone && !path_is_dir(hone) ? hone : program;
    out->plugins = plugin ? path_dir(a, plugin) : from;
    out->assets = path_dir(a, tree);
    out->profiles = path_join(a, path_dir(a, out->assets), "profiles");
    out->home = home_folder(a);
    out->runs = path_join(a, out->home, "runs");
    out->cache = path_join(a, out->home, "cache");
    out->config = path_join(a, user_folder("XDG_CONFIG_HOME", ".config", a), "config.yaml");
    return true;
}
