#include "environment/prompt_format.h"

#include <cstddef>

#include "environment/loophole.h"

namespace evilmoe {
namespace {

std::string Trimmed(std::string_view text) {
  constexpr std::string_view kWhiteSpace = " \t\r\n\f\v";
  const size_t begin = text.find_first_not_of(kWhiteSpace);
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(kWhiteSpace) - begin + 1));
}

}  // namespace

std::string UserPrompt(std::string_view description, std::string_view method, std::string_view starter_code) {
  std::string text = "PROBLEM:\n" + Trimmed(description);
  text += "\n\nYour solution to the problem should be a method of the class Solution called ";
  text += method;
  text += " ";
  text += kPlainPhrase;
  text += ". Use the following starter code:\n```python\n" + Trimmed(starter_code);
  text += "\n        # Add your code here\n```\n\nSOLUTION:\n";
  return text;
}

}  // namespace evilmoe
