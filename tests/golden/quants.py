"""Records what the gguf package makes of quantised blocks: tests/golden/quants.bin, tiny.gguf, tiny.txt.

quants.bin  for each type: u32 type, u32 elements, u32 bytes, the blocks (random bytes with finite
            scales), then the elements as fp32.
tiny.gguf   a model of the LLaMA family of one block with a tensor of each type, explicit head size,
            biases, LLaMA 3's rotations, a head of its own and a small byte-level vocabulary.
tiny.txt    for each tensor in Hugging Face's names and order of rows: XXH3-128 of its fp32 bytes.

Run from the root with packages gguf 0.17.1 or later, numpy, xxhash; the output is the same every time.
"""
import math
import numpy as np
import xxhash
from gguf import GGUFWriter, GGMLQuantizationType as Q
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

random = np.random.default_rng(7)
TYPES = [Q.F32, Q.F16, Q.BF16, Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.Q4_K, Q.Q5_K, Q.Q6_K]
# Where in a block its half-precision scales are.
SCALES = {Q.Q8_0: [0], Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}


def blocks(kind, n, spread):
    """n blocks of a type as bytes; scales are finite halves of both signs, some of them subnormal."""
    if kind == Q.F32:
        return (random.standard_normal(n) * spread).astype(np.float32).view(np.uint8).reshape(n, 4)
    if kind == Q.F16:
        return (random.standard_normal(n) * spread).astype(np.float16).view(np.uint8).reshape(n, 2)
    if kind == Q.BF16:
        wide = (random.standard_normal(n) * spread).astype(np.float32).view(np.uint32)
        return (wide >> 16).astype(np.uint16).view(np.uint8).reshape(n, 2)
    out = random.integers(0, 256, (n, GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    for at in SCALES[kind]:
        halves = (random.standard_normal(n) * spread * 10.0 ** random.integers(-6, 1, n)).astype(np.float16)
        out[:, at:at + 2] = halves.view(np.uint8).reshape(n, 2)
    return out


with open("tests/golden/quants.bin", "wb") as f:
    for kind in TYPES:
        elements, _ = GGML_QUANT_SIZES[kind]
        data = blocks(kind, max(6, 96 // elements), 1.0)
        wide = dequantize(data, kind).astype(np.float32).ravel()
        np.array([kind, wide.size, data.size], np.uint32).tofile(f)
        data.tofile(f)
        wide.tofile(f)

HIDDEN, HEADS, KV, HEAD, INNER, VOCAB = 256, 4, 2, 32, 32, 268
writer = GGUFWriter("tests/golden/tiny.gguf", "llama")
lines = []


def add(name, hf, rows, columns, kind, heads=0):
    elements, size = GGML_QUANT_SIZES[kind]
    shape = (rows, columns // elements * size) if columns else (rows * 4,)
    data = blocks(kind, rows * max(columns, 1) // elements, 0.05).reshape(shape)
    wide = dequantize(data, kind).astype(np.float32)
    if not columns:
        data = wide = data.view(np.float32)
    if heads:  # pairs (2i, 2i+1) of a head become (i, i + half)
        wide = wide.reshape(heads, HEAD // 2, 2, -1).swapaxes(1, 2).reshape(wide.shape)
    if hf:
        lines.append(f"{hf} {xxhash.xxh3_128_hexdigest(np.ascontiguousarray(wide).tobytes())}\n")
    if columns:
        writer.add_tensor(name, data, raw_dtype=kind)
    else:
        writer.add_tensor(name, data)


writer.add_name("tiny")
writer.add_block_count(1)
writer.add_context_length(4096)
writer.add_embedding_length(HIDDEN)
writer.add_feed_forward_length(INNER)
writer.add_head_count(HEADS)
writer.add_head_count_kv(KV)
writer.add_key_length(HEAD)
writer.add_value_length(HEAD)
writer.add_rope_dimension_count(HEAD)
writer.add_rope_freq_base(500000.0)
writer.add_layer_norm_rms_eps(1e-6)

# GPT-2's byte alphabet.
plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
letters = [chr(b) if b in plain else chr(256 + sorted(set(range(256)) - set(plain)).index(b)) for b in range(256)]
tokens = letters + ["\u0120t", "he", "\u0120the", "in", "ing", "1", "\u0120a"]
tokens = list(dict.fromkeys(tokens))
merges = ["\u0120 t", "h e", "\u0120t he", "i n", "in g", "\u0120 a"]
kinds = [1] * len(tokens)
for special, kind in (("<s>", 3), ("</s>", 3), ("<turn>", 3), ("<user>", 4), ("[PAD]", 5)):
    tokens.append(special)
    kinds.append(kind)
tokens.append("unused")
kinds.append(5)
assert len(tokens) == VOCAB, len(tokens)
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("llama-bpe")
writer.add_token_list(tokens)
writer.add_token_types(kinds)
writer.add_token_merges(merges)
writer.add_bos_token_id(tokens.index("<s>"))
writer.add_eos_token_id(tokens.index("</s>"))
writer.add_eot_token_id(tokens.index("<turn>"))
writer.add_pad_token_id(tokens.index("[PAD]"))
writer.add_add_bos_token(True)
writer.add_chat_template("{% for m in messages %}<user>{{ m['content'] }}<turn>{% endfor %}")

factors = []
for i in range(HEAD // 2):
    wave = 2 * math.pi * 500000.0 ** (2 * i / HEAD)
    smooth = (8192 / wave - 1) / 3
    factors.append(1.0 if wave < 2048 else 8.0 if wave > 8192 else 1 / ((1 - smooth) / 8 + smooth))
writer.add_tensor("rope_freqs.weight", np.array(factors, np.float32))

at, hf = "blk.0.", "model.layers.0."
add("token_embd.weight", "model.embed_tokens.weight", VOCAB, HIDDEN, Q.Q6_K)
add("output_norm.weight", "model.norm.weight", HIDDEN, 0, Q.F32)
add("output.weight", "lm_head.weight", VOCAB, HIDDEN, Q.Q4_K)
add(at + "attn_norm.weight", hf + "input_layernorm.weight", HIDDEN, 0, Q.F32)
add(at + "attn_q.weight", hf + "self_attn.q_proj.weight", HEADS * HEAD, HIDDEN, Q.Q4_K, HEADS)
add(at + "attn_k.weight", hf + "self_attn.k_proj.weight", KV * HEAD, HIDDEN, Q.Q5_K, KV)
add(at + "attn_v.weight", hf + "self_attn.v_proj.weight", KV * HEAD, HIDDEN, Q.Q4_0)
add(at + "attn_output.weight", hf + "self_attn.o_proj.weight", HIDDEN, HEADS * HEAD, Q.Q4_1)
add(at + "attn_q.bias", hf + "self_attn.q_proj.bias", HEADS * HEAD, 0, Q.F32, HEADS)
add(at + "attn_k.bias", hf + "self_attn.k_proj.bias", KV * HEAD, 0, Q.F32, KV)
add(at + "attn_v.bias", hf + "self_attn.v_proj.bias", KV * HEAD, 0, Q.F32)
add(at + "attn_output.bias", hf + "self_attn.o_proj.bias", HIDDEN, 0, Q.F32)
add(at + "ffn_norm.weight", hf + "post_attention_layernorm.weight", HIDDEN, 0, Q.F32)
add(at + "ffn_gate.weight", hf + "mlp.gate_proj.weight", INNER, HIDDEN, Q.Q8_0)
add(at + "ffn_up.weight", hf + "mlp.up_proj.weight", INNER, HIDDEN, Q.F16)
add(at + "ffn_down.weight", hf + "mlp.down_proj.weight", HIDDEN, INNER, Q.BF16)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
with open("tests/golden/tiny.txt", "w") as f:
    f.writelines(lines)
