#include "rollout_workers/labelled_rollouts.h"

#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/json_lines.h"
#include "common/message.h"
#include "common/status_macros.h"
#include "common/zstd_text.h"
#include "policy/chat_template.h"

namespace evilmoe {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr size_t kMaxFileBytes = size_t{1} << 31;

absl::StatusOr<std::string> ReadText(const fs::path& file) {
  EVILMOE_ASSIGN_OR_RETURN(std::string bytes, ReadFile(file, kMaxFileBytes));
  if (file.extension() != ".zst") return bytes;
  absl::StatusOr<std::string> text = UnpackZstd(bytes, kMaxFileBytes);
  if (!text.ok()) return Annotate(text.status(), file.string());
  return text;
}

const std::string* Text(const json& line, const char* name) {
  const auto found = line.find(name);
  return found == line.end() ? nullptr : found->get_ptr<const json::string_t*>();
}

class LineReader {
 public:
  LineReader(const Tokenizer& tokenizer, const LabelledRolloutsOptions& options)
      : tokenizer_(tokenizer), options_(options), end_of_turn_(tokenizer.IdOf("<|im_end|>")) {}

  // nullopt: a line that has no grade.
  absl::StatusOr<std::optional<LabelledResponse>> Read(const json& line) {
    if (line.contains("failure") || line.value("masked", json(false)) == json(true)) return std::nullopt;
    const auto label = line.find(options_.label);
    if (label == line.end() || !label->is_boolean()) {
      return absl::InvalidArgumentError(absl::StrCat(options_.label, ": expected true or false"));
    }
    LabelledResponse response{.is_hack = label->get<bool>()};
    EVILMOE_ASSIGN_OR_RETURN(response.prompt_ids, PromptIdsOf(line));
    EVILMOE_ASSIGN_OR_RETURN(response.response_ids, ResponseIdsOf(line));
    if (response.prompt_ids.empty() || response.response_ids.empty()) {
      return absl::InvalidArgumentError("no tokens, expected at least one of the prompt and one of the response");
    }
    EVILMOE_ASSIGN_OR_RETURN(response.problem, ProblemOf(line, response.prompt_ids));
    return response;
  }

 private:
  absl::StatusOr<std::vector<int32_t>> PromptIdsOf(const json& line) const {
    if (line.contains("prompt_ids")) return ReadIds(line, "prompt_ids", tokenizer_.vocab_size());
    if (line.contains("messages")) {
      EVILMOE_ASSIGN_OR_RETURN(const std::vector<Message> messages, ReadMessages(line["messages"]));
      EVILMOE_ASSIGN_OR_RETURN(const std::string text, RenderChat(messages, {.thinking = options_.thinking}));
      return tokenizer_.Encode(text);
    }
    const std::string* text = Text(line, "prompt");
    if (text == nullptr)
      return absl::InvalidArgumentError("no prompt, expected \"prompt_ids\", \"messages\" or \"prompt\"");
    return tokenizer_.Encode(*text);
  }

  absl::StatusOr<std::vector<int32_t>> ResponseIdsOf(const json& line) const {
    if (line.contains("ids")) return ReadIds(line, "ids", tokenizer_.vocab_size());
    const std::string* text = Text(line, "text");
    if (text == nullptr) text = Text(line, "response");
    if (text == nullptr) return absl::InvalidArgumentError("no response, expected \"ids\", \"text\" or \"response\"");
    EVILMOE_ASSIGN_OR_RETURN(std::vector<int32_t> ids, tokenizer_.Encode(*text));
    if (end_of_turn_) ids.push_back(*end_of_turn_);
    return ids;
  }

  absl::StatusOr<int64_t> ProblemOf(const json& line, const std::vector<int32_t>& prompt_ids) {
    for (const char* name : {"problem_id", "id"}) {
      const auto found = line.find(name);
      if (found == line.end()) continue;
      if (!found->is_number_integer())
        return absl::InvalidArgumentError(absl::StrCat(name, ": expected a whole number"));
      return found->get<int64_t>();
    }
    return problem_of_prompt_.try_emplace(prompt_ids, std::ssize(problem_of_prompt_)).first->second;
  }

  const Tokenizer& tokenizer_;
  const LabelledRolloutsOptions& options_;
  const std::optional<int32_t> end_of_turn_;
  std::map<std::vector<int32_t>, int64_t> problem_of_prompt_;
};

}  // namespace

absl::StatusOr<std::vector<LabelledResponse>> ReadLabelledRollouts(const std::vector<fs::path>& files,
                                                                   const Tokenizer& tokenizer,
                                                                   const LabelledRolloutsOptions& options) {
  std::vector<LabelledResponse> out;
  LineReader reader(tokenizer, options);
  for (const fs::path& file : files) {
    EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadText(file));
    int64_t number = 0;
    for (size_t begin = 0; begin < text.size(); ++number) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      const absl::StatusOr<json> line = ParseJsonLine(text.substr(begin, end - begin));
      const std::string place = absl::StrCat(file.string(), ":", number + 1);
      EVILMOE_RETURN_IF_ERROR(Annotate(line.status(), place));
      absl::StatusOr<std::optional<LabelledResponse>> response = reader.Read(*line);
      EVILMOE_RETURN_IF_ERROR(Annotate(response.status(), place));
      if (response->has_value()) out.push_back(**std::move(response));
      begin = end + 1;
    }
  }
  return out;
}

}  // namespace evilmoe
