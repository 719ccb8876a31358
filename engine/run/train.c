/* train.c - a run from its folder to its end: prepare, then stage by stage.
 *
 * A stage begins by opening the model with that stage's layout from the newest checkpoint (or the
 * base) and ends with a checkpoint. So a resume and a change of stages are the same thing. */
#include "engine/run/train.h"
#include "engine/format/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- preparing ---- */

/* The peaks that `hone check` promised by, so that a start does not wait for a measurement; they
 * are measured where they are of other threads or another backend. */
static void peaks(struct train *t)
{
    struct machine known;
    const struct device_info *d = &t->machine.device;
    if (machine_remembered(&known, t->places, t->a) && known.device.threads == d->threads &&
        strcmp(known.device.backend, d->backend) == 0) {
        t->machine.peak_f32 = known.peak_f32;
        t->machine.peak_bf16 = known.peak_bf16;
        return;
    }
    t->machine.peak_f32 = t->k->peak(t->device, F32);
    t->machine.peak_bf16 = t->k->peak(t->device, BF16);
}

/* The backend that was asked for, else that of the profile's device. auto is the processor: a GPU is
 * used where it is asked for, until the GPU's backend has been seen on a device. */
static const char *backend_wanted(const struct run_options *o, const char *device)
{
    if (o->backend) return o->backend;
    return strncmp(device, "cuda", 4) == 0 ? "cuda" : "cpu";
}

const char *run_queue(const char *dir, const struct run_options *o, struct arena *a)
{
    struct profile p;
    struct problems problems = {0};
    struct err err;
    if (!profile_read(&p, run_path(a, dir, "profile.yaml"), NULL, 0, &problems, a, &err))
        return "cpu";
    int index = device_index(p.device, &err);
    bool cuda = strcmp(backend_wanted(o, p.device), "cuda") == 0 && index >= 0;
    return cuda ? arena_printf(a, "cuda-%d", index) : "cpu";
}

static bool device_open(struct train *t, struct err *err)
{
    char why[400];
    const char *name = backend_wanted(t->options, t->profile.device);
    bool cuda = strcmp(name, "cuda") == 0;
    int index = cuda ? device_index(t->profile.device, err) : 0;
    if (index < 0) return false;
    t->k = kernels_load(name, t->places->plugins, why, sizeof why);
    if (!t->k) return fail(err, "backend %s: %s", name, why);
    t->pool = pool_make(t->options->threads);
    if (!t->pool) return fail(err, "the system refuses threads; see `ulimit -u`");
    if (!t->k->open(&t->device, index, t->pool, why, sizeof why))
        return fail(err, "backend %s: %s", name, why);
    t->k->info(t->device, &t->machine.device);
    snprintf(t->machine.device_name, sizeof t->machine.device_name, cuda ? "cuda:%d" : "cpu",
             index);
    peaks(t);
    return true;
}

static bool profile_open(struct train *t, struct err *err)
{
    struct problems problems = {0};
    return profile_read(&t->profile, run_path(t->a, t->dir, "profile.yaml"), NULL, 0, &problems,
                        t->a, err);
}

static bool prepare_progress(void *arg, const char *source, int64_t rows, int64_t done, int64_t all)
{
    struct train *t = arg;
    struct err ignored;
    (void)rows;
    struct event e = {.kind = EV_PROGRESS, .progress = {text_of(source), done, all}};
    journal_write(&t->journal, &e);
    return orders_take(t, &ignored) && !t->stop;
}

/* The first start pins what `auto` chose, so that the folder repeats the run. */
static bool pin(struct train *t, struct profile *pinned, struct err *err)
{
    struct buf b = buf_make(t->a);
    const char *plan = run_path(t->a, t->dir, "plan.json");
    if (path_exists(plan)) return true;
    profile_write(pinned, &b);
    if (!file_replace(run_path(t->a, t->dir, "profile.yaml"), buf_text(&b), err)) return false;
    b = buf_make(t->a);
    plan_write_json(&t->in.plan, pinned, &b);
    return file_replace(plan, buf_text(&b), err);
}

static bool plan_for(struct train *t, struct err *err)
{
    t->in =
        (struct plan_inputs){.profile = &t->profile, .places = t->places, .machine = &t->machine};
    t->in.data.pool = t->pool;
    t->in.data.progress = prepare_progress;
    t->in.data.arg = t;
    struct profile *pinned = NEW(t->a, struct profile);
    if (!plan_open(&t->in, t->a, err)) return false;
    *pinned = t->profile;
    if (!plan_make(&t->in, pinned, t->a, err) || !pin(t, pinned, err)) return false;
    t->profile = *pinned;
    t->peak = t->in.plan.compute == BF16 && t->machine.device.fast[BF16] ? t->machine.peak_bf16
                                                                         : t->machine.peak_f32;
    return true;
}

/* Room for one checkpoint must be there; for all that are kept there is a warning. */
static bool disk_is_there(struct train *t, struct err *err)
{
    char need[24], have[24];
    int64_t there = disk_free(t->dir), one = t->in.plan.checkpoint_bytes;
    int64_t all = one * (t->profile.save.total_limit + 1);
    if (there < 0 || there >= all) return true;
    if (there < one)
        return fail(err,
                    "a checkpoint takes %s and %s has %s free; make room, or set HONE_HOME or "
                    "--run-dir to another disk",
                    text_bytes(need, one), t->dir, text_bytes(have, there));
    journal_note(&t->journal, "warning", t->at.step,
                 "%s free for checkpoints that may take %s (save.total_limit %d); a full disk will "
                 "pause the run",
                 text_bytes(have, there), text_bytes(need, all), t->profile.save.total_limit);
    return true;
}

/* Learning rates ordered in an earlier life, after the checkpoint that is resumed: they count
 * again. */
static bool orders_recall(struct train *t, struct err *err)
{
    const char *path = run_path(t->a, t->dir, "orders.jsonl");
    struct text s;
    int cap = 0;
    if (!path_exists(path)) return true;
    if (!file_read(&s, path, 64 << 20, t->a, err)) return false;
    for (size_t at = 0; at < s.n;) {
        const char *end = memchr(s.p + at, '\n', s.n - at);
        size_t n = end ? (size_t)(end - s.p) - at : s.n - at;
        const struct json *o;
        struct err torn;
        if (json_parse(&o, (struct text){s.p + at, n}, path, (struct json_limits){0}, t->a,
                       &torn)) {
            const struct json *kind = json_get(o, "order"), *value = json_get(o, "value");
            const struct json *step = json_get(o, "step"), *stage = json_get(o, "stage");
            bool rate = kind && value && step && stage && kind->kind == JSON_TEXT &&
                        text_is(kind->text, "learning_rate");
            if (rate && step->integer >= t->at.step) {
                ROOM(t->a, t->replay, t->n_replay, cap);
                t->replay[t->n_replay++] =
                    (struct replayed){step->integer, stage->integer, value->number};
            }
        }
        at += n + 1;
    }
    return true;
}

static void resumed_event(struct train *t, const struct manifest *m)
{
    struct buf why = buf_make(t->a);
    bool adapter = m && m->adapter;
    bool exact = !m || maker_same(&m->maker, &t->maker, adapter, &why);
    if (!m) buf_printf(&why, "nothing was saved yet, so it begins again");
    struct event e = {.kind = EV_RESUMED,
                      .resumed = {t->at.step, text_of(m ? t->last.name : "the start"),
                                  exact ? TEXT("exact") : TEXT("close"), buf_text(&why)}};
    journal_write(&t->journal, &e);
    if (!exact)
        journal_note(&t->journal, "warning", t->at.step,
                     "resumed close to what it was, not bit by bit: %s", why.p);
}

/* `again`: the run was started before. */
static bool resume_point(struct train *t, bool again, struct err *err)
{
    struct manifest m;
    struct err damage;
    t->at = (struct progress){.best = NAN, .validation = NAN};
    t->maker = maker_of(t->dir, &t->in.plan, &t->machine.device, t->places, t->a);
    bool found = checkpoint_newest(&t->last, t->dir, VERIFY_ALL, t->a, &damage);
    if (damage.text[0] && !found)
        return fail(
            err, "no checkpoint can be used: %s. To begin again from step 0 remove %s/ckpt first",
            damage.text, t->dir);
    if (damage.text[0])
        journal_note(&t->journal, "warning", t->last.step,
                     "a checkpoint cannot be used: %s; going on from %s", damage.text,
                     t->last.name);
    if (!found) {
        t->last = (struct checkpoint){.name = NULL};
        if (again) resumed_event(t, NULL);
        return metrics_cut(&t->journal, 0, err) && orders_recall(t, err);
    }
    if (!manifest_read(&m, t->last.path, t->a, err)) return false;
    t->at = m.progress;
    if (t->at.stage >= t->profile.n_stages)
        return fail(err, "checkpoint %s is of stage %lld and the profile has %d stages",
                    t->last.name, (long long)t->at.stage + 1, t->profile.n_stages);
    resumed_event(t, &m);
    return metrics_cut(&t->journal, t->at.step, err) && orders_recall(t, err);
}

static void start_event(struct train *t)
{
    const struct device_info *d = &t->machine.device;
    struct event e = {.kind = EV_START,
                      .start = {.version = text_of(HONE_VERSION),
                                .backend = text_of(d->backend),
                                .device = text_of(d->name),
                                .isa = text_of(d->isa),
                                .library = text_of(d->library),
                                .threads = d->threads,
                                .dtype = text_of(t->in.plan.compute == BF16 ? "bf16" : "fp32"),
                                .steps = t->in.plan.steps,
                                .parameters = t->in.plan.model.parameters,
                                .bytes_planned = t->in.plan.bytes_peak}};
    journal_write(&t->journal, &e);
    t->journal.now.steps = t->in.plan.steps;
}

static bool prepare(struct train *t, struct err *err)
{
    journal_state(&t->journal, RUN_PREPARING, t->journal.now.step,
                  "reading the profile, the model and the data");
    bool again = path_exists(run_path(t->a, t->dir, "plan.json"));
    return profile_open(t, err) && device_open(t, err) && plan_for(t, err) && resume_point(t, again, err) &&
           disk_is_there(t, err) && quiz_open(t, err);
}

/* ---- a stage ---- */

static bool same_adapter(const struct lora *x, const struct lora *y)
{
    return x->rank == y->rank && x->targets == y->targets &&
           x->rank_stabilised == y->rank_stabilised && x->alpha == y->alpha;
}

/* Where the weights of the current stage come from: this stage's own checkpoint, the last stage's,
 * or the base. */
static struct model_files stage_files(struct train *t)
{
    const struct training *now = &plan_of(t)->training;
    const char *init = stage_of(t)->set.lora.init_from;
    struct model_files f = {.base = t->in.plan.model_dir};
    if (!t->last.name) {
        if (now->lora.rank && init && init[0]) f.adapter = init;
        return f;
    }
    const struct training *then = &t->in.plan.stages[t->last.stage].training;
    const char *training = run_path(t->a, t->last.path, "training.safetensors");
    bool same_stage = t->last.stage == t->at.stage;
    bool adapter_goes_on =
        t->last.adapter && now->lora.rank && same_adapter(&now->lora, &then->lora);
    f.base = adapter_goes_on ? t->last.base : t->last.path;
    if (adapter_goes_on || (!t->last.adapter && !now->lora.rank)) f.training = training;
    f.moments = same_stage && t->at.stage_step > 0;
    return f;
}

static bool held_out_open(struct train *t, struct err *err)
{
    const struct stage *s = stage_of(t);
    struct stream_spec spec = {.held_out = true, .seed = (uint64_t)t->profile.seed};
    struct mix *mix = NEW_N(&t->stage_arena, struct mix, s->n_mix);
    t->held_out = NULL;
    for (int i = 0; i < s->n_mix; i++) {
        const struct source *source = &t->in.plan.sources[s->mix[i].dataset];
        if (source->held_out > 0) mix[spec.n_mix++] = (struct mix){source, 1};
    }
    if (spec.n_mix == 0 || t->profile.eval.every_steps <= 0) return true;
    spec.mix = mix;
    t->held_out = NEW(&t->stage_arena, struct stream);
    return stream_make(t->held_out, &spec, &t->in.data, &t->stage_arena, err);
}

static void stage_event(struct train *t)
{
    struct plan_stage *p = plan_of(t);
    const int64_t *own = p->layout.owned;
    struct event e = {.kind = EV_STAGE,
                      .stage = {t->at.stage, text_of(stage_of(t)->name),
                                t->at.step - t->at.stage_step, p->steps, p->stream.buckets,
                                p->layout.parameters_trained, own[OWN_WEIGHTS], own[OWN_MASTERS],
                                own[OWN_MOMENTS], own[OWN_GRADIENTS], own[OWN_ACTIVATIONS],
                                own[OWN_CACHE], own[OWN_WORKSPACE]}};
    journal_write(&t->journal, &e);
    t->journal.now.stage = stage_of(t)->name;
}

static bool stage_open(struct train *t, struct err *err)
{
    struct plan_stage *p = plan_of(t);
    struct model_files files = stage_files(t);
    if (!held_out_open(t, err)) return false;
    t->batch = batch_make(&t->stage_arena, p->shape.rows);
    if (!model_open(&t->model, &t->in.plan.model, &p->training, &p->shape, &p->layout, &files,
                    (uint64_t)t->profile.seed, t->k, t->device, &t->stage_arena, err))
        return false;
    stage_event(t);
    journal_state(&t->journal, RUN_TRAINING, t->at.step, "stage %s", stage_of(t)->name);
    return true;
}

/* What this stage did a second, for the time estimates of later plans. A second of it is the least
 * to go by. */
static void speed_keep(struct train *t)
{
    struct err err = {{0}};
    if (t->seconds_timed >= 1 &&
        !plan_remember_speed(t->places, plan_of(t)->speed_key, path_base(t->dir),
                             (double)t->rows_timed / t->seconds_timed, &t->stage_arena, &err))
        say(LOG_WARN, "the speed of this stage is not kept: %s", err.text);
    t->rows_timed = 0;
    t->seconds_timed = 0;
}

static void stage_close(struct train *t)
{
    speed_keep(t);
    if (t->model) model_close(t->model);
    t->model = NULL;
    t->held_out = NULL;
    arena_drop(&t->stage_arena);
}

static bool stage_edge(struct train *t, struct err *err)
{
    const struct profile *p = &t->profile;
    if (p->eval.every_steps > 0 && t->at.step % p->eval.every_steps == 0 && !validate(t, err))
        return false;
    if (p->save.every_steps > 0 && t->at.step % p->save.every_steps == 0 && !t->stop &&
        !train_save(t, "every_steps", err))
        return false;
    return true;
}

static bool stage_steps(struct train *t, struct err *err)
{
    while (t->at.stage_step < plan_of(t)->steps && !t->stop && !t->failed) {
        if (!step_run(t, err)) return false;
        if (!t->failed && !stage_edge(t, err)) return false;
        if (!orders_take(t, err)) return false;
        if (now_monotonic() - t->beaten < 1) continue;
        journal_beat(&t->journal);
        t->beaten = now_monotonic();
    }
    return true;
}

static bool stage_run(struct train *t, struct err *err)
{
    bool first = t->at.stage == 0 && t->at.step == 0, last = t->at.stage + 1 == t->profile.n_stages;
    if (!stage_open(t, err)) return fail_in(err, "stage %s", stage_of(t)->name);
    if (first && !quiz_run(t, err)) return false;
    if (!orders_take(t, err) || !stage_steps(t, err))
        return fail_in(err, "stage %s", stage_of(t)->name);
    if (t->failed) return fail(err, "%s", t->failed);
    bool ended = t->at.stage_step == plan_of(t)->steps;
    if (t->at.stage_step > 0 || t->stop)
        if (!train_save(t, t->stop ? "stop" : last ? "end" : "stage", err)) return false;
    return !ended || t->stop || quiz_run(t, err);
}

/* ---- the run ---- */

static bool stages_run(struct train *t, struct err *err)
{
    start_event(t);
    for (;;) {
        bool done =
            t->last.name && t->last.stage == t->at.stage && t->at.stage_step == plan_of(t)->steps;
        if (done && t->at.stage + 1 == t->profile.n_stages) return true;
        if (done) {
            t->at.stage++;
            t->at.stage_step = 0;
            t->at.learning_rate = 0; /* an order's rate counts for its stage */
        }
        bool ok = stage_run(t, err);
        stage_close(t);
        if (!ok) return false;
        if (t->stop) return true;
    }
}

static bool link_final(struct train *t, struct err *err)
{
    const char *link = run_path(t->a, t->dir, "final"),
               *beside = run_path(t->a, t->dir, ".final.tmp");
    unlink(beside);
    if (symlink(arena_printf(t->a, "ckpt/%s", t->last.name), beside) != 0 ||
        rename(beside, link) != 0)
        return fail_errno(err, "cannot link %s", link);
    return dir_sync(t->dir, err);
}

bool run_train(const char *dir, const struct run_options *o, const struct run_hooks *hooks,
               const struct places *places, struct arena *a, struct err *err)
{
    struct train t = {.dir = dir, .options = o, .hooks = hooks, .places = places, .a = a};
    t.journal.event = hooks->event;
    t.journal.arg = hooks->arg;
    t.journal.now.loss = NAN;
    if (!journal_open(&t.journal, dir, a, err)) return false;
    bool ok = prepare(&t, err) && (t.stop || stages_run(&t, err));
    if (ok && !t.stop) ok = link_final(&t, err);
    if (t.model) stage_close(&t);
    bool stopped = t.stop;
    if (stopped && !ok) journal_state(&t.journal, RUN_STOPPED, t.at.step, "%.400s", err->text);
    else if (stopped)
        journal_state(&t.journal, RUN_STOPPED, t.at.step,
                      "stopped at step %lld; resume goes on from %s", (long long)t.at.step,
                      t.last.name ? t.last.name : "the start");
    else if (ok)
        journal_state(&t.journal, RUN_DONE, t.at.step, "all %lld steps; the model is in %s",
                      (long long)t.at.step, t.last.name);
    else journal_state(&t.journal, RUN_FAILED, t.at.step, "%.400s", err->text);
    plan_close(&t.in);
    if (t.device) t.k->close(t.device);
    if (t.pool) pool_drop(t.pool);
    journal_close(&t.journal);
    arena_drop(&t.last_arena);
    return ok || stopped;
}
