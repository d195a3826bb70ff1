#include "policy/tokenize_verb.h"

#include <istream>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/bounded_json.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "policy/chat_template.h"
#include "policy/tokenizer.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr int kExitBadLine = 1;
constexpr int kExitUsage = 2;
constexpr int kExitNotFound = 4;

absl::StatusOr<std::vector<Message>> MessagesOf(const Json& json) {
  if (!json.is_array()) return absl::InvalidArgumentError("messages: not an array of {role, content}");
  std::vector<Message> messages;
  for (const Json& entry : json) {
    const auto text_of = [&](const char* key) {
      const auto found = entry.is_object() ? entry.find(key) : entry.end();
      return entry.is_object() && found != entry.end() && found->is_string() ? &*found : nullptr;
    };
    const Json* role = text_of("role");
    const Json* content = text_of("content");
    if (role == nullptr || content == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("messages[", messages.size(), "]: expected {\"role\": text, \"content\": text}"));
    }
    messages.push_back({role->get<std::string>(), content->get<std::string>()});
  }
  return messages;
}

absl::StatusOr<OrderedJson> EncodeLine(const TokenizeOptions& options, const Tokenizer& tokenizer, const Json& line) {
  const bool has_text = line.contains("text");
  if (has_text == line.contains("messages")) {
    return absl::InvalidArgumentError("expected \"text\" or \"messages\", one of the two");
  }
  std::string text;
  if (has_text) {
    if (!line["text"].is_string()) return absl::InvalidArgumentError("text: not a string");
    text = line["text"].get<std::string>();
  } else {
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<Message> messages, MessagesOf(line["messages"]));
    EVILMOE_ASSIGN_OR_RETURN(text, RenderChat(messages, {.thinking = options.thinking}));
  }
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer.Encode(text));
  OrderedJson answer = {{"ids", ids}};
  if (!has_text) answer["text"] = text;
  return answer;
}

absl::StatusOr<OrderedJson> DecodeLine(const Tokenizer& tokenizer, const Json& line) {
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
  return OrderedJson{{"text", tokenizer.Decode(ids)}};
}

absl::StatusOr<OrderedJson> Answer(const TokenizeOptions& options, const Tokenizer& tokenizer,
                                   const std::string& text) {
  const Json line = ParseBoundedJson(text);
  if (!line.is_object()) return absl::InvalidArgumentError("not a JSON object");
  return options.decode ? DecodeLine(tokenizer, line) : EncodeLine(options, tokenizer, line);
}

}  // namespace

int RunTokenize(const TokenizeOptions& options, std::istream& in, std::ostream& out, std::ostream& errors) {
  const absl::StatusOr<Tokenizer> tokenizer = Tokenizer::Load(options.tokenizer);
  if (!tokenizer.ok()) {
    errors << "tokenize: " << tokenizer.status().message() << "\n";
    return absl::IsNotFound(tokenizer.status()) ? kExitNotFound : kExitUsage;
  }
  int exit_code = 0;
  int64_t number = 0;
  for (std::string text; std::getline(in, text);) {
    ++number;
    absl::StatusOr<OrderedJson> answer = Answer(options, *tokenizer, text);
    if (!answer.ok()) {
      exit_code = kExitBadLine;
      answer = OrderedJson{{"line", number}, {"error", std::string(answer.status().message())}};
    }
    out << answer->dump(-1, ' ', false, OrderedJson::error_handler_t::replace) << "\n";
  }
  return exit_code;
}

}  // namespace evilmoe
