#include "common/yaml_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"

namespace evilmoe {
namespace {

constexpr const char* kWholeNumber = "a whole number";

std::string Describe(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull: return "nothing";
    case YamlNode::Kind::kList: return "a list";
    case YamlNode::Kind::kMap: return "a map";
    case YamlNode::Kind::kScalar: return node.quoted ? absl::StrCat("text ", ShowYamlValue(node.text)) : node.text;
  }
  return "?";
}

template <typename T>
std::optional<T> ParseWhole(const YamlNode& node) {
  if (node.kind != YamlNode::Kind::kScalar || node.quoted) return std::nullopt;
  const char* first = node.text.data();
  const char* last = first + node.text.size();
  if (first != last && *first == '+') ++first;
  T value;
  const auto [end, error] = std::from_chars(first, last, value);
  if (error != std::errc() || end != last) return std::nullopt;
  return value;
}

std::optional<double> ParseDouble(const YamlNode& node) {
  if (node.kind != YamlNode::Kind::kScalar || node.quoted) return std::nullopt;
  const char* first = node.text.data();
  const char* last = first + node.text.size();
  if (first != last && *first == '+') ++first;
  double value;
  const auto [end, error] = std::from_chars(first, last, value);
  if (error != std::errc() || end != last || !std::isfinite(value)) return std::nullopt;
  return value;
}

bool IsBool(const YamlNode& node) {
  return node.kind == YamlNode::Kind::kScalar && !node.quoted && (node.text == "true" || node.text == "false");
}

bool IsText(const YamlNode& node) {
  return node.kind == YamlNode::Kind::kScalar && (node.quoted || (!IsBool(node) && !ParseDouble(node)));
}

void SetOrigin(YamlNode& node, const YamlPlace& place) {
  node.place = place;
  for (YamlNode& item : node.items) SetOrigin(item, place);
  for (YamlMember& member : node.members) {
    member.place = place;
    SetOrigin(member.value, place);
  }
}

std::string Prefix(const YamlPlace& place, const std::string& file_name) {
  if (!place.origin.empty()) return absl::StrCat(place.origin, " ");
  if (place.line == 0) return "";
  return absl::StrCat(file_name, ":", place.line, ":", place.column, ": ");
}

}  // namespace

std::string ShowYamlValue(const std::string& value) {
  return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}
std::string ShowYamlValue(int64_t value) { return absl::StrCat(value); }
std::string ShowYamlValue(uint64_t value) { return absl::StrCat(value); }
std::string ShowYamlValue(double value) {
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, error == std::errc() ? end : buffer);
}

std::string JoinChoices(const std::vector<std::string>& choices) {
  if (choices.size() < 2) return choices.empty() ? "" : choices[0];
  return absl::StrCat(absl::StrJoin(choices.begin(), choices.end() - 1, ", "), " or ", choices.back());
}

YamlSection::Taken YamlSection::Take(std::string_view name) {
  reader_->opened_[path_].known.emplace_back(name);
  const YamlMember* member = node_ == nullptr ? nullptr : node_->Find(name);
  if (member == nullptr) return {nullptr, place_, Path(name)};
  return {&member->value, member->value.place, Path(name)};
}

std::string YamlSection::Path(std::string_view name) const {
  return path_.empty() ? std::string(name) : absl::StrCat(path_, ".", std::string(name));
}

template <typename T>
YamlField<T> YamlSection::Checks(const Taken& taken, const T* value) {
  return YamlField<T>(reader_->problems_, {taken.place, taken.path, taken.node != nullptr}, value);
}

YamlField<double> YamlSection::Field(std::string_view name, std::optional<double>* value) {
  const Taken taken = Take(name);
  if (taken.node != nullptr && taken.node->kind == YamlNode::Kind::kNull) {
    value->reset();
  } else if (taken.node != nullptr) {
    double number = 0;
    if (!ReadValue(*taken.node, taken.path, &number)) return Checks<double>(taken, nullptr);
    *value = number;
  }
  return Checks<double>(taken, value->has_value() ? &**value : nullptr);
}

YamlSection YamlSection::Section(std::string_view name) {
  const Taken taken = Take(name);
  const bool is_map = taken.node != nullptr && taken.node->kind == YamlNode::Kind::kMap;
  if (taken.node != nullptr && !is_map) WrongType(*taken.node, taken.path, "a section (name: value, indented)");
  const YamlNode* node = is_map ? taken.node : nullptr;
  reader_->opened_[taken.path].node = node;
  return YamlSection(*reader_, node, taken.place, taken.path);
}

void YamlSection::Problem(std::string_view name, std::string_view text) {
  const YamlMember* member = node_ == nullptr ? nullptr : node_->Find(name);
  reader_->problems_.push_back(
      {member == nullptr ? place_ : member->value.place, absl::StrCat(Path(name), ": ", std::string(text))});
}

bool YamlSection::WrongType(const YamlNode& node, const std::string& path, std::string_view expected) {
  reader_->problems_.push_back(
      {node.place, absl::StrCat(path, ": wrong type, got ", Describe(node), ", expected ", std::string(expected))});
  return false;
}

bool YamlSection::ReadValue(const YamlNode& node, const std::string& path, bool* value) {
  if (!IsBool(node)) return WrongType(node, path, "true or false");
  *value = node.text == "true";
  return true;
}

bool YamlSection::ReadValue(const YamlNode& node, const std::string& path, int64_t* value) {
  const std::optional<int64_t> whole = ParseWhole<int64_t>(node);
  if (!whole) return WrongType(node, path, kWholeNumber);
  *value = *whole;
  return true;
}

bool YamlSection::ReadValue(const YamlNode& node, const std::string& path, int* value) {
  const std::optional<int> whole = ParseWhole<int>(node);
  if (!whole) return WrongType(node, path, ParseWhole<int64_t>(node) ? "one that fits 32 bits" : kWholeNumber);
  *value = *whole;
  return true;
}

bool YamlSection::ReadValue(const YamlNode& node, const std::string& path, uint64_t* value) {
  const std::optional<uint64_t> whole = ParseWhole<uint64_t>(node);
  if (!whole) return WrongType(node, path, "a whole number, 0 or more");
  *value = *whole;
  return true;
}

bool YamlSection::ReadValue(const YamlNode& node, const std::string& path, double* value) {
  const std::optional<double> number = ParseDouble(node);
  if (!number) return WrongType(node, path, "a number");
  *value = *number;
  return true;
}

bool YamlSection::ReadValue(const YamlNode& node, const std::string& path, std::string* value) {
  if (!IsText(node)) {
    const bool looks_like_text = node.kind == YamlNode::Kind::kScalar;
    return WrongType(node, path, looks_like_text ? absl::StrCat("text (write \"", node.text, "\")") : "text");
  }
  *value = node.text;
  return true;
}

bool YamlSection::ReadValue(const YamlNode& node, const std::string& path, std::filesystem::path* value) {
  std::string text;
  if (!ReadValue(node, path, &text)) return false;
  if (text.find('\0') != std::string::npos) return WrongType(node, path, "a path without NUL bytes");
  *value = text;
  return true;
}

template <typename T>
bool YamlSection::ReadValue(const YamlNode& node, const std::string& path, std::vector<T>* value) {
  if (node.kind != YamlNode::Kind::kList) return WrongType(node, path, "a list");
  std::vector<T> items(node.items.size());
  bool ok = true;
  for (size_t i = 0; i < items.size(); ++i) {
    ok = ReadValue(node.items[i], absl::StrCat(path, "[", i, "]"), &items[i]) && ok;
  }
  if (ok) *value = std::move(items);
  return ok;
}

bool YamlSection::ReadValue(const YamlNode& node, const std::string& path,
                            std::vector<std::pair<std::string, double>>* value) {
  if (node.kind != YamlNode::Kind::kMap) return WrongType(node, path, "a map of name: number");
  std::vector<std::pair<std::string, double>> items;
  bool ok = true;
  for (const YamlMember& member : node.members) {
    items.emplace_back(member.key, 0.0);
    ok = ReadValue(member.value, absl::StrCat(path, ".", member.key), &items.back().second) && ok;
  }
  if (ok) *value = std::move(items);
  return ok;
}

template YamlField<bool> YamlSection::Checks(const Taken&, const bool*);
template YamlField<int> YamlSection::Checks(const Taken&, const int*);
template YamlField<int64_t> YamlSection::Checks(const Taken&, const int64_t*);
template YamlField<uint64_t> YamlSection::Checks(const Taken&, const uint64_t*);
template YamlField<double> YamlSection::Checks(const Taken&, const double*);
template YamlField<std::string> YamlSection::Checks(const Taken&, const std::string*);
template YamlField<std::filesystem::path> YamlSection::Checks(const Taken&, const std::filesystem::path*);
template YamlField<std::vector<std::string>> YamlSection::Checks(const Taken&, const std::vector<std::string>*);
template YamlField<std::vector<double>> YamlSection::Checks(const Taken&, const std::vector<double>*);
template YamlField<std::vector<std::pair<std::string, double>>> YamlSection::Checks(
    const Taken&, const std::vector<std::pair<std::string, double>>*);
template bool YamlSection::ReadValue(const YamlNode&, const std::string&, std::vector<std::string>*);
template bool YamlSection::ReadValue(const YamlNode&, const std::string&, std::vector<double>*);

YamlReader::YamlReader(std::string_view text, std::string file_name) : file_name_(std::move(file_name)) {
  root_ = ParseYamlTree(text, problems_);
  if (root_.kind == YamlNode::Kind::kMap) return;
  broken_ = !problems_.empty();
  if (root_.kind != YamlNode::Kind::kNull) {
    problems_.push_back({root_.place, absl::StrCat("got ", Describe(root_), ", expected name: value lines")});
    broken_ = true;
  }
  root_ = {};
  root_.kind = YamlNode::Kind::kMap;
  root_.place = {file_name_.empty() ? 0 : 1, 1, ""};
}

void YamlReader::Override(std::string_view path, std::string_view value, std::string_view origin) {
  Set(path, value, origin, true);
}
void YamlReader::Default(std::string_view path, std::string_view value, std::string_view origin) {
  Set(path, value, origin, false);
}

void YamlReader::Set(std::string_view path, std::string_view value, std::string_view origin, bool replace) {
  const YamlPlace place{0, 0, std::string(origin)};
  std::vector<YamlProblem> problems;
  YamlNode parsed = ParseYamlTree(value, problems);
  if (value.empty()) {
    parsed.kind = YamlNode::Kind::kScalar;
    parsed.quoted = true;
  }
  for (const YamlProblem& problem : problems) {
    problems_.push_back({place, absl::StrCat(std::string(path), ": ", problem.text)});
  }
  if (!problems.empty()) return;
  SetOrigin(parsed, place);
  const std::vector<std::string> names = absl::StrSplit(absl::string_view(path.data(), path.size()), '.');
  YamlNode* node = &root_;
  for (size_t i = 0; i < names.size(); ++i) {
    YamlMember* member = node->Find(names[i]);
    const bool last = i + 1 == names.size();
    if (member == nullptr) {
      YamlNode fresh;
      fresh.kind = YamlNode::Kind::kMap;
      fresh.place = place;
      node->members.push_back({names[i], place, std::move(fresh)});
      member = &node->members.back();
    } else if (last && !replace) {
      return;
    } else if (!last && member->value.kind != YamlNode::Kind::kMap) {
      if (!replace) return;  // The file's own mistake; Section() will name it.
      member->value = {};
      member->value.kind = YamlNode::Kind::kMap;
      member->value.place = place;
    }
    if (last) {
      member->place = place;
      member->value = std::move(parsed);
      return;
    }
    node = &member->value;
  }
}

std::optional<std::string> YamlReader::Peek(std::string_view name) const {
  const YamlMember* member = root_.Find(name);
  if (member == nullptr || member->value.kind != YamlNode::Kind::kScalar) return std::nullopt;
  return member->value.text;
}

YamlSection YamlReader::Root() {
  opened_[""].node = &root_;
  return YamlSection(*this, &root_, root_.place, "");
}

void YamlReader::FindUnknownKeys() {
  for (const auto& [path, opened] : opened_) {
    if (opened.node == nullptr) continue;
    for (const YamlMember& member : opened.node->members) {
      if (std::find(opened.known.begin(), opened.known.end(), member.key) != opened.known.end()) continue;
      const std::string nearest = NearestName(member.key, opened.known);
      const std::string hint = nearest.empty() ? absl::StrCat("expected one of ", absl::StrJoin(opened.known, ", "))
                                               : absl::StrCat("did you mean ", nearest, "?");
      problems_.push_back(
          {member.place, absl::StrCat(path, path.empty() ? "" : ".", member.key, ": unknown key, ", hint)});
    }
  }
}

absl::Status YamlReader::Finish() {
  if (!broken_) FindUnknownKeys();
  if (problems_.empty()) return absl::OkStatus();
  if (broken_) problems_.resize(1);
  std::stable_sort(problems_.begin(), problems_.end(), [](const YamlProblem& a, const YamlProblem& b) {
    return std::tie(a.place.origin, a.place.line, a.place.column) <
           std::tie(b.place.origin, b.place.line, b.place.column);
  });
  std::vector<std::string> lines;
  for (const YamlProblem& problem : problems_) lines.push_back(Prefix(problem.place, file_name_) + problem.text);
  return absl::InvalidArgumentError(absl::StrJoin(lines, "\n"));
}

int EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = static_cast<int>(i);
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

std::string NearestName(std::string_view word, const std::vector<std::string>& choices) {
  constexpr size_t kLongestWord = 64;  // Longer is no slip, and the table is quadratic.
  if (word.size() > kLongestWord) return "";
  std::string nearest;
  int best = std::numeric_limits<int>::max();
  for (const std::string& choice : choices) {
    const int distance = EditDistance(word, choice);
    const int allowed = std::max(1, static_cast<int>(std::max(word.size(), choice.size())) / 3);
    if (distance < best && distance <= allowed) {
      best = distance;
      nearest = choice;
    }
  }
  return nearest;
}

}  // namespace evilmoe
