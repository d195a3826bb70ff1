#!/usr/bin/env python3
"""Makes policy/newer_marks.inc: the code points that the NFC of Hugging Face tokenizers does not know yet.

Its tables are those of Unicode 9. A mark that a later version added is to it a character like any other: it is not
reordered, and nothing composes with it or across it. Normalising by newer tables would give other ids for the same
text than the model was trained on.

    pip install tokenizers unicodedata2
    scripts/make_newer_marks.py

Needs no list of versions: it asks the newest Unicode (unicodedata2) which code points take part in normalisation, and
the reference which of them it leaves alone.
"""

import pathlib

import unicodedata2 as unicode
from tokenizers.normalizers import NFC

nfc = NFC().normalize_str


def canonical_parts(character):
    fields = unicode.decomposition(character).split()
    return [] if not fields or fields[0].startswith("<") else [chr(int(field, 16)) for field in fields]


def is_inert(character):
    """Whether the reference neither changes the character nor moves it past a mark of a high or a low class."""
    return all(nfc(text) == text for text in (character, "x\u0345" + character, "x" + character + "\u0334"))


def main():
    everything = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    newer = {c for c in everything if (unicode.combining(c) or canonical_parts(c)) and is_inert(c) and
             (unicode.combining(c) or unicode.normalize("NFC", c) != c)}
    composed = {c: canonical_parts(c) for c in everything if len(canonical_parts(c)) == 2 and unicode.normalize("NFC", c) == c}
    known = {part for c, parts in composed.items() if nfc("".join(parts)) == c for part in parts}
    for c, parts in composed.items():
        if nfc("".join(parts)) != c:
            unknown = {part for part in parts if part not in known and is_inert(part)}
            assert unknown, f"U+{ord(c):04X}: the reference knows its parts and does not compose them"
            newer |= unknown | {c}
    ranges = []
    for c in sorted(map(ord, newer)):
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    root = pathlib.Path(__file__).resolve().parents[1]
    lines = [f"// Made by scripts/make_newer_marks.py from Unicode {unicode.unidata_version}: first and last code point.\n"]
    row = ""
    for first, last in ranges:
        item = f"{{0x{first:04X}, 0x{last:04X}}}, "
        if len(row) + len(item) > 120:
            lines.append(row.rstrip() + "\n")
            row = ""
        row += item
    (root / "policy" / "newer_marks.inc").write_text("".join(lines) + row.rstrip(" ,") + "\n")
    print(f"{len(newer)} code points in {len(ranges)} ranges")


if __name__ == "__main__":
    main()
