#include "dataset/verdict_store.h"

#include "common/file.h"
#include "common/line_reader.h"
#include "common/status_macros.h"
#include "common/strict_json.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kPasses = "passes";
constexpr DropReason kReasons[] = {DropReason::kTests, DropReason::kCanonical};

std::string LineOf(const std::string& key, const CanonicalVerdict& verdict) {
  const nlohmann::ordered_json line = {
      {"key", key},
      {"verdict", std::string(verdict.reason ? DropReasonName(*verdict.reason) : kPasses)},
      {"detail", verdict.detail}};
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<std::pair<std::string, CanonicalVerdict>> ReadLine(std::string_view text) {
  const absl::StatusOr<Json> line = ParseStrictJson(text);
  if (!line.ok() || !line->is_object()) return std::nullopt;
  for (const char* name : {"key", "verdict", "detail"}) {
    if (!line->contains(name) || !(*line)[name].is_string()) return std::nullopt;
  }
  CanonicalVerdict verdict{.reason = std::nullopt, .detail = (*line)["detail"]};
  const std::string name = (*line)["verdict"];
  if (name == kPasses) return std::pair{std::string((*line)["key"]), verdict};
  for (const DropReason reason : kReasons) {
    if (name != DropReasonName(reason)) continue;
    verdict.reason = reason;
    return std::pair{std::string((*line)["key"]), verdict};
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::unique_ptr<VerdictStore>> VerdictStore::Open(std::filesystem::path path) {
  std::unique_ptr<VerdictStore> store(new VerdictStore(std::move(path)));
  absl::StatusOr<LineReader> reader = LineReader::Open(store->path_);
  if (absl::IsNotFound(reader.status())) return store;
  EVILMOE_RETURN_IF_ERROR(reader.status());
  std::string good;
  bool all_good = true;
  while (true) {
    EVILMOE_ASSIGN_OR_RETURN(const std::optional<LineReader::Line> line, reader->Next());
    if (!line) break;
    auto entry = ReadLine(line->text);
    all_good &= entry.has_value() && !line->cut;
    if (!entry) continue;
    good += std::string(line->text) + "\n";
    const MutexLock lock(store->mu_);
    store->by_key_.insert(*std::move(entry));
  }
  // What is appended must begin on a line of its own.
  if (!all_good) EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(store->path_, good));
  return store;
}

std::optional<CanonicalVerdict> VerdictStore::Find(const std::string& key) const {
  const MutexLock lock(mu_);
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? std::nullopt : std::optional(found->second);
}

absl::Status VerdictStore::Add(const std::string& key, const CanonicalVerdict& verdict) {
  const MutexLock lock(mu_);
  by_key_.insert_or_assign(key, verdict);
  return AppendLine(path_, LineOf(key, verdict));
}

}  // namespace evilmoe
