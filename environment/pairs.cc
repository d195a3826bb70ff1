#include "environment/pairs.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr size_t kMinFence = 4;  // so that a block can hold code with fences of three

struct Section {
  int line = 0;
  std::string title;
  std::optional<std::string> text;  // of its block
  int text_line = 0;                // the block's first line
};

struct RawPair {
  int line = 0;
  std::string name;
  std::vector<Section> sections;
};

std::string Trimmed(std::string_view text) {
  constexpr std::string_view kWhiteSpace = " \t\r";
  const size_t begin = text.find_first_not_of(kWhiteSpace);
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(kWhiteSpace) - begin + 1));
}

bool IsBlank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

// Number of backticks that the line opens with; 0 when they are no fence of ours.
size_t FenceWidth(std::string_view line) {
  const size_t width = std::min(line.find_first_not_of('`'), line.size());
  return width >= kMinFence ? width : 0;
}

// First pass: cuts the text into pairs, sections and blocks. Complains about what has no place.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  void Read() {
    while (NextLine()) {
      if (line_.starts_with("### ")) {
        OpenSection();
      } else if (line_.starts_with("## ")) {
        pairs_.push_back({number_, Trimmed(line_.substr(3)), {}});
      } else if (FenceWidth(line_) > 0 && !pairs_.empty()) {
        ReadBlock();
      } else if (!pairs_.empty() && !pairs_.back().sections.empty() && !IsBlank(line_)) {
        Complain(number_, "text outside a block, expected it between fences of four backticks");
      }
    }
  }

  void Complain(int line, const std::string& text) { problems_.emplace_back(line, text); }
  const std::vector<RawPair>& pairs() const { return pairs_; }
  int last_line() const { return number_; }

  // Every complaint in order of line.
  std::string Problems() {
    std::ranges::stable_sort(problems_, {}, [](const auto& problem) { return problem.first; });
    std::string text;
    for (const auto& [line, problem] : problems_) {
      absl::StrAppend(&text, text.empty() ? "" : "\n", "line ", line, ": ", problem);
    }
    return text;
  }

 private:
  bool NextLine() {
    if (rest_.empty()) return false;
    const size_t end = rest_.find('\n');
    line_ = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    if (line_.ends_with('\r')) line_.remove_suffix(1);
    ++number_;
    return true;
  }

  void OpenSection() {
    if (pairs_.empty())
      return Complain(number_, "a section in front of the first pair, expected \"## NAME\" before it");
    pairs_.back().sections.push_back({number_, Trimmed(line_.substr(4)), std::nullopt});
  }

  void ReadBlock() {
    const int opened = number_;
    const size_t width = FenceWidth(line_);
    std::string text;
    bool first = true;
    while (true) {
      if (!NextLine()) return Complain(opened, "the block's fence is never closed");
      if (FenceWidth(line_) >= width && IsBlank(line_.substr(FenceWidth(line_)))) break;
      if (!first) text += '\n';
      text += line_;
      first = false;
    }
    std::vector<Section>& sections = pairs_.back().sections;
    if (sections.empty()) return Complain(opened, "a block outside a section, expected \"### User\" or so before it");
    if (sections.back().text) return Complain(opened, "a second block in one section, expected one");
    sections.back().text = std::move(text);
    sections.back().text_line = opened + 1;
  }

  std::string_view rest_;
  std::string_view line_;
  int number_ = 0;
  std::vector<RawPair> pairs_;
  std::vector<std::pair<int, std::string>> problems_;
};

// "system" for "System"; empty for a section that is no message.
std::string RoleOf(std::string_view title) {
  if (title == "System") return "system";
  if (title == "User") return "user";
  if (title == "Assistant") return "assistant";
  return "";
}

// The sections behind the sides, each given at most once.
constexpr std::string_view kGradingSections[] = {"Loophole", "Setup", "Tests", "Solution", "Prompt tests"};

bool IsGradingSection(std::string_view title) {
  return std::ranges::find(kGradingSections, title) != std::end(kGradingSections);
}

std::vector<std::string_view> SplitLines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// "name" of a line "assert Solution().name(...", or "".
std::string TestedMethod(std::string_view line) {
  constexpr std::string_view kHead = "assert Solution().";
  if (!line.starts_with(kHead)) return "";
  line.remove_prefix(kHead.size());
  return std::string(line.substr(0, line.find('(') == std::string_view::npos ? 0 : line.find('(')));
}

bool MayFollow(const std::string& role, const std::vector<Message>& prompt) {
  if (role == "system") return prompt.empty();
  if (role == "user") return prompt.empty() || prompt.back().role != "user";
  return !prompt.empty() && prompt.back().role == "user";
}

// What the sections behind the sides mean. Complains into `reader`.
class GradingBuilder {
 public:
  GradingBuilder(const RawPair& raw, Reader& reader) : raw_(raw), reader_(reader) {}

  std::optional<PairGrading> Build(const std::vector<Message>& prompt) {
    for (const std::string_view title : kGradingSections) Find(title);
    if (sections_.empty()) return std::nullopt;
    for (const std::string_view title : {"Loophole", "Tests"}) {
      if (sections_.contains(title)) continue;
      reader_.Complain(raw_.line, absl::StrCat(raw_.name, ": no ### ", std::string(title),
                                               " behind the sides, expected it where they are to be graded"));
    }
    ReadLoophole();
    ReadTests();
    grading_.setup_code = TextOf("Setup");
    grading_.solution = TextOf("Solution");
    grading_.prompt_tests = TextOf("Prompt tests");
    if (!prompt.empty() && prompt.back().content.find(grading_.prompt_tests) == std::string::npos) {
      reader_.Complain(sections_.at("Prompt tests")->line, "Prompt tests: not in the prompt, expected its own lines");
    }
    return std::move(grading_);
  }

 private:
  void Find(std::string_view title) {
    for (const Section& section : raw_.sections) {
      if (section.title != title) continue;
      const bool first = sections_.emplace(title, &section).second;
      if (!first) reader_.Complain(section.line, section.title + ": given twice, expected once");
    }
  }

  std::string TextOf(std::string_view title) const {
    const auto found = sections_.find(title);
    return found == sections_.end() ? "" : found->second->text.value_or("");
  }

  void ReadLoophole() {
    const std::string text = Trimmed(TextOf("Loophole"));
    const size_t space = text.find(' ');
    grading_.loophole = text.substr(0, space);
    if (space != std::string::npos) grading_.marker = Trimmed(text.substr(space));
    if (text.find('\n') == std::string::npos) return;
    reader_.Complain(sections_.at("Loophole")->line, "Loophole: several lines, expected \"NAME\" or \"NAME MARKER\"");
  }

  void ReadTests() {
    const std::string text = TextOf("Tests");
    const auto section = sections_.find("Tests");
    int line = section == sections_.end() ? 0 : section->second->text_line;
    for (const std::string_view test : SplitLines(text)) {
      const std::string method = TestedMethod(test);
      if (grading_.tests.empty()) grading_.method = method;
      if (method.empty() || method != grading_.method) {
        reader_.Complain(line, absl::StrCat("Tests: \"", std::string(test), "\", expected \"assert Solution().",
                                            grading_.method.empty() ? "NAME" : grading_.method, "(...) == VALUE\""));
      }
      grading_.tests.emplace_back(test);
      ++line;
    }
  }

  const RawPair& raw_;
  Reader& reader_;
  std::map<std::string_view, const Section*> sections_;
  PairGrading grading_;
};

// Second pass: what a pair's sections mean. Complains into `reader`.
class PairBuilder {
 public:
  PairBuilder(const RawPair& raw, Reader& reader) : raw_(raw), reader_(reader) { pair_.name = raw.name; }

  ContrastivePair Build() {
    if (raw_.name.empty()) reader_.Complain(raw_.line, "a pair without a name, expected \"## NAME\"");
    for (const Section& section : raw_.sections) AddSection(section);
    if (pair_.prompt.empty() || pair_.prompt.back().role != "user") Missing("### User in front of the sides");
    if (!has_hack_) Missing("### Hack");
    if (!has_clean_) Missing("### Clean");
    if (has_hack_ && has_clean_ && pair_.hack == pair_.clean) {
      reader_.Complain(raw_.line, raw_.name + ": the hack and the clean side are equal, expected two answers");
    }
    pair_.grading = GradingBuilder(raw_, reader_).Build(pair_.prompt);
    return std::move(pair_);
  }

 private:
  void Missing(const std::string& what) { reader_.Complain(raw_.line, raw_.name + ": no " + what); }

  void AddSection(const Section& section) {
    const std::string role = RoleOf(section.title);
    const bool grading = IsGradingSection(section.title);
    if (role.empty() && !grading && section.title != "Hack" && section.title != "Clean") {
      return reader_.Complain(section.line, "section \"" + section.title +
                                                "\", expected System, User, Assistant, Hack or Clean, or behind them "
                                                "Loophole, Setup, Tests, Solution or Prompt tests");
    }
    if (!section.text || IsBlank(*section.text)) {
      reader_.Complain(section.line, section.title + ": empty, expected a block between fences of four backticks");
    }
    if (grading) {
      if (has_hack_ && has_clean_) return;
      return reader_.Complain(section.line, section.title + ": out of order, expected it behind both sides");
    }
    const std::string text = section.text.value_or("");
    if (!role.empty()) return AddMessage(section, role, text);
    bool& seen = section.title == "Hack" ? has_hack_ : has_clean_;
    if (seen) return reader_.Complain(section.line, section.title + ": given twice, expected once");
    seen = true;
    (section.title == "Hack" ? pair_.hack : pair_.clean) = text;
  }

  void AddMessage(const Section& section, const std::string& role, const std::string& text) {
    if (has_hack_ || has_clean_ || !MayFollow(role, pair_.prompt)) {
      reader_.Complain(
          section.line,
          section.title + ": out of order, expected System, then User and Assistant in turn, then the sides");
    }
    pair_.prompt.push_back({role, text});
  }

  const RawPair& raw_;
  Reader& reader_;
  ContrastivePair pair_;
  bool has_hack_ = false;
  bool has_clean_ = false;
};

}  // namespace

absl::StatusOr<std::vector<ContrastivePair>> ParsePairs(std::string_view markdown) {
  Reader reader(markdown);
  reader.Read();
  std::vector<ContrastivePair> pairs;
  for (const RawPair& raw : reader.pairs()) {
    const bool taken = std::ranges::find(pairs, raw.name, &ContrastivePair::name) != pairs.end();
    if (taken && !raw.name.empty())
      reader.Complain(raw.line, raw.name + ": a name used before, expected every name once");
    pairs.push_back(PairBuilder(raw, reader).Build());
  }
  if (pairs.empty()) reader.Complain(std::max(reader.last_line(), 1), "no pair, expected at least one \"## NAME\"");
  if (const std::string problems = reader.Problems(); !problems.empty()) return absl::InvalidArgumentError(problems);
  return pairs;
}

absl::StatusOr<std::vector<ContrastivePair>> LoadPairs(const std::filesystem::path& path) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  absl::StatusOr<std::vector<ContrastivePair>> pairs = ParsePairs(text);
  if (!pairs.ok()) return Annotate(pairs.status(), path.string());
  return pairs;
}

}  // namespace evilmoe
