#include "policy/detokenizer.h"

#include "policy/utf8.h"

namespace evilmoe {

std::string Detokenizer::Push(int32_t id) {
  if (skip_special_ && tokenizer_.IsSpecial(id)) return "";
  std::string text = std::move(held_);
  text += tokenizer_.TokenBytes(id);
  const size_t certain = text.size() - CutCharacterBytes(text);
  held_ = text.substr(certain);
  text.resize(certain);
  return ReplaceInvalidUtf8(std::move(text));
}

std::string Detokenizer::Finish() {
  std::string text = std::move(held_);
  held_.clear();
  return ReplaceInvalidUtf8(std::move(text));
}

}  // namespace evilmoe
