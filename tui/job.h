/* job.h - work that may take long, in a process of its own, so that no screen waits for it.
 *
 * `hone check`, `hone models` and `hone preview` run as children and their JSON comes back through
 * a pipe; a launch runs in a fork that has loaded nothing. A job that is started again ends the
 * old one. */
#ifndef HONE_JOB_H
#define HONE_JOB_H
#include "engine/base/base.h"

struct job { int pid, out, err; struct buf said, complaint; struct arena arena; };
#define JOB_IDLE ((struct job){.out = -1, .err = -1})
/* argv[0] is the program; NULL-terminated. */
bool job_start(struct job *j, const char *const *argv, struct err *err);
/* A function in a child: what it writes to fd 1 is its answer, its return value the exit code. */
bool job_fork(struct job *j, int (*work)(void *arg), void *arg, struct err *err);
/* Takes what came; true once the process has ended, with its exit code. */
bool job_poll(struct job *j, int *code);
/* The last complaint as one sentence without "hone: ", or that it ended by a signal. */
const char *job_error(struct job *j, int code);
void job_end(struct job *j); /* kills what still runs and gives everything back */
#endif
