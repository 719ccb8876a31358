/* measure.c - what was learnt and what was forgotten: quizzes, hold-out loss, sample answers. */
#include "engine/run/train.h"
#include <math.h>
#include <string.h>

bool quiz_open(struct train *t, struct err *err)
{
    int n = t->profile.eval.n_quiz;
    t->quiz = NEW_N(t->a, struct quiz_row *, n);
    t->quiz_n = NEW_N(t->a, int, n);
    for (int i = 0; i < n; i++)
        if (!quiz_read(&t->quiz[i], &t->quiz_n[i], t->profile.eval.quiz[i], t->a, err))
            return false;
    return true;
}

/* In pieces, so that orders and chats do not wait for a whole quiz. */
static bool quiz_file(struct train *t, int file, int *right, struct err *err)
{
    enum { PIECE = 8 };
    *right = 0;
    for (int i = 0; i < t->quiz_n[file] && !t->stop; i += PIECE) {
        int n = t->quiz_n[file] - i < PIECE ? t->quiz_n[file] - i : PIECE, r;
        if (!quiz_score(t->model, t->in.tokenizer, t->in.template, &t->in.plan.model,
                        t->quiz[file] + i, n, t->profile.eval.max_new_tokens, &r, &t->stage_arena,
                        err) ||
            !orders_take(t, err))
            return false;
        *right += r;
    }
    return true;
}

bool quiz_run(struct train *t, struct err *err)
{
    for (int f = 0; f < t->profile.eval.n_quiz && !t->stop; f++) {
        int right;
        if (!quiz_file(t, f, &right, err)) return fail_in(err, "quiz %s", t->profile.eval.quiz[f]);
        if (t->stop) break; /* a quiz that was cut short has no score */
        struct event e = {.kind = EV_QUIZ,
                          .quiz = {t->at.step, text_of(path_base(t->profile.eval.quiz[f])), right,
                                   t->quiz_n[f], (double)right / t->quiz_n[f]}};
        journal_write(&t->journal, &e);
    }
    return true;
}

static bool hold_out_loss(struct train *t, double *loss, int64_t *trained, struct err *err)
{
    struct plan_stage *plan = plan_of(t);
    struct arena_mark mark = arena_mark(&t->stage_arena);
    float *losses = NEW_N(&t->stage_arena, float, plan->shape.rows);
    bool ok = true;
    double sum = 0;
    *trained = 0;
    for (int64_t w = 0; ok && w < t->held_out->windows && !t->stop; w += plan->micro_batch) {
        int n = t->held_out->windows - w < plan->micro_batch ? (int)(t->held_out->windows - w)
                                                             : plan->micro_batch;
        ok = stream_batch(t->held_out, w, n, &t->batch, err) &&
             model_losses(t->model, &t->batch, losses, err) && orders_take(t, err);
        for (int i = 0; ok && i < t->batch.rows; i++) sum += losses[i];
        *trained += t->batch.trained;
    }
    *loss = *trained ? sum / (double)*trained : NAN;
    arena_back(&t->stage_arena, mark);
    return ok;
}

static bool samples(struct train *t, struct err *err)
{
    for (int i = 0; i < t->profile.eval.n_prompts && !t->stop; i++) {
        struct arena_mark mark = arena_mark(&t->stage_arena);
        struct buf got = buf_make(&t->stage_arena);
        struct text prompt = text_of(t->profile.eval.prompts[i]);
        if (!ask_greedily(t->model, t->in.tokenizer, t->in.template, &t->in.plan.model, prompt,
                          t->profile.eval.max_new_tokens, &got, &t->stage_arena, err))
            return fail_in(err, "sample prompt %d", i + 1);
        struct event e = {.kind = EV_SAMPLE, .sample = {t->at.step, prompt, buf_text(&got)}};
        journal_write(&t->journal, &e);
        arena_back(&t->stage_arena, mark);
    }
    return true;
}

bool validate(struct train *t, struct err *err)
{
    double loss;
    int64_t trained;
    if (t->held_out) {
        if (!hold_out_loss(t, &loss, &trained, err)) return fail_in(err, "validation");
        if (t->stop) return true;
        bool best = isfinite(loss) && !(loss >= t->at.best);
        t->at.validation = loss;
        if (best) t->at.best = loss;
        struct event e = {.kind = EV_VALIDATION, .validation = {t->at.step, loss, trained, best}};
        journal_write(&t->journal, &e);
        if (best && t->profile.save.keep_best && !train_save(t, "best", err)) return false;
    }
    return samples(t, err);
}
