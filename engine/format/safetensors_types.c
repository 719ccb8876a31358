/* safetensors_types.c - element types: their names and sizes, and fp32 from and to the narrow floats.
 *
 * The conversions are branch-free on bits, so that the compiler turns the loops over them into
 * vector code; round to nearest, ties to even (IEEE 754). */
#include "engine/format/safetensors_file.h"
#include <string.h>

static const struct { const char *name; int bytes; } types[TENSOR_TYPES] = {
    [T_F32] = {"F32", 4}, [T_F16] = {"F16", 2}, [T_BF16] = {"BF16", 2}, [T_F64] = {"F64", 8},
    [T_I64] = {"I64", 8}, [T_I32] = {"I32", 4}, [T_I16] = {"I16", 2}, [T_I8] = {"I8", 1},
    [T_U64] = {"U64", 8}, [T_U32] = {"U32", 4}, [T_U16] = {"U16", 2}, [T_U8] = {"U8", 1},
    [T_BOOL] = {"BOOL", 1}, [T_F8_E4M3] = {"F8_E4M3", 1}, [T_F8_E5M2] = {"F8_E5M2", 1}};

const char *tensor_type_name(enum tensor_type t) { return types[t].name; }
int tensor_type_bytes(enum tensor_type t) { return types[t].bytes; }

bool tensor_type_find(enum tensor_type *out, struct text name)
{
    for (int i = 0; i < TENSOR_TYPES; i++)
        if (text_is(name, types[i].name)) {
            *out = (enum tensor_type)i;
            return true;
        }
    return false;
}

union bits { float f; uint32_t u; };

float bf16_to_f32(uint16_t v) { return (union bits){.u = (uint32_t)v << 16}.f; }

uint16_t f32_to_bf16(float v)
{
    uint32_t u = (union bits){.f = v}.u;
    uint32_t rounded = (u + 0x7FFF + (u >> 16 & 1)) >> 16;
    uint32_t quiet = u >> 16 | 0x40;
    return (uint16_t)((u & 0x7FFFFFFF) > 0x7F800000 ? quiet : rounded);
}

/* The exponent is rebiased by an addition; a subnormal half is 2^-14 with its mantissa, less 2^-14. */
float f16_to_f32(uint16_t v)
{
    uint32_t exponent = v & 0x7C00, u = ((uint32_t)v & 0x7FFF) << 13;
    union bits normal = {.u = u + (112u << 23)}, special = {.u = u + (224u << 23)};
    union bits tiny = {.u = u + (113u << 23)}, least = {.u = 113u << 23};
    tiny.f -= least.f;
    union bits out = {.u = exponent == 0 ? tiny.u : exponent == 0x7C00 ? special.u : normal.u};
    out.u |= ((uint32_t)v & 0x8000) << 16;
    return out.f;
}

/* Below 2^-14 the unit rounds: adding 0.5 leaves the half's mantissa in the low bits of the sum. */
uint16_t f32_to_f16(float v)
{
    uint32_t all = (union bits){.f = v}.u, sign = all >> 16 & 0x8000, u = all & 0x7FFFFFFF;
    union bits tiny = {.u = u}, half = {.f = 0.5f};
    tiny.f += half.f;
    uint32_t small = tiny.u - half.u;
    uint32_t normal = (u - (112u << 23) + 0xFFF + (u >> 13 & 1)) >> 13;
    uint32_t huge = u > 0x7F800000 ? 0x7E00 : 0x7C00;
    return (uint16_t)(sign | (u >= 0x47800000 ? huge : u < 0x38800000 ? small : normal));
}

void floats_widen(float *out, const void *in, int64_t n, enum tensor_type type)
{
    const uint16_t *halves = in;
    const double *doubles = in;
    if (type == T_F32) memcpy(out, in, (size_t)n * 4);
    if (type == T_BF16) for (int64_t i = 0; i < n; i++) out[i] = bf16_to_f32(halves[i]);
    if (type == T_F16) for (int64_t i = 0; i < n; i++) out[i] = f16_to_f32(halves[i]);
    if (type == T_F64) for (int64_t i = 0; i < n; i++) out[i] = (float)doubles[i];
}

void floats_narrow(void *out, const float *in, int64_t n, enum tensor_type type)
{
    uint16_t *halves = out;
    double *doubles = out;
    if (type == T_F32) memcpy(out, in, (size_t)n * 4);
    if (type == T_BF16) for (int64_t i = 0; i < n; i++) halves[i] = f32_to_bf16(in[i]);
    if (type == T_F16) for (int64_t i = 0; i < n; i++) halves[i] = f32_to_f16(in[i]);
    if (type == T_F64) for (int64_t i = 0; i < n; i++) doubles[i] = in[i];
}

bool tensor_type_is_float(enum tensor_type t) { return t == T_F32 || t == T_F16 || t == T_BF16 || t == T_F64; }
