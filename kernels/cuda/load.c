/* load.c - the one symbol of the plug-in hone-cuda.so: the table of kernels.h, filled. cudart is
 * linked in, and asks for a driver only when a device is counted or opened, so the plug-in loads
 * on machines that have none. */
#include "kernels/cuda/host.h"
#include "kernels/cuda/operations.h"

static struct kernels table;

static void operations_table(struct kernels *k)
{
    k->convert = cuda_convert;
    k->fill = cuda_fill;
    k->settle = cuda_product_settle;
    k->linear = device_linear;
    k->linear_back = device_linear_back;
    k->linear_grad = device_linear_grad;
    k->bias = cuda_bias;
    k->bias_grad = cuda_bias_grad;
    k->embed = cuda_embed;
    k->embed_grad = cuda_embed_grad;
    k->gather = cuda_gather;
    k->scatter = cuda_scatter;
    k->add = cuda_add;
    k->dropout = cuda_dropout;
    k->noise = cuda_noise;
    k->norm = cuda_norm;
    k->norm_back = cuda_norm_back;
    k->rope = cuda_rope;
    k->attn = cuda_attn;
    k->attn_back = cuda_attn_back;
    k->swiglu = cuda_swiglu;
    k->swiglu_back = cuda_swiglu_back;
    k->xent = cuda_xent;
    k->total = cuda_total;
    k->sumsq = cuda_sumsq;
    k->clip = cuda_clip;
    k->adamw = cuda_adamw;
    k->sample = cuda_sample;
}

const struct kernels *hone_kernels(int abi);
const struct kernels *hone_kernels(int abi)
{
    if (abi != KERNELS_ABI) return NULL;
    table = (struct kernels){.abi = KERNELS_ABI, .name = "cuda"};
    device_table(&table);
    operations_table(&table);
    return &table;
}
