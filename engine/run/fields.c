/* fields.c - every key of a profile, one row each. Parser, check, form, `--set`, help and manual
 * read it. */
#include "engine/run/profile_parts.h"
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- checks of words ---- */

static bool check_name(const char *const *words, int n, struct err *err)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    for (int i = 0; i < n; i++)
        if (strspn(words[i], letters) != strlen(words[i]) || !words[i][0] ||
            strchr(".-", words[i][0]))
            return fail(err,
                        "'%s' is no name; use letters, digits, '.', '_' and '-', not beginning "
                        "with '.' or '-'",
                        words[i]);
    return true;
}

static bool check_device(const char *const *words, int n, struct err *err)
{
    const char *w = n ? words[0] : "";
    if (strcmp(w, "auto") == 0 || strcmp(w, "cpu") == 0 || strcmp(w, "cuda") == 0) return true;
    const char *list = w + 5;
    if (strncmp(w, "cuda:", 5) == 0 && *list && strspn(list, "0123456789,") == strlen(list) &&
        !strstr(list, ",,") && list[0] != ',' && list[strlen(list) - 1] != ',')
        return true;
    return fail(err, "'%s' is no device; auto, cpu, cuda and cuda:0,2 are allowed", w);
}

static bool check_pattern(const char *word, struct err *err)
{
    size_t n = strlen(word);
    if (n < 3 || n > 500 || word[n - 1] != '/')
        return fail(err, "'%s' is no pattern; write /regex/, at most 500 characters", word);
    char pattern[512], why[128];
    snprintf(pattern, sizeof pattern, "%.*s", (int)n - 2, word + 1);
    regex_t re;
    int code = regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB);
    if (code == 0) {
        regfree(&re);
        return true;
    }
    regerror(code, &re, why, sizeof why);
    return fail(err, "'%s' is no regular expression: %s", word, why);
}

static bool check_train(const char *const *words, int n, struct err *err)
{
    static const char *const parts[] = {"embeddings", "lm_head", "norms",  "full",
                                        "lora",       "last:N",  "/regex/"};
    if (n == 0)
        return fail(err, "nothing is named; full, lora, or a list of embeddings, lm_head, norms, "
                         "last:N, /regex/");
    for (int i = 0; i < n; i++) {
        const char *w = words[i];
        bool alone = strcmp(w, "full") == 0 || strcmp(w, "lora") == 0;
        if (alone && n > 1)
            return fail(
                err,
                "'%s' stands alone; a list is made of embeddings, lm_head, norms, last:N, /regex/",
                w);
        if (w[0] == '/') {
            if (!check_pattern(w, err)) return false;
        } else if (strncmp(w, "last:", 5) == 0) {
            char *end;
            long layers = strtol(w + 5, &end, 10);
            if (!strchr("0123456789", w[5]) || !w[5] || *end || layers < 1 || layers > 1024)
                return fail(err, "'%s': last:N wants a number of layers from 1 to 1024", w);
        } else if (!alone && strcmp(w, parts[0]) && strcmp(w, parts[1]) && strcmp(w, parts[2])) {
            const char *near = text_nearest(w, parts, COUNT(parts));
            return fail(err,
                        "'%s' is not known%s%s%s; full, lora, or a list of embeddings, lm_head, "
                        "norms, last:N, /regex/ is allowed",
                        w, near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
        }
    }
    return true;
}

static bool check_targets(const char *const *words, int n, struct err *err)
{
    unsigned bits;
    return lora_targets(&bits, words, n, err);
}

/* ---- the table ---- */

#define PROFILE(m) offsetof(struct profile, m)
#define DATASET(m) offsetof(struct source_spec, m)
#define STAGE(m) offsetof(struct stage, m)
#define SET(m) offsetof(struct stage, set.m)
#define FORMATS "auto | text | alpaca | sharegpt | messages | prompt_completion | colossal | tokens"
#define WHOLE 9007199254740991.0 /* 2^53 - 1: every whole number up to it is exact */

const struct field profile_fields[] = {
    {"name", SCOPE_ROOT, FIELD_TEXT, "", 0, 64, "", NULL,
     "Names the runs of this profile; without it, the file's name.", true, STORE_TEXT,
     PROFILE(name), 0, 0, check_name},
    {"base_model", SCOPE_ROOT, FIELD_PATH, "", 0, 4096, "", NULL,
     "What is taught: a Hugging Face folder, or a name from the models screen.", true, STORE_MODEL,
     PROFILE(base_model), 0, 0, NULL},
    {"device", SCOPE_ROOT, FIELD_TEXT, "", 0, 64, "auto", "auto | cpu | cuda",
     "Where it is trained; auto: on the processor, as the GPU engine is new; cuda or cuda:1 asks for a GPU.",
     true, STORE_TEXT, PROFILE(device), 0, 0,
     check_device},
    {"dtype", SCOPE_ROOT, FIELD_CHOICE, "", 0, 0, "auto", "auto | fp32 | bf16",
     "The type that products are computed in; auto: bf16 where the device does it fast.", true,
     STORE_TEXT, PROFILE(dtype), 0, 0, NULL},
    {"seed", SCOPE_ROOT, FIELD_INT, "", 0, WHOLE, "42", NULL,
     "Decides every random number of a run: the same seed gives the same bits.", true, STORE_INT64,
     PROFILE(seed), 0, 0, NULL},
    {"max_length", SCOPE_ROOT, FIELD_INT, "tokens", 8, 1048576, "1024", NULL,
     "The tokens of a packed window, and the most of one document.", true, STORE_INT,
     PROFILE(max_length), 0, 0, NULL},
    {"template", SCOPE_ROOT, FIELD_TEXT, "", 0, 4096, "auto", NULL,
     "How a conversation becomes text: the model's own (auto), a name from assets/templates, or a "
     ".jinja file.",
     true, STORE_TEMPLATE, PROFILE(template), 0, 0, NULL},

    {"vocabulary.add", SCOPE_ROOT, FIELD_PATH, "", 0, 0, "", NULL,
     "New pieces for the tokenizer, one a line.", false, 0, 0, 0, 0, NULL},
    {"vocabulary.train", SCOPE_ROOT, FIELD_TEXT, "", 0, 0, "", NULL,
     "New pieces learnt from datasets.", false, 0, 0, 0, 0, NULL},
    {"vocabulary.init", SCOPE_ROOT, FIELD_TEXT, "", 0, 0, "", NULL,
     "What the rows of new pieces start as.", false, 0, 0, 0, 0, NULL},

    {"path", SCOPE_DATASET, FIELD_PATH, "", 0, 4096, "", NULL,
     "The file of rows, relative to the profile.", true, STORE_PATH, DATASET(path), 0, 0, NULL},
    {"format", SCOPE_DATASET, FIELD_CHOICE, "", 0, 0, "auto", FORMATS,
     "What a row looks like; auto looks at the first rows.", true, STORE_TEXT, DATASET(format), 0,
     0, NULL},
    {"category", SCOPE_DATASET, FIELD_TEXT, "", 0, 64, "", NULL,
     "Counts all rows to one category for bins; without it, the rows' own.", true, STORE_TEXT,
     DATASET(category), 0, 0, NULL},
    {"train_on", SCOPE_DATASET, FIELD_CHOICE, "", 0, 0, "answers", "answers | all | last_answer",
     "Which tokens are learnt; an answer's end token is one of them.", true, STORE_ENUM,
     DATASET(train_on), 0, TRAIN_ON_ANSWERS, NULL},
    {"max_rows", SCOPE_DATASET, FIELD_INT, "rows", 0, WHOLE, "0", NULL,
     "Takes only the first rows; 0: all.", true, STORE_INT64, DATASET(max_rows), 0, 0, NULL},

    {"clean", SCOPE_ROOT, FIELD_CHOICE, "", 0, 0, "none", NULL, "Cleaning of rows before training.",
     false, 0, 0, 0, 0, NULL},
    {"clean.rules", SCOPE_ROOT, FIELD_LIST, "", 0, 0, "none", NULL, "Which rows are left out.",
     false, 0, 0, 0, 0, NULL},
    {"clean.dedup", SCOPE_ROOT, FIELD_CHOICE, "", 0, 0, "none", NULL,
     "Leaves out rows that are there already.", false, 0, 0, 0, 0, NULL},

    {"train", SCOPE_SETTINGS, FIELD_LIST, "", 0, 64, "full", "full | lora",
     "What is trained: full, lora, or a list of embeddings, lm_head, norms, last:N, /regex over "
     "tensor names/.",
     true, STORE_WORDS, SET(train), SET(n_train), 0, check_train},
    {"lora.rank", SCOPE_SETTINGS, FIELD_INT, "", 1, 1024, "16", NULL,
     "The inner size of an adapter's two matrices.", true, STORE_INT, SET(lora.rank), 0, 0, NULL},
    {"lora.alpha", SCOPE_SETTINGS, FIELD_NUM, "", 0, 65536, "32", NULL,
     "An adapter counts alpha / rank times.", true, STORE_NUM, SET(lora.alpha), 0, 0, NULL},
    {"lora.dropout", SCOPE_SETTINGS, FIELD_NUM, "share", 0, 0.9, "0.05", NULL,
     "The share of an adapter's inputs left out at random while training.", true, STORE_NUM,
     SET(lora.dropout), 0, 0, NULL},
    {"lora.target_modules", SCOPE_SETTINGS, FIELD_LIST, "", 0, 16, "all-linear", NULL,
     "Which linears get an adapter: all-linear, or names such as q_proj, v_proj.", true,
     STORE_WORDS, SET(lora.targets), SET(lora.n_targets), 0, check_targets},
    {"lora.scaling", SCOPE_SETTINGS, FIELD_CHOICE, "", 0, 0, "standard", "standard | rslora",
     "rslora divides alpha by the root of the rank.", true, STORE_FLAG, SET(lora.rank_stabilised),
     0, 0, NULL},
    {"lora.init_from", SCOPE_SETTINGS, FIELD_PATH, "", 0, 4096, "", NULL,
     "Starts from this PEFT folder instead of a new adapter.", true, STORE_PATH,
     SET(lora.init_from), 0, 0, NULL},

    {"learning_rate", SCOPE_SETTINGS, FIELD_NUM, "", 0, 10, "2e-4", NULL,
     "The highest learning rate of the schedule.", true, STORE_NUM, SET(learning_rate), 0, 0, NULL},
    {"lr_scheduler", SCOPE_SETTINGS, FIELD_CHOICE, "", 0, 0, "cosine",
     "constant | linear | cosine | wsd",
     "How the learning rate falls after the warm-up; wsd: constant, then linear over the last "
     "tenth.",
     true, STORE_ENUM, SET(schedule), 0, SCHEDULE_CONSTANT, NULL},
    {"min_lr_ratio", SCOPE_SETTINGS, FIELD_NUM, "share", 0, 1, "0.1", NULL,
     "Where the schedule ends, as a share of learning_rate.", true, STORE_NUM, SET(min_lr_ratio), 0,
     0, NULL},
    {"warmup_ratio", SCOPE_SETTINGS, FIELD_NUM, "share", 0, 1, "3%", NULL,
     "The share of a stage's steps in which the learning rate rises.", true, STORE_NUM,
     SET(warmup_ratio), 0, 0, NULL},
    {"warmup_steps", SCOPE_SETTINGS, FIELD_INT, "steps", 0, 1e9, "", NULL,
     "The same as a number of steps; say one of the two.", true, STORE_INT64, SET(warmup_steps), 0,
     -1, NULL},

    {"optimizer.name", SCOPE_SETTINGS, FIELD_CHOICE, "", 0, 0, "adamw", "adamw", "The optimizer.",
     true, STORE_NOTHING, 0, 0, 0, NULL},
    {"optimizer.beta1", SCOPE_SETTINGS, FIELD_NUM, "", 0, 0.9999, "0.9", NULL,
     "How long AdamW remembers gradients.", true, STORE_NUM, SET(beta1), 0, 0, NULL},
    {"optimizer.beta2", SCOPE_SETTINGS, FIELD_NUM, "", 0, 0.99999, "0.95", NULL,
     "How long AdamW remembers their squares.", true, STORE_NUM, SET(beta2), 0, 0, NULL},
    {"optimizer.eps", SCOPE_SETTINGS, FIELD_NUM, "", 1e-16, 1, "1e-8", NULL,
     "Keeps AdamW from dividing by nothing.", true, STORE_NUM, SET(eps), 0, 0, NULL},
    {"optimizer.weight_decay", SCOPE_SETTINGS, FIELD_NUM, "", 0, 10, "0.1", NULL,
     "What weights lose a step, times the learning rate.", true, STORE_NUM, SET(weight_decay), 0, 0,
     NULL},
    {"optimizer.decay", SCOPE_SETTINGS, FIELD_CHOICE, "", 0, 0, "matrices", "matrices | all",
     "What decays: matrices alone, or norms and biases too.", true, STORE_FLAG, SET(decay_all), 0,
     0, NULL},
    {"optimizer.state_dtype", SCOPE_SETTINGS, FIELD_CHOICE, "", 0, 0, "fp32", "fp32 | bf16 | 8bit",
     "The type that AdamW's moments are kept in: 8, 4 or 2 bytes a trained parameter.", true,
     STORE_ENUM, SET(moments), 0, STATE_FP32, NULL},

    {"optimizer.gradient_dtype", SCOPE_SETTINGS, FIELD_CHOICE, "", 0, 0, "fp32", "fp32 | bf16",
     "The type that gradients of weights are summed up in over a step: 4 or 2 bytes a parameter.",
     true, STORE_ENUM, SET(gradients), 0, 0, NULL},

    {"max_grad_norm", SCOPE_SETTINGS, FIELD_NUM, "", 0, 1e6, "1.0", NULL,
     "Gradients longer than this are shortened to it; 0: never.", true, STORE_NUM,
     SET(max_grad_norm), 0, 0, NULL},
    {"batch_tokens", SCOPE_SETTINGS, FIELD_INT, "tokens", 1, 1e9, "16k", NULL,
     "The tokens of one step: as many windows as that holds, at least one.", true, STORE_INT64,
     SET(batch_tokens), 0, 0, NULL},
    {"micro_batch_size", SCOPE_SETTINGS, FIELD_INT, "windows", 1, 65536, "auto", "auto",
     "The windows that go through the model at once; auto: what fits and is fast.", true, STORE_INT,
     SET(micro_batch_size), 0, 0, NULL},
    {"gradient_accumulation_steps", SCOPE_SETTINGS, FIELD_INT, "micro-batches", 1, 65536, "", NULL,
     "The micro-batches of a step, instead of batch_tokens.", true, STORE_INT,
     SET(gradient_accumulation_steps), 0, 0, NULL},
    {"packing", SCOPE_SETTINGS, FIELD_CHOICE, "", 0, 0, "bfd", "bfd | none | splice",
     "bfd fills windows with whole documents, splice cuts documents to fill them, none gives each "
     "its own; always isolated.",
     true, STORE_ENUM, SET(packing), 0, PACKING_BFD, NULL},
    {"gradient_checkpointing", SCOPE_SETTINGS, FIELD_CHOICE, "", 0, 0, "auto",
     "auto | none | norms | selective | attention | full",
     "What is computed twice to save memory: norms, SwiGLU too, attention too, or all of a layer; "
     "auto: what the plan needs.",
     true, STORE_ENUM, SET(recompute), 0, -1, NULL},
    {"gradient_checkpointing_layers", SCOPE_SETTINGS, FIELD_INT, "layers", 1, 1024, "all", "all",
     "How many layers, from the lowest, do so; the others do one kind less. auto finds the number.",
     true, STORE_INT, SET(recompute_layers), 0, 0, NULL},
    {"neftune_alpha", SCOPE_SETTINGS, FIELD_NUM, "", 0, 1000, "0", NULL,
     "Noise on the embeddings while training (NEFTune); 0: none.", true, STORE_NUM,
     SET(neftune_alpha), 0, 0, NULL},
    {"shuffle", SCOPE_SETTINGS, FIELD_BOOL, "", 0, 0, "true", NULL,
     "false: rows in file order, for repeating someone else's run.", true, STORE_BOOL, SET(shuffle),
     0, 0, NULL},
    {"bins", SCOPE_SETTINGS, FIELD_INT, "bins", 1, 1000, "1", NULL,
     "Splits each dataset into bins of equal tokens and mix; buckets of one bin each are trained "
     "in order.",
     true, STORE_INT, STAGE(bins), 0, 0, NULL},
    {"epochs", SCOPE_SETTINGS, FIELD_NUM, "epochs", 0.0001, 100000, "1", NULL,
     "How often the datasets are seen; or max_steps, or max_tokens.", true, STORE_NUM,
     STAGE(epochs), 0, 0, NULL},
    {"max_steps", SCOPE_SETTINGS, FIELD_INT, "steps", 1, 1e9, "", NULL,
     "Ends a stage after so many steps.", true, STORE_INT64, STAGE(max_steps), 0, 0, NULL},
    {"max_tokens", SCOPE_SETTINGS, FIELD_INT, "tokens", 1, 1e15, "", NULL,
     "Ends a stage after so many tokens.", true, STORE_INT64, STAGE(max_tokens), 0, 0, NULL},
    {"name", SCOPE_STAGE, FIELD_TEXT, "", 0, 64, "", NULL,
     "Names the stage in charts and checkpoints.", true, STORE_TEXT, STAGE(name), 0, 0, check_name},
    {"datasets", SCOPE_STAGE, FIELD_SHARES, "share", 1e-6, 1e6, "", NULL,
     "Which datasets, and which share of the tokens each gives: {zh: 0.8, world: 0.2}.", true,
     STORE_NOTHING, 0, 0, 0, NULL},

    {"eval.every_steps", SCOPE_ROOT, FIELD_INT, "steps", 0, 1e9, "50", NULL,
     "Validation loss and sample prompts come every so many steps; 0: only at a stage's end.", true,
     STORE_INT64, PROFILE(eval.every_steps), 0, 0, NULL},
    {"eval.holdout", SCOPE_ROOT, FIELD_NUM, "share", 0, 0.5, "1%", NULL,
     "The share of each dataset's rows kept for validation, chosen by the hash of the row.", true,
     STORE_NUM, PROFILE(eval.holdout), 0, 0, NULL},
    {"eval.quiz", SCOPE_ROOT, FIELD_LIST, "", 0, 16, "", NULL,
     "Files of questions and answers, scored before the first and after every stage.", true,
     STORE_PATHS, PROFILE(eval.quiz), PROFILE(eval.n_quiz), 0, NULL},
    {"eval.prompts", SCOPE_ROOT, FIELD_LIST, "", 0, 64, "", NULL,
     "Questions that the model answers with every validation.", true, STORE_WORDS,
     PROFILE(eval.prompts), PROFILE(eval.n_prompts), 0, NULL},
    {"eval.max_new_tokens", SCOPE_ROOT, FIELD_INT, "tokens", 1, 65536, "48", NULL,
     "The most tokens of an answer to a quiz or a prompt.", true, STORE_INT,
     PROFILE(eval.max_new_tokens), 0, 0, NULL},

    {"save.every_steps", SCOPE_ROOT, FIELD_INT, "steps", 0, 1e9, "100", NULL,
     "A checkpoint comes every so many steps; 0: only at a stage's end.", true, STORE_INT64,
     PROFILE(save.every_steps), 0, 0, NULL},
    {"save.total_limit", SCOPE_ROOT, FIELD_INT, "checkpoints", 0, 100000, "3", NULL,
     "The newest checkpoints that are kept; 0: all.", true, STORE_INT, PROFILE(save.total_limit), 0,
     0, NULL},
    {"save.keep_best", SCOPE_ROOT, FIELD_BOOL, "", 0, 0, "true", NULL,
     "Keeps the checkpoint of the lowest validation loss too.", true, STORE_BOOL,
     PROFILE(save.keep_best), 0, 0, NULL},

    {"guards.non_finite", SCOPE_ROOT, FIELD_CHOICE, "", 0, 0, "skip", "skip | stop",
     "What a step does whose loss or gradient is no number.", true, STORE_TEXT,
     PROFILE(guards.non_finite), 0, 0, NULL},
    {"guards.spike_z", SCOPE_ROOT, FIELD_NUM, "deviations", 0, 1000, "6", NULL,
     "A loss so many standard deviations above its running mean is a spike; 0: none is.", true,
     STORE_NUM, PROFILE(guards.spike_z), 0, 0, NULL},
    {"guards.spike_action", SCOPE_ROOT, FIELD_CHOICE, "", 0, 0, "warn", "warn | skip | stop",
     "What a step does whose loss is a spike.", true, STORE_TEXT, PROFILE(guards.spike_action), 0,
     0, NULL},

    {"parallel.data", SCOPE_ROOT, FIELD_TEXT, "", 0, 0, "auto", "auto | 1",
     "Copies of the model that share a batch.", false, 0, 0, 0, 0, NULL},
    {"parallel.zero_stage", SCOPE_ROOT, FIELD_INT, "", 0, 0, "1", NULL,
     "What the copies divide among them.", false, 0, 0, 0, 0, NULL},
    {"parallel.tensor", SCOPE_ROOT, FIELD_INT, "", 0, 0, "1", NULL,
     "Devices that share each matrix.", false, 0, 0, 0, 0, NULL},
    {"parallel.pipeline", SCOPE_ROOT, FIELD_INT, "", 0, 0, "1", NULL,
     "Devices that share the layers.", false, 0, 0, 0, 0, NULL},
    {"parallel.offload", SCOPE_ROOT, FIELD_CHOICE, "", 0, 0, "none", NULL,
     "What lies in the host's memory.", false, 0, 0, 0, 0, NULL},

    {"chat.temperature", SCOPE_ROOT, FIELD_NUM, "", 0, 100, "0.7", NULL,
     "How freely a token is drawn; 0: always the likeliest.", true, STORE_FLOAT,
     PROFILE(chat.sampling.temperature), 0, 0, NULL},
    {"chat.top_p", SCOPE_ROOT, FIELD_NUM, "share", 0.001, 1, "0.9", NULL,
     "Draws among the likeliest tokens that make up this share; 1: among all.", true, STORE_FLOAT,
     PROFILE(chat.sampling.top_p), 0, 0, NULL},
    {"chat.top_k", SCOPE_ROOT, FIELD_INT, "tokens", 0, 1000000, "40", NULL,
     "Draws among so many likeliest tokens; 0: among all.", true, STORE_INT,
     PROFILE(chat.sampling.top_k), 0, 0, NULL},
    {"chat.repetition_penalty", SCOPE_ROOT, FIELD_NUM, "", 0.1, 10, "1.0", NULL,
     "Makes tokens that came already less likely; 1: no.", true, STORE_FLOAT,
     PROFILE(chat.sampling.repetition_penalty), 0, 0, NULL},
    {"chat.max_new_tokens", SCOPE_ROOT, FIELD_INT, "tokens", 1, 1048576, "256", NULL,
     "The most tokens of an answer.", true, STORE_INT, PROFILE(chat.max_new_tokens), 0, 0, NULL},
    {"chat.system", SCOPE_ROOT, FIELD_TEXT, "", 0, 65536, "", NULL,
     "What the model is told before a conversation.", true, STORE_TEXT, PROFILE(chat.system), 0, 0,
     NULL},
};
const int profile_n_fields = COUNT(profile_fields);
_Static_assert(COUNT(profile_fields) <= FIELDS_MOST, "struct level has room for every row");

const struct one_of fields_one_of[] = {
    {{"warmup_ratio", "warmup_steps", NULL}},
    {{"batch_tokens", "gradient_accumulation_steps", NULL}},
    {{"epochs", "max_steps", "max_tokens"}},
};
const int fields_n_one_of = COUNT(fields_one_of);

const char *profile_field_words(const struct field *f)
{
    if (f->check == check_train) return "full! | lora! | embeddings | lm_head | norms | last:4";
    if (f->check == check_targets)
        return "all-linear! | q_proj | k_proj | v_proj | o_proj | gate_proj | up_proj | down_proj";
    return NULL;
}

bool profile_excludes(const char *path, const char *other)
{
    for (int g = 0; g < fields_n_one_of; g++) {
        int both = 0;
        for (size_t i = 0; i < COUNT(fields_one_of[g].paths) && fields_one_of[g].paths[i]; i++)
            both |= (strcmp(fields_one_of[g].paths[i], path) == 0) |
                    (strcmp(fields_one_of[g].paths[i], other) == 0) << 1;
        if (both == 3 && strcmp(path, other) != 0) return true;
    }
    return false;
}

/* Choices that profiles of later versions may hold. */
static const struct { const char *path, *word; } unbuilt[] = {
    {"guards.non_finite", "rollback"},
    {"guards.spike_action", "rollback"},
};

/* ---- finding rows ---- */

bool field_choice_is_unbuilt(const char *path, struct text word)
{
    size_t n = strlen(path);
    for (size_t i = 0; i < COUNT(unbuilt); i++) {
        size_t m = strlen(unbuilt[i].path);
        if (n >= m && strcmp(path + n - m, unbuilt[i].path) == 0 && text_is(word, unbuilt[i].word))
            return true;
    }
    return false;
}

bool field_choice(const char *choices, struct text word, int *index)
{
    *index = 0;
    for (const char *p = choices; p && *p; ++*index) {
        const char *end = strstr(p, " | ");
        size_t n = end ? (size_t)(end - p) : strlen(p);
        if (text_equal(word, (struct text){p, n})) return true;
        p = end ? end + 3 : NULL;
    }
    return false;
}

const struct field *field_find(const char *path, unsigned scopes)
{
    for (int i = 0; i < profile_n_fields; i++)
        if ((scopes & SCOPE_BIT(profile_fields[i].scope)) &&
            strcmp(profile_fields[i].path, path) == 0)
            return &profile_fields[i];
    return NULL;
}

bool field_is_group(const char *path, unsigned scopes)
{
    size_t n = strlen(path);
    for (int i = 0; i < profile_n_fields; i++)
        if ((scopes & SCOPE_BIT(profile_fields[i].scope)) &&
            strncmp(profile_fields[i].path, path, n) == 0 && profile_fields[i].path[n] == '.')
            return true;
    return false;
}

const char *field_nearest(const char *key, const char *group, unsigned scopes, struct arena *a)
{
    const char *names[FIELDS_MOST + 2];
    int n = 0;
    size_t skip = strlen(group);
    for (int i = 0; i < profile_n_fields; i++) {
        const char *p = profile_fields[i].path;
        if (!(scopes & SCOPE_BIT(profile_fields[i].scope)) || strncmp(p, group, skip) != 0)
            continue;
        if (skip && p[skip] != '.') continue;
        p += skip ? skip + 1 : 0;
        names[n++] = arena_string(a, p, strcspn(p, "."));
    }
    if (!skip && (scopes & SCOPE_BIT(SCOPE_ROOT))) {
        names[n++] = "datasets";
        names[n++] = "stages";
    }
    return text_nearest(key, names, n);
}

/* "stages.1.lora.rank" without what is an index or a name of the user's: the rest and its scopes.
 */
static const char *without_index(const char *path, unsigned *scopes)
{
    static const struct { const char *list; unsigned scopes; } lists[] = {
        {"stages.", SCOPES_STAGE}, {"datasets.", SCOPE_BIT(SCOPE_DATASET)}};
    *scopes = SCOPES_ROOT;
    for (size_t i = 0; i < COUNT(lists); i++) {
        size_t n = strlen(lists[i].list);
        const char *dot = strncmp(path, lists[i].list, n) == 0 ? strchr(path + n, '.') : NULL;
        if (!dot) continue;
        *scopes = lists[i].scopes;
        return dot + 1;
    }
    return path;
}

const struct field *profile_field(const char *path)
{
    unsigned scopes;
    const char *rest = without_index(path, &scopes);
    const struct field *f = field_find(rest, scopes);
    if (!f && (scopes & SCOPE_BIT(SCOPE_STAGE)) && strncmp(rest, "datasets.", 9) == 0)
        f = field_find("datasets", scopes);
    return f;
}

const char *profile_field_nearest(const char *path)
{
    unsigned scopes;
    const char *rest = without_index(path, &scopes), *names[FIELDS_MOST];
    int n = 0;
    for (int i = 0; i < profile_n_fields; i++)
        if (scopes & SCOPE_BIT(profile_fields[i].scope)) names[n++] = profile_fields[i].path;
    const char *near = text_nearest(rest, names, n);
    /* "rank" for "lora.rank": the last word alone is right. */
    for (int i = 0; i < n && !near; i++) {
        const char *dot = strrchr(names[i], '.'), *last = strrchr(rest, '.');
        if (dot && strcmp(dot + 1, last ? last + 1 : rest) == 0) near = names[i];
    }
    return near;
}
