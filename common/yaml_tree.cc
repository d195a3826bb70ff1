#include "common/yaml_tree.h"

#include <utf8proc.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/shown_text.h"

namespace evilmoe {
namespace {

YamlPlace PlaceOf(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1, ""}; }

void Say(std::vector<YamlProblem>& problems, const YamlPlace& place, const std::string& text) {
  YamlProblem& problem = problems.emplace_back();
  problem.place = place;
  problem.text = text;
}

// Thrown by TreeBuilder through yaml-cpp's parser and caught in ParseYamlTree.
struct Refused {
  YamlPlace place;
  std::string text;
};

constexpr std::string_view kMergeKey = "<<";
constexpr const char* kNoAlias = "alias (*name) is not allowed, expected the value itself";
// yaml-cpp takes the end of a last line for a closing quote; behind a comment it does not.
std::string WithoutLastLineEnd(std::string_view text) {
  return absl::StrCat(std::string(text), text.ends_with('\n') ? "#" : "");
}

// Builds the tree out of the parser's events, so that nothing is expanded before it is judged.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::vector<YamlProblem>& problems) : problems_(problems) {}

  YamlNode TakeRoot() { return std::move(root_); }
  // Of the name or value that was read last.
  const YamlPlace& last_place() const { return last_place_; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Tell(mark, kNoAlias);
    if (TakesKey()) {
      TakeKey("", mark);
      open_.back().drops_value = true;
      return;
    }
    YamlNode node = Leaf(mark);
    node.refused = true;
    Add(std::move(node));
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    JudgeAnchor(mark, anchor);
    if (TakesKey()) throw Refused{PlaceOf(mark), "empty key, expected a name"};
    Add(Leaf(mark));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    last_place_ = PlaceOf(mark);
    JudgeAnchor(mark, anchor);
    JudgeTag(mark, tag);
    if (TakesKey()) {
      TakeKey(value, mark);
      return;
    }
    YamlNode node = Leaf(mark);
    node.kind = YamlNode::Kind::kScalar;
    node.quoted = tag == "!";
    node.text = value;
    Add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kList);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

 private:
  struct OpenNode {
    YamlNode node;
    bool has_key = false;
    std::string key;
    YamlPlace key_place;
    bool drops_value = false;                       // the key is an alias, which has been told
    std::map<std::string, int, std::less<>> lines;  // kMap: of the keys so far
  };

  static YamlNode Leaf(const YAML::Mark& mark) {
    YamlNode node;
    node.place = PlaceOf(mark);
    return node;
  }
  void Tell(const YAML::Mark& mark, const std::string& text) { Say(problems_, PlaceOf(mark), text); }
  void JudgeAnchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) Tell(mark, "anchor (&name) is not allowed, expected a plain value");
  }
  // yaml-cpp gives "?" to a plain scalar, "!" to a quoted one, "" to an untagged list or map in some styles.
  void JudgeTag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    Tell(mark, absl::StrCat("tag ", ShowYamlKey(tag), " is not allowed, expected a plain value"));
  }

  bool TakesKey() const {
    return !open_.empty() && open_.back().node.kind == YamlNode::Kind::kMap && !open_.back().has_key;
  }
  void TakeKey(const std::string& key, const YAML::Mark& mark) {
    open_.back().key = key;
    open_.back().key_place = PlaceOf(mark);
    open_.back().has_key = true;
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    JudgeAnchor(mark, anchor);
    JudgeTag(mark, tag);
    if (TakesKey()) throw Refused{PlaceOf(mark), "a list or map as a key is not allowed, expected a name"};
    if (static_cast<int>(open_.size()) >= kMaxYamlDepth) {
      throw Refused{PlaceOf(mark), absl::StrCat("nested too deeply, expected at most ", kMaxYamlDepth, " levels")};
    }
    OpenNode opened;
    opened.node = Leaf(mark);
    opened.node.kind = kind;
    open_.push_back(std::move(opened));
  }

  void Close() {
    YamlNode node = std::move(open_.back().node);
    open_.pop_back();
    Add(std::move(node));
  }

  void Add(YamlNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    OpenNode& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::kList) {
      parent.node.items.push_back(std::move(node));
      return;
    }
    parent.has_key = false;
    // yaml-cpp places a value that is not there at the token that follows, often a line below.
    if (node.kind == YamlNode::Kind::kNull && !node.refused) node.place = parent.key_place;
    if (std::exchange(parent.drops_value, false)) return;
    if (parent.key == kMergeKey) {
      Say(problems_, parent.key_place, "merge key (<<) is not allowed, expected the fields themselves");
      return;
    }
    const auto [first, fresh] = parent.lines.emplace(parent.key, parent.key_place.line);
    if (!fresh) {
      Say(problems_, parent.key_place,
          absl::StrCat(PathOfKey(), ": given twice, first on line ", first->second, ", expected once"));
      return;
    }
    parent.node.members.push_back({parent.key, parent.key_place, std::move(node)});
  }

  std::string PathOfKey() const {
    std::string path;
    for (const OpenNode& node : open_) {
      if (node.node.kind != YamlNode::Kind::kMap) continue;
      absl::StrAppend(&path, path.empty() ? "" : ".", ShowYamlKey(node.key));
    }
    return path;
  }

  std::vector<YamlProblem>& problems_;
  YamlNode root_;
  YamlPlace last_place_ = {1, 1, ""};
  std::vector<OpenNode> open_;
};

bool IsControl(utf8proc_int32_t c) { return c < 0x20 && c != '\t' && c != '\n' && c != '\r'; }

// The first place that is no text, as a problem. yaml-cpp would put another character there, or end the file.
std::optional<YamlProblem> FindNoText(std::string_view text) {
  constexpr utf8proc_int32_t kNoBreakSpace = 0xa0;
  YamlPlace place = PlaceOf(YAML::Mark());
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
    return YamlProblem{place, "not UTF-8 but UTF-16, expected a file saved as UTF-8"};
  }
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  bool indentation = true;
  for (size_t i = 0; i < text.size();) {
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t size = utf8proc_iterate(bytes + i, static_cast<utf8proc_ssize_t>(text.size() - i), &c);
    if (size < 1) {
      return YamlProblem{place,
                         absl::StrFormat("not UTF-8, got byte 0x%02x, expected a file saved as UTF-8", bytes[i])};
    }
    if (IsControl(c)) {
      return YamlProblem{place, absl::StrFormat("not text, got the control character 0x%02x, expected none", c)};
    }
    if (indentation && c == kNoBreakSpace) {
      return YamlProblem{place, "no-break space in the indentation, expected spaces"};
    }
    indentation = c == '\n' || (indentation && (c == ' ' || c == '\t' || c == kNoBreakSpace));
    i += static_cast<size_t>(size);
    ++place.column;
    if (c == '\n') {
      ++place.line;
      place.column = 1;
    }
  }
  return std::nullopt;
}

// The column of a tab in the indentation of a line; 0 = none.
int TabInIndentation(std::string_view text, int line) {
  size_t begin = 0;
  for (int i = 1; i < line && begin != std::string_view::npos; ++i) {
    begin = text.find('\n', begin);
    if (begin != std::string_view::npos) ++begin;
  }
  if (begin == std::string_view::npos) return 0;
  const size_t end = text.find_first_not_of(" \t", begin);
  const size_t tab = text.substr(0, end).find('\t', begin);
  return tab == std::string_view::npos ? 0 : static_cast<int>(tab - begin) + 1;
}

// What yaml-cpp says, for who does not know its parser.
std::string InPlainWords(const std::string& message) {
  static const std::map<std::string, std::string, std::less<>> words = {
      {"illegal map value",
       "a colon where none can be, expected one name: value a line, a space behind the colon, and quotes around text "
       "that has a colon"},
      {"end of map flow not found", "a { that is not closed before this place, or a comma that is missing"},
      {"end of sequence flow not found", "a [ that is not closed before this place, or a comma that is missing"},
      {"illegal flow end", "a } or ] that closes nothing"},
      {"end of map not found", "a line that is indented as none above it"},
      {"end of sequence not found", "a line that is indented as none above it"},
      {"unknown token", "a character that no value begins with, expected quotes around the value"}};
  const auto found = words.find(message);
  return absl::StrCat("not YAML: ", found == words.end() ? message : found->second);
}

// `before`: of what was read last.
YamlProblem NotYaml(std::string_view text, const YAML::Exception& e, const YamlPlace& before) {
  if (e.msg == "illegal EOF in scalar") {
    return {before, "not YAML: a quote behind this place that is not closed"};
  }
  YamlPlace place = PlaceOf(e.mark);
  if (const int column = TabInIndentation(text, place.line); column > 0) {
    place.column = column;
    return {place, "tab in the indentation, expected spaces"};
  }
  if (e.msg == "the referenced anchor is not defined") return {place, kNoAlias};
  return {place, InPlainWords(e.msg)};
}

}  // namespace

std::string ShowYamlKey(std::string_view key) {
  const auto is_plain = [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; };
  const bool plain = !key.empty() && key.size() <= kMaxShownBytes && std::all_of(key.begin(), key.end(), is_plain);
  return plain ? std::string(key) : ShownText(key, kMaxShownBytes);
}

const YamlMember* YamlNode::Find(std::string_view key) const {
  for (const YamlMember& member : members) {
    if (member.key == key) return &member;
  }
  return nullptr;
}

YamlMember* YamlNode::Find(std::string_view key) { return const_cast<YamlMember*>(std::as_const(*this).Find(key)); }

YamlNode ParseYamlTree(std::string_view text, std::vector<YamlProblem>& problems) {
  const YamlPlace start = PlaceOf(YAML::Mark());
  if (text.size() > kMaxYamlBytes) {
    Say(problems, start, absl::StrCat("too large, got ", text.size(), " bytes, expected at most ", kMaxYamlBytes));
    return {};
  }
  if (std::optional<YamlProblem> problem = FindNoText(text)) {
    problems.push_back(*std::move(problem));
    return {};
  }
  TreeBuilder builder(problems);
  try {
    std::istringstream stream{WithoutLastLineEnd(text)};
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return {};
    YamlNode root = builder.TakeRoot();
    TreeBuilder second(problems);
    if (parser.HandleNextDocument(second)) {
      Say(problems, start, "more than one YAML document, expected one");
      return {};
    }
    return root;
  } catch (const Refused& refused) {
    Say(problems, refused.place, refused.text);
  } catch (const YAML::Exception& e) {
    problems.push_back(NotYaml(text, e, builder.last_place()));
  } catch (const std::exception& e) {
    Say(problems, start, absl::StrCat("not YAML: ", e.what()));
  }
  return {};
}

}  // namespace evilmoe
