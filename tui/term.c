/* term.c - curses into a memory file, one write a frame, signals through a pipe. */
#define NCURSES_NOMACROS 1
#define NCURSES_WIDECHAR 1
#include "tui/term.h"
#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#define BEGIN_MODES "\33[?2004h" /* bracketed paste */
#define MOUSE_ON "\33[?1000h\33[?1006h"
#define MOUSE_OFF "\33[?1006l\33[?1000l"
#define END_MODES MOUSE_OFF "\33[?2026l\33[?2004l"
#define SYNC_BEGIN "\33[?2026h"
#define SYNC_END "\33[?2026l"
#define ASK "\33[5n"
#define ANSWER_SECONDS 2.0
#define TAIL_BYTES 4096

struct term_private {
    SCREEN *screen;
    FILE *file;
    int curses_fd, tty_copy, memory, wake_write;
    int old_out, old_err, stray_write;
    struct grid shown;
    bool all, sync, ask, colours, utf8, mouse;
    struct arena *a;
    struct buf out;
    size_t sent;
    char tail[TAIL_BYTES];
    size_t tail_n;
    cchar_t *line;
};

/* What signal handlers may touch. */
static volatile int signal_pipe = -1, crash_fd = -1;
static struct termios crash_modes;
static const int watched[] = {SIGWINCH, SIGTERM, SIGHUP,  SIGINT,
                              SIGQUIT,  SIGTSTP, SIGCONT, SIGCHLD};
static const int crashes[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
static char crash_stack[65536];

static void on_signal(int number)
{
    int saved = errno;
    unsigned char byte = (unsigned char)number;
    if (signal_pipe >= 0) (void)!write(signal_pipe, &byte, 1);
    errno = saved;
}

static void on_crash(int number)
{
    static const char bytes[] = END_MODES "\33[0m\33[?1049l\33[?25h\r\n";
    if (crash_fd >= 0) {
        fcntl(crash_fd, F_SETFL, 0);
        (void)!write(crash_fd, bytes, sizeof bytes - 1);
        tcsetattr(crash_fd, TCSANOW, &crash_modes);
    }
    signal(number, SIG_DFL);
    raise(number);
}

static bool signals_open(struct term *t, struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0)
        return fail_errno(err, "cannot make a pipe for signals");
    t->wake = ends[0];
    signal_pipe = t->own->wake_write = ends[1];
    struct sigaction on = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    for (size_t i = 0; i < COUNT(watched); i++) sigaction(watched[i], &on, NULL);
    signal(SIGPIPE, SIG_IGN);
    stack_t stack = {.ss_sp = crash_stack, .ss_size = sizeof crash_stack};
    sigaltstack(&stack, NULL);
    struct sigaction crash = {.sa_handler = on_crash,
                              .sa_flags = SA_ONSTACK | (int)SA_RESETHAND | SA_NODEFER};
    for (size_t i = 0; i < COUNT(crashes); i++) sigaction(crashes[i], &crash, NULL);
    return true;
}

static void signals_close(struct term *t)
{
    for (size_t i = 0; i < COUNT(watched); i++) signal(watched[i], SIG_DFL);
    for (size_t i = 0; i < COUNT(crashes); i++) signal(crashes[i], SIG_DFL);
    signal_pipe = crash_fd = -1;
    close(t->wake);
    close(t->own->wake_write);
}

/* What anybody prints to 1 and 2 would break the screen: it goes into a pipe and is shown later. */
static bool stray_open(struct term *t, struct err *err)
{
    struct term_private *o = t->own;
    int ends[2];
    fflush(NULL);
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0)
        return fail_errno(err, "cannot make a pipe for the output of others");
    t->stray = ends[0];
    o->stray_write = ends[1];
    o->old_out = fcntl(1, F_DUPFD_CLOEXEC, 3);
    o->old_err = fcntl(2, F_DUPFD_CLOEXEC, 3);
    dup2(o->stray_write, 1);
    dup2(o->stray_write, 2);
    return true;
}

static void stray_close(struct term *t)
{
    struct term_private *o = t->own;
    char rest[1024];
    fflush(NULL);
    while (term_stray(t, rest, sizeof rest) > 0) {}
    if (o->old_out >= 0) {
        dup2(o->old_out, 1);
        close(o->old_out);
    }
    if (o->old_err >= 0) {
        dup2(o->old_err, 2);
        close(o->old_err);
    }
    close(t->stray);
    close(o->stray_write);
    if (o->tail_n) (void)!write(2, o->tail, o->tail_n);
}

long term_stray(struct term *t, char *out, size_t n)
{
    struct term_private *o = t->own;
    ssize_t got = read(t->stray, out, n);
    if (got <= 0) return -1;
    size_t take = (size_t)got > TAIL_BYTES ? TAIL_BYTES : (size_t)got;
    if (o->tail_n + take > TAIL_BYTES) {
        size_t drop = o->tail_n + take - TAIL_BYTES;
        memmove(o->tail, o->tail + drop, o->tail_n - drop);
        o->tail_n -= drop;
    }
    memcpy(o->tail + o->tail_n, out + (size_t)got - take, take);
    o->tail_n += take;
    return got;
}

void term_measure(struct term *t)
{
    struct winsize size = {0};
    if (ioctl(t->fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    t->w = size.ws_col > GRID_MOST ? GRID_MOST : size.ws_col;
    t->h = size.ws_row > GRID_MOST ? GRID_MOST : size.ws_row;
}

static enum glyphs glyphs_for(enum glyphs wanted, bool utf8, const char *term)
{
    if (!utf8) return GLYPHS_ASCII;
    if (wanted != GLYPHS_AUTO) return wanted;
    if (strncmp(term, "vt", 2) == 0) return GLYPHS_ASCII;
    return strcmp(term, "linux") == 0 ? GLYPHS_BLOCK : GLYPHS_BRAILLE;
}

static bool curses_open(struct term *t, const char *name, struct err *err)
{
    struct term_private *o = t->own;
    o->screen = name[0] ? newterm(name, o->file, o->file) : NULL;
    if (!o->screen) o->screen = newterm("xterm-256color", o->file, o->file);
    if (!o->screen)
        return fail(err,
                    "the terminal \"%.40s\" is not known here, nor is xterm-256color: install "
                    "the package ncurses-base, or use "
                    "`hone train`, `hone tail` and `hone chat`, which need no screen",
                    name);
    const char *move_to = tigetstr("cup");
    if (!move_to || move_to == (char *)-1)
        return fail(err,
                    "the terminal \"%.40s\" cannot move its cursor, so there is no screen to "
                    "draw: use `hone train PROFILE`, "
                    "`hone tail RUN` and `hone chat MODEL`, which need none",
                    name);
    raw();
    noecho();
    nonl();
    curs_set(0);
    leaveok(stdscr, FALSE);
    const char *no_color = getenv("NO_COLOR");
    o->colours = !(no_color && no_color[0]) && has_colors();
    if (o->colours) {
        static const short base[] = {[COLOUR_RED] = COLOR_RED,         [COLOUR_GREEN] = COLOR_GREEN,
                                     [COLOUR_YELLOW] = COLOR_YELLOW,   [COLOUR_BLUE] = COLOR_BLUE,
                                     [COLOUR_MAGENTA] = COLOR_MAGENTA, [COLOUR_CYAN] = COLOR_CYAN};
        start_color();
        bool transparent = use_default_colors() == OK;
        for (short i = 1; i < (short)COUNT(base); i++)
            init_pair(i, base[i], transparent ? -1 : COLOR_BLACK);
    }
    return true;
}

bool term_open(struct term *t, enum glyphs wanted, struct arena *a, struct err *err)
{
    *t = (struct term){.fd = open("/dev/tty", O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)};
    if (t->fd < 0 || !isatty(1))
        return fail(err, "there is no terminal to draw on: use `hone train PROFILE`, `hone tail "
                         "RUN` and `hone chat MODEL`, which need none");
    const char *name = getenv("TERM");
    if (!name) name = "";
    struct term_private *o = t->own = NEW(a, struct term_private);
    o->a = a;
    o->utf8 = grid_locale();
    t->glyphs = glyphs_for(wanted, o->utf8, name);
    o->curses_fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    o->tty_copy = fcntl(o->curses_fd, F_DUPFD_CLOEXEC, 3);
    o->memory = memfd_create("frame", MFD_CLOEXEC);
    o->file = o->curses_fd < 0 ? NULL : fdopen(o->curses_fd, "r+");
    if (!o->file || o->memory < 0 || o->tty_copy < 0)
        return fail_errno(err, "cannot open the terminal a second time");
    if (tcgetattr(t->fd, &crash_modes) != 0)
        return fail_errno(err, "cannot read the terminal's modes");
    if (!signals_open(t, err)) return false;
    crash_fd = t->fd;
    term_measure(t);
    if (!curses_open(t, name, err)) {
        if (o->screen) endwin();
        signals_close(t);
        return false;
    }
    const char *sync = getenv("HONE_SYNC");
    o->sync = !(sync && sync[0] == '0');
    o->ask = o->all = true;
    o->out = buf_make(a);
    o->line = NEW_N(a, cchar_t, GRID_MOST);
    resizeterm(t->h, t->w);
    buf_printf(&o->out, BEGIN_MODES);
    return stray_open(t, err);
}

/* An answer that is on its way must not become the input of whoever reads the terminal next: half
 * a second is given to it. */
static void swallow_answer(struct term *t)
{
    for (int i = 0; i < 10 && t->unanswered; i++) {
        struct pollfd p = {t->fd, POLLIN, 0};
        char bytes[256];
        ssize_t n = poll(&p, 1, 50) > 0 ? read(t->fd, bytes, sizeof bytes) : 0;
        if (n > 0 && memmem(bytes, (size_t)n, "\33[0n", 4)) t->unanswered = false;
        if (n < 0 && errno != EAGAIN && errno != EINTR) break;
    }
    t->unanswered = false;
}

/* Waits (a second at most) until what is queued has gone out: before the terminal is handed on. */
static void drain(struct term *t)
{
    struct term_private *o = t->own;
    for (int i = 0; i < 20 && o->sent < o->out.n; i++) {
        struct pollfd p = {t->fd, POLLOUT, 0};
        if (poll(&p, 1, 50) < 0 && errno != EINTR) break;
        if (p.revents & (POLLERR | POLLHUP)) break;
        term_flush(t);
    }
    o->sent = o->out.n = 0;
    t->waits = false;
    swallow_answer(t);
}

void term_pause(struct term *t)
{
    struct term_private *o = t->own;
    buf_printf(&o->out, END_MODES);
    drain(t);
    endwin();
}

void term_resume(struct term *t)
{
    struct term_private *o = t->own;
    reset_prog_mode();
    term_measure(t);
    resizeterm(t->h, t->w);
    buf_printf(&o->out, BEGIN_MODES "%s", o->mouse ? MOUSE_ON : "");
    o->all = true;
}

void term_close(struct term *t)
{
    struct term_private *o = t->own;
    term_pause(t);
    signals_close(t);
    delscreen(o->screen);
    fclose(o->file);
    close(o->tty_copy);
    close(o->memory);
    close(t->fd);
    grid_drop(&o->shown);
    stray_close(t);
}

int term_signal(struct term *t)
{
    unsigned char byte;
    return read(t->wake, &byte, 1) == 1 ? byte : 0;
}

bool term_ready(struct term *t, double now)
{
    if (t->unanswered && now - t->asked > ANSWER_SECONDS) {
        t->unanswered = false;
        if (!t->waits) t->own->ask = false;
    }
    return !t->waits && !t->unanswered;
}

void term_answered(struct term *t) { t->unanswered = false; }

void term_mouse(struct term *t, bool on)
{
    t->own->mouse = on;
    buf_printf(&t->own->out, "%s", on ? MOUSE_ON : MOUSE_OFF);
    term_flush(t);
}

void term_repaint(struct term *t)
{
    t->own->all = true;
    clearok(curscr, TRUE);
}

void term_flush(struct term *t)
{
    struct term_private *o = t->own;
    while (o->sent < o->out.n) {
        ssize_t n = write(t->fd, o->out.p + o->sent, o->out.n - o->sent);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        o->sent += (size_t)n;
    }
    if (o->sent == o->out.n) o->sent = o->out.n = 0;
    t->waits = o->sent < o->out.n;
}

void term_send(struct term *t, const char *p, size_t n)
{
    buf_put(&t->own->out, p, n);
    term_flush(t);
}

static void set_cell(const struct term_private *o, cchar_t *out, const struct cell *c)
{
    const struct look *l = &looks[c->style];
    attr_t attributes =
        (l->bold ? A_BOLD : 0) | (l->dim ? A_DIM : 0) | (l->reverse ? A_REVERSE : 0);
    wchar_t text[3] = {(wchar_t)c->code, (wchar_t)c->mark, 0};
    if (!o->utf8 && c->code > 0x7E) {
        text[0] = L'?';
        text[1] = 0;
    }
    setcchar(out, text, attributes, o->colours ? (short)l->colour : 0, NULL);
}

/* Only rows that differ reach curses: its own comparison costs five times ours. */
static void draw_rows(struct term *t, const struct grid *g)
{
    struct term_private *o = t->own;
    if (o->shown.w != g->w || o->shown.h != g->h) o->all = true;
    if (o->all) grid_size(&o->shown, g->w, g->h);
    for (int y = 0; y < g->h; y++) {
        const struct cell *row = g->cells + (size_t)y * (size_t)g->w;
        struct cell *old = o->shown.cells + (size_t)y * (size_t)g->w;
        if (!o->all && memcmp(row, old, (size_t)g->w * sizeof *row) == 0) continue;
        memcpy(old, row, (size_t)g->w * sizeof *row);
        int n = 0;
        for (int x = 0; x < g->w; x++)
            if (row[x].width) set_cell(o, &o->line[n++], &row[x]);
        mvadd_wchnstr(y, 0, o->line, n);
    }
    o->all = false;
    if (g->caret_x >= 0) move(g->caret_y, g->caret_x);
}

void term_show(struct term *t, const struct grid *g, double now)
{
    struct term_private *o = t->own;
    if (is_term_resized(t->h, t->w)) {
        resizeterm(t->h, t->w);
        o->all = true;
    }
    draw_rows(t, g);
    if (ftruncate(o->memory, 0) != 0 || lseek(o->memory, 0, SEEK_SET) != 0) return;
    dup3(o->memory, o->curses_fd, O_CLOEXEC);
    refresh();
    dup3(o->tty_copy, o->curses_fd, O_CLOEXEC);
    off_t n = lseek(o->memory, 0, SEEK_END);
    if (n <= 0 && o->out.n == 0) return;
    if (o->sync) buf_printf(&o->out, SYNC_BEGIN);
    size_t at = o->out.n;
    while (n > 0 && (off_t)(o->out.n - at) < n) {
        char piece[8192];
        ssize_t got = pread(o->memory, piece, sizeof piece, (off_t)(o->out.n - at));
        if (got <= 0) break;
        buf_put(&o->out, piece, (size_t)got);
    }
    if (o->sync) buf_printf(&o->out, SYNC_END);
    if (o->ask) {
        buf_printf(&o->out, ASK);
        t->unanswered = true;
        t->asked = now;
    }
    term_flush(t);
}
