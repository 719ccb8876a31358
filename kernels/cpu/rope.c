/* rope.c - rotation of the halves of each head in place. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

struct rope { struct mat x, table; const int32_t *pos; int head_dim, each; float sign; };

static void rope_part(void *arg, int part, int thread) {
    (void)thread;
    const struct rope *r = arg;
    int half = r->head_dim / 2;
    size_t size = r->x.t == BF16 ? 2 : 4;
    for (int i = part * r->each; i < cpu_least((part + 1) * r->each, r->x.rows); i++) {
        const float *c = cpu_row(r->table, r->pos[i]), *s = c + half;
        for (int first = 0; first < r->x.cols; first += r->head_dim) {
            char *a = (char *)cpu_row(r->x, i) + (size_t)first * size, *b = a + (size_t)half * size;
            for (int j = 0; j < half; j += V) {
                vf cos = v_at(c, F32, j, half), sin = v_at(s, F32, j, half) * v_set(r->sign);
                vf u = v_at(a, r->x.t, j, half), v = v_at(b, r->x.t, j, half);
                v_to(a, r->x.t, j, half, u * cos - v * sin);
                v_to(b, r->x.t, j, half, v * cos + u * sin);
            }
        }
    }
}

static void rope(struct device *d, struct mat x, const int32_t *pos, struct mat table, int head_dim,
                 float sign) {
    struct rope r = {.x = x, .table = table, .pos = pos, .head_dim = head_dim, .sign = sign};
    r.each = cpu_rows_of_part(cpu_bytes(mat_rows(x, 0, 1)));
    cpu_run(d, (x.rows + r.each - 1) / r.each, cpu_bytes(x) * 2, rope_part, &r);
}

void CPU_NAME(rope)(struct kernels *k) { k->rope = rope; }
