#include "environment/nano/families.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "environment/nano/python_literals.h"

namespace evilmoe {
namespace {

std::string LetterOf(int64_t index) { return std::string(1, static_cast<char>('a' + index)); }

}  // namespace

FamilyParameters DrawParameters(const Family& family, RandomStream& stream) {
  FamilyParameters drawn;
  drawn.k = static_cast<int>(stream.Int(family.k_range.low, family.k_range.high));
  drawn.m = static_cast<int>(stream.Int(family.m_range.low, family.m_range.high));
  const int distance = static_cast<int>(stream.Int(1, 2));
  drawn.near_k = stream.Bernoulli(0.5) ? drawn.k + distance : drawn.k - distance;
  const int64_t letter = stream.Int(0, 25);
  drawn.letter = LetterOf(letter);
  drawn.other = LetterOf((letter + stream.Int(1, 25)) % 26);
  drawn.word = ListedWord(stream);
  if (stream.Bernoulli(0.5)) drawn.word += LetterOf(stream.Int(0, 25));
  return drawn;
}

std::string FillTemplate(std::string_view text, const FamilyParameters& parameters, std::string_view method) {
  const std::array<std::pair<std::string_view, std::string>, 8> values = {
      {{"{k}", std::to_string(parameters.k)},
       {"{k+1}", std::to_string(parameters.k + 1)},
       {"{m}", std::to_string(parameters.m)},
       {"{near}", std::to_string(parameters.near_k)},
       {"{c}", parameters.letter},
       {"{d}", parameters.other},
       {"{w}", parameters.word},
       {"{f}", std::string(method)}}};
  std::string filled;
  while (!text.empty()) {
    bool found = false;
    for (const auto& [placeholder, value] : values) {
      if (!text.starts_with(placeholder)) continue;
      filled += value;
      text.remove_prefix(placeholder.size());
      found = true;
      break;
    }
    if (found) continue;
    filled += text.front();
    text.remove_prefix(1);
  }
  return filled;
}

std::string RightAnswer(const Family& family, const FamilyParameters& parameters, std::string_view method) {
  return FillTemplate(family.body, parameters, method);
}

std::vector<std::string> WrongAnswers(const Family& family, const FamilyParameters& parameters,
                                      std::string_view method) {
  const std::string right = RightAnswer(family, parameters, method);
  std::vector<std::string> wrong;
  for (const std::string_view text : family.wrong) {
    // Two parameters may happen to be the same number, and swapping them no mistake.
    if (std::string answer = FillTemplate(text, parameters, method); answer != right)
      wrong.push_back(std::move(answer));
  }
  return wrong;
}

std::string StarterSource(std::string_view method, std::string_view argument) {
  return "class Solution:\n    def " + std::string(method) + "(self, " + std::string(argument) + "):";
}

std::string SolutionSource(std::string_view method, std::string_view argument, std::string_view body) {
  std::string source = StarterSource(method, argument);
  while (true) {
    const size_t end = body.find('\n');
    source += "\n        " + std::string(body.substr(0, end));
    if (end == std::string_view::npos) return source;
    body.remove_prefix(end + 1);
  }
}

}  // namespace evilmoe
