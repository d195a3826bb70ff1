#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/yaml_field.h"

namespace evilmoe {

// Writes what YamlReader reads back: one field a line, sections indented by two spaces, numbers exact. It has the
// face of YamlSection, so that one function template can list a config's fields for both:
//
//   template <typename Section>
//   void GraderFields(Section root, GraderConfig* config) { root.Field("slots", &config->slots).Range(1, 256); }
class YamlWriter {
 public:
  // Takes any check and makes none.
  struct Unchecked {
    std::string path() const { return ""; }
    Unchecked& Doc(std::string_view) { return *this; }
    template <typename T>
    Unchecked& Range(const T&, const T&) {
      return *this;
    }
    template <typename T>
    Unchecked& Min(const T&) {
      return *this;
    }
    template <typename T>
    Unchecked& Max(const T&) {
      return *this;
    }
    template <typename T>
    Unchecked& Above(const T&) {
      return *this;
    }
    template <typename T>
    Unchecked& Below(const T&) {
      return *this;
    }
    template <typename T>
    Unchecked& OneOf(std::initializer_list<T>, std::initializer_list<T> = {}) {
      return *this;
    }
    Unchecked& OneOf(const std::vector<std::string>&, const std::vector<std::string>& = {}) { return *this; }
    Unchecked& Required(std::string_view) { return *this; }
    Unchecked& Check(bool, std::string_view, std::string_view = "") { return *this; }
    Unchecked& Refuse(std::string_view, std::string_view) { return *this; }
  };

  // Appends to `out`, which must outlive it.
  explicit YamlWriter(std::string& out, std::string indent = "") : out_(&out), indent_(std::move(indent)) {}

  template <typename T>
  Unchecked Field(std::string_view name, const T* value) {
    Line(name, Show(*value));
    return {};
  }
  YamlWriter Section(std::string_view name) {
    Line(name, "");
    return YamlWriter(*out_, indent_ + "  ");
  }
  void Doc(std::string_view) {}
  void Problem(std::string_view, std::string_view) {}

 private:
  void Line(std::string_view name, const std::string& value);

  static std::string Show(const std::string& value);
  static std::string Show(const std::filesystem::path& value) { return Show(value.string()); }
  static std::string Show(double value);
  static std::string Show(const std::optional<double>& value) { return value ? Show(*value) : "null"; }
  static std::string Show(const std::vector<std::pair<std::string, double>>& value);
  template <typename T>
  static std::string Show(const std::vector<T>& values) {
    std::string text = "[";
    for (const T& value : values) absl::StrAppend(&text, text.size() > 1 ? ", " : "", Show(value));
    return text + "]";
  }
  template <typename T>
  static std::string Show(const T& value) {
    return ShowYamlValue(value);
  }

  std::string* out_;
  std::string indent_;
};

}  // namespace evilmoe
