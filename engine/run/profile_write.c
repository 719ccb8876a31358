/* profile_write.c - a profile as a file again: every default written out, paths absolute, settings
 * in their stages, so that launching it again repeats the run on any later version of the defaults.
 */
#include "engine/run/profile_parts.h"
#include <string.h>

/* The unset one of settings that exclude each other stays unsaid; so does a name that is empty. */
static bool is_silent(const struct field *f, const void *base)
{
    if (!f->built || f->type == FIELD_SHARES) return true;
    return (f->type == FIELD_INT || f->type == FIELD_NUM) && !f->choices &&
           field_is_unset(f, base) && !(f->least <= f->base && f->base <= f->most);
}

/* Of settings that exclude each other the one that counts: warmup_ratio 0 is a value unless
 * warmup_steps is said. */
static bool is_outdone(const struct field *f, const void *base)
{
    return strcmp(f->path, "warmup_ratio") == 0 &&
           !field_is_unset(field_find("warmup_steps", SCOPES_STAGE), base);
}

/* The rows of a scope, those of a group ("lora.") below their group's name. */
static void put_rows(struct buf *out, enum field_scope scope, const void *base, const char *indent)
{
    char group[32] = "";
    for (int i = 0; i < profile_n_fields; i++) {
        const struct field *f = &profile_fields[i];
        if (f->scope != scope || is_silent(f, base) || is_outdone(f, base)) continue;
        const char *dot = strchr(f->path, '.'), *key = dot ? dot + 1 : f->path;
        size_t n = dot ? (size_t)(dot - f->path) : 0;
        if (n && (strncmp(group, f->path, n) != 0 || group[n])) {
            memcpy(group, f->path, n);
            group[n] = 0;
            buf_printf(out, "%s%s:\n", indent, group);
        }
        buf_printf(out, "%s%s%s: ", indent, n ? "  " : "", key);
        field_write(f, base, out);
        buf_printf(out, "\n");
    }
}

static void put_about(struct buf *out, const char *about)
{
    for (const char *p = about; *p;) {
        size_t n = strcspn(p, "\n");
        buf_printf(out, "# %.*s\n", (int)n, p);
        p += n + (p[n] == '\n');
    }
}

static void put_stage(struct buf *out, const struct profile *p, const struct stage *s)
{
    buf_printf(out, "  - name: ");
    yaml_put_text(out, text_of(s->name));
    buf_printf(out, "\n    datasets: {");
    for (int i = 0; i < s->n_mix; i++) {
        if (i) buf_printf(out, ", ");
        yaml_put_text(out, text_of(p->datasets[s->mix[i].dataset].name));
        buf_printf(out, ": ");
        yaml_put_num(out, s->mix[i].share);
    }
    buf_printf(out, "}\n");
    put_rows(out, SCOPE_SETTINGS, s, "    ");
}

void profile_write(const struct profile *p, struct buf *out)
{
    put_about(out, p->about);
    put_rows(out, SCOPE_ROOT, p, "");
    buf_printf(out, "datasets:\n");
    for (int i = 0; i < p->n_datasets; i++) {
        buf_printf(out, "  ");
        yaml_put_text(out, text_of(p->datasets[i].name));
        buf_printf(out, ":\n");
        put_rows(out, SCOPE_DATASET, &p->datasets[i], "    ");
    }
    buf_printf(out, "stages:\n");
    for (int i = 0; i < p->n_stages; i++) put_stage(out, p, &p->stages[i]);
}
