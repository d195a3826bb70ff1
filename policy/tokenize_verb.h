#pragma once

#include <filesystem>
#include <iosfwd>
#include <iostream>  // std::cerr

namespace evilmoe {

struct TokenizeOptions {
  std::filesystem::path tokenizer;  // folder with tokenizer.json
  bool decode = false;              // ids -> text instead of text -> ids
  bool thinking = false;            // for messages: leave room for the model's own <think> block
};

// The offline verb `tokenize`: one JSON object a line in, one a line out, in order.
//   {"text"} -> {"ids"};  {"messages": [{role, content}]} -> {"ids", "text"} (generation prompt appended);
//   with `decode`: {"ids"} -> {"text"}, special tokens included.
// A bad line gives {"line": n, "error": "..."} in place. Returns the exit code: 0; 1 when a line was bad; 4 when the
// tokenizer is not there, 2 when it is unusable (one line on `errors`).
int RunTokenize(const TokenizeOptions& options, std::istream& in, std::ostream& out, std::ostream& errors = std::cerr);

}  // namespace evilmoe
