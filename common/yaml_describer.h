#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/yaml_field.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// What a function template that lists a config's fields says of them: a field, or a section with its own.
struct YamlDescription {
  std::string name;
  std::string doc;  // one line
  bool is_section = false;
  std::list<YamlDescription> members;  // of a section, in order
  // Of a field:
  std::string type;                                                  // in words: "whole number"
  nlohmann::ordered_json schema = nlohmann::ordered_json::object();  // of its value, as JSON Schema
  nlohmann::ordered_json default_value;                              // null: unset, or none where `required`
  std::string default_text;                                          // as YAML
  std::vector<std::string> allowed;                                  // in words: "[1, 1024]", "two numbers, ..."
  bool required = false;                                             // must be there: the default would be refused
};

// Collects descriptions. It has the face of YamlSection, so that the one function template of a config documents it:
//
//   YamlDescription description;
//   GraderFields(YamlDescriber(description), &defaults);
class YamlDescriber {
 public:
  // One field; the checks add what they say.
  template <typename T>
  class Described {
   public:
    explicit Described(YamlDescription& out) : out_(&out) {}

    std::string path() const { return out_->name; }
    Described& Doc(std::string_view text) {
      out_->doc = text;
      return *this;
    }
    Described& Range(T low, T high) {
      Bound("minimum", low);
      Bound("maximum", high);
      return Allow(absl::StrCat("[", ShowYamlValue(low), ", ", ShowYamlValue(high), "]"));
    }
    Described& Min(T low) {
      Bound("minimum", low);
      return Allow(absl::StrCat("at least ", ShowYamlValue(low)));
    }
    Described& Max(T high) {
      Bound("maximum", high);
      return Allow(absl::StrCat("at most ", ShowYamlValue(high)));
    }
    Described& Above(T low) {
      Bound("exclusiveMinimum", low);
      return Allow(absl::StrCat("more than ", ShowYamlValue(low)));
    }
    Described& Below(T high) {
      Bound("exclusiveMaximum", high);
      return Allow(absl::StrCat("less than ", ShowYamlValue(high)));
    }
    Described& OneOf(const std::vector<T>& choices, const std::vector<T>& = {}) {
      out_->schema["enum"] = choices;
      return Allow(JoinChoices(choices));
    }
    Described& Required(std::string_view) {
      out_->required = out_->default_value.is_string() ? out_->default_text.empty() : out_->default_value.empty();
      const bool is_text = out_->schema["type"] == "string";
      const bool is_list = out_->schema["type"] == "array";
      out_->schema[is_text ? "minLength" : is_list ? "minItems" : "minProperties"] = 1;
      return *this;
    }
    Described& Check(bool, std::string_view expected, std::string_view schema = "") {
      if (!schema.empty()) out_->schema.update(nlohmann::ordered_json::parse(schema), /*merge_objects=*/true);
      return expected.empty() ? *this : Allow(std::string(expected));
    }
    Described& Refuse(std::string_view, std::string_view) { return *this; }

   private:
    void Bound(const char* keyword, const T& value) { out_->schema[keyword] = value; }
    Described& Allow(std::string words) {
      out_->allowed.push_back(std::move(words));
      return *this;
    }

    YamlDescription* out_;
  };

  // Adds to `out`, which must outlive it.
  explicit YamlDescriber(YamlDescription& out) : out_(&out) { out.is_section = true; }

  Described<bool> Field(std::string_view name, const bool* value) {
    return Add<bool>(name, "true or false", "boolean", *value, ShowYamlValue(*value));
  }
  Described<int> Field(std::string_view name, const int* value) { return Whole(name, *value); }
  Described<int64_t> Field(std::string_view name, const int64_t* value) { return Whole(name, *value); }
  Described<uint64_t> Field(std::string_view name, const uint64_t* value) { return Whole(name, *value); }
  Described<double> Field(std::string_view name, const double* value) {
    return Add<double>(name, "number", "number", *value, ShowYamlValue(*value));
  }
  Described<double> Field(std::string_view name, const std::optional<double>* value);
  Described<std::string> Field(std::string_view name, const std::string* value) {
    return Add<std::string>(name, "text", "string", *value, *value);
  }
  Described<std::filesystem::path> Field(std::string_view name, const std::filesystem::path* value) {
    return Add<std::filesystem::path>(name, "path", "string", value->string(), value->string());
  }
  Described<std::vector<std::string>> Field(std::string_view name, const std::vector<std::string>* value);
  Described<std::vector<double>> Field(std::string_view name, const std::vector<double>* value);
  Described<std::vector<std::pair<std::string, double>>> Field(
      std::string_view name, const std::vector<std::pair<std::string, double>>* value);

  YamlDescriber Section(std::string_view name);
  void Doc(std::string_view text) { out_->doc = text; }
  void Problem(std::string_view, std::string_view) {}

 private:
  YamlDescription& AddMember(std::string_view name, const char* words, nlohmann::ordered_json type,
                             nlohmann::ordered_json default_value, std::string default_text);
  template <typename T>
  Described<T> Add(std::string_view name, const char* words, const char* type, nlohmann::ordered_json default_value,
                   std::string default_text) {
    return Described<T>(AddMember(name, words, type, std::move(default_value), std::move(default_text)));
  }
  template <typename T>
  Described<T> Whole(std::string_view name, T value) {
    YamlDescription& member = AddMember(name, "whole number", "integer", value, ShowYamlValue(value));
    member.schema["minimum"] = std::numeric_limits<T>::min();
    member.schema["maximum"] = std::numeric_limits<T>::max();
    return Described<T>(member);
  }

  YamlDescription* out_;
};

}  // namespace evilmoe
