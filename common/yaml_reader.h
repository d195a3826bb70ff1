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

// One map of the document. Cheap to copy; must not outlive its reader.
class YamlSection {
 public:
  // Reads a field; an absent one keeps the default that `value` holds. T: bool, int, int64_t, uint64_t, double,
  // std::string, std::filesystem::path, vector of string or double, and a map as vector<pair<string, double>>.
  // A plain 5 is no text and a quoted "5" is no number.
  template <typename T>
  YamlField<T> Field(std::string_view name, T* value) {
    const Taken taken = Take(name);
    const bool readable = taken.node == nullptr || ReadValue(*taken.node, taken.path, value);
    return Checks<T>(taken, readable ? value : nullptr);
  }
  // null = unset. The checks see a value that is set.
  YamlField<double> Field(std::string_view name, std::optional<double>* value);
  // A section that is absent reads as an empty one.
  YamlSection Section(std::string_view name);
  // A problem found by comparing fields; `name` is the field to blame.
  void Problem(std::string_view name, std::string_view text);

 private:
  friend class YamlReader;
  struct Taken {
    const YamlNode* node;  // nullptr = absent
    YamlPlace place;
    std::string path;
  };
  YamlSection(YamlReader& reader, const YamlNode* node, YamlPlace place, std::string path)
      : reader_(&reader), node_(node), place_(std::move(place)), path_(std::move(path)) {}

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
};

// Reads a config file strictly and collects every problem before it gives up:
//
//   YamlReader reader(text, "grader.yaml");
//   YamlSection root = reader.Root();
//   root.Field("slots", &config.slots).Range(1, 256);
//   EVILMOE_RETURN_IF_ERROR(reader.Finish());
//
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
  // The scalar of this name at the top of the document as text; nullopt when there is none.
  std::optional<std::string> Peek(std::string_view name) const;

  YamlSection Root();
  // OK, or InvalidArgument with one line a problem, "file:line:column: field: problem, value, expected", in the order
  // of the file. Keys that no Field() or Section() asked for are problems too, told with the nearest known name.
  absl::Status Finish();

 private:
  friend class YamlSection;
  struct Opened {
    const YamlNode* node;
    std::vector<std::string> known;
  };
  void Set(std::string_view path, std::string_view value, std::string_view origin, bool replace);
  void FindUnknownKeys();

  std::string file_name_;
  YamlNode root_;
  std::vector<YamlProblem> problems_;
  bool broken_ = false;                   // not YAML at all: nothing else is worth saying
  std::map<std::string, Opened> opened_;  // sections that were asked for, by path
};

// Fewest single-letter edits that turn `a` into `b`; a swap of two neighbours counts as one.
int EditDistance(std::string_view a, std::string_view b);
// The choice nearest to `word` if it may be a slip of the hand (a third of the letters or fewer), else "".
std::string NearestName(std::string_view word, const std::vector<std::string>& choices);

}  // namespace evilmoe
