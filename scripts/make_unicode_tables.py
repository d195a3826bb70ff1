#!/usr/bin/env python3
"""Makes policy/newer_{marks,letters,numbers}.inc: where Hugging Face tokenizers and our libraries know different
versions of Unicode. Another version would give other ids for the same text.

- newer_marks.inc: code points that the reference's NFC does not know yet. Its tables are those of Unicode 9: a mark of
  a later version is to it a character like any other, not reordered, and nothing composes with it or across it. Asks
  the newest Unicode (unicodedata2) which code points take part in normalisation, and the reference which it leaves alone.
- newer_letters.inc and newer_numbers.inc: what \\p{L} and \\p{N} match in the reference (Oniguruma, Unicode 16) beyond Unicode 14, which is
  what the oldest PCRE2 that we build with knows.

    pip install tokenizers unicodedata2       # a Python 3.11, whose own tables are Unicode 14
    scripts/make_unicode_tables.py
"""

import pathlib
import unicodedata as unicode14

import tokenizers
import unicodedata2 as unicode
from tokenizers import Regex
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import Split

EVERYTHING = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
ROOT = pathlib.Path(__file__).resolve().parents[1]

nfc = NFC().normalize_str


def canonical_parts(character):
    fields = unicode.decomposition(character).split()
    return [] if not fields or fields[0].startswith("<") else [chr(int(field, 16)) for field in fields]


def is_inert(character):
    """Whether the reference neither changes the character nor moves it past a mark of a high or a low class."""
    return all(nfc(text) == text for text in (character, "x\u0345" + character, "x" + character + "\u0334"))


def newer_marks():
    def takes_part(c):  # alone; that leaves the parts of compositions, and what they compose to
        return unicode.combining(c) or unicode.normalize("NFC", c) != c

    newer = {c for c in EVERYTHING if takes_part(c) and is_inert(c)}
    composed = {c: canonical_parts(c) for c in EVERYTHING if len(canonical_parts(c)) == 2 and unicode.normalize("NFC", c) == c}
    known = {part for c, parts in composed.items() if nfc("".join(parts)) == c for part in parts}
    for c, parts in composed.items():
        if nfc("".join(parts)) != c:
            unknown = {part for part in parts if part not in known and is_inert(part)}
            assert unknown, f"U+{ord(c):04X}: the reference knows its parts and does not compose them"
            newer |= unknown | {c}
    return newer


def matched(pattern):
    """The code points that the reference's regular expressions match."""
    split, found = Split(Regex(pattern), "removed"), set()
    for begin in range(0, len(EVERYTHING), 4096):
        part = EVERYTHING[begin:begin + 4096]
        found |= set(part) - {c for piece, _ in split.pre_tokenize_str("".join(part)) for c in piece}
    return found


def newer_of(category):
    assert unicode14.unidata_version == "14.0.0", "needs Python 3.11"
    old = {c for c in EVERYTHING if unicode14.category(c)[0] == category}
    new = matched(f"\\p{{{category}}}")
    assert old <= new
    return new - old


def ranges_of(characters):
    ranges = []
    for c in sorted(map(ord, characters)):
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    return ranges


def write_ranges(name, source, characters):
    lines = [f"// Made by scripts/make_unicode_tables.py from {source}: first and last code point, sorted."]
    row = ""
    for first, last in ranges_of(characters):
        item = f"{{0x{first:04X}, 0x{last:04X}}},"
        if len(row) + len(item) >= 119:
            lines.append(row)
            row = ""
        row += (" " if row else "") + item
    (ROOT / "policy" / f"{name}.inc").write_text("\n".join(lines + [row]) + "\n")


def main():
    write_ranges("newer_marks", f"Unicode {unicode.unidata_version}", newer_marks())
    write_ranges("newer_letters", f"tokenizers {tokenizers.__version__}", newer_of("L"))
    write_ranges("newer_numbers", f"tokenizers {tokenizers.__version__}", newer_of("N"))


if __name__ == "__main__":
    main()
