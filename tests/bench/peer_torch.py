"""peer_torch.py JSON: torch and transformers (and PEFT) doing what hone does beside it; one process a measurement, so that
its peak of memory is its own. The last line of its output is JSON. Settings: fp32, bf16 (weights, gradients and moments in
bf16), amp (fp32 with autocast to bf16), each also with +compile."""
import time
began = time.time()
import json, math, os, resource, sys

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
import torch, transformers

job = json.loads(sys.argv[1])
transformers.utils.logging.set_verbosity_error()
torch.manual_seed(1)


def out(**what):
    what["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    what["versions"] = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__,
                        "threads": torch.get_num_threads()}
    if "peft" in sys.modules:
        what["versions"]["peft"] = sys.modules["peft"].__version__
    print(json.dumps(what))


def make_model():
    """A folder of random weights in the shape that was asked for."""
    config = transformers.LlamaConfig(**job["config"])
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(job["model"])
    out()


def lora_config():
    import peft
    return peft.LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")


def make_adapter():
    """The adapter that both sides begin with."""
    import peft
    model = transformers.AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    peft.get_peft_model(model, lora_config()).save_pretrained(job["adapter"])
    out()


def opened():
    bf16 = job["setting"].startswith("bf16")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        job["model"], dtype=torch.bfloat16 if bf16 else torch.float32, attn_implementation="sdpa")
    model.config.use_cache = False
    if job.get("adapter"):
        import peft
        model = peft.PeftModel.from_pretrained(model, job["adapter"], is_trainable=True)
        if bf16:
            model.to(torch.bfloat16)
    model.train()
    return model


def make_optimizer(model):
    params = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p for p in params if p.ndim >= 2], "weight_decay": 0.1},
              {"params": [p for p in params if p.ndim < 2], "weight_decay": 0.0}]
    groups = [g for g in groups if g["params"]]
    return params, torch.optim.AdamW(groups, lr=job["lr"], betas=(0.9, 0.95), eps=1e-8, fused=True)


def train(model, batches):
    """One optimizer step a batch; seconds and loss of each."""
    params, optimizer = make_optimizer(model)
    call = torch.compile(model) if job["setting"].endswith("+compile") else model
    steps = []
    for batch in batches:
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=job["setting"].startswith("amp")):
            loss = call(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        steps.append([time.perf_counter() - start, loss.item()])
    return steps


def step():
    """Windows of one document, every token labelled."""
    rows = [json.loads(line)["input_ids"] for line in open(job["rows"])]
    model, micro = opened(), job["micro"]
    batches = []
    for i in range(job["steps"]):
        ids = torch.tensor(rows[i * micro:(i + 1) * micro])
        batches.append({"input_ids": ids, "labels": ids, "attention_mask": torch.ones_like(ids)})
    out(steps=train(model, batches))


def alpaca_rows(tokenizer):
    rows = []
    for row in json.load(open(job["rows"]))[:job["n"]]:
        asked = row["instruction"] + ("\n" + row["input"] if row["input"] else "")
        prompt = tokenizer.apply_chat_template([{"role": "user", "content": asked}], tokenize=False, add_generation_prompt=True)
        prompt = tokenizer(prompt, add_special_tokens=False).input_ids
        answer = tokenizer(row["output"] + tokenizer.eos_token, add_special_tokens=False).input_ids
        rows.append((prompt + answer, [-100] * len(prompt) + answer))
    return [(ids[:job["length"]], labels[:job["length"]]) for ids, labels in rows]


def padded(tokenizer, rows):
    longest = max(len(ids) for ids, _ in rows)
    pad = lambda list, value: list + [value] * (longest - len(list))
    return {"input_ids": torch.tensor([pad(ids, tokenizer.pad_token_id) for ids, _ in rows]),
            "labels": torch.tensor([pad(labels, -100) for _, labels in rows]),
            "attention_mask": torch.tensor([pad([1] * len(ids), 0) for ids, _ in rows])}


def loss_of(model, tokenizer, rows):
    """Nats per trained token over all rows, in fp32."""
    total, n = 0.0, 0
    model.eval().float()
    with torch.no_grad():
        for ids, labels in rows:
            logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
            got = torch.nn.functional.cross_entropy(logits, torch.tensor(labels[1:]), ignore_index=-100, reduction="sum")
            total, n = total + got.item(), n + sum(x != -100 for x in labels[1:])
    model.train()
    return total / n, n


def alpaca():
    tokenizer = transformers.AutoTokenizer.from_pretrained(job["model"])
    rows = alpaca_rows(tokenizer)
    if job.get("evaluate"):
        with open(job["evaluate"], "w") as f:
            for ids, labels in rows:
                f.write(json.dumps({"input_ids": ids, "labels": labels}) + "\n")
    model = opened()
    batches = [padded(tokenizer, rows[i:i + job["micro"]]) for i in range(0, len(rows), job["micro"])]
    before = time.time()
    steps = train(model, batches)
    ended = time.time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    loss, trained = loss_of(model, tokenizer, rows) if job.get("evaluate") else (math.nan, 0)
    out(steps=steps, loop=ended - before, wall=ended - began, loss=loss, trained=trained, peak_trained=peak,
        computed=sum(b["input_ids"].numel() for b in batches))


{"make_model": make_model, "make_adapter": make_adapter, "step": step, "alpaca": alpaca}[job["what"]]()
