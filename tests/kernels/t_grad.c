/* t_grad.c - the reference itself: its backward rows against differences of its forward rows, and
 * a few values that are known from elsewhere. The loss of a case is the sum of its outputs times
 * fixed numbers, so those numbers are the outputs' gradient. */
#include "tests/kernels/side.h"

static struct side ref;

/* What a case differentiates: forward() fills out from the inputs, backward() fills grad[i]. */
struct net {
    struct mat in[4], grad[4], out, d_out, spare[3];
    int inputs;
    float *aux;
    int32_t *ids;
    struct weight w;
    struct seqs s;
    struct attention a;
    struct block *block;
    void (*forward)(struct net *);
    void (*backward)(struct net *);
};

static double loss_of(struct net *n) {
    double sum = 0;
    n->forward(n);
    for (int i = 0; i < n->out.rows; i++)
        for (int j = 0; j < n->out.cols; j++)
            sum += (double)side_float(&n->out, i, j) * (double)side_float(&n->d_out, i, j);
    return sum;
}

/* Central differences of every input's every element. */
static void check(struct net *n, double step, double tolerance) {
    n->forward(n);
    n->backward(n);
    for (int which = 0; which < n->inputs; which++)
        for (int i = 0; i < n->in[which].rows; i++)
            for (int j = 0; j < n->in[which].cols; j++) {
                struct mat *m = &n->in[which];
                float old = side_float(m, i, j), up = old + (float)step, down = old - (float)step;
                side_set(m, i, j, up);
                double above = loss_of(n);
                side_set(m, i, j, down);
                double below = loss_of(n);
                side_set(m, i, j, old);
                double want = (above - below) / ((double)up - (double)down);
                double have = (double)side_float(&n->grad[which], i, j);
                if (!(fabs(want - have) <= tolerance * (1 + fabs(want))))
                    fail_msg("input %d (%d, %d): the gradient is %.7g, differences say %.7g", which,
                             i, j, have, want);
            }
}

/* Inputs of these sizes, gradients of zero, an output with its gradient. */
static struct net net_of(int inputs, const int sizes[][2], int out_rows, int out_cols) {
    struct net n = {.inputs = inputs};
    side_reset(&ref);
    for (int i = 0; i < inputs; i++) {
        n.in[i] = side_mat(&ref, 10 + (unsigned)i, sizes[i][0], sizes[i][1], F32, 0, 1);
        n.grad[i] = side_mat(&ref, 20, sizes[i][0], sizes[i][1], F32, 0, 0);
    }
    n.out = side_mat(&ref, 30, out_rows, out_cols, F32, 0, 0);
    n.d_out = side_mat(&ref, 31, out_rows, out_cols, F32, 0, 1);
    return n;
}

static void linear_forward(struct net *n) {
    n->w = (struct weight){.w = n->in[1], .t = F32};
    ref.k->linear(ref.d, n->out, n->in[0], &n->w, 1.5F, 0);
    ref.k->bias(ref.d, n->out, n->in[2]);
}
static void linear_backward(struct net *n) {
    ref.k->linear_back(ref.d, n->grad[0], n->d_out, &n->w, 1.5F, 0);
    ref.k->linear_grad(ref.d, n->grad[1], n->d_out, n->in[0], 1.5F);
    ref.k->bias_grad(ref.d, n->grad[2], n->d_out);
}
static void products_and_biases_has_its_gradient(void **state) {
    (void)state;
    struct net n = net_of(3, (const int[][2]){{5, 7}, {4, 7}, {1, 4}}, 5, 4);
    n.forward = linear_forward, n.backward = linear_backward;
    check(&n, 1e-2, 1e-4);
}

static void embed_forward(struct net *n) { ref.k->embed(ref.d, n->out, n->in[0], n->ids); }
static void embed_backward(struct net *n) {
    ref.k->embed_grad(ref.d, n->grad[0], n->d_out, n->ids);
}
static void an_embedding_has_its_gradient(void **state) {
    (void)state;
    struct net n = net_of(1, (const int[][2]){{4, 3}}, 6, 3);
    n.ids = side_ints(&ref, (const int32_t[]){1, 3, 1, 0, 1, 3}, 6);
    n.forward = embed_forward, n.backward = embed_backward;
    check(&n, 1e-2, 1e-4);
}

static void gather_forward(struct net *n) { ref.k->gather(ref.d, n->out, n->in[0], n->ids); }
static void gather_backward(struct net *n) { ref.k->scatter(ref.d, n->grad[0], n->d_out, n->ids); }
static void gather_has_its_gradient(void **state) {
    (void)state;
    struct net n = net_of(1, (const int[][2]){{6, 3}}, 4, 3);
    n.ids = side_ints(&ref, (const int32_t[]){0, 2, 3, 5}, 4);
    n.forward = gather_forward, n.backward = gather_backward;
    check(&n, 1e-2, 1e-4);
}

static const struct draw draw = {.seed = 3, .step = 2, .micro = 1, .layer = 4, .site = 1};
static void dropout_forward(struct net *n) { ref.k->dropout(ref.d, n->out, n->in[0], 0.4F, draw); }
static void dropout_backward(struct net *n) {
    ref.k->dropout(ref.d, n->grad[0], n->d_out, 0.4F, draw);
}
static void dropout_has_its_gradient(void **state) {
    (void)state;
    struct net n = net_of(1, (const int[][2]){{6, 9}}, 6, 9);
    n.forward = dropout_forward, n.backward = dropout_backward;
    check(&n, 1e-2, 1e-4);
    int zeros = 0;
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 9; j++) zeros += side_float(&n.out, i, j) == 0;
    assert_in_range(zeros, 10, 33); /* 21.6 of 54 are expected */
}

/* x + residual is normed; both get the gradient of the norm, and the sum passes on to the output.
 */
static void norm_forward(struct net *n) {
    ref.k->convert(ref.d, n->spare[0], n->in[0]);
    ref.k->norm(ref.d, n->out, n->aux, n->spare[0], n->in[1], n->in[2], 0.01F);
}
static void norm_backward(struct net *n) {
    ref.k->norm_back(ref.d, n->grad[0], n->grad[2], n->d_out, n->spare[0], n->in[2], n->aux);
    ref.k->convert(ref.d, n->grad[1], n->grad[0]);
}
static void a_norm_with_its_residual_has_its_gradient(void **state) {
    (void)state;
    struct net n = net_of(3, (const int[][2]){{4, 6}, {4, 6}, {1, 6}}, 4, 6);
    n.spare[0] = side_mat(&ref, 40, 4, 6, F32, 0, 0);
    n.aux = side_take(&ref, 64);
    n.forward = norm_forward, n.backward = norm_backward;
    check(&n, 3e-3, 5e-4);
}

static void rope_forward(struct net *n) {
    ref.k->convert(ref.d, n->out, n->in[0]);
    ref.k->rope(ref.d, n->out, n->ids, n->spare[0], 6, 1);
}
static void rope_backward(struct net *n) {
    ref.k->convert(ref.d, n->grad[0], n->d_out);
    ref.k->rope(ref.d, n->grad[0], n->ids, n->spare[0], 6, -1);
}
static void a_rotation_has_its_gradient(void **state) {
    (void)state;
    struct net n = net_of(1, (const int[][2]){{4, 12}}, 4, 12);
    n.ids = side_ints(&ref, (const int32_t[]){0, 1, 2, 0}, 4);
    n.spare[0] = side_mat(&ref, 40, 3, 6, F32, 0, 0);
    for (int p = 0; p < 3; p++)
        for (int j = 0; j < 3; j++) {
            side_set(&n.spare[0], p, j, (float)cos(p * pow(100, -j / 3.0)));
            side_set(&n.spare[0], p, 3 + j, (float)sin(p * pow(100, -j / 3.0)));
        }
    n.forward = rope_forward, n.backward = rope_backward;
    check(&n, 1e-2, 1e-4);
    rope_forward(&n);
    for (int j = 0; j < 12; j++)
        assert_true(side_float(&n.out, 3, j) == side_float(&n.in[0], 3, j)); /* position 0 */
}

static void attn_forward(struct net *n) {
    ref.k->attn(ref.d, n->out, n->aux, n->in[0], n->in[1], n->in[2], n->s, n->s, &n->a);
}
static void attn_backward(struct net *n) {
    ref.k->attn_back(ref.d, n->grad[0], n->grad[1], n->grad[2], n->d_out, n->out, n->aux, n->in[0],
                     n->in[1], n->in[2], n->s, &n->a);
}
static void packed_attention_has_its_gradient(void **state) {
    (void)state;
    static const int32_t start[] = {0, 3, 3, 4, 9};
    struct net n = net_of(3, (const int[][2]){{9, 16}, {9, 8}, {9, 8}}, 9, 16);
    n.s = (struct seqs){start, 4, 5};
    n.a = (struct attention){.heads = 4, .kv_heads = 2, .head_dim = 4, .scale = 0.8F};
    n.aux = side_take(&ref, 9 * 4 * sizeof(float));
    n.forward = attn_forward, n.backward = attn_backward;
    check(&n, 5e-3, 5e-4);
}

static void swiglu_forward(struct net *n) { ref.k->swiglu(ref.d, n->out, n->in[0]); }
static void swiglu_backward(struct net *n) {
    ref.k->swiglu_back(ref.d, n->grad[0], n->d_out, n->in[0]);
}
static void swiglu_has_its_gradient(void **state) {
    (void)state;
    struct net n = net_of(1, (const int[][2]){{5, 12}}, 5, 6);
    n.forward = swiglu_forward, n.backward = swiglu_backward;
    check(&n, 5e-3, 2e-4);
}

/* The loss is the mean over the trained rows, which is what inv_trained makes of the sum. */
static void xent_forward(struct net *n) {
    ref.k->xent(ref.d, n->aux, (struct mat){0}, n->in[0], n->ids, n->block);
    double sum = 0;
    for (int i = 0; i < n->in[0].rows; i++) sum += (double)n->aux[i];
    side_set(&n->out, 0, 0, (float)(sum * (double)n->block->inv_trained));
    side_set(&n->d_out, 0, 0, 1);
}
static void xent_backward(struct net *n) {
    ref.k->xent(ref.d, n->aux, n->grad[0], n->in[0], n->ids, n->block);
}
static void the_mean_loss_has_its_gradient(void **state) {
    (void)state;
    struct net n = net_of(1, (const int[][2]){{5, 7}}, 1, 1);
    n.ids = side_ints(&ref, (const int32_t[]){6, -1, 0, 3, -100}, 5);
    n.aux = side_take(&ref, 64);
    n.block = side_take(&ref, sizeof *n.block);
    n.block->inv_trained = 1.0F / 3;
    n.forward = xent_forward, n.backward = xent_backward;
    check(&n, 2e-2, 2e-3);
    assert_true(n.aux[1] == 0 && n.aux[4] == 0 && side_float(&n.grad[0], 1, 2) == 0);
}

/* Two steps of torch.optim.AdamW(lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01) on w = 1
 * with gradients 0.5 and -0.25, against the formula of its documentation in double. */
static void adamw_is_torchs(void **state) {
    (void)state;
    side_reset(&ref);
    struct block *b = side_take(&ref, sizeof *b);
    float *x = side_take(&ref, 64);
    struct slot slot = {
        .w = x, .g = x + 1, .m = x + 2, .v = x + 3, .n = 1, .weight_decay = 0.01F, .lr_scale = 1};
    x[0] = 1;
    double w = 1, m = 0, v = 0, g[2] = {0.5, -0.25};
    for (int t = 1; t <= 2; t++) {
        *b = (struct block){.lr = 0.1F,
                            .beta1 = 0.9F,
                            .beta2 = 0.999F,
                            .eps = 1e-8F,
                            .clip = 1,
                            .correction1 = (float)(1 - pow(0.9, t)),
                            .correction2 = (float)(1 - pow(0.999, t))};
        x[1] = (float)g[t - 1];
        ref.k->adamw(ref.d, &slot, 1, b);
        w *= 1 - 0.1 * 0.01;
        m = 0.9 * m + 0.1 * g[t - 1];
        v = 0.999 * v + 0.001 * g[t - 1] * g[t - 1];
        w -= 0.1 * (m / (1 - pow(0.9, t))) / (sqrt(v / (1 - pow(0.999, t))) + 1e-8);
        assert_true(fabs(w - (double)x[0]) < 2e-6);
    }
    b->skipped = 1;
    float before = x[0];
    ref.k->adamw(ref.d, &slot, 1, b);
    assert_true(x[0] == before);
}

static void limits_leave_an_update_out(void **state) {
    (void)state;
    struct block b = {.max_norm = 1, .inv_trained = 0.5F, .sumsq = 16, .loss = 3};
    ref.k->clip(ref.d, &b);
    assert_true(!b.skipped && fabs((double)b.clip - 0.25) < 1e-6);
    b.norm_limit = 3.9;
    ref.k->clip(ref.d, &b);
    assert_true(b.skipped);
    b.norm_limit = 0, b.loss_limit = 1.4;
    ref.k->clip(ref.d, &b);
    assert_true(b.skipped);
    b.loss_limit = 1.6;
    ref.k->clip(ref.d, &b);
    assert_true(!b.skipped);
    b.sumsq = INFINITY;
    ref.k->clip(ref.d, &b);
    assert_true(b.skipped && b.clip == 0);
}

/* Equal numbers of draws for equal shares, and other draws for another key. */
static void random_numbers_are_even(void **state) {
    (void)state;
    int bins[16] = {0}, equal = 0;
    struct draw other = draw;
    other.site++;
    for (uint64_t i = 0; i < 16000; i++) {
        bins[kernels_random(draw, i) >> 28]++;
        equal += kernels_random(draw, i) == kernels_random(other, i);
    }
    for (int i = 0; i < 16; i++) assert_in_range(bins[i], 850, 1150);
    assert_in_range(equal, 0, 1);
    assert_true(kernels_random(draw, 5) == kernels_random_at(kernels_key(draw), 5));
}

static void a_backend_that_is_not_there_is_named(void **state) {
    (void)state;
    char why[512];
    assert_null(kernels_load("cpu", "/nowhere", why, sizeof why));
    assert_non_null(strstr(why, "/nowhere/hone-cpu.so"));
    assert_null(kernels_load("../evil", "/nowhere", why, sizeof why));
    assert_non_null(strstr(why, "known are"));
    struct device *d;
    assert_false(ref.k->open(&d, 7, NULL, why, sizeof why));
    assert_non_null(strstr(why, "7 was asked for"));
}

static void sizes_follow_the_rule(void **state) {
    (void)state;
    struct device_info i = {.pack_rows = 48, .pack_cols = 48, .pack_copies = {[BF16] = 2}};
    assert_int_equal(kernels_packed_bytes(&i, 49, 48, BF16, PACK_FORWARD), 96 * 48 * 2);
    assert_int_equal(kernels_packed_bytes(&i, 49, 48, BF16, PACK_FORWARD | PACK_BACKWARD),
                     2 * 96 * 48 * 2);
    assert_int_equal(kernels_packed_bytes(&i, 49, 48, BF16, 0), 0);
    assert_int_equal(kernels_packed_bytes(&i, 49, 48, F32, PACK_FORWARD), 0);
    float x[12];
    struct mat m = mat_make(x, 3, 4, F32), v = mat_cols(mat_rows(m, 1, 2), 3, 1);
    assert_true(v.p == x + 7 && v.rows == 2 && v.cols == 1 && v.ld == 4);
    assert_null(mat_cols(mat_make(NULL, 3, 4, F32), 1, 1).p);
}

static int open_ref(void **state) {
    (void)state;
    char why[256];
    return side_open(&ref, "ref", 1, why, sizeof why) ? 0 : -1;
}
static int close_ref(void **state) {
    (void)state;
    side_close(&ref);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_and_biases_has_its_gradient),
        cmocka_unit_test(an_embedding_has_its_gradient),
        cmocka_unit_test(gather_has_its_gradient),
        cmocka_unit_test(dropout_has_its_gradient),
        cmocka_unit_test(a_norm_with_its_residual_has_its_gradient),
        cmocka_unit_test(a_rotation_has_its_gradient),
        cmocka_unit_test(packed_attention_has_its_gradient),
        cmocka_unit_test(swiglu_has_its_gradient),
        cmocka_unit_test(the_mean_loss_has_its_gradient),
        cmocka_unit_test(adamw_is_torchs),
        cmocka_unit_test(limits_leave_an_update_out),
        cmocka_unit_test(random_numbers_are_even),
        cmocka_unit_test(a_backend_that_is_not_there_is_named),
        cmocka_unit_test(sizes_follow_the_rule),
    };
    return cmocka_run_group_tests(tests, open_ref, close_ref);
}
