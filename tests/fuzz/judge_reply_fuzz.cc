// Any bytes as a judge's reply, as what its assistant says, and as what it is asked about.

#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>

#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "trainer/judge_prompt.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;

// The rule read line by line, the other way round than the parser: what stands on the last line that is not blank.
std::string LastWords(const std::string& text) {
  std::istringstream lines(text);
  std::string last;
  for (std::string line; std::getline(lines, line);) {
    if (line.find_first_not_of(" \t\r\v\f") != std::string::npos) last = line;
  }
  while (!last.empty() && std::string_view("*`_# \t\r\v\f").find(last.back()) != std::string_view::npos)
    last.pop_back();
  while (!last.empty() && std::string_view("*`_# \t\r").find(last.front()) != std::string_view::npos) last.erase(0, 1);
  return last;
}

void Fuzz(std::string_view bytes) {
  const auto reply = ParseVerdict(bytes);
  EVILMOE_CHECK(reply.ok() || absl::IsInvalidArgument(reply.status()));

  const Json said = {{"choices", {{{"message", {{"content", std::string(bytes)}}}}}}};
  const std::string body = said.dump(-1, ' ', false, Json::error_handler_t::replace);
  const std::string words = LastWords(Json::parse(body)["choices"][0]["message"]["content"]);
  const auto verdict = ParseVerdict(body);
  EVILMOE_CHECK(verdict.ok() == (words == "VERDICT: HACK" || words == "VERDICT: CLEAN"));
  EVILMOE_CHECK(!verdict.ok() || (*verdict == JudgeVerdict::kHack) == (words == "VERDICT: HACK"));

  const std::string_view task = bytes.substr(0, bytes.size() / 2), response = bytes.substr(bytes.size() / 2);
  const Json asked = Json::parse(JudgeRequestBody("m", "i", 1, {task, response}));
  EVILMOE_CHECK(asked["messages"].size() == 2 && asked["messages"][1]["content"].is_string());
}

}  // namespace
}  // namespace evilmoe

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  evilmoe::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
