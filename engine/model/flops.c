/* flops.c - the work of a step by definition: a product of a weight with a row costs two operations
 * a parameter; forward always, the gradient of its input where something below is trained, its own
 * gradient where it is trained. Attention costs 4 q a pair of query and key forward (scores and
 * sums, q = heads head_dim) and twice that backward. Embedding rows cost nothing. (Chowdhery et al.
 * 2022, appendix B, with attention counted causally and by document.) */
#include "engine/model/state.h"

static int64_t trained_part(const struct parts *parts, const struct param *p)
{
    int64_t n = 0;
    for (int i = p->run; i < p->run + p->n_runs; i++)
        n += (int64_t)parts->runs[i].rows * parts->runs[i].cols;
    return n;
}

/* What a block does again: of all but the last block, attention's output product or all but the
 * last product. */
static bool again(const struct model_config *c, const struct training *t, const struct param *p,
                  int first_kept)
{
    bool down = p->order == order_block(p->layer, 5) && p->kind != KIND_LORA_A;
    bool output = p->order == order_block(p->layer, 2);
    enum recompute policy = recompute_of(t, first_kept, p->layer);
    return p->layer >= first_kept && p->layer < c->layers - 1 &&
           ((policy == RECOMPUTE_FULL && !down) || (policy == RECOMPUTE_ATTENTION && output));
}

struct flops flops_make(const struct parts *parts, const struct model_config *c,
                        const struct training *t)
{
    struct flops f = {0};
    int lowest = parts->lowest, none = lowest == ORDER_NONE;
    int first = parts_first_kept(parts, c);
    double pair = 4.0 * c->heads * c->head_dim;
    for (int i = 0; i < parts->n_params; i++) {
        const struct param *p = &parts->params[i];
        bool head = i == parts->head;
        if (param_is_vector(p) || (p->kind == KIND_EMBED && !head)) continue;
        int order = head ? order_norm(c) + 1 : p->order;
        double n = (double)p->rows * p->cols,
               work = 2 * n + (lowest < order ? 2 * n : 0) + 2 * (double)trained_part(parts, p);
        if (p->kind == KIND_LORA_B && p->trained && lowest >= order) work += 2 * n;
        if (head) f.label += work;
        else f.row += work;
        if (!head && !none && again(c, t, p, first)) f.again_row += 2 * n;
    }
    for (int l = 0; l < c->layers; l++) {
        bool back = lowest < order_block(l, 2);
        f.pair += back ? 3 * pair : pair;
        f.again_pair +=
            (back ? pair / 2 : 0) +
            (recompute_of(t, first, l) >= RECOMPUTE_ATTENTION && back && l < c->layers - 1 ? pair
                                                                                           : 0);
    }
    return f;
}

static double total(const struct flops *f, int64_t rows, double pairs, int64_t labels,
                    double *hardware)
{
    double model = f->row * (double)rows + f->pair * pairs + f->label * (double)labels;
    if (hardware) *hardware = model + f->again_row * (double)rows + f->again_pair * pairs;
    return model;
}

double model_flops(const struct model_config *c, const struct training *t, int64_t rows,
                   double pairs, int64_t labels, double *hardware)
{
    struct arena a = arena_make(0);
    struct parts parts;
    struct err ignored = {{0}};
    parts_make(&parts, c, &t->lora, &a);
    parts_train(&parts, c, t, &a, &ignored); /* a layout was made of it, so it is right */
    struct flops f = flops_make(&parts, c, t);
    arena_drop(&a);
    return total(&f, rows, pairs, labels, hardware);
}

double model_step_flops(const struct model *m, int64_t rows, double pairs, int64_t labels,
                        double *hardware)
{
    return total(&m->flops, rows, pairs, labels, hardware);
}
