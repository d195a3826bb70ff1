#!/usr/bin/env python3
"""Makes tests/golden/tokenizer_golden.json and tokenizer_corpus.jsonl.gz: texts with their ids of Hugging Face tokenizers.

The tokenizer is Qwen3's, from the folder of reference data (EVILMOE_SHARED, default ../shared); it is not copied.

    scripts/golden/regenerate tokenizer     # or, with scripts/golden/requirements.txt installed, this file

Each case: {text, ids, decoded, decoded_plain}: `decoded` with special tokens, `decoded_plain` without them.
`chats`: conversations with what the chat template of tokenizer_config.json makes of them.
`cuts`: ids whose bytes break off inside a character, with the text that they decode to.

A line of the corpus: {text, ids}, with `decoded` where the ids decode to another text (its NFC form). More of them, to
be tried by hand and not kept, with any seed:

    scripts/golden/make_tokenizer_golden.py --corpus-only --seed 7 --corpus /tmp/more.jsonl.gz
    EVILMOE_TOKENIZER_CORPUS=/tmp/more.jsonl.gz build/release/tests/policy_io_golden_test --gtest_filter='*Corpus*'
"""

import argparse
import gzip
import json
import os
import pathlib
import random

import jinja2
from tokenizers import Tokenizer

from mixed_text import mixed_text

SEED = 20260103
CORPUS_SIZE = 10000

PLAIN = [
    "", " ", "a", "Hello, world!", "The quick brown fox jumps over the lazy dog.", "I'm he's we'll they've you're I'd",
    "I'M HE'S WE'LL THEY'VE YOU'RE I'D", "don't 'quote' ''double'' 'tis", "it\u2019s a curly apostrophe",
    "'\u017f long s after an apostrophe", "snake_case_name camelCaseName SCREAMING_CASE kebab-case-name",
    "12345678901234567890", "3.14159 1,000,000 0xDEADBEEF 1e-10 -42 +7", "v1.2.3-rc4+build.5", "2024-01-31T23:59:59Z",
    "\u0661\u0662\u0663 \u0967\u0968\u0969 \u216b \u00bd \u00b2\u00b3", "user@example.com https://example.com/a?b=c&d=%20#e",
    "$100 \u20ac50 \u00a320 \u00a5", "a+b=c; d*e/f^g%h&i|j~k", "!!!???...;;;:::", "(((())))[[[]]]{{{}}}<<<>>>",
]
WHITESPACE = [
    "  ", "   a", "a   ", "a    b", "\t", "\t\ta", "a\tb\t\tc", "\n", "\n\n", "\n\n\n", "a\n", "a\nb", "a\n\nb", "a \n b",
    "a  \n  b", " \n", "\n ", "\r\n", "a\r\nb\r\n", "\r", "a\rb", " \t \n \t ", "\n\t\n\t", "\u00a0", "a\u00a0b", "\u00a0\nx",
    "\u3000\u3000a", "\u2003\u2009a", "\u200b\u200ba", "\u180ea b", "a\u180e\u180e", "\u0085a\u0085", "\u2028a\u2029b", "\u000b\u000ca",
    "\u001ca\u001d", " " * 20, " " * 83 + "x", "\n" * 40, "\t" * 17, "x" + " " * 200, " a  b   c    d     e", "\ufeffbom", "a\u0000b\u0000",
]
UNICODE = [
    "caf\u00e9", "cafe\u0301", "A\u030a \u212b \u00c5", "\u1e9b\u0323", "\u0071\u0307\u0323", "\u0071\u0323\u0307", "\uac00 \u1100\u1161 \u1100\u1161\u11a8",
    "\ud55c\uad6d\uc5b4 \ud14c\uc2a4\ud2b8", "\u2126 \u212a \u2000 \u2001", "\u0958 \u0915\u093c", "\u0344 \u0308\u0301", "\ufb01 \ufb06 \u1e9e \u00df",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01", "\u7e41\u9ad4\u4e2d\u6587 \u7b80\u4f53\u4e2d\u6587", "\u3053\u3093\u306b\u3061\u306f\u4e16\u754c", "\u304b\u3099 \u30ab\u3099 \u304c",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!", "\u0418\u0306 \u0439", "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u039a\u03cc\u03c3\u03bc\u03b5", "\u03b1\u0301 \u1f71 \u03ac", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01", "Ti\u1ebfng Vi\u1ec7t", "Tie\u0302\u0301ng Vie\u0323\u0302t",
    "\U0001f600\U0001f680", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f44d\U0001f3fd", "\u2764\ufe0f \u2764", "\U0001f1e9\U0001f1ea", "\U0001d504\U0001d505", "\U00020000 \U0002f800",
    "\ufffd", "\ue000 \uf8ff", "\U0010ffff", "\ufdd0", "z\u0334\u0335\u0336\u0327\u0328\u0301\u0302", "a\u0300\u0301\u0302\u0303\u0304b", "\u0301start", "\u2260 \u003d\u0338", "\u2208\u2209\u220b\u2200x\u2203y: x\u2264y",
    "\u00e9'S \u00c9'll", "\u2018a\u2019 \u201cb\u201d \u2014 \u2026", "\u0130\u0131 \u01c5", "x\u00ady", "a\u0600b", "\u1d2c\u02b0\u1d43",
]
SPECIAL = [
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", "<think>\n\n</think>\n\n",
    "<think>ab</think>", "<|im_end|><|im_end|>", " <|im_end|> ", "a<|im_end|>b", "<|im_end|", "<|im_end", "|im_end|>", "<|IM_END|>", "<<|im_end|>>",
    "<tool_call>\n{}\n</tool_call>", "<tool_response>x</tool_response>", "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>", "cafe\u0301<|im_end|>\u0301x",
    "e<|im_end|>\u0301", "<think", "</think >", "\n<|im_start|>\n", "<|vision_start|><|image_pad|><|vision_end|>", "<|file_sep|><|repo_name|>r",
]
CODE = [
    "def f(x):\n    return x + 1\n", "class Solution:\n    def twoSum(self, nums: List[int], target: int) -> List[int]:\n        pass\n",
    "```python\nimport os\nprint(os.getcwd())\n```", "for i in range(10):\n\tif i%2==0:\n\t\tprint(f\"{i:>5}\")\n", "x = {'a': [1, 2, {'b': None}]}",
    "#include <vector>\nint main() { return std::vector<int>{1,2}.size(); }\n", "assert Solution().f(n = 3) == [[1], [2, 3]]",
    "SELECT * FROM t WHERE a >= 10 AND b <> 'x';", "<html>\n  <body class=\"a\">&amp;</body>\n</html>", "\\frac{a}{b} \\int_0^\\infty e^{-x^2} dx",
    "^(?:[a-z]+\\d*)$", "if (a && b || !c) { d ??= e?.f; }", "lambda *a, **k: (a, k)", "    \n        \n    x\n", "a = b  # comment   \n\n\n",
    "print('''multi\nline''')", "0b1010 0o17 1_000 1j", "@decorator\nasync def f(): await g()", "run_tests() run_tests self.run_tests()", "x" * 200, "ab" * 150, "-" * 120, "=" * 64 + "\n",
    "\u00e9" * 60, "\u4e2d" * 50,
]
FRAGMENTS = PLAIN[1:] + WHITESPACE + UNICODE + SPECIAL + CODE[:12]


ANSWERS = [
    "plain", "", "\n\nnewlines first", "<think>\n\n</think>\n\nanswer", "<think>\nbecause\n</think>\n\nanswer", "<think>a</think>b",
    "no opening</think>\n\n\nanswer", "<think>never closed", "<think>a</think>b</think>\nc", "x<think>y<think>z\n\n</think>\n", "</think>",
]
QUERIES = ["hi", "", "two\nlines\n", "<tool_response>\n5\n</tool_response>", "<tool_response> open", "<think>mine</think>", "caf\u00e9 <|im_end|>"]


def conversations(generator, count):
    system = {"role": "system", "content": "Be brief."}
    for answer in ANSWERS:
        yield [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]
        yield [system, {"role": "user", "content": "q"}, {"role": "assistant", "content": answer}, {"role": "user", "content": "r"}]
    for _ in range(count):
        turns = [system] if generator.random() < 0.5 else []
        for _ in range(generator.randint(1, 6)):
            kind = generator.random()
            if kind < 0.45:
                turns.append({"role": "user", "content": generator.choice(QUERIES)})
            elif kind < 0.9:
                turns.append({"role": "assistant", "content": generator.choice(ANSWERS)})
            else:
                turns.append(system)
        yield turns


def chats(folder, generator):
    source = json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(source)
    for messages in conversations(generator, 80):
        thinking, prompt = generator.random() < 0.5, generator.random() < 0.7
        text = template.render(messages=messages, add_generation_prompt=prompt, enable_thinking=thinking)
        yield {"messages": messages, "thinking": thinking, "add_generation_prompt": prompt, "text": text}


def mixed(generator, count):
    return ["".join(generator.choice(FRAGMENTS)[:40] for _ in range(generator.randint(2, 6))) for _ in range(count)]


def random_text(generator, count):
    pools = [(0x20, 0x7e), (0x9, 0xd), (0xa0, 0x24f), (0x300, 0x36f), (0x370, 0x5ff), (0x900, 0x97f), (0x1100, 0x11ff),
             (0x2000, 0x206f), (0x3040, 0x30ff), (0x4e00, 0x4fff), (0xac00, 0xad00), (0x1f600, 0x1f64f)]
    draw = lambda: chr(generator.randint(*generator.choice(pools)))
    return ["".join(draw() for _ in range(generator.randint(1, 40))) for _ in range(count)]


def write_corpus(tokenizer, file, seed, size):
    generator = random.Random(seed)
    texts = {}
    while len(texts) < size:
        texts.setdefault(mixed_text(generator))
    lines = []
    for text in texts:
        case = {"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids}
        decoded = tokenizer.decode(case["ids"], skip_special_tokens=False)
        if decoded != text:
            case["decoded"] = decoded
        lines.append(json.dumps(case, ensure_ascii=False, separators=(",", ":")) + "\n")
    file.write_bytes(gzip.compress("".join(lines).encode(), 9, mtime=0))
    print(f"{file}: {len(lines)} texts, {sum('decoded' in line for line in lines)} of them not NFC, {file.stat().st_size} bytes")


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    shared = pathlib.Path(os.environ.get("EVILMOE_SHARED", root.parent / "shared"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizer", type=pathlib.Path, default=shared / "data" / "qwen3_tokenizer")
    parser.add_argument("--out", type=pathlib.Path, default=root / "tests" / "golden" / "tokenizer_golden.json")
    parser.add_argument("--corpus", type=pathlib.Path, default=root / "tests" / "golden" / "tokenizer_corpus.jsonl.gz")
    parser.add_argument("--corpus-only", action="store_true")
    parser.add_argument("--seed", type=int, default=SEED, help="of the corpus")
    parser.add_argument("--size", type=int, default=CORPUS_SIZE, help="of the corpus")
    arguments = parser.parse_args()

    tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
    write_corpus(tokenizer, arguments.corpus, arguments.seed, arguments.size)
    if arguments.corpus_only:
        return
    generator = random.Random(SEED)
    texts = PLAIN + WHITESPACE + UNICODE + SPECIAL + CODE + mixed(generator, 80) + random_text(generator, 120)
    cases = []
    for text in dict.fromkeys(texts):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                      "decoded_plain": tokenizer.decode(ids, skip_special_tokens=True)})
    cuts = []
    for text in UNICODE:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        for cut in (ids[:-1], ids[1:], ids[::-1]):
            cuts.append({"ids": cut, "decoded": tokenizer.decode(cut, skip_special_tokens=False)})
    with arguments.out.open("w", encoding="ascii") as file:
        file.write(f'{{"vocab_size": {tokenizer.get_vocab_size(with_added_tokens=True)},\n"cases": [\n')
        file.write(",\n".join(json.dumps(case) for case in cases))
        file.write('\n],\n"cuts": [\n')
        file.write(",\n".join(json.dumps(cut) for cut in cuts))
        file.write('\n],\n"chats": [\n')
        file.write(",\n".join(json.dumps(chat) for chat in chats(arguments.tokenizer, generator)))
        file.write("\n]}\n")
    print(f"{arguments.out}: {len(cases)} cases, {len(cuts)} cuts")


if __name__ == "__main__":
    main()
