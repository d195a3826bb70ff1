#include "common/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/yaml.h>

#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"

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

// Builds the tree out of the parser's events, so that nothing is expanded before it is judged.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::vector<YamlProblem>& problems) : problems_(problems) {}

  YamlNode TakeRoot() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refused{PlaceOf(mark), "alias (*name) is not allowed, expected the value itself"};
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    RefuseAnchor(mark, anchor);
    if (TakesKey()) throw Refused{PlaceOf(mark), "empty key, expected a name"};
    Add(Leaf(mark));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    RefuseAnchor(mark, anchor);
    RefuseTag(mark, tag);
    if (TakesKey()) {
      open_.back().key = value;
      open_.back().key_place = PlaceOf(mark);
      open_.back().has_key = true;
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
  };

  static YamlNode Leaf(const YAML::Mark& mark) {
    YamlNode node;
    node.place = PlaceOf(mark);
    return node;
  }
  static void RefuseAnchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) throw Refused{PlaceOf(mark), "anchor (&name) is not allowed, expected a plain value"};
  }
  // yaml-cpp gives "?" to a plain scalar, "!" to a quoted one, "" to an untagged list or map in some styles.
  static void RefuseTag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    throw Refused{PlaceOf(mark), absl::StrCat("tag ", tag, " is not allowed, expected a plain value")};
  }

  bool TakesKey() const {
    return !open_.empty() && open_.back().node.kind == YamlNode::Kind::kMap && !open_.back().has_key;
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    RefuseAnchor(mark, anchor);
    RefuseTag(mark, tag);
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
    if (node.kind == YamlNode::Kind::kNull) node.place = parent.key_place;
    if (const YamlMember* first = std::as_const(parent.node).Find(parent.key)) {
      problems_.push_back({parent.key_place, absl::StrCat(PathOfKey(), ": given twice, first on line ",
                                                          first->place.line, ", expected once")});
      return;
    }
    parent.node.members.push_back({parent.key, parent.key_place, std::move(node)});
  }

  std::string PathOfKey() const {
    std::string path;
    for (const OpenNode& node : open_) {
      if (node.node.kind == YamlNode::Kind::kMap) absl::StrAppend(&path, path.empty() ? "" : ".", node.key);
    }
    return path;
  }

  std::vector<YamlProblem>& problems_;
  YamlNode root_;
  std::vector<OpenNode> open_;
};

}  // namespace

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
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder builder(problems);
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
    Say(problems, PlaceOf(e.mark), absl::StrCat("not YAML: ", e.msg));
  } catch (const std::exception& e) {
    Say(problems, start, absl::StrCat("not YAML: ", e.what()));
  }
  return {};
}

}  // namespace evilmoe
