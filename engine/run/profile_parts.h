/* profile_parts.h - private to engine/run: what reading, writing and editing a profile share. */
#ifndef HONE_PROFILE_PARTS_H
#define HONE_PROFILE_PARTS_H
#include "engine/run/yaml_tree.h"

/* How a value is kept in its struct. */
enum store {
    STORE_NOTHING,
    STORE_TEXT,
    STORE_PATH,
    STORE_MODEL,
    STORE_TEMPLATE,
    STORE_INT,
    STORE_INT64,
    STORE_NUM,
    STORE_FLOAT,
    STORE_BOOL,
    STORE_ENUM,
    STORE_FLAG,
    STORE_WORDS,
    STORE_PATHS
};

enum { STAGES_MOST = 256, DATASETS_MOST = 256, FIELDS_MOST = 128 };

/* Settings of which one level of the file says at most one; saying one takes the others' default
 * away. */
struct one_of { const char *paths[3]; };
extern const struct one_of fields_one_of[];
extern const int fields_n_one_of;

#define SCOPE_BIT(s) (1u << (s))
#define SCOPES_ROOT (SCOPE_BIT(SCOPE_ROOT) | SCOPE_BIT(SCOPE_SETTINGS))
#define SCOPES_STAGE (SCOPE_BIT(SCOPE_STAGE) | SCOPE_BIT(SCOPE_SETTINGS))

/* The row with exactly this path among some scopes, or NULL; whether rows lie below it ("lora"). */
const struct field *field_find(const char *path, unsigned scopes);
bool field_is_group(const char *path, unsigned scopes);
/* The key of one level (below `group`, "" for the top) that is nearest to `key`, or NULL. */
const char *field_nearest(const char *key, const char *group, unsigned scopes, struct arena *a);
/* A choice that this version refuses by name ("rollback"). */
bool field_choice_is_unbuilt(const char *path, struct text word);
bool field_choice(const char *choices, struct text word, int *index);  /* "a | b" holds word */

/* Where problems go, and what paths are relative to. */
struct reading { struct problems *problems; struct arena *a; const char *dir; };
/* Reads a node into its struct at `base`; a problem names `path`. A null node changes nothing. */
bool field_read(struct reading *r, const struct field *f, void *base, const struct node *n,
                const char *path);
void field_preset(const struct field *f, void *base, struct arena *a);     /* the default */
void field_unset(const struct field *f, void *base);
bool field_is_unset(const struct field *f, const void *base);
/* The value as YAML on one line, as field_read takes it. */
void field_write(const struct field *f, const void *base, struct buf *out);
/* Text as a YAML scalar: plain where nothing can misread it, else in double quotes. */
void yaml_put_text(struct buf *out, struct text t);
void yaml_put_num(struct buf *out, double v);        /* the shortest that reads back equal */

/* The same name in a problem whether the value comes from the file or from `--set`. */
void profile_problem(struct reading *r, const struct node *n, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
#endif
