/* form_step.c - + and - on a number: the next value that people use for it.
 *
 * Learning rates go 1, 1.5, 2, 3, 5, 7 and again a decade on; counts of tokens and widths double;
 * steps go 1, 2, 5; shares go by hundredths where they are small and by twentieths else; the rest
 * by one. A number keeps the way it is written: 3%, 16k, 2e-4. */
#include "tui/app.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum ladder { BY_ONE, BY_TENTH, BY_HALVES, BY_DECADE, BY_RATE, BY_SHARE, BY_WEIGHT };
static const struct {
    const char *path;
    enum ladder ladder;
} ladders[] = {{"learning_rate", BY_RATE},
               {"optimizer.eps", BY_DECADE},
               {"optimizer.weight_decay", BY_DECADE},
               {"max_grad_norm", BY_DECADE},
               {"optimizer.beta1", BY_SHARE},
               {"optimizer.beta2", BY_SHARE},
               {"lora.rank", BY_HALVES},
               {"lora.alpha", BY_HALVES},
               {"micro_batch_size", BY_HALVES},
               {"gradient_accumulation_steps", BY_HALVES},
               {"chat.temperature", BY_TENTH},
               {"chat.repetition_penalty", BY_TENTH},
               {"datasets", BY_WEIGHT}};
static const struct {
    const char *unit;
    enum ladder ladder;
} units[] = {{"tokens", BY_HALVES}, {"steps", BY_DECADE}, {"rows", BY_DECADE}, {"share", BY_SHARE}};

static enum ladder ladder_of(const struct field *f)
{
    for (size_t i = 0; i < COUNT(ladders); i++)
        if (strcmp(ladders[i].path, f->path) == 0) return ladders[i].ladder;
    for (size_t i = 0; i < COUNT(units); i++)
        if (strcmp(units[i].unit, f->unit) == 0) return units[i].ladder;
    return BY_ONE;
}

/* ---- a number as it is written ---- */

static const struct {
    const char *suffix;
    double times;
} suffixes[] = {{"Ki", 1024}, {"Mi", 1048576}, {"Gi", 1073741824}, {"k", 1e3},
                {"M", 1e6},   {"G", 1e9},      {"%", 0.01},        {"", 1}};

/* false: it is no number (auto, nothing). */
static bool number_read(double *out, int *suffix, struct text value)
{
    char text[64], *end;
    snprintf(text, sizeof text, "%.*s", (int)(value.n < 60 ? value.n : 60), value.n ? value.p : "");
    *out = strtod(text, &end);
    if (end == text) return false;
    for (size_t i = 0; i < COUNT(suffixes); i++)
        if (strcmp(end, suffixes[i].suffix) == 0) {
            *suffix = (int)i;
            *out *= suffixes[i].times;
            return true;
        }
    return false;
}

/* The mantissa and its exponent by itself where it is small ("2e-4"); else plain. */
static void number_write(char out[64], double v, int suffix)
{
    double shown = v / suffixes[suffix].times;
    if (shown >= 0.001 || shown == 0 || suffixes[suffix].suffix[0]) {
        if (shown != 0 && suffixes[suffix].times > 1 && shown < 1) shown = v, suffix = 7;
        snprintf(out, 64, "%.9g%s", shown, suffixes[suffix].suffix);
        return;
    }
    int exponent = (int)floor(log10(shown) + 1e-9);
    snprintf(out, 64, "%.4ge%d", shown / pow(10, exponent), exponent);
}

/* ---- ladders ---- */

/* The next of `rungs` (mantissas from 1 to below 10) in any decade above or below v. */
static double decade_step(double v, const double *rungs, int n, int by)
{
    if (v <= 0) return by > 0 ? rungs[0] : 0;
    double unit = pow(10, floor(log10(v) + 1e-9)), m = v / unit;
    if (by > 0) {
        for (int i = 0; i < n; i++)
            if (rungs[i] > m * (1 + 1e-6)) return rungs[i] * unit;
        return 10 * unit;
    }
    for (int i = n; i-- > 0;)
        if (rungs[i] < m * (1 - 1e-6)) return rungs[i] * unit;
    return rungs[n - 1] * unit / 10;
}

static double grid_step(double v, double size, int by)
{
    double n = v / size;
    return size * (by > 0 ? floor(n + 1e-6) + 1 : ceil(n - 1e-6) - 1);
}

static double climb(enum ladder ladder, double v, bool whole, int by)
{
    static const double rates[] = {1, 1.5, 2, 3, 5, 7}, decades[] = {1, 2, 5};
    switch (ladder) {
    case BY_RATE: return v > 0 ? decade_step(v, rates, COUNT(rates), by) : by > 0 ? 1e-5 : 0;
    case BY_DECADE:
        if (v <= 0) return by < 0 ? -1 : whole ? 1 : 0.01;
        if (whole && v <= 1 && by < 0) return 0;
        return decade_step(v, decades, COUNT(decades), by);
    case BY_HALVES:
        return v <= 0 ? (by > 0 ? 1 : -1) : by > 0 ? v * 2 : whole ? floor(v / 2) : v / 2;
    case BY_TENTH: return grid_step(v, 0.1, by);
    case BY_WEIGHT: return grid_step(v, v < 1 - 1e-9 || (by < 0 && v <= 1 + 1e-9) ? 0.1 : 1, by);
    case BY_SHARE: {
        bool fine = v < 0.1 - 1e-9 || (by < 0 && v < 0.1 + 1e-9) || v > 0.9 + 1e-9 ||
                    (by > 0 && v > 0.9 - 1e-9);
        return grid_step(v, fine ? 0.01 : 0.05, by);
    }
    default: return grid_step(v, 1, by);
    }
}

bool form_step(char out[64], const struct field *f, struct text value, int by)
{
    double v = 0, next;
    int suffix = (int)COUNT(suffixes) - 1;
    bool known = number_read(&v, &suffix, value);
    enum ladder ladder = ladder_of(f);
    if (!known) v = 0;
    next = climb(ladder, v, f->type == FIELD_INT, by);
    if (next < f->least && by > 0) next = f->least;
    if (next > f->most) next = f->most;
    if (next < f->least || (known && fabs(next - v) <= fabs(v) * 1e-9)) return false;
    number_write(out, next, suffix);
    return true;
}
