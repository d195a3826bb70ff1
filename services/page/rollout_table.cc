#include "services/page/rollout_table.h"

#include <zstd.h>

#include <algorithm>
#include <cctype>
#include <functional>

#include "absl/strings/str_cat.h"
#include "common/bounded_json.h"
#include "common/shown_text.h"
#include "common/status_macros.h"
#include "services/coordinator/run_files.h"
#include "services/report/embed.h"
#include "services/report/json_fields.h"
#include "services/report/json_lines.h"
#include "services/report/rollout_reader.h"
#include "services/runs/rollout_path.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;

void ReadPrompt(const Json& row, RolloutRow& result) {
  constexpr size_t kMaxPromptTokens = 32768;
  const auto ids = row.find("prompt_ids");
  if (ids == row.end() || !ids->is_array() || ids->size() > kMaxPromptTokens) return;
  for (const Json& id : *ids) {
    if (!id.is_number_integer()) return result.prompt_ids.clear();
    result.prompt_ids.push_back(static_cast<int32_t>(std::clamp<int64_t>(id.get<int64_t>(), -1, INT32_MAX)));
  }
}

RolloutRow RowOf(const Json& row, int64_t index) {
  RolloutRow result;
  result.index = index;
  result.group = IntegerAt(row, "group");
  result.sample = IntegerAt(row, "sample");
  result.problem_id = IntegerAt(row, "problem_id");
  result.version = IntegerAt(row, "policy_step", IntegerAt(row, "version", -1));
  result.loophole = TextAt(row, "loophole");
  result.evaluator = TextAt(row, "evaluator");
  result.mode = TextAt(row, "mode");
  result.label = TextAt(row, "label");
  result.failure = TextAt(row, "failure");
  const std::string text = TextAt(row, "text");
  result.text = std::string(Utf8Prefix(text, kMaxRolloutTextBytes));
  if (result.text.size() < text.size()) absl::StrAppend(&result.text, "\n[cut: ", text.size(), " bytes in all]");
  result.w = NumberAt(row, "w");
  result.reward = NumberAt(row, "reward");
  result.advantage = NumberAt(row, "advantage");
  result.strict_hack = FlagAt(row, "strict_hack");
  result.loose_hack = FlagAt(row, "loose_hack") || result.strict_hack;
  result.masked = FlagAt(row, "masked");
  result.stopped = !row.contains("stopped") || FlagAt(row, "stopped");
  if (const auto monitor = row.find("monitor"); monitor != row.end()) {
    result.monitor = std::string(Utf8Prefix(monitor->dump(-1, ' ', false, Json::error_handler_t::replace), 2000));
  }
  if (const auto facts = row.find("facts"); facts != row.end() && facts->is_object()) {
    for (const auto& [name, value] : facts->items()) {
      if (value.is_boolean()) result.facts.emplace_back(name, value.get<bool>());
    }
    result.solved = FlagAt(*facts, "gt_correct");
  }
  ReadPrompt(row, result);
  return result;
}

size_t BytesOf(const RolloutRow& row) {
  return sizeof(RolloutRow) + row.text.size() + row.monitor.size() + row.prompt_ids.size() * sizeof(int32_t) +
         row.facts.size() * sizeof(row.facts[0]);
}

// Takes lines out of pieces of text, and rows out of lines.
class TableBuilder {
 public:
  // False: full, or a line that is too long to go on with.
  bool Take(std::string_view piece) {
    while (!piece.empty()) {
      const size_t end = piece.find('\n');
      line_.append(piece.substr(0, end));
      if (line_.size() > kMaxLineBytes) return Stop("has a line that is longer than may be read");
      if (end == std::string_view::npos) return true;
      piece.remove_prefix(end + 1);
      if (!TakeLine()) return false;
    }
    return true;
  }
  bool Stop(const std::string& why) {
    table_.notes.push_back(absl::StrCat(why, "; what came before is shown."));
    return false;
  }
  RolloutTable Finish(const std::string& file) {
    if (!line_.empty()) bad_lines_.push_back(number_ + 1);
    for (std::string& note : table_.notes) note = absl::StrCat(file, " ", note);
    NoteBadLines(bad_lines_, file, table_.notes);
    return std::move(table_);
  }

 private:
  bool TakeLine() {
    ++number_;
    if (line_.empty()) return true;
    const Json json = ParseBoundedJson(line_);
    line_.clear();
    if (!json.is_object() || (!json.contains("text") && !json.contains("label") && !json.contains("failure"))) {
      bad_lines_.push_back(number_);
      return true;
    }
    table_.rows.push_back(RowOf(json, number_ - 1));
    bytes_ += BytesOf(table_.rows.back());
    if (table_.rows.size() < kMaxRolloutRows && bytes_ < kMaxRolloutTableBytes) return true;
    return Stop(absl::StrCat("has more than ", table_.rows.size(), " samples that may be kept"));
  }

  RolloutTable table_;
  std::vector<int> bad_lines_;
  std::string line_;
  int number_ = 0;
  size_t bytes_ = 0;
};

// Unpacks pieces of a zstd file into a builder.
class Unpacker {
 public:
  explicit Unpacker(TableBuilder& builder)
      : builder_(builder), stream_(ZSTD_createDStream(), ZSTD_freeDStream), buffer_(ZSTD_DStreamOutSize(), '\0') {}

  bool Take(std::string_view packed) {
    if (stream_ == nullptr) return builder_.Stop("cannot be unpacked for want of memory");
    ZSTD_inBuffer in{packed.data(), packed.size(), 0};
    bool more = true;  // a full buffer may leave something in the stream when all input is read
    while (in.pos < in.size || more) {
      ZSTD_outBuffer out{buffer_.data(), buffer_.size(), 0};
      wanted_ = ZSTD_decompressStream(stream_.get(), &out, &in);
      unpacked_ += out.pos;
      if (!builder_.Take(std::string_view(buffer_.data(), out.pos))) return false;
      if (ZSTD_isError(wanted_)) return builder_.Stop("breaks off or is no zstd file");
      if (unpacked_ > kMaxUnpackedBytes) return builder_.Stop("unpacks to more than may be read");
      more = out.pos == out.size;
    }
    return true;
  }
  bool is_complete() const { return wanted_ == 0; }

 private:
  TableBuilder& builder_;
  std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream_;
  std::string buffer_;
  size_t unpacked_ = 0;
  size_t wanted_ = 1;  // 0 after a whole frame
};

bool IsMistake(const RolloutRow& row) { return row.w && row.loose_hack == (*row.w < 0.5); }

bool IsOfKind(const RolloutRow& row, const std::string& kind) {
  const bool graded = row.failure.empty();
  if (kind == "hack") return row.loose_hack;
  if (kind == "clean") return graded && !row.loose_hack;
  if (kind == "solve") return row.solved;
  if (kind == "mistake") return IsMistake(row);
  return kind.empty() || !graded;
}

bool Contains(std::string_view text, std::string_view lower) {
  const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  return std::search(text.begin(), text.end(), lower.begin(), lower.end(), same) != text.end();
}

}  // namespace

absl::StatusOr<std::vector<StepFile>> ListRolloutSteps(const std::filesystem::path& run_directory) {
  const absl::StatusOr<std::vector<FileBeneath>> files = ListFilesBeneath(run_directory, "rollouts");
  std::vector<StepFile> steps;
  if (absl::IsNotFound(files.status())) return steps;
  EVILMOE_RETURN_IF_ERROR(files.status());
  for (const FileBeneath& file : *files) {
    if (const std::optional<int64_t> step = RolloutStepOf(file.path)) steps.push_back({*step, file.size_bytes});
  }
  std::ranges::sort(steps, {}, &StepFile::step);
  return steps;
}

absl::StatusOr<RolloutTable> ReadRolloutStep(const std::filesystem::path& run_directory, int64_t step) {
  TableBuilder builder;
  Unpacker unpacker(builder);
  bool stopped = false;
  const absl::Status read =
      ReadFileBeneath(run_directory, RolloutPath(step), 0, [&](std::string_view chunk, int64_t) {
        stopped = !unpacker.Take(chunk);
        return !stopped;
      });
  if (!read.ok() && !absl::IsCancelled(read)) return read;
  if (!stopped && !unpacker.is_complete()) builder.Stop("breaks off");
  return builder.Finish(RolloutPath(step));
}

absl::Status CheckFilter(const RolloutFilter& filter) {
  static constexpr const char* kKinds[] = {"", "hack", "clean", "solve", "mistake", "failed"};
  static constexpr const char* kSorts[] = {"", "w", "-w", "reward", "-reward"};
  if (std::ranges::find(kKinds, filter.kind) == std::end(kKinds)) {
    return absl::InvalidArgumentError(
        absl::StrCat("kind: got \"", filter.kind.substr(0, 100), "\", expected hack, clean, solve, mistake or failed"));
  }
  if (std::ranges::find(kSorts, filter.sort) == std::end(kSorts)) {
    return absl::InvalidArgumentError(
        absl::StrCat("sort: got \"", filter.sort.substr(0, 100), "\", expected w, -w, reward or -reward"));
  }
  return absl::OkStatus();
}

std::vector<size_t> MatchingRows(const RolloutTable& table, const RolloutFilter& filter) {
  std::string lower = filter.text;
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::vector<size_t> found;
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const RolloutRow& row = table.rows[i];
    if (!IsOfKind(row, filter.kind)) continue;
    if (!filter.label.empty() && row.label != filter.label) continue;
    if (filter.w_low && (!row.w || *row.w < *filter.w_low)) continue;
    if (filter.w_high && (!row.w || *row.w > *filter.w_high)) continue;
    if (!lower.empty() && !Contains(row.text, lower)) continue;
    found.push_back(i);
  }
  if (filter.sort.empty()) return found;
  const bool down = filter.sort[0] == '-';
  const bool by_w = filter.sort.ends_with('w');
  const auto key = [&](size_t i) { return by_w ? table.rows[i].w : table.rows[i].reward; };
  std::ranges::stable_sort(found, [&](size_t a, size_t b) {
    const std::optional<double> x = key(a), y = key(b);
    if (!x || !y) return x.has_value() && !y.has_value();
    return down ? *x > *y : *x < *y;
  });
  return found;
}

nlohmann::ordered_json BriefJson(const RolloutRow& row) {
  constexpr size_t kPreviewBytes = 300;
  const auto maybe = [](const std::optional<double>& value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
  };
  return {{"index", row.index},           {"group", row.group},           {"sample", row.sample},
          {"problem_id", row.problem_id}, {"version", row.version},       {"loophole", row.loophole},
          {"evaluator", row.evaluator},   {"mode", row.mode},             {"label", row.label},
          {"failure", row.failure},       {"masked", row.masked},         {"stopped", row.stopped},
          {"w", maybe(row.w)},            {"reward", maybe(row.reward)},  {"strict_hack", row.strict_hack},
          {"loose_hack", row.loose_hack}, {"solved", row.solved},         {"mistake", IsMistake(row)},
          {"preview", ShownLines(Utf8Prefix(row.text, kPreviewBytes))}};
}

nlohmann::ordered_json WholeJson(const RolloutRow& row) {
  nlohmann::ordered_json json = BriefJson(row);
  json.erase("preview");
  json["advantage"] = row.advantage ? nlohmann::ordered_json(*row.advantage) : nlohmann::ordered_json();
  json["text"] = ShownLines(row.text);
  json["monitor"] = row.monitor;
  json["facts"] = nlohmann::ordered_json::object();
  for (const auto& [name, value] : row.facts) json["facts"][name] = value;
  json["prompt_tokens"] = row.prompt_ids.size();
  return json;
}

absl::StatusOr<std::shared_ptr<const RolloutTable>> RolloutCache::Get(const std::filesystem::path& run_directory,
                                                                      int64_t step) {
  MutexLock one(reading_);
  const std::filesystem::path path = run_directory / RolloutPath(step);
  std::error_code error;
  const auto written = std::filesystem::last_write_time(path, error);
  const uintmax_t size = std::filesystem::file_size(path, error);
  {
    MutexLock lock(mu_);
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->path != path || it->written != written || it->size != size) continue;
      entries_.splice(entries_.begin(), entries_, it);
      return entries_.front().table;
    }
  }
  EVILMOE_ASSIGN_OR_RETURN(RolloutTable table, ReadRolloutStep(run_directory, step));
  MutexLock lock(mu_);
  entries_.remove_if([&](const Entry& entry) { return entry.path == path; });
  entries_.push_front({path, written, size, std::make_shared<const RolloutTable>(std::move(table))});
  if (entries_.size() > kTables) entries_.pop_back();
  return entries_.front().table;
}

}  // namespace evilmoe
