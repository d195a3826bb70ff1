"""Random texts that try a tokenizer: scripts, emoji, combining marks, control characters, white space, code, added tokens.

A pure function of the generator's seed and of Python's Unicode tables.
"""

import unicodedata

# First and last code point of each; only assigned ones are drawn.
SCRIPTS = [
    (0x21, 0x7E), (0x41, 0x7A), (0xA1, 0xFF), (0x100, 0x24F), (0x250, 0x2FF), (0x370, 0x3FF), (0x400, 0x52F), (0x531, 0x58F),
    (0x591, 0x5F4), (0x600, 0x6FF), (0x700, 0x74F), (0x780, 0x7B1), (0x900, 0x97F), (0x980, 0x9FE), (0xA01, 0xA76), (0xB82, 0xBFA),
    (0xC00, 0xC7F), (0xD00, 0xD7F), (0xD81, 0xDF4), (0xE01, 0xE5B), (0xE81, 0xEDF), (0xF00, 0xFDA), (0x1000, 0x109F), (0x10A0, 0x10FF),
    (0x1100, 0x11FF), (0x1200, 0x139F), (0x13A0, 0x13FD), (0x1400, 0x167F), (0x1780, 0x17F9), (0x1800, 0x18AA), (0x1E00, 0x1EFF),
    (0x1F00, 0x1FFE), (0x2C00, 0x2C5F), (0x3041, 0x30FF), (0x3105, 0x312F), (0x3131, 0x318E), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0xA000, 0xA4C6), (0xAC00, 0xD7A3), (0xF900, 0xFAD9), (0xFB00, 0xFDFF), (0xFE70, 0xFEFC), (0xFF01, 0xFFEE), (0x10000, 0x100FA),
    (0x10330, 0x1034A), (0x11000, 0x110CD), (0x12000, 0x12399), (0x13000, 0x1342E), (0x1D400, 0x1D7FF), (0x1E900, 0x1E95F), (0x20000, 0x2A6DD),
]
SYMBOLS = [(0x2010, 0x205E), (0x2070, 0x20C0), (0x2100, 0x218B), (0x2190, 0x22FF), (0x2300, 0x2426), (0x2460, 0x25FF), (0x2600, 0x27BF),
           (0x2800, 0x28FF), (0x3000, 0x303F), (0x1F000, 0x1F0F5), (0x1F100, 0x1F1AD)]
FACES = [(0x1F300, 0x1F5FF), (0x1F600, 0x1F64F), (0x1F680, 0x1F6D7), (0x1F900, 0x1F9FF), (0x1FA70, 0x1FA7C)]
PEOPLE = "\U0001f466\U0001f467\U0001f468\U0001f469\U0001f474\U0001f475\U0001f9d1\U0001f476\U0001f44d\U0001f44b\U0001f64f\U0001f3c3"
SKINS = [""] + [chr(c) for c in range(0x1F3FB, 0x1F400)]
JOBS = ["\U0001f4bb", "\U0001f692", "\u2695\ufe0f", "\U0001f680", "\U0001f466", "\u2764\ufe0f\u200d\U0001f468", "\u2642\ufe0f"]
SPACES = [" "] * 8 + ["\n"] * 4 + ["\t", "\t", "\r\n", "\r", "\u000b", "\u000c", "\u0085", "\u00a0", "\u1680", "\u180e", "\u2003", "\u2009",
                                   "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\u200b", "\ufeff"]
CONTROLS = [chr(c) for c in list(range(0x20)) + list(range(0x7F, 0xA0))] + list("\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2066\ufeff\ufff9")
JOINERS = ["\u0301", "\u0308", "\u0323", "\u0327", "\u0338", "\u093c", "\u09bc", "\u0e33", "\u1161", "\u11a8", "\u3099", "\u309a", "\ufe0f", "\u20e3", "\u200d"]
# Of Unicode 10 to 16: marks that the reference's NFC does not know, letters and numbers that its patterns do.
NEWER = ["\u1df8", "\u1ac0", "\u08ca", "\U00011938", "\U00011935\U00011930", "\U000105c0", "\U000105d2\u0307", "\ua7cb", "\U000116d0", "\U00031350"]
CONTRACTIONS = ["'s", "'S", "'t", "'re", "'VE", "'ll", "'d", "'m", "'\u017f", "\u2019s", "''", "'x"]
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|box_end|>", "<|vision_pad|>", "<|fim_middle|>", "<|repo_name|>",
          "<tool_call>", "</tool_call>", "<tool_response>", "<think>", "</think>"]
CODE = [
    "def ", "return ", "self.", "    ", "\n    ", "\n\t\t", "(", ")", "[i]", "{", "}", ": ", ";\n", " == ", "!=", "->", "::", "=>", "+=", "&&", "||", "//", "/* */", "#",
    "\"\"\"", "'''", "```python\n", "\n```\n", "0x1F", "1e-9", "3.14", "_", "__init__", "camelCase", "SNAKE_CASE", "std::vector<int>", "lambda x: x", "assert f(1) == 2",
    "List[int]", "import numpy as np\n", "\\n", "%s", "{:>5}", "https://a.b/c?d=e&f#g", "a@b.co", "C:\\x\\y", "$HOME", "<div class=\"x\">", "&amp;", "\\frac{1}{2}", "...", "?!",
]
WORDS = ("the of and to in is that it was for on are with as his they at be this from or had by not but some what there we can out other were all your when "
         "up use word how said an each she which do their time if will way about many then them would write like so these her long make thing see him two has "
         "look more day could go come did my sound no most number who over know water than call first people may down side been now find any new work part take "
         "Stra\u00dfe na\u00efve fianc\u00e9e \u00c5ngstr\u00f6m ma\u00f1ana \u017d\u00e1dn\u00e9 \u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440 \u0395\u03bb\u03bb\u03ac\u03b4\u03b1 \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u0928\u092e\u0938\u094d\u0924\u0947 \u4f60\u597d \u4e16\u754c \u3053\u3093\u306b\u3061\u306f \uc548\ub155 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 "
         "Ti\u1ebfng Vi\u1ec7t").split()


def assigned(generator, ranges):
    while True:
        character = chr(generator.randint(*generator.choice(ranges)))
        if unicodedata.category(character) not in ("Cn", "Cs"):
            return character


def script_word(generator):
    pool = [generator.choice(SCRIPTS)]
    return "".join(assigned(generator, pool) for _ in range(generator.randint(1, 8)))


def emoji(generator):
    kind = generator.random()
    if kind < 0.3:
        return assigned(generator, FACES) + generator.choice(["", "\ufe0f", generator.choice(SKINS)])
    if kind < 0.5:  # flags; an odd number of letters leaves a half one
        return "".join(chr(generator.randint(0x1F1E6, 0x1F1FF)) for _ in range(generator.choice([2, 2, 2, 4, 1, 3])))
    if kind < 0.6:
        return generator.choice("0123456789#*") + "\ufe0f\u20e3"
    if kind < 0.7:  # a flag of a region, spelt in tags
        return "\U0001f3f4" + "".join(chr(0xE0000 + ord(c)) for c in generator.choice(["gbeng", "gbsct", "usca"])) + "\U000e007f"
    people = [generator.choice(PEOPLE) + generator.choice(SKINS) for _ in range(generator.randint(1, 4))]
    return "\u200d".join(people + ([generator.choice(JOBS)] if generator.random() < 0.5 else []))


def marked(generator):
    """A base character under combining marks, at times composed or taken apart first."""
    base = generator.choice([assigned(generator, SCRIPTS), generator.choice("aeiounAEOU\u00e9\u01b0\u0391\u0418\u0627\u0915\uac00\u1100\u304b\u212b\ufb2a")])
    text = base + "".join(
        generator.choice(JOINERS) if generator.random() < 0.5 else assigned(generator, [(0x300, 0x36F), (0x483, 0x487), (0x591, 0x5BD), (0x64B, 0x65F), (0x1AB0, 0x1ACE), (0x1DC0, 0x1DFF), (0x20D0, 0x20F0)])
        for _ in range(generator.randint(0, 4)))
    return unicodedata.normalize(generator.choice(["NFC", "NFD", "NFKD"]), text) if generator.random() < 0.6 else text


def spaces(generator):
    if generator.random() < 0.4:
        return generator.choice(SPACES) * generator.randint(1, 24)
    return "".join(generator.choice(SPACES) for _ in range(generator.randint(1, 6)))


def damaged_token(generator):
    token = generator.choice(TOKENS)
    if generator.random() < 0.4:
        return token
    at = generator.randrange(len(token))
    return generator.choice([token[:at], token[at:], token[:at] + generator.choice(" \u0301|<>x") + token[at:], token[:at] + token[at + 1:], token.upper()])


def number(generator):
    digits = "".join(generator.choice("0123456789") for _ in range(generator.randint(1, 12)))
    return generator.choice([digits, digits[:2] + "." + digits, digits + "e-3", "-" + digits, assigned(generator, [(0x660, 0x669), (0x966, 0x96F), (0xFF10, 0xFF19), (0x2150, 0x2189)])])


def any_character(generator):
    return "".join(assigned(generator, [(0, 0x2FFF), (0, 0x1FFFF), (0, 0x10FFFF)]) for _ in range(generator.randint(1, 4)))


PARTS = [
    (lambda g: g.choice(["", " ", " "]) + g.choice(WORDS), 6), (script_word, 4), (emoji, 2), (marked, 2), (spaces, 3), (lambda g: g.choice(CONTROLS), 1),
    (lambda g: g.choice(CODE), 3), (damaged_token, 1), (number, 2), (any_character, 1), (lambda g: g.choice(NEWER), 1),
    (lambda g: g.choice(CONTRACTIONS), 1),
    (lambda g: assigned(g, SYMBOLS) * g.choice([1, 1, 1, 3, 8]), 1),
]


def mixed_text(generator):
    if generator.random() < 0.3:  # much of a kind
        maker = generator.choice(PARTS)[0]
        return "".join(maker(generator) for _ in range(generator.randint(1, 8)))
    makers, weights = zip(*PARTS)
    return "".join(maker(generator) for maker in generator.choices(makers, weights, k=generator.randint(1, 10)))
