/* table.c - the rows of one instruction set, and how fast it multiplies when nothing else is done.
 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/tile.h"

static void fill(struct kernels *k) {
#define CPU_FILL(family) CPU_NAME(family)(k);
    CPU_FAMILIES(CPU_FILL)
}

/* Twelve chains that do not wait for each other. The FLOP of `rounds`; they are done unless
 * counted. */
static double spin(int64_t rounds, bool pairs, bool count) {
    double flop = (double)rounds * 12 * V * (HAS_PAIRS && pairs ? 4 : 2);
    if (count) return flop;
    vf sum[12];
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        sum[i] = v_set((float)i); /* unrolled, so that they stay in registers */
    vf a = v_set(0.999f), b = v_set(0.001f);
    for (int64_t r = 0; r < rounds; r++)
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) {
            sum[i] = HAS_PAIRS && pairs ? v_pairs(sum[i], a, b) : v_fma(a, b, sum[i]);
            __asm__ volatile("" : "+v"(sum[i])); /* so that no round is left out */
        }
    vf total = v_set(0);
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++) total = total + sum[i];
    volatile float sink = v_sum(total);
    (void)sink;
    return flop;
}

#define CPU_TEXT(x) #x
#define CPU_TEXT_OF(x) CPU_TEXT(x)
const struct cpu_isa CPU_NAME(cpu_isa) = {
    .name = CPU_TEXT_OF(ISA), .fill = fill, .spin = spin, .bf16_fast = HAS_PAIRS,
};
