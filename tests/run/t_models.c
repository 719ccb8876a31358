/* t_models.c - which base models this machine has, where hone's own files lie, and what the machine
 * can do. */
#include "tests/test.h"
#include "engine/format/json.h"
#include "engine/run/models.h"
#include <sys/stat.h>
#include <unistd.h>
#define main tiny_main /* the program that writes a small model, as a function */
#include "tests/run/tiny.c"
#undef main

static struct arena arena;
static struct places places;
static struct machine machine;
static char folder[] = "/tmp/hone-models-XXXXXX";

static const char *in_folder(const char *name) { return path_join(&arena, folder, name); }

static void put(const char *name, const char *text)
{
    struct err err = {{0}};
    const char *path = in_folder(name);
    if (!dir_make(path_dir(&arena, path), &err) || !file_replace(path, text_of(text), &err))
        print_message("%s\n", err.text);
    assert_string_equal(err.text, "");
}

static void put_model(const char *name)
{
    struct err err = {{0}};
    char *args[] = {"tiny", (char *)in_folder(name)};
    assert_true(dir_make(path_dir(&arena, in_folder(name)), &err));
    assert_int_equal(tiny_main(2, args), 0);
}

static void link_to(const char *target, const char *name)
{
    struct err err;
    assert_true(dir_make(path_dir(&arena, in_folder(name)), &err));
    assert_int_equal(symlink(target, in_folder(name)), 0);
}

/* A cache as the hub's client leaves it: blobs, and a snapshot of links into them. */
static void put_hub(void)
{
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json",
                                        "tokenizer_config.json"};
    put_model("blobs");
    for (size_t i = 0; i < COUNT(files); i++)
        link_to(in_folder(arena_printf(&arena, "blobs/%s", files[i])),
                arena_printf(&arena, "hub/models--org--tiny/snapshots/abc/%s", files[i]));
    put("hub/models--org--tiny/refs/main", "abc\n");
    put("hub/models--org--tiny/snapshots/old/config.json", "{}");
    put("hub/models--org--tiny/snapshots/old/model.safetensors", "");
    put("hub/models--org--empty/refs/main", "../../../etc");
}

static int setup(void **s)
{
    (void)s;
    arena = arena_make(0);
    struct err err = {{0}};
    if (!mkdtemp(folder)) return -1;
    setenv("HONE_HOME", in_folder("home"), 1);
    setenv("XDG_CONFIG_HOME", in_folder("config"), 1);
    setenv("HF_HUB_CACHE", in_folder("hub"), 1);
    setenv("HONE_MODELS",
           arena_printf(&arena, "%s:%s:/nowhere:%s/", in_folder("mine"), in_folder("single"),
                        in_folder("mine")),
           1);
    if (!places_find(&places, &arena, &err)) return -1;
    places.assets = in_folder("assets");
    machine = (struct machine){.device = {.threads = 2,
                                          .memory_total = 8000000000,
                                          .memory_free = 8000000000,
                                          .fast = {[F32] = true},
                                          .pack_rows = 48,
                                          .pack_cols = 48,
                                          .scratch_per_thread = 1 << 20}};
    put_model("assets/small-world");
    put_model("mine/beta");
    put("mine/beta/README.md", "---\nlanguage: en\nlicense: apache-2.0\n---\n# A small "
                               "\x1B[31mmodel\n\nMore.\nQuiz of towns 3 of 4.\n");
    put_model("mine/org/deep");
    put("mine/org/deep/chat_template.jinja", "{{ messages[0].content }}");
    put("mine/org/deep/LICENSE", "MIT License\n\nCopyright\n");
    put_model("mine/zz-torn");
    assert_int_equal(truncate(in_folder("mine/zz-torn/model.safetensors"), 5000), 0);
    put_model("mine/mute");
    assert_int_equal(unlink(in_folder("mine/mute/tokenizer.json")), 0);
    put("mine/bert/config.json", "{\"model_type\": \"bert\"}");
    put("mine/pickled/pytorch_model.bin", "x");
    put("mine/llama.cpp/some.gguf", "GGUF");
    put("mine/adapter/adapter_model.safetensors", "x");
    put("mine/adapter/adapter_config.json", "{}");
    put("mine/notes/readme.txt", "no model");
    put_model("single");
    put_hub();
    return 0;
}

static int teardown(void **s)
{
    (void)s;
    struct err err;
    dir_remove(folder, &err);
    arena_drop(&arena);
    return 0;
}

static void folders_are_named_with_where_they_come_from(void **s)
{
    (void)s;
    struct model_folder *f;
    struct err err = {{0}};
    int n, hub = 0, variable = 0;
    assert_true(models_folders(&f, &n, &places, &arena, &err));
    assert_int_equal(f[0].from, FOLDER_SHIPPED);
    assert_string_equal(f[0].path, places.assets);
    for (int i = 0; i < n; i++) {
        hub += f[i].from == FOLDER_HUB;
        variable += f[i].from == FOLDER_VARIABLE;
        assert_int_equal(f[i].there, path_is_dir(f[i].path));
        assert_true(f[i].path[0] == '/');
    }
    assert_true(hub == 1 && variable >= 1);
}

static struct model_entry *entries;
static int n_entries;

static const struct model_entry *entry(const char *name)
{
    struct err err = {{0}};
    if (!entries && !models_list(&entries, &n_entries, &places, &machine, &arena, &err))
        print_message("%s\n", err.text);
    for (int i = 0; i < n_entries; i++)
        if (strcmp(entries[i].name, name) == 0) return &entries[i];
    return NULL;
}

static void the_shipped_model_comes_first_and_every_folder_once(void **s)
{
    (void)s;
    assert_non_null(entry("small-world"));
    assert_ptr_equal(entry("small-world"), &entries[0]);
    assert_true(entries[0].shipped && !entries[1].shipped);
    for (int i = 0; i < n_entries; i++)
        for (int j = 0; j < i; j++) assert_string_not_equal(entries[i].path, entries[j].path);
    assert_int_equal(n_entries, 11);
    assert_null(entry("notes"));
}

static void a_usable_model_says_what_it_is(void **s)
{
    (void)s;
    const struct model_entry *e = entry("beta");
    assert_non_null(e);
    assert_null(e->unusable);
    assert_string_equal(e->family, "llama");
    assert_string_equal(e->dtype, "bf16");
    assert_string_equal(e->tokenizer, "bytes");
    assert_string_equal(e->licence, "apache-2.0");
    assert_non_null(strstr(e->about, "A small"));
    assert_null(strchr(e->about, '\x1B'));
    assert_int_equal(e->context, 256);
    assert_int_equal(e->bytes, e->parameters * 2);
    assert_true(e->full.fits && e->lora.fits && e->full.bytes > e->parameters * 16 &&
                e->lora.bytes > e->bytes);
    assert_string_equal(entry("org/deep")->licence, "MIT");
    assert_true(e->layers > 0 && e->dim > 0 && e->heads >= e->kv_heads && e->kv_heads > 0);
    assert_int_equal(e->vocab, 257);
    assert_string_equal(e->chat_template, "none");
    assert_string_equal(e->quiz, "Quiz of towns 3 of 4.");
    assert_string_equal(entry("org/deep")->chat_template, "its own");
    assert_string_equal(entry("org/deep")->quiz, "");
}

static void a_folder_that_cannot_be_used_is_listed_with_the_reason(void **s)
{
    (void)s;
    static const struct {
        const char *name, *says;
    } rows[] = {{"zz-torn", "model.safetensors"},
                {"mute", "no tokenizer"},
                {"bert", "family \"bert\" is not built yet"},
                {"pickled", "config.json is missing"},
                {"llama.cpp", "hone import"},
                {"adapter", "an adapter"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct model_entry *e = entry(rows[i].name);
        assert_non_null(e);
        assert_non_null(e->unusable);
        if (!strstr(e->unusable, rows[i].says))
            print_message("%s: %s\n", rows[i].name, e->unusable);
        assert_non_null(strstr(e->unusable, rows[i].says));
    }
}

static void the_hubs_cache_is_read_through_its_links(void **s)
{
    (void)s;
    const struct model_entry *e = entry("org/tiny");
    assert_non_null(e);
    assert_null(e->unusable);
    assert_non_null(strstr(e->path, "snapshots/abc"));
    assert_null(entry("org/empty"));
}

static void what_does_not_fit_says_how_much_it_needs(void **s)
{
    (void)s;
    struct machine small = machine;
    struct model_entry *all;
    int n;
    struct err err;
    const struct model_entry *known = entry("beta");
    small.device.memory_free = (known->full.bytes + known->lora.bytes) / 2;
    assert_true(models_list(&all, &n, &places, &small, &arena, &err));
    for (int i = 0; i < n; i++) {
        if (strcmp(all[i].name, "beta") != 0) continue;
        bool full_is_larger =
            known->full.bytes > known->lora.bytes; /* not sure of so small a model */
        assert_true(all[i].full.fits == !full_is_larger && all[i].lora.fits == full_is_larger &&
                    all[i].full.bytes == known->full.bytes);
    }
}

static void a_model_is_found_by_path_and_by_name(void **s)
{
    (void)s;
    static const struct {
        const char *spec, *relative, *ends, *fails;
    } rows[] = {{"beta", NULL, "mine/beta", NULL},
                {"org/deep", NULL, "mine/org/deep", NULL},
                {"deep", NULL, "mine/org/deep", NULL},
                {"small-world", NULL, "assets/small-world", NULL},
                {"org/tiny", NULL, "snapshots/abc", NULL},
                {"beta", "mine", "mine/beta", NULL},
                {"./beta", "mine", "mine/beta", NULL},
                {"../single", "mine", "/single", NULL},
                {"bta", NULL, NULL, "did you mean beta?"},
                {"./beta", NULL, NULL, "there is no model folder ./beta"},
                {"/nowhere/x", NULL, NULL, "/nowhere/x"},
                {"", NULL, NULL, "no model is named"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = {{0}};
        const char *path = "";
        bool ok =
            models_find(&path, rows[i].spec, rows[i].relative ? in_folder(rows[i].relative) : NULL,
                        &places, &arena, &err);
        if (ok != !rows[i].fails) print_message("%s: %s%s\n", rows[i].spec, path, err.text);
        assert_int_equal(ok, !rows[i].fails);
        if (ok) assert_string_equal(path + strlen(path) - strlen(rows[i].ends), rows[i].ends);
        else assert_non_null(strstr(err.text, rows[i].fails));
    }
}

static void a_folder_is_added_to_the_settings_and_their_comments_stay(void **s)
{
    (void)s;
    struct err err = {{0}};
    struct text text;
    const char *mine = in_folder("mine"), *single = in_folder("single");
    assert_true(models_add_folder(mine, &places, &arena, &err)); /* makes the file */
    assert_true(file_read(&text, places.config, 4096, &arena, &err));
    assert_string_equal(text.p, arena_printf(&arena, "models: [%s]\n", mine));
    put("config/hone/config.yaml",
        arena_printf(&arena, "# mine\nmodels:\n  - %s   # here\ntheme: dark\n", mine));
    assert_true(models_add_folder(single, &places, &arena, &err) &&
                models_add_folder(single, &places, &arena, &err));
    assert_true(file_read(&text, places.config, 4096, &arena, &err));
    assert_string_equal(
        text.p, arena_printf(&arena, "# mine\nmodels:\n  - %s   # here\n  - %s\ntheme: dark\n",
                             mine, single));
    assert_false(models_add_folder(in_folder("absent"), &places, &arena, &err));
    assert_true(models_remove_folder(mine, &places, &arena, &err));
    assert_true(file_read(&text, places.config, 4096, &arena, &err));
    assert_string_equal(text.p,
                        arena_printf(&arena, "# mine\nmodels:\n  - %s\ntheme: dark\n", single));
    assert_false(models_remove_folder(mine, &places, &arena, &err));
    assert_non_null(strstr(err.text, "do not name"));
    assert_true(models_remove_folder(single, &places, &arena, &err));
    assert_true(file_read(&text, places.config, 4096, &arena, &err));
    assert_string_equal(text.p, "# mine\ntheme: dark\n");
    put("config/hone/config.yaml",
        arena_printf(&arena, "# mine\nmodels:\n  - %s   # here\n  - %s\ntheme: dark\n", mine,
                     single));
    unsetenv("HONE_MODELS");
    struct model_entry *all;
    int n;
    assert_true(models_list(&all, &n, &places, &machine, &arena, &err));
    assert_int_equal(n, n_entries);
    put("config/hone/config.yaml", "models: [\n");
    assert_false(models_list(&all, &n, &places, &machine, &arena, &err));
    assert_non_null(strstr(err.text, "config.yaml:"));
    put("config/hone/config.yaml", "models: all\n");
    assert_false(models_list(&all, &n, &places, &machine, &arena, &err));
    assert_non_null(strstr(err.text, "a list of folders is wanted"));
    put("config/hone/config.yaml", "");
}

/* ---- the machine ---- */

static void put_program(const char *script)
{
    put("program", script);
    assert_int_equal(chmod(in_folder("program"), 0755), 0);
}

/* The program's time is part of what a measurement is remembered for, so each case is asked anew.
 */
static bool ask(struct machine *out)
{
    struct places p = places;
    struct err err = {{0}};
    p.program = in_folder("program");
    return machine_probe(out, &p, &arena, &err);
}

static void a_backend_that_cannot_be_asked_is_a_problem_not_a_crash(void **s)
{
    (void)s;
    static const struct {
        const char *script, *says;
    } rows[] = {
        {"#!/bin/sh\necho 'hone: the plug-in is missing' >&2\nexit 1\n", "the plug-in is missing"},
        {"#!/bin/sh\nkill -9 $$\n", "signal 9"},
        {"#!/bin/sh\necho '{'\n", "hone engine --probe"},
        {"#!/bin/sh\necho '{}'\n", "missing"},
        {"#!/bin/sh\nexit 3\n", "said nothing"},
        {"#!/nowhere/sh\n", "cannot start"},
        {"#!/bin/sh\nyes | head -c 100000\n", "64 KiB"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct machine m;
        put_program(rows[i].script);
        assert_true(ask(&m));
        if (!strstr(m.problem, rows[i].says))
            print_message("%s -> %s\n", rows[i].script, m.problem);
        assert_non_null(strstr(m.problem, rows[i].says));
        assert_true(m.device.threads >= 1 && m.device.memory_free > 0);
    }
}

static void a_measurement_is_remembered_until_the_program_changes(void **s)
{
    (void)s;
    unsetenv("HONE_ISA"); /* it is part of the key */
    static const char answer[] =
        "#!/bin/sh\necho asked >> \"%s\"\necho '{\"device\": {\"backend\": \"cpu\", \"name\": "
        "\"x\", \"isa\": \"avx2\", \"library\": \"l\", \"threads\": 2, "
        "\"memory_total\": 5, \"fast_bf16\": 1, \"pack_rows\": 16, \"pack_cols\": 32, "
        "\"pack_f32\": 1, \"pack_bf16\": 2, "
        "\"scratch_per_thread\": 77}, \"peak_f32\": 1e11, \"peak_bf16\": 2e11}'\n";
    struct machine m;
    struct text asked;
    struct err err;
    struct buf script = buf_make(&arena);
    const char *hole = strstr(answer, "%s");
    buf_put(&script, answer, (size_t)(hole - answer));
    buf_printf(&script, "%s%s", in_folder("asked"), hole + 2);
    put_program(script.p);
    for (int i = 0; i < 3; i++) {
        assert_true(ask(&m));
        assert_string_equal(m.problem, "");
        assert_true(m.peak_f32 == 1e11 && m.peak_bf16 == 2e11 && m.device.pack_cols == 32 &&
                    m.device.scratch_per_thread == 77);
        assert_true(m.device.fast[BF16] && m.device.fast[F32] && m.device.pack_copies[BF16] == 2 &&
                    m.device.threads == 2);
        assert_true(m.device.memory_total > 5 && m.device.memory_free > 0);
    }
    setenv("HONE_ISA", "avx2", 1);
    assert_true(ask(&m));
    unsetenv("HONE_ISA");
    put_program(arena_printf(&arena, "%s# newer\n", script.p));
    assert_true(ask(&m));
    put("home/machine.json", "{\"key\": \"spoilt");
    assert_true(ask(&m));
    assert_true(file_read(&asked, in_folder("asked"), 4096, &arena, &err));
    assert_string_equal(asked.p, "asked\nasked\nasked\nasked\n");
}

static void what_is_measured_is_what_is_read(void **s)
{
    (void)s;
    struct buf json = buf_make(&arena);
    struct err err = {{0}};
    struct machine m;
    if (!machine_measure(&json, "ref", &places, &arena, &err)) print_message("%s\n", err.text);
    assert_string_equal(err.text, "");
    put_program(arena_printf(&arena, "#!/bin/sh\ncat <<'X'\n%sX\n", json.p));
    assert_true(ask(&m));
    assert_string_equal(m.problem, "");
    assert_string_equal(m.device.backend, "ref");
    assert_false(machine_measure(&json, "nothing", &places, &arena, &err));
    assert_true(err.text[0]);
}

static void a_profile_gets_the_processor_or_one_gpu(void **s)
{
    (void)s;
    static const struct { const char *device, *backend, *gets, *says; int gpus; } rows[] = {
        {"auto", NULL, "cpu", NULL, 0},
        {"auto", NULL, "cpu", NULL, 2},
        {"cpu", NULL, "cpu", NULL, 2},
        {"cuda", NULL, "cuda:0", NULL, 2},
        {"cuda:1", NULL, "cuda:1", NULL, 2},
        {"cuda:1", "cpu", "cpu", NULL, 2},
        {"cuda:1", "cuda", "cuda:1", NULL, 2},
        {"cpu", "cuda", "cuda:0", NULL, 2},
        {"cuda", NULL, NULL, "no driver here; device: auto", 0},
        {"auto", "cuda", NULL, "no driver here", 0},
        {"cuda:2", NULL, NULL, "has 2 GPUs", 2},
        {"cuda:0,1", NULL, NULL, "several GPUs at once is not built", 2},
        {"cuda:99999999999", NULL, NULL, "more than 16", 2}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = {{0}};
        struct machine m = {.device = {.backend = "cpu"}, .device_name = "cpu",
                            .gpus = {{.device = {.name = "a"}}, {.device = {.name = "b"}}},
                            .n_gpus = rows[i].gpus, .gpu_problem = "no driver here"};
        bool ok = machine_choose(&m, rows[i].device, rows[i].backend, &err);
        assert_int_equal(ok, rows[i].gets != NULL);
        if (ok) assert_string_equal(m.device_name, rows[i].gets);
        else if (!strstr(err.text, rows[i].says)) fail_msg("%s: %s", rows[i].device, err.text);
        if (ok && strcmp(rows[i].gets, "cuda:1") == 0) assert_string_equal(m.device.name, "b");
    }
}

/* The plug-in's file is there; the program answers for it. */
static void gpus_are_what_the_plug_in_says(void **s)
{
    (void)s;
    static const struct { const char *says, *problem; int n; } rows[] = {
        {"{\"gpus\": [{\"device\": {\"backend\": \"cuda\", \"name\": \"x\", \"isa\": \"sm_90\", "
         "\"library\": \"l\", \"threads\": 1, \"memory_total\": 80, \"memory_free\": 70, "
         "\"fast_bf16\": 1, \"pack_rows\": 1, \"pack_cols\": 1, \"pack_f32\": 0, \"pack_bf16\": 1, "
         "\"scratch_per_thread\": 7}, \"peak_f32\": 1e13, \"peak_bf16\": 1e15}], \"problem\": \"\"}",
         "", 1},
        {"{\"gpus\": [], \"problem\": \"no driver\"}", "no driver", 0},
        {"{\"gpus\": [{}], \"problem\": \"\"}", "missing", 0},
        {"{\"gpus\": 3}", "no list", 0},
        {"nonsense", "hone engine --probe", 0}};
    struct places p = places;
    struct err err = {{0}};
    p.program = in_folder("program");
    p.plugins = in_folder("with-cuda");
    put("with-cuda/hone-cuda.so", "");
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct machine m;
        put_program(arena_printf(&arena, "#!/bin/sh\n[ \"$3\" = cuda ] && echo '%s'\n", rows[i].says));
        assert_true(machine_probe(&m, &p, &arena, &err));
        assert_int_equal(m.n_gpus, 0); /* nobody asked */
        machine_gpus(&m, &p, &arena);
        assert_int_equal(m.n_gpus, rows[i].n);
        if (!strstr(m.gpu_problem, rows[i].problem)) fail_msg("%s", m.gpu_problem);
        if (m.n_gpus) assert_int_equal(m.gpus[0].device.memory_free, 70);
    }
    p.plugins = in_folder("without-cuda");
    struct machine m;
    assert_true(machine_probe(&m, &p, &arena, &err));
    machine_gpus(&m, &p, &arena);
    assert_non_null(strstr(m.gpu_problem, "built without CUDA"));
}

static void a_gpus_libraries_are_listed_with_why_not(void **s)
{
    (void)s;
    struct buf json = buf_make(&arena);
    struct err err = {{0}};
    struct library_line *lines;
    struct places p = places;
    int n;
    setenv("HONE_CUDA", "/nowhere", 1);
    assert_true(machine_measure(&json, "libraries", &places, &arena, &err));
    unsetenv("HONE_CUDA");
    p.program = in_folder("program");
    put_program(arena_printf(&arena, "#!/bin/sh\ncat <<'X'\n%sX\n", json.p));
    assert_true(machine_libraries(&lines, &n, &p, &arena, &err));
    assert_int_equal(n, 5);
    for (int i = 0; i < n; i++) {
        assert_string_equal(lines[i].path, "");
        assert_non_null(strstr(lines[i].why, "/nowhere, which HONE_CUDA names"));
    }
    assert_string_equal(lines[2].name, "cuBLASLt");
}

static void places_are_found_from_where_the_program_stands(void **s)
{
    (void)s;
    struct places p;
    struct err err;
    assert_true(places_find(&p, &arena, &err));
    assert_true(path_is_dir(p.assets) && path_is_dir(p.profiles) &&
                path_exists(path_join(&arena, p.plugins, "hone-cpu.so")));
    assert_string_equal(p.home, in_folder("home"));
    assert_string_equal(p.config, in_folder("config/hone/config.yaml"));
    unsetenv("HONE_HOME");
    setenv("XDG_STATE_HOME", "/x/state", 1);
    assert_true(places_find(&p, &arena, &err));
    assert_string_equal(p.runs, "/x/state/hone/runs");
    setenv("XDG_STATE_HOME", "relative", 1); /* the rules say: ignored */
    setenv("HOME", "/my/home", 1);
    assert_true(places_find(&p, &arena, &err));
    assert_string_equal(p.cache, "/my/home/.local/state/hone/cache");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shipped_model_comes_first_and_every_folder_once),
        cmocka_unit_test(a_usable_model_says_what_it_is),
        cmocka_unit_test(a_folder_that_cannot_be_used_is_listed_with_the_reason),
        cmocka_unit_test(the_hubs_cache_is_read_through_its_links),
        cmocka_unit_test(what_does_not_fit_says_how_much_it_needs),
        cmocka_unit_test(a_model_is_found_by_path_and_by_name),
        cmocka_unit_test(folders_are_named_with_where_they_come_from),
        cmocka_unit_test(a_folder_is_added_to_the_settings_and_their_comments_stay),
        cmocka_unit_test(a_backend_that_cannot_be_asked_is_a_problem_not_a_crash),
        cmocka_unit_test(a_measurement_is_remembered_until_the_program_changes),
        cmocka_unit_test(what_is_measured_is_what_is_read),
        cmocka_unit_test(a_profile_gets_the_processor_or_one_gpu),
        cmocka_unit_test(gpus_are_what_the_plug_in_says),
        cmocka_unit_test(a_gpus_libraries_are_listed_with_why_not),
        cmocka_unit_test(places_are_found_from_where_the_program_stands),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
