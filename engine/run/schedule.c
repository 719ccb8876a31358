/* schedule.c - the learning rate of a step. With s the 0-based step, W the warm-up steps, T all
 * steps and m = min_lr_ratio: s < W gives lr (s + 1) / W; then with p = (s - W) / (T - W):
 *
 *   constant  lr
 *   linear    lr (1 - (1 - m) p)
 *   cosine    lr (m + (1 - m) (1 + cos(pi p)) / 2)
 *   wsd       lr up to p = 0.9, then lr (1 - (1 - m) q) with q = (p - 0.9) / 0.1 */
#include "engine/run/plan.h"
#include <math.h>

static double keep(double p, double m) { (void)p, (void)m; return 1; }
static double fall(double p, double m) { return 1 - (1 - m) * p; }
static double wave(double p, double m) { return m + (1 - m) * (1 + cos(M_PI * p)) / 2; }
static double late(double p, double m) { return p < 0.9 ? 1 : fall((p - 0.9) / 0.1, m); }

double schedule_at(const struct settings *s, int64_t step, int64_t warmup, int64_t steps)
{
    static double (*const shapes[])(double p, double m) = {[SCHEDULE_CONSTANT] = keep,
                                                           [SCHEDULE_LINEAR] = fall,
                                                           [SCHEDULE_COSINE] = wave,
                                                           [SCHEDULE_WSD] = late};
    if (step < warmup) return s->learning_rate * (double)(step + 1) / (double)warmup;
    double p = steps > warmup ? (double)(step - warmup) / (double)(steps - warmup) : 1;
    return s->learning_rate * shapes[s->schedule](p > 1 ? 1 : p, s->min_lr_ratio);
}
