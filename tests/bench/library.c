/* library.c - one product at a time in oneDNN 2 or 3. */
#include "tests/bench/library.h"
#include "tests/bench/timed.h"
#include <dnnl.h>
#include <stdint.h>
#include <stdio.h>

/* The best of some runs of about 0.4 seconds in all. */
double best_of(void (*run)(void *), void *arg) {
    run(arg);
    double best = 1e30, start = seconds_now();
    for (int i = 0; i < 3 || (i < 50 && seconds_now() - start < 0.4); i++) {
        double t = seconds_now();
        run(arg);
        t = seconds_now() - t;
        if (t < best) best = t;
    }
    return best;
}

const char *library_name(void) {
    static char name[32];
    const dnnl_version_t *v = dnnl_version();
    snprintf(name, sizeof name, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    return name;
}

/* One product in oneDNN on all threads, with the weight in the layout it likes best. */
struct library {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[4];
};
static void run_library(void *arg) {
    struct library *l = arg;
    dnnl_primitive_execute(l->primitive, l->stream, 3, l->args);
    dnnl_stream_wait(l->stream);
}

double library_time(int m, int n, int inner, enum dtype t, bool left_turned, bool packed) {
    struct library l = {0};
    dnnl_data_type_t type = t == BF16 ? dnnl_bf16 : dnnl_f32;
    dnnl_dims_t a = {m, inner}, b = {inner, n}, c = {m, n}, rows = {inner, 1}, turned = {1, m};
    dnnl_engine_create(&l.engine, dnnl_cpu, 0);
    dnnl_stream_create(&l.stream, l.engine, dnnl_stream_default_flags);
    dnnl_dims_t b_rows = {n, 1}, c_rows = {n, 1};
    dnnl_memory_t mem[3];
#if DNNL_VERSION_MAJOR < 3
    dnnl_memory_desc_t da, db, dc, packed_b;
    dnnl_memory_desc_init_by_strides(&da, 2, a, type, left_turned ? turned : rows);
    if (packed) dnnl_memory_desc_init_by_tag(&db, 2, b, type, dnnl_format_tag_any);
    else dnnl_memory_desc_init_by_strides(&db, 2, b, type, b_rows);
    dnnl_memory_desc_init_by_strides(&dc, 2, c, left_turned ? dnnl_f32 : type, c_rows);
    dnnl_matmul_desc_t desc;
    dnnl_matmul_desc_init(&desc, &da, &db, NULL, &dc);
    dnnl_primitive_desc_t pd;
    if (dnnl_primitive_desc_create(&pd, &desc, NULL, l.engine, NULL)) return 0;
    packed_b = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    dnnl_primitive_create(&l.primitive, pd);
    dnnl_memory_create(&mem[0], &da, l.engine, DNNL_MEMORY_ALLOCATE);
    dnnl_memory_create(&mem[1], &packed_b, l.engine, DNNL_MEMORY_ALLOCATE);
    dnnl_memory_create(&mem[2], &dc, l.engine, DNNL_MEMORY_ALLOCATE);
#else
    dnnl_memory_desc_t da, db, dc;
    dnnl_memory_desc_create_with_strides(&da, 2, a, type, left_turned ? turned : rows);
    if (packed) dnnl_memory_desc_create_with_tag(&db, 2, b, type, dnnl_format_tag_any);
    else dnnl_memory_desc_create_with_strides(&db, 2, b, type, b_rows);
    dnnl_memory_desc_create_with_strides(&dc, 2, c, left_turned ? dnnl_f32 : type, c_rows);
    dnnl_primitive_desc_t pd;
    if (dnnl_matmul_primitive_desc_create(&pd, l.engine, da, db, NULL, dc, NULL)) return 0;
    dnnl_primitive_create(&l.primitive, pd);
    dnnl_memory_create(&mem[0], da, l.engine, DNNL_MEMORY_ALLOCATE);
    dnnl_memory_create(&mem[1], dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0),
                       l.engine, DNNL_MEMORY_ALLOCATE);
    dnnl_memory_create(&mem[2], dc, l.engine, DNNL_MEMORY_ALLOCATE);
#endif
    const int names[3] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    for (int i = 0; i < 3; i++) {
        void *p;
        size_t floats = (size_t)(i == 0 ? m : i == 1 ? n : 0) * (size_t)inner * dtype_bytes(t) / 4;
        dnnl_memory_get_data_handle(mem[i], &p);
        for (size_t j = 0; j < floats; j++)
            ((uint32_t *)p)[j] = 0x3C003C00; /* small in both types */
        l.args[i] = (dnnl_exec_arg_t){.arg = names[i], .memory = mem[i]};
    }
    double time = best_of(run_library, &l);
    for (int i = 0; i < 3; i++) dnnl_memory_destroy(mem[i]);
    dnnl_primitive_destroy(l.primitive);
    dnnl_primitive_desc_destroy(pd);
    dnnl_stream_destroy(l.stream);
    dnnl_engine_destroy(l.engine);
    return time;
}
