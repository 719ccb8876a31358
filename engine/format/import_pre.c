/* import_pre.c - the pre-tokenizers that GGUF names, as Hugging Face's steps.
 *
 * A GGUF says only a name (tokenizer.ggml.pre); what it stands for is written in llama.cpp's
 * src/llama-vocab.cpp and in the tokenizer.json that the model came from, as regular expressions that
 * split a text one after the other. Where both differ in form (GPT-2's pattern is part of ByteLevel,
 * single digits are a step of their own), the form of tokenizer.json stands here. */
#include "engine/format/import_vocab.h"

#define GPT2 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+" \
    "|\\s+(?!\\S)|\\s+"
/* Contractions, words, digits in groups, signs, line ends, spaces: LLaMA 3's and Qwen's. */
#define WORDS(digits) \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" digits \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* Words by case, as o200k's and Tekken's. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASES(ending, digits) \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" ending "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" ending \
    "|\\p{N}" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* DeepSeek V3: words behind a sign, letters with their marks, signs, spaces. */
#define DEEPSEEK3 \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+" \
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
/* DeepSeek LLM: the letters that have upper and lower case. */
#define CASED \
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ" \
    "-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐ" \
    "ῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯ" \
    "ꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"

#define NAMES(...) .names = {__VA_ARGS__}
#define SPLITS(...) .regexes = {__VA_ARGS__}
static const struct pre pres[] = {
    {NAMES("gpt-2", "phi-2", "gpt2", "olmo", "mpt", "jais"), .gpt2 = true},
    {NAMES("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"), SPLITS(WORDS("{1,3}")),
        .ignore_merges = true, .adds_bos = true},
    {NAMES("smaug-bpe", "dbrx"), SPLITS(WORDS("{1,3}"))},
    {NAMES("qwen2", "deepseek-r1-qwen", "megrez"), SPLITS(WORDS("")), .nfc = true},
    {NAMES("stablelm2", "hunyuan"), SPLITS(WORDS(""))},
    {NAMES("smollm", "starcoder", "refact", "codeshell", "minerva-7b", "exaone"), .digits = true, .gpt2 = true},
    {NAMES("command-r"), .digits = true, .gpt2 = true, .nfc = true},
    {NAMES("deepseek-llm"), SPLITS("[\r\n]", CASED, "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$",
        "[一-龥ࠀ-一가-퟿]+", "\\p{N}+")},
    {NAMES("deepseek-coder"), SPLITS("[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}")},
    {NAMES("deepseek-v3"), SPLITS("\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3)},
    {NAMES("falcon"), SPLITS("[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]")},
    {NAMES("gpt-4o", "llama4"), SPLITS(CASES("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "{1,3}"))},
    {NAMES("tekken"), SPLITS(CASES("", "")), .ignore_merges = true, .adds_bos = true},
    {NAMES("default"), SPLITS("[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]")}};

const struct pre *pre_at(int i) { return i < (int)COUNT(pres) ? &pres[i] : NULL; }

const struct pre *pre_find(struct text name)
{
    for (size_t i = 0; i < COUNT(pres); i++)
        for (size_t k = 0; k < COUNT(pres[i].names) && pres[i].names[k]; k++)
            if (text_is(name, pres[i].names[k])) return &pres[i];
    return NULL;
}
