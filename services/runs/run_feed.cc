#include "services/runs/run_feed.h"

#include <fstream>

#include "common/bounded_json.h"
#include "common/status_macros.h"

namespace evilmoe {

std::string EventLine(const RunEventView& event) {
  const nlohmann::ordered_json json = {
      {"seq", event.seq}, {"unix_ms", event.unix_ms}, {"kind", event.kind}, {"payload", event.payload}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<RunEventView> ParseEventLine(const std::string& line) {
  const nlohmann::json json = ParseBoundedJson(line);
  if (!json.is_object() || !json.contains("seq") || !json["seq"].is_number_integer()) return std::nullopt;
  if (!json.contains("unix_ms") || !json["unix_ms"].is_number_integer()) return std::nullopt;
  if (!json.contains("kind") || !json["kind"].is_string() || !json.contains("payload")) return std::nullopt;
  return RunEventView{json["seq"], json["unix_ms"], json["kind"], json["payload"]};
}

absl::StatusOr<FeedPage> FileFeed::Next(int64_t after_seq) {
  FeedPage page;
  // The summary first: the events that it includes are then in the file already.
  EVILMOE_ASSIGN_OR_RETURN(page.run, directory_.ReadSummary());
  std::ifstream file(directory_.Events(), std::ios::binary);
  file.seekg(offset_);
  for (std::string line; std::getline(file, line) && !file.eof();) {
    offset_ += static_cast<int64_t>(line.size()) + 1;
    std::optional<RunEventView> event = ParseEventLine(line);
    if (event && event->seq > after_seq) page.events.push_back(*std::move(event));
  }
  return page;
}

}  // namespace evilmoe
