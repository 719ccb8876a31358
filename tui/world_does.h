/* world_does.h - private to the files of the world: one function a wish, found by the wish. */
#ifndef HONE_WORLD_DOES_H
#define HONE_WORLD_DOES_H
#include "tui/world.h"

#define PROFILE_MOST (256 << 10)
#define SAY(w, err) app_notice((w)->app, STYLE_BAD, "%s", (err).text)

void close_client(struct world *w);
/* A text for another process: in the cache folder, named by us. */
const char *scratch_file(struct world *w, const char *name, struct text t, struct err *err);
bool run_editor(struct world *w, const char *path, struct err *err);

#define DOES(name) void do_##name(struct world *w, const struct wish *x);
/* world_profile.c */
DOES(models) DOES(folders) DOES(add_folder) DOES(drop_folder) DOES(presets) DOES(open_profile) DOES(write_profile) DOES(complete)
DOES(editor) DOES(plan) DOES(preview) DOES(launch) DOES(resume)
/* world.c */
DOES(runs) DOES(open_run) DOES(remove) DOES(checkpoints) DOES(order) DOES(mouse) DOES(suspend) DOES(repaint) DOES(quit)
/* world_chat.c */
DOES(chat_open) DOES(ask) DOES(stop_answer) DOES(keep_chat) DOES(save_chat) DOES(past)
DOES(past_open) DOES(edit_chat) DOES(copy)
#endif
