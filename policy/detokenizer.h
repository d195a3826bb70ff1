#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "policy/tokenizer.h"

namespace evilmoe {

// Text out of ids that come one at a time. What the calls return, put together, is Tokenizer::Decode of all the ids;
// each piece is whole UTF-8 characters, since bytes that a later id may complete are held back (at most three).
// Not thread-safe.
class Detokenizer {
 public:
  // `skip_special` as in Tokenizer::Decode.
  explicit Detokenizer(Tokenizer tokenizer, bool skip_special = false)
      : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

  // The text that is certain once `id` follows the ids so far; may be empty.
  std::string Push(int32_t id);

  // What was held back, as U+FFFD. Afterwards the object stands at the beginning again.
  std::string Finish();

 private:
  Tokenizer tokenizer_;
  bool skip_special_;
  std::string held_;  // the beginning of a character
};

}  // namespace evilmoe
