"""The nasty texts that tokenizers are compared on: the same list on every machine and in every version of
Python, about seven hundred. tokenizer.py writes it to tokenizer_texts.json for the C test."""

SPACES = [chr(c) for c in (9, 10, 11, 12, 13, 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)]
NOT_SPACES = ["\u180e", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\x1c", "\x1f"]
SPECIALS = ["<s>", "</s>", "<unk>", "<pad>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "<|im_start|>", "<|im_end|>",
            "<|endoftext|>", "<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>user<|end_header_id|>", "<EOT>", "<META>",
            "<SOS>", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜▁pad▁｜>",
            "<|EOT|>", "<0x0A>", "<0x00>", "<0xFF>", "<<s>>", "<s", "s>", "<|im_start", "▁", "▁▁", "▁a", "a▁b", "▁▁▁hello"]
WORDS = ["hello", "world", "Hello", "WORLD", "tokenizer", "naïve", "café", "Straße", "ĲSSELMEER", "ǅ", "ﬁne", "ﬀ", "Ωμέγα", "Привет",
         "мир", "שלום", "مرحبا", "नमस्ते", "สวัสดี", "안녕하세요", "今天", "天气", "東京タワー", "日本語", "がぎぐ", "ｶﾞ", "㍿", "ℌello",
         "①②③", "½", "²", "ⅷ", "٣٤", "１２３", "x̌", "\u212b", "\u00c5", "é", "e\u0301", "ẛ̣", "\u1100\u1161\u11a8", "각", "क़", "שּׁ"]
EMOJI = ["🙂", "🙂🏽", "👨‍👩‍👧‍👦", "🇩🇪", "🇺🇳🇺", "❤️", "☎︎", "1️⃣", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "🫨", "\U0001fae9"]
RECENT = ["\u0cf3", "\u1c89", "\u1c8a", "\ua7cb", "\ua7da", "\u10d40", "\U00010d40\U00010d41", "\U00010d50", "\U000105c0\U000105d0", "\U00011380",
          "\U000116d0", "\U00011bf0", "\U00013460", "\U00016100", "\U0001ccf0\U0001ccf1", "\U0001e5d0", "\U0002ebf0", "\U0002ee5d",
          "\U00031350", "\U000323af", "\U000323b0", "\U0001df25", "\U00010efd", "\U0001e4d0", "\U0001e030", "\U0001fbf0", "\u32ff", "\u2fff", "\u31ef",
          "\ua7ce", "\U00010940", "\U00011db0", "\U00016ea0", "\U0001cc00", "\u0378", "\ufffe", "\uffff", "\U0010ffff", "\ue000", "\ufffd", "\U000e0001"]
CODE = ["for (int i = 0; i < n; i++) {\n\tx[i] += 1;\n}\n", "def f(x):\n    return x  # done\n\n\n", "SELECT * FROM t WHERE a='b';", "a=b&&c||!d",
        "https://example.com/a_b?c=d&e=%20#f", "C:\\Users\\me\\file.txt", "{\"a\": [1, 2.5, -3e10, null]}", "<div class=\"x\">&amp;</div>",
        "0x1F4A9 0b1010 1_000_000 3.14159 1e-9", "$100,000.00 €5 £6 ¥7", "a->b::c<d>()", "/* c */ // d", "```python\nprint('hi')\n```",
        "| a | b |\n|---|---|\n| 1 | 2 |\n", "\\section{x} $\\alpha_i^2$", "#!/bin/sh\nset -e\n\nexit 0"]
CONTRACTIONS = ["I'll don't WE'RE you've he'd I'm it's", "'s't're've'm'll'd", "'S'T'RE'VE'M'LL'D", "'sa 'ta 're1", "it'ſ", "'ſ 'ſt", "'ſt", "1'ſT'ſ", "''s", " 's",
                "'Re 'rE 'lL 'Ll", "o'clock", "'", "''", "' '", "'l", "'r", "'v", "’s", "don’t", "'s\n", "1's", "a'"]

class Random:
    def __init__(self, seed):
        self.x = seed

    def below(self, n):
        self.x = (self.x * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
        return (self.x >> 33) % n

    def pick(self, things):
        return things[self.below(len(things))]

def chosen():
    yield from ["", " ", "  ", "   ", "\n", "\n\n", "\n\n\n", "\r\n", "\r", "\t", "\t\t", " \n", "\n ", "  \n  ", " \r\n \r\n", "\n\n  7", "a", " a", "a ", " a ",
                "  a", "a  ", "   a   b  ", "a\n", "\na", "a\n\n b", "a \n b", "a\t b", "\x00", "a\x00b", "\x04", "a\x04b", "\x7f", "\x80", "\x9f", "\x1b[31m"]
    for s in SPACES + NOT_SPACES:
        yield s
        yield "a" + s + "b"
        yield s + s + "x" + s + s
    for list_ in (SPECIALS, WORDS, EMOJI, RECENT, CODE, CONTRACTIONS):
        yield from list_
    for s in SPECIALS:
        yield " " + s + " x"
        yield "x" + s + s + "\n"
    for s in RECENT + EMOJI:
        yield "a" + s + "1 " + s + "! " + s + s
    for n in range(1, 12):
        yield "1234567890123"[:n]
        yield "a" + " " * n + "1" * n
        yield "x" + "\n" * n + " " * n + "y"
        yield "!" * n + "\n" * (n % 3)
        yield "٣" * n + "½" * (n % 4)
    for s in ("a", "ab", "A", " ", "\n", "🙂", "中", "1", "!", "ー", "ก", "\u0301", "aé", "\t ", "=-", "▁", "'"):
        for n in (17, 100, 300):
            yield s * n
    yield "thecatreadsabookandthestudentwritesletters" * 8
    yield "今天天气很好我们在学习语言模型小猫在河边" * 6
    yield "".join(chr(97 + (i * i + i // 3) % 26) for i in range(500))
    yield "e" + "\u0301\u0323\u0300" * 40
    yield "Z" + "".join(chr(0x300 + i) for i in range(112)) + "o"
    yield "".join(chr(c) for c in range(1, 256))
    yield " ".join(chr(c) for c in range(0x100, 0x250))
    yield "今天天气不错，我们去公园吧！2024年5月1日，温度约20℃。" * 3
    yield "The quick brown fox jumps over the lazy dog. " * 5
    yield "吾輩は猫である。名前はまだ無い。ﾊﾝｶｸｶﾅ　全角スペース"
    yield "Ünïcödé ţĕxt ŵîth dïäcrîtics — “quotes” ‘single’ … ellipsis • bullet"

def made(count=320):
    r = Random(20241124)
    atoms = SPACES + NOT_SPACES + WORDS + EMOJI + RECENT + CONTRACTIONS + [" "] * 30 + ["\n"] * 6 + SPECIALS[:12]
    for _ in range(count):
        kind = r.below(4)
        if kind == 0:    # whatever there is
            yield "".join(r.pick(atoms) for _ in range(1 + r.below(24)))
        elif kind == 1:  # characters of a block each
            bases = [0x20, 0x20, 0x20, 0xA0, 0x370, 0x400, 0x5D0, 0x621, 0x905, 0xE01, 0x1100, 0x1E00, 0x2000, 0x2190, 0x3041, 0x4E00, 0xAC00, 0xFB00, 0xFF01, 0x1F300]
            yield "".join(chr(r.pick(bases) + r.below(90)) for _ in range(1 + r.below(60)))
        elif kind == 2:  # words and spaces
            yield (" " * r.below(3)).join(r.pick(WORDS) + r.pick([" ", "", ", ", ". ", "\n", "'s "]) for _ in range(1 + r.below(20)))
        else:            # any code point but surrogates
            yield "".join(chr(c if c < 0xD800 else c + 0x800) for c in (r.below(0x110000 - 0x800) >> r.below(16) for _ in range(1 + r.below(30))))

def texts():
    seen, out = set(), []
    for t in list(chosen()) + list(made()):
        if t not in seen:
            seen.add(t)
            out.append(t)
    return out

if __name__ == "__main__":
    print(len(texts()), sum(len(t.encode()) for t in texts()))
