"""peft_both.py BUILD: hone and PEFT on each other's adapters, compared by the loss of every token. Prints TAP."""
import json, math, os, subprocess, sys, tempfile

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

build = os.path.abspath(sys.argv[1])
hone = build + "/hone"
work = tempfile.mkdtemp(prefix="hone-peft-")
os.environ.update(HONE_HOME=work + "/home", XDG_CONFIG_HOME=work + "/config", HONE_MODELS=work)
tiny = work + "/tiny"
subprocess.run([build + "/tests/run/tiny", tiny], check=True)
ids = [(i * 37 + i * i) % 256 for i in range(60)]
open(work + "/text.ids", "w").write(" ".join(map(str, ids)) + "\n")


def run(*args):
    p = subprocess.run([hone, *args], capture_output=True, text=True)
    if p.returncode:
        raise RuntimeError(p.stderr[-1500:])
    return p.stdout


def by_hone(*args):
    return json.loads(run("eval", *args, work + "/text.ids", "--per-token", "--json", "--dtype", "fp32"))["losses"]


def by_torch(model):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
    return (-torch.log_softmax(logits[:-1], -1)[range(len(ids) - 1), ids[1:]]).tolist()


def base():
    return AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)


def far(x, y):
    most = max(abs(a - b) for a, b in zip(x, y))
    return "" if len(x) == len(y) and most <= 1e-4 else "losses differ by %g" % most


def test(name, body):
    try:
        why = body()
    except Exception as e:
        why = repr(e)
    print(("not ok " if why else "ok ") + name, flush=True)
    for line in str(why or "").splitlines()[:20]:
        print("    " + line)


def trained():
    rows = "".join(json.dumps({"input_ids": [(i * 7 + j * 3) % 256 for j in range(40)]}) + "\n" for i in range(16))
    open(work + "/rows.jsonl", "w").write(rows)
    open(work + "/p.yaml", "w").write("""name: peft
base_model: %s
dtype: fp32
max_length: 64
train: lora
lora: {rank: 4, alpha: 8, dropout: 0}
learning_rate: 2e-2
datasets: {rows: {path: rows.jsonl, format: tokens}}
batch_tokens: 256
stages: [{name: one, datasets: {rows: 1.0}, max_steps: 12}]
""" % tiny)
    run("train", work + "/p.yaml", "--run-dir", work + "/run")
    run("export", work + "/run", work + "/adapter", "--adapter-only")
    plain, ours = by_torch(base()), by_torch(PeftModel.from_pretrained(base(), work + "/adapter"))
    if max(abs(a - b) for a, b in zip(plain, ours)) < 1e-2:
        return "the adapter changes nothing"
    return far(ours, by_hone(tiny, "--adapter", work + "/adapter"))


def theirs():
    model = get_peft_model(base(), LoraConfig(r=4, lora_alpha=12, use_rslora=True, target_modules=["q_proj", "v_proj", "down_proj"]))
    torch.manual_seed(1)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.3)
    model.save_pretrained(work + "/theirs")
    return far(by_torch(model), by_hone(tiny, "--adapter", work + "/theirs"))


def merged():
    run("export", work + "/run", work + "/merged", "--dtype", "fp32")
    model = AutoModelForCausalLM.from_pretrained(work + "/merged", dtype=torch.float32)
    return far(by_torch(model), by_torch(PeftModel.from_pretrained(base(), work + "/adapter")))


test("the base alone: hone and transformers agree", lambda: far(by_torch(base()), by_hone(tiny)))
test("PEFT loads hone's adapter: equal losses", trained)
test("hone loads PEFT's adapter (rsLoRA, some linears): equal losses", theirs)
test("transformers loads the merged export: equal losses", merged)
subprocess.run(["rm", "-rf", work])
