#include "services/ctl/sweep_file.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "common/yaml_reader.h"
#include "common/yaml_tree.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxName = 63;  // of a run

// A field with one of its values, as YAML.
struct Axis {
  std::string field;
  std::vector<std::string> values;
};

struct SweepFile {
  std::string name;
  std::filesystem::path run;
  std::vector<Axis> axes;  // fields in the file's order, then arm, then seed
};

class Problems {
 public:
  explicit Problems(std::string file) : file_(std::move(file)) {}
  void Add(const YamlPlace& place, const std::string& text) {
    lines_.push_back(absl::StrCat(file_, ":", std::max(1, place.line), ":", std::max(1, place.column), ": ", text));
  }
  void Add(const std::string& line) { lines_.push_back(line); }
  absl::Status AsStatus() const {
    return lines_.empty() ? absl::OkStatus() : absl::InvalidArgumentError(absl::StrJoin(lines_, "\n"));
  }

 private:
  const std::string file_;
  std::vector<std::string> lines_;
};

// A node as YAML on one line, as an override takes it.
std::string Inline(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull: return "null";
    case YamlNode::Kind::kScalar: return node.quoted ? ShowYamlValue(node.text) : node.text;
    case YamlNode::Kind::kList: {
      std::vector<std::string> items;
      for (const YamlNode& item : node.items) items.push_back(Inline(item));
      return absl::StrCat("[", absl::StrJoin(items, ", "), "]");
    }
    case YamlNode::Kind::kMap: {
      std::vector<std::string> members;
      for (const YamlMember& member : node.members) members.push_back(absl::StrCat(member.key, ": ", Inline(member.value)));
      return absl::StrCat("{", absl::StrJoin(members, ", "), "}");
    }
  }
  return "";
}

void ReadAxis(const YamlMember& member, const std::string& path, const std::string& field, Problems& problems,
              std::vector<Axis>& axes) {
  if (member.value.kind != YamlNode::Kind::kList || member.value.items.empty()) {
    return problems.Add(member.value.place, absl::StrCat(path, ": expected a list with a value at least, as in [4, 8]"));
  }
  Axis axis{field, {}};
  for (const YamlNode& item : member.value.items) {
    const std::string value = Inline(item);
    if (std::find(axis.values.begin(), axis.values.end(), value) != axis.values.end()) {
      problems.Add(item.place, absl::StrCat(path, ": ", value, " stands twice, expected once"));
    }
    axis.values.push_back(value);
  }
  axes.push_back(std::move(axis));
}

void ReadFields(const YamlNode& node, Problems& problems, std::vector<Axis>& axes) {
  if (node.kind != YamlNode::Kind::kMap) {
    return problems.Add(node.place, "fields: expected a map of field: [values]");
  }
  for (const YamlMember& member : node.members) {
    const std::string path = absl::StrCat("fields.", member.key);
    if (member.key == "arm" || member.key == "seed" || member.key == "name") {
      problems.Add(member.place, absl::StrCat(path, ": expected ", member.key == "name" ? "no name: a run is called by what varies"
                                                                                       : absl::StrCat("`", member.key, "s` at the top")));
    } else {
      ReadAxis(member, path, member.key, problems, axes);
    }
  }
}

bool IsName(const std::string& text) {
  return !text.empty() && text.size() <= 40 && std::isalnum(static_cast<unsigned char>(text[0])) != 0 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") == std::string::npos;
}

SweepFile ReadFileTree(std::string_view yaml, Problems& problems) {
  SweepFile file;
  std::vector<YamlProblem> bad;
  const YamlNode root = ParseYamlTree(yaml, bad);
  for (const YamlProblem& problem : bad) problems.Add(problem.place, problem.text);
  if (!bad.empty()) return file;
  const std::vector<std::string> known = {"name", "run", "arms", "seeds", "fields"};
  for (const YamlMember& member : root.members) {
    if (std::find(known.begin(), known.end(), member.key) != known.end()) continue;
    const std::string nearest = NearestName(member.key, known);
    problems.Add(member.place, absl::StrCat(member.key, ": unknown key, ", nearest.empty() ? "expected one of " : "did you mean ",
                                            nearest.empty() ? absl::StrJoin(known, ", ") : nearest + "?"));
  }
  const auto text = [&](const char* key, const char* expected) -> std::string {
    const YamlMember* member = root.Find(key);
    const bool ok = member != nullptr && member->value.kind == YamlNode::Kind::kScalar && !member->value.text.empty();
    if (!ok) problems.Add(member == nullptr ? root.place : member->value.place, absl::StrCat(key, ": expected ", expected));
    return ok ? member->value.text : "";
  };
  file.name = text("name", "a name for the sweep");
  file.run = text("run", "a run file");
  if (!file.name.empty() && !IsName(file.name)) {
    problems.Add(root.Find("name")->value.place,
                 absl::StrCat("name: got ", ShowYamlValue(file.name), ", expected up to 40 of a-z, 0-9, '.', '_', '-'"));
  }
  if (const YamlMember* fields = root.Find("fields")) ReadFields(fields->value, problems, file.axes);
  if (const YamlMember* arms = root.Find("arms")) ReadAxis(*arms, "arms", "arm", problems, file.axes);
  if (const YamlMember* seeds = root.Find("seeds")) ReadAxis(*seeds, "seeds", "seed", problems, file.axes);
  return file;
}

// "rank-8" of adapter.rank: 8; letters that a name may not have become dashes.
std::string NamePart(const std::string& field, const std::string& value) {
  if (field == "seed") return "s" + value;
  std::string part = field == "arm" ? value : absl::StrCat(field.substr(field.rfind('.') + 1), "-", value);
  for (char& c : part) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (std::string_view("abcdefghijklmnopqrstuvwxyz0123456789._-").find(c) == std::string_view::npos) c = '-';
  }
  return part;
}

// What does not fit is cut, with some of the whole's hash behind it: the same name at every start.
std::string Fitted(const std::string& name) {
  if (name.size() <= kMaxName) return name;
  return absl::StrCat(name.substr(0, kMaxName - 9), "-", Sha256Hex(name).substr(0, 8));
}

// The n-th combination: name and overrides.
std::pair<std::string, std::vector<Override>> Combination(const SweepFile& file, size_t n) {
  std::vector<std::string> parts(file.axes.size());
  std::vector<Override> overrides(file.axes.size());
  for (size_t i = file.axes.size(); i-- > 0;) {
    const Axis& axis = file.axes[i];
    const std::string& value = axis.values[n % axis.values.size()];
    n /= axis.values.size();
    parts[i] = NamePart(axis.field, value);
    overrides[i] = {axis.field, value};
  }
  std::string name = file.name;
  for (const std::string& part : parts) absl::StrAppend(&name, ".", part);
  return {Fitted(name), std::move(overrides)};
}

// Problems that all runs have are told once, the others with the names of their runs.
void AddRunProblems(const std::map<std::string, std::vector<std::string>>& runs_by_problem, size_t num_runs,
                    Problems& problems) {
  for (const auto& [line, runs] : runs_by_problem) {
    const std::string more = runs.size() > 1 ? absl::StrCat(" and ", runs.size() - 1, " more") : "";
    problems.Add(runs.size() == num_runs ? line : absl::StrCat("run ", runs[0], more, ": ", line));
  }
}

}  // namespace

absl::StatusOr<Sweep> ReadSweep(std::string_view yaml, const std::string& file_name,
                                const std::filesystem::path& folder) {
  Problems problems(file_name);
  const SweepFile file = ReadFileTree(yaml, problems);
  EVILMOE_RETURN_IF_ERROR(problems.AsStatus());
  size_t num_runs = 1;
  for (const Axis& axis : file.axes) num_runs = std::min(num_runs * axis.values.size(), kMaxSweepRuns + 1);
  if (num_runs > kMaxSweepRuns) {
    return absl::InvalidArgumentError(absl::StrCat(file_name, ": more than ", kMaxSweepRuns, " runs, expected fewer"));
  }
  const std::filesystem::path run_file = folder / file.run;
  EVILMOE_ASSIGN_OR_RETURN(const std::string run_yaml, ReadFile(run_file, size_t{1} << 20));
  Sweep sweep{file.name, {}};
  std::map<std::string, std::vector<std::string>> runs_by_problem;
  std::set<std::string> names;
  for (size_t n = 0; n < num_runs; ++n) {
    auto [name, overrides] = Combination(file, n);
    if (!names.insert(name).second) problems.Add(absl::StrCat(file_name, ": two runs would be called ", name));
    overrides.emplace_back("name", absl::StrCat("'", name, "'"));
    const absl::StatusOr<RunConfig> config =
        ParseRunConfig(run_yaml, run_file.string(), run_file.parent_path(), overrides);
    if (config.ok()) {
      sweep.runs.push_back({name, *config, ToYaml(*config)});
      continue;
    }
    const std::vector<std::string> lines =
        absl::StrSplit(absl::string_view(config.status().message()), '\n', absl::SkipEmpty());
    for (const std::string& line : lines) {
      std::vector<std::string>& runs = runs_by_problem[line];
      if (runs.empty() || runs.back() != name) runs.push_back(name);
    }
  }
  AddRunProblems(runs_by_problem, num_runs, problems);
  EVILMOE_RETURN_IF_ERROR(problems.AsStatus());
  return sweep;
}

}  // namespace evilmoe
