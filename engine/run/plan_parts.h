/* plan_parts.h - private to engine/run: the pieces that a plan is made of. */
#ifndef HONE_PLAN_PARTS_H
#define HONE_PLAN_PARTS_H
#include "engine/format/json.h"
#include "engine/run/plan.h"
#include "engine/run/profile_parts.h"

/* Chooses recompute and micro-batch of a stage whose windows are known, and makes its layout. */
bool plan_fit(struct plan_inputs *in, struct plan_stage *p, const struct settings *s,
              struct arena *a, struct err *err);
int64_t plan_bytes_most(
    const struct plan_inputs *in); /* device memory that a plan may take; INT64_MAX: not known */

/* Seconds of a stage and where the number comes from. */
const char *plan_speed_key(const struct plan_inputs *in, const struct plan_stage *p,
                           struct arena *a);
void plan_time(struct plan_inputs *in, struct arena *a);
const struct json *plan_speeds(const struct places *places, struct arena *a);
#endif
