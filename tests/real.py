"""real.py BUILD MATERIAL: hone against the recorded values of SmolLM2-135M-Instruct (tests/golden/smollm2-reference.json),
through the command line alone. Prints TAP; needs nothing but python3. The tolerances are those of an fp32 implementation."""
import json, math, os, re, struct, subprocess, sys, tempfile, threading, time

build, material = sys.argv[1], sys.argv[2]
hone = os.path.abspath(os.path.join(build, "hone"))
reference = json.load(open("tests/golden/smollm2-reference.json"))
work = tempfile.mkdtemp(prefix="hone-real-")
os.environ.update(HONE_HOME=work + "/home", XDG_CONFIG_HOME=work + "/config", HONE_MODELS=work)
model = work + "/smollm2"


def run(*args, stdin=None, code=0):
    p = subprocess.run([hone, *args], input=stdin, capture_output=True, timeout=580)
    if p.returncode != code:
        raise RuntimeError("hone %s: status %d\n%s" % (" ".join(args), p.returncode, p.stderr.decode()[-2000:]))
    return p.stdout.decode()


def test(name, body):
    try:
        why = body()
    except Exception as e:
        why = str(e)
    print(("not ok " if why else "ok ") + name, flush=True)
    for line in str(why or "").splitlines()[:20]:
        print("    " + line)


def write(name, text):
    path = os.path.join(work, name)
    open(path, "w").write(text)
    return path


def far(got, want, most, what):
    return "" if abs(got - want) <= most else "%s: %.6f, recorded %.6f, at most %g apart" % (what, got, want, most)


def imported():
    run("import", material + "/SmolLM2-135M-Instruct.Q4_1.gguf", model, "--dtype", "fp32")
    listed = [m for m in json.loads(run("models", "--json"))["models"] if m["path"] == model]
    if not listed or listed[0].get("unusable"):
        return "not listed as usable: %s" % listed
    return "" if listed[0]["parameters"] == 134515008 else "parameters %s" % listed[0]["parameters"]


def vectors():
    for text, ids in reference["tokenizer_vectors"]["vectors"]:
        got = [int(x) for x in run("tokenize", model, stdin=text.encode()).split()]
        if got != ids:
            return "%r: %s, recorded %s" % (text, got, ids)


def greedy(item):
    def body():
        if item["name"] == "chat":
            out = run("chat", model, "--prompt", item["messages"][0]["content"], "--greedy", "--max-new-tokens", "32", "--dtype", "fp32")
        else:
            got = [int(x) for x in run("tokenize", model, stdin=item["text"].encode()).split()]
            if got != item["ids"]:
                return "prompt ids differ"
            out = run("chat", model, "--raw", "--prompt", item["text"], "--greedy", "--max-new-tokens", "32", "--dtype", "fp32")
        want = item["greedy_text"]
        return "" if out.rstrip("\n") == want.rstrip("\n") else "%r\nrecorded %r" % (out, want)
    return body


def logits(item):
    def body():
        lines = "".join(" ".join(map(str, item["ids"] + [top])) + "\n" for top, _ in item["next_top5"])
        out = run("eval", model, write("top.ids", lines), "--per-token", "--json", "--dtype", "fp32")
        for line, (top, logit) in zip(out.splitlines(), item["next_top5"]):
            why = far(json.loads(line)["losses"][-1], item["next_logsumexp"] - logit, 1e-3, "log p(%d)" % top)
            if why:
                return why
    return body


def ids_file():
    return write("loss.ids", " ".join(map(str, reference["loss"]["ids"])) + "\n")


def text_loss(of=None, most=1e-5, want=None, *more):
    out = json.loads(run("eval", of or model, ids_file(), "--json", "--dtype", "fp32", *more))
    return far(out["nats_per_token"], want if want is not None else reference["loss"].get("mean", 3.201457), most, "loss of the text")


def rows_file():
    ids = reference["loss"]["ids"]
    return write("rows.jsonl", "".join(json.dumps({"input_ids": ids[130 * r:130 * r + 128]}) + "\n" for r in range(4)))


def sine_adapter():
    """The recorded adapter: A[i][j] = sin(...), B zero, as PEFT would have written it."""
    folder = os.path.join(work, "sine")
    os.makedirs(folder, exist_ok=True)
    shapes = {"self_attn.q_proj": (576, 576), "self_attn.k_proj": (192, 576), "self_attn.v_proj": (192, 576), "self_attn.o_proj": (576, 576),
              "mlp.gate_proj": (1536, 576), "mlp.up_proj": (1536, 576), "mlp.down_proj": (576, 1536)}
    entries, data, at = {}, [], 0
    rows = {n: struct.pack("<%df" % (16 * n), *[0.02 * math.sin(0.37 * i + 0.73 * j) for i in range(16) for j in range(n)]) for n in (576, 1536)}
    for layer in range(30):
        for name, (out, into) in shapes.items():
            for part, shape, values in (("A", [16, into], rows[into]), ("B", [out, 16], bytes(4 * out * 16))):
                key = "base_model.model.model.layers.%d.%s.lora_%s.weight" % (layer, name, part)
                entries[key] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(values)]}
                data.append(values)
                at += len(values)
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    with open(folder + "/adapter_model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header + b"".join(data))
    json.dump({"peft_type": "LORA", "r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "bias": "none", "base_model_name_or_path": model,
               "target_modules": [n.split(".")[1] for n in shapes]}, open(folder + "/adapter_config.json", "w"))
    return folder


def watch_memory(folder, seen, over):
    """The most memory that the engine's process ever held, as the kernel counts it."""
    while not over.is_set():
        try:
            pid = json.load(open(folder + "/state.json"))["pid"]
            if b"engine" in open("/proc/%d/cmdline" % pid, "rb").read():
                status = open("/proc/%d/status" % pid).read()
                seen["peak"] = 1024 * int(re.search(r"VmHWM:\s+(\d+)", status).group(1))
        except (OSError, ValueError, KeyError, AttributeError):
            pass
        time.sleep(0.2)


def memory():
    start = [e for e in map(json.loads, open(work + "/run-full/events.jsonl")) if e["kind"] == "start"][0]
    peak, planned = measured.get("peak", 0), start["bytes_planned"]
    return "" if 0.9 * planned < peak <= 1.05 * planned else "the process held %d bytes, %d were planned" % (peak, planned)


measured = {}


def training(kind):
    recorded = reference["train"][kind]

    def body():
        lora = "" if kind == "full" else "lora: {rank: 16, alpha: 32, dropout: 0, target_modules: all-linear, init_from: %s}\n" % sine_adapter()
        profile = write(kind + ".yaml", """name: real-%s
base_model: %s
dtype: fp32
max_length: 128
train: %s
%sdatasets: {rows: {path: %s, format: tokens}}
learning_rate: 1e-4
lr_scheduler: constant
warmup_steps: 0
optimizer: {name: adamw, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1}
max_grad_norm: 1.0
batch_tokens: 512
packing: none
shuffle: false
save: {every_steps: 10, total_limit: 3}
stages: [{name: ten, datasets: {rows: 1.0}, epochs: 11}]
""" % (kind, model, "full" if kind == "full" else "lora", lora, rows_file()))
        folder = work + "/run-" + kind
        over = threading.Event()
        watcher = threading.Thread(target=watch_memory, args=(folder, measured if kind == "full" else {}, over))
        watcher.start()
        try:
            out = run("train", profile, "--run-dir", folder, "--json")
        finally:
            over.set()
            watcher.join()
        steps = [e for e in map(json.loads, out.splitlines()) if e["kind"] == "step"]
        if len(steps) != 11:
            return "%d steps, not 11" % len(steps)
        for i, (s, want) in enumerate(zip(steps, recorded["loss"])):
            why = far(s["loss"], want, 1e-5, "loss of step %d" % (i + 1))
            if why:
                return why
        for i, (s, want) in enumerate(zip(steps, recorded["grad_norm"])):
            why = far(s["grad_norm"] / want, 1, 1e-3, "gradient norm of step %d, as a share" % (i + 1))
            if why:
                return why
        at_ten = folder + "/ckpt/000010"
        return text_loss(at_ten, 2e-5, recorded["loss_text_after"])
    return body


test("the GGUF becomes a folder that is listed as usable", imported)
test("the recorded token ids", vectors)
for prompt in reference["prompts"]["items"]:
    test("greedy text: " + prompt["name"], greedy(prompt))
    if "next_top5" in prompt:
        test("logits: " + prompt["name"], logits(prompt))
test("the loss of the text", text_loss)
test("ten steps of full training", training("full"))
test("the process stays within 5 % of the plan", memory)
test("ten steps of LoRA", training("lora"))
subprocess.run(["rm", "-rf", work])
