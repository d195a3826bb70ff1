#include "services/report/reproduction.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"

namespace evilmoe {
namespace {

std::string Utc(int64_t unix_ms) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", absl::FromUnixMillis(unix_ms), absl::UTCTimeZone());
}

std::string Software(const nlohmann::ordered_json& software) {
  std::string text;
  for (const auto& [name, value] : software.items()) {
    const std::string shown = value.is_string() ? value.get<std::string>() : value.dump();
    absl::StrAppend(&text, text.empty() ? "" : ", ", name, " ", shown);
  }
  return text;
}

bool IsPlain(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::string("_./:=,@%+-").find(c) != std::string::npos; }

}  // namespace

std::string ShellWord(const std::string& text) {
  if (!text.empty() && std::all_of(text.begin(), text.end(), IsPlain)) return text;
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::vector<Fact> FactsOf(const RecordedRun& run) {
  std::vector<Fact> facts;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) facts.push_back({name, value});
  };
  add("run", run.id);
  add("state", run.state);
  add("sweep", run.sweep);
  if (run.created_unix_ms > 0) add("submitted", Utc(run.created_unix_ms));
  if (run.finished_unix_ms > 0) add("ended", Utc(run.finished_unix_ms));
  add("config.yaml, SHA-256", run.config_sha256);
  add("base model's weights", run.model_fingerprint);
  if (!run.adapter_sha256.empty()) add("last adapter", absl::StrCat("step ", run.adapter_step, ", SHA-256 ", run.adapter_sha256));
  if (run.software.is_object()) add("software", Software(run.software));
  return facts;
}

std::string SubmitCommand(const std::string& file, const std::map<std::string, std::string>& common,
                          const std::map<std::string, std::string>& fields) {
  std::string command = absl::StrCat("evilmoe-ctl submit ", ShellWord(file));
  for (const auto& [name, value] : fields) {
    const auto other = common.find(name);
    if (other != common.end() && other->second == value) continue;
    if (name == "name" || name == "seed") {
      absl::StrAppend(&command, " --", name, " ", ShellWord(value));
    } else {
      absl::StrAppend(&command, " --set ", ShellWord(absl::StrCat(name, "=", value)));
    }
  }
  return command;
}

}  // namespace evilmoe
