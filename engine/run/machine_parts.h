/* machine_parts.h - private to engine/run: a device as JSON, and asking a process of its own. */
#ifndef HONE_MACHINE_PARTS_H
#define HONE_MACHINE_PARTS_H
#include "engine/format/json.h"
#include "engine/run/models.h"

/* Fields of an object that is being written: "device", "peak_f32", "peak_bf16". */
void device_put(struct buf *b, const struct device_info *d, double peak_f32, double peak_bf16);
bool device_take(struct gpu *out, const struct json *o, const char *where, struct err *err);
/* A field as text, cut to size; "" where there is none. */
void device_text(char *to, size_t size, const struct json *o, const char *key);
/* What `hone engine --probe WHAT` says; false: why it could not. */
bool machine_ask(struct buf *said, const char *program, const char *what, struct err *err);

/* ---- gpus.c ---- */
bool gpus_measure(struct buf *json, const struct places *p, struct err *err);
bool libraries_measure(struct buf *json);
#endif
