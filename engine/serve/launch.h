/* launch.h - private to engine/serve: who holds a run. */
#ifndef HONE_LAUNCH_H
#define HONE_LAUNCH_H
#include "engine/serve/serve.h"

/* Takes RUN/lock (flock) or says who has it. Held as long as the descriptor, or a copy of it, is open. */
bool lock_take(int *fd, const char *run_dir, struct err *err);
#endif
