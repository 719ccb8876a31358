/* world.h - the outside of the workbench: wishes are done here, and what came of them goes back to
 * the app.
 *
 * Everything that can take long is a job; a run is followed by reading its events from where one
 * was; a chat is a client. Nothing here draws. The terminal is needed only for a few wishes and
 * may be NULL. */
#ifndef HONE_WORLD_H
#define HONE_WORLD_H
#include "engine/run/sensors.h"
#include "tui/app.h"
#include "tui/job.h"
#include "tui/term.h"

enum job_kind { JOB_MODELS, JOB_PLAN, JOB_PREVIEW, JOB_LAUNCH, JOBS };
struct world {
    struct app *app;
    struct term *term;
    const struct places *places;
    struct arena arena;                    /* of one wish or one reading; dropped after each */
    struct job jobs[JOBS];
    struct follower follower; bool following;
    struct client *client; struct arena client_arena;
    double slow;                           /* when slow things (lists, loads) were looked at */
    struct sensors sensors;
    double cpu_at; long long cpu_ticks;    /* the last reading of the engine's process */
    bool quit, stopping;                   /* stopping: a run was asked to save and end */
    /* the last wish failed: those after it, leaving among them, are dropped */
    bool refused;
};
void world_start(struct world *w, struct app *a, struct term *t, const struct places *p);
void world_end(struct world *w);
void world_wishes(struct world *w);        /* does them all, in order */
void world_open_run(struct world *w, const char *dir);
void world_find_run(struct world *w);      /* opens the newest run that lives, if there is one */
/* jobs that ended, events and tokens that came; never blocks */
void world_news(struct world *w, double now);
#endif
