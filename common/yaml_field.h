#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/nearest_name.h"
#include "common/yaml_tree.h"

namespace evilmoe {

// How a value looks in a message: text in quotes, numbers plain and round-trip exact.
std::string ShowYamlValue(const std::string& value);
std::string ShowYamlValue(double value);
std::string ShowYamlValue(int64_t value);
std::string ShowYamlValue(uint64_t value);
inline std::string ShowYamlValue(bool value) { return value ? "true" : "false"; }
inline std::string ShowYamlValue(int value) { return ShowYamlValue(int64_t{value}); }
inline std::string ShowYamlValue(const std::filesystem::path& value) { return ShowYamlValue(value.string()); }
template <typename T>
std::string ShowYamlValue(const std::pair<std::string, T>& entry) {
  return absl::StrCat(entry.first, ": ", ShowYamlValue(entry.second));
}
template <typename T>
std::string ShowYamlValue(const std::vector<T>& values) {
  std::string text = "[";
  for (const T& value : values) absl::StrAppend(&text, text.size() > 1 ? ", " : "", ShowYamlValue(value));
  return text + "]";
}
template <typename T>
std::string ShowYamlValue(const std::vector<std::pair<std::string, T>>& entries) {
  std::string text = "{";
  for (const auto& entry : entries) absl::StrAppend(&text, text.size() > 1 ? ", " : "", ShowYamlValue(entry));
  return text + "}";
}
// What ShowYamlValue gave, with "..." in place of what a message has no room for.
std::string CutYamlValue(std::string shown);
// "a", "a or b", "a, b or c".
std::string JoinChoices(const std::vector<std::string>& choices);

// The checks of one field, chained behind YamlSection::Field(). The first that fails is the field's one problem;
// a value that could not be read, or is unset, is checked no further. What the checks say of a field in words and as a
// schema is read off the same chain by YamlDescriber.
template <typename T>
class YamlField {
 public:
  struct Found {
    YamlPlace place;  // of the value; of its section when the field is absent
    std::string path;
    bool present = false;
  };
  // `value` = nullptr: nothing to check. `problems` must outlive it.
  YamlField(std::vector<YamlProblem>& problems, Found found, const T* value)
      : problems_(problems), found_(std::move(found)), value_(value) {}

  const std::string& path() const { return found_.path; }  // "adapter.rank"

  // What the field is, in one line for the documentation.
  YamlField& Doc(std::string_view) { return *this; }
  // Both ends allowed.
  YamlField& Range(T low, T high) {
    if (value_ == nullptr || (*value_ >= low && *value_ <= high)) return *this;
    return Refuse("out of range", absl::StrCat("[", ShowYamlValue(low), ", ", ShowYamlValue(high), "]"));
  }
  // `low` allowed.
  YamlField& Min(T low) {
    if (value_ == nullptr || *value_ >= low) return *this;
    return Refuse("out of range", absl::StrCat("at least ", ShowYamlValue(low)));
  }
  // `high` allowed.
  YamlField& Max(T high) {
    if (value_ == nullptr || *value_ <= high) return *this;
    return Refuse("out of range", absl::StrCat("at most ", ShowYamlValue(high)));
  }
  // `low` not allowed.
  YamlField& Above(T low) {
    if (value_ == nullptr || *value_ > low) return *this;
    return Refuse("out of range", absl::StrCat("more than ", ShowYamlValue(low)));
  }
  // `high` not allowed.
  YamlField& Below(T high) {
    if (value_ == nullptr || *value_ < high) return *this;
    return Refuse("out of range", absl::StrCat("less than ", ShowYamlValue(high)));
  }
  // `later`: what is known but not built yet, refused by that name.
  YamlField& OneOf(const std::vector<T>& choices, const std::vector<T>& later = {}) {
    if (value_ == nullptr) return *this;
    std::vector<std::string> names;
    for (const T& choice : choices) {
      if (*value_ == choice) return *this;
      names.push_back(Plain(choice));
    }
    for (const T& choice : later) {
      if (*value_ == choice) return Refuse("not available yet", JoinChoices(names));
    }
    // Of a few choices each is seen at a glance.
    const std::string nearest = names.size() > 5 ? NearestName(Plain(*value_), names) : "";
    return Refuse("unknown value", nearest.empty() ? JoinChoices(names)
                                                   : absl::StrCat(JoinChoices(names), "; did you mean ", nearest, "?"));
  }
  // Text, a path or a list must be given and not be empty.
  YamlField& Required(std::string_view what) {
    if (value_ == nullptr || !value_->empty()) return *this;
    return Report(absl::StrCat(found_.present ? "empty" : "missing", ", expected ", std::string(what)));
  }
  // Any other check of the value. `schema`: as much of it as JSON Schema's keywords can say of the value alone, as the
  // text of an object; empty = none.
  YamlField& Check(bool ok, std::string_view expected, std::string_view schema = "") {
    static_cast<void>(schema);
    return value_ == nullptr || ok ? *this : Refuse("bad value", expected);
  }
  // A problem with the value, unless one has been found already.
  YamlField& Refuse(std::string_view problem, std::string_view expected) {
    if (value_ == nullptr) return *this;
    return Report(absl::StrCat(std::string(problem), ", got ", CutYamlValue(ShowYamlValue(*value_)), ", expected ",
                               std::string(expected)));
  }

 private:
  static std::string Plain(const std::string& text) { return text; }
  template <typename U>
  static std::string Plain(const U& value) {
    return ShowYamlValue(value);
  }
  YamlField& Report(const std::string& text) {
    problems_.push_back({found_.place, absl::StrCat(found_.path, ": ", text)});
    value_ = nullptr;
    return *this;
  }

  std::vector<YamlProblem>& problems_;
  Found found_;
  const T* value_;
};

}  // namespace evilmoe
