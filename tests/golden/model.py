#!/usr/bin/env python3
"""Records what torch, transformers and PEFT compute for tiny random LLaMA models, for tests/model.

usage: model.py [OUT]     OUT: tests/golden/model; needs torch, transformers, peft, safetensors

A case is a folder: config.json and model.safetensors as a user has them, and expected.safetensors:
  N.ids N.targets N.starts      micro-batch N of a step: packed documents; a target is -1 or the next id
  logits                        of micro-batch 0, document by document
  loss grad.NAME norm.NAME      of both micro-batches as one step: sum / all labels; gradients in bf16 (for
                                their direction), norms in fp32
  lr losses norms               ten AdamW steps on both, clipped, with these rates
  bf16.logits bf16.loss         distance of torch's bf16 from its fp32: rms of logits, of the loss
  bf16.spread                   how far the losses of the ten steps go with fp32 masters and torch's automatic
                                bf16, in either order of the micro-batches, from those in fp32
An adapter case has adapter_config.json and adapter_model.safetensors by PEFT, and `base` names its model.
"""
import json, math, os, sys
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM
from peft import LoraConfig, get_peft_model

torch.set_num_threads(1)
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "model")
STEPS, CLIP, DECAY = 10, 0.5, 0.1
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}

# name: (type of the file, fields)
CASES = {
    "mha": ("F32", dict(heads=4, kv=4)),
    "gqa": ("BF16", dict(heads=4, kv=2)),
    "tied": ("BF16", dict(heads=4, kv=1, tied=True)),
    "bias": ("F16", dict(heads=2, kv=2, attention_bias=True, mlp_bias=True)),
    "headdim": ("BF16", dict(heads=2, kv=1, head_dim=12)),
    "llama3": ("BF16", dict(heads=4, kv=2, rope_parameters=dict(LLAMA3, rope_theta=500000.0))),
    "linear": ("BF16", dict(heads=4, kv=2, rope_scaling={"type": "linear", "factor": 4.0})),
    "odd": ("BF16", dict(dim=30, heads=5, kv=5, ffn=37, vocab=101, layers=3, tied=True)),
}
ADAPTERS = {  # name: (base, LoraConfig)
    "lora-all": ("gqa", dict(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj",
                                                                "up_proj", "down_proj"])),
    "lora-qv": ("tied", dict(r=3, lora_alpha=16, use_rslora=True, target_modules=["q_proj", "v_proj"])),
}
TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def config_of(f):
    c = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
         "hidden_size": f.get("dim", 32), "intermediate_size": f.get("ffn", 40), "num_hidden_layers": f.get("layers", 2),
         "num_attention_heads": f["heads"], "num_key_value_heads": f["kv"], "vocab_size": f.get("vocab", 96),
         "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
         "tie_word_embeddings": f.get("tied", False), "attention_bias": f.get("attention_bias", False),
         "mlp_bias": f.get("mlp_bias", False), "bos_token_id": 1, "eos_token_id": [2, 3]}
    if "head_dim" in f: c["head_dim"] = f["head_dim"]
    for key in ("rope_scaling", "rope_parameters"):  # as transformers 4 and 5 write it
        if key in f: c[key] = f[key]
    if "rope_parameters" in f: del c["rope_theta"]
    return c


def random_model(c, type_name, seed):
    """Weights that the file's type holds exactly, large enough that mistakes show."""
    model = LlamaForCausalLM(LlamaConfig.from_dict(dict(c)))
    model.config._attn_implementation = "eager"
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            x = torch.randn(p.shape, generator=g)
            x = 1 + 0.2 * x if "norm" in name else 0.2 * x if p.dim() == 1 else x * (1.5 / math.sqrt(p.shape[1]))
            p.copy_(x.to(TYPES[type_name]).float())
    return model.float()


def micro_batch(g, lengths, vocab):
    ids, targets, starts = [], [], [0]
    for n in lengths:
        doc = torch.randint(0, vocab, (n,), generator=g).tolist()
        ids += doc
        targets += [doc[i + 1] if i + 1 < n and torch.rand(1, generator=g).item() < 0.6 else -1 for i in range(n)]
        starts.append(len(ids))
    return {"ids": ids, "targets": targets, "starts": starts}


def logits_of(model, b):
    """Document by document: what a packed window must equal."""
    ids = torch.tensor(b["ids"])
    return torch.cat([model(ids[s:e].unsqueeze(0)).logits[0].float() for s, e in zip(b["starts"], b["starts"][1:])])


def step_loss(model, batches):
    labels = sum(t >= 0 for b in batches for t in b["targets"])
    total = 0
    for b in batches:
        t = torch.tensor(b["targets"])
        total = total + torch.nn.functional.cross_entropy(logits_of(model, b), t, ignore_index=-1, reduction="sum")
    return total / labels


def rates():
    warm, out = 3, []
    for s in range(STEPS):
        p = (s - warm) / (STEPS - warm)
        out.append(1e-2 * ((s + 1) / warm if s < warm else 0.1 + 0.9 * (1 + math.cos(math.pi * p)) / 2))
    return out


def train(model, batches, half=False):
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [{"params": [p for _, p in named if p.dim() >= 2], "weight_decay": DECAY},
              {"params": [p for _, p in named if p.dim() < 2], "weight_decay": 0.0}]
    opt = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    losses, norms = [], []
    for lr in rates():
        for group in opt.param_groups: group["lr"] = lr
        opt.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half): loss = step_loss(model, batches)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_([p for _, p in named], CLIP).item())
        opt.step()
        losses.append(loss.item())
    return losses, norms


def record(model, batches, name_of=lambda n: n):
    out = {}
    for i, b in enumerate(batches):
        for key, value in b.items(): out[f"{i}.{key}"] = torch.tensor(value, dtype=torch.float32)
    out["logits"] = logits_of(model, batches[0]).detach().clone()
    model.zero_grad()
    loss = step_loss(model, batches)
    loss.backward()
    out["loss"] = loss.detach().reshape(1).clone()
    for name, p in model.named_parameters():
        if not p.requires_grad: continue
        out["grad." + name_of(name)] = p.grad.to(torch.bfloat16)
        out["norm." + name_of(name)] = p.grad.norm().reshape(1)
    return out


def distances(out, model, batches):
    with torch.no_grad():
        half = model.to(torch.bfloat16)
        logits, loss = logits_of(half, batches[0]), step_loss(half, batches)
    out["bf16.logits"] = (logits - out["logits"]).pow(2).mean().sqrt().reshape(1)
    out["bf16.loss"] = (loss - out["loss"]).abs().reshape(1)


def steps(out, make, batches):
    losses, norms = train(make(), batches)
    spread = max(abs(x - y) for order in (batches, batches[::-1])
                 for x, y in zip(train(make(), order, half=True)[0], losses))
    for key, x in (("lr", rates()), ("losses", losses), ("norms", norms), ("bf16.spread", [spread])):
        out[key] = torch.tensor(x, dtype=torch.float32)


def base_case(name, type_name, fields, seed):
    path = os.path.join(OUT, name)
    os.makedirs(path, exist_ok=True)
    c = config_of(fields)
    with open(os.path.join(path, "config.json"), "w") as f: json.dump(c, f, indent=1)
    make = lambda: random_model(c, type_name, seed)
    weights = {n: p.detach().to(TYPES[type_name]).clone() for n, p in make().named_parameters()}
    save_file(weights, os.path.join(path, "model.safetensors"), metadata={"format": "pt"})
    g = torch.Generator().manual_seed(seed + 1000)
    batches = [micro_batch(g, (9, 1, 14), c["vocab_size"]), micro_batch(g, (17, 3), c["vocab_size"])]
    out = record(make(), batches)
    steps(out, make, batches)
    distances(out, make(), batches)
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(path, "expected.safetensors"))
    return make, batches


def adapter_case(name, base, make, batches, settings, seed):
    path = os.path.join(OUT, name)
    os.makedirs(path, exist_ok=True)
    def wrapped():
        model = get_peft_model(make(), LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, bias="none", **settings))
        g = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for n, p in model.named_parameters():
                if "lora_" in n: p.copy_(torch.randn(p.shape, generator=g) * 0.3 / math.sqrt(p.shape[1]))
        return model
    model = wrapped()
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(path)
    for extra in ("README.md",):
        if os.path.exists(os.path.join(path, extra)): os.remove(os.path.join(path, extra))
    short = lambda n: n.replace(".default.", ".")
    out = record(model, batches, short)
    steps(out, wrapped, batches)
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(path, "expected.safetensors"))


def main():
    made = {}
    for i, (name, (type_name, fields)) in enumerate(CASES.items()):
        made[name] = base_case(name, type_name, fields, 100 + i)
        print("recorded", name)
    for i, (name, (base, settings)) in enumerate(ADAPTERS.items()):
        adapter_case(name, base, *made[base], settings, 200 + i)
        print("recorded", name)


main()
