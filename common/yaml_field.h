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
// "a", "a or b", "a, b or c".
std::string JoinChoices(const std::vector<std::string>& choices);

// The checks of one field, chained behind YamlSection::Field(). The first that fails is the field's one problem;
// a value that could not be read, or is unset, is checked no further.
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

  // Both ends allowed.
  YamlField& Range(T low, T high) {
    if (value_ == nullptr || (*value_ >= low && *value_ <= high)) return *this;
    return Fail("out of range", absl::StrCat("[", ShowYamlValue(low), ", ", ShowYamlValue(high), "]"));
  }
  // `low` allowed.
  YamlField& Min(T low) {
    if (value_ == nullptr || *value_ >= low) return *this;
    return Fail("out of range", absl::StrCat("at least ", ShowYamlValue(low)));
  }
  // `low` not allowed.
  YamlField& Above(T low) {
    if (value_ == nullptr || *value_ > low) return *this;
    return Fail("out of range", absl::StrCat("more than ", ShowYamlValue(low)));
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
      if (*value_ == choice) return Fail("not available yet", JoinChoices(names));
    }
    return Fail("unknown value", JoinChoices(names));
  }
  // Text, a path or a list must be given and not be empty.
  YamlField& Required(std::string_view what) {
    if (value_ == nullptr || !value_->empty()) return *this;
    return Report(absl::StrCat(found_.present ? "empty" : "missing", ", expected ", std::string(what)));
  }
  // Any other check of the value.
  YamlField& Check(bool ok, std::string_view expected) {
    if (value_ == nullptr || ok) return *this;
    return Fail("bad value", expected);
  }

 private:
  static std::string Plain(const std::string& text) { return text; }
  template <typename U>
  static std::string Plain(const U& value) {
    return ShowYamlValue(value);
  }
  YamlField& Fail(std::string_view problem, std::string_view expected) {
    return Report(
        absl::StrCat(std::string(problem), ", got ", ShowYamlValue(*value_), ", expected ", std::string(expected)));
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
