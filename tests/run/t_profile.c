/* t_profile.c - profiles: every key, every refusal with its place, what is written reads as what it
 * was, and an edit changes one value and no other byte. */
#include "tests/test.h"
#include "engine/run/profile.h"

static struct arena arena;
static int setup(void **s) { (void)s; arena = arena_make(0); return 0; }
static int teardown(void **s) { (void)s; arena_drop(&arena); return 0; }

#define LEAST "base_model: m\ndatasets: {a: {path: a.jsonl}}\n"

static bool parse(struct profile *p, const char *yaml, struct problems *all, struct err *err)
{
    return profile_parse(p, text_of(yaml), "/somewhere/p.yaml", NULL, 0, all, &arena, err);
}

static const char *written(const char *yaml, struct err *err)
{
    struct profile p;
    if (!parse(&p, yaml, NULL, err)) return NULL;
    struct buf b = buf_make(&arena);
    profile_write(&p, &b);
    return b.p;
}

/* A file that says one value besides what every file must say. */
static const char *file_with(const char *path, const char *value)
{
    const char *dot = strchr(path, '.');
    if (!dot) return arena_printf(&arena, "%s%s: %s\n", LEAST, path, value);
    return arena_printf(&arena, "%s%.*s:\n  %s: %s\n", LEAST, (int)(dot - path), path, dot + 1,
                        value);
}

/* ---- values ---- */

static const struct { const char *path, *value, *reads, *fails;
} scalars[] = {
    /* numbers as people write them, YAML 1.1's traps among them */
    {"learning_rate", "1e-4", "0.0001", NULL},
    {"learning_rate", "2e-5", "2e-05", NULL},
    {"learning_rate", "2.5E-4", "0.00025", NULL},
    {"learning_rate", ".5", "0.5", NULL},
    {"learning_rate", "1.", "1", NULL},
    {"learning_rate", "+0.25", "0.25", NULL},
    {"learning_rate", "0", "0", NULL},
    {"learning_rate", "1e-400", "0", NULL},
    {"learning_rate", "50", NULL, "50 is out of range; 0 to 10 is allowed"},
    {"learning_rate", "1e999", NULL, "out of range"},
    {"learning_rate", "-1e-4", NULL, "out of range"},
    {"learning_rate", "nan", NULL, "a number is wanted"},
    {"learning_rate", "inf", NULL, "a number is wanted"},
    {"learning_rate", ".inf", NULL, "a number is wanted"},
    {"learning_rate", "0x10", NULL, "no unit"},
    {"learning_rate", "1e", NULL, "no unit"},
    {"learning_rate", "1,5", NULL, "no unit"},
    {"learning_rate", "\"1e-4\"", NULL, "without quotes"},
    {"learning_rate", "5k", NULL, "for counts"},
    {"learning_rate", "3%", NULL, "for shares"},
    {"learning_rate", "[1]", NULL, "a number is wanted"},
    {"learning_rate", "{a: 1}", NULL, "a number is wanted"},
    {"learning_rate", "fast", NULL, "a number is wanted"},
    {"warmup_ratio", "3%", "0.03", NULL},
    {"warmup_ratio", "0.03", "0.03", NULL},
    {"warmup_ratio", "12.5%", "0.125", NULL},
    {"warmup_ratio", "101%", NULL, "out of range"},
    {"warmup_ratio", "0", "0", NULL},
    {"warmup_steps", "10", "10", NULL},
    {"batch_tokens", "16k", "16000", NULL},
    {"batch_tokens", "16Ki", "16384", NULL},
    {"batch_tokens", "16_384", "16384", NULL},
    {"batch_tokens", "0.5M", "500000", NULL},
    {"batch_tokens", "1e5", "100000", NULL},
    {"batch_tokens", "1.5", NULL, "a whole number is wanted"},
    {"batch_tokens", "0", NULL, "0 is out of range; 1 to 1000000000 is allowed"},
    {"batch_tokens", "90s", NULL, "this is a time, and it counts tokens"},
    {"batch_tokens", "5m", NULL, "'m' is no unit"},
    {"batch_tokens", "1__0", NULL, "no unit"},
    {"max_tokens", "5M", "5000000", NULL},
    {"max_tokens", "2G", "2000000000", NULL},
    {"max_length", "8k", "8000", NULL},
    {"max_length", "010", NULL, "leading zero"},
    {"max_length", "7", NULL, "out of range; 8 to 1048576"},
    {"max_length", "true", NULL, "a whole number is wanted"},
    {"seed", "0", "0", NULL},
    {"seed", "9007199254740991", "9007199254740991", NULL},
    {"seed", "1e17", NULL, "out of range"},
    {"seed", "-1", NULL, "out of range"},
    {"max_length", "null", "1024", NULL},
    {"max_length", "~", "1024", NULL},
    {"max_length", "", "1024", NULL},
    /* words */
    {"shuffle", "no", "false", NULL},
    {"shuffle", "True", "true", NULL},
    {"shuffle", "off", "false", NULL},
    {"shuffle", "0", NULL, "neither true nor false"},
    {"shuffle", "\"yes\"", NULL, "neither true nor false"},
    {"lr_scheduler", "wsd", "wsd", NULL},
    {"lr_scheduler", "\"cosine\"", "cosine", NULL},
    {"lr_scheduler", "cosin", NULL, "did you mean cosine?"},
    {"lr_scheduler", "Cosine", NULL, "allowed is constant | linear | cosine | wsd"},
    {"dtype", "bf16", "bf16", NULL},
    {"dtype", "fp16", NULL, "allowed is auto | fp32 | bf16"},
    {"device", "cuda:0,2", "\"cuda:0,2\"", NULL},
    {"device", "\"cuda:\"", NULL, "is no device"},
    {"name", "a-b.c", "a-b.c", NULL},
    {"name", "a b", NULL, "is no name"},
    {"name", "-x", NULL, "is no name"},
    {"name", "null", "p", NULL},
    {"template", "chatml", "chatml", NULL},
    {"template", "my/own.jinja", "/somewhere/my/own.jinja", NULL},
    {"chat.system", "\"a\\nb \\\"c\\\"\"", "\"a\\nb \\\"c\\\"\"", NULL},
    {"chat.system", "你好", "\"你好\"", NULL},
    {"chat.system", "yes", "\"yes\"", NULL},
    {"chat.temperature", "0.7", "0.7", NULL},
    {"chat.top_p", "90%", "0.9", NULL},
    {"train", "lora", "[lora]", NULL},
    {"train", "[embeddings, \"last:4\", /q_proj$/]", "[embeddings, \"last:4\", \"/q_proj$/\"]",
     NULL},
    {"train", "[full, norms]", NULL, "'full' stands alone"},
    {"train", "last:0", NULL, "1 to 1024"},
    {"train", "/(/", NULL, "no regular expression"},
    {"train", "lm_haed", NULL, "did you mean lm_head?"},
    {"train", "[]", NULL, "nothing is named"},
    {"lora.target_modules", "[q_proj, v_proj]", "[q_proj, v_proj]", NULL},
    {"lora.target_modules", "q_porj", NULL, "q_proj"},
    {"lora.scaling", "rslora", "rslora", NULL},
    {"lora.rank", "0", NULL, "1 to 1024"},
    {"eval.prompts", "[a, \"b: c\"]", "[a, \"b: c\"]", NULL},
    {"eval.quiz", "q.jsonl", "[/somewhere/q.jsonl]", NULL},
    {"micro_batch_size", "auto", "auto", NULL},
    {"micro_batch_size", "4", "4", NULL},
    {"gradient_checkpointing", "full", "full", NULL},
    {"optimizer.decay", "all", "all", NULL},
    {"optimizer.eps", "1e-7", "1e-07", NULL},
    {"optimizer.state_dtype", "fp32", "fp32", NULL},
    {"optimizer.state_dtype", "8bit", "8bit", NULL},
    {"optimizer.gradient_dtype", "bf16", "bf16", NULL},
    {"optimizer.gradient_dtype", "8bit", NULL, "allowed is fp32 | bf16"},
    {"optimizer.state_dtype", "int8", NULL, "allowed is fp32 | bf16 | 8bit"},
    {"packing", "none", "none", NULL},
};

static void values_are_read_as_people_write_them(void **s)
{
    (void)s;
    for (size_t i = 0; i < COUNT(scalars); i++) {
        struct err err = {{0}};
        const char *text = written(file_with(scalars[i].path, scalars[i].value), &err);
        if (scalars[i].fails) {
            if (text || !strstr(err.text, scalars[i].fails))
                print_message("%s: %s -> '%s'\n", scalars[i].path, scalars[i].value, err.text);
            assert_null(text);
            assert_non_null(strstr(err.text, scalars[i].fails));
            assert_non_null(strstr(err.text, scalars[i].path));
            continue;
        }
        if (!text) print_message("%s: %s -> '%s'\n", scalars[i].path, scalars[i].value, err.text);
        assert_non_null(text);
        const struct field *f = profile_field(scalars[i].path);
        struct text got;
        const char *path = f->scope == SCOPE_SETTINGS
                               ? arena_printf(&arena, "stages.0.%s", scalars[i].path)
                               : scalars[i].path;
        assert_true(profile_text_get(&got, text_of(text), path, &arena, &err));
        assert_string_equal(arena_string(&arena, got.p, got.n), scalars[i].reads);
    }
}

/* ---- refusals, as text ---- */

static const struct { const char *yaml, *all;
} refusals[] = {
    {"base_modle: x\ndatasets: {a: {path: b}}\n",
     "1:1: base_model: is missing; it is a Hugging Face folder, or a name that `hone models` "
     "lists\n"
     "1:1: base_modle: unknown key; did you mean base_model?\n"},
    {LEAST "rank: 3\nlora: {rnak: 3}\nzzzzzz: 1\n",
     "3:1: rank: unknown key; did you mean lora.rank?\n"
     "4:8: lora.rnak: unknown key; did you mean rank?\n"
     "5:1: zzzzzz: unknown key; `hone help profile` lists all\n"},
    {LEAST "seed: 1\nlora: 5\nseed: 2\n", "4:7: lora: a map is wanted, like {key: value}\n"
                                          "5:1: seed: said twice; line 3 says it too\n"},
    {"base_model: m\ndatasets:\n  a: {format: alpacca}\n  b.c: {path: x}\n  d: 3\n  e: {path: y, "
     "max_rows: -1}\nstages:\n  - {datasets: {a: 1}}\n",
     "3:3: datasets.a.path: is missing; it names the file of rows\n"
     "3:15: datasets.a.format: alpacca is not known (did you mean alpaca?); allowed is auto | text "
     "| alpaca | sharegpt | messages | "
     "prompt_completion | colossal | tokens\n"
     "4:3: datasets.b.c: a dataset's name has 1 to 64 bytes, no blank, '.' or '/'\n"
     "5:6: datasets.d: a map is wanted, like {path: rows.jsonl}\n"
     "6:26: datasets.e.max_rows: -1 is out of range; 0 to 9007199254740991 is allowed\n"},
    {"base_model: m\ndatasets: {zh: {path: x}, world: {path: y}}\nstages:\n- {name: a, datasets: "
     "{wrold: 1}}\n- {name: a, datasets: {zh: 0}}\n"
     "- {name: b}\n- 7\n- {datasets: [zh]}\n",
     "4:24: stages.0.datasets.wrold: there is no such dataset; did you mean world?\n"
     "5:4: stages.1.name: stage 0 is called 'a' too\n"
     "5:28: stages.1.datasets.zh: 0 is out of range; 1e-06 to 1e+06 is allowed\n"
     "6:3: stages.2.datasets: is missing; say the share of tokens of each dataset, like {zh: 0.5, "
     "world: 0.5}\n"
     "7:3: stages.3: a map is wanted, like {name: train, epochs: 1}\n"
     "8:14: stages.4.datasets: shares of tokens are wanted, like {zh: 0.8, world: 0.2}\n"},
    {LEAST "stages:\n  - {epochs: 1, max_steps: 3}\n  - {gradient_accumulation_steps: 4}\n",
     "4:17: stages.0.max_steps: epochs is said here too; say one of the two\n"
     "5:6: stages.1.gradient_accumulation_steps: needs micro_batch_size, or the batch would depend "
     "on the machine\n"},
    /* what is not built yet, by name, and nothing else of the schema */
    {LEAST "vocabulary: {add: pieces.jsonl, train: {size: 8000, from: [zh]}, init: mean}\nclean: "
           "{rules: [utf8], dedup: exact}\n",
     "3:19: vocabulary.add is not built yet\n"
     "3:40: vocabulary.train is not built yet\n"
     "3:72: vocabulary.init is not built yet\n"
     "4:16: clean.rules: a list is not built yet; only none is\n"
     "4:31: clean.dedup: exact is not built yet; only none is\n"},
    {LEAST "parallel: {data: 2, zero_stage: 3, tensor: 2, pipeline: 2, offload: cpu}\n"
           "guards: {non_finite: rollback, spike_action: rollback}\n",
     "3:18: parallel.data: 2 is not built yet; only auto | 1 is\n"
     "3:33: parallel.zero_stage: 3 is not built yet; only 1 is\n"
     "3:44: parallel.tensor: 2 is not built yet; only 1 is\n"
     "3:57: parallel.pipeline: 2 is not built yet; only 1 is\n"
     "3:69: parallel.offload: cpu is not built yet; only none is\n"
     "4:22: guards.non_finite: rollback is not built yet; allowed is skip | stop\n"
     "4:46: guards.spike_action: rollback is not built yet; allowed is warn | skip | stop\n"},
    /* YAML that a profile does not need */
    {"base_model: &x m\ndatasets: {a: {path: *x}}\nname: !!str y\n",
     "1:13: an anchor (&x) is not allowed here; write the value out\n"
     "2:12: datasets.a.path: is missing; it names the file of rows\n"
     "2:22: an alias (*x) is not allowed here; write the value out\n"
     "3:7: a tag (tag:yaml.org,2002:str) is not allowed here; write the plain value\n"},
    {"a: 1\n\tb: 2\n", "2:1: a tab stands here; YAML is indented with spaces\n"},
    {LEAST "lora: {\n\trank: 4}\n", "4:1: a tab stands here; YAML is indented with spaces\n"},
    {"[[[[[[[[[[[[[[[[[", "1:17: more than 16 lists and maps inside each other\n"},
    {LEAST "---\nname: b\n", "3:1: a second document begins here; a file holds one\n"},
    {"a: [1\nb: 2\n",
     "2:2: this is no YAML: did not find expected ',' or ']', while parsing a flow sequence\n"},
    {"? [a]\n: b\n", "1:3: a key is a word, not a list or a map\n"},
    {"- a\n", "1:1: the file is no map of keys and values\n"},
    {"name: \xC3\x28\n", "1:7: this is not UTF-8 (byte 0xC3); save the file as UTF-8\n"},
    {"name: a\x1B[31m\n", "1:8: control characters are not allowed (byte 0x1B)\n"},
    {"", "1:1: base_model: is missing; it is a Hugging Face folder, or a name that `hone models` "
         "lists\n"
         "1:1: datasets: is missing; write datasets: {name: {path: rows.jsonl}}\n"},
};

static const char *listed(const struct problems *all)
{
    struct buf b = buf_make(&arena);
    for (int i = 0; i < all->n; i++)
        buf_printf(&b, "%d:%d: %s\n", all->list[i].line, all->list[i].column, all->list[i].text);
    return b.p ? b.p : "";
}

/* The order of two problems at one place is not promised. */
static bool same_lines(const char *got, const char *wanted)
{
    size_t n = 0;
    for (const char *p = wanted; *p; n++) {
        size_t length = strcspn(p, "\n") + 1;
        if (!strstr(got, arena_string(&arena, p, length))) return false;
        p += length;
    }
    return strlen(got) == strlen(wanted);
}

static void every_error_of_a_file_comes_at_once_with_its_place(void **s)
{
    (void)s;
    for (size_t i = 0; i < COUNT(refusals); i++) {
        struct profile p;
        struct problems all = {0};
        struct err err = {{0}};
        assert_false(parse(&p, refusals[i].yaml, &all, &err));
        if (!same_lines(listed(&all), refusals[i].all))
            assert_string_equal(listed(&all), refusals[i].all);
        assert_true(strncmp(err.text, "/somewhere/p.yaml:", 18) == 0);
        for (int k = 1; k < all.n; k++) /* in file order */
            assert_true(all.list[k].line > all.list[k - 1].line ||
                        (all.list[k].line == all.list[k - 1].line &&
                         all.list[k].column >= all.list[k - 1].column));
    }
}

static void what_one_device_does_by_default_is_no_refusal(void **s)
{
    (void)s;
    struct err err = {{0}};
    assert_non_null(written(
        LEAST "parallel: {data: auto, zero_stage: 1, tensor: 1, pipeline: 1, offload: none}\n"
              "optimizer: {state_dtype: fp32, name: adamw}\nclean: none\nvocabulary:\n",
        &err));
    assert_non_null(written(LEAST "parallel: {data: 1}\nclean: {rules: [], dedup: none}\n", &err));
}

static void refuses_what_is_too_large_while_reading(void **s)
{
    (void)s;
    struct { const char *what; struct buf text; const char *says;
    } cases[4] = {{"size", buf_make(&arena), "256 KiB"},
                  {"depth", buf_make(&arena), "more than 16"},
                  {"values", buf_make(&arena), "more than 10,000"},
                  {"length", buf_make(&arena), "longer than 64 KiB"}};
    for (int i = 0; i < 300 * 1024; i++) buf_printf(&cases[0].text, "#");
    buf_printf(&cases[1].text, "a: ");
    for (int i = 0; i < 100 * 1024; i++) buf_printf(&cases[1].text, "[");
    buf_printf(&cases[2].text, "a: [");
    for (int i = 0; i < 11000; i++) buf_printf(&cases[2].text, "1, ");
    buf_printf(&cases[2].text, "]");
    buf_printf(&cases[3].text, "a: ");
    for (int i = 0; i < 70 * 1024; i++) buf_printf(&cases[3].text, "x");
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct profile p;
        struct err err = {{0}};
        assert_false(parse(&p, cases[i].text.p, NULL, &err));
        assert_non_null(strstr(err.text, cases[i].says));
    }
}

static void a_missing_file_and_a_folder_are_sentences(void **s)
{
    (void)s;
    struct profile p;
    struct problems all = {0};
    struct err err = {{0}};
    assert_false(profile_read(&p, "/nowhere/x.yaml", NULL, 0, &all, &arena, &err));
    assert_non_null(strstr(err.text, "/nowhere/x.yaml"));
    assert_int_equal(all.n, 1);
    assert_false(profile_read(&p, "/tmp", NULL, 0, &all, &arena, &err));
    assert_non_null(strstr(err.text, "/tmp"));
}

/* ---- meaning ---- */

#define TOUR                                                                                         \
    "# Teach a second language\r\n#   without losing the first.\r\n\r\nname: tour\r\nbase_model: "   \
    "./base   # a folder\r\nmax_length: 512\r\n"                                                     \
    "datasets:\r\n  zh: {path: data/zh.jsonl, category: zh, train_on: all, max_rows: 50k}\r\n  "     \
    "world:\r\n    path: /abs/world.jsonl\r\n"                                                       \
    "learning_rate: 2e-3\r\nwarmup_steps: 5\r\nepochs: 2\r\nlora: {rank: 8, dropout: 0}\r\n"         \
    "eval: {prompts: [\"红色的房子里住着谁？\", plain], quiz: [q.jsonl], holdout: 2%}\r\n" \
    "stages:\r\n  - {name: align, train: [embeddings, \"/q_proj/\"], datasets: {zh: 1}, "            \
    "max_steps: 100, warmup_ratio: 10%}\r\n"                                                         \
    "  - name: both\r\n    train: lora\r\n    datasets: {zh: 0.8, world: 20%}\r\n    bins: "         \
    "10\r\n    lora: {alpha: 64}\r\n    packing: splice\r\n"

static void stages_inherit_what_the_root_says(void **s)
{
    (void)s;
    struct profile p;
    struct err err = {{0}};
    assert_true(parse(&p, TOUR, NULL, &err));
    assert_string_equal(p.about, "Teach a second language\n  without losing the first.");
    assert_string_equal(p.base_model, "/somewhere/./base");
    assert_string_equal(p.datasets[0].path, "/somewhere/data/zh.jsonl");
    assert_string_equal(p.datasets[1].path, "/abs/world.jsonl");
    assert_int_equal(p.datasets[0].train_on, TRAIN_ON_ALL);
    assert_int_equal(p.datasets[0].max_rows, 50000);
    assert_int_equal(p.n_stages, 2);
    const struct stage *align = &p.stages[0], *both = &p.stages[1];
    assert_int_equal(align->n_mix, 1);
    assert_int_equal(align->max_steps, 100);
    assert_true(align->epochs == 0 && both->epochs == 2 && both->max_steps == 0);
    assert_true(align->set.warmup_steps == -1 && align->set.warmup_ratio == 0.1 &&
                both->set.warmup_steps == 5);
    assert_true(align->set.lora.rank == 8 && both->set.lora.rank == 8 &&
                both->set.lora.alpha == 64 && align->set.lora.alpha == 32);
    assert_true(both->bins == 10 && both->set.packing == PACKING_SPLICE &&
                align->set.packing == PACKING_BFD);
    assert_true(both->set.learning_rate == 2e-3 && both->mix[1].dataset == 1 &&
                both->mix[1].share == 0.2);
    assert_int_equal(both->line, 18);
    assert_true(p.eval.holdout == 0.02 && p.eval.n_prompts == 2 && p.eval.n_quiz == 1);
    assert_int_equal(align->set.recompute, -1);
    assert_int_equal(align->set.micro_batch_size, 0);
}

static void a_profile_without_stages_has_one(void **s)
{
    (void)s;
    struct profile p;
    struct err err = {{0}};
    assert_true(parse(&p, LEAST, NULL, &err));
    assert_int_equal(p.n_stages, 1);
    assert_string_equal(p.stages[0].name, "train");
    assert_string_equal(p.name, "p");
    assert_true(p.stages[0].n_mix == 1 && p.stages[0].epochs == 1 &&
                p.stages[0].set.schedule == SCHEDULE_COSINE);
}

static void what_is_written_reads_as_what_it_was(void **s)
{
    (void)s;
    static const char *const files[] = {
        LEAST, TOUR,
        LEAST "micro_batch_size: 2\ngradient_accumulation_steps: 8\nwarmup_ratio: 0\nguards: "
              "{spike_z: 0}\nname: \"null\"\n",
        LEAST "max_tokens: 3M\noptimizer: {decay: all, beta2: 0.98}\nchat: {system: \"x\\ty\\u202e "
              "# no: comment\", temperature: 1.3}\n"};
    for (size_t i = 0; i < COUNT(files); i++) {
        struct err err = {{0}};
        const char *once = written(files[i], &err), *twice = once ? written(once, &err) : NULL;
        if (!twice) print_message("%s\n%s\n", err.text, once ? once : "");
        assert_non_null(twice);
        assert_string_equal(once, twice);
    }
}

/* Every built row stands in what is written, with a value that its own rule accepts. */
static void every_row_is_written(void **s)
{
    (void)s;
    struct err err = {{0}};
    const char *text = written(LEAST "stages: [{warmup_steps: 3, max_steps: 9, micro_batch_size: "
                                     "2, gradient_accumulation_steps: 2}]\n",
                               &err);
    const char *other = written(LEAST "max_tokens: 1k\n", &err), *third = written(LEAST, &err);
    for (int i = 0; i < profile_n_fields; i++) {
        const struct field *f = &profile_fields[i];
        static const char *const front[SCOPES] = {"", "datasets.a.", "stages.0.", "stages.0."};
        const char *path = arena_printf(&arena, "%s%s", front[f->scope], f->path);
        struct text a = {0}, b = {0}, c = {0};
        assert_ptr_equal(profile_field(path), f);
        assert_true(profile_text_get(&a, text_of(text), path, &arena, &err) &&
                    profile_text_get(&b, text_of(other), path, &arena, &err) &&
                    profile_text_get(&c, text_of(third), path, &arena, &err));
        if (f->built && !(a.n || b.n || c.n)) print_message("%s is not written\n", path);
        assert_int_equal(f->built, a.n || b.n || c.n);
        assert_true(strlen(f->says) > 10 && f->says[strlen(f->says) - 1] == '.');
    }
}

static void sets_go_through_the_same_rows(void **s)
{
    (void)s;
    static const struct { const char *set, *path, *reads, *fails;
    } rows[] = {
        {"stages.0.max_steps=20", "stages.0.max_steps", "20", NULL},
        {"stages.0.epochs=3", "stages.0.epochs", "3", NULL},
        {"learning_rate=1e-5", "stages.1.learning_rate", "1e-05", NULL},
        {"stages.1.lora.rank=4", "stages.1.lora.rank", "4", NULL},
        {"stages.0.train=[norms, lm_head]", "stages.0.train", "[norms, lm_head]", NULL},
        {"stages.0.train=lora", "stages.0.train", "[lora]", NULL},
        {"datasets.zh.max_rows=7", "datasets.zh.max_rows", "7", NULL},
        {"stages.1.datasets.zh=3", "stages.1.datasets.zh", "3", NULL},
        {"stages.1.datasets={world: 2}", "stages.1.datasets", "{world: 2}", NULL},
        {"chat.system=a: b # c", "chat.system", "\"a: b # c\"", NULL},
        {"dtype=fp32", "dtype", "fp32", NULL},
        {"stages.0.max_stpes=20", NULL, NULL,
         "--set stages.0.max_stpes: unknown key; did you mean max_steps?"},
        {"stages.7.max_steps=20", NULL, NULL, "--set stages.7.max_steps: there is no such place"},
        {"seed=x", NULL, NULL, "--set seed: x: a whole number is wanted"},
        {"seed", NULL, NULL, "path=value is wanted"},
        {"parallel.tensor=2", NULL, NULL, "--set parallel.tensor: 2 is not built yet"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct profile p;
        struct problems all = {0};
        struct err err = {{0}};
        bool ok = profile_parse(&p, text_of(TOUR), "/somewhere/p.yaml", &rows[i].set, 1, &all,
                                &arena, &err);
        if (rows[i].fails && !strstr(err.text, rows[i].fails))
            print_message("%s -> %s\n", rows[i].set, err.text);
        assert_int_equal(ok, !rows[i].fails);
        if (rows[i].fails) {
            assert_non_null(strstr(err.text, rows[i].fails));
            continue;
        }
        struct buf b = buf_make(&arena);
        struct text got;
        profile_write(&p, &b);
        assert_true(profile_text_get(&got, buf_text(&b), rows[i].path, &arena, &err));
        assert_string_equal(arena_string(&arena, got.p, got.n), rows[i].reads);
    }
}

static void settings_know_what_excludes_them_and_lists_their_words(void **s)
{
    (void)s;
    assert_true(profile_excludes("epochs", "max_steps") && profile_excludes("max_steps", "epochs"));
    assert_true(profile_excludes("warmup_ratio", "warmup_steps"));
    assert_false(profile_excludes("epochs", "epochs") || profile_excludes("epochs", "seed"));
    const struct field *train = profile_field("train");
    assert_non_null(strstr(profile_field_words(train), "norms"));
    assert_null(profile_field_words(profile_field("seed")));
    for (const char *w = profile_field_words(train); w;) { /* each is a word that may stand there */
        size_t n = strcspn(w, " ");
        struct err err;
        assert_non_null(written(file_with("train", arena_printf(&arena, "[\"%.*s\"]",
                                                                (int)(n - (w[n - 1] == '!')), w)),
                                &err));
        w = strstr(w, " | ");
        if (w) w += 3;
    }
}

static void unusual_settings_are_warned_of(void **s)
{
    (void)s;
    static const struct { const char *more, *says;
    } rows[] = {
        {"learning_rate: 0.008\n", "0.008 is high for full training: 1e-06 to 0.003 is usual"},
        {"batch_tokens: 1000\nmax_length: 300\n",
         "no multiple of max_length 300: a step takes 3 windows, 900 tokens"},
        {"max_steps: 5\nwarmup_steps: 9\n", "9 of 5 steps are warm-up"},
        {"eval: {holdout: 0}\n", "no validation loss to be best by"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct profile p;
        struct problems warned = {0};
        struct err err = {{0}};
        assert_true(parse(&p, arena_printf(&arena, "%s%s", LEAST, rows[i].more), NULL, &err));
        profile_warnings(&p, &warned, &arena);
        if (!strstr(listed(&warned), rows[i].says)) print_message("%s\n", listed(&warned));
        assert_non_null(strstr(listed(&warned), rows[i].says));
    }
}

/* ---- edits ---- */

static const char edited_file[] =
    "# 頭のコメント: 触らない\n"
    "name: demo          # 名前\n"
    "base_model: \"base\"\n"
    "\n"
    "datasets:\n"
    "  zh:   {path: 中文.jsonl, category: zh}   # 流れ\n"
    "  world:\n"
    "    path: w.jsonl\n"
    "lora:\n"
    "  rank: 8     # 八\n"
    "eval: {}\n"
    "chat:\n"
    "  system: |\n"
    "    二行の\n"
    "    文章\n"
    "  top_k: 5\n"
    "save:\n"
    "stages:\n"
    "  - name: a\n"
    "    datasets: {zh: 0.8, world: 0.2}  # 割合\n"
    "    # 間のコメント\n"
    "  - {name: b, datasets: {zh: 1}, max_steps: 3}\n"
    "# 終わり\n";

/* An edit, and the one place of the file that may become another: the bytes `old` turn into `new`.
 */
static const struct { const char *path, *value, *old, *new;
} edits[] = {
    {"name", "other", "name: demo          #", "name: other          #"},
    {"base_model", "文字 と:空白", "\"base\"", "文字 と:空白"},
    {"base_model", "a: b", "\"base\"", "\"a: b\""},
    {"base_model", "", "\"base\"", "\"\""},
    {"base_model", "null", "\"base\"", "\"null\""},
    {"datasets.zh.path", "新しい.jsonl", "中文.jsonl", "新しい.jsonl"},
    {"datasets.zh.path", "a, b}", "中文.jsonl", "\"a, b}\""},
    {"datasets.zh.train_on", "all", "category: zh}", "category: zh, train_on: all}"},
    {"datasets.world.format", "text", "    path: w.jsonl\n",
     "    path: w.jsonl\n    format: text\n"},
    {"datasets.world.path", "x y.jsonl", "w.jsonl", "x y.jsonl"},
    {"lora.rank", "16", "rank: 8 ", "rank: 16 "},
    {"lora.rank", "  16 ", "rank: 8 ", "rank: 16 "},
    {"lora.alpha", "64", "  rank: 8     # 八\n", "  rank: 8     # 八\n  alpha: 64\n"},
    {"eval.holdout", "2%", "eval: {}", "eval: {holdout: 2%}"},
    {"chat.system", "kurz", "|\n    二行の\n    文章", "kurz"},
    {"chat.top_p", "0.5", "  top_k: 5\n", "  top_k: 5\n  top_p: 0.5\n"},
    {"save.total_limit", "2", "save:\n", "save: {total_limit: 2}\n"},
    {"save", "{total_limit: 2}", "save:\n", "save: {total_limit: 2}\n"},
    {"guards.spike_z", "0", "max_steps: 3}\n", "max_steps: 3}\nguards: {spike_z: 0}\n"},
    {"seed", "7", "max_steps: 3}\n", "max_steps: 3}\nseed: 7\n"},
    {"stages.0.datasets.zh", "0.5", "zh: 0.8", "zh: 0.5"},
    {"stages.0.datasets", "{zh: 1}", "{zh: 0.8, world: 0.2}", "{zh: 1}"},
    {"stages.0.learning_rate", "3e-4", "# 割合\n", "# 割合\n    learning_rate: 3e-4\n"},
    {"stages.0.train", "embeddings, lm_head", "# 割合\n",
     "# 割合\n    train: [embeddings, lm_head]\n"},
    {"stages.1.max_steps", "50", "max_steps: 3", "max_steps: 50"},
    {"stages.1.lora.rank", "4", "max_steps: 3}", "max_steps: 3, lora: {rank: 4}}"},
    {"stages.2", "{name: c, datasets: {zh: 1}}", "max_steps: 3}\n",
     "max_steps: 3}\n  - {name: c, datasets: {zh: 1}}\n"},
    /* removals */
    {"name", NULL, "name: demo          # 名前\n", ""},
    {"datasets.zh.category", NULL, ", category: zh", ""},
    {"datasets.zh", NULL, "  zh:   {path: 中文.jsonl, category: zh}   # 流れ\n", ""},
    {"lora.rank", NULL, "lora:\n  rank: 8     # 八\n", ""},
    {"chat.system", NULL, "  system: |\n    二行の\n    文章\n", ""},
    {"stages.0.datasets", NULL, "    datasets: {zh: 0.8, world: 0.2}  # 割合\n", ""},
    {"stages.0.datasets.zh", NULL, "zh: 0.8, ", ""},
    {"stages.0.name", NULL, "name: a\n    ", ""},
    {"stages.1.name", NULL, "name: b, ", ""},
    {"stages.1", NULL, "  - {name: b, datasets: {zh: 1}, max_steps: 3}\n", ""},
    {"save", NULL, "save:\n", ""},
    {"optimizer.beta1", NULL, "", ""},
};

static const char *replaced(const char *text, const char *old, const char *new)
{
    const char *at = strstr(text, old);
    assert_non_null(at);
    return arena_printf(&arena, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
}

static const char *with_crlf(const char *text)
{
    struct buf b = buf_make(&arena);
    for (; *text; text++) buf_printf(&b, "%s%c", *text == '\n' ? "\r" : "", *text);
    return b.p ? b.p : "";
}

static void check_edit(const char *file, size_t i, const char *(*as)(const char *))
{
    struct err err = {{0}};
    struct text out;
    bool ok = profile_text_set(&out, text_of(file), edits[i].path, edits[i].value, &arena, &err);
    if (!ok)
        print_message("%s = %s: %s\n", edits[i].path, edits[i].value ? edits[i].value : "(removed)",
                      err.text);
    assert_true(ok);
    const char *wanted =
        replaced(file, as ? as(edits[i].old) : edits[i].old, as ? as(edits[i].new) : edits[i].new);
    assert_string_equal(arena_string(&arena, out.p, out.n), wanted);
}

static void an_edit_changes_one_value_and_no_other_byte(void **s)
{
    (void)s;
    for (size_t i = 0; i < COUNT(edits); i++) check_edit(edited_file, i, NULL);
}

static void files_with_crlf_and_a_byte_order_mark_stay_so(void **s)
{
    (void)s;
    const char *crlf = with_crlf(edited_file),
               *marked = arena_printf(&arena, "\xEF\xBB\xBF%s", edited_file);
    for (size_t i = 0; i < COUNT(edits); i++) {
        check_edit(crlf, i, with_crlf);
        check_edit(marked, i, NULL);
    }
}

static void an_edit_and_its_opposite_give_the_file_back(void **s)
{
    (void)s;
    for (size_t i = 0; i < COUNT(edits); i++) {
        struct err err = {{0}};
        struct text before, out, back, value;
        if (!edits[i].value) continue;
        assert_true(profile_text_get(&before, text_of(edited_file), edits[i].path, &arena, &err));
        const char *old = before.n ? arena_string(&arena, before.p, before.n) : NULL;
        assert_true(profile_text_set(&out, text_of(edited_file), edits[i].path, edits[i].value,
                                     &arena, &err));
        assert_true(profile_text_get(&value, out, edits[i].path, &arena, &err) && value.n > 0);
        if (!old || strchr(old, '\n') || strcmp(edits[i].path, "save") == 0) continue;
        assert_true(profile_text_set(&back, out, edits[i].path, old, &arena, &err));
        assert_true(text_is(back, edited_file));
    }
}

static void a_file_without_its_last_line_break_can_be_added_to(void **s)
{
    (void)s;
    struct err err = {{0}};
    struct text out;
    assert_true(profile_text_set(&out, TEXT("name: a"), "seed", "3", &arena, &err));
    assert_true(text_is(out, "name: a\nseed: 3\n"));
    assert_true(profile_text_set(&out, TEXT(""), "seed", "3", &arena, &err));
    assert_true(text_is(out, "seed: 3\n"));
    assert_true(profile_text_set(&out, TEXT("# only a comment"), "lora.rank", "3", &arena, &err));
    assert_true(text_is(out, "# only a comment\nlora: {rank: 3}\n"));
}

static void an_edit_that_cannot_be_made_is_refused(void **s)
{
    (void)s;
    static const struct { const char *file, *path, *value;
    } rows[] = {{"name: a\n", "stages.0.epochs", "{"},
                {"stages: [a]\n", "stages.5", "b"},
                {"name: a\n", "name.b", "c"},
                {"a: [1\n", "seed", "3"},
                {"seed: 1\nseed: 2\n", "seed", "3"},
                {"seed: 1\n", "seed", "1, 2"},
                {"seed: 1\n", "seed", "3,"},
                {"lora: {rank: 1}\n", "lora.rank", "3,"},
                {"lora: {rank: 1}\n", "lora.rank", "3 , "},
                {"seed: 1\n", "seed", "3\nname: x"},
                {"? name\n: a\nseed: 3\n", "name", NULL}}; /* would leave "? seed: 3" */
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = {{0}};
        struct text out;
        assert_false(profile_text_set(&out, text_of(rows[i].file), rows[i].path, rows[i].value,
                                      &arena, &err));
        assert_true(err.text[0]);
    }
}

/* ---- any bytes ---- */

static void spoil(char *text, size_t n, uint64_t round)
{
    static const char letters[] = "{}[]:,-#'\"|>&*!? \n\tab0%\xE4\x80";
    int times = 1 + (int)(rand_at(1, round) % 4);
    for (int i = 0; i < times; i++)
        text[rand_at(2, round * 8 + (uint64_t)i) % n] =
            letters[rand_at(3, round * 8 + (uint64_t)i) % (sizeof letters - 1)];
}

static void spoilt_files_never_crash_and_edits_of_them_are_right_or_refused(void **s)
{
    (void)s;
    int read = 0, changed = 0;
    for (uint64_t round = 0; round < 3000; round++) {
        struct arena_mark mark = arena_mark(&arena);
        size_t n = sizeof edited_file - 1;
        char *text = arena_string(&arena, edited_file, n);
        spoil(text, n, round);
        struct profile p;
        struct err err = {{0}};
        struct text out, got;
        struct text source = {text, n};
        read += profile_parse(&p, source, "/x/p.yaml", NULL, 0, NULL, &arena, &err);
        size_t i = rand_at(4, round) % COUNT(edits);
        if (profile_text_set(&out, source, edits[i].path, edits[i].value, &arena, &err)) {
            changed++;
            assert_true(profile_text_get(&got, out, edits[i].path, &arena, &err));
            assert_true(edits[i].value ? got.n > 0
                                       : got.n == 0 || strncmp(edits[i].path, "stages.", 7) == 0);
        } else {
            assert_true(err.text[0]);
        }
        arena_back(&arena, mark);
    }
    assert_true(read > 100 && changed > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read_as_people_write_them),
        cmocka_unit_test(every_error_of_a_file_comes_at_once_with_its_place),
        cmocka_unit_test(what_one_device_does_by_default_is_no_refusal),
        cmocka_unit_test(refuses_what_is_too_large_while_reading),
        cmocka_unit_test(a_missing_file_and_a_folder_are_sentences),
        cmocka_unit_test(stages_inherit_what_the_root_says),
        cmocka_unit_test(a_profile_without_stages_has_one),
        cmocka_unit_test(what_is_written_reads_as_what_it_was),
        cmocka_unit_test(every_row_is_written),
        cmocka_unit_test(sets_go_through_the_same_rows),
        cmocka_unit_test(settings_know_what_excludes_them_and_lists_their_words),
        cmocka_unit_test(unusual_settings_are_warned_of),
        cmocka_unit_test(an_edit_changes_one_value_and_no_other_byte),
        cmocka_unit_test(files_with_crlf_and_a_byte_order_mark_stay_so),
        cmocka_unit_test(an_edit_and_its_opposite_give_the_file_back),
        cmocka_unit_test(a_file_without_its_last_line_break_can_be_added_to),
        cmocka_unit_test(an_edit_that_cannot_be_made_is_refused),
        cmocka_unit_test(spoilt_files_never_crash_and_edits_of_them_are_right_or_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
