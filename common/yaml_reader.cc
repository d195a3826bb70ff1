#include "common/yaml_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <tuple>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/shown_text.h"
#include "common/yaml_hint.h"

namespace evilmoe {
namespace {

constexpr const char* kWholeNumber = "a whole number";

std::string Describe(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull: return "nothing";
    case YamlNode::Kind::kList: return "a list";
    case YamlNode::Kind::kMap: return "a map";
    case YamlNode::Kind::kScalar:
      return node.quoted ? absl::StrCat("text ", ShownText(node.text, kMaxShownBytes)) : ShowYamlKey(node.text);
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

bool IsBefore(const YamlPlace& a, const YamlPlace& b) {
  return std::tie(a.origin, a.line, a.column) < std::tie(b.origin, b.line, b.column);
}

// Whether two scalars say the same: 1 is 1.0.
bool IsSame(const YamlNode& a, const YamlNode& b) {
  if (a.kind != b.kind || a.kind == YamlNode::Kind::kList || a.kind == YamlNode::Kind::kMap) return false;
  const std::optional<double> x = ParseDouble(a), y = ParseDouble(b);
  return x || y ? x == y : a.text == b.text;
}

// A value as one would write it.
std::string Written(const YamlNode& node) {
  if (node.kind == YamlNode::Kind::kNull) return "null";
  return node.kind == YamlNode::Kind::kScalar ? ShowYamlKey(node.text) : Describe(node);
}

}  // namespace

YamlSection::Taken YamlSection::Take(std::string_view name) {
  reader_->opened_[path_].known.emplace_back(name);
  const YamlMember* member = node_ == nullptr ? nullptr : node_->Find(name);
  if (member == nullptr) return {nullptr, place_, Path(name), lost_};
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
  if (taken.lost) return Checks<double>(taken, nullptr);
  if (taken.node != nullptr && taken.node->kind == YamlNode::Kind::kNull) {
    value->reset();
  } else if (taken.node != nullptr) {
    const std::optional<double> number = ParseDouble(*taken.node);
    if (!number) {
      WrongType(*taken.node, taken.path, absl::StrCat("a number or null", NumberHint(*taken.node)));
      return Checks<double>(taken, nullptr);
    }
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
  return YamlSection(*reader_, node, taken.place, taken.path, taken.lost || (taken.node != nullptr && !is_map));
}

void YamlSection::Problem(std::string_view name, std::string_view text) {
  const YamlMember* member = node_ == nullptr ? nullptr : node_->Find(name);
  reader_->problems_.push_back(
      {member == nullptr ? place_ : member->value.place, absl::StrCat(Path(name), ": ", std::string(text))});
}

bool YamlSection::WrongType(const YamlNode& node, const std::string& path, std::string_view expected) {
  if (node.refused) return false;
  reader_->problems_.push_back(
      {node.place, absl::StrCat(path, ": wrong type, got ", Describe(node), ", expected ", std::string(expected))});
  return false;
}

bool YamlSection::ReadValue(const YamlNode& node, const std::string& path, bool* value) {
  if (!IsBool(node)) return WrongType(node, path, absl::StrCat("true or false", BoolHint(node)));
  *value = node.text == "true";
  return true;
}

bool YamlSection::ReadValue(const YamlNode& node, const std::string& path, int64_t* value) {
  const std::optional<int64_t> whole = ParseWhole<int64_t>(node);
  if (!whole) return WrongType(node, path, absl::StrCat(kWholeNumber, WholeHint(node)));
  *value = *whole;
  return true;
}

bool YamlSection::ReadValue(const YamlNode& node, const std::string& path, int* value) {
  const std::optional<int> whole = ParseWhole<int>(node);
  if (!whole && ParseWhole<int64_t>(node)) {
    reader_->problems_.push_back({node.place, absl::StrCat(path, ": out of range, got ", node.text, ", expected [",
                                                           INT32_MIN, ", ", INT32_MAX, "]")});
    return false;
  }
  if (!whole) return WrongType(node, path, absl::StrCat(kWholeNumber, WholeHint(node)));
  *value = *whole;
  return true;
}

bool YamlSection::ReadValue(const YamlNode& node, const std::string& path, uint64_t* value) {
  const std::optional<uint64_t> whole = ParseWhole<uint64_t>(node);
  if (!whole) return WrongType(node, path, absl::StrCat("a whole number, 0 or more", WholeHint(node)));
  *value = *whole;
  return true;
}

bool YamlSection::ReadValue(const YamlNode& node, const std::string& path, double* value) {
  const std::optional<double> number = ParseDouble(node);
  if (!number) return WrongType(node, path, absl::StrCat("a number", NumberHint(node)));
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
  if (node.kind != YamlNode::Kind::kList) return WrongType(node, path, absl::StrCat("a list", ListHint(node)));
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
    ok = ReadValue(member.value, absl::StrCat(path, ".", ShowYamlKey(member.key)), &items.back().second) && ok;
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
  num_of_text_ = problems_.size();
  if (root_.kind == YamlNode::Kind::kMap) return;
  broken_ = !problems_.empty();
  if (root_.kind != YamlNode::Kind::kNull) {
    problems_.push_back({root_.place, absl::StrCat("got ", Describe(root_), ", expected lines of name: value")});
    ++num_of_text_;
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
      if (!IsSame(member->value, parsed)) {
        overridden_.push_back({member->place, Prefix(member->place, file_name_), std::string(path),
                               Written(member->value), Written(parsed)});
      }
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

std::vector<YamlReader::Overridden> YamlReader::overridden() const {
  std::vector<Overridden> sorted = overridden_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Overridden& a, const Overridden& b) { return IsBefore(a.place, b.place); });
  return sorted;
}

// A field written with its section before it; a slip of one letter; a field of that very name elsewhere; what is near.
std::string YamlReader::HintForUnknown(const std::string& path, const std::string& key) const {
  if (const size_t dot = key.rfind('.'); dot != std::string::npos) {
    const auto section = opened_.find(absl::StrCat(path, path.empty() ? "" : ".", key.substr(0, dot)));
    const std::string name = key.substr(dot + 1);
    if (section != opened_.end() && absl::c_linear_search(section->second.known, name)) {
      return absl::StrCat("expected ", name, " in the section ", section->first);
    }
  }
  const std::vector<std::string>& known = opened_.at(path).known;
  const std::string nearest = NearestName(key, known);
  std::vector<std::string> elsewhere;
  for (const auto& [section, opened] : opened_) {
    if (!absl::c_linear_search(opened.known, key)) continue;
    elsewhere.push_back(section.empty() ? absl::StrCat(key, " at the top") : absl::StrCat(section, ".", key));
  }
  const bool is_slip = !nearest.empty() && EditDistance(key, nearest) <= 1;
  if (!is_slip && !elsewhere.empty()) return absl::StrCat("did you mean ", JoinChoices(elsewhere), "?");
  return nearest.empty() ? "" : absl::StrCat("did you mean ", nearest, "?");
}

void YamlReader::FindUnknownKeys() {
  for (const auto& [path, opened] : opened_) {
    if (opened.node == nullptr) continue;
    bool listed = false;  // once a section is enough
    for (const YamlMember& member : opened.node->members) {
      if (absl::c_linear_search(opened.known, member.key)) continue;
      std::string hint = HintForUnknown(path, member.key);
      if (hint.empty()) {
        hint = listed ? "expected one of those above"
                      : absl::StrCat("expected one of ", absl::StrJoin(opened.known, ", "));
        listed = true;
      }
      problems_.push_back({member.place, absl::StrCat(path, path.empty() ? "" : ".", ShowYamlKey(member.key),
                                                      ": unknown key, ", hint)});
    }
  }
}

absl::Status YamlReader::Finish() {
  if (!broken_) FindUnknownKeys();
  if (problems_.empty()) return absl::OkStatus();
  if (broken_) problems_.resize(num_of_text_);
  std::stable_sort(problems_.begin(), problems_.end(),
                   [](const YamlProblem& a, const YamlProblem& b) { return IsBefore(a.place, b.place); });
  std::vector<std::string> lines;
  for (const YamlProblem& problem : problems_) {
    if (lines.size() == kMaxYamlProblems) {
      lines.push_back(absl::StrCat("and ", problems_.size() - kMaxYamlProblems, " more problems"));
      break;
    }
    lines.push_back(Prefix(problem.place, file_name_) + problem.text);
  }
  return absl::InvalidArgumentError(absl::StrJoin(lines, "\n"));
}

}  // namespace evilmoe
