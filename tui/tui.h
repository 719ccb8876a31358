/* tui.h - the workbench as the command line sees it: open it, or print a screen of it.
 *
 * The program is one state (app.h) that keys and events change and that views draw into a grid of
 * cells. Nothing in it reads a clock, a size or a file while it draws, so a screen can be printed
 * anywhere from a saved state, as text or as a picture, and two prints of one state are equal byte
 * for byte. */
#ifndef HONE_TUI_H
#define HONE_TUI_H
#include "engine/base/base.h"
#include "engine/run/models.h"

/* What charts and signs are drawn with. AUTO: braille, half blocks where TERM=linux, ascii where
 * the locale or the terminal knows nothing else (fonts cannot be asked). */
enum glyphs { GLYPHS_AUTO, GLYPHS_BRAILLE, GLYPHS_BLOCK, GLYPHS_ASCII };
/* "auto", "braille", "block", "ascii"; false and a sentence for another word. */
bool glyphs_read(enum glyphs *out, const char *word, struct err *err);

struct tui_options {
    enum glyphs glyphs;
    /* a run's folder to open at once (`hone attach`), or NULL: the newest that lives, else the
     * models */
    const char *run;
    const char *profile;   /* a profile to open at once, or NULL */
};
/* Opens the workbench on the terminal and returns when the user leaves it: the exit code (1: no
 * usable terminal, said on stderr, with the commands that need none). Leaves runs alone. */
int tui_run(const struct places *p, const struct tui_options *o);

/* A screen printed without a terminal. `state` is a folder: a run's own folder, or a folder that
 * holds any of
 *   models.json   what `hone models --json` prints       profile.yaml  the profile that is open
 *   check.json    what `hone check --json` prints        preview.json  what `hone preview --json`
 * prints
 *   folders.json  where models are looked for
 *   runs/NAME/    run folders                            chat.jsonl    a conversation as
 * chats are kept (chat_past.c)
 *   screen.json   {"now": Unix seconds, "run": NAME, "held": true: runs count as held, "device":
 * "CPU 2 cores", "celsius", "watts", "busy": cores} Times of day are UTC.
 * `keys` are typed before the print: characters as they are, <Enter> <Esc> <Tab> <Up> <C-r>
 * <A-Enter> ... */
/* What the screens read of the commands' JSON (they run them as children, so that no screen waits;
 * unknown keys are skipped, absent ones are a dash):
 *   models --json   {"device": {"name", "cores", "memory"}, "problem": "", "models": [{"name",
 * "path", "family", "dtype",
 *                   "tokenizer", "licence", "unusable" (a sentence or null), "parameters",
 * "bytes", "context", "shipped",
 *                   "full": {"fits", "bytes"}, "lora": {"fits", "bytes"}, "about"}]}
 *   check --json    plan_write_json's, exit code 0; refused: the sentences on standard error
 *   preview --json  (--stage N and --window N count from 1, --count N windows)
 *                   {"sources": [{"name", "format", "rows", "bad", "tokens", "trained", "dropped",
 * "truncated", "lost",
 *                   "shortest", "longest", "lengths": [16 counts]}],
 *                    "windows": [{"stage", "index" (from 0), "of", "bucket" (from 0), "buckets",
 * "tokens", "trained",
 *                   "shares": [{"dataset", "wanted", "here"}],
 *                   "documents": [[{"text", "trained"}]]}]}    pieces of a document, neighbours
 * with the same mask joined */
struct dump_options {
    int width, height;
    const char *state, *keys;
    enum glyphs glyphs;
    bool svg;              /* a picture instead of text */
    /* text: below the screen the same lines again, a letter a cell for its style */
    bool styles;
    bool light;            /* svg: dark text on white */
};
bool tui_dump(struct buf *out, const struct places *p, const struct dump_options *o,
    struct err *err);
#endif
