/* term.h - the terminal: the only place that knows curses, signals and escape sequences.
 *
 * A frame is one write(2): curses draws into a memory file and its bytes go out together,
 * non-blocking, on a file description of our own, so that a stalled line never blocks the program
 * and the shell's standard input keeps its flags. Each frame ends with a question (CSI 5 n); the
 * next is drawn when the terminal has answered, so that a slow line shows fewer frames instead of
 * old ones. A terminal that does not answer within two seconds is asked no more.
 *
 * Signals only write a byte to a pipe. A crash puts the terminal back before the process dies.
 * One terminal a process; one thread. */
#ifndef HONE_TERM_H
#define HONE_TERM_H
#include "tui/grid.h"

struct term {
    /* for poll: keys and room to write; signals; what others print to 1 and 2 */
    int fd, wake, stray;
    int w, h;
    enum glyphs glyphs;           /* what the terminal is believed to show */
    bool waits;                   /* bytes are left to write: poll for POLLOUT */
    bool unanswered; double asked;/* a frame is out, since when */
    struct term_private *own;
};

/* Refused in a sentence where there is no terminal, or one that cannot move its cursor. */
bool term_open(struct term *t, enum glyphs wanted, struct arena *a, struct err *err);
void term_close(struct term *t); /* prints what others had printed, after the screen is gone */
bool term_ready(struct term *t, double now);          /* may a frame be drawn now? */
void term_show(struct term *t, const struct grid *g, double now);
void term_flush(struct term *t);                      /* there is room to write */
void term_answered(struct term *t);
/* bytes for the terminal itself (clipboard), after the frame */
void term_send(struct term *t, const char *p, size_t n);
void term_measure(struct term *t);                    /* w and h anew */
void term_mouse(struct term *t, bool on);                /* clicks and the wheel are sent to us */
void term_repaint(struct term *t);                    /* the next frame draws everything */
/* Hands the terminal back and takes it again: an editor, Ctrl-Z. */
void term_pause(struct term *t);
void term_resume(struct term *t);
/* The next signal's number from `wake`, 0: none. */
int term_signal(struct term *t);
/* Bytes of what others printed, -1: none now. */
long term_stray(struct term *t, char *out, size_t n);
#endif
