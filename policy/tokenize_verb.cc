#include "policy/tokenize_verb.h"

#include <istream>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/exit_code.h"
#include "common/json_lines.h"
#include "common/message.h"
#include "common/status_macros.h"
#include "policy/chat_template.h"
#include "policy/tokenizer.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;

constexpr int kExitBadLine = 1;

absl::StatusOr<Json> EncodeLine(const TokenizeOptions& options, const Tokenizer& tokenizer, const Json& line) {
  const bool has_text = line.contains("text");
  if (has_text == line.contains("messages")) {
    return absl::InvalidArgumentError("expected \"text\" or \"messages\", one of the two");
  }
  std::string text;
  if (has_text) {
    if (!line["text"].is_string()) return absl::InvalidArgumentError("text: not a string");
    text = line["text"].get<std::string>();
  } else {
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<Message> messages, ReadMessages(line["messages"]));
    EVILMOE_ASSIGN_OR_RETURN(text, RenderChat(messages, {.thinking = options.thinking}));
  }
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer.Encode(text));
  Json answer = {{"ids", ids}};
  if (!has_text) answer["text"] = text;
  return answer;
}

absl::StatusOr<Json> DecodeLine(const Tokenizer& tokenizer, const Json& line) {
  const auto found = line.find("ids");
  if (found == line.end() || !found->is_array()) return absl::InvalidArgumentError("expected \"ids\": [integers]");
  std::vector<int32_t> ids;
  for (const Json& id : *found) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= static_cast<uint64_t>(tokenizer.vocab_size()) ||
        !tokenizer.HasId(id.get<int32_t>())) {
      return absl::InvalidArgumentError(absl::StrCat("ids[", ids.size(), "]: ",
                                                     id.dump(-1, ' ', true, Json::error_handler_t::replace),
                                                     " is not the id of a token"));
    }
    ids.push_back(id.get<int32_t>());
  }
  return Json{{"text", tokenizer.Decode(ids)}};
}

absl::StatusOr<Json> Answer(const TokenizeOptions& options, const Tokenizer& tokenizer,
                                   const std::string& text) {
  EVILMOE_ASSIGN_OR_RETURN(const Json line, ParseJsonLine(text));
  return options.decode ? DecodeLine(tokenizer, line) : EncodeLine(options, tokenizer, line);
}

}  // namespace

int RunTokenize(const TokenizeOptions& options, std::istream& in, std::ostream& out, std::ostream& errors) {
  const absl::StatusOr<Tokenizer> tokenizer = Tokenizer::Load(options.tokenizer);
  if (!tokenizer.ok()) {
    errors << "error: " << tokenizer.status().message() << "\n";
    return absl::IsNotFound(tokenizer.status()) ? kExitNotFound : kExitUsage;
  }
  int exit_code = 0;
  int64_t number = 0;
  for (std::string text; std::getline(in, text);) {
    ++number;
    absl::StatusOr<Json> answer = Answer(options, *tokenizer, text);
    if (!answer.ok()) exit_code = kExitBadLine;
    WriteJsonLine(answer.ok() ? *answer : LineError(number, answer.status()), out);
    out.flush();
  }
  return exit_code;
}

}  // namespace evilmoe
