#!/usr/bin/env python3
"""Makes tokenizer.json files of the rank files in a folder of material (tests/material.sh): LLaMA-3's, Qwen's
and GPT-2's, each in a folder of its own, and GPT-2's old pair vocab.json with merges.txt. Standard library only.

    python3 tests/golden/tokenizer_ranks.py MATERIAL

A rank file has lines "base64 rank". A piece can come from any two pieces that make it; its merges have the
order of its rank, as in the files that Meta and Alibaba published."""
import base64
import json
import os
import sys

LLAMA3 = ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
          "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")
QWEN = LLAMA3.replace("{1,3}", "")
LLAMA3_SPECIAL = (["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
                   "<|finetune_right_pad_id|>", "<|step_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>",
                   "<|eot_id|>", "<|python_tag|>"] + [f"<|reserved_special_token_{i}|>" for i in range(2, 247)])

def alphabet():
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {b: chr(b) for b in own}
    table.update({b: chr(0x100 + i) for i, b in enumerate(b for b in range(256) if b not in table)})
    return table

def written(piece, table):
    return "".join(table[b] for b in piece)

def read_ranks(path):
    with open(path, "rb") as f:
        return {base64.b64decode(piece): int(rank) for piece, rank in (line.split() for line in f if line.strip())}

def merges_of(ranks):
    merges = []
    for piece, rank in sorted(ranks.items(), key=lambda r: r[1]):
        cuts = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in ranks and piece[i:] in ranks]
        merges += sorted(cuts, key=lambda c: (ranks[c[0]], ranks[c[1]]))
    return merges

def tokenizer_json(ranks, regex, special, ignore_merges, bos=None):
    table = alphabet()
    first = max(ranks.values()) + 1
    split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": regex is None}
    post = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {bos: {"id": bos, "ids": [first], "tokens": [bos]}}} if bos else None
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": first + i, "content": s, "single_word": False, "lstrip": False, "rstrip": False,
                              "normalized": False, "special": True} for i, s in enumerate(special)],
            "normalizer": {"type": "NFC"} if regex == QWEN else None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]} if regex else level,
            "post_processor": post, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "ignore_merges": ignore_merges,
                      "vocab": {written(p, table): r for p, r in sorted(ranks.items(), key=lambda r: r[1])},
                      "merges": [[written(a, table), written(b, table)] for a, b in merges_of(ranks)]}}

ROWS = [  # material, folder, regex, special tokens, whole pieces before merges, what texts begin with
    ("llama3.tiktoken", "llama3", LLAMA3, LLAMA3_SPECIAL, True, "<|begin_of_text|>"),
    ("qwen.tiktoken", "qwen", QWEN, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], False, None),
    ("gpt2.tiktoken", "gpt2", None, ["<|endoftext|>"], False, None)]

def main(material):
    for file, name, regex, special, ignore, bos in ROWS:
        out = os.path.join(material, name)
        if not os.path.exists(os.path.join(material, file)) or os.path.exists(os.path.join(out, "tokenizer.json")):
            continue
        os.makedirs(out, exist_ok=True)
        made = tokenizer_json(read_ranks(os.path.join(material, file)), regex, special, ignore, bos)
        with open(os.path.join(out, "tokenizer.json.part"), "w", encoding="utf-8") as f:
            json.dump(made, f, ensure_ascii=False, indent=1)
        os.replace(os.path.join(out, "tokenizer.json.part"), os.path.join(out, "tokenizer.json"))
    pair = os.path.join(material, "gpt2-pair")
    for old, new in (("gpt2-encoder.json", "vocab.json"), ("gpt2-vocab.bpe", "merges.txt")):
        if os.path.exists(os.path.join(material, old)) and not os.path.exists(os.path.join(pair, new)):
            os.makedirs(pair, exist_ok=True)
            os.link(os.path.join(material, old), os.path.join(pair, new))

if __name__ == "__main__":
    main(sys.argv[1])
