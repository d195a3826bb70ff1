#include "environment/nano/python_literals.h"

#include <cstdint>

namespace evilmoe {

std::vector<int> RandomInts(RandomStream& stream, int count, int low, int high) {
  std::vector<int> values;
  for (int i = 0; i < count; ++i) values.push_back(static_cast<int>(stream.Int(low, high)));
  return values;
}

std::string RandomWord(RandomStream& stream, int length, std::string_view alphabet) {
  std::string word;
  for (int i = 0; i < length; ++i) {
    word += alphabet[static_cast<size_t>(stream.Int(0, static_cast<int64_t>(alphabet.size()) - 1))];
  }
  return word;
}

std::string ListedWord(RandomStream& stream) {
  static const std::vector<std::string> kWords = {"owl", "fox", "elm", "oak", "ivy", "bay", "sea", "dew",
                                                  "fog", "hay", "gem", "tin", "pot", "lid", "jar", "rod",
                                                  "cap", "toy", "sky", "bus", "pie", "egg"};
  return stream.Choice(kWords);
}

std::string PythonList(const std::vector<int>& values) {
  std::string text = "[";
  for (size_t i = 0; i < values.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(values[i]);
  return text + "]";
}

std::string PythonList(const std::vector<std::string>& words) {
  std::string text = "[";
  for (size_t i = 0; i < words.size(); ++i) text += (i == 0 ? "" : ", ") + PythonString(words[i]);
  return text + "]";
}

std::string PythonString(std::string_view text) { return "\"" + std::string(text) + "\""; }

}  // namespace evilmoe
