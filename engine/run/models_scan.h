/* models_scan.h - private to engine/run: where model folders are looked for. */
#ifndef HONE_MODELS_SCAN_H
#define HONE_MODELS_SCAN_H
#include "engine/run/models.h"

struct found { const char *name, *path; bool shipped; };
struct found_list { struct found *list; int n, cap; struct arena *a; };

/* All folders that hold, or seem to hold, a model: shipped ones first, then those of the settings
 * file, HONE_MODELS and the hub's cache, each once. Opens no model. */
bool models_scan(struct found_list *out, const struct places *p, struct arena *a, struct err *err);
#endif
