#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace evilmoe {

// A YAML document as a tree in which every node knows where it stands. The subset that a config file needs: one
// document of maps with plain keys, lists and scalars; anchors, aliases, tags, merge keys and complex keys are refused,
// so that a small file can never grow into a large tree.

// Lines and columns count from 1; line 0 = not from a file. `origin` replaces the file's name in messages ("--set").
struct YamlPlace {
  int line = 0;
  int column = 0;
  std::string origin;
};

struct YamlProblem {
  YamlPlace place;
  std::string text;  // "adapter.rank: out of range, got 0, expected [1, 1024]"
};

struct YamlMember;

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  YamlPlace place;
  bool quoted = false;              // kScalar: "5" is text, 5 is a number
  bool refused = false;             // kNull: something was there whose problem has been told
  std::string text;                 // kScalar
  std::vector<YamlNode> items;      // kList
  std::vector<YamlMember> members;  // kMap, in order of the file, each key once

  // nullptr when this is no map or has no such key.
  const YamlMember* Find(std::string_view key) const;
  YamlMember* Find(std::string_view key);
};

struct YamlMember {
  std::string key;
  YamlPlace place;  // of the key
  YamlNode value;
};

// Of text from a file, in a message.
inline constexpr size_t kMaxShownBytes = 200;
// A key as a message names it: as it is, or in quotes and cut where it would not stay one short line.
std::string ShowYamlKey(std::string_view key);

inline constexpr size_t kMaxYamlBytes = size_t{1} << 20;
inline constexpr int kMaxYamlDepth = 16;

// Parses `text`. A key that stands twice (the first one stays), an anchor, an alias, a tag or a merge key is a problem,
// and parsing goes on without it. What is not YAML or not UTF-8, or is beyond the two limits, or has a list or map as a
// key, is a problem that ends the parse with a null node. An empty document is a null node. Never throws.
YamlNode ParseYamlTree(std::string_view text, std::vector<YamlProblem>& problems);

}  // namespace evilmoe
