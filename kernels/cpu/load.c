/* load.c - the one symbol of the plug-in: asks the processor once and fills the table with the
 * operations of its best instruction set, or of the lower one that HONE_ISA names. */
#include "kernels/cpu/cpu.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct cpu_isa cpu_isa_avx2, cpu_isa_avx512, cpu_isa_avx512bf16;
extern void cpu_device(struct kernels *);

struct kernels cpu_table;
const struct cpu_isa *cpu_isa;

/* From the lowest to the highest; each one needs those before it. */
static const struct cpu_isa *const sets[] = {&cpu_isa_avx2, &cpu_isa_avx512, &cpu_isa_avx512bf16};

static int sets_here(void) {
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
    return !avx2 ? 0 : !avx512 ? 1 : !__builtin_cpu_supports("avx512bf16") ? 2 : 3;
}

static bool refuse(struct device **out, int index, struct pool *pool, char *why, size_t why_size) {
    (void)index, (void)pool;
    const char *wish = getenv("HONE_ISA");
    int here = sets_here();
    *out = NULL;
    if (!here)
        snprintf(why, why_size,
                 "backend cpu needs a processor with AVX2 and FMA, and this one lacks them; "
                 "--backend ref works on every processor, slowly");
    else
        snprintf(why, why_size,
                 "HONE_ISA is %.40s, but this processor offers avx2%s%s; unset HONE_ISA or name "
                 "one of them",
                 wish ? wish : "", here > 1 ? ", avx512" : "", here > 2 ? ", avx512bf16" : "");
    return false;
}

static int none(void) { return 0; }

const struct kernels *hone_kernels(int abi);
const struct kernels *hone_kernels(int abi) {
    if (abi != KERNELS_ABI) return NULL;
    int here = sets_here(), chosen = here - 1;
    const char *wish = getenv("HONE_ISA");
    if (here && wish && *wish)
        for (chosen = here - 1; chosen >= 0 && strcmp(sets[chosen]->name, wish) != 0; chosen--) {}
    cpu_table = (struct kernels){.abi = KERNELS_ABI, .name = "cpu"};
    cpu_isa = sets[chosen < 0 ? 0 : chosen];
    cpu_device(&cpu_table);
    cpu_isa->fill(&cpu_table);
    if (chosen < 0) {
        cpu_table.open = refuse;
        cpu_table.count = none;
    }
    return &cpu_table;
}
