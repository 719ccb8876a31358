/* origin.c - where the values of a stage come from: a checkpoint's masters, a PEFT folder, a
 * Hugging Face folder, and new LoRA matrices, by tensor name. */
#include "engine/model/state.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

bool origin_open(struct origin *s, const struct model_files *f, const struct lora *lora,
                 struct arena *a, struct err *err)
{
    const char *of;
    if (!tensors_open(&s->base, f->base, a, err)) return false;
    if (f->training) {
        if (!tensors_open(&s->training, f->training, a, err)) return false;
        s->has_training = true;
    }
    if (!f->adapter) return true;
    if (!adapter_read(&s->merged, &of, f->adapter, a, err) ||
        !tensors_open(&s->adapter, f->adapter, a, err))
        return false;
    s->has_adapter = true;
    if (lora->rank == 0) return true;
    if (lora->rank != s->merged.rank || lora->targets != s->merged.targets)
        return fail(err,
                    "%s: the adapter has rank %d and other target modules or another rank than the "
                    "%d asked for; use its "
                    "own, or merge it first",
                    f->adapter, s->merged.rank, lora->rank);
    return true;
}

void origin_close(struct origin *s)
{
    tensors_close(&s->base);
    if (s->has_adapter) tensors_close(&s->adapter);
    if (s->has_training) tensors_close(&s->training);
}

/* A as torch.nn.Linear's kaiming uniform with a = sqrt 5, which is uniform in +-1 / sqrt(inputs); B
 * zero. */
static void lora_new(const struct model *m, const struct piece *p, int first, int rows, float *out)
{
    double bound = 1 / sqrt((double)p->cols);
    uint64_t stream = hash64(p->name, strlen(p->name), m->seed);
    bool zero = m->b.parts.params[p->param].kind == KIND_LORA_B;
    for (int64_t i = 0; i < (int64_t)rows * p->cols; i++) {
        double u = rand_unit(stream, (uint64_t)((int64_t)first * p->cols + i));
        out[i] = zero ? 0 : (float)((2 * u - 1) * bound);
    }
}

static const struct tensor *side(const struct model *m, const char *module, const char *end,
                                 const struct tensors **from, struct arena *a)
{
    const struct origin *s = &m->origin;
    const char *name = arena_printf(a, "base_model.model.%s%s", module, end);
    const struct tensor *t = s->has_training ? tensors_find(&s->training, name) : NULL;
    *from = t ? &s->training : &s->adapter;
    return t ? t : tensors_find(&s->adapter, name);
}

static bool is_shape(const struct tensor *t, int rows, int cols)
{
    return t->rank == 2 && t->dims[0] == rows && t->dims[1] == cols;
}

/* A stage without an adapter of its own begins with the given one merged, as a chain of stages
 * needs. */
static bool merge_given(const struct model *m, const struct piece *p, int first, int rows,
                        float *out, struct arena *a, struct err *err)
{
    const struct lora *l = &m->origin.merged;
    bool linear = m->b.parts.params[p->param].kind == KIND_WEIGHT;
    if (!m->origin.has_adapter || m->b.training.lora.rank > 0 || !linear ||
        !(l->targets >> p->linear & 1))
        return true;
    struct arena_mark mark = arena_mark(a);
    const char *module = arena_string(a, p->name, strlen(p->name) - strlen(".weight"));
    const struct tensors *from_low, *from_up;
    const struct tensor *low = side(m, module, ".lora_A.weight", &from_low, a);
    const struct tensor *up = side(m, module, ".lora_B.weight", &from_up, a);
    if (!low || !up) return fail(err, "the adapter has no lora_A and lora_B of %s", module);
    if (!is_shape(low, l->rank, p->cols) || !is_shape(up, p->rows, l->rank))
        return fail(err, "the adapter's matrices of %s do not fit a weight of [%d, %d] and rank %d",
                    module, p->rows, p->cols, l->rank);
    float *x = NEW_N(a, float, (int64_t)rows * l->rank),
          *y = NEW_N(a, float, (int64_t)l->rank * p->cols);
    bool ok =
        tensors_read_f32(from_up, up, (int64_t)first * l->rank, (int64_t)rows * l->rank, x, err) &&
        tensors_read_f32(from_low, low, 0, (int64_t)l->rank * p->cols, y, err);
    if (ok) lora_merge(out, rows, p->cols, l->rank, x, y, (double)lora_scale(l));
    arena_back(a, mark);
    return ok;
}

static bool fits(const struct tensor *t, const struct piece *p, struct err *err)
{
    return t->elements == (int64_t)p->rows * p->cols
               ? true
               : fail(err, "%s has %lld elements; the model needs [%d, %d]", p->name,
                      (long long)t->elements, p->rows, p->cols);
}

bool origin_rows(const struct model *m, int piece, int first, int rows, float *out, struct arena *a,
                 struct err *err)
{
    const struct piece *p = &m->b.parts.pieces[piece];
    const struct origin *s = &m->origin;
    int64_t at = (int64_t)first * p->cols, n = (int64_t)rows * p->cols;
    bool lora = param_is_lora(&m->b.parts.params[p->param]);
    const struct tensor *t =
        s->has_training && (p->trained || lora) ? tensors_find(&s->training, p->name) : NULL;
    if (t) return fits(t, p, err) && tensors_read_f32(&s->training, t, at, n, out, err);
    if (lora && s->has_adapter) {
        t = tensors_find(&s->adapter, p->name);
        if (!t) return fail(err, "the adapter has no tensor %s", p->name);
        return fits(t, p, err) && tensors_read_f32(&s->adapter, t, at, n, out, err);
    }
    if (lora) {
        lora_new(m, p, first, rows, out);
        return true;
    }
    t = tensors_find(&s->base, p->name);
    if (!t) return fail(err, "the base model has no tensor %s", p->name);
    return fits(t, p, err) && tensors_read_f32(&s->base, t, at, n, out, err) &&
           merge_given(m, p, first, rows, out, a, err);
}

bool origin_moments(const struct model *m, const struct tensor_row *row, int64_t at, int64_t bytes,
                    void *out, struct err *err)
{
    const struct tensor *t =
        m->origin.has_training ? tensors_find(&m->origin.training, row->name) : NULL;
    int64_t elements = row->dims[0] * (row->rank == 2 ? row->dims[1] : 1);
    if (!t)
        return fail(err, "the checkpoint has no %s, so its optimizer's state is not whole",
                    row->name);
    if (t->type != row->type || t->elements != elements)
        return fail(err,
                    "the checkpoint has %s as %lld elements of %s; this stage keeps %lld of %s: "
                    "its optimizer.state_dtype must be the one it was saved with",
                    row->name, (long long)t->elements, tensor_type_name(t->type),
                    (long long)elements, tensor_type_name(row->type));
    return tensors_read_raw(&m->origin.training, t, at, bytes, out, err);
}
