#include "tests/unit/policy/tiny_tokenizer.h"

#include <string>
#include <vector>

#include "policy/utf8.h"

namespace evilmoe {

nlohmann::json TinyTokenizerJson() {
  using Json = nlohmann::json;
  Json vocab = Json::object();
  const auto add = [&](const std::string& token) { vocab[token] = vocab.size(); };
  for (char32_t c = 0x21; c < 0x144; ++c) {
    const bool gap = (c >= 0x7F && c <= 0xA0) || c == 0xAD;
    if (!gap) add(EncodeUtf8(c));
  }
  for (const char* token : {"he", "ll", "hell", "hello", "\u0120hello"}) add(token);
  Json added = Json::array();
  for (const char* token : {"<|im_start|>", "<|im_end|>", "<think>", "</think>"}) {
    added.push_back({{"id", vocab.size() + added.size()}, {"content", token}, {"special", token[1] == '|'},
                     {"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"normalized", false}});
  }
  const std::vector<std::vector<std::string>> merges = {
      {"h", "e"}, {"l", "l"}, {"he", "ll"}, {"hell", "o"}, {"\u0120", "hello"}};
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", false}};
  const Json split = {{"type", "Split"}, {"behavior", "Isolated"}, {"invert", false},
                      {"pattern", {{"Regex", R"( ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"}}}};
  return {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}, {"added_tokens", added},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}}},
          {"post_processor", byte_level}, {"decoder", byte_level},
          {"model", {{"type", "BPE"}, {"dropout", nullptr}, {"vocab", vocab}, {"merges", merges}}}};
}

}  // namespace evilmoe
