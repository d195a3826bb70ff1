#!/usr/bin/env python3
"""Trains the tokenizer of the nano model: byte-level BPE with Qwen2's split pattern, 1088 tokens.

Reads JSON lines {"text": ...} on standard input and writes tokenizer.json and tokenizer_config.json into a folder.
The same text gives the same files.

    pip install tokenizers
    evilmoe-nano-corpus --samples 20000 --seed 1 | scripts/make_nano_tokenizer.py --out examples/nano/model
"""

import argparse
import json
import pathlib
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

VOCABULARY_SIZE = 1088
END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
SPECIAL = [END_OF_TEXT, TURN_START, TURN_END]
# Added tokens that decoding keeps.
VISIBLE = ["<think>", "</think>"]
# Every digit is a piece of its own.
SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def texts(lines):
    for line in lines:
        text = json.loads(line)["text"]
        for token in SPECIAL + VISIBLE:
            text = text.replace(token, "\0")
        # No merge may reach over an added token.
        yield from (piece for piece in text.split("\0") if piece)


def train(lines):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT_PATTERN), "isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    added = [AddedToken(text, special=True, normalized=False) for text in SPECIAL]
    added += [AddedToken(text, special=False, normalized=False) for text in VISIBLE]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE, special_tokens=added, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(texts(lines), trainer)
    # The trainer marks all it is given as special.
    state = json.loads(tokenizer.to_str())
    for token in state["added_tokens"]:
        token["special"] = token["content"] in SPECIAL
    return state


def config(state):
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"}
            for token in state["added_tokens"]},
        "bos_token": None,
        "eos_token": TURN_END,
        "pad_token": END_OF_TEXT,
        "unk_token": None,
        "clean_up_tokenization_spaces": False,
        "errors": "replace",
        "model_max_length": 1024,
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
    }


def write_json(path, value, indent):
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the two files")
    arguments = parser.parse_args()
    state = train(sys.stdin)
    if len(state["model"]["vocab"]) != VOCABULARY_SIZE:
        sys.exit(f"{len(state['model']['vocab'])} tokens, expected {VOCABULARY_SIZE}: give it more text")
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out / "tokenizer.json", state, 1)
    write_json(arguments.out / "tokenizer_config.json", config(state), 2)


if __name__ == "__main__":
    main()
