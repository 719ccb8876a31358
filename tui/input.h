/* input.h - bytes of a terminal in, keys out: no terminal, no clock, no reads.
 *
 * Own decoder because curses' blocks for a lone Esc, reads byte by byte, and knows one spelling of
 * each key (terminal.md). A key is a code point or one of K_*, with modifiers or-ed on. Control
 * letters come as K_CTRL | letter, except Enter, Tab, Esc and Backspace, which are keys of their
 * own.
 *
 * A lone Esc cannot be told from the start of a sequence until time has passed: the caller asks
 * input_waiting() and, 25 ms after the last byte, calls input_next with `late`. */
#ifndef HONE_INPUT_H
#define HONE_INPUT_H
#include "engine/base/base.h"

enum {
    K_UP = 0x110001, K_DOWN, K_LEFT, K_RIGHT, K_HOME, K_END, K_PAGE_UP, K_PAGE_DOWN, K_INSERT,
        K_DELETE,
    K_ENTER, K_TAB, K_ESC, K_BACKSPACE, K_F1, K_F12 = K_F1 + 11, K_LAST,
    K_ALT = 1 << 24, K_CTRL = 1 << 25, K_SHIFT = 1 << 26
};
enum input_kind {
    INPUT_KEY,
    INPUT_PASTE,        /* text of a bracketed paste, in pieces; literal, never keys */
    INPUT_PASTE_END,
    INPUT_MOUSE,
    INPUT_ANSWERED      /* CSI 0 n: the terminal has drawn all it was sent */
};
enum mouse { MOUSE_CLICK, MOUSE_UP, MOUSE_DOWN };   /* the left button; the wheel */
struct input_event {
    enum input_kind kind; int32_t key;
    struct text paste;                                /* lives until the next call */
    enum mouse mouse; int x, y;                       /* cells from 0 */
};

struct input { char held[4096]; size_t n, at; bool pasting; };
/* Takes as many bytes as there is room for and returns how many; the rest after input_next gave
 * false. */
size_t input_feed(struct input *in, const char *p, size_t n);
/* The next event. `late`: no more bytes came in time, so what is begun is taken as it stands. */
bool input_next(struct input *in, struct input_event *out, bool late);
bool input_waiting(const struct input *in); /* something is begun */

/* "Ctrl-R", "Alt-Enter", "PgDn", "x": as footers, help and the manual write a key. */
char *key_text(char out[32], int32_t key);
/* The key that a word names, as key_text writes it or short ("C-r", "A-Enter", "S-Tab"); 0: none.
 * */
int32_t key_named(struct text word);
#endif
