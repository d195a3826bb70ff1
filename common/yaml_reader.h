#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/yaml_field.h"
#include "common/yaml_tree.h"

namespace evilmoe {

class YamlReader;

inline constexpr size_t kMaxYamlProblems = 100;

// One map of the document. Cheap to copy; must not outlive its reader.
class YamlSection {
 public:
  // Reads a field; an absent one keeps the default that `value` holds. T: bool, int, int64_t, uint64_t, double,
  // std::string, std::filesystem::path, vector of string or double, and a map as vector<pair<string, double>>.
  // A plain 5 is no text and a quoted "5" is no number.
  template <typename T>
  YamlField<T> Field(std::string_view name, T* value) {
    const Taken taken = Take(name);
    const bool readable = !taken.lost && (taken.node == nullptr || ReadValue(*taken.node, taken.path, value));
    return Checks<T>(taken, readable ? value : nullptr);
  }
  // null = unset. The checks see a value that is set.
  YamlField<double> Field(std::string_view name, std::optional<double>* value);
  // A section that is absent reads as an empty one.
  YamlSection Section(std::string_view name);
  // What the section is for, in one line for the documentation.
  void Doc(std::string_view) {}
  // A problem found by comparing fields; `name` is the field to blame.
  void Problem(std::string_view name, std::string_view text);

 private:
  friend class YamlReader;
  struct Taken {
    const YamlNode* node;  // nullptr = absent
    YamlPlace place;
    std::string path;
    bool lost = false;  // what stands in the section's place is none: nothing can be said of its fields
  };
  YamlSection(YamlReader& reader, const YamlNode* node, YamlPlace place, std::string path, bool lost = false)
      : reader_(&reader), node_(node), place_(std::move(place)), path_(std::move(path)), lost_(lost) {}

  // Finds a member and notes that its name is known.
  Taken Take(std::string_view name);
  std::string Path(std::string_view name) const;
  template <typename T>
  YamlField<T> Checks(const Taken& taken, const T* value);

  bool ReadValue(const YamlNode& node, const std::string& path, bool* value);
  bool ReadValue(const YamlNode& node, const std::string& path, int* value);
  bool ReadValue(const YamlNode& node, const std::string& path, int64_t* value);
  bool ReadValue(const YamlNode& node, const std::string& path, uint64_t* value);
  bool ReadValue(const YamlNode& node, const std::string& path, double* value);
  bool ReadValue(const YamlNode& node, const std::string& path, std::string* value);
  bool ReadValue(const YamlNode& node, const std::string& path, std::filesystem::path* value);
  bool ReadValue(const YamlNode& node, const std::string& path, std::vector<std::pair<std::string, double>>* value);
  template <typename T>
  bool ReadValue(const YamlNode& node, const std::string& path, std::vector<T>* value);
  // Says that the node is not `expected`; returns false.
  bool WrongType(const YamlNode& node, const std::string& path, std::string_view expected);

  YamlReader* reader_;
  const YamlNode* node_;  // nullptr = absent
  YamlPlace place_;
  std::string path_;
  bool lost_;
};

// Reads a config file strictly and collects every problem before it gives up:
//
//   YamlReader reader(text, "grader.yaml");
//   YamlSection root = reader.Root();
//   root.Field("slots", &config.slots).Range(1, 256);
//   EVILMOE_RETURN_IF_ERROR(reader.Finish());
//
// With each field's Doc(), the same lines give its documentation: yaml_describer.h.
// An empty text and file name run the same checks over a struct that is filled already. Not thread-safe.
class YamlReader {
 public:
  YamlReader(std::string_view text, std::string file_name);
  YamlReader(const YamlReader&) = delete;
  YamlReader& operator=(const YamlReader&) = delete;

  // Sets the field at `path` ("a.b") to `value` (YAML; nothing = empty text) over what the file says. Its problems
  // are told under `origin` in place of file:line:column. Call before Root().
  void Override(std::string_view path, std::string_view value, std::string_view origin);
  // The same where neither the file nor an override says anything.
  void Default(std::string_view path, std::string_view value, std::string_view origin);
  // A default that the file or an override says otherwise.
  struct Overridden {
    YamlPlace place;            // of the key
    std::string where;          // "run.yaml:12:3: " or "--set "
    std::string path;           // "router.pin_weight"
    std::string value;          // as the file has it
    std::string default_value;  // as Default() was given it
  };
  // In the order of the file.
  std::vector<Overridden> overridden() const;
  // The scalar of this name at the top of the document as text; nullopt when there is none.
  std::optional<std::string> Peek(std::string_view name) const;

  YamlSection Root();
  // OK, or InvalidArgument with one line a problem, "file:line:column: field: problem, value, expected", in the order
  // of the file; of more than kMaxYamlProblems the first ones and how many more. Keys that no Field() or Section()
  // asked for are problems too, told with the nearest known name, or with the section that has such a field.
  absl::Status Finish();

 private:
  friend class YamlSection;
  struct Opened {
    const YamlNode* node;
    std::vector<std::string> known;
  };
  void Set(std::string_view path, std::string_view value, std::string_view origin, bool replace);
  void FindUnknownKeys();
  // What was meant by an unknown key; "" = no guess.
  std::string HintForUnknown(const std::string& path, const std::string& key) const;

  std::string file_name_;
  YamlNode root_;
  std::vector<YamlProblem> problems_;
  size_t num_of_text_ = 0;  // of problems_: those of the text itself
  bool broken_ = false;     // not YAML at all: nothing else is worth saying
  std::vector<Overridden> overridden_;
  std::map<std::string, Opened> opened_;  // sections that were asked for, by path
};

}  // namespace evilmoe
